"""Failure and latency profiles are data; a merchant that keeps asking gets through a storm."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from protocols.sansio import ProtocolError
from protocols.wechatpay import verify_reply
from sim.faults import FaultError
from sim.latency import LatencyError, LatencyProfile
from sim.wechatpay import FAILURES, GatewayProfile, Switches, failures

DONE = {"SUCCESS", "PAYERROR", "REVOKED", "REFUND"}


@pytest.mark.parametrize("name", list(FAILURES))
def test_every_profile_is_a_list_of_good_faults(name: str) -> None:
    faults = failures(name)
    assert len({fault.name for fault in faults}) == len(faults) == len(FAILURES[name])
    assert all(fault.name.startswith(f"{name}/") for fault in faults)


def test_unknown_profiles_are_named() -> None:
    with pytest.raises(FaultError, match="calm, rough, storm"):
        failures("sunny")


def test_latencies_as_data() -> None:
    profile = GatewayProfile.from_dict({"codepay": {"kind": "constant", "value_us": 5}})
    assert profile.codepay == LatencyProfile.constant(5)
    assert profile.prepay == GatewayProfile().prepay
    for bad, text in (
        ({"codepays": {}}, "no latency 'codepays'"),
        ({"codepay": 5}, "must be an object"),
        ({"codepay": {"kind": "gamma"}}, "gamma"),
    ):
        with pytest.raises(LatencyError, match=text):
            GatewayProfile.from_dict(bad)


class Stubborn:
    """A merchant that believes only verified replies and asks until it knows; it reverses what stays open."""

    def __init__(self, world: Any) -> None:
        self._world = world

    async def ask(self, *call: Any) -> dict[str, Any] | None:
        reply = await self._world.call(*call, check=False)
        if reply.status_code >= 300:
            return reply.json() if reply.status_code < 500 and reply.status_code != 429 else None
        try:
            now_s = self._world.kernel.unix_us // 1_000_000
            verify_reply(self._world.merchant.credentials.trust, reply.headers, reply.content, now_s=now_s)
        except ProtocolError:
            return None
        found: dict[str, Any] = reply.json()
        return found

    async def charge(self, number: str) -> str:
        own = self._world.merchant.credentials
        body = self._world.codepay_body(
            await self._world.show_code(then="confirm", delay_us=9_000_000), number
        )
        target = f"/v3/pay/transactions/out-trade-no/{number}"
        known = await self.ask("POST", "/v3/pay/transactions/codepay", body)
        for _ in range(100):
            if known is not None and known.get("trade_state") in DONE:
                return str(known["trade_state"])
            await asyncio.sleep(5)
            known = await self.ask("GET", f"{target}?mchid={own.mchid}")
            if known is not None and known.get("code") == "ORDER_NOT_EXIST":
                known = await self.ask("POST", "/v3/pay/transactions/codepay", body)
        return "unknown"


def test_a_stubborn_merchant_comes_through_a_storm(make_world) -> None:
    world = make_world(
        *failures("storm"), profile=GatewayProfile(), switches=Switches(free_payments_a_day=1_000)
    )
    shop = Stubborn(world)

    async def story() -> list[str]:
        return await asyncio.gather(*(shop.charge(f"STORM{number:05}") for number in range(60)))

    states = world.run(story())
    assert "unknown" not in states
    assert states.count("SUCCESS") > 40
    paid = [order for order in world.gateway.ledger.orders if order.transaction_id]
    assert len(paid) == states.count("SUCCESS")
    landed = {name: row["landed"] for name, row in world.gateway.faults.report().items()}
    for name in ("refuse", "busy", "timeout", "lost", "password-asked", "reply-signature"):
        assert landed[f"storm/{name}"] > 0, name


def test_profiles_by_hand(make_world) -> None:
    world = make_world()
    transport = httpx.ASGITransport(app=world.gateway.control_app)
    hand = httpx.AsyncClient(transport=transport, base_url="http://control")

    async def story() -> None:
        assert (await hand.post("/failures/rough")).status_code == 204
        assert (await hand.post("/failures/rough")).status_code == 400
        assert (await hand.post("/failures/sunny")).status_code == 400
        assert (await hand.delete("/faults/rough/refuse")).status_code == 204
        slow = {"prepay": {"kind": "constant", "value_us": 3_000_000}}
        assert (await hand.put("/latencies", json=slow)).status_code == 204
        assert (await hand.put("/latencies", json={"x": {}})).status_code == 400
        assert (await hand.put("/latencies", content=b"x")).status_code == 400
        begun = world.kernel.now_us
        await world.prepay()
        assert world.kernel.now_us - begun == 3_000_000

    world.run(story())
