"""Packed BCD, most significant digit first: how AA FF writes every number. And the times of day made of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from protocols.sansio import LocalProtocolError

__all__ = ["CHINA", "decode_bcd", "decode_time", "encode_bcd", "encode_time"]

CHINA: Final = timezone(timedelta(hours=8))
"""Clocks of these dispensers show Chinese civil time."""


def encode_bcd(value: int, size: int, what: str) -> bytes:
    """``size`` bytes, two digits each.

    Raises:
        LocalProtocolError: the value is negative or needs more digits; ``what`` names the field in the message.
    """
    digits = f"{value:0{2 * size}d}"
    if value < 0 or len(digits) > 2 * size:
        raise LocalProtocolError(f"{what} {value} does not fit into {2 * size} BCD digits")
    return bytes.fromhex(digits)


def decode_bcd(data: bytes) -> int | None:
    """The number, or None when a nibble is no digit."""
    digits = data.hex()
    return int(digits) if digits.isdecimal() else None


def encode_time(unix_us: int) -> bytes:
    """Unix time (µs) as YY MM DD hh mm ss, Chinese civil time, cut to the second."""
    moment = datetime.fromtimestamp(unix_us // 1_000_000, tz=CHINA)
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
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1) * 1_000_000
