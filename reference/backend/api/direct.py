"""Endpoints run ahead of the framework, for requests in their usual form.

Routing, argument reading and the stacks around an endpoint cost several times what most endpoints need themselves. What is
read here is read with the framework's own fields. Whatever is not as usual (a query, another content type, a value that is
refused, a body of unknown length) is left to the framework, which answers it in full, refusals above all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from inspect import Parameter, signature
from typing import Any, Final, NamedTuple, get_type_hints

from fastapi import Request, Response
from fastapi.params import Body
from fastapi.routing import APIRoute
from starlette.convertors import StringConvertor
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

__all__ = ["DirectRoutes"]

_JSON: Final = b"application/json"

ErrorHandler = Callable[[Request, Any], Any]


class _Endpoint(NamedTuple):
    """A function that writes its own reply, and what it wants.

    Attributes:
        route: as the framework knows it; its reply comes from the function, nothing is made of what it returns.
        request: the name of the argument that takes the request.
        body: whether it takes a JSON body, in one piece.
    """

    route: APIRoute
    request: str | None
    body: bool


class DirectRoutes:
    """Answers requests in the place of an application's routes.

    Args:
        routes: all of the application, in their order.
        handlers: what the application makes of errors.
    """

    def __init__(self, routes: Iterable[BaseRoute], handlers: Mapping[Any, ErrorHandler]) -> None:
        self._handlers = handlers
        # By method and number of slashes; None for a route that is the framework's.
        self._tried: dict[tuple[str, int], list[tuple[Route, _Endpoint | None]]] = {}
        for route in routes:
            if not isinstance(route, Route):
                break  # it may take anything, so what comes after it is the framework's
            endpoint = _endpoint(route) if isinstance(route, APIRoute) else None
            for method in route.methods or ():
                self._tried.setdefault((method, route.path.count("/")), []).append((route, endpoint))

    async def answers(self, scope: Scope, receive: Receive, send: Send) -> Receive | None:
        """Answer a request; None when that is done, else what the framework is to receive."""
        if scope["query_string"] or scope.get("root_path"):
            return receive
        path = scope["path"]
        for route, endpoint in self._tried.get((scope["method"], path.count("/")), ()):
            found = route.path_regex.match(path)
            if found is None:
                continue
            if endpoint is None:
                break
            return await self._answer(endpoint, found.groupdict(), scope, receive, send)
        return receive

    async def _answer(
        self, endpoint: _Endpoint, named: dict[str, str], scope: Scope, receive: Receive, send: Send
    ) -> Receive | None:
        wants = endpoint.route.dependant
        values: dict[str, Any] = {}
        for field in wants.path_params:
            values[field.name], errors = field.validate(named[field.alias])
            if errors:
                return receive
        if endpoint.body:
            if not _is_told_json(scope):
                return receive
            body = await _read(receive)
            if body is None:
                return None  # nobody waits for an answer
            receive = _again(body, receive)
            field = wants.body_params[0]
            try:
                content = json.loads(body)
            except (ValueError, RecursionError):
                return receive
            values[field.name], errors = field.validate(content)
            if errors or content is None:
                return receive
        if endpoint.request is not None:
            values[endpoint.request] = Request(scope, receive)
        try:
            response: Response = await endpoint.route.endpoint(**values)
        except Exception as error:
            handler = next(
                (self._handlers[kind] for kind in type(error).__mro__ if kind in self._handlers), None
            )
            if handler is None:
                raise
            response = await handler(Request(scope, receive), error)
        await response(scope, receive, send)
        return None


def _endpoint(route: APIRoute) -> _Endpoint | None:
    """How to run a route's function; None if that takes more than is done here."""
    wants = route.dependant
    more = (
        *wants.dependencies,
        *wants.header_params,
        *wants.cookie_params,
        *wants.body_params[1:],
        wants.websocket_param_name,
        wants.http_connection_param_name,
        wants.response_param_name,
        wants.background_tasks_param_name,
        wants.security_scopes_param_name,
    )
    if any(more):
        return None
    given = signature(route.endpoint).parameters
    if any(given[field.name].default is Parameter.empty for field in wants.query_params):
        return None
    if any(not isinstance(one, StringConvertor) for one in route.param_convertors.values()):
        return None
    for field in wants.body_params:
        if type(field.field_info) is not Body or field.field_info.embed or not field.field_info.is_required():
            return None
    if get_type_hints(route.endpoint).get("return") is not Response:
        return None
    return _Endpoint(route, wants.request_param_name, bool(wants.body_params))


def _is_told_json(scope: Scope) -> bool:
    """Whether a body is told to be JSON, in so many words, and how long it is."""
    told: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        told.setdefault(name, value)  # where it is sent twice, the first one counts
    return told.get(b"content-type") == _JSON and b"content-length" in told


async def _read(receive: Receive) -> bytes | None:
    """The whole body; None if the client has gone meanwhile."""
    message = await receive()
    body: bytes = message.get("body", b"")
    while message["type"] == "http.request" and message.get("more_body", False):
        message = await receive()
        body += message.get("body", b"")
    return None if message["type"] == "http.disconnect" else body


def _again(body: bytes, receive: Receive) -> Receive:
    """For who reads after us: the same body once more."""
    first = True

    async def received() -> MutableMapping[str, Any]:
        nonlocal first
        if first:
            first = False
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return received
