"""Leaving out idle polls changes nothing that anybody can see, except the polls."""

from __future__ import annotations

import random

import pytest

from protocols.sansio import HarnessProtocolError
from sim.wires import VirtualBus, WireFault

ADDRESSES = [0x50, 0x51, 0x52, 0x53]
HOUR_PART_US = 60_000_000
S = 1_000_000


def run(
    make_kernel,
    toy_master,
    toy_device,
    happenings,
    *,
    skip,
    faults=(),
    with_addresses=True,
    until_us=HOUR_PART_US,
):
    kernel = make_kernel("skipping")
    bus = VirtualBus(kernel, "line", baud=9600, faults=faults, skip_idle_polls=skip)
    master = toy_master(ADDRESSES)
    bus.attach(master, name="master", master=True, poll_lead_us=bus.burst_us(3))
    devices = {}
    for address in ADDRESSES:
        devices[address] = device = toy_device(address)
        bus.attach(device, name=f"{address:02x}", addresses=[address] if with_addresses else ())
    for at_us, address, number in happenings:
        kernel.call_at(at_us, devices[address].happen, number)
    kernel.run(until_us)
    return master, bus


def happenings(seed, count=300):
    rng = random.Random(seed)
    return [
        (rng.randrange(HOUR_PART_US - 5_000_000), rng.choice(ADDRESSES), rng.randrange(1, 40))
        for _ in range(count)
    ]


@pytest.mark.parametrize("with_addresses", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_a_skipped_run_hears_the_same_at_the_same_times(
    make_kernel, toy_master, toy_device, seed, with_addresses
):
    script = happenings(seed)
    full, _ = run(make_kernel, toy_master, toy_device, script, skip=False)
    skipped, _ = run(make_kernel, toy_master, toy_device, script, skip=True, with_addresses=with_addresses)
    assert len(full.heard) == len(script)
    assert skipped.heard == full.heard
    assert full.polls == 4 * 4 * 60
    assert skipped.polls <= len(script) + 4


def test_news_that_comes_while_a_poll_would_be_in_the_air_is_heard_by_that_poll(
    make_kernel, toy_master, toy_device
):
    # The poll of 0x51 starts at 62 500 us and is heard by the device 3 438 us later.
    for at_us in range(62_498, 62_500 + 3_438, 137):
        script = [(at_us, 0x51, 7)]
        full, _ = run(make_kernel, toy_master, toy_device, script, skip=False, until_us=S)
        skipped, _ = run(make_kernel, toy_master, toy_device, script, skip=True, until_us=S)
        assert skipped.heard == full.heard, f"news at {at_us} us"
        assert full.heard[0][0] < 80_000


def test_nothing_is_skipped_while_a_fault_may_strike(make_kernel, toy_master, toy_device):
    script = happenings(9, 60)
    faults = [WireFault(kind="drop", at_us=20_000_000, for_us=15_000_000, probability=0.3)]
    full, full_bus = run(make_kernel, toy_master, toy_device, script, skip=False, faults=faults)
    skipped, bus = run(make_kernel, toy_master, toy_device, script, skip=True, faults=faults)
    assert bus.faults[0].landed == full_bus.faults[0].landed > 50
    assert full.missed
    assert skipped.missed == full.missed
    assert skipped.heard == full.heard
    assert 15 * 16 <= skipped.polls < full.polls


def test_an_address_where_nobody_answers_is_polled_all_the_time(make_kernel, toy_master, toy_device):
    kernel = make_kernel()
    bus = VirtualBus(kernel, "line", baud=9600, skip_idle_polls=True)
    master = toy_master([0x50, 0x51])
    bus.attach(master, name="master", master=True)
    bus.attach(toy_device(0x50), name="50", addresses=[0x50])
    kernel.run(10_000_000)
    assert [address for _, address in master.missed] == [0x51] * 40


def test_two_devices_on_one_address_are_never_quiet(make_kernel, toy_master, toy_device):
    kernel = make_kernel()
    bus = VirtualBus(kernel, "line", baud=9600, skip_idle_polls=True)
    master = toy_master([0x50])
    bus.attach(master, name="master", master=True)
    bus.attach(toy_device(0x50), name="x", addresses=[0x50])
    bus.attach(toy_device(0x50), name="y", addresses=[0x50])
    kernel.run(10_000_000)
    assert bus.collisions == master.polls == 40


def test_an_address_named_twice_by_one_device_is_one_address(make_kernel, toy_master, toy_device):
    kernel = make_kernel()
    bus = VirtualBus(kernel, "line", baud=9600, skip_idle_polls=True)
    master = toy_master([0x50])
    bus.attach(master, name="master", master=True)
    bus.attach(toy_device(0x50), name="x", addresses=[0x50, 0x50])
    kernel.run(10_000_000)
    assert master.polls == 0


def test_a_machine_that_cannot_skip_is_refused(kernel, scripted):
    bus = VirtualBus(kernel, "line", baud=9600, skip_idle_polls=True)
    with pytest.raises(HarnessProtocolError, match="needs is_quiet and wake"):
        bus.attach(scripted(), name="m", master=True)
    with pytest.raises(HarnessProtocolError, match="d needs quiet"):
        bus.attach(scripted(), name="d")
