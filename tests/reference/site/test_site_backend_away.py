"""The controller while the backend is away, repeats itself, or says what makes no sense."""

from __future__ import annotations

import httpx
import pytest

from reference.site import SiteController


@pytest.mark.requirement("fd-state.status-runs-without-backend")
@pytest.mark.requirement("ha.day-without-network-resyncs", "fd-pwr.buffered-sales-upload-in-order")
@pytest.mark.parametrize(("policy", "sales"), [("authorise", 3), ("deny", 0)])
def test_while_the_backend_is_away_the_policy_decides_and_everything_is_sent_afterwards(world, policy, sales):
    w = world(offline_policy=policy)
    w.backend.down = {"backend-a.station", "backend-b.station"}
    for k in range(3):
        w.fill(5 + 40 * k)
    w.run(130)
    assert len(w.truth()) == sales
    assert w.backend.sales == {}
    assert w.site.snapshot()["unsent_sales"] == sales
    w.backend.down = set()
    w.run(12)
    assert w.ledger() == w.truth()
    assert w.site.snapshot()["unsent_sales"] == 0
    assert [key[1] for key in w.backend.sales] == list(range(1, sales + 1)), "oldest first"


@pytest.mark.requirement("fd-state.status-runs-without-backend")
def test_instances_that_refuse_at_once_are_asked_with_growing_pauses(world):
    class Refusing(httpx.AsyncBaseTransport):
        asked = 0

        async def handle_async_request(self, request):
            self.asked += 1
            raise httpx.ConnectError("refused", request=request)

    w = world()
    w.run(3)
    w.kernel.task(w.site.stop())
    w.run(1)
    refusing = Refusing()
    w.site = SiteController(
        w.config,
        clock_us=lambda: w.kernel.unix_us,
        http_transport=refusing,
        journal_path=":memory:",
        base_urls=["https://backend-a.station", "https://backend-b.station"],
        station_key="key",
    )
    w.kernel.task(w.site.start())
    w.run(10)
    first = refusing.asked
    assert 10 < first < 200
    w.run(60)
    assert refusing.asked - first < 400, "live readings twice a second, the rest every five seconds"


@pytest.mark.requirement("fc-sale.repeated-upload-is-one-row", "fc-sale.lossy-transport-converges")
def test_lost_replies_lead_to_the_same_key_again_on_the_other_instance(world):
    w = world()
    w.backend.lose_replies = 7
    w.fill(5)
    w.run(60)
    assert w.ledger() == w.truth()
    assert w.backend.sale_posts == 8
    assert {"backend-a.station", "backend-b.station"} <= set(w.backend.hosts)


@pytest.mark.requirement("ha.first-write-within-fifteen-seconds")
def test_the_other_instance_takes_over_within_seconds(world):
    w = world()
    w.run(5)
    w.backend.down = {"backend-a.station"}
    number = w.backend.command("authorise", order_id="o1")
    w.run(13)
    assert w.backend.results[0][0] == number
    assert w.site.snapshot()["backend_up"]


@pytest.mark.requirement("fc-sale.changed-content-is-refused")
def test_another_content_under_the_same_key_is_kept_for_a_person_and_blocks_nothing(world):
    w = world()
    w.backend.sales[1, 1] = {"other": "content"}
    w.fill(5)
    w.fill(45)
    w.run(90)
    assert w.backend.sales[1, 1] == {"other": "content"}
    assert w.backend.sales[1, 2]["volume_ml"] == w.truth()[1][1]
    assert w.site.snapshot()["refused_sales"] == 1
    assert len(w.site.journal.all_sales()) == 2


def test_commands_that_make_no_sense_are_refused_not_obeyed(world):
    w = world()
    w.run(3)
    w.backend.command("explode")
    w.backend.command("authorise", order_id="o1", preset_fen=-5)
    w.backend.command("settled", sale=None)
    w.backend.command("print", receipt={})
    w.run(2)
    assert [r["ok"] for _, r in w.backend.results] == [False] * 4
