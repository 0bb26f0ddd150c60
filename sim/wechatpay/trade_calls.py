"""The calls under ``/v3/pay/transactions``: prepay, codes to scan, pay codes, query, close, reverse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from protocols.wechatpay import (
    CLOSE_FIELDS,
    CODEPAY_FIELDS,
    NATIVE_FIELDS,
    PREPAY_FIELDS,
    REVERSE_FIELDS,
    Endpoint,
    TradeState,
    parse_body,
    refusal,
    validate,
)
from sim.wechatpay.calls import Commit, Done, Route
from sim.wechatpay.faults import FaultKind
from sim.wechatpay.gate import RawRequest
from sim.wechatpay.material import MerchantAccount

if TYPE_CHECKING:
    from protocols.wechatpay import Field
    from sim.wechatpay.gateway import WeChatPayGateway

__all__ = ["TradeCalls"]

_TRANSACTIONS = "/v3/pay/transactions"


class TradeCalls:
    """Checks such requests and commits them to a gateway's books."""

    def __init__(self, gateway: WeChatPayGateway) -> None:
        self._gateway = gateway

    def routes(self) -> Sequence[Route]:
        """All of them."""
        number = f"{_TRANSACTIONS}/out-trade-no/{{}}"
        return (
            Route(f"{_TRANSACTIONS}/jsapi", "POST", Endpoint.PREPAY, self._prepay),
            Route(number, "GET", Endpoint.QUERY, self._query),
            Route(f"{_TRANSACTIONS}/id/{{}}", "GET", Endpoint.QUERY, self._query_paid),
            Route(f"{number}/close", "POST", Endpoint.CLOSE, self._close),
            Route(f"{_TRANSACTIONS}/native", "POST", Endpoint.NATIVE, self._native),
            Route(f"{_TRANSACTIONS}/codepay", "POST", Endpoint.CODEPAY, self._codepay),
            Route(f"{number}/reverse", "POST", Endpoint.REVERSE, self._reverse),
        )

    def _body(
        self, account: MerchantAccount, request: RawRequest, fields: Sequence[Field], endpoint: Endpoint
    ) -> dict[str, Any]:
        """A body that keeps its rules and names the merchant who signed it. Raises ApiError."""
        body = parse_body(request.body)
        validate(body, fields)
        self._gateway.gate.check_mchid(account, body["mchid"], endpoint, "body")
        return body

    def _prepay(self, account: MerchantAccount, request: RawRequest, _argument: str) -> Commit:
        gateway = self._gateway
        body = self._body(account, request, PREPAY_FIELDS, Endpoint.PREPAY)
        openid = body["payer"]["openid"]
        if gateway.switches.require_login and not gateway.logins.knows(openid):
            detail: dict[str, object] = {
                "field": "/payer/openid",
                "issue": "无效的openid",
                "location": "body",
            }
            raise refusal(Endpoint.PREPAY, "PARAM_ERROR", "无效的openid", detail=detail)

        def commit() -> Done:
            order, prepay_id = gateway.ledger.prepay(account, body, gateway.kernel.unix_us)
            early = gateway.faults.draw(FaultKind.CALLBACK_BEFORE_REPLY, place=Endpoint.PREPAY)
            if early is None:
                return Done({"prepay_id": prepay_id})
            gateway.faults.land(early, endpoint=str(Endpoint.PREPAY))
            gateway.ledger.pay(prepay_id, order.openid, gateway.kernel.unix_us)
            return Done({"prepay_id": prepay_id}, gateway.announce_paid(order, at_once=True))

        return commit

    def _native(self, account: MerchantAccount, request: RawRequest, _argument: str) -> Commit:
        gateway = self._gateway
        body = self._body(account, request, NATIVE_FIELDS, Endpoint.NATIVE)

        def commit() -> Done:
            unix_us = gateway.kernel.unix_us
            _, code_url = gateway.ledger.prepay(account, body, unix_us, Endpoint.NATIVE)
            return Done({"code_url": code_url})

        return commit

    def _codepay(self, account: MerchantAccount, request: RawRequest, _argument: str) -> Commit:
        gateway = self._gateway
        body = self._body(account, request, CODEPAY_FIELDS, Endpoint.CODEPAY)
        store = body["scene_info"]["store_info"]
        if not (store.get("id") or store.get("out_id")):
            detail: dict[str, object] = {
                "field": "/scene_info/store_info/id",
                "issue": "id和out_id必填其一",
                "location": "body",
            }
            raise refusal(Endpoint.CODEPAY, "PARAM_ERROR", "门店编号和商家自定义编码必填其一", detail=detail)

        def commit() -> Done:
            unix_us = gateway.kernel.unix_us
            is_new = gateway.ledger.find(account.mchid, body["out_trade_no"], unix_us) is None
            box = gateway.faults.draw(FaultKind.PASSWORD_ASKED) if is_new else None
            order, code = gateway.codepay.charge(account, body, unix_us, asks=box is not None)
            if code is not None:
                if box is not None:
                    gateway.faults.land(box, subject=order.out_trade_no)
                gateway.payers.open_box(code)
            return Done(order.shown(), status=202 if order.state is TradeState.USERPAYING else 200)

        return commit

    def _reverse(self, account: MerchantAccount, request: RawRequest, number: str) -> Commit:
        gateway = self._gateway
        body = self._body(account, request, REVERSE_FIELDS, Endpoint.REVERSE)

        def commit() -> Done:
            order = gateway.codepay.reverse(account, number, body["appid"], gateway.kernel.unix_us)
            return Done({"appid": order.appid, "mchid": order.mchid, "out_trade_no": order.out_trade_no})

        return commit

    def _check_mchid(self, account: MerchantAccount, request: RawRequest) -> None:
        query = parse_qs(request.target.partition("?")[2])
        self._gateway.gate.check_mchid(account, query.get("mchid", [""])[0], Endpoint.QUERY, "query")

    def _query(self, account: MerchantAccount, request: RawRequest, number: str) -> Commit:
        self._check_mchid(account, request)
        gateway, ledger = self._gateway, self._gateway.ledger
        return lambda: Done(ledger.query(ledger.find(account.mchid, number, gateway.kernel.unix_us)))

    def _query_paid(self, account: MerchantAccount, request: RawRequest, transaction_id: str) -> Commit:
        self._check_mchid(account, request)
        ledger = self._gateway.ledger
        return lambda: Done(ledger.query(ledger.find_paid(account.mchid, transaction_id)))

    def _close(self, account: MerchantAccount, request: RawRequest, number: str) -> Commit:
        gateway = self._gateway
        self._body(account, request, CLOSE_FIELDS, Endpoint.CLOSE)

        def commit() -> Done:
            gateway.ledger.close(account.mchid, number, gateway.kernel.unix_us)
            return Done(None)

        return commit
