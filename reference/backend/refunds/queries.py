"""The statements of `reference.backend.refunds.refunds`."""

from __future__ import annotations

from sqlalchemy import bindparam, func, or_, select, update

from reference.backend.refunds.schema import refund_remedies
from reference.backend.store.schema import payments, refunds

__all__ = ["LOCK", "ONE", "OPEN", "SENT", "SENT_ON", "SET", "SUM"]

ONE = (
    select(refunds, payments.c.channel)
    .select_from(refunds.outerjoin(payments, payments.c.out_trade_no == refunds.c.out_trade_no))
    .where(refunds.c.out_refund_no == bindparam("number"))
)
LOCK = ONE.with_for_update(of=refunds)
SUM = select(func.coalesce(func.sum(refunds.c.amount_fen), 0).label("asked_fen")).where(
    refunds.c.out_trade_no == bindparam("paid_by"), refunds.c.state != "CLOSED"
)
OPEN = (
    select(refunds.c.out_refund_no)
    .where(refunds.c.order_id == bindparam("of_order"))
    .where(refunds.c.state != "SUCCESS", refunds.c.state != "CLOSED", refunds.c.state != "CASH")
    .limit(1)
)
SENT_ON = (
    select(refund_remedies.c.client_token)
    .where(refund_remedies.c.out_refund_no == bindparam("number"))
    .where(or_(refund_remedies.c.state == "asked", refund_remedies.c.state == "accepted"))
    .limit(1)
)
SET = (
    update(refunds)
    .where(refunds.c.out_refund_no == bindparam("number"))
    .values(
        state=bindparam("new_state"),
        refund_id=bindparam("theirs"),
        held=bindparam("why"),
        updated_us=bindparam("now_us"),
    )
)
SENT = (
    update(refunds)
    .where(refunds.c.out_refund_no == bindparam("number"))
    .values(sent_us=bindparam("now_us"), updated_us=bindparam("now_us"))
)
