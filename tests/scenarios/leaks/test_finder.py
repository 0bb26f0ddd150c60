"""Every way to write a number is written here by other means than the scanner's, and must be found."""

from __future__ import annotations

import base64
import binascii
import html
import json
import quopri
import random
import struct
from urllib.parse import quote

import pytest

from protocols.cards import is_card_number
from scenarios.leaks import Canary, Finder, make_canaries

CANARIES = make_canaries("tests", cards=60, phones=20)
CARDS = [canary for canary in CANARIES if canary.kind == "card"]
PHONES = [canary for canary in CANARIES if canary.kind == "phone"]


@pytest.fixture(scope="module")
def finder() -> Finder:
    return Finder(CANARIES)


def percent(text: str) -> bytes:
    return "".join(f"%{ord(char):02x}" for char in text).encode()


FORMS = {
    "plain": lambda d: d.encode(),
    "inside a word": lambda d: f"abc{d}def".encode(),
    "UTF-16, little end first": lambda d: f"x{d}y".encode("utf-16-le"),
    "UTF-16, big end first": lambda d: f"x{d}y".encode("utf-16-be"),
    "UTF-32": lambda d: d.encode("utf-32-be"),
    "hex": lambda d: binascii.hexlify(f"<{d}>".encode()),
    "hex in capitals": lambda d: f"<{d}>".encode().hex().upper().encode(),
    "hex of UTF-16": lambda d: f"<{d}>".encode("utf-16-be").hex().encode(),
    "hex dump": lambda d: " ".join(f"{ord(c):02x}" for c in d).encode(),
    "base64, first of three": lambda d: base64.b64encode(d.encode()),
    "base64, second of three": lambda d: base64.b64encode(b"a" + d.encode() + b"yz"),
    "base64, third of three": lambda d: base64.b64encode(b"ab" + d.encode() + b"y"),
    "base64 for URLs": lambda d: base64.urlsafe_b64encode(b"\xff\xfe\xfd" + d.encode() + b"\xff\xff"),
    "base64 of JSON": lambda d: base64.b64encode(json.dumps({"name": "张三", "card": d}).encode()),
    "base64 of UTF-16": lambda d: base64.b64encode(f"号{d}".encode("utf-16-le")),
    "base64 of base64": lambda d: base64.b64encode(base64.b64encode(f'{{"card":"{d}"}}'.encode())),
    "base64 in lines": lambda d: base64.encodebytes(b"x" * 40 + d.encode() * 1 + b"y" * 40),
    "hex in lines": lambda d: b"\n  ".join(
        (b"x" * 30 + d.encode()).hex().encode()[n : n + 64] for n in range(0, 120, 64)
    ),
    "URL-encoded digits": percent,
    "URL-encoded twice": lambda d: quote(percent(d).decode(), safe="").encode(),
    "quoted-printable": lambda d: "".join(f"={ord(c):02X}" for c in d).encode(),
    "quoted-printable text": lambda d: quopri.encodestring(f"卡号{d}".encode()),
    "JSON escapes": lambda d: "".join(f"\\u{ord(c):04x}" for c in d).encode(),
    "byte escapes": lambda d: "".join(f"\\x{ord(c):02x}" for c in d).encode(),
    "character references": lambda d: "".join(f"&#{ord(c)};" for c in d).encode(),
    "hexadecimal references": lambda d: "".join(f"&#x{ord(c):x};" for c in d).encode(),
    "full-width": lambda d: "".join(chr(0xFF10 + int(c)) for c in d).encode(),
    "full-width in GBK": lambda d: "".join(chr(0xFF10 + int(c)) for c in d).encode("gbk"),
    "full-width, JSON escapes": lambda d: json.dumps("".join(chr(0xFF10 + int(c)) for c in d)).encode(),
    "packed decimals": lambda d: bytes.fromhex(d if len(d) % 2 == 0 else d + "f"),
    "binary integer": lambda d: struct.pack(">Q", int(d)),
    "binary integer, little end first": lambda d: struct.pack("<Q", int(d)),
    "blanks": lambda d: " ".join(d[n : n + 4] for n in range(0, len(d), 4)).encode(),
    "dashes": lambda d: "-".join(d).encode(),
    "UTF-16 with blanks": lambda d: " ".join(d).encode("utf-16-le"),
    "two JSON fields": lambda d: json.dumps({"first": d[:8], "second": d[8:]}).encode(),
    "table cells": lambda d: "".join(f'<td class="n">{html.escape(c)}</td>' for c in d).encode(),
    "a digit a line": lambda d: "\n".join(d).encode(),
}
CARD_FORMS = {
    "two columns with a number between": lambda d: f"{d[:9]},17,{d[9:]}".encode(),
    "two rows with times": lambda d: (
        f'{{"t_us":1767225600000000,"a":"{d[:7]}"}}\n{{"t_us":1767225600000117,"b":"{d[7:]}"}}'.encode()
    ),
    "the end before the beginning": lambda d: f"end={d[-8:]} 123 begin={d[:-8]}".encode(),
    "all but the first four": lambda d: f"****{d[4:]}".encode(),
    "float": lambda d: struct.pack(">d", int(d)) if int(d) < 2**53 else d.encode(),
}


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
