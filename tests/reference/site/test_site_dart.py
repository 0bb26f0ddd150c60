"""The DART driver and a small pump: sales, presets, prices, the grid of polls."""

from __future__ import annotations

import random

import pytest

from protocols.dart import CommandCode, PumpStatus
from reference.site.config import ConfigError
from reference.site.pumps.dart import DartDriver
from reference.site.pumps.events import (
    Authorised,
    AuthoriseRefused,
    DeliveryVoid,
    LineUp,
    LiveAmount,
    NozzleLifted,
    NozzleReturned,
    PointState,
    PriceSet,
    SaleCaptured,
    TotalsRead,
)
from reference.site.pumps.witness import UNREAD, Witness

from .dart_rig import SECOND, Rig


def test_a_full_sale_in_order(fake):
    rig = Rig(fake)
    rig.run(5)
    assert [type(e) for e in rig.events if not isinstance(e, TotalsRead)][-1] is not None
    assert rig.of(LineUp)
    assert rig.of(TotalsRead)[0].witness == Witness(10_000, 7_500)
    rig.pump.commands.clear()
    rig.fill(2000, nozzle=2)
    told = [type(e).__name__ for e in rig.events if e.fuelling_point == 1 and e.at_us > 5 * SECOND]
    story = [name for name in told if name not in ("StateChanged", "LiveAmount")]
    assert story == ["NozzleLifted", "Authorised", "NozzleReturned", "SaleCaptured"]
    assert rig.sales() == [(12, 20_000, 15_000, ())]
    sale = rig.of(SaleCaptured)[0]
    assert (sale.end_total_volume_ml, sale.end_total_amount_fen) == (30_000, 22_500)
    assert sale.started_us < sale.ended_us <= sale.at_us
    # RESET before the presets, the presets before AUTHORIZE, and no RESET before the sale is captured.
    commands = [c for c in rig.pump.commands if c not in ("RETURN_STATUS", "RETURN_FILLING")]
    assert commands == ["RESET", "CD2", "AUTHORISE", "CD101", "CD101"]
    assert rig.pump.allowed == (2,)
    assert [e.volume_ml for e in rig.of(LiveAmount)] == [10_000, 20_000]


def test_presets_go_in_and_do_not_stay(fake):
    rig = Rig(fake, preset_fen=10_000)
    rig.run(5)
    rig.pump.lift()
    rig.run(4)
    assert rig.pump.preset == ("amount", 10_000)
    rig.pump.hang_up()  # nothing delivered
    rig.run(4)
    assert len(rig.of(DeliveryVoid)) == 1
    rig.preset_fen = None
    rig.fill()
    assert rig.pump.preset is None
    assert len(rig.sales()) == 1


@pytest.mark.parametrize("code", [CommandCode.RESET, CommandCode.AUTHORISE])
@pytest.mark.parametrize("times", [1, 2])
def test_an_acknowledged_command_that_was_not_obeyed_is_repeated(fake, code, times):
    rig = Rig(fake)
    rig.run(5)
    rig.pump.ignore = [code] * times
    rig.pump.lift()
    rig.run(8)
    assert len(rig.of(Authorised)) == 1


def test_a_pump_that_never_obeys_is_reported_not_believed(fake):
    rig = Rig(fake)
    rig.run(5)
    rig.pump.ignore = [CommandCode.AUTHORISE] * 50
    rig.pump.lift()
    rig.run(20)
    assert rig.of(Authorised) == []
    assert "stays in" in rig.of(AuthoriseRefused)[0].reason
    assert rig.driver.status(1).state is PointState.CALLING


def test_price_is_programmed_into_an_empty_pump_before_the_first_sale(fake):
    rig = Rig(fake, price=812)
    rig.pump.status = PumpStatus.NOT_PROGRAMMED
    rig.run(5)
    assert rig.pump.price == [812, 812]
    assert rig.of(PriceSet)[0].confirmed
    rig.fill()
    assert rig.of(SaleCaptured)[0].price_fen_per_l == 812


@pytest.mark.requirement("fd-state.fast-nozzle-cycle-keeps-deliveries-apart")
def test_nozzle_down_and_up_again_within_one_poll_makes_two_sales(fake):
    rig = Rig(fake)
    rig.run(5)
    rig.pump.lift()
    rig.run(4)
    rig.pump.flow(1000)
    rig.run(1)
    rig.pump.hang_up()
    rig.pump.lift()  # before any poll
    rig.run(8)
    story = [e for e in rig.events if isinstance(e, (SaleCaptured, NozzleLifted, NozzleReturned))]
    assert [type(e) for e in story] == [NozzleLifted, NozzleReturned, SaleCaptured, NozzleLifted]
    assert len(rig.of(Authorised)) == 2, "the second delivery has its own authorisation"
    rig.pump.flow(500)
    rig.pump.hang_up()
    rig.run(5)
    assert [s[1] for s in rig.sales()] == [10_000, 5_000]


def test_a_stopped_pump_does_not_start_again_by_itself(fake):
    rig = Rig(fake)
    rig.run(5)
    rig.pump.lift()
    rig.run(4)
    rig.pump.flow(1000)
    assert rig.driver.stop(1)
    rig.run(6)
    assert rig.sales() == [(11, 10_000, 7_500, ())]
    assert rig.pump.status is PumpStatus.FILLING_COMPLETED
    assert len(rig.of(NozzleLifted)) == 1, "the nozzle is still out, but that is no new lift"
    assert not rig.driver.stop(1)


def test_a_totaliser_that_lags_is_waited_for(fake):
    rig = Rig(fake)
    rig.run(5)
    rig.pump.totals_lag = True
    rig.pump.lift()
    rig.run(4)
    rig.pump.flow(1000)
    rig.pump.hang_up()
    rig.run(1)
    assert rig.sales() == []
    rig.pump.count(1000, 7_500)
    rig.run(4)
    assert rig.sales() == [(11, 10_000, 7_500, ())]


def test_a_totaliser_that_stays_behind_is_flagged_and_owes(fake):
    rig = Rig(fake)
    rig.run(5)
    rig.pump.totals_lag = True
    rig.pump.lift()
    rig.run(4)
    rig.pump.flow(1000)
    rig.pump.hang_up()
    rig.run(15)
    assert rig.sales() == [(11, 10_000, 7_500, ("total_behind",))]
    rig.pump.totals_lag = False
    rig.pump.count(1000, 7_500)  # it comes in late: not another sale
    rig.fill(200)
    assert [s[1] for s in rig.sales()] == [10_000, 2_000]
    assert rig.sales()[1][3] == ()


def test_a_sale_whose_totals_nobody_could_read_is_owed_and_not_sold_again(fake):
    rig = Rig(fake)
    rig.run(5)
    rig.pump.totals_silent = True
    rig.fill(1000)
    rig.run(30)
    assert rig.sales() == [(11, 10_000, 7_500, ("no_total",))]
    # 10 litres stood on the totaliser before: what it must show now is known all the same.
    assert rig.of(SaleCaptured)[0].end_total_volume_ml == 20_000
    rig.pump.totals_silent = False
    rig.fill(200)
    assert [s[1:] for s in rig.sales()[1:]] == [(2_000, 1_500, ())]
    assert rig.of(SaleCaptured)[1].end_total_volume_ml == 22_000


def test_totals_that_were_never_read_make_no_sale_when_they_come(fake):
    rig = Rig(fake)
    rig.pump.totals_silent = True
    rig.run(30)
    rig.fill(1000)
    rig.run(30)
    assert rig.sales() == [(11, 10_000, 7_500, ("no_total",))]
    assert rig.of(SaleCaptured)[0].witness == UNREAD
    rig.pump.totals_silent = False
    rig.fill(200)
    assert [s[1] for s in rig.sales()[1:]] == [2_000], "and not all that ever went through the meter"


def test_a_sale_that_cannot_be_stored_keeps_the_pump_as_it_is(fake):
    rig = Rig(fake)
    rig.run(5)
    rig.refuse_to_store = 10**9
    rig.pump.lift()
    rig.run(4)
    rig.pump.flow(1000)
    rig.pump.hang_up()
    rig.pump.commands.clear()
    rig.run(1)
    rig.pump.lift()
    rig.run(0.5)
    assert rig.sales() == []
    assert "RESET" not in rig.pump.commands
    rig.refuse_to_store = 0
    rig.run(6)
    assert rig.sales() == [(11, 10_000, 7_500, ())]
    assert len(rig.of(Authorised)) == 2


def test_an_unknown_nozzle_is_no_nozzle(fake):
    rig = Rig(fake)
    rig.run(5)
    rig.pump.nozzle, rig.pump.out = 1, True
    from protocols.dart import NozzleReport

    rig.pump.report(NozzleReport(price_units=750, nozzle=0, out=True))
    rig.pump.report(NozzleReport(price_units=750, nozzle=9, out=True))
    rig.run(3)
    assert rig.of(NozzleLifted) == []


def test_price_change_counts_when_read_back(fake):
    rig = Rig(fake)
    rig.run(5)
    assert rig.driver.set_prices(1, {11: 799, 12: 820})
    rig.run(3)
    assert rig.pump.price == [799, 820]
    assert [(e.nozzle, e.price_fen_per_l, e.confirmed) for e in rig.of(PriceSet)] == [(11, 799, True)]
    rig.pump.lift(2)
    rig.run(2)
    assert [e.nozzle for e in rig.of(PriceSet)] == [11, 12]
    rig.pump.hang_up()
    rig.run(4)

    class Deaf(type(rig.pump)):
        def obey(self, transaction):
            if type(transaction).__name__ != "UnitPrices":
                super().obey(transaction)

    rig.pump.__class__ = Deaf
    assert rig.driver.set_prices(1, {12: 900})
    rig.run(12)
    last = rig.of(PriceSet)[-1]
    assert (last.nozzle, last.price_fen_per_l, last.confirmed) == (12, 820, False)


def test_addresses_that_do_not_fit_into_the_period_are_refused_with_the_figure(fake):
    with pytest.raises(ConfigError, match="period of at least"):
        DartDriver(fake.config(8, baud=9600))


@pytest.mark.requirement("fd-link.poll-period-holds-at-full-line")
def test_polls_stand_on_the_grid_and_never_spill_over(fake):
    rig = Rig(fake, count=4)
    rig.run(5)
    for pump in rig.pumps:
        pump.lift()
    rig.run(6)
    assert len(rig.of(Authorised)) == 4
    for start_us, data in rig.line.bursts:
        slot, offset = divmod(start_us % 250_000, 62_500)
        assert data[0] == 0x51 + slot
        if data[1] == 0x20 and offset:
            continue  # a further exchange inside the slot
    first = {start_us % 62_500 for start_us, data in rig.line.bursts if data[1] == 0x20 and len(data) == 3}
    assert 0 in first


def test_skipping_idle_polls_gives_the_same_events_at_the_same_times(fake):
    def story(skip):
        rig = Rig(fake, count=3)
        if skip:
            rig.driver.is_quiet = lambda address: rig.pumps[address - 0x51].side.quiet(address)
        rng = random.Random("skip")
        at_us = 5 * SECOND

        def act(k, what, *args):
            def run():
                getattr(rig.pumps[k], what)(*args)
                if skip:
                    rig.driver.wake(rig.line.now_us)

            return run

        for _ in range(12):
            for k in range(3):
                start_us = at_us + rng.randrange(0, 3 * SECOND)
                # never inside the flight time of a poll (2 ms here): the bus's own tests cover that window
                start_us += 5_000 if start_us % 83_333 < 4_000 else 0
                rig.line.at(start_us, act(k, "lift", rng.choice((1, 2))))
                rig.line.at(start_us + 5_012_345, act(k, "flow", rng.randrange(100, 900)))
                rig.line.at(start_us + 7_023_456, act(k, "flow", rng.randrange(100, 900)))
                rig.line.at(start_us + 9_034_567, act(k, "hang_up"))
            at_us += 20 * SECOND
        rig.run(260)
        return rig

    full, skipped = story(False), story(True)
    assert skipped.events == full.events
    assert len(full.of(SaleCaptured)) == 36
    assert skipped.line.frames < full.line.frames / 2
