"""Messages that a user has agreed to, and shipping told of orders that were paid."""

from __future__ import annotations

import asyncio

import pytest

from sim.latency import LatencyProfile
from sim.wechatserver import Template

from .server_bench import APP, OPENID, PAID, RECEIPT, Bench


def test_one_acceptance_is_one_message() -> None:
    bench = Bench()

    async def story() -> list[int]:
        token = await bench.token()
        path = f"/users/{OPENID}/consents"
        accepted = [await bench.control.post(path, json={"template_id": "T-paid"}) for _ in range(3)]
        assert [reply.json()["left"] for reply in accepted] == [1, 2, 3]
        sent = [(await bench.send(token))["errcode"] for _ in range(10)]
        await bench.control.post(path, json={"template_id": "T-paid", "times": 2})
        await bench.control.post(path, json={"muted": True})
        assert (await bench.send(token))["errcode"] == 43101
        await bench.control.post(path, json={"muted": False})
        assert (await bench.send(token))["errcode"] == 0
        assert (await bench.control.post(path, json={"template_id": "T-other"})).status_code == 400
        assert len((await bench.control.get("/messages")).json()) == 4
        return sent

    assert bench.run(story) == [0, 0, 0] + [43101] * 7


@pytest.mark.parametrize(
    ("change", "errcode"),
    [
        ({"touser": ""}, 40003),
        ({"template_id": "T-0"}, 40037),
        ({"page": "pages/none"}, 41030),
        ({"data": {}}, 47003),
        ({"data": {**RECEIPT, "thing1": {"value": "字" * 21}}}, 47003),
        ({"data": {**RECEIPT, "thing1": {"value": "two\nlines"}}}, 47003),
        ({"data": {**RECEIPT, "amount2": {"value": "much"}}}, 47003),
        ({"data": {**RECEIPT, "date3": {"value": "soon"}}}, 47003),
    ],
)
def test_a_wrong_message_is_refused_and_costs_no_consent(change, errcode) -> None:
    bench = Bench()

    async def story() -> None:
        token = await bench.token()
        bench.server.consents.accept(APP.appid, OPENID, "T-paid")
        assert (await bench.send(token, **change))["errcode"] == errcode
        assert (await bench.send(token))["errcode"] == 0

    bench.run(story)


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("number", ["12", "12.5"], ["twelve", "1" * 33]),
        ("amount", ["¥200.00", "200元", "200"], ["12345678901", "yuan"]),
        ("car_number", ["云A12345", "粤A8Z888挂"], ["云A1234567", "car"]),
        ("phrase", ["配送中"], ["ok", "六个字是太多"]),
        ("time", ["15:01", "2019年10月1日 15:01", "2026-01-05 08:00"], ["noon"]),
        ("character_string", ["KM01-000123"], ["字", "x" * 33]),
        ("name", ["张三", "Li Si"], ["甲" * 11]),
        ("phone_number", ["+86-0766-66888866"], ["a" * 5]),
        ("letter", ["abc"], ["a1"]),
        ("symbol", ["-!"], ["a"]),
    ],
)
def test_what_each_kind_of_field_takes(field, good, bad) -> None:
    template = Template("T", (f"{field}1",))
    assert [template.problem({f"{field}1": {"value": value}}) for value in good] == [""] * len(good)
    assert all(template.problem({f"{field}1": {"value": value}}) for value in bad)


def test_a_template_with_an_unknown_kind_of_field_is_refused() -> None:
    with pytest.raises(ValueError, match="'money1' is no field"):
        Template("T", ("money1",))


def test_shipping_is_uploaded_once_replaced_once_and_then_no_more() -> None:
    bench = Bench()

    async def story() -> list[int]:
        token = await bench.token()
        query = {"merchant_id": PAID.mchid, "merchant_trade_no": PAID.out_trade_no}
        path = "/wxa/sec/order/get_order"
        assert (await bench.call(path, token, query))["order"]["order_state"] == 1
        codes = [(await bench.upload(token))["errcode"]]
        shown = (await bench.call(path, token, query))["order"]
        assert (shown["order_state"], shown["shipping"]["logistics_type"]) == (2, 4)
        codes.append((await bench.upload(token))["errcode"])  # the same again: nothing changes
        other = [{"item_desc": "92号汽油 26.33升"}]
        codes.append((await bench.upload(token, shipping_list=other))["errcode"])  # not later than before
        later = {"upload_time": "2026-09-21T22:00:01+08:00"}
        codes.append((await bench.upload(token, shipping_list=other, **later))["errcode"])
        last = {"upload_time": "2026-09-21T22:00:02+08:00", "shipping_list": [{"item_desc": "水"}]}
        codes.append((await bench.upload(token, **last))["errcode"])
        assert (await bench.control.get("/shipments")).json()[0]["finish_shipping_count"] == 2
        return codes

    assert bench.run(story) == [0, 10060023, 10060014, 0, 10060003]


@pytest.mark.parametrize(
    ("change", "errcode"),
    [
        ({"order_key": {"order_number_type": 3}}, 268485194),
        ({"order_key": {"order_number_type": 2}}, 268485195),
        ({"order_key": {"order_number_type": 1}}, 268485196),
        ({"order_key": {"order_number_type": 1, "mchid": "1900000109"}}, 268485197),
        ({"order_key": {"order_number_type": 2, "transaction_id": "4299"}}, 10060001),
        ({"logistics_type": 5}, 10060005),
        ({"delivery_mode": [1]}, 268485224),
        ({"delivery_mode": 2}, 10060006),
        ({"shipping_list": []}, 10060014),
        ({"shipping_list": [{"item_desc": ""}]}, 10060008),
        ({"shipping_list": [{"item_desc": "x" * 121}]}, 10060009),
        ({"shipping_list": [{"item_desc": "x"}] * 2}, 268485228),
        ({"shipping_list": [{"item_desc": "x"}] * 16}, 10060024),
        ({"logistics_type": 1}, 268485226),
        ({"logistics_type": 1, "shipping_list": [{"item_desc": "x", "tracking_no": "1"}]}, 268485227),
        ({"upload_time": "2026-09-21 22:00:00"}, 268485216),
        ({"payer": {}}, 10060014),
        ({"payer": {"openid": "o-somebody"}}, 10060031),
    ],
)
def test_a_wrong_upload_is_told_what_is_wrong(change, errcode) -> None:
    bench = Bench()

    async def story() -> None:
        token = await bench.token()
        assert (await bench.upload(token, **change))["errcode"] == errcode
        assert (await bench.upload(token))["errcode"] == 0

    bench.run(story)


def test_the_shipping_service_hears_of_a_payment_later_than_the_merchant() -> None:
    bench = Bench(shipping_knows_after=LatencyProfile.constant(90_000_000))

    async def story() -> None:
        token = await bench.token()
        assert (await bench.upload(token))["errcode"] == 10060001
        await asyncio.sleep(90)
        assert (await bench.upload(token))["errcode"] == 0

    bench.run(story)
