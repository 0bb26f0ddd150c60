"""Coriolis mass meters as they sit inside LNG and CNG dispensers: two makes, as a fielded dispenser's firmware reads them.

Source: ycxzfforever/LNG_V2.X_NEW, src/modbus.c. One firmware: nobody is failed by it. RTU, 8N1, 9600 baud unless set
otherwise, unit 1 for the gas meter and 2 for the liquid one. Addresses are those on the wire. Numbers are IEEE floats with
the low word first and each word's high byte first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from protocols.modbus.registers import Access

from .fields import Field, Kind

__all__ = [
    "ENDRESS_HAUSER",
    "MICRO_MOTION",
    "PROFILES",
    "RESET_BELOW_KG",
    "SCAN_SLOTS",
    "CoriolisProfile",
    "Quantity",
    "decode_float",
    "decode_scan",
    "scan_setup",
]

SCAN_SLOTS: Final = 5
"""Numbers that one read of the scan list brings: ten registers."""

RESET_BELOW_KG: Final = 0.01
"""A total below this shows that the reset was obeyed."""


class Quantity(Enum):
    """What a slot of the scan list can be told to hold."""

    MASS_FLOW = "mass flow"
    TOTAL = "total"
    TEMPERATURE = "temperature"
    DENSITY = "density"
    DRIVE_GAIN = "drive gain"


@dataclass(frozen=True, slots=True, kw_only=True)
class CoriolisProfile:
    """The addresses of one make.

    Attributes:
        name: for people and options.
        mass_flow, total: floats, by function 03.
        own_address: the unit, one register.
        reset_coil: writing 1 to it by function 05 sets the total to 0; None where a register does that.
        reset_register: writing 1 to it by function 06 does; None where a coil does.
        scan_setup: slot n is chosen by writing a code to this register + n by function 06.
        scan_values: the slots' numbers, two registers each, by function 03.
        codes: what is written to choose a quantity.
    """

    name: str
    mass_flow: int
    total: int
    own_address: int
    reset_coil: int | None = None
    reset_register: int | None = None
    scan_setup: int
    scan_values: int
    codes: Mapping[Quantity, int]

    def fields(self) -> tuple[Field, ...]:
        """The registers, for a bank with the parameters `DIRECT`."""
        read, write = Access.READ, Access.READ_WRITE
        found = [
            Field(self.mass_flow, "mass_flow", Kind.FLOAT, read, 0, "kg/min", "Mass flow."),
            Field(self.total, "total", Kind.FLOAT, read, 0, "kg", "Mass total since its last reset."),
            Field(self.own_address, "own_address", Kind.U16, read, 0, "", "The unit."),
        ]
        if self.reset_register is not None:
            found.append(Field(self.reset_register, "reset", Kind.U16, write, 0, "", "1 resets the total."))
        for slot in range(SCAN_SLOTS):
            code, value = self.scan_setup + slot, self.scan_values + 2 * slot
            found.append(
                Field(code, f"scan_code_{slot}", Kind.U16, write, 0, "", f"Code of scan slot {slot}.")
            )
            found.append(
                Field(value, f"scan_value_{slot}", Kind.FLOAT, read, 0, "", f"Value of scan slot {slot}.")
            )
        return tuple(found)

    def coils(self) -> Mapping[int, str]:
        """Coil address to name."""
        return {} if self.reset_coil is None else {self.reset_coil: "reset"}


MICRO_MOTION: Final = CoriolisProfile(
    name="micro-motion",
    mass_flow=246,
    total=258,
    own_address=312,
    reset_coil=55,
    scan_setup=750,
    scan_values=782,
    codes={
        Quantity.MASS_FLOW: 0,
        Quantity.TOTAL: 2,
        Quantity.TEMPERATURE: 1,
        Quantity.DENSITY: 3,
        Quantity.DRIVE_GAIN: 47,
    },
)

ENDRESS_HAUSER: Final = CoriolisProfile(
    name="endress-hauser",
    mass_flow=2006,
    total=2609,
    own_address=4909,
    reset_register=2607,
    scan_setup=5000,
    scan_values=5050,
    codes={
        Quantity.MASS_FLOW: 2007,
        Quantity.TOTAL: 2610,
        Quantity.TEMPERATURE: 2017,
        Quantity.DENSITY: 2013,
        Quantity.DRIVE_GAIN: 9503,
    },
)

PROFILES: Final = {profile.name: profile for profile in (MICRO_MOTION, ENDRESS_HAUSER)}

_FLOAT: Final = Field(0, "number", Kind.FLOAT, Access.READ, 0, "", "")


def decode_float(registers: Sequence[int]) -> float:
    """The number in two registers, low word first."""
    return _FLOAT.decode(registers, low_word_first=True)


def scan_setup(profile: CoriolisProfile, quantities: Sequence[Quantity]) -> tuple[tuple[int, int], ...]:
    """(register, code) of the writes that choose what the scan list holds. Raises ValueError for too many."""
    if len(quantities) > SCAN_SLOTS:
        raise ValueError(f"a scan list has {SCAN_SLOTS} slots, not {len(quantities)}")
    return tuple(
        (profile.scan_setup + slot, profile.codes[quantity]) for slot, quantity in enumerate(quantities)
    )


def decode_scan(quantities: Sequence[Quantity], registers: Sequence[int]) -> Mapping[Quantity, float]:
    """What the scan list holds, from the ten registers. Raises ValueError for another number of them."""
    if len(registers) != 2 * SCAN_SLOTS:
        raise ValueError(f"{len(registers)} registers where {2 * SCAN_SLOTS} were expected")
    return {
        quantity: decode_float(registers[2 * slot : 2 * slot + 2]) for slot, quantity in enumerate(quantities)
    }
