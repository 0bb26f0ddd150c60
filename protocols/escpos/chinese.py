"""GB18030 as a printer reads it: byte by byte, with a half character held over, and widths in columns.

GB18030-2022 has one-, two- and four-byte characters. No second byte of a multi-byte character is a control byte, so
control bytes always mean themselves. A multi-byte character prints full width: two columns.
"""

from __future__ import annotations

from typing import Final

__all__ = ["GbDecoder", "clip_columns", "encode_text", "text_columns"]

REPLACEMENT: Final = "?"
WIDE_REPLACEMENT: Final = "\N{FULLWIDTH QUESTION MARK}"

_LOWEST_LEAD: Final = 0x81
_CONTROLS: Final = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0)), REPLACEMENT)


class GbDecoder:
    """Decodes GB18030 (or GB2312, where only leads above A0 count) that may be cut anywhere."""

    def __init__(self, *, lowest_lead: int = _LOWEST_LEAD) -> None:
        self._lowest_lead = lowest_lead
        self._held = b""

    @property
    def holds_half(self) -> bool:
        """Whether the first byte or bytes of a character are waiting for the rest."""
        return bool(self._held)

    def drop(self) -> bytes:
        """Forget a half character (a command came in between) and return its bytes."""
        held, self._held = self._held, b""
        return held

    def feed(self, data: bytes) -> list[tuple[str, int]]:
        """Decode ``data`` into (character, columns) pairs; what cannot be decoded becomes ``?``."""
        stream = self._held + data
        self._held = b""
        if stream.isascii() and b"\x7f" not in stream:
            return [(char, 1) for char in stream.decode("ascii")]
        if self._lowest_lead <= _LOWEST_LEAD and b"\x7f" not in stream:
            try:
                text = stream.decode("gb18030")
            except UnicodeDecodeError:
                pass  # something is wrong or cut somewhere: character by character
            else:
                return [(char, 1 if char < "\x80" else 2) for char in text]
        found: list[tuple[str, int]] = []
        at = 0
        while at < len(stream):
            if stream[at] < self._lowest_lead:
                found.append((chr(stream[at]) if stream[at] < 0x7F else REPLACEMENT, 1))
                at += 1
                continue
            size = self._size(stream, at)
            if at + size > len(stream):
                self._held = stream[at:]
                break
            raw = stream[at : at + size]
            try:
                found.append((raw.decode("gb18030"), 2))
            except UnicodeDecodeError:
                found.append((REPLACEMENT, 2 if size > 1 else 1))
            at += size
        return found

    @staticmethod
    def _size(stream: bytes, at: int) -> int:
        if stream[at] == 0xFF or stream[at] == 0x80:
            return 1
        if at + 1 >= len(stream):
            return 2
        if 0x30 <= stream[at + 1] <= 0x39:
            return 4
        return 2 if stream[at + 1] >= 0x40 else 1


def encode_text(text: str, codepage: str) -> bytes:
    """Encode for the printer.

    Control characters (a name could carry ESC) become ``?``; what the page lacks becomes a full-width question mark, which takes
    the two columns that were counted for it.
    """
    text = clean_text(text)
    try:
        return text.encode(codepage)
    except UnicodeEncodeError:
        return b"".join(_encoded(char, codepage) for char in text)


def _encoded(char: str, codepage: str) -> bytes:
    try:
        return char.encode(codepage)
    except UnicodeEncodeError:
        return WIDE_REPLACEMENT.encode(codepage)


def clean_text(text: str) -> str:
    """``text`` with every control character replaced by ``?``."""
    return text if text.isprintable() else text.translate(_CONTROLS)


def text_columns(text: str) -> int:
    """Columns that ``text`` takes at normal size in Chinese mode: ASCII one, everything else two."""
    return len(text) if text.isascii() else sum(1 if char < "\x80" else 2 for char in text)


def clip_columns(text: str, columns: int) -> str:
    """The longest beginning of ``text`` that fits in ``columns``."""
    used = 0
    for index, char in enumerate(text):
        used += 1 if char < "\x80" else 2
        if used > columns:
            return text[:index]
    return text
