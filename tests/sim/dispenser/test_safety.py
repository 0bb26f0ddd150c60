"""Emergency stop, breakaway, locks, seals."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sim.dispenser import (
    DeliveryEnded,
    Dispenser,
    FpEvent,
    FpState,
    FuellingPoint,
    PointLocked,
    PointUnlocked,
    VoicePrompt,
    seal_log_is_whole,
)

S = 1_000_000


def start(point: FuellingPoint, now_us: int = 0) -> None:
    assert point.lift(1, now_us)
    assert point.authorise(now_us), point.refusal
    assert point.squeeze(now_us, 30_000)


def one_sale(point: FuellingPoint, now_us: int) -> int:
    start(point, now_us)
    point.hang_up(now_us + 3 * S)
    point.handle_timer(now_us + 4 * S)
    return now_us + 4 * S


@pytest.mark.requirement("fd-safe.emergency-stop-works-alone")
@pytest.mark.parametrize("at_us", [1, S, 5 * S, 9_999_999])
def test_the_emergency_stop_stops_all_flow_within_a_second_with_nobody_else_alive(
    make_point, at_us: int
) -> None:
    points = [make_point(1), make_point(2), make_point(3)]
    dispenser = Dispenser(points)
    start(points[0])
    start(points[1])
    events: list[FpEvent] = []
    for point in points:
        point.listeners.append(events.append)
    dispenser.emergency_stop(at_us)
    dispenser.handle_timer(at_us + 100_000)
    for point in points:
        assert not point.flowing
        assert point.state is FpState.INOPERATIVE
        assert point.lock_reason == "emergency-stop"
    sales = [event.delivery for event in events if isinstance(event, DeliveryEnded)]
    for sale in sales:
        assert sale.flags == ("emergency-stop",)
        assert sale.ended_us - at_us <= 100_000
        assert sale.volume_ml == points[sale.fuelling_point - 1].nozzles[1].tank.drawn_ml
    assert len(sales) == 2
    assert all(point.nozzles[2].tank.drawn_ml == 0 for point in points)


@pytest.mark.requirement("fd-safe.restart-needs-deliberate-reset")
def test_after_an_emergency_stop_only_a_person_with_the_right_restarts(make_point) -> None:
    point = make_point()
    dispenser = Dispenser([point])
    start(point)
    dispenser.emergency_stop(5 * S)
    point.handle_timer(6 * S)
    assert not point.emergency_stop(6 * S)
    for attempt in (
        lambda: point.recover(7 * S),
        lambda: point.open(7 * S),
        lambda: point.authorise(7 * S),
        lambda: point.resume(7 * S),
        lambda: point.unlock(7 * S, "emergency-stop"),
        lambda: point.squeeze(7 * S, 30_000),
        lambda: dispenser.reset_emergency(7 * S, "cashier"),
        lambda: dispenser.reset_emergency(7 * S, ""),
    ):
        assert not attempt()
        assert point.state is FpState.INOPERATIVE
    dispenser.cut_power(8 * S)
    dispenser.restore_power(9 * S)
    assert point.state is FpState.INOPERATIVE
    point.hang_up(10 * S)
    assert dispenser.reset_emergency(11 * S, "manager")
    assert point.state is FpState.IDLE
    assert not point.locks
    one_sale(point, 12 * S)
    assert [sale.flags for sale in point.journal] == [("emergency-stop",), ()]


def test_a_reset_waits_until_the_valve_is_shut(make_point) -> None:
    point = make_point()
    start(point)
    point.emergency_stop(5 * S)
    assert not point.reset_emergency(5 * S + 1, "manager")
    point.hang_up(5 * S + 2)
    assert point.state is FpState.INOPERATIVE
    assert point.journal[-1].flags == ("emergency-stop",)
    assert point.reset_emergency(6 * S, "manager")


@pytest.mark.parametrize("reach", ["idle", "closed", "authorised", "started", "suspended"])
def test_an_emergency_stop_reaches_every_state(make_point, reach: str) -> None:
    point = make_point()
    if reach == "closed":
        point.close(0)
    elif reach == "authorised":
        point.authorise(0)
    elif reach != "idle":
        point.lift(1, 0)
        point.authorise(0)
        if reach == "suspended":
            point.squeeze(0, 30_000)
            point.suspend(3 * S)
            point.handle_timer(4 * S)
    assert point.emergency_stop(5 * S)
    assert point.state is FpState.INOPERATIVE
    assert not point.allowed_nozzles
    assert [sale.flags for sale in point.journal] == ([("emergency-stop",)] if reach == "suspended" else [])


@pytest.mark.requirement("fd-safe.nozzle-drop-stops-flow")
def test_a_hose_that_is_torn_off_stops_the_flow(make_point) -> None:
    point, other = make_point(1), make_point(2)
    start(point)
    start(other)
    assert point.break_away(5 * S)
    point.handle_timer(6 * S)
    assert not point.flowing
    assert other.flowing
    assert point.journal[-1].flags == ("breakaway",)
    assert point.reset_emergency(7 * S, "maintainer")


@pytest.mark.requirement("fd-safe.lock-blocks-and-explains")
def test_a_lock_refuses_with_its_reason_and_lets_a_running_sale_end(make_point) -> None:
    point = make_point()
    told: list[FpEvent] = []
    point.listeners.append(
        lambda event: told.append(event) if isinstance(event, PointLocked | PointUnlocked) else None
    )
    start(point)
    assert point.lock(S)
    assert not point.lock(S)
    assert point.flowing
    point.hang_up(5 * S)
    assert len(point.journal) == 1
    point.lift(1, 6 * S)
    assert point.state is FpState.CALLING
    assert not point.authorise(6 * S)
    assert point.refusal == "locked: self-service"
    assert not point.unlock(7 * S, "tampering")
    assert point.unlock(7 * S)
    assert point.authorise(7 * S)
    assert point.refusal == ""
    assert told == [PointLocked(1, S, "self-service"), PointUnlocked(1, 7 * S, "self-service")]


@pytest.mark.requirement("fd-safe.tampering-locks-the-pump")
@pytest.mark.parametrize("off_ppm", [7_000, -7_000])
def test_the_fifth_abnormal_delivery_in_a_row_locks(make_point, off_ppm: int) -> None:
    point = make_point()
    point.calibrate(0, 1, off_ppm)
    now_us = 0
    for _ in range(5):
        assert not point.locks
        now_us = one_sale(point, now_us)
    assert point.lock_reason == "tampering"
    assert not point.authorise(now_us)
    assert not point.unlock(now_us, "tampering")
    assert not point.initialise(now_us, "manager")
    point.calibrate(now_us, 1, 0)
    assert point.initialise(now_us, "regulator")
    one_sale(point, now_us)


def test_abnormal_deliveries_count_in_a_row_and_small_drifts_do_not(make_point) -> None:
    point = make_point()
    now_us = 0
    for off_ppm in (7_000,) * 4 + (0,) + (7_000,) * 4 + (6_000,) * 3:
        point.calibrate(now_us, 1, off_ppm)
        now_us = one_sale(point, now_us)
    assert not point.locks


@pytest.mark.requirement("fd-safe.tampering-locks-the-pump")
def test_a_parameter_changed_behind_the_seal_locks_at_once(make_point) -> None:
    point = make_point()
    assert not point.change_parameter(S, "k-factor", 1_007)
    assert point.lock_reason == "tampering"
    other = make_point(2)
    other.open_seal(S, "regulator 53-0017")
    assert other.change_parameter(2 * S, "k-factor", 1_001)
    other.calibrate(3 * S, 1, 9_000)
    other.close_seal(4 * S, "regulator 53-0017")
    now_us = 5 * S
    for _ in range(6):
        now_us = one_sale(other, now_us)
    assert not other.locks


@pytest.mark.requirement("fd-safe.swapped-parts-lock-the-pump")
@pytest.mark.parametrize("part", ["main-board", "encoder", "meter"])
def test_a_swapped_part_locks_after_three_deliveries(make_point, part: str) -> None:
    point = make_point()
    point.swap_part(0, part, "X-999")
    now_us = 0
    for _ in range(3):
        now_us = one_sale(point, now_us)
    assert point.lock_reason == "swapped-parts"
    assert not point.authorise(now_us)
    assert point.initialise(now_us, "regulator")
    assert point.serials[part] == "X-999"
    for _ in range(4):
        now_us = one_sale(point, now_us)
    with pytest.raises(ValueError, match="main-board, encoder, meter"):
        point.swap_part(now_us, "nozzle", "1")


@pytest.mark.requirement("fd-safe.seal-events-are-chained")
def test_the_seal_log_cannot_be_changed_unnoticed(make_point) -> None:
    point = make_point()
    point.open_seal(S, "someone")
    point.calibrate(2 * S, 1, 1_000)
    point.close_seal(3 * S, "someone")
    point.change_parameter(4 * S, "k-factor", 1_007)
    log = point.seal_log
    assert [(entry.counter, entry.what) for entry in log] == [
        (1, "opened"),
        (2, "calibrated"),
        (3, "closed"),
        (4, "parameter"),
        (5, "locked"),
    ]
    assert seal_log_is_whole(log)
    for index in range(len(log)):
        assert not seal_log_is_whole((*log[:index], replace(log[index], detail="nothing"), *log[index + 1 :]))
        # Only the newest lines may be missing unnoticed by the chain; the counter outside tells those.
        assert index == len(log) - 1 or not seal_log_is_whole((*log[:index], *log[index + 1 :]))


@pytest.mark.requirement("fd-safe.self-service-stop-and-voice")
def test_a_self_service_dispenser_says_the_product_and_can_be_stopped_by_whoever_stands_there(
    make_point,
) -> None:
    point = make_point(self_service=True)
    dispenser = Dispenser([point])
    events: list[FpEvent] = []
    point.listeners.append(events.append)

    def said() -> list[str]:
        told = [event.text for event in events if isinstance(event, VoicePrompt)]
        events.clear()
        return told

    assert point.lift(2, S)  # no controller, no authorisation, no network
    assert not point.lift(1, S), "one is out already"
    assert said() == ["voice:95#"], "what is in the hand, once, before any fuel"
    point.hang_up(2 * S)
    start(point, 3 * S)
    assert said() == ["voice:92#"]
    dispenser.emergency_stop(5 * S)
    dispenser.handle_timer(5 * S + 100_000)
    assert not point.flowing
    assert point.state is FpState.INOPERATIVE
    assert point.journal[-1].flags == ("emergency-stop",)
    dispenser.cut_power(6 * S)
    point.hang_up(6 * S)
    events.clear()
    point.lift(1, 7 * S)
    assert said() == [], "a loudspeaker without mains is silent"


def test_a_dispenser_with_an_attendant_says_nothing(make_point) -> None:
    point = make_point()
    events: list[FpEvent] = []
    point.listeners.append(events.append)
    start(point)
    assert not any(isinstance(event, VoicePrompt) for event in events)
