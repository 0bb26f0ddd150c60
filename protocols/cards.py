"""Card and mobile phone numbers in text: recognised, masked, checked. Nothing here keeps one.

A card number has 13 to 19 digits, the last of which is a Luhn check digit (ISO/IEC 7812-1, annex B), behind the prefix of
its network. What may be shown is the first six digits and the last four (PCI DSS 4.0.1, requirement 3.4.1). A mobile
number of mainland China has 11 digits that begin with 13 to 19; three and four of them are shown.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Final

__all__ = [
    "MASKED_SCHEMES",
    "holds_card_number",
    "holds_phone_number",
    "is_card_number",
    "luhn_digit",
    "luhn_holds",
    "mask_digits",
    "mask_private",
    "network_of",
]

MASKED_SCHEMES: Final = {"card": (6, 4), "phone": (3, 4)}
"""How many digits of each kind stay visible in front and behind."""

# Prefixes of networks with the lengths that they issue (Bank card numbers in China begin with 62; others by their public ranges).
_NETWORKS: Final = (
    ("unionpay", ("62", "81"), range(16, 20)),
    ("visa", ("4",), (13, 16, 19)),
    ("mastercard", ("51", "52", "53", "54", "55"), (16,)),
    ("mastercard", tuple(str(n) for n in range(2221, 2721)), (16,)),
    ("amex", ("34", "37"), (15,)),
    ("jcb", tuple(str(n) for n in range(3528, 3590)), range(16, 20)),
    ("diners", ("300", "301", "302", "303", "304", "305", "36", "38", "39"), (14,)),
    ("discover", ("6011", "644", "645", "646", "647", "648", "649", "65"), (16, 19)),
)
_BY_LENGTH: Final = {
    length: {
        prefix: name for name, prefixes, lengths in _NETWORKS if length in lengths for prefix in prefixes
    }
    for length in range(13, 20)
}
# Digits of any script, one separator between two of them at most: people write "6222 0212-3456".
_SEPARATOR: Final = r"[ \u00a0\u2009\u200b\u3000.\-_/·‐‑–—]"
_RUN: Final = re.compile(rf"(?<!\d)\d(?:{_SEPARATOR}?\d){{10,}}")
_LONG: Final = re.compile(rf"\d(?:{_SEPARATOR}?\d){{10}}")
_DIGITS: Final = re.compile(r"\d+")
_PHONE: Final = re.compile(r"1[3-9]\d{9}")
_ID_WEIGHTS: Final = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


def luhn_holds(digits: str) -> bool:
    """Whether the last digit is the check digit of the others. ``digits`` holds nothing but ASCII digits."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit)
        if place % 2:
            value = value * 2 - 9 if value > 4 else value * 2
        total += value
    return total % 10 == 0


def luhn_digit(body: str) -> str:
    """The check digit that completes ``body`` (ASCII digits)."""
    return next(digit for digit in "0123456789" if luhn_holds(body + digit))


def network_of(digits: str) -> str | None:
    """The network whose prefix and length these digits have; None for no network known here."""
    known = _BY_LENGTH.get(len(digits), {})
    return next((known[digits[:size]] for size in range(1, 5) if digits[:size] in known), None)


def is_card_number(digits: str) -> bool:
    """Whether ASCII digits are a card number: prefix, length and check digit of a network.

    Resident identity numbers of Gansu begin with 62 as well, and one in ten passes the Luhn check by accident; their own
    check digit and birth date (GB 11643) tell them from cards.
    """
    return network_of(digits) is not None and luhn_holds(digits) and not _is_resident_id(digits)


def _is_resident_id(digits: str) -> bool:
    if len(digits) != 18:
        return False
    try:
        born = date(int(digits[6:10]), int(digits[10:12]), int(digits[12:14]))
    except ValueError:
        return False
    rest = sum(int(digit) * weight for digit, weight in zip(digits, _ID_WEIGHTS, strict=False)) % 11
    return born.year >= 1900 and "10X98765432"[rest] == digits[17]


def holds_card_number(text: str) -> bool:
    """Whether a card number stands in the text, in digits of any script, also with single separators between them."""
    return _holds(text, "card")


def holds_phone_number(text: str) -> bool:
    """Whether a mobile number of mainland China stands in the text, with single separators or without, +86 before it or not."""
    return _holds(text, "phone")


def _holds(text: str, kind: str) -> bool:
    if _LONG.search(text) is None:
        return False
    return any(found[2] == kind for run in _RUN.finditer(text) for found in _numbers_of(run[0]))


def mask_digits(digits: str, kind: str) -> str:
    """A card (``"card"``) or phone number (``"phone"``) as it may be shown.

    Raises:
        KeyError: another kind.
    """
    front, behind = MASKED_SCHEMES[kind]
    return f"{digits[:front]}{'*' * max(0, len(digits) - front - behind)}{digits[-behind:]}"


def mask_private(text: str) -> str:
    """The text with the middle digits of every card and phone number in it replaced by stars; its length stays."""
    if _LONG.search(text) is None:
        return text
    return _RUN.sub(_masked_run, text)


def _plain(run: str) -> str:
    return "".join(str(int(char)) for char in run if char.isdecimal())


def _kind_of(digits: str) -> str | None:
    if 13 <= len(digits) <= 19 and is_card_number(digits):
        return "card"
    if len(digits) == 13:
        digits = digits.removeprefix("86")
    return "phone" if _PHONE.fullmatch(digits) else None


def _numbers_of(run: str) -> list[tuple[int, int, str]]:
    """Where numbers stand in a run of digits and separators: positions among its digits, and the kind.

    A number begins and ends at a separator or at an end of the run: "1 6222021234567890" holds one, 20 digits in a row none.
    """
    digits = _plain(run)
    edges, place = [0], 0
    for part in _DIGITS.findall(run):
        place += len(part)
        edges.append(place)
    found: list[tuple[int, int, str]] = []
    # Cards first: eleven digits out of the middle of one may look like a phone number.
    for wanted in ("card", "phone"):
        for start in edges[:-1]:
            if any(first <= start < last for first, last, _ in found):
                continue
            for end in reversed([edge for edge in edges if 11 <= edge - start <= 19]):
                if _kind_of(digits[start:end]) == wanted:
                    found.append((start, end, wanted))
                    break
    return found


def _masked_run(match: re.Match[str]) -> str:
    run = match[0]
    hidden: set[int] = set()
    for start, end, kind in _numbers_of(run):
        hidden.update(range(start + 6 if kind == "card" else end - 8, end - 4))
    if not hidden:
        return run
    out, place = [], 0
    for char in run:
        if char.isdecimal():
            out.append("*" if place in hidden else char)
            place += 1
        else:
            out.append(char)
    return "".join(out)
