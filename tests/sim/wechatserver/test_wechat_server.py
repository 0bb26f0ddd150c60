"""WeChat's server in virtual time: tokens that end each other, codes that work once, consents, shipping information."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import pytest

from sim.faults import FaultError
from sim.kernel import Trace, VirtualKernel
from sim.latency import LatencyProfile
from sim.webapi import CallFault
from sim.wechatserver import MiniProgram, PaidOrder, Template, TokenRules, WeChatServer

EPOCH_US = 1_790_000_000_000_000
OPENID = "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"
APP = MiniProgram(
    "wx2421b1c4370ec43b",
    "0123456789abcdef",
    templates=(Template("T-paid", ("thing1", "amount2", "date3")),),
    pages=("pages/order/order",),
)
PAID = PaidOrder("1900000109", APP.appid, "KM01-1", "4200001", OPENID, 20_000, EPOCH_US)
RECEIPT = {
    "thing1": {"value": "92号汽油"},
    "amount2": {"value": "200.00元"},
    "date3": {"value": "2026年1月5日 08:00"},
}


class Bench:
    """A server in virtual time and a client of it."""

    def __init__(self, *faults: CallFault, trace: Trace | None = None, **more: Any) -> None:
        self.kernel = VirtualKernel("w", epoch_us=EPOCH_US, trace=trace)
        self.orders = [PAID]

        def find(mchid: str, number: str, transaction_id: str) -> PaidOrder | None:
            for order in self.orders:
                if order.transaction_id == transaction_id or (order.mchid, order.out_trade_no) == (
                    mchid,
                    number,
                ):
                    return order
            return None

        self.server = WeChatServer(self.kernel, [APP], find_order=find, faults=faults, **more)
        base = "https://api.weixin.qq.com"
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(self.server.app), base_url=base)
        self.control = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.server.control_app), base_url="http://control"
        )

    def run(self, story: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        done = self.kernel.task(story())
        self.kernel.run(until_us=200_000 * 1_000_000)
        assert done.triggered, "the story never ended"
        return done.value

    async def token(self) -> str:
        return str((await self.fetch())["access_token"])

    async def fetch(self) -> dict[str, Any]:
        query = {"grant_type": "client_credential", "appid": APP.appid, "secret": APP.secret}
        return (await self.http.get("/cgi-bin/token", params=query)).json()

    async def stable(self, *, force: bool = False) -> dict[str, Any]:
        body = {
            "grant_type": "client_credential",
            "appid": APP.appid,
            "secret": APP.secret,
            "force_refresh": force,
        }
        return (await self.http.post("/cgi-bin/stable_token", json=body)).json()

    async def login(self, code: str, **other: str) -> dict[str, Any]:
        query = {
            "appid": APP.appid,
            "secret": APP.secret,
            "js_code": code,
            "grant_type": "authorization_code",
            **other,
        }
        return (await self.http.get("/sns/jscode2session", params=query)).json()

    async def call(self, path: str, token: str, body: Any) -> dict[str, Any]:
        return (await self.http.post(path, params={"access_token": token}, json=body)).json()

    async def send(self, token: str, **other: Any) -> dict[str, Any]:
        message = {
            "touser": OPENID,
            "template_id": "T-paid",
            "page": "pages/order/order?id=1",
            "data": RECEIPT,
            **other,
        }
        return await self.call("/cgi-bin/message/subscribe/send", token, message)

    async def upload(self, token: str, **other: Any) -> dict[str, Any]:
        body = {
            "order_key": {"order_number_type": 2, "transaction_id": PAID.transaction_id},
            "logistics_type": 4,
            "delivery_mode": 1,
            "shipping_list": [{"item_desc": "92号汽油 26.32升"}],
            "upload_time": "2026-09-21T22:00:00.000+08:00",
            "payer": {"openid": OPENID},
            **other,
        }
        return await self.call("/wxa/sec/order/upload_shipping_info", token, body)


def test_a_new_token_ends_the_old_one_and_the_error_says_so() -> None:
    bench = Bench()

    async def story() -> None:
        first = await bench.token()
        assert (await bench.send(first))["errcode"] == 43101  # the token is good, there is only no consent
        second = await bench.token()
        refused = await bench.send(first)
        assert refused["errcode"] == 40001
        assert refused["errmsg"].startswith("invalid credential, access_token is invalid or not latest rid: ")
        assert (await bench.send(second))["errcode"] == 43101
        assert (await bench.send(""))["errcode"] == 41001
        await asyncio.sleep(7_200)
        assert (await bench.send(second))["errcode"] == 42001

    bench.run(story)


def test_two_tokens_may_overlap_where_the_rules_say_so() -> None:
    bench = Bench(rules=TokenRules(overlap_s=300))

    async def story() -> None:
        first = await bench.token()
        await bench.token()
        await asyncio.sleep(299)
        assert (await bench.send(first))["errcode"] == 43101
        await asyncio.sleep(1)
        assert (await bench.send(first))["errcode"] == 40001

    bench.run(story)


def test_two_processes_that_fetch_for_themselves_end_each_others_tokens_for_ever() -> None:
    """The known trap: without one place that keeps the token, each call of one process is the end of the other's."""
    bench = Bench()
    refused = 0

    async def story() -> None:
        nonlocal refused
        held = {"a": await bench.token(), "b": await bench.token()}
        for turn in range(10):
            who = "ab"[turn % 2]
            if (await bench.send(held[who]))["errcode"] == 40001:
                refused += 1
                held[who] = await bench.token()

    bench.run(story)
    assert refused == 10


def test_a_stable_token_is_the_same_until_shortly_before_its_end_and_lives_beside_the_other_kind() -> None:
    bench = Bench()

    async def story() -> None:
        first = await bench.stable()
        assert first["expires_in"] == 7_200
        await bench.token()
        await asyncio.sleep(6_000)
        again = await bench.stable()
        assert (again["access_token"], again["expires_in"]) == (first["access_token"], 1_200)
        await asyncio.sleep(901)  # 299 s left
        renewed = await bench.stable()
        assert renewed["access_token"] != first["access_token"]
        for token in (first, renewed):
            assert (await bench.send(token["access_token"]))["errcode"] == 43101
        await asyncio.sleep(299)
        assert (await bench.send(first["access_token"]))["errcode"] == 42001
        forced = await bench.stable(force=True)
        assert forced["access_token"] != renewed["access_token"]
        assert (await bench.send(renewed["access_token"]))["errcode"] == 40001
        assert (await bench.stable(force=True))["access_token"] == forced["access_token"]  # within 30 s

    bench.run(story)


def test_days_limits_end_at_midnight_in_china() -> None:
    bench = Bench(rules=TokenRules(fetches_per_day=2, force_per_day=1))

    async def story() -> None:
        await bench.token()
        await bench.token()
        assert (await bench.fetch())["errcode"] == 45009
        await bench.stable()
        await bench.stable(force=True)
        await asyncio.sleep(31)
        assert (await bench.stable(force=True))["errcode"] == 45009
        await asyncio.sleep(86_400)
        assert "access_token" in await bench.fetch()

    bench.run(story)


def test_a_login_code_works_once_for_five_minutes_and_for_its_own_program() -> None:
    bench = Bench()

    async def story() -> None:
        made = (await bench.control.post(f"/users/{OPENID}/login-code")).json()["js_code"]
        session = await bench.login(made)
        assert session["openid"] == OPENID
        assert set(session) == {"session_key", "openid"}  # no errcode on success
        assert (await bench.login(made))["errcode"] == 40029
        late = (await bench.control.post(f"/users/{OPENID}/login-code")).json()["js_code"]
        await asyncio.sleep(300)
        assert (await bench.login(late))["errcode"] == 40029
        assert (await bench.login(f"js-{OPENID}"))["openid"] == OPENID
        assert (await bench.login(f"js-{OPENID}"))["errcode"] == 40029
        assert (await bench.login(f"js-{OPENID}.2"))["openid"] == OPENID
        assert (await bench.login("nonsense"))["errcode"] == 40029
        assert bench.server.knows(OPENID)
        for other, errcode in (
            ({"appid": "wx0"}, 40013),
            ({"secret": "x"}, 40125),
            ({"appid": ""}, 41002),
            ({"secret": ""}, 41004),
            ({"js_code": ""}, 41008),
            ({"grant_type": "x"}, 40002),
        ):
            assert (await bench.login("js-x", **other))["errcode"] == errcode
        await bench.control.post(f"/users/{OPENID}/block")
        assert (await bench.login(f"js-{OPENID}.3"))["errcode"] == 40226

    bench.run(story)


def test_a_login_comes_as_plain_text_although_it_is_json() -> None:
    bench = Bench()

    async def story() -> list[str]:
        replies = [await bench.http.get("/sns/jscode2session"), await bench.http.get("/cgi-bin/token")]
        return [reply.headers["content-type"] for reply in replies]

    assert bench.run(story) == ["text/plain", "application/json; encoding=utf-8"]


def test_a_hundred_logins_a_minute_are_enough_for_anybody() -> None:
    bench = Bench()

    async def story() -> None:
        for number in range(100):
            assert "openid" in await bench.login(f"js-{OPENID}.{number}")
        assert (await bench.login(f"js-{OPENID}.x"))["errcode"] == 45011
        await asyncio.sleep(60)
        assert "openid" in await bench.login(f"js-{OPENID}.y")

    bench.run(story)


def test_a_phone_code_works_once_and_the_number_stays_out_of_the_trace() -> None:
    trace, events = Trace(), []
    trace.listen(events.append)
    bench = Bench(trace=trace)

    async def story() -> dict[str, Any]:
        token = await bench.token()
        made = await bench.control.post(f"/users/{OPENID}/phone-code", json={"phone": "+8613812345678"})
        path, code = "/wxa/business/getuserphonenumber", made.json()["code"]
        found = await bench.call(path, token, {"code": code})
        assert (await bench.call(path, token, {"code": code}))["errcode"] == 40029
        wrong = await bench.control.post(f"/users/{OPENID}/phone-code", json={"phone": "me"})
        assert wrong.status_code == 400
        return found

    found = bench.run(story)
    info = found["phone_info"]
    assert (found["errcode"], info["phoneNumber"], info["countryCode"]) == (0, "13812345678", "86")
    assert info["watermark"] == {"timestamp": EPOCH_US // 1_000_000, "appid": APP.appid}
    assert "13812345678" not in repr(events)
    assert "****5678" in repr(events)


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


def test_unknown_paths_wrong_methods_and_bodies_that_are_no_json() -> None:
    bench = Bench()

    async def story() -> None:
        token = await bench.token()
        assert (await bench.http.get("/cgi-bin/none")).json()["errcode"] == 40066
        assert (await bench.http.get("/cgi-bin/stable_token")).json()["errcode"] == 43002
        assert (await bench.http.post("/cgi-bin/token")).json()["errcode"] == 43001
        reply = await bench.http.post(
            "/cgi-bin/message/subscribe/send", params={"access_token": token}, content=b"[1"
        )
        assert reply.json()["errcode"] == 47001
        assert (await bench.http.post("/cgi-bin/stable_token", content=b"x" * 300_000)).status_code == 413

    bench.run(story)


def test_faults_strike_where_they_are_told_to_and_are_counted() -> None:
    bench = Bench(
        CallFault(kind="token-ended", name="elsewhere", at=("send",), limit=1),
        CallFault(
            kind="timeout", name="slow", at=("send",), skip=1, limit=1, after_work=True, delay_us=5_000_000
        ),
        CallFault(kind="bad-gateway", name="html", at=("token",), skip=2, limit=1),
    )

    async def story() -> None:
        token = await bench.token()
        bench.server.consents.accept(APP.appid, OPENID, "T-paid", 5)
        assert (await bench.send(token))["errcode"] == 40001
        token = await bench.token()
        begun_us = bench.kernel.now_us
        assert (await bench.send(token))[
            "errcode"
        ] == 0  # sent, but told late: the trap of a repeated message
        assert bench.kernel.now_us - begun_us == 5_000_000
        query = {"grant_type": "client_credential", "appid": APP.appid, "secret": APP.secret}
        bad = await bench.http.get("/cgi-bin/token", params=query)
        assert (bad.status_code, bad.headers["content-type"]) == (502, "text/html; charset=utf-8")
        armed = {"kind": "refuse", "name": "busy", "at": ["token"], "limit": 1}
        assert (await bench.control.post("/faults", json=armed)).status_code == 204
        assert (await bench.fetch())["errcode"] == -1
        assert (await bench.control.delete("/faults/busy")).status_code == 204
        assert (await bench.control.delete("/faults/busy")).status_code == 404
        cut = {"kind": "cut-short", "name": "cut", "limit": 1}
        await bench.control.post("/faults", json=cut)
        with pytest.raises(ValueError, match=r"JSON|Expecting|Unterminated"):
            await bench.fetch()
        for wrong in (
            {"kind": "x", "name": "n"},
            {"kind": "refuse", "name": "n", "at": ["nowhere"]},
            {"kind": "refuse"},
        ):
            assert (await bench.control.post("/faults", json=wrong)).status_code == 400
        assert (await bench.control.post("/faults", content=b"[")).status_code == 400
        report = (await bench.control.get("/faults")).json()["faults"]
        assert {name: fault["landed"] for name, fault in report.items()} == {
            "elsewhere": 1, "slow": 1, "html": 1, "busy": 1, "cut": 1,
        }  # fmt: skip

    bench.run(story)


def test_a_fault_that_names_no_call_of_the_server_is_refused_at_once() -> None:
    with pytest.raises(FaultError, match="must be one of code2session, "):
        Bench(CallFault(kind="refuse", at=("pay",)))


def test_a_run_repeats_its_tokens_and_numbers() -> None:
    async def story(bench: Bench) -> list[Any]:
        token = await bench.token()
        bench.server.consents.accept(APP.appid, OPENID, "T-paid")
        return [token, await bench.login(f"js-{OPENID}"), await bench.send(token), await bench.send(token)]

    first, second = Bench(), Bench()
    assert first.run(lambda: story(first)) == second.run(lambda: story(second))


def test_two_programs_with_one_appid_are_refused() -> None:
    with pytest.raises(ValueError, match="two mini-programs"):
        WeChatServer(VirtualKernel("w", epoch_us=EPOCH_US), [APP, APP])
