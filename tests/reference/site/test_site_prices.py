"""Prices of a site: each sale names its price set, bounds hold, plans come due once, and all of it is on record."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from reference.site import ConfigError
from reference.site.config import parse_config
from reference.site.journal import Journal, JournalError, Sale
from reference.site.price_book import PriceBook

from .site_world import EPOCH_US, S, World

MIDNIGHT_US = EPOCH_US + 120 * S


@pytest.fixture
def world():
    made = []

    def make(**options):
        made.append(World(**options))
        return made[-1]

    def end(w):
        made.remove(w)
        w.close()

    make.end = end
    yield make
    for w in made:
        w.close()


@pytest.mark.requirement("fd-price.sale-stores-price-set")
@pytest.mark.parametrize("protocol", ["dart", "modbus"])
def test_a_sale_names_its_price_set_and_since_when_the_pump_showed_it(world, protocol):
    w = world(protocol=protocol)
    w.fill(3, seconds=5)
    w.run(20)
    asked_us = w.kernel.unix_us
    number = w.site.set_prices({1: 799, 2: 801})
    w.fill(30, seconds=5)
    w.fill(60, seconds=5)
    w.run(70)
    before, first, second = (w.backend.sales[1, sequence] for sequence in (1, 2, 3))
    assert (before["price_fen_per_l"], before["price_since_us"]) == (750, EPOCH_US), "the configuration's"
    assert number != before["price_set"]
    for sale in (first, second):
        assert (sale["price_fen_per_l"], sale["price_set"]) == (799, number)
        assert asked_us < sale["price_since_us"] <= sale["ended_us"]
    assert first["price_since_us"] == second["price_since_us"], "it came into force once"
    assert [(sale.price_set, sale.price_since_us) for sale in w.site.journal.all_sales()] == [
        (sale["price_set"], sale["price_since_us"]) for sale in (before, first, second)
    ]


@pytest.mark.requirement("fd-price.elastic-price-is-bounded")
def test_an_optimiser_that_wants_more_than_the_ceiling_gets_the_ceiling_and_is_on_record(world, tmp_path):
    path = str(tmp_path / "site.sqlite3")
    limits = {"92": {"floor_fen_per_l": 700, "ceiling_fen_per_l": 840}}
    w = world(price_limits=limits, journal=path)
    w.run(5)
    w.site.set_prices({1: 1200, 2: 100}, source="optimiser")
    w.run(5)
    assert [point.nozzles[1].price_fen_per_l for point in w.points] == [840, 700]
    w.site.set_prices({1: 840, 2: 700}, source="optimiser")  # at the bounds: nothing to say
    log = [row for row in w.site.price_desk.book.log() if row[3] in {"asked", "clamped"}]
    assert [(nozzle, what, asked, given) for _, _, nozzle, what, asked, given in log] == [
        (1, "asked", 750, 750),
        (2, "asked", 750, 750),
        (1, "clamped", 1200, 840),
        (2, "clamped", 100, 700),
        (1, "asked", 840, 840),
        (2, "asked", 700, 700),
    ]
    assert sum("optimiser wanted" in text for text in w.site.alarms) == 2
    with pytest.raises(KeyError):
        w.site.set_prices({9: 800})
    with closing(sqlite3.connect(path)) as db:
        for attempt in ("UPDATE price_log SET asked_fen_per_l = 840", "DELETE FROM price_log"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                db.execute(attempt)
        assert db.execute("SELECT source FROM price_sets").fetchall() == [
            ("configuration",), ("optimiser",), ("optimiser",),
        ]  # fmt: skip


@pytest.mark.requirement("fd-price.elastic-price-is-bounded")
def test_bounds_hold_for_the_configuration_as_well_and_must_make_sense(world):
    w = world(price_limits={"92": {"ceiling_fen_per_l": 740}})
    assert w.site.prices == {1: 740, 2: 740}
    assert len(w.site.alarms) == 2
    document = w.config.model_dump(mode="json") | {
        "price_limits": {"92": {"floor_fen_per_l": 800, "ceiling_fen_per_l": 700}}
    }
    with pytest.raises(ConfigError, match=r"price_limits\.92: the floor \(800 fen/l\) is above"):
        parse_config(document)


@pytest.mark.requirement("clk.windows-trigger-once")
@pytest.mark.parametrize("step_s", [-7_200, -86_400])
def test_a_price_planned_for_midnight_comes_once_though_the_clock_is_set_back(world, step_s):
    w = world()
    step = [0]
    w.site.clock_us = w.site.price_desk.book._clock_us = lambda: w.kernel.unix_us + step[0]
    w.run(1)
    plan = {"due_us": MIDNIGHT_US, "key": "midnight", "source": "plan"}
    number = w.site.price_desk.plan({1: 799, 2: 799}, **plan)
    assert w.site.price_desk.plan({1: 799, 2: 799}, **plan) == number, "asked twice, planned once"
    w.run(118)
    assert w.points[0].nozzles[1].price_fen_per_l == 750
    w.run(2.5)
    assert [point.nozzles[1].price_fen_per_l for point in w.points] == [799, 799]
    # Somebody changes it again; then the clock goes back over midnight, and it is midnight a second time.
    w.site.set_prices({1: 805, 2: 805})
    w.run(3)
    step[0] = step_s * S
    w.run(60)
    step[0] = 0
    w.run(60)
    assert [point.nozzles[1].price_fen_per_l for point in w.points] == [805, 805]
    sent = [row for row in w.site.price_desk.book.log() if row[0] == number and row[3] == "asked"]
    assert len(sent) == 2, "one line a nozzle"


@pytest.mark.requirement("clk.windows-trigger-once")
def test_a_clock_that_is_set_over_midnight_does_not_skip_it(world):
    w = world()
    step = [0]
    w.site.clock_us = w.site.price_desk.book._clock_us = lambda: w.kernel.unix_us + step[0]
    w.run(1)
    w.site.price_desk.plan({1: 799}, MIDNIGHT_US, key="midnight", source="plan")
    w.run(20)
    step[0] = 3_600 * S
    w.run(8)
    assert [point.nozzles[1].price_fen_per_l for point in w.points] == [799, 750]
    step[0] = 0
    w.run(150)
    assert [row[3] for row in w.site.price_desk.book.log() if row[4] == 799] == ["asked"]


@pytest.mark.requirement("clk.windows-trigger-once")
def test_a_plan_outlives_the_process_and_a_sent_one_is_not_sent_again(tmp_path, world):
    path = str(tmp_path / "site.sqlite3")
    first = world(journal=path)
    first.run(1)
    first.site.price_desk.plan({1: 799, 2: 799}, MIDNIGHT_US, key="midnight", source="plan")
    first.run(10)
    world.end(first)
    second = world(journal=path)  # its clock begins anew: before midnight
    second.run(130)
    assert [point.nozzles[1].price_fen_per_l for point in second.points] == [799, 799]
    second.site.set_prices({1: 805, 2: 805})
    second.fill(135, seconds=5)
    second.fill(135, point=1, seconds=5)
    second.run(30)
    world.end(second)
    third = world(journal=path)
    third.run(130)
    assert third.site.prices == {1: 805, 2: 805}, "neither the plan's nor the file's"
    assert third.site.config.fuelling_points[0].nozzles[0].price_fen_per_l == 805, "what drivers begin with"


def test_a_file_with_other_prices_counts_when_it_is_new_and_only_then(tmp_path, world):
    path = str(tmp_path / "site.sqlite3")
    w = world(journal=path)
    w.run(1)
    changed = w.config.model_dump(mode="json")
    changed["lines"][0]["fuelling_points"][0]["nozzles"][0]["price_fen_per_l"] = 760
    config = parse_config(changed)
    w.site.set_prices({1: 799, 2: 799})
    w.fill(3, seconds=5)
    w.fill(3, point=1, seconds=5)
    w.run(20)
    assert w.site.prices == {1: 799, 2: 799}
    book = PriceBook(w.site.journal, config, lambda: EPOCH_US + 900 * S, w.site.alarm)
    assert [point.nozzles[0].price_fen_per_l for point in book.applied(config).fuelling_points] == [760, 799]
    again = PriceBook(w.site.journal, config, lambda: EPOCH_US + 901 * S, w.site.alarm)
    assert again.log() == book.log()


def test_a_journal_of_an_earlier_version_is_read_and_goes_on(tmp_path):
    path = tmp_path / "site.sqlite3"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(
            "CREATE TABLE sales (id INTEGER PRIMARY KEY AUTOINCREMENT, nozzle INTEGER NOT NULL, sequence INTEGER NOT NULL,"
            " fuelling_point INTEGER NOT NULL, grade TEXT NOT NULL, volume_ml INTEGER NOT NULL, amount_fen INTEGER NOT NULL,"
            " price_fen_per_l INTEGER NOT NULL, started_us INTEGER NOT NULL, ended_us INTEGER NOT NULL,"
            " end_total_volume_ml INTEGER NOT NULL, end_total_amount_fen INTEGER NOT NULL, order_id TEXT,"
            " flags TEXT NOT NULL, UNIQUE (nozzle, sequence)) STRICT;"
            "INSERT INTO sales VALUES (1, 1, 1, 1, '92', 10000, 7500, 750, 1, 2, 10000, 7500, NULL, '[\"x\"]');"
        )
    journal = Journal(str(path))
    (old,) = journal.unsent_sales()
    assert old == Sale(1, 1, 1, "92", 10000, 7500, 750, 1, 2, 10000, 7500, None, ("x",), sale_id=1)
    assert "price_set" not in old.as_json(), (
        "the same bytes as before the update: the backend may know it already"
    )
    journal.close()


@pytest.mark.requirement("clk.windows-trigger-once")
def test_a_process_that_died_before_its_pumps_heard_tells_them_when_it_is_back(tmp_path, world):
    path = str(tmp_path / "site.sqlite3")
    w = world(journal=path, protocol="modbus")
    w.run(5)
    number, _ = w.site.price_desk.book.ask({1: 799, 2: 799}, "plan", due_us=EPOCH_US, key="midnight")
    assert w.site.price_desk.book.sent(number)  # and here it dies
    world.end(w)
    fewer = world(journal=path, points=1, protocol="modbus")  # nozzle 2 is gone: no reason not to start
    fewer.run(0.01)
    world.end(fewer)
    again = world(journal=path, protocol="modbus")
    again.run(5)
    assert [point.nozzles[1].price_fen_per_l for point in again.points] == [799, 799]
    assert again.site.prices == {1: 799, 2: 799}
    assert [row[0] for row in again.site.price_desk.book.log() if row[3] == "shown"][-2:] == [number, number]
    assert again.site.price_desk.book.unfinished() == {}


def test_a_first_start_that_died_half_way(tmp_path, world):
    path = str(tmp_path / "site.sqlite3")
    w = world(journal=path)
    w.run(1)
    world.end(w)
    with closing(sqlite3.connect(path)) as db:
        db.execute("DELETE FROM prices_shown")
        db.commit()
    again = world(journal=path)
    again.run(1)
    assert again.site.prices == {1: 750, 2: 750}


def test_a_clock_that_was_set_back_brings_no_old_price_back_at_the_next_start(world):
    w = world(protocol="modbus")
    step = [0]
    w.site.clock_us = w.site.price_desk.book._clock_us = lambda: w.kernel.unix_us + step[0]
    w.run(1)
    for price, step_s in ((800, 0), (810, -3_600)):
        step[0] = step_s * S
        w.site.set_prices({1: price, 2: price})
        w.run(5)
    assert [point.nozzles[1].price_fen_per_l for point in w.points] == [810, 810]
    again = PriceBook(w.site.journal, w.config, w.site.clock_us, w.site.alarm)
    assert again.unfinished() == {}
    assert again.applied(w.config).fuelling_points[0].nozzles[0].price_fen_per_l == 810


@pytest.mark.requirement("fd-price.elastic-price-is-bounded")
def test_bounds_that_are_drawn_tighter_hold_for_what_is_shown_and_change_nothing_else(world):
    w = world(protocol="modbus", price_limits={"92": {"ceiling_fen_per_l": 740}})  # the file says 750
    w.run(1)
    w.site.set_prices({1: 735, 2: 720})
    w.run(5)
    same = PriceBook(w.site.journal, w.config, w.site.clock_us, w.site.alarm)
    assert [p.nozzles[0].price_fen_per_l for p in same.applied(w.config).fuelling_points] == [735, 720]
    document = w.config.model_dump(mode="json") | {"price_limits": {"92": {"ceiling_fen_per_l": 730}}}
    tighter = parse_config(document)
    book = PriceBook(w.site.journal, tighter, w.site.clock_us, w.site.alarm)
    assert [p.nozzles[0].price_fen_per_l for p in book.applied(tighter).fuelling_points] == [730, 720]
    log = book.log()
    assert PriceBook(w.site.journal, tighter, w.site.clock_us, w.site.alarm).log() == log


def test_prices_for_now_that_could_not_be_noted_do_not_come_later(world):
    w = world()
    w.run(5)
    db = w.site.journal._db
    db.execute(
        "CREATE TEMP TRIGGER full BEFORE UPDATE ON price_sets BEGIN SELECT RAISE(ABORT, 'disk full'); END"
    )
    with pytest.raises(JournalError, match="disk full"):
        w.site.set_prices({1: 799})
    db.execute("DROP TRIGGER full")
    assert w.site.price_desk.book.planned() == []
    w.site.price_desk.plan({2: 801}, w.kernel.unix_us, key="now", source="plan")
    w.run(10)
    assert [point.nozzles[1].price_fen_per_l for point in w.points] == [750, 801]


def test_the_book_of_an_earlier_version_is_read_on(world, tmp_path):
    path = str(tmp_path / "site.sqlite3")
    w = world(journal=path, protocol="modbus")
    w.run(5)
    w.site.set_prices({1: 799})
    w.run(5)
    world.end(w)
    with closing(sqlite3.connect(path)) as db:
        db.execute("ALTER TABLE price_sets DROP COLUMN sent_no")
        db.commit()
    w = world(journal=path, protocol="modbus")
    w.run(5)
    assert w.site.prices == {1: 799, 2: 750}
    w.site.set_prices({1: 805})
    w.run(5)
    assert w.points[0].nozzles[1].price_fen_per_l == 805
