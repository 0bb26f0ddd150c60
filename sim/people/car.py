"""One car, from the street to the street: a SimPy process that walks through the service steps and tells each in the trace.

Trace events have the entity ``car/<number>``:

==================  ==================================================================================================
``car.arrived``     grade, pay_by, prepaid, invoice
``car.balked``      the expected wait was too long; ``expected_wait_us``
``car.queued``      joins the queue; ``queue`` is its length, this car included
``car.reneged``     gave up waiting
``car.position``    drives into a position: fuelling_point, nozzle, ``queue``
``car.parked``      stands
``car.lifted``      takes the nozzle
``car.authorised``  fuel may flow
``car.filled``      the flow has stopped
``car.hung_up``     the nozzle is back: volume_ml, amount_fen, sequence
``car.capped``      the cap is closed, the driver turns to paying
``car.pay_started`` begins to pay: ``where`` is phone or kiosk; a driver whose phone fails goes on to the kiosk
``car.till_queue``  stands at the till's queue
``car.till``        a cashier turns to this driver
``car.till_done``   the cashier has booked it: ``ok``
``car.pay_ended``   paid and back at the car: ``ok``
``car.left``        out of the position: ``outcome`` paid, unpaid, drove_off, refused or empty
==================  ==================================================================================================
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from simpy.events import AnyOf, Event

from sim.people.floor import StationFloor, Ticket
from sim.people.names import Identity, identity
from sim.people.plan import CarPlan
from sim.people.ports import Delivered, Phone, PumpHand, Till, World

__all__ = ["Car"]

_Walk = Generator[Event, Any, Any]
# A driver who squeezes and gets nothing for so long hangs up and drives to another station.
_NO_FUEL_US = 90_000_000
# Nobody drives off while staff look on: one whose sale is not there yet stands in line once more.
_TURNS_AT_THE_TILL = 3
_WITHOUT_FUEL = frozenset({"refused", "empty"})
# The order goes out while the driver opens the cap: at the middle of the preparing step.
_ORDER_AT = 2


class Car:
    """A car with its plan.

    Args:
        world: clock, seed and trace.
        floor: where it stands and waits.
        plan: what it wants.
        hand, phone, till: what it acts through. ``till`` may be None at a station without a kiosk.
    """

    def __init__(
        self,
        world: World,
        floor: StationFloor,
        plan: CarPlan,
        *,
        hand: PumpHand,
        phone: Phone,
        till: Till | None,
    ) -> None:
        self._world = world
        self._floor = floor
        self.plan = plan
        self._hand = hand
        self._phone = phone
        self._till = till
        self._entity = f"car/{plan.number}"
        self.who: Identity = identity(world.streams.seed, plan.number)

    def _tell(self, kind: str, **fields: Any) -> None:
        self._world.trace.emit(f"car.{kind}", self._entity, **fields)

    def run(self) -> _Walk:
        """The whole visit; returns its outcome: balked, reneged, paid, unpaid, drove_off, refused or empty."""
        plan, floor, env = self.plan, self._floor, self._world.env
        self._tell(
            "arrived",
            grade=plan.grade,
            pay_by=plan.pay_by,
            prepaid=plan.prepaid,
            invoice=plan.invoice or "none",
        )
        expected_us = floor.expected_wait_us(plan.grade)
        if expected_us > plan.balk_us:
            self._tell("balked", expected_wait_us=expected_us)
            return "balked"
        ticket = floor.enter(plan.grade)
        if ticket.position is None:
            self._tell("queued", queue=floor.queue_length)
            if not (yield from self._wait(ticket)):
                self._tell("reneged", queue=floor.queue_length)
                return "reneged"
        assert ticket.position is not None  # noqa: S101 - granted, by the branch above
        entered_us = int(env.now)
        nozzle = ticket.position.nozzles[plan.grade]
        self._tell(
            "position", fuelling_point=ticket.position.fuelling_point, nozzle=nozzle, queue=floor.queue_length
        )
        outcome = yield from self._stop(nozzle)
        if outcome in _WITHOUT_FUEL:
            self._phone.give_up(plan)
        yield env.timeout(plan.drive_off_us)
        floor.leave(ticket, occupied_us=int(env.now) - entered_us)
        self._phone.forget(plan)
        self._tell("left", outcome=outcome)
        return outcome

    def _wait(self, ticket: Ticket) -> _Walk:
        if self.plan.renege_us is None:
            yield ticket.granted
            return True
        yield AnyOf(self._world.env, [ticket.granted, self._world.env.timeout(self.plan.renege_us)])
        return ticket.position is not None or not self._floor.give_up(ticket)

    def _stop(self, nozzle: int) -> _Walk:
        plan, env = self.plan, self._world.env
        yield env.timeout(plan.approach_us)
        self._tell("parked")
        if plan.pay_by == "order_first":
            early_us = plan.prepare_us // _ORDER_AT
            yield env.timeout(early_us)
            if plan.prepaid:
                self._tell("pay_started", where="phone")
            ordered = yield self._phone.order(plan, self.who, nozzle)
            if plan.prepaid:
                self._tell("pay_ended", ok=bool(ordered))
            if not ordered:
                return "refused"
            yield env.timeout(plan.prepare_us - early_us)
        else:
            yield env.timeout(plan.prepare_us)
        delivered = yield from self._fuel(nozzle)
        if isinstance(delivered, str):
            return delivered
        if plan.prepaid:
            # Nothing to do for the driver; the phone follows what becomes of the order.
            self._phone.pay(plan, self.who, nozzle, delivered)
            return "paid"
        if plan.drives_off:
            return "drove_off"
        paid = plan.on_phone and (yield from self._pay_on_phone(nozzle, delivered))
        for _ in range(_TURNS_AT_THE_TILL):
            if not paid:
                paid = yield from self._pay_inside(nozzle, delivered)
        return "paid" if paid else "unpaid"

    def _fuel(self, nozzle: int) -> _Walk:
        plan, env, hand = self.plan, self._world.env, self._hand
        self._tell("lifted", nozzle=nozzle)
        allowed = hand.authorised(nozzle)
        hand.lift(nozzle)
        yield AnyOf(env, [allowed, env.timeout(_NO_FUEL_US)])
        if not allowed.triggered:
            yield hand.hang_up(nozzle)
            return "refused"
        self._tell("authorised", nozzle=nozzle)
        # Without an order the driver keeps to the sum or the litres by hand; with one, the pump does it.
        wanted_ml = plan.wanted_ml(hand.price_fen_per_l(nozzle))
        full_ml = plan.full_ml if plan.pay_by == "order_first" else wanted_ml
        yield hand.fill(nozzle, flow_ml_per_min=plan.flow_ml_per_min, full_ml=full_ml, wanted_ml=wanted_ml)
        self._tell("filled", nozzle=nozzle)
        # The nozzle goes back in the middle of the step; closing the cap takes the rest.
        back_us = plan.hang_up_us // 2
        yield env.timeout(back_us)
        delivered: Delivered | None = yield hand.hang_up(nozzle)
        if delivered is None:
            self._tell("hung_up", nozzle=nozzle, volume_ml=0, amount_fen=0)
        else:
            self._tell(
                "hung_up",
                nozzle=nozzle,
                sequence=delivered.sequence,
                volume_ml=delivered.volume_ml,
                amount_fen=delivered.amount_fen,
            )
        yield env.timeout(plan.hang_up_us - back_us)
        self._tell("capped")
        return "empty" if delivered is None else delivered

    def _pay_on_phone(self, nozzle: int, delivered: Delivered) -> _Walk:
        self._tell("pay_started", where="phone")
        paid = yield self._phone.pay(self.plan, self.who, nozzle, delivered)
        self._tell("pay_ended", ok=bool(paid))
        return paid

    def _pay_inside(self, nozzle: int, delivered: Delivered) -> _Walk:
        plan, env, cashiers = self.plan, self._world.env, self._floor.cashiers
        if cashiers is None or self._till is None:
            return False
        self._tell("pay_started", where="kiosk")
        yield env.timeout(plan.walk_in_us)
        with cashiers.request() as turn:
            self._tell("till_queue", waiting=len(cashiers.queue))
            yield turn
            self._tell("till")
            yield env.timeout(plan.cashier_us)
            paid = yield self._till.settle(plan, self.who, nozzle, delivered)
        self._tell("till_done", ok=bool(paid))
        yield env.timeout(plan.walk_back_us)
        self._tell("pay_ended", ok=bool(paid))
        return paid
