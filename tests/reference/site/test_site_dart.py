from __future__ import annotations

import random

import pytest

from protocols.dart import CommandCode, FilledReport, PumpStatus
from reference.site.config import ConfigError
from reference.site.dart import DartDriver
from reference.site.driver import SaleNotStored
from reference.site.events import (
    Authorised,
    AuthoriseRefused,
    DeliveryVoid,
    LineDown,
    LineUp,
    LiveAmount,
    NozzleLifted,
    NozzleReturned,
    PointState,
    PriceSet,
    SaleCaptured,
    TotalsRead,
)
from reference.site.witness import Witness

SECOND = 1_000_000


class Rig:
    """A driver, a pump and the wire between them; `policy` authorises every lift at once."""

    def __init__(self, fake, *, policy=True, count=1, memory=None, pumps=None, preset_fen=None, **config):
        self.driver = DartDriver(fake.config(count, **config))
        self.pumps = pumps or [fake.Pump(0x51 + k) for k in range(count)]
        self.line = fake.Line(self.driver, self.pumps)
        self.events = []
        self.policy = policy
        self.preset_fen = preset_fen
        self.refuse_to_store = 0
        self.driver.listener = self.hear
        self.memory = {} if memory is None else memory
        for nozzle, witness in self.memory.items():
            self.driver.remember(nozzle, witness)

    @property
    def pump(self):
        return self.pumps[0]

    def hear(self, event):
        if isinstance(event, SaleCaptured) and self.refuse_to_store:
            self.refuse_to_store -= 1
            raise SaleNotStored
        self.events.append(event)
        if isinstance(event, (SaleCaptured, TotalsRead)):
            self.memory[event.nozzle] = event.witness
        if isinstance(event, NozzleLifted) and self.policy:
            assert self.driver.authorise(event.fuelling_point, event.nozzle, preset_fen=self.preset_fen)

    def run(self, seconds):
        self.line.run(round(seconds * SECOND))

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]

    def sales(self):
        return [(e.nozzle, e.volume_ml, e.amount_fen, e.flags) for e in self.of(SaleCaptured)]

    def fill(self, pulses=2000, nozzle=1):
        self.pump.lift(nozzle)
        self.run(4)
        self.pump.flow(pulses // 2)
        self.run(1)
        self.pump.flow(pulses - pulses // 2)
        self.run(1)
        self.pump.hang_up()
        self.run(5)


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


@pytest.mark.requirement("fd-link.offline-after-k-missed-polls", "fd-link.failure-counter-resets")
@pytest.mark.parametrize("flaps", [1, 20])
def test_offline_after_exactly_k_missed_polls_each_time(fake, flaps):
    rig = Rig(fake, missed_polls_offline=5)
    rig.run(5)
    for flap in range(flaps):
        rig.line.drop_polls = 4
        rig.run(3)
        assert len(rig.of(LineDown)) == flap, "four lost polls are not off-line"
        rig.line.drop_polls = 5
        before_us = rig.line.now_us
        rig.run(5)
        downs = rig.of(LineDown)
        assert len(downs) == flap + 1
        # five polls, one period apart, and the patience with the fifth
        assert 4 * 250_000 <= downs[-1].at_us - before_us <= 5 * 250_000 + 60_000
        assert len(rig.of(LineUp)) == flap + 2


@pytest.mark.requirement("fd-link.reads-before-commands-after-recovery")
def test_after_a_lost_link_the_first_frames_read(fake):
    rig = Rig(fake)
    rig.run(5)
    rig.fill(1000)
    rig.line.cut = True
    rig.run(5)
    rig.pump.commands.clear()
    rig.line.cut = False
    rig.pump.lift()
    rig.run(5)
    first_command = next(
        i for i, c in enumerate(rig.pump.commands) if c in ("RESET", "CD2", "AUTHORISE", "CD5")
    )
    reads = rig.pump.commands[:first_command]
    assert reads[0] == "RETURN_STATUS"
    assert "RETURN_FILLING" in reads
    assert reads.count("CD101") == 4, "both totals of both nozzles"
    assert len(rig.sales()) == 1


@pytest.mark.requirement(
    "fd-link.reads-before-commands-after-recovery", "fc-sale.one-delivery-one-ledger-sale"
)
def test_a_sale_that_ends_while_the_link_is_lost_is_captured_once(fake):
    rig = Rig(fake)
    rig.run(5)
    rig.pump.lift()
    rig.run(4)
    rig.pump.flow(500)
    rig.run(1)
    rig.line.cut = True
    rig.pump.flow(700)
    rig.pump.hang_up()
    rig.run(8)
    assert rig.driver.status(1).state is PointState.OFFLINE
    rig.line.cut = False
    rig.run(8)
    assert rig.sales() == [(11, 12_000, 9_000, ("recovered",))]
    rig.fill(300)
    assert [s[1] for s in rig.sales()] == [12_000, 3_000]


@pytest.mark.requirement("fd-met.live-values-grow-and-end-at-sale")
def test_figures_never_fall_while_the_link_is_lost_and_read_again(fake):
    rig = Rig(fake)
    rig.run(5)
    rig.pump.lift()
    rig.run(4)
    shown = []

    def watch(seconds):
        for _ in range(10 * seconds):
            rig.run(0.1)
            status = rig.driver.status(1)
            shown.append((status.delivering, status.volume_ml))

    rig.pump.flow(500)
    watch(2)
    rig.line.cut = True
    rig.pump.flow(300)
    watch(6)
    assert rig.driver.status(1).state is PointState.OFFLINE
    rig.line.cut = False
    watch(6)  # read before command: for a while nothing but the status is known
    rig.pump.flow(200)
    watch(2)
    begun = [one for one in shown if one[0] is not None]
    assert shown[-len(begun) :] == begun, "a delivery that has begun stays one"
    assert {nozzle for nozzle, _ in begun} == {11}
    assert [volume_ml for _, volume_ml in begun] == sorted(volume_ml for _, volume_ml in begun)
    assert begun[-1] == (11, 10_000)


@pytest.mark.requirement("fd-met.live-values-grow-and-end-at-sale")
def test_a_smaller_figure_of_the_same_delivery_is_not_shown_and_the_next_one_starts_from_nothing(fake):
    rig = Rig(fake)
    rig.run(5)
    rig.pump.lift()
    rig.run(4)
    rig.pump.flow(500)
    rig.run(1)
    rig.pump.report(FilledReport(volume_units=499, amount_units=3742))  # an old block, told once more
    rig.run(1)
    assert rig.driver.status(1).volume_ml == 5_000
    assert [event.volume_ml for event in rig.of(LiveAmount)] == [5_000]
    rig.pump.hang_up()
    rig.run(4)
    assert rig.driver.status(1).volume_ml == 0
    rig.pump.lift()
    rig.run(4)
    rig.pump.flow(30)
    rig.run(1)
    assert (rig.driver.status(1).delivering, rig.driver.status(1).volume_ml) == (11, 300)
    assert [sale[1] for sale in rig.sales()] == [5_000]


@pytest.mark.requirement("fd-pwr.partial-sale-is-reconstructed")
def test_a_delivery_that_was_never_seen_is_reconstructed_from_the_totaliser(fake):
    rig = Rig(fake)
    rig.run(5)
    rig.line.cut = True
    rig.run(5)
    # Two deliveries by other means while nobody listened: only the second is on the display.
    rig.pump.count(1500, 11_250)
    rig.pump.count(400, 3_000)
    rig.pump.volume, rig.pump.amount = 400, 3_000
    rig.line.cut = False
    rig.run(12)
    assert rig.sales() == [
        (11, 15_000, 11_250, ("reconstructed", "recovered")),
        (11, 4_000, 3_000, ("recovered",)),
    ]
    rig.run(5)
    assert len(rig.sales()) == 2


def test_a_delivery_found_running_at_a_restart_is_adopted(fake):
    rig = Rig(fake)
    rig.run(5)
    rig.pump.lift()
    rig.run(4)
    rig.pump.flow(800)
    rig.run(1)
    again = Rig(fake, memory=rig.memory, pumps=rig.pumps)
    again.run(3)
    assert again.driver.status(1).state is PointState.FUELLING
    again.pump.flow(200)
    again.pump.hang_up()
    again.run(5)
    assert again.sales() == [(11, 10_000, 7_500, ())]
    # without any memory (a new controller) the running delivery is still one sale
    rig.pump.lift()
    again.run(4)
    again.pump.flow(100)
    fresh = Rig(fake, pumps=rig.pumps)
    fresh.run(3)
    fresh.pump.hang_up()
    fresh.run(5)
    assert fresh.sales() == [(11, 1_000, 750, ("adopted",))]


def test_restarts_at_any_moment_capture_each_delivery_once(fake):
    rng = random.Random("restarts")
    memory, sold = {}, []
    pump = fake.Pump()
    rig = Rig(fake, memory=memory, pumps=[pump])
    rig.run(5)
    for _ in range(40):
        pulses = rng.randrange(100, 5000)
        steps = [
            lambda: pump.lift(rng.choice((1, 2))),
            lambda pulses=pulses: pump.flow(pulses),
            pump.hang_up,
        ]
        for step in steps:
            while (
                step is not pump.hang_up
                and step is not steps[0]
                and pump.status
                not in (
                    PumpStatus.AUTHORISED,
                    PumpStatus.FILLING,
                )
            ):
                rig.run(0.5)
            step()
            rig.run(rng.uniform(0, 3))
            if rng.random() < 0.5:
                sold += rig.sales()
                rig = Rig(fake, memory=memory, pumps=[pump])
                pump.side.restart()
        rig.run(8)
    sold += rig.sales()
    assert [(nozzle - 10, ml // 10, fen) for nozzle, ml, fen, _ in sold] == pump.truth
    assert len(pump.truth) == 40


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
