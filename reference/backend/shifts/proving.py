"""Test deliveries: fuel that went into the proving can and back into its tank (回罐). Nobody's sale.

Some pumps mark them (the flag ``test``); for the others an attendant says so at the till, while the sale is still unpaid. Either
way the sale is taken out of the revenue by a ledger row of its own, can be paid, invoiced and receipted by nobody, and its litres
stand in the stock book as returned. The totaliser has counted them: they are listed apart in the report of their shift.
"""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Row, bindparam, select, update

from reference.backend.attendants.acts import note_act
from reference.backend.core import Core
from reference.backend.errors import ApiError
from reference.backend.sales import sale_fields
from reference.backend.shifts.views import TestMark
from reference.backend.store.database import Transaction
from reference.backend.store.schema import sales, stations
from reference.backend.tanks.account import Account, give_back
from reference.backend.tanks.schema import stock_book, tank_accounts, tanks

__all__ = ["TEST", "Proving"]

TEST = "test"
"""The flag of a test delivery, and the state of its sale."""

_LOCK = select(stations.c.station).where(stations.c.station == bindparam("of_station")).with_for_update()
_SET = (
    update(sales)
    .where(sales.c.sale_id == bindparam("wanted"))
    .values(state=TEST, order_id=None, settle_token=bindparam("token"), updated_us=bindparam("now_us"))
)
_GROUP = select(tanks.c.grp).where(
    tanks.c.station == bindparam("of_station"), tanks.c.tank == bindparam("of_tank")
)
_ACCOUNT = select(tank_accounts).where(
    tank_accounts.c.station == bindparam("of_station"), tank_accounts.c.grp == bindparam("of_group")
)
_SET_ACCOUNT = (
    update(tank_accounts)
    .where(tank_accounts.c.station == bindparam("of_station"), tank_accounts.c.grp == bindparam("of_group"))
    .values(state=bindparam("new_state"), updated_us=bindparam("now_us"))
)


class Proving:
    """See the module."""

    def __init__(self, core: Core) -> None:
        self.core = core

    async def mark(
        self, station: str, sale_id: str, body: TestMark, *, who: str = "", role: str = "station"
    ) -> dict[str, Any]:
        """Somebody says that a sale was a test delivery. Repeating it with the same token changes nothing.

        Raises:
            ApiError: 404 unknown; 409 if somebody pays for it or has paid.
        """

        async def work(tx: Transaction) -> dict[str, Any]:
            # The station's lock first, as in readings of its tanks and in handovers.
            await tx.first(_LOCK, {"of_station": station})
            sale = await self.core.sales.lock(tx, sale_id)
            if sale.station != station:
                raise ApiError(404, "unknown_sale", f"there is no sale {sale_id}", "sale_id")
            if sale.state == TEST and sale.settle_token in {None, body.client_token}:
                return sale_fields(sale)
            if sale.state == "locked":
                raise ApiError(409, "sale_locked", "a phone is paying for this sale")
            if sale.state != "payable":
                raise ApiError(409, "already_settled", "this sale is settled")
            await note_act(
                self.core, tx, role=role, who=who, station=station, action="return", subject=sale_id
            )
            return sale_fields(await self._return(tx, sale, body.client_token))

        return await self.core.db.run(work)

    async def take(self, tx: Transaction, station: str, sale_id: str, order_id: str | None) -> None:
        """The pump itself said that this new sale was a test. An order that was fuelling there gets nothing and owes nothing."""
        await tx.first(_LOCK, {"of_station": station})
        sale = await self._return(tx, await self.core.sales.lock(tx, sale_id), None)
        if order_id is None:
            return
        order = await self.core.orders.lock(tx, order_id)
        await self.core.alarm(tx, "test_for_order", sale.sale_id, f"order {order_id}")
        if order is None or (order.station, order.nozzle) != (station, sale.nozzle):
            return
        if order.mode == "prepay" and order.state in {"PAID", "AUTHORISED", "FUELLING"}:
            await self.core.refunds.give_back(tx, order, order.payable_fen, "test delivery")
        elif order.state in {"CREATED", "AUTHORISED", "FUELLING"}:
            await self.core.orders.move(tx, order, "CLOSED")

    async def _return(self, tx: Transaction, sale: Row[Any], token: str | None) -> Row[Any]:
        """Take a (locked) sale out of the revenue and put its litres back; the sale as it is then."""
        now_us = self.core.clock_us()
        await tx.execute(_SET, {"wanted": sale.sale_id, "token": token, "now_us": now_us})
        await self.core.enter(
            tx,
            kind="return",
            entry_key=f"return/{sale.sale_id}",
            station=sale.station,
            nozzle=sale.nozzle,
            sequence=sale.sequence,
            sale_id=sale.sale_id,
            volume_ml=-sale.volume_ml,
            amount_fen=-sale.amount_fen,
            content=msgspec.json.encode({"told_by": "pump" if token is None else "attendant"}).decode(),
        )
        if sale.tank is not None:
            await self._give_back(tx, sale)
        if token is not None and sale.shift is not None:
            key = f"return/{sale.sale_id}"
            await self.core.shifts.enter(tx, "return", sale, key, -sale.volume_ml, -sale.amount_fen)
        return await self.core.sales.lock(tx, sale.sale_id)

    async def _give_back(self, tx: Transaction, sale: Row[Any]) -> None:
        """The litres are in the tank again: in the stock book, and in the tank's account if it has a gauge."""
        row = await tx.first(_GROUP, {"of_station": sale.station, "of_tank": sale.tank})
        group = sale.tank if row is None else row.grp
        now_us = self.core.clock_us()
        await tx.insert_new(
            stock_book,
            {
                "kind": "return",
                "entry_key": f"return/{sale.sale_id}",
                "station": sale.station,
                "grp": group,
                "grade": sale.grade,
                "site_delivery": None,
                "volume_ml": sale.volume_ml,
                "started_us": sale.started_us,
                "ended_us": sale.ended_us,
                "content": "{}",
                "instance": self.core.instance,
                "recorded_us": now_us,
            },
        )
        keys = {"of_station": sale.station, "of_group": group}
        held = await tx.first(_ACCOUNT, keys)
        if held is not None:
            account = msgspec.json.decode(held.state, type=Account)
            give_back(account, sale.volume_ml)
            state = msgspec.json.encode(account).decode()
            await tx.execute(_SET_ACCOUNT, {**keys, "new_state": state, "now_us": now_us})
