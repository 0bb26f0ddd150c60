"""Shifts: readings chain, each sale is in one shift, totalisers agree with sales; and test deliveries are nobody's.

What the backend reports of its shifts is held against the dispensers' own journals: the reading of a nozzle must be what its
dispenser counted after the very delivery that the report says was its last.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise

from scenarios.oracles.answer import answer, nothing_seen
from scenarios.record import Delivery, LedgerSale, RunRecord
from scenarios.shift_record import ShiftNozzle, ShiftReport
from scenarios.verdicts import CheckResult

__all__ = ["litres_agree", "not_sold", "readings_chain", "sales_add_up"]

_CLOSED_AFTER_US = 120_000_000
"""A handover that came so short before the end of the run need not have reached the backend."""
_CLOCK_US = 2_000_000
"""Pumps that tell the time of a sale tell whole seconds; theirs and the site's clock may be off by two."""
_FOUND_LATE = frozenset({"recovered", "reconstructed", "offline", "adopted", "no_total"})
_DIGITS = range(5, 14)


def _closed(record: RunRecord) -> int:
    """How many shifts must have been closed."""
    due = [one for one in record.handovers if one.at_us + _CLOSED_AFTER_US <= record.ended_us]
    return max(0, len(due) - 1)


def _not_closed(record: RunRecord) -> Iterator[str]:
    numbers = [shift.number for shift in record.shifts]
    for number in range(1, _closed(record) + 1):
        if numbers.count(number) != 1:
            yield f"shift {number} was closed {numbers.count(number)} times"
    for shift, opened, closed in zip(record.shifts, record.handovers, record.handovers[1:], strict=False):
        if (shift.from_us, shift.until_us) != (opened.at_us, closed.at_us):
            yield f"shift {shift.number} does not lie between the handovers that made it"


def _end_totals(record: RunRecord) -> dict[tuple[int, int], tuple[int, int]]:
    """What the dispenser counted, by nozzle and number of its last delivery; before the first, what it began with."""
    totals: dict[tuple[int, int], tuple[int, int]] = {}
    for delivery in record.deliveries:
        totals[delivery.nozzle, delivery.sequence] = (
            delivery.end_total_volume_ml,
            delivery.end_total_amount_fen,
        )
        if delivery.sequence == 1:
            totals[delivery.nozzle, 0] = (
                delivery.end_total_volume_ml - delivery.volume_ml,
                delivery.end_total_amount_fen - delivery.amount_fen,
            )
    return totals


def _is_total(told: int, true: int) -> bool:
    """Whether a reading is the dispenser's total, as it stands or modulo the digits of its field."""
    return told == true or any(told == true % 10**digits for digits in _DIGITS)


def _readings(record: RunRecord) -> Iterator[str]:
    """Each reading at the end of a shift against its dispenser: what is wrong with it, or nothing."""
    totals = _end_totals(record)
    moved = {row.nozzle for shift in record.shifts for row in shift.nozzles if row.start_fen != row.end_fen}
    for shift in record.shifts:
        for row in shift.nozzles:
            true = totals.get((row.nozzle, row.sequence))
            if row.end_ml is None:
                if not row.offline:
                    yield f"nozzle {row.nozzle} was not read at the end of shift {shift.number}"
            elif true is None:
                if row.sequence:
                    yield f"nozzle {row.nozzle} never made delivery no. {row.sequence}"
            else:
                told_fen = row.end_fen if row.nozzle in moved and row.end_fen is not None else true[1]
                right = _is_total(row.end_ml, true[0]) and _is_total(told_fen, true[1])
                yield (
                    ""
                    if right
                    else (
                        f"nozzle {row.nozzle}, end of shift {shift.number}: read {(row.end_ml, row.end_fen)} (ml, fen), "
                        f"the dispenser counted {true} after its delivery no. {row.sequence}"
                    )
                )


def readings_chain(record: RunRecord, _limits: Mapping[str, int]) -> CheckResult:
    """Each nozzle's end reading is the next shift's start, and was really on its totaliser."""
    slug = "shift.readings-chain"
    if not _closed(record):
        return nothing_seen(slug, record, "no shift was handed over")
    problems = list(_not_closed(record))
    links = 0
    for before, after in pairwise(record.shifts):
        starts = {row.nozzle: (row.start_ml, row.start_fen) for row in after.nozzles}
        ends = {row.nozzle: (row.end_ml, row.end_fen) for row in before.nozzles}
        for nozzle in sorted(starts.keys() | ends.keys()):
            links += 1
            if ends.get(nozzle) != starts.get(nozzle):
                problems.append(
                    f"nozzle {nozzle}: shift {before.number} ends at {ends.get(nozzle)} (ml, fen), "
                    f"shift {after.number} starts at {starts.get(nozzle)}"
                )
    told = list(_readings(record))
    readings = len(told)
    problems += [problem for problem in told if problem]
    if not readings:
        return nothing_seen(slug, record, "no nozzle delivered before a handover")
    figures = {"shifts": len(record.shifts), "links": links, "readings": readings}
    good = (
        f"{len(record.shifts)} shifts: {links:,} ends equal the starts after them, {readings:,} readings are the "
        "dispensers' own totals"
    )
    return answer(slug, record, problems, good, figures)


def _late(shift: ShiftReport) -> set[str]:
    """Sales that became known when the shift was closed."""
    return {entry.sale_id or "" for entry in shift.entries if entry.kind.startswith("late")}


def _since(shift: ShiftReport) -> set[str]:
    """Sales that turned out to be tests when the shift was closed."""
    return {entry.sale_id or "" for entry in shift.entries if entry.kind == "return"}


def _of_shift(shift: ShiftReport, sales: Iterable[LedgerSale]) -> tuple[list[LedgerSale], list[LedgerSale]]:
    """The sales of a shift and its test deliveries, as its report must have them."""
    late, since = _late(shift), _since(shift)
    mine = [sale for sale in sales if sale.shift == shift.number and sale.sale_id not in late]
    tests = [sale for sale in mine if sale.is_test and sale.sale_id not in since]
    return [sale for sale in mine if sale not in tests], tests


def _sum_problems(shift: ShiftReport, sales: list[LedgerSale]) -> Iterator[str]:
    """A report against the sales of its shift, in every breakdown."""
    sold, tests = _of_shift(shift, sales)
    name = f"shift {shift.number}"
    for row in shift.nozzles:
        told = (row.sales, row.volume_ml, row.amount_fen, row.tests, row.tests_ml)
        mine = [sale for sale in sold if sale.nozzle == row.nozzle]
        tested = [sale for sale in tests if sale.nozzle == row.nozzle]
        true = (len(mine), *_sum(mine), len(tested), _sum(tested)[0])
        if told != true:
            yield f"{name}, nozzle {row.nozzle}: {told} reported (sales, ml, fen, tests, ml), {true} in the ledger"
    told = (shift.sales, shift.volume_ml, shift.amount_fen, shift.tests, shift.tests_ml)
    true = (len(sold), *_sum(sold), len(tests), _sum(tests)[0])
    if told != true:
        yield f"{name}: {told} reported (sales, ml, fen, tests, ml), {true} in the ledger"
    grades: Counter[str] = Counter()
    for sale in sold:
        grades[sale.grade] += sale.amount_fen
    if +grades != +Counter(shift.grades):
        yield f"{name}: {dict(shift.grades)} fen by grade reported, {dict(grades)} in the ledger"
    if sum(shift.tenders.values()) != shift.amount_fen:
        yield f"{name}: tenders add up to {sum(shift.tenders.values())} fen, sales to {shift.amount_fen} fen"


def _sum(sales: Iterable[LedgerSale]) -> tuple[int, int]:
    volume_ml = amount_fen = 0
    for sale in sales:
        volume_ml += sale.volume_ml
        amount_fen += sale.amount_fen
    return volume_ml, amount_fen


def _money_problems(record: RunRecord, shift: ShiftReport, blind_us: int) -> Iterator[str]:
    taken: Counter[str] = Counter()
    near = False
    for entry in record.money:
        if shift.from_us < entry.recorded_us <= shift.until_us:
            taken[entry.tender] += entry.amount_fen
        # Cash that was being booked at the very moment may have been counted on the other side of it.
        ends = (shift.from_us, shift.until_us)
        near |= entry.tender == "cash" and any(abs(entry.recorded_us - end) < blind_us for end in ends)
    if {t: fen for t, fen in taken.items() if fen} != {t: fen for t, fen in shift.taken.items() if fen}:
        yield f"shift {shift.number}: {dict(shift.taken)} fen taken by tender reported, {dict(taken)} in the ledger"
    if shift.cash_counted_fen is not None and not near:
        put_in = next((one.cash_off_fen for one in record.handovers if one.at_us == shift.until_us), 0)
        if shift.cash_difference_fen != put_in:
            yield (
                f"shift {shift.number}: the drawer was off by {put_in} fen, "
                f"the report says {shift.cash_difference_fen} fen"
            )


def _place_problems(record: RunRecord, sales: list[LedgerSale], late_us: int) -> Iterator[str]:
    """Each delivery in the shift in which it ended: not before it ended, and not after, unless it was found later."""
    by_key = {sale.key: sale for sale in sales}
    starts = {shift.number: shift.from_us for shift in record.shifts}
    ends = {shift.number: shift.until_us for shift in record.shifts}
    last = max(ends, default=0)
    for delivery in record.deliveries:
        sale = by_key.get(delivery.key)
        if sale is None or not record.handovers:
            continue
        name = f"nozzle {delivery.nozzle} no. {delivery.sequence}"
        if sale.shift == 0:
            ends_us: int | None = record.handovers[0].at_us
            starts_us = 0
        elif sale.shift is None:
            ends_us, starts_us = None, ends.get(last, record.handovers[0].at_us)
        else:
            ends_us, starts_us = ends.get(sale.shift), starts.get(sale.shift, 0)
        if ends_us is not None and delivery.ended_us > ends_us + _CLOCK_US:
            yield f"{name} ended after shift {sale.shift}, in which it is counted"
        # A preset ends the flow; the pump may say that the delivery has ended when the nozzle is back.
        over_us = max(delivery.ended_us, delivery.hung_up_us or 0)
        if over_us < starts_us - late_us and not _FOUND_LATE.intersection(sale.flags):
            yield f"{name} ended {(starts_us - over_us) / 1e6:.1f} s before the shift in which it is counted"


def sales_add_up(record: RunRecord, limits: Mapping[str, int]) -> CheckResult:
    """Each sale in one shift, each report the sum of its sales, and all shifts together the day."""
    slug = "shift.sales-add-up"
    if not _closed(record):
        return nothing_seen(slug, record, "no shift was handed over")
    sales = [sale for sale in record.ledger if sale.corrects is None]
    closed = [sale for sale in sales if sale.shift]
    if not closed:
        return nothing_seen(slug, record, "no sale in a closed shift")
    problems = list(_not_closed(record))
    numbers = {shift.number for shift in record.shifts}
    problems += [
        f"sale {sale.sale_id} is in shift {sale.shift}, which nobody closed"
        for sale in closed
        if sale.shift not in numbers
    ]
    reported: Counter[str] = Counter()
    for shift in record.shifts:
        problems += _sum_problems(shift, sales)
        problems += _money_problems(record, shift, limits["blind_us"])
        reported["fen"] += shift.amount_fen
        reported["ml"] += shift.volume_ml + shift.tests_ml
        for entry in shift.entries:
            reported["fen"] += entry.amount_fen * (entry.kind in {"late_sale", "return"})
            reported["ml"] += entry.volume_ml * entry.kind.startswith("late")
    volume_ml = _sum(closed)[0]
    amount_fen = _sum(sale for sale in closed if not sale.is_test)[1]
    if (reported["ml"], reported["fen"]) != (volume_ml, amount_fen):
        problems.append(
            f"the shifts add up to {reported['ml']:,} ml and {reported['fen']:,} fen, the day to {volume_ml:,} ml "
            f"and {amount_fen:,} fen"
        )
    problems += _place_problems(record, sales, limits["late_us"])
    entries = sum(len(shift.entries) for shift in record.shifts)
    figures = {
        "shifts": len(record.shifts),
        "sales": len(closed),
        "amount_fen": amount_fen,
        "corrections": entries,
    }
    good = (
        f"{len(closed):,} sales in {len(record.shifts)} shifts, each in one; together {amount_fen:,} fen, "
        f"{entries} corrections included"
    )
    return answer(slug, record, problems, good, figures)


def _moved(row: ShiftNozzle) -> int:
    """How far the totaliser moved, ml; one that rolled over shows it by what was sold."""
    start, end = row.start_ml or 0, row.end_ml or 0
    sold = row.volume_ml + row.tests_ml + row.late_ml
    for digits in _DIGITS if end < start else ():
        if (end - start) % 10**digits == sold:
            return sold
    return end - start


def litres_agree(record: RunRecord, _limits: Mapping[str, int]) -> CheckResult:
    """What a totaliser moved by in a shift is what was sold there, tests included; and the report says so."""
    slug = "shift.litres-agree"
    rows = [(shift, row) for shift in record.shifts for row in shift.nozzles]
    busy = [(shift, row) for shift, row in rows if row.sales or row.tests or row.late_ml]
    if not _closed(record) or not busy:
        return nothing_seen(slug, record, "no nozzle sold in a shift that was closed")
    problems = list(_not_closed(record))
    litres = unknown = 0
    for shift, row in rows:
        name = f"shift {shift.number}, nozzle {row.nozzle}"
        if row.start_ml is None or row.end_ml is None:
            unknown += 1
            # The first shift may open before a pump without power was ever read; from then on each boundary has a reading.
            never_read = shift.number == 1 and row.end_ml is not None
            if not (row.offline or never_read):
                problems.append(f"{name} has no reading")
            continue
        sold_ml = row.volume_ml + row.tests_ml + row.late_ml
        litres += sold_ml
        off_ml = _moved(row) - sold_ml
        if off_ml != row.difference_ml:
            problems.append(f"{name}: off by {off_ml:,} ml, the report says {row.difference_ml}")
        if off_ml or row.difference_fen:
            problems.append(
                f"{name}: the totaliser moved by {off_ml:,} ml and {row.difference_fen} fen more than was sold"
            )
    figures = {"nozzles": len(rows), "litres_ml": litres, "unknown": unknown}
    good = f"{litres:,} ml on the totalisers and in the sales of {len(rows):,} nozzles and shifts"
    return answer(slug, record, problems, good, figures)


def not_sold(record: RunRecord, _limits: Mapping[str, int]) -> CheckResult:
    """Test deliveries: known as such, paid by nobody, without invoice and receipt, their litres back in the tank."""
    slug = "test.not-sold"
    tests: dict[tuple[str, int, int], Delivery] = {d.key: d for d in record.deliveries if d.is_test}
    if not tests:
        return nothing_seen(slug, record, "no test delivery")
    sales = {sale.key: sale for sale in record.ledger if sale.corrects is None}
    invoiced = {invoice.sale_id for invoice in record.invoices}
    printed = {receipt.sale_id for receipt in record.receipts}
    problems = []
    for key in tests:
        sale = sales.get(key)
        name = f"test at nozzle {key[1]} (no. {key[2]})"
        if sale is None:
            problems.append(f"{name} is not in the ledger")
            continue
        if not sale.is_test:
            problems.append(f"{name} is sold")
        if sale.paid_fen:
            problems.append(f"{name} was paid: {sale.paid_fen} fen")
        problems += [
            f"{name} has {what}"
            for what, known in (("an invoice", invoiced), ("a receipt", printed))
            if sale.sale_id in known
        ]
    problems += [
        f"{sale.sale_id} is taken for a test delivery, and a customer has the fuel"
        for key, sale in sales.items()
        if sale.is_test and key not in tests
    ]
    back_ml = sum(draw.returned_ml for draw in record.tank_draws)
    booked_ml = sum(one.volume_ml for one in record.returned)
    if back_ml != booked_ml:
        problems.append(f"{back_ml:,} ml came back into the tanks, {booked_ml:,} ml stand in the stock book")
    good = (
        f"{len(tests)} test deliveries, nobody's sale; {back_ml:,} ml back in the tanks and in the stock book"
    )
    return answer(slug, record, problems, good, {"tests": len(tests), "returned_ml": back_ml})
