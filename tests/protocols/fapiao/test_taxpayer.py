"""Taxpayer numbers against codes that companies publish, and against every slip of a finger."""

from __future__ import annotations

import pytest

from protocols.fapiao import CREDIT_CODE_LETTERS, credit_code_check, taxpayer_problem

PUBLISHED = (
    "9144030071526726XG",
    "914403001922038216",
    "91330100799655058B",
    "91110108551385082Q",
    "91110000802100433B",
)
"""Unified social credit codes as five well-known companies print them."""


@pytest.mark.requirement("inv.titles-are-validated-and-deletable")
def test_published_codes_check():
    for code in PUBLISHED:
        assert taxpayer_problem(code) == ""
        assert credit_code_check(code[:-1]) == code[-1]


@pytest.mark.requirement("inv.titles-are-validated-and-deletable")
def test_any_wrong_character_and_any_two_that_change_places_are_noticed():
    """The weights are powers of 3 modulo a prime, so no single slip and no transposition of neighbours passes."""
    for code in PUBLISHED:
        for place, letter in enumerate(code):
            for other in CREDIT_CODE_LETTERS:
                if other != letter:
                    assert taxpayer_problem(code[:place] + other + code[place + 1 :])
        for place in range(17):
            a, b = code[place], code[place + 1]
            if a != b:
                assert taxpayer_problem(code[:place] + b + a + code[place + 2 :])


@pytest.mark.parametrize(
    "number", ["530102734300123", "53010219800101001X00", "53010219800101001", "53010273430012A"]
)
def test_numbers_from_before_the_code_still_pass_if_they_have_their_form(number):
    assert (taxpayer_problem(number) == "") == (len(number) in {15, 20})


@pytest.mark.parametrize(
    "number",
    [
        "",
        "1",
        "9144030071526726XGG",
        "9144030071526726X",
        "9144030071526726xg",
        "91440300715267２6XG",
        " 914403001922038216",
    ],
)
def test_what_cannot_be_one_is_told_what_is_wrong(number):
    assert taxpayer_problem(number)


def test_a_check_character_is_of_seventeen_letters():
    for body in ("", "9" * 16, "O" * 17):
        with pytest.raises(ValueError, match="17 digits and letters"):
            credit_code_check(body)
