"""Payments by a client written from the published formula: scanned codes, QR, apps, the browser, and route 2."""

from __future__ import annotations

import re
import urllib.parse
from typing import Any

import httpx
import pytest
from cryptography import x509

S = 1_000_000


def test_a_scanned_code_pays_and_is_told_once(world: Any) -> None:
    async def story() -> None:
        reply = await world.scanned()
        # The reply accepts; the money is known from the notice and the query alone.
        assert (reply["respCode"], reply["respMsg"]) == ("00", "成功[0000000]")
        assert re.fullmatch(r"\d{21}", reply["queryId"])
        await world.later()
        asked = await world.query("ORDER00001", reply["txnTime"])
        assert (asked["respCode"], asked["origRespCode"], asked["txnAmt"]) == ("00", "00", "9600")
        assert asked["queryId"] == reply["queryId"]
        assert asked["txnType"] == "01"

    world.run(story())
    [(_, notice)] = world.shop.seen
    assert notice["respCode"] == "00"
    assert notice["orderId"] == "ORDER00001"
    assert notice["settleAmt"] == notice["txnAmt"] == "9600"
    assert notice["settleDate"] == "0921"
    assert notice["traceTime"] == "0921221320"
    assert re.fullmatch(r"62\d{4}\*{9}\d{4}", notice["accNo"])
    assert world.shop.forged == []
    [told] = world.gateway.notifier.notices
    assert [outcome for _, outcome in told.attempts] == ["200"]


def test_replies_are_not_url_encoded_and_a_form_parser_breaks_them(world: Any) -> None:
    async def story() -> str:
        fields = world.sign(world.trade("07", "ORDER00001"))
        return (await world.post("/gateway/api/backTransReq.do", fields)).text

    text = world.run(story())
    assert "respMsg=成功[0000000]" in text
    assert "-----BEGIN CERTIFICATE-----\r\n" in text
    assert text.index("signPubKeyCert=") < text.index("&signature=")
    plain = dict(part.split("=", 1) for part in re.split(r"&(?=\w+=)", text))
    world.shop.checker.check(plain)
    as_form = dict(urllib.parse.parse_qsl(text))
    assert as_form["signPubKeyCert"] != plain["signPubKeyCert"]
    with pytest.raises(Exception, match=r"."):
        world.shop.checker.check(as_form)


def test_qr_at_the_pump_is_paid_by_whoever_scans_it(world: Any) -> None:
    async def story() -> None:
        reply = await world.back(world.trade("07", "ORDER00001"))
        assert reply["qrCode"].startswith("https://qr.95516.com/")
        waiting = await world.query("ORDER00001", reply["txnTime"])
        assert (waiting["respCode"], waiting["origRespCode"], waiting["settleAmt"]) == ("00", "05", "0")
        assert "queryId" not in waiting
        done = await world.phone_does("confirm", "bob", qr_code=reply["qrCode"])
        assert (done.status_code, done.json()) == (200, {"result": "success"})
        again = await world.phone_does("confirm", "ann", qr_code=reply["qrCode"])
        assert (again.status_code, again.json()["reason"]) == (409, "paid")

    world.run(story())
    assert len(world.shop.seen) == 1


def test_the_app_pays_by_tn(world: Any) -> None:
    async def story() -> None:
        reply = await world.app(world.trade("01", "ORDER00001", bizType="000201"))
        assert re.fullmatch(r"\d{21}", reply["tn"])
        await world.phone_does("cancel", tn=reply["tn"])
        assert (await world.query("ORDER00001", reply["txnTime"]))["origRespCode"] == "05"
        assert (await world.phone_does("confirm", tn=reply["tn"])).status_code == 200

    world.run(story())
    assert [fields["orderId"] for _, fields in world.shop.seen] == ["ORDER00001"]


def test_the_browser_goes_through_the_cashier_and_back(world: Any, form: Any) -> None:
    front_url = "https://shop.test/front"

    async def story() -> None:
        request = world.sign(world.trade("01", "ORDER00001", bizType="000201", frontUrl=front_url))
        sent = await world.post("/gateway/api/frontTransReq.do", request)
        # A client that posts the order itself takes the payer to Location, and takes a body for a refusal.
        assert (sent.status_code, sent.content, sent.headers["content-length"]) == (302, b"", "0")
        assert sent.headers["location"].startswith(str(world.http.base_url.join("/gateway/cashier/")))
        cashier = await world.http.get(sent.headers["location"])
        assert cashier.headers["content-type"].startswith("text/html")
        page = form(cashier.text)
        assert ("action", "pay") in page.buttons
        assert '¥<span id="amount">96.00</span>' in cashier.text
        assert (await world.http.get(page.action)).text == cashier.text
        away = await world.http.post(page.action, content="action=cancel")
        assert "支付已取消" in away.text
        assert form(away.text).action == ""
        back = await world.http.post(page.action, content="action=pay")
        returning = form(back.text)
        assert returning.action == front_url
        assert ".submit();" in back.text
        world.shop.checker.check(returning.inputs)
        assert returning.inputs["respCode"] == "00"
        # Whatever the browser then posts to the shop, or whether it does, changes nothing at the gateway.
        assert (await world.query("ORDER00001", request["txnTime"]))["origRespCode"] == "00"
        late = await world.http.post(page.action, content="action=pay")
        assert (late.status_code, "paid" in late.text) == (409, True)
        assert (await world.http.post(page.action, content="action=steal")).status_code == 400

    world.run(story())
    assert len(world.shop.seen) == 1


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("gateway.test.95516.com", "https://gateway.test.95516.com"),  # through a proxy that ends the TLS
        ("127.0.0.1:8443", "http://127.0.0.1:8443"),
    ],
)
def test_the_way_to_the_cashier_is_where_the_client_knows_the_gateway(
    world: Any, host: str, origin: str
) -> None:
    async def story() -> str:
        request = world.sign(world.trade("01", "ORDER00001", bizType="000201"))
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app=world.gateway.app), base_url=f"http://{host}"
        ) as http:
            sent = await http.post("/gateway/api/frontTransReq.do", data=request)
        return str(sent.headers["location"])

    assert world.run(story()).startswith(f"{origin}/gateway/cashier/")


def test_a_refused_front_request_ends_on_a_page_for_people(world: Any) -> None:
    async def story() -> str:
        request = world.trade("01", "ORDER00001", bizType="000201", currencyCode="840")
        return (await world.post("/gateway/api/frontTransReq.do", world.sign(request))).text

    text = world.run(story())
    assert "报文格式错误[currencyCode]" in text
    assert '<b id="code">10</b>' in text
    told = re.search(r'end_error">(.*)</', text)  # how clients that read the page find the message
    assert told is not None
    assert told[1] == "报文格式错误[currencyCode]"


def test_the_jump_route_wants_password_and_sms_code(world: Any) -> None:
    async def story() -> None:
        fields = world.trade("01", "ORDER00001", bizType="000201")
        reply = await world.ask("/v1/jump", fields, client=world.acquirer)
        assert {"pay_info", "union_app_id", "union_path"} <= reply.keys()
        path = {"union_path": reply["union_path"]}
        for more, reason in (({}, "password"), ({"password": True}, "sms-code")):
            refused = await world.phone_does("confirm", **path, **more)
            assert (refused.status_code, refused.json()["reason"]) == (409, reason)
        done = await world.phone_does("confirm", **path, password=True, sms_code=True)
        assert done.json() == {"result": "success"}

    world.run(story())
    assert len(world.shop.seen) == 1


def test_a_large_scanned_payment_waits_for_the_password(world: Any) -> None:
    async def story() -> None:
        qr_no = await world.code("ann")
        reply = await world.back(world.trade("06", "ORDER00001", 100_001, qrNo=qr_no))
        assert reply["respCode"] == "00"
        assert (await world.query("ORDER00001", reply["txnTime"]))["origRespCode"] == "05"
        other = await world.phone_does("confirm", "bob", qr_no=qr_no)
        assert other.json()["reason"] == "other-payer"
        waiting = await world.phone_does("dawdle", qr_no=qr_no, delay_us=20 * S, then="confirm")
        assert waiting.status_code == 202

    world.run(story())
    assert [at_us for at_us, _ in world.shop.seen] == [20 * S]


def test_who_dawdles_too_long_has_not_paid(world: Any) -> None:
    async def story() -> dict[str, str]:
        qr_no = await world.code()
        reply = await world.back(world.trade("06", "ORDER00001", 100_001, qrNo=qr_no))
        await world.phone_does("dawdle", qr_no=qr_no, delay_us=61 * S, then="confirm")
        return reply

    reply = world.run(story())
    assert world.run(world.query("ORDER00001", reply["txnTime"]))["origRespCode"] == "69"
    assert world.shop.seen == []


def test_codes_are_good_once_and_for_a_minute(world: Any) -> None:
    async def story() -> None:
        qr_no = await world.code()
        assert (await world.back(world.trade("06", "ORDER00001", qrNo=qr_no)))["respCode"] == "00"
        assert (await world.back(world.trade("06", "ORDER00002", qrNo=qr_no)))["respCode"] == "86"
        assert (await world.back(world.trade("06", "ORDER00003", qrNo="62" + "0" * 17)))["respCode"] == "88"
        old = await world.code()
        await world.later(60)
        assert (await world.back(world.trade("06", "ORDER00004", qrNo=old)))["respCode"] == "86"

    world.run(story())


def test_an_order_that_could_not_be_paid_in_time_is_closed(world: Any) -> None:
    async def story() -> None:
        deadline = str(int(world.now()) + 30)
        reply = await world.app(world.trade("01", "ORDER00001", payTimeout=deadline))
        await world.later(30)
        late = await world.phone_does("confirm", tn=reply["tn"])
        assert late.json()["reason"] == "expired"
        assert (await world.query("ORDER00001", reply["txnTime"]))["origRespCode"] == "69"

    world.run(story())
    assert world.shop.seen == []


def test_the_payers_bank_says_no(world: Any) -> None:
    async def story() -> None:
        reply = await world.app(world.trade("01", "ORDER00001"))
        refused = await world.phone_does("confirm", tn=reply["tn"], resp_code="64")
        assert refused.json()["reason"] == "failed"
        asked = await world.query("ORDER00001", reply["txnTime"])
        assert (asked["origRespCode"], asked["origRespMsg"]) == ("64", "卡上的余额不足[6400000]")

    world.run(story())
    assert world.shop.seen == []


def test_no_card_number_is_anywhere(world: Any) -> None:
    card = "6216261000000000018"

    async def story() -> str:
        fields = world.trade("06", "ORDER00001", qrNo=await world.code(), accNo=card)
        reply = await world.back(fields)
        asked = await world.query("ORDER00001", reply["txnTime"])
        trades = (await world.control.get("/trades")).text
        return repr([reply, asked, trades, world.shop.seen, world.events])

    shown = world.run(story())
    assert card not in shown
    numbers = [fields["accNo"] for _, fields in world.shop.seen]
    assert len(numbers) == 1
    assert all(re.fullmatch(r"62\d{4}\*{9}\d{4}", number) for number in numbers)


@pytest.mark.parametrize(
    ("action", "body", "status"),
    [
        ("confirm", {}, 400),
        ("confirm", {"tn": "1", "page": "2"}, 400),
        ("confirm", {"tn": 7}, 400),
        ("confirm", {"tn": "1", "resp_code": "00"}, 400),
        ("confirm", {"tn": "1"}, 409),
        ("steal", {"tn": "1"}, 404),
    ],
)
def test_the_phone_says_what_it_does_not_understand(world: Any, action: str, body: Any, status: int) -> None:
    assert world.run(world.phone_does(action, **body)).status_code == status


def test_a_dawdler_needs_a_sane_delay(world: Any) -> None:
    async def story() -> None:
        reply = await world.app(world.trade("01", "ORDER00001"))
        for body in ({"delay_us": -1}, {"delay_us": True}, {"delay_us": 1, "then": "dance"}):
            refused = await world.phone_does("dawdle", tn=reply["tn"], **body)
            assert refused.status_code == 400

    world.run(story())


def test_a_client_that_starts_asks_for_the_key_that_card_fields_are_encrypted_with(world: Any) -> None:
    asked = {"certType": "01", "channelType": "07"}
    first, again = (
        world.run(world.back(world.fields("95", "00", number, **asked)))
        for number in ("20260921221320", "KEYS00002")
    )
    assert (first["respCode"], first["certType"]) == ("00", "01")
    certificate = x509.load_pem_x509_certificate(first["encryptPubKeyCert"].encode())
    assert certificate.public_key().key_size == 2048
    certificate.verify_directly_issued_by(world.gateway.signer.material.middle.certificate)
    assert first["encryptPubKeyCert"] != first["signPubKeyCert"]
    assert again["encryptPubKeyCert"] == first["encryptPubKeyCert"]
    refused = world.run(world.back(world.fields("95", "00", "KEYS00003", certType="02")))
    assert (refused["respCode"], world.gateway.ledger.trades) == ("10", ())
