"""Where the parts of a frame are, by protocol: for faults that aim at payload, checksum or address.

A fault that puts another address into an answer seals the frame again, as a device with a wrong address setting would:
the checksum is right, and only the address tells that the answer is not for us. Two-Wire blocks and one-byte words carry
their check and their pump where the protocol puts them; a Modbus TCP and an IFSF message has no checksum of its own.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from fastcrc import crc8, crc16

from protocols import dart

__all__ = ["FRAME_SHAPES", "FrameShape"]

Part = tuple[int, int]
"""First byte of a part and the one after its last."""


@dataclass(frozen=True, slots=True)
class FrameShape:
    """How frames of one protocol are laid out. Each function takes the bytes of one burst.

    Attributes:
        payload: where the payload is; None for a frame without one.
        checksum: where the checksum is; None for a frame without one.
        readdress: the frame with another address and a right checksum; None where it carries no address.
        has_checksum: whether any frame of the protocol has one.
    """

    payload: Callable[[bytes], Part | None]
    checksum: Callable[[bytes], Part | None]
    readdress: Callable[[bytes, random.Random], bytes | None]
    has_checksum: bool = True


def _other(number: int, rng: random.Random) -> int:
    """Another number, which differs in the low nibble only."""
    return number ^ rng.randint(1, 15)


def _nothing(_data: bytes) -> None:
    return None


# DART: ADR 3n block CRC CRC 03 FA, an FA inside escaped by a 10.

_DART_END: Final = 2


def _dart_check_at(data: bytes) -> int | None:
    """Where the checksum of a data frame begins; None for a control frame and for what is no frame."""
    if len(data) < 6 or data[1] >> 4 != 3 or not data.endswith(b"\x03\xfa"):
        return None
    starts, at = [], 2
    while at < len(data) - _DART_END:
        starts.append(at)
        at += 2 if data[at : at + 2] == b"\x10\xfa" else 1
    return starts[-2] if len(starts) >= 2 else None


def _dart_payload(data: bytes) -> Part | None:
    at = _dart_check_at(data)
    return (2, at) if at is not None and at > 2 else None


def _dart_checksum(data: bytes) -> Part | None:
    at = _dart_check_at(data)
    return None if at is None else (at, len(data) - _DART_END)


def _dart_readdress(data: bytes, rng: random.Random) -> bytes | None:
    if not data or not dart.ADDRESS_FIRST <= data[0] <= dart.ADDRESS_LAST:
        return None
    address = _other(data[0], rng)
    at = _dart_check_at(data)
    if at is None:
        return bytes((address,)) + data[1:]
    block = data[2:at].replace(b"\x10\xfa", b"\xfa")
    return dart.encode_data(address, data[1] & 0xF, block)


# Modbus RTU: unit, PDU, CRC-16 low byte first; Modbus TCP: seven bytes of header, the last of which is the unit.


def _rtu_payload(data: bytes) -> Part | None:
    return (1, len(data) - 2) if len(data) >= 4 else None


def _rtu_checksum(data: bytes) -> Part | None:
    return (len(data) - 2, len(data)) if len(data) >= 4 else None


def _rtu_readdress(data: bytes, rng: random.Random) -> bytes | None:
    if len(data) < 4:
        return None
    body = bytes((_other(data[0], rng),)) + data[1:-2]
    return body + crc16.modbus(body).to_bytes(2, "little")


def _mbap_payload(data: bytes) -> Part | None:
    return (7, len(data)) if len(data) > 7 else None


def _mbap_readdress(data: bytes, rng: random.Random) -> bytes | None:
    return data[:6] + bytes((_other(data[6], rng),)) + data[7:] if len(data) > 7 else None


# Two-Wire: one byte with the pump in its low nibble, or a block FF … FB LRC F0.


def _twowire_is_block(data: bytes) -> bool:
    return len(data) > 4 and data[0] == 0xFF and data[-3] == 0xFB and data[-1] == 0xF0


def _twowire_payload(data: bytes) -> Part | None:
    return (1, len(data) - 3) if _twowire_is_block(data) else None


def _twowire_checksum(data: bytes) -> Part | None:
    return (len(data) - 2, len(data) - 1) if _twowire_is_block(data) else None


def _twowire_readdress(data: bytes, rng: random.Random) -> bytes | None:
    return bytes((_other(data[0], rng),)) if len(data) == 1 and data[0] < 0xE0 else None


# AA FF: two marker bytes, destination, command, gun, length, body, CRC-8, two marker bytes.


def _aaff_payload(data: bytes) -> Part | None:
    return (6, len(data) - 3) if len(data) > 9 else None


def _aaff_checksum(data: bytes) -> Part | None:
    return (len(data) - 3, len(data) - 2) if len(data) >= 9 else None


def _aaff_readdress(data: bytes, rng: random.Random) -> bytes | None:
    if len(data) < 9:
        return None
    inner = data[2:4] + bytes((_other(data[4], rng),)) + data[5:-3]
    return data[:2] + inner + bytes((crc8.maxim_dow(inner),)) + data[-2:]


# IFSF over TCP: LNAR(2) LNAO(2) MC ST LEN(2), then the database and the data.


def _ifsf_payload(data: bytes) -> Part | None:
    return (8, len(data)) if len(data) > 8 else None


def _ifsf_readdress(data: bytes, rng: random.Random) -> bytes | None:
    return data[:3] + bytes((_other(data[3], rng),)) + data[4:] if len(data) >= 8 else None


FRAME_SHAPES: Final[Mapping[str, FrameShape]] = MappingProxyType(
    {
        "dart": FrameShape(_dart_payload, _dart_checksum, _dart_readdress),
        "modbus-rtu": FrameShape(_rtu_payload, _rtu_checksum, _rtu_readdress),
        "modbus-tcp": FrameShape(_mbap_payload, _nothing, _mbap_readdress, has_checksum=False),
        "twowire": FrameShape(_twowire_payload, _twowire_checksum, _twowire_readdress),
        "aaff": FrameShape(_aaff_payload, _aaff_checksum, _aaff_readdress),
        "ifsf": FrameShape(_ifsf_payload, _nothing, _ifsf_readdress, has_checksum=False),
    }
)
"""By the name that a fault's ``frames`` gives."""
