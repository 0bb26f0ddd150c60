"""Modbus frames of both kinds, built and cut out of the stream by us.

pymodbus's own stream handling is not used: its TCP framer waits for ever behind a foreign protocol id and takes one byte
too many when an 8-byte request is followed by a single byte; its RTU framer must know a function to find a frame's
end, so a request with an unknown function would go unanswered. Its checksum is a loop in Python; fastcrc's is not.
"""

from __future__ import annotations

import struct
from typing import Final, Literal, NamedTuple

import fastcrc

__all__ = [
    "Frame",
    "Framing",
    "RtuAssembler",
    "TcpAssembler",
    "rtu_frame",
    "rtu_silence_us",
    "tcp_frame",
]

Framing = Literal["tcp", "rtu"]

MBAP_LENGTH: Final = 7
MAX_MBAP_LENGTH: Final = 300
"""Longer than any legal frame (253 bytes of PDU and the unit: V1.1b3, section 4.1), so that a request with a few registers too many still gets its exception."""

MAX_RTU_LENGTH: Final = 256
"""MODBUS over Serial Line V1.02, section 2.5.1."""

MIN_RTU_LENGTH: Final = 4

_mbap = struct.Struct(">HHHB")
_crc16 = fastcrc.crc16.modbus


class Frame(NamedTuple):
    """One frame without its envelope.

    Attributes:
        unit_id: whom it addresses, or who answers.
        transaction_id: of the MBAP header; 0 on RTU.
        pdu: function code and data.
    """

    unit_id: int
    transaction_id: int
    pdu: bytes


def tcp_frame(frame: Frame) -> bytes:
    """Wrap in an MBAP header."""
    return _mbap.pack(frame.transaction_id, 0, 1 + len(frame.pdu), frame.unit_id) + frame.pdu


def rtu_frame(frame: Frame) -> bytes:
    """Wrap in address and CRC-16/MODBUS (low byte first)."""
    data = bytes((frame.unit_id,)) + frame.pdu
    return data + int(_crc16(data)).to_bytes(2, "little")


def rtu_silence_us(baud: int) -> int:
    """The silence of 3.5 characters (of 11 bits) that ends an RTU frame; fixed at 1,750 µs above 19,200 Bd.

    Source: MODBUS over Serial Line Specification V1.02, section 2.5.1.1.
    """
    return 1_750 if baud > 19_200 else -(-35 * 11 * 1_000_000 // (10 * baud))


class TcpAssembler:
    """Cuts a TCP stream into frames by the length in each MBAP header.

    Attributes:
        bad_frames: frames with a foreign protocol id, dropped whole.
        lost: a header with an impossible length came; where the next one starts is unknown, and the connection should
            be closed. Nothing more is decoded.
    """

    def __init__(self) -> None:
        # Bounded: at most one incomplete frame stays after each call.
        self._buffer = bytearray()
        self.bad_frames = 0
        self.lost = False

    @property
    def is_between_frames(self) -> bool:
        """Whether the next byte begins a frame."""
        return not self._buffer and not self.lost

    def restart(self) -> None:
        """A new stream begins."""
        self._buffer.clear()
        self.lost = False

    def feed(self, data: bytes) -> list[Frame]:
        """Take bytes, return the complete frames."""
        frames: list[Frame] = []
        if self.lost:
            return frames
        buffer = self._buffer
        buffer += data
        while len(buffer) >= MBAP_LENGTH:
            length = buffer[4] << 8 | buffer[5]
            if not 2 <= length <= MAX_MBAP_LENGTH:
                self.lost = True
                buffer.clear()
                break
            end = 6 + length
            if len(buffer) < end:
                break
            if buffer[2] or buffer[3]:
                self.bad_frames += 1
            else:
                frames.append(Frame(buffer[6], buffer[0] << 8 | buffer[1], bytes(buffer[7:end])))
            del buffer[:end]
        return frames


class RtuAssembler:
    """Collects an RTU frame until silence ends it.

    A burst that arrives ``silence_us`` or more after the end of the one before begins a new frame.

    Args:
        silence_us: 3.5 characters, or more where a host delivers late.
        char_us: time of one character, to know when a burst began whose end is known; 0 where bursts are not paced.

    Attributes:
        bad_frames: frames of a wrong length or CRC, dropped.
    """

    def __init__(self, silence_us: int, char_us: int = 0) -> None:
        self._silence_us = silence_us
        self._char_us = char_us
        self._buffer = bytearray()
        self._heard_us = 0
        self.bad_frames = 0

    @property
    def ends_us(self) -> int | None:
        """When silence will end the frame that is being received, or None."""
        return self._heard_us + self._silence_us if self._buffer else None

    @property
    def is_empty(self) -> bool:
        """Whether no frame is being received."""
        return not self._buffer

    @property
    def heard_us(self) -> int:
        """When the last byte ended."""
        return self._heard_us

    def feed(self, data: bytes, now_us: int) -> Frame | None:
        """Take bytes whose last one ended at ``now_us``; return a frame that the silence before them ended."""
        ended = None
        if self._buffer and now_us - self._char_us * len(data) - self._heard_us >= self._silence_us:
            ended = self.end()
        # One byte over the limit is enough to know that the frame is too long.
        self._buffer += data[: MAX_RTU_LENGTH + 1 - len(self._buffer)]
        self._heard_us = now_us
        return ended

    def end(self) -> Frame | None:
        """Silence: return the frame if it is good."""
        frame = self.peek()
        if frame is None and self._buffer:
            self.bad_frames += 1
        self._buffer.clear()
        return frame

    def peek(self) -> Frame | None:
        """The frame received so far, if its CRC already holds."""
        data = bytes(self._buffer)
        if not MIN_RTU_LENGTH <= len(data) <= MAX_RTU_LENGTH:
            return None
        if _crc16(data[:-2]) != data[-1] << 8 | data[-2]:
            return None
        return Frame(data[0], 0, data[1:-2])
