"""A member's phone: debits by contract, points, coupons and balance towards the bill."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sim.people import (
    CarPlan,
    Wallet,
)

from .phone_rig import DELIVERED, WHO, Rig, S, plan


def fuelled(rig: Rig, car: CarPlan, *, after: Any = None):
    """Order, fuel for a minute, pay."""
    assert (yield rig.phones.order(car, WHO, 5))

    def ended():
        rig.backend.update(state="PAYABLE", volume_ml=20_000, amount_fen=15_200, payable_fen=15_200)
        if after is not None:
            rig.kernel.call_later(2 * S, after)

    rig.kernel.call_later(60 * S, ended)
    yield rig.kernel.env.timeout(61 * S)
    paid = yield rig.phones.pay(car, WHO, 5, DELIVERED)
    rig.phones.forget(car)
    return paid


BY_CONTRACT = plan(channel="wechatpay-contract")


def test_a_member_signs_once_and_is_debited_without_a_tap(rig: Rig) -> None:
    assert rig.run(fuelled(rig, BY_CONTRACT, after=rig.backend.paid)) is True
    assert rig.backend.contract == "active"
    assert rig.backend.order["asked"]["auto_pay"] is True
    assert (rig.backend.wishes, rig.told("phone.pay_tapped"), rig.told("phone.trouble")) == ([], [], [])


def test_a_debit_that_comes_before_the_driver_looks_is_paid(rig: Rig) -> None:
    rig.kernel.call_later(30 * S, rig.backend.paid)

    def visit():
        assert (yield rig.phones.order(BY_CONTRACT, WHO, 5))
        yield rig.kernel.env.timeout(60 * S)
        return (yield rig.phones.pay(BY_CONTRACT, WHO, 5, DELIVERED))

    assert rig.run(visit(), until_s=100) is True


def test_a_debit_that_fails_is_paid_in_the_cashier(rig: Rig) -> None:
    def failed():
        rig.backend.update(state="PAYABLE", notice="contract_debit_failed")

    assert rig.run(fuelled(rig, BY_CONTRACT, after=failed)) is True
    assert rig.backend.wishes == [{"channel": "wechatpay"}]
    assert [event["what"] for event in rig.told("phone.trouble")] == ["debit of ord1: contract_debit_failed"]


def test_a_member_who_cannot_sign_pays_like_any_other(rig: Rig) -> None:
    async def refuse(_request: Request) -> Response:
        return JSONResponse({"code": "channel_unavailable", "message": "not open"}, 409)

    rig.backend.app.router.routes.insert(0, Route("/v1/me/contract", refuse, methods=["POST"]))
    assert rig.run(fuelled(rig, BY_CONTRACT)) is True
    assert "auto_pay" not in rig.backend.order["asked"]
    assert rig.backend.wishes == [{"channel": "wechatpay"}]


MEMBER = plan(wallet=Wallet(points=300, coupon_fen=1_000, coupon_from_fen=10_000, balance_fen=50_000))


def coupon(coupon_id: str, worth_fen: int, min_fen: int) -> dict[str, Any]:
    return {"coupon_id": coupon_id, "worth_fen": worth_fen, "min_fen": min_fen, "expires_us": 2**60}


def test_a_member_is_given_what_he_holds_once_though_an_answer_is_lost(rig: Rig) -> None:
    def visit():
        assert (yield rig.phones.order(MEMBER, WHO, 5))
        assert (yield rig.phones.order(MEMBER, WHO, 6))

    rig.backend.loses_gifts = True
    rig.run(visit())
    assert [(body["what"], body["openid"]) for body in rig.backend.given] == [
        ("grants", WHO.openid),
        ("coupons", WHO.openid),
    ]
    assert (rig.backend.given[0]["points"], rig.backend.given[0]["balance_fen"]) == (300, 50_000)
    assert rig.told("phone.trouble") == []
    assert (rig.backend.given[1]["worth_fen"], rig.backend.given[1]["min_fen"]) == (1_000, 10_000)


@pytest.mark.parametrize(
    ("held", "parts"),
    [
        ({"points": 300}, {"points": 300, "coupon_id": None, "balance_fen": 0}),
        (
            {"points": 300, "balance_fen": 500, "coupons": [coupon("big", 9_000, 15_201), coupon("c", 1_000, 15_200)]},
            {"points": 300, "coupon_id": "c", "balance_fen": 500},
        ),
        ({"balance_fen": 50_000, "points": 200}, {"points": 200, "coupon_id": None, "balance_fen": 15_000}),
        ({"points": 305, "points_per_fen": 10}, {"points": 300, "coupon_id": None, "balance_fen": 0}),
        ({"points": 9, "points_per_fen": 10}, None),
        ({"coupons": [coupon("c", 20_000, 0)], "points": 50}, {"points": 0, "coupon_id": "c", "balance_fen": 0}),
    ],
)  # fmt: skip
def test_what_a_member_puts_towards_the_bill(
    rig: Rig, held: dict[str, Any], parts: dict[str, Any] | None
) -> None:
    rig.backend.held |= held
    assert rig.run(fuelled(rig, MEMBER)) is True
    assert rig.backend.wishes == [{"channel": "wechatpay", **({} if parts is None else {"parts": parts})}]


def test_who_pays_with_balance_alone_confirms_nothing(rig: Rig) -> None:
    rig.backend.held["balance_fen"] = 15_200
    assert rig.run(fuelled(rig, MEMBER)) is True
    assert (rig.told("phone.sheet"), rig.told("phone.confirmed")) == ([], [])
