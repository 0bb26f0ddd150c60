"""What the drills judge beside the oracles of `scenarios`: each check answers PASS or FAIL with its reasons."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from types import MappingProxyType
from typing import Any, Final

from mutants.bench import EPOCH_US, SECOND, STATION, Bench
from reference.site.pumps.events import LineDown, PriceSet
from scenarios.oracles import judge
from scenarios.record import Delivery
from scenarios.verdicts import CheckResult, Verdict
from sim.dispenser import FpState

__all__ = [
    "CHECKS",
    "attribution",
    "deliveries_only_when_allowed",
    "line_stayed_up",
    "no_deviation",
    "one_price",
    "oracles",
    "points_sell",
    "prices_are_read_back",
    "said",
    "sale_times",
    "served",
    "totals_as_the_pump_has_them",
]

CHECKS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "sale.exactly-once": "each delivery once in the site's journal and once in the ledger, with the pump's figures",
        "conservation.litres": "litres at the meter = in the journal = in the ledger = out of the tanks",
        "totals.monotone": "the pump's totalisers rise by exactly each delivery",
        "live.monotone": "live figures never fall and end at the sale",
        "drill.frames-heard": "every good frame is heard, whole and once, whatever stood before it",
        "drill.damage-changes-nothing": "a damaged frame brings no event",
        "drill.numbers-in-step": "the pump sees no gap in the controller's block numbers",
        "drill.line-stays-up": "fewer missed polls in a row than the limit do not make a point off-line",
        "drill.nobody-falls-silent": "what K missed polls mean is noticed each time",
        "drill.lifts-are-real": "a lift is told only of the nozzle that is out",
        "drill.sale-as-delivered": "the journal's sales are the deliveries in their order, none guessed from totals",
        "drill.totals-as-the-pump": "end totals of each sale in the journal are the pump's own",
        "drill.customers-served": "whoever lifts a nozzle gets what he wants",
        "drill.preset-leaves-no-trace": "after a refused preset the next customer gets what he takes",
        "drill.price-read-back": "a price is told only when the pump shows it",
        "drill.one-price": "a delivery has the price of its beginning, and its amount follows from it",
        "drill.no-flow-unallowed": "no fuel flows that nobody allowed",
        "drill.points-sell": "every fuelling point sells again afterwards",
        "drill.times-as-delivered": "each sale has the time at which it ended",
        "drill.upload-once": "no upload is refused as another sale under a known number",
        "drill.temperature": "a tank's temperature has its sign and its size",
        "drill.tanker-once": "a tanker's delivery is booked once, whole",
        "drill.runs": "the station runs the drill to its end",
    }
)
"""Every check of the drills, and what it demands; the first four are oracles of `scenarios.oracles`."""


def said(slug: str, problems: Iterable[str], good: str) -> CheckResult:
    """FAIL with the first problems, or PASS with ``good``."""
    found = list(problems)
    if not found:
        return CheckResult(slug, Verdict.PASS, good)
    more = f"; and {len(found) - 3} more" if len(found) > 3 else ""
    return CheckResult(slug, Verdict.FAIL, "; ".join(found[:3]) + more)


def oracles(bench: Bench, *slugs: str) -> list[CheckResult]:
    """The named oracles, and that no upload was refused."""
    record = bench.record()
    results = [judge(record, slug) for slug in slugs]
    refused = (f"nozzle {row['nozzle']} no. {row['sequence']}" for row in bench.ledger.refused)
    results.append(said("drill.upload-once", refused, f"{len(bench.ledger.rows)} rows in the ledger"))
    return results


def _by_nozzle(rows: Iterable[Any]) -> dict[int, list[Any]]:
    found: defaultdict[int, list[Any]] = defaultdict(list)
    for row in rows:
        found[row.nozzle].append(row)
    return found


def _pairs(bench: Bench) -> list[tuple[Delivery | None, Any]]:
    """Deliveries and journal sales of each nozzle, in their order, side by side."""
    deliveries = _by_nozzle(bench.record().deliveries)
    sales = _by_nozzle(bench.site.journal.all_sales())
    return [
        pair
        for nozzle in sorted(deliveries.keys() | sales.keys())
        for pair in zip_longest(deliveries.get(nozzle, []), sales.get(nozzle, []))
    ]


def attribution(bench: Bench) -> CheckResult:
    """The journal has the deliveries in their order, each as the pump told it."""
    problems = []
    for delivery, sale in _pairs(bench):
        if delivery is None or sale is None:
            problems.append(f"a delivery without sale, or a sale without delivery: {delivery or sale}")
        elif (sale.volume_ml, sale.amount_fen) != (delivery.volume_ml, delivery.amount_fen):
            problems.append(
                f"nozzle {sale.nozzle} no. {sale.sequence}: {sale.volume_ml} ml, delivered {delivery.volume_ml} ml"
            )
        elif "reconstructed" in sale.flags:
            problems.append(f"nozzle {sale.nozzle} no. {sale.sequence} was guessed from the totals")
    return said("drill.sale-as-delivered", problems, "journal and deliveries agree, one by one")


def totals_as_the_pump_has_them(bench: Bench) -> CheckResult:
    """End totals in the journal are those of the pump: neither swapped nor scaled."""
    problems = []
    for delivery, sale in _pairs(bench):
        if delivery is None or sale is None:
            continue
        told = sale.end_total_volume_ml, sale.end_total_amount_fen
        true = delivery.end_total_volume_ml, delivery.end_total_amount_fen
        if told != true:
            problems.append(f"nozzle {sale.nozzle} no. {sale.sequence}: totals {told}, the pump's {true}")
    return said("drill.totals-as-the-pump", problems, "every end total is the pump's")


def sale_times(bench: Bench, *, within_us: int = 2 * SECOND) -> CheckResult:
    """Each sale's end is the delivery's, to the second."""
    problems = []
    for delivery, sale in _pairs(bench):
        if delivery is None or sale is None:
            continue
        off_us = sale.ended_us - EPOCH_US - delivery.ended_us
        if abs(off_us) > within_us:
            problems.append(
                f"nozzle {sale.nozzle} no. {sale.sequence} ended {off_us // SECOND:+d} s from its time"
            )
    return said("drill.times-as-delivered", problems, "every sale has its own time")


def one_price(bench: Bench, prices_fen_per_l: Sequence[int]) -> CheckResult:
    """Deliveries, in order, at these prices; volume times price, rounded half up, is the amount."""
    problems = []
    for delivery, price in zip_longest(bench.record().deliveries, prices_fen_per_l):
        if delivery is None or price is None:
            problems.append("there are more or fewer deliveries than prices")
            continue
        due_fen = (delivery.volume_ml * price + 500) // 1000
        if (delivery.price_fen_per_l, delivery.amount_fen) != (price, due_fen):
            problems.append(
                f"{delivery.volume_ml} ml at {price} fen/l are {due_fen} fen; the record says {delivery.amount_fen} fen "
                f"at {delivery.price_fen_per_l}"
            )
    return said("drill.one-price", problems, "one price a delivery")


def prices_are_read_back(told: Sequence[tuple[PriceSet, int]]) -> CheckResult:
    """At each confirmation (event, what the pump's nozzle had at that instant) the two were the same."""
    problems = [
        f"nozzle {event.nozzle} is said to sell at {event.price_fen_per_l}, it has {pump}"
        for event, pump in told
        if event.confirmed and event.price_fen_per_l != pump
    ]
    return said("drill.price-read-back", problems, f"{len(told)} prices told")


def deliveries_only_when_allowed(bench: Bench, allowed_ml: int) -> CheckResult:
    """So much, and no more, has left the tanks."""
    drawn_ml = sum(draw.volume_ml for draw in bench.record().tank_draws)
    problems = []
    if drawn_ml > allowed_ml:
        problems.append(f"{drawn_ml} ml have left the tanks, {allowed_ml} ml were allowed")
    return said("drill.no-flow-unallowed", problems, f"{drawn_ml} ml, all of them allowed")


def line_stayed_up(bench: Bench, since_us: int) -> CheckResult:
    """No fuelling point was told off-line since then."""
    problems = [
        f"fuelling point {event.fuelling_point} was told off-line at {event.at_us} us"
        for event in bench.told(LineDown)
        if event.at_us >= since_us
    ]
    return said("drill.line-stays-up", problems, f"{STATION} stayed on line")


def no_deviation(bench: Bench) -> CheckResult:
    """The dispenser noted nothing that a controller should not do."""
    problems = [f"{kind}: {times} times" for kind, times in sorted(bench.pump.warnings.items())]
    return said("drill.numbers-in-step", problems, "no deviation was noted")


def served(bench: Bench) -> CheckResult:
    """Every customer of `Bench.fill` got what he wanted."""
    return said("drill.customers-served", bench.unserved, "every customer was served")


def points_sell(bench: Bench, before: Mapping[int, int]) -> CheckResult:
    """Each fuelling point has more sales in the journal than ``before`` (fuelling point -> sales), and is ready."""
    after: defaultdict[int, int] = defaultdict(int)
    for sale in bench.site.journal.all_sales():
        after[sale.fuelling_point] += 1
    problems = [
        f"fuelling point {number} sells no more (it is {FpState(point.state).name})"
        for number, point in bench.points.items()
        if after[number] <= before.get(number, 0)
    ]
    return said("drill.points-sell", problems, "every fuelling point sells")
