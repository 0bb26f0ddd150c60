from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.dispenser import PULSE_ML, amount_fen, pulses_within_amount
from sim.dispenser.meter import PULSE_UNITS, UNITS_PER_ML, Meter

PRICES = (
    1,
    725,
    760,
    767,
    812,
    823,
    895,
    930,
    945,
    999,
    1000,
    1006,
    1138,
    1234,
    2180,
    4999,
    5000,
    7777,
    9998,
    9999,
)


@pytest.mark.requirement("fd-met.amount-is-rounded-product")
@pytest.mark.parametrize("price", PRICES)
def test_amount_is_the_decimal_product_rounded_half_up_for_every_volume(price: int) -> None:
    # The running product replaces 10,000 divisions by additions; Decimal is the oracle.
    step = Decimal(price) * PULSE_ML / 1000
    product = Decimal(0)
    for pulses in range(10_000):
        expected = int(product.quantize(Decimal(1), rounding=ROUND_HALF_UP))
        assert amount_fen(pulses * PULSE_ML, price) == expected
        product += step


@given(limit=st.integers(0, 999_999), price=st.integers(1, 9_999))
def test_the_amount_limit_is_reached_within_one_pulse_and_never_passed(limit: int, price: int) -> None:
    pulses = pulses_within_amount(limit, price)
    assert amount_fen(pulses * PULSE_ML, price) <= limit < amount_fen((pulses + 1) * PULSE_ML, price)


@pytest.mark.parametrize(("limit", "price"), [(-1, 760), (100, 0), (100, -5)])
def test_a_limit_without_meaning_is_refused(limit: int, price: int) -> None:
    with pytest.raises(ValueError, match="no volume for"):
        pulses_within_amount(limit, price)


@given(rate=st.integers(1, 90_000), start_us=st.integers(0, 10**12), pulses=st.integers(1, 10_000))
def test_a_pulse_is_seen_exactly_from_the_instant_foretold(rate: int, start_us: int, pulses: int) -> None:
    meter = Meter()
    meter.settle(start_us)
    meter.set_flow(rate, None)
    at_us = meter.reaches_us(pulses * PULSE_UNITS)
    assert meter.pulses(at_us) == pulses
    assert meter.pulses(at_us - 1) == pulses - 1


def test_the_meter_stops_exactly_and_keeps_part_of_a_pulse() -> None:
    meter = Meter()
    meter.set_flow(33_000, 123 * UNITS_PER_ML)
    assert meter.position_units(10**9) == 123 * UNITS_PER_ML
    assert meter.settle(10**9) == 12
    meter.set_flow(33_000, None)
    assert meter.reaches_us(13 * PULSE_UNITS) == 10**9 + -(-7 * UNITS_PER_ML // 33_000)


@given(cuts=st.lists(st.integers(0, 10**8), max_size=30), rate=st.integers(1, 90_000))
def test_settling_often_counts_the_same_pulses_as_settling_once(cuts: list[int], rate: int) -> None:
    often, once = Meter(), Meter()
    often.set_flow(rate, None)
    once.set_flow(rate, None)
    counted = sum(often.settle(cut) for cut in [*sorted(cuts), 10**8])
    assert counted == once.settle(10**8) == once.pulses(10**8)
