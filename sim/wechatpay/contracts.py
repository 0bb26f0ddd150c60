"""Contracts by which a merchant may take money without asking each time, and the debits made by them.

A debit is accepted at once and decided later (WX-OAPI ``papay/pay/transactions/apply``): a notice or a query tells how.
One that failed may be asked for again under its own number until the merchant closes it. No time passes in here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from protocols.wechatpay import Endpoint, TradeEvent, TradeState, refusal, rfc3339
from sim.wechatpay.ids import Ids
from sim.wechatpay.ledger import Ledger, Order, fingerprint
from sim.wechatpay.material import MerchantAccount
from sim.wechatpay.switches import Switches
from sim.wechatpay.wallets import Wallets

__all__ = ["Contract", "ContractBook", "ContractError"]

_S = 1_000_000
_DAY_US = 86_400 * _S
_CHINA_US = 8 * 3_600 * _S
_OVER_LIMIT = "扣款金额超过用户签约限额"


class ContractError(ValueError):
    """A payer cannot sign this; the message says why."""


@dataclass(slots=True, eq=False)
class Contract:
    """One payer's leave to a merchant. Money is fen, times are Unix microseconds.

    Attributes:
        limit_fen: the most that one debit may take.
        day_limit_fen: the most that a day's debits may take, by China time; None: no such limit.
        terminated_us: when it ended, or None.
        ended_by: ``USER_TERMINATE`` or ``MERCHANT_TERMINATE``.
        advances: whether the platform pays what the payer's money does not cover (plates).
    """

    contract_id: str
    mchid: str
    appid: str
    plan_id: int
    out_contract_code: str
    openid: str
    limit_fen: int
    day_limit_fen: int | None
    signed_us: int
    terminated_us: int | None = None
    ended_by: str = ""
    remark: str = ""
    advances: bool = False

    def shown(self) -> dict[str, object]:
        """The contract as its query shows it (WX-OAPI)."""
        shown: dict[str, object] = {
            "mchid": self.mchid,
            "contract_id": self.contract_id,
            "appid": self.appid,
            "plan_id": self.plan_id,
            "out_contract_code": self.out_contract_code,
            "contract_display_account": "微信用户",
            "contract_state": "SIGNED" if self.terminated_us is None else "TERMINATED",
            "contract_signed_time": rfc3339(self.signed_us // _S),
            "openid": self.openid,
        }
        if self.terminated_us is not None:
            shown["contract_terminate_info"] = {
                "contract_termination_mode": self.ended_by,
                "contract_terminated_time": rfc3339(self.terminated_us // _S),
                "contract_termination_remark": self.remark,
            }
        return shown


class ContractBook:
    """All contracts of all merchants, and their debits.

    Args:
        ledger: the orders.
        wallets: what payers have.
        ids: where contract ids come from; a stream of their own.
        switches: what sources leave open.

    Attributes:
        advanced: orders that the platform has paid for their payers and that are still owed, by merchant and number.
    """

    def __init__(self, ledger: Ledger, wallets: Wallets, ids: Ids, switches: Switches) -> None:
        self._ledger = ledger
        self._wallets = wallets
        self._ids = ids
        self._switches = switches
        self._by_code: dict[tuple[str, int, str], Contract] = {}
        self._by_id: dict[str, Contract] = {}
        self._of_order: dict[tuple[str, str], Contract] = {}
        self._taken: dict[tuple[str, int], int] = {}
        self.advanced: dict[tuple[str, str], Order] = {}

    @property
    def contracts(self) -> tuple[Contract, ...]:
        """All contracts in the order they were signed."""
        return tuple(self._by_code.values())

    def sign(
        self,
        account: MerchantAccount,
        openid: str,
        *,
        plan_id: int,
        out_contract_code: str,
        limit_fen: int,
        day_limit_fen: int | None,
        unix_us: int,
    ) -> Contract:
        """A payer signs in the merchant's mini-program. The merchant learns it by its own code.

        Raises:
            ContractError: the code was used before.
        """
        key = (account.mchid, plan_id, out_contract_code)
        if key in self._by_code:
            raise ContractError(f"out_contract_code {out_contract_code[:40]!r} was used before")
        contract = Contract(
            contract_id=self._ids.contract_id(unix_us),
            mchid=account.mchid,
            appid=account.appids[0],
            plan_id=plan_id,
            out_contract_code=out_contract_code,
            openid=openid,
            limit_fen=limit_fen,
            day_limit_fen=day_limit_fen,
            signed_us=unix_us,
        )
        self._by_code[key] = self._by_id[contract.contract_id] = contract
        return contract

    def find(self, mchid: str, plan_id: str, out_contract_code: str) -> Contract:
        """A contract by the merchant's code.

        Raises:
            ApiError: 404 RESOURCE_NOT_EXISTS.
        """
        number = int(plan_id) if plan_id.isascii() and plan_id.isdigit() and len(plan_id) <= 18 else -1
        contract = self._by_code.get((mchid, number, out_contract_code))
        if contract is None:
            raise refusal(Endpoint.CONTRACT, "RESOURCE_NOT_EXISTS")
        return contract

    def find_own(self, openid: str, contract_id: str) -> Contract | None:
        """A payer's own contract by the platform's id."""
        contract = self._by_id.get(contract_id)
        return contract if contract is not None and contract.openid == openid else None

    def terminate(self, contract: Contract, by: str, remark: str, unix_us: int) -> None:
        """One side ends it; ended already, nothing changes."""
        if contract.terminated_us is None:
            contract.terminated_us, contract.ended_by, contract.remark = unix_us, by, remark

    def debit(self, account: MerchantAccount, body: Mapping[str, Any], unix_us: int) -> tuple[Order, bool]:
        """Accept a debit; True beside it when it has to be decided now.

        Same number and same parameters are the same debit: nothing is taken twice. After PAY_FAIL that is another try.

        Raises:
            ApiError: contract unknown or ended, another merchant's appid, over its limit, number changed or closed.
        """
        contract = self._by_id.get(body["contract_id"])
        if contract is not None and contract.mchid != account.mchid:
            contract = None
        return self.accept(
            account,
            body,
            contract,
            unix_us,
            endpoint=Endpoint.DEBIT,
            notify_url=body["transaction_notify_url"],
            trade_type="PAP",
        )

    def accept(
        self,
        account: MerchantAccount,
        body: Mapping[str, Any],
        contract: Contract | None,
        unix_us: int,
        *,
        endpoint: Endpoint,
        notify_url: str,
        trade_type: str,
    ) -> tuple[Order, bool]:
        """Accept a debit by any kind of contract; see `debit`.

        Raises:
            ApiError: as `debit`; None for the contract is an unknown one.
        """
        if body["appid"] not in account.appids:
            raise refusal(endpoint, "APPID_MCHID_NOT_MATCH")
        print_ = fingerprint(body)
        number = body["out_trade_no"]
        order = self._ledger.find(account.mchid, number, unix_us)
        if order is not None:
            if order.state is TradeState.CLOSED:
                raise refusal(endpoint, "ORDER_CLOSED")
            self._ledger.check_same(order, print_, endpoint)
            if order.state is not TradeState.PAY_FAIL:
                return order, False
        if contract is None:
            raise refusal(endpoint, "RESOURCE_NOT_EXISTS")
        if contract.terminated_us is not None:
            raise refusal(endpoint, "INVALID_REQUEST", "协议已解约")
        total_fen = body["amount"]["total"]
        if self._switches.debit_over_limit == "refuse" and self._is_over(contract, total_fen, unix_us):
            raise refusal(endpoint, "RULE_LIMIT", _OVER_LIMIT)
        if order is None:
            order = Order(
                mchid=account.mchid,
                appid=body["appid"],
                out_trade_no=number,
                openid=contract.openid,
                total_fen=total_fen,
                attach=body.get("attach"),
                notify_url=notify_url,
                created_us=unix_us,
                expire_us=unix_us + self._switches.unpaid_life_s * _S,
                fingerprint=print_,
                trade_type=trade_type,
                description=body["description"],
            )
            self._of_order[account.mchid, number] = contract
            self._ledger.add(order)
        order.state_text = None
        self._ledger.move(order, TradeEvent.ACCEPT)
        return order, True

    def _is_over(self, contract: Contract, fen: int, unix_us: int) -> bool:
        if fen > contract.limit_fen:
            return True
        if contract.day_limit_fen is None:
            return False
        taken_fen = self._taken.get((contract.contract_id, _day(unix_us)), 0)
        return taken_fen + fen > contract.day_limit_fen

    def decide(self, order: Order, unix_us: int, problem: str | None = None) -> bool:
        """The bank answers an accepted debit: True if the money has moved. ``state_text`` says why it has not.

        Args:
            order: an order in ACCEPTED.
            unix_us: now.
            problem: why it fails in any case, or None.
        """
        contract = self._of_order[order.mchid, order.out_trade_no]
        if problem is None and contract.terminated_us is not None:
            problem = "用户已解约"
        if problem is None and self._is_over(contract, order.total_fen, unix_us):
            problem = _OVER_LIMIT
        is_covered = self._wallets.covers(order.openid, order.total_fen)
        if problem is None and not is_covered and not contract.advances:
            problem = "用户账户余额不足"
        if problem is not None:
            order.state_text = problem
            self._ledger.move(order, TradeEvent.FAIL)
            return False
        key = (contract.contract_id, _day(unix_us))
        self._taken[key] = self._taken.get(key, 0) + order.total_fen
        if is_covered:
            self._wallets.take(order.openid, order.total_fen)
        else:
            order.bank_type, order.is_repaid = "BPA", False
            self.advanced[order.mchid, order.out_trade_no] = order
        self._ledger.settle(order, unix_us)
        return True


def _day(unix_us: int) -> int:
    return (unix_us + _CHINA_US) // _DAY_US
