"""The printer's reading of an ESC/POS byte stream, one command at a time.

Commands may be split anywhere, a command's length may depend on its own parameters, and real clients send
bytes no manual knows. So the parser never raises for what it reads: it reports a surprise with its offset.
"""

from __future__ import annotations

from typing import Final

from protocols.escpos.commands import DLE, DLE_DC4_BYTES, ESC, FIXED, FS, GS, Command, Op
from protocols.escpos.symbology import barcode_prefix_ok, barcode_problem

__all__ = ["MAX_DATA_BYTES", "MAX_TEXT_BYTES", "StreamParser"]

MAX_DATA_BYTES: Final = 1 << 20
"""Longest payload kept. A header may announce 4 GiB; what is beyond this is swallowed, not stored."""

MAX_TEXT_BYTES: Final = 64
"""A run of text is handed on after this many bytes, so that a printer works line by line."""

_CONTROLS: Final = {0x0A: Op.LF, 0x0D: Op.CR, 0x09: Op.HT, 0x0C: Op.FF, 0x18: Op.CANCEL}
_PREFIXES: Final = frozenset({DLE, ESC, FS, GS})
_CUT_WITH_FEED: Final = frozenset({65, 66, 97, 98, 103, 104})
_CUT_PLAIN: Final = frozenset({0, 1, 48, 49})
_ESC_STAR_BYTES_PER_COLUMN: Final = {0: 1, 1: 1, 32: 3, 33: 3}


class StreamParser:
    """An incremental ESC/POS parser.

    `take` consumes bytes until exactly one command is complete, so a printer can stop between two commands
    while a line is on its way through the mechanism. Half a command is kept for the next call.
    """

    def __init__(self) -> None:
        self._pending = bytearray()
        self._offset = 0  # of the first pending byte
        self._replay = bytearray()  # bytes of a refused command that are read again as normal data
        self._skip = 0
        self._skipped = 0

    @property
    def has_replay(self) -> bool:
        """Whether bytes already taken are to be read again: `take` gives more without new data."""
        return bool(self._replay)

    @property
    def in_command(self) -> bool:
        """Whether the first bytes of an unfinished command are held."""
        return bool(self._pending) or self._skip > 0

    @property
    def offset(self) -> int:
        """Offset in the stream of the next byte to be read."""
        return self._offset + len(self._pending)

    def reset(self) -> None:
        """Forget half a command; offsets go on counting."""
        self._offset += len(self._pending) + len(self._replay)
        self._pending.clear()
        self._replay.clear()
        self._skip = 0

    def feed(self, data: bytes) -> list[Command]:
        """Take all of ``data`` and return every command that is complete."""
        commands = []
        position = 0
        while position < len(data) or self._replay:
            command, position = self.take(data, position)
            if command is not None:
                commands.append(command)
        return commands

    def take(self, data: bytes | bytearray, start: int = 0) -> tuple[Command | None, int]:
        """Read ``data`` from ``start`` up to the end of one command.

        Returns:
            The command, or None if the bytes ran out before its end, and the position of the next unread byte.
        """
        while self._replay:
            again = bytes(self._replay)
            self._replay.clear()
            command, used = self._read(again, 0)
            self._replay += again[used:]
            if command is not None:
                return command, start
        return self._read(data, start)

    def _read(self, data: bytes | bytearray, start: int) -> tuple[Command | None, int]:
        position = start
        if self._skip:
            position = self._swallow(data, position)
            if self._skip:
                return None, position
            return self._close_skipped(), position
        if not self._pending and position < len(data) and _is_text(data[position]):
            return self._take_text(data, position)
        pending = self._pending
        while position < len(data):
            need = _bytes_needed(pending)
            if need > len(pending):
                if need > MAX_DATA_BYTES:
                    self._skip = need - len(pending)
                    self._skipped = need
                    return self._read(data, position)
                step = min(need - len(pending), len(data) - position)
                pending += data[position : position + step]
                position += step
                if len(pending) < need:
                    return None, position
                if _bytes_needed(pending) > len(pending):
                    continue
            command = _decode(bytes(pending), self._offset)
            # A refused bar code stops at the byte that was wrong; from there on it is read again as normal data.
            self._replay[:0] = pending[command.length :]
            self._offset += command.length
            pending.clear()
            return command, position
        return None, position

    def _take_text(self, data: bytes | bytearray, position: int) -> tuple[Command, int]:
        end = position
        limit = min(len(data), position + MAX_TEXT_BYTES)
        while end < limit and _is_text(data[end]):
            end += 1
        text = bytes(data[position:end])
        command = Command(Op.TEXT, data=text, offset=self._offset, length=len(text))
        self._offset += len(text)
        return command, end

    def _swallow(self, data: bytes | bytearray, position: int) -> int:
        step = min(self._skip, len(data) - position)
        self._skip -= step
        return position + step

    def _close_skipped(self) -> Command:
        command = Command(
            Op.UNKNOWN,
            data=bytes(self._pending[:8]),
            offset=self._offset,
            length=self._skipped,
            surprise=f"a payload of {self._skipped} bytes is beyond the limit of {MAX_DATA_BYTES}; swallowed",
        )
        self._offset += self._skipped
        self._pending.clear()
        return command


def _is_text(byte: int) -> bool:
    return byte >= 0x20


def _word(data: bytes | bytearray, at: int) -> int:
    return data[at] | data[at + 1] << 8


def _bytes_needed(pending: bytes | bytearray) -> int:
    """Total bytes the command beginning with ``pending`` needs, as far as is known so far."""
    if not pending:
        return 1
    first = pending[0]
    if first not in _PREFIXES or len(pending) == 1:
        return 1 if first not in _PREFIXES else 2
    second = pending[1]
    fixed = FIXED.get((first, second))
    if fixed is not None:
        return 2 + fixed[1]
    size = {DLE: _dle_bytes, ESC: _esc_bytes, FS: _fs_bytes, GS: _gs_bytes}[first]
    return size(pending, second)


def _dle_bytes(pending: bytes | bytearray, second: int) -> int:
    if second == 0x04:
        if len(pending) < 3:
            return 3
        return 4 if pending[2] in (7, 8, 18) else 3  # ink and multi-tone status carry a second parameter
    if second == 0x14:
        return 3 if len(pending) < 3 else DLE_DC4_BYTES.get(pending[2], 3)
    return 2


def _esc_bytes(pending: bytes | bytearray, second: int) -> int:
    if second == 0x2A:  # ESC * m nL nH d..
        if len(pending) < 5:
            return 5
        return 5 + _ESC_STAR_BYTES_PER_COLUMN.get(pending[2], 1) * _word(pending, 3)
    if second == 0x44:  # ESC D n1..nk NUL, at most 32 stops
        if len(pending) > 2 and (pending[-1] == 0 or len(pending) >= 35):
            return len(pending)
        return len(pending) + 1
    if second == 0x26:  # ESC & y c1 c2 [x d..]: user-defined characters
        return _user_characters(pending)
    if second == 0x28:  # ESC ( x pL pH ..
        return 5 if len(pending) < 5 else 5 + _word(pending, 3)
    if second == 0x63:  # ESC c 3, 4, 5 n
        return 4
    return 2


def _user_characters(pending: bytes | bytearray) -> int:
    if len(pending) < 5:
        return 5
    rows, first, last = pending[2], pending[3], pending[4]
    need = 5
    for _ in range(max(0, last - first + 1)):
        if len(pending) <= need:
            return need + 1
        need += 1 + rows * pending[need]
    return need


def _fs_bytes(pending: bytes | bytearray, second: int) -> int:
    if second == 0x32:  # FS 2 c1 c2 d1..d72: one user-defined Chinese character
        return 76
    if second == 0x28:  # FS ( x pL pH ..
        return 5 if len(pending) < 5 else 5 + _word(pending, 3)
    if second == 0x71:  # FS q n [xL xH yL yH d..]: NV logos
        if len(pending) < 3:
            return 3
        need = 3
        for _ in range(pending[2]):
            if len(pending) < need + 4:
                return need + 4
            need += 4 + _word(pending, need) * _word(pending, need + 2) * 8
            if need > MAX_DATA_BYTES:
                return need
        return need
    return 2


def _gs_bytes(pending: bytes | bytearray, second: int) -> int:
    have = len(pending)
    if second == 0x56:  # GS V m [n]
        return 3 if have < 3 else 3 + (pending[2] in _CUT_WITH_FEED)
    if second == 0x6B:
        return _barcode_bytes(pending)
    if second == 0x28:  # GS ( x pL pH ..
        return 5 if have < 5 else 5 + _word(pending, 3)
    if second == 0x38:  # GS 8 L p1 p2 p3 p4 ..
        if have < 3 or pending[2] != 0x4C:
            return 3
        return 7 if have < 7 else 7 + int.from_bytes(pending[3:7], "little")
    if second == 0x76:  # GS v 0 m xL xH yL yH d..
        return 8 if have < 8 else 8 + _word(pending, 4) * _word(pending, 6)
    if second == 0x2A:  # GS * x y d..: downloaded image
        return 4 if have < 4 else 4 + pending[2] * pending[3] * 8
    if second == 0x67:  # GS g 0 m nL nH / GS g 2 m nL nH: counters
        return 6
    return 2


def _barcode_bytes(pending: bytes | bytearray) -> int:
    have = len(pending)
    if have < 3:
        return 3
    symbology = pending[2]
    if symbology <= 6:
        if have == 3:
            return 4
        if pending[-1] == 0 or not barcode_prefix_ok(symbology, bytes(pending[3:])):
            return have
        return have + 1
    if 65 <= symbology <= 79:
        return 4 if have < 4 else 4 + pending[3]
    return 3


def _decode(raw: bytes, offset: int) -> Command:
    first = raw[0]
    if first not in _PREFIXES:
        op = _CONTROLS.get(first)
        if op is not None:
            return Command(op, offset=offset, length=1)
        surprise = "" if first == 0 else f"control byte {first:02X} has no meaning here"
        return Command(Op.IGNORED, data=raw, offset=offset, length=1, surprise=surprise)
    fixed = FIXED.get((first, raw[1]))
    if fixed is not None:
        return Command(
            fixed[0], tuple(raw[2:]), offset=offset, length=len(raw), surprise=_fixed_surprise(fixed[0], raw)
        )
    if first == DLE:
        return _decode_dle(raw, offset)
    if first == ESC:
        return _decode_esc(raw, offset)
    if first == FS:
        return _decode_fs(raw, offset)
    return _decode_gs(raw, offset)


def _unknown(raw: bytes, offset: int) -> Command:
    return Command(
        Op.UNKNOWN,
        data=raw,
        offset=offset,
        length=len(raw),
        surprise=f"unknown command {raw[:4].hex(' ').upper()}; its prefix is dropped and reading goes on",
    )


def _fixed_surprise(op: Op, raw: bytes) -> str:
    if op is Op.PULSE and (raw[3] in (ESC, GS, 0x0A, 0x0D) or raw[4] in (ESC, GS, 0x0A, 0x0D)):
        return (
            f"ESC p took {raw[3]:02X} {raw[4]:02X} as its pulse times t1 t2: the sender has probably left them out, "
            "and a real printer swallows these bytes too"
        )
    return ""


def _decode_dle(raw: bytes, offset: int) -> Command:
    op = {0x04: Op.DLE_EOT, 0x14: Op.DLE_DC4}.get(raw[1])
    if op is None:
        return _unknown(raw, offset)
    return Command(op, tuple(raw[2:]), offset=offset, length=len(raw))


def _decode_esc(raw: bytes, offset: int) -> Command:
    if raw[1] == 0x2A:
        surprise = "" if raw[2] in _ESC_STAR_BYTES_PER_COLUMN else f"ESC * has no mode {raw[2]}"
        return Command(Op.COLUMN_IMAGE, (raw[2], _word(raw, 3)), raw[5:], offset, len(raw), surprise)
    if raw[1] == 0x44:
        return Command(Op.TABS, tuple(raw[2:].rstrip(b"\0")), offset=offset, length=len(raw))
    if raw[1] == 0x26:
        return Command(Op.USER_CHARACTERS, tuple(raw[2:5]), raw[5:], offset, len(raw))
    if raw[1] == 0x28:
        op = Op.BUZZER_PATTERN if raw[2] == 0x41 else Op.IGNORED
        return Command(op, (), raw[5:], offset, len(raw))
    if raw[1] == 0x63:
        op = {0x34: Op.PAPER_SENSOR_STOPS, 0x35: Op.BUTTONS}.get(raw[2], Op.IGNORED)
        return Command(op, (raw[3],), offset=offset, length=len(raw))
    return _unknown(raw, offset)


def _decode_fs(raw: bytes, offset: int) -> Command:
    if raw[1] == 0x32:
        return Command(Op.CHINESE_USER, tuple(raw[2:4]), raw[4:], offset, len(raw))
    if raw[1] == 0x71:
        return Command(Op.NV_IMAGES, (raw[2],), raw[3:], offset, len(raw))
    if raw[1] == 0x28:
        return Command(Op.IGNORED, offset=offset, length=len(raw))
    return _unknown(raw, offset)


def _decode_gs(raw: bytes, offset: int) -> Command:
    second, length = raw[1], len(raw)
    if second == 0x56:
        known = raw[2] in _CUT_PLAIN or raw[2] in _CUT_WITH_FEED
        surprise = "" if known else f"GS V has no mode {raw[2]}; no cut"
        return Command(Op.CUT, tuple(raw[2:]), offset=offset, length=length, surprise=surprise)
    if second == 0x6B:
        return _decode_barcode(raw, offset)
    if second == 0x28:
        op = {0x6B: Op.SYMBOL, 0x4C: Op.GRAPHICS, 0x48: Op.PROCESS_ID}.get(raw[2], Op.IGNORED)
        return Command(op, (), raw[5:], offset, length)
    if second == 0x38:
        if raw[2] != 0x4C:
            return _unknown(raw[:2], offset)
        return Command(Op.GRAPHICS, (), raw[7:], offset, length)
    if second == 0x76:
        args = (raw[3], _word(raw, 4), _word(raw, 6))
        return Command(Op.RASTER, args, raw[8:], offset, length)
    if second == 0x2A:
        return Command(Op.DOWNLOAD_IMAGE, (raw[2], raw[3]), raw[4:], offset, length)
    if second == 0x67:
        return Command(Op.IGNORED, offset=offset, length=length)
    return _unknown(raw, offset)


def _decode_barcode(raw: bytes, offset: int) -> Command:
    symbology = raw[2]
    if len(raw) == 3:
        return _unknown(raw, offset)
    if symbology <= 6:
        data, header = raw[3:], 3
        data = data[:-1] if data.endswith(b"\0") else data
    else:
        data, header = raw[4:], 4
    problem = barcode_problem(symbology, data)
    if problem is None:
        return Command(Op.BARCODE, (symbology,), data, offset, len(raw))
    return Command(
        Op.BARCODE_REFUSED,
        (symbology,),
        data[: problem.good_bytes],
        offset,
        header + problem.good_bytes,
        f"bar code refused: {problem.reason}; the rest is printed as text",
    )
