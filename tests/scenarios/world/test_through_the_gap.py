"""Both instances of the backend die in the middle of a rush: the pumps go on, and no phone takes an old figure for a new one."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from scenarios.loader import load
from scenarios.model import Scenario
from scenarios.oracles import judge
from scenarios.record import Delivery
from scenarios.runner.virtual import VirtualRun, run_once
from scenarios.verdicts import Verdict

S = 1_000_000
DEAD_S, BACK_S = 85, 105


def rush(*faults: dict[str, Any]) -> Scenario:
    """Every position of the peak's station taken at once, all of them on the phone; they order first, so fuel waits for nobody."""
    told = load("kunming-peak").scenario.model_dump(mode="json")
    told["demand"] |= {
        "duration_s": 60,
        "adoption": 1.0,
        "phone_mix": {"order_first": 1.0},
        "rushes": [{"at_s": 0, "cars": 24, "over_s": 20}],
    }
    return Scenario.model_validate({**told, "settle_s": 120, "replications": 0, "faults": list(faults)})


def played(scenario: Scenario) -> tuple[VirtualRun, list[dict[str, Any]]]:
    """The run, and what phones showed."""
    events = io.StringIO()
    run = run_once(scenario, "gap", skip_idle_polls=True, events=events)
    told = [json.loads(line) for line in events.getvalue().splitlines()]
    return run, [event for event in told if event["kind"].startswith(("phone.", "car.position"))]


@pytest.fixture(scope="module")
def undisturbed() -> VirtualRun:
    return played(rush())[0]


@pytest.fixture(scope="module")
def gap() -> tuple[VirtualRun, list[dict[str, Any]]]:
    window = {"target": "backend", "at_s": DEAD_S, "for_s": BACK_S - DEAD_S}
    return played(rush({**window, "instance": "a"}, {**window, "instance": "b"}))


def running_at(run: VirtualRun, at_us: int) -> dict[tuple[int, int], Delivery]:
    return {(d.nozzle, d.sequence): d for d in run.record.deliveries if d.started_us < at_us < d.ended_us}


@pytest.mark.requirement("ha.pumps-deliver-through-the-gap")
def test_no_pump_stops_and_every_sale_arrives_once(
    undisturbed: VirtualRun, gap: tuple[VirtualRun, list[dict[str, Any]]]
) -> None:
    run, _ = gap
    assert all(fault.landed for fault in run.record.faults)
    running = running_at(run, DEAD_S * S)
    assert len(running) >= 10, len(running)
    # To the microsecond and the millilitre what they would have been.
    assert running == running_at(undisturbed, DEAD_S * S)
    ended = [d for d in running.values() if d.ended_us < BACK_S * S]
    assert len(ended) >= 3, "nothing was there to be kept for later"
    ledger = [(sale.nozzle, sale.sequence) for sale in run.record.ledger]
    assert len(ledger) == len(set(ledger))
    assert set(running) <= set(ledger)
    for slug in ("sale.exactly-once", "liveness.settled"):
        assert judge(run.record, slug).verdict is Verdict.PASS, slug


@pytest.mark.requirement("ha.pumps-deliver-through-the-gap")
def test_phones_mark_their_figures_as_old_and_show_no_wrong_ones(
    gap: tuple[VirtualRun, list[dict[str, Any]]],
) -> None:
    run, events = gap
    running = running_at(run, DEAD_S * S)
    places: dict[str, int] = {}
    shown: dict[str, tuple[int, int]] = {}
    fuelling: set[str] = set()
    marks: dict[str, list[tuple[int, str]]] = {}
    judged_after = 0
    for event in events:
        car, kind = event["entity"], event["kind"]
        if kind == "car.position":
            places[car] = event["nozzle"]
        elif kind == "phone.state" and event["t_us"] < DEAD_S * S:
            fuelling.discard(car)
            if event["state"] == "FUELLING":
                fuelling.add(car)
        elif kind in {"phone.stale", "phone.fresh"}:
            marks.setdefault(car, []).append((event["t_us"], kind))
        elif kind == "phone.live":
            marked = marks.get(car, [(0, "phone.fresh")])[-1][1]
            assert marked == "phone.fresh", "a new figure under the mark of an old one"
            volume_ml, amount_fen = event["volume_ml"], event["amount_fen"]
            least_ml, least_fen = shown.get(event["order_id"], (0, 0))
            assert volume_ml >= least_ml, "back to what was before the gap"
            assert amount_fen >= least_fen, "back to what was before the gap"
            shown[event["order_id"]] = volume_ml, amount_fen
            mine = [d for (nozzle, _), d in running.items() if nozzle == places[car]]
            for delivery in mine:
                if delivery.started_us < event["t_us"] < delivery.ended_us:
                    assert volume_ml <= delivery.volume_ml
                    assert amount_fen <= delivery.amount_fen
                    # Another step of the meter, another half fen: the price holds for each figure.
                    assert abs(volume_ml * delivery.price_fen_per_l - amount_fen * 1_000) <= 500
                    judged_after += event["t_us"] > BACK_S * S
    assert judged_after >= 50
    assert len(fuelling) >= 10
    for car in fuelling:
        (stale_us, stale), (fresh_us, fresh), *_ = marks[car]
        assert (stale, fresh) == ("phone.stale", "phone.fresh")
        assert DEAD_S * S <= stale_us < DEAD_S * S + S, "the screen pretends for longer than a second"
        assert fresh_us >= BACK_S * S
    assert not [
        event for event in events if event["kind"] == "phone.live" and DEAD_S + 1 < event["t_us"] / S < BACK_S
    ]
