"""What a controller reads and writes: register contents as values, commands as registers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from .registers import (
    DEVICE,
    FUELLING_POINT,
    NOZZLE,
    Access,
    Command,
    CommandResult,
    PresetKind,
    Register,
    base_of_fuelling_point,
    base_of_nozzle,
)

__all__ = [
    "DEVICE_COUNT",
    "NOZZLE_COUNT",
    "POINT_COUNT",
    "DeviceImage",
    "NozzleImage",
    "PointImage",
    "SaleImage",
    "acknowledge_write",
    "command_write",
    "decode_device",
    "decode_nozzle",
    "decode_point",
    "nozzle_read",
    "point_read",
    "price_write",
]

_BY_NAME: Final = {register.name: register for register in FUELLING_POINT}
_RESULT_END = _BY_NAME["last_result"]

POINT_COUNT: Final = _RESULT_END.offset + _RESULT_END.width
"""Registers from a fuelling point's base on that one poll reads: all its read-only ones, of one instant."""

DEVICE_COUNT: Final = sum(register.width for register in DEVICE)
NOZZLE_COUNT: Final = sum(register.width for register in NOZZLE)


@dataclass(frozen=True, slots=True)
class DeviceImage:
    """The block at address 0."""

    identity: int
    map_version: int
    fuelling_points: int
    restarts: int


@dataclass(frozen=True, slots=True)
class SaleImage:
    """The oldest delivery that was not acknowledged. Units are in the names; durations and ages in ms."""

    sequence: int
    logical_nozzle: int
    flags: int
    volume_ml: int
    amount_fen: int
    price_fen_per_l: int
    end_total_volume_ml: int
    end_total_amount_fen: int
    duration_ms: int
    age_ms: int


@dataclass(frozen=True, slots=True)
class PointImage:
    """One fuelling point at one instant. Nozzles are logical numbers, 0 for none."""

    state: int
    nozzle_out: int
    status_bits: int
    price_fen_per_l: int
    volume_ml: int
    amount_fen: int
    last_sequence: int
    waiting_sales: int
    delivering_nozzle: int
    sale: SaleImage | None
    last_token: int
    last_result: CommandResult | int


@dataclass(frozen=True, slots=True)
class NozzleImage:
    """One nozzle's block."""

    price_fen_per_l: int
    grade_code: int
    total_volume_ml: int
    total_amount_fen: int


def point_read(point: int) -> tuple[int, int]:
    """(address, count) of the read whose answer `decode_point` takes."""
    return base_of_fuelling_point(point), POINT_COUNT


def nozzle_read(point: int, logical_nozzle: int) -> tuple[int, int]:
    """(address, count) of the read whose answer `decode_nozzle` takes."""
    return base_of_nozzle(point, logical_nozzle), NOZZLE_COUNT


def decode_device(registers: Sequence[int]) -> DeviceImage:
    """Decode the first `DEVICE_COUNT` registers. Raises ValueError for another length."""
    return DeviceImage(**_values(DEVICE, registers, DEVICE_COUNT))


def decode_nozzle(registers: Sequence[int]) -> NozzleImage:
    """Decode a nozzle's `NOZZLE_COUNT` registers. Raises ValueError for another length."""
    values = _values(NOZZLE, registers, NOZZLE_COUNT)
    return NozzleImage(values["price"], values["grade"], values["total_volume"], values["total_amount"])


def decode_point(registers: Sequence[int]) -> PointImage:
    """Decode a fuelling point's first `POINT_COUNT` registers. Raises ValueError for another length."""
    values = _values(_POINT_READABLE, registers, POINT_COUNT)
    sale = None
    if values["sale_sequence"]:
        sale = SaleImage(
            sequence=values["sale_sequence"],
            logical_nozzle=values["sale_nozzle"],
            flags=values["sale_flags"],
            volume_ml=values["sale_volume"],
            amount_fen=values["sale_amount"],
            price_fen_per_l=values["sale_price"],
            end_total_volume_ml=values["sale_end_total_volume"],
            end_total_amount_fen=values["sale_end_total_amount"],
            duration_ms=values["sale_duration"],
            age_ms=values["sale_age"],
        )
    result = values["last_result"]
    return PointImage(
        state=values["state"],
        nozzle_out=values["nozzle_out"],
        status_bits=values["status_bits"],
        price_fen_per_l=values["display_price"],
        volume_ml=values["display_volume"],
        amount_fen=values["display_amount"],
        last_sequence=values["last_sequence"],
        waiting_sales=values["waiting_sales"],
        delivering_nozzle=values["delivering_nozzle"],
        sale=sale,
        last_token=values["last_token"],
        last_result=CommandResult(result) if result in _RESULTS else result,
    )


def acknowledge_write(point: int, sequence: int) -> tuple[int, list[int]]:
    """(address, registers) of the write that acknowledges a sale."""
    register = _BY_NAME["acknowledge"]
    return base_of_fuelling_point(point) + register.offset, _words(sequence, register)


def price_write(point: int, logical_nozzle: int, price_fen_per_l: int) -> tuple[int, list[int]]:
    """(address, registers) of the write that sets a unit price. Raises ValueError when it does not fit."""
    return base_of_nozzle(point, logical_nozzle), _words(price_fen_per_l, NOZZLE[0])


def command_write(
    point: int,
    command: Command,
    *,
    token: int = 0,
    allowed_nozzles: Sequence[int] = (),
    preset_ml: int | None = None,
    preset_fen: int | None = None,
) -> tuple[int, list[int]]:
    """(address, registers) of the write that gives a command with its parameters in one request.

    Args:
        point: fuelling point of the unit, 1..64.
        command: what to do.
        token: 1..65,535 makes the request repeatable; it must differ from the one before. 0: none.
        allowed_nozzles: logical numbers; empty: all.
        preset_ml: volume preset.
        preset_fen: amount preset.

    Raises:
        ValueError: both presets, or a value that does not fit its registers.
    """
    if preset_ml is not None and preset_fen is not None:
        raise ValueError("a delivery has a volume preset or an amount preset, not both")
    kind, value = PresetKind.NONE, 0
    if preset_ml is not None:
        kind, value = PresetKind.VOLUME_ML, preset_ml
    elif preset_fen is not None:
        kind, value = PresetKind.AMOUNT_FEN, preset_fen
    allowed = 0
    for logical in allowed_nozzles:
        allowed |= 1 << (logical - 1)
    registers: list[int] = []
    for name, number in (
        ("token", token),
        ("allowed_nozzles", allowed),
        ("preset_kind", kind),
        ("preset_value", value),
        ("command", command),
    ):
        registers += _words(number, _BY_NAME[name])
    return base_of_fuelling_point(point) + _BY_NAME["token"].offset, registers


_POINT_READABLE: Final = tuple(register for register in FUELLING_POINT if register.access is Access.READ)
_RESULTS: Final = frozenset(int(result) for result in CommandResult)


def _words(value: int, register: Register) -> list[int]:
    if not 0 <= value < 1 << 16 * register.width:
        raise ValueError(f"{register.name}: {value} does not fit {register.width} register(s)")
    return [value >> 16 * place & 0xFFFF for place in range(register.width - 1, -1, -1)]


def _values(block: Sequence[Register], registers: Sequence[int], count: int) -> dict[str, int]:
    if len(registers) != count:
        raise ValueError(f"{len(registers)} registers where {count} were expected")
    values: dict[str, int] = {}
    for register in block:
        value = 0
        for word in registers[register.offset : register.offset + register.width]:
            value = value << 16 | word
        values[register.name] = value
    return values
