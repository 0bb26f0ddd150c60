"""The frame of AA FF: markers, destination, command, gun, length, body, checksum.

``AA FF | destination | command | gun | length | body | CRC-8 | CC FF`` goes to a dispenser, ``BB EE | … | DD EE`` comes from
one. Facts: dispenser firmware ycxzfforever/LNG_V2.X_NEW ``src/app.c`` and gateway ycxzfforever/ZHY_IFSF_AM3352
``UartToNet_V2/src/cmd.c``, ``uart.c``: two programs of one author family.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import fastcrc

from protocols.sansio import LocalProtocolError

__all__ = [
    "BODY_BYTES_MAX",
    "FRAME_BYTES_MAX",
    "FROM_PUMP",
    "GUN_LAST",
    "OVERHEAD_BYTES",
    "TO_COMMUNICATOR",
    "TO_PC",
    "TO_PUMP",
    "Direction",
    "Frame",
    "check_gun",
    "checksum",
    "encode_frame",
]

TO_PUMP: Final = b"\xaa\xff"
FROM_PUMP: Final = b"\xbb\xee"
_PUMP_END: Final = b"\xcc\xff"
_MASTER_END: Final = b"\xdd\xee"

TO_PC: Final = 0x00
TO_PUMP_DEVICE: Final = 0x15
TO_COMMUNICATOR: Final = 0x20

HEADER_BYTES: Final = 6
OVERHEAD_BYTES: Final = 9
"""Markers, destination, command, gun, length, checksum: a frame is its body and nine bytes."""

BODY_BYTES_MAX: Final = 152
"""The longest body seen: a payment request through the gateway. A length above it is damage."""

FRAME_BYTES_MAX: Final = BODY_BYTES_MAX + OVERHEAD_BYTES

GUN_LAST: Final = 32
"""Guns are numbered 0 to 32 (gateway, comment at the frame's head); 0 names none here."""


class Direction(StrEnum):
    """Which way a frame goes."""

    TO_PUMP = "to pump"
    FROM_PUMP = "from pump"


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One whole frame.

    Attributes:
        direction: which markers it has.
        destination: 00 PC, 15 dispenser, 20 communicator.
        command: the command byte, as written (commands are named by their hexadecimal digits).
        gun: number of the gun.
        body: 0..`BODY_BYTES_MAX` bytes.
        checksum: ``good``, ``wrong`` or ``missing``; anything but ``good`` only where the framer was told to live with it.
    """

    direction: Direction
    destination: int
    command: int
    gun: int
    body: bytes
    checksum: str = "good"


MARKERS: Final = {
    Direction.TO_PUMP: (TO_PUMP, _PUMP_END),
    Direction.FROM_PUMP: (FROM_PUMP, _MASTER_END),
}
_DEVICE: Final = {Direction.TO_PUMP: TO_PUMP_DEVICE, Direction.FROM_PUMP: TO_PC}


def checksum(data: bytes) -> int:
    """CRC-8/MAXIM (polynomial 31 reflected, start 0) over destination to last body byte."""
    return fastcrc.crc8.maxim_dow(data)


def check_gun(gun: int) -> int:
    """The gun number, if it is one.

    Raises:
        LocalProtocolError: not within 1..`GUN_LAST`.
    """
    if not 1 <= gun <= GUN_LAST:
        raise LocalProtocolError(f"gun {gun} is not within 1..{GUN_LAST}")
    return gun


def encode_frame(
    direction: Direction,
    command: int,
    gun: int,
    body: bytes = b"",
    *,
    destination: int | None = None,
    crc: str = "good",
) -> bytes:
    """The bytes of a frame.

    Args:
        direction: which markers.
        command: 0..255.
        gun: 1..`GUN_LAST`.
        body: at most `BODY_BYTES_MAX` bytes.
        destination: the device byte; the usual one of the direction if None.
        crc: ``good``; ``zero`` or ``missing`` for back offices that send none.

    Raises:
        LocalProtocolError: a field does not fit.
    """
    if len(body) > BODY_BYTES_MAX:
        raise LocalProtocolError(f"a body of {len(body)} bytes is over the limit of {BODY_BYTES_MAX}")
    if destination is None:
        destination = _DEVICE[direction]
    for what, value in (("command", command), ("destination", destination)):
        if not 0 <= value <= 0xFF:
            raise LocalProtocolError(f"{what} {value} is not a byte")
    start, end = MARKERS[direction]
    inner = bytes((destination, command, check_gun(gun), len(body))) + body
    tail = {"good": bytes((checksum(inner),)), "zero": b"\x00", "missing": b""}.get(crc)
    if tail is None:
        raise LocalProtocolError(f"crc is {crc!r}, not 'good', 'zero' or 'missing'")
    return start + inner + tail + end
