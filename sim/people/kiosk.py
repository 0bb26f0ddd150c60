"""The till in the shop: the cashier finds the unpaid sale of the driver's nozzle and settles it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from simpy.events import Event

from sim.kernel import Kernel
from sim.people.api import ApiClient, ApiError, HttpClient, Unreachable
from sim.people.names import Identity
from sim.people.payers import PAY_CODES, Payers
from sim.people.phone import DEAD, PAID
from sim.people.plan import CarPlan
from sim.people.ports import Delivered

__all__ = ["Kiosk"]

_PATIENCE_US: Final = 120_000_000
"""How long a cashier looks for a sale before sending the driver away."""


_LOOK_S: Final = 2.0
_NO_CHARGE: Final = frozenset({409, 422, 502})
"""The order is another's or dead, this is no code, the gateway refuses."""


def _tender(plan: CarPlan) -> str:
    """A driver whose phone or code did not work pays by card."""
    return "card" if plan.on_phone or plan.pay_by in PAY_CODES else plan.pay_by


def _title(plan: CarPlan, who: Identity) -> dict[str, Any] | None:
    if plan.invoice == "organisation":
        return {"title_type": "ORGANIZATION", "name": who.company, "taxpayer_id": who.taxpayer_id}
    if plan.invoice == "individual":
        return {"title_type": "INDIVIDUAL", "name": who.name, "taxpayer_id": None}
    return None


class Kiosk:
    """The cashiers' terminal.

    Trace events of the entity ``car/<number>``: ``kiosk.settled`` (sale_id, tender, amount_fen) and ``kiosk.trouble`` (what).

    Args:
        kernel: clock, trace and loop.
        clients: one HTTP client for each backend instance, as the station reaches it.
        station_key: bearer key of the station.
        station: station id.
        payers: the drivers' payment apps; None where nobody lets a code be scanned.
    """

    def __init__(
        self,
        kernel: Kernel,
        clients: Sequence[HttpClient],
        *,
        station_key: str,
        station: str,
        payers: Payers | None = None,
    ) -> None:
        self._kernel = kernel
        self._api = ApiClient(clients, token=station_key)
        self._station = station
        self._payers = payers
        self._codes: dict[str, str] = {}

    def settle(self, plan: CarPlan, who: Identity, nozzle: int, delivered: Delivered) -> Event:
        """Take the money for a delivery."""
        return self._kernel.task(self._settle(plan, who, nozzle, delivered), f"car/{plan.number} till")

    async def _settle(self, plan: CarPlan, who: Identity, nozzle: int, delivered: Delivered) -> bool:
        entity = f"car/{plan.number}"
        deadline_us = self._kernel.now_us + _PATIENCE_US
        sale: dict[str, Any] | None = None
        code = plan.pay_by in PAY_CODES
        while True:
            try:
                sale = sale or await self._find(nozzle, delivered)
                if sale is not None and code:
                    if await self._scan(entity, sale, plan, who):
                        return True
                    code = False  # the code was no good: by card, as soon as the sale is free again
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

    async def _scan(self, entity: str, sale: dict[str, Any], plan: CarPlan, who: Identity) -> bool:
        """Scan the driver's code, once a sale however often its answer gets lost; False when it could not be charged."""
        assert self._payers is not None  # noqa: S101 - the scenario's mix says whether anybody has codes
        token = f"code-{sale['sale_id']}"
        if token not in self._codes:
            shown = await self._payers.show_code(who.openid, plan.pay_by, password_us=plan.phone_pay_us)
            if shown is None:
                return False
            self._codes[token] = shown
        wish = {"client_token": token, "auth_code": self._codes[token], "invoice": _title(plan, who)}
        path = f"/v1/stations/{self._station}"
        try:
            order = await self._api.call("POST", f"{path}/sales/{sale['sale_id']}/pay-code", json=wish)
            while order["state"] not in PAID | DEAD:
                await asyncio.sleep(_LOOK_S)
                order = await self._api.call("GET", f"{path}/orders/{order['order_id']}")
        except ApiError as error:
            if error.status not in _NO_CHARGE:
                raise
            self._kernel.trace.emit("kiosk.trouble", entity, what=str(error))
            return False
        if order["state"] in DEAD:
            return False
        self._tell(entity, sale, plan.pay_by)
        return True

    async def _book(self, entity: str, sale: dict[str, Any], plan: CarPlan, who: Identity) -> bool:
        await self._api.call(
            "POST",
            f"/v1/stations/{self._station}/sales/{sale['sale_id']}/settle",
            json={
                # One token a sale: two tries of one settlement are one settlement.
                "client_token": f"till-{sale['sale_id']}",
                "tender": _tender(plan),
                "amount_fen": sale["amount_fen"],
                "invoice": _title(plan, who),
            },
        )
        self._tell(entity, sale, _tender(plan))
        return True

    def _tell(self, entity: str, sale: dict[str, Any], tender: str) -> None:
        self._kernel.trace.emit(
            "kiosk.settled", entity, sale_id=sale["sale_id"], tender=tender, amount_fen=sale["amount_fen"]
        )
