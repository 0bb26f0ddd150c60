"""A mixed tender on paper: what points, coupon and balance paid stands under the way of payment, and no figure is changed by it."""

from __future__ import annotations

import pytest

from reference.site.receipts.text import receipt_content
from sim.printer import CHINESE_58MM, CHINESE_80MM

from .spooler_rig import Desk, receipt

PARTS = [
    {"tender": "balance", "units": 2500, "amount_fen": 2500},
    {"tender": "coupon", "units": 1, "amount_fen": 1000},
    {"tender": "points", "units": 3005, "amount_fen": 601},
]
TENDER = "wechatpay+balance+coupon+points"


@pytest.mark.requirement("prn.receipt-content-equals-ledger")
@pytest.mark.parametrize("profile", [CHINESE_80MM, CHINESE_58MM], ids=lambda profile: profile.name)
def test_each_part_is_a_row_of_the_paper(profile):
    desk = Desk(profile=profile)
    desk.add(7, tender=TENDER, parts=PARTS)
    desk.run(20)
    (facts,) = desk.papers()
    assert (facts.amount_fen, facts.paid_fen, facts.discount_fen or 0) == (15_000, 15_000, 0)
    (paper,) = desk.printer.receipts
    squeezed = paper.text.replace(" ", "").replace("\n", "")
    assert "微信支付+余额+优惠券+积分" in squeezed
    for row in ("余额抵付25.00", "优惠券抵付10.00", "积分抵付3005分6.01"):
        assert row in squeezed
    desk.journal.close()


def test_a_receipt_of_one_tender_has_no_such_rows():
    assert receipt_content(receipt(7)).parts == ()


@pytest.mark.parametrize("parts", [[{"tender": "points", "units": 3}], ["points"], 5])
def test_parts_that_cannot_be_read_are_refused_by_name(parts):
    with pytest.raises(ValueError, match="receipt"):
        receipt_content({**receipt(7), "parts": parts})
