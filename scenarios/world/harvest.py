"""From a finished virtual run to the record that the oracles judge: each witness asked once, each in its own words."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from protocols.wechatpay import RefundState
from scenarios.record import (
    BookedDelivery,
    Delivery,
    GatewayTransaction,
    Invoice,
    JournalSale,
    LedgerSale,
    OperationCount,
    Order,
    Payment,
    Receipt,
    RunRecord,
    TankDraw,
    TankerWitness,
    TankWitness,
)
from scenarios.timings import CarLog, invoice_wishes, live_observations, phone_latencies
from scenarios.world.members import member_record
from scenarios.world.metered import metered
from scenarios.world.receipt_harvest import printed_receipts
from scenarios.world.reconciliation_harvest import reconciliation_record
from scenarios.world.shift_harvest import staff_record
from scenarios.world.tanks import tank_witnesses
from scenarios.world.taxation import issued_invoices
from scenarios.world.unionpay import unionpay_transactions
from scenarios.world.virtual import VirtualWorld
from scenarios.world.voice import voice_record
from scenarios.world.witness import controlled_payments

__all__ = ["harvest"]

Row = Mapping[str, Any]

_TAKEN: Final = frozenset({"SUCCESS", "REFUND"})
_GIVEN_BACK: Final = frozenset({"SUCCESS", "CASH"})
_NO_MONEY: Final = frozenset({"points", "coupon"})
_OPEN: Final = frozenset({"NEW", "PREPAID", "OPEN", "UNKNOWN", "PAYING", "NOTPAY"})


def harvest(world: VirtualWorld) -> RunRecord:
    """Read every witness of a finished run."""
    tables = {
        name: world.read_admin(name) for name in ("ledger", "orders", "payments", "refunds", "invoices")
    }
    staff = staff_record(world, tables["ledger"])
    ledger = _ledger(tables, world.kernel.epoch_us, staff.sales or {})
    payments = _payments(tables)
    invoices = _invoices(world, tables["invoices"])
    receipts = printed_receipts(
        world.printer.receipts, world.printer.unfinished, ledger, world.kernel.epoch_us
    )
    latencies = phone_latencies(world.witness.cars.phone)
    station = world.scenario.station.id
    tanks, tankers, booked = _tanks(world)
    wishes = invoice_wishes(world.witness.cars)
    # Set aside by the gateway, and given to nobody.
    bounced: Counter[str] = Counter()
    for refund in world.services.gateway.refunds.refunds:
        if refund.state == RefundState.ABNORMAL:
            bounced[refund.order.out_trade_no] += refund.refund_fen
    return RunRecord(
        clock="virtual",
        ended_us=world.ended_us,
        deliveries=_with_drivers(
            metered(world.scenario.station.id, world.equipment.points.values()), world.witness.cars
        ),
        journal=tuple(
            JournalSale(
                station=station,
                nozzle=sale.nozzle,
                sequence=sale.sequence,
                volume_ml=sale.volume_ml,
                amount_fen=sale.amount_fen,
                price_fen_per_l=sale.price_fen_per_l,
                end_total_volume_ml=sale.end_total_volume_ml,
                end_total_amount_fen=sale.end_total_amount_fen,
            )
            for sale in world.site.journal.all_sales()
        ),
        ledger=ledger,
        orders=tuple(
            Order(
                order_id=row["order_id"],
                state=row["state"],
                sale_id=row["sale_id"],
                payable_fen=row["payable_fen"] or 0,
                paid_fen=row["paid_fen"],
                refunded_fen=row["refunded_fen"],
                is_prepaid=row["mode"] == "prepay",
                updated_us=row["updated_us"] - world.kernel.epoch_us,
                wants_invoice=row["order_id"] in wishes,
            )
            for row in tables["orders"]
        ),
        payments=payments,
        gateway=tuple(
            GatewayTransaction(
                out_trade_no=order.out_trade_no,
                state=str(order.state),
                total_fen=order.total_fen,
                paid_fen=order.total_fen if order.success_us is not None else 0,
                refunded_fen=order.refunded_fen - bounced[order.out_trade_no],
            )
            for order in world.services.gateway.ledger.orders
        )
        + (() if world.unionpay is None else unionpay_transactions(world.unionpay)),
        paid_out=() if world.staff.clerk is None else tuple(world.staff.clerk.paid_out),
        invoices=invoices,
        tank_draws=tuple(
            TankDraw(tank=tank.tank_id, volume_ml=tank.drawn_ml, returned_ml=tank.returned_ml)
            for tank in world.equipment.tanks.values()
        ),
        tanks=tanks,
        tankers=tankers,
        booked=booked,
        handovers=staff.handovers,
        shifts=staff.shifts,
        money=staff.money,
        returned=staff.returned,
        members=member_record(world, tables),
        reconciliation=reconciliation_record(world, tables),
        voice=voice_record(world, tables),
        live=tuple(live_observations(world.witness.cars, station)),
        receipts=receipts,
        receipts_refused=0 if world.site.receipts is None else world.site.receipts.journal.refusals(),
        faults=world.plan.landings(),
        operations=_operations(world, tables, receipts),
        latencies_us={
            "payment_controlled": tuple(controlled_payments(world.witness)),
            "payment_end_to_end": latencies.payment_end_to_end,
            "payment_human": latencies.payment_human,
            "invoice_answered": latencies.invoice_answered,
            "invoice_issued": latencies.invoice_issued,
            "live_amount": latencies.live_amount,
        },
    )


def _with_drivers(deliveries: Iterable[Delivery], cars: CarLog) -> tuple[Delivery, ...]:
    """The deliveries, with what is known of whoever held the nozzle."""
    by_key = {(car.nozzle, car.sequence): car for car in cars.cars.values() if car.sequence is not None}
    known = []
    for one in deliveries:
        car = by_key.get((one.nozzle, one.sequence))
        if car is not None:
            hung_up_us = next((at_us for what, at_us in car.steps if what == "hung_up"), None)
            one = replace(one, unpaid_by_intent=car.outcome == "drove_off", hung_up_us=hung_up_us)
        known.append(one)
    return tuple(known)


def _tanks(
    world: VirtualWorld,
) -> tuple[tuple[TankWitness, ...], tuple[TankerWitness, ...], tuple[BookedDelivery, ...]]:
    """Of a station with a gauge; others have nobody to ask."""
    if world.gauge is None:
        return (), (), ()
    book, shown = world.read_admin("stock-book"), world.read_admin("tanks")
    return tank_witnesses(world.gauge, world.kernel.epoch_us, book, shown)


def _ledger(
    tables: Mapping[str, list[dict[str, Any]]], epoch_us: int, known: Mapping[str, Row]
) -> tuple[LedgerSale, ...]:
    """The ledger's sales, each with what its payment, settlement and refund rows say of it."""
    order_sale = {row["order_id"]: row["sale_id"] for row in tables["orders"]}
    paid: defaultdict[str, int] = defaultdict(int)
    discount: defaultdict[str, int] = defaultdict(int)
    tenders: defaultdict[str, set[str]] = defaultdict(set)
    settled: dict[str, int] = {}
    for row in tables["ledger"]:
        sale_id = row["sale_id"] or order_sale.get(row["order_id"] or "")
        if sale_id is None or row["kind"] not in {"payment", "settlement", "refund"}:
            continue
        amount_fen = -row["amount_fen"] if row["kind"] == "refund" else row["amount_fen"]
        paid[sale_id] += amount_fen
        if row["kind"] != "refund":
            tenders[sale_id].add(_content(row).get("tender", "wechatpay"))
        # The keys of parts of a mixed tender end with the part.
        if row["entry_key"].count("/") > 1 and _content(row).get("tender") in _NO_MONEY:
            discount[sale_id] += amount_fen
        settled[sale_id] = max(settled.get(sale_id, 0), row["recorded_us"] - epoch_us)
    sales = []
    for row in tables["ledger"]:
        if row["kind"] not in {"sale", "correction"}:
            continue
        content = _content(row)
        recorded_us = row["recorded_us"] - epoch_us
        # What was paid and went back altogether is owed again.
        is_paid = bool(paid[row["sale_id"]]) or not row["amount_fen"]
        settled_us = settled.get(row["sale_id"]) if is_paid else None
        sales.append(
            LedgerSale(
                sale_id=row["sale_id"],
                station=row["station"],
                nozzle=row["nozzle"],
                sequence=row["sequence"],
                volume_ml=row["volume_ml"],
                amount_fen=row["amount_fen"],
                price_fen_per_l=content.get("price_fen_per_l", 0),
                paid_fen=paid[row["sale_id"]],
                recorded_us=recorded_us,
                # What was paid before is settled when the sale is on record.
                settled_us=None if settled_us is None else max(settled_us, recorded_us),
                corrects=None if row["corrects"] is None else row["sale_id"],
                grade=content.get("grade", ""),
                is_test=known.get(row["sale_id"], {}).get("state") == "test",
                shift=known.get(row["sale_id"], {}).get("shift"),
                flags=tuple(content.get("flags", ())),
                end_total_volume_ml=content.get("end_total_volume_ml"),
                end_total_amount_fen=content.get("end_total_amount_fen"),
                ended_us=None if content.get("ended_us") is None else content["ended_us"] - epoch_us,
                discount_fen=discount[row["sale_id"]],
                tenders=frozenset(tenders[row["sale_id"]]),
            )
        )
    return tuple(sales)


def _content(row: Row) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(row["content"])
    return content


def _payments(tables: Mapping[str, list[dict[str, Any]]]) -> tuple[Payment, ...]:
    order_sale = {row["order_id"]: row["sale_id"] for row in tables["orders"]}
    refunded: defaultdict[str, int] = defaultdict(int)
    cash: defaultdict[str, int] = defaultdict(int)
    refunding: set[str] = set()
    for row in tables["refunds"]:
        if row["state"] in _GIVEN_BACK:
            refunded[row["out_trade_no"]] += row["amount_fen"]
            cash[row["out_trade_no"]] += row["amount_fen"] if row["state"] == "CASH" else 0
        elif row["state"] != "CLOSED":
            refunding.add(row["out_trade_no"])
    payments = []
    for row in tables["payments"]:
        number = row["out_trade_no"]
        taken = row["state"] in _TAKEN
        authorised = row["amount_fen"] if taken else 0
        payments.append(
            Payment(
                out_trade_no=number,
                order_id=row["order_id"],
                sale_id=order_sale.get(row["order_id"]),
                authorised_fen=authorised,
                captured_fen=authorised - refunded[number],
                reversed_fen=0,
                refunded_fen=refunded[number],
                cash_fen=cash[number],
                pending=row["state"] in _OPEN or number in refunding,
            )
        )
    return tuple(payments)


def _invoices(world: VirtualWorld, rows: Iterable[Row]) -> tuple[Invoice, ...]:
    """Invoices as the tax platform has them, joined to the backend's by application number; what only one has shows as such."""
    epoch_us = world.kernel.epoch_us
    ours = {row["fapiao_apply_id"]: row for row in rows}
    found = []
    issued_at_platform: set[str] = set()
    sales: dict[str, str] = {}
    for issued in issued_invoices(world):
        apply_id = issued.serial
        row = ours.get(apply_id)
        issued_at_platform.add(apply_id)
        known_issued = row is not None and row["issued_us"] is not None
        sale_id = row["sale_id"] if row is not None else f"unknown application {apply_id}"
        sale_id = sales.setdefault(issued.number, sales.get(issued.cancels or "", sale_id))
        found.append(
            Invoice(
                sale_id=sale_id,
                colour="blue" if issued.cancels is None else "red",
                state="issued",
                amount_fen=issued.amount_fen,
                number=issued.number,
                requested_us=(row["requested_us"] - epoch_us) if row is not None else 0,
                issued_us=(row["issued_us"] - epoch_us) if row is not None and known_issued else None,
                cancels=issued.cancels,
            )
        )
    for apply_id, row in ours.items():
        if apply_id not in issued_at_platform:
            found.append(
                Invoice(
                    sale_id=row["sale_id"],
                    colour="blue",
                    state=row["state"],
                    amount_fen=row["amount_fen"],
                    number=row["number"],
                    requested_us=row["requested_us"] - epoch_us,
                    issued_us=None if row["issued_us"] is None else row["issued_us"] - epoch_us,
                )
            )
    return tuple(found)


def _operations(
    world: VirtualWorld, tables: Mapping[str, list[dict[str, Any]]], receipts: tuple[Receipt, ...]
) -> tuple[OperationCount, ...]:
    """How often each kind of operation was tried and succeeded. A kind that the scenario never asks for is left out."""
    lifted = sum(
        1 for car in world.witness.cars.cars.values() if any(name == "lifted" for name, _ in car.steps)
    )
    delivered = sum(
        "test" not in delivery.flags
        for point in world.equipment.points.values()
        for delivery in point.journal
    )
    payments, refunds, invoices = tables["payments"], tables["refunds"], tables["invoices"]
    settled = sum(1 for row in tables["ledger"] if row["kind"] == "settlement")
    counts = [
        OperationCount(kind="delivery", tried=lifted, succeeded=delivered),
        OperationCount(
            kind="payment", tried=len(payments), succeeded=sum(row["state"] in _TAKEN for row in payments)
        ),
        OperationCount(
            kind="invoice", tried=len(invoices), succeeded=sum(row["state"] == "issued" for row in invoices)
        ),
        OperationCount(
            kind="receipt", tried=delivered, succeeded=sum(not receipt.copy for receipt in receipts)
        ),
    ]
    if world.scenario.demand.adoption < 1.0:
        counts.append(OperationCount(kind="kiosk", tried=settled, succeeded=settled))
    if world.voice is not None:
        rows = world.read_admin("announcements")
        sent = sum(row["state"] == "sent" for row in rows)
        counts.append(OperationCount(kind="announcement", tried=len(rows), succeeded=sent))
    if refunds:
        succeeded = sum(row["state"] in _GIVEN_BACK for row in refunds)
        counts.append(OperationCount(kind="refund", tried=len(refunds), succeeded=succeeded))
    return tuple(counts)
