"""Back notices and faults: the two ladders, time-outs, duplicates, forgeries, lost and late replies, false answers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from protocols.unionpay import Outcome, SignatureRefusedError, encode_form, open_notice, open_reply
from sim.faults import FaultError
from sim.kernel import VirtualKernel
from sim.latency import LatencyProfile
from sim.net import Network
from sim.unionpay import FaultKind, Forgery, GatewayFault, GatewayProfile, Switches, UnionPayGateway

S = 1_000_000
BACK = "/gateway/api/backTransReq.do"


@pytest.mark.parametrize(
    ("ladder", "times_s"),
    [("1-2-4-5", [0, 60, 180, 420, 720]), ("0-1-2-4", [0, 0, 60, 180, 420])],
)
def test_five_sends_and_no_more(make_world: Any, ladder: Any, times_s: list[int]) -> None:
    world = make_world(switches=Switches(notice_ladder=ladder))
    world.shop.answer = lambda _number: 500
    world.run(world.scanned())
    assert [at_us // S for at_us, _ in world.shop.seen] == times_s
    assert world.gateway.notifier.notices[0].given_up
    assert [event["order_id"] for event in world.of("unionpay.notice-given-up")] == ["ORDER00001"]


@pytest.mark.parametrize("status", [200, 302])
def test_what_counts_as_heard(world: Any, status: int) -> None:
    """The interface specification takes both; frameworks that answer a form with a redirection give the second."""
    world.shop.answer = lambda _number: status
    world.run(world.scanned())
    assert len(world.shop.seen) == 1
    notice = world.gateway.notifier.notices[0]
    assert notice.delivered_us is not None
    assert not notice.given_up


@pytest.mark.parametrize("status", [201, 204, 301, 303, 404, 503])
def test_nothing_else_counts(world: Any, status: int) -> None:
    world.shop.answer = lambda number: status if number < 3 else 200
    world.run(world.scanned())
    assert len(world.shop.seen) == 3
    assert world.gateway.notifier.notices[0].delivered_us == 180 * S


@pytest.mark.parametrize(("hang_s", "sends"), [(9.9, 1), (10.1, 5)])
def test_the_answer_must_come_within_ten_seconds(world: Any, hang_s: float, sends: int) -> None:
    world.shop.hang_s = hang_s
    world.run(world.scanned())
    assert len(world.shop.seen) == sends
    outcomes = [outcome for _, outcome in world.gateway.notifier.notices[0].attempts]
    assert outcomes == (["200"] if sends == 1 else ["timeout"] * 5)


def test_all_copies_of_a_notice_are_the_same_bytes(make_world: Any) -> None:
    world = make_world(GatewayFault(kind="notice-duplicate", copies=3, delay_us=S))
    world.run(world.scanned())
    assert len(world.shop.seen) == 4
    assert all(fields == world.shop.seen[0][1] for _, fields in world.shop.seen)
    assert max(at_us for at_us, _ in world.shop.seen) <= S


def test_duplicates_have_one_key_and_so_one_effect(make_world: Any) -> None:
    world = make_world(GatewayFault(kind="notice-duplicate", copies=20, delay_us=2 * S))
    world.run(world.scanned())
    own = world.merchant.credentials
    now_s = world.kernel.unix_us // S
    opened = [open_notice(own, encode_form(fields), now_s=now_s) for _, fields in world.shop.seen]
    assert len(opened) == 21
    assert {notice.key for notice in opened} == {("01", "ORDER00001", "20260921221320")}


def test_notices_can_be_lost_late_or_first(make_world: Any) -> None:
    world = make_world(GatewayFault(kind="notice-lost", attempts=2))
    world.run(world.scanned())
    assert [at_us // S for at_us, _ in world.shop.seen] == [180]
    world = make_world(GatewayFault(kind="notice-lost", attempts=0))
    world.run(world.scanned())
    assert world.shop.seen == []
    world = make_world(GatewayFault(kind="notice-late", delay_us=3_600 * S))
    world.run(world.scanned())
    assert [at_us // S for at_us, _ in world.shop.seen] == [3_600]


def test_the_notice_may_overtake_the_reply(make_world: Any) -> None:
    world = make_world(GatewayFault(kind="notice-before-reply"))

    async def story() -> None:
        await world.scanned()
        assert len(world.shop.seen) == 1
        reply = await world.app(world.trade("01", "ORDER00002"))
        await world.phone_does("confirm", tn=reply["tn"])
        assert len(world.shop.seen) == 2

    world.run(story())
    assert world.gateway.faults.report() == {"notice-before-reply": {"met": 2, "landed": 2}}


@pytest.mark.parametrize("forgery", [str(forgery) for forgery in Forgery])
def test_forged_notices_fool_neither_checker(make_world: Any, forgery: str) -> None:
    world = make_world(GatewayFault(kind="notice-forged", forgery=forgery))

    async def story() -> None:
        reply = await world.back(world.trade("07", "ORDER00001"))
        await world.later()
        assert (await world.query("ORDER00001", reply["txnTime"]))["origRespCode"] == "05"

    world.run(story())
    [(_, fields)] = world.shop.seen
    assert fields["respCode"] == "00"
    assert len(world.shop.forged) == 1
    with pytest.raises(SignatureRefusedError) as refused:
        open_notice(world.merchant.credentials, encode_form(fields), now_s=world.kernel.unix_us // 1_000_000)
    expected = {
        "foreign-chain": "chain",
        "other-name": "organisation",
        "no-signature": "missing",
        "old-version": "method",
    }
    assert refused.value.reason == expected.get(forgery, "signature")


@pytest.mark.parametrize("forgery", [str(forgery) for forgery in Forgery])
def test_forged_replies_fool_neither_checker(make_world: Any, forgery: str) -> None:
    world = make_world(GatewayFault(kind="reply-signature", forgery=forgery, limit=1))

    async def story() -> None:
        request = world.sign(world.trade("07", "ORDER00001"))
        bad = await world.post(BACK, request)
        own, now_s = world.merchant.credentials, world.kernel.unix_us // 1_000_000
        with pytest.raises(SignatureRefusedError):
            open_reply(own, bad.content, now_s=now_s)
        good = await world.post(BACK, request)
        opened = open_reply(own, good.content, now_s=now_s)
        assert (opened.code, opened.outcome) == ("12", Outcome.UNKNOWN)

    world.run(story())


@pytest.mark.parametrize("code", ["03", "04", "05", "06", "01"])
@pytest.mark.parametrize("after_commit", [True, False])
def test_false_answers_say_unknown_and_the_query_knows(
    make_world: Any, code: str, after_commit: bool
) -> None:
    world = make_world(
        GatewayFault(kind="answer", code=code, after_commit=after_commit, at=("consume-scanned",))
    )

    async def story() -> None:
        request = world.sign(world.trade("06", "ORDER00001", qrNo=await world.code()))
        reply = await world.post(BACK, request)
        own, now_s = world.merchant.credentials, world.kernel.unix_us // 1_000_000
        opened = open_reply(own, reply.content, now_s=now_s)
        assert (opened.code, opened.outcome) == (code, Outcome.UNKNOWN)
        await world.later()
        asked = await world.query("ORDER00001", request["txnTime"])
        assert asked["respCode"] == ("00" if after_commit else "34")
        if after_commit:
            assert asked["origRespCode"] == "00"

    world.run(story())
    assert len(world.shop.seen) == int(after_commit)


def test_a_lost_reply_is_a_payment_all_the_same(make_world: Any) -> None:
    world = make_world(GatewayFault(kind="reply-lost", delay_us=30 * S, limit=1, at=("consume-scanned",)))

    async def story() -> None:
        request = world.sign(world.trade("06", "ORDER00001", qrNo=await world.code()))
        reply = await world.post(BACK, request)
        assert (reply.status_code, reply.content) == (504, b"")
        assert world.kernel.now_us == 30 * S
        assert (await world.query("ORDER00001", request["txnTime"]))["origRespCode"] == "00"
        # Asking again with the same names cannot charge twice.
        assert (await world.back({n: v for n, v in request.items() if n != "signature"}))["respCode"] == "12"

    world.run(story())
    assert len(world.shop.seen) == 1


def test_a_late_reply_is_true(make_world: Any) -> None:
    world = make_world(GatewayFault(kind="reply-late", delay_us=7 * S))
    assert world.run(world.scanned())["respCode"] == "00"
    assert [at_us for at_us, _ in world.shop.seen] == [0]


def test_a_declined_payment_is_not_announced(make_world: Any) -> None:
    world = make_world(GatewayFault(kind="decline", code="64"))
    reply = world.run(world.scanned())
    assert reply["respCode"] == "00"
    assert world.run(world.query("ORDER00001", reply["txnTime"]))["origRespCode"] == "64"
    assert world.shop.seen == []


def test_the_signer_may_change(world: Any) -> None:
    async def story() -> None:
        first = await world.scanned("ORDER00001")
        assert (await world.control.post("/rotate", json={"signer": 1})).status_code == 204
        second = await world.scanned("ORDER00002")
        assert first["signPubKeyCert"] != second["signPubKeyCert"]
        assert (await world.control.post("/rotate", json={"signer": 2})).status_code == 400
        assert (await world.control.post("/rotate", json={"signer": "1"})).status_code == 400

    world.run(story())
    assert world.shop.forged == []


def test_control_shows_books_and_arms_faults(world: Any) -> None:
    async def story() -> None:
        control = world.control
        fault = {"kind": "answer", "name": "busy", "code": "06", "after_commit": False}
        assert (await control.post("/faults", json=fault)).status_code == 204
        assert (await world.scanned())["respCode"] == "06"
        assert (await control.delete("/faults/busy")).status_code == 204
        assert (await control.delete("/faults/busy")).status_code == 404
        assert (await world.scanned("ORDER00002"))["respCode"] == "00"
        await world.later()
        assert (await control.get("/faults")).json() == {
            "faults": {"busy": {"met": 1, "landed": 1}},
            "refused_requests": {"06": 1},
        }
        [trade] = (await control.get("/trades")).json()
        assert (trade["order_id"], trade["state"], trade["amount_fen"]) == ("ORDER00002", "success", 9600)
        [notice] = (await control.get("/notices")).json()
        assert (
            notice["attempts"] == [{"at_us": 1_000, "outcome": "200"}] or notice["delivered_us"] is not None
        )
        tables = (await control.get("/tables")).json()
        assert {row["proof"] for row in tables["refusal_order"]} == {"unproven"}
        for bad in ({"kind": "answer"}, {"kind": "dance", "name": "x"}, [], {"name": "x"}):
            assert (await control.post("/faults", json=bad)).status_code == 400

    world.run(story())


@pytest.mark.parametrize(
    "bad",
    [
        {"kind": "answer", "code": "00"},
        {"kind": "answer", "code": "zz"},
        {"kind": "answer", "at": "refund"},
        {"kind": "answer", "at": ["teleport"]},
        {"kind": "decline", "at": ["confirm"]},
        {"kind": "notice-duplicate", "copies": 51},
        {"kind": "reply-late", "delay_us": -1},
        {"kind": "reply-signature", "forgery": "nice"},
        {"kind": "answer", "after_commit": 1},
        {"kind": "answer", "colour": 1},
    ],
)
def test_impossible_faults_are_refused(bad: Any) -> None:
    with pytest.raises(FaultError):
        GatewayFault.from_dict(bad)


def test_every_kind_of_fault_lands_in_some_test() -> None:
    text = "".join(file.read_text("utf-8") for file in sorted(Path(__file__).parent.glob("test_*.py")))
    assert all(f'"{kind}"' in text for kind in FaultKind)


def test_behind_the_network_with_latency_and_a_dead_shop(platform: Any, merchant: Any) -> None:
    kernel = VirtualKernel("net", epoch_us=1_790_000_000_000_000)
    network = Network(kernel, latency=LatencyProfile.constant(10_000))
    gateway = UnionPayGateway(
        kernel,
        [merchant.account],
        platform,
        notify_client=httpx.AsyncClient(transport=network.transport("unionpay")),
        profile=GatewayProfile(),
    )
    network.register("gateway.95516.com", gateway.app)
    network.register("payer.sim", gateway.payer_app)
    http = httpx.AsyncClient(transport=network.transport("backend"), timeout=8)

    async def story() -> tuple[str, int]:
        from protocols.unionpay import trade_request

        own = merchant.credentials
        code = await http.post("https://payer.sim/payers/ann/code")
        request = trade_request(
            own,
            order_id="ORDER00001",
            txn_time="20260921221320",
            amount_fen=9_600,
            back_url="https://shop.test/notice",
            sub_type="06",
            qr_no=code.json()["qr_no"],
        )
        reply = await http.post(f"https://gateway.95516.com{BACK}", content=encode_form(request))
        opened = open_reply(own, reply.content, now_s=kernel.unix_us // S)
        return opened.outcome, kernel.now_us

    done = kernel.task(story(), "test")
    kernel.run(until_us=1_000 * S)
    outcome, at_us = done.value
    assert outcome == Outcome.ACCEPTED
    assert at_us > 40_000 + 10_000
    [notice] = gateway.notifier.notices
    assert [result for _, result in notice.attempts] == ["unreachable"] * 5
    assert notice.given_up
    kernel.close()


_REPEAT = """
import asyncio, json, httpx
from protocols.unionpay import encode_form, trade_request
from sim.kernel import Trace, VirtualKernel
from sim.unionpay import *
EPOCH = 1_790_000_000_000_000
trace, events = Trace(), []
trace.listen(events.append)
kernel = VirtualKernel("s", epoch_us=EPOCH, trace=trace)
platform = generate_platform(valid_from_s=EPOCH // 1_000_000 - 1)
merchant = generate_merchant(platform)
async def shop(scope, receive, send):
    await receive()
    await send({"type": "http.response.start", "status": 500, "headers": []})
    await send({"type": "http.response.body", "body": b""})
gateway = UnionPayGateway(kernel, [merchant.account], platform,
    notify_client=httpx.AsyncClient(transport=httpx.ASGITransport(app=shop)),
    faults=[GatewayFault(kind="answer", probability=0.3), GatewayFault(kind="notice-duplicate", copies=2)])
http = httpx.AsyncClient(transport=httpx.ASGITransport(app=gateway.app), base_url="https://gateway.95516.com")
phone = httpx.AsyncClient(transport=httpx.ASGITransport(app=gateway.payer_app), base_url="https://payer.sim")
async def story():
    for number in range(5):
        qr_no = (await phone.post("/payers/ann/code")).json()["qr_no"]
        fields = trade_request(merchant.credentials, order_id=f"ORDER{number:05d}", txn_time="20260921221320",
            amount_fen=100 + number, back_url="https://shop.test/", sub_type="06", qr_no=qr_no)
        await http.post("/gateway/api/backTransReq.do", content=encode_form(fields))
kernel.task(story(), "test")
kernel.run(until_us=2_000_000_000)
print(json.dumps(events))
"""


def test_two_processes_tell_the_same_story(tmp_path: Path) -> None:
    def run(hash_seed: str) -> list[dict[str, Any]]:
        environment = {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(Path(__file__).resolve().parents[3])}
        done = subprocess.run(
            [sys.executable, "-c", _REPEAT],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        events: list[dict[str, Any]] = json.loads(done.stdout)
        return events

    first, second = run("1"), run("2")
    assert first == second
    assert len({event["kind"] for event in first}) >= 4


def test_money_taken_after_the_time_was_over(make_world: Any) -> None:
    world = make_world(GatewayFault(kind="charged-late", limit=1))

    async def story() -> None:
        for number, result in (("1", "success"), ("2", "fail")):
            reply = await world.app(world.trade("01", f"ORDER0000{number}"))
            await world.later(901)
            assert (await world.phone_does("confirm", tn=reply["tn"])).json()["result"] == result
            asked = await world.query(f"ORDER0000{number}", reply["txnTime"])
            if result == "success":
                # No notice came: only who asks knows, and gives the money back.
                assert asked["origRespCode"] == "42"
                assert (await world.follow("04", "REFUND0001", 9_600, asked))["respCode"] == "00"
            else:
                assert asked["origRespCode"] == "69"

    world.run(story())
    assert [fields["orderId"] for _, fields in world.shop.seen] == ["REFUND0001"]
