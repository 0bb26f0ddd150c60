"""Code pages of ESC/POS printers that Python has no codec for, from 80 to FF.

Sources: Epson, "Character code tables", pages 1, 11 and 12; IBM code pages 851 and 853. They agree with the tables of npm
@point-of-sale/codepage-encoder 3.0.0, which writes page 11 by itself for Greek.
"""

from __future__ import annotations

import codecs
from typing import Final

__all__ = ["OWN_PAGES", "read_text"]

_KATAKANA: Final = (
    "▁▂▃▄▅▆▇█▏▎▍▌▋▊▉┼┴┬┤├▔─│▕┌┐└┘╭╮╰╯"
    + "".join(map(chr, (0x20, *range(0xFF61, 0xFFA0))))
    + "═╞╪╡◢◣◥◤♠♥♦♣●○╱╲╳円年月日時分秒〒市区町村人▒ "
)
"""Blocks and lines, the half-width letters of JIS X 0201, signs. Receiptline draws the frames of its tables with it."""

_GREEK: Final = (
    "ÇüéâäàΆçêëèïîΈÄΉΊ\ufffdΌôöΎûùΏÖÜά£έήί"
    "ϊΐόύΑΒΓΔΕΖΗ½ΘΙ«»░▒▓│┤ΚΛΜΝ╣║╗╝ΞΟ┐"
    "└┴┬├─┼ΠΡ╚╔╩╦╠═╬ΣΤΥΦΧΨΩαβγ┘┌█▄δε▀"
    "ζηθικλμνξοπρσςτ´\xad±υφχ\ufffdψ¸°¨ωϋΰώ■\xa0"
)

_TURKISH: Final = (
    "ÇüéâäàĉçêëèïîìÄĈÉċĊôöòûùİÖÜĝ£Ĝ×ĵ"
    "áíóúñÑĞğĤĥ\ufffd½Ĵş«»░▒▓│┤ÁÂÀŞ╣║╗╝Żż┐"
    "└┴┬├─┼Ŝŝ╚╔╩╦╠═╬¤\ufffd\ufffdÊËÈıÍÎÏ┘┌█▄\ufffdÌ▀"
    "ÓßÔÒĠġµĦħÚÛÙŬŭ\ufffd´\xad\ufffdℓŉ˘\ufffd÷¸°¨˙\ufffd³²■\xa0"
)

_ASCII: Final = "".join(map(chr, range(128)))

_TURKISH_EURO: Final = bytes(range(128, 256)).decode("cp857", "replace").replace("\ufffd", "€", 1)
"""Page 13 has the euro sign at D5, which Python's table leaves free."""

OWN_PAGES: Final = {
    "cp857 with euro": _ASCII + _TURKISH_EURO,
    "katakana": _ASCII + _KATAKANA,
    "cp851": _ASCII + _GREEK,
    "cp853": _ASCII + _TURKISH,
}
"""By name: 256 characters; U+FFFD where the page has none."""


def read_text(data: bytes, page: str) -> str:
    """Bytes of a page, by the name of one of these or of a codec, as text; what it has no character for is U+FFFD."""
    own = OWN_PAGES.get(page)
    if own is None:
        return data.decode(page, errors="replace")
    return codecs.charmap_decode(data, "replace", own)[0]
