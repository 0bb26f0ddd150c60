"""Tanks: what the gauge says has gone is what was sold, and each tanker is booked once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from scenarios.oracles.answer import answer, nothing_seen
from scenarios.record import BookedDelivery, RunRecord, TankerWitness
from scenarios.verdicts import CheckResult

__all__ = ["deliveries_booked", "litres_by_gauge"]

_BOOKED_AFTER_US = 180_000_000
"""A delivery is booked with the first reading after its quiet time; a gauge is read once a minute at least."""


def litres_by_gauge(record: RunRecord, _limits: Mapping[str, int]) -> CheckResult:
    """Opening + tankers - closing (all by gauge, but for the tankers' own papers) = sold, within the declared error."""
    slug = "tank.litres-by-gauge"
    if not record.tanks or not record.deliveries:
        return nothing_seen(slug, record, "no gauge, or no delivery at a nozzle")
    problems, worst = [], 0
    gone_total = sold_total = error_total = 0
    for tank in record.tanks:
        sold = Counter[bool]()
        running = False
        for delivery in record.deliveries:
            if delivery.tank in tank.tanks:
                if delivery.started_us < tank.until_us < delivery.ended_us:
                    running = True
                if not delivery.is_test:  # its fuel is in the tank again
                    sold[delivery.ended_us <= tank.until_us] += delivery.volume_ml
        if running:
            continue  # the last reading fell into a delivery: what had flowed by then nobody wrote down
        gone_ml = tank.opening_ml + tank.received_ml - tank.closing_ml
        expected_ml = sold[True] + tank.leaked_ml - tank.expanded_ml
        off_ml = gone_ml - expected_ml
        worst = max(worst, abs(off_ml))
        gone_total, sold_total, error_total = (
            gone_total + gone_ml,
            sold_total + sold[True],
            error_total + tank.error_ml,
        )
        if abs(off_ml) > tank.error_ml:
            problems.append(
                f"tank {tank.group}: by gauge {gone_ml:,} ml have gone, {expected_ml:,} ml were sold, leaked or shrank; "
                f"the gauge's declared error is {tank.error_ml:,} ml"
            )
    figures = {
        "gone_by_gauge_ml": gone_total,
        "sold_ml": sold_total,
        "declared_error_ml": error_total,
        "worst_ml": worst,
    }
    good = (
        f"{gone_total:,} ml gone by gauge, {sold_total:,} ml sold; no tank is off by more than {worst:,} ml"
    )
    return answer(slug, record, problems, good, figures)


def deliveries_booked(record: RunRecord, limits: Mapping[str, int]) -> CheckResult:
    """Each tanker that had ended long enough before the run did is booked once, within its share; and nothing else is."""
    slug = "tank.deliveries-booked"
    quiet_us = limits["quiet_us"]
    due = [
        tanker
        for tanker in _joined(record.tankers, quiet_us)
        if tanker.ended_us + quiet_us + _BOOKED_AFTER_US <= record.ended_us
    ]
    if not due:
        return nothing_seen(slug, record, "no tanker that came and went")
    problems: list[str] = []
    left: list[BookedDelivery] = list(record.booked)
    worst_per_mille = 0
    for tanker in due:
        mine = [b for b in left if b.group == tanker.group and _meet(b, tanker, quiet_us)]
        for booked in mine:
            left.remove(booked)
        what = f"tank {tanker.group}: {tanker.volume_ml:,} ml delivered"
        if len(mine) != 1:
            problems.append(f"{what}, booked {len(mine)} times")
            continue
        off_ml = mine[0].volume_ml - tanker.volume_ml
        worst_per_mille = max(worst_per_mille, 1_000 * abs(off_ml) // tanker.volume_ml)
        if 1_000 * abs(off_ml) > limits["off_per_mille"] * tanker.volume_ml:
            problems.append(f"{what}, {mine[0].volume_ml:,} ml booked")
    late = [t for t in _joined(record.tankers, quiet_us) if t not in due]
    problems += [
        f"tank {booked.group}: {booked.volume_ml:,} ml booked that nobody delivered"
        for booked in left
        if not any(booked.group == tanker.group and _meet(booked, tanker, quiet_us) for tanker in late)
    ]
    names = Counter(booked.entry_key for booked in record.booked)
    problems += [f"entry {key} stands {times} times" for key, times in names.items() if times > 1]
    figures = {"tankers": len(due), "booked": len(record.booked), "worst_per_mille": worst_per_mille}
    return answer(
        slug,
        record,
        problems,
        f"{len(due)} deliveries, each booked once, off by {worst_per_mille} per mille at most",
        figures,
    )


def _meet(booked: BookedDelivery, tanker: TankerWitness, quiet_us: int) -> bool:
    return booked.started_us <= tanker.ended_us + quiet_us and booked.ended_us >= tanker.started_us - quiet_us


def _joined(tankers: tuple[TankerWitness, ...], quiet_us: int) -> list[TankerWitness]:
    """Tankers into one tank with a short pause between them are one delivery."""
    found: list[TankerWitness] = []
    for tanker in sorted(tankers, key=lambda one: (one.group, one.started_us)):
        last = found[-1] if found else None
        if last is not None and last.group == tanker.group and tanker.started_us - last.ended_us <= quiet_us:
            found[-1] = TankerWitness(
                group=last.group,
                volume_ml=last.volume_ml + tanker.volume_ml,
                started_us=last.started_us,
                ended_us=max(last.ended_us, tanker.ended_us),
            )
        else:
            found.append(tanker)
    return found
