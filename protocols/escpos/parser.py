"""The printer's reading of an ESC/POS byte stream, one command at a time.

Commands may be split anywhere, a command's length may depend on its own parameters, and real clients send
bytes no manual knows. So the parser never raises for what it reads: it reports a surprise with its offset.
"""

from __future__ import annotations

import re
from typing import Final

from protocols.escpos.commands import DLE, ESC, FIXED, FS, GS, Command, Op
from protocols.escpos.lengths import (
    CUT_WITH_FEED,
    ESC_STAR_BYTES_PER_COLUMN,
    MAX_DATA_BYTES,
    PREFIXES,
    bytes_needed,
    word,
)
from protocols.escpos.symbology import barcode_problem

__all__ = ["MAX_DATA_BYTES", "MAX_TEXT_BYTES", "StreamParser"]

MAX_TEXT_BYTES: Final = 64
"""A run of text is handed on after this many bytes, so that a printer works line by line."""

_CONTROLS: Final = {0x0A: Op.LF, 0x0D: Op.CR, 0x09: Op.HT, 0x0C: Op.FF, 0x18: Op.CANCEL}
_CUT_PLAIN: Final = frozenset({0, 1, 48, 49})
_TEXT: Final = re.compile(rb"[\x20-\xff]{1,%d}" % MAX_TEXT_BYTES)


class StreamParser:
    """An incremental ESC/POS parser.

    `take` consumes bytes until exactly one command is complete, so a printer can stop between two commands
    while a line is on its way through the mechanism. Half a command is kept for the next call.

    Args:
        board_symbols: know GS Z and ESC Z, with which Chinese boards print QR codes (npm escpos sends them).
    """

    def __init__(self, *, board_symbols: bool = False) -> None:
        self._board_symbols = board_symbols
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
            need = bytes_needed(pending, board_symbols=self._board_symbols)
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
                if bytes_needed(pending, board_symbols=self._board_symbols) > len(pending):
                    continue
            command = self._decoded(bytes(pending))
            # A refused bar code stops at the byte that was wrong; from there on it is read again as normal data.
            self._replay[:0] = pending[command.length :]
            self._offset += command.length
            pending.clear()
            return command, position
        return None, position

    def _decoded(self, raw: bytes) -> Command:
        if self._board_symbols and raw[1:2] == b"Z" and raw[0] in (ESC, GS):
            op = Op.BOARD_SYMBOL if raw[0] == ESC else Op.BOARD_SYMBOL_KIND
            args = tuple(raw[2:5])
            return Command(op, args, raw[7:], self._offset, len(raw))
        return _decode(raw, self._offset)

    def _take_text(self, data: bytes | bytearray, position: int) -> tuple[Command, int]:
        found = _TEXT.match(data, position)
        end = found.end() if found is not None else position  # the caller has seen one byte of text
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


def _decode(raw: bytes, offset: int) -> Command:
    first = raw[0]
    if first not in PREFIXES:
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
        surprise = "" if raw[2] in ESC_STAR_BYTES_PER_COLUMN else f"ESC * has no mode {raw[2]}"
        return Command(Op.COLUMN_IMAGE, (raw[2], word(raw, 3)), raw[5:], offset, len(raw), surprise)
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
        known = raw[2] in _CUT_PLAIN or raw[2] in CUT_WITH_FEED
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
        args = (raw[3], word(raw, 4), word(raw, 6))
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
