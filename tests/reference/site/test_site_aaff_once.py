"""Each AA FF record is one sale: repeated, skipped, fetched, booked as a difference."""

from __future__ import annotations

import pytest

from protocols.aaff import Command
from reference.site.pumps.events import (
    Authorised,
    LineDown,
    PointState,
)
from sim.dispenser import AaFfQuirks

from .aaff_rig import Rig, S, Tamper, answers, questions

# --- exactly once --------------------------------------------------------------------------------------------------


@pytest.mark.requirement("fd-pwr.repeated-upload-is-one-sale", "fc-sale.repeated-upload-is-one-row")
@pytest.mark.parametrize(
    "tamper",
    [questions(Command.RECORD_ACK), answers(Command.RECORD_ACK)],
    ids=["ack lost", "its answer lost"],
)
def test_a_record_that_comes_again_and_again_is_one_sale(tamper: Tamper) -> None:
    rig = Rig().run(3).lift().squeeze()
    rig.tamper = tamper
    rig.hang_up(10)
    assert len(rig.journal) == 1
    assert rig.said.count(Command.RECORD_ACK) >= 5 or not rig.point.unacknowledged
    rig.tamper = lambda who, command, data: [data]
    rig.run(3).fill().check()


@pytest.mark.requirement("fd-link.duplicate-request-executes-once")
def test_everything_doubled_changes_nothing() -> None:
    rig = Rig()
    rig.tamper = lambda who, command, data: [data, data]
    rig.run(3).fill().fill().check()
    assert len(rig.of(Authorised)) == 2


def test_a_sale_that_cannot_be_stored_is_neither_acknowledged_nor_lost() -> None:
    rig = Rig().run(3).lift().squeeze()
    rig.full = True
    rig.hang_up(10)
    assert (rig.journal, len(rig.point.unacknowledged)) == ([], 1)
    assert Command.RECORD_ACK not in rig.said
    rig.full = False
    rig.run(2).fill().check()


def test_stored_at_last_when_the_dispenser_has_given_it_up() -> None:
    rig = Rig(quirks=AaFfQuirks(skip_after=5)).run(3).lift().squeeze()
    rig.full = True
    rig.hang_up(20)
    assert list(rig.machine.gun(1).upload.skipped) == [1]
    rig.full = False
    rig.run(5).fill().check()


@pytest.mark.parametrize("crash", [False, True])
def test_a_skipped_record_is_fetched_by_its_number(crash: bool) -> None:
    rig = Rig(quirks=AaFfQuirks(skip_after=5)).run(3).lift().squeeze()
    rig.full = True
    rig.hang_up(20)
    rig.start()  # which forgets the record it could not store
    rig.full = False
    if not crash:
        rig.tamper = questions(Command.TOTALS)
        rig.run(10)
    rig.fill() if crash else rig.run(1)
    rig.tamper = lambda who, command, data: [data]
    rig.run(10).fill()
    assert Command.FETCH in rig.said
    rig.check(flags=True)
    assert all(set(sale.flags) <= {"recovered"} for sale in rig.journal)


@pytest.mark.requirement("fd-pwr.partial-sale-is-reconstructed")
def test_what_nobody_has_any_more_is_booked_as_the_difference() -> None:
    rig = Rig(quirks=AaFfQuirks(skip_after=5)).run(3).lift().squeeze()
    rig.full = True
    rig.hang_up(20)
    rig.start()
    rig.full = False
    rig.tamper = questions(Command.FETCH)
    rig.run(20)
    (sale,) = rig.journal
    delivery = rig.point.journal[0]
    assert sale.flags == ("reconstructed", "recovered")
    assert (sale.volume_ml, sale.amount_fen) == (delivery.volume_ml, delivery.amount_fen)
    rig.tamper = lambda who, command, data: [data]
    rig.fill().check(flags=True)


def test_a_gap_before_an_offered_record_is_booked_when_it_cannot_be_fetched() -> None:
    rig = Rig(quirks=AaFfQuirks(skip_after=3)).run(3)
    rig.tamper = lambda who, command, data: [] if command in (Command.TOTALS, Command.FETCH) else [data]
    rig.full = True
    rig.fill().run(10)
    rig.start()  # which forgets the record it could not store
    rig.full = False
    rig.run(10).fill().run(10)
    assert [sale.flags for sale in rig.journal] == [("reconstructed",), ()]
    assert [sale.more for sale in rig.journal] == [True, False]
    assert sum(sale.volume_ml for sale in rig.journal) == rig.point.nozzles[1].total_volume_ml


@pytest.mark.requirement("fd-pwr.buffered-sales-upload-in-order", "fd-pwr.repeated-upload-is-one-sale")
def test_sales_of_an_outage_come_in_order_and_old_ones_are_known() -> None:
    quirks = AaFfQuirks(self_service="offline", offline_after_us=10 * S, forgets_acks=3)
    rig = Rig(quirks=quirks).run(3).fill().fill()
    rig.tamper = lambda who, command, data: []
    rig.run(20)
    assert len(rig.of(LineDown)) == 1
    for _ in range(5):
        rig.fill()
    rig.dispenser.cut_power(rig.now_us)
    rig.run(60)
    rig.dispenser.restore_power(rig.now_us)
    rig.tamper = lambda who, command, data: [data]
    rig.run(20)
    assert len(rig.journal) == 7
    assert [sale.flags for sale in rig.journal] == [()] * 2 + [("recovered",)] * 5
    assert [sale.more for sale in rig.journal][2:] == [True] * 4 + [False]
    for sale, delivery in zip(rig.journal[2:], list(rig.point.journal)[2:], strict=True):
        assert 0 <= delivery.ended_us - sale.ended_us < S + S  # whole seconds, on the driver's clock
    rig.fill().check(flags=True)


@pytest.mark.requirement("fd-pwr.interrupted-sale-uploads-once-flagged")
def test_a_power_cut_during_a_sale() -> None:
    rig = Rig().run(3).lift().squeeze(6)
    rig.dispenser.cut_power(rig.now_us)
    rig.run(30)
    assert rig.driver.status(1).state is PointState.OFFLINE
    rig.dispenser.restore_power(rig.now_us)
    rig.hang_up().fill()
    assert [sale.flags for sale in rig.journal] == [("recovered",), ()]
    rig.check(flags=True)


def test_a_board_without_its_totals_begins_anew() -> None:
    rig = Rig().run(3).fill().fill()
    before = len(rig.journal)
    rig.tamper = lambda who, command, data: []
    rig.run(20)
    new = Rig(quirks=AaFfQuirks(self_service="always"))
    new.memory, new.events = dict(rig.memory), []
    new.point.nozzles[1].total_volume_ml = 0
    new.point.lift(1, 0)
    new.point.squeeze(0, 40_000)
    new.now_us = 10 * S
    new.machine.handle_timer(new.now_us)
    new.point.hang_up(new.now_us)
    new.start()
    new.run(5)
    assert before == 2
    assert [sale.flags for sale in new.journal] == [("total_backwards", "recovered")]
    assert new.journal[0].volume_ml == new.point.journal[0].volume_ml
    new.lift().squeeze().hang_up()
    assert [sale.flags for sale in new.journal][1:] == [()]
