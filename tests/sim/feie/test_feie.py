"""Feie's cloud in virtual time: refusals word for word, queues, a printer that is away, and callbacks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from protocols.feie import verify_callback
from sim.feie import CloudPrinter, Feie, FeieAccount, FeieSwitches, OrderState
from sim.kernel import VirtualKernel
from sim.webapi import CallFault

S = 1_000_000
EPOCH_US = 1_790_000_000 * S
USER, UKEY, SN, KEY = "shop@x.com", "UKEY0001", "932500001", "abcdefgh"
CONTENT = "<CB>测试打印</CB><BR>合计：10.0元<BR><QR>http://www.feieyun.com</QR>"


class Bench:
    """The cloud with one printer of ours, one of somebody else's, and one that nobody has yet."""

    def __init__(
        self,
        *faults: CallFault,
        shop: Callable[[httpx.Request], httpx.Response] | None = None,
        **switches: Any,
    ) -> None:
        self.kernel = VirtualKernel("feie", epoch_us=EPOCH_US)
        self.printer = CloudPrinter(self.kernel, SN, KEY)
        others = [CloudPrinter(self.kernel, sn, KEY) for sn in ("932500002", "932500003")]
        accounts = [FeieAccount(USER, UKEY, (SN,)), FeieAccount("other@x.com", "OTHER", ("932500002",))]
        self.key = None if shop is None else generate_private_key(public_exponent=65537, key_size=2048)
        notify = None if shop is None else httpx.AsyncClient(transport=httpx.MockTransport(shop))
        self.cloud = Feie(
            self.kernel, accounts, [self.printer, *others],
            callback_key=self.key, notify_client=notify, switches=FeieSwitches(**switches), faults=faults,
        )  # fmt: skip
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.cloud.app), base_url="http://api.feieyun.cn"
        )

    def run(self, story: Coroutine[Any, Any, Any], seconds: float = 30) -> Any:
        done = self.kernel.task(story)
        self.wait(seconds)
        assert done.triggered, "the story never ended"
        return done.value

    def wait(self, seconds: float) -> None:
        self.kernel.run(self.kernel.now_us + round(seconds * S))

    async def post(self, apiname: str, **fields: str) -> dict[str, Any]:
        stime = fields.pop("stime", str(self.kernel.unix_us // S))
        user, ukey = fields.pop("user", USER), fields.pop("ukey", UKEY)
        sig = hashlib.sha1((user + ukey + stime).encode()).hexdigest()
        reply = await self.http.post(
            "/Api/Open/", data={"user": user, "stime": stime, "sig": sig, "apiname": apiname, **fields}
        )
        assert reply.status_code == 200
        body = reply.json()
        assert list(body) == ["msg", "ret", "data", "serverExecutedTime"]
        return body

    def ask(self, apiname: str, **fields: str) -> Any:
        reply = self.run(self.post(apiname, **fields), 0.01)
        assert (reply["ret"], reply["msg"]) == (0, "ok"), reply
        return reply["data"]

    def refused(self, apiname: str, **fields: str) -> tuple[int, str]:
        reply = self.run(self.post(apiname, **fields), 0.01)
        assert reply["data"] is None
        return reply["ret"], reply["msg"]

    def order(self, content: str = CONTENT, **fields: str) -> str:
        number: str = self.ask("Open_printMsg", sn=SN, content=content, **fields)
        return number

    def is_printed(self, order: str) -> bool:
        state: bool = self.ask("Open_queryOrderState", orderid=order)
        return state

    def status(self) -> str:
        text: str = self.ask("Open_queryPrinterStatus", sn=SN)
        return text


@pytest.mark.parametrize(
    ("apiname", "fields", "answer"),
    [
        ("Open_printMsg", {"user": "nobody@x.com"}, (-2, "参数错误 : 该帐号未注册.")),
        ("Open_printMsg", {"ukey": "WRONG"}, (-3, "验证失败 : 签名错误.")),
        ("Open_printMsg", {"stime": "1000000000"}, (-3, "验证失败 : 签名错误.")),
        ("Open_printMsg", {"stime": "now"}, (-3, "验证失败 : 签名错误.")),
        ("Open_printerInfo", {}, (1001, "参数错误 : 打印机编号和用户uid不能为空.")),
        ("Open_printerInfo", {"sn": "null-undefined"}, (1001, "验证失败 : 打印机编号不合法。")),
        ("Open_delPrinterSqs", {"sn": "932500002"}, (1002, "验证失败 : 打印机编号和用户不匹配.")),
        ("Open_delPrinterSqs", {"sn": "932599999"}, (1002, "验证失败 : 打印机编号和用户不匹配.")),
        ("Open_printMsg", {"sn": SN, "content": ""}, (-2, '参数错误 : 参数值不能传空字符，""、"null"、"undefined".')),
        ("Open_printerEdit", {"sn": SN, "name": "a", "phonenum": ""}, (-2, '参数错误 : 参数值不能传空字符，""、"null"、"undefined".')),
        ("Open_queryOrderState", {"orderid": "932500001_20260101000000_1"}, (1001, "参数错误 : 订单ID错误.")),
    ],
)  # fmt: skip
def test_refusals_are_the_platform_s_own_words(
    apiname: str, fields: dict[str, str], answer: tuple[int, str]
) -> None:
    assert Bench().refused(apiname, **fields) == answer


@pytest.mark.parametrize(
    "fields",
    [
        {"content": "长" * 1667},
        {"content": "a", "times": "11"},
        {"content": "a", "times": "0"},
        {"content": "a", "times": "0001000000"},
        {"content": "a", "times": "x"},
    ],
)
def test_limits_hold(fields: dict[str, str]) -> None:
    bench = Bench()
    assert bench.refused("Open_printMsg", sn=SN, **fields)[0] == -2
    assert bench.refused("Open_nothing")[0] == -2
    assert bench.refused("Open_queryOrderInfoByDate", sn=SN, date="26-13-01")[0] == -2
    assert bench.refused("Open_printLabelMsg", sn=SN, content="a")[0] == 1001
    assert bench.cloud.orders.all() == []


def test_an_order_is_printed_and_its_state_turns_true() -> None:
    bench = Bench()
    order = bench.order()
    assert order.startswith(f"{SN}_2026")
    assert bench.is_printed(order) is False
    assert bench.ask("Open_queryOrderInfoByDate", sn=SN, date="2026-09-21") == {"print": 0, "waiting": 1}
    bench.wait(10)
    assert bench.is_printed(order) is True
    assert bench.ask("Open_queryOrderInfoByDate", sn=SN, date="2026-09-21") == {"print": 1, "waiting": 0}
    (paper,) = bench.printer.receipts
    assert [line.strip() for line in paper.text.splitlines()] == [
        "测试打印",
        "合计：10.0元",
        "[QR http://www.feieyun.com]",
    ]
    assert bench.status() == "在线，工作状态正常"


def test_there_is_no_idempotency_and_copies_are_copies() -> None:
    bench = Bench()
    first, second = bench.order(), bench.order()
    assert first != second
    third = bench.order(times="3")
    bench.wait(30)
    assert len(bench.printer.receipts) == 5
    assert all(bench.is_printed(order) for order in (first, second, third))


def test_without_paper_orders_wait_and_the_state_is_not_normal() -> None:
    bench = Bench()
    bench.printer.take_paper_out()
    bench.wait(1)
    assert bench.status() == "在线，工作状态不正常"
    order = bench.order()
    bench.wait(600)
    assert bench.is_printed(order) is False
    bench.printer.load_paper()
    bench.wait(10)
    assert (bench.is_printed(order), bench.status()) == (True, "在线，工作状态正常")


def test_paper_that_ends_in_an_order_leaves_it_in_two_pieces() -> None:
    bench = Bench()
    order = bench.order("".join(f"line {k}<BR>" for k in range(40)))
    bench.wait(1)
    bench.printer.take_paper_out()
    bench.wait(5)
    assert (bench.is_printed(order), bench.printer.holds) == (False, order)
    bench.printer.load_paper()
    bench.wait(20)
    assert bench.is_printed(order) is True
    (paper,) = bench.printer.receipts
    assert not paper.whole
    assert paper.text.count("line") == 40


def test_a_printer_that_is_away_counts_as_there_for_two_minutes_and_prints_all_when_it_is_back() -> None:
    bench = Bench()
    bench.printer.disconnect()
    bench.wait(1)
    assert bench.status() == "在线，工作状态正常", "nobody knows yet"
    orders = [bench.order() for _ in range(3)]
    bench.wait(125)
    assert bench.status() == "离线"
    assert bench.ask("Open_printerInfo", sn=SN)["waiting"] == 3
    bench.printer.connect()
    bench.wait(60)
    assert [bench.is_printed(order) for order in orders] == [True] * 3
    assert len(bench.printer.receipts) == 3


def test_a_queue_is_cleared_and_old_orders_are_forgotten() -> None:
    bench = Bench()
    bench.printer.power_off()
    kept = bench.order()
    late = bench.order(expired=str(EPOCH_US // S + 60))
    bench.wait(100)
    assert bench.ask("Open_printerInfo", sn=SN)["waiting"] == 1
    assert bench.ask("Open_delPrinterSqs", sn=SN) is True
    bench.printer.power_on()
    bench.wait(30)
    assert bench.printer.receipts == []
    assert {bench.is_printed(order) for order in (kept, late)} == {False}
    assert [order.state for order in bench.cloud.orders.all()] == [OrderState.CLEARED, OrderState.CLEARED]
    bench.printer.power_off()
    old = bench.order(expired=str(bench.kernel.unix_us // S + 60))
    bench.wait(100)
    bench.printer.power_on()
    bench.wait(30)
    assert (bench.is_printed(old), bench.printer.receipts) == (False, [])


@pytest.mark.parametrize("again", [False, True])
def test_power_that_goes_over_an_order(again: bool) -> None:
    bench = Bench(hands_over_again=again)
    order = bench.order("".join(f"line {k}<BR>" for k in range(30)))
    bench.wait(1)
    bench.printer.power_off()
    bench.wait(10)
    bench.printer.power_on()
    bench.wait(60)
    assert bench.is_printed(order) is again
    text = "\n".join(paper.text for paper in bench.printer.receipts)
    assert text.count("line 29") == int(again)


def test_what_is_done_off_the_network_is_told_later() -> None:
    bench = Bench()
    order = bench.order()
    bench.wait(0.2)
    bench.printer.disconnect()
    bench.wait(60)
    assert (bench.is_printed(order), len(bench.printer.receipts)) == (False, 1)
    bench.printer.connect()
    bench.wait(1)
    assert bench.is_printed(order) is True


def test_printers_are_added_by_their_key_renamed_and_given_up() -> None:
    bench = Bench()
    content = f"932500003#{KEY}#前台#13688889999\n932500003#wrong#x\n932500002#{KEY}\n000000#x"
    added = bench.ask("Open_printerAddlist", printerContent=content)
    assert added["ok"] == [f"932500003#{KEY}#前台#13688889999"]
    assert added["no"][0] == "932500003#wrong#x  （错误：识别码不正确）"
    assert len(added["no"]) == 3
    assert bench.ask("Open_printerEdit", sn="932500003", name="后厨") is True
    assert bench.ask("Open_printerInfo", sn="932500003")["name"] == "后厨"
    gone = bench.ask("Open_printerDelList", snlist="932500003-932500002-1")
    assert gone == {"ok": ["932500003成功"], "no": ["932500002用户UID不匹配", "1打印机不存在"]}
    assert bench.refused("Open_queryPrinterStatus", sn="932500003")[0] == 1002
    assert (
        bench.refused("Open_printerAddlist", printerContent="\n".join(f"{k}#k" for k in range(101)))[0] == -2
    )


def test_names_in_other_letters_and_multipart_forms_are_taken_too() -> None:
    bench = Bench()
    assert bench.ask("Open_delPrinterSQS", sn=SN) is True
    assert bench.ask("Open_printerAddList", printerContent="1#2")["ok"] == []

    async def multipart() -> Any:
        stime = str(bench.kernel.unix_us // S)
        fields = {
            "user": USER, "stime": stime, "sig": hashlib.sha1((USER + UKEY + stime).encode()).hexdigest(),
            "apiname": "Open_printMsg", "sn": SN, "content": "<C>中文</C>",
        }  # fmt: skip
        files = {name: (None, value) for name, value in fields.items()}
        return (await bench.http.post("/Api/Open/", files=files)).json()

    assert bench.run(multipart(), 1)["ret"] == 0
    bench.wait(5)
    assert bench.printer.receipts[0].text.strip() == "中文"


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"a=1&" * 500, b"user=%ff", b"x" * 300_000])
def test_rubbish_is_answered(body: bytes) -> None:
    bench = Bench()

    async def story() -> list[int]:
        statuses = []
        for kind in (
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=b",
            "multipart/form-data",
            "application/json",
        ):
            reply = await bench.http.post("/Api/Open/", content=body, headers={"Content-Type": kind})
            statuses.append(reply.status_code)
            if reply.status_code == 200:
                assert reply.json()["ret"] == -2
        assert (await bench.http.get("/")).status_code == 404
        return statuses

    assert set(bench.run(story(), 1)) == ({413} if len(body) > 262_144 else {200})


def test_a_limit_on_calls_is_a_switch() -> None:
    bench = Bench(calls_per_s=2)

    async def story() -> list[int]:
        return [(await bench.post("Open_queryPrinterStatus", sn=SN))["ret"] for _ in range(4)]

    assert bench.run(story()) == [0, 0, -1, -1]
    bench.wait(2)
    assert bench.status()


def test_faults_land_before_or_after_the_work() -> None:
    bench = Bench(
        CallFault(kind="refuse", name="no", at=("Open_printMsg",), code=-3, limit=1),
        CallFault(kind="bad-gateway", name="502", at=("Open_printMsg",), skip=1, limit=1, after_work=True),
    )
    assert bench.refused("Open_printMsg", sn=SN, content="a")[0] == -3

    async def broken() -> int:
        stime = str(bench.kernel.unix_us // S)
        form = {"user": USER, "stime": stime, "sig": hashlib.sha1((USER + UKEY + stime).encode()).hexdigest()}
        reply = await bench.http.post(
            "/Api/Open/", data={**form, "apiname": "Open_printMsg", "sn": SN, "content": "b"}
        )
        return reply.status_code

    assert bench.refused("Open_queryOrderState", orderid="x")[0] == 1001
    bench.order("c")
    assert bench.run(broken()) in (200, 502)
    assert bench.cloud.faults.report()["no"] == {"met": 1, "landed": 1}


def test_a_callback_comes_until_it_is_taken() -> None:
    got: list[dict[str, str]] = []

    def shop(request: httpx.Request) -> httpx.Response:
        assert request.headers["content-type"] == "application/x-www-form-urlencoded"
        got.append(dict(parse_qsl(request.content.decode())))
        return httpx.Response(200, text="SUCCESS" if len(got) == 3 else "ok")

    bench = Bench(shop=shop)
    order = bench.order(backurl="https://shop.example/printed")
    bench.order()  # without a place to tell
    bench.wait(600)
    assert len(got) == 3
    assert got[0] == got[2]
    assert (got[0]["orderId"], got[0]["status"], len(got[0]["stime"])) == (order, "1", 10)
    assert bench.key is not None
    assert verify_callback(bench.key.public_key(), got[0])
    (notice,) = bench.cloud.callbacks.notices
    assert (notice.attempts, notice.is_taken) == (["200", "200", "200"], True)


def test_the_control_api_moves_the_printer_and_shows_what_came_out() -> None:
    bench = Bench()

    async def story() -> None:
        control = httpx.AsyncClient(
            transport=httpx.ASGITransport(bench.cloud.control_app), base_url="http://c"
        )
        assert (await control.post(f"/printers/{SN}/paper-out")).status_code == 204
        await bench.post("Open_printMsg", sn=SN, content="a")
        (shown, *_) = (await control.get("/printers")).json()
        assert (shown["status"], shown["waiting"], shown["receipts"]) == ("在线，工作状态不正常", 1, 0)
        assert (await control.post(f"/printers/{SN}/load-paper")).status_code == 204
        assert (await control.post(f"/printers/{SN}/kick")).status_code == 404
        assert (await control.post("/printers/1/paper-out")).status_code == 404

    bench.run(story(), 1)
    bench.wait(10)

    async def after() -> None:
        control = httpx.AsyncClient(
            transport=httpx.ASGITransport(bench.cloud.control_app), base_url="http://c"
        )
        assert (await control.get(f"/printers/{SN}/receipts")).json() == [{"text": "a", "whole": True}]
        assert [order["state"] for order in (await control.get("/orders")).json()] == ["printed"]
        assert (await control.get("/notices")).json() == []
        assert (await control.get("/calls")).json() == {"Open_printMsg": 1}

    bench.run(after(), 1)


def test_the_same_seed_gives_the_same_trace() -> None:
    traces = []
    for _ in range(2):
        bench = Bench()
        bench.order()
        bench.wait(10)
        traces.append(bench.kernel.trace.hexdigest())
    assert traces[0] == traces[1]
