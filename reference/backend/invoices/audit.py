"""The part of the service's own check that is about invoices: which fen are in which, and what red letters took back."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from sqlalchemy import Row, select

from reference.backend.invoices.schema import invoice_uses, red_letters
from reference.backend.store.database import Transaction
from reference.backend.store.schema import invoices, outbox

__all__ = ["audit_invoices"]


async def audit_invoices(tx: Transaction, all_sales: dict[str, Row[Any]], found: list[str]) -> None:
    """Violations as sentences, in a fixed order, added to ``found``."""
    rows = await tx.rows(select(invoices).order_by(invoices.c.fapiao_apply_id))
    uses = await tx.rows(select(invoice_uses).order_by(invoice_uses.c.fapiao_apply_id, invoice_uses.c.line))
    letters = await tx.rows(select(red_letters).order_by(red_letters.c.red_id))
    tasks = {row.task_key for row in await tx.rows(select(outbox.c.task_key))}
    found.extend(
        f"invoice {row.fapiao_apply_id} has no task"
        for row in rows
        if f"invoice.issue/{row.fapiao_apply_id}" not in tasks
    )
    found.extend(
        f"red letter {letter.red_id} has no task"
        for letter in letters
        if f"invoice.red/{letter.red_id}" not in tasks
    )
    _lines(rows, uses, found)
    _fen(uses, all_sales, found)
    _letters(rows, letters, found)
    numbers = Counter(row.number for row in [*rows, *letters] if row.number is not None)
    found.extend(f"invoice number {number} stands {n} times" for number, n in numbers.items() if n > 1)


def _lines(rows: Any, uses: Any, found: list[str]) -> None:
    """An invoice is its lines."""
    lines: defaultdict[str, list[Row[Any]]] = defaultdict(list)
    for use in uses:
        lines[use.fapiao_apply_id].append(use)
    for row in rows:
        own = lines[row.fapiao_apply_id]
        sums = sum(use.amount_fen for use in own), sum(use.volume_ml for use in own)
        if sums != (row.amount_fen, row.volume_ml) or row.amount_fen <= 0:
            found.append(f"invoice {row.fapiao_apply_id} is not the sum of its lines, or over nothing")
        if row.state == "issued" and (row.number is None or len(row.number) != 20):
            found.append(f"invoice {row.fapiao_apply_id} is issued without a 20-digit number")
        valid = row.state in {"issuing", "issued", "reversing"}
        for use in own:
            is_left = valid and use.red_fen < use.amount_fen
            if is_left != (use.held_from is not None):
                found.append(
                    f"invoice {row.fapiao_apply_id} is {row.state}, and line {use.line} is {'held' if not is_left else 'free'}"
                )


def _fen(uses: Any, all_sales: dict[str, Row[Any]], found: list[str]) -> None:
    """Each fen of a cleared sale is in one valid invoice at most, and the litres with it."""
    held: defaultdict[str, list[Row[Any]]] = defaultdict(list)
    for use in uses:
        if use.held_from is not None:
            held[use.sale_id].append(use)
    for sale_id in sorted(held):
        sale, own = all_sales.get(sale_id), sorted(held[sale_id], key=lambda use: use.held_from)
        if sale is None or sale.state != "cleared":
            found.append(f"invoice {own[0].fapiao_apply_id} is not about a paid sale's fuel")
            continue
        end = 0
        for use in own:
            if use.held_from < end or use.held_from != use.from_fen:
                found.append(f"sale {sale_id}: fen {use.from_fen} is in two valid invoices")
            end = use.held_from + use.amount_fen
        if end > sale.amount_fen:
            found.append(f"sale {sale_id} is invoiced beyond its {sale.amount_fen} fen")
        volume_ml = sum(use.volume_ml for use in own)
        is_all = own[0].held_from == 0 and sum(use.amount_fen for use in own) == sale.amount_fen
        if volume_ml > sale.volume_ml or (is_all and volume_ml != sale.volume_ml):
            found.append(f"sale {sale_id}: {volume_ml} ml are invoiced of {sale.volume_ml}")


def _letters(rows: Any, letters: Any, found: list[str]) -> None:
    """What red letters took back is what the invoice says, and never more than it is over."""
    taken: Counter[str] = Counter()
    for letter in letters:
        if letter.net_fen + letter.tax_fen != letter.amount_fen or letter.amount_fen <= 0:
            found.append(f"red letter {letter.red_id} does not add up")
        if (letter.state == "issued") != (letter.number is not None):
            found.append(f"red letter {letter.red_id} is {letter.state}, and its number is {letter.number}")
        if letter.state == "issued":
            taken[letter.fapiao_apply_id] += letter.amount_fen
    for row in rows:
        if row.red_fen != taken[row.fapiao_apply_id] or row.red_fen > row.amount_fen:
            found.append(
                f"invoice {row.fapiao_apply_id}: {row.red_fen} fen taken back, {taken[row.fapiao_apply_id]} in red letters"
            )
        if (row.state == "reversed") != (row.red_fen == row.amount_fen):
            found.append(f"invoice {row.fapiao_apply_id} is {row.state} with {row.red_fen} fen taken back")
