"""Idle exchanges of a bus in one step: a poll, and the answer that says nothing new, without taking the bytes apart.

Most of what passes on a polled line is the same poll and the same answer again. When the master is about to send such a
poll, it says which answer would tell it nothing; every device on the bus says what it would make of the poll. If they
agree, the exchange is *carried*: both bursts pass at their instants and stand in the capture, but nobody is woken.

That holds only while nothing else happens on the bus. If anything does before the exchange is over, it is put on the
wire as it would stand at that instant: the master has started the poll when it had begun, and what is still in the air
is in the air. So a run with carried exchanges is the run without them, to the byte and the microsecond, only faster.

Often nothing but idle polls is to come at all: no address of the master has anything else to expect, and no device has a
timer. Then the bus *rests*: it asks the kernel for no call, and the exchanges that pass meanwhile are made up for when
somebody touches a machine on the bus, reads the capture, or the rest ends. What happens on two buses at one microsecond may then
come in another order between them; on each bus everything is as it was.

A machine takes part by a few more methods, all optional. Of the master:

* ``carry``: set by the bus, ``carry(poll, answer, now_us)``; called in place of sending ``poll`` now; returns when
  ``answer`` will have been heard, or 0 if the poll has to be sent;
* ``recall(start_us)``: start the poll that was carried last after all, as at ``start_us``;
* ``slots_a_round``: how many addresses it polls in turn;
* ``idle_round()``: poll and answer of each address, if idle polls are all that comes by itself; else None;
* ``idle_slots(until_us)``: (start, number of the address) of the slots that begin by then;
* ``pass_idle(until_us, took_us)``: every slot that has begun by now was such an exchange;
* ``idle_slot_from(from_us)``: when the first slot from an instant on begins.

Of a device:

* ``idle_answer(poll)``: the answer to this poll, if hearing it changes nothing; empty if it would not answer and nothing
  changes; None if it has to hear it. What it says holds until the device calls ``on_wake`` or its timer is due;
* ``idle_heard(poll, heard_us)``: it has heard a poll, and gave that answer;
* ``idle_gap_us``: the silence between the end of a poll and the beginning of that answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from protocols.sansio import Outgoing
from sim.faults import NEVER_US
from sim.wires.capture import Capture
from sim.wires.virtual import Port

if TYPE_CHECKING:
    from sim.wires.bus import VirtualBus

__all__ = ["Carrier", "Hands"]

_LENGTHS_MAX: Final = 256
"""Burst lengths whose time is remembered: no frame on these lines is longer."""


_STRETCH_US: Final = 600 * 1_000_000
"""A rest is made up for in such pieces, so that a week of it needs no memory for each of its polls at once."""

_KNOWN_MAX: Final = 256
"""A master polls its addresses, each with the same bytes."""


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


class _Exchange(NamedTuple):
    """An idle exchange, with its instants counted from its start."""

    device: Port
    poll: bytes
    answer: bytes
    poll_until_us: int
    answer_from_us: int
    until_us: int


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
        rests_until_us: when the bus has to look again by itself; -1 while it does not rest.
    """

    __slots__ = (
        "_air",
        "_asks",
        "_capture",
        "_exchange",
        "_faults",
        "_gaps_us",
        "_hands",
        "_in_a_row",
        "_known",
        "_master",
        "_poll_is_recorded",
        "_record",
        "_round",
        "_start_us",
        "_times_us",
        "_took_us",
        "rests_until_us",
        "until_us",
    )

    def __init__(self, bus: VirtualBus, master: Port, air: Sequence[object], hands: Hands) -> None:
        self.until_us = -1
        self.rests_until_us = -1
        self._hands = hands
        self._air = air
        self._master = master
        self._faults = bus.faults or None
        capture = self._capture = bus.capture
        self._record = None
        if capture is not None:
            self._record = capture.record
            capture.on_read = lambda: self._catch_up(hands.now_us() - 1)
        self._asks: list[tuple[Port, Callable[[bytes], bytes | None]]] | None = None
        self._gaps_us: dict[Port, int] = {}
        self._times_us = [bus.burst_us(count) for count in range(_LENGTHS_MAX)]
        self._exchange = _Exchange(master, b"", b"", 0, 0, 0)
        self._start_us = 0
        self._poll_is_recorded = False
        self._in_a_row = 0  # exchanges carried since the master last sent a poll itself
        self._known: dict[bytes, _Exchange] = {}
        self._round: list[_Exchange] = []
        self._took_us: list[int] = []
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
        in_a_row, self._in_a_row = self._in_a_row, 0
        if self._air or self._master.free_at_us > now_us:
            return 0
        exchange = self._find(poll, answer)
        if exchange is None:
            return 0
        until_us = now_us + exchange.until_us
        if (
            self._devices_want_us() <= until_us
            or exchange.device.free_at_us > now_us + exchange.answer_from_us
        ):
            return 0
        if self._faults is not None and self._faults.is_active(now_us, until_us - now_us):
            return 0
        self._in_a_row = in_a_row + 1
        self._begin(exchange, now_us)
        machine: Any = exchange.device.machine
        machine.idle_heard(poll, now_us + exchange.poll_until_us)
        return until_us

    def _find(self, poll: bytes, answer: bytes) -> _Exchange | None:
        """The exchange that this poll begins, if one device gives this answer to it and the others do not mind."""
        device: Port | None = None
        for port, ask in self._asks or ():
            said = ask(poll)
            if said:
                if device is not None or said != answer:
                    return None
                device = port
            elif said is None:
                return None
        if device is None:
            return None
        known = self._known.get(poll)
        if known is None or known.answer != answer or known.device is not device:
            poll_until_us = self._times_us[len(poll)]
            answer_from_us = poll_until_us + self._gaps_us[device]
            until_us = answer_from_us + self._times_us[len(answer)]
            known = _Exchange(device, poll, answer, poll_until_us, answer_from_us, until_us)
            if poll in self._known or len(self._known) < _KNOWN_MAX:
                self._known[poll] = known
        return known

    def _devices_want_us(self) -> int:
        return min((port.want_us for port, _ in self._asks or ()), default=NEVER_US)

    def _begin(self, exchange: _Exchange, start_us: int) -> None:
        if self._record is not None and self.until_us >= 0:
            self._settle(start_us)
        self._exchange = exchange
        self._start_us = start_us
        self._poll_is_recorded = False
        self.until_us = start_us + exchange.until_us

    # --- rest -----------------------------------------------------------------------------------------------------

    def rest(self) -> int:
        """After an exchange was carried: when the bus has to look again by itself, 0 if it cannot rest."""
        machine: Any = self._master.machine
        if self._in_a_row < machine.slots_a_round or self._faults is not None:
            return 0  # not yet worth asking
        frames = machine.idle_round()
        if frames is None:
            return 0
        exchanges = [self._find(poll, answer) for poll, answer in frames]
        self._round = [exchange for exchange in exchanges if exchange is not None]
        if len(self._round) < len(exchanges):
            return 0
        self._took_us = [exchange.until_us for exchange in self._round]
        want_us = self._devices_want_us()
        next_us = self._master.want_us
        last_us = NEVER_US if want_us == NEVER_US else machine.idle_slot_from(want_us - max(self._took_us))
        if last_us <= next_us or self._devices_free_us() > next_us:
            return 0
        self.rests_until_us = last_us
        return min(last_us, want_us)

    def _devices_free_us(self) -> int:
        return max(port.free_at_us for port, _ in self._asks or ())

    def wake(self, now_us: int) -> None:
        """The rest is over: what has begun before is carried, and the bus goes on slot by slot, with one that begins now."""
        self._pass_idle(now_us - 1)
        self.rests_until_us = -1
        want_us = self._master.next_timer()
        self._master.want_us = NEVER_US if want_us is None else want_us

    def _pass_idle(self, now_us: int) -> None:
        """Make up for the exchanges that have begun by now, but for the one that ends the rest."""
        until_us = min(now_us, self.rests_until_us - 1)
        if self._capture is not None:
            master: Any = self._master.machine
            while (stretch_us := master.next_timer() + _STRETCH_US) < until_us:
                self._pass_slots(stretch_us)
        self._pass_slots(until_us)

    def _pass_slots(self, until_us: int) -> None:
        master: Any = self._master.machine
        if self._capture is not None:
            self._record_idle(master.idle_slots(until_us), self._capture)
        starts_us = master.pass_idle(until_us, self._took_us)
        last_us = -1
        for exchange, start_us in zip(self._round, starts_us, strict=True):
            if start_us >= 0:
                machine: Any = exchange.device.machine
                machine.idle_heard(exchange.poll, start_us + exchange.poll_until_us)
                if start_us > last_us:
                    last_us, last = start_us, exchange
        if last_us >= 0:
            self._begin(last, last_us)

    def _record_idle(self, slots: list[tuple[int, int]], capture: Capture) -> None:
        """All but the last, which may still be under way."""
        if len(slots) < 2:
            return
        self.settle(slots[0][0])
        number = self._master.number
        bursts: list[tuple[int, int, bytes]] = []
        for start_us, index in slots[:-1]:
            device, poll, answer, poll_until_us, _, until_us = self._round[index]
            bursts.append((start_us + poll_until_us, number, poll))
            bursts.append((start_us + until_us, device.number, answer))
        capture.record_many(bursts)

    # --- captures -------------------------------------------------------------------------------------------------

    def _catch_up(self, now_us: int) -> None:
        """Before the capture is read: everything that has passed by now stands in it."""
        if self.rests_until_us >= 0:
            self._pass_idle(now_us)
        self.settle(now_us)

    def settle(self, now_us: int) -> None:
        """Record what has passed by now."""
        if self.until_us >= 0:
            self._settle(now_us)

    def _settle(self, now_us: int) -> None:
        record = self._record
        exchange = self._exchange
        if (
            record is not None
            and not self._poll_is_recorded
            and self._start_us + exchange.poll_until_us <= now_us
        ):
            self._poll_is_recorded = True
            record(self._start_us + exchange.poll_until_us, self._master.number, exchange.poll)
        if self.until_us <= now_us:
            if record is not None:
                record(self.until_us, exchange.device.number, exchange.answer)
            self.until_us = -1

    def put_on_the_wire(self, now_us: int) -> None:
        """Something else happens while an exchange is being carried: from here on it takes its ordinary course."""
        self.settle(now_us - 1)
        self.until_us = -1
        hands, master, start_us, exchange = self._hands, self._master, self._start_us, self._exchange
        machine: Any = master.machine
        machine.recall(start_us)
        bursts = master.data_to_send(start_us)
        heard_us, answer_from_us = start_us + exchange.poll_until_us, start_us + exchange.answer_from_us
        if now_us <= heard_us:
            for outgoing in bursts:
                hands.transmit(master, outgoing, start_us)
        elif now_us <= answer_from_us:
            for port, _ in self._asks or ():
                port.receive_data(exchange.poll, heard_us)
                hands.service(port, heard_us)
        else:
            hands.transmit(exchange.device, Outgoing(exchange.answer), answer_from_us)
        want_us = master.next_timer()
        master.want_us = NEVER_US if want_us is None else want_us
