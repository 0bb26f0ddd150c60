"""Drills of the controller's end of a DART line: frames of every shape, made by a writer of their own.

The frames and their checksum are built here from the published rules (CRC-16/ARC over address to last data byte, low byte
first; ``FA`` escaped by ``10``), not by the codec that is under test.
"""

from __future__ import annotations

from collections.abc import Iterator

from mutants.checks import said
from protocols.dart import BadFrame, ControllerSide, Data, UnknownTransaction
from protocols.sansio import NEED_DATA
from scenarios.verdicts import CheckResult

__all__ = ["cut_frames", "damaged_frames", "every_byte"]

_ADDRESS = 0x51
_UNKNOWN = 0x7E
_PERIOD_US = 250_000


def _crc(data: bytes) -> int:
    value = 0
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0xA001 if value & 1 else 0)
    return value


def frame(payload: bytes) -> bytes:
    """A data frame of the pump with one transaction of a kind that nobody knows, which is carried as it is."""
    body = bytes((_ADDRESS, 0x30, _UNKNOWN, len(payload))) + payload
    crc = _crc(body)
    whole = body + bytes((crc & 0xFF, crc >> 8))
    return whole[:2] + whole[2:].replace(b"\xfa", b"\x10\xfa") + b"\x03\xfa"


class _Line:
    """The controller's end, polled again and again."""

    def __init__(self) -> None:
        self.side = ControllerSide([_ADDRESS])
        self.now_us = 0

    def poll(self, answer: bytes) -> list[bytes]:
        """One poll and its answer: the payloads that were heard. Patience with the answer is waited out."""
        side = self.side
        self.now_us += _PERIOD_US
        side.poll(_ADDRESS, self.now_us)
        side.data_to_send(self.now_us)
        side.receive_data(answer, self.now_us + 5_000)
        side.data_to_send(self.now_us + 5_000)
        due_us = side.next_timer()
        if due_us is not None:
            side.handle_timer(max(due_us, self.now_us + 5_000))
        heard = []
        while (event := side.next_event()) is not NEED_DATA:
            if isinstance(event, Data):
                heard += [t.data for t in event.transactions if isinstance(t, UnknownTransaction)]
                heard += [b"?" for t in event.transactions if not isinstance(t, UnknownTransaction)]
            elif isinstance(event, BadFrame):
                side.data_to_send(self.now_us + 5_000)
        return heard


def _payloads() -> Iterator[bytes]:
    for place in range(3):
        for value in range(256):
            payload = bytearray(b"\x12\x34\x56")
            payload[place] = value
            yield bytes(payload)
    yield from (
        b"\x10\xfa\x10",
        b"\xfa\xfa\xfa",
        b"\x01\x0f\xa2",
        b"\x10\x10\xfa",
        b"\x03\xfa\x03",
        b"\x31\x0f\xaf",
    )


def every_byte() -> list[CheckResult]:
    """Every byte value at every place of a payload, so also every byte in a checksum that comes of it."""
    line = _Line()
    problems = []
    count = 0
    stuffed = 0
    for payload in _payloads():
        count += 1
        sent = frame(payload)
        stuffed += b"\x10\xfa" in sent[:-2]
        heard = line.poll(sent)
        if heard != [payload]:
            problems.append(f"{sent.hex(' ')} carries {payload.hex()}, heard: {[h.hex() for h in heard]}")
    return [said("drill.frames-heard", problems, f"{count} frames heard, {stuffed} with an escape")]


def cut_frames() -> list[CheckResult]:
    """A frame cut off at each byte, and a good one behind it: at the next poll, or glued to the rest."""
    problems = []
    whole, good = frame(b"\x11\x22\x33"), b"\x44\x55\x66"
    for cut in range(1, len(whole)):
        line = _Line()
        line.poll(whole[:cut])
        if line.poll(frame(good)) != [good]:
            problems.append(f"cut after {cut} bytes: the frame at the next poll is lost")
        if line.poll(whole[:cut] + frame(good)) != [good]:
            problems.append(f"cut after {cut} bytes: the frame glued to it is lost")
    return [
        said("drill.frames-heard", problems, f"{2 * len(whole) - 2} cuts, the next frame was heard each time")
    ]


def damaged_frames() -> list[CheckResult]:
    """One data frame with each of its bits inverted."""
    problems = []
    whole = frame(b"\x00\x12\x34\x56\x78\x90")
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        heard = _Line().poll(bytes(damaged))
        if heard:
            problems.append(f"bit {bit} inverted, and {heard[0].hex()} was heard")
    return [said("drill.damage-changes-nothing", problems, f"{8 * len(whole)} damaged frames, none believed")]
