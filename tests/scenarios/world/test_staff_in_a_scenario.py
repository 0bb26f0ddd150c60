"""Attendants hand over and technicians test in a virtual run: small stations, every protocol, faults at the very moment."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from scenarios.loader import load
from scenarios.model import Scenario
from scenarios.oracles import judge
from scenarios.runner.virtual import SAFETY_CHECKS, run_once
from scenarios.verdicts import Verdict
from scenarios.world.harvest import harvest
from scenarios.world.keys import run_keys
from scenarios.world.virtual import VirtualWorld, WorldOptions

STAFF = ("shift.readings-chain", "shift.sales-add-up", "shift.litres-agree", "test.not-sold")
S = 1_000_000


def smoke(**changes: Any) -> Scenario:
    document = load("smoke").scenario.model_dump(mode="json")
    document["checks"] += [{"check": slug} for slug in STAFF]
    return Scenario.model_validate(document | changes)


def changes_at(*times_s: int, **last: Any) -> list[dict[str, Any]]:
    rows = [{"at_s": at_s, "attendant": f"A{n}"} for n, at_s in enumerate(times_s)]
    rows[-1] |= last
    return rows


TESTS = [{"at_s": 700, "nozzle": 1}, {"at_s": 900, "nozzle": 2, "volume_ml": 5_000}]


def failures(record: Any, *slugs: str) -> dict[str, str]:
    verdicts = {slug: judge(record, slug) for slug in slugs}
    fine = {Verdict.PASS, Verdict.NOT_APPLICABLE}
    return {slug: v.message for slug, v in verdicts.items() if v.verdict not in fine}


@pytest.mark.requirement(
    "shift.close-balances",
    "shift.crossing-delivery-in-one-shift",
    "fd-met.test-deliveries-are-flagged",
    "fd-met.totals-equal-sum-of-sales",
)
def test_shifts_and_tests_in_a_quiet_hour() -> None:
    every = changes_at(0, *range(300, 3_600, 300))
    made = smoke(shift_changes=every, test_deliveries=TESTS)
    run = run_once(made, "x1", skip_idle_polls=True)
    record = run.record
    assert failures(record, *SAFETY_CHECKS, "liveness.settled") == {}
    assert len(record.shifts) == 11
    straddling = [
        delivery
        for delivery in record.deliveries
        if any(delivery.started_us < one.at_us < delivery.ended_us for one in record.handovers)
    ]
    assert straddling, "no delivery ran at a handover: the test shows nothing"
    assert sum(shift.tests_ml for shift in record.shifts) == 25_000


@pytest.mark.slow
def test_idle_polls_change_nothing_about_shifts_and_tests() -> None:
    made = smoke(shift_changes=changes_at(0, *range(300, 3_600, 300)), test_deliveries=TESTS)
    skipped, full = (run_once(made, "x2", skip_idle_polls=skip).record for skip in (True, False))
    assert skipped.shifts == full.shifts
    assert skipped.deliveries == full.deliveries
    assert skipped.ledger == full.ledger


@pytest.mark.slow
@pytest.mark.requirement("shift.close-balances")
def test_what_is_missing_in_the_drawer_shows() -> None:
    adoption = {**load("smoke").scenario.demand.model_dump(mode="json"), "adoption": 0.0}
    adoption["kiosk_mix"] = {"card": 0.2, "fuel_card": 0.0, "cash": 0.8}
    off = changes_at(0, 2_000, cash_off_fen=-2_500)
    run = run_once(smoke(shift_changes=off, demand=adoption), "x1", skip_idle_polls=True)
    (shift,) = run.record.shifts
    assert shift.cash_expected_fen > 10_000
    assert shift.cash_difference_fen == -2_500
    assert failures(run.record, "shift.sales-add-up", "shift.litres-agree") == {}


@pytest.mark.slow
def test_a_backend_that_is_away_gets_its_sales_before_the_handover_that_contains_them() -> None:
    away = [{"target": "backend", "instance": "a", "at_s": 500, "for_s": 900}]
    made = smoke(shift_changes=changes_at(0, 800, 1_100, 2_000), faults=away)
    run = run_once(made, "x1", skip_idle_polls=True)
    assert failures(run.record, *STAFF[:3]) == {}
    assert [len(shift.entries) for shift in run.record.shifts] == [0, 0, 0], (
        "late for the backend is not late"
    )


@pytest.mark.slow
@pytest.mark.requirement("shift.close-is-atomic", "shift.odd-sales-are-listed")
def test_pumps_without_mains_at_the_very_moment() -> None:
    marks = (400, 800, 1_200, 1_600)
    cuts = [
        {"target": "dispenser", "dispenser": "D1", "kind": "power_cut", "at_s": at_s - 20, "for_s": 45}
        for at_s in marks
    ]
    run = run_once(smoke(shift_changes=changes_at(0, *marks), faults=cuts), "x1", skip_idle_polls=True)
    assert failures(run.record, *SAFETY_CHECKS[:-1]) == {}
    assert any(row.offline for shift in run.record.shifts for row in shift.nozzles)


def test_the_stock_agrees_with_tests_and_the_books_show_what_came_back() -> None:
    document = load("smoke").scenario.model_dump(mode="json")
    document["station"]["gauge"] = {}
    document |= {"shift_changes": changes_at(60, 1_500), "test_deliveries": TESTS, "settle_s": 400}
    document["checks"] += [{"check": "tank.litres-by-gauge"}]
    world = VirtualWorld(
        Scenario.model_validate(document), "x1", keys=run_keys(), options=WorldOptions(skip_idle_polls=True)
    )
    try:
        world.run()
        record = harvest(world)
        assert failures(record, "conservation.litres", "tank.litres-by-gauge", *STAFF) == {}
        (report,) = world.read_admin("shifts")
        for tank in report["tanks"]:
            assert tank["returned_ml"] in {20_000, 5_000}
            # The stock is up to a poll and a scan older than the readings: what a hose gives in that time, and the gauge's error.
            assert abs(tank["unexplained_ml"]) < 40_000
        kinds = [row["kind"] for row in world.read_admin("alarms")]
        assert not [kind for kind in kinds if kind.startswith("tank")], kinds
    finally:
        world.close()


@pytest.mark.requirement("shift.close-is-atomic")
def test_an_attendants_word_at_the_till_hands_over_once() -> None:
    """From the till's call to the filed report, over two backends of which one is killed meanwhile."""
    document = load("smoke").scenario.model_dump(mode="json")
    document["demand"] |= {"max_cars": 4, "duration_s": 600}
    document |= {"backend": {"instances": 2}, "settle_s": 300}
    document["faults"] = [{"target": "backend", "instance": "a", "at_s": 401, "for_s": 100}]
    made = Scenario.model_validate(document)
    world = VirtualWorld(made, "x1", keys=run_keys(), options=WorldOptions(skip_idle_polls=True))

    async def say(closes: int) -> None:
        body = {"closes": closes, "attendant": f"A{closes}", "cash_counted_fen": None}
        for _ in range(2):  # a second click
            await world.till().call("POST", "/v1/stations/KM00/shifts/handover", json=body)

    try:
        for closes, at_s in enumerate((10, 400, 700)):
            world.kernel.call_at(at_s * S, lambda n=closes: world.kernel.spawn(say(n), f"handover {n}"))
        world.run()
        reports = world.read_admin("shifts")
        assert [(one["shift"], one["attendant"]) for one in reports] == [(1, "A0"), (2, "A1")]
        for report, told_s in zip(reports, (400, 700), strict=True):
            assert 0 <= report["closed_us"] - world.kernel.epoch_us - told_s * S < 30 * S
        assert sum(one["sales"] for one in reports) == sum(
            len(point.journal) for point in world.equipment.points.values()
        )
        assert [row for one in reports for row in one["nozzles"] if row["difference_ml"]] == []
    finally:
        world.close()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"shift_changes": changes_at(9, 9)}, "in the order of their times"),
        ({"shift_changes": changes_at(99_999)}, "after the run has ended"),
        ({"test_deliveries": [{"at_s": 1, "nozzle": 9}]}, "names nozzle 9, which the station does not have"),
        ({"test_deliveries": [{"at_s": 99_999, "nozzle": 1}]}, "after the run has ended"),
    ],
)
def test_what_cannot_be_is_told(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        smoke(**changes)


def test_tests_need_a_pump_that_authorises_by_itself() -> None:
    station = {**load("smoke").scenario.station.model_dump(mode="json"), "lift_policy": "order_required"}
    with pytest.raises(ValidationError, match="nobody orders them"):
        smoke(station=station, test_deliveries=TESTS)


def test_a_roll_that_ends_is_changed_and_every_receipt_comes() -> None:
    base = load("smoke").scenario.model_dump(mode="json")
    base["demand"]["max_cars"] = 6
    world = VirtualWorld(Scenario.model_validate(base), "x1", keys=run_keys(), options=WorldOptions())
    try:
        world.kernel.call_at(100 * S, world.printer.paper_out, None)
        world.run()
        record = harvest(world)
        kinds = {operation.kind: operation for operation in record.operations}
        assert kinds["receipt"].succeeded == kinds["receipt"].tried == len(record.deliveries) == 6
        assert failures(record, "receipt.equals-ledger") == {}
    finally:
        world.close()
