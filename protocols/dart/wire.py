"""The bytes of a DART frame: addresses, control codes, escaping and the checksum.

A control frame is ``ADR CTRL FA``; a data frame is ``ADR 3n data… CRClo CRChi 03 FA``. Only ``FA`` is escaped (a
``10`` goes before it); a ``10`` before anything else is an ordinary byte. The checksum is CRC-16/ARC over address to
last data byte *before* escaping, low byte first. Sources: line captures and notes of moduslightstech-lgtm/intelipump
(2 098 of 2 098 frames agree), the drivers alejomonroy/Full-Colombia-Wayne, dimoskar/ASFuelControlV1 and
fangym0335/first. Vendor texts call the checksum "CCITT"; implementations that took this literally cannot talk to a pump.
"""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache
from typing import Final

import msgspec
from fastcrc import crc16

from protocols.sansio import LocalProtocolError

__all__ = [
    "ADDRESS_FIRST",
    "ADDRESS_LAST",
    "BLOCK_BYTES_MAX",
    "CONTROL_FRAMES",
    "DATA_END",
    "DLE",
    "ETX",
    "FRAME_BYTES_MAX",
    "SF",
    "Control",
    "ControlFrame",
    "DataFrame",
    "check_address",
    "checksum",
    "encode_control",
    "encode_data",
]

ADDRESS_FIRST: Final = 0x50
ADDRESS_LAST: Final = 0x6F
"""32 fuelling positions on one line (four independent sources)."""

DLE: Final = 0x10
ETX: Final = 0x03
SF: Final = 0xFA
"""The stop flag: ends every frame."""

DATA_END: Final = bytes((ETX, SF))

BLOCK_BYTES_MAX: Final = 256
"""Data bytes accepted in one frame. Our limit: the longest captured block has 19, one transaction can hold 257."""

FRAME_BYTES_MAX: Final = 2 + 2 * (BLOCK_BYTES_MAX + 2) + 2
"""The same on the wire, should every data and checksum byte need an escape."""


class Control(IntEnum):
    """High nibble of the control byte. The low nibble is a block number, or 0 (four independent sources)."""

    POLL = 0x20
    """Master only."""
    DATA = 0x30
    """Both ways; opens a data frame."""
    NAK = 0x50
    EOT = 0x70
    """Nothing to send."""
    ACK = 0xC0
    ACK_POLL = 0xE0
    """Acknowledge and poll at once."""


class ControlFrame(msgspec.Struct, frozen=True, kw_only=True):
    """A three-byte frame.

    Attributes:
        address: 0x50..0x6F.
        control: what it says.
        tx: the block number it speaks of, 0..15 (0 in a poll).
    """

    address: int
    control: Control
    tx: int = 0


class DataFrame(msgspec.Struct, frozen=True, kw_only=True):
    """A data frame whose checksum was right.

    Attributes:
        address: 0x50..0x6F.
        tx: its block number, 0..15.
        block: the transactions, unescaped, without checksum.
        checksum_unescaped: a byte FA of its checksum came without the escape that it needs.
    """

    address: int
    tx: int
    block: bytes
    checksum_unescaped: bool = False


def check_address(address: int) -> int:
    """Return the address.

    Raises:
        LocalProtocolError: it is outside 0x50..0x6F.
    """
    if not ADDRESS_FIRST <= address <= ADDRESS_LAST:
        raise LocalProtocolError(f"DART address 0x{address:02X} is outside 0x50..0x6F")
    return address


def checksum(data: bytes) -> int:
    """CRC-16/ARC. Over a body that ends with its own checksum (low byte first) it is 0."""
    value: int = crc16.arc(data)
    return value


@lru_cache(maxsize=4096)
def encode_control(address: int, control: Control, tx: int = 0) -> bytes:
    """Three bytes on the wire.

    Raises:
        LocalProtocolError: address or block number out of range, or a data frame was asked for.
    """
    check_address(address)
    if control is Control.DATA:
        raise LocalProtocolError("a data frame is built by encode_data")
    if not 0 <= tx <= 15 or (tx and control is Control.POLL):
        raise LocalProtocolError(f"block number {tx} does not fit into a {control.name} frame")
    return bytes((address, control | tx, SF))


def encode_data(address: int, tx: int, block: bytes, *, escape_checksum: bool = True) -> bytes:
    """A data frame on the wire.

    Args:
        address: 0x50..0x6F.
        tx: block number, 0..15.
        block: the transactions, up to `BLOCK_BYTES_MAX` bytes.
        escape_checksum: False builds the classic fault, a checksum byte FA sent without its escape.

    Raises:
        LocalProtocolError: something is out of range.
    """
    check_address(address)
    if not 0 <= tx <= 15:
        raise LocalProtocolError(f"block number {tx} is outside 0..15")
    if len(block) > BLOCK_BYTES_MAX:
        raise LocalProtocolError(f"a block of {len(block)} bytes is over the limit of {BLOCK_BYTES_MAX}")
    head = bytes((address, Control.DATA | tx))
    check = checksum(head + block).to_bytes(2, "little")
    if escape_checksum:
        check = check.replace(b"\xfa", b"\x10\xfa")
    return head + block.replace(b"\xfa", b"\x10\xfa") + check + b"\x03\xfa"


def _all_control_frames() -> dict[bytes, ControlFrame]:
    frames: dict[bytes, ControlFrame] = {}
    for address in range(ADDRESS_FIRST, ADDRESS_LAST + 1):
        for control in Control:
            if control is Control.DATA:
                continue
            for tx in range(1 if control is Control.POLL else 16):
                frames[encode_control(address, control, tx)] = ControlFrame(
                    address=address, control=control, tx=tx
                )
    return frames


CONTROL_FRAMES: Final = _all_control_frames()
"""Every legal control frame, by its bytes: 32 addresses x 65. Decoding one is a look-up."""
