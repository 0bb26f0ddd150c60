"""Where a request goes: the parts of its URL, taken apart once."""

from __future__ import annotations

import re
from typing import Final

import httpx

from protocols.cards import mask_private

__all__ = ["Place", "Places"]

_KEPT: Final = 64
_WHOLE: Final = re.compile(r"(https?://[A-Za-z0-9.:-]+)(/.*)")
_PLAIN_PATH: Final = re.compile(r"/(?:[A-Za-z0-9_~-][A-Za-z0-9/_.~-]*)?")
_PLAIN_QUERY: Final = re.compile(r"[A-Za-z0-9_.~&=-]*")


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

    def at(self, raw_path: str, query: str) -> Place:
        """Another place of the same host, by a path and a query in which nothing needs quoting."""
        return Place(
            self.host,
            raw_path,
            netloc=self.netloc,
            raw_path=raw_path.encode(),
            query=query.encode(),
            scheme=self.scheme,
            port=self.port,
        )


class Places:
    """Takes URLs apart.

    Most lead to a few places again and again, and nearly all to a handful of hosts, with nothing in them that needs quoting.
    """

    def __init__(self) -> None:
        self._hosts: dict[str, Place] = {}
        self._latest: dict[str, Place] = {}

    def of(self, base: str, url: str) -> Place:
        """Where a URL leads: a whole one if ``base`` is empty, else a path on that host (``https://host``).

        Raises:
            httpx.InvalidURL: it names no host.
        """
        if base:
            return self._found(base, url)
        place = self._latest.get(url)
        if place is None:
            place = self._found(base, url)
            if len(self._latest) >= _KEPT:
                del self._latest[next(iter(self._latest))]
            self._latest[url] = place
        return place

    def _found(self, base: str, url: str) -> Place:
        if base and not url.startswith("/"):
            url = "/" + url
        whole = base + url
        if not base and (plain := _WHOLE.fullmatch(url)):
            base, url = plain.groups()
        path, _, query = url.partition("?")
        if not base or "/." in path or not _PLAIN_PATH.fullmatch(path) or not _PLAIN_QUERY.fullmatch(query):
            return _place(whole)
        host = self._hosts.get(base)
        if host is None:
            host = _place(base)
            if len(self._hosts) < _KEPT:
                self._hosts[base] = host
        return host.at(path, query)


def _place(url: str) -> Place:
    place = Place.of(httpx.URL(url))
    if not place.host:
        raise httpx.InvalidURL(f"{url[:80]!r} names no host")
    return place
