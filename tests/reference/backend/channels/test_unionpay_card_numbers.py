"""A gateway that shows whole card numbers, in every notice and reply: none of them stays with the merchant."""

from __future__ import annotations

import logging

import pytest

from scenarios.leaks import Finder, Scan, make_canaries
from scenarios.verdicts import Verdict
from sim.unionpay.ids import Ids

from .test_unionpay_channels import finger

CANARIES = make_canaries("unionpay", cards=60, phones=0)


@pytest.mark.requirement("sec.no-card-number-anywhere")
def test_what_unionpay_tells_of_cards_is_not_kept(shop, monkeypatch, tmp_path, caplog):
    cards = iter(CANARIES)
    shown = []

    def whole(ids):
        shown.append(next(cards))
        return shown[-1].digits

    monkeypatch.setattr(Ids, "masked_card", whole)
    codes = iter(
        [
            canary
            for canary in reversed(CANARIES)
            if len(canary.digits) == 19 and canary.digits.startswith("62")
        ]
    )
    used = []

    def code(ids):
        used.append(next(codes))
        return used[-1].digits

    monkeypatch.setattr(Ids, "payer_code", code)
    caplog.set_level(logging.DEBUG)

    async def scene(s):
        for nozzle, channel in enumerate(("unionpay-qr", "unionpay-jump"), start=1):
            order = await s.order(nozzle=nozzle)
            await finger(s, await s.pay(order, channel), channel)
            assert (await s.until(order, "PAID", "COMPLETED"))["paid_fen"] == 9600
        sale = await s.sale(nozzle=3)
        await s.scan(sale, await s.union_code())
        s.database.copy_to(tmp_path / "backend.sqlite3")

    shop().run(scene)
    assert len(shown) >= 3
    assert len(used) == 1
    (tmp_path / "run.log").write_text(caplog.text)
    scan = Scan(Finder([*shown, *used]))
    scan.folder(tmp_path)
    assert (scan.report.verdict, [finding.as_json() for finding in scan.report.findings]) == (
        Verdict.PASS,
        [],
    )
    assert scan.report.rows > 50
