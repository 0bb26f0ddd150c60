from __future__ import annotations

from typing import Any

import pytest

from scenarios.timings import CarLog, floor_figures, live_observations, phone_latencies

S = 1_000_000


def log_of(*events: tuple[int, str, dict[str, Any]]) -> CarLog:
    log = CarLog()
    for t_us, kind, fields in events:
        log({"t_us": t_us, "kind": kind, "entity": "car/1", **fields})
    return log


VISIT = (
    (0, "car.arrived", {"pay_by": "card", "invoice": "none", "prepaid": False}),
    (0, "car.queued", {"queue": 1}),
    (10 * S, "car.position", {"fuelling_point": 3, "nozzle": 5, "queue": 0}),
    (50 * S, "car.hung_up", {"sequence": 9, "volume_ml": 1, "amount_fen": 1}),
    (60 * S, "car.pay_started", {"where": "kiosk"}),
    (90 * S, "car.pay_ended", {"ok": True}),
    (110 * S, "car.left", {"outcome": "paid"}),
)


def test_times_of_a_visit() -> None:
    log = log_of(*VISIT, (5, "http", {}))
    car = log.cars[1]
    assert (car.in_position_us, car.at_station_us, car.paying_us) == (100 * S, 110 * S, 30 * S)
    assert (car.fuelling_point, car.nozzle, car.sequence, car.outcome) == (3, 5, 9, "paid")
    figures = floor_figures(log, until_us=3_600 * S)
    assert figures.served == 1
    assert figures.paying_share == pytest.approx(0.3)
    assert figures.longest_queue == 1


def test_a_warm_up_is_cut_off_and_an_empty_floor_has_no_means() -> None:
    figures = floor_figures(log_of(*VISIT), from_us=200 * S, until_us=3_600 * S)
    assert (figures.served, figures.arrived, figures.position_us, figures.paying_share) == (0, 0, None, None)
    with pytest.raises(ValueError, match="empty"):
        floor_figures(CarLog(), from_us=5, until_us=5)


@pytest.mark.requirement("perf.human-time-apart")
def test_phone_latencies_take_human_time_out() -> None:
    log = log_of(
        (1 * S, "phone.live", {"age_us": 250}),
        (10 * S, "phone.pay_tapped", {}),
        (10 * S + 100, "phone.sheet", {}),
        (18 * S, "phone.confirmed", {}),
        (18 * S + 150, "phone.paid", {}),
        (18 * S + 250, "phone.invoice", {"state": "requested"}),
        (18 * S + 350, "phone.invoice", {"state": "issuing"}),
        (19 * S, "phone.invoice", {"state": "issued"}),
    )
    seen = phone_latencies(log.phone)
    assert seen.payment_end_to_end == (250,)
    assert seen.payment_human == (8 * S - 100,)
    assert seen.invoice_answered == (200,)
    assert seen.invoice_issued == (1 * S - 150,)
    assert seen.live_amount == (250,)


def test_live_observations_leave_out_what_was_on_the_pump_before() -> None:
    log = log_of(
        *VISIT[:3],
        (20 * S, "phone.live", {"age_us": 0, "volume_ml": 99_990, "amount_fen": 70_000}),
        (21 * S, "car.authorised", {}),
        (21 * S + 10, "phone.live", {"age_us": 500, "volume_ml": 99_990, "amount_fen": 70_000}),
        (30 * S, "phone.live", {"age_us": 500, "volume_ml": 100, "amount_fen": 76}),
        (50 * S, "car.hung_up", {"sequence": 9, "volume_ml": 200, "amount_fen": 152}),
        (51 * S, "phone.state", {"state": "PAYABLE", "volume_ml": 200, "amount_fen": 152}),
        (60 * S, "phone.state", {"state": "PAID", "volume_ml": 200, "amount_fen": 152}),
    )
    seen = live_observations(log, "KM01")
    assert [(o.volume_ml, o.amount_fen) for o in seen] == [(100, 76), (200, 152)]
    assert {o.key for o in seen} == {("KM01", 5, 9)}
