"""Tanks in the backend: stock with its age, deliveries booked once, alarms raised once; on either store."""

from __future__ import annotations

from typing import Any

import pytest

S = 1_000_000
MINUTE = 60 * S
L = 1_000


class Tank:
    """A tank, its pumps and its gauge, as far as a backend hears of them."""

    def __init__(self, number: int = 1, grade: str = "92", litres: int = 15_000, **more: Any) -> None:
        self.fixed = {"tank": number, "grade": grade, "group": number, "capacity_ml": 30_000 * L}
        self.fixed |= {"pumpable_ml": 1_000 * L, "water_limit_um": 40_000, "series": f"n{number}", **more}
        self.volume_ml: int | None = litres * L
        self.drawn_ml = 0
        self.water_um: int | None = 0
        self.alarms: list[int] = []
        self.certain = True

    def sell(self, litres: int) -> None:
        assert self.volume_ml is not None
        self.drawn_ml += litres * L
        self.volume_ml -= litres * L

    def row(self) -> dict[str, Any]:
        known = self.volume_ml is not None
        return {
            **self.fixed,
            "volume_ml": self.volume_ml,
            "corrected_ml": self.volume_ml,
            "height_um": 1_200_000 if known else None,
            "water_um": self.water_um,
            "temperature_mdeg": -5_250 if known else None,
            "alarms": self.alarms,
            "drawn_ml": self.drawn_ml,
            "certain": self.certain,
        }


async def read(w: Any, *tanks: Tank, after_us: int = 30 * S, status: int = 201, on: int = 0) -> None:
    w.now_us += after_us
    body = {"at_us": w.now_us - S, "tanks": [tank.row() for tank in tanks]}
    await w.site("POST", "/tanks", body, status=status, on=on)


async def stock(w: Any) -> dict[str, Any]:
    shown = await w.call("GET", "/v1/stations/KM01/stock", status=200)
    return {entry["grade"]: entry for entry in shown["grades"]}


async def book(w: Any) -> Any:
    return await w.site("GET", "/stock/book", status=200)


async def deliveries(w: Any) -> list[Any]:
    return [entry for entry in (await book(w))["entries"] if entry["kind"] == "delivery"]


async def alarms(w: Any) -> list[tuple[str, str]]:
    return [(row["kind"], row["subject"]) for row in (await w.admin("alarms"))["rows"]]


async def fill(
    w: Any, *tanks: Tank, litres: int = 10_000, per_reading: int = 250, sold: int = 20, pauses: Any = ()
) -> None:
    """A tanker fills the first tank while all of them sell."""
    done = 0
    for pause_at, readings in (*pauses, (litres, 0)):
        while done < pause_at:
            step = min(per_reading, litres - done)
            done += step
            tanks[0].volume_ml += step * L  # type: ignore[operator]
            for tank in tanks:
                tank.sell(sold)
            await read(w, *tanks)
        for _ in range(readings):
            for tank in tanks:
                tank.sell(sold)
            await read(w, *tanks)


async def quiet(w: Any, *tanks: Tank, minutes: int = 12) -> None:
    for _ in range(2 * minutes):
        await read(w, *tanks)


@pytest.mark.requirement("tank.stock-is-fresh")
def test_stock_by_grade_with_its_age(play_sqlite):
    async def scene(w):
        await w.declare()
        assert (await stock(w)) == {}
        await read(w, Tank(1), Tank(2, litres=2_000), Tank(3, "95", litres=900))
        w.now_us += 10 * S
        shown = await stock(w)
        assert shown["92"]["volume_ml"] == 17_000 * L
        assert shown["92"]["age_us"] == 11 * S
        assert not shown["92"]["stale"]
        assert shown["92"]["available"]
        assert not shown["95"]["available"]  # below what can be pumped
        assert [t["tank"] for t in shown["92"]["tanks"]] == [1, 2]
        station = await w.call("GET", "/v1/stations/KM01", status=200)
        assert station["stock"][0]["volume_ml"] == 17_000 * L
        w.now_us += 60 * S
        assert (await stock(w))["92"]["stale"]

    play_sqlite(scene)


@pytest.mark.requirement("tank.offline-gauge-shows-age")
def test_a_silent_gauge_leaves_the_last_stock_with_its_age_and_one_alarm(play_sqlite):
    async def scene(w):
        await w.declare()
        tank = Tank()
        await read(w, tank)
        for _ in range(10):
            w.now_us += 60 * S
            await w.core.outbox.run_due()
        shown = (await stock(w))["92"]
        assert shown["volume_ml"] == 15_000 * L
        assert shown["age_us"] == 601 * S
        assert shown["stale"]
        assert await alarms(w) == [("gauge_silent", "KM01")]
        await read(w, tank)
        assert not (await stock(w))["92"]["stale"]
        for _ in range(3):
            w.now_us += 60 * S
            await w.core.outbox.run_due()
        assert [kind for kind, _ in await alarms(w)] == ["gauge_silent"] * 2

    play_sqlite(scene)


@pytest.mark.requirement("tank.offline-gauge-shows-age")
def test_an_unreadable_tank_keeps_its_last_volume(play_sqlite):
    async def scene(w):
        await w.declare()
        tank = Tank()
        await read(w, tank)
        tank.volume_ml = None
        for _ in range(4):
            await read(w, tank)
        shown = (await stock(w))["92"]
        assert shown["volume_ml"] == 15_000 * L
        assert shown["age_us"] == 121 * S
        assert shown["stale"]
        assert await alarms(w) == [("tank_unreadable", "KM01/1")]

    play_sqlite(scene)


def test_a_reading_is_taken_once(play):
    async def scene(w):
        await w.declare()
        w.now_us += S
        body = {"at_us": w.now_us, "tanks": [Tank().row()]}
        await w.site("POST", "/tanks", body, status=201)
        await w.site("POST", "/tanks", body, status=200)
        other = {"at_us": w.now_us, "tanks": [Tank(litres=1).row()]}
        assert (await w.site("POST", "/tanks", other, status=409))["code"] == "reading_differs"
        twice = {"at_us": w.now_us, "tanks": [Tank().row(), Tank().row()]}
        await w.site("POST", "/tanks", twice, status=422)
        late = {"at_us": w.now_us + 3_600 * S, "tanks": [Tank().row()]}
        assert (await w.site("POST", "/tanks", late, status=422))["code"] == "from_the_future"
        await w.call("POST", "/v1/stations/KM02/tanks", body, key="station-key-of-km02", status=404)
        await w.call("POST", "/v1/stations/KM01/tanks", body, status=401)
        early = {"at_us": w.now_us - 100 * S, "tanks": [Tank(litres=3).row()]}
        await w.site("POST", "/tanks", early, status=201)
        assert (await stock(w))["92"]["volume_ml"] == 15_000 * L

    play(scene)


@pytest.mark.requirement("tank.delivery-detected-while-selling", "tank.delivery-booked-once")
def test_a_delivery_while_pumps_sell_is_booked_once_within_one_per_cent(play_sqlite):
    async def scene(w):
        await w.declare()
        tank = Tank()
        await quiet(w, tank, minutes=3)
        begun_us = w.now_us
        await fill(w, tank)
        ended_us = w.now_us
        assert await deliveries(w) == []
        assert (await book(w))["accounts"][0]["delivery_since_us"] is not None
        await quiet(w, tank)
        (entry,) = await deliveries(w)
        assert entry["volume_ml"] == 10_000 * L
        assert abs(entry["started_us"] - begun_us) <= MINUTE
        assert abs(entry["ended_us"] - ended_us) <= MINUTE
        await quiet(w, tank, minutes=30)
        assert len(await deliveries(w)) == 1
        account = (await book(w))["accounts"][0]
        assert account["opening_ml"] + account["delivered_ml"] - account["drawn_ml"] == account["volume_ml"]
        assert account["variance_ml"] == 0
        assert await alarms(w) == []

    play_sqlite(scene)


@pytest.mark.requirement("tank.delivery-booked-once")
def test_three_pauses_and_a_second_instance_are_one_delivery(play):
    async def scene(w):
        await w.declare()
        await w.add()
        tank = Tank()
        await quiet(w, tank, minutes=2)
        await fill(w, tank, pauses=((2_500, 18), (5_000, 10), (7_500, 19)))
        for turn in range(30):
            w.now_us += 30 * S
            body = {"at_us": w.now_us, "tanks": [tank.row()]}
            await w.site("POST", "/tanks", body, status=201, on=turn % 2)
            await w.site("POST", "/tanks", body, status=200, on=1 - turn % 2)
        (entry,) = await deliveries(w)
        assert entry["volume_ml"] == 10_000 * L

    play(scene)


@pytest.mark.requirement("tank.delivery-booked-once")
def test_one_tanker_for_several_tanks_is_one_site_delivery(play_sqlite):
    async def scene(w):
        await w.declare()
        first, second, third = Tank(), Tank(2, "95"), Tank(3, "diesel")
        await quiet(w, first, second, third, minutes=2)
        await fill(w, first, second, third, litres=5_000)
        await fill(w, second, first, third, litres=8_000)
        await quiet(w, first, second, third, minutes=15)
        await quiet(w, first, second, third, minutes=30)
        await fill(w, third, first, second, litres=6_000)
        await quiet(w, first, second, third, minutes=15)
        booked = await deliveries(w)
        assert sorted((e["grp"], e["volume_ml"]) for e in booked) == [
            (1, 5_000 * L),
            (2, 8_000 * L),
            (3, 6_000 * L),
        ]
        assert len({e["site_delivery"] for e in booked}) == 2
        names = {e["grp"]: e["site_delivery"] for e in booked}
        assert names[1] == names[2] != names[3]

    play_sqlite(scene)


@pytest.mark.requirement("tank.manifolded-tanks-are-a-group")
def test_manifolded_tanks_are_one_account(play_sqlite):
    async def scene(w):
        await w.declare()
        left, right = Tank(1), Tank(2, group=1)
        await quiet(w, left, right, minutes=2)
        for _ in range(20):  # what one is given, the siphon shares out; one of them sells
            left.volume_ml += 250 * L - 10 * L
            right.volume_ml += 250 * L - 10 * L
            left.drawn_ml += 20 * L
            await read(w, left, right)
        await quiet(w, left, right)
        (entry,) = await deliveries(w)
        assert (entry["grp"], entry["volume_ml"]) == (1, 10_000 * L)
        assert len((await book(w))["accounts"]) == 1
        assert await alarms(w) == []

    play_sqlite(scene)


def test_the_book_is_append_only(play):
    from sqlalchemy import text

    async def scene(w):
        await w.declare()
        await read(w, Tank())
        for statement in ("UPDATE stock_book SET volume_ml = 0", "DELETE FROM stock_book"):
            with pytest.raises(Exception, match="append-only"):
                await w.core.db.run(lambda tx, s=statement: tx.execute(text(s)))
        assert (await book(w))["entries"][0]["kind"] == "opening"

    play(scene)


@pytest.mark.requirement("tank.water-alarms-and-blocks", "tank.blocked-tank-stops-its-grade")
def test_water_blocks_its_tank_and_no_other(play):
    async def scene(w):
        await w.declare()
        setup = [
            {"nozzle": 1, "fuelling_point": 1, "grade": "92", "price_fen_per_l": 781, "tank": 1},
            {"nozzle": 2, "fuelling_point": 2, "grade": "95", "price_fen_per_l": 812, "tank": 2},
        ]
        body = {"name": "x", "taxpayer_id": None, "lift_policy": "authorise", "nozzles": setup}
        await w.site("PUT", "", body, status=200)
        wet, dry = Tank(), Tank(2, "95")
        await read(w, wet, dry)
        wet.water_um = 41_000
        await read(w, wet, dry)
        shown = await stock(w)
        assert not shown["92"]["available"]
        assert shown["92"]["tanks"][0]["blocked"]
        assert shown["95"]["available"]
        order = {"client_token": "t1", "station": "KM01", "nozzle": 1, "mode": "prepay", "preset_fen": 10_000}
        assert (await w.phone("POST", "", order, status=409))["code"] == "tank_blocked"
        await w.phone("POST", "", order | {"client_token": "t2", "nozzle": 2}, status=201)
        wet.water_um = 39_000
        await read(w, wet, dry)
        assert (await stock(w))["92"]["tanks"][0]["blocked"]
        wet.water_um = 30_000
        await read(w, wet, dry)
        await w.phone("POST", "", order | {"client_token": "t3"}, status=201)
        assert await alarms(w) == [("tank_water", "KM01/1")]

    play(scene)


@pytest.mark.requirement("tank.high-level-alarms")
def test_levels_alarm_once_each_until_they_have_gone(play_sqlite):
    async def scene(w):
        await w.declare()
        tank = Tank(litres=26_000)
        await read(w, tank)
        for litres in (
            27_010,
            27_200,
            28_510,
            28_600,
            28_490,
            28_510,
            26_800,
            26_000,
            27_100,
            900,
            950,
            2_000,
        ):
            tank.volume_ml = litres * L
            await read(w, tank)
        kinds = [kind for kind, _ in await alarms(w) if kind in {"tank_high", "tank_overfill", "tank_low"}]
        assert kinds == ["tank_high", "tank_overfill", "tank_high", "tank_low"]

    play_sqlite(scene)


@pytest.mark.requirement("tank.sudden-drop-alarms")
def test_a_theft_alarms_within_minutes_and_ordinary_hours_do_not(play_sqlite):
    async def scene(w):
        await w.declare()
        tank = Tank()
        for turn in range(40):
            tank.sell(15)
            tank.volume_ml += turn * 7919 % 1_001 - (turn - 1) * 7919 % 1_001
            await read(w, tank)
        assert await alarms(w) == []
        tank.volume_ml -= 60 * L
        for _ in range(6):
            await read(w, tank)
        assert await alarms(w) == [("tank_loss", "KM01/1"), ("tank_drift", "KM01/1")][: len(await alarms(w))]
        assert ("tank_loss", "KM01/1") in await alarms(w)

    play_sqlite(scene)


@pytest.mark.requirement("tank.sales-equal-book-out")
def test_sales_are_counted_at_the_tank_that_they_came_from(play):
    async def scene(w):
        await w.declare()
        first = w.sale(nozzle=1)
        await w.site("POST", "/sales", first, status=201)
        setup = [{"nozzle": 1, "fuelling_point": 1, "grade": "92", "price_fen_per_l": 781, "tank": 7}]
        body = {"name": "x", "taxpayer_id": None, "lift_policy": "authorise", "nozzles": setup}
        await w.site("PUT", "", body, status=200)
        second = w.sale(nozzle=1)
        await w.site("POST", "/sales", second, status=201)
        await w.site("POST", "/sales", first, status=200)
        sold = {row["tank"]: (row["volume_ml"], row["sales"]) for row in (await book(w))["sold"]}
        assert sold == {1: (first["volume_ml"], 1), 7: (second["volume_ml"], 1)}

    play(scene)


def test_other_nozzles_counted_or_a_counter_begun_anew_make_no_delivery_and_no_loss(play_sqlite):
    async def scene(w):
        await w.declare()
        tank = Tank()
        tank.drawn_ml = 9_000 * L
        await quiet(w, tank, minutes=2)
        tank.drawn_ml = 0
        await quiet(w, tank, minutes=2)
        tank.fixed["series"] = "other"
        tank.drawn_ml = 5_000 * L
        await quiet(w, tank, minutes=15)
        tank.certain = False
        tank.volume_ml -= 300 * L  # a pump sells while nobody can ask it
        await quiet(w, tank, minutes=5)
        tank.certain, tank.drawn_ml = True, tank.drawn_ml + 300 * L
        await quiet(w, tank, minutes=5)
        assert await deliveries(w) == []
        assert await alarms(w) == []

    play_sqlite(scene)


def test_alarms_of_the_gauge_itself_are_passed_on_once(play_sqlite):
    async def scene(w):
        await w.declare()
        tank = Tank()
        tank.alarms = [2, 9]
        await quiet(w, tank, minutes=2)
        tank.alarms = []
        await quiet(w, tank, minutes=1)
        assert await alarms(w) == [("tank_gauge_02", "KM01/1"), ("tank_gauge_09", "KM01/1")]

    play_sqlite(scene)
