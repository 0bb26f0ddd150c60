"""Staff in a virtual run: attendants hand over at their times and change the paper, technicians fill the proving can."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any, Final

from simpy.events import AnyOf, Event

from scenarios.model import ShiftChange, TestDelivery
from scenarios.shift_record import HandoverWitness
from scenarios.world.refund_clerk import RefundClerk
from sim.dispenser import FuellingPoint
from sim.people.api import ApiError, Unreachable
from sim.people.ports import Delivered

if TYPE_CHECKING:
    from scenarios.world.virtual import VirtualWorld

__all__ = ["Staff"]

_S: Final = 1_000_000
_NO_FUEL_US: Final = 90 * _S
_PAUSE_US: Final = 60 * _S
_TRIES_MOST: Final = 60
_ROUND_US: Final = 120 * _S
"""How often somebody looks at the receipt printer: its roll holds some 600 receipts."""

_FLOW_ML_PER_MIN: Final = 25_000
"""Proving is done at a steady flow below the pump's best; a pump gives 5 to 50 L/min."""


class Staff:
    """Who hands over and who tests; puts the handovers and the tests of the scenario on the run's clock.

    Attributes:
        handovers: what was done, for the oracles.
        clerk: who sees to refunds that bounce; None in a run in which none does.
    """

    def __init__(self, world: VirtualWorld) -> None:
        self._world = world
        self._cash_fen = 0
        self.handovers: list[HandoverWitness] = []
        world.kernel.trace.listen(self._heard)
        for change in world.scenario.shift_changes:
            world.kernel.call_at(change.at_s * _S, self._hand_over, change)
        for test in world.scenario.test_deliveries:
            world.kernel.process(self._test(test))
        world.kernel.process(self._mind_the_roll())
        bounced = any(fault.kind == "refund_abnormal" for fault in world.plan.gateway_faults())
        self.clerk = RefundClerk(world, holds=self._has_cash, take=self._take_cash) if bounced else None

    # -- paper --------------------------------------------------------------------------------------------------

    def _mind_the_roll(self) -> Generator[Event, Any, None]:
        """A roll that has ended is changed; not earlier than the scenario says, where it says so."""
        kernel, printer = self._world.kernel, self._world.printer
        out = [
            (planned.at_us, planned.healed_us or planned.at_us)
            for planned, trouble in self._world.plan.printer()
            if trouble.kind == "paper_out"
        ]
        while True:
            yield kernel.env.timeout(_ROUND_US)
            now_us = kernel.now_us
            if printer.condition.paper_end and not any(from_us <= now_us < to_us for from_us, to_us in out):
                printer.load_paper(None, now_us)
                kernel.trace.emit("printer.new_roll", "printer")

    # -- shifts -------------------------------------------------------------------------------------------------

    def _heard(self, event: Mapping[str, Any]) -> None:
        if event["kind"] == "kiosk.settled" and event["tender"] == "cash":
            self._cash_fen += event["amount_fen"]

    def _has_cash(self, amount_fen: int) -> bool:
        """Where nobody counts the drawer there is always enough in it."""
        return not self.handovers or self._cash_fen >= amount_fen

    def _take_cash(self, amount_fen: int) -> None:
        self._cash_fen -= amount_fen

    def _hand_over(self, change: ShiftChange) -> None:
        """The one who goes counts the drawer, the one who comes takes over an empty one."""
        world = self._world
        counted_fen = max(0, self._cash_fen + change.cash_off_fen) if self.handovers else None
        off_fen = 0 if counted_fen is None else counted_fen - self._cash_fen
        self._cash_fen = 0
        number = world.site.shifts.hand_over(change.attendant, cash_counted_fen=counted_fen)
        self.handovers.append(HandoverWitness(at_us=world.kernel.now_us, cash_off_fen=off_fen))
        world.kernel.trace.emit(
            "shift.opened", world.scenario.station.id, shift=number, cash_counted_fen=counted_fen
        )

    # -- tests --------------------------------------------------------------------------------------------------

    def _test(self, test: TestDelivery) -> Generator[Event, Any, None]:
        world = self._world
        env, name = world.kernel.env, f"test/{test.nozzle}"
        yield env.timeout(test.at_s * _S)
        (point,) = (
            point
            for point in world.equipment.points.values()
            if any(nozzle.nozzle_id == test.nozzle for nozzle in point.nozzles.values())
        )
        ticket = world.floor.reserve(point.number)
        yield ticket.granted
        for _ in range(_TRIES_MOST):
            delivered = yield from self._fill(point, test)
            if delivered is not None:
                world.kernel.trace.emit("test.delivered", name, volume_ml=delivered.volume_ml)
                yield world.kernel.task(self._tell_till(delivered), name)
                break
            yield env.timeout(_PAUSE_US)
        world.floor.hand_back(ticket)

    def _fill(self, point: FuellingPoint, test: TestDelivery) -> Generator[Event, Any, Delivered | None]:
        kernel, hand = self._world.kernel, self._world.hand
        delivered: Delivered | None = None
        if not point.set_test(kernel.now_us, True):
            return None  # no power, or the pump has not ended what was before
        allowed = hand.authorised(test.nozzle)
        hand.lift(test.nozzle)
        yield AnyOf(kernel.env, [allowed, kernel.env.timeout(_NO_FUEL_US)])
        if allowed.triggered:
            litres = {"full_ml": test.volume_ml, "wanted_ml": test.volume_ml}
            yield hand.fill(test.nozzle, flow_ml_per_min=_FLOW_ML_PER_MIN, **litres)
        delivered = yield hand.hang_up(test.nozzle)
        while not point.set_test(kernel.now_us, False):
            yield kernel.env.timeout(_S)
        return delivered

    async def _tell_till(self, delivered: Delivered) -> None:
        """Where the pump did not say so itself, the attendant does."""
        api, path = self._world.till(), f"/v1/stations/{self._world.scenario.station.id}/sales"
        for _ in range(_TRIES_MOST):
            await asyncio.sleep(2.0)
            try:
                for state in ("test", "payable"):
                    answer = await api.call("GET", path, params={"state": state})
                    for sale in answer["sales"]:
                        shown = (sale["nozzle"], sale["volume_ml"], sale["amount_fen"])
                        if shown != (delivered.nozzle, delivered.volume_ml, delivered.amount_fen):
                            continue
                        if state == "payable":
                            token = {"client_token": f"test-{sale['sale_id']}"}
                            await api.call("POST", f"{path}/{sale['sale_id']}/return", json=token)
                        if state == "payable" or sale["sequence"] == delivered.sequence:
                            return
            except (ApiError, Unreachable):
                continue
