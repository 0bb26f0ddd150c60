"""What hides in bytes: compressed streams, members of archives, encoded blocks, bursts of a capture. Opened to be searched.

Nothing here trusts a container: damaged ones give what can still be read, and everything has a limit.
"""

from __future__ import annotations

import base64
import binascii
import bz2
import json
import lzma
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from mmap import mmap
from typing import Any, Final

__all__ = ["MOST_INFLATED", "Inside", "Unopened", "inside"]

MOST_INFLATED: Final = 256 * 1024 * 1024
"""Bytes read out of one compressed stream; more may be a bomb, and is told as not searched."""

_STREAM: Final = re.compile(
    rb"\x1f\x8b\x08[\x00-\x1f]|\x78[\x01\x5e\x9c\xda]|PK\x03\x04|BZh[1-9]1AY&SY|\xfd7zXZ\x00"
)
_ZIP_HEAD: Final = 30
_ENCRYPTED: Final = 1
_LEAST: Final = 11  # a shorter output holds no number, and random bytes inflate to a few
_BETWEEN: Final = b"\xff" * 80  # more than may stand between two digits of one number
_BLOCK: Final = re.compile(rb"[A-Za-z0-9+/_-]{24,}(?:\r?\n[ \t]*[A-Za-z0-9+/_-]{4,})*={0,2}")
_HEX: Final = re.compile(rb"(?:[0-9a-f]{2}){16,}|(?:[0-9A-F]{2}){16,}")
_TEXT: Final = re.compile(rb"[\t\r\n\x20-\x7e]{16,}")
_OPAQUE: Final = {
    b"\x28\xb5\x2f\xfd": "Zstandard",
    b"7z\xbc\xaf\x27\x1c": "7-Zip",
    b"Rar!\x1a\x07": "RAR",
    b"\x04\x22\x4d\x18": "LZ4",
    b"Salted__": "OpenSSL encryption",
}


@dataclass(frozen=True, slots=True)
class Inside:
    """Bytes found inside others.

    Attributes:
        name: what they are and where: ``gzip at 0``, ``a.log in zip at 120``.
        data: the bytes.
    """

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Unopened:
    """Something whose inside could not be searched, or not all of it, and why."""

    reason: str


def inside(data: bytes | mmap, *, is_capture: bool = False) -> Iterator[Inside | Unopened]:
    """Everything that can be opened in these bytes, one level deep.

    Args:
        data: any bytes.
        is_capture: they are a capture of a wire (``*.fcap``).
    """
    for magic, name in _OPAQUE.items():
        if data[: len(magic)] == magic:
            yield Unopened(f"{name} cannot be opened here; unpack it and scan what was in it")
            return
    yield from _streams(data)
    if is_capture:
        yield from _bursts(bytes(data))
    else:
        yield from _blocks(data)


def _streams(data: bytes | mmap) -> Iterator[Inside | Unopened]:
    done = 0
    for match in _STREAM.finditer(data):
        start = match.start()
        if start < done:
            continue  # inside a stream that was opened as a whole
        magic = match[0]
        if magic.startswith(b"PK"):
            yield from _zip_member(data, start)
            continue
        kind, machine = _machine(magic)
        out, used, is_cut = _inflate(machine, data, start)
        if used:
            done = start + used
        if len(out) >= _LEAST:
            yield Inside(f"{kind} at {start}", out)
        if is_cut:
            yield Unopened(f"{kind} at {start} holds more than {MOST_INFLATED:,} bytes")


def _machine(magic: bytes) -> tuple[str, Any]:
    if magic.startswith(b"\x1f\x8b"):
        return "gzip", zlib.decompressobj(31)
    if magic.startswith(b"BZh"):
        return "bzip2", bz2.BZ2Decompressor()
    if magic.startswith(b"\xfd7z"):
        return "xz", lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=256 * 1024 * 1024)
    return "zlib", zlib.decompressobj(15)


def _inflate(machine: Any, data: bytes | mmap, start: int) -> tuple[bytes, int, bool]:
    """What came out, how many bytes went in (0: not such a stream to its end), and whether the limit cut it."""
    out = bytearray()
    place = start
    step = 256  # most things that look like a stream are none: find out on a few bytes
    waiting = b""
    try:
        while not machine.eof:
            if not waiting:
                waiting = data[place : place + step]
                place += len(waiting)
                step = 65_536
                if not waiting:
                    return bytes(out), 0, False  # cut short: what there is was read
            room = MOST_INFLATED - len(out)
            if room <= 0:
                return bytes(out), 0, True
            out += machine.decompress(waiting, room)
            waiting = machine.unconsumed_tail if hasattr(machine, "unconsumed_tail") else b""
    except (zlib.error, OSError, EOFError, lzma.LZMAError, ValueError):
        return bytes(out), 0, False
    return bytes(out), place - start - len(waiting) - len(machine.unused_data), False


def _zip_member(data: bytes | mmap, start: int) -> Iterator[Inside | Unopened]:
    """One member by its own head, so that an archive without its directory is read as well. Stored ones are plain already."""
    head = data[start : start + _ZIP_HEAD]
    if len(head) < _ZIP_HEAD:
        return
    flags, method = int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little")
    name_length, more = int.from_bytes(head[26:28], "little"), int.from_bytes(head[28:30], "little")
    if method > 99 or name_length > 4096:
        return  # the four bytes stand there by accident
    name = data[start + _ZIP_HEAD : start + _ZIP_HEAD + name_length].decode("utf-8", "replace")
    begin = start + _ZIP_HEAD + name_length + more
    if flags & _ENCRYPTED:
        yield Unopened(f"{name} in zip at {start} is encrypted")
        return
    if method == 0:
        return
    machines = {8: lambda: zlib.decompressobj(-15), 12: bz2.BZ2Decompressor}
    if method not in machines:
        yield Unopened(
            f"{name} in zip at {start} is compressed in a way (method {method}) that cannot be opened here"
        )
        return
    out, _, is_cut = _inflate(machines[method](), data, begin)
    if out:
        yield Inside(f"{name} in zip at {start}", out)
    if is_cut:
        yield Unopened(f"{name} in zip at {start} holds more than {MOST_INFLATED:,} bytes")


def _blocks(data: bytes | mmap) -> Iterator[Inside]:
    """Base64 and hex, decoded: texts and streams one by one, all else put together, since most of it are mere identifiers."""
    rest = bytearray()
    first = 0
    for kind, start, decoded in _decoded(data):
        if len(decoded) < _LEAST:
            continue
        if _TEXT.fullmatch(decoded) is not None or _STREAM.search(decoded) is not None:
            yield Inside(f"{kind} at {start}", decoded)
        else:
            first = first if rest else start
            rest += decoded + _BETWEEN
    if rest:
        yield Inside(f"encoded blocks from {first} on", bytes(rest))


def _decoded(data: bytes | mmap) -> Iterator[tuple[str, int, bytes]]:
    for match in _BLOCK.finditer(data):
        block = match[0].translate(None, b"\r\n\t =")
        others = b"-_" if b"-" in block or b"_" in block else None
        try:
            yield "base64", match.start(), base64.b64decode(block + b"=" * (-len(block) % 4), altchars=others)
        except (binascii.Error, ValueError):
            continue
    for match in _HEX.finditer(data):
        yield "hex", match.start(), bytes.fromhex(match[0].decode("ascii"))


def _bursts(data: bytes) -> Iterator[Inside]:
    """What each end of a wire sent, put together: a number may go out in more than one burst."""
    sent: dict[str, bytearray] = {}
    for line in data.splitlines()[1:]:
        try:
            _, sender, heard, *touched = json.loads(line)
            parts = [bytes.fromhex(text) for text in (heard, *touched[1:2])]
        except (ValueError, TypeError):
            continue  # a damaged line was searched as it stands
        for direction, part in zip((str(sender), f"{sender}, before a fault"), parts, strict=False):
            sent.setdefault(direction, bytearray()).extend(part)
    for name, whole in sent.items():
        yield Inside(f"bytes sent by {name}", bytes(whole))
