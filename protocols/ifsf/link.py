"""One end of an IFSF pair, sans-IO: heartbeat out and in, the stream we dialled, the stream that the peer dialled.

A node speaks on the connection that it dialled itself and listens on the one that the peer dialled; heartbeats tell where to
dial (rules ifsf-simplex, ifsf-heartbeat). A host owns the sockets; see `NodeMachine` for what it does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from protocols.sansio import Machine, Outgoing

from .framing import StreamFramer
from .heartbeat import HEARTBEAT_PERIOD_US, MISSED_HEARTBEATS, Heartbeat, HeartbeatError
from .message import Address, Message, MessageError, decode_message, encode_message

__all__ = ["Endpoint", "IfsfLink", "LinkEvents", "NodeMachine", "Warned"]

OUTGOING_LIMIT_BYTES: Final = 65_536
"""More unsent than this: the peer does not read. A dispenser's whole memory of sales fits."""

PARTIAL_LIMIT_US: Final = 5_000_000
"""Half a message may wait so long for its rest; TCP itself delivers within far less."""

SENSELESS_MOST: Final = 3
"""So many messages without sense in a row: a strange peer sends one now and then, a stream out of step nothing else."""

DATAGRAMS_MOST: Final = 4
WARNINGS_MOST: Final = 200


class Endpoint(NamedTuple):
    """Where a connection is taken."""

    ip: str
    port: int


@dataclass(frozen=True, slots=True)
class Warned:
    """A deviation that was accepted, or bytes that were thrown away. ``rule`` is an id of `RULES`, or ``malformed``."""

    rule: str
    text: str
    at_us: int


class NodeMachine(Machine, Protocol):
    """What a host of an IFSF node drives.

    As a `Machine` it hears the stream that the peer dialled, and sends on the stream that it dials itself. A host tells ``start`` where it listens, dials ``dial`` (closing a connection to any other place), and tells of both streams.
    """

    @property
    def dial(self) -> Endpoint | None:
        """Where to connect, or None for nowhere."""

    @property
    def wants_close(self) -> bool:
        """The stream that the peer dialled holds no messages: close it."""

    @property
    def wants_redial(self) -> bool:
        """The peer does not read, or does not answer: break the stream that we dialled, and dial again."""

    def start(self, endpoint: Endpoint, now_us: int) -> None:
        """The host listens here; heartbeats begin."""

    def connection_made(self, now_us: int) -> None:
        """The stream that we dialled stands."""

    def connection_lost(self, now_us: int) -> None:
        """The stream that we dialled is gone."""

    def accepted(self, now_us: int) -> None:
        """The peer dialled us."""

    def dropped(self, now_us: int) -> None:
        """The stream that the peer dialled is gone."""

    def receive_datagram(self, data: bytes, now_us: int) -> None:
        """A datagram on the heartbeat port, our own included."""

    def datagrams_to_send(self, now_us: int) -> list[bytes]:
        """Heartbeats that are due."""


class LinkEvents(Protocol):
    """What the owner of an `IfsfLink` is told."""

    def on_message(self, message: Message, now_us: int) -> None:
        """A message for us."""

    def on_peer(self, heartbeat: Heartbeat | None, now_us: int) -> None:
        """The peer is there (its first heartbeat), or gone (None)."""

    def on_stream(self, is_up: bool, now_us: int) -> None:
        """The stream that we dialled, on which we can speak, came or went."""


class IfsfLink:
    """Heartbeats and streams of one node towards one peer.

    Args:
        own: our address.
        owner: what is told.
        accepts: whether a node may be our peer.
        period_us: of our heartbeats, and of what we expect.

    Attributes:
        peer: the peer's last heartbeat while it lives.
        status: status byte of our heartbeats.
        warnings: the newest deviations, each rule once a peer; ``counts`` has how often.
        speaking: the stream that we dialled stands.
        hearing: the stream that the peer dialled stands.
        wants_redial: see `NodeMachine`.
    """

    def __init__(
        self,
        own: Address,
        owner: LinkEvents,
        *,
        accepts: Callable[[Address], bool],
        period_us: int = HEARTBEAT_PERIOD_US,
    ) -> None:
        self.own = own
        self.status = 0
        self.period_us = period_us
        self.peer: Heartbeat | None = None
        self.speaking = False
        self.hearing = False
        self.wants_redial = False
        self.warnings: deque[Warned] = deque(maxlen=WARNINGS_MOST)
        self.counts: dict[str, int] = {}
        self._owner = owner
        self._accepts = accepts
        self._endpoint: Endpoint | None = None
        self._framer = StreamFramer()
        self._out: deque[bytes] = deque()
        self._out_bytes = 0
        self._datagrams: deque[bytes] = deque(maxlen=DATAGRAMS_MOST)
        self._beat_us: int | None = None
        self._gone_us: int | None = None
        self._partial_us: int | None = None
        self._senseless = 0

    # -- heartbeats ----------------------------------------------------------------------------------------------

    @property
    def dial(self) -> Endpoint | None:
        """See `NodeMachine`."""
        peer = self.peer
        return None if peer is None or not peer.port else Endpoint(peer.ip, peer.port)

    def start(self, endpoint: Endpoint, now_us: int) -> None:
        """See `NodeMachine`."""
        self._endpoint = endpoint
        self._beat_us = now_us

    def fall_silent(self, now_us: int) -> None:
        """No power: no heartbeats, and nothing is known of the peer any more."""
        self._beat_us = None
        self._datagrams.clear()
        self._lose_peer(now_us)

    def revive(self, now_us: int) -> None:
        """Power is back: heartbeats begin again."""
        if self._endpoint is not None:
            self._beat_us = now_us

    def receive_datagram(self, data: bytes, now_us: int) -> None:
        """See `NodeMachine`."""
        try:
            heard = Heartbeat.decode(data)
        except HeartbeatError as error:
            self.warn("malformed", f"heartbeat: {error}", now_us)
            return
        if heard.address == self.own:
            if self._endpoint is not None and (heard.ip, heard.port) != self._endpoint:
                self.warn("ifsf-own-address", f"{heard.ip}:{heard.port} is {self.own} too", now_us)
            return
        if not self._accepts(heard.address) or self._beat_us is None:
            return
        if self.peer is not None and heard.address != self.peer.address:
            self.warn("ifsf-other-controller", f"{heard.address} beside {self.peer.address}", now_us)
            return
        before, self.peer = self.peer, heard
        self._gone_us = now_us + MISSED_HEARTBEATS * self.period_us
        if before is None:
            self._beat(now_us)  # so that the peer need not wait a whole period for ours
            self._owner.on_peer(heard, now_us)

    def datagrams_to_send(self, now_us: int) -> list[bytes]:  # noqa: ARG002 - due when asked for
        """See `NodeMachine`."""
        datagrams = list(self._datagrams)
        self._datagrams.clear()
        return datagrams

    def _beat(self, now_us: int) -> None:
        if self._endpoint is not None:
            self._datagrams.append(Heartbeat(*self._endpoint, self.own, self.status).encode())
            self._beat_us = now_us + self.period_us

    def _lose_peer(self, now_us: int) -> None:
        self._gone_us = None
        if self.peer is not None:
            self.peer = None
            self._drop_out()
            self._owner.on_peer(None, now_us)

    # -- streams -------------------------------------------------------------------------------------------------

    @property
    def wants_close(self) -> bool:
        """See `NodeMachine`."""
        return self._framer.broken is not None

    def connection_made(self, now_us: int) -> None:
        """See `NodeMachine`."""
        self.speaking = True
        self.wants_redial = False
        self._owner.on_stream(True, now_us)

    def connection_lost(self, now_us: int) -> None:
        """See `NodeMachine`."""
        self.wants_redial = False
        self._drop_out()
        if self.speaking:
            self.speaking = False
            self._owner.on_stream(False, now_us)

    def accepted(self, now_us: int) -> None:  # noqa: ARG002 - part of the interface
        """See `NodeMachine`."""
        self.hearing = True
        self._framer.reset()
        self._partial_us = None
        self._senseless = 0

    def dropped(self, now_us: int) -> None:  # noqa: ARG002 - part of the interface
        """See `NodeMachine`."""
        self.hearing = False
        self._framer.reset()
        self._partial_us = None
        self._senseless = 0

    def receive_data(self, data: bytes, now_us: int) -> None:
        """See `protocols.sansio.Machine`."""
        was_broken = self._framer.broken
        complete = self._framer.feed(data)
        for raw in complete:
            try:
                message = decode_message(raw)
            except MessageError as error:
                self.warn("malformed", str(error), now_us)
                self._senseless += 1
                if self._senseless >= SENSELESS_MOST:
                    self._framer.broken = (
                        "one message after the other makes no sense: the stream has lost its step"
                    )
                    break
                continue
            self._senseless = 0
            self._owner.on_message(message, now_us)
        if self._framer.broken is not None and was_broken is None:
            self.warn("malformed", self._framer.broken, now_us)
        if not self._framer.partial:
            self._partial_us = None
        elif complete or self._partial_us is None:  # byte by byte does not buy more time
            self._partial_us = now_us + PARTIAL_LIMIT_US

    def send(self, message: Message) -> bool:
        """Queue a message. False when nobody is there to take it: there is no peer, or it does not read."""
        if self.peer is None or self.wants_redial:
            return False
        raw = encode_message(message)
        self._out_bytes += len(raw)
        if self._out_bytes > OUTGOING_LIMIT_BYTES:
            self._drop_out()
            self.wants_redial = self.speaking
            return False
        self._out.append(raw)
        return True

    def redial(self) -> None:
        """Break the stream that we dialled, and dial again."""
        if self.speaking:
            self.wants_redial = True
            self._drop_out()

    def data_to_send(self, now_us: int) -> list[Outgoing]:
        """Messages for the stream that we dialled, once it stands."""
        if not self.speaking or not self._out:
            return []
        out = [Outgoing(raw, now_us) for raw in self._out]
        self._drop_out()
        return out

    def _drop_out(self) -> None:
        self._out.clear()
        self._out_bytes = 0

    # -- time ----------------------------------------------------------------------------------------------------

    def next_timer(self) -> int | None:
        """The earliest of heartbeat, supervision of the peer, and half a message that waits."""
        due = [us for us in (self._beat_us, self._gone_us, self._partial_us) if us is not None]
        return min(due, default=None)

    def handle_timer(self, now_us: int) -> None:
        """Act on what is due."""
        if self._beat_us is not None and self._beat_us <= now_us:
            self._beat(now_us)
        if self._partial_us is not None and self._partial_us <= now_us:
            self._partial_us = None
            self._framer.broken = "half a message waited too long for its rest"
            self.warn("malformed", self._framer.broken, now_us)
        if self._gone_us is not None and self._gone_us <= now_us:
            self._lose_peer(now_us)

    def warn(self, rule: str, text: str, now_us: int) -> None:
        """Record a deviation; the first of its kind with its words, all of them by number."""
        seen = self.counts.get(rule, 0)
        self.counts[rule] = seen + 1
        if not seen or rule == "malformed":
            self.warnings.append(Warned(rule, text, now_us))
