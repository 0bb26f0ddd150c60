"""WeChat Pay: the cashier on the phone (JSAPI), and the payer's code scanned at the pump."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Row

from reference.backend.channels.channel import Started, Wish
from reference.backend.core import Core
from reference.backend.errors import ApiError
from reference.backend.gateways.port import CodeGateway, GatewayRefusedError, NoticeRefusedError, TradeReport

__all__ = ["CodeChannel", "JsapiChannel", "WeChatChannel"]

# A prepay_id lives two hours (pay.weixin.qq.com 4012791897).
_PREPAY_US: Final = 110 * 60 * 1_000_000
# Asked every 5 s; an unpaid one is ended after 45 s, when the platform ends it too (pay-code pages of pay.weixin.qq.com).
_CODE_WAITS_S: Final = (5,)
_CODE_WINDOW_S: Final = 45
DESCRIPTION: Final = "成品油"


class WeChatChannel:
    """What the products of WeChat Pay have in common."""

    name: str
    provider = "wechatpay"
    tender = "wechatpay"
    is_repeatable = False
    may_undo = False
    window_s: int | None = None
    late_look_s: tuple[int, ...] = ()

    def __init__(self, core: Core) -> None:
        self.core = core

    def check(self, payment: Row[Any], report: TradeReport) -> None:
        """Merchant, application, currency."""
        del payment
        merchant = self.core.settings.merchant
        if report.mchid != merchant.mchid or report.appid != merchant.appid:
            raise NoticeRefusedError("the payment names another merchant or application")
        if report.currency != "CNY" or not report.transaction_id:
            raise NoticeRefusedError("the payment names another currency or no transaction")

    def waits_s(self) -> tuple[int, ...]:
        """As declared in the settings."""
        return self.core.settings.query_schedule_s

    def ready(self, payment: Row[Any]) -> dict[str, Any] | None:
        """Nothing to come back to."""
        del payment
        return None

    async def query(self, payment: Row[Any]) -> TradeReport | None:
        """By our number."""
        return await self.core.gateway.query(payment.out_trade_no)

    async def close(self, payment: Row[Any]) -> None:
        """Refused once it is paid."""
        await self.core.gateway.close(payment.out_trade_no)

    def may_appear(self, payment: Row[Any]) -> bool:
        """A request whose answer got lost may still arrive; a code that was scanned is worth nothing after a minute."""
        return self.core.clock_us() < int(payment.created_us) + (self.window_s or 0) * 1_000_000

    def cannot_undo(self, refusal: GatewayRefusedError) -> bool:
        """Nothing that these do is undone by the platform."""
        del refusal
        return False


class JsapiChannel(WeChatChannel):
    """``wechatpay``: a prepay_id for the mini-program. It takes QuickPass (云闪付) too, where the merchant has switched it on."""

    name = "wechatpay"
    is_repeatable = True

    def ready(self, payment: Row[Any]) -> dict[str, Any] | None:
        """The prepay_id, while it lives."""
        prepay_id = payment.prepay_id
        if prepay_id is None or payment.prepay_us + _PREPAY_US < self.core.clock_us():
            return None
        return self._answer(prepay_id)

    async def start(self, payment: Row[Any], wish: Wish) -> Started:
        """The same number with the same content may be asked again."""
        del wish
        prepay_id = await self.core.gateway.prepay(
            out_trade_no=payment.out_trade_no,
            amount_fen=payment.amount_fen,
            openid=payment.openid,
            description=DESCRIPTION,
            expires_us=payment.expires_us,
        )
        return Started(self._answer(prepay_id), prepay_id=prepay_id)

    def _answer(self, prepay_id: str) -> dict[str, Any]:
        return {"prepay_id": prepay_id, "pay_sign": self.core.gateway.pay_sign(prepay_id)}


class CodeChannel(WeChatChannel):
    """``wechatpay-code``: the attendant scans the payer's code. No notice ever comes; an unpaid one is reversed."""

    name = "wechatpay-code"
    may_undo = True
    window_s: int | None = _CODE_WINDOW_S

    def __init__(self, core: Core, gateway: CodeGateway) -> None:
        super().__init__(core)
        self._gateway = gateway

    def waits_s(self) -> tuple[int, ...]:
        """Every 5 s."""
        return _CODE_WAITS_S

    async def start(self, payment: Row[Any], wish: Wish) -> Started:
        """Paid at once, or the payer's phone asks for the password."""
        if wish.code is None:
            raise ApiError(422, "invalid", "this channel needs the payer's code", "auth_code")
        order = await self.core.orders.view(payment.order_id)
        report = await self._gateway.pay_code(
            out_trade_no=payment.out_trade_no,
            amount_fen=payment.amount_fen,
            auth_code=wish.code,
            description=DESCRIPTION,
            store_id=order["station"],
        )
        return Started({}, report=report)

    async def close(self, payment: Row[Any]) -> None:
        """Reverse: what was paid in the meantime is given back by the platform."""
        await self._gateway.reverse(payment.out_trade_no)

    def cannot_undo(self, refusal: GatewayRefusedError) -> bool:
        """Too old (seven days), or refunded; while the payer types ("USERPAYING") it is refused and can be tried again."""
        return refusal.code in {"REVERSE_EXPIRE", "INVALID_REQUEST"}
