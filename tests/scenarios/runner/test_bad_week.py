"""The shipped `bad-week`: every money fault, in pieces by default, whole in the slow environment."""

from __future__ import annotations

import pytest

from scenarios.loader import load
from scenarios.model import Scenario
from scenarios.oracles import judge_all
from scenarios.runner.fault_toll import fault_lines
from scenarios.runner.virtual import run_once
from scenarios.verdicts import Verdict

DAY_S = 86_400
FINE = {Verdict.PASS, Verdict.INFO, Verdict.NOT_APPLICABLE}


def piece(day: int, from_s: int, until_s: int) -> Scenario:
    """Some hours of one day, with what goes wrong in them."""
    week = load("bad-week").scenario.model_dump(mode="json")
    begin_s = day * DAY_S + from_s

    def moved(items: list[dict[str, object]]) -> list[dict[str, object]]:
        inside = [item for item in items if begin_s <= int(str(item["at_s"])) < day * DAY_S + until_s]
        return [{**item, "at_s": int(str(item["at_s"])) - begin_s} for item in inside]

    once = [one.model_dump(mode="json") for fault in load("bad-week").scenario.faults for one in fault.each()]
    week["faults"] = moved(once)
    week["key_changes"] = moved(week["key_changes"])
    week["settle_s"] = 3_600  # no bill comes in a piece
    week["demand"] |= {"duration_s": until_s - from_s, "rushes": moved(week["demand"]["rushes"])}
    week["station"]["start_local"] = (
        f"2026-03-{2 + day:02d}T{from_s // 3600:02d}:{from_s % 3600 // 60:02d}:00"
    )
    return Scenario.model_validate(week)


def judged(scenario: Scenario, seed: str, *, leave_out: tuple[str, ...] = ()) -> list[str]:
    run = run_once(scenario, seed, skip_idle_polls=True)
    asked = [(check.check, check.limits) for check in scenario.checks if check.check not in leave_out]
    assert [line.name for line in fault_lines(run.record)] == [fault.name for fault in run.record.faults]
    return [
        f"{r.verdict} {r.check}: {r.message}" for r in judge_all(run.record, asked) if r.verdict not in FINE
    ]


@pytest.mark.timeout(120)
def test_wednesday_morning_with_the_new_certificate_and_the_noon_without_a_tax_platform() -> None:
    scenario = piece(2, 28_000, 45_000)
    kinds = {(fault.target, str(getattr(fault, "kind", ""))) for fault in scenario.faults}
    assert {
        ("tax", "stall"),
        ("gateway", "callback_duplicated"),
        ("printer", "paper_out"),
        ("backend", ""),
    } <= kinds
    assert [change.kind for change in scenario.key_changes] == ["rotate_certificate"]
    # In so short a time a fault may find nothing to strike.
    assert judged(scenario, "1", leave_out=("faults.landed", "money.reconciled")) == []


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", ["1", "2"])
def test_the_whole_week(seed: str) -> None:
    assert judged(load("bad-week").scenario, seed) == []
