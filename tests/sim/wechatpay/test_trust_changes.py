"""Certificates change under load, callbacks move to the public key in seven days, and probes must be refused."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import httpx
import pytest

from protocols.wechatpay import (
    PlatformTrust,
    SignatureRefusedError,
    decrypt_resource,
    verify_reply,
)
from protocols.wechatpay.trust import load_public_key
from sim.wechatpay import (
    STEPS_PERMILLE,
    GatewayFault,
    GatewayProfile,
    PlatformKeys,
    Switches,
    SwitchOver,
    generate_merchant,
)

S = 1_000_000
DAY_US = 86_400 * S
EPOCH_US = 1_790_000_000 * S


class CarefulMerchant:
    """Knows one certificate, and fetches the list when it meets a serial that it does not know. Believes nothing else."""

    def __init__(self, world: Any) -> None:
        self._world = world
        self.downloads = 0
        self.seen: Counter[str] = Counter()
        first = world.gateway.signer.active
        self.trust = PlatformTrust({first.serial: first.private_key.public_key()})

    async def query(self, number: str) -> dict[str, Any]:
        own = self._world.merchant.credentials
        target = f"/v3/pay/transactions/out-trade-no/{number}?mchid={own.mchid}"
        reply = await self._world.call("GET", target, check=False)
        await self._believe(reply)
        found: dict[str, Any] = reply.json()
        return found

    async def _believe(self, reply: httpx.Response) -> None:
        now_s = self._world.kernel.unix_us // S
        self.seen[reply.headers["Wechatpay-Serial"]] += 1
        try:
            verify_reply(self.trust, reply.headers, reply.content, now_s=now_s)
        except SignatureRefusedError as error:
            if error.reason != "unknown-serial":
                raise
            await self._refresh()
            verify_reply(self.trust, reply.headers, reply.content, now_s=now_s)

    async def _refresh(self) -> None:
        self.downloads += 1
        reply = await self._world.call("GET", "/v3/certificates", check=False)
        own = self._world.merchant.credentials
        keys = {}
        for item in reply.json()["data"]:
            sealed = item["encrypt_certificate"]
            pem = decrypt_resource(
                sealed["ciphertext"],
                apiv3_key=own.apiv3_key,
                nonce=sealed["nonce"],
                associated_data=sealed["associated_data"],
            )
            keys[item["serial_no"]] = load_public_key(pem.decode())
        # The list vouches for itself only through the APIv3 key; its signature must fit one of its own.
        verify_reply(PlatformTrust(keys), reply.headers, reply.content, now_s=self._world.kernel.unix_us // S)
        self.trust = self.trust.with_keys(keys)


def control(world: Any) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=world.gateway.control_app)
    return httpx.AsyncClient(transport=transport, base_url="http://control")


def test_a_rotation_under_load_loses_no_reply(make_world) -> None:
    world = make_world(profile=GatewayProfile())
    shop, hand = CarefulMerchant(world), control(world)

    async def load(number: int) -> str:
        await asyncio.sleep(number * 0.02)
        found = await shop.query("ORDER00001")
        return str(found["trade_state"])

    async def rotate() -> None:
        await asyncio.sleep(0.9)
        await hand.post("/rotate", json={"serial": world.gateway.signer.keys.certificates[1].serial})

    async def story() -> list[str]:
        await world.paid()
        *states, _ = await asyncio.gather(*(load(number) for number in range(100)), rotate())
        return states

    assert world.run(story()) == ["SUCCESS"] * 100
    first, second = (key.serial for key in world.gateway.signer.keys.certificates)
    assert shop.seen[first] > 20
    assert shop.seen[second] > 20
    assert shop.downloads >= 1


def test_a_new_certificate_is_listed_before_it_signs_and_the_old_one_goes(make_world) -> None:
    world = make_world()
    hand = control(world)

    async def story() -> None:
        old = world.gateway.signer.active.serial
        listed = (await hand.get("/trust")).json()
        assert listed["signs"] == old
        assert listed["callback_public_key_permille"] == 0
        serial = (await hand.post("/certificates")).json()["serial"]
        await world.prepay()
        assert (await world.query()).headers["Wechatpay-Serial"] == old
        assert (await hand.delete(f"/certificates/{old}")).status_code == 409
        await hand.post("/rotate", json={"serial": serial})
        shop = CarefulMerchant(world)
        shop.trust = world.merchant.credentials.trust
        assert (await shop.query("ORDER00001"))["trade_state"] == "NOTPAY"
        assert shop.downloads == 1
        assert (await hand.delete(f"/certificates/{old}")).status_code == 204
        assert (await hand.delete(f"/certificates/{old}")).status_code == 409
        assert old not in (await hand.get("/trust")).json()["certificates"]
        with pytest.raises(SignatureRefusedError, match="no platform key"):
            await world.query()

    world.run(story())
    added = world.gateway.signer.active
    with pytest.raises(ValueError, match="listed already"):
        world.gateway.signer.add(added)


def test_the_seven_days() -> None:
    over = SwitchOver(permille=3, begin_us=EPOCH_US)
    assert [over.permille(EPOCH_US + day * DAY_US) for day in range(7)] == list(STEPS_PERMILLE)
    assert over.permille(EPOCH_US - 1) == 3
    assert over.permille(EPOCH_US + 400 * DAY_US) == 1000
    over.stop(50)
    assert over.permille(EPOCH_US + DAY_US) == 50
    over.begin(EPOCH_US, day_s=1)
    assert over.permille(EPOCH_US + 3 * S) == 100


def test_during_the_switch_over_both_kinds_arrive_and_replies_follow_the_request(
    make_world, platform
) -> None:
    world = make_world(switches=Switches(switch_over_unix_us=EPOCH_US))
    public = platform.public.serial

    async def story() -> list[int]:
        shares = []
        for day in range(7):
            begun = len(world.shop.seen)
            for number in range(20):
                await world.paid(f"D{day}ORDER{number:04}", 1)
            await asyncio.sleep(1)
            signed = [headers["wechatpay-serial"] for _, headers, _ in world.shop.seen[begun:]]
            assert len(signed) == 20
            shares.append(signed.count(public))
            await asyncio.sleep(86_399)
        await world.prepay()
        plain, asked = (
            await world.query(),
            await world.call(
                "GET",
                f"/v3/pay/transactions/out-trade-no/ORDER00001?mchid={world.merchant.credentials.mchid}",
                headers={"Wechatpay-Serial": public},
            ),
        )
        assert plain.headers["Wechatpay-Serial"] == world.gateway.signer.active.serial
        assert asked.headers["Wechatpay-Serial"] == public
        return shares

    shares = world.run(story())
    assert not world.shop.refused
    assert shares[6] == 20
    assert shares[0] <= 2
    assert 4 <= shares[5] <= 16
    assert shares[1] <= shares[4] <= shares[5]


def test_the_switch_over_by_hand(make_world, platform) -> None:
    world = make_world()
    hand = control(world)

    async def story() -> None:
        assert (await hand.post("/switch-over", json={"day_s": 0})).status_code == 400
        assert (await hand.post("/switch-over", json={"day_s": 10})).status_code == 204
        assert (await hand.get("/trust")).json()["callback_public_key_permille"] == 1
        await asyncio.sleep(60)
        assert (await hand.get("/trust")).json()["callback_public_key_permille"] == 1000
        assert (await hand.get("/trust")).json()["public_key_id"] == platform.public.serial
        await hand.delete("/switch-over")
        assert (await hand.get("/trust")).json()["callback_public_key_permille"] == 0

    world.run(story())
    world.gateway.signer.keys = PlatformKeys(platform.certificates)
    assert world.run(hand.post("/switch-over")).status_code == 409


def test_a_merchant_of_the_public_key_mode_gets_nothing_else(make_world, platform) -> None:
    merchant = generate_merchant(platform, mchid="1900000222", public_key_mode=True)
    object.__setattr__(merchant.account, "has_platform_certificates", False)
    world = make_world(of=merchant)
    world.run(world.paid())
    assert world.run(world.query()).headers["Wechatpay-Serial"] == platform.public.serial
    ((_, headers, _),) = world.shop.seen
    assert headers["wechatpay-serial"] == platform.public.serial


def test_a_probe_is_refused_and_the_true_notice_comes_after_it(make_world) -> None:
    probe = GatewayFault(kind="callback-signature", name="probe", forgery="probe", attempts=2)
    world = make_world(probe)
    world.run(world.paid())
    assert world.shop.refused == ["probe", "probe"]
    (notice,) = world.gateway.notifier.notices
    assert [outcome for _, outcome in notice.attempts] == ["401", "401", "204"]
    assert len(world.shop.opened) == 1
    signatures = [headers["wechatpay-signature"] for _, headers, _ in world.shop.seen]
    assert [signature.startswith("WECHATPAY/SIGNTEST/") for signature in signatures] == [True, True, False]


def test_the_books_of_the_new_products_can_be_looked_at(make_world) -> None:
    world = make_world()
    hand = control(world)

    async def story() -> None:
        contract = await world.sign(7_000, day_limit_fen=9_000)
        (shown,) = (await hand.get("/contracts")).json()
        assert shown == {**contract, "limit_fen": 7_000, "day_limit_fen": 9_000}
        assert (await hand.get("/combined")).json() == []
        fault = {"kind": "password-asked", "name": "risk", "limit": 1}
        assert (await hand.post("/faults", json=fault)).status_code == 204
        assert (await world.codepay(await world.show_code())).status_code == 202
        refuse = {"kind": "refuse", "name": "bank", "at": ["codepay"], "code": "BANKERROR", "limit": 1}
        assert (await hand.post("/faults", json=refuse)).status_code == 204
        assert (await world.codepay(await world.show_code(), "CODE000002")).status_code == 500
        (order,) = (await hand.get("/orders")).json()
        assert order["trade_state"] == "USERPAYING"

    world.run(story())


def test_the_times_of_certificates_are_a_switch(make_world) -> None:
    world = make_world(switches=Switches(certificate_times="integer"))
    (first, _) = world.run(world.call("GET", "/v3/certificates")).json()["data"]
    key = world.gateway.signer.active
    assert (first["effective_time"], first["expire_time"]) == (key.effective_s, key.expire_s)
