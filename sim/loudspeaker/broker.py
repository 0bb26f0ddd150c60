"""MQTT in virtual time: a broker with persistent sessions, as a payment service and its loudspeakers see it.

Of MQTT there is what decides whether and when a box hears a message: QoS 1 with its receipt (at least once, again after a reconnect),
sessions that outlive an outage, and the message expiry interval of MQTT 5 (OASIS MQTT 5.0, 3.3.2.3.3), which a broker applies for boxes
of any version: what it has not begun to deliver in time it drops. On real sockets a real broker stands here.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Final

from protocols.loudspeaker import MAX_MESSAGE_BYTES, ClipMessage, MessageError, decode_message
from sim.kernel import Kernel
from sim.latency import LatencyProfile
from sim.loudspeaker.box import Loudspeaker
from sim.loudspeaker.faults import SpeakerFaultKind

__all__ = ["BrokerClient", "VirtualBroker"]

_QUEUED: Final = 1_000
"""Messages that a broker keeps for a session; mosquitto's own default."""


@dataclass(slots=True)
class _Message:
    payload: bytes
    request_id: str | None
    ends_us: int | None


@dataclass(slots=True)
class _Session:
    box: Loudspeaker
    waiting: deque[_Message]
    last_us: int = 0
    """When the last message that is on its way will be there: none overtakes another on one connection."""


class VirtualBroker:
    """The broker.

    Args:
        kernel: clock, streams and trace.
        latency: one leg between the broker and anybody.

    Attributes:
        is_down: while True nobody gets through.
        expired: messages that were dropped because they had waited too long.
    """

    def __init__(self, kernel: Kernel, *, latency: LatencyProfile | None = None) -> None:
        self.kernel = kernel
        self.is_down = False
        self.expired = 0
        self._latency = latency or LatencyProfile.constant(20_000)
        self._sessions: dict[str, _Session] = {}

    def subscribe(self, topic: str, box: Loudspeaker) -> None:
        """A box listens to a topic, in a session that outlives its outages."""
        session = self._sessions[topic] = _Session(box, deque())
        box.on_online.append(lambda: self._flush(session))

    def client(self, name: str) -> BrokerClient:
        """A client that publishes; ``name`` is its own in the streams."""
        return BrokerClient(self, name)

    def leg_us(self, name: str) -> int:
        """One way between a client and the broker."""
        return self._latency.draw(self.kernel.streams.get("mqtt", name))

    def accept(self, topic: str, payload: bytes, expires_s: int | None) -> None:
        """Take a message; with nobody on its topic it is gone."""
        session = self._sessions.get(topic)
        if session is None:
            return
        ends_us = None if expires_s is None else self.kernel.now_us + expires_s * 1_000_000
        message = _Message(payload, _request_id(payload), ends_us)
        box = session.box
        if box.strike(SpeakerFaultKind.LOST, message.request_id):
            return
        if not box.is_online or session.waiting:
            if len(session.waiting) < _QUEUED:
                session.waiting.append(message)
            return
        self._deliver(session, message)

    def _deliver(self, session: _Session, message: _Message) -> None:
        delay_us = self.leg_us(session.box.name)
        late = session.box.strike(SpeakerFaultKind.LATE, message.request_id)
        if late is not None:
            delay_us += late.delay_us
        session.last_us = max(session.last_us, self.kernel.now_us + delay_us)
        self.kernel.call_at(session.last_us, self._arrive, session, message)

    def _arrive(self, session: _Session, message: _Message) -> None:
        box = session.box
        if not box.is_online:
            # It went out, and no receipt came: it is sent again when the box is back, unless it has expired by then (the standard
            # leaves that open for what was begun; mosquitto does so).
            session.waiting.append(message)
            return
        box.receive(message.payload)
        again = box.strike(SpeakerFaultKind.DUPLICATE, message.request_id)
        if again is not None:
            self.kernel.call_later(again.delay_us, box.receive, message.payload)

    def _flush(self, session: _Session) -> None:
        now_us = self.kernel.now_us
        while session.waiting and session.box.is_online:
            message = session.waiting.popleft()
            if message.ends_us is not None and message.ends_us <= now_us:
                self.expired += 1
                self.kernel.trace.emit("mqtt.expired", session.box.entity, request_id=message.request_id)
            else:
                self._deliver(session, message)

    def box_on(self, topic: str) -> Loudspeaker | None:
        """Who listens there."""
        session = self._sessions.get(topic)
        return None if session is None else session.box


class BrokerClient:
    """A publisher's connection: always there, unless the broker is down."""

    def __init__(self, broker: VirtualBroker, name: str) -> None:
        self._broker = broker
        self._name = name

    async def publish(self, topic: str, payload: bytes, *, expires_s: int | None = None) -> None:
        """Publish with QoS 1 and wait for the receipt.

        Raises:
            ConnectionError: the broker is down, or its receipt was lost: the message may be out or not.
            ValueError: the payload is larger than any box takes.
        """
        if len(payload) > MAX_MESSAGE_BYTES:
            raise ValueError(f"{len(payload)} bytes are too many for a box")
        broker = self._broker
        await asyncio.sleep(broker.leg_us(self._name) / 1_000_000)
        if broker.is_down:
            raise ConnectionError("the broker does not answer")
        box = broker.box_on(topic)
        lost = box.strike(SpeakerFaultKind.ACK_LOST, _request_id(payload)) if box is not None else None
        broker.accept(topic, payload, expires_s)
        await asyncio.sleep(broker.leg_us(self._name) / 1_000_000)
        if lost is not None:
            raise ConnectionError("the connection broke before the receipt came")


def _request_id(payload: bytes) -> str | None:
    try:
        message = decode_message(payload)
    except MessageError:
        return None
    return message.order_id if isinstance(message, ClipMessage) else message.request_id
