"""The registers of one fuelling point: readings of the model, the parameters written, the last command's fate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from protocols.modbus import Command, CommandResult, ExceptionCode, PresetKind, Refusal, SaleFlag, StatusBit

from .events import Delivery, FpEvent, StateChanged
from .fuelling_point import FuellingPoint
from .states import FpState

__all__ = ["PointRegisters"]

_U32: Final = 0xFFFF_FFFF
_U64: Final = 0xFFFF_FFFF_FFFF_FFFF

_SALE_FLAGS: Final = {
    "preset": SaleFlag.PRESET,
    "terminated": SaleFlag.TERMINATED,
    "power-failure": SaleFlag.POWER_FAILURE,
    "no-flow-timeout": SaleFlag.NO_FLOW_TIMEOUT,
    "zero": SaleFlag.ZERO,
    "test": SaleFlag.TEST,
    "emergency-stop": SaleFlag.EMERGENCY,
    "breakaway": SaleFlag.EMERGENCY,
    "overrun": SaleFlag.OVERRUN,
    "clock-lost": SaleFlag.CLOCK_LOST,
}


class PointRegisters:
    """The registers of one fuelling point, by name.

    Attributes:
        point: the fuelling point.
        changed: something may read otherwise than when ``state`` was read last.
        version: counts whatever may change a register without the help of time.
    """

    def __init__(self, point: FuellingPoint) -> None:
        self.point = point
        self.changed = True
        self.version = 0
        self._written = {"token": 0, "allowed_nozzles": 0, "preset_kind": 0, "preset_value": 0, "command": 0}
        self._last_token = 0
        self._last_result = CommandResult.NONE
        self._readers = self._make_readers()
        point.listeners.append(self._on_event)

    def touch(self) -> None:
        """Some register may read otherwise now."""
        self.changed = True
        self.version += 1

    @property
    def moving(self) -> bool:
        """Registers move with time: volume and amount of a flow, the age of a waiting sale."""
        return self.point.flowing or bool(self.point.unacknowledged)

    def _on_event(self, event: FpEvent) -> None:
        self.touch()
        if isinstance(event, StateChanged) and event.old is FpState.INOPERATIVE:
            # A power cut forgets tokens; the restart counter tells drivers.
            self._last_token = 0
            self._last_result = CommandResult.NONE

    def reader(self, name: str) -> Callable[[int], int]:
        """What reads a register of `protocols.modbus.FUELLING_POINT` at a time (µs)."""
        return self._readers[name]

    def _make_readers(self) -> dict[str, Callable[[int], int]]:
        point, written = self.point, self._written
        readers: dict[str, Callable[[int], int]] = {
            "state": self._read_state,
            "nozzle_out": lambda _: point.nozzle_out or 0,
            "status_bits": self._read_status_bits,
            "display_price": lambda now_us: point.reading(now_us).price_fen_per_l,
            "display_volume": lambda now_us: point.reading(now_us).volume_ml & _U32,
            "display_amount": lambda now_us: point.reading(now_us).amount_fen & _U32,
            "last_sequence": lambda _: point.last_sequence,
            "waiting_sales": lambda _: min(len(point.unacknowledged), 0xFFFF),
            "delivering_nozzle": lambda _: point.delivering_nozzle or 0,
            "acknowledge": lambda _: point.acknowledged_sequence,
            "last_token": lambda _: self._last_token,
            "last_result": lambda _: int(self._last_result),
        }
        readers |= {name: self._sale_reader(take) for name, take in _OF_A_SALE.items()}
        return readers | {name: partial(_written_value, written, name) for name in written}

    def _read_state(self, _now_us: int) -> int:
        # The first register of the poll: the sale block that follows is of the same instant.
        self.changed = False
        return int(self.point.state)

    def _read_status_bits(self, _now_us: int) -> int:
        bits = StatusBit.FLOWING if self.point.flowing else StatusBit(0)
        if self.point.unacknowledged:
            bits |= StatusBit.SALE_WAITING
        if self.point.nozzle_out is not None:
            bits |= StatusBit.NOZZLE_OUT
        return int(bits)

    def _sale_reader(self, take: Callable[[Delivery, int], int]) -> Callable[[int], int]:
        """Reads the oldest sale that waits; 0 while none does."""
        point = self.point

        def read(now_us: int) -> int:
            waiting = point.unacknowledged
            return take(waiting[0], now_us) if waiting else 0

        return read

    def write(self, name: str, value: int, now_us: int) -> None:
        """Take a written value. Raises `Refusal` (3) for one that the map does not know."""
        self.version += 1
        if name == "acknowledge":
            if value == 0 or not self.point.acknowledge(value):
                raise Refusal(ExceptionCode.ILLEGAL_DATA_VALUE)
            self.touch()
            return
        if name == "command" and value not in _COMMAND_CODES:
            raise Refusal(ExceptionCode.ILLEGAL_DATA_VALUE)
        if name == "preset_kind" and value not in _PRESET_KINDS:
            raise Refusal(ExceptionCode.ILLEGAL_DATA_VALUE)
        self._written[name] = value
        if name == "command":
            self._command(Command(value), now_us)

    def _command(self, command: Command, now_us: int) -> None:
        # A token written alone belongs to the command that follows it, and is used up by it.
        token, self._written["token"] = self._written["token"], 0
        if token != 0 and token == self._last_token:
            return
        if command is Command.NONE:
            return
        self._last_token = token
        self._last_result = CommandResult.DONE if self._execute(command, now_us) else CommandResult.REFUSED
        self.touch()

    def _execute(self, command: Command, now_us: int) -> bool:
        point = self.point
        kind, value = self._written["preset_kind"], self._written["preset_value"]
        preset_ml = value if kind == PresetKind.VOLUME_ML else None
        preset_fen = value if kind == PresetKind.AMOUNT_FEN else None
        match command:
            case Command.OPEN:
                return point.open(now_us)
            case Command.CLOSE:
                return point.close(now_us)
            case Command.AUTHORISE:
                mask = self._written["allowed_nozzles"]
                allowed = (
                    [logical for logical in point.nozzles if mask >> (logical - 1) & 1] if mask else None
                )
                return point.authorise(
                    now_us, allowed_nozzles=allowed, preset_ml=preset_ml, preset_fen=preset_fen
                )
            case Command.TERMINATE:
                return point.terminate(now_us)
            case Command.SUSPEND:
                return point.suspend(now_us)
            case Command.RESUME:
                return point.resume(now_us)
            case Command.RESET:
                return point.reset(now_us)
            case _:  # SET_PRESET; NONE was sorted out before
                return point.set_preset(now_us, preset_ml=preset_ml, preset_fen=preset_fen)


def _written_value(written: Mapping[str, int], name: str, _now_us: int) -> int:
    return written[name]


def _sale_flags(sale: Delivery, _now_us: int) -> int:
    bits = SaleFlag(0)
    for flag in sale.flags:
        bits |= _SALE_FLAGS.get(flag, SaleFlag.OTHER)
    return int(bits)


_OF_A_SALE: Final[Mapping[str, Callable[[Delivery, int], int]]] = {
    "sale_sequence": lambda sale, _: sale.sequence,
    "sale_nozzle": lambda sale, _: sale.logical_nozzle,
    "sale_flags": _sale_flags,
    "sale_volume": lambda sale, _: sale.volume_ml & _U32,
    "sale_amount": lambda sale, _: sale.amount_fen & _U32,
    "sale_price": lambda sale, _: sale.price_fen_per_l,
    "sale_end_total_volume": lambda sale, _: sale.end_total_volume_ml & _U64,
    "sale_end_total_amount": lambda sale, _: sale.end_total_amount_fen & _U64,
    "sale_duration": lambda sale, _: min((sale.ended_us - sale.started_us) // 1000, _U32),
    "sale_age": lambda sale, now_us: min((now_us - sale.ended_us) // 1000, _U32),
}

_COMMAND_CODES: Final = frozenset(int(command) for command in Command)
_PRESET_KINDS: Final = frozenset(int(kind) for kind in PresetKind)
