"""A station that has closed for the day: what the drill needs of it to get its plants past the reference's checks."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, Final

from scenarios.leaks.inputs import Operation
from scenarios.world.virtual import VirtualWorld

__all__ = ["VAULT_HOST", "VAULT_KEY", "ClosedStation"]

VAULT_HOST: Final = "vault.station"
VAULT_KEY: Final = "the-drills-own-vault-key"
"""It guards canaries only."""

_AMOUNT_FEN: Final = 7600


class ClosedStation:
    """What the planter knows of a station that has closed for the day: keys, and values that its backend accepts."""

    def __init__(self, world: VirtualWorld) -> None:
        self._world = world
        self.client = world.client("phone", world.instances[0].host)
        self._numbers = itertools.count(1)
        self.keys: list[str] = []
        self._order: dict[str, Any] = {}
        self._sale = ""
        self._invoice = "unknown"
        nozzle = next(iter(world.scenario.station.fuelling_points())).nozzles[0]
        self._nozzle, self._grade, self._tank = nozzle.nozzle, nozzle.grade, nozzle.tank

    @property
    def known(self) -> dict[str, Callable[[], Any]]:
        """Values by the names of fields and parameters."""
        station = self._world.scenario.station
        return {
            "station": lambda: station.id,
            "nozzle": lambda: self._nozzle,
            "fuelling_point": lambda: 1,
            "grade": lambda: self._grade,
            "tank": lambda: self._tank,
            "lift_policy": lambda: "authorise_on_lift",
            "state": lambda: "idle",
            "order_id": lambda: self._order["order_id"],
            "sale_id": lambda: self._sale,
            "client_token": self._token,
            "coupon_id": self._token,
            "js_code": lambda: f"js-leak-{next(self._numbers)}",
            "sequence": lambda: 900_000 + next(self._numbers),
            "openid": lambda: "leak",
            "amount_fen": lambda: _AMOUNT_FEN,
            "auth_code": lambda: f"13{next(self._numbers):016d}",
            "address": lambda: "13900139000",
            "shift": lambda: 1,
            "apply_id": lambda: self._invoice,
            "started_us": lambda: self._world.kernel.unix_us - 60_000_000,
            "ended_us": lambda: self._world.kernel.unix_us,
            "at_us": lambda: self._world.kernel.unix_us,
            "expires_us": lambda: self._world.kernel.unix_us + 3_600_000_000,
        }

    async def prepare(self) -> None:
        """Log a phone in; make a sale and an order."""
        reply = await self.client.post("/v1/sessions", json={"js_code": "js-leak"})
        phone = reply.json()["token"]
        self.keys = [self._world.station_key, phone, self._world.keys.admin_key]
        self._phone = {"Authorization": f"Bearer {phone}"}
        self._site = {"Authorization": f"Bearer {self._world.station_key}"}
        await self.new_payment()

    async def before(self, operation: Operation) -> None:
        """A sale that nobody has paid yet, and an order for it where one is wanted."""
        if "{sale_id}" in operation.path or "{order_id}" in operation.path:
            await self._new_sale()
        if "{order_id}" in operation.path:
            await self._new_order()

    async def new_payment(self) -> tuple[str, int]:
        """A sale, an order for it, and a payment that waits for its payer: its number and amount in fen."""
        await self._new_sale()
        await self._new_order()
        place = f"/v1/orders/{self._order['order_id']}/pay"
        asked = await self.client.post(place, json={"channel": "wechatpay"}, headers=self._phone)
        return str(asked.json()["out_trade_no"]), _AMOUNT_FEN

    async def _new_sale(self) -> None:
        station = self._world.scenario.station.id
        now_us = self._world.kernel.unix_us
        number = next(self._numbers)
        sale = {
            "nozzle": self._nozzle,
            "sequence": 500_000 + number,
            "fuelling_point": 1,
            "grade": self._grade,
            "volume_ml": 10_000,
            "amount_fen": _AMOUNT_FEN,
            "price_fen_per_l": 760,
            "started_us": now_us - 60_000_000,
            "ended_us": now_us,
            "end_total_volume_ml": 10**9 + number * 10_000,
            "end_total_amount_fen": 10**9 + number * _AMOUNT_FEN,
        }
        taken = await self.client.post(f"/v1/stations/{station}/sales", json=sale, headers=self._site)
        self._sale = taken.json()["sale_id"]

    async def _new_order(self) -> None:
        station = self._world.scenario.station.id
        wish = {"client_token": self._token(), "station": station, "nozzle": self._nozzle, "mode": "postpay"}
        order = await self.client.post("/v1/orders", json=wish, headers=self._phone)
        self._order = order.json()

    async def binding_secret(self) -> str:
        """A card was announced to the vault: the secret with which it is handed in."""
        headers = {"Authorization": f"Bearer {VAULT_KEY}"}
        reply = await self._world.client("phone", VAULT_HOST).post("/v1/bindings", headers=headers)
        return str(reply.json()["secret"])

    def _token(self) -> str:
        return f"leak-{next(self._numbers)}"
