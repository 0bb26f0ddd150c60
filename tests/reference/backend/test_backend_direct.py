"""What is answered without the framework must be answered as the framework answers it."""

from __future__ import annotations

import asyncio
import json

import pytest

from reference.backend.api.direct import DirectRoutes

STATION = "Bearer station-key-of-km01"
JSON = {"Content-Type": "application/json"}
NEW = {"client_token": "t-1", "station": "KM01", "nozzle": 1, "mode": "postpay"}
PAY = {"channel": "wechatpay"}
DEEP = b'{"js_code": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"


def written(body):
    return body if isinstance(body, bytes) else json.dumps(body).encode()


async def script(w, asked):
    """What was answered; `{order}` in a path is an order that waits for its money."""
    token = (await w.call("POST", "/v1/sessions", {"js_code": "js-zhang"}, status=200))["token"]
    await w.site("POST", "/sales", w.sale(2), status=201)
    await w.site("POST", "/sales", w.sale(1), status=201)
    order = await w.call(
        "POST", "/v1/orders", {**NEW, "client_token": "t-0", "nozzle": 2}, key=token, status=201
    )
    answers = []
    for method, path, headers, body in asked:
        headers = {"Authorization": f"Bearer {token}", **headers}
        content = None if body is None else written(body)
        reply = await w.clients[0].request(
            method, path.format(order=order["order_id"]), headers=headers, content=content
        )
        answers.append((reply.status_code, reply.content, dict(reply.headers)))
    return answers


ASKED = [
    # Logging in.
    (200, "POST", "/v1/sessions", JSON, {"js_code": "js-li"}),
    (200, "POST", "/v1/sessions", {"Content-Type": "application/json; charset=utf-8"}, {"js_code": "js-li"}),
    (401, "POST", "/v1/sessions", JSON, {"js_code": "unknown"}),
    (422, "POST", "/v1/sessions", JSON, {"js_code": 5}),
    (422, "POST", "/v1/sessions", JSON, {}),
    (422, "POST", "/v1/sessions", JSON, b""),
    (422, "POST", "/v1/sessions", JSON, b"null"),
    (422, "POST", "/v1/sessions", JSON, b"[]"),
    (422, "POST", "/v1/sessions", JSON, b"\xff\xfe"),
    (422, "POST", "/v1/sessions", JSON, b'{"js_code":'),
    (422, "POST", "/v1/sessions", JSON, DEEP),
    (422, "POST", "/v1/sessions", {"Content-Type": "text/plain"}, {"js_code": "js-li"}),
    (422, "POST", "/v1/sessions", {}, {"js_code": "js-li"}),
    (413, "POST", "/v1/sessions", JSON, b" " * 2_000_000),
    # Orders.
    (201, "POST", "/v1/orders", JSON, NEW),
    (200, "POST", "/v1/orders", JSON, NEW),
    (409, "POST", "/v1/orders", JSON, {**NEW, "mode": "prepay", "preset_fen": 5_000}),
    (401, "POST", "/v1/orders", {"Authorization": "", **JSON}, NEW),
    (422, "POST", "/v1/orders", JSON, {**NEW, "nozzle": "1"}),
    (422, "POST", "/v1/orders", JSON, {**NEW, "client_token": "6222021234567890128"}),
    (422, "POST", "/v1/orders", JSON, {**NEW, "of_no_use": 1}),
    (200, "GET", "/v1/orders/{order}", {}, None),
    (200, "GET", "/v1/orders/{order}?x=1", {}, None),
    (404, "GET", "/v1/orders/ord_unknown", {}, None),
    (422, "GET", "/v1/orders/ORD", {}, None),
    (404, "GET", "/v1/orders/a/b", {}, None),
    (307, "GET", "/v1/orders//", {}, None),
    (401, "GET", "/v1/orders/{order}", {"Authorization": "Bearer x"}, None),
    (405, "PUT", "/v1/orders/{order}", JSON, {}),
    (405, "HEAD", "/v1/orders/{order}", {}, None),
    (200, "POST", "/v1/orders/{order}/pay", JSON, PAY),
    (422, "POST", "/v1/orders/{order}/pay", JSON, {"channel": "cash"}),
    (404, "POST", "/v1/orders/ord_unknown/pay", JSON, PAY),
    (200, "POST", "/v1/orders/{order}/client-result", JSON, {"result": "ok"}),
    # The site's and the gateway's.
    (200, "GET", "/v1/stations/KM01", {}, None),
    (404, "GET", "/v1/stations/KM09", {}, None),
    (422, "GET", "/v1/stations/KM 9", {}, None),
    (200, "GET", "/v1/stations/KM01/commands", {"Authorization": STATION}, None),
    (422, "GET", "/v1/stations/KM01/commands?after=x", {"Authorization": STATION}, None),
    (404, "POST", "/v1/stations/KM01/commands/9/result", {"Authorization": STATION, **JSON}, {"ok": True}),
    (422, "POST", "/v1/stations/KM01/commands/0/result", {"Authorization": STATION, **JSON}, {"ok": True}),
    (422, "POST", "/v1/stations/KM01/commands/x/result", {"Authorization": STATION, **JSON}, {"ok": True}),
    (401, "POST", "/v1/stations/KM01/commands/9/result", JSON, {"ok": True}),
    (422, "POST", "/v1/stations/KM01/sales", {"Authorization": STATION}, b"{}"),
    (401, "POST", "/v1/notify/wechatpay", {}, b"forged"),
    (413, "POST", "/v1/notify/wechatpay", {}, b" " * 2_000_000),
    # Others.
    (200, "GET", "/healthz", {}, None),
    (401, "GET", "/v1/admin/ledger", {}, None),
    (404, "GET", "/v1/nothing", {}, None),
]


def test_both_ways_answer_alike(play_sqlite):
    ways = []
    for is_direct in (True, False):

        async def scene(w, is_direct=is_direct):
            app = w.backends[0].app
            assert isinstance(app.direct, DirectRoutes)
            if not is_direct:
                app.direct = None
            ways.append(await script(w, [asked[1:] for asked in ASKED]))

        play_sqlite(scene)
    for asked, direct, thorough in zip(ASKED, *ways, strict=True):
        assert direct == thorough, asked
        assert direct[0] == asked[0], (asked, direct)


def test_what_payments_need_is_answered_directly(play_sqlite):
    class Counted:
        def __init__(self, direct):
            self._direct = direct
            self.left = []

        async def answers(self, scope, receive, send):
            left = await self._direct.answers(scope, receive, send)
            if left is not None:
                self.left.append(scope["path"])
            return left

    async def scene(w):
        counted = w.backends[0].app.direct = Counted(w.backends[0].app.direct)
        usual = [one for one in ASKED if one[0] < 300 and "?" not in one[2] and "charset" not in str(one[3])]
        await script(w, [one[1:] for one in usual])
        await w.site("GET", "/commands", status=200)
        # The view of a station is made by the framework, which leaves out what phones are not to see.
        assert counted.left == ["/v1/stations/KM01"]

    play_sqlite(scene)


def test_a_body_of_untold_length_is_the_frameworks_and_bounded(play_sqlite):
    async def scene(w):
        async def pieces():
            for _ in range(300):
                yield b" " * 10_000

        reply = await w.clients[0].post("/v1/sessions", headers=JSON, content=pieces())
        assert reply.status_code == 413

    play_sqlite(scene)


def test_a_client_that_hangs_up_within_its_body_is_not_answered(play_sqlite):
    async def scene(w):
        said = iter([{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}])
        sent = []

        async def receive():
            return next(said)

        async def send(message):
            sent.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/sessions",
            "query_string": b"",
            "headers": [(b"content-type", b"application/json"), (b"content-length", b"20")],
        }
        await w.backends[0].app(scope, receive, send)
        assert sent == []

    play_sqlite(scene)


def test_a_defect_is_no_refusal(play_sqlite):
    async def scene(w):
        async def broken(*args):
            raise RuntimeError("a defect")

        w.core.orders.view = broken
        with pytest.raises(RuntimeError, match="a defect"):
            await asyncio.wait_for(w.phone("GET", "/ord_1"), 5)

    play_sqlite(scene)
