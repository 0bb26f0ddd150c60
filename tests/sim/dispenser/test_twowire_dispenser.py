"""The Two-Wire personality, asked by an independent controller that is nothing but bytes."""

from __future__ import annotations

import pytest

from protocols.sansio import LocalProtocolError, Machine
from protocols.twowire import Deviation, DeviationKind, Quirks, Scale, Status, state_table
from sim.dispenser import Dispenser, FpState, TwoWireDispenser, TwoWireQuirks

from .twowire_bench import (
    Asker,
    Bench,
    S,
    least_first,
    money_preset,
    nibble_sum_check,
    price_block,
    sent_block,
    volume_preset,
)


@pytest.fixture
def bench(make_point) -> Bench:
    return Bench(make_point)


def test_it_is_a_machine(bench):
    assert isinstance(bench.machine, Machine)


def test_the_whole_cycle(bench):
    ask, point = bench.asker, bench.point
    assert ask.status() == 6
    point.lift(2, bench.later(1))
    assert ask.status() == 7
    assert ask.nozzle() == 2
    assert ask.send(money_preset(5_000)) == b""
    assert ask.status() == 7
    assert ask.say(1) == b""  # no answer
    assert ask.status() == 8
    point.squeeze(bench.later(1), 30_000)
    bench.later(3)
    assert ask.status() == 9
    shown = ask.money()
    assert shown == point.reading(ask.now_us).amount_fen > 0
    bench.later(1)
    assert ask.money() > shown
    bench.later(30)  # the preset is reached; the nozzle is still out
    assert ask.status() == 9
    assert ask.say(3) == b""
    bench.hang_up()
    assert ask.status() == 10
    last = point.last_delivery
    assert ask.transaction() == {
        "pump": 1,
        "grade": 2,
        "price": 812,
        "ml": last.volume_ml,
        "fen": last.amount_fen,
    }
    assert 4_992 < last.amount_fen <= 5_000
    assert ask.status() == 6
    assert ask.totals() == [(0, 0, 760, 760), (last.volume_ml // 10, last.amount_fen, 812, 812)]


def test_a_delivery_is_held_until_it_is_read_and_readable_afterwards(bench):
    ask = bench.asker
    bench.fill()
    bench.hang_up()
    for _ in range(3):
        assert ask.status() == 10
        assert ask.say(1) == b""  # nobody is authorised over an unread delivery
    assert bench.point.state is FpState.IDLE
    bench.point.lift(1, bench.later(1))
    assert ask.status() == 10  # also while the next customer waits
    first = ask.transaction()
    assert ask.status() == 7
    assert ask.transaction() == first
    assert ask.transaction()["ml"] == bench.point.last_delivery.volume_ml


def test_pre_authorisation_in_idle(bench):
    ask = bench.asker
    assert ask.send(volume_preset(1_000, grade=2)) == b""
    ask.say(1)
    assert ask.status() == 8
    assert bench.point.allowed_nozzles == {2}
    bench.point.lift(2, bench.later(2))
    assert ask.status() == 8
    bench.point.squeeze(bench.later(0.5), 30_000)
    bench.later(40)
    bench.hang_up()
    assert ask.transaction()["ml"] == 10_000


def test_stop_rules(bench):
    ask, point = bench.asker, bench.point
    ask.say(3)
    assert ask.status() == 6
    point.lift(1, bench.later(1))
    ask.say(3)
    assert ask.status() == 7  # in 7 nothing changes
    ask.say(1)
    ask.say(3)
    assert ask.status() == 6  # from 8 to 6
    point.hang_up(bench.later(1))
    bench.fill()
    assert ask.status() == 9
    ask.say(3)
    bench.later(0.2)
    assert ask.status() == 12  # from 9 to C
    assert not point.flowing
    assert ask.nozzle() == 1
    bench.hang_up()
    assert ask.status() == 10
    assert ask.transaction()["ml"] == point.last_delivery.volume_ml
    assert point.last_delivery.flags == ("terminated",)


@pytest.mark.requirement("fd-multi.sides-are-independent")
def test_all_stop_stops_every_pump_and_a_command_only_its_own(make_point):
    points = [make_point(number) for number in (1, 2)]
    machine = TwoWireDispenser(Dispenser(points), {1: points[0], 16: points[1]})
    one, other = Asker(machine, 1), Asker(machine, 16)
    for point in points:
        point.lift(1, 0)
    one.say(1)
    other.now_us = one.now_us
    assert (one.status(), other.status()) == (8, 7)
    other.now_us = one.now_us = max(one.now_us, other.now_us)
    other.say(1)
    one.now_us = other.now_us
    assert one.raw(b"\xfc") == b""
    other.now_us = one.now_us
    assert (one.status(), other.status()) == (6, 6)


def test_nozzle_query_is_answered_in_call_busy_and_stopped_only(bench):
    assert bench.asker.nozzle() is None
    bench.point.lift(1, bench.later(1))
    assert bench.asker.nozzle() == 1
    bench.asker.say(1)
    assert bench.asker.nozzle() is None
    bench.point.squeeze(bench.later(0.5), 30_000)
    bench.later(3)
    assert bench.asker.nozzle() == 1


@pytest.mark.requirement("fd-price.price-holds-for-a-delivery")
def test_prices(bench):
    ask = bench.asker
    assert ask.send(price_block(1, 799)) == b""
    assert ask.status() == 6
    assert ask.send(price_block(2, 805, level=2)) == b""
    assert [row[2:] for row in ask.totals()] == [(799, 799), (812, 805)]
    bench.fill()
    ask.send(price_block(1, 900))
    assert ask.status() == 0  # data error, once
    assert ask.status() == 9
    assert ask.totals()[0][2] == 799
    ask.send(price_block(7, 900))
    assert ask.status() == 0


@pytest.mark.requirement("fd-auth.cancel-clears-presets")
def test_a_preset_waits_until_it_is_used_or_cancelled(bench):
    ask = bench.asker
    ask.send(money_preset(700))
    bench.point.lift(1, bench.later(1))
    bench.point.hang_up(bench.later(1))
    bench.fill(20)
    assert bench.point.last_delivery.amount_fen <= 700  # it was still there
    bench.hang_up()
    ask.transaction()
    ask.send(money_preset(700))
    ask.send(money_preset(0))
    bench.fill(20)
    bench.hang_up()
    assert bench.point.last_delivery.amount_fen > 700


def test_a_preset_where_none_can_be_is_a_data_error(make_point):
    bench = Bench(make_point, quirks=TwoWireQuirks(grades_in_money_presets=False))
    ask = bench.asker
    ask.send(sent_block([0xF2, 0xF4, 0xF6, 0xE0, 0xF8, *least_first(700, 6)]))
    assert (ask.status(), ask.status()) == (0, 6)
    ask.send(volume_preset(500, grade=5))
    assert (ask.status(), ask.status()) == (0, 6)
    bench.fill()
    ask.send(volume_preset(500))
    assert (ask.status(), ask.status()) == (0, 9)


def test_field_deviations_are_taken_with_a_recorded_warning(bench):
    constant = bytearray(volume_preset(1_000))
    constant[1] = 0xE3
    constant[-2] = nibble_sum_check(list(constant[:-2]))
    short = sent_block([0xF2, 0xF8, *least_first(900, 5)])
    for block in (bytes(constant), short):
        bench.asker.send(block)
        assert bench.asker.status() == 6
    kinds = [event.kind for event in bench.machine.line_events if isinstance(event, Deviation)]
    assert kinds == [DeviationKind.LENGTH_CONSTANT, DeviationKind.MONEY_FIVE_DIGITS]


# -- quirks -----------------------------------------------------------------------------------------------------------


def test_totals_that_lag(make_point):
    bench = Bench(make_point, quirks=TwoWireQuirks(lagging_totals_us=3 * S))
    bench.fill()
    bench.hang_up()
    assert bench.asker.totals()[0][:2] == (0, 0)
    bench.later(3)
    last = bench.point.last_delivery
    assert bench.asker.totals()[0][:2] == (last.volume_ml // 10, last.amount_fen)


def test_polls_unanswered_after_a_change(make_point):
    bench = Bench(make_point, quirks=TwoWireQuirks(line=Quirks(unanswered_polls=2)))
    assert [bench.asker.status() for _ in range(4)] == [None, None, 6, 6]
    bench.point.lift(1, bench.later(1))
    assert [bench.asker.status() for _ in range(4)] == [None, None, 7, 7]


def test_an_echoing_converter(make_point):
    bench = Bench(make_point, quirks=TwoWireQuirks(line=Quirks(echo=True)))
    assert bench.asker.raw(b"\x01") == b"\x01\x61"
    assert bench.asker.raw(b"\x11") == b"\x11"


def test_the_other_end_status_and_the_uncertain_words(make_point):
    bench = Bench(make_point, quirks=TwoWireQuirks(end_status=Status.END_FEOT, marker=0xA, unknown=(0, 0, 0)))
    bench.fill()
    bench.hang_up()
    assert bench.asker.status() == 11
    assert bench.asker.say(4)[3:8] == bytes.fromhex("EA E0 E0 E0 E0")
    with pytest.raises(ValueError, match="A or B"):
        Bench(make_point, quirks=TwoWireQuirks(end_status=Status.BUSY))


def test_power(bench):
    ask = bench.asker
    bench.fill()
    bench.dispenser.cut_power(bench.later(0))
    assert ask.status() is None
    bench.dispenser.restore_power(bench.later(5))
    assert ask.status() == 10  # the interrupted delivery is there to be read
    read = ask.transaction()
    assert (read["ml"], bench.point.last_delivery.flags) == (
        bench.point.last_delivery.volume_ml,
        ("power-failure",),
    )
    assert ask.status() == 7  # its nozzle is still out


def test_another_scale(make_point):
    point = make_point()
    machine = TwoWireDispenser(Dispenser([point]), {1: point}, scale=Scale(volume=2, total_volume=1, price=1))
    ask = Asker(machine)
    point.nozzles[1].total_volume_ml = 123_450
    assert ask.totals()[0] == (1234, 0, 76, 76)
    ask.send(price_block(1, 81))
    assert point.nozzles[1].price_fen_per_l == 810


def test_what_cannot_be_is_refused(make_point):
    point, stranger = make_point(1), make_point(2)
    dispenser = Dispenser([point])
    with pytest.raises(ValueError, match="not part"):
        TwoWireDispenser(dispenser, {1: stranger})
    with pytest.raises(ValueError, match="two pump numbers"):
        TwoWireDispenser(dispenser, {1: point, 2: point})
    with pytest.raises(LocalProtocolError, match=r"1\.\.16"):
        TwoWireDispenser(dispenser, {17: point})


def test_quiet_means_a_poll_would_tell_nothing_new(bench):
    ask = bench.asker
    assert not bench.machine.quiet(1)
    for _ in range(3):
        ask.status()
    assert bench.machine.quiet(1)
    assert not bench.machine.quiet(2)
    woken = []
    bench.machine.on_wake = lambda: woken.append(bench.machine.quiet(1))
    bench.point.lift(1, bench.later(1))
    assert woken
    assert woken[-1] is False


@pytest.mark.requirement("fd-state.state-table-is-exported")
def test_the_table_is_data():
    table = state_table()
    assert table["states"]["BUSY"] == 9
    names = set(table["states"])
    assert all(rule["state"] in names and set(rule["next"]) <= names for rule in table["rules"])
    assert {"state": "BUSY", "event": "3p or FC", "next": ["STOPPED"]} in table["rules"]
