"""Members, debits by contract and the daily reconciliation in one evening of a station, with what may go wrong."""

from __future__ import annotations

import functools
import io
import json
from typing import Any

import pytest

from reference.backend import sales
from reference.backend.members import members
from reference.backend.members.members import Members
from reference.backend.receipts import receipt_of
from reference.backend.reconciliation import match
from reference.backend.refunds.refunds import Refunds
from scenarios.loader import load
from scenarios.model import Scenario
from scenarios.oracles import judge_all
from scenarios.runner.virtual import VirtualRun, run_once
from scenarios.verdicts import Verdict
from sim.people import CarPlan, Phones

CHECKS: dict[str, dict[str, int]] = {
    "faults.landed": {},
    "conservation.money": {},
    "money.reconciled": {},
    "money.tender-adds-up": {},
    "money.debits-agreed": {},
    "sale.exactly-once": {},
    "invoice.one-per-sale": {},
    "order.concluded": {},
    "receipt.equals-ledger": {},
    "voice.exactly-once": {},
    "shift.sales-add-up": {},
    "operations.succeeded": {},
    "liveness.settled": {"settle_us": 900_000_000},
}


def evening(**changes: Any) -> Scenario:
    """Ten minutes before nine in the evening, and the night until the bills have come."""
    told = load("kunming-peak").scenario.model_dump(mode="json")
    told |= {"wall": None, "curve": None, "replications": 0, "settle_s": 54_000, "idle_polls": "left_out"}
    told["backend"] = {"instances": 2, "reconcile_at_s": 37_800}
    told["station"]["start_local"] = "2026-03-02T21:00:00"
    told["services"]["loudspeaker"] = {"kind": "clips", "leg": {"kind": "constant", "value_ms": 60}}
    told["shift_changes"] = [{"at_s": 60, "attendant": "王丽"}, {"at_s": 900, "attendant": "李强"}]
    told["checks"] = [{"check": check, "limits": limits} for check, limits in CHECKS.items()]
    told["demand"] |= {
        "duration_s": 600,
        "hourly_shape": [1.0] * 24,
        "adoption": 0.8,
        "phone_mix": {"order_first": 0.7, "scan_after": 0.3},
        "phone_channels": {"wechatpay": 0.5, "unionpay-qr": 0.1, "wechatpay-contract": 0.4},
        "kiosk_mix": {"card": 0.6, "wechatpay-code": 0.4},
        "prepay": {"amount_share": 0.5, "undelivered_share": 1.0},
        "members": {
            "points_share": 0.5, "points": 3_000, "coupon_share": 0.4, "coupon_fen": 2_000, "coupon_from_fen": 10_000,
            "balance_share": 0.4, "balance_fen": 60_000,
        },
    }  # fmt: skip
    return Scenario.model_validate(told | changes)


def judged(scenario: Scenario, seed: str) -> tuple[VirtualRun, list[str], list[dict[str, Any]]]:
    events = io.StringIO()
    run = run_once(scenario, seed, skip_idle_polls=True, events=events)
    results = judge_all(run.record, [(check.check, check.limits) for check in scenario.checks])
    bad = [f"{r.verdict} {r.check}: {r.message}" for r in results if r.verdict is not Verdict.PASS]
    return run, bad, [json.loads(line) for line in events.getvalue().splitlines()]


FAULTS = [
    {"target": "gateway", "kind": "debit_failed", "at_s": 60, "for_s": 400, "share": 0.6},
    {"target": "gateway", "kind": "callback_lost", "at_s": 60, "for_s": 600, "share": 0.3},
    {"target": "gateway", "kind": "callback_duplicated", "at_s": 0, "for_s": 900, "share": 0.5},
    {"target": "backend", "instance": "a", "at_s": 400, "for_s": 60},
    {"target": "http", "client": "backend-b", "host": "api.mch.weixin.qq.com", "kind": "reply_lost", "at_s": 300, "for_s": 300, "share": 0.3},
    {"target": "gateway", "kind": "bill_missing", "at_s": 3_600, "share": 0.3},
    {"target": "gateway", "kind": "bill_extra", "at_s": 3_600, "share": 0.3},
    {"target": "gateway", "kind": "bill_amount", "at_s": 3_600, "share": 0.3},
    # Dead when the bills are due: the other instance compares them, or this one when it is back.
    {"target": "backend", "instance": "b", "at_s": 48_590, "for_s": 120},
]  # fmt: skip


@pytest.mark.timeout(120)
@pytest.mark.requirement(
    "pay.reconciliation-finds-differences",
    "pay.mixed-tender-sums-exactly",
    "pay.failed-contract-debit-becomes-unpaid",
)
def test_an_evening_with_every_kind_of_money_adds_up_although_much_goes_wrong() -> None:
    run, bad, events = judged(evening(faults=FAULTS), "1")
    assert bad == []
    troubles = [event["what"] for event in events if event["kind"] == "phone.trouble"]
    assert any("contract_debit_failed" in what for what in troubles)
    record = run.record
    assert record.members is not None
    assert record.reconciliation is not None
    assert {part.kind for part in record.members.parts} == {"points", "coupon", "balance"}
    assert {planted.kind for planted in record.reconciliation.planted} == {"missing", "extra", "amount"}
    # UnionPay's settlement file is among the bills, and has differences of its own.
    assert [run.bill for run in record.reconciliation.runs] == ["fund", "trade", "unionpay"]
    assert {planted.bill for planted in record.reconciliation.planted} == {"trade", "unionpay"}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", ["2", "3", "4", "5"])
def test_other_evenings(seed: str) -> None:
    _, bad, _ = judged(evening(faults=FAULTS), seed)
    # A refused debit, or a fault of one instance, may find nothing to strike in so short a time.
    assert [line for line in bad if "faults.landed" not in line] == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"backend": {"instances": 2}}, "judges a reconciliation, but there is none"),
        (
            {"backend": {"instances": 2}, "checks": [{"check": "conservation.money"}], "faults": [FAULTS[5]]},
            "spoils a bill, but nobody fetches one",
        ),
        ({"backend": {"reconcile_at_s": 86_400}}, "less than 86400"),
        ({"wall": {}}, "some drivers are members, which the world of a measurement does not know"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        evening(**changes)


def test_a_debit_that_fails_where_nobody_has_signed_is_refused() -> None:
    told = evening().model_dump(mode="json")
    told["demand"]["phone_channels"] = {"wechatpay": 1.0}
    with pytest.raises(ValueError, match="fails a debit, but nobody pays by contract"):
        Scenario.model_validate(told | {"faults": [FAULTS[0]]})


def test_members_without_anything_are_refused() -> None:
    told = evening().model_dump(mode="json")
    told["demand"]["members"] = {"points": 5}
    with pytest.raises(ValueError, match="members need one of points_share, coupon_share and balance_share"):
        Scenario.model_validate(told)


def _finds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reconciliation that looks at the numbers alone."""
    monkeypatch.setattr(match, "_differences", lambda *_args, **_more: ())


def _books_no_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts are taken and stand nowhere in the ledger."""

    async def take(self: Members, tx: Any, order: Any, number: str) -> int:
        rows = await tx.rows(members._PARTS, {"number": number})
        for part in rows:
            await self._set(tx, part, "taken")
        return sum(part.amount_fen for part in rows)

    monkeypatch.setattr(Members, "take", take)


def _refunds_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a prepayment everything goes back, not only what was not delivered."""
    give_back = Refunds.give_back

    async def all_of_it(self: Refunds, tx: Any, order: Any, amount_fen: int, reason: str) -> None:
        await give_back(self, tx, order, order.payable_fen, reason)

    monkeypatch.setattr(Refunds, "give_back", all_of_it)


def _leaves_accounts_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Points and balance pay, and stay where they are."""

    async def add(self: Members, tx: Any, openid: str, points: int, balance_fen: int) -> bool:
        return points < 0 or balance_fen < 0 or await _ADD(self, tx, openid, points, balance_fen)

    monkeypatch.setattr(Members, "_add", add)


_ADD = Members._add


def _prints_cash(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever paid, the receipt says that it was cash."""

    def receipt(sale: Any, **said: Any) -> dict[str, Any]:
        return receipt_of(sale, **said | {"tender": "cash"})

    monkeypatch.setattr(sales, "receipt_of", receipt)


def _charges_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts are held, and the channel is asked for everything all the same."""
    hold = Members.hold

    async def forget(self: Members, *args: Any) -> int:
        await hold(self, *args)
        return 0

    monkeypatch.setattr(Members, "hold", forget)


def _debits_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has signed is debited for every order, whether the phone asked for it or not."""
    monkeypatch.setattr(Phones, "order", functools.partialmethod(_without_asking, ordinary=Phones.order))


def _without_asking(self: Phones, plan: CarPlan, *args: Any, ordinary: Any) -> Any:
    app = self._app(plan, args[0])
    app.tell = functools.partial(_silently, app.tell)  # type: ignore[method-assign]
    return ordinary(self, plan, *args)


def _silently(tell: Any, kind: str, **fields: Any) -> None:
    fields.pop("auto_pay", None)
    tell(kind, **fields)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("spoil", "check"),
    [
        (_finds_nothing, "money.reconciled"),
        (_books_no_parts, "money.tender-adds-up"),
        (_charges_the_whole, "money.tender-adds-up"),
        (_debits_everybody, "money.debits-agreed"),
        (_refunds_everything, "liveness.settled"),
        (_leaves_accounts_alone, "money.tender-adds-up"),
        (_prints_cash, "receipt.equals-ledger"),
    ],
)
def test_a_backend_that_does_it_wrong_is_caught(
    spoil: Any, check: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch)
    _, bad, _ = judged(evening(faults=FAULTS), "1")
    assert [line for line in bad if line.startswith(f"FAIL {check}:")] != []
