"""Wires between machines: modelled ones in virtual time, and hosts for TCP, serial devices and ptys.

All of them drive the same `protocols.sansio.Machine`, take the same faults and record into the same captures.
"""

from __future__ import annotations

from sim.wires.bus import VirtualBus
from sim.wires.capture import FCAP_VERSION, Capture, CapturedFrame, CaptureError, read_capture
from sim.wires.faults import WireFault, WireFaultKind, WireFaults
from sim.wires.frames import FRAME_SHAPES, FrameShape
from sim.wires.host import Clock, Pace, StreamHost
from sim.wires.link import VirtualLink
from sim.wires.node_host import NodeHost
from sim.wires.nodes import VirtualNodes
from sim.wires.pcapng import is_tcp, write_pcapng
from sim.wires.pty_pair import PtyPair, write_waiting
from sim.wires.serial_line import PtyHost, SerialHost
from sim.wires.shared import LineServer, SharedLine, serve_line_tcp
from sim.wires.tcp import MachineClient, MachineServer, connect_machine_tcp, serve_machine_tcp
from sim.wires.virtual import LinkAware, Port, VirtualWire

__all__ = [
    "FCAP_VERSION",
    "FRAME_SHAPES",
    "Capture",
    "CaptureError",
    "CapturedFrame",
    "Clock",
    "FrameShape",
    "LineServer",
    "LinkAware",
    "MachineClient",
    "MachineServer",
    "NodeHost",
    "Pace",
    "Port",
    "PtyHost",
    "PtyPair",
    "SerialHost",
    "SharedLine",
    "StreamHost",
    "VirtualBus",
    "VirtualLink",
    "VirtualNodes",
    "VirtualWire",
    "WireFault",
    "WireFaultKind",
    "WireFaults",
    "connect_machine_tcp",
    "is_tcp",
    "read_capture",
    "serve_line_tcp",
    "serve_machine_tcp",
    "write_pcapng",
    "write_waiting",
]
