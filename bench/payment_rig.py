"""A backend and the payment gateway with orders that wait for their money, in virtual time or on real sockets of one process."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import httpx

from reference.backend import Backend, BackendSettings, SqliteDatabase, create_backend
from scenarios.world.keys import RunKeys
from sim.kernel import Kernel
from sim.net import NetworkClient
from sim.wechatpay import WeChatPayGateway

__all__ = ["NOTIFY_URL", "Asker", "PaymentRig"]

NOTIFY_URL: Final = "https://backend.station"
"""The backend, as the gateway is told; it takes nothing but https."""

STATION_KEY: Final = "station-key-of-km01"
_STATION: Final = "KM01"
_PAID: Final = frozenset({"PAID", "COMPLETED"})


class Asker(Protocol):
    """A client of one host: `httpx.AsyncClient` with a base URL, or `sim.net.NetworkClient`."""

    async def request(self, method: str, path: str, /, *, json: Any = None, headers: Any = None) -> Any:
        """One request with its whole reply."""


async def _ask(client: Asker, method: str, path: str, body: Any = None, headers: Any = None) -> Any:
    reply = await client.request(method, path, json=body, headers=headers)
    if reply.status_code >= 300:
        raise RuntimeError(f"{method} {path} is answered {reply.status_code}: {reply.text}")
    return reply.json()


@dataclass(frozen=True, slots=True)
class _Order:
    order_id: str
    headers: dict[str, str]
    openid: str


class PaymentRig:
    """One station, one backend on SQLite, one gateway.

    Args:
        kernel: virtual or wall clock.
        keys: key material.
        notify: client by which the gateway's notices reach the backend.
        urls: where the gateway and its mini-program platform answer the backend.
        transport: by which the backend calls out; None for real sockets.
    """

    def __init__(
        self,
        kernel: Kernel,
        keys: RunKeys,
        *,
        notify: httpx.AsyncClient | NetworkClient,
        urls: dict[str, Any],
        transport: Callable[[str], httpx.AsyncBaseTransport] | None,
    ) -> None:
        self.kernel = kernel
        self.gateway = WeChatPayGateway(kernel, [keys.merchant.account], keys.platform, notify_client=notify)
        self.database = SqliteDatabase()
        settings = BackendSettings(
            station_keys={_STATION: STATION_KEY},
            admin_key="admin-key-of-the-bench",
            service_secret="service-secret-of-the-bench",  # noqa: S106 - guards nothing
            notify_url=NOTIFY_URL,
            **urls,
        ).with_merchant(keys.merchant.credentials)
        self.backend: Backend = create_backend(
            settings,
            database=self.database,
            clock_us=lambda: kernel.unix_us,
            rng=random.Random("bench"),
            http=transport,
            instance="backend-a",
        )

    async def orders(self, backend: Asker, count: int) -> list[_Order]:
        """Sales in, orders made: so many that only want paying. ``count`` is at most 256, one a nozzle."""
        key = {"Authorization": f"Bearer {STATION_KEY}"}
        nozzles = [
            {"nozzle": number, "fuelling_point": number, "grade": "92", "price_fen_per_l": 760}
            for number in range(1, count + 1)
        ]
        setup = {"name": "昆明一号站", "lift_policy": "authorise", "nozzles": nozzles}
        await _ask(backend, "PUT", f"/v1/stations/{_STATION}", setup, key)
        waiting = []
        for number in range(1, count + 1):
            await _ask(backend, "POST", f"/v1/stations/{_STATION}/sales", self._sale(number), key)
            session = await _ask(backend, "POST", "/v1/sessions", {"js_code": f"js-{number}"})
            phone = {"Authorization": f"Bearer {session['token']}"}
            wish = {"client_token": "t", "station": _STATION, "nozzle": number, "mode": "postpay"}
            order = await _ask(backend, "POST", "/v1/orders", wish, phone)
            waiting.append(_Order(order["order_id"], phone, session["openid"]))
        return waiting

    def _sale(self, number: int) -> dict[str, Any]:
        now_us = self.kernel.unix_us
        return {
            "nozzle": number, "sequence": 1, "fuelling_point": number, "grade": "92", "volume_ml": 30_000,
            "amount_fen": 22_800, "price_fen_per_l": 760, "started_us": now_us, "ended_us": now_us,
            "end_total_volume_ml": 30_000, "end_total_amount_fen": 22_800,
        }  # fmt: skip

    async def pay_all(self, backend: Asker, payer: Asker, orders: list[_Order], *, at_once: int) -> None:
        """Prepay and confirm each of them, so many at a time. The notices come when they come."""
        left = iter(orders)

        async def one_by_one() -> None:
            for order in left:
                wish = {"channel": "wechatpay"}
                sheet = await _ask(backend, "POST", f"/v1/orders/{order.order_id}/pay", wish, order.headers)
                await _ask(payer, "POST", f"/payers/{order.openid}/confirm", sheet)

        await asyncio.gather(*(one_by_one() for _ in range(at_once)))

    async def count_paid(self, backend: Asker, orders: list[_Order]) -> int:
        """How many have their money."""
        shown = [await _ask(backend, "GET", f"/v1/orders/{o.order_id}", None, o.headers) for o in orders]
        return sum(order["state"] in _PAID for order in shown)
