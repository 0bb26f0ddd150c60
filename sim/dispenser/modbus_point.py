"""The registers of one fuelling point: readings of the model, the parameters written, the last command's fate."""

from __future__ import annotations

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

    def read(self, name: str, now_us: int) -> int:  # noqa: C901 - one line for each register
        """The value of a register of `protocols.modbus.FUELLING_POINT`."""
        point = self.point
        match name:
            case "state":
                # The first register of the poll: the sale block that follows is of the same instant.
                self.changed = False
                return int(point.state)
            case "nozzle_out":
                return point.nozzle_out or 0
            case "status_bits":
                bits = StatusBit.FLOWING if point.flowing else StatusBit(0)
                if self._oldest_waiting() is not None:
                    bits |= StatusBit.SALE_WAITING
                if point.nozzle_out is not None:
                    bits |= StatusBit.NOZZLE_OUT
                return int(bits)
            case "display_price":
                return point.reading(now_us).price_fen_per_l
            case "display_volume":
                return point.reading(now_us).volume_ml & _U32
            case "display_amount":
                return point.reading(now_us).amount_fen & _U32
            case "last_sequence":
                return point.last_sequence
            case "waiting_sales":
                return min(len(point.unacknowledged), 0xFFFF)
            case "delivering_nozzle":
                return point.delivering_nozzle or 0
            case "acknowledge":
                return point.acknowledged_sequence
            case "last_token":
                return self._last_token
            case "last_result":
                return int(self._last_result)
            case _ if name.startswith("sale_"):
                return self._read_sale(name, now_us)
            case _:
                return self._written[name]

    def _oldest_waiting(self) -> Delivery | None:
        waiting = self.point.unacknowledged
        return waiting[0] if waiting else None

    def _read_sale(self, name: str, now_us: int) -> int:
        sale = self._oldest_waiting()
        if sale is None:
            return 0
        match name:
            case "sale_sequence":
                return sale.sequence
            case "sale_nozzle":
                return sale.logical_nozzle
            case "sale_flags":
                bits = SaleFlag(0)
                for flag in sale.flags:
                    bits |= _SALE_FLAGS.get(flag, SaleFlag.OTHER)
                return int(bits)
            case "sale_volume":
                return sale.volume_ml & _U32
            case "sale_amount":
                return sale.amount_fen & _U32
            case "sale_price":
                return sale.price_fen_per_l
            case "sale_end_total_volume":
                return sale.end_total_volume_ml & _U64
            case "sale_end_total_amount":
                return sale.end_total_amount_fen & _U64
            case "sale_duration":
                return min((sale.ended_us - sale.started_us) // 1000, _U32)
            case _:  # sale_age
                return min((now_us - sale.ended_us) // 1000, _U32)

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


_COMMAND_CODES: Final = frozenset(int(command) for command in Command)
_PRESET_KINDS: Final = frozenset(int(kind) for kind in PresetKind)
