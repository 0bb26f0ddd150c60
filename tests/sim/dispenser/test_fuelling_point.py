from __future__ import annotations

import pytest

from sim.dispenser import (
    AuthorisationDropped,
    DeliveryEnded,
    FlowStarted,
    FlowStopped,
    FpState,
    NozzleLifted,
    NozzleReturned,
    Reading,
    StateChanged,
    amount_fen,
)

S = 1_000_000
FLOW = 33_000


def started(point, now_us: int = 0, **authorisation) -> None:
    point.lift(1, now_us)
    assert point.authorise(now_us, **authorisation)
    assert point.squeeze(now_us, FLOW)


def test_a_full_tank_sale_from_lift_to_record(make_point) -> None:
    point = make_point()
    events: list = []
    point.listeners.append(events.append)
    point.lift(1, 1 * S)
    point.set_tank_capacity(32_415)
    assert point.authorise(2 * S, allowed_nozzles={1})
    assert point.squeeze(3 * S, FLOW)
    point.handle_timer(120 * S)
    assert not point.flowing
    assert point.state is FpState.FUELLING
    point.hang_up(121 * S)
    delivery = point.last_delivery
    assert delivery is not None
    assert (delivery.volume_ml, delivery.amount_fen) == (32_420, amount_fen(32_420, 760)) == (32_420, 24_639)
    assert (delivery.sequence, delivery.nozzle_id, delivery.grade, delivery.price_fen_per_l) == (
        1,
        11,
        "92",
        760,
    )
    assert (delivery.started_us, delivery.ended_us, delivery.flags) == (2 * S, 121 * S, ())
    assert (delivery.end_total_volume_ml, delivery.end_total_amount_fen) == (32_420, 24_639)
    assert point.nozzles[1].tank.drawn_ml == 32_420
    assert point.nozzles[2].tank.drawn_ml == 0
    # 100 ml at 8 L/min, the rest at 33 L/min, counted from the squeeze.
    stopped_us = 3 * S + 750_000 + -(-32_320 * 60_000_000 // 33_000 // 1000) * 1000
    kinds = [(type(event), event.at_us) for event in events]
    assert [kind for kind, _ in kinds] == [
        NozzleLifted,
        StateChanged,
        StateChanged,
        StateChanged,
        FlowStarted,
        StateChanged,
        FlowStopped,
        NozzleReturned,
        StateChanged,
        DeliveryEnded,
    ]
    assert abs(kinds[6][1] - stopped_us) <= 1000
    states = [event.new for event in events if isinstance(event, StateChanged)]
    assert states == [FpState.CALLING, FpState.AUTHORISED, FpState.STARTED, FpState.FUELLING, FpState.IDLE]


def test_the_flow_curve_slow_main_slow(make_point) -> None:
    point = make_point()
    started(point, preset_ml=10_000)
    # Slow start: 100 ml at 8 L/min take 0.75 s.
    assert point.reading(750_000 - 1).volume_ml == 90
    assert point.reading(750_000).volume_ml == 100
    point.handle_timer(750_000)
    # Main flow: 550 ml in the next second at 33 L/min.
    assert point.reading(1_750_000).volume_ml == 650
    # The last 500 ml at 6 L/min: 5 s. 9.4 L at 33 L/min = 17.0909 s.
    slow_us = 750_000 - (-9_400 * 60_000_000 // FLOW)
    point.handle_timer(slow_us)
    assert point.reading(slow_us).volume_ml == 9_500
    assert point.reading(slow_us + 1 * S).volume_ml == 9_600
    point.handle_timer(slow_us + 5 * S)
    assert point.last_delivery is not None
    assert (point.last_delivery.volume_ml, point.last_delivery.flags) == (10_000, ("preset",))
    # The microsecond in which the valve changed over still ran at 33 L/min: that is worth up to 5 µs.
    assert slow_us + 5 * S - 5 <= point.last_delivery.ended_us <= slow_us + 5 * S
    assert point.state is FpState.IDLE
    assert point.nozzle_out == 1


def test_the_result_does_not_depend_on_how_often_the_timers_are_served(make_point) -> None:
    def run(ticks: int) -> tuple:
        point = make_point()
        events: list = []
        point.listeners.append(events.append)
        started(point, 7, preset_fen=10_000)
        for tick in range(1, ticks + 1):
            point.handle_timer(7 + 40 * S * tick // ticks)
        point.hang_up(50 * S)
        return events, point.last_delivery, point.nozzles[1].tank.drawn_ml

    assert run(1) == run(7) == run(4001)


@pytest.mark.requirement("fd-met.live-values-grow-and-end-at-sale")
def test_live_values_only_grow_and_end_at_the_sale(make_point) -> None:
    point = make_point()
    started(point, preset_fen=20_000)
    last = point.reading(0)
    for now_us in range(0, 60 * S, 250_000):
        point.handle_timer(now_us)
        live = point.reading(now_us)
        assert live.volume_ml >= last.volume_ml
        assert live.amount_fen == amount_fen(live.volume_ml, 760) >= last.amount_fen
        last = live
    assert point.last_delivery is not None
    assert (last.volume_ml, last.amount_fen) == (
        point.last_delivery.volume_ml,
        point.last_delivery.amount_fen,
    )


@pytest.mark.requirement("fd-state.return-before-flow-makes-no-sale")
@pytest.mark.parametrize("squeezed_us", [None, 10_000])
def test_a_nozzle_put_back_before_any_pulse_makes_no_sale_and_drops_the_authorisation(
    make_point, squeezed_us
) -> None:
    point = make_point()
    events: list = []
    point.listeners.append(events.append)
    point.lift(1, 0)
    point.authorise(0)
    if squeezed_us is not None:
        assert point.squeeze(0, FLOW)
        point.handle_timer(squeezed_us)
    point.hang_up(20_000)
    assert point.state is FpState.IDLE
    assert not point.journal
    assert point.last_sequence == 0
    assert not point.allowed_nozzles
    assert [event.reason for event in events if isinstance(event, AuthorisationDropped)] == ["hang-up"]
    point.lift(1, S)
    assert point.state is FpState.CALLING
    assert not point.squeeze(S, FLOW)


def test_a_journalling_make_records_the_zero_sale_flagged(make_point) -> None:
    point = make_point(zero_sales="journal")
    point.lift(1, 0)
    point.authorise(0)
    point.hang_up(S)
    assert point.last_delivery is not None
    assert (point.last_delivery.volume_ml, point.last_delivery.flags) == (0, ("zero",))
    assert point.nozzles[1].count == 0


@pytest.mark.requirement("fd-state.fast-nozzle-cycle-keeps-deliveries-apart")
@pytest.mark.parametrize("gap_us", [0, 1, 20_000, 500_000])
def test_a_fast_nozzle_never_merges_two_deliveries(make_point, gap_us: int) -> None:
    point = make_point()
    started(point)
    point.handle_timer(10 * S)
    point.hang_up(10 * S)
    point.lift(1, 10 * S + gap_us)
    assert point.state is FpState.CALLING
    assert not point.squeeze(10 * S + gap_us, FLOW)
    point.settle(20 * S)
    assert len(point.journal) == 1
    assert point.authorise(20 * S)
    point.handle_timer(25 * S)
    point.hang_up(25 * S)
    first, second = point.journal
    assert (first.sequence, second.sequence) == (1, 2)
    assert second.started_us == 20 * S
    assert second.end_total_volume_ml == first.volume_ml + second.volume_ml == point.nozzles[1].tank.drawn_ml


@pytest.mark.requirement("fd-state.stop-closes-valve-in-time", "fd-state.no-refuelling-after-stop")
def test_a_stop_takes_the_valves_time_and_needs_a_new_authorisation(make_point) -> None:
    point = make_point()
    started(point)
    point.handle_timer(10 * S)
    at_stop = point.reading(10 * S)
    assert point.terminate(10 * S)
    assert point.terminate(10 * S)
    assert point.state is FpState.FUELLING
    assert point.next_timer() == 10 * S + 80_000
    point.handle_timer(11 * S)
    sale = point.last_delivery
    assert sale is not None
    assert (sale.ended_us, sale.flags) == (10 * S + 80_000, ("terminated",))
    assert at_stop.volume_ml < sale.volume_ml <= at_stop.volume_ml + 60
    assert point.state is FpState.IDLE
    assert not point.squeeze(11 * S, FLOW)
    point.settle(60 * S)
    assert point.nozzles[1].tank.drawn_ml == sale.volume_ml
    assert point.authorise(60 * S)
    assert point.flowing
    assert point.reading(60 * S) == Reading(0, 0, 760)


@pytest.mark.requirement("fd-state.suspend-resume-is-one-sale")
def test_suspended_and_resumed_it_stays_one_sale_with_its_preset(make_point) -> None:
    point = make_point()
    started(point, preset_ml=8_000)
    now_us = 0
    for _ in range(8):
        now_us += 2 * S
        assert point.suspend(now_us)
        now_us += S
        point.handle_timer(now_us)
        assert point.state is FpState.SUSPENDED_FUELLING
        still = point.reading(now_us)
        now_us += 5 * S
        assert point.reading(now_us) == still
        assert point.resume(now_us)
    point.handle_timer(now_us + 60 * S)
    assert [sale.volume_ml for sale in point.journal] == [8_000]


@pytest.mark.requirement("fd-state.close-never-truncates-a-sale")
def test_a_close_during_a_sale_waits_for_its_end(make_point) -> None:
    point = make_point()
    started(point)
    point.handle_timer(5 * S)
    assert point.close(5 * S)
    assert point.flowing
    point.hang_up(9 * S)
    assert point.state is FpState.CLOSED
    assert point.last_delivery is not None
    assert point.last_delivery.volume_ml > 4_000
    point.lift(1, 10 * S)
    assert point.state is FpState.CLOSED
    assert point.open(10 * S)
    assert point.state is FpState.CALLING


@pytest.mark.requirement("fd-state.no-flow-timeout", "fd-auth.authorisation-expires")
def test_time_outs_end_an_unused_authorisation_and_a_delivery_without_flow(make_point) -> None:
    point = make_point(authorisation_ttl_us=60 * S, no_flow_timeout_us=30 * S)
    point.authorise(0)
    point.handle_timer(60 * S - 1)
    assert point.state is FpState.AUTHORISED
    point.handle_timer(60 * S)
    assert point.state is FpState.IDLE
    point.lift(1, 61 * S)
    assert not point.squeeze(61 * S, FLOW)
    point.authorise(62 * S)
    point.handle_timer(70 * S)
    point.release(70 * S)
    point.handle_timer(100 * S - 1)
    assert point.state is FpState.FUELLING
    point.handle_timer(100 * S)
    assert point.last_delivery is not None
    assert (point.last_delivery.ended_us, point.last_delivery.flags) == (100 * S, ("no-flow-timeout",))


@pytest.mark.requirement("fd-auth.one-live-authorisation")
def test_a_second_authorisation_is_refused_and_leaves_the_first_alone(make_point) -> None:
    point = make_point()
    assert point.authorise(0, allowed_nozzles={1}, preset_ml=5_000)
    assert not point.authorise(0, allowed_nozzles={2})
    assert point.allowed_nozzles == {1}
    point.lift(1, S)
    point.squeeze(S, FLOW)
    point.handle_timer(60 * S)
    assert point.last_delivery is not None
    assert point.last_delivery.volume_ml == 5_000


@pytest.mark.requirement("fd-auth.wrong-product-is-refused")
def test_the_wrong_nozzle_gets_no_fuel(make_point) -> None:
    point = make_point()
    point.lift(2, 0)
    assert not point.authorise(0, allowed_nozzles={1})
    assert point.state is FpState.CALLING
    point.hang_up(S)
    assert point.authorise(S, allowed_nozzles={1})
    point.lift(2, 2 * S)
    assert not point.squeeze(2 * S, FLOW)
    point.hang_up(3 * S)
    assert not point.allowed_nozzles


@pytest.mark.requirement("fd-multi.one-nozzle-at-a-time")
def test_a_second_nozzle_of_the_same_point_stays_dead(make_point) -> None:
    point = make_point()
    started(point)
    assert not point.lift(2, S)
    assert point.nozzle_out == 1


@pytest.mark.requirement("fd-price.price-holds-for-a-delivery")
def test_a_delivery_keeps_its_price(make_point) -> None:
    point = make_point()
    assert point.authorise(0)
    assert not point.set_price(0, 1, 500)
    point.lift(1, 0)
    point.squeeze(0, FLOW)
    point.handle_timer(5 * S)
    assert not point.set_price(5 * S, 1, 500)
    assert not point.set_price(5 * S, 2, 500)
    point.hang_up(6 * S)
    assert point.last_delivery is not None
    assert point.last_delivery.price_fen_per_l == 760
    assert point.set_price(6 * S, 1, 500)
    assert point.reading(6 * S).price_fen_per_l == 760


@pytest.mark.parametrize("price", [0, -1, 10_000])
def test_a_price_out_of_bounds_is_refused(make_point, price: int) -> None:
    point = make_point()
    assert not point.set_price(0, 1, price)
    assert point.nozzles[1].price_fen_per_l == 760
    assert not point.set_price(0, 9, 760)


def test_a_nozzle_without_a_price_cannot_be_authorised(make_point) -> None:
    point = make_point(prices=(0, 812))
    point.lift(1, 0)
    assert not point.authorise(0)
    point.hang_up(0)
    assert point.authorise(0)
    assert point.allowed_nozzles == {2}


@pytest.mark.requirement("fd-auth.full-tank-top-ups")
def test_after_the_shut_off_a_top_up_belongs_to_the_same_sale(make_point) -> None:
    point = make_point()
    started(point)
    point.set_tank_capacity(20_000)
    point.handle_timer(60 * S)
    assert not point.squeeze(60 * S, 9_000)
    point.set_tank_capacity(20_300)
    assert point.squeeze(61 * S, 9_000)
    point.handle_timer(70 * S)
    point.hang_up(70 * S)
    assert [sale.volume_ml for sale in point.journal] == [20_300]


@pytest.mark.requirement(
    "fd-pwr.no-resumption-after-long-outage",
    "fd-pwr.interrupted-sale-uploads-once-flagged",
    "fd-pwr.totals-survive-power-cycles",
)
def test_a_power_cut_ends_the_sale_flagged_and_nothing_continues(make_point) -> None:
    point = make_point()
    started(point)
    assert point.fail(10 * S, "power-failure")
    assert point.state is FpState.INOPERATIVE
    sale = point.last_delivery
    assert sale is not None
    assert sale.flags == ("power-failure",)
    assert sale.volume_ml == point.nozzles[1].tank.drawn_ml > 4_000
    assert not point.fail(11 * S)
    assert point.recover(15 * S)
    assert point.state is FpState.CALLING
    assert not point.flowing
    assert point.reading(15 * S).volume_ml == sale.volume_ml
    assert not point.recover(15 * S)


@pytest.mark.requirement("fd-auth.cancel-clears-presets")
def test_a_cancelled_authorisation_takes_its_preset_and_nozzle_limit_along(make_point) -> None:
    point = make_point()
    point.authorise(0, allowed_nozzles={2}, preset_fen=1_000)
    assert point.terminate(S)
    point.lift(1, 2 * S)
    assert point.authorise(2 * S)
    point.squeeze(2 * S, FLOW)
    point.handle_timer(60 * S)
    point.hang_up(60 * S)
    assert point.last_delivery is not None
    assert point.last_delivery.volume_ml > 30_000


@pytest.mark.requirement("fd-pwr.sequence-is-gap-free-and-wraps")
def test_sequence_numbers_have_no_gap_and_wrap_to_one(make_point) -> None:
    point = make_point(sequence_max=3)
    for number in range(5):
        started(point, number * 10 * S)
        point.hang_up(number * 10 * S + 5 * S)
    assert [sale.sequence for sale in point.journal] == [1, 2, 3, 1, 2]


@pytest.mark.requirement("fd-pwr.offline-buffer-never-overwrites")
def test_a_full_protected_journal_refuses_to_sell_until_a_record_is_taken_over(make_point) -> None:
    point = make_point(journal_limit=2, journal_full="refuse")
    for number in range(2):
        started(point, number * 10 * S)
        point.hang_up(number * 10 * S + 5 * S)
    assert not point.authorise(30 * S)
    assert not point.acknowledge(7)
    assert point.acknowledge(1)
    assert point.authorise(30 * S)


def test_time_that_goes_back_is_told(make_point) -> None:
    point = make_point()
    point.lift(1, 100)
    with pytest.raises(ValueError, match="time went back from 100 to 99"):
        point.hang_up(99)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda point: point.lift(3, 0), r"has no nozzle 3, only \[1, 2\]"),
        (lambda point: point.squeeze(0, 0), "positive flow"),
        (lambda point: point.set_tank_capacity(-1), "cannot take -1 ml"),
        (lambda point: point.authorise(0, preset_ml=1, preset_fen=1), "not both"),
    ],
)
def test_nonsense_from_the_caller_is_named(make_point, call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(make_point())


def test_a_listener_may_give_commands(make_point) -> None:
    point = make_point()
    seen: list = []

    def listener(event) -> None:
        seen.append(event)
        if isinstance(event, NozzleLifted):
            point.authorise(event.at_us, allowed_nozzles={event.logical_nozzle})

    point.listeners.append(listener)
    point.lift(1, 5)
    assert point.state is FpState.STARTED
    assert [event.new for event in seen[1:]] == [FpState.CALLING, FpState.AUTHORISED, FpState.STARTED]


@pytest.mark.requirement("fd-state.lift-races-authorise-cleanly", "fd-state.lift-without-authorisation-calls")
@pytest.mark.parametrize("allowed", [(1,), (2,)], ids=["allowed", "not allowed"])
@pytest.mark.parametrize("offset_ms", range(-300, 301, 20))
def test_a_lift_around_an_authorisation_ends_started_or_calling(make_point, offset_ms: int, allowed) -> None:
    point = make_point()
    acts = [
        (1_000_000, lambda now: point.authorise(now, allowed_nozzles=allowed)),
        (1_000_000 + offset_ms * 1_000, lambda now: point.lift(1, now)),
    ]
    answers = [act(at_us) for at_us, act in sorted(acts, key=lambda one: one[0])]
    if allowed == (1,):
        assert all(answers)
        assert point.state is FpState.STARTED
    elif offset_ms < 0:
        assert answers == [True, False]
        assert point.state is FpState.CALLING
    else:
        # Authorised for the other nozzle: this one stays shut.
        assert point.state is FpState.AUTHORISED
    assert point.squeeze(2_000_000, 30_000) == (point.state is FpState.STARTED)
