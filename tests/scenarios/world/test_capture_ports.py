"""Captures of TCP wires say the port, so that what reads a pcapng knows the protocol by it."""

from __future__ import annotations

from scenarios.loader import load
from scenarios.world.keys import run_keys
from scenarios.world.virtual import VirtualWorld, WorldOptions
from sim.wires import is_tcp


def test_every_tcp_wire_of_a_station_names_the_port_of_the_field():
    world = VirtualWorld(load("iron-day").scenario, 1, keys=run_keys(), options=WorldOptions(captures=True))
    world.close()
    ports = {capture.wire: capture.about.get("tcp_port") for capture in world.captures if is_tcp(capture)}
    assert (ports["gauge"], ports["printer"]) == (10_001, 9_100)
    assert None not in ports.values()
    assert len(ports) >= 3
