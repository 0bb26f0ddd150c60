"""What the platform tells a ``backurl``: the order's number, that it is printed, when, and a signature.

Source: the vendor's document as quoted in ``github.com/houseme/feie`` (``AsyncPrinterResult``): a form by POST, answered with ``SUCCESS``
within 5 s or it comes again. How often and when it comes again is not published; the ladder here is an assumption.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

import httpx
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from protocols.feie import encode_form, sign_callback
from sim.feie.orders import Order
from sim.kernel import Kernel

__all__ = ["LADDER_US", "Callbacks", "CloudNotice"]

LADDER_US: Final = (0, 15_000_000, 60_000_000, 300_000_000)
"""When each attempt starts, after the one before; an assumption."""

_ANSWER_WITHIN_S: Final = 5
_PRINTED: Final = "1"


@dataclass(slots=True)
class CloudNotice:
    """One order's callback and what became of its attempts: HTTP statuses, or the name of an error."""

    order: str
    url: str
    attempts: list[str] = field(default_factory=list)
    is_taken: bool = False


class Callbacks:
    """Sends them.

    Args:
        kernel: clock and tasks.
        entity: the platform's name in the trace.
        key: the platform's key; None: nothing is sent.
        client: what carries them; None: nothing is sent.
    """

    def __init__(
        self, kernel: Kernel, entity: str, key: RSAPrivateKey | None, client: httpx.AsyncClient | None
    ) -> None:
        self.notices: list[CloudNotice] = []
        self._kernel = kernel
        self._entity = entity
        self._key = key
        self._client = client

    def printed(self, order: Order) -> None:
        """An order is on paper."""
        if (
            order.backurl
            and self._key is not None
            and self._client is not None
            and order.printed_us is not None
        ):
            stime = str(order.printed_us // 1_000_000)
            fields = {"orderId": order.number, "status": _PRINTED, "stime": stime}
            fields["sign"] = sign_callback(self._key, fields)
            notice = CloudNotice(order.number, order.backurl)
            self.notices.append(notice)
            self._kernel.spawn(self._send(self._client, notice, encode_form(fields)), "feie-callback")

    async def _send(self, client: httpx.AsyncClient, notice: CloudNotice, body: bytes) -> None:
        for gap_us in LADDER_US:
            await asyncio.sleep(gap_us / 1_000_000)
            outcome, notice.is_taken = await self._once(client, notice.url, body)
            notice.attempts.append(outcome)
            self._kernel.trace.emit("feie.callback", self._entity, order=notice.order, outcome=outcome)
            if notice.is_taken:
                return

    @staticmethod
    async def _once(client: httpx.AsyncClient, url: str, body: bytes) -> tuple[str, bool]:
        head = {"Content-Type": "application/x-www-form-urlencoded"}
        try:
            async with asyncio.timeout(_ANSWER_WITHIN_S):
                answer = await client.post(url, content=body, headers=head)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            return type(error).__name__, False
        return str(answer.status_code), answer.text.strip() == "SUCCESS"
