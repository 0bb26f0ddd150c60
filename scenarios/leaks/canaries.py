"""Canaries: card numbers and phone numbers in the shapes of real ones, drawn from a seed, each planted to be looked for."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from protocols.cards import is_card_number, luhn_digit, mask_digits

__all__ = ["MOST", "Canary", "CanaryError", "make_canaries", "read_canaries", "write_canaries"]

MOST: Final = 100_000
"""Canaries of one file; the search holds some forty patterns for each in memory."""

_MOST_BYTES: Final = 4 * 1024 * 1024
_SHAPES: Final = (("62", 19), ("62", 16), ("4", 16), ("62", 17), ("52", 16), ("81", 18))
"""Prefixes and lengths, used one after the other: half of them as UnionPay issues most cards."""
_PHONE: Final = re.compile(r"1[3-9][0-9]{9}")


class CanaryError(ValueError):
    """A file of canaries cannot be used; the message names the line and shows no number."""


@dataclass(frozen=True, slots=True)
class Canary:
    """A number that stands nowhere unless it was planted.

    Attributes:
        kind: what it looks like.
        digits: all of it, ASCII.
    """

    kind: Literal["card", "phone"]
    digits: str

    @property
    def masked(self) -> str:
        """As a report may show it."""
        return mask_digits(self.digits, self.kind)

    def __repr__(self) -> str:
        return f"Canary({self.kind} {self.masked})"


def make_canaries(seed: str, *, cards: int = 1000, phones: int = 1000) -> tuple[Canary, ...]:
    """Draw canaries, all different: first the cards, then the phones. The same seed gives the same.

    Raises:
        ValueError: fewer than none, or more than `MOST`.
    """
    if cards < 0 or phones < 0 or cards + phones > MOST:
        raise ValueError(f"between 0 and {MOST:,} canaries")
    rng = random.Random(f"{seed}/leak-scan/canaries")
    made: dict[str, Canary] = {}
    while len(made) < cards:
        prefix, length = _SHAPES[len(made) % len(_SHAPES)]
        free = length - len(prefix) - 1
        body = f"{prefix}{rng.randrange(10**free):0{free}d}"
        digits = body + luhn_digit(body)
        if is_card_number(digits):  # not one in a million is a resident's identity number as well
            made.setdefault(digits, Canary("card", digits))
    while len(made) < cards + phones:
        digits = f"1{rng.randrange(3, 10)}{rng.randrange(10**9):09d}"
        made.setdefault(digits, Canary("phone", digits))
    return tuple(made.values())


def write_canaries(path: Path, canaries: Sequence[Canary]) -> None:
    """Write one number a line. The file is for its owner: whoever scans must keep it out of what is scanned.

    Raises:
        FileExistsError: there is one already.
        OSError: it cannot be written.
    """
    with path.open("x", encoding="ascii") as file:
        path.chmod(0o600)
        file.write("# Canaries: numbers to plant and to look for. One a line.\n")
        file.writelines(f"{canary.digits}\n" for canary in canaries)


def read_canaries(path: Path) -> tuple[Canary, ...]:
    """Read one number a line; empty lines and what follows ``#`` do not count.

    Card numbers need their check digit: a number that no card could have would be found nowhere for the wrong reason.

    Raises:
        CanaryError: unreadable, empty, too many, or a line that is neither card nor phone number.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise CanaryError(f"{path}: {error.strerror or error}") from None
    if len(raw) > _MOST_BYTES:
        raise CanaryError(
            f"{path}: larger than {_MOST_BYTES:,} bytes; at most {MOST:,} canaries are searched at once"
        )
    made: dict[str, Canary] = {}
    for number, line in enumerate(
        raw.decode("utf-8", "replace").removeprefix("\ufeff").splitlines(), start=1
    ):
        digits = line.partition("#")[0].strip()
        if not digits:
            continue
        if digits.isascii() and digits.isdecimal() and is_card_number(digits):
            made[digits] = Canary("card", digits)
        elif _PHONE.fullmatch(digits):
            made[digits] = Canary("phone", digits)
        else:
            raise CanaryError(
                f"{path}: line {number}: neither a card number of a known network with its check digit nor a mobile number "
                "of mainland China (digits only, one a line)"
            )
    if not made:
        raise CanaryError(f"{path}: holds no canary")
    if len(made) > MOST:
        raise CanaryError(f"{path}: {len(made):,} canaries; at most {MOST:,} are searched at once")
    return tuple(made.values())
