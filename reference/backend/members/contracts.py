"""Frictionless payment: a member has signed once that finished sales may be debited, each up to a limit.

Whether a contract stands is asked at the gateway; what the phone says about it proves nothing. The debit is an attempt like
any other. When it fails, or would be above the limit, the order is an ordinary unpaid one with a notice for the phone.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, bindparam, select, update

from reference.backend.channels import Wish
from reference.backend.core import Core
from reference.backend.errors import ApiError
from reference.backend.gateways.port import GatewayRefusedError, GatewayUnknownError
from reference.backend.members.schema import contracts
from reference.backend.outbox import Task
from reference.backend.store.database import Transaction
from reference.backend.store.schema import orders

__all__ = ["BY_CONTRACT", "Contracts"]

BY_CONTRACT = "contract"
"""``pay_by`` of an order that is to be debited when the pump has finished."""
CHANNEL = "wechatpay-contract"
_TERMINATED = "TERMINATED"

_LIVE = select(contracts).where(contracts.c.openid == bindparam("who"), contracts.c.is_live == 1)
# An ended one stays ended, whatever an answer says that was on its way by then.
_SET = (
    update(contracts)
    .where(contracts.c.contract_code == bindparam("code"), contracts.c.is_live == 1)
    .values(
        state=bindparam("new_state"),
        is_live=bindparam("live"),
        contract_id=bindparam("theirs"),
        updated_us=bindparam("now_us"),
    )
)
_ORDER = select(orders).where(orders.c.order_id == bindparam("wanted"))


class Contracts:
    """Contracts, and the debits made by them."""

    def __init__(self, core: Core) -> None:
        self.core = core
        core.outbox.handlers["payment.contract"] = self._debit

    async def sign(self, openid: str) -> dict[str, Any]:
        """Begin a contract, or come back to the one there is: what the phone takes to the gateway's signing page.

        Raises:
            ApiError: 409 if the operator has not switched this channel on.
        """
        self.core.channels.open(CHANNEL)

        async def work(tx: Transaction) -> None:
            now_us = self.core.clock_us()
            row = {
                "contract_code": self.core.ids.text(32),
                "openid": openid,
                "contract_id": None,
                "limit_fen": self.core.settings.contract_limit_fen,
                "state": "signing",
                "is_live": 1,
                "created_us": now_us,
                "updated_us": now_us,
            }
            await tx.insert_new(contracts, row)

        await self.core.db.run(work)
        return await self.view(openid)

    async def view(self, openid: str) -> dict[str, Any]:
        """A member's contract; one that is being signed is asked about at the gateway.

        Raises:
            ApiError: 404 if there is none.
        """
        row = await self._live(openid)
        if row is not None and row.state == "signing" and await self._is_signed(row):
            row = await self._live(openid)
        if row is None:
            raise ApiError(404, "no_contract", "there is no contract")
        names = ("contract_code", "limit_fen", "state")
        return {
            **{name: getattr(row, name) for name in names},
            "plan_id": self.core.settings.contract_plan_id,
        }

    async def end(self, openid: str) -> None:
        """End a contract, at the gateway first. Raises `ApiError` 404, or 503 if the gateway gives no sure answer."""
        row = await self._live(openid)
        if row is None:
            raise ApiError(404, "no_contract", "there is no contract")
        try:
            report = await self.core.contract_gateway.contract(row.contract_code)
            if report is not None and report.state != _TERMINATED:
                await self.core.contract_gateway.end_contract(row.contract_code)
        except (GatewayUnknownError, GatewayRefusedError) as error:
            raise ApiError(503, "contract_unknown", f"no sure answer from the gateway: {error}") from error
        await self._set(row, "ended", None)

    async def active(self, openid: str) -> Row[Any] | None:
        """The contract that a member may be debited by, or None."""
        row = await self._live(openid)
        return row if row is not None and row.state == "active" else None

    async def finished(self, tx: Transaction, order_id: str) -> None:
        """The pump has finished an order that is to be paid by contract: debit it, after this transaction."""
        await self.core.outbox.put(tx, "payment.contract", order_id)

    async def failed(self, tx: Transaction, order: Row[Any], notice: str) -> None:
        """Tell the phone of the (locked) order, and put it on record."""
        await self.core.orders.move(tx, order, order.state, notice=notice)
        await self.core.alarm(tx, notice, order.order_id, f"{order.payable_fen} fen are unpaid")

    async def _debit(self, task: Task) -> int | None:
        order = (await self.core.db.single(_ORDER, {"wanted": task.subject}))[0]
        if order.state not in {"PAYABLE", "PAYING"} or order.pay_by not in {BY_CONTRACT, CHANNEL}:
            return None  # somebody has seen to it in another way
        contract = await self.active(order.openid)
        if contract is None:
            await self._tell(order.order_id, "no_contract")
        elif order.payable_fen > contract.limit_fen:
            await self._tell(order.order_id, "over_contract_limit")
        else:
            try:
                await self.core.attempts.pay(order.openid, order.order_id, Wish(CHANNEL))
            except ApiError as error:
                if error.status == 503:
                    raise GatewayUnknownError(error.message) from error
                await self._see_whether_ended(contract)
        return None

    async def _see_whether_ended(self, contract: Row[Any]) -> None:
        """A debit was refused. Who has ended the contract at the gateway can sign another one here."""
        try:
            report = await self.core.contract_gateway.contract(contract.contract_code)
        except (GatewayUnknownError, GatewayRefusedError):
            return
        if report is not None and report.state == _TERMINATED:
            await self._set(contract, "ended", None)

    async def _tell(self, order_id: str, notice: str) -> None:
        async def work(tx: Transaction) -> None:
            order = await self.core.orders.lock(tx, order_id)
            if order is not None and order.state == "PAYABLE":
                await self.failed(tx, order, notice)

        await self.core.db.run(work)

    async def _live(self, openid: str) -> Row[Any] | None:
        rows = await self.core.db.single(_LIVE, {"who": openid})
        return rows[0] if rows else None

    async def _is_signed(self, row: Row[Any]) -> bool:
        try:
            report = await self.core.contract_gateway.contract(row.contract_code)
        except (GatewayUnknownError, GatewayRefusedError):
            return False
        if report is None or report.state != "SIGNED" or report.openid != row.openid:
            return False
        await self._set(row, "active", report.contract_id)
        return True

    async def _set(self, row: Row[Any], state: str, contract_id: str | None) -> None:
        values = {
            "code": row.contract_code,
            "new_state": state,
            "live": 1 if state != "ended" else None,
            "theirs": contract_id or row.contract_id,
            "now_us": self.core.clock_us(),
        }
        await self.core.db.run(lambda tx: tx.execute(_SET, values))
