"""Payments at the pump: the attendant scans the code that the driver's phone shows.

The sale is paid by the order that owns it, if somebody's phone has made one, else by an order of the station's own. Its
payer is only known to the gateway; such an order is closed, and its sale free for the cashier, when the payment fails.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

from sqlalchemy import bindparam, select

from reference.backend.channels import Wish
from reference.backend.core import Core
from reference.backend.errors import ApiError
from reference.backend.payments.endings import COUNTER
from reference.backend.payments.models import CodePayment
from reference.backend.store.database import Transaction
from reference.backend.store.schema import orders

__all__ = ["PumpCodes", "channel_of_code"]

_BY_TOKEN = select(orders.c.order_id, orders.c.sale_id).where(
    orders.c.openid == bindparam("who"), orders.c.client_token == bindparam("token")
)
# WeChat's codes have 18 digits and begin with 10 to 15; UnionPay's QR codes 19, beginning with 62.
_PREFIXES: Final = {
    "wechatpay-code": (18, tuple(str(number) for number in range(10, 16))),
    "unionpay-code": (19, ("62",)),
}


def channel_of_code(code: str) -> str | None:
    """Whose code it is, by its length and first two digits; None for any other."""
    for name, (length, prefixes) in _PREFIXES.items():
        if len(code) == length and code[:2] in prefixes:
            return name
    return None


class PumpCodes:
    """See the module."""

    def __init__(self, core: Core) -> None:
        self.core = core

    async def pay(self, station: str, sale_id: str, body: CodePayment) -> dict[str, Any]:
        """Charge the payer whose code was scanned; gives the order, which is PAID, still PAYING, or could not be paid.

        Repeating it with the same token charges nobody twice.

        Raises:
            ApiError: 404 unknown sale; 409 ``already_settled``, ``token_reused``, ``channel_unavailable``; 422 nobody's
                code; 502 the gateway refused; 503 the outcome of an attempt before this one is unknown.
        """
        channel = channel_of_code(body.auth_code)
        if channel is None:
            raise ApiError(422, "invalid", "this is no code that can be charged", "auth_code")
        self.core.channels.open(channel)
        order_id, openid = await self.core.db.run(lambda tx: self._order(tx, station, sale_id, body))
        wish = Wish(channel, code=body.auth_code, token=f"{sale_id}/{body.client_token}")
        try:
            await self.core.attempts.pay(openid, order_id, wish)
        except ApiError as error:
            if error.code not in {"already_paid", "not_payable"}:
                raise
        return await self.core.orders.view(order_id)

    async def _order(self, tx: Transaction, station: str, sale_id: str, body: CodePayment) -> tuple[str, str]:
        """The order that pays for the sale, and whose it is."""
        payer = f"{COUNTER}{station}"
        known = await tx.first(_BY_TOKEN, {"who": payer, "token": body.client_token})
        if known is not None:
            if known.sale_id != sale_id:
                raise ApiError(409, "token_reused", "this client_token paid for another sale", "client_token")
            return str(known.order_id), payer
        sale = await self.core.sales.lock(tx, sale_id)
        if sale.station != station:
            raise ApiError(404, "unknown_sale", f"there is no sale {sale_id}", "sale_id")
        if sale.state == "locked":
            owner = await tx.first(select(orders.c.openid).where(orders.c.order_id == sale.order_id))
            assert owner is not None  # noqa: S101 - a locked sale names its order
            return str(sale.order_id), str(owner.openid)
        if sale.state != "payable":
            raise ApiError(409, "already_settled", "this sale is settled")
        now_us = self.core.clock_us()
        order_id = self.core.ids.make("ord")
        await tx.insert(
            orders,
            {
                "order_id": order_id,
                "openid": payer,
                "client_token": body.client_token,
                "digest": hashlib.sha256(f"code/{sale_id}".encode()).hexdigest(),
                "station": station,
                "nozzle": sale.nozzle,
                "mode": "postpay",
                "state": "PAYABLE",
                "holds_nozzle": None,
                "cancel_asked": 0,
                "payable_fen": sale.amount_fen,
                "volume_ml": sale.volume_ml,
                "amount_fen": sale.amount_fen,
                "paid_fen": 0,
                "refunded_fen": 0,
                "sale_id": sale_id,
                "title": body.invoice.model_dump_json() if body.invoice is not None else None,
                "created_us": now_us,
                "updated_us": now_us,
            },
        )
        await self.core.sales.set(tx, sale_id, "locked", order_id)
        ttl_us = self.core.settings.order_ttl_s * 1_000_000
        await self.core.outbox.put(tx, "order.expire", order_id, delay_us=ttl_us)
        return order_id, payer

    async def show(self, station: str, order_id: str) -> dict[str, Any]:
        """An order of this station. Raises `ApiError` 404."""
        order = await self.core.orders.view(order_id)
        if order["station"] != station:
            raise ApiError(404, "unknown_order", f"there is no order {order_id}", "order_id")
        return order

    async def cancel(self, station: str, order_id: str) -> dict[str, Any]:
        """Give up an order of the station's own; one of a phone's is its own to cancel. Raises `ApiError`."""
        return await self.core.orders.cancel(f"{COUNTER}{station}", order_id)
