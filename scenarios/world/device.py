"""One device on one wire, for a vendor who has nothing but a driver and a laptop: no site, no services, no people."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from fastapi import FastAPI

from protocols.aaff import Framer as AaFfFramer
from protocols.dart import Framer
from protocols.ifsf import StreamFramer
from protocols.modbus import TcpAssembler
from scenarios.loader import load
from scenarios.model import Line, Station
from scenarios.world.control import dispenser_control, printer_control
from scenarios.world.equipment import Equipment, build_equipment
from scenarios.world.gauge_control import StandingGauge, gauge_control
from scenarios.world.serving import HttpServer, open_port
from sim.gauge import GaugePort
from sim.kernel import WallKernel
from sim.printer import CHINESE_58MM, CHINESE_80MM, Printer, serve_printer_tcp
from sim.wires import (
    Capture,
    LineServer,
    MachineServer,
    NodeHost,
    PtyHost,
    SerialHost,
    SharedLine,
    serve_line_tcp,
    serve_machine_tcp,
)

__all__ = ["LINE", "Counted", "DeviceOnWire", "WirePlace", "dispenser_station"]

LINE: Final = "line"
"""Name of the one wire, in the control API and in captures."""

_HOST: Final = "127.0.0.1"
BROADCAST: Final = "127.255.255.255"
"""Heartbeats of a network node stay on the loopback network."""

_FOREVER_US: Final = 10 * 365 * 86_400 * 1_000_000
_PARITY: Final = {"dart": "O", "twowire": "E"}
"""Parity of the serial lines: DART is 8O1, Two-Wire 8E1, all others here are 8N1."""

FIRST_ADDRESS: Final = {"dart": 0x50, "ifsf": 0x21}
"""Line address of the first fuelling point; 1 for all other protocols."""


@dataclass(frozen=True, slots=True)
class WirePlace:
    """Where the device's wire ends.

    Attributes:
        kind: ``tcp`` listens, ``pty`` makes a pseudo-terminal, ``serial`` opens a device.
        host, port: for ``tcp``; port 0 takes any free one.
        path: for ``serial``.
    """

    kind: Literal["tcp", "pty", "serial"] = "tcp"
    host: str = _HOST
    port: int = 0
    path: Path | None = None


def dispenser_station(
    protocol: str,
    *,
    points: int,
    prices_fen_per_l: Mapping[str, int],
    first_address: int | None,
    baud: int,
    framing: Literal["serial", "tcp"],
) -> Station:
    """A station that is nothing but one dispenser: each fuelling point has a nozzle for each grade.

    On AA FF, where a gun is one nozzle, the fuelling points take turns with the grades.

    Args:
        protocol: of the line.
        points: how many fuelling points.
        prices_fen_per_l: grade to unit price; the grades' order gives the logical numbers of the nozzles.
        first_address: line address of fuelling point 1, the others follow it; None for the protocol's first.
        baud: of the line.
        framing: ``tcp`` for Modbus TCP and IFSF.

    Raises:
        ValueError: it cannot be (an address out of range, an unknown protocol); pydantic's own, one line a field.
    """
    grades = list(prices_fen_per_l)
    tanks = [
        {"tank": number, "grade": grade, "capacity_ml": 30_000_000, "stock_ml": 24_000_000}
        for number, grade in enumerate(grades, start=1)
    ]
    sides = [
        {
            "fuelling_point": point,
            "nozzles": [
                {"nozzle": (point - 1) * len(grades) + tank, "grade": grade, "tank": tank}
                for tank, grade in enumerate(grades, start=1)
                if protocol != "aaff" or (point - tank) % len(grades) == 0
            ],
        }
        for point in range(1, points + 1)
    ]
    first = FIRST_ADDRESS.get(protocol, 1) if first_address is None else first_address
    # A cabinet has four sides at most.
    cabinets = [
        {"name": f"dispenser-{start // 4 + 1}", "fuelling_points": sides[start : start + 4]}
        for start in range(0, points, 4)
    ]
    line = {
        "name": LINE,
        "protocol": protocol,
        "framing": framing,
        "baud": baud,
        "poll_period_ms": 10_000,  # nobody of ours polls it
        "points": [{"fuelling_point": n, "address": first + n - 1} for n in range(1, points + 1)],
    }
    parts = load("smoke").scenario.station.model_dump(mode="json")
    parts |= {
        "tanks": tanks,
        "dispensers": cabinets,
        "lines": [line],
        "prices_fen_per_l": dict(prices_fen_per_l),
    }
    return Station.model_validate(parts)


class Counted(Capture):
    """A capture that counts, and keeps the bytes only when they are wanted.

    Attributes:
        bytes_in, bytes_out: what the device heard and said.
        frames_in: whole frames heard, where the protocol has a reader; bursts otherwise.
        frames_out: bursts said, a frame each.
    """

    __slots__ = ("_device", "_keeps", "_read", "bytes_in", "bytes_out", "frames_in", "frames_out")

    def __init__(
        self, wire: str, device: str, *, keeps: bool, read: Callable[[bytes], Sequence[object]] | None
    ) -> None:
        super().__init__(wire)
        self.bytes_in = self.bytes_out = self.frames_in = self.frames_out = 0
        self._device = self.port(device)
        self._keeps = keeps
        self._read = read

    def record(self, t_us: int, port: int, data: bytes) -> None:
        """Count a burst, and record it if bytes are kept."""
        if port == self._device:
            self.bytes_out += len(data)
            self.frames_out += 1
        else:
            self.bytes_in += len(data)
            self.frames_in += 1 if self._read is None else len(self._read(data))
        if self._keeps:
            super().record(t_us, port, data)


def _reader(line: Line) -> Callable[[bytes], Sequence[object]] | None:
    if line.protocol == "dart":
        return Framer().feed
    if line.protocol == "modbus" and line.framing == "tcp":
        return TcpAssembler().feed
    if line.protocol == "ifsf":
        return StreamFramer().feed
    if line.protocol == "aaff":
        return AaFfFramer().feed
    return None


class DeviceOnWire:
    """A dispenser, a printer or a tank gauge on one wire, with its control API.

    Build it with `dispenser`, `receipt_printer` or `tank_gauge`, ``await start()`` inside a running loop, ``await stop()``.

    Args:
        kind: for people.
        place: where the wire ends.
        control_port: of the control API; 0 takes any free one.
        keep_capture: record every burst (`wire`).

    Attributes:
        control_port: the port asked for. where: what to connect to: ``127.0.0.1:PORT`` or a device path; after `start`.
        control: base URL of the control API; after `start`.
        wire: counters, and the capture.
        equipment, lines, kernel: as `scenarios.world.control` wants them of a world.
    """

    kernel: WallKernel

    def __init__(
        self, kind: str, place: WirePlace, *, control_port: int = 0, keep_capture: bool = False
    ) -> None:
        self.kind = kind
        self.place = place
        self.where = ""
        self.control = ""
        self.wire = Counted(LINE, kind, keeps=keep_capture, read=None)
        self.lines: dict[str, LineServer | MachineServer | NodeHost] = {}
        self.equipment = Equipment({}, {}, ())
        self.printer: Printer | None = None
        self.gauge: StandingGauge | None = None
        self._make_gauge: Callable[[Callable[[], int]], StandingGauge] | None = None
        self._line: Line | None = None
        self._baud = 9600
        self.control_port = control_port
        self._keep = keep_capture
        self._stack = AsyncExitStack()
        self._running: asyncio.Task[None] | None = None

    @classmethod
    def dispenser(
        cls, station: Station, place: WirePlace, *, control_port: int = 0, keep_capture: bool = False
    ) -> DeviceOnWire:
        """The dispensers on the first line of a station."""
        device = cls("dispenser", place, control_port=control_port, keep_capture=keep_capture)
        device._line = station.lines[0]
        device._baud = device._line.baud
        device.equipment = build_equipment(station)
        device.wire = Counted(LINE, "dispenser", keeps=keep_capture, read=_reader(device._line))
        return device

    @classmethod
    def receipt_printer(
        cls,
        model: Literal["generic-58mm", "generic-80mm"],
        place: WirePlace,
        *,
        baud: int = 9600,
        control_port: int = 0,
        keep_capture: bool = False,
    ) -> DeviceOnWire:
        """A receipt printer."""
        device = cls("printer", place, control_port=control_port, keep_capture=keep_capture)
        device._baud = baud
        device.printer = Printer(CHINESE_80MM if model == "generic-80mm" else CHINESE_58MM)
        return device

    @classmethod
    def tank_gauge(
        cls,
        make: Callable[[Callable[[], int]], StandingGauge],
        place: WirePlace,
        *,
        baud: int = 9600,
        control_port: int = 0,
        keep_capture: bool = False,
    ) -> DeviceOnWire:
        """A tank gauge; ``make`` gets the device's clock and is called by `start`."""
        device = cls("gauge", place, control_port=control_port, keep_capture=keep_capture)
        device._baud, device._make_gauge = baud, make
        return device

    async def start(self) -> None:
        """Open the wire and the control API; on failure nothing stays open.

        Raises:
            OSError: a port is in use, there is no such serial device, or it is not allowed.
        """
        try:
            self.kernel = WallKernel("device")
            self._stack.push_async_callback(self.kernel.close)
            if self._make_gauge is not None:
                self.gauge = self._make_gauge(self._now_us)
                await self._start_gauge(self.gauge)
            else:
                await (self._start_printer() if self.printer is not None else self._start_dispenser())
            listener = open_port(_HOST, self.control_port)
            self._stack.callback(listener.close)
            server = HttpServer(self._control_app(), listener)
            self._stack.push_async_callback(server.stop)
            await server.start()
            self.control = server.url
        except BaseException:
            await self.stop()
            raise
        self._running = asyncio.create_task(self.kernel.run(_FOREVER_US), name="device")

    @property
    def is_counted(self) -> bool:
        """Whether `wire` sees the bytes: not at a printer on TCP, which serves several connections by itself."""
        return self.printer is None or self.place.kind != "tcp"

    def _control_app(self) -> FastAPI:
        if self.printer is not None:
            return printer_control(self.printer, self._now_us)
        if self.gauge is not None:
            return gauge_control(self.gauge)
        return dispenser_control(self)

    def _now_us(self) -> int:
        return self.kernel.now_us

    async def _start_dispenser(self) -> None:
        line, cabinets = self._line, self.equipment.cabinets
        assert line is not None  # noqa: S101 - `dispenser` has set it
        machine: Any = SharedLine([cabinet.machine for cabinet in cabinets])
        if self.place.kind != "tcp":
            await self._start_serial(machine, parity=_PARITY.get(line.protocol, "N"))
            return
        if line.protocol == "ifsf":
            # A node is found by its heartbeats: the place is where they are heard.
            machine = cabinets[0].machine
            place = (BROADCAST, self.place.port)
            node = NodeHost(machine, self._now_us, broadcast=place, name=self.kind, capture=self.wire)
            await node.start()
            self._stack.push_async_callback(node.aclose)
            self.lines[LINE] = node
            self.where = f"heartbeats {BROADCAST}:{node.broadcast[1]}, TCP {_HOST}:{node.port}"
            return
        server: LineServer | MachineServer
        if line.framing == "tcp":
            # A Modbus TCP device takes several masters, each with a connection of its own.
            connection = cabinets[0].machine.connection  # type: ignore[union-attr]  # framing tcp is Modbus
            server = await serve_machine_tcp(
                connection,
                self.place.host,
                self.place.port,
                self._now_us,
                name=self.kind,
                capture=self.wire,
            )
        else:
            server = await serve_line_tcp(
                machine, self.place.host, self.place.port, self._now_us, name=self.kind, capture=self.wire
            )
        self._stack.push_async_callback(server.aclose)
        self.lines[LINE] = server
        self.where = f"{self.place.host}:{server.port}"

    async def _start_printer(self) -> None:
        assert self.printer is not None  # noqa: S101 - the caller has looked
        if self.place.kind != "tcp":
            await self._start_serial(self.printer, parity="N")
            return
        server = await serve_printer_tcp(self.printer, self.place.host, self.place.port, self._now_us)
        self._stack.push_async_callback(server.aclose)
        self.where = f"{self.place.host}:{server.port}"

    async def _start_gauge(self, gauge: StandingGauge) -> None:
        if self.place.kind != "tcp":
            await self._start_serial(GaugePort(gauge.console, characters_per_s=self._baud // 10), parity="N")
            return
        # Several hosts may ask one console, each on a connection of its own.
        server = await serve_machine_tcp(
            lambda: GaugePort(gauge.console),
            self.place.host,
            self.place.port,
            self._now_us,
            name=self.kind,
            capture=self.wire,
        )
        self._stack.push_async_callback(server.aclose)
        self.where = f"{self.place.host}:{server.port}"

    async def _start_serial(self, machine: Any, *, parity: str) -> None:
        host: PtyHost | SerialHost
        if self.place.kind == "pty":
            bits = 10 + (parity != "N")
            host = PtyHost(
                machine,
                self._now_us,
                baud=self._baud,
                bits_per_char=bits,
                name=self.kind,
                capture=self.wire,
            )
        else:
            assert self.place.path is not None  # noqa: S101 - a serial place has one
            host = SerialHost(
                machine,
                self._now_us,
                path=self.place.path,
                baud=self._baud,
                parity=parity,
                name=self.kind,
                capture=self.wire,
            )
        await host.start()
        self._stack.push_async_callback(host.aclose)
        self.where = str(host.path)

    async def wait(self) -> None:
        """Wait until the device ends: by `stop`, or because it crashed.

        Raises:
            KernelError: it crashed.
        """
        if self._running is not None:
            await asyncio.shield(self._running)

    async def stop(self) -> None:
        """Close everything. Harmless when called again."""
        if self._running is not None:
            self.kernel.stop()
            await asyncio.gather(self._running, return_exceptions=True)
        await self._stack.aclose()
