"""A real pump line: the reference's DART driver and simulated dispensers on one bus, with and without idle polls."""

from __future__ import annotations

import random

import pytest

from reference.site.config import FuellingPointConfig, LineConfig, NozzleConfig
from reference.site.pumps.dart import DartDriver
from reference.site.pumps.events import NozzleLifted, SaleCaptured
from sim.dispenser import Dispenser, DispenserProfile, FuellingPoint, Nozzle, Tank
from sim.dispenser.dart import DartDispenser
from sim.wires import VirtualBus, WireFault

POINTS = 4
SPAN_US = 420_000_000
S = 1_000_000


def build(kernel, *, skip, faults=()):
    """Two dispensers with two fuelling points each, one line, a driver that authorises each lift at once."""
    bus = VirtualBus(kernel, "KM01/line-1", baud=19_200, faults=faults, skip_idle_polls=skip)
    configs = tuple(
        FuellingPointConfig(
            fuelling_point=number,
            address=0x4F + number,
            nozzles=(NozzleConfig(nozzle=number, grade="92", tank=number, price_fen_per_l=760),),
        )
        for number in range(1, POINTS + 1)
    )
    driver = DartDriver(LineConfig(name="line-1", protocol="dart", baud=19_200, fuelling_points=configs))
    events = []

    def listen(event):
        events.append(event)
        if isinstance(event, NozzleLifted):
            driver.authorise(event.fuelling_point, event.nozzle)

    driver.listener = listen
    bus.attach(driver, name="site", master=True, poll_lead_us=bus.burst_us(3))
    points = {}
    for cabinet in range(2):
        pair = []
        for number in (2 * cabinet + 1, 2 * cabinet + 2):
            nozzle = Nozzle(
                logical=1, nozzle_id=number, grade="92", tank=Tank(number, "92"), price_fen_per_l=760
            )
            points[number] = FuellingPoint(number, [nozzle], profile=DispenserProfile())
            pair.append(points[number])
        device = DartDispenser(Dispenser(pair), {0x4F + point.number: point for point in pair})
        addresses = [0x4F + point.number for point in pair]
        bus.attach(device, name=f"dispenser-{cabinet}", addresses=addresses)
    return bus, events, points


def customers(kernel, points, seed):
    """Hands on nozzles at instants that have nothing to do with the grid."""
    rng = random.Random(seed)
    for point in points.values():
        at_us = rng.randrange(5 * S, 20 * S)
        while at_us < SPAN_US - 120 * S:
            kernel.call_at(at_us, lambda p=point: p.lift(1, kernel.now_us))
            at_us += rng.randrange(3 * S, 9 * S)
            kernel.call_at(at_us, lambda p=point: p.squeeze(kernel.now_us, 33_000))
            at_us += rng.randrange(4 * S, 40 * S)
            kernel.call_at(at_us, lambda p=point: p.release(kernel.now_us))
            at_us += rng.randrange(1 * S, 4 * S)
            kernel.call_at(at_us, lambda p=point: p.hang_up(kernel.now_us))
            at_us += rng.randrange(5 * S, 40 * S)


@pytest.fixture
def play(make_kernel):
    def play(seed, *, skip, faults=()):
        kernel = make_kernel("station")
        bus, events, points = build(kernel, skip=skip, faults=faults)
        customers(kernel, points, seed)
        kernel.run(SPAN_US)
        return events, points, bus

    return play


@pytest.mark.parametrize("seed", range(2))
def test_skipping_idle_polls_changes_no_event_of_the_driver(play, seed):
    full, points, bus = play(seed, skip=False)
    skipped, _, _ = play(seed, skip=True)
    sales = [event for event in full if isinstance(event, SaleCaptured)]
    assert len(sales) > 15
    assert bus.collisions == 0
    assert sum(sale.volume_ml for sale in sales) == sum(
        delivery.volume_ml for point in points.values() for delivery in point.journal
    )
    assert skipped == full


def test_skipping_changes_no_event_on_a_line_with_faults(play):
    faults = [
        WireFault(kind="flip", at_us=100 * S, for_us=60 * S, probability=0.05),
        WireFault(kind="drop", at_us=200 * S, for_us=30 * S, probability=0.1),
        WireFault(kind="noise", at_us=300 * S, for_us=20 * S, every_us=400_000),
    ]
    full, _, full_bus = play(7, skip=False, faults=faults)
    skipped, _, bus = play(7, skip=True, faults=faults)
    assert [fault.landed for fault in bus.faults] == [fault.landed for fault in full_bus.faults]
    assert all(fault.landed > 3 for fault in bus.faults)
    assert skipped == full
