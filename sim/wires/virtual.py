"""What the virtual wires share: ports with machines on them, one kernel event for whatever is due next.

A wire keeps its own short agenda (the ends of bursts in the air, the timers of its machines, noise) and asks the kernel
for one call at the earliest of these. A master's reply time-out that the reply overtakes therefore costs nothing. At
one instant bytes are seen before timers, and timers run in the order in which machines were attached.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, Protocol

from protocols.sansio import HarnessProtocolError, Machine, Outgoing
from sim.faults import NEVER_US
from sim.kernel import Cancellable, Kernel
from sim.wires.capture import Capture
from sim.wires.faults import WireFault, WireFaults

if TYPE_CHECKING:
    from sim.wires.carried import Carrier

__all__ = ["LinkAware", "Port", "VirtualWire", "tell_link"]

_ROUNDS_LIMIT: Final = 1000
"""Rounds at one instant before a wire is called stuck: a machine whose timer never moves on would spin for ever."""


class LinkAware(Protocol):
    """What a machine may have beside `Machine`, to learn when its connection comes and goes.

    Either method may be missing. Only connections call them; a bus and a serial line have nothing of the kind.
    """

    def connection_made(self, now_us: int) -> None:
        """The connection stands; a parser starts afresh."""

    def connection_lost(self, now_us: int) -> None:
        """The connection is gone; what was half received will never be complete."""


def tell_link(machine: Machine, now_us: int, *, is_up: bool) -> None:
    """Tell a machine about its connection, if it wants to know (see `LinkAware`)."""
    tell: Callable[[int], None] | None = getattr(
        machine, "connection_made" if is_up else "connection_lost", None
    )
    if tell is not None:
        tell(now_us)


class Port:
    """One machine on a virtual wire.

    Attributes:
        name: the machine's name on this wire; the sender in captures and faults.
        number: its number in the capture.
        machine: the machine.
        want_us: when it wants its timer handled; `NEVER_US` for not at all.
        free_at_us: the earliest instant at which it may start to send.
        touched_us: when it was last told the time.
    """

    __slots__ = (
        "data_to_send",
        "dirty",
        "free_at_us",
        "handle_timer",
        "is_master",
        "listeners",
        "machine",
        "name",
        "next_timer",
        "number",
        "quiet",
        "receive_data",
        "touched_us",
        "want_us",
        "wire",
    )

    def __init__(
        self, wire: VirtualWire, machine: Machine, name: str, number: int, *, is_master: bool
    ) -> None:
        self.wire = wire
        self.machine = machine
        self.name = name
        self.number = number
        self.is_master = is_master
        self.listeners: tuple[Port, ...] = ()
        self.want_us = NEVER_US
        self.free_at_us = 0
        self.touched_us = 0
        self.dirty = False
        # Bound once: these four are called for each burst of a run.
        self.receive_data = machine.receive_data
        self.data_to_send = machine.data_to_send
        self.next_timer = machine.next_timer
        self.handle_timer = machine.handle_timer
        self.quiet: Callable[[int], bool] = getattr(machine, "quiet", _never_quiet)

    def wake(self) -> None:
        """What the machine calls as ``on_wake``: look at me again, at this instant but not inside this call."""
        if not self.dirty:
            self.dirty = True
            self.wire.mark_dirty(self)


def _never_quiet(_address: int) -> bool:
    return False


class VirtualWire:
    """Base of `VirtualBus` and `VirtualLink`; they say how bytes travel.

    Args:
        kernel: the clock.
        name: the wire's name in trace, streams and captures.
        faults: what goes wrong on it.
        capture: where its bursts are recorded; None records nothing.
    """

    def __init__(
        self, kernel: Kernel, name: str, *, faults: Iterable[WireFault] | None, capture: Capture | None
    ) -> None:
        self.name = name
        self.capture = capture
        self.faults = WireFaults(
            faults or (), streams=kernel.streams, entity=f"wire/{name}", emit=kernel.trace.emit
        )
        self.ports: list[Port] = []
        self._kernel = kernel
        self._call: Cancellable | None = None
        self._call_us = NEVER_US
        self._bytes_due_us = NEVER_US
        self._dirty: list[Port] = []
        self._is_running = False
        self._has_faults = bool(self.faults)
        self._carrier: Carrier | None = None  # of a bus that carries idle exchanges

    def mark_dirty(self, port: Port) -> None:
        """Look at a port again at this instant (its machine said that something changed)."""
        self._dirty.append(port)
        if not self._is_running:
            self._call_by(self._kernel.now_us)

    def _attach(self, machine: Machine, name: str, *, is_master: bool) -> Port:
        if any(port.name == name for port in self.ports):
            raise HarnessProtocolError(
                f"{self.name}: two machines are called {name!r}; give each its own name"
            )
        number = self.capture.port(name) if self.capture is not None else len(self.ports)
        port = Port(self, machine, name, number, is_master=is_master)
        self.ports.append(port)
        machine.on_wake = port.wake
        port.wake()
        return port

    # What subclasses provide.

    def _transmit(self, port: Port, outgoing: Outgoing, now_us: int) -> None:
        raise NotImplementedError

    def _deliver_due(self, now_us: int) -> None:
        """Hand over what has arrived by now and move ``_bytes_due_us`` on."""
        raise NotImplementedError

    def _service(self, port: Port, now_us: int) -> None:
        """Take what a port wants to send and when it wants its timer, after anything happened to it."""
        port.touched_us = now_us
        port.dirty = False
        for outgoing in port.data_to_send(now_us):
            self._transmit(port, outgoing, now_us)
        want_us = port.next_timer()
        port.want_us = NEVER_US if want_us is None else want_us

    # The agenda.

    def _call_by(self, at_us: int) -> None:
        if at_us < self._call_us:
            if self._call is not None:
                self._call.cancel()
            self._call_us = at_us
            self._call = self._kernel.call_at(at_us, self._run)

    def _run(self) -> None:  # noqa: C901 - in one piece: it is run for each burst
        fired, self._call = self._call, None
        self._call_us = NEVER_US
        self._is_running = True
        now_us = self._kernel.now_us
        carrier = self._carrier
        if carrier is not None and carrier.rests_until_us >= 0:
            carrier.wake(now_us)
        rounds = 0
        try:
            while True:
                if self._bytes_due_us <= now_us:
                    self._deliver_due(now_us)
                next_us = self._bytes_due_us
                for port in self.ports:
                    if port.want_us < next_us:
                        next_us = port.want_us
                if next_us <= now_us:
                    for port in self.ports:
                        if port.want_us <= now_us:
                            port.handle_timer(now_us)
                            self._service(port, now_us)
                elif self._dirty:
                    self._clean(now_us)
                else:
                    break
                rounds += 1
                if rounds > _ROUNDS_LIMIT:
                    raise HarnessProtocolError(self._stuck(now_us))
        finally:
            self._is_running = False
        if carrier is not None and carrier.until_us > now_us:
            next_us = carrier.rest() or next_us
        if next_us < self._call_us:
            if fired is None or self._call is not None:
                self._call_by(next_us)
            else:
                # The one call that every event of a run makes, without layers. Inside a step the environment's own time
                # is the base, on either clock.
                step_us: Any = self._kernel.env._now
                fired.again(next_us - step_us, self._run)
                self._call = fired
                self._call_us = next_us

    def _clean(self, now_us: int) -> None:
        dirty, self._dirty = self._dirty, []
        for port in dirty:
            if port.dirty:  # nobody has looked at it since
                port.dirty = False
                self._service(port, now_us)

    def _stuck(self, now_us: int) -> str:
        late = [port.name for port in self.ports if port.want_us <= now_us]
        return f"{self.name}: does not come to rest at {now_us} us; timers still due of: {', '.join(late) or 'none'}"

    def _tell_link(self, port: Port, now_us: int, *, is_up: bool) -> None:
        tell_link(port.machine, now_us, is_up=is_up)
        self._service(port, now_us)
