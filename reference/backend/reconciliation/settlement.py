"""UnionPay's settlement file of a clearing day against our books: each row on both sides, or in the list of differences.

A payment's row has our `out_trade_no`. A refund's has the `orderId` that follows from our `out_refund_no` and names the payment by
its `queryId`, so that is how its refund is found. Its cards, fees and settled amounts are not compared: we keep none of them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from sqlalchemy import Row, bindparam, select

from protocols.unionpay import Settlement, SettlementRow, read_settlement
from protocols.wechatpay import BEIJING, bill_day
from reference.backend.core import Core
from reference.backend.gateways.port import GatewayRefusedError, GatewayUnknownError
from reference.backend.gateways.unionpay import follow_up_id
from reference.backend.reconciliation.books import PAYMENT, PAYMENT_BY_THEIRS, ours_of_payment, ours_of_refund
from reference.backend.reconciliation.match import Finding, Key, Matcher, Ours, Theirs, unreadable
from reference.backend.store.database import Transaction
from reference.backend.store.schema import refunds

__all__ = ["CLEARING_SHIFT_US", "NotYetError", "fetch_settlement", "match_settlement", "settlement_findings"]

CLEARING_SHIFT_US: Final = 3_600 * 1_000_000
"""A clearing day begins and ends so long before the day of its date: 23:00 to 23:00 China time."""

_MAY_BE_LATE_S: Final = 12 * 3600
"""98 says "no such file", today's and yesterday's alike: until noon of the next day it is taken for "not yet". Unproven."""

_A_YEAR: Final = dt.timedelta(days=365)

_REFUNDS = (
    select(refunds).where(refunds.c.out_trade_no == bindparam("number")).order_by(refunds.c.out_refund_no)
)


class NotYetError(GatewayUnknownError):
    """There is no file, and it is too early to say that there will be none."""


async def fetch_settlement(core: Core, day: dt.date) -> bytes | None:
    """The file of a clearing day, or None: nothing happened.

    Raises:
        SettlementFileError: what came is none.
        NotYetError: it is not there yet.
        GatewayUnknownError, GatewayRefusedError: it is not to be had now, or not any more.
    """
    if core.unionpay is None:
        raise GatewayUnknownError("this service has no credentials of UnionPay")
    if bill_day(core.clock_us()) - day >= _A_YEAR:
        # The request has no year: what came would be this year's.
        raise GatewayRefusedError(
            0, "TOO_OLD", f"a settlement file of {day.isoformat()} cannot be asked for any more"
        )
    content = await core.unionpay.settlement_file(day)
    midnight = dt.datetime.combine(day + dt.timedelta(days=1), dt.time(), BEIJING)
    if content is None and core.clock_us() < (int(midnight.timestamp()) + _MAY_BE_LATE_S) * 1_000_000:
        raise NotYetError(f"there is no settlement file of {day.isoformat()} yet")
    return content


async def settlement_findings(
    core: Core, tx: Transaction, content: bytes, *, expected: Collection[Ours], days: Mapping[Key, str]
) -> list[Finding]:
    """Compare a file with what our books have under its numbers.

    Args:
        core: knows the channels, and which merchant we are.
        tx: where the books are read.
        content: the file.
        expected: what must be in this file (or in another day's).
        days: of what stands in another day's file already, that day.
    """
    file = read_settlement(content)
    found: dict[tuple[str, str], Ours] = {}
    for _, row in file.rows:
        ours = await (_refund(core, tx, row) if row.is_refund else _payment(core, tx, row))
        if ours is not None:
            found[row.txn_type, row.order_id] = ours
    assert core.unionpay is not None  # noqa: S101 - nobody else can have fetched a file
    return match_settlement(
        file,
        mer_id=core.unionpay.own.mer_id,
        find=lambda txn_type, order_id: found.get((txn_type, order_id)),
        expected=expected,
        days=days,
    )


async def _payment(core: Core, tx: Transaction, row: SettlementRow) -> Ours | None:
    known = await tx.first(PAYMENT, {"number": row.order_id})
    return await ours_of_payment(tx, known) if known is not None and _is_ours(core, known) else None


async def _refund(core: Core, tx: Transaction, row: SettlementRow) -> Ours | None:
    payment = await tx.first(PAYMENT_BY_THEIRS, {"number": row.orig_query_id})
    if payment is None or not _is_ours(core, payment):
        return None
    for known in await tx.rows(_REFUNDS, {"number": payment.out_trade_no}):
        if follow_up_id(row.txn_type, known.out_refund_no) == row.order_id:
            return await ours_of_refund(tx, known)
    return None


def _is_ours(core: Core, payment: Row[Any]) -> bool:
    channel = core.channels.known.get(payment.channel or "")
    return channel is not None and channel.provider == "unionpay"


def match_settlement(
    file: Settlement,
    *,
    mer_id: str,
    find: Callable[[str, str], Ours | None],
    expected: Collection[Ours],
    days: Mapping[Key, str],
) -> list[Finding]:
    """Compare a settlement file with our books. Pure.

    Args:
        file: as it was read.
        mer_id: ours; a row that names another merchant is foreign.
        find: what we know under (`txnType`, `orderId`).
        expected: what must be in this file (or in another day's).
        days: of what stands in another day's file already, that day.
    """
    findings = [unreadable(bad) for bad in file.bad]
    by_key: dict[Key, Ours] = {}
    matcher = Matcher(lambda subject, number: by_key.get((subject, number)), days, expected)
    for line, row in file.rows:
        ours = find(row.txn_type, row.order_id)
        subject = "refund" if row.is_refund else "payment"
        number = row.order_id if ours is None else ours.number
        if row.mer_id != mer_id:
            matcher.lines.setdefault((subject, number), line)
            findings.append(
                Finding("foreign", subject, number, line, None, row.amount_fen, f"of {row.mer_id}")
            )
        elif not row.is_refund and row.txn_type != "01":
            detail = f"txnType {row.txn_type}: nothing of ours is of this kind"
            findings.append(Finding("missing_here", "fund", number, line, None, row.amount_fen, detail))
        else:
            if ours is not None:
                by_key[ours.key] = ours
            findings += matcher.row(Theirs(line, subject, number, row.query_id, row.amount_fen, "SUCCESS"))
    return [*findings, *matcher.missing()]
