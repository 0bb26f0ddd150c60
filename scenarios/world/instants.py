"""When things passed the gateway's door, on the clock that all processes of a machine share.

`CLOCK_MONOTONIC` counts from the same zero in every process (POSIX ``clock_gettime``), so an instant taken in the world process
and one taken in the load generator can be subtracted.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sim.kernel import Kernel

__all__ = ["GatewayInstants", "PaymentInstants", "monotonic_us"]

_PREPAY_PATH: Final = "/v3/pay/transactions/jsapi"
_KEPT: Final = 500_000
_BODY_LIMIT: Final = 65_536


def monotonic_us() -> int:
    """Microseconds of ``CLOCK_MONOTONIC``."""
    return time.monotonic_ns() // 1000


@dataclass(slots=True)
class PaymentInstants:
    """Instants of one payment at the gateway's door, microseconds of ``CLOCK_MONOTONIC``; None for what has not happened.

    Attributes:
        prepay_arrived_us: the first prepay call arrived (its headers were read).
        prepay_replied_us: its answer was handed to the socket.
        callback_left_us: the first callback that was not lost by a fault set out.
        callbacks: how many attempts were made.
    """

    prepay_arrived_us: int | None = None
    prepay_replied_us: int | None = None
    callback_left_us: int | None = None
    callbacks: int = 0


class GatewayInstants:
    """Stamps prepay calls (as ASGI middleware) and callbacks (as a listener of the trace).

    Args:
        app: the gateway.
        kernel: the world's clock, whose trace tells the callbacks.
    """

    def __init__(self, app: ASGIApp, kernel: Kernel) -> None:
        self._app = app
        self._base_us = monotonic_us() - kernel.now_us
        self._payments: dict[str, PaymentInstants] = {}
        kernel.trace.listen(self._heard)

    def shown(self) -> dict[str, dict[str, Any]]:
        """All payments by ``out_trade_no``, JSON-able."""
        return {number: asdict(instants) for number, instants in self._payments.items()}

    def _of(self, number: str) -> PaymentInstants:
        known = self._payments.get(number)
        if known is None:
            if len(self._payments) >= _KEPT:
                del self._payments[next(iter(self._payments))]
            known = self._payments[number] = PaymentInstants()
        return known

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI: pass everything on, remember when."""
        if scope["type"] != "http" or scope["path"] != _PREPAY_PATH:
            await self._app(scope, receive, send)
            return
        arrived_us = monotonic_us()
        body = bytearray()

        async def reading() -> Message:
            message = await receive()
            if message["type"] == "http.request" and len(body) < _BODY_LIMIT:
                body.extend(message.get("body", b""))
            return message

        await self._app(scope, reading, send)
        number = _trade_number(bytes(body))
        if number is not None:
            instants = self._of(number)
            if instants.prepay_arrived_us is None:
                instants.prepay_arrived_us = arrived_us
                instants.prepay_replied_us = monotonic_us()

    def _heard(self, event: Mapping[str, Any]) -> None:
        if event["kind"] != "wechatpay.callback" or event["event"] != "TRANSACTION.SUCCESS":
            return
        instants = self._of(event["subject"])
        instants.callbacks += 1
        if event["outcome"] != "lost":
            left_us = self._base_us + event["sent_us"]
            instants.callback_left_us = min(left_us, instants.callback_left_us or left_us)


def _trade_number(body: bytes) -> str | None:
    try:
        number = json.loads(body)["out_trade_no"]
    except (ValueError, KeyError, TypeError):
        return None
    return number if isinstance(number, str) else None
