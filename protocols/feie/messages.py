"""Requests and replies of Feie's open API: one address, a form in, one JSON object out.

Every reply is ``{"msg", "ret", "data", "serverExecutedTime"}`` with HTTP 200; ``ret`` other than 0 comes with ``data`` null.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from protocols.feie.signing import request_signature
from protocols.sansio import RemoteProtocolError

__all__ = [
    "PATH",
    "PrinterLine",
    "Reply",
    "decode_form",
    "encode_form",
    "encode_reply",
    "order_number",
    "parse_printer_lines",
    "parse_reply",
    "signed_form",
]

PATH: Final = "/Api/Open/"

_FORM_MOST_FIELDS: Final = 64
_REPLY_MOST_BYTES: Final = 1 << 20


def signed_form(user: str, ukey: str, unix_s: int, apiname: str, **fields: str) -> dict[str, str]:
    """A request's fields, the common ones first, in the order of the vendor's demo."""
    stime = str(unix_s)
    signature = request_signature(user, ukey, stime)
    return {"user": user, "stime": stime, "sig": signature, "apiname": apiname, **fields}


def encode_form(fields: Mapping[str, str]) -> bytes:
    """``application/x-www-form-urlencoded``, UTF-8."""
    return urlencode(fields).encode("ascii")


def decode_form(body: bytes) -> dict[str, str]:
    """The fields of a form, the first of each name; empty values are kept.

    Raises:
        RemoteProtocolError: not a form, or one with more fields than any request has.
    """
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=False,
            errors="strict",
            max_num_fields=_FORM_MOST_FIELDS,
        )
    except (UnicodeDecodeError, ValueError) as error:
        raise RemoteProtocolError(f"not a form in UTF-8: {error}") from None
    fields: dict[str, str] = {}
    for name, value in pairs:
        fields.setdefault(name, value)
    return fields


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply of the platform; ``data`` is null, a text, a truth value or an object, by call."""

    ret: int
    msg: str
    data: Any = None

    @property
    def is_ok(self) -> bool:
        """Whether it was done."""
        return self.ret == 0


def parse_reply(body: bytes) -> Reply:
    """Read a reply.

    Raises:
        RemoteProtocolError: no JSON object with ``ret`` and ``msg``; whatever was asked for may have been done.
    """
    if len(body) > _REPLY_MOST_BYTES:
        raise RemoteProtocolError(f"a reply of {len(body)} bytes")
    try:
        raw = json.loads(body)
    except (ValueError, RecursionError):
        raise RemoteProtocolError("the reply is no JSON") from None
    if not isinstance(raw, dict) or type(raw.get("ret")) is not int or not isinstance(raw.get("msg"), str):
        raise RemoteProtocolError("the reply has no ret and msg")
    return Reply(raw["ret"], raw["msg"], raw.get("data"))


def encode_reply(reply: Reply, executed_ms: int) -> dict[str, Any]:
    """The JSON object of a reply, in the platform's order."""
    return {"msg": reply.msg, "ret": reply.ret, "data": reply.data, "serverExecutedTime": executed_ms}


def order_number(sn: str, at: datetime, number: int) -> str:
    """The platform's name of an order: printer, time in China, and a number: ``123456789_20160823165104_1853029628``."""
    return f"{sn}_{at:%Y%m%d%H%M%S}_{number}"


@dataclass(frozen=True, slots=True)
class PrinterLine:
    """One line of ``printerContent``: ``sn#key#name#card``; the last two may be missing. ``raw`` is the line as it came."""

    raw: str
    sn: str
    key: str
    name: str = ""
    card: str = ""


def parse_printer_lines(content: str) -> list[PrinterLine]:
    """The lines of ``printerContent``; empty ones are left out."""
    found = []
    for line in content.splitlines():
        if line.strip():
            sn, key, name, card, *_ = [part.strip() for part in line.split("#")] + [""] * 3
            found.append(PrinterLine(line.strip(), sn, key, name, card))
    return found
