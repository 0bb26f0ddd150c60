"""The daily reconciliation of a finished run: what the gateway's own ledger has, and what the backend said of its bills."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from protocols.wechatpay import BEIJING, RefundState, bill_day
from scenarios.reconciliation_record import BillFinding, BillRun, Movement, Planted, ReconciliationRecord
from scenarios.world.settlement_harvest import held_at_unionpay, planted_in_settlements, settlement_movements

if TYPE_CHECKING:
    from scenarios.world.virtual import VirtualWorld

__all__ = ["reconciliation_record"]

Tables = Mapping[str, list[dict[str, Any]]]

_OPEN: Final = frozenset({"OPEN"})
_GIVEN: Final = frozenset({"SUCCESS", "CASH", "CLOSED"})
_MIDNIGHT_US: Final = 600_000_000
_NO_FILE_US: Final = 45_000_000_000
"""Half an hour past noon."""
_NOT_TAKEN: Final = frozenset({RefundState.CLOSED})


def reconciliation_record(world: VirtualWorld, tables: Tables) -> ReconciliationRecord | None:
    """Ask gateway and backend; None if the scenario's backend does not reconcile.

    Args:
        world: a finished run.
        tables: the admin API's ledger, payments and refunds.
    """
    if world.scenario.backend.reconcile_at_s is None:
        return None
    settled = () if world.unionpay is None else tuple(settlement_movements(world.unionpay, tables))
    due = tuple(_due(world, world.scenario.backend.reconcile_at_s, {one.day for one in settled}))
    runs = world.read_admin("reconciliations")
    days = sorted({row["day"] for row in runs})
    return ReconciliationRecord(
        bills=("trade", "fund") if world.unionpay is None else ("trade", "fund", "unionpay"),
        due=due,
        movements=(
            *_movements(world, tables),
            *settled,
        ),
        planted=(
            *(
                Planted(
                    day=one.day.isoformat(),
                    kind=one.kind.removeprefix("bill-"),
                    subject="refund" if one.is_refund else "payment",
                    number=one.number,
                )
                for one in world.services.gateway.bills.planted
            ),
            *(() if world.unionpay is None else planted_in_settlements(world.unionpay)),
        ),
        runs=tuple(
            BillRun(
                done_us=row["done_us"] - world.kernel.epoch_us,
                **{name: row[name] for name in ("day", "bill", "state", "compared", "differences")},
            )
            for row in runs
        ),
        findings=tuple(_findings(world, days)),
        gateway_fen=tuple(sorted(_held(world).items())),
        books_fen=tuple(sorted(_booked(tables).items())),
        under_way=frozenset(
            row["out_trade_no"]
            for row in (
                *(row for row in tables["payments"] if row["state"] in _OPEN),
                *(row for row in tables["refunds"] if row["state"] not in _GIVEN),
            )
        ),
    )


def _due(
    world: VirtualWorld, reconcile_at_s: int, with_unionpay: Collection[str]
) -> Iterable[tuple[str, int]]:
    """The days of the run whose bills could be compared before its end, and when.

    A day without a row has no settlement file, which the backend may take for one that is late until noon.
    """
    epoch_us = world.kernel.epoch_us
    day, last = bill_day(epoch_us), bill_day(epoch_us + world.ended_us)
    while day < last:
        ends = dt.datetime.combine(day + dt.timedelta(days=1), dt.time(), BEIJING)
        due_us = (int(ends.timestamp()) + reconcile_at_s) * 1_000_000
        ready_us = world.services.gateway.bills.ready_us(day)
        if world.unionpay is not None:
            ready_us = max(ready_us, world.unionpay.settlements.ready_us(day))
            if day.isoformat() not in with_unionpay:
                ready_us = max(ready_us, int(ends.timestamp()) * 1_000_000 + _NO_FILE_US)
        yield day.isoformat(), max(due_us, ready_us) - epoch_us
        day += dt.timedelta(days=1)


def _movements(world: VirtualWorld, tables: Tables) -> Iterable[Movement]:
    gateway = world.services.gateway
    paid_us = {row["out_trade_no"]: row["paid_us"] for row in tables["payments"] if row["state"] == "SUCCESS"}
    given_us = {
        row["out_refund_no"]: row["updated_us"] for row in tables["refunds"] if row["state"] == "SUCCESS"
    }

    def movement(
        subject: str, number: str, at_us: int, fen: int, known_us: int | None, *, in_trade: bool = True
    ) -> Movement:
        return Movement(
            day=bill_day(at_us).isoformat(),
            subject=subject,
            number=number,
            amount_fen=fen,
            known_days=() if known_us is None else _days_around(known_us),
            in_trade=in_trade,
        )

    for order in gateway.ledger.orders:
        number = order.out_trade_no
        if order.success_us is None:
            continue
        yield movement("payment", number, order.success_us, order.total_fen, paid_us.get(number))
        if order.reversed_us is not None:
            yield movement("payment", number, order.reversed_us, -order.total_fen, None)
    for record in gateway.refunds.refunds:
        number = record.out_refund_no
        yield movement("refund", number, record.created_us, record.refund_fen, given_us.get(number))
        for at_us, state in record.history:
            if state in _NOT_TAKEN:
                yield movement("refund", number, at_us, -record.refund_fen, None, in_trade=False)


def _days_around(unix_us: int) -> tuple[str, ...]:
    days = {bill_day(unix_us + off_us).isoformat() for off_us in (-_MIDNIGHT_US, 0, _MIDNIGHT_US)}
    return tuple(sorted(days))


def _findings(world: VirtualWorld, days: Iterable[str]) -> Iterable[BillFinding]:
    for day in days:
        for row in world.read_admin(f"reconciliations/{day}", field="differences", matched="true"):
            yield BillFinding(
                in_bill=row["line"] is not None,
                **{name: row[name] for name in ("day", "bill", "kind", "subject", "number")},
            )


def _held(world: VirtualWorld) -> Counter[str]:
    held: Counter[str] = Counter()
    for order in world.services.gateway.ledger.orders:
        if order.success_us is not None and order.reversed_us is None:
            held[order.out_trade_no] += order.total_fen
    for record in world.services.gateway.refunds.refunds:
        if record.state not in _NOT_TAKEN:
            held[record.order.out_trade_no] -= record.refund_fen
    if world.unionpay is not None:
        held.update(held_at_unionpay(world.unionpay))
    return held


def _booked(tables: Tables) -> Counter[str]:
    """The ledger's entries about payments over a gateway and about refunds of these, by the payment's number."""
    ours = {
        row["out_trade_no"]
        for row in tables["payments"]
        if (row["channel"] or "wechatpay").startswith(("wechatpay", "unionpay"))
    }
    of_refund = {row["out_refund_no"]: row["out_trade_no"] for row in tables["refunds"]}
    booked: Counter[str] = Counter()
    for row in tables["ledger"]:
        number = row["entry_key"].partition("/")[2]
        if row["kind"] == "payment" and number in ours:
            booked[number] += row["amount_fen"]
        elif row["kind"] == "refund" and of_refund.get(number) in ours:
            booked[of_refund[number]] -= row["amount_fen"]
    return booked
