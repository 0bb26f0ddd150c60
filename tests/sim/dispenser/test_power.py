"""Power that fails at any microsecond: each interrupted sale is kept once, and no total loses more than one pulse."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from sim.dispenser import (
    Delivery,
    DeliveryEnded,
    Dispenser,
    FpEvent,
    FpState,
    FuellingPoint,
    PowerChanged,
)
from sim.dispenser.store import RecordStore, decode_delivery, encode_delivery

S = 1_000_000
W = 200
"""Microseconds in which the board writes one copy."""

Act = Callable[[FuellingPoint, int], object]

# A sale by hand, one by preset, one stopped: (instant, what happens).
STORY: tuple[tuple[int, Act], ...] = (
    (1 * S, lambda point, now: point.lift(1, now)),
    (2 * S, lambda point, now: point.authorise(now)),
    (3 * S, lambda point, now: point.squeeze(now, 33_333)),
    (9 * S, lambda point, now: point.release(now)),
    (10 * S, lambda point, now: point.squeeze(now, 12_345)),
    (14 * S, lambda point, now: point.hang_up(now)),
    (20 * S, lambda point, now: point.lift(2, now)),
    (21 * S, lambda point, now: point.authorise(now, preset_fen=3_000)),
    (22 * S, lambda point, now: point.squeeze(now, 40_000)),
    (36 * S, lambda point, now: point.hang_up(now)),
    (40 * S, lambda point, now: point.authorise(now, preset_ml=20_000)),
    (41 * S, lambda point, now: point.lift(1, now)),
    (42 * S, lambda point, now: point.squeeze(now, 50_000)),
    (46 * S, lambda point, now: point.terminate(now)),
    (50 * S, lambda point, now: point.hang_up(now)),
)


class Told:
    def __init__(self, point: FuellingPoint) -> None:
        self.sales: list[Delivery] = []
        self.instants: list[int] = []
        point.listeners.append(self._hear)

    def _hear(self, event: FpEvent) -> None:
        self.instants.append(event.at_us)
        if isinstance(event, DeliveryEnded):
            self.sales.append(event.delivery)


def play(point: FuellingPoint, dispenser: Dispenser, cut_us: int | None, outage_us: int = 60 * S) -> None:
    for at_us, act in STORY:
        if cut_us is not None and cut_us <= at_us:
            dispenser.handle_timer(cut_us)
            dispenser.cut_power(cut_us)
            dispenser.restore_power(cut_us + outage_us)
            return
        dispenser.handle_timer(at_us)
        act(point, at_us)
    dispenser.handle_timer(60 * S)


def check(make_point, cut_us: int) -> None:
    point = make_point(nv_write_us=W)
    told = Told(point)
    dispenser = Dispenser([point])
    play(point, dispenser, cut_us)
    dispenser.settle(cut_us + 100 * S)
    where = f"cut at {cut_us} us"
    assert not point.flowing, where
    assert list(point.journal) == told.sales, where
    assert [sale.sequence for sale in told.sales] == list(range(1, len(told.sales) + 1)), where
    for logical, nozzle in point.nozzles.items():
        sold_ml = sum(sale.volume_ml for sale in told.sales if sale.logical_nozzle == logical)
        sold_fen = sum(sale.amount_fen for sale in told.sales if sale.logical_nozzle == logical)
        assert (nozzle.total_volume_ml, nozzle.total_amount_fen) == (sold_ml, sold_fen), where
        assert nozzle.tank.drawn_ml - sold_ml in {0, 10}, where
    cut = [sale for sale in told.sales if "power-failure" in sale.flags]
    assert len(cut) <= 1, where
    assert not cut or cut[0] == told.sales[-1], where
    assert point.state in {FpState.IDLE, FpState.CALLING}, where


def boundaries(make_point) -> list[int]:
    """Every instant at which something happened by itself or was told."""
    point = make_point(nv_write_us=W)
    told = Told(point)
    play(point, Dispenser([point]), None)
    assert [sale.flags for sale in told.sales] == [(), ("preset",), ("terminated",)]
    return sorted({*told.instants, *(at_us for at_us, _ in STORY)})


@pytest.mark.requirement(
    "fd-pwr.totals-survive-power-cycles",
    "fd-pwr.interrupted-sale-uploads-once-flagged",
    "fd-pwr.no-resumption-after-long-outage",
    "fd-pwr.sequence-is-gap-free-and-wraps",
)
def test_a_cut_at_and_around_every_event_loses_no_sale_and_at_most_one_pulse(make_point) -> None:
    instants = boundaries(make_point)
    assert len(instants) > 20
    for at_us in instants:
        for offset in (
            -1,
            0,
            1,
            W // 2,
            W - 1,
            W,
            W + 1,
            3 * W // 2,
            2 * W,
            3 * W,
            4 * W - 1,
            4 * W,
            4 * W + 1,
        ):
            check(make_point, at_us + offset)


@pytest.mark.requirement("fd-pwr.totals-survive-power-cycles", "fd-pwr.interrupted-sale-uploads-once-flagged")
@pytest.mark.parametrize("seed", range(4))
def test_a_cut_at_a_thousand_seeded_instants_loses_no_sale_and_at_most_one_pulse(
    make_point, seed: int
) -> None:
    rng = Random(f"cut/{seed}")
    for _ in range(250):
        check(make_point, rng.randrange(55 * S))


@pytest.mark.slow
def test_a_cut_at_twenty_thousand_instants(make_point) -> None:
    rng = Random("many cuts")
    for _ in range(20_000):
        check(make_point, rng.randrange(55 * S))


@pytest.mark.requirement("fd-pwr.totals-survive-power-cycles")
def test_the_pulse_that_was_being_written_is_the_one_that_is_lost(make_point) -> None:
    def total_after(offset_us: int) -> tuple[int, int]:
        point = make_point(nv_write_us=W)
        dispenser = Dispenser([point])
        point.lift(1, 0)
        point.authorise(0)
        point.squeeze(0, 6_000)  # a pulse each 100 ms
        dispenser.cut_power(S + offset_us)
        dispenser.restore_power(20 * S)
        return point.nozzles[1].total_volume_ml, point.nozzles[1].tank.drawn_ml

    assert total_after(-1) == (90, 90)
    assert total_after(0) == (90, 100)
    assert total_after(W - 1) == (90, 100)
    assert total_after(W) == (100, 100)  # one copy is whole
    assert total_after(2 * W) == (100, 100)


@pytest.mark.requirement("fd-pwr.no-resumption-after-long-outage")
@pytest.mark.parametrize(
    ("outage_s", "goes_on"), [(5, True), (14, True), (15, True), (16, False), (60, False)]
)
def test_a_delivery_goes_on_after_a_short_outage_only(make_point, outage_s: int, goes_on: bool) -> None:
    point = make_point(resume_outage_us=15 * S)
    told = Told(point)
    dispenser = Dispenser([point])
    point.lift(1, 0)
    point.authorise(0, preset_ml=20_000)
    point.squeeze(0, 30_000)
    dispenser.cut_power(10 * S)
    before = point.reading(10 * S)
    assert point.state is FpState.INOPERATIVE
    assert told.sales == []
    now_us = 10 * S + outage_s * S
    dispenser.restore_power(now_us)
    assert point.flowing == goes_on
    point.handle_timer(now_us + 60 * S)
    assert len(told.sales) == 1
    if goes_on:
        assert told.sales[0].flags == ("preset",)
        assert told.sales[0].volume_ml == 20_000
    else:
        assert told.sales[0].flags == ("power-failure",)
        assert told.sales[0].volume_ml == before.volume_ml
        assert told.sales[0].ended_us == 10 * S
        assert not point.squeeze(now_us + 61 * S, 30_000)
    assert point.nozzles[1].tank.drawn_ml == point.nozzles[1].total_volume_ml == told.sales[0].volume_ml


def test_a_delivery_whose_nozzle_was_hung_up_in_the_dark_does_not_go_on(make_point) -> None:
    point = make_point(resume_outage_us=15 * S)
    dispenser = Dispenser([point])
    point.lift(1, 0)
    point.authorise(0)
    point.squeeze(0, 30_000)
    dispenser.cut_power(5 * S)
    point.hang_up(6 * S)
    dispenser.restore_power(7 * S)
    assert point.state is FpState.IDLE
    assert [sale.flags for sale in point.journal] == [("power-failure",)]


@pytest.mark.requirement("fd-pwr.power-loss-keeps-display")
@pytest.mark.parametrize("permille", [10, 250, 500, 990])
def test_the_interrupted_sale_can_be_read_for_a_quarter_of_an_hour(make_point, permille: int) -> None:
    point = make_point()
    dispenser = Dispenser([point])
    point.lift(1, 0)
    point.authorise(0, preset_ml=30_000)
    point.squeeze(0, 30_000)
    end_us = 60 * S
    cut_us = 1 * S + (end_us - 1 * S) * permille // 1000
    dispenser.cut_power(cut_us)
    shown = point.display(cut_us + 15 * 60 * S)
    assert shown is not None
    assert shown.volume_ml > 0
    assert point.display(cut_us + 15 * 60 * S + 1) is None
    dispenser.restore_power(cut_us + 3600 * S)
    sale = point.journal[-1]
    assert (sale.volume_ml, sale.amount_fen, sale.price_fen_per_l) == (
        shown.volume_ml,
        shown.amount_fen,
        shown.price_fen_per_l,
    )


@pytest.mark.requirement("fd-pwr.glitches-are-debounced")
@pytest.mark.parametrize(("dip_us", "dies"), [(50_000, False), (900_000, False), (1_200_000, True)])
def test_a_dip_shorter_than_the_hold_up_time_is_not_noticed(make_point, dip_us: int, dies: bool) -> None:
    point = make_point()
    dispenser = Dispenser([point], hold_up_us=1_000_000)
    changes: list[bool] = []
    point.listeners.append(lambda e: changes.append(e.on) if isinstance(e, PowerChanged) else None)
    point.lift(1, 0)
    point.authorise(0)
    point.squeeze(0, 30_000)
    dispenser.cut_power(5 * S)
    assert dispenser.powered
    dispenser.restore_power(5 * S + dip_us)
    assert changes == ([False, True] if dies else [])
    assert point.flowing != dies
    assert dispenser.power_ons == dies
    assert len(point.journal) == dies


def a_sale(sequence: int) -> Delivery:
    return Delivery(
        fuelling_point=1,
        logical_nozzle=1,
        nozzle_id=11,
        grade="92",
        tank=11,
        sequence=sequence,
        volume_ml=10 * sequence,
        amount_fen=8 * sequence,
        price_fen_per_l=760,
        started_us=sequence,
        ended_us=sequence + 1,
        end_total_volume_ml=10 * sequence,
        end_total_amount_fen=8 * sequence,
        flags=("preset", "test"),
    )


@pytest.mark.requirement("fd-pwr.stored-sales-have-a-checked-copy")
def test_a_damaged_copy_is_repaired_from_the_other_and_two_damaged_ones_are_counted() -> None:
    store = RecordStore(10)
    sales = [a_sale(number) for number in range(1, 6)]
    for sale in sales:
        store.append(sale)
    bits = len(encode_delivery(sales[2])) * 8
    rng = Random("bits")
    for _ in range(200):
        copy = rng.choice((0, 1))
        store.flip_bit(copy, rng.randrange(bits), record=2)  # type: ignore[arg-type]
        assert store.read_all() == sales
    assert store.repaired == 200
    store.flip_bit(0, 40, record=2)
    store.flip_bit(1, 99, record=2)
    assert store.read_all() == [*sales[:2], *sales[3:]]
    assert store.lost == 1


def test_every_bit_of_a_record_is_guarded() -> None:
    record = encode_delivery(a_sale(7))
    assert decode_delivery(record) == a_sale(7)
    for bit in range(len(record) * 8):
        damaged = bytearray(record)
        damaged[bit // 8] ^= 1 << bit % 8
        assert decode_delivery(bytes(damaged)) is None
    for length in range(len(record)):
        assert decode_delivery(record[:length]) is None


@pytest.mark.requirement("fd-pwr.stored-sales-have-a-checked-copy")
@pytest.mark.parametrize("copy", [0, 1])
def test_a_bit_that_flips_in_the_dark_costs_nothing(make_point, copy: int) -> None:
    point = make_point()
    dispenser = Dispenser([point])
    play(point, dispenser, None)
    before = list(point.journal)
    totals = [(n.total_volume_ml, n.total_amount_fen, n.price_fen_per_l) for n in point.nozzles.values()]
    dispenser.cut_power(70 * S)
    point.store.flip_bit(copy, 300)  # type: ignore[arg-type]
    point.store.flip_bit(copy, 300, record=1)  # type: ignore[arg-type]
    dispenser.restore_power(80 * S)
    assert list(point.journal) == list(point.unacknowledged) == before
    assert [
        (n.total_volume_ml, n.total_amount_fen, n.price_fen_per_l) for n in point.nozzles.values()
    ] == totals
    assert point.store.repaired == 2
    assert point.state is FpState.IDLE


def test_a_state_that_is_gone_in_both_copies_locks_the_pump_until_the_regulator_comes(make_point) -> None:
    point = make_point()
    dispenser = Dispenser([point])
    dispenser.cut_power(S)
    point.store.flip_bit(0, 100)
    point.store.flip_bit(1, 100)
    dispenser.restore_power(2 * S)
    assert point.state is FpState.INOPERATIVE
    assert point.lock_reason == "memory-fault"
    assert not point.reset_emergency(3 * S, "manager")
    assert not point.recover(3 * S)
    assert point.initialise(4 * S, "regulator")
    assert point.state is FpState.IDLE
    assert not point.locks


@pytest.mark.requirement("fd-pwr.offline-buffer-never-overwrites")
def test_a_full_buffer_refuses_and_gives_way_oldest_first(make_point) -> None:
    point = make_point(journal_limit=5)
    now_us = sell(point, 5)
    assert not point.authorise(now_us)
    assert point.refusal == "journal full"
    waiting = [sale.sequence for sale in point.unacknowledged]
    assert waiting == [1, 2, 3, 4, 5]
    assert point.acknowledge(1)
    assert sell(point, 1, now_us)
    assert [sale.sequence for sale in point.unacknowledged] == [2, 3, 4, 5, 6]


@pytest.mark.requirement("fd-pwr.offline-buffer-never-overwrites")
def test_a_full_buffer_may_lock_the_pump(make_point) -> None:
    point = make_point(journal_limit=3, journal_full="lock")
    now_us = sell(point, 3)
    assert not point.authorise(now_us)
    assert point.refusal == "locked: journal-full"
    point.acknowledge(3)
    assert not point.authorise(now_us)
    assert point.unlock(now_us, "journal-full")
    assert point.authorise(now_us)


def test_a_make_that_overwrites_says_which_sale_it_dropped(make_point) -> None:
    point = make_point(journal_limit=3, journal_full="overwrite")
    dropped: list[int] = []
    point.listeners.append(
        lambda e: dropped.append(e.delivery.sequence) if type(e).__name__ == "RecordOverwritten" else None
    )
    sell(point, 5)
    assert dropped == [1, 2]
    assert [sale.sequence for sale in point.unacknowledged] == [3, 4, 5]


@pytest.mark.requirement("fd-pwr.offline-buffer-never-overwrites", "fd-pwr.buffered-sales-upload-in-order")
@pytest.mark.slow
def test_fifty_thousand_sales_wait_and_the_next_one_is_refused(make_point) -> None:
    point = make_point()
    now_us = sell(point, 50_000)
    assert not point.authorise(now_us)
    dispenser = Dispenser([point])
    dispenser.cut_power(now_us)
    point.store.flip_bit(0, 200, record=49_999)
    dispenser.restore_power(now_us + S)
    taken = []
    while point.unacknowledged:
        taken.append(point.unacknowledged[0].sequence)
        assert point.acknowledge(taken[-1])
    assert taken == list(range(1, 50_001))


def sell(point: FuellingPoint, count: int, now_us: int = 0) -> int:
    """Sell some; return the time after the last one."""
    for _ in range(count):
        assert point.lift(1, now_us)
        assert point.authorise(now_us), point.refusal
        point.squeeze(now_us, 30_000)
        now_us += 2 * S
        point.hang_up(now_us)
        now_us += S
        point.handle_timer(now_us)
    return now_us
