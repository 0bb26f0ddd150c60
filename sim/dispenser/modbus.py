"""The Modbus personality: a dispenser behind the register map of `protocols.modbus`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, Literal

from protocols.modbus import (
    GRADE_CODES,
    MAP_IDENTITY,
    MAP_VERSION,
    ExceptionCode,
    Framing,
    ModbusServer,
    Refusal,
    RegisterBank,
    Scope,
)
from protocols.sansio import Outgoing

from .modbus_point import PointRegisters
from .model import Dispenser

__all__ = ["ModbusConnection", "ModbusDispenser"]

_U64: Final = 0xFFFF_FFFF_FFFF_FFFF


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
            block: PointRegisters(dispenser.fuelling_points[number]) for number, block in self.blocks.items()
        }
        self._bank = RegisterBank(
            self, {block: tuple(held.point.nozzles) for block, held in self._points.items()}
        )
        self._held = tuple(self._points.values())
        self.framing = framing
        self._options = (framing, baud, absent_unit, silence_us)
        self._version = 0
        self._connections: list[ModbusConnection] = []
        self._first = self.connection()
        for held in self._points.values():
            held.point.on_change = self._wake

    def connection(self) -> ModbusConnection:
        """Another connection to the same dispenser, with its own framing state; `ModbusConnection.close` ends it."""
        connection = ModbusConnection(self, self._server())
        self._connections.append(connection)
        return connection

    def _server(self) -> ModbusServer:
        framing, baud, absent_unit, silence_us = self._options
        return ModbusServer(
            self._bank,
            self.unit_id,
            framing=framing,
            baud=baud,
            absent_unit=absent_unit,
            silence_us=silence_us,
        )

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
        return not any(held.changed or held.moving for held in self._points.values())

    @property
    def idle_gap_us(self) -> int:
        """See `sim.wires.carried`."""
        return self._first.server.silence_us

    def idle_answer(self, poll: bytes) -> bytes | None:
        """See `sim.wires.carried`."""
        return self._first.server.idle_answer(poll) if self.dispenser.powered else b""

    def idle_heard(self, poll: bytes, heard_us: int) -> None:
        """See `sim.wires.carried`; nothing here remembers it."""

    def generation(self) -> int | None:
        """See `protocols.modbus.RegisterSource`."""
        total = self._version
        for held in self._held:
            if held.moving:
                return None
            total += held.version
        return total

    def read_register(self, scope: Scope, name: str, now_us: int) -> int:
        """See `protocols.modbus.RegisterSource`."""
        if not scope.fuelling_point:
            return self._read_device(name)
        held = self._points[scope.fuelling_point]
        if not scope.nozzle:
            return held.reader(name)(now_us)
        nozzle = held.point.nozzles[scope.nozzle]
        if name == "price":
            return nozzle.price_fen_per_l
        if name == "grade":
            return GRADE_CODES.get(nozzle.grade, 0)
        volume_ml, amount = held.point.totals(scope.nozzle, now_us)
        return (volume_ml if name == "total_volume" else amount) & _U64

    def register_reader(self, scope: Scope, name: str) -> Callable[[int], int]:
        """See `protocols.modbus.ReaderSource`."""
        if scope.fuelling_point and not scope.nozzle:
            return self._points[scope.fuelling_point].reader(name)
        return partial(self.read_register, scope, name)

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
        self._version += 1
        for connection in tuple(self._connections):
            if connection.on_wake is not None:
                connection.on_wake()


class ModbusConnection:
    """A `Machine`: one connection to a `ModbusDispenser`."""

    def __init__(self, device: ModbusDispenser, server: ModbusServer) -> None:
        self.on_wake: Callable[[], None] | None = None
        self._device = device
        self._dispenser = device.dispenser
        self.server = server
        self._is_tcp = server.framing == "tcp"  # then the line has no timer

    @property
    def wants_close(self) -> bool:
        """TCP: the peer sent something that is no Modbus; the host should close the connection."""
        return self.server.wants_close

    def connection_made(self, now_us: int) -> None:
        """From hosts of connections: a new one stands."""
        self.server.connection_made(now_us)

    def close(self) -> None:
        """No host will drive this connection again."""
        self._device.forget(self)
        self.on_wake = None

    def receive_data(self, data: bytes, now_us: int) -> None:
        """See `protocols.sansio.Machine`. Without power nothing is heard."""
        self._dispenser.handle_timer(now_us)
        if self._dispenser.powered:
            self.server.receive_data(data, now_us)

    def data_to_send(self, now_us: int) -> list[Outgoing]:
        """See `protocols.sansio.Machine`."""
        out = self.server.data_to_send(now_us)
        return out if self._dispenser.powered else []

    def next_timer(self) -> int | None:
        """The earliest timer of the model and of the line."""
        model = self._dispenser.next_timer()
        if self._is_tcp:
            return model
        line = self.server.next_timer()
        if model is None or line is None:
            return line if model is None else model
        return min(model, line)

    def handle_timer(self, now_us: int) -> None:
        """See `protocols.sansio.Machine`."""
        self._dispenser.handle_timer(now_us)
        self.server.handle_timer(now_us)
