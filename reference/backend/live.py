"""The latest reading of each nozzle, in memory: shown to phones, never stored, never recomputed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from reference.backend.store.notifier import Hub

__all__ = ["LiveBoard", "LivePost", "LiveReading", "NozzleLive"]

_FLOWING = frozenset({"FUELLING", "SUSPENDED_FUELLING"})
_NOT_DELIVERING = frozenset({"IDLE", "CALLING", "CLOSED", "INOPERATIVE"})
"""A nozzle in one of these shows nothing of a delivery: back in its boot it reads 0 while the sale is on its way."""

_LATE_MOST_US = 5_000_000
"""A site gives a report up after 4 s: none comes later than this."""

Count = Annotated[int, Meta(ge=0, le=2**53)]
NozzleNumber = Annotated[int, Meta(ge=1, le=9999)]
StateName = Annotated[str, Meta(pattern=r"^[A-Za-z_]{1,32}$")]


class NozzleLive(msgspec.Struct):
    """One nozzle as the site reports it."""

    nozzle: NozzleNumber
    state: StateName
    volume_ml: Count
    amount_fen: Count


class LivePost(msgspec.Struct):
    """What a site sends a few times a second. ``at_us`` is the site's Unix time of the readings."""

    at_us: Count
    nozzles: Annotated[list[NozzleLive], Meta(max_length=256)]


class LiveReading(NamedTuple):
    """A reading and when it was heard here (Unix µs, this service's clock)."""

    nozzle: int
    state: str
    volume_ml: int
    amount_fen: int
    at_us: int
    heard_us: int

    @property
    def flows(self) -> bool:
        """True from the first fuel to the end of the delivery."""
        return self.volume_ml > 0 and self.state.upper() in _FLOWING

    @property
    def delivers(self) -> bool:
        """True while the figures are those of a delivery that has not ended, even if the pump is out of reach."""
        state = self.state.upper()
        if state == "OFFLINE" and not (self.volume_ml or self.amount_fen):
            return False  # out of reach, and nothing is known to run: its sale may be on its way
        return state not in _NOT_DELIVERING


class LiveBoard:
    """One instance's board. Boards that share a hub show the same readings.

    Args:
        hub: carries readings between instances (``live/<station>/<nozzle>``) and wakes the phones' streams.
        clock_us: Unix time in microseconds.
    """

    def __init__(self, hub: Hub, clock_us: Callable[[], int]) -> None:
        self._hub = hub
        self._clock_us = clock_us
        self._readings: dict[str, LiveReading] = {}
        hub.listeners.append(self._hear)

    def close(self) -> None:
        """Stop listening."""
        if self._hear in self._hub.listeners:
            self._hub.listeners.remove(self._hear)

    def get(self, station: str, nozzle: int) -> LiveReading | None:
        """The latest reading of a nozzle, or None."""
        return self._readings.get(f"live/{station}/{nozzle}")

    def update(self, station: str, post: LivePost) -> list[int]:
        """Take a report; gives the nozzles on which fuel began to flow. A report that came late changes nothing."""
        now_us = self._clock_us()
        started = []
        for item in post.nozzles:
            topic = f"live/{station}/{item.nozzle}"
            old = self._readings.get(topic)
            if old is not None and old.at_us > post.at_us and _overtaken(old, post.at_us, now_us):
                continue
            state, volume_ml, amount_fen = item.state, item.volume_ml, item.amount_fen
            new = LiveReading(item.nozzle, state, volume_ml, amount_fen, post.at_us, now_us)
            self._readings[topic] = new
            if (
                old is None
                or old.volume_ml != volume_ml
                or old.amount_fen != amount_fen
                or old.state != state
            ):
                if new.flows and not (old is not None and old.flows):
                    started.append(item.nozzle)
                self._hub.publish(topic, new, lazy=True)
        return started

    def _hear(self, topic: str, payload: Any) -> None:
        """From another instance: a list (out of JSON) or the very reading of a board in this process."""
        if not topic.startswith("live/") or payload is None or payload is self._readings.get(topic):
            return
        # Boards in one process have one clock: the reading was heard when its own board heard it.
        reading = (
            payload
            if isinstance(payload, LiveReading)
            else LiveReading(*payload)._replace(heard_us=self._clock_us())
        )
        old = self._readings.get(topic)
        if old is None or old.at_us <= reading.at_us or not _overtaken(old, reading.at_us, reading.heard_us):
            self._readings[topic] = reading


def _overtaken(newer: LiveReading, at_us: int, now_us: int) -> bool:
    """Whether a report with an earlier time is an old one that came late; else the site's clock was set back meanwhile."""
    return newer.at_us - at_us <= _LATE_MOST_US and now_us - newer.heard_us <= _LATE_MOST_US
