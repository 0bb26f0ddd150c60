from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.fapiao import (
    LITRE,
    PETROL_TAX_CODE,
    RED_FORM_MOVES,
    InvoiceLine,
    LineError,
    RedFormEvent,
    RedFormState,
    figure_line,
    fixed_point,
    line_from_price,
    line_from_quantity,
    move_red_form,
    plain_decimal,
    quantity_of_ml,
)
from protocols.sansio import LocalProtocolError


def test_void_forms_stay_void_and_every_state_is_reached() -> None:
    assert {state for state, _ in RED_FORM_MOVES} == {state for state in RedFormState if not state.is_void}
    entered = {RedFormState.NONE_NEEDED, RedFormState.WAITS_FOR_BUYER, RedFormState.WAITS_FOR_SELLER}
    assert entered | set(RED_FORM_MOVES.values()) == set(RedFormState)
    with pytest.raises(LocalProtocolError, match="EXPIRED"):
        move_red_form(RedFormState.EXPIRED, RedFormEvent.CONFIRM)


@given(st.integers(-(10**17), 10**17), st.sampled_from([0, 2, 4, 8]))
def test_decimals_go_out_and_come_back(value: int, places: int) -> None:
    bounded = value % 10 ** (places + 15)
    assert fixed_point(plain_decimal(bounded, places), places) == bounded
    assert fixed_point(plain_decimal(-bounded, places, least=places), places) == -bounded


@pytest.mark.parametrize("value", [True, 1.5, None, "1,000", "", "NaN", "Infinity", "1" * 40, "0.001"])
def test_what_is_no_amount(value: object) -> None:
    with pytest.raises(ValueError, match="decimal"):
        fixed_point(value, 2)


def test_a_red_line_never_takes_back_more_than_the_blue_one() -> None:
    line = InvoiceLine(PETROL_TAX_CODE, "92号汽油", LITRE, line_from_price(9600, 781))
    red = line.red().figures
    assert (red.gross_fen, red.net_fen, red.tax_fen) == (-9600, -8496, -1104)
    for part in ((0, -8497, -1104), (0, -8496, -1105), (0, 1, 0), (1, -1, 0), (-(10**12), -1, 0)):
        with pytest.raises(LineError):
            line.red(part)


@pytest.mark.requirement("inv.amounts-are-consistent")
@given(st.integers(100, 200_000), st.integers(300, 1500))
def test_what_the_pump_gives_passes_whichever_way_it_is_said(volume_cl: int, price: int) -> None:
    """Litres as the pump counted them, the total as paid; the checks accept net prices and the pump's own."""
    gross = (volume_cl * price + 50) // 100
    figures = line_from_quantity(quantity_of_ml(volume_cl * 10), gross)
    for has_tax, price_e8 in ((False, figures.net_price_e8), (True, price * 10**6)):
        checked = figure_line(
            quantity_e8=figures.quantity_e8,
            price_e8=price_e8,
            price_has_tax=has_tax,
            gross_fen=gross,
            net_fen=figures.net_fen,
            tax_fen=figures.tax_fen,
            tax_rate_e4=1300,
        )
        assert (checked.net_fen + checked.tax_fen, checked.gross_fen) == (gross, gross)
