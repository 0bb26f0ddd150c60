"""The wires of a virtual world: which lines, links and nodes join the site controller to the iron."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from protocols.modbus import rtu_silence_us
from scenarios.model import Line
from scenarios.world.faults import CONTROLLER, frames_on
from sim.wires import Capture, VirtualBus, VirtualLink, VirtualNodes

if TYPE_CHECKING:
    from scenarios.world.virtual import VirtualWorld

__all__ = ["connect"]

_POLL_CHARACTERS: Final = {"dart": 3, "modbus": 8, "twowire": 1, "aaff": 25}
"""Characters of an idle poll: address, POLL, SF on DART; a read request on Modbus RTU; one byte on Two-Wire."""

_BITS_PER_CHARACTER: Final = {"dart": 11, "modbus": 10, "twowire": 10, "aaff": 10}
"""DART is 8O1, the Modbus lines here are 8N1, and so are Two-Wire lines that are no current loops."""

_CURRENT_LOOP_BAUD: Final = 5787
"""A Two-Wire line at this speed is 8E1."""

_MODBUS_PORT: Final = 502
_PRINTER_PORT: Final = 9100
_GAUGE_PORT: Final = 10_001
"""Ports that these devices listen on in the field; captures name them."""

_PRINTER_BYTES_PER_S: Final = 1_000_000
"""A 10 Mbit/s receipt printer board."""


def connect(world: VirtualWorld) -> None:
    """Wire every line, the printer and the gauge."""
    for line, driver in zip(world.scenario.station.lines, world.site.drivers, strict=True):
        if line.protocol == "ifsf":
            _wire_nodes(world, line, driver)
        elif line.framing == "tcp":
            _wire_tcp(world, line, driver)
        else:
            _wire_bus(world, line, driver)
    if world.site.printer is not None:
        VirtualLink(
            world.kernel,
            "printer",
            world.site.printer,
            world.printer,
            latency_us=500,
            bytes_per_s=_PRINTER_BYTES_PER_S,
            capture=_capture(world, "printer"),
            names=(CONTROLLER, "printer"),
            redial_us=2_000_000,
            tcp_port=_PRINTER_PORT,
        )
    if world.gauge is not None and world.site.gauge is not None:
        link = VirtualLink(
            world.kernel,
            "gauge",
            world.site.gauge.reader,
            world.gauge.port,
            latency_us=2_000,
            faults=world.plan.wire("gauge"),
            capture=_capture(world, "gauge"),
            names=("site", "gauge"),
            redial_us=5_000_000,
            tcp_port=_GAUGE_PORT,
        )
        world.plan.attach(link.faults)


def _capture(world: VirtualWorld, wire: str) -> Capture | None:
    if not world.options.captures:
        return None
    world.captures.append(Capture(wire))
    return world.captures[-1]


def _wire_bus(world: VirtualWorld, line: Line, driver: Any) -> None:
    bus = VirtualBus(
        world.kernel,
        line.name,
        baud=line.baud,
        bits_per_char=_bits_per_character(line),
        echo=line.echo,
        faults=world.plan.wire(line.name, frames_on(line)),
        capture=_capture(world, line.name),
        skip_idle_polls=world.options.skip_idle_polls,
    )
    world.plan.attach(bus.faults)
    lead_us = bus.burst_us(_POLL_CHARACTERS[line.protocol])
    if line.protocol == "modbus":
        lead_us += rtu_silence_us(line.baud)  # a unit answers when it has heard the end of the frame
    bus.attach(driver, name=CONTROLLER, master=True, poll_lead_us=lead_us)
    for cabinet in world.equipment.on_line(line.name):
        bus.attach(cabinet.machine, name=cabinet.name, addresses=cabinet.addresses)


def _wire_tcp(world: VirtualWorld, line: Line, driver: Any) -> None:
    (cabinet,) = world.equipment.on_line(line.name)
    link = VirtualLink(
        world.kernel,
        line.name,
        driver,
        cabinet.machine,
        latency_us=500,
        faults=world.plan.wire(line.name, frames_on(line)),
        capture=_capture(world, line.name),
        names=(CONTROLLER, cabinet.name),
        redial_us=2_000_000,
        tcp_port=_MODBUS_PORT,
    )
    world.plan.attach(link.faults)


def _wire_nodes(world: VirtualWorld, line: Line, driver: Any) -> None:
    (cabinet,) = world.equipment.on_line(line.name)
    machine: Any = cabinet.machine
    nodes = VirtualNodes(
        world.kernel,
        line.name,
        driver,
        machine,
        latency_us=500,
        faults=world.plan.wire(line.name, frames_on(line)),
        capture=_capture(world, line.name),
        names=(CONTROLLER, cabinet.name),
    )
    world.plan.attach(nodes.faults)


def _bits_per_character(line: Line) -> int:
    if line.protocol == "twowire" and line.baud == _CURRENT_LOOP_BAUD:
        return 11
    return _BITS_PER_CHARACTER[line.protocol]
