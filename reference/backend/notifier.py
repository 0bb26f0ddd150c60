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
        self._event = asyncio.Event()
        self._heard: dict[str, Any] = {}

    def __enter__(self) -> Self:
        for topic in self._topics:
            self._hub._waiting.setdefault(topic, {})[self] = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for topic in self._topics:
            waiting = self._hub._waiting.get(topic)
            if waiting is not None:
                waiting.pop(self, None)
                if not waiting:
                    del self._hub._waiting[topic]

    def hear(self, topic: str, payload: Any) -> None:
        """Called by the hub. Only the latest payload of a topic is kept: a slow reader costs no memory."""
        self._heard[topic] = payload
        self._event.set()

    async def wait(self, timeout_s: float | None) -> dict[str, Any]:
        """What was heard since the last call, by topic; empty after ``timeout_s``."""
        if not self._heard:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._event.wait()
            except TimeoutError:
                return {}
        heard, self._heard = self._heard, {}
        self._event.clear()
        return heard


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
