"""The reference driver at pumps with every quirk that is known from the field: no sale lost, none twice."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from protocols.dart import Command, CommandCode, FilledReport, PresetVolume, Quirks, encode_data
from reference.site.config import LineConfig
from reference.site.pumps.dart import DartDriver
from reference.site.pumps.events import (
    Authorised,
    AuthoriseRefused,
    DeliveryVoid,
    DriverEvent,
    LineDown,
    LineUp,
    NozzleLifted,
    SaleCaptured,
    TotalsRead,
)
from reference.site.pumps.intents import Phase, Read
from reference.site.pumps.modbus import ModbusDriver
from sim.dispenser import (
    DartDispenser,
    DartQuirks,
    Dispenser,
    DispenserProfile,
    FpState,
    FuellingPoint,
    ModbusDispenser,
    Nozzle,
    Tank,
)
from sim.kernel import VirtualKernel
from sim.wires import VirtualBus

S = 1_000_000
ADDRESS = 0x50


class DeafEar:
    """The driver behind a serial port that reports every so manieth data frame with a parity error."""

    def __init__(self, driver: DartDriver, every: int) -> None:
        self._driver = driver
        self._every = every
        self._heard = 0
        self.on_wake = None

    def receive_data(self, data: bytes, now_us: int) -> None:
        if len(data) > 3:
            self._heard += 1
            if self._heard % self._every == 0:
                self._driver.parity_error()
        self._driver.receive_data(data, now_us)

    def data_to_send(self, now_us: int):
        return self._driver.data_to_send(now_us)

    def next_timer(self) -> int | None:
        return self._driver.next_timer()

    def handle_timer(self, now_us: int) -> None:
        self._driver.handle_timer(now_us)


def make_point(number: int, **profile) -> FuellingPoint:
    tank = Tank(number, "92")
    nozzle = Nozzle(logical=1, nozzle_id=number, grade="92", tank=tank, price_fen_per_l=750)
    return FuellingPoint(number, [nozzle], profile=DispenserProfile(**profile))


class Rig:
    """One line with one pump (or a second one), a driver that authorises each lift, and a seeded customer."""

    def __init__(
        self,
        quirks: DartQuirks | None = None,
        *,
        seed: int = 1,
        master: Quirks | None = None,
        parity_every: int = 0,
        profile: dict | None = None,
        second: DartQuirks | None = None,
        preset_fen: int | None = None,
        priced: bool = True,
        protocol: str = "dart",
    ) -> None:
        self.kernel = VirtualKernel(f"quirks/{seed}", epoch_us=0)
        self.rng = Random(f"customer/{seed}")
        self.point = make_point(1, **(profile or {}))
        if not priced:
            self.point.nozzles[1].price_fen_per_l = 0
        self.dispenser = Dispenser([self.point])
        config = LineConfig.model_validate(
            {
                "protocol": protocol,
                "framing": "rtu",
                "baud": 9_600 if protocol == "dart" else 19_200,
                "fuelling_points": [
                    {
                        "fuelling_point": 1,
                        "address": ADDRESS,
                        "nozzles": [{"nozzle": 1, "grade": "92", "price_fen_per_l": 750}],
                    }
                ],
            }
        )
        self.pump: DartDispenser | ModbusDispenser
        self.driver: DartDriver | ModbusDriver
        if protocol == "dart":
            self.pump = DartDispenser(self.dispenser, {ADDRESS: self.point}, quirks=quirks)
            self.driver = DartDriver(config, quirks=master)
        else:
            self.pump = ModbusDispenser(self.dispenser, ADDRESS, framing="rtu", baud=19_200)
            self.driver = ModbusDriver(config)
        self.driver.listener = self.hear
        self.preset_fen = preset_fen
        self.policy = True
        self.events: list[DriverEvent] = []
        self.bus = VirtualBus(self.kernel, "line", baud=config.baud)
        self.bus.attach(self.pump, name="pump", addresses=[ADDRESS])
        if second is not None:
            self.other = Dispenser([make_point(2)])
            wrong = DartDispenser(self.other, {ADDRESS + 1: self.other.fuelling_points[2]}, quirks=second)
            self.bus.attach(wrong, name="wrong", addresses=[ADDRESS + 1, ADDRESS])
        machine = DeafEar(self.driver, parity_every) if parity_every else self.driver
        self.bus.attach(machine, name="site", master=True)

    def hear(self, event: DriverEvent) -> None:
        self.events.append(event)
        if isinstance(event, NozzleLifted) and self.policy:
            self.driver.authorise(1, event.nozzle, preset_fen=self.preset_fen)

    def run(self, for_us: int) -> None:
        self.kernel.run(until_us=self.kernel.now_us + for_us)

    def sell(self, count: int = 6, *, pause_us: int = 4 * S) -> None:
        """Customers, one after the other; each waits for the pump, and gives up after half a minute."""
        self.run(3 * S)
        for _ in range(count):
            self.point.lift(1, self.kernel.now_us)
            for _ in range(60):
                self.run(S // 2)
                if self.point.state in {FpState.STARTED, FpState.FUELLING}:
                    break
            self.point.squeeze(self.kernel.now_us, self.rng.randrange(8_000, 45_000))
            self.run(self.rng.randrange(2 * S, 12 * S))
            self.point.hang_up(self.kernel.now_us)
            self.run(pause_us + self.rng.randrange(S))
        self.run(15 * S)

    @property
    def captured(self) -> list[tuple[int, int, int, int]]:
        return [
            (event.volume_ml, event.amount_fen, event.end_total_volume_ml, event.end_total_amount_fen)
            for event in self.events
            if isinstance(event, SaleCaptured)
        ]

    @property
    def truth(self) -> list[tuple[int, int, int, int]]:
        return [
            (sale.volume_ml, sale.amount_fen, sale.end_total_volume_ml, sale.end_total_amount_fen)
            for sale in self.point.journal
        ]

    def check(self, least: int = 6) -> None:
        assert self.captured == self.truth
        assert len(self.truth) >= least

    def flags(self) -> set[str]:
        return {flag for event in self.events if isinstance(event, SaleCaptured) for flag in event.flags}


def pump_quirks() -> Iterator[object]:
    line = {
        "wraps-to-0": Quirks(tx_wrap=0),
        "wraps-to-1": Quirks(tx_wrap=1),
        "counts-nothing": Quirks(tx_always_zero=True),
        "acknowledges-as-0": Quirks(ack_always_zero=True),
        "leaves-polls-unanswered": Quirks(unanswered_polls=2),
        "totals-of-13-bytes": Quirks(totals_bytes=13),
        "checksum-unescaped": Quirks(checksum_unescaped=True),
    }
    head = {
        "well-behaved": DartQuirks(),
        "late-prices": DartQuirks(late_price_us=3 * S, forgets_prices=True),
        "ignores-resets": DartQuirks(ignored_resets=3),
        "parity-errors": DartQuirks(parity_every=3),
        "glues-answers": DartQuirks(glue_every=4),
        "glues-every-other-answer": DartQuirks(glue_every=2),
        "tells-newest-only": DartQuirks(newest_only=True),
        "everything-at-once": DartQuirks(
            late_price_us=2 * S,
            ignored_resets=2,
            parity_every=7,
            glue_every=9,
            newest_only=True,
            line=Quirks(tx_wrap=0, unanswered_polls=1, totals_bytes=13, checksum_unescaped=True),
        ),
    }
    for name, quirks in line.items():
        yield pytest.param(DartQuirks(line=quirks), id=name)
    for name, one in head.items():
        yield pytest.param(one, id=name)


@pytest.mark.requirement("fc-sale.one-delivery-one-ledger-sale", "fd-link.nak-is-retried-not-offline")
@pytest.mark.parametrize("quirks", list(pump_quirks()))
@pytest.mark.parametrize("preset_fen", [None, 2_000], ids=["full", "preset"])
def test_the_driver_lives_with_the_quirk(quirks: DartQuirks, preset_fen: int | None) -> None:
    rig = Rig(quirks, preset_fen=preset_fen)
    rig.sell(8)
    rig.check(8)
    assert rig.flags() <= {"adopted"}
    assert not any(isinstance(event, LineDown) for event in rig.events)


def test_prices_that_take_effect_late_are_waited_for() -> None:
    rig = Rig(DartQuirks(late_price_us=3 * S), priced=False)
    rig.sell(3)
    rig.check(3)
    assert rig.point.nozzles[1].price_fen_per_l == 750


def test_a_power_cut_that_loses_the_prices_costs_no_sale() -> None:
    rig = Rig(DartQuirks(late_price_us=2 * S, forgets_prices=True))
    rig.sell(2)
    rig.point.lift(1, rig.kernel.now_us)
    rig.run(4 * S)
    rig.point.squeeze(rig.kernel.now_us, 30_000)
    rig.run(3 * S)
    rig.dispenser.cut_power(rig.kernel.now_us)
    rig.run(20 * S)
    rig.point.hang_up(rig.kernel.now_us)
    rig.dispenser.restore_power(rig.kernel.now_us)
    rig.run(10 * S)
    rig.sell(2)
    rig.check(5)
    assert sum(isinstance(event, LineUp) for event in rig.events) == 2
    assert "power-failure" in rig.point.journal[2].flags


@pytest.mark.parametrize("outage_us", [2 * S, 5 * S, 14 * S])
def test_a_filling_that_goes_on_after_a_short_outage_is_one_sale(outage_us: int) -> None:
    rig = Rig(profile={"resume_outage_us": 15 * S})
    rig.run(3 * S)
    rig.point.lift(1, rig.kernel.now_us)
    rig.run(4 * S)
    rig.point.squeeze(rig.kernel.now_us, 30_000)
    rig.run(3 * S)
    rig.dispenser.cut_power(rig.kernel.now_us)
    rig.run(outage_us)
    rig.dispenser.restore_power(rig.kernel.now_us)
    rig.run(4 * S)
    rig.point.hang_up(rig.kernel.now_us)
    rig.run(15 * S)
    rig.check(1)
    assert rig.truth[0][0] > 3_000


@pytest.mark.requirement("fc-sale.one-delivery-one-ledger-sale")
def test_a_driver_that_acknowledges_everything_as_0_is_lived_with_and_warned_of() -> None:
    rig = Rig(master=Quirks(ack_always_zero=True, tx_always_zero=True))
    rig.sell(6)
    rig.check()
    assert rig.pump.warnings["ack zero"] > 10
    assert not rig.driver.warnings


def test_the_driver_warns_of_a_pump_that_acknowledges_as_0_or_forgets_its_escapes() -> None:
    rig = Rig(DartQuirks(line=Quirks(ack_always_zero=True)))
    rig.sell(3)
    rig.check(3)
    assert rig.driver.warnings["ack zero"] > 5
    rig = Rig(DartQuirks(line=Quirks(checksum_unescaped=True)), seed=0)
    rig.sell(12, pause_us=2 * S)
    rig.check(12)
    assert rig.driver.warnings["checksum unescaped"] > 0


@pytest.mark.parametrize("every", [2, 3, 5])
def test_parity_errors_at_the_driver_s_ear_cost_no_sale(every: int) -> None:
    rig = Rig(parity_every=every)
    rig.sell(6)
    rig.check()
    assert rig.driver.bad_frames > 3


@pytest.mark.requirement("fd-link.wrong-address-has-no-effect")
@pytest.mark.parametrize("seed", range(3))
def test_a_second_pump_on_the_address_costs_no_sale_once_it_is_gone(seed: int) -> None:
    rig = Rig(seed=seed, second=DartQuirks(second_address=ADDRESS))
    rig.other.cut_power(0)
    rig.sell(2)
    rig.check(2)
    # The pump with the wrong switch gets power in the middle of a sale, and loses it again.
    rig.point.lift(1, rig.kernel.now_us)
    rig.run(4 * S)
    rig.point.squeeze(rig.kernel.now_us, 20_000)
    rig.run(3 * S)
    rig.other.restore_power(rig.kernel.now_us)
    rig.run(4 * S)
    rig.point.hang_up(rig.kernel.now_us)
    rig.run(6 * S)
    assert rig.bus.collisions > 5
    rig.other.cut_power(rig.kernel.now_us)
    rig.run(10 * S)
    rig.sell(2)
    rig.check(5)


@pytest.mark.requirement("fd-state.fast-nozzle-cycle-keeps-deliveries-apart")
@pytest.mark.parametrize("quirks", [DartQuirks(), DartQuirks(newest_only=True)], ids=["history", "newest"])
@pytest.mark.parametrize("gap_us", [1_000, 40_000, 120_000, 249_000])
def test_a_nozzle_in_or_out_for_less_than_a_poll_loses_and_doubles_nothing(
    quirks: DartQuirks, gap_us: int
) -> None:
    rig = Rig(quirks)
    rig.sell(1)
    rig.point.lift(1, rig.kernel.now_us)
    rig.run(4 * S)
    rig.point.squeeze(rig.kernel.now_us, 30_000)
    rig.run(5 * S)
    rig.point.hang_up(rig.kernel.now_us)
    rig.run(gap_us)
    rig.point.lift(1, rig.kernel.now_us)  # at once the next one
    rig.run(6 * S)
    if rig.point.state in {FpState.STARTED, FpState.FUELLING}:
        rig.point.squeeze(rig.kernel.now_us, 30_000)
        rig.run(5 * S)
    else:
        assert not rig.point.squeeze(rig.kernel.now_us, 30_000)  # never on the old authorisation
    rig.point.hang_up(rig.kernel.now_us)
    rig.run(6 * S)
    # And out for less than a poll, without fuel.
    rig.point.lift(1, rig.kernel.now_us)
    rig.run(gap_us)
    rig.point.hang_up(rig.kernel.now_us)
    rig.run(8 * S)
    assert not rig.point.allowed_nozzles
    rig.sell(2)
    rig.check(4)


@pytest.mark.requirement("fd-met.totaliser-rollover-is-no-loss")
@pytest.mark.parametrize(("volume_digits", "amount_digits"), [(6, 6), (8, 8), (8, 10), (10, 10), (0, 0)])
@pytest.mark.parametrize("before", [100, 1_500])
def test_a_totaliser_that_rolls_over_costs_no_sale(
    volume_digits: int, amount_digits: int, before: int
) -> None:
    rig = Rig(profile={"total_volume_digits": volume_digits, "total_amount_digits": amount_digits})
    nozzle = rig.point.nozzles[1]
    nozzle.total_volume_ml = 10 ** ((volume_digits or 10) + 1) - 10 * before
    nozzle.total_amount_fen = 10 ** (amount_digits or 10) - 10 * before
    rig.sell(6)
    assert [sale[:2] for sale in rig.captured] == [sale[:2] for sale in rig.truth]
    assert len(rig.truth) == 6
    assert rig.flags() <= {"adopted"}
    reads = [event.witness.volume_ml for event in rig.events if isinstance(event, TotalsRead | SaleCaptured)]
    assert max(reads) - min(reads) > 10**6  # it did roll over


@pytest.mark.parametrize("reason", ["emergency", "lock"])
def test_a_pump_that_refuses_is_reported_and_sells_again_afterwards(reason: str) -> None:
    rig = Rig()
    rig.sell(2)
    if reason == "emergency":
        rig.point.emergency_stop(rig.kernel.now_us)
    else:
        rig.point.lock(rig.kernel.now_us)
    rig.point.lift(1, rig.kernel.now_us)
    rig.run(30 * S)
    assert not rig.point.squeeze(rig.kernel.now_us, 30_000)
    assert (reason == "emergency") or any(isinstance(event, AuthoriseRefused) for event in rig.events)
    rig.point.hang_up(rig.kernel.now_us)
    if reason == "emergency":
        assert rig.point.reset_emergency(rig.kernel.now_us, "manager")
    else:
        assert rig.point.unlock(rig.kernel.now_us)
    rig.sell(2)
    rig.check(4)


def test_a_preset_that_nobody_here_sent_is_cleared_when_the_pump_does_not_obey() -> None:
    """A head that hears itself on an echoing line takes its status for a RESET and its nozzle report for a preset."""
    rig = Rig()
    rig.sell(1)
    rig.policy = False
    head = rig.pump.head(ADDRESS)
    head.execute(Command(code=CommandCode.RESET), rig.kernel.now_us)
    rig.run(2 * S)
    head.execute(PresetVolume(volume_units=0), rig.kernel.now_us)
    rig.point.lift(1, rig.kernel.now_us)
    rig.run(2 * S)
    rig.driver.authorise(1, 1)
    rig.run(10 * S)
    assert not any(isinstance(event, AuthoriseRefused) for event in rig.events)
    assert rig.point.state is FpState.STARTED


@pytest.mark.parametrize("offset_ms", range(-300, 301, 25))
def test_a_lift_around_an_authorisation_sells_or_does_not_and_nothing_between(offset_ms: int) -> None:
    rig = Rig()
    rig.policy = False
    rig.run(5 * S)
    start_us = rig.kernel.now_us + 500_000
    rig.kernel.call_at(start_us, lambda: rig.driver.authorise(1, 1))
    rig.kernel.call_at(start_us + offset_ms * 1_000, lambda: rig.point.lift(1, rig.kernel.now_us))
    rig.run(6 * S)
    told = [event for event in rig.events if isinstance(event, Authorised | AuthoriseRefused)]
    assert len(told) == 1
    # The driver takes an authorisation back that finds no nozzle out; the lift may still come in between.
    stopped = any(isinstance(event, DeliveryVoid) for event in rig.events)
    sells = isinstance(told[0], Authorised) and not stopped
    assert (rig.point.state is FpState.STARTED) == sells
    assert rig.point.squeeze(rig.kernel.now_us, 30_000) == sells
    rig.run(3 * S)
    rig.point.hang_up(rig.kernel.now_us)
    rig.run(6 * S)
    assert rig.captured == rig.truth
    assert len(rig.truth) == sells


@pytest.mark.requirement("fd-met.test-deliveries-are-flagged", "fd-pwr.interrupted-sale-uploads-once-flagged")
def test_a_driver_whose_protocol_has_flags_passes_on_what_matters() -> None:
    rig = Rig(protocol="modbus")
    rig.sell(1)
    rig.point.set_test(rig.kernel.now_us, True)
    rig.sell(1)
    rig.point.set_test(rig.kernel.now_us, False)
    rig.point.lift(1, rig.kernel.now_us)
    rig.run(4 * S)
    rig.point.squeeze(rig.kernel.now_us, 30_000)
    rig.run(4 * S)
    rig.dispenser.cut_power(rig.kernel.now_us)
    rig.run(20 * S)
    rig.point.hang_up(rig.kernel.now_us)
    rig.dispenser.restore_power(rig.kernel.now_us)
    rig.run(10 * S)
    rig.check(3)
    flags = [event.flags for event in rig.events if isinstance(event, SaleCaptured)]
    assert ["test" in one for one in flags] == [False, True, False]
    assert ["power-failure" in one for one in flags] == [False, False, True]


def test_figures_that_answer_the_last_question_leave_nothing_to_poll_for() -> None:
    """A head that answers RETURN_FILLING by itself: the next poll is the next slot's, as for any idle point."""
    nozzle = {"nozzle": 1, "logical": 1, "grade": "92", "price_fen_per_l": 700}
    point = {"fuelling_point": 1, "address": 0x50, "nozzles": [nozzle]}
    driver = DartDriver(
        LineConfig.model_validate({"protocol": "dart", "baud": 19_200, "fuelling_points": [point]})
    )
    (logic,) = driver.points
    logic.up, logic.busy, logic.phase = True, True, Phase.COMPLETED
    logic._reads = {(Read.FILLING, 0): [0, 1]}  # asked for, and nothing else is waited for
    driver.handle_timer(0)
    (poll,) = driver.data_to_send(0)
    assert poll.data == bytes.fromhex("5020FA")
    report = FilledReport(volume_units=100, amount_units=700).encode()
    driver.receive_data(encode_data(0x50, 1, report), 4_000)
    assert not logic.busy
    assert driver.next_timer() == driver.config.period_us
