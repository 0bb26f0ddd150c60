"""Attempts to pay: opened, told to a gateway, asked about. `payments` decides whether money came, `endings` gives up.

An attempt is OPEN from the moment its number is written until it is proved paid (SUCCESS) or given up (CLOSED). An
order has at most one OPEN attempt, whatever the channel; a unique index keeps it so. Another channel's turn comes only
when the attempt before it is over at its own gateway.
"""

from __future__ import annotations

from typing import Any, NoReturn

import msgspec
from sqlalchemy import Row, bindparam, func, select, update

from reference.backend.channels import DEAD, PAID, Channel, Parts, Started, Wish
from reference.backend.core import Core
from reference.backend.errors import ApiError
from reference.backend.gateways.port import GatewayRefusedError, GatewayUnknownError, GatewayUnreachableError
from reference.backend.outbox import Task
from reference.backend.store.database import Transaction
from reference.backend.store.schema import payments

__all__ = ["Attempts"]

_ONE = select(payments).where(payments.c.out_trade_no == bindparam("number"))
_OPEN = select(payments).where(payments.c.order_id == bindparam("of_order"), payments.c.is_open == 1)
_PREPAID = (
    update(payments)
    .where(payments.c.out_trade_no == bindparam("number"))
    .values(prepay_id=bindparam("given"), prepay_us=bindparam("now_us"))
    .returning(payments.c.out_trade_no)
)
_KEEP = (
    update(payments)
    .where(payments.c.out_trade_no == bindparam("number"))
    .values(handle=bindparam("kept"))
    .returning(payments.c.out_trade_no)
)
# How many tries may have reached the gateway; NULL is the first one. An attempt of none is nobody's to close.
_TRY = (
    update(payments)
    .where(payments.c.out_trade_no == bindparam("number"), payments.c.state == "OPEN")
    .values(sent=func.coalesce(payments.c.sent, 1) + 1)
    .returning(payments.c.out_trade_no)
)
_NEVER_LEFT = (
    update(payments)
    .where(payments.c.out_trade_no == bindparam("number"))
    .values(sent=func.coalesce(payments.c.sent, 1) - 1)
    .returning(payments.c.sent)
)
_QUERIED = (
    update(payments)
    .where(payments.c.out_trade_no == bindparam("number"))
    .values(queries=payments.c.queries + 1)
)


class _Kept(msgspec.Struct, omit_defaults=True):
    """What an attempt remembers beside its columns: nothing for an ordinary one."""

    token: str | None = None
    points: int = 0
    coupon_id: str | None = None
    balance_fen: int = 0
    answer: dict[str, Any] | None = None

    def is_for(self, wish: Wish) -> bool:
        return self.token == wish.token and Parts(self.points, self.coupon_id, self.balance_fen) == wish.parts


_PLAIN = _Kept()


class Attempts:
    """Opens attempts and follows them to their end."""

    def __init__(self, core: Core) -> None:
        self.core = core
        core.outbox.handlers["payment.query"] = self._query

    # Asking

    async def pay(self, openid: str, order_id: str, wish: Wish = Wish()) -> dict[str, Any]:  # noqa: B008 - frozen
        """Open an attempt, or come back to the open one: what the payer needs.

        Raises:
            ApiError: 404; 409 ``already_paid``, ``not_payable`` or ``channel_unavailable``; 502 the gateway refused;
                503 the outcome (of this attempt, or of another channel's before it) is unknown: ask again.
        """
        channel = self.core.channels.open(wish.channel)
        for _ in range(3):
            payment, is_new = await self.core.db.run(lambda tx: self._begin(tx, openid, order_id, wish))
            if payment is None:
                return {}  # the parts have paid it
            kept = msgspec.json.decode(payment.handle, type=_Kept) if payment.handle else _PLAIN
            if is_new or self._fits(channel, payment, kept, wish):
                break
            await self._make_way(payment)
        else:
            raise ApiError(503, "payment_unknown", "other attempts to pay this order are in the way")
        answer = channel.ready(payment) or kept.answer
        if answer is None and (is_new or channel.is_repeatable):
            answer = await self._start(channel, payment, kept, wish, is_new=is_new)
        return {"out_trade_no": payment.out_trade_no, **(answer or {})}

    def _fits(self, channel: Channel, payment: Row[Any], kept: _Kept, wish: Wish) -> bool:
        """Whether an open attempt is what somebody wants now."""
        if payment.channel != wish.channel or payment.ending or not kept.is_for(wish):
            return False
        # An answer that got lost and cannot be asked for again leaves nobody able to pay.
        return channel.is_repeatable or kept.answer is not None or kept.token is not None

    async def _begin(
        self, tx: Transaction, openid: str, order_id: str, wish: Wish
    ) -> tuple[Row[Any] | None, bool]:
        order = await self.core.orders.lock_own(tx, order_id, openid)
        if order.paid_fen > 0:
            raise ApiError(409, "already_paid", "the order is paid")
        if order.state == "PAYING":
            row = await tx.first(_OPEN, {"of_order": order_id})
            if row is not None:
                return row, False
        payable = order.state == "PAYABLE" or (order.state == "CREATED" and order.mode == "prepay")
        if not payable:
            raise ApiError(409, "not_payable", f"an order that is {order.state} cannot be paid")
        number = self.core.numbers.make(
            self.core.settings.station_keys[order.station], f"{order.station}/{order.nozzle}"
        )
        more: dict[str, Any] = {}
        parts_fen = 0
        if wish.parts:
            parts_fen = await self._hold(tx, order, openid, number, wish.parts)
            more = {"parts_fen": parts_fen}
        if wish.channel != "wechatpay":
            more["pay_by"] = wish.channel
        elif order.pay_by not in {None, "wechatpay"}:
            more["pay_by"] = None
        order = await self.core.orders.move(tx, order, "PAYING", out_trade_no=number, **more)
        if parts_fen == order.payable_fen:
            await self.core.payments.paid_by_parts(tx, order, number)
            return None, True
        return await self._open(tx, order, openid, number, order.payable_fen - parts_fen, wish), True

    async def _hold(self, tx: Transaction, order: Row[Any], openid: str, number: str, parts: Parts) -> int:
        if order.mode == "prepay":
            # What is not delivered goes back over the channel; a coupon could not be given back in part.
            raise ApiError(409, "parts_refused", "points, coupon and balance pay for fuel that is in the car")
        return await self.core.members.hold(tx, order, openid, number, parts)

    async def _open(
        self, tx: Transaction, order: Row[Any], openid: str, number: str, amount_fen: int, wish: Wish
    ) -> Row[Any]:
        channel = self.core.channels.known[wish.channel]
        now_us = self.core.clock_us()
        life_s = channel.window_s or self.core.settings.order_ttl_s
        row: dict[str, Any] = {
            "out_trade_no": number,
            "order_id": order.order_id,
            "openid": openid,
            "amount_fen": amount_fen,
            "state": "OPEN",
            "is_open": 1,
            "queries": 0,
            "expires_us": now_us + life_s * 1_000_000,
            "created_us": now_us,
        }
        kept = _Kept(wish.token, wish.parts.points, wish.parts.coupon_id, wish.parts.balance_fen)
        if kept != _PLAIN:
            row["handle"] = msgspec.json.encode(kept).decode()
        if wish.channel != "wechatpay":
            row["channel"] = wish.channel
        await tx.insert(payments, row)
        first_us = channel.waits_s()[0] * 1_000_000
        await self.core.outbox.put(tx, "payment.query", number, delay_us=first_us)
        found = await tx.first(_ONE, {"number": number})
        assert found is not None  # noqa: S101 - inserted above
        return found

    async def _make_way(self, payment: Row[Any]) -> None:
        """End an attempt that another one is to follow, at its own gateway first."""
        number = payment.out_trade_no
        if payment.sent == 0 and await self.core.endings.drop_unsent(payment.order_id, number):
            return
        try:
            if not await self.core.endings.is_over(payment):
                raise ApiError(409, "already_paid", "the order is paid")
        except (GatewayUnknownError, GatewayRefusedError) as error:
            await self.core.endings.go_on(payment)
            raise ApiError(
                503, "payment_unknown", f"the attempt over {payment.channel} is not over yet: {error}"
            ) from error
        await self.core.endings.give_up(payment.order_id, number, None, way_free=True)

    async def _start(
        self, channel: Channel, payment: Row[Any], kept: _Kept, wish: Wish, *, is_new: bool
    ) -> dict[str, Any]:
        """Tell the gateway: once, then after an unknown outcome ask what became of it, then once more."""
        if not is_new and not await self.core.db.single(_TRY, {"number": payment.out_trade_no}):
            raise ApiError(503, "payment_unknown", "this attempt has just been given up: ask again")
        never_left = True
        for is_last in (False, True) if channel.is_repeatable else (True,):
            try:
                started = await channel.start(payment, wish)
            except GatewayUnknownError as error:
                never_left = never_left and isinstance(error, GatewayUnreachableError)
                if is_last:
                    await self._unknown(payment, wish, error, never_left=never_left)
                    return {}
                if await self._is_paid_after_asking(channel, payment):
                    raise ApiError(409, "already_paid", "the order is paid") from error
            except GatewayRefusedError as error:
                await self._refused(channel, payment, error)
            else:
                await self._started(payment, kept, started)
                return started.answer
        raise AssertionError("unreachable")

    async def _unknown(
        self, payment: Row[Any], wish: Wish, error: GatewayUnknownError, *, never_left: bool
    ) -> None:
        """No answer to the last call. Returns for a code that may have been charged: its task asks until that is known."""
        number = payment.out_trade_no
        if never_left:
            # Another channel need not wait for this one.
            await self.core.db.single(_NEVER_LEFT, {"number": number})
            if wish.code is not None:
                await self.core.endings.give_up(payment.order_id, number, None)
        elif wish.code is not None:
            return
        raise ApiError(503, "payment_unknown", f"no sure answer from the gateway: {error}") from error

    async def _refused(self, channel: Channel, payment: Row[Any], error: GatewayRefusedError) -> NoReturn:
        number = payment.out_trade_no
        if error.code in {"ORDERPAID", "ORDER_PAID"} and await self._is_paid_after_asking(channel, payment):
            raise ApiError(409, "already_paid", "the order is paid") from error
        notice = "contract_debit_failed" if payment.channel == "wechatpay-contract" else None
        await self.core.endings.give_up(payment.order_id, number, None, notice=notice)
        await self.core.alarm_alone("prepay_refused", number, str(error))
        raise ApiError(502, "gateway_refused", f"the gateway refused: {error.code}") from error

    async def _started(self, payment: Row[Any], kept: _Kept, started: Started) -> None:
        number = payment.out_trade_no
        if started.prepay_id is not None:
            values = {"number": number, "given": started.prepay_id, "now_us": self.core.clock_us()}
            await self.core.db.single(_PREPAID, values)
        elif started.answer:
            kept = msgspec.structs.replace(kept, answer=started.answer)
            await self.core.db.single(_KEEP, {"number": number, "kept": msgspec.json.encode(kept).decode()})
        elif started.report is not None and started.report.state in PAID:
            await self.core.payments.apply(started.report, "reply")
        elif started.report is not None and started.report.state in DEAD:
            await self.core.endings.give_up(payment.order_id, number, None)

    async def _is_paid_after_asking(self, channel: Channel, payment: Row[Any]) -> bool:
        try:
            report = await channel.query(payment)
        except (GatewayUnknownError, GatewayRefusedError):
            return False
        if report is not None and report.state in PAID:
            await self.core.payments.apply(report, "query")
            return True
        return False

    # Asking what became of it

    async def ask_now(self, openid: str, order_id: str) -> None:
        """The phone says that something happened: that proves nothing, so query at once."""

        async def work(tx: Transaction) -> None:
            await self.core.orders.lock_own(tx, order_id, openid)
            row = await tx.first(_OPEN, {"of_order": order_id})
            if row is not None:
                await self.core.outbox.hurry(tx, f"payment.query/{row.out_trade_no}")

        await self.core.db.run(work)

    async def told_failed(self, number: str) -> None:
        """The gateway says that a debit failed: query at once."""
        await self.core.db.run(lambda tx: self.core.outbox.hurry(tx, f"payment.query/{number}"))

    async def _query(self, task: Task) -> int | None:
        """The channel's schedule of queries, until the outcome is known; then, for some channels, the end by ourselves."""
        found = await self.core.db.single(_ONE, {"number": task.subject})
        payment = found[0] if found else None
        if payment is None or payment.state != "OPEN":
            return None
        channel = self.core.channels.of(payment.channel)
        if payment.ending or (channel.window_s is not None and self.core.clock_us() >= payment.expires_us):
            return await self.core.endings.by_ourselves(payment, task)
        try:
            report = await channel.query(payment)
        except (GatewayUnknownError, GatewayRefusedError):
            if channel.window_s is None:
                raise  # the outbox backs off
            report = None
        if report is not None and report.state in PAID:
            await self.core.payments.apply(report, "query")
            return None
        if report is not None and report.state in DEAD:
            await self.core.endings.give_up(payment.order_id, task.subject, None)
            return None
        if report is not None and report.state == "PAY_FAIL":
            # A debit that could be tried again; the driver is to choose another way.
            await self.core.endings.debit_failed(payment)
            return None
        await self.core.db.run(lambda tx: tx.execute(_QUERIED, {"number": task.subject}))
        waits_s = channel.waits_s()
        pause_s: int = waits_s[min(payment.queries + 1, len(waits_s) - 1)]
        again_us = self.core.clock_us() + pause_s * 1_000_000
        return again_us if channel.window_s is None else min(again_us, payment.expires_us)
