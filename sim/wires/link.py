"""A full-duplex connection between two machines in virtual time, with the manners of TCP.

Bytes keep their order, take the latency and the rate of the link, and are delivered in the pieces in which they were
sent. A connection can be closed (what is on its way still arrives) or cut (it does not); either end may learn of it
through `LinkAware`. A ``drop`` fault stands for a gateway behind the link that loses a message, since TCP itself would
send it again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from protocols.sansio import HarnessProtocolError, Machine, Outgoing
from sim.kernel import Kernel
from sim.wires.capture import Capture
from sim.wires.faults import WireFault
from sim.wires.virtual import Port, VirtualWire

__all__ = ["VirtualLink"]


class _Direction:
    """What one end has under way to the other: (arrival, bytes as heard, note, bytes as sent); the last may be a close."""

    __slots__ = ("in_flight", "last_us", "sender", "target")

    def __init__(self, sender: Port, target: Port) -> None:
        self.sender = sender
        self.target = target
        self.in_flight: deque[tuple[int, bytes | None, str, bytes]] = deque()
        self.last_us = 0


_CLOSE = "closed"
"""The note of the piece that ends a direction."""


class VirtualLink(VirtualWire):
    """A connection between machine ``a`` (the one that dials) and machine ``b``.

    Args:
        kernel: the clock.
        name: the link's name in trace, streams and captures.
        a: the machine that connects, and connects again.
        b: the machine that listens.
        latency_us: one-way delay.
        bytes_per_s: rate of each direction; None for no limit.
        faults: what goes wrong on it.
        capture: where bursts are recorded.
        names: names of the two ends in captures and faults.
        is_connected: whether it stands from the start; otherwise call `connect`.
        redial_us: after a loss, ``a`` dials again this often; None leaves that to the caller.
        tcp_port: the port that ``b`` listens on, for captures.

    Raises:
        HarnessProtocolError: a negative latency or a rate below 1.
    """

    def __init__(
        self,
        kernel: Kernel,
        name: str,
        a: Machine,
        b: Machine,
        *,
        latency_us: int,
        bytes_per_s: int | None = None,
        faults: Iterable[WireFault] | None = None,
        capture: Capture | None = None,
        names: tuple[str, str] = ("a", "b"),
        is_connected: bool = True,
        redial_us: int | None = None,
        tcp_port: int | None = None,
    ) -> None:
        if latency_us < 0 or (bytes_per_s is not None and bytes_per_s < 1):
            raise HarnessProtocolError(f"{name}: latency_us starts at 0, bytes_per_s at 1")
        if redial_us is not None and redial_us < 1:
            raise HarnessProtocolError(f"{name}: redial_us starts at 1")
        super().__init__(kernel, name, faults=faults, capture=capture)
        if capture is not None:
            capture.describe(medium="link", latency_us=latency_us, listens=names[1])
            if tcp_port is not None:
                capture.describe(tcp_port=tcp_port)
        self.latency_us = latency_us
        self.is_connected = False
        self._bytes_per_s = bytes_per_s
        self._redial_us = redial_us
        self._epoch = 0
        if is_connected:  # before the machines are first looked at, or their first bytes would be lost
            kernel.call_at(kernel.now_us, self._connected, self._epoch)
        end_a = self._attach(a, names[0], is_master=False)
        end_b = self._attach(b, names[1], is_master=False)
        self._directions = (_Direction(end_a, end_b), _Direction(end_b, end_a))
        self._bytes_due_us = self.faults.next_noise_us
        for fault in self.faults:
            if fault.spec.kind == "down":
                kernel.call_at(fault.spec.at_us, self._go_down)

    # The connection.

    def connect(self) -> None:
        """Dial: both ends are told ``connection_made`` after one round trip, unless the link is down then."""
        if not self.is_connected:
            self._kernel.call_later(2 * self.latency_us, self._connected, self._epoch)

    def close(self, end: Machine) -> None:
        """Close from one end: what it has sent still arrives, then the other end learns of it.

        Raises:
            HarnessProtocolError: the machine is not an end of this link.
        """
        now_us = self._kernel.now_us
        direction = self._from(end)
        if not self.is_connected:
            return
        arrival_us = max(now_us + self.latency_us, direction.last_us)
        direction.last_us = arrival_us
        direction.in_flight.append((arrival_us, None, _CLOSE, b""))
        self._plan()
        self._call_by(self._bytes_due_us)

    def cut(self) -> None:
        """Break the connection now: what is on its way is lost, and both ends learn of it at once (a reset)."""
        if self.is_connected:
            self._lose(self._kernel.now_us)
            self._call_by(self._kernel.now_us)

    def _connected(self, epoch: int) -> None:
        now_us = self._kernel.now_us
        if self.is_connected or epoch != self._epoch:
            return
        if self._has_faults and self.faults.is_down(now_us):
            self.faults.note_down(now_us)
            self._redial()
            return
        self.is_connected = True
        for direction in self._directions:
            direction.sender.free_at_us = direction.last_us = now_us
        self._kernel.trace.emit("wire.up", f"wire/{self.name}")
        for direction in self._directions:
            self._tell_link(direction.sender, now_us, is_up=True)
        self._call_by(now_us)

    def _go_down(self) -> None:
        if self.is_connected:
            self.faults.note_down(self._kernel.now_us)
            self.cut()

    def _lose(self, now_us: int) -> None:
        self.is_connected = False
        self._epoch += 1
        for direction in self._directions:
            if self.capture is not None:
                for at_us, _, note, sent in direction.in_flight:
                    if note != _CLOSE:
                        self.capture.record_touched(
                            min(at_us, now_us), direction.sender.number, b"", "lost", sent
                        )
            direction.in_flight.clear()
        self._plan()
        self._kernel.trace.emit("wire.down", f"wire/{self.name}")
        for direction in self._directions:
            self._tell_link(direction.sender, now_us, is_up=False)
        self._redial()

    def _redial(self) -> None:
        if self._redial_us is not None:
            self._kernel.call_later(self._redial_us + 2 * self.latency_us, self._connected, self._epoch)

    def _from(self, end: Machine) -> _Direction:
        for direction in self._directions:
            if direction.sender.machine is end:
                return direction
        raise HarnessProtocolError(f"{self.name}: {end!r} is not an end of this link")

    # Bytes.

    def _transmit(self, port: Port, outgoing: Outgoing, now_us: int) -> None:
        data = outgoing.data
        if not data or not self.is_connected:
            return  # as with a socket: what is written to a lost connection is gone
        direction = self._directions[0 if port is self._directions[0].sender else 1]
        if direction.in_flight and direction.in_flight[-1][2] == _CLOSE:
            return
        start_us = max(now_us, outgoing.not_before_us, port.free_at_us)
        heard: bytes | None = data
        note = ""
        following: list[tuple[int, bytes]] = []
        if self._has_faults and (hit := self.faults.strike(port.name, data, start_us)) is not None:
            heard, note, following = hit.data, hit.note, hit.following()
            start_us += hit.delay_us
            if hit.is_echoed and heard is not None:  # the far end sends it back
                self._inject(self._against(direction), start_us + 2 * self.latency_us, heard, note)
        self._queue(direction, start_us, heard, note, data)
        for gap_us, piece in following:
            self._queue(direction, port.free_at_us + gap_us, piece, note, b"")
        self._plan()

    def _against(self, direction: _Direction) -> _Direction:
        return self._directions[1] if direction is self._directions[0] else self._directions[0]

    def _inject(self, direction: _Direction, at_us: int, data: bytes, note: str) -> None:
        """Bytes that no machine has sent."""
        direction.last_us = max(at_us, direction.last_us)
        direction.in_flight.append((direction.last_us, data, note, b""))

    def _queue(
        self, direction: _Direction, start_us: int, heard: bytes | None, note: str, sent: bytes
    ) -> None:
        rate = self._bytes_per_s
        end_us = start_us if rate is None else start_us - (-len(heard or b"") * 1_000_000 // rate)
        direction.sender.free_at_us = end_us
        arrival_us = max(end_us + self.latency_us, direction.last_us)
        direction.last_us = arrival_us
        direction.in_flight.append((arrival_us, heard, note, sent))

    def _plan(self) -> None:
        due_us = self.faults.next_noise_us
        for direction in self._directions:
            if direction.in_flight and direction.in_flight[0][0] < due_us:
                due_us = direction.in_flight[0][0]
        self._bytes_due_us = due_us

    def _deliver_due(self, now_us: int) -> None:
        if self.faults.next_noise_us <= now_us:
            for burst in self.faults.take_noise(now_us):
                for direction in self._directions if self.is_connected else ():
                    if burst.sender in ("", direction.sender.name):
                        self._inject(direction, now_us, burst.data, burst.fault)
        for direction in self._directions:
            in_flight = direction.in_flight
            while in_flight and in_flight[0][0] <= now_us:
                at_us, heard, note, sent = in_flight.popleft()
                if note == _CLOSE:
                    self._lose(now_us)
                    break
                self._record(direction, at_us, heard, note, sent)
                if heard is not None:
                    direction.target.receive_data(heard, now_us)
                    self._service(direction.target, now_us)
        self._plan()

    def _record(self, direction: _Direction, at_us: int, heard: bytes | None, note: str, sent: bytes) -> None:
        capture = self.capture
        if capture is None:
            return
        if note:
            capture.record_touched(at_us, direction.sender.number, heard or b"", note, sent)
        else:
            capture.record(at_us, direction.sender.number, sent)
