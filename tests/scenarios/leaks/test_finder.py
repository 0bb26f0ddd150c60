"""Every way to write a number is written here by other means than the scanner's, and must be found."""

from __future__ import annotations

import base64
import random

import pytest

from protocols.cards import is_card_number
from scenarios.leaks import Canary, Finder, make_canaries

from .number_forms import CARD_FORMS, FORMS

CANARIES = make_canaries("tests", cards=60, phones=20)
CARDS = [canary for canary in CANARIES if canary.kind == "card"]
PHONES = [canary for canary in CANARIES if canary.kind == "phone"]


@pytest.fixture(scope="module")
def finder() -> Finder:
    return Finder(CANARIES)


@pytest.mark.requirement("sec.no-card-number-anywhere")
@pytest.mark.parametrize(
    "noise", [b"", b"\x00\xff\x80", b'{"t_us":1767225600000000,"volume_ml":32000}\n', b"9"]
)
@pytest.mark.parametrize("form", [*FORMS, *CARD_FORMS])
def test_a_card_number_is_found_in_every_form(finder, form, noise):
    write = {**FORMS, **CARD_FORMS}[form]
    for canary in CARDS[:12]:
        if noise == b"9" and form in {"hex", "hex in capitals", "hex of UTF-16"}:
            continue
        data = noise + write(canary.digits) + noise
        assert canary in {hit.canary for hit in finder.search(data)}, canary.digits


@pytest.mark.requirement("priv.phone-and-plate-masked")
@pytest.mark.parametrize("form", FORMS)
def test_a_phone_number_is_found_in_every_form(finder, form):
    for canary in PHONES[:12]:
        data = b"\x01" + FORMS[form](canary.digits) + b"\x01"
        assert canary in {hit.canary for hit in finder.search(data)}, canary.digits


def test_the_place_is_told(finder):
    canary = CARDS[0]
    (hit,) = finder.search(b"x" * 1000 + canary.digits.encode() + b"x" * 1000)
    assert (hit.offset, hit.form, hit.canary) == (1000, "plain", canary)
    spaced = " ".join(canary.digits[n : n + 4] for n in range(0, len(canary.digits), 4))
    (hit,) = finder.search(b"y" * 77 + spaced.encode())
    assert (hit.offset, hit.form) == (77, "split")


def test_masked_numbers_and_other_peoples_are_not_found(finder):
    rng = random.Random(7)
    lines = [f"card {canary.masked} phone {canary.masked}" for canary in CANARIES]
    others = make_canaries("others", cards=500, phones=500)
    lines += [other.digits for other in others if other not in CANARIES]
    lines += [f'{{"t_us":{rng.randrange(10**16)},"amount_fen":{rng.randrange(10**6)}}}' for _ in range(5000)]
    assert finder.search("\n".join(lines).encode()) == []


def test_random_bytes_hold_nothing(finder):
    rng = random.Random(8)
    assert finder.search(rng.randbytes(1 << 20)) == []
    assert finder.search(base64.b64encode(rng.randbytes(1 << 18))) == []


def test_one_wrong_digit_is_another_number(finder):
    canary = CARDS[3]
    for place, digit in enumerate(canary.digits):
        other = canary.digits[:place] + str((int(digit) + 1) % 10) + canary.digits[place + 1 :]
        found = finder.search(other.encode())
        # With one of the first four digits wrong, all hidden ones and more still stand there.
        assert [hit.form for hit in found] == (["without its first digits"] if place < 4 else []), place


def test_pieces_far_apart_are_two_numbers(finder):
    digits = CARDS[0].digits
    far = b"7" * 5000
    assert finder.search(digits[:8].encode() + far + digits[8:].encode()) == []


def test_a_number_across_the_border_of_two_windows_is_found(finder, monkeypatch):
    monkeypatch.setattr("scenarios.leaks.finder._WINDOW", 20_000)
    digits = CARDS[5].digits.encode()
    for place in (19_990, 20_000, 20_000 - 8, 17_000, 39_000):
        data = b"z" * place + digits + b"z" * (60_000 - place)
        assert [(hit.offset, hit.form) for hit in finder.search(data)] == [(place, "plain")]


def test_canaries_are_card_and_phone_numbers_that_differ():
    made = make_canaries("1", cards=1000, phones=1000)
    assert len({canary.digits for canary in made}) == 2000
    assert all(is_card_number(canary.digits) for canary in made[:1000])
    assert {len(canary.digits) for canary in made[:1000]} >= {16, 17, 18, 19}
    assert made == make_canaries("1", cards=1000, phones=1000)
    assert made != make_canaries("2", cards=1000, phones=1000)


def test_a_canary_never_shows_itself():
    canary = Canary("card", "4242424242424242")
    assert canary.digits not in repr(canary)
    assert canary.masked == "424242******4242"
