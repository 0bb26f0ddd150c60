"""Wake-ups: who waits for a topic hears of it, in this process and (with PostgreSQL) in the other instances.

A wake-up is only a hint that saves waiting. The truth is in the tables, so a lost one costs at most `Hub.fallback_s`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

__all__ = ["Hub", "Subscription"]

Listener = Callable[[str, Any], None]


class Subscription:
    """Topics that one waiter watches; a context manager."""

    def __init__(self, hub: Hub, topics: Iterable[str]) -> None:
        self._hub = hub
        self._topics = tuple(topics)
        self._heard: dict[str, Any] = {}
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._until = 0.0
        self.is_closed = False

    def __enter__(self) -> Self:
        for topic in self._topics:
            self._hub._waiting.setdefault(topic, {})[self] = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for topic in self._topics:
            waiting = self._hub._waiting.get(topic)
            if waiting is not None:
                waiting.pop(self, None)
                if not waiting:
                    del self._hub._waiting[topic]

    def hear(self, topic: str, payload: Any) -> None:
        """Called by the hub. Only the latest payload of a topic is kept: a slow reader costs no memory."""
        self._heard[topic] = payload
        self._wake()

    def close(self) -> None:
        """Nobody is interested any more: whoever waits gets an empty answer at once, now and later."""
        self.is_closed = True
        self._wake()

    async def wait(self, timeout_s: float) -> dict[str, Any]:
        """What was heard since the last call, by topic; empty after ``timeout_s``, or when closed."""
        if not self._heard and not self.is_closed:
            loop = asyncio.get_running_loop()
            self._until = loop.time() + timeout_s
            self._arm(loop)
            self._waiter = loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        heard, self._heard = self._heard, {}
        return heard

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        # A stream hears something several times a second: its timer is left standing and looks again when it fires.
        if self._timer is not None:
            if self._timer.when() <= self._until:
                return
            self._timer.cancel()
        self._timer = loop.call_at(self._until, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        if self._waiter is None:
            return  # the next wait arms it again
        if loop.time() < self._until:
            self._arm(loop)
        else:
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Hub:
    """Publish and subscribe within one process. Subclasses carry messages to other processes too.

    Attributes:
        fallback_s: the longest that a waiter should sleep before it looks into the tables again. None when no
            message can be lost (one process).
        listeners: called for every message, such as the live boards of the instances.
    """

    fallback_s: float | None = None

    def __init__(self) -> None:
        self._waiting: dict[str, dict[Subscription, None]] = {}
        self.listeners: list[Listener] = []

    def subscribe(self, *topics: str) -> Subscription:
        """Watch topics; use it in a ``with`` block."""
        return Subscription(self, topics)

    def publish(self, topic: str, payload: Any = None, *, lazy: bool = False) -> None:
        """Tell everybody who waits for the topic.

        Args:
            topic: such as ``order/ord_x``.
            payload: JSON-able, small.
            lazy: other processes may hear of it up to 0.2 s later (live readings).
        """
        del lazy
        self._deliver(topic, payload)

    def waits(self, topic: str) -> bool:
        """True if somebody in this process watches the topic."""
        return topic in self._waiting

    def wake_all(self) -> None:
        """Let every waiter look up (the service stops)."""
        for topic, waiting in list(self._waiting.items()):
            for subscription in list(waiting):
                subscription.hear(topic, None)

    def _deliver(self, topic: str, payload: Any) -> None:
        for listener in self.listeners:
            listener(topic, payload)
        waiting = self._waiting.get(topic)
        if waiting:
            for subscription in list(waiting):
                subscription.hear(topic, payload)
