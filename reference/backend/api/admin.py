"""Routes for the operator and for oracles (admin key): the tables as they are, and corrections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Request, Response
from sqlalchemy import Row, Select, Table, select, text

from reference.backend.api.common import AfterQuery, json_response, refusals, secured
from reference.backend.attendants.schema import acts, duties
from reference.backend.audit import audit
from reference.backend.core import Core
from reference.backend.errors import ApiError
from reference.backend.invoices.schema import invoice_deliveries, invoice_uses, red_letters, tax_holds
from reference.backend.members.schema import coupons, members, tender_parts
from reference.backend.models import AdminPage, Correction, Health
from reference.backend.refunds.schema import refund_remedies, refund_requests
from reference.backend.sessions import Sessions
from reference.backend.store.database import Transaction
from reference.backend.store.schema import (
    alarms,
    invoices,
    ledger,
    orders,
    outbox,
    payments,
    refunds,
    sales,
    shift_entries,
)
from reference.backend.tanks.schema import stock_book, tanks
from reference.backend.voice.schema import announcements

__all__ = ["admin_routes"]

_HIDDEN = frozenset(
    {"digest", "openid", "client_token", "settle_token", "prepay_id", "title", "again", "address"}
)
# Tables without a running number are paged by position in a fixed order.
_ORDERED = {
    "acts": (acts, (acts.c.id,)),
    "duties": (duties, (duties.c.id,)),
    "orders": (orders, (orders.c.created_us, orders.c.order_id)),
    "payments": (payments, (payments.c.created_us, payments.c.out_trade_no)),
    "invoices": (invoices, (invoices.c.requested_us, invoices.c.fapiao_apply_id)),
    "invoice-uses": (invoice_uses, (invoice_uses.c.fapiao_apply_id, invoice_uses.c.line)),
    "invoice-deliveries": (
        invoice_deliveries,
        (invoice_deliveries.c.created_us, invoice_deliveries.c.delivery_id),
    ),
    "red-letters": (red_letters, (red_letters.c.requested_us, red_letters.c.red_id)),
    "tax-holds": (tax_holds, (tax_holds.c.platform,)),
    "refunds": (refunds, (refunds.c.created_us, refunds.c.out_refund_no)),
    "refund-requests": (refund_requests, (refund_requests.c.asked_us, refund_requests.c.out_refund_no)),
    "refund-remedies": (refund_remedies, (refund_remedies.c.asked_us, refund_remedies.c.out_refund_no)),
    "sales": (sales, (sales.c.ended_us, sales.c.sale_id)),
    "outbox": (outbox, (outbox.c.id,)),
    "alarms": (alarms, (alarms.c.id,)),
    "announcements": (announcements, (announcements.c.id,)),
    "stock-book": (stock_book, (stock_book.c.entry_id,)),
    # Without the name of the member.
    "members": (members, (members.c.openid,)),
    "coupons": (coupons, (coupons.c.coupon_id,)),
    "tender-parts": (tender_parts, (tender_parts.c.out_trade_no, tender_parts.c.kind)),
    "shift-entries": (shift_entries, (shift_entries.c.entry_id,)),
    "tanks": (tanks, (tanks.c.station, tanks.c.tank)),
}
Limit = Annotated[int, Query(ge=1, le=1000)]


def admin_routes(core: Core, sessions: Sessions) -> APIRouter:
    """The router."""
    api = APIRouter(prefix="/v1/admin", tags=["admin"])
    docs: dict[str, Any] = {"responses": refusals(401, 422, 503), "openapi_extra": secured()}

    @api.get("/ledger", response_model=AdminPage, **docs)
    async def show_ledger(request: Request, after: AfterQuery = 0, limit: Limit = 200) -> Response:
        """Ledger entries after a number, in the order of their numbers."""
        sessions.admin(request)

        async def work(tx: Transaction) -> Sequence[Row[Any]]:
            if tx.dialect == "postgresql":
                # Numbers are given before commits: wait for the writers at work, or an entry could appear behind us.
                await tx.execute(text("LOCK TABLE ledger IN SHARE MODE"))
            return await tx.rows(
                select(ledger).where(ledger.c.entry_id > after).order_by(ledger.c.entry_id).limit(limit)
            )

        rows = await core.db.run(work)
        return _page(ledger, rows, rows[-1].entry_id if len(rows) == limit else None)

    def add(name: str) -> None:
        table, order = _ORDERED[name]
        statement: Select[Any] = select(table).order_by(*order)

        async def show(request: Request, after: AfterQuery = 0, limit: Limit = 200) -> Response:
            sessions.admin(request)
            rows = await core.db.run(lambda tx: tx.rows(statement.offset(after).limit(limit)))
            return _page(table, rows, after + limit if len(rows) == limit else None)

        show.__doc__ = f"The {name}, oldest first. ``after`` is how many to skip."
        api.add_api_route(
            f"/{name}", show, methods=["GET"], response_model=AdminPage, name=f"show_{name}", **docs
        )

    for name in _ORDERED:
        add(name)

    @api.get("/audit", **docs)
    async def show_audit(request: Request) -> Response:
        """What contradicts the rules of the service, if anything."""
        sessions.admin(request)
        return json_response({"violations": await core.db.run(audit)})

    @api.post(
        "/corrections",
        status_code=201,
        responses=refusals(401, 404, 409, 422, 503),
        openapi_extra=secured(),
    )
    async def correct(request: Request, body: Annotated[Correction, Body()]) -> Response:
        """Correct a ledger entry by a new one that names it. The old one stays."""
        sessions.admin(request)

        async def work(tx: Transaction) -> bool:
            old = await tx.first(select(ledger).where(ledger.c.entry_id == body.corrects))
            if old is None:
                raise ApiError(404, "unknown_entry", f"there is no entry {body.corrects}", "corrects")
            return await core.enter(
                tx,
                kind="correction",
                entry_key=f"correction/{body.corrects}",
                corrects=body.corrects,
                station=old.station,
                nozzle=old.nozzle,
                sequence=old.sequence,
                sale_id=old.sale_id,
                order_id=old.order_id,
                volume_ml=body.volume_ml,
                amount_fen=body.amount_fen,
                content=body.model_dump_json(include={"reason"}),
            )

        if not await core.db.run(work):
            raise ApiError(409, "corrected", "this entry has a correction: correct that one", "corrects")
        return json_response({}, 201)

    return api


def health_routes(core: Core) -> APIRouter:
    """``/healthz``."""
    api = APIRouter(tags=["health"])

    @api.get("/healthz", response_model=Health, responses=refusals(503))
    async def healthz() -> Response:
        """200 when the store answers."""
        await core.db.run(lambda tx: tx.rows(text("SELECT 1")))
        return json_response({"status": "ok", "instance": core.instance})

    return api


def _page(table: Table, rows: Sequence[Row[Any]], following: int | None) -> Response:
    names = [column.name for column in table.columns if column.name not in _HIDDEN]
    return json_response(
        {"rows": [{name: getattr(row, name) for name in names} for row in rows], "next": following}
    )
