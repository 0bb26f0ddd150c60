"""The AA FF driver and the simulated dispenser: the ordinary course of sales, and which lines can be."""

from __future__ import annotations

from typing import Any

import pytest

from protocols import aaff
from protocols.aaff import Command, LineTiming
from reference.site.config import ConfigError, LineConfig
from reference.site.pumps.aaff.driver import AaFfDriver
from reference.site.pumps.events import (
    Authorised,
    AuthoriseRefused,
    DeliveryVoid,
    LineUp,
    LiveAmount,
    NozzleLifted,
    PointState,
    PriceSet,
)
from reference.site.pumps.witness import Witness
from sim.dispenser import AaFfQuirks

from .aaff_rig import EPOCH_US, Rig, S, line_config, questions

# --- the ordinary course -------------------------------------------------------------------------------------------


@pytest.mark.requirement("fd-met.live-values-grow-and-end-at-sale")
def test_a_sale_in_order() -> None:
    rig = Rig().run(3)
    assert rig.story() == ["LineUp"]
    assert rig.memory == {11: Witness(0, 0)}
    rig.events.clear()
    rig.fill()
    assert rig.story() == ["NozzleLifted", "Authorised", "NozzleReturned", "SaleCaptured"]
    sale, delivery = rig.journal[0], rig.point.journal[0]
    assert (sale.nozzle, sale.price_fen_per_l, sale.flags, sale.more) == (11, 700, (), False)
    assert sale.end_total_amount_fen == delivery.end_total_amount_fen
    live = [event.volume_ml for event in rig.of(LiveAmount)]
    assert live == sorted(set(live))
    assert 10 <= len(live) <= 14
    assert live[-1] <= sale.volume_ml
    assert sale.started_us < sale.ended_us <= sale.at_us
    rig.check()
    assert rig.driver.status(1).state is PointState.IDLE


def test_the_poll_carries_the_time_and_is_sent_every_0_8_s_and_nothing_else() -> None:
    rig = Rig().run(5)
    rig.said.clear()
    seen: list[tuple[int, int | None]] = []

    def look(who: str, command: int, data: bytes) -> list[bytes]:
        if who == "master":
            seen.append((rig.now_us, aaff.decode_time(data[6:12])))
        return [data]

    rig.tamper = look
    rig.run(8)
    assert rig.said == [Command.POLL] * 10
    assert [at_us for at_us, _ in seen] == list(range(seen[0][0], rig.now_us + 1, 800_000))[:10]
    assert all(told == (EPOCH_US + at_us) // S * S for at_us, told in seen)


def test_a_faster_poll_brings_more_live_figures() -> None:
    rig = Rig(period_us=250_000).run(3).fill()
    assert 35 <= len(rig.of(LiveAmount)) <= 45
    rig.check()


def test_presets_by_amount_volume_and_none() -> None:
    rig = Rig()
    rig.preset_fen = 30_00
    rig.run(3).fill(30)
    assert rig.journal[0].amount_fen <= 30_00 < rig.journal[0].amount_fen + 7
    rig.policy = False
    rig.lift()
    assert rig.driver.authorise(1, 11, preset_ml=2_500)
    rig.run(2).squeeze(20).hang_up()
    assert rig.journal[1].volume_ml == 2_500
    rig.lift()
    assert not rig.driver.authorise(1, 99)
    assert rig.driver.authorise(1, None)
    assert not rig.driver.authorise(1, None)  # one at a time
    rig.run(2).squeeze(20).hang_up()
    assert rig.journal[2].volume_ml > 10_000
    rig.check()


def test_nothing_delivered_is_no_sale() -> None:
    rig = Rig().run(3).lift().hang_up()
    assert (len(rig.of(DeliveryVoid)), rig.journal) == (1, [])
    rig.fill().check()


@pytest.mark.requirement("fd-state.fast-nozzle-cycle-keeps-deliveries-apart")
def test_hung_up_and_lifted_within_one_poll_is_two_sales_with_an_authorisation_each() -> None:
    rig = Rig().run(3).lift().squeeze()
    rig.point.hang_up(rig.now_us)
    rig.now_us += 50_000
    rig.point.lift(1, rig.now_us)
    rig.run(5).squeeze().hang_up()
    assert len(rig.of(Authorised)) == 2
    rig.check()


def test_lifted_again_after_nothing_was_delivered() -> None:
    rig = Rig().run(3).lift()
    rig.point.hang_up(rig.now_us)
    rig.now_us += 50_000
    rig.point.lift(1, rig.now_us)
    rig.run(4)
    assert len(rig.of(NozzleLifted)) == len(rig.of(Authorised)) == 2
    rig.squeeze().hang_up().check()


def test_stop_during_a_sale_and_of_an_authorisation() -> None:
    rig = Rig().run(3)
    assert not rig.driver.stop(1)
    rig.lift().squeeze(5)
    assert rig.driver.stop(1)
    rig.run(3)
    assert rig.driver.status(1).state is PointState.IDLE  # the nozzle is out, but only a new lift calls
    assert len(rig.journal) == 1
    rig.hang_up().lift()
    assert rig.driver.stop(1)
    rig.run(3)
    assert len(rig.of(DeliveryVoid)) == 1
    rig.hang_up().check()


@pytest.mark.requirement("fd-price.price-confirmed-by-readback")
def test_prices_are_put_right_at_the_start_and_changed_between_sales() -> None:
    rig = Rig(pump_price=650).run(3)
    assert [(e.price_fen_per_l, e.confirmed) for e in rig.of(PriceSet)] == [(700, True)]
    rig.lift().squeeze(4)
    assert rig.driver.set_prices(1, {11: 733})
    assert not rig.driver.set_prices(1, {12: 733})
    rig.squeeze(4)
    assert len(rig.of(PriceSet)) == 1  # not while fuel flows
    rig.hang_up()
    assert [(e.price_fen_per_l, e.confirmed) for e in rig.of(PriceSet)][1:] == [(733, True)]
    rig.fill()
    assert [sale.price_fen_per_l for sale in rig.journal] == [700, 733]
    rig.check()


@pytest.mark.requirement("fd-price.failed-change-is-never-silent")
def test_a_price_that_is_not_taken_is_said() -> None:
    rig = Rig().run(3)
    rig.tamper = questions(Command.PRICES)
    rig.driver.set_prices(1, {11: 733})
    rig.run(60)
    assert [(e.price_fen_per_l, e.confirmed) for e in rig.of(PriceSet)][-1] == (700, False)


@pytest.mark.requirement("fd-auth.refused-preset-is-reported")
def test_another_echo_is_a_refusal_and_leaves_nothing_authorised() -> None:
    rig = Rig(quirks=AaFfQuirks(most_units=200_00))
    rig.preset_fen = 300_00
    rig.run(3).lift()
    refused = rig.of(AuthoriseRefused)[0]
    assert "took 20000 (type 0) for 30000" in refused.reason
    rig.run(3)
    assert rig.point.state.name == "IDLE"
    rig.squeeze(3)
    assert rig.point.reading(rig.now_us).volume_ml == 0


def test_a_plain_refusal() -> None:
    rig = Rig()
    rig.preset_fen = 99_999_999  # more than the dispenser allows
    rig.run(3).lift()
    assert [event.reason for event in rig.of(AuthoriseRefused)] == ["pump answers 1"]
    assert rig.driver.status(1).state is PointState.CALLING


# --- the line ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("fd-link.poll-period-holds-at-full-line")
def test_as_many_guns_as_fit_and_no_more() -> None:
    rig = Rig(guns=8).run(5)
    assert len(rig.of(LineUp)) == 8
    polls = [command for command in rig.said if command == Command.POLL]
    assert len(polls) >= 8 * 6
    rig.fill().check()
    assert rig.driver.overruns == 0
    with pytest.raises(ConfigError, match=r"32 fuelling points need a period of at least \d+ us"):
        AaFfDriver(line_config(32))
    need_us = LineTiming().exchange_us * 32
    AaFfDriver(line_config(32, period_us=need_us))
    AaFfDriver(line_config(24, tcp="127.0.0.1:4001"))  # bytes take no time there


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"address": 33}, "not an AA FF gun"),
        (
            {"nozzles": [{"nozzle": n, "logical": n, "grade": "92", "price_fen_per_l": 1} for n in (1, 2)]},
            "one nozzle",
        ),
        ({"nozzles": [{"nozzle": 1, "logical": 2, "grade": "92", "price_fen_per_l": 1}]}, "one nozzle"),
    ],
)
def test_impossible_lines(change: dict[str, Any], why: str) -> None:
    point = {
        "fuelling_point": 1,
        "address": 1,
        "nozzles": [{"nozzle": 1, "grade": "92", "price_fen_per_l": 1}],
    } | change
    with pytest.raises(ValueError, match=why):
        LineConfig.model_validate({"protocol": "aaff", "fuelling_points": [point]})


def test_usual_pace() -> None:
    usual = line_config()
    assert (usual.baud, usual.period_us) == (38_400, 800_000)
    other = line_config(baud=4800, period_us=500_000)
    assert (other.baud, other.period_us) == (4800, 500_000)
