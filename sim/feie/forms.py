"""One address for every call: the form names what is wanted. Faults and latencies are those of every platform."""

from __future__ import annotations

import asyncio
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from protocols.feie import PATH, decode_form
from protocols.sansio import RemoteProtocolError
from sim.webapi import Call, Route, WebService

__all__ = ["FormService"]

_MOST_BYTES: Final = 256 * 1024


class FormService(WebService):
    """A `WebService` whose calls are told apart by the form's ``apiname``.

    Args:
        stranger: the call that answers a form which asks for nothing that there is.
        more: see `WebService`; each route's name is an ``apiname``.
    """

    def __init__(self, *arguments: Any, stranger: Route, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._by_name = {route.name.lower(): route for route in self._routes.values()}
        self._stranger = stranger

    async def _answer(self, request: Request) -> Response:
        if not f"{request.url.path}/".startswith(PATH):
            return Response(b"", 404)
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > _MOST_BYTES:
                return Response(b"", 413)
        fields = _fields(request.headers.get("content-type", ""), bytes(body))
        # Clients in the wild write Open_printerAddList and Open_delPrinterSQS as well.
        route = self._by_name.get(fields.get("apiname", "").lower(), self._stranger)
        call = Call(route.name, request.method, fields)
        delay_us = self._latency.draw(self.kernel.streams.get(self.entity, f"latency/{route.name}"))
        if delay_us:
            await asyncio.sleep(delay_us / 1_000_000)
        return await self._struck(route, call)


def _fields(content_type: str, body: bytes) -> dict[str, str]:
    """A form, URL-encoded or multipart (``houseme/feie`` sends that); nothing for what is neither."""
    try:
        if content_type.lower().startswith("multipart/form-data"):
            return _multipart(content_type, body)
        return decode_form(body)
    except RemoteProtocolError:
        return {}


def _multipart(content_type: str, body: bytes) -> dict[str, str]:
    head = f"Content-Type: {content_type}\r\n\r\n".encode("latin-1", "replace")
    message = BytesParser(policy=HTTP).parsebytes(head + body)
    fields: dict[str, str] = {}
    for part in message.iter_parts() if message.is_multipart() else ():
        name = part.get_param("name", header="content-disposition")
        raw = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(raw, bytes):
            fields.setdefault(name, raw.decode("utf-8", "replace"))
    return fields
