"""One device on one wire, for a vendor who has nothing but a driver and a laptop: no site, no services, no people."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from fastapi import FastAPI

from scenarios.model import Line, Station
from scenarios.world.control import dispenser_control, printer_control
from scenarios.world.counted import Counted, frame_reader
from scenarios.world.equipment import Cabinet, Equipment, build_equipment
from scenarios.world.gauge_control import StandingGauge, gauge_control
from scenarios.world.lone_dispenser import LINE
from scenarios.world.meter_control import StandingMeter, meter_control
from scenarios.world.serving import HttpServer, host_port, open_port
from sim.dispenser import Dispenser, ModbusDispenser
from sim.gauge import GaugePort
from sim.kernel import WallKernel
from sim.printer import Printer, PrinterProfile, PrinterPty, serve_printer_tcp, serve_printer_udp
from sim.wires import (
    LineServer,
    MachineServer,
    NodeHost,
    PtyHost,
    SerialHost,
    SharedLine,
    serve_line_tcp,
    serve_machine_tcp,
)

__all__ = ["DeviceOnWire", "WirePlace"]

_HOST: Final = "127.0.0.1"
_BROADCAST: Final = "127.255.255.255"
"""Heartbeats of a network node stay on the loopback network."""

_FOREVER_US: Final = 10 * 365 * 86_400 * 1_000_000
_PARITY: Final = {"dart": "O", "twowire": "E"}
"""Parity of the serial lines: DART is 8O1, Two-Wire 8E1, all others here are 8N1."""


@dataclass(frozen=True, slots=True)
class WirePlace:
    """Where the device's wire ends.

    Attributes:
        kind: ``tcp`` listens, ``pty`` makes a pseudo-terminal, ``serial`` opens a device.
        host, port: for ``tcp``; port 0 takes any free one.
        path: for ``serial``.
        characters: of a serial wire, for example ``7O1``: data bits, parity, stop bits; None for the protocol's own.
    """

    kind: Literal["tcp", "pty", "serial"] = "tcp"
    host: str = _HOST
    port: int = 0
    path: Path | None = None
    characters: str | None = None


class DeviceOnWire:
    """A dispenser, a printer, a tank gauge or a meter on one wire, with its control API.

    Build it with `dispenser`, `receipt_printer`, `tank_gauge` or `meter_on_line`, ``await start()`` inside a running loop, ``await stop()``.

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
        self.meter: StandingMeter | None = None
        self._make_meter: Callable[[Callable[[], int]], StandingMeter] | None = None
        self._line: Line | None = None
        self._baud = 9600
        self._udp_port: int | None = None
        self.control_port = control_port
        self._keep = keep_capture
        self._stack = AsyncExitStack()
        self._running: asyncio.Task[None] | None = None

    @classmethod
    def dispenser(
        cls,
        station: Station,
        place: WirePlace,
        *,
        one_unit: bool = False,
        foreign_map: Callable[[Cabinet], ModbusDispenser] | None = None,
        control_port: int = 0,
        keep_capture: bool = False,
    ) -> DeviceOnWire:
        """The dispensers on the first line of a station.

        Args:
            station: where they come from.
            place: where the wire ends.
            one_unit: all fuelling points are blocks of one Modbus TCP unit instead of a unit each.
            foreign_map: gives a cabinet another Modbus map.
            control_port: see the class.
            keep_capture: see the class.
        """
        device = cls("dispenser", place, control_port=control_port, keep_capture=keep_capture)
        device._line = station.lines[0]
        device._baud = device._line.baud
        device.equipment = built = build_equipment(station)
        if one_unit:
            unit = device._line.points[0].address
            board = Dispenser(built.points.values())
            machine = ModbusDispenser(board, unit, framing="tcp")
            cabinet = Cabinet("dispenser-1", LINE, board, machine, (unit,))
            device.equipment = replace(built, cabinets=(cabinet,))
            device._line = device._line.model_copy(update={"framing": "tcp"})
        elif foreign_map is not None:
            cabinets = tuple(replace(one, machine=foreign_map(one)) for one in built.cabinets)
            device.equipment = replace(built, cabinets=cabinets)
        device.wire = Counted(LINE, "dispenser", keeps=keep_capture, read=frame_reader(device._line))
        return device

    @classmethod
    def receipt_printer(
        cls,
        profile: PrinterProfile,
        place: WirePlace,
        *,
        baud: int = 9600,
        udp_port: int | None = None,
        control_port: int = 0,
        keep_capture: bool = False,
    ) -> DeviceOnWire:
        """A receipt printer; on TCP ``udp_port`` is that of an Epson board's control datagrams, None for none."""
        device = cls("printer", place, control_port=control_port, keep_capture=keep_capture)
        device._baud = baud
        device.printer = Printer(profile)
        device._udp_port = udp_port
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

    @classmethod
    def meter_on_line(
        cls,
        make: Callable[[Callable[[], int]], StandingMeter],
        place: WirePlace,
        *,
        baud: int = 9600,
        control_port: int = 0,
        keep_capture: bool = False,
    ) -> DeviceOnWire:
        """A Coriolis meter; ``make`` gets the device's clock and is called by `start`."""
        device = cls("meter", place, control_port=control_port, keep_capture=keep_capture)
        device._baud, device._make_meter = baud, make
        return device

    async def start(self) -> None:
        """Open the wire and the control API; on failure nothing stays open.

        Raises:
            OSError: a port is in use, there is no such serial device, or it is not allowed.
        """
        try:
            self.kernel = WallKernel("device")
            self._stack.push_async_callback(self.kernel.close)
            await self._open_wire()
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

    async def _open_wire(self) -> None:
        if self._make_gauge is not None:
            self.gauge = self._make_gauge(self._now_us)
            await self._start_gauge(self.gauge)
        elif self._make_meter is not None:
            self.meter = self._make_meter(self._now_us)
            await self._start_meter(self.meter)
        else:
            await (self._start_printer() if self.printer is not None else self._start_dispenser())

    def line(self) -> str | None:
        """What a live line says of a device that has a word of its own for its state; None for the others."""
        standing = self.gauge or self.meter
        return None if standing is None else standing.line()

    def _control_app(self) -> FastAPI:
        if self.printer is not None:
            return printer_control(self.printer, self._now_us)
        if self.gauge is not None:
            return gauge_control(self.gauge)
        if self.meter is not None:
            return meter_control(self.meter)
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
            place = (_BROADCAST, self.place.port)
            node = NodeHost(machine, self._now_us, broadcast=place, name=self.kind, capture=self.wire)
            await node.start()
            self._stack.push_async_callback(node.aclose)
            self.lines[LINE] = node
            self.where = f"heartbeats {_BROADCAST}:{node.broadcast[1]}, TCP {_HOST}:{node.port}"
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
        self.where = host_port(self.place.host, server.port)

    async def _start_printer(self) -> None:
        assert self.printer is not None  # noqa: S101 - the caller has looked
        if self.place.kind == "pty":
            line = PrinterPty(self.printer, self._now_us, baud=self._baud, name=self.kind, capture=self.wire)
            await line.start()
            self._stack.push_async_callback(line.aclose)
            self.where = str(line.path)
            return
        if self.place.kind == "serial":
            await self._start_serial(self.printer, parity="N")
            return
        server = await serve_printer_tcp(
            self.printer, self.place.host, self.place.port, self._now_us, capture=self.wire
        )
        self._stack.push_async_callback(server.aclose)
        self.where = host_port(self.place.host, server.port)
        if self._udp_port is not None:
            host, port = self.place.host, self._udp_port
            try:
                board = await serve_printer_udp(server, host, port, self._now_us)
            except OSError as error:
                raise OSError(
                    error.errno, f"UDP {host_port(host, port)}: {os.strerror(error.errno or 0)}"
                ) from None
            self._stack.push_async_callback(board.aclose)
            self.where += f", UDP {board.port}"

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
        self.where = host_port(self.place.host, server.port)

    async def _start_meter(self, meter: StandingMeter) -> None:
        if self.place.kind != "tcp":
            await self._start_serial(meter.machine, parity="N")
            return
        server = await serve_line_tcp(
            meter.machine,
            self.place.host,
            self.place.port,
            self._now_us,
            name=self.kind,
            capture=self.wire,
        )
        self._stack.push_async_callback(server.aclose)
        self.where = host_port(self.place.host, server.port)

    async def _start_serial(self, machine: Any, *, parity: str) -> None:
        host: PtyHost | SerialHost
        data, parity, stop = tuple(self.place.characters or f"8{parity}1")
        if self.place.kind == "pty":
            bits = 1 + int(data) + (parity != "N") + int(stop)
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
                stop_bits=int(stop),
                data_bits=int(data),
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
