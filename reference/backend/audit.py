"""The service's own check of its tables: each rule that must hold whatever happened, asked in SQL-free plain words.

It is read-only and independent of the code that writes: it looks at rows, not at how they came about.
"""

# ruff: noqa: PERF401 - one finding a line reads as one rule a line

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import msgspec
from sqlalchemy import Row, select

from reference.backend.invoices.audit import audit_invoices
from reference.backend.invoices.schema import invoice_uses
from reference.backend.members.audit import Parts, audit_members, parts_of
from reference.backend.refunds.audit import audit_refunds
from reference.backend.refunds.schema import refund_remedies
from reference.backend.shifts.files import rebuilt
from reference.backend.store.database import Transaction
from reference.backend.store.schema import (
    commands,
    handovers,
    ledger,
    orders,
    outbox,
    payments,
    refunds,
    sales,
    shift_entries,
)
from reference.backend.voice.audit import audit_voice

__all__ = ["audit"]

_TOLD: Final = frozenset({"callback", "query"})
# Where a gateway tells the outcome at once, in a signed answer.
_PROOFS: Final = {"wechatpay-code": frozenset({"reply", "query"})}


async def audit(tx: Transaction) -> list[str]:
    """Violations as sentences, in a fixed order; empty when all is well."""
    found: list[str] = []
    entries = await tx.rows(select(ledger).order_by(ledger.c.entry_id))
    all_orders = {row.order_id: row for row in await tx.rows(select(orders).order_by(orders.c.order_id))}
    all_payments = await tx.rows(select(payments).order_by(payments.c.out_trade_no))
    all_refunds = await tx.rows(select(refunds).order_by(refunds.c.out_refund_no))
    all_sales = {row.sale_id: row for row in await tx.rows(select(sales).order_by(sales.c.sale_id))}
    _ledger(entries, all_sales, found)
    parts = await parts_of(tx)
    _money(entries, all_orders, all_payments, all_refunds, parts, found)
    remedies = await tx.rows(select(refund_remedies).order_by(refund_remedies.c.out_refund_no))
    audit_refunds(all_refunds, all_orders, remedies, found)
    await audit_members(tx, parts, all_orders, all_payments, found)
    await _follow_ups(tx, all_orders, all_payments, found)
    await audit_invoices(tx, all_sales, found)
    await audit_voice(tx, all_orders, found)
    await _tests(tx, entries, all_sales, found)
    await _shifts(tx, found)
    return found


def _twice(name: str, keys: list[Any], found: list[str]) -> None:
    found.extend(f"{name} {key} stands {count} times" for key, count in Counter(keys).items() if count > 1)


def _ledger(entries: Any, all_sales: dict[str, Row[Any]], found: list[str]) -> None:
    sold = [entry for entry in entries if entry.kind == "sale"]
    _twice("ledger sale", [(entry.station, entry.nozzle, entry.sequence) for entry in sold], found)
    _twice("ledger key", [entry.entry_key for entry in entries], found)
    numbers = {entry.entry_id for entry in entries}
    for entry in entries:
        if (entry.kind == "correction") != (entry.corrects is not None) or entry.corrects not in numbers | {
            None
        }:
            found.append(f"entry {entry.entry_id}: a correction must name an entry, and nothing else may")
    for entry in sold:
        said = msgspec.json.decode(entry.content)
        sale = all_sales.get(entry.sale_id)
        if (entry.volume_ml, entry.amount_fen) != (said["volume_ml"], said["amount_fen"]):
            found.append(f"entry {entry.entry_id} differs from what the pump said")
        if sale is None or (sale.volume_ml, sale.amount_fen) != (entry.volume_ml, entry.amount_fen):
            found.append(f"entry {entry.entry_id} and sale {entry.sale_id} differ")
    for sale_id in sorted(set(all_sales) - {entry.sale_id for entry in sold}):
        found.append(f"sale {sale_id} is not in the ledger")


def _money(
    entries: Any, all_orders: Any, all_payments: Any, all_refunds: Any, parts: Parts, found: list[str]
) -> None:
    paid = [row for row in all_payments if row.state == "SUCCESS"]
    proved = _sums([*paid, *(part for part in parts if part.state in {"taken", "returned"})], "order_id")
    booked = _sums([entry for entry in entries if entry.kind == "payment"], "order_id")
    given = _sums([row for row in all_refunds if row.state in {"SUCCESS", "CASH"}], "order_id")
    for part in parts:
        given[part.order_id] += part.returned_fen
    asked = _sums([row for row in all_refunds if row.state != "CLOSED"], "out_trade_no")
    _twice("open payment of order", [row.order_id for row in all_payments if row.state == "OPEN"], found)
    _twice("transaction", [row.transaction_id for row in paid], found)
    for row in all_payments:
        if row.state == "SUCCESS" and row.proof not in _PROOFS.get(row.channel, _TOLD):
            found.append(f"payment {row.out_trade_no} is paid without a proof")
        if asked[row.out_trade_no] > row.amount_fen:
            found.append(
                f"payment {row.out_trade_no}: {asked[row.out_trade_no]} fen refunded of {row.amount_fen}"
            )
    for order_id, row in all_orders.items():
        if row.paid_fen != proved[order_id]:
            found.append(f"order {order_id}: {row.paid_fen} fen paid, {proved[order_id]} proved")
        if row.paid_fen != booked[order_id]:
            found.append(f"order {order_id}: {row.paid_fen} fen paid, {booked[order_id]} in the ledger")
        if row.refunded_fen != given[order_id]:
            found.append(f"order {order_id}: {row.refunded_fen} fen refunded, {given[order_id]} confirmed")
        if row.state in {"PAID", "COMPLETED"} and row.paid_fen == 0:
            found.append(f"order {order_id} is {row.state} without money")
        if row.state == "COMPLETED" and row.paid_fen - row.refunded_fen > row.amount_fen:
            found.append(f"order {order_id} keeps money for fuel that was not delivered")


def _sums(rows: Any, key: str) -> Counter[str]:
    sums: Counter[str] = Counter()
    for row in rows:
        sums[getattr(row, key)] += row.amount_fen
    return sums


async def _follow_ups(tx: Transaction, all_orders: Any, all_payments: Any, found: list[str]) -> None:
    """Everything that must follow a commit stands in the same commit."""
    tasks = {row.task_key for row in await tx.rows(select(outbox.c.task_key))}
    told = Counter(
        (row.kind, row.order_id) for row in await tx.rows(select(commands.c.kind, commands.c.order_id))
    )
    for row in all_payments:
        if row.state == "OPEN" and f"payment.query/{row.out_trade_no}" not in tasks:
            found.append(f"payment {row.out_trade_no} is open and nobody will ask about it")
    for row in await tx.rows(select(refunds.c.out_refund_no, refunds.c.state)):
        if row.state == "PENDING" and f"refund.send/{row.out_refund_no}" not in tasks:
            found.append(f"refund {row.out_refund_no} has no task")
    invoiced = {row.order_id for row in await tx.rows(select(invoice_uses.c.order_id))}
    for order_id, row in all_orders.items():
        done = (row.state == "PAID" and row.mode == "postpay") or row.state == "COMPLETED"
        if done and row.title not in {None, "{}"} and order_id not in invoiced:
            found.append(f"order {order_id} wanted an invoice and has none")
        for kind in ("settled", "print"):
            if done and told[kind, order_id] != 1:
                found.append(f"order {order_id} has {told[kind, order_id]} {kind} commands")
        if row.mode == "prepay" and row.state == "PAID" and told["authorise", order_id] != 1:
            found.append(f"order {order_id} is prepaid and its nozzle was not authorised once")


async def _tests(tx: Transaction, entries: Any, all_sales: dict[str, Row[Any]], found: list[str]) -> None:
    """A test delivery is nobody's, and is taken out of the revenue once. What is late names a shift that its sale is in."""
    returned = {entry.sale_id: entry for entry in entries if entry.kind == "return"}
    money = {entry.sale_id for entry in entries if entry.kind in {"payment", "settlement"} and entry.sale_id}
    invoiced = {row.sale_id for row in await tx.rows(select(invoice_uses.c.sale_id))}
    for sale_id, sale in all_sales.items():
        entry = returned.get(sale_id)
        if (sale.state == "test") != (entry is not None):
            found.append(
                f"sale {sale_id} is {sale.state}, and its return is {'' if entry else 'not '}on record"
            )
        if entry is not None and (entry.volume_ml, entry.amount_fen) != (-sale.volume_ml, -sale.amount_fen):
            found.append(f"the return of sale {sale_id} is not the whole of it")
        if sale.state == "test" and (sale.order_id or sale_id in money or sale_id in invoiced):
            found.append(f"sale {sale_id} was a test delivery, and somebody paid for it or has an invoice")
    for row in await tx.rows(select(shift_entries).order_by(shift_entries.c.entry_id)):
        if row.sale_id is not None and all_sales[row.sale_id].shift != row.shift:
            found.append(f"entry {row.entry_key} is about shift {row.shift}, and its sale is in another")


async def _shifts(tx: Transaction, found: list[str]) -> None:
    """The report of a closed shift follows from the tables, to the byte."""
    closed = select(handovers).where(handovers.c.report.is_not(None))
    for row in await tx.rows(closed.order_by(handovers.c.station, handovers.c.number)):
        if await rebuilt(tx, row) != row.report:
            found.append(
                f"the report of shift {row.number - 1} of {row.station} does not follow from the tables"
            )
