"""Every usual way to write a number, by other means than the scanner's own."""

from __future__ import annotations

import base64
import binascii
import html
import json
import quopri
import struct
from urllib.parse import quote


def percent(text: str) -> bytes:
    return "".join(f"%{ord(char):02x}" for char in text).encode()


FORMS = {
    "plain": lambda d: d.encode(),
    "inside a word": lambda d: f"abc{d}def".encode(),
    "UTF-16, little end first": lambda d: f"x{d}y".encode("utf-16-le"),
    "UTF-16, big end first": lambda d: f"x{d}y".encode("utf-16-be"),
    "UTF-32": lambda d: d.encode("utf-32-be"),
    "hex": lambda d: binascii.hexlify(f"<{d}>".encode()),
    "hex in capitals": lambda d: f"<{d}>".encode().hex().upper().encode(),
    "hex of UTF-16": lambda d: f"<{d}>".encode("utf-16-be").hex().encode(),
    "hex dump": lambda d: " ".join(f"{ord(c):02x}" for c in d).encode(),
    "base64, first of three": lambda d: base64.b64encode(d.encode()),
    "base64, second of three": lambda d: base64.b64encode(b"a" + d.encode() + b"yz"),
    "base64, third of three": lambda d: base64.b64encode(b"ab" + d.encode() + b"y"),
    "base64 for URLs": lambda d: base64.urlsafe_b64encode(b"\xff\xfe\xfd" + d.encode() + b"\xff\xff"),
    "base64 of JSON": lambda d: base64.b64encode(json.dumps({"name": "张三", "card": d}).encode()),
    "base64 of UTF-16": lambda d: base64.b64encode(f"号{d}".encode("utf-16-le")),
    "base64 of base64": lambda d: base64.b64encode(base64.b64encode(f'{{"card":"{d}"}}'.encode())),
    "base64 in lines": lambda d: base64.encodebytes(b"x" * 40 + d.encode() * 1 + b"y" * 40),
    "hex in lines": lambda d: b"\n  ".join(
        (b"x" * 30 + d.encode()).hex().encode()[n : n + 64] for n in range(0, 120, 64)
    ),
    "URL-encoded digits": percent,
    "URL-encoded twice": lambda d: quote(percent(d).decode(), safe="").encode(),
    "quoted-printable": lambda d: "".join(f"={ord(c):02X}" for c in d).encode(),
    "quoted-printable text": lambda d: quopri.encodestring(f"卡号{d}".encode()),
    "JSON escapes": lambda d: "".join(f"\\u{ord(c):04x}" for c in d).encode(),
    "byte escapes": lambda d: "".join(f"\\x{ord(c):02x}" for c in d).encode(),
    "character references": lambda d: "".join(f"&#{ord(c)};" for c in d).encode(),
    "hexadecimal references": lambda d: "".join(f"&#x{ord(c):x};" for c in d).encode(),
    "full-width": lambda d: "".join(chr(0xFF10 + int(c)) for c in d).encode(),
    "full-width in GBK": lambda d: "".join(chr(0xFF10 + int(c)) for c in d).encode("gbk"),
    "full-width, JSON escapes": lambda d: json.dumps("".join(chr(0xFF10 + int(c)) for c in d)).encode(),
    "packed decimals": lambda d: bytes.fromhex(d if len(d) % 2 == 0 else d + "f"),
    "binary integer": lambda d: struct.pack(">Q", int(d)),
    "binary integer, little end first": lambda d: struct.pack("<Q", int(d)),
    "blanks": lambda d: " ".join(d[n : n + 4] for n in range(0, len(d), 4)).encode(),
    "dashes": lambda d: "-".join(d).encode(),
    "UTF-16 with blanks": lambda d: " ".join(d).encode("utf-16-le"),
    "two JSON fields": lambda d: json.dumps({"first": d[:8], "second": d[8:]}).encode(),
    "table cells": lambda d: "".join(f'<td class="n">{html.escape(c)}</td>' for c in d).encode(),
    "a digit a line": lambda d: "\n".join(d).encode(),
}
CARD_FORMS = {
    "two columns with a number between": lambda d: f"{d[:9]},17,{d[9:]}".encode(),
    "two rows with times": lambda d: (
        f'{{"t_us":1767225600000000,"a":"{d[:7]}"}}\n{{"t_us":1767225600000117,"b":"{d[7:]}"}}'.encode()
    ),
    "the end before the beginning": lambda d: f"end={d[-8:]} 123 begin={d[:-8]}".encode(),
    "all but the first four": lambda d: f"****{d[4:]}".encode(),
    "float": lambda d: struct.pack(">d", int(d)) if int(d) < 2**53 else d.encode(),
}
