"""Blocks to transactions. Nothing a peer sends raises: what is unknown or impossible is a transaction of its own kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias, TypeVar

from protocols.bcd import decode_bcd
from protocols.dart.transactions import (
    AllowedNozzles,
    Command,
    CommandCode,
    ControllerTransaction,
    FilledReport,
    MalformedTransaction,
    NozzleReport,
    PresetAmount,
    PresetVolume,
    PumpStatus,
    PumpTransaction,
    StatusReport,
    TotalsReport,
    TotalsRequest,
    UnitPrices,
    UnknownTransaction,
)

__all__ = ["decode_from_controller", "decode_from_pump", "plausible"]

_T = TypeVar("_T")
_Leftover: TypeAlias = UnknownTransaction | MalformedTransaction


def decode_from_controller(block: bytes) -> tuple[ControllerTransaction, ...]:
    """What a controller said to a pump. Never raises: bad parts are `MalformedTransaction`."""
    return tuple(_walk(block, _FROM_CONTROLLER))


def decode_from_pump(block: bytes) -> tuple[PumpTransaction, ...]:
    """What a pump said to a controller. Never raises: bad parts are `MalformedTransaction`."""
    digits = block.hex()
    if len(digits) == 20 and digits.isdecimal() and digits.startswith("0208"):
        # While fuel flows nearly every block is one DC2: the transactions need not be looked for.
        return (FilledReport(volume_units=int(digits[4:12]), amount_units=int(digits[12:])),)
    return tuple(_walk(block, _FROM_PUMP))


def plausible(block: bytes) -> bool:
    """Whether the block is cut exactly into known transactions with lengths that they can have, in either direction."""
    offset = 0
    while offset < len(block):
        if offset + 1 == len(block):
            return False
        size = block[offset + 1]
        match block[offset]:
            case 0x01:
                fits = size == 1
            case 0x02:
                fits = True
            case 0x03 | 0x04:
                fits = size == 4
            case 0x05:
                fits = size % 3 == 0
            case 0x65:
                fits = size in {1, 13, 16}
            case _:
                fits = False
        if not fits:
            return False
        offset += 2 + size
    return offset == len(block)


class _MalformedError(Exception):
    """Inside this module only: the contents of one transaction are impossible."""


def _walk(block: bytes, decoders: Mapping[int, Callable[[bytes], _T]]) -> list[_T | _Leftover]:
    found: list[_T | _Leftover] = []
    offset = 0
    while offset < len(block):
        end = offset + 2 + block[offset + 1] if offset + 1 < len(block) else len(block) + 1
        raw = block[offset:end]
        if end > len(block):
            found.append(MalformedTransaction(raw=raw, reason="runs past the end of the block"))
            break
        decoder = decoders.get(raw[0])
        if decoder is None:
            found.append(UnknownTransaction(trans=raw[0], data=raw[2:]))
        else:
            try:
                found.append(decoder(raw[2:]))
            except _MalformedError as malformed:
                found.append(MalformedTransaction(raw=raw, reason=str(malformed)))
        offset = end
    return found


def _length(data: bytes, size: int) -> None:
    if len(data) != size:
        raise _MalformedError(f"LNG is {len(data)}, not {size}")


def _number(data: bytes) -> int:
    value = decode_bcd(data)
    if value is None:
        raise _MalformedError(f"{data.hex(' ').upper()} is no BCD number")
    return value


def _command(data: bytes) -> Command:
    _length(data, 1)
    code = _COMMANDS.get(data[0])
    if code is None:
        raise _MalformedError(f"command 0x{data[0]:02X} is none that we know")
    return Command(code=code)


def _allowed_nozzles(data: bytes) -> AllowedNozzles:
    if any(not 1 <= nozzle <= 15 for nozzle in data):
        raise _MalformedError("a logical nozzle is outside 1..15")
    return AllowedNozzles(nozzles=tuple(data))


def _preset_volume(data: bytes) -> PresetVolume:
    _length(data, 4)
    return PresetVolume(volume_units=_number(data))


def _preset_amount(data: bytes) -> PresetAmount:
    _length(data, 4)
    return PresetAmount(amount_units=_number(data))


def _unit_prices(data: bytes) -> UnitPrices:
    if not data or len(data) % 3:
        raise _MalformedError(f"LNG is {len(data)}, not a multiple of 3")
    return UnitPrices(prices_units=tuple(_number(data[at : at + 3]) for at in range(0, len(data), 3)))


def _totals_request(data: bytes) -> TotalsRequest:
    _length(data, 1)
    return TotalsRequest(counter=data[0])


def _status(data: bytes) -> StatusReport:
    _length(data, 1)
    status = _STATUSES.get(data[0])
    if status is None:
        raise _MalformedError(f"status 0x{data[0]:02X} is none that we know")
    return StatusReport(status=status)


def _filled(data: bytes) -> FilledReport:
    _length(data, 8)
    digits = data.hex()
    if not digits.isdecimal():
        _number(data[:4])  # these say which of the two is no number
        _number(data[4:])
    return FilledReport(volume_units=int(digits[:8]), amount_units=int(digits[8:]))


def _nozzle(data: bytes) -> NozzleReport:
    _length(data, 4)
    nozio = data[3]
    return NozzleReport(
        price_units=_number(data[:3]), nozzle=nozio & 0x0F, out=bool(nozio & 0x10), reserved=nozio >> 5
    )


def _totals(data: bytes) -> TotalsReport:
    if len(data) not in {13, 16}:
        raise _MalformedError(f"LNG is {len(data)}, not 16 (or 13 on Chinese card pumps)")
    total = _number(data[1:6])
    if len(data) == 13:
        return TotalsReport(counter=data[0], total_units=total, tail=data[6:])
    return TotalsReport(
        counter=data[0],
        total_units=total,
        second_units=_number(data[6:11]),
        third_units=_number(data[11:]),
    )


_COMMANDS: Final[Mapping[int, CommandCode]] = MappingProxyType({int(code): code for code in CommandCode})
_STATUSES: Final[Mapping[int, PumpStatus]] = MappingProxyType({int(status): status for status in PumpStatus})

_FROM_CONTROLLER: Final[Mapping[int, Callable[[bytes], ControllerTransaction]]] = MappingProxyType(
    {
        0x01: _command,
        0x02: _allowed_nozzles,
        0x03: _preset_volume,
        0x04: _preset_amount,
        0x05: _unit_prices,
        0x65: _totals_request,
    }
)

_FROM_PUMP: Final[Mapping[int, Callable[[bytes], PumpTransaction]]] = MappingProxyType(
    {0x01: _status, 0x02: _filled, 0x03: _nozzle, 0x65: _totals}
)
