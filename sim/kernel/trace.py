"""The trace of a run: one JSON object a line, times in integer microseconds, and a running hash over the lines."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any

import msgspec

__all__ = ["Trace", "hash_trace_file"]

_encode = msgspec.json.Encoder(order="sorted").encode


def _check_finite(values: Iterable[Any]) -> None:
    for value in values:
        kind = type(value)
        if kind is float:
            if not math.isfinite(value):
                raise ValueError(f"{value} is not JSON compliant")
        elif kind is dict:
            _check_finite(value.values())
        elif kind is list or kind is tuple:
            _check_finite(value)


class Trace:
    """Collects events of a run and hashes them.

    Each event is written as ``{"entity":…,"kind":…,"t_us":…, …fields}`` with sorted keys, so equal runs give equal
    bytes. Fields must be JSON-able and must hold no wall-clock time, key material or signature.

    Args:
        sink: text file the lines go to (``events.ndjson``); None keeps the hash only.
        enabled: False turns `emit` into a no-op (benchmarks).
    """

    def __init__(self, sink: IO[str] | None = None, *, enabled: bool = True) -> None:
        self._sink = sink
        self._hash = hashlib.sha256()
        self._listeners: list[Callable[[dict[str, Any]], None]] = []
        self._now_us: Callable[[], int] = lambda: 0
        self.enabled = enabled
        self.count = 0

    def bind_clock(self, now_us: Callable[[], int]) -> None:
        """Take event times from this clock (the kernel calls it once)."""
        self._now_us = now_us

    def listen(self, listener: Callable[[dict[str, Any]], None]) -> None:
        """Call ``listener(event)`` for each event, in order; oracles read the run this way."""
        self._listeners.append(listener)

    def emit(self, kind: str, entity: str, **fields: Any) -> None:
        """Record one event at the current time.

        Raises:
            ValueError: a field is NaN or infinite.
            TypeError: a field is not JSON-able, or a dictionary in it has keys that are no text.
        """
        if not self.enabled:
            return
        event = {"t_us": self._now_us(), "kind": kind, "entity": entity, **fields}
        line = _encode(event)
        if b"null" in line:
            _check_finite(event.values())  # the encoder writes null for what is no number
        line += b"\n"
        self._hash.update(line)
        self.count += 1
        if self._sink is not None:
            self._sink.write(line.decode())
        for listener in self._listeners:
            listener(event)

    def hexdigest(self) -> str:
        """SHA-256 over all lines so far, as 64 hexadecimal digits."""
        return self._hash.hexdigest()


def hash_trace_file(path: Path) -> str:
    """The trace hash of an ``events.ndjson`` file: SHA-256 over its bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
