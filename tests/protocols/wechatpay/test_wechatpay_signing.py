"""Signatures: the documentation's own vector, cryptography's primitives, wechatpayv3's functions, and forgeries."""

from __future__ import annotations

import base64
import json
import time

import pytest
import wechatpayv3.utils as peer
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from protocols.sansio import RemoteProtocolError
from protocols.wechatpay import (
    SIGNATURE_PROBE_PREFIX,
    MerchantCredentials,
    PlatformTrust,
    SignatureRefusedError,
    authorization_header,
    parse_authorization,
    pay_sign,
    reply_message,
    request_message,
    sign,
    sign_reply,
    verify,
    verify_pay_sign,
    verify_reply,
)
from protocols.wechatpay.trust import load_public_key

# The worked example of the merchant documentation, page 4013053420: key, reply and signature as printed there.
DOC_KEY = """-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAwXNI6sdlknHBnK8Fu2U6
Cwor9qY747jP8KAfeBMeveEt1TqaHkLfaSD07trZLhGpfs8/AHqjhgSMO1O10YQW
OrrJ4hjIWPKqxbgrYMkBQc+mwdiWp4W3ByCqxBRagCveCXRWCmuJYovl9H/bsDI0
iGbpVtEOghJtfciisYSgxcLufUDTRkvwxjIBK1pCRjk33jJ5YTBWTHMRtMAOcFLN
F6hdEYdX8SPsgHHeLZ5Lv2T/686w1xtgCHef/sd4uSfWmyzsalQdHG/e4IyYmrhx
+O3VBoNDzE3nx23bFeV/RVNCG7cV6VhmYokJNHa/erIPkEmEFID6A5wQOXuxUkmJ
WwIDAQAB
-----END PUBLIC KEY-----
"""
DOC_TIMESTAMP = 1722850421
DOC_NONCE = "d824f2e086d3c1df967785d13fcd22ef"
DOC_BODY = b'{"code_url":"weixin://wxpay/bizpayurl?pr=JyC91EIz1"}'
DOC_SIGNATURE = (
    "mfI1CPqvBrgcXfgXMFjdNIhBf27ACE2YyeWsWV9ZI7T7RU0vHvbQpu9Z32ogzc+k8ZC5n3kz7h70eWKjgqNdKQF0eRp8mVKlmfzMLBVHbssB"
    "9jEZEDXThOX1XFqX7s7ymia1hoHQxQagPGzkdWxtlZPZ4ZPvr1RiqkgAu6Is8MZgXXrRoBKqjmSdrP1N7uxzJ/cjfSiis9FiLjuADoqmQ1P7"
    "p2N876YPAol7Rn0+GswwAwxldbdLrmVSjfytfSBJFqTMHn4itojgxSWWN1byuckQt8hSTEv/Lg97QoeGniYP17T80pJeQyL3b+295FPHSO2A"
    "tvCgyIbKMZ0BALilAA=="
)
DOC_SERIAL = "5157F09EFDC096DE15EBE81A47057A7232F1B8E1"


def doc_headers() -> dict[str, str]:
    return {
        "Wechatpay-Timestamp": str(DOC_TIMESTAMP),
        "Wechatpay-Nonce": DOC_NONCE,
        "Wechatpay-Serial": DOC_SERIAL,
        "Wechatpay-Signature": DOC_SIGNATURE,
        "Wechatpay-Signature-Type": "WECHATPAY2-SHA256-RSA2048",
    }


def test_the_documented_reply_verifies_and_one_changed_byte_does_not() -> None:
    key = load_public_key(DOC_KEY)
    assert verify(key, reply_message(DOC_TIMESTAMP, DOC_NONCE, DOC_BODY), DOC_SIGNATURE)
    for at in range(len(DOC_BODY)):
        changed = DOC_BODY[:at] + bytes([DOC_BODY[at] ^ 1]) + DOC_BODY[at + 1 :]
        assert not verify(key, reply_message(DOC_TIMESTAMP, DOC_NONCE, changed), DOC_SIGNATURE)
    trust = PlatformTrust({DOC_SERIAL: key})
    verify_reply(trust, doc_headers(), DOC_BODY, now_s=DOC_TIMESTAMP + 299)


def test_request_message_has_five_lines_each_ended() -> None:
    message = request_message("GET", "/v3/x?mchid=1", 1554208460, "593BEC0C", b"")
    assert message == b"GET\n/v3/x?mchid=1\n1554208460\n593BEC0C\n\n"
    assert reply_message(1, "n", b"") == b"1\nn\n\n"


def test_our_authorization_is_accepted_by_independent_verification(credentials: MerchantCredentials) -> None:
    body = '{"description":"92#汽油 20升"}'.encode()
    header = authorization_header(
        mchid=credentials.mchid,
        serial_no=credentials.serial_no,
        key=credentials.private_key,
        method="POST",
        target="/v3/pay/transactions/jsapi",
        body=body,
        timestamp_s=1554208460,
        nonce="593BEC0C930BF1AFEB40B4A08C8FB242",
    )
    parsed = parse_authorization(header)
    assert (parsed.mchid, parsed.serial_no, parsed.timestamp_s) == (
        credentials.mchid,
        credentials.serial_no,
        1554208460,
    )
    expected = (
        b"POST\n/v3/pay/transactions/jsapi\n1554208460\n593BEC0C930BF1AFEB40B4A08C8FB242\n" + body + b"\n"
    )
    credentials.private_key.public_key().verify(
        base64.b64decode(parsed.signature), expected, padding.PKCS1v15(), hashes.SHA256()
    )


def test_the_public_clients_authorization_parses_and_verifies(credentials: MerchantCredentials) -> None:
    header = peer.build_authorization(
        "/v3/certificates", "GET", credentials.mchid, credentials.serial_no, credentials.private_key
    )
    parsed = parse_authorization(header)
    assert abs(parsed.timestamp_s - int(time.time())) < 60
    key = credentials.private_key.public_key()
    assert verify(key, parsed.message("GET", "/v3/certificates", b""), parsed.signature)
    assert not verify(key, parsed.message("GET", "/v3/certificates?x=1", b""), parsed.signature)
    assert not verify(key, parsed.message("POST", "/v3/certificates", b""), parsed.signature)


def test_our_reply_signature_is_accepted_by_the_public_client(platform_key: rsa.RSAPrivateKey) -> None:
    headers = sign_reply(
        platform_key, serial=DOC_SERIAL, timestamp_s=1722850421, nonce="n" * 32, body=DOC_BODY
    )
    accepted = peer.rsa_verify(
        headers["Wechatpay-Timestamp"],
        headers["Wechatpay-Nonce"],
        DOC_BODY.decode(),
        headers["Wechatpay-Signature"],
        platform_key.public_key(),
    )
    assert accepted
    assert headers["Wechatpay-Signature-Type"] == "WECHATPAY2-SHA256-RSA2048"


GOOD = 'mchid="1",nonce_str="n",signature="c2ln",timestamp="1554208460",serial_no="AB"'


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer fake-token",
        "WECHATPAY2-SM2-WITH-SM3 " + GOOD,
        "WECHATPAY2-SHA256-RSA2048",
        "WECHATPAY2-SHA256-RSA2048 ",
        "WECHATPAY2-SHA256-RSA2048 " + GOOD.replace(",", ", "),
        "WECHATPAY2-SHA256-RSA2048 " + GOOD.replace('"', "'"),
        "WECHATPAY2-SHA256-RSA2048 " + GOOD + ',mchid="2"',
        "WECHATPAY2-SHA256-RSA2048 " + GOOD + ',more="2"',
        "WECHATPAY2-SHA256-RSA2048 " + GOOD.replace('nonce_str="n",', ""),
        "WECHATPAY2-SHA256-RSA2048 " + GOOD.replace('nonce_str="n"', 'nonce_str=""'),
        "WECHATPAY2-SHA256-RSA2048 " + GOOD.replace("1554208460", "1554208460.5"),
        "WECHATPAY2-SHA256-RSA2048 " + GOOD.replace("1554208460", "-5"),
        "WECHATPAY2-SHA256-RSA2048 " + GOOD.replace("1554208460", "１５５"),
        "WECHATPAY2-SHA256-RSA2048 " + GOOD.replace("c2ln", "A" * 5000),
    ],
)
def test_odd_authorization_headers_are_refused(header: str) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_authorization(header)


def test_the_order_of_parameters_is_free() -> None:
    backwards = ",".join(reversed(GOOD.split(",")))
    assert parse_authorization("WECHATPAY2-SHA256-RSA2048 " + backwards).serial_no == "AB"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"Wechatpay-Signature": ""}, "missing-header"),
        ({"Wechatpay-Nonce": ""}, "missing-header"),
        ({"Wechatpay-Signature-Type": "WECHATPAY2-SM2-WITH-SM3"}, "signature-type"),
        ({"Wechatpay-Timestamp": "x"}, "timestamp"),
        ({"Wechatpay-Timestamp": str(DOC_TIMESTAMP + 1)}, "signature"),
        ({"Wechatpay-Serial": "00"}, "unknown-serial"),
        ({"Wechatpay-Signature": SIGNATURE_PROBE_PREFIX + DOC_SIGNATURE[19:]}, "probe"),
        ({"Wechatpay-Signature": "!" + DOC_SIGNATURE}, "signature"),
        ({"Wechatpay-Nonce": DOC_NONCE[:-1] + "e"}, "signature"),
    ],
)
def test_a_forged_reply_is_refused_for_its_reason(change: dict[str, str], reason: str) -> None:
    trust = PlatformTrust({DOC_SERIAL: load_public_key(DOC_KEY)})
    with pytest.raises(SignatureRefusedError) as refused:
        verify_reply(trust, {**doc_headers(), **change}, DOC_BODY, now_s=DOC_TIMESTAMP)
    assert refused.value.reason == reason


@pytest.mark.requirement("clk.signature-window-survives-skew")
@pytest.mark.parametrize("skew_s", [-301, -300, 300, 301, 3600])
def test_the_clock_window_is_300_seconds_both_ways(skew_s: int) -> None:
    trust = PlatformTrust({DOC_SERIAL: load_public_key(DOC_KEY)})
    with pytest.raises(SignatureRefusedError) as refused:
        verify_reply(trust, doc_headers(), DOC_BODY, now_s=DOC_TIMESTAMP + skew_s)
    assert refused.value.reason == "timestamp"


def test_header_names_are_compared_without_case_and_reserialised_json_is_refused() -> None:
    trust = PlatformTrust({DOC_SERIAL.lower(): load_public_key(DOC_KEY)})
    lower = {name.lower(): value for name, value in doc_headers().items()}
    verify_reply(trust, lower, DOC_BODY, now_s=DOC_TIMESTAMP)
    again = json.dumps(json.loads(DOC_BODY)).encode()
    assert again != DOC_BODY
    with pytest.raises(SignatureRefusedError):
        verify_reply(trust, lower, again, now_s=DOC_TIMESTAMP)


def test_pay_sign_signs_four_lines_and_not_the_sign_type(merchant_key: rsa.RSAPrivateKey) -> None:
    fields = pay_sign(
        merchant_key,
        app_id="wx8888",
        prepay_id="wx201410272009395522657a",
        timestamp_s=1414561699,
        nonce="5K8264",
    )
    merchant_key.public_key().verify(
        base64.b64decode(fields["paySign"]),
        b"wx8888\n1414561699\n5K8264\nprepay_id=wx201410272009395522657a\n",
        padding.PKCS1v15(),
        hashes.SHA256(),
    )
    assert verify_pay_sign(merchant_key.public_key(), fields)
    for name in ("appId", "timeStamp", "nonceStr", "package", "paySign", "signType"):
        assert not verify_pay_sign(merchant_key.public_key(), {**fields, name: fields[name] + "x"})
        assert not verify_pay_sign(merchant_key.public_key(), {k: v for k, v in fields.items() if k != name})


def test_short_keys_and_other_keys_are_refused(merchant_key: rsa.RSAPrivateKey) -> None:
    short = rsa.generate_private_key(65537, 1024)
    with pytest.raises(ValueError, match="1024 bits"):
        PlatformTrust({"AA": short.public_key()})
    assert not verify(short.public_key(), b"x", sign(merchant_key, b"x"))
