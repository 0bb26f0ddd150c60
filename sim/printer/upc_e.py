"""UPC-E: twelve digits with zeros in the right places, in six. Source: GS1 General Specifications, section 5.2.2.4."""

from __future__ import annotations

from typing import Final

__all__ = ["upc_e_modules"]

_LEFT_A: Final = [
    "0001101",
    "0011001",
    "0010011",
    "0111101",
    "0100011",
    "0110001",
    "0101111",
    "0111011",
    "0110111",
    "0001011",
]
_LEFT_B: Final = [
    "0100111",
    "0110011",
    "0011011",
    "0100001",
    "0011101",
    "0111001",
    "0000101",
    "0010001",
    "0001001",
    "0010111",
]
_PARITY: Final = [
    "BBBAAA",
    "BBABAA",
    "BBAABA",
    "BBAAAB",
    "BABBAA",
    "BAABBA",
    "BAAABB",
    "BABABA",
    "BABAAB",
    "BAABAB",
]
"""Which set each digit comes from, by the check digit, for number system 0; system 1 takes the other one."""


def upc_e_modules(digits: str) -> tuple[str, str] | None:
    """The bars as a string of 1 and 0, and the eight digits they mean; None where no UPC-E exists.

    Args:
        digits: 6 (short form), 7 or 8 (with number system, and check digit), or 11 or 12 (UPC-A that can be shortened).
    """
    system, body = "0", digits
    if len(digits) in (7, 8):
        system, body = digits[0], digits[1:7]
    elif len(digits) in (11, 12):
        short = _shortened(digits[:11])
        if short is None:
            return None
        system, body = digits[0], short
    elif len(digits) != 6:
        return None
    if system not in ("0", "1"):
        return None
    check = _check_digit(system + _expanded(body))
    if len(digits) in (8, 12) and int(digits[-1]) != check:
        return None
    parity = _PARITY[check] if system == "0" else _PARITY[check].translate(str.maketrans("AB", "BA"))
    bars = "".join(
        (_LEFT_A if kind == "A" else _LEFT_B)[int(digit)] for digit, kind in zip(body, parity, strict=True)
    )
    return "101" + bars + "010101", f"{system}{body}{check}"


def _expanded(body: str) -> str:
    """The ten digits after the number system that six stand for."""
    last = body[5]
    if last in "012":
        return body[:2] + last + "0000" + body[2:5]
    if last == "3":
        return body[:3] + "00000" + body[3:5]
    if last == "4":
        return body[:4] + "00000" + body[4]
    return body[:5] + "0000" + last


def _shortened(digits: str) -> str | None:
    maker, item = digits[1:6], digits[6:11]
    candidates = (
        maker[:2] + item[2:] + maker[2],
        maker[:3] + item[3:] + "3",
        maker[:4] + item[4] + "4",
        maker + item[4],
    )
    return next((short for short in candidates if _expanded(short) == digits[1:]), None)


def _check_digit(digits: str) -> int:
    odd = sum(int(digit) for digit in digits[0::2])
    even = sum(int(digit) for digit in digits[1::2])
    return -(3 * odd + even) % 10
