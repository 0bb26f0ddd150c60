"""The calls under ``/v3/vehicle``: a plate looked up, a car that comes in, money taken by its plate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from protocols.wechatpay import (
    PARKING_DEBIT_FIELDS,
    PARKING_ENTRY_FIELDS,
    Endpoint,
    parse_body,
    refusal,
    validate,
)
from sim.wechatpay.calls import Commit, Done, Route
from sim.wechatpay.gate import RawRequest
from sim.wechatpay.material import MerchantAccount

if TYPE_CHECKING:
    from sim.wechatpay.gateway import WeChatPayGateway

__all__ = ["ParkingCalls"]

_VEHICLE = "/v3/vehicle"


class ParkingCalls:
    """Checks such requests, commits them to a gateway's books and lets the bank answer."""

    def __init__(self, gateway: WeChatPayGateway) -> None:
        self._gateway = gateway

    def routes(self) -> Sequence[Route]:
        """All of them."""
        return (
            Route(f"{_VEHICLE}/parking/services/find", "GET", Endpoint.PARKING, self._find),
            Route(f"{_VEHICLE}/parking/parkings", "POST", Endpoint.PARKING, self._enter),
            Route(f"{_VEHICLE}/transactions/parking", "POST", Endpoint.PARKING, self._debit),
            Route(f"{_VEHICLE}/transactions/out-trade-no/{{}}", "GET", Endpoint.PARKING, self._query),
        )

    def _find(self, account: MerchantAccount, request: RawRequest, _argument: str) -> Commit:
        query = parse_qs(request.target.partition("?")[2])
        named = [query.get(name, [""])[0] for name in ("appid", "openid", "plate_number", "plate_color")]
        if not all(named):
            raise refusal(Endpoint.PARKING, "PARAM_ERROR", "appid、openid、车牌号和车牌颜色必填")
        if named[0] not in account.appids:
            raise refusal(Endpoint.PARKING, "APPID_MCHID_NOT_MATCH")
        return lambda: Done(self._gateway.plates.find(*named[1:]))

    def _enter(self, account: MerchantAccount, request: RawRequest, _argument: str) -> Commit:
        body = parse_body(request.body)
        validate(body, PARKING_ENTRY_FIELDS)
        return lambda: Done(self._gateway.plates.enter(account, body, self._gateway.kernel.unix_us))

    def _debit(self, account: MerchantAccount, request: RawRequest, _argument: str) -> Commit:
        gateway = self._gateway
        body = parse_body(request.body)
        validate(body, PARKING_DEBIT_FIELDS)

        def commit() -> Done:
            order, is_open = gateway.plates.debit(account, body, gateway.kernel.unix_us)
            shown = gateway.plates.shown(order)
            if is_open:
                gateway.kernel.spawn(gateway.decide_debit(order), f"debit-{order.out_trade_no}")
            return Done(shown)

        return commit

    def _query(self, account: MerchantAccount, _request: RawRequest, number: str) -> Commit:
        return lambda: Done(self._gateway.plates.query(account.mchid, number))
