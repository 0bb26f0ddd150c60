"""Trade bills as files: all rows, payments alone or refunds alone, each with its own columns (WXDOC 4013071246)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from protocols.wechatpay import TradeRow, trade_totals, write_trade_bill
from protocols.wechatpay.bill_rows import TRADE, TRADE_TOTALS
from sim.wechatpay.bills import RefundTimes

__all__ = ["write_trades"]

_BY_TITLE: Final = {column.title: column for column in TRADE}
_ASKED, _DONE = "退款申请时间", "退款成功时间"
_OF_REFUNDS: Final = (
    "微信退款单号",
    "商户退款单号",
    "退款金额",
    "充值券退款金额",
    "退款类型",
    "退款状态",
    "申请退款金额",
)
_SUCCESS: Final = tuple(column.title for column in TRADE if column.title not in _OF_REFUNDS)
_REFUND: Final = tuple(
    title
    for column in TRADE
    for title in ((_ASKED, _DONE, column.title) if column.name == "refund_id" else (column.title,))
)


def write_trades(rows: Sequence[TradeRow], bill_type: str, times: RefundTimes) -> bytes | None:
    """The file of a ``bill_type`` (ALL, SUCCESS, REFUND), or None if it has no rows.

    The order of the columns differs between the types: readers go by their titles. That the reversals of pay codes are
    among the refunds, and that each type's totals have the same columns, is unproven.
    """
    if bill_type != "ALL":
        rows = [row for row in rows if row.is_refund == (bill_type == "REFUND")]
    if not rows:
        return None
    if bill_type == "ALL":
        return write_trade_bill(rows)
    titles = _SUCCESS if bill_type == "SUCCESS" else _REFUND
    last = trade_totals(rows)
    lines = [
        ",".join(titles),
        *(",".join("`" + _value(row, title, times) for title in titles) for row in rows),
        ",".join(column.title for column in TRADE_TOTALS),
        ",".join("`" + column.write(getattr(last, column.name)) for column in TRADE_TOTALS),
    ]
    return ("\ufeff" + "".join(f"{line}\r\n" for line in lines)).encode()


def _value(row: TradeRow, title: str, times: RefundTimes) -> str:
    if title in {_ASKED, _DONE}:
        asked_s, done_s = times.get(row.refund_id, (row.at_unix_s, row.at_unix_s))
        at_s = asked_s if title == _ASKED else done_s
        return "" if at_s is None else TRADE[0].write(at_s)
    column = _BY_TITLE[title]
    return column.write(getattr(row, column.name))
