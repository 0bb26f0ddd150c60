"""A pay code that was paid and reversed before we knew of it stands in both bills and in none of our books: that is no difference."""

from __future__ import annotations

import dataclasses

import pytest

from protocols.wechatpay import Bill, FundRow
from reference.backend.reconciliation.match import Ours, match_funds

PAID = FundRow(
    at_unix_s=1_767_200_000,
    business_no="4200000001",
    flow_no="4200000001",
    name="交易",
    kind="交易",
    direction="收入",
    amount_fen=9_600,
    balance_fen=9_600,
    applicant="system",
    voucher="N1",
)
FEE = dataclasses.replace(PAID, kind="扣除交易手续费", direction="支出", amount_fen=58)
BACK = dataclasses.replace(
    PAID, business_no="5030000001", name="退款", kind="退款", direction="支出", amount_fen=9_542
)
CLOSED = Ours("payment", "N1", None, 9_600, "CLOSED", 0)


def kinds(*rows: FundRow, ours: Ours | None = CLOSED) -> list[tuple[str, str, str]]:
    # Our books know the number; the platform's own was never told.
    known = {("payment", "N1"): ours}
    bill = Bill(rows=tuple(enumerate(rows, 2)), bad=(), totals=None)
    found = match_funds(bill, find=lambda *key: known.get(key), days={}, expected=())
    return [(one.kind, one.subject, one.number) for one in found]


@pytest.mark.requirement("pay.reconciliation-finds-differences")
def test_money_that_came_and_went_is_no_difference() -> None:
    assert kinds(PAID, FEE, BACK) == [
        ("matched", "payment", "N1"),
        ("matched", "fund", "4200000001"),
        ("matched", "payment", "N1"),
    ]


@pytest.mark.requirement("pay.reconciliation-finds-differences")
def test_money_that_came_and_did_not_go_is_one() -> None:
    assert [kind for kind, *_ in kinds(PAID, FEE)] == ["missing_here", "missing_here"]
    assert [kind for kind, *_ in kinds(PAID, FEE, BACK, ours=None)] == ["missing_here"] * 3
    more = dataclasses.replace(PAID, amount_fen=9_601)
    assert [kind for kind, *_ in kinds(more, FEE, BACK)] == ["amount_differs", "matched", "matched"]
