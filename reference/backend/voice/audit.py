"""What must hold of announcements whatever happened."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from reference.backend.store.database import Transaction
from reference.backend.store.schema import outbox
from reference.backend.voice.schema import announcements

__all__ = ["audit_voice"]

_WAITING = frozenset({"queued", "sending", "unknown"})


async def audit_voice(tx: Transaction, all_orders: dict[str, Any], found: list[str]) -> None:
    """Whatever waits has somebody who will send it; each is about an order that was paid, and for what was paid."""
    rows = await tx.rows(select(announcements).order_by(announcements.c.id))
    open_tasks = select(outbox.c.subject).where(outbox.c.topic == "voice.speak", outbox.c.done_us.is_(None))
    attended = {row.subject for row in await tx.rows(open_tasks)}
    for row in rows:
        if (row.state in _WAITING) != (row.waits == 1):
            found.append(f"announcement {row.request_id} is {row.state}, and its mark says otherwise")
        if row.state in _WAITING and row.station not in attended:
            found.append(f"announcement {row.request_id} waits and nobody will send it")
        if row.state == "dropped" and not row.reason:
            found.append(f"announcement {row.request_id} was dropped without a reason")
        order = all_orders.get(row.order_id)
        if order is None or order.paid_fen < row.amount_fen:
            found.append(
                f"announcement {row.request_id} tells of money that order {row.order_id} does not have"
            )
