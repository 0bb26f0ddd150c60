"""Stations whose dispensers declare figures of their own."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from scenarios.loader import load
from scenarios.model import DispenserFault, Make, Scenario
from scenarios.oracles import judge_all
from scenarios.runner.virtual import run_once
from scenarios.verdicts import Verdict
from scenarios.world.equipment import build_equipment


def station_of(make: Make, **change: object) -> Scenario:
    smoke = load("smoke").scenario
    dispensers = tuple(one.model_copy(update={"make": make}) for one in smoke.station.dispensers)
    station = smoke.station.model_copy(update={"dispensers": dispensers})
    return smoke.model_copy(update={"name": "make", "station": station, **change})


@pytest.mark.requirement("fd-pwr.interrupted-sale-uploads-once-flagged", "fd-pwr.totals-survive-power-cycles")
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(Make(), id="ordinary", marks=pytest.mark.slow),
        pytest.param(
            Make(nv_write_us=150, total_volume_digits=6, total_amount_digits=6, price_while_busy="next"),
            id="torn-writes",
        ),
        pytest.param(
            Make(
                resume_outage_us=15_000_000,
                valve_lag_us=100_000,
                trickle_ml=30,
                slow_stop_ml=400,
                journal_limit=50,
            ),
            id="goes-on",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            Make(hold_up_us=1_000_000, mmq_ml=2_000, journal_full="lock"),
            id="holds-up",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_power_cuts_on_each_make_lose_nothing(make: Make) -> None:
    cuts = tuple(
        DispenserFault(target="dispenser", dispenser="D1", kind="power_cut", at_s=at_s, for_s=for_s)
        for at_s, for_s in ((150, 5), (320, 40), (500, 1), (700, 20))
    )
    scenario = station_of(make, faults=cuts)
    run = run_once(scenario, "1", skip_idle_polls=True)
    results = judge_all(run.record, [(check.check, check.limits) for check in scenario.checks])
    fine = {Verdict.PASS, Verdict.INFO, Verdict.NOT_APPLICABLE}
    assert [f"{r.verdict} {r.check}: {r.message}" for r in results if r.verdict not in fine] == []
    assert len(run.record.deliveries) >= 15


def test_a_make_reaches_the_dispenser_and_leaves_the_rest_as_it_is() -> None:
    make = Make(mmq_ml=5_000, total_volume_digits=8, hold_up_us=500_000)
    equipment = build_equipment(station_of(make).station)
    ordinary = build_equipment(load("smoke").scenario.station)
    for number, point in equipment.points.items():
        assert (point.profile.mmq_ml, point.profile.total_volume_digits) == (5_000, 8)
        assert point.profile.max_flow_ml_per_min == ordinary.points[number].profile.max_flow_ml_per_min
    assert ordinary.points[1].profile.mmq_ml == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"resume_outage_us": 16_000_000},
        {"journal_full": "overwrite"},
        {"trickle_ml": 300, "slow_stop_ml": 200},
    ],
)
def test_an_impossible_make_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Make.model_validate(wrong)
