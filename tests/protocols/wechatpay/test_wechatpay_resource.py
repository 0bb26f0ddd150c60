"""Encrypted resources, notifications and stored credentials."""

from __future__ import annotations

import base64
import dataclasses
import json

import pytest
import wechatpayv3.utils as peer
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from protocols.sansio import RemoteProtocolError
from protocols.wechatpay import (
    MerchantCredentials,
    PlatformTrust,
    ResourceError,
    SignatureRefusedError,
    build_notification,
    decode_notification,
    decode_refund,
    decode_transaction,
    decrypt_resource,
    decrypt_sensitive,
    encrypt_resource,
    encrypt_sensitive,
    open_notification,
    rfc3339,
    sign_reply,
    unix_s_of_rfc3339,
)

API_KEY = "0123456789abcdef0123456789ABCDEF"
NOW_S = 1_790_000_000
SERIAL = "5157F09EFDC096DE15EBE81A47057A7232F1B8E1"


@given(
    st.binary(max_size=200),
    st.text("abcdef0123456789", min_size=12, max_size=12),
    st.sampled_from(["", "refund"]),
)
def test_resources_round_trip_and_agree_with_the_primitive(plain: bytes, nonce: str, associated: str) -> None:
    sealed = encrypt_resource(plain, apiv3_key=API_KEY, nonce=nonce, associated_data=associated)
    raw = base64.b64decode(sealed)
    assert len(raw) == len(plain) + 16
    assert AESGCM(API_KEY.encode()).decrypt(nonce.encode(), raw, associated.encode()) == plain
    assert decrypt_resource(sealed, apiv3_key=API_KEY, nonce=nonce, associated_data=associated) == plain


def test_the_public_client_opens_our_resource() -> None:
    sealed = encrypt_resource(
        b'{"a":1}', apiv3_key=API_KEY, nonce="61f9c719728a", associated_data="certificate"
    )
    assert peer.aes_decrypt("61f9c719728a", sealed, "certificate", API_KEY) == '{"a":1}'


def test_a_changed_resource_does_not_open() -> None:
    good = {"apiv3_key": API_KEY, "nonce": "61f9c719728a", "associated_data": "certificate"}
    sealed = encrypt_resource(
        b"x" * 40, apiv3_key=API_KEY, nonce="61f9c719728a", associated_data="certificate"
    )
    raw = bytearray(base64.b64decode(sealed))
    raw[7] ^= 1
    for ciphertext, change in [
        (base64.b64encode(raw).decode(), {}),
        (sealed, {"apiv3_key": API_KEY[::-1]}),
        (sealed, {"nonce": "61f9c719728b"}),
        (sealed, {"nonce": "short"}),
        (sealed, {"associated_data": "transaction"}),
        (sealed, {"associated_data": None}),
        (sealed[:8], {}),
        ("not base64!", {}),
        ("", {}),
    ]:
        with pytest.raises(ResourceError):
            decrypt_resource(ciphertext, **{**good, **change})  # type: ignore[arg-type]


def test_a_key_of_the_wrong_shape_is_our_fault_and_is_not_shown() -> None:
    with pytest.raises(ValueError, match="32 ASCII") as refused:
        encrypt_resource(b"", apiv3_key="top-secret", nonce="61f9c719728a", associated_data="")
    assert "top-secret" not in str(refused.value)


def test_sensitive_fields_round_trip_with_the_public_client(platform_key: rsa.RSAPrivateKey) -> None:
    assert (
        peer.rsa_decrypt(encrypt_sensitive("13800000000", platform_key.public_key()), platform_key)
        == "13800000000"
    )
    assert decrypt_sensitive(peer.rsa_encrypt("张三", platform_key.public_key()), platform_key) == "张三"
    with pytest.raises(ResourceError):
        decrypt_sensitive("AAAA", platform_key)


def notice(
    platform_key: rsa.RSAPrivateKey, *, original_type: str | None = "transaction"
) -> tuple[dict[str, str], bytes]:
    body = build_notification(
        notice_id="EV-2018022511223320873",
        create_time=rfc3339(NOW_S),
        event_type="TRANSACTION.SUCCESS",
        summary="支付成功",
        resource={
            "mchid": "1",
            "appid": "wx",
            "out_trade_no": "n",
            "trade_state": "SUCCESS",
            "new_field": [1],
        },
        apiv3_key=API_KEY,
        nonce="fdasflkja484",
        associated_data="transaction",
        original_type=original_type,
    )
    return sign_reply(platform_key, serial=SERIAL, timestamp_s=NOW_S, nonce="n", body=body), body


def test_a_notification_opens_and_tolerates_new_fields(
    platform_key: rsa.RSAPrivateKey, trust: PlatformTrust
) -> None:
    headers, body = notice(platform_key)
    opened = open_notification(trust, headers, body, apiv3_key=API_KEY, now_s=NOW_S)
    assert opened.event_type == "TRANSACTION.SUCCESS"
    assert decode_transaction(opened.resource).trade_state == "SUCCESS"
    assert json.loads(body)["resource"]["original_type"] == "transaction"


def test_invoice_events_have_no_original_type(platform_key: rsa.RSAPrivateKey, trust: PlatformTrust) -> None:
    headers, body = notice(platform_key, original_type=None)
    assert "original_type" not in json.loads(body)["resource"]
    assert open_notification(trust, headers, body, apiv3_key=API_KEY, now_s=NOW_S).envelope.id.startswith(
        "EV-"
    )


def test_every_changed_byte_of_a_notification_is_refused(
    platform_key: rsa.RSAPrivateKey, trust: PlatformTrust
) -> None:
    headers, body = notice(platform_key)
    for at in range(len(body)):
        changed = body[:at] + bytes([body[at] ^ 0x20]) + body[at + 1 :]
        with pytest.raises(SignatureRefusedError):
            open_notification(trust, headers, changed, apiv3_key=API_KEY, now_s=NOW_S)


def test_signed_but_strange_notifications_are_protocol_errors(
    platform_key: rsa.RSAPrivateKey, trust: PlatformTrust
) -> None:
    _, body = notice(platform_key)
    other = json.loads(body)
    other["resource"]["algorithm"] = "AEAD_SM4_GCM"
    for strange in (b"", b"null", b"{}", b"[1]", json.dumps(other).encode()):
        headers = sign_reply(platform_key, serial=SERIAL, timestamp_s=NOW_S, nonce="n", body=strange)
        with pytest.raises(RemoteProtocolError):
            open_notification(trust, headers, strange, apiv3_key=API_KEY, now_s=NOW_S)


@pytest.mark.parametrize("decode", [decode_transaction, decode_refund, decode_notification])
@pytest.mark.parametrize("data", [b"", b"{", b"null", b"[]", b'{"amount":"x"}', b"\xff"])
def test_decoders_answer_bad_bytes_with_one_error(decode, data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode(data)


def test_refund_state_reads_both_names() -> None:
    base = {"out_refund_no": "r", "refund_id": "5", "out_trade_no": "o", "transaction_id": "4"}
    money = {"total": 100, "refund": 60, "payer_total": 100, "payer_refund": 60}
    for name in ("status", "refund_status"):
        assert (
            decode_refund(json.dumps({**base, name: "SUCCESS", "amount": money}).encode()).state == "SUCCESS"
        )


def test_times_are_written_with_the_china_offset_and_read_with_any() -> None:
    assert rfc3339(1_528_425_296) == "2018-06-08T10:34:56+08:00"
    assert unix_s_of_rfc3339("2018-06-08T10:34:56+08:00") == 1_528_425_296
    assert unix_s_of_rfc3339("2018-06-08T02:34:56.9Z") == 1_528_425_296
    for bad in ("2018-06-08T10:34:56", "yesterday", ""):
        with pytest.raises(ValueError, match=r"offset|isoformat"):
            unix_s_of_rfc3339(bad)


def test_credentials_survive_a_file_and_hide_their_secrets(credentials: MerchantCredentials) -> None:
    again = MerchantCredentials.from_json(credentials.to_json())
    assert again.private_key.private_numbers() == credentials.private_key.private_numbers()
    assert again.trust.key(SERIAL.lower()) is not None
    assert again.public_key_id == credentials.public_key_id
    shown = repr(credentials)
    assert credentials.apiv3_key not in shown
    assert credentials.app_secret not in shown
    for field in dataclasses.fields(credentials):
        if field.name not in {"public_key_id", "app_secret"}:
            data = json.loads(credentials.to_json())
            data.pop({"trust": "platform_keys"}.get(field.name, field.name))
            with pytest.raises(ValueError, match="missing"):
                MerchantCredentials.from_json(json.dumps(data))
    for text in ("", "[]", "{}", '{"mchid": 5}'):
        with pytest.raises(ValueError, match="merchant credentials"):
            MerchantCredentials.from_json(text)
