"""The rows of the merchant's daily bills, and their columns as the platform names them.

Sources: WX-OAPI ``tradebill`` and ``fundflowbill``, and samples that public clients of the real service keep.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

__all__ = [
    "BEIJING",
    "FUND",
    "FUND_TOTALS",
    "TRADE",
    "TRADE_TOTALS",
    "Column",
    "FundRow",
    "FundTotals",
    "TradeRow",
    "TradeTotals",
    "bill_day",
    "fund_totals",
    "trade_totals",
]

BEIJING: Final = dt.timezone(dt.timedelta(hours=8), "UTC+8")
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

_YUAN = re.compile(r"(-?)(\d{1,12})\.(\d{2})", re.ASCII)
_FEE = re.compile(r"(-?)(\d{1,12})\.(\d{5})", re.ASCII)
_COUNT = re.compile(r"(\d{1,12})(?:\.0)?", re.ASCII)
_TIME = "%Y-%m-%d %H:%M:%S"
_TIME_SHAPE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeRow:
    """A payment or a refund. Money is fen; ``fee_e5`` is 0.00001 yuan, negative where it is given back.

    ``trade_state`` is SUCCESS, REFUND or REVOKED. Of a refund (REFUND, REVOKED) the last money columns tell, and the
    time is the refund's; "0" stands for no refund number.
    """

    at_unix_s: int
    appid: str
    mchid: str
    sub_mchid: str = "0"
    device_info: str = ""
    transaction_id: str
    out_trade_no: str
    openid: str = ""
    trade_type: str = "JSAPI"
    trade_state: str = "SUCCESS"
    bank_type: str = "OTHERS"
    currency: str = "CNY"
    settled_fen: int = 0
    coupon_fen: int = 0
    refund_id: str = "0"
    out_refund_no: str = "0"
    refund_fen: int = 0
    coupon_refund_fen: int = 0
    refund_type: str = ""
    refund_state: str = ""
    description: str = ""
    attach: str = ""
    fee_e5: int = 0
    rate: str = "0.60%"
    total_fen: int = 0
    asked_refund_fen: int = 0
    rate_note: str = ""

    @property
    def is_refund(self) -> bool:
        """Whether the row is about money that goes back."""
        return self.trade_state != "SUCCESS"


@dataclass(frozen=True, slots=True, kw_only=True)
class FundRow:
    """A movement of the merchant's account. ``direction`` is 收入 (in) or 支出 (out); money is fen."""

    at_unix_s: int
    business_no: str
    flow_no: str
    name: str
    kind: str
    direction: str
    amount_fen: int
    balance_fen: int
    applicant: str = ""
    note: str = ""
    voucher: str = ""

    @property
    def is_income(self) -> bool:
        """Whether the money came in."""
        return self.direction == "收入"


@dataclass(frozen=True, slots=True)
class TradeTotals:
    """The last row of a trade bill."""

    count: int
    settled_fen: int
    refund_fen: int
    coupon_refund_fen: int
    fee_e5: int
    total_fen: int
    asked_refund_fen: int


@dataclass(frozen=True, slots=True)
class FundTotals:
    """The last row of a fund bill."""

    count: int
    income_count: int
    income_fen: int
    outgo_count: int
    outgo_fen: int


@dataclass(frozen=True)
class Column:
    """A column: its title in the file, its name in the row, and how its text is read and written."""

    title: str
    name: str
    read: Callable[[str], Any]
    write: Callable[[Any], str]


def _read_text(text: str) -> str:
    if any(ord(sign) < 0x20 or ord(sign) == 0x7F for sign in text):
        raise ValueError("has control characters")
    return text


def _write_text(value: str) -> str:
    # What would break the row; the real service's own treatment is unproven.
    return re.sub(r"[\x00-\x1f\x7f`]", " ", value)


def _number_reader(pattern: re.Pattern[str], what: str) -> Callable[[str], int]:
    def read(text: str) -> int:
        found = pattern.fullmatch(text)
        if found is None:
            raise ValueError(f"{text[:40]!r} is not {what}")
        sign, whole, rest = found.groups()
        return int(whole + rest) * (-1 if sign else 1)

    return read


def _number_writer(digits: int) -> Callable[[int], str]:
    def write(value: int) -> str:
        whole, rest = divmod(abs(value), 10**digits)
        return f"{'-' if value < 0 else ''}{whole}.{rest:0{digits}d}"

    return write


def _read_count(text: str) -> int:
    found = _COUNT.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:40]!r} is not a number of rows")
    return int(found[1])


def _read_time(text: str) -> int:
    try:
        # The pattern first: `strptime` also takes 2024-7-9.
        found = _TIME_SHAPE.fullmatch(text)
        return int(dt.datetime.strptime(text if found else "", _TIME).replace(tzinfo=BEIJING).timestamp())
    except ValueError:
        raise ValueError(f"{text[:40]!r} is not a time like 2026-01-31 08:15:00") from None


def _write_time(unix_s: int) -> str:
    return (_EPOCH + dt.timedelta(seconds=unix_s)).astimezone(BEIJING).strftime(_TIME)


_read_yuan = _number_reader(_YUAN, "an amount in yuan with two decimals")
_read_fee = _number_reader(_FEE, "a fee in yuan with five decimals")


def _one_of(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"{text[:40]!r} is none of {', '.join(word or '(empty)' for word in words)}")
        return text

    return read


def _text(title: str, name: str, read: Callable[[str], str] = _read_text) -> Column:
    return Column(title, name, read, _write_text)


def _yuan(title: str, name: str) -> Column:
    return Column(title, name, _read_yuan, _number_writer(2))


def _count(title: str, name: str) -> Column:
    return Column(title, name, _read_count, str)


TRADE: Final = (
    Column("交易时间", "at_unix_s", _read_time, _write_time),
    _text("公众账号ID", "appid"),
    _text("商户号", "mchid"),
    _text("特约商户号", "sub_mchid"),
    _text("设备号", "device_info"),
    _text("微信订单号", "transaction_id"),
    _text("商户订单号", "out_trade_no"),
    _text("用户标识", "openid"),
    _text("交易类型", "trade_type"),
    _text("交易状态", "trade_state", _one_of("SUCCESS", "REFUND", "REVOKED")),
    _text("付款银行", "bank_type"),
    _text("货币种类", "currency"),
    _yuan("应结订单金额", "settled_fen"),
    _yuan("代金券金额", "coupon_fen"),
    _text("微信退款单号", "refund_id"),
    _text("商户退款单号", "out_refund_no"),
    _yuan("退款金额", "refund_fen"),
    _yuan("充值券退款金额", "coupon_refund_fen"),
    _text("退款类型", "refund_type"),
    _text("退款状态", "refund_state"),
    _text("商品名称", "description"),
    _text("商户数据包", "attach"),
    Column("手续费", "fee_e5", _read_fee, _number_writer(5)),
    _text("费率", "rate"),
    _yuan("订单金额", "total_fen"),
    _yuan("申请退款金额", "asked_refund_fen"),
    _text("费率备注", "rate_note"),
)
TRADE_TOTALS: Final = (
    _count("总交易单数", "count"),
    _yuan("应结订单总金额", "settled_fen"),
    _yuan("退款总金额", "refund_fen"),
    _yuan("充值券退款总金额", "coupon_refund_fen"),
    Column("手续费总金额", "fee_e5", _read_fee, _number_writer(5)),
    _yuan("订单总金额", "total_fen"),
    _yuan("申请退款总金额", "asked_refund_fen"),
)
FUND: Final = (
    Column("记账时间", "at_unix_s", _read_time, _write_time),
    _text("微信支付业务单号", "business_no"),
    _text("资金流水单号", "flow_no"),
    _text("业务名称", "name"),
    _text("业务类型", "kind"),
    _text("收支类型", "direction", _one_of("收入", "支出")),
    _yuan("收支金额(元)", "amount_fen"),
    _yuan("账户结余(元)", "balance_fen"),
    _text("资金变更提交申请人", "applicant"),
    _text("备注", "note"),
    _text("业务凭证号", "voucher"),
)
FUND_TOTALS: Final = (
    _count("资金流水总笔数", "count"),
    _count("收入笔数", "income_count"),
    _yuan("收入金额", "income_fen"),
    _count("支出笔数", "outgo_count"),
    _yuan("支出金额", "outgo_fen"),
)


def trade_totals(rows: Iterable[TradeRow]) -> TradeTotals:
    """What the last row of a bill with these rows says."""
    listed = list(rows)
    return TradeTotals(
        len(listed),
        sum(row.settled_fen for row in listed),
        sum(row.refund_fen for row in listed),
        sum(row.coupon_refund_fen for row in listed),
        sum(row.fee_e5 for row in listed),
        sum(row.total_fen for row in listed),
        sum(row.asked_refund_fen for row in listed),
    )


def fund_totals(rows: Iterable[FundRow]) -> FundTotals:
    """What the last row of a fund bill with these rows says."""
    income: list[int] = []
    outgo: list[int] = []
    for row in rows:
        (income if row.is_income else outgo).append(row.amount_fen)
    return FundTotals(len(income) + len(outgo), len(income), sum(income), len(outgo), sum(outgo))


def bill_day(unix_us: int) -> dt.date:
    """The day in whose bill an instant (Unix microseconds) falls: Beijing time."""
    return (_EPOCH + dt.timedelta(microseconds=unix_us)).astimezone(BEIJING).date()
