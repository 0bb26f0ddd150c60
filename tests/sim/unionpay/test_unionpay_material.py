"""Keys and credentials in files, and a gateway on the wall clock."""

from __future__ import annotations

import asyncio
import json
import stat
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import pkcs12

from protocols.unionpay import MerchantCredentials, encode_form, open_notice, open_reply, trade_request
from sim.kernel import WallKernel
from sim.unionpay import (
    GatewayProfile,
    Merchant,
    PlatformMaterial,
    UnionPayGateway,
    generate_merchant,
    generate_platform,
    load_gateway_material,
    save_gateway_material,
)


def test_the_gateways_side_goes_through_a_file(
    platform: PlatformMaterial, merchant: Merchant, make_world: Any, tmp_path: Path
) -> None:
    path = tmp_path / "unionpay.json"
    save_gateway_material(path, platform, [merchant.account])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    loaded, [account] = load_gateway_material(path)
    again = Merchant(account, MerchantCredentials.from_json(merchant.credentials.to_json()))
    world = make_world(platform=loaded, of=again)
    assert world.run(world.scanned())["respCode"] == "00"
    assert len(world.shop.seen) == 1
    assert world.shop.forged == []


@pytest.mark.parametrize(
    ("change", "told"), [({"root": None}, "NoneType"), ({"merchants": [{}]}, "mer_id"), (None, "not JSON")]
)
def test_bad_material_is_told_without_a_key(
    platform: PlatformMaterial, tmp_path: Path, change: Any, told: str
) -> None:
    path = tmp_path / "unionpay.json"
    save_gateway_material(path, platform, [])
    if change is None:
        path.write_text("{", encoding="utf-8")
    else:
        path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **change}), encoding="utf-8")
    with pytest.raises(ValueError, match=told) as error:
        load_gateway_material(path)
    assert "PRIVATE" not in str(error.value)
    assert "unionpay.json" in str(error.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [("{", "not JSON"), ("{}", "'root' is missing"), ("[]", "missing or has the wrong type")],
)
def test_bad_credentials_are_told(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        MerchantCredentials.from_json(text)


def test_nothing_secret_is_in_a_repr(platform: PlatformMaterial, merchant: Merchant) -> None:
    text = repr((platform, merchant))
    assert merchant.account.secure_key not in text
    assert "RSA" not in text


def test_on_the_wall_clock_with_certificates_of_today() -> None:
    asyncio.run(_pay_on_the_wall_clock())


async def _pay_on_the_wall_clock() -> None:
    platform = generate_platform()
    merchant = generate_merchant(platform)
    own = merchant.credentials
    kernel = WallKernel("wall")
    told = asyncio.Event()

    async def shop(_scope: Any, receive: Any, send: Any) -> None:
        body = (await receive())["body"]
        assert open_notice(own, body, now_s=kernel.unix_us // 1_000_000).fields["orderId"] == "ORDER00001"
        told.set()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    gateway = UnionPayGateway(
        kernel,
        [merchant.account],
        platform,
        notify_client=httpx.AsyncClient(transport=httpx.ASGITransport(app=shop)),
        profile=GatewayProfile.instant(),
    )
    transport = httpx.ASGITransport(app=gateway.app)
    phone = httpx.AsyncClient(
        transport=httpx.ASGITransport(app=gateway.payer_app), base_url="https://payer.sim"
    )
    code = (await phone.post("/payers/ann/code")).json()["qr_no"]
    request = trade_request(
        own,
        order_id="ORDER00001",
        txn_time="20260921221320",
        amount_fen=9_600,
        back_url="https://shop.test/",
        sub_type="06",
        qr_no=code,
    )
    async with httpx.AsyncClient(transport=transport, base_url="https://gateway.95516.com") as http:
        reply = await http.post("/gateway/api/backTransReq.do", content=encode_form(request))
    assert open_reply(own, reply.content, now_s=kernel.unix_us // 1_000_000).code == "00"
    await asyncio.wait_for(told.wait(), 10)
    await kernel.close()


def test_a_pfx_like_unionpays_own_gives_the_key_and_the_certificate_whose_serial_is_the_cert_id(
    platform: PlatformMaterial, merchant: Merchant
) -> None:
    key, certificate, _ = pkcs12.load_key_and_certificates(merchant.pkcs12("000000"), b"000000")
    assert key is not None
    assert certificate is not None
    own = merchant.credentials
    assert key.private_numbers() == own.private_key.private_numbers()  # type: ignore[union-attr]
    assert str(certificate.serial_number) == own.cert_id
    certificate.verify_directly_issued_by(platform.middle.certificate)
    with pytest.raises(ValueError, match="certificate is not known"):
        Merchant(merchant.account, own).pkcs12("000000")
