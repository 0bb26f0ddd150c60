"""Who is turned away, in the live gateway's order and with its words."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from protocols.wechatpay import PlatformTrust, decrypt_resource, verify_reply
from protocols.wechatpay.trust import load_public_key
from sim.wechatpay import Switches, generate_merchant

TRADE = "/v3/pay/transactions/out-trade-no/ORDER00001?mchid=1900000109"
CERTIFICATES = "/v3/certificates"
REFUND_QUERY = "/v3/refund/domestic/refunds/R1"
BILL = "/v3/bill/tradebill?bill_date=2026-09-10"
FORMAT = "Http头Authorization值格式错误，请参考《微信支付商户REST API签名规则》"
TRADE_FORMAT = "签名信息错误，验签失败"
OLD = "Http头Authorization中的timestamp与发起请求的时间不得超过5分钟"
FORGED = "签名错误"
SERIAL = "商户证书序列号有误。请使用签名私钥匹配的证书序列号"


def answer(world: Any, target: str, headers: dict[str, str]) -> Any:
    return world.run(world.call("GET", target, headers=headers))


@pytest.mark.parametrize(
    ("target", "text"),
    [(TRADE, TRADE_FORMAT), (CERTIFICATES, FORMAT), (REFUND_QUERY, FORMAT), (BILL, FORMAT)],
)
@pytest.mark.parametrize("header", ["", "Bearer fake-token", 'WECHATPAY2-SHA256-RSA2048 mchid="1"'])
def test_a_missing_or_odd_header(make_world, target: str, text: str, header: str) -> None:
    world = make_world()
    reply = answer(world, target, {"Authorization": header})
    assert reply.status_code == 401
    assert reply.json() == {"code": "SIGN_ERROR", "message": text}
    assert not [name for name in reply.headers if name.startswith("wechatpay-")]
    assert ("Request-ID" in reply.headers) == (target is not TRADE)


@pytest.mark.parametrize("skew_s", [-301, 301, -86_400])
def test_the_clock_is_checked_before_the_signature(make_world, skew_s: int) -> None:
    world = make_world()
    stranger = rsa.generate_private_key(65537, 2048)
    now_s = world.kernel.unix_us // 1_000_000 + skew_s
    header = world.header("GET", CERTIFICATES, timestamp_s=now_s, key=stranger, mchid="0", serial_no="0")
    assert answer(world, CERTIFICATES, {"Authorization": header}).json()["message"] == OLD


@pytest.mark.parametrize("skew_s", [-300, 300])
def test_five_minutes_are_still_fine(make_world, skew_s: int) -> None:
    world = make_world()
    header = world.header("GET", CERTIFICATES, timestamp_s=world.kernel.unix_us // 1_000_000 + skew_s)
    assert answer(world, CERTIFICATES, {"Authorization": header}).status_code == 200


def test_forged_signatures(make_world) -> None:
    world = make_world()
    stranger = rsa.generate_private_key(65537, 2048)
    for change, text in [
        ({"key": stranger}, FORGED),
        ({"target": CERTIFICATES + "?algorithm_type=RSA"}, FORGED),
        ({"method": "POST"}, FORGED),
        ({"body": b"x"}, FORGED),
        ({"mchid": "1999999999"}, FORGED),
        ({"serial_no": "0" * 40}, SERIAL),
    ]:
        header = world.header(**{"method": "GET", "target": CERTIFICATES, **change})
        reply = answer(world, CERTIFICATES, {"Authorization": header})
        assert (reply.status_code, reply.json()["message"]) == (401, text)
    assert world.gateway.gate.refused == {FORGED: 5, SERIAL: 1}


@pytest.mark.parametrize("path", ["jsapi", "native", "codepay", "out-trade-no/ORDER00001/reverse"])
def test_all_trade_paths_read_alike(make_world, path: str) -> None:
    world = make_world()
    target = f"/v3/pay/transactions/{path}"
    reply = world.run(world.call("POST", target, {}, headers={"Authorization": "", "Accept": ""}))
    assert (reply.status_code, reply.json()["message"]) == (401, TRADE_FORMAT)
    assert "Request-ID" not in reply.headers
    # The body is looked at after the signature, its form before the number's fate.
    unsigned = world.header("POST", target, b"other")
    reply = world.run(world.call("POST", target, {}, headers={"Authorization": unsigned}))
    assert reply.json()["message"] == FORGED
    assert world.run(world.call("POST", target, {})).json()["code"] == "PARAM_ERROR"


def test_a_changed_body_does_not_get_in(make_world) -> None:
    world = make_world()
    header = world.header("POST", "/v3/pay/transactions/jsapi", b"{}")
    reply = world.run(
        world.call(
            "POST", "/v3/pay/transactions/jsapi", world.prepay_body(), headers={"Authorization": header}
        )
    )
    assert reply.json() == {"code": "SIGN_ERROR", "message": FORGED}
    assert not world.gateway.ledger.orders


@pytest.mark.parametrize("missing", ["Accept", "User-Agent"])
def test_accept_and_user_agent_come_first_but_not_on_trade_paths(make_world, missing: str) -> None:
    world = make_world()
    for target in (CERTIFICATES, REFUND_QUERY):
        reply = answer(world, target, {"Authorization": "", missing: ""})
        assert reply.status_code == 400
        assert reply.json() == {"code": "INVALID_REQUEST", "message": "Http头缺少Accept或User-Agent"}
    assert answer(world, TRADE, {"Authorization": "", missing: ""}).status_code == 401
    assert answer(world, TRADE, {missing: ""}).json()["code"] == "ORDER_NOT_EXIST"


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v3/pay/transactions/app", 404),
        ("GET", "/v3/pay/transactions/native", 405),
        ("GET", "/v3/certificates/", 404),
        ("GET", "/v3/pay/transactions/jsapi", 405),
        ("DELETE", "/v3/certificates", 405),
        ("POST", "/v3/refund/domestic/refunds/R1", 405),
    ],
)
def test_unknown_paths_and_methods_answer_with_nothing(
    make_world, method: str, target: str, status: int
) -> None:
    world = make_world()
    reply = world.run(world.call(method, target, headers={"Authorization": ""}))
    assert (reply.status_code, reply.content) == (status, b"")


def test_a_number_with_a_bar_is_verified_as_it_was_sent(make_world) -> None:
    world = make_world()
    world.run(world.prepay("A|B*C_1-2"))
    sent = "/v3/pay/transactions/out-trade-no/A%7CB*C_1-2?mchid=1900000109"
    assert answer(world, sent, {}).json()["out_trade_no"] == "A|B*C_1-2"
    # Signing the bar and sending %7C, as one public client does, is refused by the real gateway and by this one.
    header = world.header("GET", sent.replace("%7C", "|"))
    assert answer(world, sent, {"Authorization": header}).json()["message"] == FORGED


def test_certificates_open_with_the_apiv3_key_and_verify_the_reply(make_world) -> None:
    world = make_world()
    reply = answer(world, CERTIFICATES, {})
    own = world.merchant.credentials
    keys = {}
    for item in reply.json()["data"]:
        sealed = item["encrypt_certificate"]
        assert (sealed["algorithm"], sealed["associated_data"]) == ("AEAD_AES_256_GCM", "certificate")
        assert item["effective_time"].endswith("+08:00")
        pem = decrypt_resource(
            sealed["ciphertext"],
            apiv3_key=own.apiv3_key,
            nonce=sealed["nonce"],
            associated_data=sealed["associated_data"],
        )
        keys[item["serial_no"]] = load_public_key(pem.decode())
    assert len(keys) == 2
    verify_reply(PlatformTrust(keys), reply.headers, reply.content, now_s=world.kernel.unix_us // 1_000_000)
    assert answer(world, CERTIFICATES + "?algorithm_type=ALL", {}).status_code == 200
    assert answer(world, CERTIFICATES + "?algorithm_type=SM2", {}).json()["code"] == "PARAM_ERROR"


def test_rotation_signs_with_the_second_certificate(make_world, platform) -> None:
    world = make_world()
    first, second = platform.certificates
    assert answer(world, CERTIFICATES, {}).headers["Wechatpay-Serial"] == first.serial
    world.gateway.rotate(second.serial.lower())
    assert answer(world, CERTIFICATES, {}).headers["Wechatpay-Serial"] == second.serial
    with pytest.raises(ValueError, match="no platform certificate"):
        world.gateway.rotate("00")


def test_the_public_key_signs_for_whoever_names_it(make_world, platform) -> None:
    world = make_world()
    reply = answer(world, CERTIFICATES, {"Wechatpay-Serial": platform.public.serial})
    assert reply.headers["Wechatpay-Serial"] == platform.public.serial
    assert platform.public.serial.startswith("PUB_KEY_ID_0")


def test_a_merchant_of_the_public_key_mode_has_no_certificates(make_world, platform) -> None:
    merchant = generate_merchant(platform, mchid="1900000222", public_key_mode=True)
    object.__setattr__(merchant.account, "has_platform_certificates", False)
    world = make_world(of=merchant)
    reply = answer(world, CERTIFICATES, {})
    assert (reply.status_code, reply.json()["code"]) == (404, "RESOURCE_NOT_EXISTS")


def test_published_rates_are_enforced_per_second(make_world) -> None:
    world = make_world()

    async def many() -> list[int]:
        header = world.header("GET", REFUND_QUERY)
        headers = {"Authorization": header}
        return [(await world.call("GET", REFUND_QUERY, headers=headers)).status_code for _ in range(301)]

    assert world.run(many()) == [404] * 300 + [429]
    world.kernel.run(until_us=world.kernel.now_us + 1_000_000)
    assert answer(world, REFUND_QUERY, {}).status_code == 404
    free = make_world(switches=Switches(rate_limits=False))
    header = free.header("GET", REFUND_QUERY)

    async def burst() -> set[int]:
        headers = {"Authorization": header}
        return {(await free.call("GET", REFUND_QUERY, headers=headers)).status_code for _ in range(310)}

    assert free.run(burst()) == {404}


def test_a_huge_body_is_cut_and_refused(make_world) -> None:
    world = make_world()
    reply = world.run(world.call("POST", "/v3/pay/transactions/jsapi", {"a": "x" * 2_000_000}))
    assert reply.status_code == 401


def test_paths_can_be_mounted_for_the_invoice_endpoints(make_world) -> None:
    world = make_world()

    async def invoices(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 202, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    world.gateway.mount("/v3/new-tax-control-fapiao/", invoices)
    reply = world.run(world.call("GET", "/v3/new-tax-control-fapiao/fapiao-applications/1", check=False))
    assert reply.status_code == 202
