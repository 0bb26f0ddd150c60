"""CODE93: the bars of full ASCII text. Source: the character table of AIM BC5 (USS-93)."""

from __future__ import annotations

from typing import Final

__all__ = ["code93_modules"]

_CHARACTERS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-. $/+%"
"""Values 0 to 42; 43 to 46 are the four shifts."""

_PATTERNS: Final = [
    "100010100",
    "101001000",
    "101000100",
    "101000010",
    "100101000",
    "100100100",
    "100100010",
    "101010000",
    "100010010",
    "100001010",
    "110101000",
    "110100100",
    "110100010",
    "110010100",
    "110010010",
    "110001010",
    "101101000",
    "101100100",
    "101100010",
    "100110100",
    "100011010",
    "101011000",
    "101001100",
    "101000110",
    "100101100",
    "100010110",
    "110110100",
    "110110010",
    "110101100",
    "110100110",
    "110010110",
    "110011010",
    "101101100",
    "101100110",
    "100110110",
    "100111010",
    "100101110",
    "111010100",
    "111010010",
    "111001010",
    "101101110",
    "101110110",
    "110101110",
    "100100110",
    "111011010",
    "111010110",
    "100110010",
]

_START: Final = "101011110"
_DOLLAR, _PERCENT, _SLASH, _PLUS = 43, 44, 45, 46


def code93_modules(text: str) -> str:
    """The bars as a string of 1 and 0, with both check characters.

    Args:
        text: ASCII.

    Raises:
        ValueError: a character outside ASCII.
    """
    values = [value for char in text for value in _values(char)]
    for heaviest in (20, 15):
        weighted = sum(value * (at % heaviest + 1) for at, value in enumerate(reversed(values)))
        values.append(weighted % 47)
    return _START + "".join(_PATTERNS[value] for value in values) + _START + "1"


def _values(char: str) -> tuple[int, ...]:
    if char in _CHARACTERS:
        return (_CHARACTERS.index(char),)
    code = ord(char)
    if code > 127:
        raise ValueError(f"CODE93 holds ASCII, not {char!r}")
    shift, letter = _shifted(code)
    return shift, _CHARACTERS.index(letter)


def _shifted(code: int) -> tuple[int, str]:
    if code == 0:
        return _PERCENT, "U"
    if code <= 26:
        return _DOLLAR, chr(ord("A") + code - 1)
    if code <= 31:
        return _PERCENT, chr(ord("A") + code - 27)
    if code <= 58:
        return _SLASH, chr(ord("A") + code - 33)
    if code <= 63:
        return _PERCENT, chr(ord("F") + code - 59)
    if code == 64:
        return _PERCENT, "V"
    if code <= 95:
        return _PERCENT, chr(ord("K") + code - 91)
    if code == 96:
        return _PERCENT, "W"
    if code <= 122:
        return _PLUS, chr(ord("A") + code - 97)
    return _PERCENT, chr(ord("P") + code - 123)
