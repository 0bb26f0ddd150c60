"""Drills of a small station: nozzles, prices, presets, power, the line. What the controller says, and what flows."""

from __future__ import annotations

from mutants.bench import SECOND, Bench
from mutants.checks import (
    attribution,
    deliveries_only_when_allowed,
    line_stayed_up,
    no_deviation,
    one_price,
    oracles,
    points_sell,
    prices_are_read_back,
    said,
    served,
)
from protocols.dart import NozzleReport
from reference.site.pumps.events import DriverEvent, LineDown, LineUp, NozzleLifted, PriceSet
from scenarios.verdicts import CheckResult

__all__ = [
    "deaf_to_prices",
    "locked_off_line",
    "lost_polls",
    "nozzle_zero",
    "outage",
    "outage_of_four",
    "price_while_fuelling",
    "refused_preset",
    "same_price_again",
    "stop",
]

_SALES = ("sale.exactly-once", "conservation.litres")
_ALL = (*_SALES, "totals.monotone")
_HOST = "backend.station"


def refused_preset() -> list[CheckResult]:
    """An order with a preset that the pump refuses; its time runs out, and the next customer comes without one."""
    with Bench(site={"authorisation_ttl_us": 20 * SECOND}) as bench:
        bench.kernel.call_later(0, lambda: bench.ledger.order(11, "order-1", preset_fen=2_000_000))
        bench.run(1)
        bench.lift()
        bench.run(15)
        bench.hang_up()
        bench.run(15)
        bench.fill(6_000)
        delivered = [delivery.volume_ml for delivery in bench.record().deliveries]
        problems = [] if delivered == [6_000] else [f"6000 ml were wanted, delivered: {delivered}"]
        return [
            said("drill.preset-leaves-no-trace", problems, "the next customer got what he took"),
            *oracles(bench, *_SALES),
        ]


def same_price_again() -> list[CheckResult]:
    """The office sends the prices that the pump has already; then somebody fills."""
    with Bench() as bench:
        bench.fill(3_000)
        bench.site.set_prices({11: 760})
        bench.run(5)
        bench.fill(4_000)
        return [*oracles(bench, *_SALES), no_deviation(bench), served(bench)]


def nozzle_zero() -> list[CheckResult]:
    """A pump of two nozzles tells "nozzle 0 is out" before it knows which; it is the second."""
    with Bench(nozzles=2) as bench:
        bench.fill(3_000, logical=1)
        lifts: list[tuple[NozzleLifted, int | None]] = []
        hear = bench.site.drivers[0].listener

        def listen(event: DriverEvent) -> None:
            if isinstance(event, NozzleLifted):
                out = bench.points[1].nozzle_out
                lifts.append((event, None if out is None else 10 + out))
            hear(event)

        bench.site.drivers[0].listener = listen
        bench.pump.head(0x51)._send((NozzleReport(price_units=0, nozzle=0, out=True),))
        bench.run(1)
        bench.fill(4_000, logical=2)
        bench.run(3)
        problems = [
            f"nozzle {event.nozzle} is said to be out, out is {out or 'none'}"
            for event, out in lifts
            if event.nozzle != out
        ]
        return [
            said("drill.lifts-are-real", problems, f"{len(lifts)} lift told, of the nozzle that was out"),
            *oracles(bench, *_SALES),
            attribution(bench),
        ]


def deaf_to_prices() -> list[CheckResult]:
    """A pump acknowledges two price changes and does not obey; the third it takes."""
    with Bench() as bench:
        bench.fill(3_000)
        told: list[tuple[PriceSet, int]] = []
        hear = bench.site.drivers[0].listener

        def listen(event: DriverEvent) -> None:
            if isinstance(event, PriceSet):
                told.append((event, bench.points[1].nozzles[1].price_fen_per_l))
            hear(event)

        bench.site.drivers[0].listener = listen
        head = bench.pump.head(0x51)
        obey, deaf = head._set_prices, 2

        def set_prices(prices: tuple[int, ...], now_us: int) -> None:
            nonlocal deaf
            if deaf:
                deaf -= 1
            else:
                obey(prices, now_us)

        head._set_prices = set_prices
        bench.site.set_prices({11: 799})
        bench.run(15)
        bench.fill(4_000)
        return [prices_are_read_back(told), *oracles(bench, *_SALES), one_price(bench, (760, 799))]


def price_while_fuelling() -> list[CheckResult]:
    """Somebody types a new price into the dispenser while fuel flows."""
    with Bench(profile={"price_while_busy": "next"}) as bench:
        bench.lift()
        bench.run(3)
        bench.points[1].set_tank_capacity(8_000)
        bench.squeeze()
        bench.run(5)
        bench.points[1].set_price(bench.now_us, 1, 900)
        bench.run(15)
        bench.hang_up()
        bench.run(5)
        bench.fill(4_000)
        return [one_price(bench, (760, 900)), *oracles(bench, "conservation.litres", "totals.monotone")]


def outage() -> list[CheckResult]:
    """The power fails for a minute while fuel flows, and the nozzle stays in the car, its trigger locked."""
    with Bench() as bench:
        bench.lift()
        bench.run(3)
        bench.squeeze()
        bench.run(6)
        bench.dispenser.cut_power(bench.now_us)
        cut_ml = bench.points[1].reading(bench.now_us).volume_ml
        bench.run(60)
        bench.dispenser.restore_power(bench.now_us)
        bench.run(30)
        bench.hang_up()
        bench.run(5)
        allowed = deliveries_only_when_allowed(bench, cut_ml)
        before = {1: len(bench.site.journal.all_sales())}
        bench.fill(4_000)
        return [allowed, points_sell(bench, before), *oracles(bench, *_ALL)]


def outage_of_four() -> list[CheckResult]:
    """A dispenser of four fuelling points is without power for a minute; afterwards each of them is wanted."""
    with Bench(points=4) as bench:
        for point in bench.points:
            bench.fill(1_000, point=point)
        bench.dispenser.cut_power(bench.now_us)
        bench.run(60)
        bench.dispenser.restore_power(bench.now_us)
        bench.run(10)
        before = dict.fromkeys(bench.points, 1)
        for point in bench.points:
            bench.fill(1_000, point=point)
        return [points_sell(bench, before), served(bench), *oracles(bench, *_ALL)]


def locked_off_line() -> list[CheckResult]:
    """The back office is away, and the station's policy is to sell nothing then."""
    with Bench(site={"offline_policy": "deny"}) as bench:
        bench.fill(3_000)
        bench.kernel.call_later(0, bench.network.kill, _HOST)
        bench.run(20)
        bench.fill(5_000)
        denied = deliveries_only_when_allowed(bench, 3_000)
        bench.kernel.call_later(0, bench.network.restore, _HOST)
        bench.run(20)
        bench.fill(4_000)
        return [denied, points_sell(bench, {1: 1}), *oracles(bench, *_SALES)]


def lost_polls() -> list[CheckResult]:
    """Two polls go lost, three times, long apart; then the line is cut twice, for good each time."""
    with Bench() as bench:
        lose = 0

        def losing(burst: bytes) -> bytes:
            nonlocal lose
            if lose:
                lose -= 1
                return b""
            return burst

        bench.at_pump.incoming = losing
        since_us = bench.now_us
        for _ in range(3):
            lose = 2
            bench.run(5)
        single = line_stayed_up(bench, since_us)
        problems = []
        for cut in (1, 2):
            downs, ups = len(bench.told(LineDown)), len(bench.told(LineUp))
            lose = 1_000_000
            bench.run(10)
            if len(bench.told(LineDown)) != downs + 1:
                problems.append(f"cut {cut} was not told")
            lose = 0
            bench.run(10)
            if len(bench.told(LineUp)) != ups + 1:
                problems.append(f"the end of cut {cut} was not told")
        bench.fill(4_000)
        return [
            single,
            said("drill.nobody-falls-silent", problems, "two cuts and their ends were told"),
            *oracles(bench, *_SALES),
        ]


def stop() -> list[CheckResult]:
    """The controller stops a delivery; the customer squeezes the trigger again, the nozzle still out."""
    with Bench() as bench:
        bench.lift()
        bench.run(3)
        bench.squeeze()
        bench.run(6)
        bench.site.stop_pump(1)
        bench.run(3)
        stopped_ml = bench.record().tank_draws[0].volume_ml
        bench.points[1].release(bench.now_us)
        bench.run(2)
        bench.squeeze()
        bench.run(10)
        bench.hang_up()
        bench.run(5)
        flow = deliveries_only_when_allowed(bench, stopped_ml)
        return [flow, *oracles(bench, *_SALES)]
