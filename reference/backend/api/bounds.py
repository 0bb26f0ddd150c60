"""How much of a request's body is taken: the framework itself would read on for ever."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope

from reference.backend.api.common import check_size

__all__ = ["bounded"]


def bounded(scope: Scope, receive: Receive, limit: int) -> Receive:
    """A request's body, of which no more than ``limit`` bytes arrive.

    Raises:
        ApiError: 413, its length is told and too large. One whose length is not told raises when it has grown too large, an
            `HTTPException`, since the framework takes any other error while it reads for a body that is not JSON.
    """
    told = next((value for name, value in scope["headers"] if name == b"content-length"), None)
    if told is not None:
        check_size(told.decode("latin-1"), limit)
        return receive  # the server takes no more than was told
    size = 0

    async def counted() -> MutableMapping[str, Any]:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > limit:
            raise HTTPException(413, f"the body is larger than {limit} bytes")
        return message

    return counted
