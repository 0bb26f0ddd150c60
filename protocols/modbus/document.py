"""Writes the published page of the register map from its definition.

``python -m protocols.modbus.document docs/modbus-register-map.md`` writes it; without an argument it is printed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from protocols.pages import table, write_page

from .registers import (
    DEVICE,
    FUELLING_POINT,
    FUELLING_POINT_STRIDE,
    NOZZLE,
    NOZZLE_BASE,
    NOZZLE_STRIDE,
    Register,
)

__all__ = ["main", "register_map_page"]

_INTRODUCTION = """\
# Modbus register map of a dispenser

<!-- Written by `python -m protocols.modbus.document`; edit protocols/modbus/registers.py instead. -->

An open map, made for this project; no maker's map was copied. One Modbus unit is one dispenser with up to 64 fuelling
points.

- Functions: 03 read holding registers, 04 read input registers (the same registers at the same addresses), 06 write
  single register, 16 write multiple registers. Every other function gets exception 1.
- Addresses are those on the wire: the first register is 0. `mbpoll` counts from 1 unless it is given `-0`.
- Values of several registers are unsigned, big-endian, the most significant register first. All registers of one read are
  of one instant. A value of several registers must be written whole, in one request (otherwise exception 3).
- A read or write that touches an address outside the tables, or a write that touches a register marked R, gets exception 2
  and has no effect. Counts outside the Modbus limits get exception 3.
- On TCP the units 0 and 255 mean the dispenser at the end of the connection; another unit gets exception 11 (or silence, if so
  configured). On a serial line another unit gets silence, and a write to unit 0 is executed and not answered.
- Requests that arrive together are all answered, in order, each with its own transaction id.
"""

_SALES = f"""\
## Taking over sales exactly once

1. Read the block of a fuelling point (`{FUELLING_POINT_STRIDE}*k`, 35 registers). `sale_sequence` not 0: a delivery waits.
2. Store it safely, under its fuelling point and sequence number.
3. Write that number to `acknowledge`. The next delivery, if any, takes its place.

A reply that was lost is no harm: reading shows the same delivery again, and acknowledging it twice changes nothing. Sequence
numbers of a fuelling point have no gap.

## Giving commands

Write `token`, `allowed_nozzles`, `preset_kind`, `preset_value` and `command` in one request. The normal reply says that
the request arrived; `last_token` and `last_result` say what became of it. If no reply came, write the same again: the
token keeps it from being executed twice.
"""


def register_map_page() -> str:
    """Return the page as Markdown."""
    return "\n".join(
        [
            _INTRODUCTION,
            "## Device: from address 0\n",
            _table(DEVICE),
            f"## Fuelling point k (1..64): from address {FUELLING_POINT_STRIDE}*k\n",
            _table(FUELLING_POINT),
            f"## Nozzle n (1..8) of fuelling point k: from address {FUELLING_POINT_STRIDE}*k + {NOZZLE_BASE} + {NOZZLE_STRIDE}*(n-1)\n",
            _table(NOZZLE),
            _SALES,
        ]
    )


def _table(registers: Sequence[Register]) -> str:
    rows = []
    for register in registers:
        end = register.offset + register.width - 1
        offset = str(register.offset) if register.width == 1 else f"{register.offset}-{end}"
        rows.append(
            f"| {offset} | `{register.name}` | {register.width.name} | {register.access.value} | {register.unit} | {register.meaning} |"
        )
    return table("| offset | name | type | access | unit | meaning |", "|---:|---|---|---|---|---|", rows)


def main(arguments: Sequence[str]) -> int:
    """Write the page to the file named, or print it. Returns the exit code."""
    return write_page("protocols.modbus.document", register_map_page, arguments)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
