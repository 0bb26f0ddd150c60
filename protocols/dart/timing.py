"""How long things take on a DART line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["REPLY_BLOCK_BYTES", "REPLY_LIMIT_US", "LineTiming", "exchange_us"]

REPLY_LIMIT_US: Final = 25_000
"""A pump must begin its answer within 25 ms (moduslightstech-lgtm/intelipump, line notes; one source).
Masters in the field are more patient: 50 ms and three tries (alejomonroy/Full-Colombia-Wayne)."""

REPLY_BLOCK_BYTES: Final = 40
"""Data bytes a pump of ours puts into one block: DC1 + DC2 + DC3 + DC101 together need 37."""

_CONTROL_CHARS: Final = 3
_DATA_OVERHEAD_CHARS: Final = 8
"""ADR CTRL CRC CRC ETX SF, and an escape before each checksum byte. BCD data never needs one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineTiming:
    """One line's speed and patience.

    Attributes:
        baud: 9600 or 19200 in the field; None for a stream without a character clock (TCP), where bytes take no time.
        bits_per_char: 11: start, 8 data, odd parity, stop (intelipump, ASFuelControlV1, fangym0335/first).
        reply_limit_us: the longest silence before an answer begins.
        reply_block_bytes: the longest data block expected from a pump.
        turn_round_us: silence the controller leaves between an answer and its acknowledgement.
        gap_us: silence after which an unfinished frame is given up; None leaves that to the next frame, which is never
            swallowed anyway. Leave None on TCP.
    """

    baud: int | None = 9600
    bits_per_char: int = 11
    reply_limit_us: int = REPLY_LIMIT_US
    reply_block_bytes: int = REPLY_BLOCK_BYTES
    turn_round_us: int = 0
    gap_us: int | None = None

    def __post_init__(self) -> None:
        if self.baud is not None and self.baud <= 0:
            raise ValueError(f"baud is {self.baud}")
        for name in ("bits_per_char", "reply_limit_us", "reply_block_bytes"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}, not above 0")
        if self.turn_round_us < 0 or (self.gap_us is not None and self.gap_us <= 0):
            raise ValueError(f"turn_round_us {self.turn_round_us} or gap_us {self.gap_us} is not a silence")

    def chars_us(self, count: int) -> int:
        """Microseconds that ``count`` characters take, rounded up."""
        if self.baud is None:
            return 0
        return -(-count * self.bits_per_char * 1_000_000 // self.baud)

    @property
    def poll_timeout_us(self) -> int:
        """From the start of a poll to the latest end of its answer."""
        reply = self.reply_block_bytes + _DATA_OVERHEAD_CHARS
        return self.turn_round_us + self.chars_us(_CONTROL_CHARS) + self.reply_limit_us + self.chars_us(reply)

    def send_timeout_us(self, frame_bytes: int) -> int:
        """From the start of a data frame to the latest end of its acknowledgement."""
        chars = self.chars_us(frame_bytes) + self.chars_us(_CONTROL_CHARS)
        return self.turn_round_us + chars + self.reply_limit_us

    def exchange_us(self, block_bytes: int | None = None) -> int:
        """Worst-case time of one exchange: a poll with its acknowledgement, or one try to send ``block_bytes``."""
        if block_bytes is not None:
            return self.send_timeout_us(block_bytes + _DATA_OVERHEAD_CHARS)
        return self.poll_timeout_us + self.turn_round_us + self.chars_us(_CONTROL_CHARS)


def exchange_us(
    baud: int | None,
    *,
    bits_per_char: int = 11,
    reply_limit_us: int = REPLY_LIMIT_US,
    reply_block_bytes: int = REPLY_BLOCK_BYTES,
    turn_round_us: int = 0,
    block_bytes: int | None = None,
) -> int:
    """Worst-case microseconds of one exchange, silences included. See `LineTiming.exchange_us`."""
    timing = LineTiming(
        baud=baud,
        bits_per_char=bits_per_char,
        reply_limit_us=reply_limit_us,
        reply_block_bytes=reply_block_bytes,
        turn_round_us=turn_round_us,
    )
    return timing.exchange_us(block_bytes)
