"""What is turned away, with which code, and which refusal wins when several are due."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from protocols.unionpay import decode_reply
from sim.unionpay import MerchantAccount, Switches

BACK = "/gateway/api/backTransReq.do"


def signed_text(fields: dict[str, str]) -> str:
    return "&".join(f"{n}={fields[n]}" for n in sorted(fields) if n != "signature" and fields[n])


def read_reply(text: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in re.split(r"&(?=[A-Za-z0-9_]+=)", text))


async def code_of(world: Any, fields: dict[str, str], path: str = BACK) -> str:
    reply = read_reply((await world.post(path, fields)).text)
    world.shop.checker.check(reply)
    return reply["respCode"]


def test_an_order_is_named_by_number_and_time_together(world: Any) -> None:
    async def story() -> None:
        first = world.trade("07", "ORDER00001")
        assert (await world.back(first))["respCode"] == "00"
        assert (await world.back(first))["respCode"] == "12"
        await world.later(1)
        assert (await world.back(world.trade("07", "ORDER00001", 1)))["respCode"] == "00"
        asked = await world.query("ORDER00001", first["txnTime"])
        assert asked["txnAmt"] == "9600"
        nobody = await world.query("ORDER00001", "20260101000000")
        assert (nobody["respCode"], nobody["respMsg"]) == ("34", "查无此交易[2600000]")
        assert nobody["txnType"] == "00"
        assert "origRespCode" not in nobody

    world.run(story())


def test_a_repeated_scan_is_a_duplicate_and_not_a_used_code(world: Any) -> None:
    async def story() -> None:
        fields = world.trade("06", "ORDER00001", qrNo=await world.code())
        assert (await world.back(fields))["respCode"] == "00"
        assert (await world.back(fields))["respCode"] == "12"

    world.run(story())
    assert len(world.shop.seen) == 1


@pytest.mark.parametrize(
    ("change", "code", "told"),
    [
        ({"orderId": "-"}, "13", "orderId"),
        ({"txnAmt": "-"}, "13", "txnAmt"),
        ({"backUrl": "-"}, "13", "backUrl"),
        ({"orderId": "KM01-000001"}, "10", "orderId"),
        ({"orderId": "KM01_000001"}, "10", "orderId"),
        ({"orderId": "KM01"}, "10", "orderId"),
        ({"orderId": "A" * 41}, "10", "orderId"),
        ({"txnAmt": "96.00"}, "10", "txnAmt"),
        ({"txnAmt": "0"}, "10", "txnAmt"),
        ({"txnAmt": "-1"}, "10", "txnAmt"),
        ({"txnTime": "20260230101010"}, "10", "txnTime"),
        ({"txnTime": "00010101000000"}, "10", "txnTime"),
        ({"currencyCode": "840"}, "10", "currencyCode"),
        ({"backUrl": "ftp://shop.test/"}, "10", "backUrl"),
        ({"reqReserved": "a&b"}, "10", "reqReserved"),
        ({"reqReserved": "x" * 1025}, "10", "reqReserved"),
        ({"txnType": "79"}, "10", "txnType"),
        ({"txnSubType": "01"}, "10", "txnType"),
        ({"payTimeout": "20200101000000"}, "39", "payTimeout"),
    ],
)
def test_fields_are_told_by_name(world: Any, change: dict[str, str], code: str, told: str) -> None:
    fields = {**world.trade("07", "ORDER00001"), **change}
    fields = {name: value for name, value in fields.items() if value != "-"}
    reply = world.run(world.back(fields))
    assert reply["respCode"] == code
    assert f"[{told}]" in reply["respMsg"]
    assert world.gateway.ledger.trades == ()


def test_the_order_of_refusals(world: Any) -> None:
    async def story() -> None:
        # Everything is wrong; each repair uncovers the next refusal.
        fields = world.trade("07", "BAD")
        unsigned = {**fields, "merId": "000000000000000"}
        assert await code_of(world, unsigned) == "13"
        assert await code_of(world, {**unsigned, "signature": "x"}) == "31"
        assert await code_of(world, {**fields, "signature": "x", "txnType": "79"}) == "11"
        assert await code_of(world, world.sign({**fields, "txnType": "79"})) == "10"
        short = {name: value for name, value in fields.items() if name != "txnAmt"}
        assert await code_of(world, world.sign(short)) == "13"
        assert await code_of(world, world.sign(fields)) == "10"
        assert await code_of(world, world.sign({**fields, "orderId": "ORDER00001"})) == "00"

    world.run(story())
    assert world.gateway.gate.refused == {"13": 2, "31": 1, "11": 1, "10": 2}


def test_signatures_by_anyone_else_or_of_anything_else(world: Any) -> None:
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    own = world.merchant.credentials.private_key

    def by(key: Any, message: bytes, algorithm: Any = SHA256) -> str:
        return base64.b64encode(key.sign(message, padding.PKCS1v15(), algorithm())).decode()

    async def story() -> None:
        fields = world.trade("07", "ORDER00001")
        text = signed_text(fields).encode()
        hexed = hashlib.sha256(text).hexdigest()
        good = world.sign(fields)
        forged = {
            "a stranger's key": {**fields, "signature": by(stranger, hexed.encode())},
            "one hash only": {**fields, "signature": by(own, text)},
            "capitals": {**fields, "signature": by(own, hexed.upper().encode())},
            "raw digest": {**fields, "signature": by(own, hashlib.sha256(text).digest())},
            "another amount": {**good, "txnAmt": "1"},
            "one field more": {**good, "frontUrl": "https://evil.test/"},
            "unknown certId": world.sign({**fields, "certId": "1"}),
            "not base64": {**good, "signature": "%%%"},
            "another merchant's method": {**good, "signMethod": "11"},
            "no such method": world.sign({**fields, "signMethod": "02"}),
        }
        for what, request in forged.items():
            assert await code_of(world, request) == "11", what
        assert await code_of(world, good) == "00"

    world.run(story())


def test_the_old_version_needs_a_switch(make_world: Any) -> None:
    def old(world: Any) -> dict[str, str]:
        fields = world.trade("07", "ORDER00001", version="5.0.0")
        hexed = hashlib.sha1(signed_text(fields).encode()).hexdigest().encode()
        raw = world.merchant.credentials.private_key.sign(hexed, padding.PKCS1v15(), SHA1())
        return {**fields, "signature": base64.b64encode(raw).decode()}

    world = make_world()
    assert world.run(code_of(world, old(world))) == "11"
    world = make_world(switches=Switches(allow_sha1=True))
    reply = read_reply(world.run(world.post(BACK, old(world))).text)
    assert (reply["respCode"], reply["version"]) == ("00", "5.0.0")
    assert "signPubKeyCert" not in reply
    leaf = world.gateway.signer.active.certificate
    assert reply["certId"] == str(leaf.serial_number)
    hexed = hashlib.sha1(signed_text(reply).encode()).hexdigest().encode()
    raw = base64.b64decode(reply["signature"])
    leaf.public_key().verify(raw, hexed, padding.PKCS1v15(), SHA1())


@pytest.mark.parametrize("method", ["11", "12"])
def test_shared_key_methods(world: Any, method: str) -> None:
    key = world.merchant.credentials.secure_key
    name = {"11": "sha256", "12": "sm3"}[method]
    if name not in hashlib.algorithms_available:
        pytest.skip("this Python's hashlib has no SM3")

    def hexed(text: str) -> str:
        return hashlib.new(name, text.encode()).hexdigest()

    fields = world.trade("07", "ORDER00001", signMethod=method, certId="-")
    request = {**fields, "signature": hexed(f"{signed_text(fields)}&{hexed(key)}")}
    reply = read_reply(world.run(world.post(BACK, request)).text)
    assert (reply["respCode"], reply["signMethod"]) == ("00", method)
    assert "signPubKeyCert" not in reply
    assert reply["signature"] == hexed(f"{signed_text(reply)}&{hexed(key)}")
    refused = read_reply(world.run(world.post(BACK, {**request, "txnAmt": "1"})).text)
    assert refused["respCode"] == "11"


def test_bodies_that_are_no_forms(world: Any) -> None:
    async def story() -> None:
        for content in (b"\xff\xfe=1", b"a=%ff", b"a=1&a=2", b"=1", b"x" * 70_000, b"<xml/>", b""):
            reply = await world.http.post(BACK, content=content)
            assert read_reply(reply.text)["respCode"] in {"10", "13"}
        assert (await world.http.get(BACK)).status_code == 405
        assert (await world.http.post("/gateway/api/nothing.do")).status_code == 404
        assert (await world.acquirer.get("/v1/jump")).status_code == 405
        assert (await world.acquirer.post("/v2/jump")).status_code == 404

    world.run(story())


def test_what_is_repeated_cannot_break_the_reply(world: Any) -> None:
    async def story() -> httpx.Response:
        fields = world.trade("07", "ORDER00001", bizType="000000&respCode=00")
        return await world.post(BACK, world.sign(fields))

    reply = read_reply(world.run(story()).text)
    assert reply["respCode"] == "10"
    assert "bizType" not in reply


def test_merchants_may_be_closed_or_lack_a_permission(make_world: Any, merchant: Any) -> None:
    world = make_world()
    certificates = merchant.account.certificates
    own = merchant.account.mer_id
    world.gateway.accounts[own] = MerchantAccount(own, certificates, transactions=("00", "01"))
    world.run(world.scanned())
    assert world.run(world.follow("04", "REFUND0001", 1, {"queryId": "1" * 21}))["respCode"] == "32"
    world.gateway.accounts[own] = MerchantAccount(own, certificates, is_active=False)
    assert world.run(world.query("ORDER00001", world.now()))["respCode"] == "31"


def test_the_clock_of_the_merchant_counts_where_a_switch_says_so(make_world: Any) -> None:
    world = make_world(switches=Switches(txn_time_skew_s=600, sign_refusals=False))
    reply = world.run(world.back(world.trade("07", "ORDER00001", txnTime="20260921220000")))
    assert (reply["respCode"], reply["respMsg"]) == ("39", "交易不在受理时间范围内[txnTime]")
    unsigned = world.run(world.post(BACK, {**world.trade("07", "ORDER00001"), "signature": "x"}))
    assert "signature" not in read_reply(unsigned.text)


@pytest.mark.parametrize(
    "bad",
    [
        {"notice_ladder": "0-0-0-0"},
        {"over_refund_code": "00"},
        {"expired_code": "ZZ"},
        {"refund_days": 0},
        {"completion_permille": 999},
    ],
)
def test_impossible_switches_are_refused(bad: Any) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        Switches(**bad)


def test_weak_keys_are_refused() -> None:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    with pytest.raises(ValueError, match="1024 bits; at least 2048"):
        MerchantAccount("777290058110048", {"1": weak.public_key()})


_NAMES = [
    "txnType",
    "txnSubType",
    "orderId",
    "txnTime",
    "txnAmt",
    "backUrl",
    "frontUrl",
    "origQryId",
    "qrNo",
    "payTimeout",
    "reqReserved",
    "bizType",
    "encoding",
    "currencyCode",
    "accNo",
]
_VALUES = st.one_of(
    st.sampled_from(
        ["00", "01", "04", "06", "31", "99", "20260921221320", "99999999999999", "{", "[", "²", "-1", "156"]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(changes={"txnSubType": "01"}, path="frontTransReq")
@given(
    changes=st.dictionaries(st.sampled_from(_NAMES), _VALUES, min_size=1, max_size=5),
    path=st.sampled_from(["frontTransReq", "backTransReq", "queryTrans", "appTransReq"]),
)
def test_whatever_a_merchant_signs_gets_a_readable_answer(
    world: Any, changes: dict[str, str], path: str
) -> None:
    fields = {**world.trade("07", "ORDER00001"), **changes}
    reply = world.run(world.post(f"/gateway/api/{path}.do", world.sign(fields)))
    if path == "frontTransReq":
        # What is taken is sent on to the cashier, what is refused gets a page that says why.
        taken = reply.status_code == 302
        assert taken or reply.status_code == 200
        assert ("location" in reply.headers) == taken == (not reply.content)
    else:
        assert reply.status_code == 200
        answer = decode_reply(reply.content)
        world.shop.checker.check(answer)
        assert re.fullmatch(r"\d\d", answer["respCode"])
