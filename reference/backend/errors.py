"""Refusals: one JSON shape, ``{"code", "message", "field"}``, for everything that is not a success."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.routing import Match

from protocols.cards import mask_private
from reference.backend.store.database import StoreUnavailableError

__all__ = ["ApiError", "ErrorBody", "install_error_handlers", "refusal", "refusal_of"]


_HEADERS: Final = {
    # Without it Java's own clients take a 401 for a broken reply (RFC 9110 15.5.2 asks for it).
    401: {"WWW-Authenticate": "Bearer"},
    503: {"Retry-After": "1"},
}


class ErrorBody(BaseModel):
    """The body of every refusal."""

    code: str
    message: str
    field: str | None = None


class ApiError(Exception):
    """A refusal that the caller can act on.

    Attributes:
        status: HTTP status.
        code: a word that never changes.
        message: one sentence for a person.
        field: the field that is wrong, if one is.
    """

    def __init__(self, status: int, code: str, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.field = field


def refusal(
    status: int, code: str, message: str, field: str | None = None, headers: dict[str, str] | None = None
) -> Response:
    """The refusal as a response."""
    # Names of fields and parts of messages may be the caller's own words.
    body = {"code": code, "message": mask_private(message), "field": field and mask_private(field)}
    return Response(msgspec.json.encode(body), status, headers, media_type="application/json")


def refusal_of(error: Exception) -> Response | None:
    """The refusal that an error of the service's own means; None for any other."""
    if isinstance(error, ApiError):
        return refusal(error.status, error.code, error.message, error.field, _HEADERS.get(error.status))
    if isinstance(error, StoreUnavailableError):
        return refusal(503, "store_unavailable", str(error), headers={"Retry-After": "1"})
    if isinstance(error, msgspec.DecodeError):  # a ValidationError is one, too
        return refusal(422, "invalid", str(error), _field_of(str(error)))
    return None


def install_error_handlers(app: FastAPI) -> None:
    """Give every refusal of the application the one shape."""

    async def told(request: Request, error: Exception) -> Response:
        del request
        response = refusal_of(error)
        assert response is not None  # noqa: S101 - registered for these classes only
        return response

    async def invalid(request: Request, error: Exception) -> Response:
        del request
        assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class only
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"] if part not in {"body", "query", "path"})
        return refusal(422, "invalid", str(first["msg"]), field or None)

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class only
        if (
            error.status_code == 400
        ):  # FastAPI's word for a body that is not even text; one refusal for all bad bodies
            return refusal(422, "invalid", "the body is not JSON")
        words = {404: "not_found", 405: "method_not_allowed", 401: "unauthorised", 413: "too_large"}
        headers = dict(error.headers) if error.headers else _HEADERS.get(error.status_code)
        if error.status_code == 405:
            headers = {"Allow": ", ".join(_methods_of(request))}
        code = words.get(error.status_code, "refused")
        return refusal(error.status_code, code, str(error.detail), headers=headers)

    handlers: dict[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
        ApiError: told,
        StoreUnavailableError: told,
        RequestValidationError: invalid,
        msgspec.DecodeError: told,
        msgspec.ValidationError: told,
        HTTPException: http,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


def _methods_of(request: Request) -> list[str]:
    """What a path takes (RFC 9110 15.5.6): each method has a route of its own here, and the framework names those of the first alone."""
    found: set[str] = set()
    for route in request.app.routes:
        if route.matches(request.scope)[0] is not Match.NONE:
            found |= getattr(route, "methods", None) or set()
    return sorted(found)


def _field_of(message: str) -> str | None:
    """Msgspec names the place as ``$.nozzles[...].state``."""
    _, mark, place = message.rpartition(" - at `$")
    return place.rstrip("`").lstrip(".") or None if mark else None
