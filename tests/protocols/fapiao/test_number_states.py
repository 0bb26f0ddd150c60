from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.fapiao import FAPIAO_MOVES, FapiaoEvent, FapiaoNumber, FapiaoState, move_fapiao
from protocols.sansio import LocalProtocolError


def test_the_published_sample_number_splits_into_its_parts() -> None:
    number = FapiaoNumber.parse("24442000000071309399")
    assert (number.year, number.region, number.channel, number.sequence) == (24, 44, 2, 71_309_399)
    assert str(number) == "24442000000071309399"


@given(st.integers(0, 99), st.integers(0, 99), st.integers(0, 9), st.integers(0, 10**15 - 1))
def test_numbers_read_back_as_written(year: int, region: int, channel: int, sequence: int) -> None:
    number = FapiaoNumber(year, region, channel, sequence)
    assert len(str(number)) == 20
    assert FapiaoNumber.parse(str(number)) == number


@pytest.mark.parametrize(
    "text", ["", "2444200000007130939", "244420000000713093990", "2444200000007130939X", "２" * 20]
)
def test_what_is_not_twenty_digits_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="20 digits"):
        FapiaoNumber.parse(text)


def test_parts_must_fit_their_digits() -> None:
    with pytest.raises(ValueError, match="channel"):
        FapiaoNumber(24, 44, 10, 1)


def test_the_state_table_is_closed() -> None:
    for state in FapiaoState:
        for event in FapiaoEvent:
            if (state, event) in FAPIAO_MOVES:
                assert move_fapiao(state, event) is FAPIAO_MOVES[state, event]
            else:
                with pytest.raises(LocalProtocolError, match=state):
                    move_fapiao(state, event)


def test_a_failed_try_and_a_reversed_invoice_are_final() -> None:
    for final in (FapiaoState.ISSUE_FAILED, FapiaoState.REVERSED):
        assert not [event for event in FapiaoEvent if (final, event) in FAPIAO_MOVES]
