"""The two texts fields travel in: forms going to a server, and the bare ``k=v&k=v`` replies that no form parser may read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from protocols.sansio import RemoteProtocolError

__all__ = [
    "MAX_BODY_BYTES",
    "Fields",
    "decode_form",
    "decode_reply",
    "encode_form",
    "encode_reply",
    "mask_card",
    "shown",
]

Fields = dict[str, str]
"""Field names and values as text; the order carries no meaning."""

MAX_BODY_BYTES: Final = 64 * 1024
"""A signed message with its certificate is about 3 kB; whoever sends more is cut off."""
_MAX_FIELDS: Final = 128
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_MAX_VALUE_CHARS: Final = 8192
_BRACKETS: Final = {"{": "}", "[": "]"}
_CARD_FIELDS: Final = frozenset({"accNo", "payCardNo"})
_NEVER_SHOWN: Final = frozenset({"customerInfo", "encryptedInfo", "signature", "signPubKeyCert"})
_CARD: Final = re.compile(r"(?<!\d)\d{12,19}(?!\d)")


def encode_form(fields: Mapping[str, str]) -> bytes:
    """``application/x-www-form-urlencoded`` in UTF-8: what merchants send, and what notices are."""
    return "&".join(
        f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in fields.items()
    ).encode()


def decode_form(body: bytes) -> Fields:
    """Read a form, strictly: UTF-8, each name once.

    Raises:
        RemoteProtocolError: too large, not UTF-8, a bad or doubled name. The message shows no value.
    """
    _check_size(body)
    fields: Fields = {}
    for part in body.split(b"&"):
        if not part:
            continue
        name, _, value = part.partition(b"=")
        try:
            _put(fields, _unquote(name), _unquote(value))
        except UnicodeDecodeError:
            raise RemoteProtocolError("a form field is not UTF-8") from None
    return fields


def encode_reply(fields: Mapping[str, str]) -> bytes:
    """The gateway's reply: names and values as they are, nothing encoded, line breaks of the certificate included."""
    return "&".join(f"{name}={value}" for name, value in fields.items()).encode()


def decode_reply(body: bytes, *, max_bytes: int = MAX_BODY_BYTES) -> Fields:
    """Read a reply: each value from its first ``=`` to the next ``&`` outside ``{…}`` and ``[…]``.

    ``max_bytes``: more is not read; beyond the ordinary limit a single value may fill it (a file does).

    A form parser turns the ``+`` of base64 into blanks, and then no signature fits. That brackets protect ``&`` follows
    the official demonstration code, which knows one level of them.

    Raises:
        RemoteProtocolError: too large, not UTF-8, a bad or doubled name, a bracket that never closes.
    """
    _check_size(body, max_bytes)
    max_chars = _MAX_VALUE_CHARS if max_bytes <= MAX_BODY_BYTES else max_bytes
    try:
        text = body.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise RemoteProtocolError("the reply is not UTF-8") from None
    fields: Fields = {}
    for part in _split(text):
        name, equals, value = part.partition("=")
        if not equals:
            raise RemoteProtocolError("the reply is not a list of name=value")
        _put(fields, name, value, max_chars)
    return fields


def mask_card(number: str) -> str:
    """A card number as it may be shown: its first six digits, stars, its last four (PCI DSS 3.4.1).

    A value that holds no 12 to 19 digits in a row (already masked, or encrypted in base64) passes as it is.
    """
    return _CARD.sub(lambda match: f"{match[0][:6]}{'*' * (len(match[0]) - 10)}{match[0][-4:]}", number)


def shown(fields: Mapping[str, str]) -> Fields:
    """Fields fit for a log: cards masked, customer data, signature and certificate left out."""
    return {
        name: mask_card(value) if name in _CARD_FIELDS else value
        for name, value in fields.items()
        if name not in _NEVER_SHOWN
    }


def _unquote(raw: bytes) -> str:
    return unquote_to_bytes(raw.replace(b"+", b" ")).decode("utf-8")


def _check_size(body: bytes, max_bytes: int = MAX_BODY_BYTES) -> None:
    if len(body) > max_bytes:
        raise RemoteProtocolError(f"the message has {len(body)} bytes; at most {max_bytes} are read")


def _put(fields: Fields, name: str, value: str, max_chars: int = _MAX_VALUE_CHARS) -> None:
    if _NAME.fullmatch(name) is None:
        raise RemoteProtocolError("a field name is not letters and digits")
    if name in fields:
        raise RemoteProtocolError(f"the field {name} is there twice")
    if len(fields) >= _MAX_FIELDS:
        raise RemoteProtocolError(f"the message has more than {_MAX_FIELDS} fields")
    if len(value) > max_chars:
        raise RemoteProtocolError(f"the field {name} has {len(value)} characters")
    fields[name] = value


def _split(text: str) -> list[str]:
    if not text:
        return []
    parts: list[str] = []
    start = 0
    awaited = ""
    in_value = False
    for position, char in enumerate(text):
        if awaited:
            if char == awaited:
                awaited = ""
        elif char == "&":
            parts.append(text[start:position])
            start, in_value = position + 1, False
        elif char == "=":
            in_value = True
        elif in_value and char in _BRACKETS:
            awaited = _BRACKETS[char]
    if awaited:
        raise RemoteProtocolError(f"a value of the reply has no closing {awaited}")
    parts.append(text[start:])
    return parts
