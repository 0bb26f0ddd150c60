"""Calls to a tax platform of its own host: one connection to it, and what they need beside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from protocols.sansio import RemoteProtocolError
from reference.backend.gateways.outgoing import Outgoing
from reference.backend.gateways.port import GatewayUnknownError
from reference.backend.identifiers import Identifiers
from reference.backend.store.database import Database

__all__ = ["TaxCalls", "believed"]

T = TypeVar("T")


def believed(read: Callable[[], T]) -> T:
    """Read an answer; one that cannot be read leaves the outcome open (`GatewayUnknownError`)."""
    try:
        return read()
    except RemoteProtocolError as error:
        raise GatewayUnknownError(str(error)) from error


@dataclass(frozen=True, slots=True)
class TaxCalls:
    """What an adapter calls through.

    Attributes:
        outgoing: the far host.
        db: where tokens are kept.
        clock_us: Unix time in microseconds.
        ids: nonces.
    """

    outgoing: Outgoing
    db: Database
    clock_us: Callable[[], int]
    ids: Identifiers

    async def post(self, url: str, body: bytes, headers: dict[str, str]) -> bytes:
        """POST; the body of the answer, for platforms whose refusals come with status 200.

        Raises:
            GatewayUnknownError: no answer, or one with another status.
        """
        response = await self.outgoing.send("POST", url, body, {"User-Agent": "forecourt", **headers})
        if response.status_code != 200:
            raise GatewayUnknownError(f"the tax platform answered {response.status_code}")
        return response.content
