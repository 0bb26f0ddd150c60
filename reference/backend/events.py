"""The phone's stream: the order at each change, the pump's figures while they move."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from reference.backend.core import Core
from reference.backend.live import LiveReading
from reference.backend.states import FINAL
from reference.backend.store.database import StoreUnavailableError
from reference.backend.store.notifier import Subscription

__all__ = ["ENDED", "OrderStream", "is_over", "order_events"]

_HEARTBEAT_S = 15.0
ENDED = "ended"
_END = f"id: {ENDED}\n\n".encode()
_SHOWS_LIVE = frozenset({"CREATED", "AUTHORISED", "FUELLING", "PAID"})
"""While an order in one of these has no sale, the figures at its nozzle are its own. With a sale they are the next driver's."""


class OrderStream(StreamingResponse):
    """The stream as a reply. It ends when the phone hangs up, for which one task listens."""

    media_type = "text/event-stream"

    def __init__(self, core: Core, order: dict[str, Any]) -> None:
        self._news = core.db.hub.subscribe(*_topics(order))
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        super().__init__(order_events(core, order, self._news), headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        del scope
        listening = asyncio.ensure_future(self.listen_for_disconnect(receive))
        listening.add_done_callback(lambda _: self._news.close())
        try:
            await self.stream_response(send)
        finally:
            listening.cancel()


def _topics(order: dict[str, Any]) -> tuple[str, str]:
    return f"order/{order['order_id']}", f"live/{order['station']}/{order['nozzle']}"


async def order_events(
    core: Core, order: dict[str, Any], news: Subscription | None = None
) -> AsyncIterator[bytes]:
    """Server-sent events of an order, beginning with the order as it is.

    The stream ends with the order (its invoice too), or when the service stops; the phone then connects again. It ends
    as well when ``news``, by default a subscription of its own, is closed.
    """
    hub = core.db.hub
    order_topic, live_topic = _topics(order)
    with news or hub.subscribe(order_topic, live_topic) as news:
        # Read again after subscribing: what changed in between would otherwise be missed.
        shown: dict[str, Any] = {}
        heard: dict[str, Any] = {order_topic: None}
        most = (0, 0)
        while True:
            if order_topic in heard or not heard:
                try:
                    order = await core.orders.view(order["order_id"])
                except StoreUnavailableError:
                    order = shown or order
                if _stable(order) != _stable(shown):
                    shown = order
                    yield _event("order", order)
                elif not heard:
                    yield b": still here\n\n"
            if live_topic in heard and order["state"] in _SHOWS_LIVE and order["sale_id"] is None:
                # The board's reading, not the message's: a message of another instance may have been overtaken.
                reading = core.live.get(order["station"], order["nozzle"])
                # One order is one delivery, and a meter never runs back: what is smaller is not its reading.
                if reading is not None and reading.delivers and _grown(reading, most):
                    most = (reading.volume_ml, reading.amount_fen)
                    yield _event("live", _live(reading))
            if core.stopping:
                return
            if _ended(order):
                yield _END
                return
            heard = await news.wait(hub.fallback_s or _HEARTBEAT_S)
            if news.is_closed:
                return


def _stable(order: dict[str, Any]) -> dict[str, Any]:
    """Without the live figures, which have events of their own."""
    if order.get("state") != "FUELLING":
        return order
    return {name: value for name, value in order.items() if name not in {"volume_ml", "amount_fen"}}


def is_over(order: dict[str, Any], last_event_id: str | None) -> bool:
    """Whether a phone that dials again has seen the end already.

    It is answered 204 then: a browser's EventSource takes the end of a stream for a lost connection and dials again for ever, until
    it is told so (HTML standard, 9.2.3). An id without an event ends the stream for this alone.
    """
    return last_event_id == ENDED and _ended(order)


def _ended(order: dict[str, Any]) -> bool:
    if order["invoice"]["state"] in {"issuing", "reversing"}:
        return False
    return order["state"] in FINAL or (order["state"] == "PAID" and order["mode"] == "postpay")


def _grown(reading: LiveReading, most: tuple[int, int]) -> bool:
    return reading.volume_ml >= most[0] and reading.amount_fen >= most[1]


def _live(reading: LiveReading) -> dict[str, Any]:
    return {
        "nozzle": reading.nozzle,
        "state": reading.state,
        "volume_ml": reading.volume_ml,
        "amount_fen": reading.amount_fen,
        "at_us": reading.at_us,
    }


def _event(name: str, data: dict[str, Any]) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + msgspec.json.encode(data) + b"\n\n"
