"""WeChat's server in virtual time: tokens that end each other, codes that work once, consents, shipping information."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sim.faults import FaultError
from sim.kernel import Trace, VirtualKernel
from sim.webapi import CallFault
from sim.wechatserver import TokenRules, WeChatServer

from .server_bench import APP, EPOCH_US, OPENID, Bench


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
