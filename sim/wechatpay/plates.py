"""Payment by number plate, as the parking service has it: a plate that its owner opened, an entry, a debit decided later.

A debit that the owner's money does not cover may be advanced by the platform: the merchant has its money
(``bank_type`` BPA, ``user_repaid`` N) and is told when the owner has paid it back (WX-OAPI ``vehicle``; notices
``TRANSACTION.SUCCESS``, ``FAIL``, ``PAY_BACK``). No time passes in here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from protocols.wechatpay import Endpoint, refusal, rfc3339
from sim.wechatpay.contracts import Contract, ContractBook
from sim.wechatpay.ids import Ids
from sim.wechatpay.ledger import Ledger, Order, PaymentRefusedError
from sim.wechatpay.material import MerchantAccount
from sim.wechatpay.wallets import Wallets

__all__ = ["Entry", "Plate", "PlateBook"]

_S = 1_000_000
_ENTRY_SHOWN = (
    "out_parking_no",
    "plate_number",
    "plate_color",
    "start_time",
    "parking_name",
    "free_duration",
)


@dataclass(slots=True, eq=False)
class Plate:
    """A plate and what its owner allows.

    Attributes:
        service: ``NORMAL``, ``PAUSE`` or ``OUT_SERVICE``.
        contract: the owner, and the most that one debit and a day's debits may take.
    """

    number: str
    color: str
    contract: Contract
    service: str = "NORMAL"


@dataclass(frozen=True, slots=True)
class Entry:
    """A car that has come in: what the merchant said, and the platform's number for it."""

    entry_id: str
    mchid: str
    body: Mapping[str, Any]


class PlateBook:
    """All plates, entries and debits by plate.

    Args:
        ledger: the orders.
        contracts: accepts and decides the debits.
        wallets: what owners have.
        ids: where numbers come from; a stream of its own.
    """

    def __init__(self, ledger: Ledger, contracts: ContractBook, wallets: Wallets, ids: Ids) -> None:
        self._ledger = ledger
        self._contracts = contracts
        self._wallets = wallets
        self._ids = ids
        self._plates: dict[tuple[str, str], Plate] = {}
        self._entries: dict[str, Entry] = {}
        self._by_number: dict[tuple[str, str], Entry] = {}
        self._debits: dict[tuple[str, str], Mapping[str, Any]] = {}

    def open(
        self,
        account: MerchantAccount,
        openid: str,
        number: str,
        color: str,
        *,
        limit_fen: int,
        advances: bool,
        service: str,
        unix_us: int,
    ) -> Plate:
        """An owner opens the service for a plate, or changes it (``service`` PAUSE, OUT_SERVICE)."""
        contract = Contract(
            contract_id=self._ids.contract_id(unix_us),
            mchid=account.mchid,
            appid=account.appids[0],
            plan_id=0,
            out_contract_code="",
            openid=openid,
            limit_fen=limit_fen,
            day_limit_fen=None,
            signed_us=unix_us,
            advances=advances,
        )
        plate = self._plates[number, color] = Plate(number, color, contract, service)
        return plate

    def find(self, openid: str, number: str, color: str) -> dict[str, object]:
        """What a merchant may know of a plate (WX-OAPI ``services/find``); one that nobody opened is out of service."""
        plate = self._plates.get((number, color))
        shown: dict[str, object] = {"plate_number": number, "plate_color": color, "openid": openid}
        if plate is None or plate.contract.openid != openid:
            return {**shown, "service_state": "OUT_SERVICE"}
        opened = rfc3339(plate.contract.signed_us // _S)
        return {**shown, "service_state": plate.service, "service_open_time": opened}

    def _block_reason(self, plate: Plate | None) -> str | None:
        if plate is None:
            return "OUT_SERVICE"
        if plate.service != "NORMAL":
            return plate.service
        owes = any(order.openid == plate.contract.openid for order in self._contracts.advanced.values())
        return "OVERDUE" if owes else None

    def enter(self, account: MerchantAccount, body: Mapping[str, Any], unix_us: int) -> dict[str, object]:
        """A car comes in; the same number is the same entry.

        Raises:
            ApiError: 400 INVALID_REQUEST: the number was used for another car.
        """
        key = (account.mchid, body["out_parking_no"])
        entry = self._by_number.get(key)
        if entry is None:
            entry = Entry(self._ids.entry_id(unix_us), account.mchid, dict(body))
            self._by_number[key] = self._entries[entry.entry_id] = entry
        elif dict(body) != entry.body:
            raise refusal(Endpoint.PARKING, "INVALID_REQUEST", "商户入场id重复")
        reason = self._block_reason(self._plates.get((body["plate_number"], body["plate_color"])))
        shown: dict[str, object] = {
            "id": entry.entry_id,
            **{name: entry.body[name] for name in _ENTRY_SHOWN},
            "state": "NORMAL" if reason is None else "BLOCKED",
        }
        return shown if reason is None else {**shown, "block_reason": reason}

    def debit(self, account: MerchantAccount, body: Mapping[str, Any], unix_us: int) -> tuple[Order, bool]:
        """Accept a debit; True beside it when it has to be decided now.

        Raises:
            ApiError: no such entry or another car's, plate not in service, and what `ContractBook.accept` refuses.
        """
        parking = body["parking_info"]
        entry = self._entries.get(parking["parking_id"])
        if entry is None or entry.mchid != account.mchid:
            raise refusal(Endpoint.PARKING, "RESOURCE_NOT_EXISTS", "入场信息不存在")
        plate = self._plates.get((parking["plate_number"], parking["plate_color"]))
        if plate is None or entry.body["plate_number"] != plate.number:
            raise refusal(Endpoint.PARKING, "INVALID_REQUEST", "车牌与入场信息不一致或未开通服务")
        if plate.service != "NORMAL":
            raise refusal(Endpoint.PARKING, "INVALID_REQUEST", "车牌服务已暂停或关闭")
        order, is_open = self._contracts.accept(
            account,
            body,
            plate.contract,
            unix_us,
            endpoint=Endpoint.PARKING,
            notify_url=body["notify_url"],
            trade_type="PARKING",
        )
        self._debits[account.mchid, order.out_trade_no] = body
        return order, is_open

    def shown(self, order: Order) -> dict[str, object]:
        """A debit as reply, query and notice show it (WX-OAPI ``vehicle/transactions``)."""
        body = self._debits[order.mchid, order.out_trade_no]
        common = order.shown()
        amount: dict[str, object] = {"total": order.total_fen, "currency": "CNY"}
        shown: dict[str, object] = {
            "appid": order.appid,
            "mchid": order.mchid,
            "description": order.description,
            "create_time": rfc3339(order.created_us // _S),
            "out_trade_no": order.out_trade_no,
            "trade_state": str(order.state),
            "trade_state_description": common["trade_state_desc"],
            "trade_scene": body["trade_scene"],
            "parking_info": body["parking_info"],
            "payer": {"openid": order.openid},
            "amount": amount,
        }
        for name in ("attach", "transaction_id", "success_time", "bank_type"):
            if name in common:
                shown[name] = common[name]
        if order.transaction_id is not None:
            amount |= {"payer_total": order.total_fen, "discount_total": 0}
        if order.is_repaid is not None:
            shown["user_repaid"] = "Y" if order.is_repaid else "N"
        return shown

    def query(self, mchid: str, number: str) -> dict[str, object]:
        """A debit by the merchant's number.

        Raises:
            ApiError: 404 ORDER_NOT_EXIST.
        """
        order = self._ledger.find(mchid, number, 0) if (mchid, number) in self._debits else None
        if order is None:
            raise refusal(Endpoint.PARKING, "ORDER_NOT_EXIST")
        return self.shown(order)

    def repay(self, openid: str, number: str) -> Order:
        """An owner pays back what the platform has advanced.

        Raises:
            PaymentRefusedError: nothing of this number is owed, or the money is still not there.
        """
        for key, order in self._contracts.advanced.items():
            if key[1] == number and order.openid == openid:
                if not self._wallets.covers(openid, order.total_fen):
                    raise PaymentRefusedError("balance")
                self._wallets.take(openid, order.total_fen)
                order.is_repaid = True
                del self._contracts.advanced[key]
                return order
        raise PaymentRefusedError("nothing-owed")
