"""What is answered ahead of the framework must be answered as the framework's routes answer it."""

from __future__ import annotations

import asyncio

import pytest

from reference.backend.errors import refusal_of
from reference.backend.events import OrderStream

GOOD = b'{"at_us":1,"nozzles":[{"nozzle":1,"state":"FUELLING","volume_ml":10,"amount_fen":7}]}'
KEY = "Bearer station-key-of-km01"
PATH = "/v1/stations/KM01/nozzles/live"


@pytest.mark.parametrize(
    ("status", "path", "headers", "content"),
    [
        (204, PATH, {"Authorization": KEY}, GOOD),
        (204, PATH, {"Authorization": KEY.replace("Bearer", "bearer")}, GOOD),
        (401, PATH, {}, GOOD),
        (401, PATH, {"Authorization": "Basic eDp5"}, GOOD),
        (401, PATH, {"Authorization": KEY + "x"}, GOOD),
        (401, PATH, {"Authorization": "Bearer schlüssel".encode("latin-1")}, GOOD),
        (401, PATH.replace("KM01", "KM02"), {"Authorization": KEY}, GOOD),
        (401, PATH.replace("KM01", "KM99"), {"Authorization": KEY}, GOOD),
        (413, PATH, {"Authorization": KEY}, b" " * 2_000_000),
        (422, PATH, {"Authorization": KEY}, GOOD[:-1]),
        (422, PATH, {"Authorization": KEY}, GOOD.replace(b"10", b"-1")),
        (422, PATH, {"Authorization": KEY}, b""),
    ],
)
def test_both_ways_answer_alike(play_sqlite, status, path, headers, content):
    async def scene(w):
        app = w.backends[0].app
        ways = []
        for ahead in (app.ahead, None):
            app.ahead = ahead
            w.core.live._readings.clear()
            reply = await w.clients[0].post(path, headers=headers, content=content)
            shown = w.core.live.get("KM01", 1)
            ways.append((reply.status_code, reply.content, reply.headers.get("content-type"), shown))
        assert ways[0] == ways[1]
        assert ways[0][0] == status
        assert (ways[0][3] is not None) == (status == 204)

    play_sqlite(scene)


@pytest.mark.parametrize(
    ("status", "query", "key"),
    [
        (200, "after=0&wait_ms=0", KEY),
        (200, "after=1&wait_ms=0", KEY),
        (200, "after=0", KEY),
        (200, "wait_ms=0&after=0", KEY),
        (401, "after=0&wait_ms=0", KEY + "x"),
        (401, "after=0&wait_ms=0", ""),
        (422, "after=-1&wait_ms=0", KEY),
        (422, "after=0&wait_ms=30001", KEY),
        (422, "after=x&wait_ms=0", KEY),
    ],
)
def test_commands_are_given_alike(play_sqlite, status, query, key):
    async def scene(w):
        await w.order()
        app = w.backends[0].app
        ways = []
        for ahead in (app.ahead, None):
            app.ahead = ahead
            reply = await w.clients[0].get(
                f"/v1/stations/KM01/commands?{query}", headers={"Authorization": key}
            )
            ways.append((reply.status_code, reply.content, reply.headers))
        assert ways[0] == ways[1]
        assert ways[0][0] == status
        assert (b'"authorise"' in ways[0][1]) == (status == 200 and "after=1" not in query)

    play_sqlite(scene)


def test_other_methods_are_refused_by_the_framework(play_sqlite):
    async def scene(w):
        for method, path in (("GET", PATH), ("DELETE", PATH), ("POST", "/v1/stations/KM01/commands")):
            reply = await w.clients[0].request(method, path, headers={"Authorization": KEY})
            assert reply.status_code == 405

    play_sqlite(scene)


def test_a_body_in_pieces_is_put_together_and_one_that_breaks_off_is_dropped(play_sqlite):
    async def scene(w):
        app, sent = w.backends[0].app, []
        scope = {
            "type": "http",
            "method": "POST",
            "path": PATH,
            "headers": [(b"authorization", KEY.encode())],
        }

        async def send(message):
            sent.append(message)

        def saying(*messages):
            rest = iter(messages)

            async def receive():
                return next(rest)

            return receive

        first = {"type": "http.request", "body": GOOD[:20], "more_body": True}
        await app(scope, saying(first, {"type": "http.disconnect"}), send)
        assert sent == []
        assert w.core.live.get("KM01", 1) is None
        await app(scope, saying(first, {"type": "http.request", "body": GOOD[20:]}), send)
        assert [message.get("status") for message in sent] == [204, None]
        assert w.core.live.get("KM01", 1).volume_ml == 10

    play_sqlite(scene)


def test_an_error_of_the_service_is_no_refusal(play_sqlite):
    assert refusal_of(RuntimeError("a defect")) is None

    async def scene(w):
        def broken(station, post):
            raise RuntimeError("a defect")

        w.core.live.update = broken
        with pytest.raises(RuntimeError, match="a defect"):
            await w.site("POST", "/nozzles/live", {"at_us": 1, "nozzles": []})

    play_sqlite(scene)


def test_a_phone_that_hangs_up_ends_its_stream_at_once(play_sqlite):
    async def scene(w):
        order = await w.order()
        gone, sent = asyncio.Event(), []

        async def receive():
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)

        stream = asyncio.create_task(OrderStream(w.core, order)({"type": "http"}, receive, send))
        for _ in range(10):
            await asyncio.sleep(0)
        assert b"event: order" in sent[1]["body"]
        assert w.database.hub.waits(f"order/{order['order_id']}")
        gone.set()
        await asyncio.wait_for(stream, 1)
        assert not w.database.hub.waits(f"order/{order['order_id']}")

    play_sqlite(scene)
