"""The rows of the settlement file (ZM): 42 columns of fixed width, one byte between two of them, nothing above and nothing below.

Sources: the widths stand in the official demonstration code (``parseZMFile``, in Java and PHP) and a public merchant system reads the
same offsets; the columns' names stand in two public readers that were written from the file interface specification. The widths
are bytes of GBK. What separates two columns is read by nobody: a blank is this project's own choice.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["COLUMNS", "ROW_BYTES", "TAIL_AT", "TRADE_CODES", "SettlementRow", "ZmColumn"]

TRADE_CODES: Final = {"01": "S22", "04": "S30", "31": "S30"}
"""The first column by ``txnType``. S22 (consume) and S30 (money back) have one source, that a cancel is S30 as well has none:
readers go by the column of the type, as the demonstration code does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlementRow:
    """A payment, a refund or a cancel. Money is fen; ``fee_fen`` and ``settle_fen`` are negative where the merchant gives.

    Attributes:
        trace_time: ``MMDDhhmmss``, China time; no column has the year.
        account: the payer's card as the platform shows it.
        order_id: the request's ``orderId``. Its column has 32 bytes although an ``orderId`` may have 40.
        txn_type: 01 consume, 04 refund, 31 cancel, ... as in requests.
        orig_query_id: of what is given back; empty for a payment.
    """

    trade_code: str
    trace_no: str
    trace_time: str
    account: str = ""
    amount_fen: int
    query_id: str
    order_id: str
    card_type: str = "01"
    orig_trace_no: str = ""
    orig_trace_time: str = ""
    fee_fen: int = 0
    settle_fen: int = 0
    txn_type: str
    sub_type: str = "00"
    biz_type: str = ""
    orig_query_id: str = ""
    mer_id: str
    orig_order_id: str = ""

    @property
    def is_refund(self) -> bool:
        """Whether money goes back: a refund or a cancel."""
        return self.txn_type in {"04", "31"}


def _text(pattern: str, what: str) -> Callable[[str], str]:
    shape = re.compile(pattern, re.ASCII)

    def read(text: str) -> str:
        value = text.rstrip(" ")
        if shape.fullmatch(value) is None:
            raise ValueError(f"{text[:40]!r} is not {what}")
        return value

    return read


def _read_amount(text: str) -> int:
    if re.fullmatch(r"\d{12}", text, re.ASCII) is None:
        raise ValueError(f"{text[:40]!r} is not an amount of 12 digits in fen")
    return int(text)


def _read_signed(text: str) -> int:
    if not text.strip(" "):
        return 0
    if re.fullmatch(r"[CD]\d{12}", text, re.ASCII) is None:
        raise ValueError(f"{text[:40]!r} is not C or D and 12 digits in fen")
    return int(text[1:]) * (1 if text[0] == "C" else -1)


def _write_amount(value: int) -> str:
    return f"{value:012d}"


def _write_signed(value: int) -> str:
    """C is taken for what the merchant gets and D for what it gives: the letters are known, which is which is unproven."""
    return f"{'D' if value < 0 else 'C'}{abs(value):012d}"


@dataclass(frozen=True)
class ZmColumn:
    """A column.

    Attributes:
        number: from 1, as in the specification.
        title: in the words of public readers.
        width: bytes.
        name: in `SettlementRow`; empty for what is left blank here and not read.
    """

    number: int
    title: str
    width: int
    name: str
    read: Callable[[str], Any]
    write: Callable[[Any], str]


_any = _text(r"[^\x00-\x1f\x7f]*", "free of control characters")
_digits6 = _text(r"\d{6}", "6 digits")
_maybe6 = _text(r"(?:\d{6})?", "6 digits or nothing")
_time = _text(r"\d{10}", "a time MMDDhhmmss")
_maybe_time = _text(r"(?:\d{10})?", "a time MMDDhhmmss or nothing")
_query_id = _text(r"\d{21}", "a queryId of 21 digits")
_maybe_query_id = _text(r"(?:\d{21})?", "a queryId of 21 digits or nothing")
_order_id = _text(r"[0-9A-Za-z]{1,32}", "an orderId of letters and digits")
_mer_id = _text(r"[0-9A-Za-z]{15}", "a merId of 15 letters and digits")
_two = _text(r"\d{2}", "2 digits")

_Row = tuple[str, int, str, Callable[[str], Any], Callable[[Any], str]]
_ROWS: Final[tuple[_Row, ...]] = (
    ("交易代码", 3, "trade_code", _any, str),
    ("代理机构标识码", 11, "", _any, str),
    ("发送机构标识码", 11, "", _any, str),
    ("系统跟踪号", 6, "trace_no", _digits6, str),
    ("交易传输时间", 10, "trace_time", _time, str),
    ("帐号", 19, "account", _any, str),
    ("交易金额", 12, "amount_fen", _read_amount, _write_amount),
    ("商户类别", 4, "", _any, str),
    ("终端类型", 2, "", _any, str),
    ("查询流水号", 21, "query_id", _query_id, str),
    ("支付方式（旧）", 2, "", _any, str),
    ("商户订单号", 32, "order_id", _order_id, str),
    ("支付卡类型", 2, "card_type", _any, str),
    ("原始交易的系统跟踪号", 6, "orig_trace_no", _maybe6, str),
    ("原始交易日期时间", 10, "orig_trace_time", _maybe_time, str),
    ("商户手续费", 13, "fee_fen", _read_signed, _write_signed),
    ("结算金额", 13, "settle_fen", _read_signed, _write_signed),
    ("支付方式", 4, "", _any, str),
    ("集团商户代码", 15, "", _any, str),
    ("交易类型", 2, "txn_type", _two, str),
    ("交易子类", 2, "sub_type", _two, str),
    ("业务类型", 6, "biz_type", _any, str),
    ("帐号类型", 2, "", _any, str),
    ("账单类型", 4, "", _any, str),
    ("账单号码", 32, "", _any, str),
    ("交互方式", 1, "", _any, str),
    ("原交易查询流水号", 21, "orig_query_id", _maybe_query_id, str),
    ("商户代码", 15, "mer_id", _mer_id, str),
    ("分账入账方式", 1, "", _any, str),
    ("二级商户代码", 15, "", _any, str),
    ("二级商户简称", 32, "", _any, str),
    ("二级商户分账入账金额", 13, "", _any, str),
    ("清算净额", 13, "", _any, str),
    ("终端号", 8, "", _any, str),
    ("商户自定义域", 32, "", _any, str),
    ("优惠金额", 13, "", _any, str),
    ("发票金额", 13, "", _any, str),
    ("分期付款附加手续费", 12, "", _any, str),
    ("分期付款期数", 2, "", _any, str),
    ("交易介质", 1, "", _any, str),
    ("原始交易订单号", 32, "orig_order_id", _any, str),
    ("保留使用", 98, "", _any, str),
)

COLUMNS: Final = tuple(ZmColumn(number, *row) for number, row in enumerate(_ROWS, 1))
"""All of them, in their order."""

TAIL_AT: Final = 476
"""Where the 41st column begins. From here on sources differ (one column of 131 bytes, 32 and 98, or more), so what stands there is
read as far as it goes and nothing depends on it."""

ROW_BYTES: Final = sum(column.width for column in COLUMNS) + len(COLUMNS) - 1
"""607, without the line's end."""
