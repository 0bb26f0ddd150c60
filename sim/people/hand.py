"""A customer's hand on the simulated dispensers: turns a driver's wishes into lifts and squeezes, and waits by listening."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from simpy.events import Event

from sim.dispenser import (
    AuthorisationDropped,
    DeliveryEnded,
    FlowStopped,
    FpEvent,
    FpState,
    FuellingPoint,
    StateChanged,
)
from sim.kernel import Kernel
from sim.people.ports import Delivered

__all__ = ["DispenserHand"]

_MAY_DELIVER = frozenset({FpState.STARTED, FpState.FUELLING})
_OVER = frozenset({"shut-off", "preset", "hang-up"})


@dataclass(slots=True)
class _Waiting:
    """What someone waits for at one fuelling point."""

    authorised: Event | None = None
    stopped: Event | None = None
    ended: Event | None = None


class DispenserHand:
    """The hand at the nozzles of `FuellingPoint` models.

    Args:
        kernel: clock and event factory.
        fuelling_points: all fuelling points of the station.
        touched: called after each touch with the fuelling point's number, for a host that must be woken.
    """

    def __init__(
        self,
        kernel: Kernel,
        fuelling_points: Iterable[FuellingPoint],
        *,
        touched: Callable[[int], None] | None = None,
    ) -> None:
        self._kernel = kernel
        self._touched = touched
        self._place: dict[int, tuple[FuellingPoint, int]] = {}
        self._waiting: dict[int, _Waiting] = {}
        self._last: dict[int, Delivered | None] = {}
        for point in fuelling_points:
            self._waiting[point.number] = _Waiting()
            self._last[point.number] = None
            point.listeners.append(self._heard)
            for logical, nozzle in point.nozzles.items():
                self._place[nozzle.nozzle_id] = (point, logical)

    def _heard(self, event: FpEvent) -> None:
        waiting = self._waiting[event.fuelling_point]
        match event:
            case StateChanged(new=new) if new in _MAY_DELIVER:
                _succeed(waiting.authorised)
            case FlowStopped(reason=reason) if reason in _OVER:
                _succeed(waiting.stopped)
            case DeliveryEnded(delivery=delivery):
                # The dispenser numbers deliveries per fuelling point; sites and ledgers count per nozzle.
                point, logical = self._place[delivery.nozzle_id]
                ordinal = point.nozzles[logical].count
                told = Delivered(delivery.nozzle_id, ordinal, delivery.volume_ml, delivery.amount_fen)
                self._last[event.fuelling_point] = told if delivery.volume_ml else None
                _succeed(waiting.stopped)
                _succeed(waiting.ended, self._last[event.fuelling_point])
            case AuthorisationDropped():
                _succeed(waiting.stopped)
            case _:
                pass

    def lift(self, nozzle: int) -> bool:
        """Take the nozzle out of its boot."""
        point, logical = self._place[nozzle]
        self._last[point.number] = None
        lifted = point.lift(logical, self._kernel.now_us)
        self._wake(point)
        return lifted

    def authorised(self, nozzle: int) -> Event:
        """Succeeds as soon as the fuelling point may deliver."""
        point, _ = self._place[nozzle]
        event = self._kernel.env.event()
        self._waiting[point.number].authorised = event
        if point.nozzle_out is not None and point.state in _MAY_DELIVER:
            event.succeed()
        return event

    def fill(self, nozzle: int, *, flow_ml_per_min: int, full_ml: int, wanted_ml: int) -> Event:  # noqa: ARG002
        """Squeeze until shut-off, preset or the end of the delivery."""
        point, _ = self._place[nozzle]
        event = self._kernel.env.event()
        self._waiting[point.number].stopped = event
        # Nobody squeezes a nozzle that has stopped: should the pump be authorised anew, nothing more flows.
        event.callbacks.append(lambda _stopped: point.release(self._kernel.now_us))
        point.set_tank_capacity(full_ml)
        point.squeeze(self._kernel.now_us, flow_ml_per_min)
        if point.state not in _MAY_DELIVER and not event.triggered:
            # Stopped between "you may" and the squeeze; nothing will flow.
            event.succeed()
        self._wake(point)
        return event

    def hang_up(self, nozzle: int) -> Event:
        """Put the nozzle back; succeeds with what was delivered, or None."""
        point, _ = self._place[nozzle]
        event = self._kernel.env.event()
        self._waiting[point.number].ended = event
        point.hang_up(self._kernel.now_us)
        due = (
            point.is_record_due
        )  # the board still writes it, or has no power: the customer waits for the figures
        if not event.triggered and not due:
            # The delivery had already ended (preset, terminated), or none ever began.
            event.succeed(self._last[point.number])
        self._waiting[point.number] = _Waiting(ended=event if due else None)
        self._wake(point)
        return event

    def price_fen_per_l(self, nozzle: int) -> int:
        """The price on the display."""
        point, logical = self._place[nozzle]
        return point.nozzles[logical].price_fen_per_l

    def _wake(self, point: FuellingPoint) -> None:
        if self._touched is not None:
            self._touched(point.number)


def _succeed(event: Event | None, value: object = None) -> None:
    if event is not None and not event.triggered:
        event.succeed(value)
