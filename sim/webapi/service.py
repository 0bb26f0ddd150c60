"""One platform's host as an ASGI application: it reads calls, lets time pass, strikes with faults and writes replies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sim.kernel import Kernel
from sim.latency import LatencyProfile
from sim.webapi.call import Call, Reply
from sim.webapi.faults import CallFault, CallFaultBook, CallFaultKind

__all__ = ["Route", "WebService"]

_MAX_BODY_BYTES: Final = 256 * 1024
"""Far above any real call, far below what would hurt."""

_BAD_GATEWAY: Final = (
    "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n"
    "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)


@dataclass(frozen=True, slots=True)
class Route:
    """One path of a host.

    Attributes:
        path: exactly.
        methods: what it takes.
        name: of the call.
        work: does it; everything happens at one instant.
        content_type: of its replies; empty takes the service's.
    """

    path: str
    methods: tuple[str, ...]
    name: str
    work: Callable[[Call], Reply]
    content_type: str = ""


class WebService:
    """What `sim.wechatserver`, `sim.wecom` and `sim.amap` are built on.

    Args:
        kernel: clock, streams and trace.
        entity: its name there.
        routes: what it serves.
        refuse: the platform's error reply for a number; 0 is "system busy".
        unknown: status and reply for a path and the methods that it takes; no methods: there is no such path.
        latency: its own share of a call's time.
        faults: its schedule of faults.
        end_token: ends the access token of a call; None where there is none.
        content_type: of its replies.
        other_form: a reply's bytes and content type where the query asks for another form than JSON, or None.

    Attributes:
        faults: the faults at work.
        counts: calls answered, by name.
    """

    def __init__(
        self,
        kernel: Kernel,
        entity: str,
        routes: Iterable[Route],
        *,
        refuse: Callable[[int], Reply],
        unknown: Callable[[str, tuple[str, ...]], tuple[int, Reply | None]],
        latency: LatencyProfile,
        faults: Iterable[CallFault] = (),
        end_token: Callable[[Call], None] | None = None,
        content_type: str = "application/json;charset=UTF-8",
        other_form: Callable[[Mapping[str, str], Reply], tuple[bytes, str] | None] | None = None,
    ) -> None:
        self.kernel = kernel
        self.entity = entity
        self._routes = {route.path: route for route in routes}
        self._refuse = refuse
        self._unknown = unknown
        self._latency = latency
        self._end_token = end_token
        self._content_type = content_type
        self._other_form = other_form
        self.faults = CallFaultBook(
            kernel, entity, sorted({route.name for route in self._routes.values()}), faults
        )
        self.counts: dict[str, int] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI call."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"{self.entity} speaks HTTP, not {scope['type']}")
        try:
            response = await self._answer(Request(scope, receive))
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        query: dict[str, str] = {}
        for name, value in request.query_params.multi_items():
            query.setdefault(name, value)
        route = self._routes.get(request.url.path)
        if route is None or request.method not in route.methods:
            status, reply = self._unknown(request.url.path, route.methods if route is not None else ())
            return Response(b"", status) if reply is None else self._written(reply, query, status=status)
        body = await _read(request)
        if body is None:
            return Response(b"", 413)
        read = _object(body) if request.method == "POST" else {}
        call = Call(route.name, request.method, query, read or {}, read is not None)
        delay_us = self._latency.draw(self.kernel.streams.get(self.entity, f"latency/{route.name}"))
        if delay_us:
            await asyncio.sleep(delay_us / 1_000_000)
        return await self._struck(route, call)

    async def _struck(self, route: Route, call: Call) -> Response:
        """Do the work, or what a fault makes of it."""
        if self._end_token is not None and self.faults.draw(CallFaultKind.TOKEN_ENDED, route.name):
            self._end_token(call)
        refused = self.faults.draw(CallFaultKind.REFUSE, route.name)
        if refused is not None:
            self._work_if(refused, route, call)
            return self._written(self._refuse(refused.code), call.query, route)
        bad = self.faults.draw(CallFaultKind.BAD_GATEWAY, route.name)
        if bad is not None:
            self._work_if(bad, route, call)
            return Response(_BAD_GATEWAY, 502, media_type="text/html")
        held = self.faults.draw(CallFaultKind.TIMEOUT, route.name)
        if held is not None:
            reply = self._work_if(held, route, call)
            await asyncio.sleep(held.delay_us / 1_000_000)
            return self._written(self._refuse(0) if reply is None else reply, call.query, route)
        response = self._written(self._work(route, call), call.query, route)
        if self.faults.draw(CallFaultKind.CUT_SHORT, route.name):
            half = bytes(response.body)[: len(response.body) // 2]
            return Response(half, headers={"Content-Type": response.headers["content-type"]})
        return response

    def _written(
        self, reply: Reply, query: Mapping[str, str], route: Route | None = None, *, status: int = 200
    ) -> Response:
        other = self._other_form(query, reply) if self._other_form is not None else None
        if other is not None:
            return Response(other[0], status, {"Content-Type": other[1]})
        kind = (route.content_type if route is not None else "") or self._content_type
        return Response(msgspec.json.encode(reply), status, {"Content-Type": kind})

    def _work_if(self, fault: CallFault, route: Route, call: Call) -> Reply | None:
        return self._work(route, call) if fault.after_work else None

    def _work(self, route: Route, call: Call) -> Reply:
        self.counts[route.name] = self.counts.get(route.name, 0) + 1
        return route.work(call)


def _object(body: bytes) -> dict[str, Any] | None:
    """A JSON object; None for anything else."""
    try:
        data = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


async def _read(request: Request) -> bytes | None:
    """The raw body; None when it is larger than any real one."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BODY_BYTES:
            return None
    return bytes(body)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
