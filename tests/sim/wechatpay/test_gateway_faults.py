"""Faults of replies: refused, held, forged; and fault data that makes no sense."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from protocols.wechatpay import SignatureRefusedError, verify_reply
from sim.faults import FaultError
from sim.wechatpay import GatewayFault

S = 1_000_000


def test_a_500_before_the_commit_leaves_nothing(make_world) -> None:
    world = make_world(GatewayFault(kind="refuse", name="down", at=("prepay",), limit=1))
    reply = world.run(world.call("POST", "/v3/pay/transactions/jsapi", world.prepay_body()))
    assert (reply.status_code, reply.json()["code"]) == (500, "SYSTEM_ERROR")
    assert not world.gateway.ledger.orders
    world.run(world.prepay())


@pytest.mark.parametrize(
    ("code", "status"), [("SYSTEM_ERROR", 500), ("SERVICE_UNAVAILABLE", 503), ("FREQUENCY_LIMITED", 429)]
)
def test_a_refused_refund_may_have_happened(make_world, code: str, status: int) -> None:
    world = make_world(
        GatewayFault(kind="refuse", name="unknown", at=("refund",), code=code, after_commit=True, limit=1)
    )
    world.run(world.paid())
    reply = world.run(world.refund("R1", 100))
    assert (reply.status_code, reply.json()["code"]) == (status, code)
    assert world.run(world.call("GET", "/v3/refund/domestic/refunds/R1")).json()["status"] == "SUCCESS"
    assert world.gateway.faults.report() == {"unknown": {"met": 1, "landed": 1}}


def test_a_time_out_after_the_commit(make_world) -> None:
    fault = GatewayFault(
        kind="timeout", name="slow", at=("prepay",), after_commit=True, delay_us=30 * S, limit=1
    )
    world = make_world(fault)

    async def story() -> tuple[int, int]:
        reply = await world.call("POST", "/v3/pay/transactions/jsapi", world.prepay_body())
        return reply.status_code, world.kernel.now_us

    assert world.run(story()) == (200, 30 * S)
    assert world.gateway.ledger.orders[0].out_trade_no == "ORDER00001"


def test_a_time_out_before_the_commit(make_world) -> None:
    world = make_world(GatewayFault(kind="timeout", name="slow", at=("close",), delay_us=9 * S))
    world.run(world.prepay())

    async def story() -> tuple[int, int]:
        return (await world.close()).status_code, world.kernel.now_us

    assert world.run(story()) == (500, 9 * S)
    assert world.run(world.query()).json()["trade_state"] == "NOTPAY"


@pytest.mark.parametrize(
    ("forgery", "reason"),
    [
        ("probe", "probe"),
        ("wrong-key", "signature"),
        ("unknown-serial", "unknown-serial"),
        ("stale", "timestamp"),
        ("no-headers", "missing-header"),
        ("tampered", "signature"),
    ],
)
def test_forged_replies_are_refused(make_world, forgery: str, reason: str) -> None:
    world = make_world(
        GatewayFault(kind="reply-signature", name="forged", at=("certificates",), forgery=forgery)
    )
    reply = world.run(world.call("GET", "/v3/certificates", check=False))
    assert reply.status_code == 200
    with pytest.raises(SignatureRefusedError) as refused:
        verify_reply(
            world.merchant.credentials.trust,
            reply.headers,
            reply.content,
            now_s=world.kernel.unix_us // S,
        )
    assert refused.value.reason == reason
    assert world.gateway.faults.report()["forged"]["landed"] == 1


def test_a_fault_keeps_to_its_time_and_chance(make_world) -> None:
    world = make_world(
        GatewayFault(kind="refuse", name="window", at=("query",), at_us=10 * S, for_us=10 * S),
        GatewayFault(kind="refuse", name="half", at=("close",), probability=0.5),
    )

    async def story() -> list[int]:
        await world.prepay()
        statuses = []
        for _ in range(3):
            await asyncio.sleep(7)
            statuses.append((await world.query()).status_code)
        for _ in range(40):
            await world.close()
        return statuses

    assert world.run(story()) == [200, 500, 200]
    report = world.gateway.faults.report()["half"]
    assert report["met"] == 40
    assert 8 <= report["landed"] <= 32


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"kind": "nonsense"}, "kind must be one of"),
        ({"kind": "refuse", "code": "NONSENSE"}, "code must be one of"),
        ({"kind": "refuse", "code": "NOT_ENOUGH", "at": ["prepay"]}, "at must be one of refund"),
        ({"kind": "timeout", "at": ["nowhere"]}, "at must be one of"),
        ({"kind": "timeout", "at": "prepay"}, "must be a list"),
        ({"kind": "timeout", "delay_us": -1}, "delay_us"),
        ({"kind": "timeout", "delay_us": 1.5}, "delay_us"),
        ({"kind": "callback-duplicate", "copies": 0}, "copies"),
        ({"kind": "callback-duplicate", "copies": 51}, "copies"),
        ({"kind": "callback-lost", "attempts": -1}, "attempts"),
        ({"kind": "callback-signature", "forgery": "crayon"}, "forgery must be one of"),
        ({"kind": "timeout", "colour": "red"}, "no field 'colour'"),
        ({"kind": "timeout", "probability": 0}, "probability"),
    ],
)
def test_impossible_faults_are_named(data: dict[str, Any], text: str) -> None:
    with pytest.raises(FaultError, match=text):
        GatewayFault.from_dict(data)


def test_the_control_api(make_world) -> None:
    world = make_world()
    world.run(world.paid())
    transport = httpx.ASGITransport(app=world.gateway.control_app)
    control = httpx.AsyncClient(transport=transport, base_url="https://control")

    def ask(method: str, path: str, data: Any = None) -> httpx.Response:
        return world.run(control.request(method, path, json=data))

    assert ask("GET", "/orders").json()[0]["trade_state"] == "SUCCESS"
    assert ask("GET", "/notices").json()[0]["attempts"][0]["outcome"] == "204"
    assert {"states", "refusals"} == set(ask("GET", "/tables").json())
    fault = {"kind": "refund-abnormal", "name": "bounce", "limit": 1}
    assert ask("POST", "/faults", fault).status_code == 204
    assert "bounce" in ask("POST", "/faults", fault).json()["message"]
    assert ask("POST", "/faults", {"kind": "timeout"}).status_code == 400
    assert ask("POST", "/faults", [1]).status_code == 400
    world.run(world.refund("R1", 100))
    assert ask("GET", "/refunds").json()[0]["status"] == "ABNORMAL"
    assert ask("POST", "/refunds/1900000109/R1/settle").status_code == 204
    assert ask("POST", "/refunds/1900000109/R1/settle").status_code == 409
    assert ask("POST", "/refunds/1900000109/R2/settle").status_code == 404
    assert ask("DELETE", "/faults/bounce").status_code == 204
    assert ask("DELETE", "/faults/bounce").status_code == 404
    assert ask("GET", "/faults").json()["faults"] == {"bounce": {"met": 1, "landed": 1}}
    serial = world.gateway.signer.keys.certificates[1].serial
    assert ask("POST", "/rotate", {"serial": serial}).status_code == 204
    assert ask("POST", "/rotate", {"serial": "00"}).status_code == 400
