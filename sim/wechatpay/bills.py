"""The daily bills of the gateway's books, with the differences that a run plants in them.

A payment is in the bill of the day on which it was paid, a refund in that of the day on which it was accepted, with the
state it had when the bill was made; later changes are not added (WXDOC 4013071227, 4013071246, 4013071249). The fee is
0.6 % of each payment, rounded to the fen, and given back in part with a refund; what the real platform's fee is
stands in each merchant's agreement.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from protocols.wechatpay import (
    BEIJING,
    FundRow,
    RefundState,
    TradeRow,
    bill_day,
)
from sim.wechatpay.faults import FaultKind, WeChatPayFaults
from sim.wechatpay.ledger import Ledger, Order
from sim.wechatpay.refunds import RefundBook, RefundRecord

__all__ = ["BillBook", "PlantedDifference", "RefundTimes"]

_FEE_PER_10_000: Final = 60
_E5_PER_FEN: Final = 1_000
_REFUND_STATES: Final = {
    RefundState.SUCCESS: "SUCCESS",
    RefundState.PROCESSING: "PROCESSING",
    RefundState.CLOSED: "FAIL",
    RefundState.ABNORMAL: "CHANGE",
}
"""A bill has words of its own (WXDOC 4013071246)."""

RefundTimes = dict[str, tuple[int, int | None]]
"""Unix seconds at which a refund was asked for and at which it succeeded, by ``refund_id``."""


@dataclass(frozen=True, slots=True)
class PlantedDifference:
    """A difference between a trade bill and the books that a fault has planted.

    Attributes:
        kind: one of the ``bill-`` kinds of `FaultKind`.
        day: the day whose bill it is in; of a row that went into the next day's bill, its own day.
        number: the merchant's number of the row; of a foreign one, the number that nobody has.
    """

    kind: str
    day: dt.date
    is_refund: bool
    number: str


def _fee_fen(fen: int) -> int:
    return (fen * _FEE_PER_10_000 + 5_000) // 10_000


def _text(value: str) -> str:
    """A merchant's own text: commas and line breaks are escaped (WXDOC 4013071246)."""
    return value.replace("\n", "\\n").replace(",", "\\ ")


class BillBook:
    """Makes bills from the books; a day's rows are made once and then stay as they are.

    Args:
        ledger: orders.
        refunds: refunds.
        faults: which differences to plant: rows missing, foreign or off by a fen, refunds in the next day's bill.
        ready_s: seconds after midnight at which the bill of the day before is ready.

    Attributes:
        planted: the differences that faults have planted, in the order of the bills.
    """

    def __init__(self, ledger: Ledger, refunds: RefundBook, faults: WeChatPayFaults, ready_s: int) -> None:
        self._ledger = ledger
        self._refunds = refunds
        self._faults = faults
        self._ready_s = ready_s
        self._made: dict[tuple[str, dt.date], list[TradeRow]] = {}
        self._next: dict[str, list[TradeRow]] = {}
        self.planted: list[PlantedDifference] = []

    def ready_us(self, day: dt.date) -> int:
        """When the bill of a day is ready, in Unix microseconds."""
        midnight = dt.datetime.combine(day + dt.timedelta(days=1), dt.time(), BEIJING)
        return (int(midnight.timestamp()) + self._ready_s) * 1_000_000

    def trades(self, mchid: str, day: dt.date) -> list[TradeRow]:
        """A day's payments and refunds, in the order of their times."""
        if (mchid, day) not in self._made:
            # Days in their order: a planted difference may reach into the next.
            begun = [bill_day(order.created_us) for order in self._ledger.orders if order.mchid == mchid]
            at = min(begun, default=day)
            while at <= day:
                if (mchid, at) not in self._made:
                    self._made[mchid, at] = self._plant(mchid, at, self._true(mchid, at))
                at += dt.timedelta(days=1)
            self._made.setdefault((mchid, day), [])
        return self._made[mchid, day]

    def _true(self, mchid: str, day: dt.date) -> list[TradeRow]:
        until_us = self.ready_us(day)
        rows = []
        for order in self._ledger.orders:
            if order.mchid != mchid or order.success_us is None:
                continue
            if bill_day(order.success_us) == day:
                rows.append(_paid(order))
            if order.reversed_us is not None and bill_day(order.reversed_us) == day:
                rows.append(_reversed(order))
        rows += [
            _refunded(record, until_us)
            for record in self._refunds.refunds
            if record.order.mchid == mchid and bill_day(record.created_us) == day
        ]
        return sorted(rows, key=lambda row: row.at_unix_s)

    def _plant(self, mchid: str, day: dt.date, rows: Iterable[TradeRow]) -> list[TradeRow]:
        kept = self._next.pop(mchid, [])
        reversed_ = {
            order.out_trade_no
            for order in self._ledger.orders
            if order.mchid == mchid and order.reversed_us is not None
        }
        for row in rows:
            if row.out_trade_no in reversed_:
                # The merchant's books have nothing of these, so that nobody could say what is wrong.
                kept.append(row)
                continue
            if self._strikes(FaultKind.BILL_MISSING, day, row):
                continue
            if row.trade_state == "REFUND" and self._strikes(FaultKind.BILL_OTHER_DAY, day, row):
                self._next.setdefault(mchid, []).append(replace(row, at_unix_s=row.at_unix_s + 86_400))
                continue
            kept.append(_one_fen_off(row) if self._strikes(FaultKind.BILL_AMOUNT, day, row) else row)
            foreign = _foreign(row)
            if self._strikes(FaultKind.BILL_EXTRA, day, foreign):
                kept.append(foreign)
        return sorted(kept, key=lambda row: row.at_unix_s)

    def _strikes(self, kind: FaultKind, day: dt.date, row: TradeRow) -> bool:
        fault = self._faults.draw(kind)
        if fault is not None:
            number = row.out_refund_no if row.is_refund else row.out_trade_no
            self._faults.land(fault, subject=number)
            self.planted.append(PlantedDifference(str(kind), day, row.is_refund, number))
        return fault is not None

    def refund_times(self, mchid: str, day: dt.date) -> RefundTimes:
        """When the refunds of a day's bill were asked for and when they succeeded, as far as the bill knows."""
        until_us = self.ready_us(day)
        times: RefundTimes = {}
        for record in self._refunds.refunds:
            if record.order.mchid == mchid:
                done = [at for at, state in record.history if state is RefundState.SUCCESS and at <= until_us]
                times[record.refund_id] = (
                    record.created_us // 1_000_000,
                    done[0] // 1_000_000 if done else None,
                )
        return times

    def funds(self, mchid: str, day: dt.date) -> list[FundRow]:
        """A day's movements of the merchant's account: payments, their fees, refunds with the fees given back.

        The balance begins with nothing when the run does, and nothing is ever paid out of it.
        """
        moves = sorted(self._moves(mchid), key=lambda row: row.at_unix_s)
        rows, balance_fen = [], 0
        for row in moves:
            balance_fen += row.amount_fen if row.is_income else -row.amount_fen
            if bill_day(row.at_unix_s * 1_000_000) == day:
                rows.append(replace(row, balance_fen=balance_fen))
        return rows

    def _moves(self, mchid: str) -> Iterable[FundRow]:
        for order in self._ledger.orders:
            if order.mchid != mchid or order.success_us is None:
                continue
            assert order.transaction_id is not None  # noqa: S101 - a paid order has it
            at_s, fee_fen = order.success_us // 1_000_000, _fee_fen(order.total_fen)
            common = {"business_no": order.transaction_id, "flow_no": order.transaction_id}
            yield _move(at_s, **common, kind="交易", fen=order.total_fen, voucher=order.out_trade_no)
            if fee_fen:
                yield _move(at_s, **common, kind="扣除交易手续费", fen=-fee_fen, voucher=order.out_trade_no)
            if order.reversed_us is not None:
                yield _move(
                    order.reversed_us // 1_000_000,
                    business_no=order.reversal_id,
                    flow_no=order.transaction_id,
                    kind="退款",
                    fen=fee_fen - order.total_fen,
                    voucher=order.out_trade_no,
                )
        for record in self._refunds.refunds:
            if record.order.mchid != mchid:
                continue
            back_fen = record.refund_fen - _fee_fen(record.refund_fen)
            numbers = {"business_no": record.refund_id, "flow_no": record.order.transaction_id or ""}
            voucher = record.out_refund_no
            yield _move(
                record.created_us // 1_000_000, **numbers, kind="退款", fen=-back_fen, voucher=voucher
            )
            for at_us, state in record.history:
                if state is RefundState.CLOSED:  # how the platform books this is unproven
                    yield _move(at_us // 1_000_000, **numbers, kind="退款", fen=back_fen, voucher=voucher)


def _move(at_s: int, *, business_no: str, flow_no: str, kind: str, fen: int, voucher: str) -> FundRow:
    return FundRow(
        at_unix_s=at_s,
        business_no=business_no,
        flow_no=flow_no,
        name="退款" if kind == "退款" else "交易",
        kind=kind,
        direction="收入" if fen > 0 else "支出",
        amount_fen=abs(fen),
        balance_fen=0,
        applicant="system",
        voucher=voucher,
    )


def _common(order: Order) -> TradeRow:
    return TradeRow(
        at_unix_s=0,
        appid=order.appid,
        mchid=order.mchid,
        device_info=_text(order.device_id),
        transaction_id=order.transaction_id or "",
        out_trade_no=order.out_trade_no,
        openid=order.openid,
        trade_type=order.trade_type,
        bank_type=order.bank_type,
        description=_text(order.description),
        attach=_text(order.attach or ""),
    )


def _paid(order: Order) -> TradeRow:
    return replace(
        _common(order),
        at_unix_s=(order.success_us or 0) // 1_000_000,
        settled_fen=order.total_fen,
        total_fen=order.total_fen,
        fee_e5=_fee_fen(order.total_fen) * _E5_PER_FEN,
    )


def _refunded(record: RefundRecord, until_us: int) -> TradeRow:
    return replace(
        _common(record.order),
        at_unix_s=record.created_us // 1_000_000,
        trade_state="REFUND",
        refund_id=record.refund_id,
        out_refund_no=record.out_refund_no,
        refund_fen=record.refund_fen,
        refund_type=record.channel,
        refund_state=_REFUND_STATES[record.state_at(until_us)],
        fee_e5=-_fee_fen(record.refund_fen) * _E5_PER_FEN,
        asked_refund_fen=record.refund_fen,
    )


def _reversed(order: Order) -> TradeRow:
    """A reversal has no number of the merchant's own; that its column then holds the order's is unproven."""
    return replace(
        _common(order),
        at_unix_s=(order.reversed_us or 0) // 1_000_000,
        trade_state="REVOKED",
        refund_id=order.reversal_id,
        out_refund_no=order.out_trade_no,
        refund_fen=order.total_fen,
        refund_type="ORIGINAL",
        refund_state="SUCCESS",
        fee_e5=-_fee_fen(order.total_fen) * _E5_PER_FEN,
        asked_refund_fen=order.total_fen,
    )


def _one_fen_off(row: TradeRow) -> TradeRow:
    if row.is_refund:
        return replace(row, refund_fen=row.refund_fen + 1, asked_refund_fen=row.asked_refund_fen + 1)
    return replace(row, settled_fen=row.settled_fen + 1, total_fen=row.total_fen + 1)


def _foreign(row: TradeRow) -> TradeRow:
    """A row of a payment or refund that the merchant knows nothing of."""
    number = f"FOREIGN{row.transaction_id[-10:]}"
    if row.is_refund:
        return replace(row, refund_id=f"5039{row.refund_id[4:]}", out_refund_no=number)
    return replace(row, transaction_id=f"4209{row.transaction_id[4:]}", out_trade_no=number)
