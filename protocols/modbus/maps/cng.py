"""The register map of a CNG dispenser: Compac C5000.

Source: one page of the makers' service manual (easymanua.ls, "Compac C5000", printed page 106), supported in part by the
table of contents of "C4000 Channel 2 Modbus Application" v1.4 (scribd.com, document 475579213); the end-of-sale codes are
those of the C4000 manual, page 57. One source: nobody is failed by it. The page does not tell the unit, the reading
function, the order of words and whether it counts registers from 0 or from 1: these four are `MapParameters`. Nor does it
tell the bits of both flag registers; those here are our own reading, and a driver should not build on them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum, IntFlag
from typing import Final

from protocols.modbus.registers import Access

from .fields import Field, Kind, MapParameters, span

__all__ = [
    "CNG_FIELDS",
    "CNG_UNKNOWN",
    "EndOfSale",
    "OperationFlag",
    "cng_reads",
    "cng_write",
    "decode_cng",
]

_R = Access.READ
_RW = Access.READ_WRITE


class EndOfSale(IntEnum):
    """Why the last sale ended; 0 while there was none, or one runs."""

    NONE = 0
    NOZZLE = 1
    PRESET = 2
    NO_FLOW = 3
    REMOTE_STOP = 4
    MAXIMUM = 5
    AIR_OR_GAS = 6
    ERROR = 7
    SEQUENCE = 8
    SUMP = 9
    BULK_SAFETY = 10
    NEW_WEIGHTS = 11
    CREEP = 19


class OperationFlag(IntFlag):
    """Bits of ``operation_flags``. Our own reading: the page names the register and not its bits."""

    NOZZLE_OUT = 1
    FILLING = 2
    SALE_ENDED = 4
    LOCKED = 8


CNG_UNKNOWN: Final = (
    "the unit",
    "the reading function: holding registers, input registers or both",
    "the order of words in values of several registers",
    "whether register 0100 has the address 100 or 99 on the wire",
    "the bits of `operation_flags` and `error_flags`",
    "the decimals of pressures, temperatures and hose totals where the page gives none",
    "whether registers between the tables can be read",
)
"""What the page leaves open."""

CNG_FIELDS: Final = (
    Field(100, "operation_flags", Kind.U16, _R, 0, "", "Operation flags; which bits is not published."),
    Field(101, "unit_price", Kind.U16, _R, 2, "yuan/kg", "Unit price of the sale, or of the next one."),
    Field(102, "quantity", Kind.U32, _R, 3, "kg", "Quantity of the sale."),
    Field(104, "amount", Kind.U32, _R, 2, "yuan", "Amount of the sale."),
    Field(106, "total_quantity", Kind.BCD12, _R, 2, "kg", "Quantity total of the hose."),
    Field(109, "total_amount", Kind.BCD12, _R, 2, "yuan", "Amount total of the hose."),
    Field(112, "pressure", Kind.U16, _R, 1, "bar", "Pressure at the hose."),
    Field(113, "flow", Kind.U16, _R, 2, "kg/min", "Flow."),
    Field(114, "error_flags", Kind.U16, _R, 0, "", "Error flags; which bits is not published."),
    Field(115, "ambient_temperature", Kind.I16, _R, 1, "°C", "Ambient temperature."),
    Field(116, "gas_temperature", Kind.I16, _R, 1, "°C", "Gas temperature."),
    Field(117, "tote_quantity", Kind.BCD8, _R, 2, "kg", "Quantity of the electronic tote."),
    Field(124, "end_of_sale", Kind.U16, _R, 0, "", "End-of-sale indicator, see the codes."),
    Field(125, "last_quantity", Kind.U32, _R, 3, "kg", "Quantity of the last sale."),
    Field(127, "last_amount", Kind.U32, _R, 2, "yuan", "Amount of the last sale."),
    Field(129, "last_gas_temperature", Kind.I16, _R, 1, "°C", "Gas temperature at its end."),
    Field(130, "start_pressure", Kind.U16, _R, 1, "bar", "Pressure at its start."),
    Field(131, "end_pressure", Kind.U16, _R, 1, "bar", "Pressure at its end."),
    Field(
        200,
        "lock",
        Kind.U16,
        _RW,
        0,
        "",
        "0 free, 1 locked: no sale begins, and one that runs is stopped. Lost at power-on unless parameter B begins with 1.",
    ),
    Field(201, "set_price", Kind.U16, _RW, 2, "yuan/kg", "Unit price to be set: 0 to 655.35."),
    Field(202, "target_pressure", Kind.U16, _RW, 0, "bar", "Target pressure, 0 to 350; 0 is none."),
    Field(203, "max_pressure", Kind.U16, _RW, 1, "bar", "Maximum fill pressure; 0 is none."),
    Field(204, "bank_sequence", Kind.U16, _RW, 0, "", "Bank sequence; the page cuts its list off."),
)
"""Registers as the page numbers them."""

_BY_NAME: Final = {field.name: field for field in CNG_FIELDS}
_BLOCKS: Final = tuple(
    tuple(field for field in CNG_FIELDS if first <= field.number < end)
    for first, end in ((100, 120), (124, 200), (200, 300))
)


def cng_reads(parameters: MapParameters) -> tuple[tuple[int, int], ...]:
    """(address on the wire, count) of the reads that bring the whole map, in the order that `decode_cng` wants."""
    return tuple((parameters.on_wire(first), count) for first, count in (span(fields) for fields in _BLOCKS))


def decode_cng(blocks: Sequence[Sequence[int]], parameters: MapParameters) -> Mapping[str, int]:
    """Name to value, in units of the last place, from the answers to `cng_reads`.

    Raises:
        ValueError: a block has another length, or a BCD register holds no number.
    """
    values = {}
    for (_, count), fields, registers in zip(cng_reads(parameters), _BLOCKS, blocks, strict=True):
        if len(registers) != count:
            raise ValueError(f"{len(registers)} registers where {count} were expected")
        for field in fields:
            at = field.number - fields[0].number
            words = registers[at : at + field.kind.registers]
            values[field.name] = int(field.decode(words, low_word_first=parameters.low_word_first))
    return values


def cng_write(name: str, value: int, parameters: MapParameters) -> tuple[int, list[int]]:
    """(address on the wire, registers) of the write that sets a field.

    Raises:
        ValueError: there is no such field, or it is read-only.
        LocalProtocolError: the value does not fit.
    """
    field = _BY_NAME.get(name)
    if field is None or field.access is not Access.READ_WRITE:
        raise ValueError(f"{name!r} cannot be written")
    words = field.encode(value, low_word_first=parameters.low_word_first)
    return parameters.on_wire(field.number), words
