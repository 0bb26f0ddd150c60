"""What the trace of the people says in figures: times per car, queue lengths, shares; and the phone's latencies.

Feed `CarLog` as a listener of the trace (``trace.listen(log)``), or read ``events.ndjson`` into it line by line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from scenarios.record import LiveObservation

__all__ = [
    "CarLog",
    "CarTimes",
    "FloorFigures",
    "PhoneLatencies",
    "floor_figures",
    "invoice_wishes",
    "live_observations",
    "phone_latencies",
]

_SETTLES = frozenset({"COMPLETED", "REFUNDING"})
"""States in which a pre-paid order has its sale."""

_SHOWS_SALE = frozenset({"PAYABLE", "PAYING", "COMPLETED"})


@dataclass(slots=True)
class CarTimes:
    """One visit. Instants are microseconds of the run, None for what did not happen.

    ``steps`` holds each event in order as (name, µs); ``paying_us`` is the time spent on payment and invoice
    while standing in the position.
    """

    number: int
    arrived_us: int
    pay_by: str
    invoice: str
    prepaid: bool = False
    position_us: int | None = None
    fuelling_point: int | None = None
    nozzle: int | None = None
    sequence: int | None = None
    left_us: int | None = None
    outcome: str | None = None
    paying_us: int = 0
    steps: list[tuple[str, int]] = field(default_factory=list)
    _pay_started_us: int | None = None

    @property
    def in_position_us(self) -> int | None:
        """From driving into the position to being out of it."""
        return None if self.left_us is None or self.position_us is None else self.left_us - self.position_us

    @property
    def at_station_us(self) -> int | None:
        """From arriving to leaving, the queue included."""
        return None if self.left_us is None else self.left_us - self.arrived_us


class CarLog:
    """Collects ``car.*``, ``phone.*`` and ``kiosk.*`` events; call it with each event of the trace."""

    def __init__(self) -> None:
        self.cars: dict[int, CarTimes] = {}
        self.queue: list[tuple[int, int]] = []
        self.phone: dict[int, list[tuple[int, str, Mapping[str, Any]]]] = {}

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Take one event of the trace; kinds that concern no person are ignored."""
        kind: str = event["kind"]
        family, _, what = kind.partition(".")
        if family == "car":
            self._car(what, int(event["entity"].partition("/")[2]), int(event["t_us"]), event)
        elif family in {"phone", "kiosk"}:
            number = int(event["entity"].partition("/")[2])
            self.phone.setdefault(number, []).append((int(event["t_us"]), kind, event))

    def _car(self, what: str, number: int, at_us: int, event: Mapping[str, Any]) -> None:
        if what == "arrived":
            self.cars[number] = CarTimes(number, at_us, event["pay_by"], event["invoice"], event["prepaid"])
        car = self.cars[number]
        car.steps.append((what, at_us))
        if "queue" in event:
            self.queue.append((at_us, event["queue"]))
        match what:
            case "position":
                car.position_us, car.fuelling_point, car.nozzle = (
                    at_us,
                    event["fuelling_point"],
                    event["nozzle"],
                )
            case "hung_up":
                car.sequence = event.get("sequence")
            case "pay_started":
                car._pay_started_us = at_us
            case "pay_ended" if car._pay_started_us is not None:
                car.paying_us += at_us - car._pay_started_us
                car._pay_started_us = None
            case "left":
                car.left_us, car.outcome = at_us, event["outcome"]
            case "balked" | "reneged":
                car.outcome = what
            case _:
                pass


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorFigures:
    """A run's floor in figures. Times are means in microseconds, None when no car was served."""

    arrived: int
    served: int
    balked: int
    reneged: int
    served_per_hour: float
    position_us: int | None
    station_us: int | None
    paying_us: int | None
    paying_share: float | None
    """Payment and invoicing as a share of all time that positions were occupied."""
    longest_queue: int


def floor_figures(log: CarLog, *, from_us: int = 0, until_us: int) -> FloorFigures:
    """Figures over the cars that left between two instants (so that a warm-up can be cut off).

    Raises:
        ValueError: the span is empty.
    """
    if until_us <= from_us:
        raise ValueError("the span from from_us to until_us is empty")
    arrived = [car for car in log.cars.values() if from_us <= car.arrived_us < until_us]
    served = [
        car for car in log.cars.values() if car.left_us is not None and from_us <= car.left_us < until_us
    ]
    in_position = [car.in_position_us or 0 for car in served]
    at_station = [car.at_station_us or 0 for car in served]
    paying = [car.paying_us for car in served]
    n = len(served)
    return FloorFigures(
        arrived=len(arrived),
        served=n,
        balked=sum(car.outcome == "balked" for car in arrived),
        reneged=sum(car.outcome == "reneged" for car in arrived),
        served_per_hour=n * 3_600e6 / (until_us - from_us),
        position_us=sum(in_position) // n if n else None,
        station_us=sum(at_station) // n if n else None,
        paying_us=sum(paying) // n if n else None,
        paying_share=sum(paying) / sum(in_position) if n else None,
        longest_queue=max((length for at_us, length in log.queue if from_us <= at_us < until_us), default=0),
    )


@dataclass(frozen=True, slots=True)
class PhoneLatencies:
    """What the phones saw, microseconds: end to end without human time, human time, invoices, live amounts."""

    payment_end_to_end: tuple[int, ...]
    payment_human: tuple[int, ...]
    invoice_answered: tuple[int, ...]
    invoice_issued: tuple[int, ...]
    live_amount: tuple[int, ...]


def phone_latencies(events: Mapping[int, Iterable[tuple[int, str, Mapping[str, Any]]]]) -> PhoneLatencies:
    """Latencies of each phone's events, in order (`CarLog.phone`).

    End to end is (tap to sheet) + (confirmed to PAID on the screen); human time is what lies between. An invoice is answered
    when the screen says issuing or issued, counted from PAID.
    """
    end_to_end: list[int] = []
    human: list[int] = []
    answered: list[int] = []
    issued: list[int] = []
    live: list[int] = []
    for phone in events.values():
        at: dict[str, int] = {}
        answered_yet = issued_yet = False
        settled_us = 0
        for t_us, kind, event in phone:
            match kind:
                case "phone.pay_tapped" | "phone.sheet" | "phone.confirmed":
                    at[kind] = t_us
                    if kind == "phone.confirmed" and "phone.sheet" in at:
                        human.append(t_us - at["phone.sheet"])
                case "phone.paid" if kind not in at:
                    at[kind] = t_us
                    if "phone.confirmed" in at:
                        before = at["phone.sheet"] - at["phone.pay_tapped"]
                        end_to_end.append(before + t_us - at["phone.confirmed"])
                case "phone.state" if event["state"] in _SETTLES:
                    # A pre-paid order was PAID long before there was a sale to invoice.
                    settled_us = t_us
                case "phone.invoice" if event["state"] in {"issuing", "issued"}:
                    since_us = t_us - max(at.get("phone.paid", t_us), settled_us)
                    if not answered_yet:
                        answered.append(since_us)
                        answered_yet = True
                    if event["state"] == "issued" and not issued_yet:
                        issued.append(since_us)
                        issued_yet = True
                case "phone.live":
                    live.append(event["age_us"])
                case _:
                    pass
    return PhoneLatencies(tuple(end_to_end), tuple(human), tuple(answered), tuple(issued), tuple(live))


def live_observations(log: CarLog, station: str) -> list[LiveObservation]:
    """What each phone showed of its own delivery, in order: live amounts, then the sale on the order's screen.

    Readings from before the driver was authorised belong to the delivery before and are left out.
    """
    shown = []
    for number, phone in log.phone.items():
        car = log.cars.get(number)
        authorised_us = None if car is None else dict(car.steps).get("authorised")
        if car is None or car.nozzle is None or car.sequence is None or authorised_us is None:
            continue
        for t_us, kind, event in phone:
            is_live = kind == "phone.live" and t_us - event["age_us"] >= authorised_us
            is_sale = kind == "phone.state" and event["state"] in _SHOWS_SALE and event["amount_fen"] > 0
            if is_live or (is_sale and t_us >= authorised_us):
                key = (station, car.nozzle, car.sequence)
                shown.append(
                    LiveObservation(
                        key=key, at_us=t_us, volume_ml=event["volume_ml"], amount_fen=event["amount_fen"]
                    )
                )
    return shown


def invoice_wishes(log: CarLog) -> frozenset[str]:
    """Orders whose phones wanted an invoice."""
    return frozenset(
        event["order_id"]
        for number, events in log.phone.items()
        for _, kind, event in events
        if kind == "phone.order" and number in log.cars and log.cars[number].invoice != "none"
    )
