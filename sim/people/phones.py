"""All phones of a run: what a driver does with the mini-program, as the car process asks for it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from simpy.events import Event

from sim.kernel import Kernel
from sim.people.api import ApiClient, ApiError, HttpClient, Unreachable
from sim.people.members import MembersDesk
from sim.people.names import Identity
from sim.people.payers import Payers
from sim.people.phone import DEAD, PAID, PhoneApp
from sim.people.plan import CarPlan
from sim.people.ports import Delivered

__all__ = ["Phones"]

_PAYABLE: Final = frozenset({"PAYABLE", "PAYING"})
_SALE_US: Final = 600_000_000
"""How long a driver who has fuelled on an order waits for what there is to pay."""

_WAITING: Final = frozenset({"CREATED", "AUTHORISED"})
_LET_GO_TRIES: Final = 20
_LET_GO_PAUSE_S: Final = 15.0
"""A phone that nobody answers goes on asking in the driver's pocket."""
_GLANCE_US: Final = 3_000_000
"""How long a driver looks at a fresh order that shows nothing to pay before trying something else."""


class Phones:
    """All phones of a run, as the `Phone` port of the car process.

    Args:
        kernel: clock, trace and loop.
        clients: one HTTP client for each backend instance, as phones reach it.
        payers: the drivers' payment apps.
        station: station id.
        ready_us: how long a driver waits for an order to be ready (authorised, or pre-paid and settled).
        linger_us: how long a phone goes on listening after its car has gone (for the invoice).
        desk: gives members what they hold; None where nobody is one.
    """

    def __init__(
        self,
        kernel: Kernel,
        clients: Sequence[HttpClient],
        payers: Payers,
        station: str,
        *,
        ready_us: int = 60_000_000,
        linger_us: int = 600_000_000,
        desk: MembersDesk | None = None,
    ) -> None:
        self._kernel = kernel
        self._clients = tuple(clients)
        self._payers = payers
        self._station = station
        self._ready_us = ready_us
        self._linger_us = linger_us
        self._desk = desk
        self._apps: dict[int, PhoneApp] = {}

    def _app(self, plan: CarPlan, who: Identity) -> PhoneApp:
        app = self._apps.get(plan.number)
        if app is None:
            api = ApiClient(self._clients, first=plan.number)
            app = self._apps[plan.number] = PhoneApp(
                self._kernel, api, self._payers, plan, who, self._station, self._desk
            )
        return app

    def order(self, plan: CarPlan, who: Identity, nozzle: int) -> Event:
        """Order before fuelling."""
        return self._kernel.task(self._order(self._app(plan, who), plan, nozzle), f"car/{plan.number} order")

    def pay(self, plan: CarPlan, who: Identity, nozzle: int, delivered: Delivered) -> Event:
        """Pay what was delivered."""
        return self._kernel.task(
            self._pay(self._app(plan, who), plan, nozzle, delivered), f"car/{plan.number} pay"
        )

    def give_up(self, plan: CarPlan) -> None:
        """No fuel came: cancel what was ordered, or the next driver at this nozzle would fuel on it."""
        app = self._apps.get(plan.number)
        if app is not None and _holds(app, plan):
            self._kernel.task(self._let_go(app, plan), f"car/{plan.number} gives up")

    def forget(self, plan: CarPlan) -> None:
        """Stop listening some time after the car has gone."""
        app = self._apps.pop(plan.number, None)
        if app is not None:
            self._kernel.call_later(self._linger_us, self._hush, app)

    async def aclose(self) -> None:
        """Stop listening on every phone that is still in hand, so that HTTP clients can be closed."""
        for app in self._apps.values():
            await app.stop_watching()
        self._apps.clear()

    def _hush(self, app: PhoneApp) -> None:
        self._kernel.task(app.stop_watching())

    async def _let_go(self, app: PhoneApp, plan: CarPlan) -> None:
        for attempt in range(_LET_GO_TRIES):
            if attempt:
                await asyncio.sleep(_LET_GO_PAUSE_S)
            await app.cancel()
            if not _holds(app, plan):
                return

    async def _order(self, app: PhoneApp, plan: CarPlan, nozzle: int) -> bool:
        try:
            await app.place_order(nozzle, prepaid=plan.prepaid)
        except (ApiError, Unreachable) as error:
            app.tell("trouble", what=f"order: {error}")
            return False
        if plan.prepaid and not await app.pay():
            return False
        if await app.wait_until(frozenset({"AUTHORISED", "FUELLING"}), self._ready_us):
            return True
        app.tell("trouble", what=f"order: still {app.state}")
        await app.cancel()
        return False

    async def _pay(self, app: PhoneApp, plan: CarPlan, nozzle: int, delivered: Delivered) -> bool:
        if plan.prepaid:
            return await app.wait_until(frozenset({"COMPLETED", "REFUNDING", "REFUNDED"}), self._ready_us)
        if await self._pay_delivered(app, plan, nozzle, delivered):
            return True
        # The driver will pay inside, so the order must let go of the sale; if it was paid after all, this shows.
        if app.state and app.state not in DEAD | PAID:
            await app.cancel()
            await app.refresh()
        return app.state in PAID

    async def _pay_delivered(self, app: PhoneApp, plan: CarPlan, nozzle: int, delivered: Delivered) -> bool:
        try:
            if plan.pay_by == "scan_after" and not await self._bind(app, nozzle, delivered):
                return False
            payable = _PAYABLE | PAID if app.pays_by_itself else _PAYABLE
            if not await app.wait_until(payable, _SALE_US):
                app.tell("trouble", what=f"pay: never payable, still {app.state}")
                return False
        except (ApiError, Unreachable) as error:
            app.tell("trouble", what=f"order: {error}")
            return False
        return await app.pay()

    async def _bind(self, app: PhoneApp, nozzle: int, delivered: Delivered) -> bool:
        """Scan the code at the pump. If the sale does not come, the order is for a new fill: give it up, try again."""
        for _ in range(5):
            try:
                await app.place_order(nozzle, prepaid=False)
            except ApiError as error:
                if error.status != 409:
                    raise
                app.tell("trouble", what=f"order: {error.code}")
                await asyncio.sleep(3.0)
                continue
            # A driver who is quick with the phone scans while the sale is on its way from the pump to the backend.
            payable = await app.wait_until(_PAYABLE, _GLANCE_US)
            if payable and app.order.get("amount_fen") == delivered.amount_fen:
                return True
            if payable:
                app.tell("trouble", what="order: the amount is not mine")
            if not await app.cancel():
                return True  # taken for an order of this very fill: what there is to pay will come
            await asyncio.sleep(3.0)
        return False


def _holds(app: PhoneApp, plan: CarPlan) -> bool:
    """An order without fuel still holds its nozzle, as far as the phone knows."""
    return app.state in _WAITING or (plan.prepaid and app.state == "PAID")
