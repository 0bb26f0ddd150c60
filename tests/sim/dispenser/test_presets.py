from __future__ import annotations

import pytest

from sim.dispenser import FpState, amount_fen

S = 1_000_000
PRICES = (1, 725, 760, 767, 812, 895, 930, 1006, 1138, 2180, 5000, 9999)


def deliver(point, flow: int, **preset) -> object:
    point.lift(1, 0)
    assert point.authorise(0, **preset)
    point.squeeze(0, flow)
    while (timer := point.next_timer()) is not None:
        point.handle_timer(timer)
    point.settle(10**7 * S)
    assert point.state is FpState.IDLE
    return point.last_delivery


@pytest.mark.requirement("fd-auth.volume-preset-is-exact", "fd-auth.overrun-within-limit")
@pytest.mark.parametrize("price", PRICES)
@pytest.mark.parametrize("flow", [5_000, 33_000, 50_000])
def test_a_volume_preset_is_met_exactly(make_point, price: int, flow: int) -> None:
    for volume_ml in (10, 20, 90, 100, 110, 490, 500, 510, 1_000, 9_990, 33_330, 9_999_990):
        point = make_point(prices=(price,), no_flow_timeout_us=S)
        sale = deliver(point, flow, preset_ml=volume_ml)
        assert (sale.volume_ml, sale.amount_fen) == (volume_ml, amount_fen(volume_ml, price))
        assert sale.flags == ("preset",)
        assert point.nozzles[1].tank.drawn_ml == volume_ml


@pytest.mark.requirement("fd-auth.amount-preset-is-exact", "fd-auth.overrun-within-limit")
@pytest.mark.parametrize("price", PRICES)
def test_an_amount_preset_is_met_within_one_pulse_and_never_passed(make_point, price: int) -> None:
    for preset_fen in (100, 101, 999, 4_000, 10_000, 20_000, 29_999, 30_000, 999_999):
        sale = deliver(make_point(prices=(price,)), 38_000, preset_fen=preset_fen)
        assert sale.amount_fen <= preset_fen < amount_fen(sale.volume_ml + 10, price)


def test_presets_end_exactly_whatever_part_of_a_pulse_the_last_sale_left(make_point) -> None:
    point = make_point()
    now_us = 0
    for number in range(1, 40):
        point.lift(1, now_us)
        point.authorise(now_us, preset_ml=1_000)
        point.squeeze(now_us, 31_111)
        point.handle_timer(now_us + 10 * S)
        point.hang_up(now_us + 10 * S)
        # A short free delivery ends in the middle of a pulse.
        point.lift(1, now_us + 11 * S)
        point.authorise(now_us + 11 * S)
        point.squeeze(now_us + 11 * S, 31_111)
        point.hang_up(now_us + 12 * S + number * 777)
        now_us += 20 * S
    assert [sale.volume_ml for sale in point.journal if "preset" in sale.flags] == [1_000] * 39
    assert point.nozzles[1].total_volume_ml == sum(sale.volume_ml for sale in point.journal)
    assert point.nozzles[1].tank.drawn_ml == point.nozzles[1].total_volume_ml


@pytest.mark.requirement("fd-auth.tiny-preset-never-locks", "fd-auth.oversized-preset-is-refused")
@pytest.mark.parametrize(
    "preset",
    [
        {"preset_ml": 0},
        {"preset_ml": 9},
        {"preset_ml": 10_000_000},
        {"preset_fen": 0},
        {"preset_fen": 7},
        {"preset_fen": 1_000_000},
    ],
)
def test_a_preset_that_cannot_be_kept_is_refused_and_locks_nothing(make_point, preset) -> None:
    point = make_point()
    point.lift(1, 0)
    assert not point.authorise(0, **preset)
    assert point.state is FpState.CALLING
    assert point.authorise(0, preset_ml=5_000)


def test_a_preset_changed_in_flight_is_met_exactly(make_point) -> None:
    point = make_point()
    point.lift(1, 0)
    point.authorise(0, preset_ml=30_000)
    point.squeeze(0, 33_000)
    point.handle_timer(10 * S)
    assert point.set_preset(10 * S, preset_fen=10_000)
    point.handle_timer(60 * S)
    assert point.last_delivery is not None
    assert point.last_delivery.amount_fen == 9_994
    assert amount_fen(point.last_delivery.volume_ml + 10, 760) == 10_002


@pytest.mark.parametrize("squeezing", [True, False])
def test_a_preset_below_what_is_delivered_stops_at_once(make_point, squeezing: bool) -> None:
    point = make_point()
    point.lift(1, 0)
    point.authorise(0)
    point.squeeze(0, 33_000)
    point.handle_timer(10 * S)
    if not squeezing:
        point.release(10 * S)
    shown = point.reading(10 * S)
    assert point.set_preset(10 * S, preset_ml=1_000)
    assert point.reading(10 * S) == shown
    point.handle_timer(11 * S)
    sale = point.last_delivery
    assert sale is not None
    assert shown.volume_ml <= sale.volume_ml <= shown.volume_ml + 60
    assert sale.ended_us == (10 * S + 80_000 if squeezing else 10 * S)
    assert sale.flags == ("preset",)
