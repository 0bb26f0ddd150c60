"""A shorter way through a transport, for callers who make many small requests and read each reply whole."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

__all__ = ["Carrier"]


@runtime_checkable
class Carrier(Protocol):
    """A transport that can also carry a request as it is, without httpx's objects around it."""

    async def carry(
        self, method: str, url: str, headers: list[tuple[bytes, bytes]], body: bytes, whole_s: float
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        """Status, headers and body of the reply, within ``whole_s``. Host and Content-Length are its business.

        Raises:
            httpx.TransportError: no answer, or the connection broke.
        """
