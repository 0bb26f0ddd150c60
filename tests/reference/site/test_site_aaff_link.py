"""The AA FF driver when the link is lost, answers are, or old frames come again."""

from __future__ import annotations

import pytest

from protocols import aaff
from protocols.aaff import Command, Quirks
from reference.site.pumps.events import (
    Authorised,
    AuthoriseRefused,
    LineDown,
    LineUp,
    LiveAmount,
    PointState,
)
from sim.dispenser import AaFfQuirks

from .aaff_rig import Rig, S, answers, questions

# --- the link ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement(
    "fd-link.offline-after-k-missed-polls",
    "fd-link.failure-counter-resets",
    "fd-link.reads-before-commands-after-recovery",
)
def test_off_line_after_missed_polls_and_read_again_before_any_command() -> None:
    rig = Rig(policy=False, missed_polls_offline=5).run(3)
    rig.tamper = lambda who, command, data: []
    rig.run(0.8 * 4)
    assert not rig.of(LineDown)
    rig.run(0.8 * 2)
    assert len(rig.of(LineDown)) == 1
    assert not rig.driver.authorise(1, 11)
    rig.said.clear()
    rig.tamper = lambda who, command, data: [data]
    rig.point.lift(1, rig.now_us)
    rig.policy = True
    rig.run(3)
    commands = [command for command in rig.said if command != Command.POLL]
    assert commands == [Command.TOTALS, Command.READ_PARAMETER, Command.AUTHORISE]
    assert len(rig.of(LineUp)) == 2


@pytest.mark.requirement("fd-pwr.running-delivery-is-adopted")
def test_a_running_delivery_is_adopted_by_a_driver_that_comes_back() -> None:
    rig = Rig().run(3).fill().lift().squeeze(3)
    rig.start()
    rig.events.clear()
    rig.run(3)
    assert rig.story()[0] == "LineUp"
    assert rig.driver.status(1).state is PointState.FUELLING
    assert rig.of(LiveAmount)
    rig.hang_up().fill().check(flags=True)


def test_what_ended_while_it_was_away_belongs_to_no_running_delivery() -> None:
    rig = Rig(quirks=AaFfQuirks(self_service="always")).run(3)
    rig.tamper = lambda who, command, data: []
    rig.fill()
    rig.lift().squeeze(3)
    rig.start()
    rig.tamper = lambda who, command, data: [data]
    rig.run(3)
    assert [(sale.more, sale.flags) for sale in rig.journal] == [(True, ("recovered",))]
    assert rig.driver.status(1).state is PointState.FUELLING
    rig.hang_up()
    assert [sale.more for sale in rig.journal] == [True, False]
    rig.check(flags=True)


def test_an_authorisation_whose_answer_is_lost() -> None:
    rig = Rig().run(3)
    rig.tamper = answers(Command.AUTHORISE)
    rig.lift()
    assert len(rig.of(Authorised)) == 1
    assert rig.said.count(Command.AUTHORISE) == 1  # looked at, not repeated
    rig.squeeze().hang_up().check()


def test_a_sale_shows_that_an_authorisation_nobody_heard_of_was_obeyed() -> None:
    rig = Rig(missed_polls_offline=10).run(3)
    deaf: list[int] = []

    def after_the_authorisation_only_records(who: str, command: int, data: bytes) -> list[bytes]:
        if who == "pump" and command == Command.AUTHORISE:
            deaf.append(command)
        return [] if deaf and who == "pump" and command != Command.SALE else [data]

    rig.tamper = after_the_authorisation_only_records
    rig.point.lift(1, rig.now_us)
    rig.run(1).squeeze(2)
    rig.point.hang_up(rig.now_us)
    rig.run(2)
    assert rig.story()[1:] == ["NozzleLifted", "Authorised", "NozzleReturned", "SaleCaptured"]
    assert not rig.of(AuthoriseRefused)
    rig.tamper = lambda who, command, data: [data]
    rig.run(5).check()


def test_an_authorisation_that_is_lost_is_said_again() -> None:
    lost: list[int] = []
    rig = Rig().run(3)

    def once(who: str, command: int, data: bytes) -> list[bytes]:
        if who == "master" and command == Command.AUTHORISE and not lost:
            lost.append(command)
            return []
        return [data]

    rig.tamper = once
    rig.lift().run(3)
    assert len(rig.of(Authorised)) == 1
    rig.squeeze().hang_up().check()


def test_the_card_dialect() -> None:
    quirks = AaFfQuirks(dialect="card", self_service="always")
    rig = Rig(policy=False, quirks=quirks, master={"poll": "short"}).run(5)
    assert len(rig.of(LineUp)) == 1
    rig.fill().fill()
    assert rig.of(LiveAmount)
    rig.check(flags=True)
    assert [sale.flags for sale in rig.journal] == [
        ("adopted",),
        (),
    ]  # this dialect tells no totals beforehand
    assert rig.driver.status(1).state is PointState.IDLE
    assert not rig.of(AuthoriseRefused)
    rig.driver.authorise(1, 11)
    rig.run(5)
    assert [event.reason for event in rig.of(AuthoriseRefused)] == ["pump does not know the command"]


def test_a_master_without_checksum() -> None:
    rig = Rig(
        quirks=AaFfQuirks(line=Quirks(any_checksum=True)), master={"quirks": Quirks(checksum_sent="missing")}
    )
    rig.run(3).fill().check()
    assert rig.machine.warnings


def test_shift_and_alarm_records_do_not_pile_up() -> None:
    rig = Rig().run(3)
    acked: list[bytes] = []

    def shift(who: str, command: int, data: bytes) -> list[bytes]:
        if who == "pump" and command == Command.STATUS and not acked:
            body = bytes.fromhex("000000000007") + bytes(47)
            return [aaff.encode_frame(aaff.Direction.FROM_PUMP, 0x12, 1, body)]
        if who == "master" and command == Command.RECORD_ACK:
            acked.append(data)
        return [data]

    rig.tamper = shift
    rig.run(3)
    expected = aaff.RecordAck(7, Command.SHIFT)
    assert acked == [aaff.encode_frame(aaff.Direction.TO_PUMP, 0x69, 1, expected.encode())]


def test_figures_that_contradict_each_other_are_not_believed_at_once() -> None:
    rig = Rig().run(3).lift().squeeze()
    struck: list[bytes] = []

    def damage(who: str, command: int, data: bytes) -> list[bytes]:
        if who == "pump" and command == Command.SALE and not struck:
            struck.append(data)
            body = bytearray(data[6:-3])
            body[43] ^= 0x01  # the volume, with a checksum that says all is well
            return [aaff.encode_frame(aaff.Direction.FROM_PUMP, command, 1, bytes(body))]
        return [data]

    rig.tamper = damage
    rig.hang_up()
    assert rig.driver.points[0].implausible == 1
    rig.check()


def test_totals_that_would_change_something_are_read_twice() -> None:
    rig = Rig().run(3).fill()
    struck: list[bytes] = []

    def damage(who: str, command: int, data: bytes) -> list[bytes]:
        if who == "pump" and command == Command.TOTALS and not struck:
            struck.append(data)
            wrong = aaff.Totals(1, 99_999, 700_000)
            return [aaff.encode_frame(aaff.Direction.FROM_PUMP, command, 1, wrong.encode())]
        return [data]

    rig.tamper = damage
    rig.start()
    rig.run(5)
    assert struck
    assert rig.memory[11].volume_ml == rig.journal[0].end_total_volume_ml
    rig.fill().check()


@pytest.mark.parametrize("crash", [False, True])
def test_brief_sales(crash: bool) -> None:
    rig = Rig(quirks=AaFfQuirks(brief_sales=True)).run(3).fill()
    rig.tamper = questions(Command.BRIEF_SALE)
    rig.fill().run(5)
    assert len(rig.journal) == 2
    if crash:
        rig.start()
        rig.run(5)
        assert len(rig.journal) == 2
    rig.tamper = lambda who, command, data: [data]
    rig.run(5).fill().check()
    assert [sale.price_fen_per_l for sale in rig.journal] == [700] * 3


def test_several_brief_sales_that_waited() -> None:
    quirks = AaFfQuirks(brief_sales=True, self_service="offline", offline_after_us=10 * S)
    rig = Rig(quirks=quirks).run(3).fill()
    rig.tamper = lambda who, command, data: []
    rig.run(20).fill().fill().fill()
    rig.tamper = lambda who, command, data: [data]
    rig.run(10).fill().check(flags=True)
    assert [sale.more for sale in rig.journal] == [False, True, True, False, False]


@pytest.mark.requirement("fd-link.replayed-frame-has-no-effect")
def test_old_frames_that_come_again() -> None:
    """No number protects a frame of this protocol: what a replay does is undone by the driver."""
    rig = Rig().run(3)
    heard: dict[int, bytes] = {}

    def listen(who: str, command: int, data: bytes) -> list[bytes]:
        if who == "master":
            heard.setdefault(command, data)
        return [data]

    rig.tamper = listen
    rig.driver.set_prices(1, {11: 650})
    rig.run(3)
    rig.driver.set_prices(1, {11: 700})
    rig.run(3).fill()
    assert {Command.AUTHORISE, Command.RECORD_ACK, Command.PRICES} <= heard.keys()

    def replay(command: int) -> None:
        rig.machine.receive_data(heard[command], rig.now_us)
        rig.machine.data_to_send(rig.now_us)

    replay(Command.AUTHORISE)  # nobody is there
    assert rig.point.state.name == "AUTHORISED"
    rig.run(3)
    assert rig.point.state.name == "IDLE"
    replay(Command.PRICES)
    assert rig.point.nozzles[1].price_fen_per_l == 650
    rig.fill()
    assert rig.point.nozzles[1].price_fen_per_l == 700
    rig.full = True
    rig.fill()
    replay(Command.RECORD_ACK)
    assert len(rig.point.unacknowledged) == 1
    rig.full = False
    rig.run(2).check()


def test_totals_that_noise_ate_at_the_start_are_asked_for_again() -> None:
    rig = Rig()
    rig.tamper = answers(Command.TOTALS)
    rig.run(4)
    assert not rig.memory, "nothing was read, and nothing is made up"
    assert rig.driver.status(1).state is not PointState.OFFLINE
    rig.tamper = lambda who, command, data: [data]
    rig.run(10)
    assert rig.memory[11].volume_ml == 0
    asked = rig.said.count(Command.TOTALS)
    rig.run(600)
    assert rig.said.count(Command.TOTALS) == asked, "and then no more"


def test_a_gun_that_is_silent_about_its_totals_is_asked_ever_more_rarely() -> None:
    rig = Rig()
    rig.tamper = answers(Command.TOTALS)
    rig.run(3_600)
    assert 15 < rig.said.count(Command.TOTALS) < 75
    rig.fill()
    assert len(rig.journal) == 1


def test_a_nozzle_still_out_after_a_second_without_mains_is_no_new_customer() -> None:
    rig = Rig().run(3).lift().squeeze(5)
    rig.dispenser.cut_power(rig.now_us)
    rig.run(1)
    rig.dispenser.restore_power(rig.now_us)
    rig.run(10)
    assert [sale.volume_ml for sale in rig.journal] == [rig.point.journal[0].volume_ml]
    assert rig.story().count("Authorised") == 1, "she has not hung up yet"
    rig.hang_up()
    rig.fill().check(flags=True)
    assert len(rig.journal) == 2
