"""Messages out of a byte stream: framed by their length alone, any number to a segment, any cut between segments."""

from __future__ import annotations

from .message import HEADER_SIZE

__all__ = ["MESSAGE_LIMIT_BYTES", "StreamFramer"]

MESSAGE_LIMIT_BYTES = 4096
"""Longest message taken: a dispenser's longest answer is a few hundred bytes, so more means that the stream is lost."""


class StreamFramer:
    """Cuts a stream into messages. A length without sense cannot be skipped in a stream: `broken` says why it ended.

    Args:
        limit_bytes: longest message.

    Attributes:
        broken: None, or the reason for which nothing more is read until `reset`.
    """

    def __init__(self, limit_bytes: int = MESSAGE_LIMIT_BYTES) -> None:
        self.broken: str | None = None
        self._limit_bytes = limit_bytes
        self._held = bytearray()

    @property
    def partial(self) -> int:
        """Bytes held of a message that is not complete."""
        return len(self._held)

    def reset(self) -> None:
        """A new stream begins."""
        self.broken = None
        self._held.clear()

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes; return the complete messages, header included."""
        if self.broken is not None:
            return []
        held = self._held
        held += data
        messages: list[bytes] = []
        at = 0
        while len(held) - at >= HEADER_SIZE:
            size = HEADER_SIZE + (held[at + 6] << 8 | held[at + 7])
            if size > self._limit_bytes:
                self.broken = f"a message of {size} bytes is announced, {self._limit_bytes} is the most"
                held.clear()
                return messages
            if len(held) - at < size:
                break
            messages.append(bytes(held[at : at + size]))
            at += size
        del held[:at]
        return messages
