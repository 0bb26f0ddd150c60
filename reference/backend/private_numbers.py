"""Card and phone numbers have no place in this service: who sends one anywhere is refused, so that none can be kept or passed on.

People write them into whatever box is at hand: a card number into the title of an invoice, a phone number into a name. A
card is announced to the vault instead, which hands out a token (`reference.vault`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import ClassVar, Final

import msgspec
from pydantic import BaseModel, ConfigDict, model_validator

from protocols.cards import holds_card_number, holds_phone_number, is_card_number

__all__ = ["CleanStruct", "StrictModel", "refuse_numbers"]

_LATEST_US: Final = 4_000_000_000_000_000
"""Counts and times stay below this until 2096; a larger one is looked at as digits."""

_HEX_NAME: Final = re.compile(
    r"(?=.*[a-f])(?:[0-9a-f]{32,}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})",
    re.IGNORECASE,
)
"""UUIDs and digests: about one in three thousand would hold eleven digits that look like a phone number."""

_MADE_UP: Final = ("_token", "_id")
"""Ends of the names of values that a program makes up."""


def refuse_numbers(values: Iterable[tuple[str, object]], *, but: frozenset[str] = frozenset()) -> None:
    """Look through named values: texts, lists of texts, integers.

    Args:
        values: (name, value).
        but: names of values that are such a number by right.

    Raises:
        ValueError: names the value, and does not show it.
    """
    for name, value in values:
        if name in but:
            continue
        if isinstance(value, str):
            if len(value) >= 11:
                _refuse_text(name, value)
        elif isinstance(value, int):
            if not -_LATEST_US < value < _LATEST_US and is_card_number(str(abs(value))):
                raise ValueError(f"{name} holds a card number; none is kept here")
        elif isinstance(value, list) and value and isinstance(value[0], str):
            for text in value:
                _refuse_text(name, text)


def _refuse_text(name: str, text: str) -> None:
    if _HEX_NAME.fullmatch(text) is not None:
        return
    kind = "card" if holds_card_number(text) else "phone" if holds_phone_number(text) else None
    if kind is not None:
        # Whoever makes up tokens may hit upon one by chance, and has to know how not to.
        otherwise = "; take a UUID, or letters between the digits" if name.endswith(_MADE_UP) else ""
        raise ValueError(f"{name} holds a {kind} number; none is kept here{otherwise}")


class StrictModel(BaseModel):
    """A request body: no other fields, no other types, no card or phone numbers.

    Attributes:
        numbers_by_right: fields that are such a number for a purpose of their own.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    numbers_by_right: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="after")
    def _no_private_numbers(self) -> StrictModel:
        refuse_numbers(self, but=self.numbers_by_right)
        return self


class CleanStruct(msgspec.Struct):
    """The same for the bodies that msgspec reads."""

    def __post_init__(self) -> None:
        """Raises ValueError, which msgspec turns into its own error."""
        refuse_numbers((name, getattr(self, name)) for name in self.__struct_fields__)
