"""Power cuts and price changes in the course of a run: nothing is lost, and each delivery keeps its price."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from pydantic import ValidationError

from scenarios.loader import load
from scenarios.model import Scenario
from scenarios.oracles import judge
from scenarios.runner.virtual import SAFETY_CHECKS, run_once
from scenarios.verdicts import Verdict
from scenarios.world.keys import run_keys
from scenarios.world.virtual import VirtualWorld, WorldOptions


def smoke(**changes: Any) -> Scenario:
    return Scenario.model_validate({**load("smoke").scenario.model_dump(mode="json"), **changes})


# Nobody hands over a shift here, proves a meter, is a member or fetches bills, and the run ends before each receipt is due.
LEFT_OUT = ("shift.", "test.", "money.", "receipt.each")
JUDGED = [slug for slug in SAFETY_CHECKS if not slug.startswith(LEFT_OUT)]


def cut(at_s: int, for_s: int = 20) -> dict[str, Any]:
    return {"target": "dispenser", "dispenser": "D1", "kind": "power_cut", "at_s": at_s, "for_s": for_s}


@pytest.mark.requirement("fd-pwr.interrupted-sale-uploads-once-flagged")
def test_power_cuts_lose_and_double_nothing():
    made = smoke(faults=[cut(at_s) for at_s in range(100, 3_000, 137)] + [cut(1_000, 300), cut(1_100, 20)])
    run = run_once(made, "x1", skip_idle_polls=True)
    verdicts = {slug: judge(run.record, slug) for slug in (*JUDGED, "liveness.settled")}
    assert {slug: v.message for slug, v in verdicts.items() if v.verdict is not Verdict.PASS} == {}
    # A cut inside the five minutes of another one has nothing left to cut.
    landed = {fault.at_us // 1_000_000: fault.landed for fault in run.record.faults}
    assert landed[1_100] == 0
    assert landed[100] == landed[1_000] == 1
    assert len(run.record.deliveries) > 10


@pytest.mark.requirement("fd-price.price-holds-for-a-delivery")
def test_prices_change_for_the_next_delivery():
    changes = [
        {"at_s": 600, "prices_fen_per_l": {"92": 801}},
        {"at_s": 1_200, "prices_fen_per_l": {"92": 790, "95": 855}},
    ]
    run = run_once(smoke(price_changes=changes), "x1", skip_idle_polls=True)
    for slug in JUDGED:
        assert judge(run.record, slug).verdict is Verdict.PASS, slug
    seen: dict[int, list[tuple[int, int]]] = {}
    for sale in run.record.journal:
        seen.setdefault(sale.nozzle, []).append((sale.sequence, sale.price_fen_per_l))
    prices = {price for sales in seen.values() for _, price in sales}
    assert {760, 801, 790} <= prices
    for sales in seen.values():
        kinds = [price for _, price in sorted(sales)]
        assert len({*kinds}) == 1 + sum(a != b for a, b in pairwise(kinds)), "never back again"


@pytest.mark.requirement(
    "fd-price.scheduled-change-at-its-instant", "fd-price.change-covers-the-product-only"
)
def test_a_price_changes_at_its_instant_on_each_nozzle_of_its_grade_and_on_no_other():
    made = smoke(
        price_changes=[
            {"at_s": at_s, "prices_fen_per_l": {"92": 700 + at_s}} for at_s in range(60, 1_500, 60)
        ]
    )
    listed = made.station.prices_fen_per_l
    run = run_once(made, "x1", skip_idle_polls=True)
    changed = 0
    for delivery in run.record.deliveries:
        told = listed[delivery.grade]
        begun_s = delivery.started_us // 1_000_000
        near = {told}
        if delivery.grade == "92":
            near = {
                700 + at_s if at_s >= 60 else told
                for at_s in (min(s // 60 * 60, 1_440) for s in (begun_s - 1, begun_s))
            }
            changed += told not in near
        assert delivery.price_fen_per_l in near, (delivery.grade, begun_s)
    assert changed > 5
    assert {delivery.grade for delivery in run.record.deliveries} > {"92"}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"faults": [{**cut(10), "dispenser": "D7"}]},
            "names dispenser 'D7', which the station does not have",
        ),
        ({"price_changes": [{"at_s": 5, "prices_fen_per_l": {"98": 900}}]}, "prices grade 98"),
        (
            {"price_changes": [{"at_s": s, "prices_fen_per_l": {"92": 900}} for s in (9, 9)]},
            "in the order of their times",
        ),
        ({"price_changes": [{"at_s": 99_999, "prices_fen_per_l": {"92": 900}}]}, "after the run has ended"),
    ],
)
def test_what_cannot_be_is_told(changes, told):
    with pytest.raises(ValidationError, match=told):
        smoke(**changes)


def test_a_printer_that_lacks_something_for_two_reasons_gets_it_when_the_last_has_gone():
    faults = [
        {"target": "printer", "kind": "paper_out", "at_s": 100, "for_s": 100},
        {"target": "printer", "kind": "paper_out", "at_s": 150, "for_s": 150},
        {"target": "printer", "kind": "power_off", "at_s": 320, "for_s": 60},
        {"target": "printer", "kind": "break_down", "at_s": 330, "for_s": 20},
    ]
    world = VirtualWorld(
        smoke(faults=faults), "1", keys=run_keys(), options=WorldOptions(skip_idle_polls=True)
    )
    seen = {}
    for at_s in (210, 310, 360, 390):
        world.kernel.call_at(at_s * 1_000_000, lambda at_s=at_s: seen.update({at_s: world.printer.causes}))
    world.kernel.run(400_000_000)
    world.close()

    assert [bool(seen[at_s]) for at_s in (210, 310, 360, 390)] == [True, False, True, False], seen
