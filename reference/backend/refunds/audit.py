"""What must hold of refunds whatever happened: the platform's limits, and that nothing owed is forgotten."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from sqlalchemy import Row

__all__ = ["audit_refunds"]

_APART_US = 60_000_000
_MOST = 50


def audit_refunds(
    all_refunds: Sequence[Row[Any]],
    all_orders: Mapping[str, Row[Any]],
    remedies: Iterable[Row[Any]],
    found: list[str],
) -> None:
    """Add violations as sentences, in the order of the rows. ``remedies`` is what people did about refunds."""
    of_payment: defaultdict[str, list[Row[Any]]] = defaultdict(list)
    owed: Counter[str] = Counter()
    for row in all_refunds:
        of_payment[row.out_trade_no].append(row)
        owed[row.order_id] += row.state not in {"SUCCESS", "CLOSED", "CASH"}
    for number, rows in of_payment.items():
        sent = sorted(row.sent_us for row in rows if row.sent_us is not None)
        if len(sent) > _MOST:
            found.append(f"payment {number}: {len(sent)} refunds were sent")
        found.extend(
            f"payment {number}: refunds were sent {(later - earlier) / 1e6:g} s apart"
            for earlier, later in pairwise(sent)
            if later - earlier < _APART_US
        )
        attempts = Counter((row.amount_fen, row.attempt) for row in rows)
        found.extend(
            f"refund {row.out_refund_no} was closed, and what it owed is not asked for again"
            for row in rows
            if row.state == "CLOSED" and attempts[row.amount_fen, row.attempt + 1] == 0
        )
    found.extend(
        f"order {order_id} is REFUNDING, and no refund of it is under way"
        for order_id, order in all_orders.items()
        if order.state == "REFUNDING" and not owed[order_id]
    )
    paid_out = Counter((row.out_refund_no, row.amount_fen) for row in remedies if row.kind == "CASH")
    found.extend(
        f"refund {row.out_refund_no} is {row.state}, and {times} payments in cash are on record for it"
        for row in all_refunds
        if (times := paid_out.pop((row.out_refund_no, row.amount_fen), 0)) != (row.state == "CASH")
    )
    found.extend(
        f"{fen} fen were paid in cash for refund {number}, which is another" for number, fen in paid_out
    )
