"""Taxpayer numbers: the unified social credit code with its check character, and what is older.

GB 32100-2015: 18 characters, each place weighted with 3^place mod 31, the check character makes the sum a multiple of 31.
Three fields come before it: who registered it and as what (2), the administrative division (6 digits), the organisation (9).
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["CREDIT_CODE_LETTERS", "credit_code_check", "taxpayer_problem"]

CREDIT_CODE_LETTERS: Final = "0123456789ABCDEFGHJKLMNPQRTUWXY"
"""Without I, O, S, V, Z, which look like digits."""

_CODE: Final = re.compile(rf"[{CREDIT_CODE_LETTERS}]{{2}}[0-9]{{6}}[{CREDIT_CODE_LETTERS}]{{10}}")
_OLDER: Final = re.compile(r"[0-9]{6}[0-9A-Z]{9}|[0-9]{17}[0-9X][0-9A-Z]{2}")
_LENGTH: Final = 18


def credit_code_check(body: str) -> str:
    """The check character of the first 17.

    Raises:
        ValueError: not 17 characters of `CREDIT_CODE_LETTERS`.
    """
    if len(body) != _LENGTH - 1 or any(letter not in CREDIT_CODE_LETTERS for letter in body):
        raise ValueError("17 digits and letters without I, O, S, V, Z come before the check character")
    total = sum(CREDIT_CODE_LETTERS.index(letter) * pow(3, place, 31) for place, letter in enumerate(body))
    return CREDIT_CODE_LETTERS[-total % 31]


def taxpayer_problem(number: str) -> str:
    """What is wrong with a taxpayer number; empty if it can be one.

    18 characters are a unified social credit code, and have to check. Older numbers still stand on some titles and have no
    common check: 15 characters are a division of six digits and an organisation, 20 a person's number and two more. 17 are a code cut short.
    """
    if len(number) != _LENGTH:
        return "" if _OLDER.fullmatch(number) else "it has 18 characters, or is an older number of 15 or 20"
    if _CODE.fullmatch(number) is None:
        return "of its 18 characters the 3rd to the 8th are digits, and none is I, O, S, V or Z"
    if credit_code_check(number[:-1]) != number[-1]:
        return "its check character does not fit: a character is wrong, or two have changed places"
    return ""
