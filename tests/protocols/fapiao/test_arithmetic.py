from __future__ import annotations

from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.fapiao import (
    LineFigures,
    line_from_price,
    line_from_quantity,
    line_problems,
    quantity_of_ml,
    split_gross,
)

pytestmark = pytest.mark.requirement("inv.amounts-are-consistent")

GOLDEN = LineFigures(1_229_193_342, 9600, 8496, 1104, 691_150_442)
"""A real invoice of 2023-08-10: 92# petrol, 12.29193342 x 6.91150442 = 84.96, tax 11.04, total 96.00."""


def test_the_issued_invoice_of_2023_is_reproduced_from_what_was_paid_and_the_pump_price() -> None:
    assert line_from_price(9600, 781) == GOLDEN
    assert line_problems(GOLDEN) == ()


def test_the_issued_invoice_is_reproduced_from_its_own_quantity() -> None:
    line = line_from_quantity(GOLDEN.quantity_e8, 9600)
    assert (line.net_fen, line.tax_fen, line.net_price_e8) == (8496, 1104, 691_150_442)


@given(st.integers(0, 10**10), st.sampled_from([0, 300, 600, 900, 1300]))
def test_net_and_tax_add_up_exactly_and_net_is_the_rounded_quotient(gross_fen: int, rate: int) -> None:
    net_fen, tax_fen = split_gross(gross_fen, rate)
    exact = Decimal(gross_fen) / (1 + Decimal(rate) / 10_000)
    assert net_fen + tax_fen == gross_fen
    assert net_fen == exact.quantize(Decimal(1), ROUND_HALF_UP)


@given(
    volume_ml=st.integers(1, 100_000).map(lambda pulses: pulses * 10),
    price=st.integers(300, 1500),
    off=st.integers(0, 100),
)
def test_every_sale_of_up_to_a_thousand_litres_gives_a_line_without_problems(
    volume_ml: int, price: int, off: int
) -> None:
    amount_fen = (2 * volume_ml * price + 1000) // 2000
    paid_fen = max(0, amount_fen - off)
    line = line_from_quantity(quantity_of_ml(volume_ml), paid_fen)
    assert line_problems(line) == ()
    assert line.quantity_e8 == Decimal(volume_ml) / 1000 * 10**8


@given(gross_fen=st.integers(1, 10**7), price=st.integers(300, 1500))
def test_working_backwards_from_the_price_gives_a_line_without_problems(gross_fen: int, price: int) -> None:
    assert line_problems(line_from_price(gross_fen, price)) == ()


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        (replace(GOLDEN, net_fen=8497), "is not gross"),
        (replace(GOLDEN, net_price_e8=691_350_442), "away from net"),
        (replace(GOLDEN, quantity_e8=1_229_400_000), "away from net"),
        (replace(GOLDEN, net_fen=8494, tax_fen=1106, net_price_e8=690_987_725), "net x rate"),
    ],
)
def test_each_invariant_is_caught_when_broken(wrong: LineFigures, word: str) -> None:
    problems = line_problems(wrong)
    assert any(word in problem for problem in problems), problems


@pytest.mark.parametrize("quantity", [0, -1, 10**13 + 1])
def test_an_impossible_quantity_is_refused(quantity: int) -> None:
    with pytest.raises(ValueError, match="quantity_e8"):
        line_from_quantity(quantity, 100)


def test_negative_totals_and_prices_are_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        split_gross(-1)
    with pytest.raises(ValueError, match="price_fen_per_l"):
        line_from_price(100, 0)
