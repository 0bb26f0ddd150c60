"""A shared half-duplex line, such as RS-485 or a current loop, in virtual time.

Every burst takes ``characters x bits / baud`` and is heard by all the others at the end of its last character. Whoever
sends while another does collides with it: both are garbled. Nothing stops two from sending at once, as on a real pair
of wires; masters and slaves avoid it by their protocol.

A modelled bus is timed at the level of bursts: gaps inside a burst and rise times are not modelled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from protocols.sansio import HarnessProtocolError, Machine, Outgoing
from sim.faults import NEVER_US
from sim.kernel import Kernel
from sim.wires.capture import Capture
from sim.wires.carried import Carrier, Hands
from sim.wires.faults import WireFault
from sim.wires.virtual import Port, VirtualWire

__all__ = ["VirtualBus"]

_RESUME_LIMIT: Final = 64
"""More slots than fit into the time of one poll on any grid (32 addresses are the most a DART line has)."""

# A burst in the air: end, start, sender, bytes as heard (None: nothing), note, bytes as sent.
_Burst = tuple[int, int, Port, bytes | None, str, bytes]


class VirtualBus(VirtualWire):
    """A half-duplex bus with any number of machines, one of which may be the polling master.

    Args:
        kernel: the clock.
        name: the bus's name in trace, streams and captures.
        baud: symbols a second.
        bits_per_char: start, data, parity and stop bits together (8O1 is 11, 8N1 is 10).
        turn_round_us: a port starts to send no earlier than this after it last heard something.
        echo: whether a sender hears its own bursts (two-wire adapters without receiver disable).
        faults: what goes wrong on the bus.
        capture: where bursts are recorded.
        skip_idle_polls: let the master leave out polls that change nothing (see `attach`).

    Raises:
        HarnessProtocolError: a setting that no line can have.
    """

    def __init__(
        self,
        kernel: Kernel,
        name: str,
        *,
        baud: int,
        bits_per_char: int = 11,
        turn_round_us: int = 0,
        echo: bool = False,
        faults: Iterable[WireFault] | None = None,
        capture: Capture | None = None,
        skip_idle_polls: bool = False,
    ) -> None:
        if baud < 1 or bits_per_char < 1 or turn_round_us < 0:
            raise HarnessProtocolError(f"{name}: baud and bits_per_char start at 1, turn_round_us at 0")
        super().__init__(kernel, name, faults=faults, capture=capture)
        self.baud = baud
        self.bits_per_char = bits_per_char
        if capture is not None:
            capture.describe(medium="bus", baud=baud, bits_per_char=bits_per_char)
        self._char_bits_us = bits_per_char * 1_000_000
        self._turn_round_us = turn_round_us
        self._echo = echo
        self._skips = skip_idle_polls
        self._air: list[_Burst] = []
        self._collisions = kernel.streams.get(f"wire/{name}", "collision")
        self._master: Port | None = None
        self._poll_lead_us = 0
        self._skipped: dict[int, None] = {}
        self._noise: Port | None = None
        # Bursts that their sender will hear too, by sender and end.
        self._echoes: dict[tuple[int, int], None] = {}
        self._owners: dict[int, list[Port]] = {}
        self.collisions = 0
        self._bytes_due_us = self.faults.next_noise_us

    def burst_us(self, characters: int) -> int:
        """How long a burst of so many characters takes, rounded up to a whole microsecond."""
        return -(-characters * self._char_bits_us // self.baud)

    def attach(
        self,
        machine: Machine,
        *,
        name: str,
        master: bool = False,
        addresses: Iterable[int] = (),
        poll_lead_us: int = 0,
    ) -> Port:
        """Put a machine on the bus.

        Idle polls. When the bus skips them, the master's ``is_quiet`` is set to a function that says whether polling an
        address would change nothing: no fault may strike and the one device there says ``quiet(address)``. When a
        device stops being quiet, the bus calls ``master.wake(now_us)``. A poll of the full run could at that moment
        already be on its way, with the device's answer not yet decided. The bus then tells the master the time
        ``poll_lead_us`` ago and puts what it sends at its place in the past, so that the skipped run and the
        full run see the same bytes at the same instants from there on.

        Args:
            machine: the machine; the bus sets its ``on_wake``.
            name: its name on this bus.
            master: whether it is the polling master; at most one is.
            addresses: for a device, the addresses it answers to; without them every device is asked.
            poll_lead_us: for the master, the time from the start of a poll until the device has decided its answer:
                usually ``burst_us`` of the poll frame.

        Raises:
            HarnessProtocolError: a second master, a name already taken, or idle polls to be skipped with a machine
                that lacks ``is_quiet``/``wake`` (master) or ``quiet`` (device).
        """
        if master and self._master is not None:
            raise HarnessProtocolError(f"{self.name}: {self._master.name} is already the master")
        if self._skips:
            missing = [
                part
                for part in (("is_quiet", "wake") if master else ("quiet",))
                if not hasattr(machine, part)
            ]
            if missing:
                raise HarnessProtocolError(
                    f"{self.name}: to skip idle polls, {name} needs {' and '.join(missing)}"
                )
        port = self._attach(machine, name, is_master=master)
        for each in self.ports:
            each.listeners = tuple(
                self.ports if self._echo else (other for other in self.ports if other is not each)
            )
        for address in dict.fromkeys(addresses):  # fuelling points of one Modbus unit share an address
            self._owners.setdefault(address, []).append(port)
        if master:
            self._master = port
            if self._skips:
                self._poll_lead_us = poll_lead_us
                any_master: Any = machine
                any_master.is_quiet = self._is_quiet
                for fault in self.faults:
                    self._kernel.call_at(max(0, fault.spec.at_us - poll_lead_us), self._resume_all)
            elif not self._echo and not self._turn_round_us and hasattr(machine, "carry"):
                hands = Hands(self._transmit, self._service, lambda: self._kernel.now_us)
                self._carrier = Carrier(self, port, self._air, hands)
        if self._carrier is not None:
            self._carrier.welcome(self.ports)
        return port

    def _transmit(self, port: Port, outgoing: Outgoing, now_us: int) -> None:
        data = outgoing.data
        if not data:
            return
        start_us = outgoing.not_before_us
        if start_us < now_us:
            start_us = now_us
        if start_us < port.free_at_us:
            start_us = port.free_at_us
        if self._has_faults and self._strike(port, data, start_us):
            return
        end_us = start_us - (-len(data) * self._char_bits_us // self.baud)
        port.free_at_us = end_us
        self._air.append((end_us, start_us, port, data, "", data))
        if end_us < self._bytes_due_us:
            self._bytes_due_us = end_us

    def _strike(self, port: Port, data: bytes, start_us: int) -> bool:
        hit = self.faults.strike(port.name, data, start_us)
        if hit is None:
            return False
        start_us += hit.delay_us
        end_us = start_us + self.burst_us(len(data if hit.data is None else hit.data))
        self._air.append((end_us, start_us, port, hit.data, hit.note, data))
        if hit.is_echoed and hit.data is not None:
            self._echoes[port.number, end_us] = None
        for gap_us, piece in hit.following():
            start_us = end_us + gap_us
            end_us = start_us + self.burst_us(len(piece))
            self._air.append((end_us, start_us, port, piece, hit.note, b""))
        port.free_at_us = end_us
        self._bytes_due_us = min(self._bytes_due_us, *(burst[0] for burst in self._air))
        return True

    def _deliver_due(self, now_us: int) -> None:
        air = self._air
        noise_us = self.faults.next_noise_us
        if len(air) == 1 and noise_us > now_us:
            burst = air[0]
            if burst[0] <= now_us:  # nearly always: one burst, and it has ended
                air.clear()
                self._bytes_due_us = noise_us
                self._deliver(burst, now_us)
                return
        if noise_us <= now_us:
            self._make_noise(now_us)
        if air:
            self._settle(now_us)
        ends_us = [_end_us(group) for group in _groups(self._air)]
        self._bytes_due_us = min(self.faults.next_noise_us, *ends_us, NEVER_US)

    def _deliver(self, burst: _Burst, now_us: int) -> None:
        end_us, _, sender, heard, note, sent = burst
        capture = self.capture
        if capture is not None:
            if self._carrier is not None:
                self._carrier.settle(now_us)
            if note:
                capture.record_touched(end_us, sender.number, heard or b"", note, sent)
            else:
                capture.record(end_us, sender.number, sent)
        if heard is None:
            return
        turn_round_us = self._turn_round_us
        for port in sender.listeners:
            if turn_round_us and port is not sender and port.free_at_us < end_us + turn_round_us:
                port.free_at_us = end_us + turn_round_us
            port.receive_data(heard, now_us)
            self._service(port, now_us)
        if self._echoes and (sender.number, end_us) in self._echoes:
            del self._echoes[sender.number, end_us]
            sender.receive_data(heard, now_us)
            self._service(sender, now_us)

    # Collisions.

    def _settle(self, now_us: int) -> None:
        """Hand over each group of overlapping bursts that has ended; a lone burst is a group of one."""
        for group in _groups(self._air):
            if _end_us(group) > now_us:
                continue
            for burst in group:
                self._air.remove(burst)
            audible = [burst for burst in group if burst[3] is not None]
            if len(audible) < 2:
                for burst in group:
                    self._deliver(burst, now_us)
            else:
                self._collide(group, audible, now_us)

    def _collide(self, group: list[_Burst], audible: list[_Burst], now_us: int) -> None:
        self.collisions += 1
        senders = [burst[2] for burst in audible]
        for burst in group:
            self._echoes.pop((burst[2].number, burst[0]), None)
        self._kernel.trace.emit(
            "wire.collision", f"wire/{self.name}", senders=[port.name for port in senders]
        )
        chars = self._mix(audible)
        if self.capture is not None:
            if self._carrier is not None:
                self._carrier.settle(now_us)
            for end_us, start_us, sender, _, note, sent in group:
                heard = bytes(byte for at_us, byte in chars if start_us < at_us <= end_us)
                touched = f"{note}+collision" if note else "collision"
                self.capture.record_touched(end_us, sender.number, heard, touched, sent)
        for port in self.ports:
            # A sender without echo is deaf while it sends; it hears the tail of whoever ended after it.
            deaf_until_us = max((burst[0] for burst in audible if burst[2] is port), default=-1)
            heard = bytes(byte for at_us, byte in chars if self._echo or at_us > deaf_until_us)
            if heard:
                port.receive_data(heard, now_us)
                self._service(port, now_us)

    def _mix(self, audible: list[_Burst]) -> list[tuple[int, int]]:
        """What a receiver makes of overlapping bursts: (end of character, byte), characters that met are garbage."""
        slots = sorted(
            (start_us + self.burst_us(index), start_us + self.burst_us(index + 1), byte)
            for _, start_us, _, heard, _, _ in audible
            for index, byte in enumerate(heard or b"")
        )
        chars: list[tuple[int, int]] = []
        for begins_us, ends_us, byte in slots:
            if chars and begins_us < chars[-1][0]:
                # The receiver was still inside a character: it swallows this one and gets both wrong.
                chars[-1] = (chars[-1][0], self._collisions.randrange(256))
            else:
                chars.append((ends_us, byte))
        return chars

    def _make_noise(self, now_us: int) -> None:
        for burst in self.faults.take_noise(now_us):
            port = next((one for one in self.ports if one.name == burst.sender), None) or self._noise_port()
            start_us = max(now_us, port.free_at_us)
            end_us = start_us + self.burst_us(len(burst.data))
            port.free_at_us = end_us
            self._air.append((end_us, start_us, port, burst.data, burst.fault, b""))

    def _noise_port(self) -> Port:
        noise = self._noise
        if noise is None:
            number = self.capture.port("noise") if self.capture is not None else -1
            noise = self._noise = Port(self, _Silence(), "noise", number, is_master=False)
        noise.listeners = tuple(self.ports)
        return noise

    # Idle polls that are carried.

    def _clean(self, now_us: int) -> None:
        carrier = self._carrier
        if carrier is not None and carrier.until_us > now_us:
            carrier.put_on_the_wire(now_us)  # and what is due by now comes before what has changed
        else:
            super()._clean(now_us)

    # Idle polls that are left out.

    def _service(self, port: Port, now_us: int) -> None:
        port.touched_us = now_us
        port.dirty = False
        for outgoing in port.data_to_send(now_us):
            self._transmit(port, outgoing, now_us)
        want_us = port.next_timer()
        port.want_us = NEVER_US if want_us is None else want_us
        if self._skipped and not port.is_master:
            self._recheck(now_us)

    def _is_quiet(self, address: int) -> bool:
        if self._has_faults and self.faults.is_active(self._kernel.now_us, self._poll_lead_us):
            return False
        if self._devices_quiet(address):
            self._skipped[address] = None
            return True
        self._skipped.pop(address, None)
        return False

    def _devices_quiet(self, address: int) -> bool:
        # Nobody there: the poll times out, which the master has to see. Two there: they collide.
        if self._owners:
            owners = self._owners.get(address)
            return owners is not None and len(owners) == 1 and owners[0].quiet(address)
        return sum(port.quiet(address) for port in self.ports if not port.is_master) == 1

    def _recheck(self, now_us: int) -> None:
        loud = [address for address in self._skipped if not self._devices_quiet(address)]
        if loud:
            for address in loud:
                del self._skipped[address]
            self._resume(now_us, now_us - self._poll_lead_us)

    def _resume_all(self) -> None:
        """A fault may strike from now on: nothing is skipped any more."""
        self._skipped.clear()
        self._resume(self._kernel.now_us, self._kernel.now_us)
        if not self._is_running:
            self._call_by(self._kernel.now_us)

    def _resume(self, now_us: int, since_us: int) -> None:
        port = self._master
        if port is None:
            return
        master: Any = port.machine
        # The master's clock never runs backwards: what it has seen since then bounds how far back it can go.
        since_us = max(since_us, port.touched_us)
        master.wake(since_us)
        want_us = port.next_timer()
        for _ in range(
            _RESUME_LIMIT
        ):  # slots between then and now: at most one holds a poll, others are quiet
            if want_us is None or not since_us <= want_us < now_us:
                break
            port.handle_timer(want_us)
            for outgoing in port.data_to_send(want_us):
                self._transmit(port, outgoing, want_us)
            want_us = port.next_timer()
        port.want_us = NEVER_US if want_us is None else want_us


class _Silence:
    """The machine behind noise: nobody."""

    on_wake: Callable[[], None] | None = None

    def receive_data(self, data: bytes, now_us: int) -> None:
        """Nobody hears."""

    def data_to_send(self, now_us: int) -> list[Outgoing]:  # noqa: ARG002 - the Machine protocol
        """Nobody sends."""
        return []

    def next_timer(self) -> None:
        """Nobody waits."""

    def handle_timer(self, now_us: int) -> None:
        """Nobody waits."""


def _end_us(group: list[_Burst]) -> int:
    return max(burst[0] for burst in group)


def _groups(air: list[_Burst]) -> list[list[_Burst]]:
    """Bursts that overlap in time, directly or through others, belong together."""
    groups: list[list[_Burst]] = []
    end_us = -1
    for burst in sorted(air, key=lambda burst: (burst[1], burst[0], burst[2].number)):
        if burst[1] < end_us:
            groups[-1].append(burst)
            end_us = max(end_us, burst[0])
        else:
            groups.append([burst])
            end_us = burst[0]
    return groups
