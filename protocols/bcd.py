"""Packed BCD, most significant digit first: how DART and AA FF write every number."""

from __future__ import annotations

from protocols.sansio import LocalProtocolError

__all__ = ["decode_bcd", "encode_bcd"]


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
