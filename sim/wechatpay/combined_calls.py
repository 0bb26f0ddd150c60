"""The calls under ``/v3/combine-transactions``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from protocols.wechatpay import (
    COMBINE_CLOSE_FIELDS,
    COMBINE_FIELDS,
    COMBINE_NATIVE_FIELDS,
    SUB_CLOSE_FIELDS,
    SUB_ORDER_FIELDS,
    Endpoint,
    parse_body,
    validate,
    validate_items,
)
from sim.wechatpay.calls import Commit, Done, Route
from sim.wechatpay.gate import RawRequest
from sim.wechatpay.material import MerchantAccount

if TYPE_CHECKING:
    from sim.wechatpay.gateway import WeChatPayGateway

__all__ = ["CombinedCalls"]

_COMBINE = "/v3/combine-transactions"
_MAX_ORDERS = 50


class CombinedCalls:
    """Checks such requests and commits them to a gateway's books."""

    def __init__(self, gateway: WeChatPayGateway) -> None:
        self._gateway = gateway

    def routes(self) -> Sequence[Route]:
        """All of them."""
        number = f"{_COMBINE}/out-trade-no/{{}}"
        return (
            Route(f"{_COMBINE}/jsapi", "POST", Endpoint.COMBINE, self._jsapi),
            Route(f"{_COMBINE}/native", "POST", Endpoint.COMBINE, self._native),
            Route(number, "GET", Endpoint.COMBINE_QUERY, self._query),
            Route(f"{number}/close", "POST", Endpoint.COMBINE_CLOSE, self._close),
        )

    def _jsapi(self, account: MerchantAccount, request: RawRequest, _argument: str) -> Commit:
        return self._prepay(account, request, native=False)

    def _native(self, account: MerchantAccount, request: RawRequest, _argument: str) -> Commit:
        return self._prepay(account, request, native=True)

    def _prepay(self, account: MerchantAccount, request: RawRequest, *, native: bool) -> Commit:
        gateway = self._gateway
        body = parse_body(request.body)
        validate(body, COMBINE_NATIVE_FIELDS if native else COMBINE_FIELDS)
        validate_items(body, "/sub_orders", SUB_ORDER_FIELDS, most=_MAX_ORDERS)
        gateway.gate.check_mchid(
            account, body["combine_mchid"], Endpoint.COMBINE, "body", field="/combine_mchid"
        )

        def commit() -> Done:
            _, handle = gateway.combined.prepay(account, body, gateway.kernel.unix_us, native=native)
            return Done({"code_url" if native else "prepay_id": handle})

        return commit

    def _query(self, account: MerchantAccount, _request: RawRequest, number: str) -> Commit:
        gateway = self._gateway
        return lambda: Done(gateway.combined.query(account.mchid, number, gateway.kernel.unix_us))

    def _close(self, account: MerchantAccount, request: RawRequest, number: str) -> Commit:
        gateway = self._gateway
        body = parse_body(request.body)
        validate(body, COMBINE_CLOSE_FIELDS)
        if "sub_orders" in body:
            validate_items(body, "/sub_orders", SUB_CLOSE_FIELDS, most=_MAX_ORDERS)

        def commit() -> Done:
            gateway.combined.close(account.mchid, number, body, gateway.kernel.unix_us)
            return Done(None)

        return commit
