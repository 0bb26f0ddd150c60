"""What a shift comes to: a pure function of rows, so that a report rebuilt from the tables equals the one that was filed.

A delivery belongs to the shift in which it *ended* (Lanfeng pumps and public pump-log decoders sum shifts in this way): only
then do its totaliser, its sale and its price exist. So a delivery that straddles a handover counts wholly in the later shift,
and the totaliser of its nozzle at the handover does not contain it either. Money belongs to the shift in which it was taken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

__all__ = ["Boundary", "NozzleMark", "TankMark", "paid_by", "report_of"]

_DIGITS = range(5, 14)
"""Digits of totalisers, in fen or ml, as makes have them."""
_ODD_MOST = 200
_TELLING = frozenset(
    {"offline", "recovered", "reconstructed", "adopted", "no_total", "total_behind", "total_backwards"}
)
UNPAID = "unpaid"
DRIVE_OFF = "drive_off"


class NozzleMark(msgspec.Struct, frozen=True):
    """A nozzle at a handover; totals are null for one whose pump was never read.

    ``sequence`` is that of its last delivery before, ``running_*`` what its pump shows of one that goes on.
    """

    nozzle: int
    grade: str
    tank: int | None
    sequence: int
    volume_ml: int | None
    amount_fen: int | None
    running_ml: int = 0
    running_fen: int = 0
    offline: bool = False


class TankMark(msgspec.Struct, frozen=True):
    """A tank at a handover: the last reading of its gauge before, and when that was."""

    tank: int
    grade: str
    group: int
    volume_ml: int | None
    read_at_us: int


class Boundary(NamedTuple):
    """A handover, as far as a report needs it."""

    number: int
    at_us: int
    attendant: str
    cash_counted_fen: int | None
    nozzles: Sequence[NozzleMark]
    tanks: Sequence[TankMark]


def paid_by(money: Iterable[Any]) -> dict[str, str]:
    """What paid: the tender by sale id (a cashier's settlement) or by order id (a phone's payment)."""
    found: dict[str, str] = {}
    for row in money:
        if row.kind == "settlement":
            found[row.sale_id] = msgspec.json.decode(row.content)["tender"]
        elif row.kind == "payment":
            found[row.order_id] = _tender(row)  # what came through a gateway stands behind what a member gave
    return found


def report_of(
    opened: Boundary,
    closed: Boundary,
    sales: Sequence[Any],
    late: Sequence[Any],
    money: Sequence[Any],
    received: Mapping[int, int],
    drive_off_us: int,
) -> dict[str, Any]:
    """The report of the shift between two handovers.

    Args:
        opened: the handover it began with.
        closed: the one it ended with.
        sales: rows of its sales, in order of nozzle and sequence, as they were known when it was closed.
        late: what became known late of the shifts before: their readings did not contain it, those of this one do.
        money: ledger rows of payments, settlements and refunds up to its end, those of an earlier day left out.
        received: what tankers brought, ml by group of tanks.
        drive_off_us: what was unpaid for so long when it was closed is a drive-off.
    """
    tender_of = paid_by(money)
    gone = [
        sale for sale in sales if _unpaid(sale, tender_of) and closed.at_us - sale.ended_us >= drive_off_us
    ]
    sold = [sale for sale in sales if sale.state != "test"]
    taken = [row for row in money if row.recorded_us > opened.at_us]
    cash_fen = sum(_signed(row) for row in taken if _tender(row) == "cash")
    counted_fen = closed.cash_counted_fen
    by_tender: Counter[str] = Counter()
    tenders: Counter[str] = Counter()
    for sale in sold:
        tender = tender_of.get(sale.sale_id) or tender_of.get(sale.order_id or "") or UNPAID
        tenders[tender] += 1
        by_tender[tender] += sale.amount_fen
    return {
        "shift": opened.number,
        "attendant": opened.attendant,
        "opened_us": opened.at_us,
        "closed_us": closed.at_us,
        "sales": len(sold),
        "volume_ml": sum(sale.volume_ml for sale in sold),
        "amount_fen": sum(sale.amount_fen for sale in sold),
        "tests": len(sales) - len(sold),
        "tests_ml": sum(sale.volume_ml for sale in sales if sale.state == "test"),
        "nozzles": _nozzles(opened, closed, sales, late),
        "grades": _grades(sales),
        "attendants": _attendants(opened.attendant, sold),
        "tenders": [{"tender": t, "sales": tenders[t], "amount_fen": by_tender[t]} for t in sorted(tenders)],
        "taken": _taken(taken),
        "cash_expected_fen": cash_fen,
        "cash_counted_fen": counted_fen,
        "cash_difference_fen": None if counted_fen is None else counted_fen - cash_fen,
        "electronic_fen": sum(_signed(row) for row in taken if _tender(row) != "cash"),
        "drive_off_after_us": drive_off_us,
        "drive_offs": len(gone),
        "drive_off_fen": sum(sale.amount_fen for sale in gone),
        "odd": _cut(_odd(sales, tender_of, frozenset(sale.sale_id for sale in gone))),
        "tanks": _tanks(opened, closed, sales, received),
    }


def _attendants(on_shift: str, sold: Sequence[Any]) -> list[dict[str, Any]]:
    """Sales by whoever had logged in at the pump, else by whoever had the shift."""
    counts: Counter[str] = Counter()
    sums: Counter[str] = Counter()
    for sale in sold:
        who = sale.attendant or on_shift
        counts[who] += 1
        sums[who] += sale.amount_fen
    return [{"attendant": who, "sales": counts[who], "amount_fen": sums[who]} for who in sorted(counts)]


def _tender(row: Any) -> str:
    """How money came, or went back."""
    if row.kind == "settlement" or '"tender"' in row.content:
        return str(msgspec.json.decode(row.content)["tender"])
    return "wechatpay"


def _signed(row: Any) -> int:
    return -int(row.amount_fen) if row.kind == "refund" else int(row.amount_fen)


def _taken(rows: Sequence[Any]) -> list[dict[str, Any]]:
    """Money taken and given back in the time of the shift, by tender."""
    counts: Counter[str] = Counter()
    sums: Counter[str] = Counter()
    for row in rows:
        counts[_tender(row)] += 1
        sums[_tender(row)] += _signed(row)
    return [{"tender": t, "entries": counts[t], "amount_fen": sums[t]} for t in sorted(counts)]


def _nozzles(
    opened: Boundary, closed: Boundary, sales: Sequence[Any], late: Sequence[Any]
) -> list[dict[str, Any]]:
    starts = {mark.nozzle: mark for mark in opened.nozzles}
    ends = {mark.nozzle: mark for mark in closed.nozzles}
    grades = {sale.nozzle: sale.grade for sale in sales}
    rows = []
    for nozzle in sorted(starts.keys() | ends.keys() | grades.keys()):
        mine = [sale for sale in sales if sale.nozzle == nozzle]
        start, end = starts.get(nozzle), ends.get(nozzle)
        known = end or start
        sold = [sale for sale in mine if sale.state != "test"]
        brought = [one for one in late if one.nozzle == nozzle and _between(start, end, one.sequence)]
        row = {
            "nozzle": nozzle,
            "grade": grades[nozzle] if known is None else known.grade,
            "sequence": 0 if end is None else end.sequence,
            "start_volume_ml": None if start is None else start.volume_ml,
            "start_amount_fen": None if start is None else start.amount_fen,
            "end_volume_ml": None if end is None else end.volume_ml,
            "end_amount_fen": None if end is None else end.amount_fen,
            "sales": len(sold),
            "volume_ml": sum(sale.volume_ml for sale in sold),
            "amount_fen": sum(sale.amount_fen for sale in sold),
            "tests": len(mine) - len(sold),
            "tests_ml": sum(sale.volume_ml for sale in mine if sale.state == "test"),
            "tests_fen": sum(sale.amount_fen for sale in mine if sale.state == "test"),
            "late_ml": sum(one.volume_ml for one in brought),
            "late_fen": sum(one.amount_fen for one in brought),
            "running_ml": 0 if end is None else end.running_ml,
            "offline": end is None or end.offline,
            "missing": _missing(start, end, [*mine, *brought]),
        }
        rows.append({**row, **_differences(row)})
    return rows


def _between(start: NozzleMark | None, end: NozzleMark | None, sequence: int) -> bool:
    return start is not None and end is not None and start.sequence < sequence <= end.sequence


def _missing(start: NozzleMark | None, end: NozzleMark | None, known: Sequence[Any]) -> int:
    """Sales that the site counted and the backend does not have."""
    if start is None or end is None:
        return 0
    there = sum(1 for sale in known if _between(start, end, sale.sequence))
    return max(0, end.sequence - start.sequence - there)


def _differences(row: Mapping[str, Any]) -> dict[str, int | None]:
    """Totaliser less sales, tests included; null where a total is not known, or not kept by this make."""
    volume_ml = row["volume_ml"] + row["tests_ml"] + row["late_ml"]
    amount_fen = row["amount_fen"] + row["tests_fen"] + row["late_fen"]
    litres = _moved(row["start_volume_ml"], row["end_volume_ml"], volume_ml)
    money = _moved(row["start_amount_fen"], row["end_amount_fen"], amount_fen)
    if money == 0 and amount_fen and litres:
        money = None  # a pump that counts litres alone
    return {
        "difference_ml": None if litres is None else litres - volume_ml,
        "difference_fen": None if money is None else money - amount_fen,
    }


def _moved(start: int | None, end: int | None, sold: int) -> int | None:
    """How far a totaliser moved. One that rolled over shows it: modulo its digits it moved by what was sold."""
    if start is None or end is None:
        return None
    if end < start:
        for digits in _DIGITS:
            modulus = 10**digits
            if start < modulus and (end - start) % modulus == sold:
                return sold
    return end - start


def _grades(sales: Sequence[Any]) -> list[dict[str, Any]]:
    rows = []
    for grade in sorted({sale.grade for sale in sales}):
        mine = [sale for sale in sales if sale.grade == grade]
        sold = [sale for sale in mine if sale.state != "test"]
        rows.append(
            {
                "grade": grade,
                "sales": len(sold),
                "volume_ml": sum(sale.volume_ml for sale in sold),
                "amount_fen": sum(sale.amount_fen for sale in sold),
                "tests_ml": sum(sale.volume_ml for sale in mine if sale.state == "test"),
            }
        )
    return rows


def _unpaid(sale: Any, tender_of: Mapping[str, str]) -> bool:
    """Fuel that nobody has paid for."""
    if sale.state == "test" or not sale.amount_fen:
        return False
    return not (sale.sale_id in tender_of or (sale.order_id or "") in tender_of)


def _odd(sales: Sequence[Any], tender_of: Mapping[str, str], gone: frozenset[str]) -> list[dict[str, Any]]:
    """What a person should look at: tests, unpaid sales, drive-offs among them, reconstructed and off-line ones."""
    rows = []
    for sale in sales:
        why = [flag for flag in msgspec.json.decode(sale.flags or "[]") if flag in _TELLING]
        if sale.state == "test":
            why.append("test")
        elif _unpaid(sale, tender_of):
            why += [UNPAID, DRIVE_OFF] if sale.sale_id in gone else [UNPAID]
        if why:
            rows.append(
                {
                    "sale_id": sale.sale_id,
                    "nozzle": sale.nozzle,
                    "sequence": sale.sequence,
                    "volume_ml": sale.volume_ml,
                    "amount_fen": sale.amount_fen,
                    "why": why,
                }
            )
    return rows


def _cut(odd: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As many as a person reads; of what is owed none is left out, and it stands first in a list that was cut."""
    if len(odd) <= _ODD_MOST:
        return odd
    owed = [row for row in odd if UNPAID in row["why"]]
    others = [row for row in odd if UNPAID not in row["why"]]
    return owed + others[: max(0, _ODD_MOST - len(owed))]


def _tanks(
    opened: Boundary, closed: Boundary, sales: Sequence[Any], received: Mapping[int, int]
) -> list[dict[str, Any]]:
    """Stock at both ends by group of tanks. What pumps had drawn for deliveries that were not yet sales is allowed for."""
    group_of = {mark.tank: mark.group for mark in (*opened.tanks, *closed.tanks)}
    rows = []
    for group in sorted(set(group_of.values())):
        ends = []
        for boundary in (opened, closed):
            marks = [mark for mark in boundary.tanks if mark.group == group]
            unknown = not marks or any(mark.volume_ml is None for mark in marks)
            ends.append(None if unknown else sum(mark.volume_ml or 0 for mark in marks))
        mine = [sale for sale in sales if group_of.get(sale.tank or 0) == group]
        start_ml, end_ml = ends
        tests_ml = sum(sale.volume_ml for sale in mine if sale.state == "test")
        sold_ml = sum(sale.volume_ml for sale in mine) - tests_ml
        running_ml = sum(
            sign * mark.running_ml
            for sign, boundary in ((1, closed), (-1, opened))
            for mark in boundary.nozzles
            if group_of.get(mark.tank or 0) == group
        )
        gone_ml = None if start_ml is None or end_ml is None else start_ml + received.get(group, 0) - end_ml
        rows.append(
            {
                "group": group,
                "grade": next(m.grade for m in (*closed.tanks, *opened.tanks) if m.group == group),
                "start_ml": start_ml,
                "end_ml": end_ml,
                "age_us": max(
                    (closed.at_us - m.read_at_us for m in closed.tanks if m.group == group), default=None
                ),
                "received_ml": received.get(group, 0),
                "sold_ml": sold_ml,
                "returned_ml": tests_ml,
                "unexplained_ml": None if gone_ml is None else gone_ml - sold_ml - running_ml,
            }
        )
    return rows
