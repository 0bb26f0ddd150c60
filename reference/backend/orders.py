"""Orders: what a phone wants, what the site answers, what the pump delivered."""

from __future__ import annotations

import functools
import hashlib
from typing import Any

import msgspec
from sqlalchemy import Row, and_, bindparam, or_, select, update
from sqlalchemy.sql.dml import ReturningUpdate

from reference.backend.core import Core
from reference.backend.errors import ApiError
from reference.backend.gateways.port import GatewayUnknownError
from reference.backend.invoices.schema import invoice_uses
from reference.backend.members.contracts import BY_CONTRACT
from reference.backend.models import NewOrder
from reference.backend.outbox import Task
from reference.backend.states import check_move
from reference.backend.store.database import Transaction
from reference.backend.store.schema import invoices, orders

__all__ = ["Orders"]

_VIEW = (
    select(
        orders,
        invoices.c.state.label("invoice_state"),
        invoices.c.number.label("invoice_number"),
        invoices.c.fapiao_apply_id,
        invoices.c.requested_us.label("invoice_us"),
        invoice_uses.c.held_from,
    )
    .select_from(
        orders.outerjoin(invoice_uses, invoice_uses.c.order_id == orders.c.order_id).outerjoin(
            invoices, invoices.c.fapiao_apply_id == invoice_uses.c.fapiao_apply_id
        )
    )
    .where(orders.c.order_id == bindparam("wanted"))
)
_LOCK = select(orders).where(orders.c.order_id == bindparam("wanted")).with_for_update()
_BY_TOKEN = select(orders.c.order_id, orders.c.digest).where(
    orders.c.openid == bindparam("who"), orders.c.client_token == bindparam("token")
)
_FLOWING = (
    update(orders)
    .where(
        orders.c.station == bindparam("of_station"),
        orders.c.nozzle == bindparam("number"),
        orders.c.holds_nozzle == 1,
        or_(
            orders.c.state == "AUTHORISED",
            orders.c.state == "PAID",
            and_(orders.c.state == "CREATED", orders.c.mode == "postpay"),
        ),
    )
    .values(state="FUELLING", updated_us=bindparam("now_us"))
    .returning(orders.c.order_id)
)
_LOOK_AGAIN_US = 60 * 1_000_000
# States in which the order's nozzle is its own.
_HOLDING = frozenset({"CREATED", "AUTHORISED", "FUELLING"})


@functools.cache
def _move_of(names: tuple[str, ...]) -> ReturningUpdate[Any]:
    """One statement for each set of columns that some move changes; there are a dozen."""
    return (
        update(orders)
        .where(orders.c.order_id == bindparam("wanted"))
        .values({name: bindparam(f"new_{name}") for name in names})
        .returning(orders)
    )


class Orders:
    """Creates orders and moves them along the table in `reference.backend.states`."""

    def __init__(self, core: Core) -> None:
        self.core = core
        core.outbox.handlers["order.expire"] = self._expire

    # Reading

    async def view(self, order_id: str, openid: str | None = None) -> dict[str, Any]:
        """An order as the API shows it. Raises `ApiError` 404 if it is not there, or is another phone's."""
        rows = await self.core.db.single(_VIEW, {"wanted": order_id})
        # As a rule there is one; of several invoices the one that counts is shown, or else the newest.
        row = max(rows, key=_shown_first) if rows else None
        if row is None or (openid is not None and row.openid != openid):
            raise ApiError(404, "unknown_order", f"there is no order {order_id}", "order_id")
        return self._shown(row)

    def _shown(self, row: Row[Any]) -> dict[str, Any]:
        volume_ml, amount_fen = row.volume_ml, row.amount_fen
        if row.state == "FUELLING":
            reading = self.core.live.get(row.station, row.nozzle)
            if reading is not None and reading.delivers:
                volume_ml, amount_fen = reading.volume_ml, reading.amount_fen
        state = row.invoice_state or ("requested" if row.title is not None else "none")
        return {
            "order_id": row.order_id,
            "state": row.state,
            "station": row.station,
            "nozzle": row.nozzle,
            "mode": row.mode,
            "payable_fen": row.payable_fen,
            "volume_ml": volume_ml,
            "amount_fen": amount_fen,
            "paid_fen": row.paid_fen,
            "refunded_fen": row.refunded_fen,
            "out_trade_no": row.out_trade_no,
            "sale_id": row.sale_id,
            "invoice": {"state": state, "number": row.invoice_number, "fapiao_apply_id": row.fapiao_apply_id},
            "updated_us": row.updated_us,
            **({"notice": row.notice} if row.notice is not None else {}),
        }

    async def lock(self, tx: Transaction, order_id: str) -> Row[Any] | None:
        """The order's row, locked, or None."""
        return await tx.first(_LOCK, {"wanted": order_id})

    async def lock_own(self, tx: Transaction, order_id: str, openid: str) -> Row[Any]:
        """The order's row, locked, if it is this phone's. Raises `ApiError` 404."""
        row = await self.lock(tx, order_id)
        if row is None or row.openid != openid:
            raise ApiError(404, "unknown_order", f"there is no order {order_id}", "order_id")
        return row

    # Moving

    async def move(self, tx: Transaction, order: Row[Any], state: str, **values: Any) -> Row[Any]:
        """Change a locked order; gives the new row. Raises `IllegalMoveError` for a move outside the table."""
        check_move(order.order_id, order.state, state)
        holds = (
            1
            if order.holds_nozzle
            and (state in _HOLDING or (order.mode == "prepay" and state in {"PAYING", "PAID"}))
            else None
        )
        changes = {
            "new_state": state,
            "new_holds_nozzle": holds,
            "new_updated_us": self.core.clock_us(),
            **{f"new_{name}": value for name, value in values.items()},
        }
        statement = _move_of(tuple(name.removeprefix("new_") for name in changes))
        row = await tx.first(statement, {"wanted": order.order_id, **changes})
        assert row is not None  # noqa: S101 - the caller holds the row's lock
        tx.notify(f"order/{order.order_id}")
        if state == "PAID" and order.state != "PAID":
            await self.core.announcer.paid(tx, row)
        return row

    # What phones do

    async def create(self, openid: str, body: NewOrder) -> tuple[bool, dict[str, Any]]:
        """A new order, or the one that this token made before: (is it new, the order).

        Raises:
            ApiError: 404 unknown station or nozzle; 409 if the token was used for another request or the nozzle is taken.
        """
        digest = hashlib.sha256(body.model_dump_json(exclude={"client_token"}).encode()).hexdigest()
        is_new, order_id = await self.core.db.run(lambda tx: self._create(tx, openid, body, digest))
        return is_new, await self.view(order_id)

    async def _create(self, tx: Transaction, openid: str, body: NewOrder, digest: str) -> tuple[bool, str]:
        again = await self._repeated(tx, openid, body, digest)
        if again is not None:
            return False, again
        nozzle = await self.core.stations.nozzle(tx, body.station, body.nozzle)
        now_us = self.core.clock_us()
        row: dict[str, Any] = {
            "order_id": self.core.ids.make("ord"),
            "openid": openid,
            "client_token": body.client_token,
            "digest": digest,
            "station": body.station,
            "nozzle": body.nozzle,
            "mode": body.mode,
            "state": "CREATED",
            "holds_nozzle": 1,
            "cancel_asked": 0,
            "preset_fen": body.preset_fen,
            "preset_ml": body.preset_ml,
            "payable_fen": 0,
            "volume_ml": 0,
            "amount_fen": 0,
            "paid_fen": 0,
            "refunded_fen": 0,
            "sale_id": None,
            "title": body.invoice.model_dump_json() if body.invoice is not None else None,
            "created_us": now_us,
            "updated_us": now_us,
        }
        if body.auto_pay:
            row["pay_by"] = BY_CONTRACT
        sale = None
        if body.mode == "prepay":
            row["payable_fen"] = body.preset_fen or _price(body.preset_ml or 0, nozzle.price_fen_per_l)
            if row["payable_fen"] == 0:
                raise ApiError(422, "invalid", "the preset is worth less than one fen", "preset_ml")
        else:
            sale = await self.core.sales.free_at(tx, body.station, body.nozzle)
        if sale is not None:
            row |= {
                "state": "PAYABLE",
                "holds_nozzle": None,
                "payable_fen": sale.amount_fen,
                "volume_ml": sale.volume_ml,
                "amount_fen": sale.amount_fen,
                "sale_id": sale.sale_id,
            }
        if nozzle.blocked and sale is None:
            raise ApiError(409, "tank_blocked", "this grade is not sold at present", "nozzle")
        if not await tx.insert_new(orders, row):
            again = await self._repeated(tx, openid, body, digest)
            if again is not None:
                return False, again
            raise ApiError(409, "nozzle_busy", f"nozzle {body.nozzle} is serving another order", "nozzle")
        if sale is not None:
            await self.core.sales.set(tx, sale.sale_id, "locked", row["order_id"])
            if body.auto_pay:
                await self.core.contracts.finished(tx, row["order_id"])
        ttl_us = self.core.settings.order_ttl_s * 1_000_000
        await self.core.outbox.put(tx, "order.expire", row["order_id"], delay_us=ttl_us)
        if sale is None and body.mode == "postpay":
            await self.authorise(
                tx, row["order_id"], body.station, body.nozzle, body.preset_fen, body.preset_ml
            )
        return True, row["order_id"]

    async def _repeated(self, tx: Transaction, openid: str, body: NewOrder, digest: str) -> str | None:
        known = await tx.first(_BY_TOKEN, {"who": openid, "token": body.client_token})
        if known is None:
            return None
        if known.digest != digest:
            raise ApiError(409, "token_reused", "this client_token made another order", "client_token")
        return str(known.order_id)

    async def authorise(
        self,
        tx: Transaction,
        order_id: str,
        station: str,
        nozzle: int,
        preset_fen: int | None,
        preset_ml: int | None,
    ) -> None:
        """Ask the site to let fuel flow for an order, once."""
        await self.core.commands.put(
            tx,
            key=f"authorise/{order_id}",
            kind="authorise",
            station=station,
            nozzle=nozzle,
            order_id=order_id,
            preset_fen=preset_fen,
            preset_ml=preset_ml,
        )

    async def cancel(self, openid: str, order_id: str) -> dict[str, Any]:
        """Cancel as far as that is still possible; the answer shows how far it came.

        Raises:
            ApiError: 404; 409 ``fuel_flowing`` once fuel has flowed, ``already_paid`` for a paid sale.
        """
        unpaid = await self.core.db.run(lambda tx: self._cancel(tx, openid, order_id))
        if unpaid:
            await self.core.endings.abandon(order_id, "CANCELLED")
        return await self.view(order_id)

    async def _cancel(self, tx: Transaction, openid: str, order_id: str) -> bool:
        """True if what remains is to give up an open payment."""
        order = await self.lock_own(tx, order_id, openid)
        reading = self.core.live.get(order.station, order.nozzle)
        if order.state == "FUELLING" or (
            order.state == "AUTHORISED" and reading is not None and reading.flows
        ):
            raise ApiError(409, "fuel_flowing", "fuel has flowed: the order can only be paid")
        if order.state == "CREATED" and order.mode == "prepay":
            await self.move(tx, order, "CANCELLED")
        elif order.state in {"CREATED", "AUTHORISED"} or (order.state == "PAID" and order.mode == "prepay"):
            await self._ask_to_cancel(tx, order)
        elif order.state == "PAID":
            raise ApiError(409, "already_paid", "the order is paid")
        return order.state in {"PAYABLE", "PAYING"}

    async def _ask_to_cancel(self, tx: Transaction, order: Row[Any]) -> None:
        """Only the site knows whether fuel has flowed, so its answer decides."""
        if order.cancel_asked:
            return
        await self.move(tx, order, order.state, cancel_asked=1)
        await self.core.commands.put(
            tx,
            key=f"cancel/{order.order_id}/{self.core.clock_us()}",
            kind="cancel",
            station=order.station,
            nozzle=order.nozzle,
            order_id=order.order_id,
        )

    # What sites do

    async def answered(
        self, tx: Transaction, order: Row[Any], kind: str, *, ok: bool, reason: str | None
    ) -> None:
        """The site's answer to a command of this (locked) order."""
        waits = order.state == "CREATED" and order.mode == "postpay"
        paid_ahead = order.mode == "prepay" and order.state in {"PAID", "AUTHORISED"}
        if kind == "authorise" and ok:
            if waits or order.state == "PAID":
                reading = self.core.live.get(order.station, order.nozzle)
                flows = reading is not None and reading.flows
                await self.move(tx, order, "FUELLING" if flows else "AUTHORISED")
        elif (kind == "authorise" and not ok) or (kind == "cancel" and ok):
            if waits or (order.state == "AUTHORISED" and order.mode == "postpay"):
                await self.move(tx, order, "CANCELLED")
            elif paid_ahead:
                why = "cancelled" if kind == "cancel" else f"not authorised: {reason or 'no reason given'}"
                await self.core.refunds.give_back(tx, order, order.payable_fen, why)
        elif kind == "cancel" and order.cancel_asked:
            await self.move(tx, order, order.state, cancel_asked=0)

    async def fuel_started(self, station: str, started: list[int]) -> None:
        """Fuel flows at these nozzles: orders that were authorised there are now FUELLING."""

        async def work(tx: Transaction) -> None:
            for nozzle in started:
                values = {"of_station": station, "number": nozzle, "now_us": self.core.clock_us()}
                for row in await tx.rows(_FLOWING, values):
                    tx.notify(f"order/{row.order_id}")

        await self.core.db.run(work)

    async def delivered(self, tx: Transaction, order: Row[Any], sale: Row[Any]) -> None:
        """The pump finished a delivery that was authorised for this (locked) order. The pump's figures stand."""
        figures = {"volume_ml": sale.volume_ml, "amount_fen": sale.amount_fen, "sale_id": sale.sale_id}
        if order.sale_id is not None:
            await self.core.alarm(tx, "second_sale_for_order", order.order_id, sale.sale_id)
        elif order.mode == "prepay":
            if order.state in {"PAID", "AUTHORISED", "FUELLING"}:
                await self._complete(tx, order, sale, figures)
            elif sale.amount_fen > 0:
                await self.core.alarm(tx, "fuel_without_money", order.order_id, sale.sale_id)
        elif sale.amount_fen == 0:
            if order.state in {"CREATED", "AUTHORISED", "FUELLING"}:
                await self.move(tx, order, "CLOSED", **figures)
        else:
            # Also after CANCELLED or CLOSED: the fuel is in the car, so the debt is real, and has a time to live again.
            if order.state in {"CANCELLED", "CLOSED"}:
                await self.core.outbox.put(
                    tx,
                    "order.expire",
                    order.order_id,
                    key=f"order.expire/{order.order_id}/{sale.sale_id}",
                    delay_us=self.core.settings.order_ttl_s * 1_000_000,
                )
            await self.move(tx, order, "PAYABLE", payable_fen=sale.amount_fen, **figures)
            await self.core.sales.set(tx, sale.sale_id, "locked", order.order_id)
            if order.pay_by == BY_CONTRACT:
                await self.core.contracts.finished(tx, order.order_id)

    async def _complete(
        self, tx: Transaction, order: Row[Any], sale: Row[Any], figures: dict[str, Any]
    ) -> None:
        """Prepaid fuel was delivered: give back what was not, record (never charge) what was too much."""
        await self.core.sales.set(tx, sale.sale_id, "cleared", order.order_id)
        # What came in a second time is not for fuel, and is on its way back by itself; payable is what the first one was.
        rest_fen = order.payable_fen - sale.amount_fen
        if rest_fen > 0:
            order = await self.move(tx, order, order.state, **figures)
            await self.core.refunds.give_back(tx, order, rest_fen, "not delivered")
        else:
            order = await self.move(tx, order, "COMPLETED", **figures)
        if rest_fen < 0:
            await self.core.enter(
                tx,
                kind="loss",
                entry_key=f"loss/{sale.sale_id}",
                station=sale.station,
                nozzle=sale.nozzle,
                sale_id=sale.sale_id,
                order_id=order.order_id,
                amount_fen=-rest_fen,
            )
            await self.core.alarm(tx, "overrun", order.order_id, f"{-rest_fen} fen more than prepaid")
        if sale.amount_fen > 0:
            if order.title is not None:
                await self.core.invoices.ask(tx, sale, order=order, title=msgspec.json.decode(order.title))
            paid_fen = min(order.payable_fen, sale.amount_fen)
            await self.core.sales.finish(
                tx,
                sale,
                order_id=order.order_id,
                tender=self.core.channels.tender_of(order.pay_by),
                paid_fen=paid_fen,
                number=order.out_trade_no,
            )

    # What time does

    async def _expire(self, task: Task) -> int | None:
        """Nobody paid (or fuelled) for a whole time to live: let go of the nozzle or the sale."""
        ttl_us = self.core.settings.order_ttl_s * 1_000_000

        async def work(tx: Transaction) -> tuple[int | None, bool]:
            order = await self.lock(tx, task.subject)
            if order is None or order.state in {
                "FUELLING",
                "COMPLETED",
                "REFUNDING",
                "REFUNDED",
                "CANCELLED",
                "CLOSED",
            }:
                # FUELLING ends with a sale, which may take any time to arrive: look again much later.
                return (
                    (self.core.clock_us() + ttl_us, False)
                    if order is not None and order.state == "FUELLING"
                    else (None, False)
                )
            if order.state == "PAID" and order.mode == "postpay":
                return None, False
            if order.updated_us + ttl_us > self.core.clock_us():
                return order.updated_us + ttl_us, False
            if order.state in {"PAYABLE", "PAYING"}:
                # Look again: while the attempt was being ended, it may have ended by itself, or another have begun.
                return self.core.clock_us() + _LOOK_AGAIN_US, True
            if order.state == "CREATED" and (order.mode == "prepay" or order.cancel_asked):
                await self.move(tx, order, "CLOSED")
                return None, False
            await self._ask_to_cancel(tx, order)
            return self.core.clock_us() + ttl_us, False

        again_us, unpaid = await self.core.db.run(work)
        if unpaid:
            try:
                await self.core.endings.abandon(task.subject, "CLOSED")
            except ApiError as error:
                raise GatewayUnknownError(error.message) from error
        return again_us


def _shown_first(row: Row[Any]) -> tuple[bool, int, str]:
    return row.held_from is not None, row.invoice_us or 0, row.fapiao_apply_id or ""


def _price(volume_ml: int, price_fen_per_l: int) -> int:
    """Fen, rounded half up."""
    return (volume_ml * price_fen_per_l + 500) // 1000
