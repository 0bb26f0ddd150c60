"""What the backend hears of a delivery comes in the order in which it happened, also over a line that holds some of it back."""

from __future__ import annotations

import pytest

from reference.site import SiteController
from reference.site.journal import JournalError


def held_back(w, path_end, seconds):
    """Posts to these paths are lost for so long."""
    plain, until_us = w.backend.route, w.kernel.now_us + seconds * 1_000_000
    told = []

    async def route(request):
        path = request.url.path
        if path.endswith(path_end) and w.kernel.now_us < until_us:
            return 503, {}
        if path.endswith(("/result", "/sales")):
            told.append((path.rpartition("/")[2], w.kernel.now_us))
        return await plain(request)

    w.backend.route = route
    return told


@pytest.mark.requirement("fc-sale.sale-follows-its-events")
def test_a_sale_waits_for_the_result_of_its_authorisation_and_no_other_sale_does(world):
    w = world()
    w.run(3)
    told = held_back(w, "/result", 60)
    w.backend.command("authorise", order_id="o1")
    w.fill(5, seconds=10)
    w.fill(90, point=1, seconds=5)
    w.run(50)
    assert w.site.journal.count_unsent() == 1
    assert told == [], "the authorisation is not known there: neither is the sale"
    w.run(20)
    assert [kind for kind, _ in told] == ["result", "sales"]
    w.run(40)
    assert [kind for kind, _ in told] == ["result", "sales", "sales"]
    assert w.backend.sales[1, 1]["order_id"] == "o1"
    assert w.ledger() == w.truth()


@pytest.mark.requirement("fc-sale.sale-follows-its-events")
def test_also_when_the_controller_begins_anew_in_between(world, tmp_path):
    path = str(tmp_path / "site.sqlite3")
    w = world(journal=path)
    w.run(3)
    told = held_back(w, "/result", 60)
    w.backend.command("authorise", order_id="o1")
    w.fill(5, seconds=10)
    w.run(30)
    assert w.site.journal.count_unsent() == 1
    w.kernel.task(w.site.stop())
    w.run(1)
    w.site = SiteController(
        w.config,
        clock_us=lambda: w.kernel.unix_us,
        http_transport=w.backend,
        journal_path=path,
        base_urls=["https://backend-a.station", "https://backend-b.station"],
        station_key="key",
    )
    w.plug.change(w.site.drivers[0])
    w.kernel.task(w.site.start())
    w.run(60)
    assert [kind for kind, _ in told] == ["result", "sales"]
    assert w.ledger() == w.truth()


def test_a_sale_by_policy_waits_for_nothing(world):
    w = world()
    w.run(3)
    told = held_back(w, "/result", 60)
    w.backend.command("cancel", nozzle=2, order_id="o2")
    w.fill(5, seconds=5)
    w.run(25)
    assert [kind for kind, _ in told] == ["sales"]


def test_a_result_that_is_never_taken_does_not_keep_sales_for_ever(world):
    w = world()
    w.run(3)
    told = held_back(w, "/result", 3_600)
    w.backend.command("authorise", order_id="o1")
    w.fill(5, seconds=10)
    w.run(180)
    assert [kind for kind, _ in told] == ["sales"]
    assert w.ledger() == w.truth()


@pytest.mark.parametrize(
    "broken", ["uploaded", "unsent_sales", "result_posted", "owes_result", "begin_command"]
)
def test_a_journal_that_fails_once_loses_no_sale_no_result_and_no_command(world, monkeypatch, broken):
    w = world()
    w.run(3)
    works, failures = getattr(w.site.journal, broken), []

    def fails_once(*arguments, **more):
        if not failures:
            failures.append(broken)
            raise JournalError("database or disk is full")
        return works(*arguments, **more)

    monkeypatch.setattr(w.site.journal, broken, fails_once)
    w.backend.command("authorise", order_id="o1")
    w.fill(20, seconds=10)
    w.run(180)
    assert failures == [broken]
    assert len(w.backend.results) == 1
    assert w.ledger() == w.truth()
    assert w.site.journal.count_unsent() == 0
