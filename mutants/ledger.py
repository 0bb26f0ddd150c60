"""A backend no larger than the drills need: it keeps what the site controller sends, and hands it commands.

Written from the HTTP interface alone, so that a ledger row is a witness of its own: one row a key, the same again is
answered 200, other content under a known key 409.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

__all__ = ["Ledger"]

Message = MutableMapping[str, Any]


class Ledger:
    """The application. ``app`` is ASGI.

    Attributes:
        rows: the sales, in the order in which they came.
        refused: uploads that were answered 409.
        setups: what the station declared of itself, oldest first.
    """

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.refused: list[dict[str, Any]] = []
        self.setups: list[dict[str, Any]] = []
        self._by_key: dict[tuple[int, int], dict[str, Any]] = {}
        self._commands: list[dict[str, Any]] = []
        self._news: list[asyncio.Event] = []

    def order(
        self, nozzle: int, order_id: str, *, preset_fen: int | None = None, preset_ml: int | None = None
    ) -> None:
        """Have a nozzle authorised for an order. Call it at an instant of the run, from inside the kernel."""
        self._commands.append(
            {
                "id": len(self._commands) + 1,
                "kind": "authorise",
                "nozzle": nozzle,
                "order_id": order_id,
                "preset_fen": preset_fen,
                "preset_ml": preset_ml,
            }
        )
        for news in self._news:
            news.set()

    async def app(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """ASGI."""
        if scope["type"] != "http":
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        document = json.loads(body) if body else {}
        status, answer = await self._answer(
            scope["method"], scope["path"], scope["query_string"].decode(), document
        )
        payload = b"" if answer is None else json.dumps(answer).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(payload)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": payload})

    async def _answer(
        self, method: str, path: str, query: str, document: dict[str, Any]
    ) -> tuple[int, dict[str, Any] | None]:
        if method == "PUT":
            self.setups.append(document)
            return 200, {}
        if path.endswith("/sales"):
            return self._sale(document)
        if path.endswith("/commands"):
            return 200, {"commands": await self._wait(dict(part.split("=") for part in query.split("&")))}
        return 204, None

    def _sale(self, sale: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        key = sale["nozzle"], sale["sequence"]
        known = self._by_key.get(key)
        if known is None:
            self._by_key[key] = sale
            self.rows.append(sale)
            return 201, {"sale_id": str(len(self.rows))}
        if known == sale:
            return 200, {"sale_id": str(self.rows.index(known) + 1)}
        self.refused.append(sale)
        return 409, {"code": "SALE_DIFFERS", "message": "another sale has this key"}

    async def _wait(self, query: dict[str, str]) -> list[dict[str, Any]]:
        after = int(query["after"])
        if not self._commands[after:]:
            news = asyncio.Event()
            self._news.append(news)
            try:
                await asyncio.wait_for(news.wait(), int(query["wait_ms"]) / 1000)
            except TimeoutError:
                pass
            finally:
                self._news.remove(news)
        return self._commands[after:]
