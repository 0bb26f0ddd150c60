"""How long things take on an AA FF line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from protocols.aaff.wire import OVERHEAD_BYTES

__all__ = ["BAUDS", "POLL_PERIOD_US", "REPLY_LIMIT_US", "LineTiming"]

BAUDS: Final = (4_800, 9_600, 19_200, 38_400)
"""Speeds the dispenser firmware offers (ycxzfforever/LNG_V2.X_NEW); the gateway's is 38400 unless set otherwise."""

POLL_PERIOD_US: Final = 800_000
"""The gateway polls every 0.8 s (ycxzfforever/ZHY_IFSF_AM3352)."""

REPLY_LIMIT_US: Final = 30_000
"""The longest silence before an answer begins. Ours: no source gives one; the gateway collects an answer for 30 ms."""

_POLL_BODY_BYTES: Final = 16
_RECORD_BODY_BYTES: Final = 110
_COMMAND_BODY_BYTES: Final = 36
"""The longest command: four prices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineTiming:
    """One line's speed and patience.

    Attributes:
        baud: 4800 to 38400; None for a stream without a character clock (TCP), where bytes take no time.
        bits_per_char: 10: start, 8 data, no parity, stop.
        reply_limit_us: the longest silence before an answer begins.
    """

    baud: int | None = 38_400
    bits_per_char: int = 10
    reply_limit_us: int = REPLY_LIMIT_US

    def __post_init__(self) -> None:
        if self.baud is not None and self.baud <= 0:
            raise ValueError(f"baud is {self.baud}")
        for name in ("bits_per_char", "reply_limit_us"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}, not above 0")

    def chars_us(self, count: int) -> int:
        """Microseconds that ``count`` characters take, rounded up."""
        if self.baud is None:
            return 0
        return -(-count * self.bits_per_char * 1_000_000 // self.baud)

    def timeout_us(self, frame_bytes: int) -> int:
        """From the start of a frame of ours to the latest end of the longest answer."""
        answer = _RECORD_BODY_BYTES + OVERHEAD_BYTES
        return self.chars_us(frame_bytes + answer) + self.reply_limit_us

    @property
    def exchange_us(self) -> int:
        """Worst-case time of one exchange: the longest command and the longest answer."""
        return self.timeout_us(max(_POLL_BODY_BYTES, _COMMAND_BODY_BYTES) + OVERHEAD_BYTES)
