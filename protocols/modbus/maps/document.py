"""Writes the published page of the foreign Modbus maps from their definition.

``python -m protocols.modbus.maps.document docs/modbus-foreign-maps.md`` writes it; without an argument it is printed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from protocols.pages import table, write_page

from .cng import CNG_FIELDS, CNG_UNKNOWN, EndOfSale
from .coriolis import PROFILES, Quantity

__all__ = ["main", "maps_page"]

_INTRODUCTION = """\
# Modbus maps of other makers

<!-- Written by `python -m protocols.modbus.maps.document`; edit protocols/modbus/maps/ instead. -->

Beside [our own map](modbus-register-map.md) a simulated dispenser can speak a CNG dispenser's, and there are two Coriolis meters as
they sit inside gas dispensers. Each rests on one public source, so nobody is failed by it. What the source leaves open is a
parameter, and both ends have to be given the same.

Functions 03 and 04 read (as the parameters say), 06 and 16 write, 05 writes a coil where there is one; every other function gets
exception 1. Counts and lengths that the specification forbids get exception 3, an address without a meaning or a write to a
register marked R exception 2, a value that the device refuses exception 3, one that it cannot take now exception 6. All registers
of one read are of one instant; a value of several registers is written whole or not at all.
"""

_CNG = """\
## CNG dispenser (Compac C5000)

Source: the service manual's page on easymanua.ls (printed page 106) and the contents of "C4000 Channel 2 Modbus Application" v1.4;
end-of-sale codes from the C4000 manual, page 57. Numbers are the page's. Decimals in italics are our own reading.

The dispenser starts by itself when its nozzle is lifted; a controller has the lock, the price and the pressures. Nothing is kept for
a controller that was away: the last sale stands until the next one begins, and the hose totals tell whether one was missed.
"""

_ASSUMED_DECIMALS = frozenset(
    {
        "total_quantity",
        "total_amount",
        "pressure",
        "ambient_temperature",
        "gas_temperature",
        "start_pressure",
        "end_pressure",
    }
)

_CORIOLIS = """\
## Coriolis meters

Source: ycxzfforever/LNG_V2.X_NEW, `src/modbus.c`, the firmware of a fielded LNG dispenser. RTU, 8N1, 9600 baud unless set otherwise;
that firmware expects unit 1 for gas and 2 for liquid. Addresses are those on the wire. A number is an IEEE float in two registers,
the low word first and each word's high byte first. After a reset the firmware reads the total again and wants less than 0.01 kg.
A scan list has five slots: a code written to its set-up register chooses what a slot holds, and one read brings all five.
"""


def maps_page() -> str:
    """Return the page as Markdown."""
    fields = table(
        "| register | name | type | access | decimals | unit | meaning |",
        "|---:|---|---|---|---:|---|---|",
        (
            f"| {field.number:04} | `{field.name}` | {field.kind.value} | {field.access.value} | {_decimals(field.name, field.decimals)} "
            f"| {field.unit} | {field.meaning} |"
            for field in CNG_FIELDS
        ),
    )
    codes = ", ".join(f"{code.value} {code.name.lower().replace('_', ' ')}" for code in EndOfSale)
    unknown = "\n".join(f"- {what}" for what in CNG_UNKNOWN)
    meters = table(
        "| | " + " | ".join(PROFILES) + " |",
        "|---|" + "---|" * len(PROFILES),
        (f"| {what} | " + " | ".join(map(str, values)) + " |" for what, *values in _meter_rows()),
    )
    return "\n".join(
        [
            _INTRODUCTION,
            _CNG,
            fields,
            f"End-of-sale codes: {codes}; 12-18 display errors, 20-22 triac.\n",
            "What the page leaves open, and is therefore set:\n",
            f"{unknown}\n",
            _CORIOLIS,
            meters,
        ]
    )


def _decimals(name: str, decimals: int) -> str:
    return f"*{decimals}*" if name in _ASSUMED_DECIMALS else str(decimals)


def _meter_rows() -> list[tuple[object, ...]]:
    profiles = PROFILES.values()
    return [
        ("mass flow, kg/min (function 03, 2 registers)", *(profile.mass_flow for profile in profiles)),
        ("total, kg (function 03, 2 registers)", *(profile.total for profile in profiles)),
        ("own unit (function 03)", *(profile.own_address for profile in profiles)),
        (
            "reset of the total",
            *(
                f"coil {profile.reset_coil} = FF00 (05)"
                if profile.reset_coil is not None
                else f"register {profile.reset_register} = 1 (06)"
                for profile in profiles
            ),
        ),
        ("scan list, set-up of slot n (06)", *(f"{profile.scan_setup} + n" for profile in profiles)),
        ("scan list, values (function 03, 10 registers)", *(profile.scan_values for profile in profiles)),
        *(
            (f"code of {quantity.value}", *(profile.codes[quantity] for profile in profiles))
            for quantity in Quantity
        ),
    ]


def main(arguments: Sequence[str]) -> int:
    """Write the page to the file named, or print it. Returns the exit code."""
    return write_page("protocols.modbus.maps.document", maps_page, arguments)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
