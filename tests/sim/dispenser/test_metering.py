"""The meter and what hangs on it: calibration, pulse value, valve, blends, totalisers, prices, test deliveries."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.dispenser import (
    Blend,
    Dispenser,
    DispenserProfile,
    FpState,
    FuellingPoint,
    Meter,
    Nozzle,
    PriceChanged,
    Tank,
    amount_fen,
    pulses_within_amount,
)

S = 1_000_000


def point_with(meter: Meter | None = None, blend: Blend | None = None, **profile) -> FuellingPoint:
    nozzle = Nozzle(
        logical=1,
        nozzle_id=1,
        grade="95",
        tank=Tank(1, "95" if blend is None else "92"),
        price_fen_per_l=760,
        meter=meter or Meter(),
        blend=blend,
    )
    return FuellingPoint(1, [nozzle], profile=DispenserProfile(**profile))


def deliver(point: FuellingPoint, now_us: int, *, flow: int = 33_000, for_us: int = 100 * S, **preset) -> int:
    assert point.lift(1, now_us)
    assert point.authorise(now_us, **preset), point.refusal
    point.squeeze(now_us, flow)
    point.handle_timer(now_us + for_us)
    point.hang_up(now_us + for_us)
    point.handle_timer(now_us + for_us + S)
    return now_us + for_us + S


@pytest.mark.requirement("fd-met.meter-error-within-limit")
@pytest.mark.parametrize("error_ppm", [-6_000, -3_000, -1, 0, 1, 3_000, 6_000])
@pytest.mark.parametrize("flow", [5_000, 20_000, 50_000])
def test_a_calibration_error_is_the_difference_to_what_left_the_tank(error_ppm: int, flow: int) -> None:
    point = point_with(Meter(error_ppm=error_ppm))
    now_us = 0
    for _ in range(3):
        now_us = deliver(point, now_us, flow=flow, for_us=400 * S, preset_ml=30_000)
    indicated_ml = point.nozzles[1].total_volume_ml
    true_ml = point.nozzles[1].tank.drawn_ml
    assert indicated_ml == 90_000
    # The relative error, in whole ppm, within one pulse of the volume.
    measured_ppm = (indicated_ml - true_ml) * 1_000_000 // true_ml
    assert abs(measured_ppm - error_ppm) <= 10 * 1_000_000 // true_ml + 1
    assert (abs(measured_ppm) > 3_100) == (abs(error_ppm) > 3_000)


@pytest.mark.parametrize("pulse_ml", [1, 2, 5, 10, 20, 50, 100])
def test_the_display_moves_in_whole_pulses_of_the_encoder(pulse_ml: int) -> None:
    point = point_with(Meter(pulse_ml=pulse_ml))
    step_ml = max(10, pulse_ml)
    point.lift(1, 0)
    point.authorise(0, preset_ml=5_010)
    point.squeeze(0, 33_000)
    shown = {point.reading(at_us).volume_ml for at_us in range(0, 20 * S, 7_001)}
    point.handle_timer(60 * S)
    assert all(volume_ml % step_ml == 0 for volume_ml in shown)
    assert len(shown) > 5_000 // step_ml // 2
    sale = point.last_delivery
    assert sale is not None
    assert sale.volume_ml == 5_010 // step_ml * step_ml
    assert point.nozzles[1].tank.drawn_ml == sale.volume_ml


@pytest.mark.parametrize(
    "options", [{"pulse_ml": 3}, {"pulse_ml": 0}, {"pulse_ml": 200}, {"error_ppm": 10**6}]
)
def test_an_impossible_meter_is_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"pulse|meter"):
        Meter(**options)


@pytest.mark.requirement(
    "fd-auth.overrun-within-limit", "fd-auth.volume-preset-is-exact", "fd-auth.amount-preset-is-exact"
)
@pytest.mark.parametrize("flow", [5_000, 12_345, 33_000, 50_000, 90_000])
@pytest.mark.parametrize("lag_us", [0, 1, 50_000, 149_999, 150_000])
def test_the_overrun_stays_within_one_step_for_each_flow_and_valve(flow: int, lag_us: int) -> None:
    point = point_with(
        valve_lag_us=lag_us,
        trickle_ml=30,
        trickle_ml_per_min=2_000,
        slow_stop_ml=500,
        max_flow_ml_per_min=90_000,
    )
    now_us = 0
    for preset in (
        {"preset_ml": 20_000},
        {"preset_ml": 7_770},
        {"preset_fen": 10_000},
        {"preset_fen": 9_999},
    ):
        now_us = deliver(point, now_us, flow=flow, for_us=400 * S, **preset)
        sale = point.last_delivery
        assert sale is not None
        assert "preset" in sale.flags
        if "preset_ml" in preset:
            over_ml = sale.volume_ml - preset["preset_ml"]
            assert 0 <= over_ml <= 10
            assert ("overrun" in sale.flags) == (over_ml > 0)
        else:
            assert abs(sale.amount_fen - preset["preset_fen"]) <= 8  # one step at 7.60
        assert lag_us or "overrun" not in sale.flags


def test_without_small_valve_and_trickle_a_slow_valve_overruns_and_says_so() -> None:
    point = point_with(valve_lag_us=150_000, slow_stop_ml=0, slow_stop_ml_per_min=50_000)
    deliver(point, 0, flow=50_000, for_us=60 * S, preset_ml=20_000)
    sale = point.last_delivery
    assert sale is not None
    assert sale.volume_ml == 20_120  # 150 ms at 50 L/min
    assert sale.flags == ("preset", "overrun")
    assert point.nozzles[1].tank.drawn_ml == sale.volume_ml


@pytest.mark.requirement("fd-auth.tiny-preset-never-locks", "fd-auth.refused-preset-is-reported")
def test_a_preset_below_the_minimum_measured_quantity_is_refused_and_locks_nothing() -> None:
    point = point_with(mmq_ml=5_000)
    point.lift(1, 0)
    for preset in ({"preset_ml": 4_990}, {"preset_fen": 1}, {"preset_fen": 3_000}, {"preset_fen": 3_795}):
        assert not point.authorise(0, **preset)
        assert point.refusal == "preset outside the declared limits"
    assert point.authorise(0, preset_fen=3_800)
    assert point.terminate(0)
    point.hang_up(0)
    deliver(point, S, preset_ml=5_000)
    assert point.journal[-1].flags == ("preset",)
    deliver(point, 200 * S, for_us=2 * S)
    assert point.journal[-1].flags == ("below-mmq",)


@pytest.mark.requirement("fd-met.flow-range-and-minimum-quantity")
def test_declared_figures_are_held_against_the_recommendation() -> None:
    good = DispenserProfile(mmq_ml=5_000, price_pause_us=5 * S)
    assert good.metrology_problems() == ()
    for bad, problem in (
        (DispenserProfile(mmq_ml=5_000, price_pause_us=5 * S, min_flow_ml_per_min=5_001), "less than 10:1"),
        (DispenserProfile(mmq_ml=5_010, price_pause_us=5 * S), "more than 5000 ml"),
        (DispenserProfile(price_pause_us=5 * S), "no minimum measured quantity"),
        (DispenserProfile(mmq_ml=5_000), "less than 5 s"),
        (DispenserProfile(mmq_ml=5_000, price_pause_us=5 * S, resume_outage_us=16 * S), "more than 15 s"),
    ):
        assert [problem in found for found in bad.metrology_problems()] == [True]


@pytest.mark.requirement("fd-multi.blend-components-sum", "fd-multi.sale-carries-product-and-tank")
@pytest.mark.parametrize("percent", [0, 1, 33, 50, 67, 99, 100])
def test_the_components_of_a_blend_add_up_and_each_total_moves(percent: int) -> None:
    second = Tank(2, "98")
    point = point_with(blend=Blend(tank=second, percent=percent))
    dispenser = Dispenser([point])
    assert set(dispenser.tanks) == {1, 2}
    nozzle = point.nozzles[1]
    now_us = 0
    for volume_ml in (10_000, 3_330, 20_010):
        now_us = deliver(point, now_us, preset_ml=volume_ml)
        sale = point.journal[-1]
        assert sale.volume_ml == volume_ml
        assert sum(part.volume_ml for part in sale.components) == volume_ml
        assert [(part.tank, part.grade) for part in sale.components] == [(1, "92"), (2, "98")]
        assert abs(sale.components[1].volume_ml - volume_ml * percent / 100) <= 10
    parts = [[part.volume_ml for part in sale.components] for sale in point.journal]
    assert nozzle.component_totals_ml == [sum(column) for column in zip(*parts, strict=True)]
    assert [nozzle.tank.drawn_ml, second.drawn_ml] == nozzle.component_totals_ml


def test_a_blend_of_one_tank_or_more_than_everything_is_refused() -> None:
    tank = Tank(1, "92")
    with pytest.raises(ValueError, match="0 to 100"):
        Blend(tank=tank, percent=101)
    with pytest.raises(ValueError, match="with itself"):
        Nozzle(logical=1, nozzle_id=1, grade="95", tank=tank, blend=Blend(tank=tank, percent=5))


@pytest.mark.requirement("fd-met.totaliser-rollover-is-no-loss", "fd-met.totalisers-never-decrease")
@pytest.mark.parametrize(("volume_digits", "amount_digits"), [(8, 8), (6, 9), (10, 10), (0, 7)])
def test_a_totaliser_rolls_over_as_its_digits_say(volume_digits: int, amount_digits: int) -> None:
    point = point_with(total_volume_digits=volume_digits, total_amount_digits=amount_digits)
    nozzle = point.nozzles[1]
    wrap_ml = 10 * 10**volume_digits if volume_digits else 10**30
    wrap_fen = 10**amount_digits
    nozzle.total_volume_ml = (wrap_ml if volume_digits else 10**9) - 1_500
    nozzle.total_amount_fen = wrap_fen - 700
    before = point.totals(1, 0)
    now_us = 0
    for _ in range(3):
        now_us = deliver(point, now_us, preset_ml=1_000)
        sale = point.journal[-1]
        after = point.totals(1, now_us)
        assert (sale.end_total_volume_ml, sale.end_total_amount_fen) == after
        assert (after[0] - before[0]) % wrap_ml == sale.volume_ml
        assert (after[1] - before[1]) % wrap_fen == sale.amount_fen
        before = after
    assert not volume_digits or before[0] == 1_500


@pytest.mark.requirement("fd-price.decimals-never-rescale")
@pytest.mark.parametrize("decimals", [0, 1, 2, 3, 4])
def test_the_decimals_of_a_price_scale_the_price_alone(decimals: int) -> None:
    point = point_with(price_decimals=decimals)
    price = 7_599 // 10 ** (3 - decimals) if decimals <= 3 else 75_990
    point.nozzles[1].price_fen_per_l = price
    deliver(point, 0, preset_ml=33_330)
    sale = point.journal[-1]
    exact = Decimal(33_330) / 1000 * Decimal(price).scaleb(-decimals) * 100
    assert sale.amount_fen == int(exact.quantize(Decimal(1), ROUND_HALF_UP))
    assert sale.price_fen_per_l == price
    deliver(point, 200 * S, preset_fen=10_000)
    sale = point.journal[-1]
    assert 0 <= 10_000 - sale.amount_fen <= Decimal(price).scaleb(-decimals) + 1


@given(
    volume_ml=st.integers(0, 10**7).map(lambda n: n // 10 * 10),
    price=st.integers(1, 99_999),
    decimals=st.integers(0, 4),
)
def test_amounts_agree_with_decimal_arithmetic(volume_ml: int, price: int, decimals: int) -> None:
    exact = Decimal(volume_ml) / 1000 * Decimal(price).scaleb(-decimals) * 100
    assert amount_fen(volume_ml, price, decimals) == int(exact.quantize(Decimal(1), ROUND_HALF_UP))


@given(limit_fen=st.integers(0, 10**6), price=st.integers(1, 99_999), decimals=st.integers(0, 4))
def test_the_pulses_within_an_amount_are_the_most_that_fit(limit_fen: int, price: int, decimals: int) -> None:
    pulses = pulses_within_amount(limit_fen, price, decimals)
    assert (
        amount_fen(10 * pulses, price, decimals) <= limit_fen < amount_fen(10 * (pulses + 1), price, decimals)
    )


@pytest.mark.requirement("fd-price.price-holds-for-a-delivery", "fd-price.change-by-state-as-declared")
@pytest.mark.parametrize("when_us", [0, 1, 2 * S, 10 * S, 29 * S])
def test_a_price_that_comes_during_a_delivery_is_the_next_one_s(when_us: int) -> None:
    point = point_with(price_while_busy="next")
    changes: list[PriceChanged] = []
    point.listeners.append(lambda e: changes.append(e) if isinstance(e, PriceChanged) else None)
    point.lift(1, 0)
    point.authorise(0)
    point.squeeze(0, 30_000)
    assert point.set_price(when_us, 1, 812)
    assert point.reading(when_us).price_fen_per_l == 760
    point.hang_up(30 * S)
    assert point.journal[-1].price_fen_per_l == 760
    assert [change.price_fen_per_l for change in changes] == [812]
    deliver(point, 40 * S)
    assert point.journal[-1].price_fen_per_l == 812


def test_a_price_that_waited_for_an_authorisation_that_was_dropped_holds(make_point) -> None:
    point = make_point(price_while_busy="next")
    assert point.authorise(0)
    assert point.set_price(S, 1, 812)
    assert point.nozzles[1].price_fen_per_l == 760
    assert point.terminate(2 * S)
    assert point.nozzles[1].price_fen_per_l == 812


@pytest.mark.requirement("fd-price.pause-before-next-delivery")
def test_no_fuel_flows_before_a_new_price_was_shown_for_five_seconds() -> None:
    point = point_with(price_pause_us=5 * S)
    assert point.set_price(0, 1, 812)
    point.lift(1, S)
    assert point.authorise(S)
    assert not point.squeeze(2 * S, 30_000)
    point.handle_timer(5 * S - 1)
    assert not point.flowing
    point.handle_timer(5 * S)
    assert point.flowing
    assert point.reading(4 * S).price_fen_per_l == 812
    point.hang_up(20 * S)
    assert point.journal[-1].price_fen_per_l == 812
    point.lift(1, 21 * S)
    point.authorise(21 * S)
    assert point.squeeze(21 * S, 30_000)


@pytest.mark.requirement("fd-met.test-deliveries-are-flagged")
def test_a_test_delivery_is_flagged_counted_and_poured_back() -> None:
    point = point_with(Meter(error_ppm=2_000))
    tank = point.nozzles[1].tank
    full_ml = tank.level_ml
    assert point.set_test(0, True)
    now_us = deliver(point, 0, preset_ml=20_000)
    assert point.journal[-1].flags == ("preset", "test")
    assert point.totals(1, now_us)[0] == 20_000
    assert tank.drawn_ml == tank.returned_ml == 19_960
    assert tank.level_ml == full_ml
    assert point.set_test(now_us, False)
    now_us = deliver(point, now_us, preset_ml=20_000)
    assert point.journal[-1].flags == ("preset",)
    assert tank.level_ml == full_ml - 19_960
    assert point.totals(1, now_us)[0] == 40_000 == sum(sale.volume_ml for sale in point.journal)


def test_testing_begins_and_ends_between_deliveries_only(make_point) -> None:
    point = make_point()
    point.lift(1, 0)
    point.authorise(0)
    assert not point.set_test(0, True)
    point.squeeze(0, 30_000)
    assert not point.set_test(S, True)
    point.hang_up(5 * S)
    assert point.journal[-1].flags == ()
    assert point.set_test(6 * S, True)


def test_a_make_that_works_with_an_impossible_figure_is_refused() -> None:
    for wrong in (
        {"price_decimals": 5},
        {"total_volume_digits": 4},
        {"total_amount_digits": 13},
        {"valve_lag_us": -1},
        {"journal_full": "forget"},
        {"tamper_deliveries": 0},
    ):
        with pytest.raises(ValueError, match="dispenser profile"):
            DispenserProfile(**wrong)  # type: ignore[arg-type]


@pytest.mark.requirement("fd-safe.software-identity-in-record")
def test_each_record_names_the_software() -> None:
    point = point_with(software_id="FC-MET 1.4.2 / 8d11")
    deliver(point, 0)
    assert point.journal[-1].software_id == "FC-MET 1.4.2 / 8d11"
    assert point.state is FpState.IDLE


@pytest.mark.requirement("fd-auth.local-and-remote-preset-precedence")
@pytest.mark.parametrize(
    ("precedence", "keyed", "remote", "volume_ml"),
    [
        ("remote", {"preset_ml": 3_000}, {"preset_ml": 5_000}, 5_000),
        ("remote", {"preset_ml": 3_000}, {}, 3_000),
        ("local", {"preset_ml": 3_000}, {"preset_fen": 7_600}, 3_000),
        ("local", {}, {"preset_ml": 5_000}, 5_000),
        ("smaller", {"preset_ml": 3_000}, {"preset_fen": 7_600}, 3_000),
        ("smaller", {"preset_ml": 12_000}, {"preset_fen": 7_600}, 10_000),
        ("smaller", {"preset_fen": 1_520}, {"preset_ml": 5_000}, 2_000),
    ],
)
def test_a_keyed_and_a_remote_preset_follow_the_declared_precedence(
    precedence: str, keyed: dict[str, int], remote: dict[str, int], volume_ml: int
) -> None:
    point = point_with(preset_precedence=precedence)
    assert point.key_in_preset(0, **keyed)
    deliver(point, 0, **remote)
    assert point.journal[-1].volume_ml == volume_ml
    # It was for one delivery.
    deliver(point, 200 * S, for_us=20 * S)
    assert point.journal[-1].flags == ()


def test_nothing_can_be_keyed_in_during_a_delivery() -> None:
    point = point_with()
    point.lift(1, 0)
    point.authorise(0)
    assert not point.key_in_preset(0, preset_ml=1_000)
    with pytest.raises(ValueError, match="not both"):
        point.key_in_preset(0, preset_ml=1_000, preset_fen=1_000)


@pytest.mark.requirement("fd-price.odd-prices-need-confirmation")
def test_a_price_that_jumps_needs_a_confirmation() -> None:
    point = point_with(price_jump_percent=20)
    for odd in (0, -1, 10_000):
        assert not point.set_price(0, 1, odd, confirmed=True)
    for jump in (607, 913, 1, 9_999):
        assert not point.set_price(0, 1, jump)
        assert point.nozzles[1].price_fen_per_l == 760
    assert point.set_price(0, 1, 912)
    assert point.set_price(0, 1, 500, confirmed=True)


@pytest.mark.requirement("fd-pwr.pump-clock-loss-is-reported")
def test_a_lost_clock_is_flagged_until_it_is_set() -> None:
    point = point_with()
    point.lose_clock()
    now_us = deliver(point, 0, preset_ml=1_000)
    point.set_clock()
    deliver(point, now_us, preset_ml=1_000)
    assert [sale.flags for sale in point.journal] == [("preset", "clock-lost"), ("preset",)]
    assert [sale.sequence for sale in point.journal] == [1, 2]


@pytest.mark.requirement("fd-safe.tank-alarm-blocks-product")
def test_a_blocked_nozzle_is_refused_with_its_reason_and_the_others_sell(make_point) -> None:
    point = make_point()
    point.nozzles[1].blocked = "water in tank 11"
    assert not point.authorise(0, allowed_nozzles=(1,))
    assert "water in tank 11" in point.refusal
    assert point.authorise(0)
    assert point.allowed_nozzles == {2}


@pytest.mark.requirement("fd-met.display-zeroed-before-delivery")
@pytest.mark.parametrize("gap_us", [0, 1, 1_000, 300_000])
def test_the_next_delivery_starts_at_zero_however_soon_it_comes(gap_us: int) -> None:
    point = point_with()
    deliver(point, 0, preset_ml=1_000)
    now_us = 101 * S + gap_us
    assert point.reading(now_us).volume_ml == 1_000
    point.lift(1, now_us)
    assert point.authorise(now_us)
    assert (point.reading(now_us).volume_ml, point.reading(now_us).amount_fen) == (0, 0)


@pytest.mark.requirement("fd-multi.too-many-products-never-overflow")
@pytest.mark.parametrize("logical", [0, 9, 17, 255])
def test_a_ninth_nozzle_is_a_clean_error(logical: int) -> None:
    with pytest.raises(ValueError, match=f"logical number {logical} is not in 1..8"):
        Nozzle(logical=logical, nozzle_id=1, grade="92", tank=Tank(1, "92"))


@pytest.mark.requirement("fd-multi.meter-map-checked-at-start")
def test_nozzles_of_one_point_may_share_a_meter_and_those_of_two_may_not() -> None:
    tank, meter = Tank(1, "92"), Meter(error_ppm=500)

    def nozzle(logical: int, number: int) -> Nozzle:
        return Nozzle(
            logical=logical, nozzle_id=number, grade="92", tank=tank, price_fen_per_l=760, meter=meter
        )

    point = FuellingPoint(1, [nozzle(1, 1), nozzle(2, 2)])
    now_us = deliver(point, 0, preset_ml=10_000)
    point.lift(2, now_us)
    point.authorise(now_us, preset_ml=5_000)
    point.squeeze(now_us, 30_000)
    point.handle_timer(now_us + 60 * S)
    assert [sale.volume_ml for sale in point.journal] == [10_000, 5_000]
    assert 14_980 <= tank.drawn_ml <= 15_000
    Dispenser([point])
    with pytest.raises(ValueError, match="shares its meter"):
        Dispenser([FuellingPoint(1, [nozzle(1, 1)]), FuellingPoint(2, [nozzle(1, 2)])])
