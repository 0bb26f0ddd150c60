"""In which bytes a number may stand in a file: plain, and every usual way to write it otherwise."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from typing import Final

__all__ = ["LONGEST", "in_digits", "patterns"]

LONGEST: Final = 19 * 6
"""Bytes of the longest pattern: a 19-digit card number as hexadecimal character references (``&#x36;``)."""


def patterns(digits: str) -> Iterator[tuple[str, bytes]]:
    """(form, bytes) for each way in which these digits may stand without anything between them.

    Hexadecimal of ASCII digits has no letters, so there is one case of it; no URL-safe base64 of digits differs either.
    """
    plain = digits.encode("ascii")
    # The zero bytes at either end are left out: what is left is the same in both byte orders.
    wide = digits.encode("utf-16-le")[:-1]
    yield "plain", plain
    yield "UTF-16", wide
    yield "UTF-32", digits.encode("utf-32-le")[:-3]
    yield "hex", plain.hex().encode()
    yield "hex of UTF-16", wide.hex().encode()
    for text in _base64(plain):
        yield "base64", text
    for order in ("utf-16-le", "utf-16-be"):
        for text in _base64(digits.encode(order)):
            yield "base64 of UTF-16", text
    for text in _base64(plain.hex().encode()):
        yield "base64 of hex", text
    for text in _base64(next(_base64(plain))):
        yield "base64 of base64", text
    yield "URL-encoded", b"".join(b"%%%02X" % byte for byte in plain)
    yield "URL-encoded twice", b"".join(b"%%25%02X" % byte for byte in plain)
    yield "quoted-printable", b"".join(b"=%02X" % byte for byte in plain)
    yield "character escapes", b"".join(b"\\u%04x" % byte for byte in plain)
    yield "character escapes", b"".join(b"\\x%02x" % byte for byte in plain)
    yield "character references", b"".join(b"&#%d;" % byte for byte in plain)
    yield "character references", b"".join(b"&#x%02x;" % byte for byte in plain)
    full = "".join(chr(0xFF10 + int(digit)) for digit in digits)
    yield "full-width digits", full.encode("utf-8")
    yield "full-width digits", full.encode("gb18030")
    for case in (str.lower, str.upper):
        yield (
            "full-width digits",
            case("".join(f"\\u{ord(char):04x}" for char in full)).replace("\\U", "\\u").encode(),
        )
    # Packed decimals, as pump and card protocols carry them: two digits a byte, an odd number filled in front or behind.
    for nibbles in (digits,) if len(digits) % 2 == 0 else (f"0{digits}", f"{digits}f", f"{digits}d"):
        yield "packed decimals", bytes.fromhex(nibbles)
    number = int(digits)
    yield "binary integer", struct.pack(">q", number)
    yield "binary integer", struct.pack("<q", number)
    if number < 1 << 47:
        yield "binary integer", number.to_bytes(6, "big")  # SQLite's sizes
    if float(number) == number and number < 1 << 53:
        yield "binary float", struct.pack(">d", number)
        yield "binary float", struct.pack("<d", number)


def in_digits(digits: str) -> Iterator[tuple[str, str]]:
    """(form, digits) as they follow each other when everything that is no digit is struck out.

    This is how a number is found that has separators, tags, field names or line ends between its digits.
    """
    yield "split", digits
    yield "hex, split", digits.encode("ascii").hex()
    yield "character escapes, split", "".join(f"{ord(digit):04x}" for digit in digits)
    yield "character references, split", "".join(str(ord(digit)) for digit in digits)


def _base64(plain: bytes) -> Iterator[bytes]:
    """The base64 characters that depend on ``plain`` alone, for each of the three places it may have in a group of three."""
    for before in range(3):
        text = base64.b64encode(bytes(before) + plain + bytes(3))
        yield text[-(-8 * before // 6) : 8 * (before + len(plain)) // 6]
