"""Shifts and test deliveries of a finished run, as the backend's API tells them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scenarios.shift_record import (
    HandoverWitness,
    MoneyEntry,
    ReturnedFuel,
    ShiftEntry,
    ShiftNozzle,
    ShiftReport,
)

if TYPE_CHECKING:
    from scenarios.world.virtual import VirtualWorld

__all__ = ["StaffRecord", "staff_record"]


@dataclass(frozen=True, slots=True)
class StaffRecord:
    """What handovers and tests left behind.

    Attributes:
        sales: rows of the backend's sales by id: their shift, whether they were tests, what the site noted.
    """

    handovers: tuple[HandoverWitness, ...] = ()
    shifts: tuple[ShiftReport, ...] = ()
    money: tuple[MoneyEntry, ...] = ()
    returned: tuple[ReturnedFuel, ...] = ()
    sales: Mapping[str, Mapping[str, Any]] | None = None


def staff_record(world: VirtualWorld, ledger: Iterable[Mapping[str, Any]]) -> StaffRecord:
    """Ask the backend, if the scenario has handovers or tests."""
    scenario = world.scenario
    if not scenario.shift_changes and not scenario.test_deliveries:
        return StaffRecord()
    epoch_us = world.kernel.epoch_us
    return StaffRecord(
        handovers=tuple(world.staff.handovers),
        shifts=tuple(_report(row, epoch_us) for row in world.read_admin("shifts")),
        money=tuple(_money(ledger, epoch_us)),
        returned=tuple(
            ReturnedFuel(group=row["grp"], volume_ml=row["volume_ml"])
            for row in world.read_admin("stock-book")
            if row["kind"] == "return"
        ),
        sales={row["sale_id"]: row for row in world.read_admin("sales")},
    )


def _money(ledger: Iterable[Mapping[str, Any]], epoch_us: int) -> Iterable[MoneyEntry]:
    for row in ledger:
        if row["kind"] not in {"payment", "settlement", "refund"}:
            continue
        tender = json.loads(row["content"]).get("tender", "wechatpay")
        amount_fen = -row["amount_fen"] if row["kind"] == "refund" else row["amount_fen"]
        yield MoneyEntry(tender=tender, amount_fen=amount_fen, recorded_us=row["recorded_us"] - epoch_us)


def _report(row: Mapping[str, Any], epoch_us: int) -> ShiftReport:
    return ShiftReport(
        station=row["station"],
        number=row["shift"],
        attendant=row["attendant"],
        from_us=row["opened_us"] - epoch_us,
        until_us=row["closed_us"] - epoch_us,
        sales=row["sales"],
        volume_ml=row["volume_ml"],
        amount_fen=row["amount_fen"],
        tests=row["tests"],
        tests_ml=row["tests_ml"],
        nozzles=tuple(_nozzle(nozzle) for nozzle in row["nozzles"]),
        grades={one["grade"]: one["amount_fen"] for one in row["grades"]},
        tenders={one["tender"]: one["amount_fen"] for one in row["tenders"]},
        taken={one["tender"]: one["amount_fen"] for one in row["taken"]},
        cash_expected_fen=row["cash_expected_fen"],
        cash_counted_fen=row["cash_counted_fen"],
        cash_difference_fen=row["cash_difference_fen"],
        odd={one["sale_id"]: tuple(one["why"]) for one in row["odd"]},
        drive_off_after_us=row["drive_off_after_us"],
        drive_offs=row["drive_offs"],
        drive_off_fen=row["drive_off_fen"],
        entries=tuple(
            ShiftEntry(
                kind=entry["kind"],
                sale_id=entry["sale_id"],
                volume_ml=entry["volume_ml"],
                amount_fen=entry["amount_fen"],
            )
            for entry in row["corrections"]
        ),
    )


def _nozzle(row: Mapping[str, Any]) -> ShiftNozzle:
    same = (
        "nozzle",
        "sequence",
        "sales",
        "volume_ml",
        "amount_fen",
        "tests",
        "tests_ml",
        "tests_fen",
        "late_ml",
        "late_fen",
        "difference_ml",
        "difference_fen",
        "offline",
    )
    return ShiftNozzle(
        start_ml=row["start_volume_ml"],
        start_fen=row["start_amount_fen"],
        end_ml=row["end_volume_ml"],
        end_fen=row["end_amount_fen"],
        **{name: row[name] for name in same},
    )
