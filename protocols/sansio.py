"""The shape every protocol machine here shares: bytes and time in, events and timed bytes out.

The habit comes from h11 (receive bytes, next event) and aioquic (time is an argument). A machine owns no
socket and no clock. Its *host* (a virtual wire, a TCP stream, a serial line) does, in a loop:

1. ``receive_data(data, now_us)`` for bytes that arrived, or ``handle_timer(now_us)`` when ``next_timer()`` is due;
2. ``data_to_send(now_us)`` and put the bytes on the wire, each no earlier than its ``not_before_us``;
3. ``next_timer()`` and arm one timer for it.

All times are integer microseconds on the host's clock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, runtime_checkable

import msgspec

__all__ = [
    "NEED_DATA",
    "HarnessProtocolError",
    "LocalProtocolError",
    "Machine",
    "NeedData",
    "Outgoing",
    "ProtocolError",
    "RemoteProtocolError",
]


class ProtocolError(Exception):
    """Base of all protocol errors. Any other exception out of a machine is a bug in it."""


class LocalProtocolError(ProtocolError):
    """The caller asked for something that its own state table does not allow now."""


class RemoteProtocolError(ProtocolError):
    """The peer broke the protocol in a way that cannot be told as an event."""


class HarnessProtocolError(ProtocolError):
    """The harness itself used a machine wrongly; never the peer's fault."""


class NeedData:
    """Type of the `NEED_DATA` sentinel."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "NEED_DATA"


NEED_DATA: Final = NeedData()
"""What ``next_event()`` returns when the bytes so far hold no further event."""


class Outgoing(msgspec.Struct, frozen=True):
    """Bytes due on the wire.

    Attributes:
        data: the bytes of one burst, sent back to back.
        not_before_us: the earliest start of the burst (turn-round and command gaps), microseconds.
    """

    data: bytes
    not_before_us: int = 0


@runtime_checkable
class Machine(Protocol):
    """What a host drives: one end of a wire.

    ``on_wake`` is set by the host. A machine calls it when something other than the wire (a nozzle was lifted,
    an operator gave a command) may have changed ``data_to_send`` or ``next_timer``.
    """

    on_wake: Callable[[], None] | None

    def receive_data(self, data: bytes, now_us: int) -> None:
        """Take bytes from the wire: half frames, several frames, noise. Never raises for what a peer sent."""

    def data_to_send(self, now_us: int) -> list[Outgoing]:
        """Drain the bytes that are due, in order."""

    def next_timer(self) -> int | None:
        """The next instant (µs) at which ``handle_timer`` wants to be called, or None."""

    def handle_timer(self, now_us: int) -> None:
        """Act on all timers due at or before ``now_us``."""
