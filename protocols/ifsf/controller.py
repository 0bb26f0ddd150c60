"""The controlling device's side of the dispenser application: requests out one at a time, replies and notices in."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from .codes import MessageAck, MessageKind
from .databases import Database, parse_database
from .heartbeat import HEARTBEAT_PERIOD_US, Heartbeat
from .link import IfsfLink
from .message import Address, Element, Message

__all__ = [
    "ControllingDevice",
    "Notice",
    "PeerGone",
    "PeerSeen",
    "Reply",
    "Request",
    "StreamDown",
    "StreamUp",
]

REPLY_LIMIT_US: Final = 2_000_000
"""How long an answer may take. Dispensers answer a Release when the pump has confirmed it."""

ANSWERS_MOST: Final = 10_000
"""Answers to one read of a group: as many as there are sequence numbers."""

EVENTS_MOST: Final = 20_000


@dataclass(frozen=True, slots=True)
class Request:
    """A read (``ids``) or a write (``elements``) of one database or group."""

    database: bytes
    ids: tuple[int, ...] = ()
    elements: tuple[Element, ...] = ()


@dataclass(slots=True)
class Reply:
    """What came of a request.

    Attributes:
        request: the request.
        answers: of a read: (database address, element values by data id), in the order of arrival.
        status: MS_Ack where an acknowledgement came, also of a group's end; None for a plain answer.
        verdicts: Data_Ack by data id, where the acknowledgement named them.
        timed_out: nothing, or not everything, came in time: what the peer did is unknown.
    """

    request: Request
    answers: list[tuple[bytes, dict[int, bytes]]] = field(default_factory=list)
    status: int | None = None
    verdicts: dict[int, int] = field(default_factory=dict)
    timed_out: bool = False

    @property
    def taken(self) -> bool:
        """All of a write was taken."""
        return not self.timed_out and self.status == MessageAck.OK


@dataclass(frozen=True, slots=True)
class Notice:
    """An unsolicited message of the peer: its database taken apart, its values by data id."""

    database: Database
    values: dict[int, bytes]


@dataclass(frozen=True, slots=True)
class PeerSeen:
    """The peer's first heartbeat."""

    heartbeat: Heartbeat


@dataclass(frozen=True, slots=True)
class PeerGone:
    """Its heartbeats have stopped."""


@dataclass(frozen=True, slots=True)
class StreamUp:
    """We can speak."""


@dataclass(frozen=True, slots=True)
class StreamDown:
    """We cannot speak any more; what was asked stays unanswered."""


class ControllingDevice:
    """Speaks to one dispenser node.

    Args:
        own: our address, by standard on subnet 2.
        peer: the dispenser's address.
        period_us: of heartbeats.
        reply_limit_us: how long an answer may take.

    Attributes:
        link: the transport; a host drives it.
        events: what came in since they were last taken: `Reply`, `Notice`, `PeerSeen`, `PeerGone`, `StreamUp`, `StreamDown`.
    """

    def __init__(
        self,
        own: Address,
        peer: Address,
        *,
        period_us: int = HEARTBEAT_PERIOD_US,
        reply_limit_us: int = REPLY_LIMIT_US,
    ) -> None:
        self.peer = peer
        self.link = IfsfLink(own, self, accepts=lambda address: address == peer, period_us=period_us)
        self.events: deque[Reply | Notice | PeerSeen | PeerGone | StreamUp | StreamDown] = deque(
            maxlen=EVENTS_MOST
        )
        self._reply_limit_us = reply_limit_us
        self._token = 0
        self._waiting: Reply | None = None
        self._due_us: int | None = None

    @property
    def is_waiting(self) -> bool:
        """A request is on its way; there is one at a time."""
        return self._waiting is not None

    def ask(self, request: Request, now_us: int) -> bool:
        """Send a request; its `Reply` comes as an event. False: another one waits, or nobody is there."""
        if self._waiting is not None or not self.link.speaking:
            return False
        self._token = (self._token + 1) % 32
        sent = self.link.send(
            Message(
                receiver=self.peer,
                originator=self.link.own,
                kind=MessageKind.READ if request.ids else MessageKind.WRITE,
                token=self._token,
                database=request.database,
                ids=request.ids,
                elements=request.elements,
            )
        )
        if sent:
            self._waiting = Reply(request)
            self._due_us = now_us + self._reply_limit_us
        return sent

    # -- from the link -------------------------------------------------------------------------------------------

    def on_peer(self, heartbeat: Heartbeat | None, now_us: int) -> None:
        """See `LinkEvents`."""
        if heartbeat is None:
            self._forget()
            self.events.append(PeerGone())
            return
        if heartbeat.status & 0x06:  # no bits that are known: some put the state of the pump here
            self.link.warn("ifsf-status-is-state", f"status {heartbeat.status:02X}", now_us)
        self.events.append(PeerSeen(heartbeat))

    def on_stream(self, is_up: bool, now_us: int) -> None:  # noqa: ARG002 - part of the interface
        """See `LinkEvents`."""
        self._forget()
        self.events.append(StreamUp() if is_up else StreamDown())

    def on_message(self, message: Message, now_us: int) -> None:
        """See `LinkEvents`."""
        link = self.link
        if message.originator != self.peer:
            link.warn("ifsf-foreign-receiver", f"from {message.originator}", now_us)
            return
        if message.receiver == Address(0, 0):
            link.warn("ifsf-status-to-nobody", "to 0.0", now_us)
        elif message.receiver != link.own:
            link.warn("ifsf-foreign-receiver", f"for {message.receiver}", now_us)
            return
        match message.kind:
            case MessageKind.NOTICE | MessageKind.NOTICE_WITH_ACK:
                if message.kind is MessageKind.NOTICE_WITH_ACK:
                    self._acknowledge(message)
                database = parse_database(message.database)
                if database is not None:
                    self.events.append(Notice(database, dict(message.elements)))
            case MessageKind.ANSWER | MessageKind.ACKNOWLEDGE:
                self._on_reply(message)
            case _:
                pass  # a controlling device holds no data here

    def _acknowledge(self, message: Message) -> None:
        self.link.send(
            Message(
                receiver=message.originator,
                originator=self.link.own,
                kind=MessageKind.ACKNOWLEDGE,
                token=message.token,
                database=message.database,
            )
        )

    def _on_reply(self, message: Message) -> None:
        waiting = self._waiting
        if waiting is None or message.token != self._token:
            return  # the answer to a question that was given up
        request = waiting.request
        if message.kind is MessageKind.ACKNOWLEDGE:
            if message.database != request.database:
                return
            waiting.status = message.status
            waiting.verdicts.update(message.verdicts)
            self._finish()
            return
        if not request.ids or len(waiting.answers) >= ANSWERS_MOST:
            return
        asked, answered = parse_database(request.database), parse_database(message.database)
        group = asked is not None and asked.is_group
        if answered is None or not (_belongs(asked, answered) if group else asked == answered):
            return
        waiting.answers.append((message.database, dict(message.elements)))
        if not group:
            self._finish()

    def _finish(self) -> None:
        if self._waiting is not None:
            self.events.append(self._waiting)
        self._forget()

    def _forget(self) -> None:
        self._waiting = self._due_us = None

    # -- time ----------------------------------------------------------------------------------------------------

    def next_timer(self) -> int | None:
        """The earliest of the link's timers and the time limit of the request."""
        due_us = self.link.next_timer()
        if self._due_us is not None and (due_us is None or self._due_us < due_us):
            return self._due_us
        return due_us

    def handle_timer(self, now_us: int) -> None:
        """Act on what is due."""
        self.link.handle_timer(now_us)
        if self._due_us is not None and self._due_us <= now_us and self._waiting is not None:
            self._waiting.timed_out = True
            self._finish()


def _belongs(group: Database | None, one: Database) -> bool:
    if group is None or group.kind is not one.kind:
        return False
    return group.point in {0, one.point}
