"""Single-byte characters: code pages (ESC t) and the national variants of ASCII (ESC R)."""

from __future__ import annotations

import itertools
from typing import Final

__all__ = ["CODE_PAGES", "NATIONAL", "looks_chinese"]

CODE_PAGES: Final = {
    0: "cp437",
    1: "katakana",
    2: "cp850",
    3: "cp860",
    4: "cp863",
    5: "cp865",
    11: "cp851",
    12: "cp853",
    13: "cp857 with euro",
    14: "cp737",
    15: "iso8859_7",
    16: "cp1252",
    17: "cp866",
    18: "cp852",
    19: "cp858",
    32: "cp720",
    33: "cp775",
    34: "cp855",
    35: "cp861",
    36: "cp862",
    37: "cp864",
    38: "cp869",
    39: "iso8859_2",
    40: "iso8859_15",
    44: "cp1125",
    45: "cp1250",
    46: "cp1251",
    47: "cp1253",
    48: "cp1254",
    49: "cp1255",
    50: "cp1256",
    51: "cp1257",
    52: "cp1258",
    53: "kz1048",
}
"""Numbers of the TM-T20II (receipt-print-hq/escpos-printer-db), without 30, 31 and 41 (Vietnamese and
Farsi). receipt-printer-encoder chooses among them by itself."""

_PLACES: Final = "#$@[\\]^`{|}~"
"""The twelve ASCII characters that countries replace."""

_COUNTRIES: Final = (
    "#$@[\\]^`{|}~",  # USA
    "#$à°ç§^`éùè¨",  # France
    "#$§ÄÖÜ^`äöüß",  # Germany
    "£$@[\\]^`{|}~",  # United Kingdom
    "#$@ÆØÅ^`æøå~",  # Denmark I
    "#¤ÉÄÖÅÜéäöåü",  # Sweden
    "#$@°\\é^ùàòèì",  # Italy
    "₧$@¡Ñ¿^`¨ñ}~",  # Spain I
    "#$@[¥]^`{|}~",  # Japan
    "#¤ÉÆØÅÜéæøåü",  # Norway
    "#$ÉÆØÅÜéæøåü",  # Denmark II
    "#$á¡Ñ¿é`íñóú",  # Spain II
    "#$á¡Ñ¿éüíñóú",  # Latin America
    "#$@[₩]^`{|}~",  # Korea
    "#$ŽŠĐĆČžšđćč",  # Slovenia, Croatia
    "#¥@[\\]^`{|}~",  # China
)
"""The table of ESC R in the Epson command manuals, n = 0 to 15."""

NATIONAL: Final = tuple(
    {ord(plain): own for plain, own in zip(_PLACES, country, strict=True) if plain != own}
    for country in _COUNTRIES
)
"""By n of ESC R: a table for `str.translate`. It holds for characters below 80 only."""


def looks_chinese(data: bytes) -> bool:
    """Two bytes in a row from the GB2312 area: hardly ever sense in a Western code page."""
    return any(a >= 0xB0 and b >= 0xA1 for a, b in itertools.pairwise(data))
