"""A gauge console that a test asks, with probes it can set."""

# ruff: noqa: DTZ001 - a console tells its local time, without an offset
from __future__ import annotations

import random
from datetime import datetime, timedelta

from protocols.sansio import Machine
from protocols.tls import (
    ComputerReply,
    DisplayReply,
    ReplyReader,
    command,
)
from sim.dispenser import Tank
from sim.gauge import GaugeConsole, GaugePort, Probe, ProbeSource, TankSetup
from sim.tanks import StorageTank, TankFarm

S = 1_000_000


START = datetime(2026, 3, 6, 18, 0)


class Bench:
    """A console with one port, and a host that reads what comes back."""

    def __init__(self, console: GaugeConsole, **port: int | None) -> None:
        self.console = console
        self.port = GaugePort(console, **port)  # type: ignore[arg-type]
        assert isinstance(self.port, Machine)
        self.now_us = 0

    def until(self, at_us: int) -> bytes:
        """Let time pass; what the port sends."""
        sent = b""
        while (due := self.port.next_timer()) is not None and due <= at_us:
            self.now_us = max(self.now_us, due)
            self.port.handle_timer(self.now_us)
            sent += b"".join(out.data for out in self.port.data_to_send(self.now_us))
        self.now_us = at_us
        return sent

    def ask(self, data: bytes) -> bytes:
        self.port.receive_data(data, self.now_us)
        first = b"".join(out.data for out in self.port.data_to_send(self.now_us))
        return first + self.until(self.now_us + S)

    def data(self, function: str, device: int = 0, data: str = "") -> str:
        """The data field of a sound computer reply."""
        reader = ReplyReader()
        reader.receive_data(self.ask(command(function, device, data)))
        reply = reader.next_event()
        assert isinstance(reply, ComputerReply), reply
        assert reply.at == self.console.time(self.now_us).replace(second=0)
        return reply.data

    def lines(self, function: str, device: int = 0, data: str = "") -> tuple[str, ...]:
        reader = ReplyReader()
        reader.receive_data(self.ask(command(function, device, data)))
        reply = reader.next_event()
        assert isinstance(reply, DisplayReply), reply
        return reply.lines


# On real tanks.


def station(
    *tanks: StorageTank, probes: dict[int, Probe] | None = None, rate: int | None = None, **more: object
) -> Bench:
    farm = TankFarm(tanks)
    quiet = {tank.tank_id: Probe(noise_um=0, resolution_um=1) for tank in tanks} | (probes or {})
    source = ProbeSource(farm, random.Random("probes"), probes=quiet)
    setups = {
        t.tank_id: TankSetup(t.tank.capacity_ml, f"PETROL {t.tank.grade}", str(t.tank_id)) for t in tanks
    }
    console = GaugeConsole(source, setups, clock=lambda us: START + timedelta(microseconds=us), **more)  # type: ignore[arg-type]
    return Bench(console, characters_per_s=rate)


def tank(number: int = 1, stock_l: int = 15_000, grade: str = "92", **more: object) -> StorageTank:
    return StorageTank(Tank(number, grade, capacity_ml=30_000_000, initial_ml=stock_l * 1_000), **more)  # type: ignore[arg-type]
