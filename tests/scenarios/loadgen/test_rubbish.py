"""A backend that answers 2xx and rubbish: the load says what it asked and what is wrong with the answer."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from scenarios.loadgen.client import AnyBackend, LoadError
from scenarios.loadgen.payments import PaymentLoad
from scenarios.measured.lookup import BooksError, read_books


def against(body: bytes, kind: str = "application/json") -> AnyBackend:
    transport = httpx.MockTransport(
        lambda _request: httpx.Response(200, content=body, headers={"content-type": kind})
    )
    return AnyBackend(["http://theirs"], clock_us=lambda: 0, transport=transport)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            b"<html>hello</html>",
            "PUT /v1/stations/LOAD0001: the answer is no JSON object: '<html>hello</html>'",
        ),
        (b"[1]", "PUT /v1/stations/LOAD0001: the answer is no JSON object: '[1]'"),
        (b"null", "PUT /v1/stations/LOAD0001: the answer is no JSON object: 'null'"),
        (b"\xff\xfe", "PUT /v1/stations/LOAD0001: the answer is no JSON object: '\ufffd\ufffd'"),
        (b"[" * 100_000, f"PUT /v1/stations/LOAD0001: the answer is no JSON object: {'[' * 60!r}"),
        (b"{}", "POST /v1/sessions: the answer has no 'openid'"),
        (b'{"openid": "o"}', "POST /v1/sessions: the answer has no 'token'"),
        (b"", "POST /v1/sessions: the answer has no 'openid'"),
    ],
    ids=lambda value: value[:9].decode("latin-1") if isinstance(value, bytes) else "",
)
def test_what_the_load_cannot_begin_with_is_told(body: bytes, said: str) -> None:
    async def prepare() -> None:
        async with httpx.AsyncClient() as payer:
            load = PaymentLoad(against(body), payer, station_key="k", clock_us=lambda: 0, unix_us=lambda: 0)
            await load.prepare(1, 1)

    with pytest.raises(LoadError) as trouble:
        asyncio.run(prepare())
    assert str(trouble.value) == said


@pytest.mark.parametrize("data", [b"hello", b"[]", b"NaN"])
def test_an_event_that_holds_no_object_is_told(data: bytes) -> None:
    async def follow() -> None:
        backend = against(b"event: order\ndata: %s\n\n" % data, "text/event-stream")
        async for _ in backend.events("/v1/orders/1/events", key="k"):
            pass

    with pytest.raises(LoadError, match="GET /v1/orders/1/events: the answer is no JSON object"):
        asyncio.run(follow())


def test_books_without_a_next_page_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = httpx.AsyncClient
    transport = httpx.MockTransport(lambda _request: httpx.Response(200, json={"rows": []}))
    monkeypatch.setattr("httpx.AsyncClient", lambda **more: plain(**{**more, "transport": transport}))
    with pytest.raises(BooksError, match="GET /v1/admin/ledger: KeyError: 'next'"):
        asyncio.run(read_books("http://theirs", "key"))
