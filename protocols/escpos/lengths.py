"""How long each ESC/POS command is. The length of many depends on their own parameters, so it becomes known bit by bit."""

from __future__ import annotations

from typing import Final

from protocols.escpos.commands import DLE, DLE_DC4_BYTES, ESC, FIXED, FS, GS
from protocols.escpos.symbology import barcode_prefix_ok

__all__ = [
    "CUT_WITH_FEED",
    "ESC_STAR_BYTES_PER_COLUMN",
    "MAX_DATA_BYTES",
    "PREFIXES",
    "bytes_needed",
    "word",
]

MAX_DATA_BYTES: Final = 1 << 20
"""Longest payload kept. A header may announce 4 GiB; what is beyond this is swallowed, not stored."""

PREFIXES: Final = frozenset({DLE, ESC, FS, GS})
CUT_WITH_FEED: Final = frozenset({65, 66, 97, 98, 103, 104})
ESC_STAR_BYTES_PER_COLUMN: Final = {0: 1, 1: 1, 32: 3, 33: 3}


def word(data: bytes | bytearray, at: int) -> int:
    """Two bytes, the lower one first."""
    return data[at] | data[at + 1] << 8


def bytes_needed(pending: bytes | bytearray, *, board_symbols: bool = False) -> int:
    """Total bytes the command beginning with ``pending`` needs, as far as is known so far.

    ``board_symbols``: GS Z and ESC Z are commands, too.
    """
    if not pending:
        return 1
    if board_symbols and pending[1:2] == b"Z":
        if pending[0] == GS:  # GS Z n
            return 3
        if pending[0] == ESC:  # ESC Z m n k nL nH d..
            return 7 if len(pending) < 7 else 7 + word(pending, 5)
    first = pending[0]
    if first not in PREFIXES or len(pending) == 1:
        return 1 if first not in PREFIXES else 2
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
        return 5 + ESC_STAR_BYTES_PER_COLUMN.get(pending[2], 1) * word(pending, 3)
    if second == 0x44:  # ESC D n1..nk NUL, at most 32 stops
        if len(pending) > 2 and (pending[-1] == 0 or len(pending) >= 35):
            return len(pending)
        return len(pending) + 1
    if second == 0x26:  # ESC & y c1 c2 [x d..]: user-defined characters
        return _user_characters(pending)
    if second == 0x28:  # ESC ( x pL pH ..
        return 5 if len(pending) < 5 else 5 + word(pending, 3)
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
        return 5 if len(pending) < 5 else 5 + word(pending, 3)
    if second == 0x71:  # FS q n [xL xH yL yH d..]: NV logos
        if len(pending) < 3:
            return 3
        need = 3
        for _ in range(pending[2]):
            if len(pending) < need + 4:
                return need + 4
            need += 4 + word(pending, need) * word(pending, need + 2) * 8
            if need > MAX_DATA_BYTES:
                return need
        return need
    return 2


def _gs_bytes(pending: bytes | bytearray, second: int) -> int:
    have = len(pending)
    if second == 0x56:  # GS V m [n]
        return 3 if have < 3 else 3 + (pending[2] in CUT_WITH_FEED)
    if second == 0x6B:
        return _barcode_bytes(pending)
    if second == 0x28:  # GS ( x pL pH ..
        return 5 if have < 5 else 5 + word(pending, 3)
    if second == 0x38:  # GS 8 L p1 p2 p3 p4 ..
        if have < 3 or pending[2] != 0x4C:
            return 3
        return 7 if have < 7 else 7 + int.from_bytes(pending[3:7], "little")
    if second == 0x76:  # GS v 0 m xL xH yL yH d..
        return 8 if have < 8 else 8 + word(pending, 4) * word(pending, 6)
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
