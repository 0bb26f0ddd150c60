"""Times of day as AA FF writes them: six bytes of packed BCD, Chinese civil time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Final

__all__ = ["CHINA", "decode_time", "encode_time"]

CHINA: Final = timezone(timedelta(hours=8))
"""Clocks of these dispensers show Chinese civil time."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def encode_time(unix_us: int) -> bytes:
    """Unix time (µs) as YY MM DD hh mm ss, Chinese civil time, cut to the second."""
    # By arithmetic: `fromtimestamp` asks the machine's calendar, which may count leap seconds (TZ=right/...).
    moment = (_EPOCH + timedelta(seconds=unix_us // 1_000_000)).astimezone(CHINA)
    return bytes.fromhex(moment.strftime("%y%m%d%H%M%S"))


def decode_time(data: bytes) -> int | None:
    """Unix time (µs) of six BCD bytes of this century, or None when they are no time of day."""
    digits = data.hex()
    if len(data) != 6 or not digits.isdecimal():
        return None
    try:
        moment = datetime.strptime(f"20{digits}", "%Y%m%d%H%M%S").replace(tzinfo=CHINA)
    except ValueError:
        return None
    return (moment - _EPOCH) // timedelta(seconds=1) * 1_000_000
