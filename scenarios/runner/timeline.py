"""One car from arrival to receipt, as bars and marks for the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scenarios.evidence import TimelineStep
from scenarios.world.witness import Witness

__all__ = ["pick_car", "timeline"]

_BARS = (
    ("car", "waits for a position", "arrived", "position"),
    ("car", "drives in", "position", "parked"),
    ("car", "opens the cap, orders", "parked", "lifted"),
    ("pump", "authorising", "lifted", "authorised"),
    ("pump", "fuelling", "authorised", "filled"),
    ("car", "hangs up, closes the cap", "filled", "capped"),
    ("phone", "pays", "pay_started", "pay_ended"),
    ("car", "drives off", "pay_ended", "left"),
)


def pick_car(witness: Witness) -> int | None:
    """The first car that ordered on the phone, paid, and got an invoice: it shows the whole chain. Else the first paid one."""
    fallback = None
    for number, car in witness.cars.cars.items():
        if car.outcome != "paid" or car.left_us is None:
            continue
        fallback = number if fallback is None else fallback
        invoiced = any(
            kind == "phone.invoice" and event["state"] == "issued"
            for _, kind, event in witness.cars.phone.get(number, ())
        )
        if car.pay_by == "order_first" and invoiced and not car.prepaid:
            return number
    return fallback


def timeline(witness: Witness, number: int, receipts_us: Mapping[tuple[int, int], int]) -> list[TimelineStep]:
    """The steps of one car, in order of lanes."""
    car = witness.cars.cars[number]
    at = dict(car.steps)
    steps = [
        TimelineStep(lane=lane, name=name, start_us=at[begin], end_us=at[end])
        for lane, name, begin, end in _BARS
        if begin in at and end in at and at[end] >= at[begin]
    ]
    steps += _phone_marks(witness.cars.phone.get(number, ()))
    printed_us = receipts_us.get((car.nozzle or 0, car.sequence or 0))
    if printed_us is not None:
        steps.append(
            TimelineStep(lane="paper", name="receipt printed", start_us=printed_us, end_us=printed_us)
        )
    return steps


def _phone_marks(events: Any) -> list[TimelineStep]:
    marks = []
    confirmed_us = paid_us = None
    for t_us, kind, event in events:
        if kind == "phone.order":
            marks.append(TimelineStep(lane="phone", name="ordered", start_us=t_us, end_us=t_us))
        elif kind == "phone.confirmed":
            confirmed_us = t_us
        elif kind == "phone.paid":
            start_us = confirmed_us if confirmed_us is not None else t_us
            marks.append(
                TimelineStep(lane="payment", name="confirmed to PAID", start_us=start_us, end_us=t_us)
            )
            paid_us = t_us
        elif kind == "phone.invoice" and event["state"] == "issued" and paid_us is not None:
            marks.append(TimelineStep(lane="invoice", name="PAID to issued", start_us=paid_us, end_us=t_us))
    return marks
