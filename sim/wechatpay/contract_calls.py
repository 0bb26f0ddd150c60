"""The calls under ``/v3/papay``: a contract looked up or ended, and money taken by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from protocols.wechatpay import DEBIT_FIELDS, TERMINATE_FIELDS, Endpoint, parse_body, validate
from sim.wechatpay.calls import Commit, Done, Route
from sim.wechatpay.gate import RawRequest
from sim.wechatpay.material import MerchantAccount

if TYPE_CHECKING:
    from sim.wechatpay.gateway import WeChatPayGateway

__all__ = ["ContractCalls"]

_CONTRACT = "/v3/papay/sign/contracts/plan-id/{}/out-contract-code/{}"
_DEBITS = "/v3/papay/pay/transactions"


class ContractCalls:
    """Checks such requests, commits them to a gateway's books and lets the bank answer."""

    def __init__(self, gateway: WeChatPayGateway) -> None:
        self._gateway = gateway

    def routes(self) -> Sequence[Route]:
        """All of them. That a debit has a query of its own beside the common one is unproven: some clients call it."""
        return (
            Route(_CONTRACT, "GET", Endpoint.CONTRACT, self._query),
            Route(f"{_CONTRACT}/terminate", "POST", Endpoint.CONTRACT, self._terminate),
            Route(f"{_DEBITS}/apply", "POST", Endpoint.DEBIT, self._debit),
            Route(f"{_DEBITS}/out-trade-no/{{}}", "GET", Endpoint.QUERY, self._query_debit),
        )

    def _query(self, account: MerchantAccount, _request: RawRequest, names: str) -> Commit:
        plan_id, _, code = names.partition("/")
        return lambda: Done(self._gateway.contracts.find(account.mchid, plan_id, code).shown())

    def _query_debit(self, account: MerchantAccount, _request: RawRequest, number: str) -> Commit:
        gateway, ledger = self._gateway, self._gateway.ledger
        return lambda: Done(ledger.query(ledger.find(account.mchid, number, gateway.kernel.unix_us)))

    def _terminate(self, account: MerchantAccount, request: RawRequest, names: str) -> Commit:
        plan_id, _, code = names.partition("/")
        body = parse_body(request.body)
        validate(body, TERMINATE_FIELDS)
        contracts, kernel = self._gateway.contracts, self._gateway.kernel

        def commit() -> Done:
            contract = contracts.find(account.mchid, plan_id, code)
            remark = body["contract_termination_remark"]
            contracts.terminate(contract, "MERCHANT_TERMINATE", remark, kernel.unix_us)
            return Done(None)

        return commit

    def _debit(self, account: MerchantAccount, request: RawRequest, _names: str) -> Commit:
        gateway = self._gateway
        body = parse_body(request.body)
        validate(body, DEBIT_FIELDS)

        def commit() -> Done:
            order, is_open = gateway.contracts.debit(account, body, gateway.kernel.unix_us)
            if is_open:
                gateway.kernel.spawn(gateway.decide_debit(order), f"debit-{order.out_trade_no}")
            amount = {"total": order.total_fen, "currency": "CNY"}
            return Done({"out_trade_no": order.out_trade_no, "amount": amount})

        return commit
