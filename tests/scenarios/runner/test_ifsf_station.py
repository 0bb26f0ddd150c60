"""Cars fill at a station whose dispensers are IFSF nodes on a network."""

from __future__ import annotations

from typing import get_args

import pytest

from scenarios.loader import load
from scenarios.model import Line, Scenario, WireFault
from scenarios.model.station import Dispenser
from scenarios.oracles import judge_all
from scenarios.runner.virtual import run_once
from scenarios.verdicts import Verdict
from scenarios.world.translate import site_config

FINE = {Verdict.PASS, Verdict.INFO, Verdict.NOT_APPLICABLE}


def ifsf_station(**more: object) -> Scenario:
    """`smoke` with a second cabinet of two grades a side, each cabinet a node, and forty cars."""
    smoke = load("smoke").scenario
    second = Dispenser.model_validate(
        {
            "name": "D2",
            "fuelling_points": [
                {
                    "fuelling_point": point,
                    "nozzles": [
                        {"nozzle": 2 * point - 3, "grade": "92", "tank": 1},
                        {"nozzle": 2 * point - 2, "grade": "95", "tank": 2},
                    ],
                }
                for point in (3, 4)
            ],
        }
    )
    lines = [
        {
            "name": name,
            "protocol": "ifsf",
            "framing": "tcp",
            "points": [
                {"fuelling_point": first, "address": 0x21},
                {"fuelling_point": first + 1, "address": 0x22},
            ],
        }
        for name, first in (("node-a", 1), ("node-b", 3))
    ]
    station = smoke.station.model_copy(
        update={
            "dispensers": (*smoke.station.dispensers, second),
            "lines": tuple(Line.model_validate(line) for line in lines),
        }
    )
    demand = smoke.demand.model_copy(update={"arrivals_per_hour": 120, "max_cars": 24, "duration_s": 1800})
    return smoke.model_copy(update={"name": "ifsf", "station": station, "demand": demand, **more})


def verdicts(scenario: Scenario, seed: str, *, skip_idle_polls: bool = True):
    run = run_once(scenario, seed, skip_idle_polls=skip_idle_polls)
    return run, judge_all(run.record, [(check.check, check.limits) for check in scenario.checks])


def test_cars_fill_and_everything_adds_up() -> None:
    run, results = verdicts(ifsf_station(), "1")
    assert [f"{r.verdict} {r.check}: {r.message}" for r in results if r.verdict not in FINE] == []
    assert sum(r.verdict is Verdict.PASS for r in results) >= 5
    assert len(run.record.journal) == len(run.record.deliveries) >= 15


@pytest.mark.parametrize("kind", get_args(WireFault.model_fields["kind"].annotation))
@pytest.mark.slow
def test_a_bad_network_loses_no_sale(kind: str) -> None:
    """A gateway behind the network may do what TCP itself never does: lose, double or damage a message."""
    for_s = 90 if kind == "cut" else 1500
    fault = WireFault(target="wire", line="node-a", kind=kind, at_s=60, for_s=for_s, share=0.05)
    run, results = verdicts(ifsf_station(faults=(fault,)), "1")
    bad = {Verdict.FAIL, Verdict.HARNESS_ERROR}
    # The application has no checksum: a live figure that was damaged on its way is shown as it came.
    waived = {"live.monotone"} if kind in {"flip_bits", "cut_short"} else set()
    failed = [
        f"{r.verdict} {r.check}: {r.message}" for r in results if r.verdict in bad and r.check not in waived
    ]
    assert failed == []
    assert len(run.record.journal) == len(run.record.deliveries) >= 15


def test_the_site_is_configured_for_the_node() -> None:
    scenario = ifsf_station()
    config = site_config(scenario.station, {"node-a": "127.255.255.255:3486"})
    assert config.lines[0].ifsf.udp == "127.255.255.255:3486"
    assert config.lines[0].tcp is None
    assert [point.address for point in config.lines[1].fuelling_points] == [0x21, 0x22]


@pytest.mark.parametrize(
    ("update", "words"),
    [
        ({"framing": "serial"}, "an IFSF line is a network"),
        ({"points": [{"fuelling_point": 1, "address": 0x25}]}, "is not in 33..36"),
    ],
)
def test_a_line_that_cannot_be_is_refused(update: dict[str, object], words: str) -> None:
    line = {
        "name": "node-a",
        "protocol": "ifsf",
        "framing": "tcp",
        "points": [{"fuelling_point": 1, "address": 0x21}],
    }
    with pytest.raises(ValueError, match=words):
        Line.model_validate({**line, **update})
