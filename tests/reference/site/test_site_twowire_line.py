"""The Two-Wire driver with every variety of pump, and with several on a line."""

from __future__ import annotations

import itertools

import pytest

from protocols.twowire import EIGHT_DIGITS, Quirks, Status
from reference.site.config import ConfigError
from reference.site.pumps.events import (
    LineUp,
    LiveAmount,
    SaleCaptured,
)
from reference.site.pumps.twowire.driver import TwoWireDriver
from sim.dispenser import TwoWireQuirks

from .twowire_rig import Rig, S, busy_line, line_config

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
