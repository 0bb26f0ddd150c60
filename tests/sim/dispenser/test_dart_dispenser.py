"""The DART personality: statuses, presets, prices and totals as captures of real pumps show them."""

from __future__ import annotations

import pytest

from protocols.dart import (
    AllowedNozzles,
    Command,
    Control,
    PresetAmount,
    PresetVolume,
    PumpStatus,
    Quirks,
    TotalsReport,
    TotalsRequest,
    UnitPrices,
    decode_from_pump,
    encode_block,
    encode_control,
    encode_data,
)
from protocols.sansio import Machine
from sim.dispenser import DartDispenser, DartQuirks, Dispenser, FpState

from .dart_bench import (
    AUTHORISE,
    FILLING_INFO,
    FLOW,
    POLL_US,
    RESET,
    STATUS,
    STOP,
    SWITCH_OFF,
    A,
    Line,
    S,
    dc2,
    dc3,
    st,
)


@pytest.fixture
def line(make_point) -> Line:
    return Line([make_point()])


def test_it_is_a_machine(line: Line) -> None:
    assert isinstance(line.pump, Machine)


def test_a_typical_sale_reports_what_captures_show(line: Line) -> None:
    assert line.poll() == []
    line.point.lift(1, line.now_us)
    assert line.poll() == [dc3(out=True)]
    assert line.ask(RESET) == [st(PumpStatus.RESET), dc2(0, 0)]
    assert line.ask(AllowedNozzles(nozzles=(1,)), PresetAmount(amount_units=20_000)) == []
    assert line.ask(AUTHORISE) == [st(PumpStatus.AUTHORISED)]
    line.point.squeeze(line.now_us, FLOW)
    line.wait(750_000)
    assert line.poll() == [st(PumpStatus.FILLING), dc2(10, 76)]
    line.wait(1_000_000)
    assert line.poll() == [dc2(65, 494)]
    assert line.poll() == []
    line.point.hang_up(line.now_us)
    assert line.poll() == [dc2(65, 494), dc3(out=False), st(PumpStatus.FILLING_COMPLETED)]
    assert line.ask(TotalsRequest(counter=1)) == [TotalsReport(counter=1, total_units=65)]
    assert line.ask(TotalsRequest(counter=0x11)) == [TotalsReport(counter=0x11, total_units=494)]
    assert line.ask(FILLING_INFO) == [dc2(65, 494)]


@pytest.mark.parametrize(
    ("preset", "volume", "amount"),
    [(PresetAmount(amount_units=10_000), 1_315, 9_994), (PresetVolume(volume_units=1_500), 1_500, 11_400)],
)
def test_a_preset_ends_in_status_6_and_the_nozzle_makes_it_5(
    line: Line, preset, volume: int, amount: int
) -> None:
    line.sell(preset=(preset,), litres_ml=90_000)
    reports = line.poll()
    assert reports[-2:] == [dc2(volume, amount), st(PumpStatus.MAX_REACHED)]
    line.point.hang_up(line.now_us)
    assert line.poll() == [dc3(out=False), st(PumpStatus.FILLING_COMPLETED)]


def test_the_last_preset_wins_and_reset_clears_it(line: Line) -> None:
    line.say(
        RESET,
        PresetVolume(volume_units=3_000),
        PresetAmount(amount_units=5_000),
        PresetVolume(volume_units=500),
    )
    line.say(AUTHORISE)
    line.point.lift(1, line.now_us)
    line.point.squeeze(line.now_us, FLOW)
    line.wait(60 * S)
    assert line.point.journal[-1].volume_ml == 5_000
    line.point.hang_up(line.now_us)
    line.say(PresetVolume(volume_units=500))
    line.sell(litres_ml=20_000)
    line.point.hang_up(line.now_us)
    assert line.point.journal[-1].volume_ml == 20_000


def test_a_preset_below_what_is_delivered_stops_at_once(line: Line) -> None:
    line.sell(litres_ml=90_000)
    line.point.release(line.now_us)
    line.poll()
    shown = line.point.reading(line.now_us)
    line.say(PresetVolume(volume_units=100))
    reports = line.poll()
    assert reports == [dc2(shown.volume_ml // 10, shown.amount_fen), st(PumpStatus.MAX_REACHED)]


def test_the_nozzle_mask_is_sticky(line: Line) -> None:
    line.say(RESET, AllowedNozzles(nozzles=(2,)))
    line.point.lift(1, line.now_us)
    line.poll()
    assert line.ask(AUTHORISE) == []
    assert line.status is PumpStatus.RESET
    line.point.hang_up(line.now_us)
    line.point.lift(2, line.now_us)
    line.poll()
    assert line.ask(AUTHORISE) == [st(PumpStatus.AUTHORISED)]
    line.say(STOP)
    line.say(RESET, AUTHORISE)
    assert line.point.allowed_nozzles == {2}


def test_prices_must_cover_all_nozzles(make_point) -> None:
    line = Line([make_point(prices=(0, 0))])
    assert line.status is PumpStatus.NOT_PROGRAMMED
    for command in (RESET, AUTHORISE, STOP):
        assert line.ask(command) == []
    assert line.ask(UnitPrices(prices_units=(760,))) == []
    assert line.point.nozzles[1].price_fen_per_l == 0
    assert line.ask(UnitPrices(prices_units=(760, 0))) == []
    assert line.ask(UnitPrices(prices_units=(760, 812, 930))) == [st(PumpStatus.FILLING_COMPLETED)]
    assert [nozzle.price_fen_per_l for nozzle in line.point.nozzles.values()] == [760, 812]


@pytest.mark.requirement("fd-price.price-holds-for-a-delivery")
def test_a_price_is_not_taken_during_a_filling(line: Line) -> None:
    line.say(RESET, AUTHORISE)
    line.say(UnitPrices(prices_units=(500, 500)))
    assert line.point.nozzles[1].price_fen_per_l == 760
    line.say(STOP)
    line.say(UnitPrices(prices_units=(500, 510)))
    line.point.lift(2, line.now_us)
    assert dc3(out=True, nozzle=2, price=510) in line.poll()


@pytest.mark.requirement("fd-state.every-command-answered-in-every-state")
@pytest.mark.parametrize(
    ("status", "accepted"),
    [
        (PumpStatus.NOT_PROGRAMMED, {SWITCH_OFF: PumpStatus.SWITCHED_OFF}),
        (
            PumpStatus.RESET,
            {
                AUTHORISE: PumpStatus.AUTHORISED,
                STOP: PumpStatus.FILLING_COMPLETED,
                SWITCH_OFF: PumpStatus.SWITCHED_OFF,
            },
        ),
        (PumpStatus.AUTHORISED, {STOP: PumpStatus.FILLING_COMPLETED, SWITCH_OFF: PumpStatus.SWITCHED_OFF}),
        (PumpStatus.FILLING, {STOP: PumpStatus.FILLING_COMPLETED, SWITCH_OFF: PumpStatus.SWITCHED_OFF}),
        (PumpStatus.FILLING_COMPLETED, {RESET: PumpStatus.RESET, SWITCH_OFF: PumpStatus.SWITCHED_OFF}),
        (
            PumpStatus.MAX_REACHED,
            {
                RESET: PumpStatus.RESET,
                STOP: PumpStatus.FILLING_COMPLETED,
                SWITCH_OFF: PumpStatus.SWITCHED_OFF,
            },
        ),
        (PumpStatus.SWITCHED_OFF, {RESET: PumpStatus.RESET, STOP: PumpStatus.FILLING_COMPLETED}),
    ],
    ids=lambda value: value.name if isinstance(value, PumpStatus) else "",
)
@pytest.mark.parametrize(
    "command", [RESET, AUTHORISE, STOP, SWITCH_OFF], ids=lambda command: command.code.name
)
def test_each_command_in_each_status(make_point, status: PumpStatus, accepted, command: Command) -> None:
    line = Line([make_point(prices=(0, 0) if status is PumpStatus.NOT_PROGRAMMED else (760, 812))])
    if status is PumpStatus.RESET:
        line.say(RESET)
    elif status is PumpStatus.SWITCHED_OFF:
        line.say(SWITCH_OFF)
    elif status is PumpStatus.AUTHORISED:
        line.say(RESET, AUTHORISE)
    elif status is PumpStatus.FILLING:
        line.sell(litres_ml=900_000)
    elif status is PumpStatus.MAX_REACHED:
        line.sell(preset=(PresetVolume(volume_units=500),))
    assert line.status is status
    line.say(command)
    line.wait(S)
    assert line.status is accepted.get(command, status)
    if line.status is not PumpStatus.FILLING:
        assert not line.point.flowing


@pytest.mark.requirement("fd-state.fast-nozzle-cycle-keeps-deliveries-apart")
def test_a_nozzle_out_and_in_between_two_polls_is_told_in_order(line: Line) -> None:
    line.point.lift(1, 10)
    line.point.hang_up(20)
    line.point.lift(2, 30)
    line.now_us = 40
    assert line.poll() == [dc3(out=True), dc3(out=False), dc3(out=True, nozzle=2, price=812)]


@pytest.mark.requirement("fd-state.fast-nozzle-cycle-keeps-deliveries-apart")
def test_a_fast_nozzle_after_a_filling_loses_neither_the_sale_nor_the_call(line: Line) -> None:
    line.sell(litres_ml=5_000)
    line.poll()
    line.point.hang_up(line.now_us)
    line.point.lift(1, line.now_us + 20_000)
    line.now_us += POLL_US
    assert line.poll() == [
        dc2(500, 3_800),
        dc3(out=False),
        st(PumpStatus.FILLING_COMPLETED),
        dc3(out=True),
    ]
    assert not line.point.squeeze(line.now_us, FLOW)


def test_a_nozzle_put_back_unused_ends_in_5_with_zeros(line: Line) -> None:
    line.point.lift(1, 0)
    line.say(RESET, AUTHORISE)
    line.poll()
    line.point.hang_up(S)
    line.now_us = S
    assert line.poll() == [dc2(0, 0), dc3(out=False), st(PumpStatus.FILLING_COMPLETED)]
    assert not line.point.journal


def test_quiet_is_true_exactly_when_a_poll_finds_nothing_and_changes_nothing(line: Line) -> None:
    assert line.pump.quiet(A)
    assert not line.pump.quiet(A + 1)
    line.point.lift(1, 0)
    assert line.wakes > 0
    assert not line.pump.quiet(A)
    assert line.poll()
    assert line.pump.quiet(A)
    line.say(RESET, AUTHORISE)
    line.poll()
    assert line.pump.quiet(A)
    line.point.squeeze(0, FLOW)
    for _ in range(8):
        assert not line.pump.quiet(A)
        line.wait(POLL_US)
        assert line.poll()
    line.point.release(line.now_us)
    line.poll()
    assert line.pump.quiet(A)
    assert line.poll() == []
    line.dispenser.cut_power(line.now_us)
    assert not line.pump.quiet(A)


def test_after_a_power_cut_the_last_filling_is_readable(line: Line) -> None:
    line.sell(litres_ml=5_000)
    line.dispenser.cut_power(line.now_us)
    assert line.exchange(encode_control(A, Control.POLL)) == b""
    line.wait(S)
    line.dispenser.restore_power(line.now_us)
    line.tx = 0
    assert line.poll() == [st(PumpStatus.FILLING_COMPLETED), dc3(out=True)]
    assert line.ask(FILLING_INFO) == [dc2(500, 3_800)]
    assert line.point.journal[-1].flags == ("power-failure",)
    assert line.point.state is FpState.CALLING


def test_a_head_that_forgets_its_prices_comes_back_unprogrammed(make_point) -> None:
    line = Line([make_point()], quirks=DartQuirks(forgets_prices=True))
    line.dispenser.cut_power(0)
    line.dispenser.restore_power(S)
    line.now_us = S
    assert line.status is PumpStatus.NOT_PROGRAMMED


def test_a_late_price_takes_effect_by_itself(make_point) -> None:
    line = Line([make_point(prices=(0, 0))], quirks=DartQuirks(late_price_us=3 * S))
    assert line.ask(UnitPrices(prices_units=(760, 812))) == []
    assert line.pump.next_timer() == 3 * S
    line.wait(3 * S - 1)
    assert line.poll() == []
    line.wait(1)
    assert line.poll() == [st(PumpStatus.FILLING_COMPLETED)]


def test_a_reset_may_be_acknowledged_and_ignored_once(make_point) -> None:
    line = Line([make_point()], quirks=DartQuirks(ignored_resets=1))
    assert line.ask(RESET) == []
    assert line.status is PumpStatus.FILLING_COMPLETED
    assert line.ask(RESET) == [st(PumpStatus.RESET), dc2(0, 0)]


def test_polls_stay_unanswered_after_a_status_change_when_told_so(make_point) -> None:
    line = Line([make_point()], quirks=DartQuirks(line=Quirks(unanswered_polls=2)))
    line.say(RESET)
    poll = encode_control(A, Control.POLL)
    assert [line.exchange(poll) != b"" for _ in range(3)] == [False, False, True]


def test_a_short_totals_report(make_point) -> None:
    line = Line([make_point()], quirks=DartQuirks(line=Quirks(totals_bytes=13)))
    (report,) = line.ask(TotalsRequest(counter=1))
    assert (report.counter, report.total_units, report.tail) == (1, 0, bytes(7))


@pytest.mark.requirement("fd-met.totaliser-rollover-is-no-loss")
def test_totals_roll_over_at_ten_digits_and_add_up(line: Line) -> None:
    line.point.nozzles[1].total_volume_ml = 99_999_999_990
    line.point.nozzles[2].total_volume_ml = 50
    line.sell(litres_ml=100)
    line.poll()
    assert line.ask(TotalsRequest(counter=1)) == [TotalsReport(counter=1, total_units=9)]
    assert line.ask(TotalsRequest(counter=9)) == [TotalsReport(counter=9, total_units=14)]
    assert line.ask(TotalsRequest(counter=0x2A)) == []


def test_without_a_controller_it_keeps_the_state_and_not_the_history(line: Line) -> None:
    for number in range(200):
        line.point.lift(1, number * S)
        line.point.hang_up(number * S + 1)
    line.point.lift(2, 200 * S)
    line.now_us = 201 * S
    reports = line.poll()
    assert len(reports) < 80
    assert reports[-1] == dc3(out=True, nozzle=2, price=812)


@pytest.mark.requirement("fd-state.points-on-one-board-are-independent", "fd-multi.sides-are-independent")
def test_two_sides_of_one_cabinet_do_not_touch_each_other(make_point) -> None:
    line = Line([make_point(1), make_point(2)])
    line.sell(litres_ml=7_000)
    assert line.poll(A + 1) == []
    line.tx = 0
    line.say(STATUS, address=A + 1)
    assert line.poll(A + 1)[0] == st(PumpStatus.FILLING_COMPLETED)
    assert line.points[1].state is FpState.IDLE


@pytest.mark.requirement("fd-link.split-or-glued-frames-decode-alike")
def test_split_and_glued_frames_give_the_same_reports(make_point) -> None:
    def run(cut: int) -> tuple:
        line = Line([make_point()])
        line.point.lift(1, 0)
        stream = (
            encode_data(A, 0, encode_block([RESET]))
            + encode_data(A, 1, encode_block([AUTHORISE]))
            + encode_control(A, Control.POLL)
        )
        answer = b""
        for start in range(0, len(stream), cut):
            answer += line.exchange(stream[start : start + cut])
        return answer, line.point.state

    assert run(1) == run(2) == run(5) == run(100)
    assert run(1)[1] is FpState.STARTED


def test_a_fuelling_point_that_is_not_there_is_named(make_point) -> None:
    point = make_point(1)
    with pytest.raises(ValueError, match="fuelling point 2 at 0x51 is not part of this dispenser"):
        DartDispenser(Dispenser([point]), {A: point, A + 1: make_point(2)})
    with pytest.raises(ValueError, match="two DART addresses"):
        DartDispenser(Dispenser([point]), {A: point, A + 1: point})


def split(burst: bytes) -> list[bytes]:
    """Frames of a burst that has no FA inside of them."""
    return [frame + b"\xfa" for frame in burst.split(b"\xfa")[:-1]]


def test_a_controller_that_glues_a_poll_to_each_frame_gets_both_answers_and_the_whole_sale(
    make_point,
) -> None:
    line = Line([make_point()])
    reports: list = []

    def glued(*transactions) -> None:
        frame = encode_data(A, line.tx, encode_block(transactions))
        answers = split(line.exchange(frame + encode_control(A, Control.POLL)))
        assert answers[0] == encode_control(A, Control.ACK, line.tx)
        line.tx = line.tx % 15 + 1
        for answer in answers[1:]:
            if answer != encode_control(A, Control.EOT):
                reports.extend(decode_from_pump(answer[2:-4]))
                line.exchange(encode_control(A, Control.ACK, answer[1] & 0x0F))

    line.point.lift(1, 0)
    glued(RESET)
    glued(AllowedNozzles(nozzles=(1,)), PresetAmount(amount_units=1_520))
    glued(AUTHORISE)
    line.point.squeeze(line.now_us, FLOW)
    line.wait(60 * S)
    line.point.hang_up(line.now_us)
    glued(TotalsRequest(counter=1))
    reports += line.poll()
    assert dc3(out=True) in reports
    assert st(PumpStatus.AUTHORISED) in reports
    assert dc2(200, 1_520) in reports
    assert TotalsReport(counter=1, total_units=200) in reports
    assert [sale.volume_ml for sale in line.point.journal] == [2_000]


def test_a_reset_takes_the_filling_over_and_a_lock_keeps_the_status(line: Line) -> None:
    line.sell(litres_ml=1_000)
    line.point.hang_up(line.now_us)
    assert len(line.point.unacknowledged) == 1
    line.say(RESET)
    assert not line.point.unacknowledged
    line.point.lock(line.now_us)
    line.say(AllowedNozzles(nozzles=(1,)))
    line.say(AUTHORISE)
    assert line.status is PumpStatus.RESET
    line.point.unlock(line.now_us)
    line.say(AUTHORISE)
    assert line.status is PumpStatus.AUTHORISED


def test_an_emergency_stop_leads_to_5_and_no_reset_of_the_controller_leads_out(line: Line) -> None:
    line.sell(preset=(PresetVolume(volume_units=5_000),), litres_ml=40_000)
    assert line.point.flowing
    line.dispenser.emergency_stop(line.now_us)
    line.wait(S)
    assert line.status is PumpStatus.FILLING_COMPLETED
    line.say(RESET)
    assert line.status is PumpStatus.FILLING_COMPLETED
    line.point.hang_up(line.now_us)
    assert line.dispenser.reset_emergency(line.now_us, "manager")
    line.say(RESET)
    assert line.status is PumpStatus.RESET
