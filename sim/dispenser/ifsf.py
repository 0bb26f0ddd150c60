"""The IFSF personality: a dispenser node of the dispenser application over TCP/IP.

It serves one controlling device at a time (the first whose heartbeat it hears); others are recorded and may take over when that
one has gone. Behaviour as fangym0335/first and the gateways of ycxzfforever implement it; see `protocols.ifsf.RULES`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from protocols.ifsf import (
    CONFIGURATION_NEEDED,
    CONFIGURATION_STATES,
    DISPENSER_SUBNET,
    HEARTBEAT_PERIOD_US,
    Address,
    Element,
    Endpoint,
    Heartbeat,
    IfsfLink,
    Message,
    MessageKind,
    Responder,
)
from protocols.sansio import Outgoing

from .ifsf_fields import IfsfOptions
from .ifsf_point import IfsfPoint
from .ifsf_store import NodeStore
from .model import Dispenser

__all__ = ["IfsfDispenser"]

_POINTS_MOST: Final = 4


class IfsfDispenser:
    """A dispenser as one IFSF node: a `protocols.ifsf.NodeMachine`.

    Args:
        dispenser: the model; this personality serves its timers.
        node: node number on subnet 1.
        places: place in the node (1..4) -> fuelling point number of the model; by default in their order.
        options: what makes differ in.

    Attributes:
        on_wake: set by the host.
        link: transport, with the warnings about what the peer does.
        points: by place.
        store: the databases.
        stand_alone: the controlling device has gone, and the dispenser goes on by itself.

    Raises:
        ValueError: a node outside 1..127, or more than four fuelling points.
    """

    def __init__(
        self,
        dispenser: Dispenser,
        node: int = 1,
        *,
        places: Mapping[int, int] | None = None,
        options: IfsfOptions | None = None,
    ) -> None:
        if not 1 <= node <= 127:
            raise ValueError(f"node {node} is not in 1..127")
        if places is None:
            places = dict(enumerate(sorted(dispenser.fuelling_points), start=1))
        if not places or not set(places) <= set(range(1, _POINTS_MOST + 1)):
            raise ValueError(f"an IFSF node has fuelling points 1..{_POINTS_MOST}, not {sorted(places)}")
        self.dispenser = dispenser
        self.on_wake: Callable[[], None] | None = None
        self.own = Address(DISPENSER_SUBNET, node)
        self.stand_alone = False
        self.store: NodeStore
        self._options = options or IfsfOptions()
        self._powered = dispenser.powered
        self._held: list[Message] | None = None
        self.link = IfsfLink(self.own, self, accepts=lambda address: address.subnet > DISPENSER_SUBNET)
        self.points = {
            place: IfsfPoint(
                place,
                dispenser.fuelling_points[number],
                self._options,
                notify=self._notify,
                product_of=lambda logical, place=place: self.store.product_of(place, logical),  # type: ignore[misc]
            )
            for place, number in sorted(places.items())
        }
        self.store = NodeStore(self.own, self.points, self._options)
        self.store.heartbeat_s = HEARTBEAT_PERIOD_US // 1_000_000
        self.store.on_interval = self._set_interval
        self._responder = Responder(self.own, self.store, self.link.send, self.link.warn)
        for held in self.points.values():
            if self._options.closed_at_start:
                held.point.close(0)
            held.point.on_change = self._wake
        self._show_status()

    # -- from the link -------------------------------------------------------------------------------------------

    def on_message(self, message: Message, now_us: int) -> None:
        """See `LinkEvents`. What a write sets off is told after its acknowledgement."""
        self._held = []
        self._responder.handle(message, now_us)
        held, self._held = self._held, None
        for notice in held:
            self.link.send(notice)

    def on_peer(self, heartbeat: Heartbeat | None, now_us: int) -> None:
        """See `LinkEvents`."""
        self.stand_alone = heartbeat is None and self._powered and self.store.stand_alone
        for held in self.points.values():
            held.stand_alone = self.stand_alone
            held.go_on_alone(now_us)

    def on_stream(self, is_up: bool, now_us: int) -> None:
        """See `LinkEvents`."""

    def _notify(self, database: bytes, elements: Iterable[Element]) -> None:
        peer = self.link.peer
        if peer is None or peer.address not in self.store.recipients:
            return
        notice = Message(
            receiver=peer.address,
            originator=self.own,
            kind=MessageKind.NOTICE,
            database=database,
            elements=tuple(elements),
        )
        if self._held is None:
            self.link.send(notice)
        else:
            self._held.append(notice)

    def _set_interval(self, seconds: int) -> None:
        self.link.period_us = seconds * 1_000_000

    # -- the machine ---------------------------------------------------------------------------------------------

    @property
    def dial(self) -> Endpoint | None:
        """See `NodeMachine`."""
        return self.link.dial if self.dispenser.powered else None

    @property
    def wants_close(self) -> bool:
        """See `NodeMachine`."""
        return self.link.wants_close or not self.dispenser.powered

    @property
    def wants_redial(self) -> bool:
        """See `NodeMachine`."""
        return self.link.wants_redial

    def start(self, endpoint: Endpoint, now_us: int) -> None:
        """See `NodeMachine`."""
        self.link.start(endpoint, now_us)

    def connection_made(self, now_us: int) -> None:
        """See `NodeMachine`."""
        self.link.connection_made(now_us)

    def connection_lost(self, now_us: int) -> None:
        """See `NodeMachine`."""
        self.link.connection_lost(now_us)

    def accepted(self, now_us: int) -> None:
        """See `NodeMachine`."""
        self.link.accepted(now_us)

    def dropped(self, now_us: int) -> None:
        """See `NodeMachine`."""
        self.link.dropped(now_us)

    def receive_datagram(self, data: bytes, now_us: int) -> None:
        """See `NodeMachine`. Without power nothing is heard."""
        self._settle(now_us)
        if self._powered:
            self.link.receive_datagram(data, now_us)

    def datagrams_to_send(self, now_us: int) -> list[bytes]:
        """See `NodeMachine`."""
        return self.link.datagrams_to_send(now_us)

    def receive_data(self, data: bytes, now_us: int) -> None:
        """See `protocols.sansio.Machine`. Without power nothing is heard."""
        self._settle(now_us)
        if self._powered:
            self.link.receive_data(data, now_us)

    def data_to_send(self, now_us: int) -> list[Outgoing]:
        """See `protocols.sansio.Machine`."""
        self._settle(now_us)
        for held in self.points.values():
            held.flush()
        return self.link.data_to_send(now_us)

    def next_timer(self) -> int | None:
        """The earliest timer of model, running messages and link."""
        due = [self.dispenser.next_timer(), self.link.next_timer()]
        if self._powered:
            due.extend(held.next_timer() for held in self.points.values())
        return min((us for us in due if us is not None), default=None)

    def handle_timer(self, now_us: int) -> None:
        """See `protocols.sansio.Machine`."""
        self._settle(now_us)
        if self._powered:
            for held in self.points.values():
                held.handle_timer(now_us)
        self.link.handle_timer(now_us)

    def quiet(self, address: int) -> bool:  # noqa: ARG002 - asked of every personality
        """Never polled, so never in the way of skipped polls."""
        return True

    # -- power ---------------------------------------------------------------------------------------------------

    def _settle(self, now_us: int) -> None:
        """Bring the model up to now, and notice when the power came or went."""
        self.dispenser.handle_timer(now_us)
        powered = self.dispenser.powered
        if powered == self._powered:
            self._show_status()
            return
        self._powered = powered
        if powered:
            self.store.reset()
            self.link.revive(now_us)
        else:
            self.stand_alone = False
            for held in self.points.values():
                held.stand_alone = False
            self.link.fall_silent(now_us)
        self._show_status()

    def _show_status(self) -> None:
        waits = all(held.state in CONFIGURATION_STATES for held in self.points.values())
        self.link.status = CONFIGURATION_NEEDED if waits else 0

    def _wake(self) -> None:
        if self.on_wake is not None:
            self.on_wake()
