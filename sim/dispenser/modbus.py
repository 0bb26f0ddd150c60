"""The Modbus personality: a dispenser behind the register map of `protocols.modbus`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

from protocols.modbus import (
    GRADE_CODES,
    MAP_IDENTITY,
    MAP_VERSION,
    Command,
    CommandResult,
    ExceptionCode,
    Framing,
    ModbusServer,
    PresetKind,
    Refusal,
    RegisterBank,
    SaleFlag,
    Scope,
    StatusBit,
)
from protocols.sansio import Outgoing

from .events import Delivery, FpEvent, StateChanged
from .fuelling_point import FuellingPoint
from .model import Dispenser
from .states import FpState

__all__ = ["ModbusConnection", "ModbusDispenser"]

_U32: Final = 0xFFFF_FFFF
_U64: Final = 0xFFFF_FFFF_FFFF_FFFF

_SALE_FLAGS: Final = {
    "preset": SaleFlag.PRESET,
    "terminated": SaleFlag.TERMINATED,
    "power-failure": SaleFlag.POWER_FAILURE,
    "no-flow-timeout": SaleFlag.NO_FLOW_TIMEOUT,
    "zero": SaleFlag.ZERO,
}


class _PointRegisters:
    """The registers of one fuelling point: readings of the model, the parameters written, the last command's fate."""

    def __init__(self, point: FuellingPoint) -> None:
        self.point = point
        self.changed = True
        self._written = {"token": 0, "allowed_nozzles": 0, "preset_kind": 0, "preset_value": 0, "command": 0}
        self._last_token = 0
        self._last_result = CommandResult.NONE
        point.listeners.append(self._on_event)

    def _on_event(self, event: FpEvent) -> None:
        self.changed = True
        if isinstance(event, StateChanged) and event.old is FpState.INOPERATIVE:
            # A power cut forgets tokens; the restart counter tells drivers.
            self._last_token = 0
            self._last_result = CommandResult.NONE

    def read(self, name: str, now_us: int) -> int:  # noqa: C901 - one line for each register
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
        if name == "acknowledge":
            if value == 0 or not self.point.acknowledge(value):
                raise Refusal(ExceptionCode.ILLEGAL_DATA_VALUE)
            self.changed = True
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
        self.changed = True

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


class ModbusDispenser:
    """A dispenser as one Modbus unit: a `Machine` on one wire, and the maker of more connections for a TCP listener.

    Fuelling points get the blocks 1..M of the unit in the order of their station numbers.

    Args:
        dispenser: the model; this personality serves its timers.
        unit_id: 1..247.
        framing: ``tcp`` or ``rtu``.
        baud: line speed, for the silence that ends an RTU frame.
        absent_unit: see `ModbusServer`.
        silence_us: see `ModbusServer`.

    Attributes:
        on_wake: set by the host of the first connection.
        framing: as given.
        blocks: fuelling point number in the station -> block 1..M.

    Raises:
        ValueError: a unit outside 1..247, or more than 64 fuelling points.
    """

    def __init__(
        self,
        dispenser: Dispenser,
        unit_id: int = 1,
        *,
        framing: Framing = "tcp",
        baud: int = 9_600,
        absent_unit: Literal["gateway", "silence"] = "gateway",
        silence_us: int | None = None,
    ) -> None:
        self.dispenser = dispenser
        self.unit_id = unit_id
        self.blocks = {
            number: block for block, number in enumerate(sorted(dispenser.fuelling_points), start=1)
        }
        self._points = {
            block: _PointRegisters(dispenser.fuelling_points[number]) for number, block in self.blocks.items()
        }
        self._bank = RegisterBank(
            self, {block: tuple(held.point.nozzles) for block, held in self._points.items()}
        )
        self.framing = framing
        self._options = (framing, baud, absent_unit, silence_us)
        self._connections: list[ModbusConnection] = []
        self._first = self.connection()
        for held in self._points.values():
            held.point.on_change = self._wake

    def connection(self) -> ModbusConnection:
        """Another connection to the same dispenser, with its own framing state; `ModbusConnection.close` ends it."""
        framing, baud, absent_unit, silence_us = self._options
        server = ModbusServer(
            self._bank,
            self.unit_id,
            framing=framing,
            baud=baud,
            absent_unit=absent_unit,
            silence_us=silence_us,
        )
        connection = ModbusConnection(self, server)
        self._connections.append(connection)
        return connection

    def forget(self, connection: ModbusConnection) -> None:
        """Used by `ModbusConnection.close`."""
        if connection in self._connections:
            self._connections.remove(connection)

    @property
    def on_wake(self) -> Callable[[], None] | None:
        """See `protocols.sansio.Machine`."""
        return self._first.on_wake

    @on_wake.setter
    def on_wake(self, wake: Callable[[], None] | None) -> None:
        self._first.on_wake = wake

    def connection_made(self, now_us: int) -> None:
        """From hosts of connections: a new one stands."""
        self._first.connection_made(now_us)

    def receive_data(self, data: bytes, now_us: int) -> None:
        """See `protocols.sansio.Machine`. Without power nothing is heard."""
        self._first.receive_data(data, now_us)

    def data_to_send(self, now_us: int) -> list[Outgoing]:
        """See `protocols.sansio.Machine`."""
        return self._first.data_to_send(now_us)

    def next_timer(self) -> int | None:
        """The earliest timer of the model and of the line."""
        return self._first.next_timer()

    def handle_timer(self, now_us: int) -> None:
        """See `protocols.sansio.Machine`."""
        self._first.handle_timer(now_us)

    def quiet(self, address: int) -> bool:
        """True when reading the unit ``address`` again would show what the last reading showed."""
        if address != self.unit_id or not self.dispenser.powered:
            return False
        # A waiting sale ages by the millisecond; and it wants to be fetched.
        return not any(
            held.changed or held.point.flowing or held.point.unacknowledged for held in self._points.values()
        )

    def read_register(self, scope: Scope, name: str, now_us: int) -> int:
        """See `protocols.modbus.RegisterSource`."""
        if not scope.fuelling_point:
            return self._read_device(name)
        held = self._points[scope.fuelling_point]
        if not scope.nozzle:
            return held.read(name, now_us)
        nozzle = held.point.nozzles[scope.nozzle]
        if name == "price":
            return nozzle.price_fen_per_l
        if name == "grade":
            return GRADE_CODES.get(nozzle.grade, 0)
        volume_ml, amount = held.point.totals(scope.nozzle, now_us)
        return (volume_ml if name == "total_volume" else amount) & _U64

    def write_register(self, scope: Scope, name: str, value: int, now_us: int) -> None:
        """See `protocols.modbus.RegisterSource`."""
        held = self._points[scope.fuelling_point]
        if not scope.nozzle:
            held.write(name, value, now_us)
            return
        if not 0 < value <= held.point.profile.max_price_fen_per_l:
            raise Refusal(ExceptionCode.ILLEGAL_DATA_VALUE)
        if not held.point.set_price(now_us, scope.nozzle, value):
            raise Refusal(ExceptionCode.SERVER_DEVICE_BUSY)

    def _read_device(self, name: str) -> int:
        match name:
            case "identity":
                return MAP_IDENTITY
            case "map_version":
                return MAP_VERSION
            case "fuelling_points":
                return len(self._points)
            case _:  # restarts
                return self.dispenser.power_ons & 0xFFFF

    def _wake(self) -> None:
        for connection in tuple(self._connections):
            if connection.on_wake is not None:
                connection.on_wake()


class ModbusConnection:
    """A `Machine`: one connection to a `ModbusDispenser`."""

    def __init__(self, device: ModbusDispenser, server: ModbusServer) -> None:
        self.on_wake: Callable[[], None] | None = None
        self._device = device
        self._dispenser = device.dispenser
        self._server = server

    @property
    def wants_close(self) -> bool:
        """TCP: the peer sent something that is no Modbus; the host should close the connection."""
        return self._server.wants_close

    def connection_made(self, now_us: int) -> None:
        """From hosts of connections: a new one stands."""
        self._server.connection_made(now_us)

    def close(self) -> None:
        """No host will drive this connection again."""
        self._device.forget(self)
        self.on_wake = None

    def receive_data(self, data: bytes, now_us: int) -> None:
        """See `protocols.sansio.Machine`. Without power nothing is heard."""
        self._dispenser.handle_timer(now_us)
        if self._dispenser.powered:
            self._server.receive_data(data, now_us)

    def data_to_send(self, now_us: int) -> list[Outgoing]:
        """See `protocols.sansio.Machine`."""
        out = self._server.data_to_send(now_us)
        return out if self._dispenser.powered else []

    def next_timer(self) -> int | None:
        """The earliest timer of the model and of the line."""
        model, line = self._dispenser.next_timer(), self._server.next_timer()
        if model is None or line is None:
            return line if model is None else model
        return min(model, line)

    def handle_timer(self, now_us: int) -> None:
        """See `protocols.sansio.Machine`."""
        self._dispenser.handle_timer(now_us)
        self._server.handle_timer(now_us)
