"""Routes for the daily reconciliation (admin key): its results, and a run by hand."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel
from sqlalchemy import Row, Table, bindparam, select

from protocols.wechatpay import bill_day
from reference.backend.api.common import AfterQuery, json_response, refusals, secured
from reference.backend.core import Core
from reference.backend.errors import ApiError
from reference.backend.gateways.port import GatewayRefusedError, GatewayUnknownError
from reference.backend.models import AdminPage
from reference.backend.reconciliation.schema import reconciled, reconciliations
from reference.backend.sessions import Sessions
from reference.backend.store.database import Transaction

__all__ = ["reconciliation_routes"]

_Day = Annotated[str, Path(pattern=r"^\d{4}-\d{2}-\d{2}$")]
_RUNS = select(reconciliations).order_by(reconciliations.c.day, reconciliations.c.bill)
_RUNS_OF = _RUNS.where(reconciliations.c.day == bindparam("of_day"))
_OF = select(reconciled).where(reconciled.c.day == bindparam("of_day")).order_by(reconciled.c.entry_id)
_DIFFERENT = _OF.where(reconciled.c.kind != "matched")
_PAGE = 1000


class ReconciledDay(BaseModel):
    """A day's bills, and what differs (``next``: the ``after`` of the following page, or null)."""

    day: str
    bills: list[dict[str, Any]]
    differences: list[dict[str, Any]]
    next: int | None


def reconciliation_routes(core: Core, sessions: Sessions) -> APIRouter:
    """The router."""
    api = APIRouter(prefix="/v1/admin/reconciliations", tags=["admin"])

    @api.get("", response_model=AdminPage, responses=refusals(401, 422, 503), openapi_extra=secured())
    async def show_all(
        request: Request, after: AfterQuery = 0, limit: Annotated[int, Query(ge=1, le=1000)] = 200
    ) -> Response:
        """One row for each bill that was compared. ``after`` is how many to skip."""
        sessions.admin(request)
        rows = await core.db.run(lambda tx: tx.rows(_RUNS.offset(after).limit(limit)))
        shown = [_shown(reconciliations, row) for row in rows]
        return json_response({"rows": shown, "next": after + limit if len(rows) == limit else None})

    async def result(day: str, after: int, *, matched: bool) -> dict[str, Any]:
        async def work(tx: Transaction) -> dict[str, Any]:
            statement = (_OF if matched else _DIFFERENT).where(reconciled.c.entry_id > bindparam("after_id"))
            rows = await tx.rows(statement.limit(_PAGE), {"of_day": day, "after_id": after})
            return {
                "day": day,
                "bills": [_shown(reconciliations, row) for row in await tx.rows(_RUNS_OF, {"of_day": day})],
                "differences": [_shown(reconciled, row) for row in rows],
                "next": rows[-1].entry_id if len(rows) == _PAGE else None,
            }

        return await core.db.run(work)

    @api.get(
        "/{day}",
        response_model=ReconciledDay,
        responses=refusals(401, 422, 503),
        openapi_extra=secured(),
    )
    async def show(
        day: _Day, request: Request, after: AfterQuery = 0, matched: Annotated[bool, Query()] = False
    ) -> Response:
        """What a day's bills and our books say differently (with ``matched`` also what agrees)."""
        sessions.admin(request)
        return json_response(await result(_checked(day).isoformat(), after, matched=matched))

    @api.post(
        "/{day}",
        response_model=ReconciledDay,
        responses=refusals(401, 409, 422, 502, 503),
        openapi_extra=secured(),
    )
    async def run(day: _Day, request: Request) -> Response:
        """Fetch and compare a day's bills now; the result replaces an older one."""
        sessions.admin(request)
        wanted = _checked(day)
        if wanted >= bill_day(core.clock_us()):
            raise ApiError(409, "day_not_over", f"there is no bill of {day} before that day is over", "day")
        for bill in core.reconciliation.bills():
            try:
                await core.reconciliation.run(wanted, bill)
            except GatewayRefusedError as error:
                raise ApiError(502, "gateway_refused", f"no {bill} bill: {error}") from error
            except GatewayUnknownError as error:
                raise ApiError(503, "no_bill", f"no {bill} bill: {error}") from error
        return json_response(await result(day, 0, matched=False))

    return api


def _shown(table: Table, row: Row[Any]) -> dict[str, Any]:
    return {column.name: getattr(row, column.name) for column in table.columns}


def _checked(day: str) -> dt.date:
    try:
        return dt.date.fromisoformat(day)
    except ValueError as error:
        raise ApiError(422, "invalid", f"{day} is no day", "day") from error
