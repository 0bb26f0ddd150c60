"""The till in the shop: the cashier finds the unpaid sale of the driver's nozzle and settles it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from simpy.events import Event

from sim.kernel import Kernel
from sim.people.api import ApiClient, ApiError, HttpClient, Unreachable
from sim.people.names import Identity
from sim.people.plan import CarPlan
from sim.people.ports import Delivered

__all__ = ["Kiosk"]

_PATIENCE_US: Final = 120_000_000
"""How long a cashier looks for a sale before sending the driver away."""


def _tender(plan: CarPlan) -> str:
    """A driver whose phone did not work pays by card."""
    return "card" if plan.on_phone else plan.pay_by


class Kiosk:
    """The cashiers' terminal.

    Trace events of the entity ``car/<number>``: ``kiosk.settled`` (sale_id, tender, amount_fen) and ``kiosk.trouble`` (what).

    Args:
        kernel: clock, trace and loop.
        clients: one HTTP client for each backend instance, as the station reaches it.
        station_key: bearer key of the station.
        station: station id.
    """

    def __init__(
        self,
        kernel: Kernel,
        clients: Sequence[HttpClient],
        *,
        station_key: str,
        station: str,
    ) -> None:
        self._kernel = kernel
        self._api = ApiClient(clients, token=station_key)
        self._station = station

    def settle(self, plan: CarPlan, who: Identity, nozzle: int, delivered: Delivered) -> Event:
        """Take the money for a delivery."""
        return self._kernel.task(self._settle(plan, who, nozzle, delivered), f"car/{plan.number} till")

    async def _settle(self, plan: CarPlan, who: Identity, nozzle: int, delivered: Delivered) -> bool:
        entity = f"car/{plan.number}"
        deadline_us = self._kernel.now_us + _PATIENCE_US
        while True:
            try:
                sale = await self._find(nozzle, delivered)
                if sale is not None:
                    return await self._book(entity, sale, plan, who)
                trouble = "no such unpaid sale"
            except (ApiError, Unreachable) as error:
                trouble = str(error)
            self._kernel.trace.emit("kiosk.trouble", entity, what=trouble)
            if self._kernel.now_us >= deadline_us:
                return False
            await asyncio.sleep(2.0)

    async def _find(self, nozzle: int, delivered: Delivered) -> dict[str, Any] | None:
        answer = await self._api.call(
            "GET", f"/v1/stations/{self._station}/sales", params={"state": "payable"}
        )
        sales: list[dict[str, Any]] = answer["sales"] if isinstance(answer, dict) else answer
        for sale in sales:
            # As at a real till: the driver names the pump, and the screen shows litres and money.
            shown = (sale["nozzle"], sale["volume_ml"], sale["amount_fen"])
            if shown == (nozzle, delivered.volume_ml, delivered.amount_fen):
                return sale
        return None

    async def _book(self, entity: str, sale: dict[str, Any], plan: CarPlan, who: Identity) -> bool:
        invoice: dict[str, Any] | None = None
        if plan.invoice == "organisation":
            invoice = {"title_type": "ORGANIZATION", "name": who.company, "taxpayer_id": who.taxpayer_id}
        elif plan.invoice == "individual":
            invoice = {"title_type": "INDIVIDUAL", "name": who.name, "taxpayer_id": None}
        await self._api.call(
            "POST",
            f"/v1/stations/{self._station}/sales/{sale['sale_id']}/settle",
            json={
                # One token a sale: two tries of one settlement are one settlement.
                "client_token": f"till-{sale['sale_id']}",
                "tender": _tender(plan),
                "amount_fen": sale["amount_fen"],
                "invoice": invoice,
            },
        )
        self._kernel.trace.emit(
            "kiosk.settled",
            entity,
            sale_id=sale["sale_id"],
            tender=_tender(plan),
            amount_fen=sale["amount_fen"],
        )
        return True
