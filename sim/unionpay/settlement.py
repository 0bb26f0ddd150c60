"""The settlement files, made from the gateway's own books; faults plant differences between the two."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from protocols.unionpay import CHINA, TRADE_CODES, SettlementRow, clearing_date
from sim.unionpay.faults import FaultKind, UnionPayFaults
from sim.unionpay.ledger import Ledger, Trade, TradeState
from sim.unionpay.profile import Switches

__all__ = ["PlantedDifference", "SettlementBook", "clearing_day"]

_MOVES: Final = {
    "consume",
    "consume-scanned",
    "consume-qr",
    "completion",
    "refund",
    "cancel",
    "completion-cancel",
}
"""What moves money; that a pre-authorisation is in no file is unproven."""
_ORDER_ID_BYTES: Final = 32
_YEARS_BACK: Final = 8  # from one 29 February to the one before, over a century's end too


@dataclass(frozen=True, slots=True)
class PlantedDifference:
    """A difference between a settlement file and the books that a fault has planted.

    Attributes:
        kind: one of the ``bill-`` kinds of `FaultKind`.
        day: the clearing day whose file it is in; of a row that went into the next day's file, its own day.
        order_id: of the row; of a foreign one, the number that nobody has.
    """

    kind: str
    day: dt.date
    is_refund: bool
    order_id: str


class SettlementBook:
    """Makes files from the books; a day's rows are made once and then stay as they are.

    Args:
        ledger: trades. One that was reversed is in no file, since its own clearing day undid it: unproven.
        switches: fee, hour and code, which no public source states.
        faults: which differences to plant: rows missing, foreign or off by a fen, refunds in the next day's file.

    Attributes:
        planted: the differences that faults have planted, in the order of the files.
    """

    def __init__(self, ledger: Ledger, switches: Switches, faults: UnionPayFaults) -> None:
        self._ledger = ledger
        self._switches = switches
        self._faults = faults
        self._made: dict[tuple[str, dt.date], list[SettlementRow]] = {}
        self._next: dict[str, list[SettlementRow]] = {}
        self.planted: list[PlantedDifference] = []

    def day_of(self, settle_date: str, unix_us: int) -> dt.date | None:
        """The last clearing day ``MMDD`` up to now; None if the calendar has no such day."""
        today = clearing_day(unix_us)
        for year in range(today.year, today.year - _YEARS_BACK - 1, -1):
            try:
                day = dt.date(year, int(settle_date[:2]), int(settle_date[2:]))
            except ValueError:
                continue
            if day <= today:
                return day
        return None

    def ready_us(self, day: dt.date) -> int:
        """When the file of a clearing day is ready, in Unix microseconds."""
        midnight = dt.datetime.combine(day + dt.timedelta(days=1), dt.time(), CHINA)
        return (int(midnight.timestamp()) + self._switches.file_ready_s) * 1_000_000

    def rows(self, mer_id: str, day: dt.date) -> list[SettlementRow]:
        """A clearing day's payments, refunds and cancels, in the order in which they were done. Only once it is over."""
        if (mer_id, day) not in self._made:
            # Days in their order: a planted difference may reach into the next.
            by_day: dict[dt.date, list[Trade]] = {}
            for trade in self._ledger.trades:
                if trade.mer_id == mer_id and trade.state is TradeState.SUCCESS and trade.kind in _MOVES:
                    by_day.setdefault(clearing_day(_done_us(trade)), []).append(trade)
            at = min(by_day, default=day)
            while at <= day:
                if (mer_id, at) not in self._made:
                    trades = sorted(by_day.get(at, ()), key=_done_us)
                    self._made[mer_id, at] = self._plant(mer_id, at, [self._true(trade) for trade in trades])
                at += dt.timedelta(days=1)
            self._made.setdefault((mer_id, day), [])
        return self._made[mer_id, day]

    def _true(self, trade: Trade) -> SettlementRow:
        settled = trade.settled()
        back = trade.kind in {"refund", "cancel", "completion-cancel"}
        fee_fen = 0 if back else (trade.amount_fen * self._switches.fee_per_10_000 + 5_000) // 10_000
        original = trade.original
        return SettlementRow(
            trade_code=TRADE_CODES.get(trade.txn_type, "S22"),
            trace_no=trade.trace_no,
            trace_time=settled["traceTime"],
            account=trade.acc_no,
            amount_fen=trade.amount_fen,
            query_id=trade.query_id,
            order_id=trade.order_id[:_ORDER_ID_BYTES],
            card_type=settled["payCardType"],
            orig_trace_no="" if original is None else original.trace_no,
            orig_trace_time="" if original is None else original.settled().get("traceTime", ""),
            fee_fen=-fee_fen,
            settle_fen=-trade.amount_fen if back else trade.amount_fen - fee_fen,
            txn_type=trade.txn_type,
            sub_type=trade.request.get("txnSubType", "00"),
            biz_type=trade.request.get("bizType", ""),
            orig_query_id="" if original is None else original.query_id,
            mer_id=trade.mer_id,
            orig_order_id="" if original is None else original.order_id[:_ORDER_ID_BYTES],
        )

    def _plant(self, mer_id: str, day: dt.date, rows: Iterable[SettlementRow]) -> list[SettlementRow]:
        kept = self._next.pop(mer_id, [])
        for row in rows:
            if self._strikes(FaultKind.BILL_MISSING, day, row):
                continue
            if row.is_refund and self._strikes(FaultKind.BILL_OTHER_DAY, day, row):
                self._next.setdefault(mer_id, []).append(row)
                continue
            kept.append(_one_fen_off(row) if self._strikes(FaultKind.BILL_AMOUNT, day, row) else row)
            foreign = _foreign(row)
            if self._strikes(FaultKind.BILL_EXTRA, day, foreign):
                kept.append(foreign)
        return kept

    def _strikes(self, kind: FaultKind, day: dt.date, row: SettlementRow) -> bool:
        fault = self._faults.draw(kind, "file-transfer")
        if fault is not None:
            self._faults.land(fault, order_id=row.order_id)
            self.planted.append(PlantedDifference(str(kind), day, row.is_refund, row.order_id))
        return fault is not None


def clearing_day(unix_us: int) -> dt.date:
    """The clearing day (23:00 to 23:00 China time) of an instant in Unix microseconds."""
    return dt.datetime.strptime(clearing_date(unix_us // 1_000_000), "%Y%m%d").date()  # noqa: DTZ007 - a day has no zone


def _done_us(trade: Trade) -> int:
    assert trade.done_us is not None  # noqa: S101 - only successful trades come here
    return trade.done_us


def _one_fen_off(row: SettlementRow) -> SettlementRow:
    more = -1 if row.is_refund else 1
    return replace(row, amount_fen=row.amount_fen + 1, settle_fen=row.settle_fen + more)


def _foreign(row: SettlementRow) -> SettlementRow:
    """A row of a payment or refund that the merchant knows nothing of."""
    return replace(row, query_id=f"99{row.query_id[2:]}", order_id=f"FOREIGN{row.query_id[-10:]}")
