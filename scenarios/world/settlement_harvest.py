"""What UnionPay's own books have of a finished run, for the oracle of the daily reconciliation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

from scenarios.reconciliation_record import Movement, Planted
from sim.unionpay import Trade, TradeState, UnionPayGateway, clearing_day

__all__ = ["held_at_unionpay", "planted_in_settlements", "settlement_movements"]

Tables = Mapping[str, list[dict[str, Any]]]

_CONSUME: Final = "01"
_BACK: Final = frozenset({"04", "31"})
"""Refund, cancel."""
_NEAR_US: Final = 600_000_000
"""So near the end of a day the books may have it on the day beside."""


def settlement_movements(gateway: UnionPayGateway, tables: Tables) -> Iterable[Movement]:
    """The rows that the settlement files must have: what was paid, and what was given back.

    Args:
        gateway: its ledger.
        tables: the admin API's payments and refunds.
    """
    known_us = {
        row["out_trade_no"]: row["paid_us"] for row in tables["payments"] if row["state"] == "SUCCESS"
    }
    given_us = {
        row["out_refund_no"]: row["updated_us"] for row in tables["refunds"] if row["state"] == "SUCCESS"
    }
    for trade in gateway.ledger.trades:
        if (
            trade.state is TradeState.SUCCESS
            and trade.done_us is not None
            and trade.txn_type in {_CONSUME, *_BACK}
        ):
            number, is_refund = _number(trade), trade.txn_type in _BACK
            learnt_us = (given_us if is_refund else known_us).get(number)
            yield Movement(
                day=clearing_day(trade.done_us).isoformat(),
                subject="refund" if is_refund else "payment",
                number=number,
                amount_fen=trade.amount_fen,
                known_days=() if learnt_us is None else _days_around(learnt_us),
                provider="unionpay",
            )


def planted_in_settlements(gateway: UnionPayGateway) -> Iterable[Planted]:
    """The differences that faults have planted in its files."""
    numbers = {trade.order_id: _number(trade) for trade in gateway.ledger.trades}
    for one in gateway.settlements.planted:
        yield Planted(
            day=one.day.isoformat(),
            kind=one.kind.removeprefix("bill-"),
            subject="refund" if one.is_refund else "payment",
            number=numbers.get(one.order_id, one.order_id),
            bill="unionpay",
        )


def held_at_unionpay(gateway: UnionPayGateway) -> Counter[str]:
    """What it holds of each of the merchant's numbers: paid less given back."""
    held: Counter[str] = Counter()
    for trade in gateway.ledger.trades:
        if trade.state is TradeState.SUCCESS and trade.txn_type == _CONSUME:
            held[trade.order_id] += trade.amount_fen
        elif trade.state is TradeState.SUCCESS and trade.txn_type in _BACK and trade.original is not None:
            held[trade.original.order_id] -= trade.amount_fen
    return held


def _number(trade: Trade) -> str:
    """Ours: the merchant sends the number of a refund along, since what it calls the trade there is a hash of that."""
    return trade.request.get("reqReserved", trade.order_id) if trade.txn_type in _BACK else trade.order_id


def _days_around(unix_us: int) -> tuple[str, ...]:
    return tuple(sorted({clearing_day(unix_us + off_us).isoformat() for off_us in (-_NEAR_US, 0, _NEAR_US)}))
