"""The HTTP interface of a loudspeaker maker's platform (云音箱服务对接指南, speaker.17laimai.cn), both sides.

A form by GET or POST, a JSON reply ``{"errcode", "errmsg", "detail"}`` with HTTP 200. ``/notify.php`` speaks a text by the box's own
synthesiser (at most 128 bytes; numbers are read as amounts, what stands in square brackets figure by figure). ``/add.php`` says a kind
of payment and an amount in fen. ``seq`` keeps repeats out: the same number with the same content within 200 s is answered 17 and
ignored; without it nothing is kept out. The reply says that the platform took the message, not that a box spoke it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from protocols.chinese_numerals import MAX_AMOUNT_FEN, NumeralError, integer_words

__all__ = [
    "ADD_PATH",
    "MAX_TEXT_BYTES",
    "NOTIFY_PATH",
    "PAY_TYPES",
    "REPEAT_WINDOW_US",
    "ErrCode",
    "SayAmount",
    "SayText",
    "SpeakerApiError",
    "SpeakerReply",
    "decode_form",
    "decode_reply",
    "encode_form",
    "encode_reply",
    "read_aloud",
]

NOTIFY_PATH: Final = "/notify.php"
ADD_PATH: Final = "/add.php"
MAX_TEXT_BYTES: Final = 128
REPEAT_WINDOW_US: Final = 200_000_000

PAY_TYPES: Final[Mapping[int, str]] = {
    0: "", 1: "支付宝", 2: "微信", 3: "云支付", 4: "余额支付", 5: "微信储值", 6: "微信买单", 7: "银联",
    8: "会员", 9: "会员卡充值", 10: "翼支付", 11: "退款",
}  # fmt: skip
"""``pt``: what is said before the amount, as far as the words are known here."""

_MAX_PRICE: Final = 2_147_483_647
_MAX_SEQ: Final = 0xFFFF_FFFF
_NUMBER: Final = re.compile(r"\[([^\]]*)\]|(\d+)(?:\.(\d+))?", re.ASCII)
_DIGITS: Final = "零一二三四五六七八九"


class ErrCode(IntEnum):
    """The platform's answers."""

    OK = 0
    UNKNOWN = 1
    NO_SUCH_SPEAKER = 2
    BOUND_TO_ANOTHER = 3
    BOUND_ALREADY = 4
    NOT_BOUND = 5
    NO_SPEAKER_ID = 6
    NO_RIGHT = 8
    BAD_TOKEN = 9
    REPEATED = 17


MESSAGES: Final[Mapping[ErrCode, str]] = {
    ErrCode.OK: "成功",
    ErrCode.UNKNOWN: "未知错误",
    ErrCode.NO_SUCH_SPEAKER: "SPEAKERID 不存在",
    ErrCode.BOUND_TO_ANOTHER: "SPEAKERID 已经被其它用户 ID 绑定",
    ErrCode.BOUND_ALREADY: "SPEAKERID 已经被同一用户 ID 绑定",
    ErrCode.NOT_BOUND: "SPEAKERID 未被任何用户 ID 绑定",
    ErrCode.NO_SPEAKER_ID: "未提供 SPEAKERID",
    ErrCode.NO_RIGHT: "此 token 无此 SPEAKERID 权限",
    ErrCode.BAD_TOKEN: "无效的 token",
    ErrCode.REPEATED: "重复的请求",
}


class SpeakerApiError(ValueError):
    """A request that cannot be made or read, or a reply that is none.

    Attributes:
        code: what the platform answers to such a request.
    """

    def __init__(self, message: str, code: ErrCode = ErrCode.UNKNOWN) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class SayText:
    """``/notify.php``: speak a text.

    Attributes:
        version: the interface's, 1 to 9; it stands on the box.
        seq: 0 to 4,294,967,295, or None.
        volume: 0 to 100, or None for the box's own.
    """

    speaker_id: str
    token: str
    version: str
    message: str
    seq: int | None = None
    volume: int | None = None
    trace_no: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SayAmount:
    """``/add.php``: say an amount; ``pay_type`` is a key of `PAY_TYPES`. The rest is as in `SayText`."""

    speaker_id: str
    token: str
    version: str
    price_fen: int
    pay_type: int = 0
    seq: int | None = None
    volume: int | None = None
    trace_no: str | None = None


@dataclass(frozen=True, slots=True)
class SpeakerReply:
    """The platform's answer."""

    errcode: int
    errmsg: str
    detail: str = ""

    @property
    def is_taken(self) -> bool:
        """The message is with the platform: now, or since an earlier try."""
        return self.errcode in {ErrCode.OK, ErrCode.REPEATED}


def encode_form(request: SayText | SayAmount) -> tuple[str, dict[str, str]]:
    """(path, form fields).

    Raises:
        SpeakerApiError: a value is outside what the platform takes.
    """
    fields = {"id": request.speaker_id, "token": request.token, "version": request.version}
    if isinstance(request, SayText):
        path = NOTIFY_PATH
        fields["message"] = request.message
    else:
        path = ADD_PATH
        fields |= {"price": str(request.price_fen), "pt": str(request.pay_type)}
    for name, value in (("seq", request.seq), ("vol", request.volume), ("trace_no", request.trace_no)):
        if value is not None:
            fields[name] = str(value)
    decode_form(path, fields)
    return path, fields


def decode_form(path: str, fields: Mapping[str, str]) -> SayText | SayAmount:
    """Read a request's fields as the platform does.

    Raises:
        SpeakerApiError: with the code that the platform answers.
    """
    speaker_id = fields.get("id", "")
    if not speaker_id:
        raise SpeakerApiError("no id", ErrCode.NO_SPEAKER_ID)
    if not fields.get("token"):
        raise SpeakerApiError("no token", ErrCode.BAD_TOKEN)
    version = fields.get("version", "")
    if version not in set("123456789"):
        # As the platform's own list of questions has it: a wrong version looks like a box of somebody else.
        raise SpeakerApiError(f"version must be 1 to 9, not {version!r}", ErrCode.NO_RIGHT)
    seq = _number(fields, "seq", 0, _MAX_SEQ)
    volume = _number(fields, "vol", 0, 100)
    trace_no = fields.get("trace_no")
    if trace_no is not None and len(trace_no.encode()) > 63:
        raise SpeakerApiError("trace_no is longer than 63 bytes")
    token = fields["token"]
    if path == NOTIFY_PATH:
        message = fields.get("message", "")
        if not 1 <= len(message.encode()) <= MAX_TEXT_BYTES:
            raise SpeakerApiError(f"message must have 1 to {MAX_TEXT_BYTES} bytes")
        return SayText(
            speaker_id=speaker_id, token=token, version=version, message=message, seq=seq, volume=volume,
            trace_no=trace_no,
        )  # fmt: skip
    if path != ADD_PATH:
        raise SpeakerApiError(f"there is no {path}")
    price = _number(fields, "price", 1, _MAX_PRICE)
    if price is None:
        raise SpeakerApiError("no price")
    pay_type = _number(fields, "pt", 0, 255) or 0
    return SayAmount(
        speaker_id=speaker_id, token=token, version=version, price_fen=price, pay_type=pay_type, seq=seq,
        volume=volume, trace_no=trace_no,
    )  # fmt: skip


def _number(fields: Mapping[str, str], name: str, lowest: int, highest: int) -> int | None:
    text = fields.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 10) or not lowest <= int(text) <= highest:
        raise SpeakerApiError(f"{name} must be a whole number from {lowest} to {highest}, not {text[:20]!r}")
    return int(text)


def encode_reply(code: ErrCode, detail: str = "") -> bytes:
    """The body of an answer."""
    reply = {"errcode": int(code), "errmsg": MESSAGES[code], "detail": detail}
    return json.dumps(reply, ensure_ascii=False).encode()


def decode_reply(body: bytes) -> SpeakerReply:
    """Read an answer. ``errcode`` may be a text, as clients of the platform have met it.

    Raises:
        SpeakerApiError: not an answer of the platform.
    """
    try:
        fields = json.loads(body)
        code = int(fields["errcode"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise SpeakerApiError("the answer is not the platform's") from error
    return SpeakerReply(code, str(fields.get("errmsg", "")), str(fields.get("detail", "")))


def read_aloud(text: str) -> str:
    """A text as the box's synthesiser reads it: 66元 is 六十六元, [123] is 一二三, 38.79 is 三十八点七九."""
    return _NUMBER.sub(_read_number, text)


def _read_number(found: re.Match[str]) -> str:
    if found[1] is not None:
        return "".join(_DIGITS[int(c)] if c.isascii() and c.isdigit() else c for c in found[1])
    try:
        whole = integer_words(int(found[2])) if len(found[2]) <= len(str(MAX_AMOUNT_FEN)) else None
    except NumeralError:
        whole = None
    said = whole if whole is not None else "".join(_DIGITS[int(c)] for c in found[2])
    return said + ("点" + "".join(_DIGITS[int(c)] for c in found[3]) if found[3] else "")
