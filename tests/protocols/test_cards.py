from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.cards import (
    holds_card_number,
    holds_phone_number,
    is_card_number,
    luhn_digit,
    luhn_holds,
    mask_digits,
    mask_private,
    network_of,
)

# Published test numbers of the networks.
TEST_NUMBERS = {
    "4242424242424242": "visa",
    "5555555555554444": "mastercard",
    "2223003122003222": "mastercard",
    "378282246310005": "amex",
    "6011111111111117": "discover",
    "30569309025904": "diners",
    "3566002020360505": "jcb",
    "6200000000000005": "unionpay",
    "6205500000000000004": "unionpay",
}


@pytest.mark.parametrize(("digits", "network"), TEST_NUMBERS.items())
def test_published_test_numbers_are_known(digits, network):
    assert network_of(digits) == network
    assert is_card_number(digits)
    assert not is_card_number(digits[:-1] + str((int(digits[-1]) + 1) % 10))


@given(st.text("0123456789", min_size=12, max_size=18), st.integers(0, 17))
def test_the_check_digit_finds_every_single_wrong_digit(body, place):
    digits = body + luhn_digit(body)
    assert luhn_holds(digits)
    place %= len(digits)
    for other in "0123456789":
        if other != digits[place]:
            assert not luhn_holds(digits[:place] + other + digits[place + 1 :])


@pytest.mark.parametrize(
    "text",
    [
        "张三 {}",
        "{},",
        "no{}x",
        "92号 {} 元",
        "1 {} 2",
    ],
)
@pytest.mark.parametrize("write", ["plain", "blanks", "dashes", "full-width", "two halves"])
@pytest.mark.parametrize("digits", ["4242424242424242", "6205500000000000004"])
def test_a_card_number_is_seen_and_masked_however_it_is_written(text, write, digits):
    written = {
        "plain": digits,
        "blanks": " ".join(digits[place : place + 4] for place in range(0, len(digits), 4)),
        "dashes": "-".join(digits),
        "full-width": "".join(chr(ord("０") + int(digit)) for digit in digits),
        "two halves": f"{digits[:8]}·{digits[8:]}",
    }[write]
    if write == "dashes" and text == "1 {} 2":
        return  # where the number begins cannot be told there
    whole = text.format(written)
    assert holds_card_number(whole)
    masked = mask_private(whole)
    assert len(masked) == len(whole)
    assert masked.count("*") == len(digits) - 10
    assert not holds_card_number(masked)
    assert mask_private(masked) == masked


@pytest.mark.parametrize(
    "text", ["13800138000", "+8613800138000", "tel:138 0013 8000", "138-0013-8000, 昆明"]
)
def test_a_phone_number_is_seen_and_masked(text):
    assert holds_phone_number(text)
    masked = mask_private(text)
    assert masked.count("*") == 4
    assert not holds_phone_number(masked)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "昆明试验加油站",
        "1767225600000000",  # Unix microseconds
        "42000012342026030612345678901",  # a transaction of a payment platform: more digits than any card
        "91530100MA6K5XXX0X",
        "2026-11-22 14:36:05.123456",
        "4242424242424241",  # fails its check digit
        "622823199001011236x",
        "23800138000",
        "138001380001",
    ],
)
def test_what_is_neither_passes_as_it_is(text):
    assert not holds_card_number(text)
    assert not holds_phone_number(text)
    assert mask_private(text) == text


def test_a_residents_identity_number_of_gansu_is_no_card():
    """They begin with 62 and have 18 digits; one in ten holds by Luhn as well."""
    weights = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]
    seen = 0
    for serial in range(1000):
        body = f"62010219900307{serial:03d}"
        check = "10X98765432"[sum(int(d) * w for d, w in zip(body, weights, strict=True)) % 11]
        if check != "X" and luhn_holds(body + check):
            seen += 1
            assert network_of(body + check) == "unionpay"
            assert not is_card_number(body + check)
    assert seen > 50


def test_what_is_shown_is_the_prefix_and_the_last_four():
    assert mask_digits("6222021234567890", "card") == "622202******7890"
    assert mask_digits("13800138000", "phone") == "138****8000"


def test_random_digits_are_seldom_taken_for_a_card():
    rng = random.Random(1)
    taken = sum(is_card_number(f"{rng.randrange(10**16):016d}") for _ in range(5000))
    assert 50 < taken < 5000 * 0.04  # a tenth of what begins as a card does
