"""Sales: taken in once per physical delivery, then owned by at most one payer.

The ledger row says what the pump delivered and never changes. The sale row says who is paying for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Row, bindparam, select, update

from reference.backend.core import Core
from reference.backend.errors import ApiError
from reference.backend.models import SalePost, Settlement
from reference.backend.receipts import receipt_of
from reference.backend.store.database import Transaction
from reference.backend.store.schema import handovers, ledger, orders, sales

__all__ = ["Sales", "inconsistency", "sale_fields"]

_STEP_ML: Final = 10
_OWED: Final = frozenset({"payable", "locked"})
_BY_KEY = select(sales).where(
    sales.c.station == bindparam("of_station"),
    sales.c.nozzle == bindparam("number"),
    sales.c.sequence == bindparam("seq"),
)
_LOCK = select(sales).where(sales.c.sale_id == bindparam("wanted")).with_for_update()
_FREE = (
    select(sales)
    .where(
        sales.c.station == bindparam("of_station"),
        sales.c.nozzle == bindparam("number"),
        sales.c.state == "payable",
        sales.c.ended_us >= bindparam("since_us"),
    )
    .order_by(sales.c.ended_us.desc(), sales.c.sequence.desc())
    .limit(1)
    .with_for_update()
)
_FUELLING_AT = (
    select(orders.c.order_id)
    .where(
        orders.c.station == bindparam("of_station"),
        orders.c.nozzle == bindparam("number"),
        orders.c.holds_nozzle == 1,
        orders.c.state == "FUELLING",
        orders.c.created_us <= bindparam("ended_us"),
    )
    .limit(1)
)
# Where nobody has logged in at a pump, its sales are those of whoever took over the shift.
_ON_SHIFT = (
    select(handovers.c.attendant)
    .where(handovers.c.station == sales.c.station, handovers.c.at_us < sales.c.ended_us)
    .order_by(handovers.c.number.desc())
    .limit(1)
    .correlate(sales)
    .scalar_subquery()
)
_IN_STATE = (
    select(sales, _ON_SHIFT.label("on_shift"))
    .where(sales.c.station == bindparam("of_station"), sales.c.state == bindparam("wanted"))
    .order_by(sales.c.ended_us.desc(), sales.c.sale_id)
    .limit(500)
)
_TOLD = select(ledger.c.content).where(ledger.c.entry_key == bindparam("of_key"))
_SET = (
    update(sales)
    .where(sales.c.sale_id == bindparam("wanted"))
    .values(state=bindparam("new_state"), order_id=bindparam("owner"), updated_us=bindparam("now_us"))
)

_FIELDS = (
    "sale_id",
    "state",
    "station",
    "nozzle",
    "sequence",
    "fuelling_point",
    "grade",
    "volume_ml",
    "amount_fen",
    "price_fen_per_l",
    "price_set",
    "price_since_us",
    "started_us",
    "ended_us",
    "order_id",
    "tender",
)


def sale_fields(row: Row[Any]) -> dict[str, Any]:
    """A sale as the API shows it."""
    who = row.attendant or getattr(row, "on_shift", None)
    return {name: getattr(row, name) for name in _FIELDS} | {"attendant": who}


def inconsistency(post: SalePost) -> str:
    """What is wrong when volume times price is not the amount; empty if nothing is, or the site worked the sale out itself.

    A pump reckons from finer pulses than it tells: the most that both can differ is one step of the volume (10 ml) at the
    unit price, the minimum price deviation (OIML R 117-1, T.1.3), and a fen for its rounding. Whoever recomputes the amount
    sells something else than the display showed, so such a sale is kept as told, and nobody pays it until a person has looked.
    """
    if "reconstructed" in post.flags or post.price_fen_per_l == 0:
        return ""
    reckoned_fen = (post.volume_ml * post.price_fen_per_l + 500) // 1_000
    most_fen = (_STEP_ML * post.price_fen_per_l + 999) // 1_000 + 1
    if abs(post.amount_fen - reckoned_fen) <= most_fen:
        return ""
    told = f"{post.volume_ml} ml at {post.price_fen_per_l} fen/L are {reckoned_fen} fen, the pump told {post.amount_fen}"
    return f"nozzle {post.nozzle} sequence {post.sequence}: {told}; they may differ by {most_fen}"


class Sales:
    """Takes deliveries in and hands them to payers."""

    def __init__(self, core: Core) -> None:
        self.core = core

    async def take(self, station: str, post: SalePost) -> tuple[bool, str, str]:
        """Enter a delivery: (is it new, sale_id, state). The same again gives the same answer.

        Raises:
            ApiError: 409 if the key (station, nozzle, sequence) is known with other content; an alarm is raised.
        """
        digest = self.digest(post)
        try:
            return await self.core.db.run(lambda tx: self._take(tx, station, post, digest))
        except ApiError as error:
            if error.code == "sale_differs":
                await self.core.alarm_alone(
                    "sale_differs",
                    f"{station}/{post.nozzle}/{post.sequence}",
                    msgspec.json.encode(post).decode(),
                )
            raise

    def digest(self, post: SalePost) -> str:
        """Of everything the pump said; two posts with one key must have one digest."""
        return hashlib.sha256(msgspec.json.encode(post, order="deterministic")).hexdigest()

    async def _take(
        self, tx: Transaction, station: str, post: SalePost, digest: str
    ) -> tuple[bool, str, str]:
        key = {"of_station": station, "number": post.nozzle, "seq": post.sequence}
        known = await tx.first(_BY_KEY, key)
        if known is None:
            doubt = inconsistency(post)
            tank, shift, attendant = await self.core.shifts.place(tx, station, post.nozzle, post.ended_us)
            sale_id = self.core.ids.make("sale")
            if await self._enter(tx, station, post, digest, sale_id, tank, shift, attendant):
                if doubt:
                    await self.core.alarm(tx, "sale_inconsistent", sale_id, doubt)
                    await self.set(tx, sale_id, "quarantined", None)
                    state = "quarantined"
                else:
                    state = await self._own(tx, station, post, sale_id)
                if "clock_skew" in post.flags:
                    words = f"{station}: the clock of fuelling point {post.fuelling_point} is wrong"
                    await self.core.alarm(tx, "clock_skew", sale_id, words)
                if shift:
                    await self.core.shifts.late(tx, await self.lock(tx, sale_id))
                return True, sale_id, state
            known = await tx.first(_BY_KEY, key)  # another instance was quicker
            assert known is not None  # noqa: S101 - the insert has just met it
        if known.digest != digest:
            raise ApiError(
                409,
                "sale_differs",
                f"nozzle {post.nozzle} sequence {post.sequence} is known with other content",
                "sequence",
            )
        return False, known.sale_id, known.state

    async def _enter(
        self,
        tx: Transaction,
        station: str,
        post: SalePost,
        digest: str,
        sale_id: str,
        tank: int | None,
        shift: int | None = None,
        attendant: str | None = None,
    ) -> bool:
        state = "payable" if post.amount_fen > 0 else "cleared"
        told = {name: getattr(post, name) for name in post.__struct_fields__}
        figures = {name: None if value is msgspec.UNSET else value for name, value in told.items()}
        del figures["order_id"], figures["flags"], figures["pump_ended_us"]
        is_new = await tx.insert_new(
            sales,
            {
                "sale_id": sale_id,
                "station": station,
                "state": state,
                "digest": digest,
                "tank": tank,
                "shift": shift,
                "attendant": attendant,
                "flags": msgspec.json.encode(post.flags).decode() if post.flags else None,
                "updated_us": self.core.clock_us(),
                **figures,
            },
        )
        if is_new:
            await self.core.enter(
                tx,
                kind="sale",
                entry_key=f"sale/{station}/{post.nozzle}/{post.sequence}",
                station=station,
                nozzle=post.nozzle,
                sequence=post.sequence,
                sale_id=sale_id,
                order_id=post.order_id,
                volume_ml=post.volume_ml,
                amount_fen=post.amount_fen,
                content=msgspec.json.encode(post).decode(),
            )
        return is_new

    async def _own(self, tx: Transaction, station: str, post: SalePost, sale_id: str) -> str:
        """Give the new sale to the order it was authorised for, if there is one; the sale's state after that."""
        order_id = post.order_id
        if order_id is None and post.amount_fen > 0:
            # A site that forgot whose fill it was (or sold by its policy): the phone that was shown this fuel is the buyer.
            values = {"of_station": station, "number": post.nozzle, "ended_us": post.ended_us}
            shown = await tx.first(_FUELLING_AT, values)
            order_id = None if shown is None else str(shown.order_id)
        if "test" in post.flags:
            await self.core.proving.take(tx, station, sale_id, order_id)
        elif order_id is not None:
            order = await self.core.orders.lock(tx, order_id)
            if order is None or (order.station, order.nozzle) != (station, post.nozzle):
                await self.core.alarm(tx, "sale_for_unknown_order", sale_id, f"order {order_id}")
            else:
                sale = await self.lock(tx, sale_id)
                await self.core.orders.delivered(tx, order, sale)
        return str((await self.lock(tx, sale_id)).state)

    async def lock(self, tx: Transaction, sale_id: str) -> Row[Any]:
        """The sale's row, locked. Raises `ApiError` 404."""
        row = await tx.first(_LOCK, {"wanted": sale_id})
        if row is None:
            raise ApiError(404, "unknown_sale", f"there is no sale {sale_id}", "sale_id")
        return row

    async def free_at(self, tx: Transaction, station: str, nozzle: int) -> Row[Any] | None:
        """The newest finished sale at a nozzle that nobody owns, locked."""
        since_us = self.core.clock_us() - self.core.settings.bind_window_s * 1_000_000
        return await tx.first(_FREE, {"of_station": station, "number": nozzle, "since_us": since_us})

    async def set(self, tx: Transaction, sale_id: str, state: str, order_id: str | None) -> None:
        """Change who owns a sale (the caller holds its lock)."""
        now_us = self.core.clock_us()
        await tx.execute(_SET, {"wanted": sale_id, "new_state": state, "owner": order_id, "now_us": now_us})

    async def release(self, sale_id: str, reason: str) -> dict[str, Any]:
        """An operator has looked at a quarantined sale: it counts as the pump told it, and its order or the cashier goes on.

        The reason goes into the ledger; another amount is a correction there, not a change of the sale. Repeating it changes nothing.

        Raises:
            ApiError: 404 unknown; 409 if it was never quarantined.
        """

        async def work(tx: Transaction) -> dict[str, Any]:
            sale = await self.lock(tx, sale_id)
            told = await tx.first(_TOLD, {"of_key": f"sale/{sale.station}/{sale.nozzle}/{sale.sequence}"})
            is_new = sale.state == "quarantined" and await self.core.enter(
                tx,
                kind="release",
                entry_key=f"release/{sale_id}",
                station=sale.station,
                nozzle=sale.nozzle,
                sequence=sale.sequence,
                sale_id=sale_id,
                amount_fen=0,
                content=msgspec.json.encode({"reason": reason}).decode(),
            )
            if is_new:
                assert told is not None  # noqa: S101 - a sale is entered with its ledger row
                await self.set(tx, sale_id, "payable" if sale.amount_fen else "cleared", None)
                await self._own(tx, sale.station, msgspec.json.decode(told.content, type=SalePost), sale_id)
            elif await tx.first(_TOLD, {"of_key": f"release/{sale_id}"}) is None:
                raise ApiError(409, "not_quarantined", f"sale {sale_id} is {sale.state}", "sale_id")
            return sale_fields(await self.lock(tx, sale_id))

        return await self.core.db.run(work)

    async def in_state(self, station: str, state: str) -> list[dict[str, Any]]:
        """Up to 500 sales of a station in a state, newest first."""
        rows = await self.core.db.run(lambda tx: tx.rows(_IN_STATE, {"of_station": station, "wanted": state}))
        gone_us = self.core.clock_us() - self.core.settings.drive_off_s * 1_000_000
        return [
            sale_fields(row) | {"drive_off": row.state in _OWED and row.ended_us <= gone_us} for row in rows
        ]

    async def settle(
        self, station: str, sale_id: str, body: Settlement, attendant: str = ""
    ) -> dict[str, Any]:
        """A cashier takes the money. Repeating it with the same token changes nothing.

        Raises:
            ApiError: 404 unknown; 409 if an order owns the sale, it is settled already, or the amount is not the sale's.
        """
        return await self.core.db.run(lambda tx: self._settle(tx, station, sale_id, body, attendant))

    async def _settle(
        self, tx: Transaction, station: str, sale_id: str, body: Settlement, attendant: str
    ) -> dict[str, Any]:
        sale = await self.lock(tx, sale_id)
        if sale.station != station:
            raise ApiError(404, "unknown_sale", f"there is no sale {sale_id}", "sale_id")
        if sale.settle_token == body.client_token:
            return sale_fields(sale)
        if sale.state == "locked":
            raise ApiError(409, "sale_locked", "a phone is paying for this sale")
        if sale.state == "quarantined":
            raise ApiError(
                409, "sale_quarantined", "its figures contradict each other; an operator has to release it"
            )
        if sale.state != "payable":
            raise ApiError(409, "already_settled", "this sale is settled")
        if body.amount_fen != sale.amount_fen:
            raise ApiError(409, "amount_differs", f"the sale is over {sale.amount_fen} fen", "amount_fen")
        await tx.execute(
            update(sales)
            .where(sales.c.sale_id == sale_id)
            .values(
                state="cleared",
                settle_token=body.client_token,
                tender=body.tender,
                updated_us=self.core.clock_us(),
            )
        )
        await self.core.enter(
            tx,
            kind="settlement",
            entry_key=f"settlement/{sale_id}",
            station=station,
            nozzle=sale.nozzle,
            sequence=sale.sequence,
            sale_id=sale_id,
            amount_fen=body.amount_fen,
            content=msgspec.json.encode(
                {"tender": body.tender, **({"by": attendant} if attendant else {})}
            ).decode(),
        )
        if body.invoice is not None:
            await self.core.invoices.ask(tx, sale, order=None, title=body.invoice.model_dump())
        await self.finish(tx, sale, order_id=None, tender=body.tender, paid_fen=body.amount_fen, number=None)
        return sale_fields(await self.lock(tx, sale_id))

    async def finish(
        self,
        tx: Transaction,
        sale: Row[Any],
        *,
        order_id: str | None,
        tender: str,
        paid_fen: int,
        number: str | None,
        parts: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Tell the site that a sale is settled, and let it print the receipt."""
        name = (await self.core.stations.row(tx, sale.station)).name
        receipt = receipt_of(
            sale, station_name=name, tender=tender, paid_fen=paid_fen, number=number, parts=parts
        )
        where = {"station": sale.station, "nozzle": sale.nozzle, "order_id": order_id}
        settled = {
            "sale_id": sale.sale_id,
            "sequence": sale.sequence,
            "amount_fen": sale.amount_fen,
            "tender": tender,
        }
        commands = self.core.commands
        await commands.put(tx, key=f"settled/{sale.sale_id}", kind="settled", **where, sale=settled)
        await commands.put(tx, key=f"print/{sale.sale_id}", kind="print", **where, receipt=receipt)
