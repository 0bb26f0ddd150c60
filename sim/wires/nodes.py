"""Two IFSF nodes on a network in virtual time: datagrams, and two simplex connections.

Each machine is a `protocols.ifsf.NodeMachine`: it dials where the other's heartbeat said, speaks on the connection that it
dialled and hears the one that the other dialled. Faults strike the bytes of the connections; a ``down`` fault also swallows
the datagrams, so that heartbeats are missed. ``NODE_IP`` and the ports are names: nothing leaves the process.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from protocols.ifsf import Endpoint, NodeMachine
from protocols.sansio import HarnessProtocolError, Outgoing
from sim.faults import NEVER_US
from sim.kernel import Kernel
from sim.wires.capture import Capture
from sim.wires.faults import WireFault
from sim.wires.virtual import Port, VirtualWire

__all__ = ["NODE_IP", "VirtualNodes"]

NODE_IP: Final = "127.0.0.1"
_FIRST_PORT: Final = 8801


class _End:
    """One node: where it listens, and the connection that it dialled."""

    __slots__ = (
        "dialling",
        "endpoint",
        "epoch",
        "in_flight",
        "is_up",
        "last_us",
        "machine",
        "number",
        "port",
    )

    def __init__(self, machine: NodeMachine, port: Port, endpoint: Endpoint, number: int) -> None:
        self.machine = machine
        self.port = port
        self.endpoint = endpoint
        self.number = number  # of its datagrams in the capture
        self.is_up = False
        self.dialling = False
        self.epoch = 0
        self.in_flight: deque[tuple[int, bytes | None, str, bytes]] = deque()
        self.last_us = 0


class VirtualNodes(VirtualWire):
    """Two nodes that find each other by heartbeat and connect, each to the other.

    Args:
        kernel: the clock.
        name: the wire's name in trace, streams and captures.
        a, b: the machines.
        latency_us: one-way delay.
        faults: what goes wrong on it.
        capture: where bursts are recorded; datagrams under ``<name>/udp``.
        names: names of the two ends in captures and faults.
        redial_us: after a failed dial or a loss, a node dials again so much later.

    Raises:
        HarnessProtocolError: a negative latency, or a redial below 1 us.
    """

    def __init__(
        self,
        kernel: Kernel,
        name: str,
        a: NodeMachine,
        b: NodeMachine,
        *,
        latency_us: int,
        faults: Iterable[WireFault] | None = None,
        capture: Capture | None = None,
        names: tuple[str, str] = ("a", "b"),
        redial_us: int = 1_000_000,
    ) -> None:
        if latency_us < 0 or redial_us < 1:
            raise HarnessProtocolError(f"{name}: latency_us starts at 0, redial_us at 1")
        super().__init__(kernel, name, faults=faults, capture=capture)
        if capture is not None:
            capture.describe(medium="nodes", latency_us=latency_us, tcp_port=_FIRST_PORT)
        self.latency_us = latency_us
        self._redial_us = redial_us
        self._datagrams: deque[tuple[int, _End, bytes, bytes]] = deque()
        self._bytes_due_us = self.faults.next_noise_us
        ports = [
            self._attach(machine, own, is_master=False) for machine, own in zip((a, b), names, strict=True)
        ]
        self._ends: list[_End] = []
        for offset, (machine, port) in enumerate(zip((a, b), ports, strict=True)):
            number = capture.port(f"{port.name}/udp") if capture is not None else 0
            end = _End(machine, port, Endpoint(NODE_IP, _FIRST_PORT + offset), number)
            self._ends.append(end)
            machine.start(end.endpoint, kernel.now_us)
        for fault in self.faults:
            if fault.spec.kind == "down":
                kernel.call_at(fault.spec.at_us, self._go_down)

    # Connections.

    def is_connected(self, machine: NodeMachine) -> bool:
        """Whether the connection that this machine dialled stands."""
        return any(end.is_up for end in self._ends if end.machine is machine)

    def cut(self) -> None:
        """Break both connections now; what is on its way is lost."""
        now_us = self._kernel.now_us
        for end in self._ends:
            self._lose(end, now_us)
        self._call_by(now_us)

    def _other(self, end: _End) -> _End:
        return self._ends[1] if end is self._ends[0] else self._ends[0]

    def _go_down(self) -> None:
        if any(end.is_up for end in self._ends):
            self.faults.note_down(self._kernel.now_us)
        self.cut()

    def _look(self, end: _End, now_us: int) -> None:
        """Dial or hang up as the machine wants it."""
        target = end.machine.dial
        if end.is_up:
            if (
                target != self._other(end).endpoint
                or end.machine.wants_redial
                or self._other(end).machine.wants_close
            ):
                self._lose(end, now_us)
        elif target is not None and not end.dialling:
            end.dialling = True
            self._kernel.call_later(2 * self.latency_us, self._dialled, end, end.epoch)

    def _dialled(self, end: _End, epoch: int) -> None:
        now_us = self._kernel.now_us
        if epoch != end.epoch or end.is_up:
            return
        end.dialling = False
        other = self._other(end)
        down = self._has_faults and self.faults.is_down(now_us)
        if down:
            self.faults.note_down(now_us)
        if down or end.machine.dial != other.endpoint:
            self._later(end)
            return
        end.is_up = True
        end.port.free_at_us = end.last_us = now_us
        self._kernel.trace.emit("wire.up", f"wire/{self.name}", end=end.port.name)
        end.machine.connection_made(now_us)
        other.machine.accepted(now_us)
        self._service(end.port, now_us)
        self._service(other.port, now_us)
        self._call_by(now_us)

    def _lose(self, end: _End, now_us: int) -> None:
        if not end.is_up:
            return
        end.is_up = False
        end.epoch += 1
        if self.capture is not None:
            for at_us, _, _, sent in end.in_flight:
                self.capture.record_touched(min(at_us, now_us), end.port.number, b"", "lost", sent)
        end.in_flight.clear()
        self._plan()
        self._kernel.trace.emit("wire.down", f"wire/{self.name}", end=end.port.name)
        self._later(end)
        other = self._other(end)
        end.machine.connection_lost(now_us)
        other.machine.dropped(now_us)
        self._service(end.port, now_us)
        self._service(other.port, now_us)

    def _later(self, end: _End) -> None:
        end.dialling = True
        self._kernel.call_later(self._redial_us, self._dialled, end, end.epoch)

    # Bytes.

    def _transmit(self, port: Port, outgoing: Outgoing, now_us: int) -> None:
        end = self._end_of(port)
        data = outgoing.data
        if not data or not end.is_up:
            return
        start_us = max(now_us, outgoing.not_before_us, port.free_at_us)
        heard: bytes | None = data
        note = ""
        following: list[tuple[int, bytes]] = []
        if self._has_faults and (hit := self.faults.strike(port.name, data, start_us)) is not None:
            heard, note, following = hit.data, hit.note, hit.following()
            start_us += hit.delay_us
            if hit.is_echoed and heard is not None and self._other(end).is_up:
                # On two simplex connections an echo is a gateway that mixes them up.
                self._inject(self._other(end), start_us + 2 * self.latency_us, heard, note)
        self._queue(end, start_us, heard, note, data)
        for gap_us, piece in following:
            start_us += gap_us
            self._queue(end, start_us, piece, note, b"")
        self._plan()

    def _inject(self, end: _End, at_us: int, data: bytes, note: str) -> None:
        """Bytes that no machine has sent."""
        end.last_us = max(at_us, end.last_us)
        end.in_flight.append((end.last_us, data, note, b""))

    def _queue(self, end: _End, start_us: int, heard: bytes | None, note: str, sent: bytes) -> None:
        arrival_us = max(start_us + self.latency_us, end.last_us)
        end.port.free_at_us = start_us
        end.last_us = arrival_us
        end.in_flight.append((arrival_us, heard, note, sent))

    def _end_of(self, port: Port) -> _End:
        return self._ends[0] if self._ends[0].port is port else self._ends[1]

    def _plan(self) -> None:
        due_us = self.faults.next_noise_us
        for end in self._ends:
            if end.in_flight and end.in_flight[0][0] < due_us:
                due_us = end.in_flight[0][0]
        if self._datagrams and self._datagrams[0][0] < due_us:
            due_us = self._datagrams[0][0]
        self._bytes_due_us = due_us

    def _deliver_due(self, now_us: int) -> None:
        if self.faults.next_noise_us <= now_us:
            for burst in self.faults.take_noise(now_us):
                for end in self._ends:
                    if end.is_up and burst.sender in ("", end.port.name):
                        self._inject(end, now_us, burst.data, burst.fault)
        while self._datagrams and self._datagrams[0][0] <= now_us:
            at_us, end, heard, _ = self._datagrams.popleft()
            if self.capture is not None:
                self.capture.record(at_us, end.number, heard)
            target = self._other(end)
            target.machine.receive_datagram(heard, now_us)
            self._service(target.port, now_us)
        for end in self._ends:
            while end.is_up and end.in_flight and end.in_flight[0][0] <= now_us:
                at_us, heard_or_none, note, sent = end.in_flight.popleft()
                if self.capture is not None:
                    if note:
                        self.capture.record_touched(at_us, end.port.number, heard_or_none or b"", note, sent)
                    else:
                        self.capture.record(at_us, end.port.number, sent)
                if heard_or_none is not None:
                    target = self._other(end)
                    target.machine.receive_data(heard_or_none, now_us)
                    self._service(target.port, now_us)
        self._plan()

    def _service(self, port: Port, now_us: int) -> None:
        port.touched_us = now_us
        end = self._end_of(port)
        for outgoing in port.data_to_send(now_us):
            self._transmit(port, outgoing, now_us)
        for data in end.machine.datagrams_to_send(now_us):
            if self._has_faults and self.faults.is_down(now_us):
                self.faults.note_down(now_us)
                continue
            self._datagrams.append((now_us + self.latency_us, end, data, data))
            self._plan()
        for one in self._ends:
            self._look(one, now_us)
        want_us = port.next_timer()
        port.want_us = NEVER_US if want_us is None else want_us
