"""The Two-Wire driver and the simulated dispenser on a modelled line."""

from __future__ import annotations

import itertools
import random

import pytest

from protocols.twowire import EIGHT_DIGITS, Quirks, Status
from reference.site.config import ConfigError, LineConfig
from reference.site.driver import SaleNotStored
from reference.site.events import (
    Authorised,
    DeliveryVoid,
    LineDown,
    LineUp,
    LiveAmount,
    NozzleLifted,
    PointState,
    PriceSet,
    SaleCaptured,
    TotalsRead,
)
from reference.site.twowire import TwoWireDriver
from sim.dispenser import Dispenser, FuellingPoint, Nozzle, Tank, TwoWireDispenser, TwoWireQuirks
from sim.kernel import Trace, VirtualKernel
from sim.wires import Capture, VirtualBus, WireFault

S = 1_000_000
GRADES = ("92", "95", "98", "diesel")


def line_config(pumps=1, *, nozzles=2, price=760, **more) -> LineConfig:
    settings = {"protocol": "twowire", "baud": 5787, "period_us": max(250_000, 100_000 * pumps), **more}
    settings["fuelling_points"] = [
        {
            "fuelling_point": number,
            "address": number,
            "nozzles": [
                {
                    "nozzle": 10 * number + logical,
                    "logical": logical,
                    "grade": GRADES[logical - 1],
                    "price_fen_per_l": price + 10 * logical,
                }
                for logical in range(1, nozzles + 1)
            ],
        }
        for number in range(1, pumps + 1)
    ]
    return LineConfig.model_validate(settings)


def make_points(pumps=1, *, nozzles=2, price=760) -> list[FuellingPoint]:
    return [
        FuellingPoint(
            number,
            [
                Nozzle(
                    logical=logical,
                    nozzle_id=10 * number + logical,
                    grade=GRADES[logical - 1],
                    tank=Tank(10 * number + logical, GRADES[logical - 1]),
                    price_fen_per_l=price + 10 * logical,
                )
                for logical in range(1, nozzles + 1)
            ],
        )
        for number in range(1, pumps + 1)
    ]


OPEN: list[VirtualKernel] = []


@pytest.fixture(autouse=True)
def _close_kernels():
    yield
    while OPEN:
        OPEN.pop().close()


class Site:
    """The controller's place on the bus: drivers come and go."""

    def __init__(self, driver):
        self.on_wake = None
        self.is_quiet = None
        self.replace(driver)

    def replace(self, driver):
        self.driver = driver
        driver.on_wake = lambda: self.on_wake and self.on_wake()
        driver.is_quiet = self.is_quiet
        if self.on_wake is not None:
            self.on_wake()

    def __setattr__(self, name, value):
        object.__setattr__(self, name, value)
        if name == "is_quiet" and hasattr(self, "driver"):
            self.driver.is_quiet = value

    def wake(self, now_us):
        self.driver.wake(now_us)

    def receive_data(self, data, now_us):
        self.driver.receive_data(data, now_us)

    def data_to_send(self, now_us):
        return self.driver.data_to_send(now_us)

    def next_timer(self):
        return self.driver.next_timer()

    def handle_timer(self, now_us):
        self.driver.handle_timer(now_us)


class Rig:
    """A driver that authorises every lift, and pumps, on one bus; sales and witnesses are kept as a journal would."""

    def __init__(
        self,
        pumps=1,
        *,
        nozzles=2,
        quirks=None,
        skip=False,
        faults=(),
        points=None,
        memory=None,
        seed="rig",
        device_price=760,
        reply_delay_us=5_000,
        model=None,
        bits_per_char=11,
        echo=False,
        **config,
    ):
        self.trace = Trace()
        self.kernel = VirtualKernel(seed, epoch_us=0, trace=self.trace)
        OPEN.append(self.kernel)
        self.config = line_config(pumps, nozzles=nozzles, echo=echo, **config)
        self.points = make_points(pumps, nozzles=nozzles, price=device_price) if points is None else points
        self.dispenser = Dispenser(self.points)
        more = {} if model is None else {"model": model}
        self.device = TwoWireDispenser(
            self.dispenser,
            {point.number: point for point in self.points},
            quirks=quirks,
            reply_delay_us=reply_delay_us,
            echo=echo,
            **more,
        )
        self.capture = Capture("line")
        self.bus = VirtualBus(
            self.kernel,
            "line",
            baud=self.config.baud,
            bits_per_char=bits_per_char,
            echo=echo,
            faults=[WireFault(**fault) for fault in faults],
            capture=self.capture,
            skip_idle_polls=skip,
        )
        self.memory = {} if memory is None else memory
        self.events = []
        self.preset_fen = self.preset_ml = None
        self.policy = True
        self.refuse_to_store = 0
        self.site = Site(self.new_driver())
        self.bus.attach(self.site, name="site", master=True, poll_lead_us=self.bus.burst_us(1))
        self.bus.attach(self.device, name="pumps", addresses=[point.number for point in self.points])

    @property
    def driver(self):
        return self.site.driver

    def kill_site(self, now_us):
        """kill -9 of the controller and a new one: it knows its journal and nothing else."""
        del now_us
        self.site.replace(self.new_driver())

    def new_driver(self):
        driver = TwoWireDriver(self.config)
        driver.listener = self.hear
        for nozzle, witness in self.memory.items():
            driver.remember(nozzle, witness)
        return driver

    def hear(self, event):
        if isinstance(event, SaleCaptured) and self.refuse_to_store:
            self.refuse_to_store -= 1
            raise SaleNotStored
        self.events.append(event)
        if isinstance(event, (SaleCaptured, TotalsRead)):
            self.memory[event.nozzle] = event.witness
        if isinstance(event, NozzleLifted) and self.policy:
            self.driver.authorise(
                event.fuelling_point, event.nozzle, preset_fen=self.preset_fen, preset_ml=self.preset_ml
            )

    def run(self, seconds):
        self.kernel.run(self.kernel.now_us + round(seconds * S))

    def at(self, seconds, act, *args):
        """Let the customer do something in so many seconds."""
        at_us = self.kernel.now_us + round(seconds * S)
        self.kernel.call_at(at_us, lambda: act(*args, self.kernel.now_us))

    def fill(self, seconds, point=1, nozzle=1, *, wait=4, flow=30_000, after=0):
        """Lift now, squeeze after `wait`, hang up `seconds` later."""
        fp = self.points[point - 1]
        self.at(after, lambda now_us: fp.lift(nozzle, now_us))
        self.at(after + wait, lambda now_us: fp.squeeze(now_us, flow))
        self.at(after + wait + seconds, fp.hang_up)

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]

    def sales(self):
        return [(e.nozzle, e.volume_ml, e.amount_fen, e.flags) for e in self.of(SaleCaptured)]

    def truth(self):
        made = [delivery for point in self.points for delivery in point.journal]
        return sorted((d.nozzle_id, d.volume_ml, d.amount_fen) for d in made if d.volume_ml)

    def assert_all_sold(self):
        assert sorted(sale[:3] for sale in self.sales()) == self.truth()


def test_a_full_sale_in_order():
    rig = Rig()
    rig.run(5)
    assert len(rig.of(LineUp)) == 1
    assert {e.nozzle for e in rig.of(TotalsRead)} == {11, 12}
    rig.fill(20, nozzle=2)
    rig.run(40)
    story = [type(e).__name__ for e in rig.events]
    start = story.index("NozzleLifted")
    story = [name for name in story[start:] if name not in {"StateChanged", "LiveAmount", "TotalsRead"}]
    assert story == ["NozzleLifted", "Authorised", "NozzleReturned", "SaleCaptured"]
    (sale,) = rig.of(SaleCaptured)
    delivery = rig.points[0].last_delivery
    assert (sale.nozzle, sale.volume_ml, sale.amount_fen) == (12, delivery.volume_ml, delivery.amount_fen)
    assert (sale.price_fen_per_l, sale.flags) == (780, ())
    assert sale.end_total_volume_ml == delivery.end_total_volume_ml
    assert sale.started_us < sale.ended_us <= sale.at_us
    amounts = [e.amount_fen for e in rig.of(LiveAmount)]
    assert amounts == sorted(set(amounts))
    assert len(amounts) > 40
    assert amounts[-1] <= sale.amount_fen
    assert rig.device.head(1).held is None
    assert rig.driver.status(1).state is PointState.IDLE


def test_a_single_nozzle_needs_no_query():
    rig = Rig(nozzles=1)
    rig.run(5)
    rig.fill(10)
    rig.run(25)
    rig.assert_all_sold()
    assert len(rig.sales()) == 1
    assert not [frame for frame in rig.capture if b"\xfe\xe0\xe1\xe0" in frame.data]


@pytest.mark.parametrize(("preset_fen", "preset_ml"), [(5_000, None), (None, 8_000)])
def test_presets_end_the_delivery_and_do_not_stay(preset_fen, preset_ml):
    rig = Rig()
    rig.preset_fen, rig.preset_ml = preset_fen, preset_ml
    rig.run(5)
    rig.fill(40)
    rig.run(60)
    rig.preset_fen = rig.preset_ml = None
    rig.fill(40)
    rig.run(60)
    rig.assert_all_sold()
    first, second = rig.of(SaleCaptured)
    if preset_fen is not None:
        assert preset_fen - 8 < first.amount_fen <= preset_fen
    else:
        assert first.volume_ml == preset_ml
    assert second.volume_ml > 15_000


def test_a_preset_that_was_not_used_does_not_limit_the_next_sale():
    rig = Rig()
    rig.preset_fen = 2_000
    rig.run(5)
    rig.at(0, rig.points[0].lift, 1)
    rig.at(4, rig.points[0].hang_up)
    rig.run(10)
    assert len(rig.of(DeliveryVoid)) == 1
    assert rig.sales() == []
    rig.preset_fen = None
    rig.fill(30)
    rig.run(50)
    rig.assert_all_sold()
    assert rig.of(SaleCaptured)[0].amount_fen > 2_000


@pytest.mark.requirement("fd-state.return-before-flow-makes-no-sale")
def test_a_lift_hung_up_at_once_is_no_sale():
    rig = Rig()
    rig.run(5)
    for _ in range(6):
        rig.at(0, rig.points[0].lift, 1)
        rig.at(0.7, rig.points[0].hang_up)
        rig.run(5)
    assert rig.sales() == []
    assert rig.driver.status(1).state is PointState.IDLE
    rig.fill(10)
    rig.run(25)
    rig.assert_all_sold()


def test_a_preset_too_long_for_the_display_is_refused():
    rig = Rig()
    rig.policy = False
    rig.run(5)
    rig.at(0, rig.points[0].lift, 1)
    rig.run(3)
    assert not rig.driver.authorise(1, 11, preset_ml=1_000_000)
    assert not rig.driver.authorise(1, 11, preset_fen=1_000_000)
    assert not rig.driver.authorise(1, 99)
    assert rig.driver.authorise(1, 11, preset_ml=999_990)
    rig.run(3)
    assert len(rig.of(Authorised)) == 1


def test_stop_ends_the_sale():
    rig = Rig()
    rig.run(5)
    rig.fill(30)
    rig.run(12)
    assert rig.driver.status(1).state is PointState.FUELLING
    assert rig.driver.stop(1)
    rig.run(3)
    assert rig.device.head(1).status(0) is Status.STOPPED
    assert rig.driver.status(1).state is PointState.SUSPENDED_FUELLING
    rig.run(40)
    rig.assert_all_sold()
    assert rig.points[0].last_delivery.flags == ("terminated",)


def test_stop_takes_back_an_authorisation():
    rig = Rig()
    rig.run(5)
    rig.at(0, rig.points[0].lift, 2)
    rig.run(4)
    assert rig.driver.status(1).state is PointState.STARTED
    assert rig.driver.stop(1)
    rig.run(3)
    assert rig.device.head(1).status(0) is Status.IDLE
    assert len(rig.of(DeliveryVoid)) == 1
    assert rig.sales() == []


@pytest.mark.requirement("fd-price.price-holds-for-a-delivery")
def test_prices_are_corrected_read_back_and_hold_for_a_delivery():
    rig = Rig(device_price=700)
    rig.run(12)
    assert [(e.nozzle, e.price_fen_per_l, e.confirmed) for e in rig.of(PriceSet)] == [
        (11, 770, True),
        (12, 780, True),
    ]
    rig.fill(20)
    rig.run(10)
    assert rig.driver.set_prices(1, {11: 801})
    rig.run(40)
    rig.fill(10)
    rig.run(40)
    rig.assert_all_sold()
    assert [sale.price_fen_per_l for sale in rig.of(SaleCaptured)] == [770, 801]
    assert rig.of(PriceSet)[-1].price_fen_per_l == 801


def test_a_price_that_the_pump_does_not_take_is_reported():
    rig = Rig()
    rig.run(8)
    rig.points[0].set_price = lambda *args: False
    rig.driver.set_prices(1, {12: 900})
    rig.run(60)
    assert [(e.nozzle, e.price_fen_per_l, e.confirmed) for e in rig.of(PriceSet)] == [(12, 780, False)]


# -- the variety of pumps -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "variety",
    [
        {"quirks": TwoWireQuirks(lagging_totals_us=2 * S)},
        {"quirks": TwoWireQuirks(line=Quirks(unanswered_polls=2))},
        {"quirks": TwoWireQuirks(end_status=Status.END_FEOT, marker=0xA, unknown=(0, 0, 0))},
        {"quirks": TwoWireQuirks(grades_in_money_presets=False, line=Quirks(strict_length=True))},
        {"reply_delay_us": 66 * 1000},
        {"echo": True},
        {"baud": 9600, "bits_per_char": 10},
        {"digits": 8, "model": EIGHT_DIGITS},
    ],
    ids=["lagging totals", "unanswered polls", "FEOT", "strict", "slow", "echo", "9600 8N1", "eight digits"],
)
def test_every_variety_sells_the_same(variety):
    rig = Rig(2, **variety)
    rig.preset_fen = 9_000
    rig.run(6)
    for number, (point, nozzle) in enumerate([(1, 1), (2, 2), (1, 2)]):
        rig.fill(12, point, nozzle, after=20 * (number // 2))
    rig.run(70)
    rig.assert_all_sold()
    assert len(rig.sales()) == 3
    assert {sale[3] for sale in rig.sales()} == {()}
    assert rig.driver.bad_answers == 0


def test_deviations_are_counted_as_warnings():
    rig = Rig(echo=True)
    rig.run(3)
    assert rig.driver.warnings == {}
    deaf = Rig()
    deaf.driver._wire._echo = True
    deaf.run(3)
    assert deaf.driver.warnings["echo missing"] > 5
    assert deaf.of(LineUp)


@pytest.mark.requirement("fd-met.totaliser-rollover-is-no-loss")
def test_totals_that_roll_over_lose_no_sale():
    rig = Rig(nozzles=1)
    nozzle = rig.points[0].nozzles[1]
    nozzle.total_volume_ml = 999_995_000  # eight digits of 10 ml end here
    nozzle.total_amount_fen = 99_999_500
    rig.run(5)
    for _ in range(3):
        rig.fill(15)
        rig.run(35)
    rig.assert_all_sold()
    assert {sale[3] for sale in rig.sales()} == {()}
    totals = [sale.end_total_volume_ml for sale in rig.of(SaleCaptured)]
    assert totals == [delivery.end_total_volume_ml for delivery in rig.points[0].journal]


# -- several pumps, and time ----------------------------------------------------------------------------------------


def busy_line(rig, pumps):
    rig.run(8)
    for round_ in range(3):
        for point in range(1, pumps + 1):
            rig.fill(14 + point, point, 1 + (point + round_) % 2, after=45 * round_ + 1.3 * point)
    rig.run(170)


def test_four_pumps_on_a_line():
    rig = Rig(4)
    busy_line(rig, 4)
    rig.assert_all_sold()
    assert len(rig.sales()) == 12
    assert {sale[3] for sale in rig.sales()} == {()}
    assert rig.bus.collisions == 0
    # A customer's figures are never older than two periods and the slots that long answers took.
    for point in range(1, 5):
        seen = [e.at_us for e in rig.of(LiveAmount) if e.fuelling_point == point]
        gaps = [b - a for a, b in itertools.pairwise(seen) if b - a < 5 * S]
        assert max(gaps) <= 1_300_000


def test_a_run_that_skips_idle_polls_is_the_run_that_sends_them():
    runs = [Rig(4, skip=skip) for skip in (False, True)]
    for rig in runs:
        busy_line(rig, 4)
    full, skipped = runs
    assert skipped.events == full.events
    frames = [{(frame.t_us, frame.sender, frame.data) for frame in rig.capture} for rig in runs]
    assert frames[1] < frames[0]


def test_too_many_pumps_for_the_period_are_refused():
    with pytest.raises(ConfigError, match="period of at least"):
        TwoWireDriver(line_config(4, period_us=250_000))
    with pytest.raises(ValueError, match=r"1\.\.16"):
        line_config(17, period_us=2_000_000)
    TwoWireDriver(line_config(16, period_us=1_400_000))


# -- faults ---------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("fd-link.offline-after-k-missed-polls")
def test_a_cut_line_is_off_line_and_what_happened_meanwhile_is_sold():
    rig = Rig(faults=[{"kind": "down", "at_us": 20 * S, "for_us": 40 * S}])
    rig.run(5)
    rig.fill(25, nozzle=2)  # the line is cut in the middle of it
    rig.run(20)
    assert rig.of(LineDown)
    assert rig.driver.status(1).state is PointState.OFFLINE
    rig.run(60)
    rig.assert_all_sold()
    (sale,) = rig.of(SaleCaptured)
    assert sale.flags == ("recovered",)
    assert len(rig.of(LineUp)) == 2


def test_several_deliveries_behind_the_controllers_back_are_found_by_the_totals():
    rig = Rig(faults=[{"kind": "down", "at_us": 10 * S, "for_us": 90 * S}])
    rig.run(12)
    point = rig.points[0]
    for number in range(2):
        # The attendant authorises at the pump itself.
        rig.at(30 * number, point.authorise)
        rig.at(30 * number + 1, point.lift, 1)
        rig.at(30 * number + 2, lambda now_us: point.squeeze(now_us, 30_000))
        rig.at(30 * number + 17, point.hang_up)
    rig.run(110)
    sold = [(sale.volume_ml, sale.flags) for sale in rig.of(SaleCaptured)]
    first, last = point.journal
    assert sold == [(first.volume_ml, ("reconstructed", "recovered")), (last.volume_ml, ("recovered",))]
    assert sum(sale.amount_fen for sale in rig.of(SaleCaptured)) == first.amount_fen + last.amount_fen


@pytest.mark.requirement("fd-pwr.running-delivery-is-adopted")
def test_a_running_delivery_is_adopted_and_sold_once():
    rig = Rig()
    rig.run(6)
    rig.fill(30, nozzle=2)
    rig.at(15, rig.kill_site)
    rig.run(20)
    assert rig.driver.status(1).state is PointState.FUELLING
    assert rig.driver.status(1).delivering == 12
    before = rig.driver.status(1).amount_fen
    assert before > 0
    rig.run(1)
    assert rig.driver.status(1).amount_fen > before
    rig.run(40)
    rig.assert_all_sold()


@pytest.mark.requirement("fc-sale.one-delivery-one-ledger-sale")
def test_a_controller_killed_at_any_moment_of_the_capture_sells_once():
    """From the hang-up on, every 60 ms: before, between and after the readings that let the pump forget."""
    for step in range(40):
        rig = Rig(nozzles=1, seed=f"kill/{step}")
        rig.run(5)
        rig.fill(6)
        rig.at(9.9 + 0.06 * step, rig.kill_site)
        rig.run(25)
        rig.assert_all_sold()
        assert len(rig.sales()) == 1, step
        OPEN.pop().close()


def test_a_sale_that_could_not_be_stored_is_offered_again():
    rig = Rig()
    rig.refuse_to_store = 3
    rig.run(5)
    rig.fill(12)
    rig.run(40)
    assert rig.refuse_to_store == 0
    rig.assert_all_sold()


@pytest.mark.requirement("fd-pwr.interrupted-sale-uploads-once-flagged")
def test_a_power_cut_in_the_middle_of_a_delivery():
    rig = Rig()
    rig.run(5)
    rig.fill(30)
    rig.at(14, rig.dispenser.cut_power)
    rig.at(20, rig.dispenser.restore_power)
    rig.run(60)
    rig.assert_all_sold()
    assert rig.points[0].journal[0].flags == ("power-failure",)
    assert len(rig.sales()) == 1


FAULTS = {
    "drop": {"kind": "drop", "probability": 0.1},
    "flip": {"kind": "flip", "probability": 0.03},
    "cut": {"kind": "cut", "probability": 0.1},
    "duplicate": {"kind": "duplicate", "probability": 0.1, "delay_us": 2_000},
    "noise": {"kind": "noise", "every_us": 400_000, "noise_bytes": 3},
}


@pytest.mark.requirement("fd-link.failure-counter-resets")
@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("seed", ["a", "b"])
def test_line_faults_neither_lose_nor_double_a_sale(kind, seed):
    fault = {"at_us": 8 * S, "for_us": 122 * S, **FAULTS[kind]}
    rig = Rig(4, faults=[fault], seed=seed)
    busy_line(rig, 4)
    rig.run(30)
    assert rig.bus.faults[0].landed > 20
    made = (
        sum(d.volume_ml for p in rig.points for d in p.journal),
        sum(d.amount_fen for p in rig.points for d in p.journal),
    )
    sold = sum(s.volume_ml for s in rig.of(SaleCaptured)), sum(s.amount_fen for s in rig.of(SaleCaptured))
    assert sold == made
    rig.assert_all_sold()


def storm(seed: str) -> Rig:
    """Four pumps, a dozen sales, every kind of fault now and then, a controller that is killed, power that fails."""
    rng = random.Random(f"storm/{seed}")
    faults = []
    for number, kind in enumerate(FAULTS):
        at_us = rng.randrange(8, 100) * S
        faults.append(
            {"name": f"{kind}-{number}", "at_us": at_us, "for_us": rng.randrange(5, 40) * S, **FAULTS[kind]}
        )
    faults.append({"kind": "down", "at_us": rng.randrange(10, 120) * S, "for_us": rng.randrange(1, 12) * S})
    quirks = TwoWireQuirks(
        lagging_totals_us=rng.choice([0, 0, 1_500_000]), line=Quirks(unanswered_polls=rng.choice([0, 0, 1]))
    )
    rig = Rig(4, faults=faults, seed=seed, quirks=quirks)
    rig.preset_fen = rng.choice([None, 6_000])
    for _ in range(rng.randrange(4)):
        rig.at(rng.uniform(8, 150), rig.kill_site)
    busy_line(rig, 4)
    rig.run(60)
    return rig


def assert_storm_is_weathered(seed: str) -> None:
    rig = storm(seed)
    made = [d for point in rig.points for d in point.journal]
    assert made
    for what in ("volume_ml", "amount_fen"):
        sold = sum(getattr(sale, what) for sale in rig.of(SaleCaptured))
        assert sold == sum(getattr(delivery, what) for delivery in made), what
    rig.assert_all_sold()


@pytest.mark.parametrize("seed", range(4))
def test_a_storm_neither_loses_nor_doubles_a_sale(seed):
    assert_storm_is_weathered(str(seed))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_hundred_storms():
    for seed in range(100, 300):
        assert_storm_is_weathered(str(seed))
        while OPEN:
            OPEN.pop().close()
