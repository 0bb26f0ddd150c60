"""Whatever a client sends, a platform answers with JSON in its own shape; and what all platforms have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim.amap import Amap
from sim.faults import FaultError
from sim.kernel import VirtualKernel
from sim.latency import LatencyProfile
from sim.webapi import CallFault, Route, WebService
from sim.wechatserver import MiniProgram, PaidOrder, Template, WeChatServer
from sim.wecom import Corp, WeCom

EPOCH_US = 1_790_000_000_000_000
APP = MiniProgram("wx1", "s", templates=(Template("T", ("thing1", "amount2")),))
CORP = Corp("ww1", "s", {"wm": ("zhang",)})
PAID = PaidOrder("1900000109", "wx1", "KM01-1", "42", "o1", 100, EPOCH_US)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
SHIPPING = st.fixed_dictionaries(
    {},
    optional={
        "order_key": st.just({"order_number_type": 2, "transaction_id": "42"}) | JSON,
        "logistics_type": st.sampled_from([1, 4]) | JSON,
        "delivery_mode": st.sampled_from([1, 2]) | JSON,
        "is_all_delivered": JSON,
        "shipping_list": st.just([{"item_desc": "x"}]) | st.lists(JSON, max_size=2) | JSON,
        "upload_time": st.just("2026-09-21T22:00:00+08:00") | JSON,
        "payer": st.just({"openid": "o1"}) | JSON,
    },
)
MESSAGE = st.fixed_dictionaries(
    {},
    optional={
        name: st.sampled_from(["T", "o1"]) | JSON for name in ("touser", "template_id", "page", "data")
    },
)
NAMES = (
    "userid",
    "external_userid",
    "add_tag",
    "remove_tag",
    "id",
    "name",
    "order",
    "tag",
    "group_id",
    "group_name",
    "tag_id",
)
TAGS = st.fixed_dictionaries({}, optional={name: st.sampled_from(["zhang", "wm"]) | JSON for name in NAMES})
MANY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@contextmanager
def virtual() -> Iterator[VirtualKernel]:
    """A kernel for one example: Hypothesis makes too many to leave them open until the test ends."""
    kernel = VirtualKernel("h", epoch_us=EPOCH_US)
    try:
        yield kernel
    finally:
        kernel.close()


def ask(kernel: VirtualKernel, app: Any, method: str, url: str, **more: Any) -> httpx.Response:
    async def asked() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://host") as client:
            return await client.request(method, url, **more)

    done = kernel.task(asked())
    kernel.run()
    response: httpx.Response = done.value
    return response


@MANY
@given(
    path=st.sampled_from(
        ["/wxa/business/getuserphonenumber", "/wxa/sec/order/get_order", "/cgi-bin/stable_token"]
    ),
    body=JSON,
    shipping=SHIPPING,
    message=MESSAGE,
)
def test_wechats_server_answers_anything_with_an_errcode(path, body, shipping, message) -> None:
    with virtual() as kernel:
        server = WeChatServer(kernel, [APP], find_order=lambda *_key: PAID)
        word, _ = server.tokens.fetch("wx1")
        upload, send = "/wxa/sec/order/upload_shipping_info", "/cgi-bin/message/subscribe/send"
        for where, what in ((path, body), (upload, shipping), (send, message)):
            reply = ask(kernel, server.app, "POST", where, params={"access_token": word}, json=what)
            assert reply.status_code == 200
            assert isinstance(reply.json()["errcode"], int)


@MANY
@given(
    name=st.sampled_from(["mark_tag", "get_corp_tag_list", "add_corp_tag", "edit_corp_tag", "del_corp_tag"]),
    body=TAGS | JSON,
)
def test_wecom_answers_anything_with_an_errcode(name, body) -> None:
    with virtual() as kernel:
        wecom = WeCom(kernel, [CORP])
        word = ask(kernel, wecom.app, "GET", "/cgi-bin/gettoken?corpid=ww1&corpsecret=s").json()[
            "access_token"
        ]
        url = f"/cgi-bin/externalcontact/{name}"
        reply = ask(kernel, wecom.app, "POST", url, params={"access_token": word}, json=body)
        assert (reply.status_code, type(reply.json()["errcode"])) == (200, int)


@MANY
@given(
    path=st.sampled_from(["/v3/geocode/geo", "/v3/geocode/regeo", "/v3/assistant/coordinate/convert"]),
    query=st.dictionaries(
        st.sampled_from(["address", "city", "location", "locations", "coordsys", "extensions"]),
        st.text(max_size=12)
        | st.sampled_from(["102.7,25", "102,25|1e400,2", "nan,1", "gps", "baidu", "-0,-0"]),
    ),
)
def test_amap_answers_anything_with_a_status(path, query) -> None:
    with virtual() as kernel:
        amap = Amap(kernel, ["k"])
        reply = ask(kernel, amap.app, "GET", path, params={"key": "k", **query})
        assert (reply.status_code, reply.json()["status"] in {"0", "1"}) == (200, True)


def service(kernel: VirtualKernel, *faults: CallFault, latency: int = 0) -> WebService:
    return WebService(
        kernel,
        "shop",
        [Route("/buy", ("GET",), "buy", lambda _call: {"ok": True})],
        refuse=lambda code: {"error": code},
        unknown=lambda _path, _methods: (404, None),
        latency=LatencyProfile.constant(latency),
        faults=faults,
    )


@pytest.mark.parametrize(("after_work", "reply", "done"), [(True, {"ok": True}, 1), (False, {"error": 0}, 0)])
def test_a_held_call_says_what_became_of_it_or_that_the_system_is_busy(after_work, reply, done) -> None:
    kernel = VirtualKernel("h", epoch_us=EPOCH_US)
    shop = service(kernel, CallFault(kind="timeout", after_work=after_work, delay_us=7_000_000), latency=5)
    assert ask(kernel, shop, "GET", "/buy").json() == reply
    assert (shop.counts.get("buy", 0), kernel.now_us) == (done, 7_000_005)


@pytest.mark.parametrize("kind", ["refuse", "bad-gateway"])
def test_a_call_may_have_been_carried_out_although_it_says_no(kind) -> None:
    kernel = VirtualKernel("h", epoch_us=EPOCH_US)
    shop = service(kernel, CallFault(kind=kind, code=7, after_work=True))
    ask(kernel, shop, "GET", "/buy")
    assert shop.counts == {"buy": 1}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"kind": "no"}, "kind must be one of refuse, "),
        ({"kind": "refuse", "at": "buy"}, "at must be a list"),
        ({"kind": "refuse", "skip": -1}, "skip must be"),
        ({"kind": "timeout", "delay_us": 0.5}, "delay_us must be"),
        ({"kind": "refuse", "code": "1"}, "code must be"),
        ({"kind": "refuse", "after_work": 1}, "after_work must be true or false"),
    ],
)
def test_a_fault_that_cannot_be_names_its_field(fields, said) -> None:
    with pytest.raises(FaultError, match=said):
        CallFault.from_dict(fields)


def test_a_fault_read_from_a_file_keeps_its_calls() -> None:
    assert CallFault.from_dict({"kind": "refuse", "at": ["buy"]}).at == ("buy",)


def test_only_http_is_spoken_and_a_lifespan_is_answered() -> None:
    kernel = VirtualKernel("h", epoch_us=EPOCH_US)
    shop = service(kernel)
    inbox = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent: list[str] = []

    async def story() -> None:
        async def receive() -> Any:
            return inbox.pop(0)

        async def send(message: Any) -> None:
            sent.append(message["type"])

        await shop({"type": "lifespan"}, receive, send)
        with pytest.raises(RuntimeError, match="speaks HTTP"):
            await shop({"type": "websocket"}, receive, send)
        await asyncio.sleep(0)

    done = kernel.task(story())
    kernel.run()
    assert done.triggered
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
