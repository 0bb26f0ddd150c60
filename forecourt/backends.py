"""Backends of somebody else's: whether a URL can be one, and whether one answers there."""

from __future__ import annotations

import asyncio
from typing import Final
from urllib.parse import urlsplit

from forecourt.guard import BadInput

__all__ = ["backend_url", "must_answer"]

_ANSWER_S: Final = 5.0
_LONGEST: Final = 2_000


def backend_url(text: str) -> str:
    """The base URL that a person gave, without a slash at its end.

    Raises:
        BadInput: it is none.
    """
    try:
        parts = urlsplit(text)
        usable = bool(
            parts.scheme in {"http", "https"}
            and parts.hostname
            and (parts.port is None or parts.port > 0)
            and not parts.query
            and not parts.fragment
            and len(text) <= _LONGEST
            and text.isprintable()
            and " " not in text
        )
    except ValueError:
        usable = False
    if usable and "@" in parts.netloc:
        raise BadInput(
            "--backend: leave user and password out of the URL, it stands in the evidence as it is given"
        )
    if not usable:
        shown = repr(text) if len(text) <= 100 else f"{text[:80]!r}..."
        raise BadInput(f"--backend {shown}: expected a URL such as http://127.0.0.1:8080")
    return text.rstrip("/")


def must_answer(url: str) -> None:
    """A backend that is not there is found now, not after everything else has been started.

    Raises:
        BadInput: nothing answers ``GET /healthz`` with 2xx within five seconds.
    """
    import httpx

    try:
        status = asyncio.run(_healthz(url))
    except TimeoutError:
        raise BadInput(f"--backend {url} does not answer: nothing came within {_ANSWER_S:.0f} s") from None
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        raise BadInput(f"--backend {url} does not answer: {str(error) or type(error).__name__}") from None
    if not 200 <= status < 300:
        raise BadInput(f"--backend {url} answers {status} to GET /healthz, where 200 is expected")


async def _healthz(url: str) -> int:
    """Its status. The body is nobody's business: it may be endless, and a server that drips never is silent for long."""
    import httpx

    async with (
        asyncio.timeout(_ANSWER_S),
        httpx.AsyncClient(timeout=_ANSWER_S, trust_env=False) as client,
        client.stream("GET", f"{url}/healthz") as reply,
    ):
        return reply.status_code
