"""What a run leaves behind of its daily reconciliation; a part of `scenarios.record.RunRecord`.

Movements are the payment gateway's own ledger, planted differences what its faults did to its bills, runs and findings the backend's,
as its API shows them; the books are the backend's ledger. Days are days in Beijing, like 2026-03-02; times are microseconds of the
run's clock.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BillFinding", "BillRun", "Movement", "Planted", "ReconciliationRecord"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """A row that the bills of a day must have.

    Attributes:
        provider: whose: ``wechatpay``, with a trade bill and a fund bill, or ``unionpay``, with a settlement file for a clearing day.
        subject: ``payment`` or ``refund``.
        number: the merchant's number of it.
        known_days: in which day's bill the backend's books must look for it: the day on which they have it as done, with the day
            beside it for what is within ten minutes of midnight. Empty: they do not have it.
        in_trade: False for what only the account's own bill shows: a refund that came back.
    """

    day: str
    subject: str
    number: str
    amount_fen: int
    known_days: tuple[str, ...] = ()
    in_trade: bool = True
    provider: str = "wechatpay"


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """A difference that a fault has planted in a trade bill or a settlement file.

    ``kind``: ``missing``, ``extra``, ``amount`` or ``other-day``.
    """

    day: str
    kind: str
    subject: str
    number: str
    bill: str = "trade"


@dataclass(frozen=True, slots=True, kw_only=True)
class BillRun:
    """A bill (``trade``, ``fund`` or ``unionpay``) that was compared; ``state`` is matched, differs or unreadable."""

    day: str
    bill: str
    state: str
    compared: int
    differences: int
    done_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BillFinding:
    """What was said of one row. ``in_bill`` is False for what the books have and the bill has not."""

    day: str
    bill: str
    kind: str
    subject: str
    number: str
    in_bill: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconciliationRecord:
    """A run's days.

    Attributes:
        bills: what there is to compare for each day.
        due: each day of the run with the instant at which its bills could be compared.
        gateway_fen: what the gateway holds of each of the merchant's numbers at the end: paid less given back.
        books_fen: what the backend's ledger says of the same.
        under_way: numbers of which a payment or a refund was under way when the run ended.
    """

    bills: tuple[str, ...] = ("trade", "fund")
    due: tuple[tuple[str, int], ...] = ()
    movements: tuple[Movement, ...] = ()
    planted: tuple[Planted, ...] = ()
    runs: tuple[BillRun, ...] = ()
    findings: tuple[BillFinding, ...] = ()
    gateway_fen: tuple[tuple[str, int], ...] = ()
    books_fen: tuple[tuple[str, int], ...] = ()
    under_way: frozenset[str] = frozenset()
