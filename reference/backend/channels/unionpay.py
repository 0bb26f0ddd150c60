"""UnionPay: a code at the pump, the payer's code scanned there, the jump into its mini-program, its cashier's page.

The fourth way of QuickPass (云闪付), in WeChat's own cashier, is an ordinary payment of `channels.wechat`.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Row, bindparam, select

from protocols.sansio import RemoteProtocolError
from protocols.unionpay import QUERY_WAITS_BACK_S, jump_ticket
from reference.backend.channels.channel import Channel, Started, Wish
from reference.backend.core import Core
from reference.backend.errors import ApiError
from reference.backend.gateways.port import (
    GatewayRefusedError,
    GatewayUnknownError,
    NoticeRefusedError,
    RefundReport,
    TradeReport,
)
from reference.backend.gateways.unionpay import UnionPayClient
from reference.backend.store.schema import payments, refunds

__all__ = ["UnionPayRefunds", "UnionPayScan", "unionpay_channels"]

# An unpaid scan is ended after this, like WeChat's; the payer's phone asks for the password at most a minute.
_SCAN_WINDOW_S: Final = 45
# Money taken for an order that had expired is announced by nobody.
_LATE_LOOK_S: Final = (300, 3_600, 82_800)
_ON_ITS_WAY_US: Final = 60_000_000
# Reversals refused for ever: its clearing day is over; it was cancelled or given back.
_CANNOT_UNDO: Final = frozenset({"39", "45"})

_ONE = select(payments).where(payments.c.out_trade_no == bindparam("number"))
_REFUND = select(refunds).where(refunds.c.out_refund_no == bindparam("number"))


class _UnionPayChannel:
    """What the ways over UnionPay have in common."""

    name: str
    provider = "unionpay"
    tender = "unionpay"
    is_repeatable = False
    may_undo = True
    window_s: int | None = None
    late_look_s: tuple[int, ...] = _LATE_LOOK_S

    def __init__(self, core: Core, client: UnionPayClient) -> None:
        self.core = core
        self.client = client

    def waits_s(self) -> tuple[int, ...]:
        """As declared in the settings."""
        return self.core.settings.query_schedule_s

    def ready(self, payment: Row[Any]) -> dict[str, Any] | None:
        """What was given is kept with the payment."""
        del payment
        return None

    async def query(self, payment: Row[Any]) -> TradeReport | None:
        """By number and time."""
        return await self.client.query(payment.out_trade_no, payment.created_us)

    async def close(self, payment: Row[Any]) -> None:
        """There is no close: a reversal makes an unpaid order unpayable, and gives a paid one back."""
        await self.client.reverse(payment.out_trade_no, payment.created_us)

    def cannot_undo(self, refusal: GatewayRefusedError) -> bool:
        """Another clearing day, or it was given back already."""
        return refusal.code in _CANNOT_UNDO

    def may_appear(self, payment: Row[Any]) -> bool:
        """A request whose answer got lost may still arrive for a while."""
        return self.core.clock_us() < int(payment.created_us) + _ON_ITS_WAY_US

    def check(self, payment: Row[Any], report: TradeReport) -> None:
        """Merchant, time of the order, currency. Number and time together name an order here."""
        if report.mchid != self.client.own.mer_id or report.order_s != payment.created_us // 1_000_000:
            raise NoticeRefusedError("the payment names another merchant or time")
        if report.currency != "CNY" or not report.transaction_id:
            raise NoticeRefusedError("the payment names another currency or no queryId")


class UnionPayQr(_UnionPayChannel):
    """``unionpay-qr``: a code that the payer scans at the pump."""

    name = "unionpay-qr"

    async def start(self, payment: Row[Any], wish: Wish) -> Started:
        """Apply for the code. It comes once: a lost answer leaves an order that nobody can pay."""
        del wish
        reply = await self.client.apply(self.client.trade(payment, sub_type="07"))
        if not reply.get("qrCode"):
            raise GatewayUnknownError("the reply has no qrCode")
        return Started({"qr_code": reply["qrCode"]})


class UnionPayScan(_UnionPayChannel):
    """``unionpay-code``: the attendant scans the payer's code."""

    name = "unionpay-code"
    window_s: int | None = _SCAN_WINDOW_S

    def waits_s(self) -> tuple[int, ...]:
        """As merchants are told to: 1, 2, 4, 8 s and so on."""
        return QUERY_WAITS_BACK_S

    async def start(self, payment: Row[Any], wish: Wish) -> Started:
        """Accepted is not paid: small amounts go through in a moment, larger ones ask for a password."""
        if wish.code is None:
            raise ApiError(422, "invalid", "this channel needs the payer's code", "auth_code")
        await self.client.apply(self.client.trade(payment, sub_type="06", qr_no=wish.code))
        return Started({})


class UnionPayJump(_UnionPayChannel):
    """``unionpay-jump``: from WeChat's mini-program into UnionPay's, through an acquirer."""

    name = "unionpay-jump"

    async def start(self, payment: Row[Any], wish: Wish) -> Started:
        """What the page hands to ``wx.navigateToMiniProgram``. What the way back brings proves nothing."""
        del wish
        reply = await self.client.apply(self.client.trade(payment, sub_type="01"), through_acquirer=True)
        try:
            return Started({"jump": jump_ticket(reply).arguments()})
        except RemoteProtocolError as error:
            raise GatewayUnknownError(str(error)) from error


class UnionPayPage(_UnionPayChannel):
    """``unionpay-page``: UnionPay's own cashier in a browser."""

    name = "unionpay-page"
    is_repeatable = True

    def may_appear(self, payment: Row[Any]) -> bool:
        """The browser may post the form at any time until it is over."""
        return self.core.clock_us() < int(payment.expires_us)

    async def start(self, payment: Row[Any], wish: Wish) -> Started:
        """The form that the browser posts. Where it brings the payer afterwards decides nothing."""
        del wish
        front_url = f"{self.core.settings.notify_url}/v1/return/unionpay"
        url, fields = self.client.page_of(payment, front_url)
        return Started({"form": {"url": url, "fields": fields}})


class UnionPayRefunds:
    """Gives UnionPay's money back: the two calls of `reference.backend.gateways.port.Gateway` that refunds need."""

    def __init__(self, core: Core, client: UnionPayClient) -> None:
        self.core = core
        self.client = client

    async def refund(
        self, *, out_trade_no: str, out_refund_no: str, amount_fen: int, total_fen: int, reason: str
    ) -> RefundReport:
        """Ask for a refund; the same number is one refund however often it is sent."""
        del reason
        payment = (await self.core.db.single(_ONE, {"number": out_trade_no}))[0]
        return await self.client.refund(
            query_id=payment.transaction_id,
            out_refund_no=out_refund_no,
            at_us=await self._at_us(out_refund_no),
            amount_fen=amount_fen,
            is_whole_today=amount_fen == total_fen and self.client.is_today(payment.paid_us),
        )

    async def query_refund(self, out_refund_no: str) -> RefundReport | None:
        """The refund, or None if the gateway has none."""
        return await self.client.query_refund(out_refund_no, await self._at_us(out_refund_no))

    async def _at_us(self, out_refund_no: str) -> int:
        return int((await self.core.db.single(_REFUND, {"number": out_refund_no}))[0].created_us)


def unionpay_channels(core: Core, client: UnionPayClient) -> list[Channel]:
    """All of them."""
    return [
        UnionPayQr(core, client),
        UnionPayScan(core, client),
        UnionPayJump(core, client),
        UnionPayPage(core, client),
    ]
