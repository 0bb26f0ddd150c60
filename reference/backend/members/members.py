"""Members: points, balance and coupons, and what of them goes towards an order.

A part is held in the transaction that opens the payment, so it cannot be spent twice; it is taken in the transaction
that proves the last leg, or released in the one that gives it up. Accounts are the sums of their entries, which are
append-only.
"""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Row, bindparam, select, update

from reference.backend.channels.channel import Parts
from reference.backend.core import Core
from reference.backend.errors import ApiError
from reference.backend.members.schema import coupons, member_entries, members, tender_parts
from reference.backend.store.database import Transaction

__all__ = ["Members"]

_ACCOUNT = select(members).where(members.c.openid == bindparam("who"))
_ADD = (
    update(members)
    .where(
        members.c.openid == bindparam("who"),
        members.c.points + bindparam("more_points") >= 0,
        members.c.balance_fen + bindparam("more_fen") >= 0,
    )
    .values(
        points=members.c.points + bindparam("more_points"),
        balance_fen=members.c.balance_fen + bindparam("more_fen"),
        updated_us=bindparam("now_us"),
    )
)
_COUPON = select(coupons).where(coupons.c.coupon_id == bindparam("wanted")).with_for_update()
_USABLE = (
    select(coupons)
    .where(
        coupons.c.openid == bindparam("who"),
        coupons.c.state == "free",
        coupons.c.expires_us > bindparam("now_us"),
    )
    .order_by(coupons.c.expires_us, coupons.c.coupon_id)
    .limit(100)
)
_SET_COUPON = (
    update(coupons)
    .where(coupons.c.coupon_id == bindparam("wanted"), coupons.c.state == bindparam("old_state"))
    .values(state=bindparam("new_state"), out_trade_no=bindparam("number"), updated_us=bindparam("now_us"))
)
_PARTS = (
    select(tender_parts)
    .where(tender_parts.c.out_trade_no == bindparam("number"))
    .order_by(tender_parts.c.kind)
    .with_for_update()
)
_SET_PART = (
    update(tender_parts)
    .where(tender_parts.c.out_trade_no == bindparam("number"), tender_parts.c.kind == bindparam("of_kind"))
    .values(state=bindparam("new_state"), returned_fen=bindparam("back_fen"), updated_us=bindparam("now_us"))
)


class Members:
    """Accounts, coupons and parts of tenders."""

    def __init__(self, core: Core) -> None:
        self.core = core

    # What an order takes

    async def hold(self, tx: Transaction, order: Row[Any], openid: str, number: str, parts: Parts) -> int:
        """Set the parts of a new attempt aside; how many fen they are worth.

        Raises:
            ApiError: 409 ``not_enough`` or ``coupon_unusable``; 422 if they are worth more than the order.
        """
        left_fen = order.payable_fen
        held: list[tuple[str, int, int]] = []
        if parts.coupon_id is not None:
            worth_fen = min(left_fen, await self._coupon(tx, openid, parts.coupon_id, left_fen, number))
            held.append(("coupon", 1, worth_fen))
            left_fen -= worth_fen
        points_fen, odd = divmod(parts.points, self.core.settings.points_per_fen)
        if odd:
            raise ApiError(
                422, "invalid", f"points go in steps of {self.core.settings.points_per_fen}", "points"
            )
        if points_fen:
            held.append(("points", parts.points, points_fen))
        if parts.balance_fen:
            held.append(("balance", parts.balance_fen, parts.balance_fen))
        left_fen -= points_fen + parts.balance_fen
        if left_fen < 0:
            raise ApiError(422, "invalid", f"the parts are {-left_fen} fen more than the order", "parts")
        if not await self._add(tx, openid, -parts.points, -parts.balance_fen):
            raise ApiError(409, "not_enough", "the account does not hold so much", "parts")
        for kind, units, amount_fen in held:
            await self._enter(tx, "hold", openid, number, kind, -units, order.order_id)
            await tx.insert(
                tender_parts,
                {
                    "out_trade_no": number,
                    "kind": kind,
                    "order_id": order.order_id,
                    "openid": openid,
                    "units": units,
                    "coupon_id": parts.coupon_id if kind == "coupon" else None,
                    "amount_fen": amount_fen,
                    "returned_fen": 0,
                    "state": "held",
                    "updated_us": self.core.clock_us(),
                },
            )
        return int(order.payable_fen - left_fen)

    async def release(self, tx: Transaction, number: str) -> None:
        """The last leg failed: every part is free again."""
        for part in await tx.rows(_PARTS, {"number": number}):
            if part.state == "held":
                await self._back(tx, part, "release", part.units)
                await self._set(tx, part, "released")

    async def take(self, tx: Transaction, order: Row[Any], number: str) -> int | None:
        """The last leg is proved: the parts are spent. What they are worth; None if some are gone.

        Parts that were released already (the money came late) are taken once more, if the account still holds them.
        """
        rows = await tx.rows(_PARTS, {"number": number})
        if not await self._hold_again(tx, [part for part in rows if part.state == "released"], order):
            return None
        for part in rows:
            await self._set(tx, part, "taken")
            if part.coupon_id is not None:
                await self._move_coupon(tx, part.coupon_id, "held", "used", number)
            await self.core.enter(
                tx,
                kind="payment",
                entry_key=f"payment/{number}/{part.kind}",
                station=order.station,
                nozzle=order.nozzle,
                sale_id=order.sale_id,
                order_id=order.order_id,
                amount_fen=part.amount_fen,
                content=msgspec.json.encode({"tender": part.kind, "units": part.units}).decode(),
            )
        return sum(int(part.amount_fen) for part in rows)

    async def told(self, tx: Transaction, number: str) -> list[dict[str, Any]]:
        """The parts of a payment as its receipt shows them: ``tender``, ``units`` (points, or fen), and what they were worth."""
        rows = await tx.rows(_PARTS, {"number": number})
        return [{"tender": part.kind, "units": part.units, "amount_fen": part.amount_fen} for part in rows]

    async def _hold_again(self, tx: Transaction, rows: list[Row[Any]], order: Row[Any]) -> bool:
        points = sum(part.units for part in rows if part.kind == "points")
        balance_fen = sum(part.units for part in rows if part.kind == "balance")
        for part in rows:
            if part.coupon_id is not None:
                coupon = await tx.first(_COUPON, {"wanted": part.coupon_id})
                if coupon is None or coupon.state != "free":
                    return False
        if rows and not await self._add(tx, rows[0].openid, -points, -balance_fen):
            return False
        for part in rows:
            if part.coupon_id is not None:
                await self._move_coupon(tx, part.coupon_id, "free", "held", part.out_trade_no)
            await self._enter(
                tx, "hold", part.openid, part.out_trade_no, part.kind, -part.units, order.order_id, "late"
            )
        return True

    # What an order gives back

    async def give_back(self, tx: Transaction, order: Row[Any], amount_fen: int) -> tuple[Row[Any], int]:
        """Return parts of a paid (locked) order, beyond what its channel can give back.

        Balance goes first, then points in whole points, then the coupon, which is only given back whole.

        Returns:
            The order, which is REFUNDED if nothing is left for the channel; and what the channel must give back.
        """
        channel_fen = min(amount_fen, order.paid_fen - order.parts_fen)
        left_fen = amount_fen - channel_fen
        rows = {part.kind: part for part in await tx.rows(_PARTS, {"number": order.out_trade_no})}
        returned_fen = 0
        for kind in ("balance", "points", "coupon"):
            part = rows.get(kind)
            if part is None or part.state != "taken" or left_fen <= 0:
                continue
            back_fen = min(left_fen, part.amount_fen - part.returned_fen)
            if kind == "coupon" and back_fen < part.amount_fen:
                continue
            units = back_fen * part.units // part.amount_fen
            await self._back(tx, part, "return", units, str(part.returned_fen))
            total_fen = part.returned_fen + back_fen
            state = "returned" if total_fen == part.amount_fen else "taken"
            await self._set(tx, part, state, total_fen)
            left_fen -= back_fen
            returned_fen += back_fen
            await self.core.enter(
                tx,
                kind="refund",
                entry_key=f"refund/{part.out_trade_no}/{kind}/{part.returned_fen}",
                station=order.station,
                nozzle=order.nozzle,
                sale_id=order.sale_id,
                order_id=order.order_id,
                amount_fen=back_fen,
                content=msgspec.json.encode({"tender": kind, "units": units}).decode(),
            )
        if returned_fen:
            refunded_fen = order.refunded_fen + returned_fen
            state = order.state
            if not channel_fen and state == "REFUNDING":
                state = "COMPLETED" if order.paid_fen > refunded_fen else "REFUNDED"
            order = await self.core.orders.move(tx, order, state, refunded_fen=refunded_fen)
        return order, int(channel_fen)

    # Accounts

    async def view(self, openid: str) -> dict[str, Any]:
        """What a member can spend."""

        async def work(tx: Transaction) -> dict[str, Any]:
            account = await tx.first(_ACCOUNT, {"who": openid})
            usable = await tx.rows(_USABLE, {"who": openid, "now_us": self.core.clock_us()})
            names = ("coupon_id", "worth_fen", "min_fen", "expires_us")
            return {
                "points": account.points if account is not None else 0,
                "balance_fen": account.balance_fen if account is not None else 0,
                "points_per_fen": self.core.settings.points_per_fen,
                "coupons": [{name: getattr(row, name) for name in names} for row in usable],
            }

        return await self.core.db.run(work)

    async def grant(self, openid: str, token: str, points: int, balance_fen: int, reason: str) -> bool:
        """Give (or, with negative numbers, take) points and balance, once for the token; False if that was done before.

        Raises:
            ApiError: 409 ``not_enough`` if the account would be overdrawn.
        """

        async def work(tx: Transaction) -> bool:
            row = {"openid": openid, "points": 0, "balance_fen": 0, "updated_us": self.core.clock_us()}
            await tx.insert_new(members, row)
            is_new = await self._append(
                tx, f"grant/{token}", "grant", openid, points, balance_fen, None, reason
            )
            if is_new and not await self._add(tx, openid, points, balance_fen):
                raise ApiError(409, "not_enough", "the account does not hold so much")
            return is_new

        return await self.core.db.run(work)

    async def add_coupon(self, coupon: dict[str, Any]) -> bool:
        """Give a member a coupon; False if there is one of this name."""

        async def work(tx: Transaction) -> bool:
            more = {"state": "free", "out_trade_no": None, "updated_us": self.core.clock_us()}
            return await tx.insert_new(coupons, {**coupon, **more})

        return await self.core.db.run(work)

    async def _coupon(
        self, tx: Transaction, openid: str, coupon_id: str, payable_fen: int, number: str
    ) -> int:
        row = await tx.first(_COUPON, {"wanted": coupon_id})
        if (
            row is None
            or row.openid != openid
            or row.state != "free"
            or row.expires_us <= self.core.clock_us()
            or payable_fen < row.min_fen
        ):
            raise ApiError(409, "coupon_unusable", "this coupon cannot be used for this order", "coupon_id")
        await self._move_coupon(tx, coupon_id, "free", "held", number)
        return int(row.worth_fen)

    async def _move_coupon(
        self, tx: Transaction, coupon_id: str, old: str, new: str, number: str | None
    ) -> None:
        await tx.execute(
            _SET_COUPON,
            {
                "wanted": coupon_id,
                "old_state": old,
                "new_state": new,
                "number": number,
                "now_us": self.core.clock_us(),
            },
        )

    async def _back(
        self, tx: Transaction, part: Row[Any], kind: str, units: int, more: str | None = None
    ) -> None:
        if part.kind == "coupon":
            old = "held" if part.state == "held" else "used"
            await self._move_coupon(tx, part.coupon_id, old, "free", None)
        else:
            points = units if part.kind == "points" else 0
            await self._add(tx, part.openid, points, units - points)
        await self._enter(tx, kind, part.openid, part.out_trade_no, part.kind, units, part.order_id, more)

    async def _set(self, tx: Transaction, part: Row[Any], state: str, returned_fen: int = 0) -> None:
        await tx.execute(
            _SET_PART,
            {
                "number": part.out_trade_no,
                "of_kind": part.kind,
                "new_state": state,
                "back_fen": returned_fen,
                "now_us": self.core.clock_us(),
            },
        )

    async def _add(self, tx: Transaction, openid: str, points: int, balance_fen: int) -> bool:
        if not points and not balance_fen:
            return True
        values = {"who": openid, "more_points": points, "more_fen": balance_fen}
        return await tx.execute(_ADD, {**values, "now_us": self.core.clock_us()}) == 1

    async def _enter(
        self,
        tx: Transaction,
        what: str,
        openid: str,
        number: str,
        kind: str,
        units: int,
        order_id: str,
        more: str | None = None,
    ) -> None:
        """An entry about a part; a coupon's moves nothing in the account, but stands there with the others."""
        points = units if kind == "points" else 0
        balance_fen = units if kind == "balance" else 0
        key = "/".join(word for word in (what, number, kind, more) if word)
        await self._append(tx, key, what, openid, points, balance_fen, order_id, None)

    async def _append(
        self,
        tx: Transaction,
        key: str,
        kind: str,
        openid: str,
        points: int,
        balance_fen: int,
        order_id: str | None,
        reason: str | None,
    ) -> bool:
        return await tx.insert_new(
            member_entries,
            {
                "entry_key": key,
                "openid": openid,
                "kind": kind,
                "points": points,
                "balance_fen": balance_fen,
                "order_id": order_id,
                "reason": reason,
                "instance": self.core.instance,
                "recorded_us": self.core.clock_us(),
            },
        )
