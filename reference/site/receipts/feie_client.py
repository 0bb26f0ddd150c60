"""The site's side of Feie's open API: the four calls that printing needs, each with what is certain after it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import httpx

from protocols.feie import Api, PrinterState, Reply, Ret, encode_form, parse_reply, printer_state, signed_form
from protocols.sansio import RemoteProtocolError
from reference.site.receipts.feie_config import FeieConfig

__all__ = ["FeieClient", "FeieRefused", "FeieUnknown"]

_BEFORE_ANYTHING: Final = frozenset((Ret.PARAMETER, Ret.SIGNATURE, Ret.NUMBER, Ret.NOT_YOURS))
"""A number that is not known could stand for a failure half-way."""


class FeieRefused(Exception):  # noqa: N818 - a plain word for what happened
    """The platform said no. ``ret`` is its number; ``is_certain``: the request was refused before anything was done."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(f"ret {reply.ret}: {reply.msg[:200]}")
        self.ret = reply.ret
        self.is_certain = reply.ret in _BEFORE_ANYTHING


class FeieUnknown(Exception):  # noqa: N818 - a plain word for what happened
    """No answer, or none that can be read: it may have been done or not."""


class FeieClient:
    """Calls for one printer.

    Args:
        config: account and printer.
        transport: what carries the requests; None for real sockets, through the proxy that the environment names.
        clock_us: Unix time; the platform refuses a clock that is wrong.
    """

    def __init__(
        self, config: FeieConfig, transport: httpx.AsyncBaseTransport | None, clock_us: Callable[[], int]
    ) -> None:
        self._config = config
        self._clock_us = clock_us
        self._timeout_s = config.request_timeout_us / 1e6
        self._owns_transport = transport is None
        self._http = httpx.AsyncClient(transport=transport, timeout=self._timeout_s)

    async def aclose(self) -> None:
        """Close the connections, unless others use them too."""
        if self._owns_transport:
            await self._http.aclose()

    async def state(self) -> PrinterState | None:
        """Whether the printer is there and works; None for words that are not known. Raises as `submit`."""
        data = await self._ask(Api.PRINTER_STATUS, sn=self._config.sn)
        return printer_state(data) if isinstance(data, str) else None

    async def submit(self, content: str) -> str:
        """Order one copy; returns the order's number.

        Raises:
            FeieRefused: it will not be printed.
            FeieUnknown: it may be printed or not, and nobody can ask: the platform has no number of ours for it.
        """
        unix_us = self._clock_us()
        expires_s = (unix_us + self._config.expires_us) // 1_000_000
        data = await self._ask(
            Api.PRINT, sn=self._config.sn, content=content, times="1", expired=str(expires_s)
        )
        if not isinstance(data, str) or not data:
            raise FeieUnknown("the order was taken, but has no number")
        return data

    async def is_printed(self, order_id: str) -> bool:
        """Whether an order is on paper. Raises as `submit`."""
        return await self._ask(Api.ORDER_STATE, orderid=order_id) is True

    async def clear_queue(self) -> None:
        """Take back everything that the cloud still holds for the printer. Raises as `submit`."""
        await self._ask(Api.CLEAR_QUEUE, sn=self._config.sn)

    async def _ask(self, api: Api, **fields: str) -> object:
        config = self._config
        form = signed_form(config.user, config.key, self._clock_us() // 1_000_000, api, **fields)
        try:
            async with asyncio.timeout(self._timeout_s):
                response = await self._http.post(
                    config.url,
                    content=encode_form(form),
                    headers={"Content-Type": "application/x-www-form-urlencoded"},
                )
        except (httpx.HTTPError, TimeoutError) as error:
            raise FeieUnknown(f"{type(error).__name__} {error}".strip()) from error
        if response.status_code != 200:
            raise FeieUnknown(f"HTTP {response.status_code}")
        try:
            reply = parse_reply(response.content)
        except RemoteProtocolError as error:
            raise FeieUnknown(str(error)) from error
        if not reply.is_ok:
            raise FeieRefused(reply)
        data: object = reply.data
        return data
