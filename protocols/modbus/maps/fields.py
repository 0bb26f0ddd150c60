"""Registers of maps that are not ours: kinds of values, and the parameters that a published page leaves open."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal

from protocols.modbus.registers import Access
from protocols.sansio import LocalProtocolError

__all__ = ["DIRECT", "Field", "Kind", "MapParameters"]


class Kind(Enum):
    """How a value is written into registers."""

    U16 = "U16"
    I16 = "I16"
    U32 = "U32"
    BCD8 = "BCD8"
    BCD12 = "BCD12"
    FLOAT = "FLOAT"

    @property
    def registers(self) -> int:
        """How many it takes."""
        return _SIZES[self]


_SIZES: Final = {
    Kind.U16: 1,
    Kind.I16: 1,
    Kind.U32: 2,
    Kind.BCD8: 2,
    Kind.BCD12: 3,
    Kind.FLOAT: 2,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MapParameters:
    """What has to be set before a driver and a device understand one another.

    Attributes:
        unit_id: 1..247.
        functions: reading functions that are answered: 3 holding registers, 4 input registers.
        low_word_first: of a value of several registers the least significant one comes first.
        first_address: number that the page gives to the register whose address on the wire is 0.
        gaps: reading an address without a meaning is refused (exception 2) or gives 0.

    Raises:
        ValueError: one of them cannot be.
    """

    unit_id: int = 1
    functions: frozenset[int] = frozenset({3, 4})
    low_word_first: bool = False
    first_address: Literal[0, 1] = 0
    gaps: Literal["refuse", "zero"] = "refuse"

    def __post_init__(self) -> None:
        if not 1 <= self.unit_id <= 247:
            raise ValueError(f"Modbus unit {self.unit_id} is not in 1..247")
        if not self.functions or self.functions - {3, 4}:
            raise ValueError(f"reading functions are 3 and 4, not {sorted(self.functions)}")
        if self.first_address not in {0, 1}:
            raise ValueError(f"a page counts registers from 0 or 1, not {self.first_address}")
        if self.gaps not in {"refuse", "zero"}:
            raise ValueError(f"gaps are refused ('refuse') or read as 0 ('zero'), not {self.gaps!r}")

    def on_wire(self, number: int) -> int:
        """The address on the wire of the register that the page calls ``number``."""
        return number - self.first_address


DIRECT: Final = MapParameters(functions=frozenset({3}), low_word_first=True)
"""Addresses as on the wire, function 03, low word first: what the Coriolis meters' fielded reader assumes."""


@dataclass(frozen=True, slots=True)
class Field:
    """One value of a map.

    Attributes:
        number: first register, as the page counts.
        name: as the code calls it.
        kind: how it is written.
        access: R or RW.
        decimals: of the number that the registers hold; a unit of the last place is 10**-decimals.
        unit: of the number, "" for codes.
        meaning: for the published page.
    """

    number: int
    name: str
    kind: Kind
    access: Access
    decimals: int
    unit: str
    meaning: str

    def encode(self, value: float, *, low_word_first: bool) -> list[int]:
        """The registers that hold ``value``; integers count units of the last place.

        Raises:
            LocalProtocolError: it does not fit.
        """
        if self.kind is Kind.FLOAT:
            words = list(struct.unpack(">HH", struct.pack(">f", value)))
        else:
            words = self._whole(int(value))
        return words[::-1] if low_word_first else words

    def decode(self, registers: Sequence[int], *, low_word_first: bool) -> float:
        """The value in ``registers``: an integer, or a float for `Kind.FLOAT`.

        Raises:
            LocalProtocolError: another number of registers.
            ValueError: a BCD register with a digit that is none.
        """
        if len(registers) != self.kind.registers:
            raise LocalProtocolError(f"{self.name}: {len(registers)} registers, not {self.kind.registers}")
        words = registers[::-1] if low_word_first else registers
        value = 0
        for word in words:
            value = value << 16 | word
        if self.kind is Kind.FLOAT:
            decoded: float = struct.unpack(">f", value.to_bytes(4, "big"))[0]
            return decoded
        if self.kind is Kind.I16:
            return value - 0x10000 if value & 0x8000 else value
        if self.kind in _DIGITS:
            digits = f"{value:0{_DIGITS[self.kind]}x}"
            if not digits.isdecimal():
                raise ValueError(f"{self.name}: {digits.upper()} is no packed decimal number")
            return int(digits)
        return value

    def _whole(self, value: int) -> list[int]:
        low, high = _BOUNDS[self.kind]
        if not low <= value <= high:
            raise LocalProtocolError(f"{self.name}: {value} does not fit {self.kind.value}")
        if self.kind in _DIGITS:
            value = int(f"{value:0{_DIGITS[self.kind]}d}", 16)
        return [value >> 16 * place & 0xFFFF for place in range(self.kind.registers - 1, -1, -1)]


_DIGITS: Final = {Kind.BCD8: 8, Kind.BCD12: 12}
_BOUNDS: Final = {
    Kind.U16: (0, 0xFFFF),
    Kind.I16: (-0x8000, 0x7FFF),
    Kind.U32: (0, 0xFFFF_FFFF),
    Kind.BCD8: (0, 10**8 - 1),
    Kind.BCD12: (0, 10**12 - 1),
}


def span(fields: Iterable[Field]) -> tuple[int, int]:
    """(first number, count of registers) from the first field to the end of the last."""
    ordered = sorted(fields, key=lambda field: field.number)
    last = ordered[-1]
    return ordered[0].number, last.number + last.kind.registers - ordered[0].number
