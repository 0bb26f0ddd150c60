"""Drivers who leave without paying: what they took stays in the books, and the report of its shift says so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from scenarios.oracles.answer import answer, nothing_seen
from scenarios.record import Delivery, LedgerSale, RunRecord
from scenarios.shift_record import ShiftReport
from scenarios.verdicts import CheckResult, Verdict

__all__ = ["flagged"]

_CLOCK_US = 2_000_000
"""Pumps that tell the time of a sale tell whole seconds: so near to the limit either word is right."""


def _books(delivery: Delivery, sale: LedgerSale | None) -> Iterator[str]:
    """What is wrong in the ledger."""
    name = f"nozzle {delivery.nozzle} no. {delivery.sequence}, whose driver drove off,"
    if sale is None:
        yield f"{name} is not in the ledger"
        return
    told, true = (sale.volume_ml, sale.amount_fen), (delivery.volume_ml, delivery.amount_fen)
    if told != true:
        yield f"{name} stands in the ledger with {told} (ml, fen), the pump delivered {true}"
    if sale.paid_fen:
        yield f"{name} is paid in the books: {sale.paid_fen} fen"
    if sale.is_test:
        yield f"{name} was taken out of the books as a test"


def _report(shift: ShiftReport, sale: LedgerSale) -> Iterator[str]:
    """What is wrong in the report of the shift of an unpaid sale."""
    why = shift.odd.get(sale.sale_id, ())
    if "unpaid" not in why:
        yield f"shift {shift.number} does not list sale {sale.sale_id} as unpaid"
    age_us = shift.until_us - (sale.ended_us or shift.until_us)
    if abs(age_us - shift.drive_off_after_us) > _CLOCK_US:
        is_gone = age_us > shift.drive_off_after_us
        if is_gone is not ("drive_off" in why):
            wrong = "does not call it a drive-off" if is_gone else "calls it a drive-off already"
            yield f"shift {shift.number}: sale {sale.sale_id} was unpaid for {age_us / 1e6:.0f} s, and the report {wrong}"


def _closed_over(shifts: Iterable[ShiftReport], sale: LedgerSale) -> ShiftReport | None:
    """The closed shift in which a sale ended, by the clock."""
    if sale.ended_us is None:
        return None
    mine = (shift for shift in shifts if shift.station == sale.station)
    return next((shift for shift in mine if shift.from_us < sale.ended_us <= shift.until_us), None)


def _blamed(shift: ShiftReport, sales: Mapping[str, LedgerSale]) -> Iterator[str]:
    """Sales that the report calls drive-offs, and its sums of them."""
    called = [sale_id for sale_id, why in shift.odd.items() if "drive_off" in why]
    for sale_id in called:
        sale = sales.get(sale_id)
        if sale is not None and sale.settled_us is not None and sale.settled_us <= shift.until_us:
            yield f"shift {shift.number} calls sale {sale_id} a drive-off, and it was paid before"
    amount_fen = sum(sales[sale_id].amount_fen for sale_id in called if sale_id in sales)
    if (len(called), amount_fen) != (shift.drive_offs, shift.drive_off_fen):
        told = (shift.drive_offs, shift.drive_off_fen)
        yield f"shift {shift.number} tells {told} drive-offs (number, fen), and lists {(len(called), amount_fen)}"


def flagged(record: RunRecord, _limits: Mapping[str, int]) -> CheckResult:
    """Each drive-off is an unpaid sale in the ledger, and its shift's report tells it; INCONCLUSIVE if no such shift was closed."""
    slug = "sale.drive-off-flagged"
    gone = [delivery for delivery in record.deliveries if delivery.unpaid_by_intent]
    if not gone:
        return nothing_seen(slug, record, "nobody drove off")
    by_key = {sale.key: sale for sale in record.ledger if sale.corrects is None}
    by_id = {sale.sale_id: sale for sale in by_key.values()}
    shifts = {shift.number: shift for shift in record.shifts}
    problems: list[str] = []
    reported = 0
    for delivery in gone:
        sale = by_key.get(delivery.key)
        problems += _books(delivery, sale)
        shift = shifts.get(sale.shift or 0) if sale is not None else None
        if sale is not None and sale.shift is None:
            shift = _closed_over(record.shifts, sale)
            if shift is not None:
                problems.append(f"sale {sale.sale_id} stands in no shift, and ended in shift {shift.number}")
        late = (
            shift is not None and sale is not None and any(e.sale_id == sale.sale_id for e in shift.entries)
        )
        if shift is not None and sale is not None and not late:
            reported += 1
            problems += _report(shift, sale)
    for shift in record.shifts:
        problems += _blamed(shift, by_id)
    amount_fen = sum(delivery.amount_fen for delivery in gone)
    figures = {"drive_offs": len(gone), "amount_fen": amount_fen, "in_closed_shifts": reported}
    if not problems and not reported:
        message = f"the ledger holds what {len(gone)} drivers took who drove off, and no shift was closed that has to tell of them"
        return CheckResult(slug, Verdict.INCONCLUSIVE, message, figures, record.clock)
    good = (
        f"{len(gone)} drivers drove off with {amount_fen:,} fen of fuel: all in the ledger, unpaid; {reported} of them in "
        "shifts that were closed, whose reports tell them"
    )
    return answer(slug, record, problems, good, figures)
