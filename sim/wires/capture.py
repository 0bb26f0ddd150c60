"""Captures: every burst of a wire with its instant, its sender and its exact bytes.

File format (``*.fcap``), UTF-8 text, one JSON value a line (NDJSON):

1. the first line is an object: ``{"fcap": 1, "wire": NAME, "ports": [NAMES], "frames": N, ...}`` with whatever else
   describes the wire (``medium``, ``baud``, ``bits_per_char``); ``"truncated": true`` when the recorder's limit was hit;
2. each further line is an array ``[t_us, sender, hex]``: ``t_us`` is the instant at which the last byte had passed,
   in microseconds since the start of the run; ``sender`` a name out of ``ports``; ``hex`` the bytes as they were heard;
3. a burst that a fault or a collision has touched has two more members, ``[t_us, sender, hex, note, sent_hex]``:
   what happened, and the bytes as they were sent. ``hex`` is empty when nothing arrived.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

__all__ = ["FCAP_VERSION", "Capture", "CaptureError", "CapturedFrame", "read_capture"]

FCAP_VERSION: Final = 1

_HEAD: Final = struct.Struct("<QBI")
"""In memory a burst is this head (instant, sender, length) and its bytes: no object per burst to keep alive."""

_pack: Final = _HEAD.pack

_LIMIT_BYTES: Final = 256 * 1024 * 1024
"""About 12 million poll frames: days of a station, and less than the machine has."""

_PORTS_LIMIT: Final = 255


class CaptureError(Exception):
    """A capture that cannot be recorded or read; the message names file and line."""


@dataclass(frozen=True, slots=True)
class CapturedFrame:
    """One burst.

    Attributes:
        t_us: the instant its last byte had passed.
        sender: name of the port that sent it.
        data: the bytes as the others heard them; empty when nothing arrived.
        note: what happened to it (names of faults, ``collision``); empty for an untouched burst.
        sent: the bytes as they were sent, where they differ in any way from a clean burst; else None.
    """

    t_us: int
    sender: str
    data: bytes
    note: str = ""
    sent: bytes | None = None


class Capture:
    """An in-memory recorder of one wire; `write` puts it into a file, `read_capture` reads it back.

    Args:
        wire: name of the wire.
        limit_bytes: recording stops (and the file says so) beyond this much memory.

    Attributes:
        on_read: called before anything is read, for a wire that records a little late.
    """

    __slots__ = ("_buffer", "_count", "_limit", "_notes", "about", "on_read", "ports", "truncated", "wire")

    def __init__(self, wire: str, *, limit_bytes: int = _LIMIT_BYTES) -> None:
        self.wire = wire
        self.about: dict[str, Any] = {}
        self.ports: list[str] = []
        self.on_read: Callable[[], None] | None = None
        self._count = 0
        self.truncated = False
        self._buffer = bytearray()
        self._limit = limit_bytes
        self._notes: dict[int, tuple[str, bytes]] = {}

    def describe(self, **about: str | int | bool) -> None:
        """Add facts about the wire to the file's first line."""
        self.about.update(about)

    def port(self, name: str) -> int:
        """The number under which a sender records; the same name gives the same number.

        Raises:
            CaptureError: more than 255 senders.
        """
        if name in self.ports:
            return self.ports.index(name)
        if len(self.ports) >= _PORTS_LIMIT:
            raise CaptureError(f"capture of {self.wire}: more than {_PORTS_LIMIT} senders on one wire")
        self.ports.append(name)
        return len(self.ports) - 1

    def record(self, t_us: int, port: int, data: bytes) -> None:
        """Record a clean burst."""
        buffer = self._buffer
        if len(buffer) > self._limit:
            self.truncated = True
            return
        buffer += _pack(t_us, port, len(data)) + data
        self._count += 1

    def record_many(self, bursts: list[tuple[int, int, bytes]]) -> None:
        """Record clean bursts, each an instant, a port and its bytes, in their order."""
        buffer = self._buffer
        if len(buffer) > self._limit:
            self.truncated = self.truncated or bool(bursts)
            return
        buffer += b"".join([_pack(t_us, port, len(data)) + data for t_us, port, data in bursts])
        self._count += len(bursts)

    def record_touched(self, t_us: int, port: int, data: bytes, note: str, sent: bytes) -> None:
        """Record a burst that a fault or a collision has touched."""
        if len(self._buffer) <= self._limit:
            self._notes[self._count] = (note, sent)
        self.record(t_us, port, data)

    @property
    def count(self) -> int:
        """How many bursts there are."""
        if self.on_read is not None:
            self.on_read()
        return self._count

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[CapturedFrame]:
        count = self.count
        offset = 0
        view = bytes(self._buffer)
        for index in range(count):
            t_us, port, length = _HEAD.unpack_from(view, offset)
            offset += _HEAD.size
            note, sent = self._notes.get(index, ("", None))
            yield CapturedFrame(t_us, self.ports[port], view[offset : offset + length], note, sent)
            offset += length

    def write(self, path: Path) -> None:
        """Write the file; it appears under its name only when complete.

        Raises:
            OSError: the folder cannot be written.
        """
        head: dict[str, Any] = {
            "fcap": FCAP_VERSION,
            "wire": self.wire,
            "ports": self.ports,
            "frames": self.count,
        }
        if self.truncated:
            head["truncated"] = True
        partial = path.with_name(path.name + ".partial")
        with partial.open("w", encoding="utf-8", newline="\n") as file:
            file.write(json.dumps({**head, **self.about}, ensure_ascii=False) + "\n")
            file.writelines(self._lines())
        partial.replace(path)

    def _lines(self) -> Iterator[str]:
        names = [json.dumps(name, ensure_ascii=False) for name in self.ports]
        offset = 0
        buffer = bytes(self._buffer)
        for index in range(self._count):
            t_us, port, length = _HEAD.unpack_from(buffer, offset)
            offset += _HEAD.size
            text = buffer[offset : offset + length].hex()
            offset += length
            if index in self._notes:
                note, sent = self._notes[index]
                yield f'[{t_us},{names[port]},"{text}",{json.dumps(note, ensure_ascii=False)},"{sent.hex()}"]\n'
            else:
                yield f'[{t_us},{names[port]},"{text}"]\n'


def read_capture(path: Path) -> Capture:
    """Read a ``*.fcap`` file back.

    Raises:
        CaptureError: not such a file, cut short, or a line is damaged; the message names file and line.
        OSError: the file cannot be read.
    """
    number = 1
    with path.open(encoding="utf-8") as file:
        try:
            capture, frames = _read_head(file.readline())
            for line in file:
                number += 1
                _read_frame(capture, line)
        except (ValueError, KeyError, TypeError, struct.error) as error:
            raise CaptureError(f"{path}:{number}: damaged capture ({error})") from error
    if capture.count != frames:
        raise CaptureError(
            f"{path}: {capture.count} frames where the first line promises {frames}; cut short"
        )
    return capture


def _read_head(line: str) -> tuple[Capture, int]:
    head = json.loads(line)
    if not isinstance(head, dict) or head.pop("fcap", None) != FCAP_VERSION:
        raise ValueError(f"not a capture of format {FCAP_VERSION}")
    capture = Capture(head.pop("wire"))
    for name in head.pop("ports"):
        capture.port(name)
    frames = int(head.pop("frames"))
    capture.truncated = head.pop("truncated", False)
    capture.about = head
    return capture, frames


def _read_frame(capture: Capture, line: str) -> None:
    t_us, sender, heard, *touched = json.loads(line)
    port = capture.ports.index(sender)
    if touched:
        note, sent = touched
        capture.record_touched(t_us, port, bytes.fromhex(heard), note, bytes.fromhex(sent))
    else:
        capture.record(t_us, port, bytes.fromhex(heard))
