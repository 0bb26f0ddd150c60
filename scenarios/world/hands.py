"""The application of a control API: its routes are for hands, and whatever is sent to them gets an answer."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.responses import JSONResponse, Response

__all__ = ["hands_api"]


def hands_api(title: str, description: str) -> FastAPI:
    """A control API without routes. It refuses what it cannot read with 422 and where it went wrong, as FastAPI does."""
    app = FastAPI(title=title, description=description, version="1")
    app.add_exception_handler(RequestValidationError, _refused)
    return app


async def _refused(request: Request, error: Exception) -> Response:
    """FastAPI's own answer shows the value as well, and breaks down over NaN, which no JSON can hold."""
    del request
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class only
    detail = [{name: each[name] for name in ("type", "loc", "msg")} for each in error.errors()]
    return JSONResponse({"detail": detail}, 422)
