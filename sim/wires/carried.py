"""Idle exchanges of a bus in one step: a poll, and the answer that says nothing new, without taking the bytes apart.

Most of what passes on a polled line is the same poll and the same answer again. When the master is about to send such a
poll, it says which answer would tell it nothing; every device on the bus says what it would make of the poll. If they
agree, the exchange is *carried*: both bursts pass at their instants and stand in the capture, but nobody is woken.

That holds only while nothing else happens on the bus. If anything does before the exchange is over, it is put on the
wire as it would stand at that instant: the master has started the poll when it had begun, and what is still in the air
is in the air. So a run with carried exchanges is the run without them, to the byte and the microsecond, only faster.

A machine takes part by a few more methods, all optional. Of the master:

* ``carry``: set by the bus, ``carry(poll, answer, now_us)``; called in place of sending ``poll`` now; returns when
  ``answer`` will have been heard, or 0 if the poll has to be sent;
* ``recall(start_us)``: start the poll that was carried last after all, as at ``start_us``.

Of a device:

* ``idle_answer(poll, heard_us)``: the answer to this poll, if hearing it changes nothing; empty if it would not answer
  and nothing changes; None if it has to hear it;
* ``idle_gap_us``: the silence between the end of a poll and the beginning of that answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from protocols.sansio import Outgoing
from sim.faults import NEVER_US
from sim.wires.virtual import Port

if TYPE_CHECKING:
    from sim.wires.bus import VirtualBus

__all__ = ["Carrier", "Hands"]

_LENGTHS_MAX: Final = 256
"""Burst lengths whose time is remembered: no frame on these lines is longer."""


class Hands(NamedTuple):
    """What a carrier does through its bus.

    Attributes:
        transmit: put bytes of a port on the wire, at an instant.
        service: take what a port wants to send and when it wants its timer.
        now_us: the time.
    """

    transmit: Callable[[Port, Outgoing, int], None]
    service: Callable[[Port, int], None]
    now_us: Callable[[], int]


class Carrier:
    """Carries the idle exchanges of one bus, at most one at a time.

    Args:
        bus: a bus without echo and turn-round time.
        master: its polling master.
        air: the bus's bursts in the air.
        hands: what the bus does for it.

    Attributes:
        until_us: when the answer that is being carried, or was carried last and is not yet recorded, has passed;
            -1 if there is none.
    """

    __slots__ = (
        "_air",
        "_answer",
        "_answer_from_us",
        "_asks",
        "_device",
        "_faults",
        "_gaps_us",
        "_hands",
        "_master",
        "_poll",
        "_poll_is_recorded",
        "_poll_until_us",
        "_record",
        "_start_us",
        "_times_us",
        "until_us",
    )

    def __init__(self, bus: VirtualBus, master: Port, air: Sequence[object], hands: Hands) -> None:
        self.until_us = -1
        self._hands = hands
        self._air = air
        self._master = master
        self._faults = bus.faults or None
        self._record = None
        if bus.capture is not None:
            self._record = bus.capture.record
            bus.capture.on_read = lambda: self.settle(hands.now_us() - 1)
        self._asks: list[tuple[Port, Callable[[bytes, int], bytes | None]]] | None = None
        self._gaps_us: dict[Port, int] = {}
        self._times_us = [bus.burst_us(count) for count in range(_LENGTHS_MAX)]
        self._poll = self._answer = b""
        self._device = master
        self._start_us = self._poll_until_us = self._answer_from_us = 0
        self._poll_is_recorded = False
        machine: Any = master.machine
        machine.carry = self.offer

    def welcome(self, ports: list[Port]) -> None:
        """These are the machines on the bus now. One that cannot tell beforehand what it will do ends all carrying."""
        devices = [port for port in ports if port is not self._master]
        self._asks = None
        if all(hasattr(port.machine, "idle_answer") for port in devices):
            machines: list[tuple[Port, Any]] = [(port, port.machine) for port in devices]
            self._asks = [(port, machine.idle_answer) for port, machine in machines]
            self._gaps_us = {port: machine.idle_gap_us for port, machine in machines}

    def offer(self, poll: bytes, answer: bytes, now_us: int) -> int:
        """The master's ``carry``, see the head of this file."""
        asks = self._asks
        if asks is None or self._air or self._master.free_at_us > now_us:
            return 0
        poll_until_us = now_us + self._times_us[len(poll)]
        device: Port | None = None
        next_us = NEVER_US
        for port, ask in asks:
            if port.want_us < next_us:
                next_us = port.want_us
            said = ask(poll, poll_until_us)
            if said:
                if device is not None or said != answer:
                    return 0
                device = port
            elif said is None:
                return 0
        if device is None:
            return 0
        answer_from_us = poll_until_us + self._gaps_us[device]
        until_us = answer_from_us + self._times_us[len(answer)]
        if next_us <= until_us or device.free_at_us > answer_from_us:
            return 0
        if self._faults is not None and self._faults.is_active(now_us, until_us - now_us):
            return 0
        if self._record is not None and self.until_us >= 0:
            self.settle(now_us)
        self._poll = poll
        self._answer = answer
        self._device = device
        self._start_us = now_us
        self._poll_until_us = poll_until_us
        self._answer_from_us = answer_from_us
        self._poll_is_recorded = False
        self.until_us = until_us
        return until_us

    def settle(self, now_us: int) -> None:
        """Record what has passed by now."""
        if self.until_us < 0:
            return
        record = self._record
        if record is not None and not self._poll_is_recorded and self._poll_until_us <= now_us:
            self._poll_is_recorded = True
            record(self._poll_until_us, self._master.number, self._poll)
        if self.until_us <= now_us:
            if record is not None:
                record(self.until_us, self._device.number, self._answer)
            self.until_us = -1

    def put_on_the_wire(self, now_us: int) -> None:
        """Something else happens while an exchange is being carried: from here on it takes its ordinary course."""
        self.settle(now_us - 1)
        self.until_us = -1
        hands, master, start_us = self._hands, self._master, self._start_us
        machine: Any = master.machine
        machine.recall(start_us)
        bursts = master.data_to_send(start_us)
        if now_us <= self._poll_until_us:
            for outgoing in bursts:
                hands.transmit(master, outgoing, start_us)
        elif now_us <= self._answer_from_us:
            for port, _ in self._asks or ():
                port.receive_data(self._poll, self._poll_until_us)
                hands.service(port, self._poll_until_us)
        else:
            hands.transmit(self._device, Outgoing(self._answer), self._answer_from_us)
        want_us = master.next_timer()
        master.want_us = NEVER_US if want_us is None else want_us
