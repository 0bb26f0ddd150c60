"""How long things take on a Two-Wire line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["DATA_MODE_US", "REPLY_LIMIT_US", "LineTiming"]

REPLY_LIMIT_US: Final = 68_000
"""A pump answers within 68 ms, and a command without answer needs as long before its effect shows in the status."""

DATA_MODE_US: Final = 2_000_000
"""Ours: a pump that answered ``2p`` waits so long for its block. Controllers repeat ``2p`` only after 2 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineTiming:
    """One line's speed and patience.

    Attributes:
        baud: 5787 on a current loop (5760 works), 9600 behind some converters and on Changji heads; None for a stream
            without a character clock (TCP), where bytes take no time.
        bits_per_char: 11 for 8E1, 10 for 8N1.
        reply_limit_us: the longest silence before an answer begins.
        command_gap_us: the least silence between the end of one exchange and the next command.
        settle_us: silence after a command that has no answer.
        data_retry_us: after ``2p`` without success, how long until it may be repeated.
        read_back_us: after a price block, how long until the price may be read back.
    """

    baud: int | None = 5787
    bits_per_char: int = 11
    reply_limit_us: int = REPLY_LIMIT_US
    command_gap_us: int = 10_000
    settle_us: int = REPLY_LIMIT_US
    data_retry_us: int = 2_000_000
    read_back_us: int = 1_000_000

    def __post_init__(self) -> None:
        if self.baud is not None and self.baud <= 0:
            raise ValueError(f"baud is {self.baud}")
        for name in ("bits_per_char", "reply_limit_us"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}, not above 0")
        for name in ("command_gap_us", "settle_us", "data_retry_us", "read_back_us"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}, below 0")

    def chars_us(self, count: int) -> int:
        """Microseconds that ``count`` characters take, rounded up."""
        if self.baud is None:
            return 0
        return -(-count * self.bits_per_char * 1_000_000 // self.baud)

    def answer_us(self, sent: int, answered: int) -> int:
        """From the start of ``sent`` characters to the latest end of an answer of ``answered`` characters."""
        return self.chars_us(sent) + self.reply_limit_us + self.chars_us(answered)
