"""A day's bill against our own books: every row finds its counterpart or stands in the list of differences.

Pure: what is compared comes as arguments. A row is matched by our own number; what it says besides (the platform's
number, the money, the state, and the ledger's entry on our side) must then agree. What our books say happened that day
must be in the bill.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from protocols.unionpay import BadSettlementRow
from protocols.wechatpay import (
    BadRow,
    Bill,
    FundRow,
    FundTotals,
    TradeRow,
    TradeTotals,
    fund_totals,
    trade_totals,
)

__all__ = ["KINDS", "Finding", "Matcher", "Ours", "Theirs", "match_funds", "match_trades", "unreadable"]

KINDS: Final = (
    "matched",
    "missing_here",
    "missing_there",
    "amount_differs",
    "state_differs",
    "number_differs",
    "ledger_differs",
    "duplicated",
    "foreign",
    "unreadable",
    "totals_differ",
)
"""What may be said of a row; all but the first are differences."""

_BILL_STATES: Final = {"FAIL": "CLOSED", "CHANGE": "ABNORMAL"}
# A refund leaves the account less the fee that is given back with it.
_NET = re.compile(r"退款总金额(\d{1,12}\.\d\d)元;含手续费(\d{1,12}\.\d\d)元", re.ASCII)
_FEE_SHARE: Final = 100  # no fee is more than a hundredth

Key = tuple[str, str]
"""(payment | refund, our number of it)."""


@dataclass(frozen=True, slots=True)
class Ours:
    """A payment or a refund in our books.

    Attributes:
        number: `out_trade_no` or `out_refund_no`.
        theirs: `transaction_id` or `refund_id`, as far as we know it.
        state: SUCCESS, or what else became of it.
        booked_fen: what the ledger says of it.
        of: the payment's `out_trade_no`, for a refund.
    """

    subject: str
    number: str
    theirs: str | None
    amount_fen: int
    state: str
    booked_fen: int
    of: str | None = None

    @property
    def key(self) -> Key:
        """Its key."""
        return self.subject, self.number


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the result. ``line`` is the bill's; None for what is missing there."""

    kind: str
    subject: str
    number: str
    line: int | None
    ours_fen: int | None
    theirs_fen: int | None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Theirs:
    """What a row says, whichever bill it stands in."""

    line: int
    subject: str
    number: str
    theirs: str
    amount_fen: int
    state: str
    of: str | None = None


class Matcher:
    """Holds the rows of one bill against our books, each once."""

    def __init__(
        self, find: Callable[[str, str], Ours | None], days: Mapping[Key, str], expected: Collection[Ours]
    ) -> None:
        self._find = find
        self._days = days
        self._expected = expected
        self.lines: dict[Key, int] = {}

    def row(self, row: Theirs, *, may_be_undone: bool = False, check_state: bool = True) -> Iterator[Finding]:
        """What is to be said of a row."""
        key = (row.subject, row.number)
        ours = self._find(*key)

        def found(kind: str, detail: str = "") -> Finding:
            known_fen = ours.amount_fen if ours is not None else None
            return Finding(kind, row.subject, row.number[:64], row.line, known_fen, row.amount_fen, detail)

        if key in self.lines:
            yield found("duplicated", f"also on line {self.lines[key]}")
            return
        self.lines[key] = row.line
        if key in self._days:
            yield found("duplicated", f"also in the bill of {self._days[key]}")
            return
        if ours is None:
            yield found("missing_here", f"no {row.subject} of ours has this number")
            return
        differences = list(_differences(ours, row, may_be_undone=may_be_undone, check_state=check_state))
        for kind, detail in differences or [("matched", "")]:
            yield found(kind, detail)

    def missing(self) -> Iterator[Finding]:
        """What was expected and stood in no row."""
        for ours in self._expected:
            if ours.key not in self.lines and ours.key not in self._days:
                detail = f"{ours.theirs or 'no number of the platform'}: not in the bill"
                yield Finding("missing_there", ours.subject, ours.number, None, ours.amount_fen, None, detail)


def _differences(
    ours: Ours, row: Theirs, *, may_be_undone: bool, check_state: bool
) -> Iterator[tuple[str, str]]:
    if ours.theirs is not None and ours.theirs != row.theirs:
        yield "number_differs", f"the platform's number is {row.theirs}, ours is {ours.theirs}"
    elif row.of is not None and ours.of != row.of:
        yield "number_differs", f"of payment {row.of}, ours is of {ours.of}"
    if ours.amount_fen != row.amount_fen:
        yield "amount_differs", f"{row.amount_fen} fen there, {ours.amount_fen} here"
    if check_state and not may_be_undone and not _agree(ours, row.state):
        yield "state_differs", f"{row.state or 'no state'} there, {ours.state} here"
    elif ours.state == "SUCCESS" and ours.booked_fen != ours.amount_fen:
        yield "ledger_differs", f"{ours.booked_fen} fen in the ledger"


def _agree(ours: Ours, state: str) -> bool:
    """The bill is older than our books: what was under way there may have ended here."""
    if ours.subject == "payment":
        return ours.state == state
    if state == "PROCESSING":
        return ours.state in {"PENDING", "PROCESSING", "SUCCESS", "ABNORMAL", "CLOSED", "CASH"}
    if (
        ours.state == "CASH"
    ):  # paid out at the station because the platform could not: it moved nothing, or had it back
        return state in {"FAIL", "CHANGE"}
    return ours.state == _BILL_STATES.get(state, state)


def match_trades(
    bill: Bill[TradeRow, TradeTotals],
    *,
    mchid: str,
    appid: str,
    find: Callable[[str, str], Ours | None],
    days: Mapping[Key, str],
    expected: Collection[Ours],
) -> list[Finding]:
    """Compare a trade bill with our books.

    Args:
        bill: as it was read.
        mchid: ours; a row that names another merchant is foreign.
        appid: ours, likewise.
        find: what we know under (subject, number).
        days: of what stands in another day's bill already, that day.
        expected: what must be in this bill (or in another day's).
    """
    found = [unreadable(bad) for bad in bill.bad]
    matcher = Matcher(find, days, expected)
    reversed_ = {row.out_trade_no for _, row in bill.rows if row.trade_state == "REVOKED"}
    for line, row in bill.rows:
        subject, number, theirs, fen = _trade_key(row)
        if (row.mchid, row.appid, row.currency) != (mchid, appid, "CNY"):
            matcher.lines.setdefault((subject, number), line)
            detail = f"of {row.mchid} and {row.appid} in {row.currency}"
            found.append(Finding("foreign", subject, number[:64], line, None, fen, detail))
        elif row.trade_state == "REVOKED":
            found.append(_reversal(row, line, find("payment", row.out_trade_no)))
        else:
            told = Theirs(
                line,
                subject,
                number,
                theirs,
                fen,
                row.refund_state if row.is_refund else "SUCCESS",
                row.out_trade_no if row.is_refund else None,
            )
            undone = not row.is_refund and row.out_trade_no in reversed_
            found += matcher.row(told, may_be_undone=undone)
    if not bill.bad:
        found += _totals(bill.totals, trade_totals(row for _, row in bill.rows))
    found += matcher.missing()
    return found


def _trade_key(row: TradeRow) -> tuple[str, str, str, int]:
    if row.trade_state == "REFUND":
        return "refund", row.out_refund_no, row.refund_id, row.refund_fen
    fen = row.refund_fen if row.trade_state == "REVOKED" else row.total_fen
    return "payment", row.out_trade_no, row.transaction_id, fen


def _reversal(row: TradeRow, line: int, ours: Ours | None) -> Finding:
    """A pay code that was reversed after it was paid: we may not have kept it."""
    kind, detail = "matched", "reversed"
    if ours is None:
        kind, detail = "missing_here", "reversed there; no payment of ours has this number"
    elif ours.state == "SUCCESS":
        kind, detail = "state_differs", "REVOKED there, SUCCESS here"
    known_fen = ours.amount_fen if ours is not None else None
    return Finding(kind, "payment", row.out_trade_no[:64], line, known_fen, row.refund_fen, detail)


def match_funds(
    bill: Bill[FundRow, FundTotals],
    *,
    find: Callable[[str, str], Ours | None],
    days: Mapping[Key, str],
    expected: Collection[Ours],
) -> list[Finding]:
    """Compare a fund bill with our books: what came in for a payment, and what went out for a refund.

    Args:
        bill: as it was read.
        find: what we know under (subject, the platform's number).
        days: of what stands in another day's bill already (by our number), that day.
        expected: what must be in this bill (or in another day's).
    """
    found = [unreadable(bad) for bad in bill.bad]
    matcher = Matcher(lambda subject, number: by_number.get((subject, number)), days, expected)
    by_number: dict[Key, Ours] = {}
    undone = {row.voucher for _, row in bill.rows if "退款" in row.kind and find("payment", row.voucher)}
    for line, row in bill.rows:
        subject = "refund" if "退款" in row.kind else "payment"
        ours = find(subject, row.business_no)
        if subject == "payment" and ours is None and row.voucher in undone:
            found.append(_undone(row, line, find("payment", row.voucher)))
        elif subject == "payment" and row.is_income and ours is not None:
            by_number[ours.key] = ours
            told = Theirs(line, subject, ours.number, row.business_no, row.amount_fen, "SUCCESS")
            found += matcher.row(told)
        elif subject == "refund" and not row.is_income and ours is not None:
            by_number[ours.key] = ours
            fen = ours.amount_fen if _is_net(row, ours.amount_fen) else row.amount_fen
            told = Theirs(line, subject, ours.number, row.business_no, fen, "SUCCESS")
            # Money moves when a refund is accepted; what became of it is the trade bill's matter.
            found += matcher.row(told, check_state=False)
        else:
            found.append(_beside(row, line, ours or find("payment", row.business_no), find))
    if not bill.bad:
        found += _totals(bill.totals, fund_totals(row for _, row in bill.rows))
    found += matcher.missing()
    return found


def _is_net(row: FundRow, refund_fen: int) -> bool:
    """Whether a row is this refund less its part of the fee: as its note says, or else by no more than a fee can be."""
    said = _NET.fullmatch(row.note)
    if said is None:
        return refund_fen - (refund_fen + _FEE_SHARE - 1) // _FEE_SHARE <= row.amount_fen <= refund_fen
    total_fen, fee_fen = (int(text.replace(".", "")) for text in said.groups())
    return total_fen == refund_fen and total_fen - fee_fen == row.amount_fen


def _beside(row: FundRow, line: int, ours: Ours | None, find: Callable[[str, str], Ours | None]) -> Finding:
    """Rows that follow from another: a fee, a refund that came back, a reversal. Anything else is not ours."""
    kind, detail = "matched", ""
    if "手续费" in row.kind:
        detail = "fee"
        if ours is None:
            kind, detail = "missing_here", "a fee for nothing of ours"
    elif ours is not None and ours.subject == "refund":
        detail = "the refund came back"
        if ours.state not in {"CLOSED", "ABNORMAL", "CASH"}:
            kind, detail = "state_differs", f"came back there, {ours.state} here"
    elif "退款" in row.kind and (reversed_ := find("payment", row.voucher)) is not None:
        ours, detail = reversed_, "reversed"
        if ours.state == "SUCCESS":
            kind, detail = "state_differs", "reversed there, SUCCESS here"
    else:
        kind, detail = (
            "missing_here",
            f"{row.name} {row.kind}: nothing of ours has this number of the platform's",
        )
    number = row.business_no if ours is None or detail == "fee" else ours.number
    subject = "fund" if ours is None or detail == "fee" else ours.subject
    known_fen = ours.amount_fen if ours is not None and detail != "fee" else None
    return Finding(kind, subject, number[:64], line, known_fen, row.amount_fen, detail)


def _undone(row: FundRow, line: int, ours: Ours | None) -> Finding:
    """What a pay code brought before it was reversed, and its fee: we never learnt the platform's number of it."""
    assert ours is not None  # noqa: S101 - the caller has found it
    kind, detail = "matched", "reversed"
    if row.is_income and row.amount_fen != ours.amount_fen:
        kind, detail = "amount_differs", f"{row.amount_fen} fen there, {ours.amount_fen} here"
    subject, number = ("payment", ours.number) if row.is_income else ("fund", row.business_no)
    known_fen = ours.amount_fen if row.is_income else None
    return Finding(kind, subject, number[:64], line, known_fen, row.amount_fen, detail)


def unreadable(bad: BadRow | BadSettlementRow) -> Finding:
    """The finding about a row that cannot be read."""
    where = f"{bad.field}: " if bad.field else ""
    return Finding("unreadable", "bill", "", bad.line, None, None, f"{where}{bad.problem}")


def _totals(theirs: TradeTotals | FundTotals | None, true: TradeTotals | FundTotals) -> Iterator[Finding]:
    if theirs is not None and theirs != true:
        wrong = [
            f"{name} {getattr(theirs, name)}, its rows make {getattr(true, name)}"
            for name in true.__dataclass_fields__
            if getattr(theirs, name) != getattr(true, name)
        ]
        yield Finding("totals_differ", "bill", "", None, None, None, "; ".join(wrong))
