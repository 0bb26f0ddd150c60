"""Where a request goes: the parts of its URL, taken apart once."""

from __future__ import annotations

from typing import Final

import httpx

from protocols.cards import mask_private

__all__ = ["Place", "Places"]

_KEPT: Final = 64


class Place:
    """The parts of a URL.

    Attributes:
        scheme, host, port: as httpx has them.
        netloc: as the Host header has it.
        path: without the query, decoded.
        raw_path: without the query, as it was written.
        query: what follows the question mark.
        shown: the path as it may stand in a trace: what somebody wrote into it must not stay in evidence.
    """

    __slots__ = ("host", "netloc", "path", "port", "query", "raw_path", "scheme", "shown")

    def __init__(
        self,
        host: str,
        path: str,
        *,
        netloc: bytes,
        raw_path: bytes,
        query: bytes,
        scheme: str = "https",
        port: int | None = None,
    ) -> None:
        self.host = host
        self.path = path
        self.netloc = netloc
        self.raw_path = raw_path
        self.query = query
        self.scheme = scheme
        self.port = port
        self.shown = mask_private(path)

    @classmethod
    def of(cls, url: httpx.URL) -> Place:
        """Where a URL leads."""
        return cls(
            url.host,
            url.path,
            netloc=url.netloc,
            raw_path=url.raw_path.partition(b"?")[0],
            query=url.query,
            scheme=url.scheme,
            port=url.port,
        )


class Places:
    """Remembers the places of the last few URLs: most requests go to a handful, and taking one apart costs a good part of one."""

    def __init__(self) -> None:
        self._known: dict[str, Place] = {}

    def of(self, url: str) -> Place:
        """Where a URL leads.

        Raises:
            httpx.InvalidURL: it names no host.
        """
        place = self._known.get(url)
        if place is None:
            place = Place.of(httpx.URL(url))
            if not place.host:
                raise httpx.InvalidURL(f"{url[:80]!r} names no host")
            if len(self._known) >= _KEPT:
                del self._known[next(iter(self._known))]
            self._known[url] = place
        return place
