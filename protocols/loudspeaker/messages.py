"""Messages that a payment service sends to a loudspeaker over MQTT: JSON objects of two makes, both sides.

``{"playAudibleMsg": "069-071-003-010-014-005-015", "orderId": "..."}`` names the clips (boxes on Alibaba's and Tencent's IoT platforms,
raw TCP or an MQTT broker of one's own). ``{"broadcast_type": 2, "money": "0.01", "biz_type": 2, "request_id": "..."}`` names the
amount and leaves the words to the box: 收款, the number, 元 (Quectel's QuecPython cloud speaker); that box keeps ten orders in its
flash memory and ignores one that it has. The demonstration box of OpenLuat takes ``{"money": "12345678.9"}`` alone, up to
99,999,999.99, on the topic ``/sub/topic/money/{imei}``; without a number it cannot know a message twice.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final

from protocols.chinese_numerals import MAX_AMOUNT_FEN

__all__ = [
    "MAX_MESSAGE_BYTES",
    "TOPIC",
    "ClipMessage",
    "MessageError",
    "MoneyMessage",
    "decode_message",
    "encode_message",
]

MAX_MESSAGE_BYTES: Final = 4096
"""A real message has some 150 bytes; the modules that read them have buffers of 1 to 4 KB."""

TOPIC: Final = "/sub/topic/money/{box}"
"""The topic on which a box listens, unless its installer chose another; ``{box}`` is its IMEI or serial number."""

_MAX_CLIPS: Final = 64
_CLIPS: Final = re.compile(r"\d{3}(?:-\d{3})*")
_MONEY: Final = re.compile(r"(\d{1,8})(?:\.(\d{1,2}))?")
_MAX_ID: Final = 64
_HALF: Final = re.compile("[\ud800-\udfff]")


class MessageError(ValueError):
    """A message that a box cannot make sense of; it names the field."""


@dataclass(frozen=True, slots=True)
class ClipMessage:
    """Clips to play, by number (three digits each), for an order."""

    order_id: str
    clips: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MoneyMessage:
    """An amount to say; ``request_id`` is None for a box that knows no orders."""

    request_id: str | None
    amount_fen: int
    broadcast_type: int = 2
    biz_type: int = 2


def encode_message(message: ClipMessage | MoneyMessage) -> bytes:
    """The payload as it is published."""
    fields: dict[str, Any]
    if isinstance(message, ClipMessage):
        fields = {"playAudibleMsg": "-".join(message.clips), "orderId": message.order_id}
    else:
        money = f"{message.amount_fen // 100}.{message.amount_fen % 100:02}"
        if message.request_id is None:
            fields = {"money": money}
        else:
            fields = {
                "broadcast_type": message.broadcast_type,
                "money": money,
                "biz_type": message.biz_type,
                "request_id": message.request_id,
            }
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()


def decode_message(payload: bytes) -> ClipMessage | MoneyMessage:
    """Read a payload as a box does; fields that it does not know are left alone.

    Raises:
        MessageError: not a message of either make.
    """
    if len(payload) > MAX_MESSAGE_BYTES:
        raise MessageError(f"{len(payload)} bytes are more than a box takes ({MAX_MESSAGE_BYTES})")
    try:
        fields = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise MessageError("not JSON") from error
    if not isinstance(fields, dict):
        raise MessageError("not a JSON object")
    if "playAudibleMsg" in fields:
        return ClipMessage(_identifier(fields, "orderId"), _clips(fields["playAudibleMsg"]))
    if "money" in fields:
        number = None if "request_id" not in fields else _identifier(fields, "request_id")
        return MoneyMessage(
            number, _money(fields["money"]), _small(fields, "broadcast_type"), _small(fields, "biz_type")
        )
    raise MessageError("neither playAudibleMsg nor money is there")


def _identifier(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= _MAX_ID:
        raise MessageError(f"{name} must be a text of 1 to {_MAX_ID} characters")
    if _HALF.search(value):
        raise MessageError(
            f"{name} has half a character in it, which JSON can write (\\ud800) and nobody can pass on"
        )
    return value


def _clips(value: object) -> tuple[str, ...]:
    if not isinstance(value, str) or not value.isascii() or _CLIPS.fullmatch(value) is None:
        raise MessageError("playAudibleMsg must be numbers of three digits, joined by '-'")
    clips = tuple(value.split("-"))
    if len(clips) > _MAX_CLIPS:
        raise MessageError(f"playAudibleMsg names {len(clips)} clips, more than {_MAX_CLIPS}")
    return clips


def _money(value: object) -> int:
    found = _MONEY.fullmatch(value) if isinstance(value, str) and value.isascii() else None
    if found is None:
        raise MessageError("money must be an amount in yuan such as '200.05'")
    amount_fen = int(found[1]) * 100 + int((found[2] or "").ljust(2, "0"))
    if not 1 <= amount_fen <= MAX_AMOUNT_FEN:
        raise MessageError("money must be from 0.01 to 99999999.99")
    return amount_fen


def _small(fields: dict[str, Any], name: str) -> int:
    value = fields.get(name, 2)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 255:
        raise MessageError(f"{name} must be a whole number from 0 to 255")
    return value
