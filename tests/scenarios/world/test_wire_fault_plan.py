"""Wire faults of a scenario file: from its words to the wire's, and every kind at work in a run."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from pydantic import ValidationError

from scenarios.loader import load
from scenarios.model import Scenario
from scenarios.model.services import WireFault, WireKind
from scenarios.world.faults import frames_on, plan_faults
from scenarios.world.keys import run_keys
from scenarios.world.virtual import VirtualWorld, WorldOptions
from sim.faults import NEVER_US

KINDS = get_args(WireKind)


def scenario(*faults: dict[str, Any], **more: Any) -> Scenario:
    raw = load("smoke").scenario.model_dump(mode="json")
    return Scenario.model_validate(
        {**raw, "faults": [{"target": "wire", **fault} for fault in faults], **more}
    )


def planned(fault: dict[str, Any], **line: Any):
    made = scenario({"line": "pumps", "at_s": 5, **fault})
    on = made.station.lines[0].model_copy(update=line)
    (spec,) = plan_faults(made, 1).wire("pumps", frames_on(on))
    return spec


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_a_word_on_the_wire(kind):
    spec = planned({"kind": kind, "for_s": 7, "share": 0.25})
    assert spec.kind == {"flip_bits": "flip", "cut": "down", "cut_short": "cut"}.get(kind, kind)
    assert (spec.at_us, spec.for_us, spec.limit, spec.probability) == (5_000_000, 7_000_000, None, 0.25)


def test_a_moment_is_one_hit():
    spec = planned({"kind": "swap"})
    assert (spec.end_us, spec.limit) == (NEVER_US, 1)


@pytest.mark.parametrize(
    ("fault", "field", "value"),
    [
        ({"kind": "delay"}, "delay_us", 60_000),
        ({"kind": "delay", "delay_ms": 90}, "delay_us", 90_000),
        ({"kind": "replay"}, "delay_us", 5_000),
        ({"kind": "split", "offset": 2}, "offset", 2),
        ({"kind": "noise"}, "every_us", 400_000),
        ({"kind": "babble", "every_ms": 20}, "every_us", 20_000),
        ({"kind": "babble"}, "not_sender", "site"),
        ({"kind": "wrong_address"}, "not_sender", "site"),
        ({"kind": "wrong_address"}, "frames", "dart"),
        ({"kind": "drop", "sender": "controller"}, "sender", "site"),
        ({"kind": "drop", "sender": "device"}, "not_sender", "site"),
        ({"kind": "flip_bits", "part": "checksum"}, "part", "checksum"),
    ],
)
def test_the_fields_of_a_kind_reach_the_wire(fault, field, value):
    assert getattr(planned(fault), field) == value


def test_the_line_says_what_its_frames_are():
    on = {"protocol": "modbus", "framing": "tcp"}
    assert planned({"kind": "wrong_address"}, **on).frames == "modbus-tcp"
    assert planned({"kind": "wrong_address"}, protocol="modbus").frames == "modbus-rtu"
    assert planned({"kind": "wrong_address"}, protocol="aaff").frames == "aaff"


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"kind": "drop", "part": "payload"}, "part is for flip_bits; drop has none"),
        ({"kind": "echo", "offset": 2}, "offset is for cut_short, split; echo has none"),
        ({"kind": "drop", "delay_ms": 2}, "delay_ms is for delay, duplicate, replay, split, swap"),
        ({"kind": "drop", "every_ms": 2}, "every_ms is for babble, noise"),
        ({"kind": "noise", "sender": "device"}, "sender is for .*; noise has none"),
        ({"kind": "split", "offset": 0}, "a split needs an offset of 1 or more"),
        ({"kind": "melt"}, "Input should be 'drop'"),
    ],
)
def test_a_field_of_another_kind_is_refused(fault, message):
    with pytest.raises(ValidationError, match=message):
        WireFault.model_validate({"target": "wire", "line": "pumps", "at_s": 1, **fault})


def test_a_checksum_that_is_not_there_cannot_be_hit():
    raw = load("smoke").scenario.model_dump(mode="json")
    raw["station"]["lines"] = [
        {"name": f"tcp-{point}", "protocol": "modbus", "framing": "tcp",
         "points": [{"fuelling_point": point, "address": 1}]}
        for point in (1, 2)
    ]  # fmt: skip
    raw["faults"] = [{"target": "wire", "line": "tcp-2", "at_s": 1, "kind": "flip_bits", "part": "checksum"}]
    with pytest.raises(ValidationError, match="a modbus message over TCP has no checksum of its own"):
        Scenario.model_validate(raw)


def test_a_swarm_draws_from_all_kinds_or_from_those_that_are_named():
    def drawn(**more: Any) -> set[str]:
        swarm = {"targets": ["wire"], "faults": 200, "longest_s": 30, **more}
        return {one.spec.kind for one in plan_faults(scenario(swarm=swarm), "swarm").faults}

    assert drawn() == set(KINDS)
    assert drawn(wire_kinds=["echo", "glue"]) == {"echo", "glue"}
    with pytest.raises(ValidationError, match="wire_kinds names one kind twice"):
        drawn(wire_kinds=["echo", "echo"])


def test_a_swarm_is_drawn_from_the_seed():
    made = scenario(swarm={"targets": ["wire"], "faults": 20, "longest_s": 30})

    def specs(seed: str) -> list[Any]:
        return [one.spec for one in plan_faults(made, seed).faults]

    assert specs("a") == specs("a") != specs("b")


# All of them in one run.


def run(made: Scenario, *, skip: bool):
    world = VirtualWorld(made, 3, keys=run_keys(), options=WorldOptions(skip_idle_polls=skip))
    try:
        world.run()
        deliveries = [delivery for point in world.equipment.points.values() for delivery in point.journal]
        landed = {one.kind: one.landed for one in world.plan.landings()}
        return landed, deliveries, world.read_admin("sales")
    finally:
        world.close()


@pytest.mark.requirement("fd-link.babbling-device-is-isolated")
@pytest.mark.parametrize("protocol", ["dart", pytest.param("modbus", marks=pytest.mark.slow)])
def test_every_kind_lands_no_sale_is_lost_and_skipped_polls_change_nothing(protocol):
    raw = load("smoke").scenario.model_dump(mode="json")
    raw["demand"] |= {"duration_s": 900, "max_cars": 6, "arrivals_per_hour": 60}
    raw["settle_s"] = 300
    (line,) = raw["station"]["lines"]
    if protocol == "modbus":
        for number, point in enumerate(line["points"], start=1):
            point["address"] = number
        line |= {"protocol": "modbus", "baud": 19_200, "poll_period_ms": 500}
    raw["faults"] = [
        {"target": "wire", "line": "pumps", "kind": kind, "at_s": 30 + 55 * number, "for_s": 40, "share": 0.2}
        for number, kind in enumerate(KINDS)
    ]
    made = Scenario.model_validate(raw)
    landed, deliveries, sales = run(made, skip=False)
    assert {kind for kind, count in landed.items() if not count} == set()
    assert len(deliveries) == len(sales) == 6
    assert sorted(one.volume_ml for one in deliveries) == sorted(sale["volume_ml"] for sale in sales)
    again = run(made, skip=True)
    assert again[0] == landed
    assert (again[1], again[2]) == (deliveries, sales)
