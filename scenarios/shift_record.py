"""What a run leaves behind of shifts and test deliveries; parts of `scenarios.record.RunRecord`.

Handovers are the world's own: when it let an attendant take over, and what the dispensers' own counters said then. Reports are the
backend's, as its API shows them. Times are microseconds of the run's clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["HandoverWitness", "MoneyEntry", "ReturnedFuel", "ShiftEntry", "ShiftNozzle", "ShiftReport"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HandoverWitness:
    """A handover of the scenario, and the difference that was put into the drawer."""

    at_us: int
    cash_off_fen: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MoneyEntry:
    """A payment, settlement or refund (negative) in the backend's ledger."""

    tender: str
    amount_fen: int
    recorded_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnedFuel:
    """Litres that the stock book shows as returned to a tank (or to tanks that a siphon joins)."""

    group: int
    volume_ml: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShiftNozzle:
    """A nozzle in the report of a shift. ``sequence`` is that of its last delivery before the end."""

    nozzle: int
    sequence: int
    start_ml: int | None
    start_fen: int | None
    end_ml: int | None
    end_fen: int | None
    sales: int
    volume_ml: int
    amount_fen: int
    tests: int
    tests_ml: int
    tests_fen: int
    late_ml: int
    late_fen: int
    difference_ml: int | None
    difference_fen: int | None
    offline: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ShiftEntry:
    """A dated correction beside a report: ``late_sale``, ``late_test``, ``return`` or ``delivery``."""

    kind: str
    sale_id: str | None
    volume_ml: int
    amount_fen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShiftReport:
    """A closed shift. Amounts by grade, by tender (of its sales, ``unpaid`` among them) and by tender (of money taken)."""

    station: str
    number: int
    attendant: str
    from_us: int
    until_us: int
    sales: int
    volume_ml: int
    amount_fen: int
    tests: int
    tests_ml: int
    nozzles: tuple[ShiftNozzle, ...]
    grades: Mapping[str, int] = field(default_factory=dict)
    tenders: Mapping[str, int] = field(default_factory=dict)
    taken: Mapping[str, int] = field(default_factory=dict)
    cash_expected_fen: int = 0
    cash_counted_fen: int | None = None
    cash_difference_fen: int | None = None
    entries: tuple[ShiftEntry, ...] = ()
    odd: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What a person should look at: why, by sale."""
    drive_off_after_us: int = 0
    """How long a sale is unpaid before the report calls it a drive-off."""
    drive_offs: int = 0
    drive_off_fen: int = 0
