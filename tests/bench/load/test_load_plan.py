from __future__ import annotations

import json

import pytest

from bench.load import LoadPlan, PlanError
from bench.load.plan import NOZZLES, station_id
from scenarios.loadgen.schedule import ArrivalSchedule, draw_schedule


def make_plan(**changes):
    fields = {
        "schedule": draw_schedule(7, per_s=40, duration_s=10, stations=3),
        "run": "abc123",
        "host": "http://127.0.0.1:1",
        "payer_url": "http://127.0.0.1:2",
        "stations": 3,
        "workers": 3,
        "first_sequence": 1000,
    }
    return LoadPlan(**{**fields, **changes})


def test_the_workers_shares_are_the_whole_plan_once():
    plan = make_plan()
    shares = [list(plan.payments(worker)) for worker in range(plan.workers)]
    assert all(shares)
    together = sorted((payment for share in shares for payment in share), key=lambda payment: payment.number)
    assert together == list(plan.payments())
    assert [payment.number for payment in together] == list(range(len(plan.schedule.arrivals)))


def test_no_two_payments_share_a_nozzle_and_sequence_and_sequences_only_grow():
    plan = make_plan(schedule=draw_schedule(7, per_s=100, duration_s=10, stations=1), stations=1)
    payments = list(plan.payments())
    assert len({(p.station, p.nozzle, p.sequence) for p in payments}) == len(payments) > NOZZLES
    for nozzle in range(1, NOZZLES + 1):
        sequences = [p.sequence for p in payments if p.nozzle == nozzle]
        assert sequences == sorted(sequences)
        assert min(sequences) >= 1000


def test_a_plan_comes_back_from_its_file_as_it_went(tmp_path):
    plan = make_plan()
    plan.write(tmp_path / "plan.json")
    assert LoadPlan.read(tmp_path / "plan.json") == plan


def test_the_station_key_has_no_place_in_the_file(tmp_path):
    make_plan().write(tmp_path / "plan.json")
    assert "key" not in " ".join(json.loads((tmp_path / "plan.json").read_text()))


def test_arrivals_that_were_tampered_with_are_refused(tmp_path):
    path = tmp_path / "plan.json"
    make_plan().write(path)
    plain = json.loads(path.read_text())
    plain["arrivals"][3][0] += 1
    path.write_text(json.dumps(plain))
    with pytest.raises(PlanError, match="not the ones that were drawn"):
        LoadPlan.read(path)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"arrivals": [[1]]}', '{"arrivals": [], "duration_us": 1}']
)
def test_what_is_no_plan_is_said_to_be_none(tmp_path, text):
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(PlanError, match="is not a load plan"):
        LoadPlan.read(tmp_path / "plan.json")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("stations", 0),
        ("workers", 0),
        ("max_in_flight", 0),
        ("lead_us", -1),
        ("host", "127.0.0.1"),
        ("payer_url", "ftp://x"),
        ("run", "a b"),
    ],
)
def test_senseless_fields_are_named(field, value):
    with pytest.raises(PlanError, match=field):
        make_plan(**{field: value})


def test_an_empty_schedule_is_refused():
    with pytest.raises(PlanError, match="no arrivals"):
        make_plan(schedule=ArrivalSchedule((), 1_000_000))


def test_station_ids():
    assert station_id(0) == "LOAD0001"
