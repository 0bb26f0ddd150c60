"""Pay codes: the phone shows one at the pump, the merchant charges it, and the payer may have to type a password.

There is no notice on this product (WXDOC v2 4011937125, WX-OAPI): a merchant that was answered 202, or not at all, asks
until it knows, and reverses what it does not want. The books below pass no time; callers do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from protocols.wechatpay import (
    AUTH_CODE,
    ApiError,
    Endpoint,
    TradeEvent,
    TradeState,
    refusal,
)
from sim.wechatpay.ids import Ids
from sim.wechatpay.ledger import Ledger, Order, PaymentRefusedError, fingerprint
from sim.wechatpay.material import MerchantAccount
from sim.wechatpay.switches import Switches
from sim.wechatpay.wallets import Wallets

__all__ = ["AuthCode", "CodePay", "PhonePlan"]

_S = 1_000_000
_PREFIXES = "请扫描微信支付授权码(以10/11/12/13/14/15为前缀的18位数字)"


@dataclass(frozen=True, slots=True)
class PhonePlan:
    """What a payer does when the password box opens.

    Attributes:
        asks: the box opens whatever the amount is (risk control).
        then: ``confirm``, ``cancel`` or ``nothing``.
        delay_us: how long that takes.
    """

    asks: bool = False
    then: str = "nothing"
    delay_us: int = 0


@dataclass(slots=True, eq=False)
class AuthCode:
    """One code on one phone: good for one charge within its short life."""

    code: str
    openid: str
    expire_us: int
    plan: PhonePlan
    order: Order | None = None


class CodePay:
    """Codes and the orders they pay.

    Args:
        ledger: the orders.
        wallets: what payers have.
        ids: where codes come from; a stream of their own, so that they shift no other draw.
        switches: what sources leave open.
    """

    def __init__(self, ledger: Ledger, wallets: Wallets, ids: Ids, switches: Switches) -> None:
        self._ledger = ledger
        self._wallets = wallets
        self._ids = ids
        self._switches = switches
        self._codes: dict[str, AuthCode] = {}

    def show(self, openid: str, unix_us: int, plan: PhonePlan) -> AuthCode:
        """A phone shows a fresh code."""
        code = self._ids.auth_code()
        while code in self._codes:
            code = self._ids.auth_code()
        expire_us = unix_us + self._switches.auth_code_life_s * _S
        self._codes[code] = AuthCode(code, openid, expire_us, plan)
        return self._codes[code]

    def charge(
        self,
        account: MerchantAccount,
        body: Mapping[str, Any],
        unix_us: int,
        *,
        asks: bool = False,
    ) -> tuple[Order, AuthCode | None]:
        """Charge a code: the order is SUCCESS or USERPAYING afterwards.

        Asked again with the same parameters it is the same order, as it stands; another code needs another number.

        Args:
            account: who charges.
            body: the checked request.
            unix_us: now.
            asks: the password box opens whatever the amount is.

        Returns:
            The order, and the code if this call has just opened the password box.

        Raises:
            ApiError: with the codes of the pay-code page; see `Switches.codepay_codes`.
        """
        try:
            return self._charge(account, body, unix_us, asks)
        except ApiError as error:
            error.code = self._switches.codepay_codes.get(error.code, error.code)
            raise

    def _charge(
        self, account: MerchantAccount, body: Mapping[str, Any], unix_us: int, asks: bool
    ) -> tuple[Order, AuthCode | None]:
        if body["appid"] not in account.appids:
            raise refusal(Endpoint.CODEPAY, "APPID_MCHID_NOT_MATCH")
        print_ = fingerprint(body)
        known = self._ledger.find(account.mchid, body["out_trade_no"], unix_us)
        if known is not None:
            self._ledger.check_same(known, print_, Endpoint.CODEPAY)
            if known.state is TradeState.REVOKED:
                raise refusal(Endpoint.CODEPAY, "ORDERREVERSED")
            if known.state is TradeState.PAYERROR:
                raise refusal(Endpoint.CODEPAY, "TRADE_ERROR", known.state_text)
            return known, None
        code = self._take_code(body["payer"]["auth_code"], unix_us)
        scene = body["scene_info"]
        order = Order(
            mchid=account.mchid,
            appid=body["appid"],
            out_trade_no=body["out_trade_no"],
            openid=code.openid,
            total_fen=body["amount"]["total"],
            attach=body.get("attach"),
            notify_url=None,
            created_us=unix_us,
            expire_us=unix_us + self._switches.codepay_life_s * _S,
            fingerprint=print_,
            trade_type="MICROPAY",
            description=body["description"],
            device_id=scene.get("device_id", ""),
        )
        code.order = order
        self._ledger.add(order)
        if not self._wallets.covers(order.openid, order.total_fen):
            raise self._fail(order, "NOTENOUGH", "用户帐号余额不足")
        if asks or code.plan.asks or self._wallets.wants_password(order.openid, order.total_fen, unix_us):
            self._ledger.move(order, TradeEvent.ASK)
            return order, code
        self._wallets.count_free(order.openid, unix_us)
        self._pay(order, unix_us)
        return order, None

    def _take_code(self, text: str, unix_us: int) -> AuthCode:
        if AUTH_CODE.fullmatch(text) is None:
            raise refusal(Endpoint.CODEPAY, "AUTH_CODE_INVALID", _PREFIXES)
        code = self._codes.get(text)
        if code is None or code.order is not None:
            raise refusal(Endpoint.CODEPAY, "AUTH_CODE_INVALID")
        if unix_us >= code.expire_us:
            raise refusal(Endpoint.CODEPAY, "AUTHCODEEXPIRE")
        return code

    def _fail(self, order: Order, code: str, text: str) -> ApiError:
        order.state_text = text
        self._ledger.move(order, TradeEvent.FAIL)
        return refusal(Endpoint.CODEPAY, code)

    def _pay(self, order: Order, unix_us: int) -> None:
        self._wallets.take(order.openid, order.total_fen)
        self._ledger.settle(order, unix_us)

    def asked(self, text: str, openid: str, unix_us: int) -> Order:
        """The order whose password box is open on this phone.

        Raises:
            PaymentRefusedError: there is none.
        """
        code = self._codes.get(text)
        if code is None:
            raise PaymentRefusedError("unknown-code")
        if code.openid != openid:
            raise PaymentRefusedError("other-payer")
        if code.order is None:
            raise PaymentRefusedError("not-asked")
        order = code.order
        self._ledger.find(order.mchid, order.out_trade_no, unix_us)  # its box may have been shut meanwhile
        if order.state in {TradeState.SUCCESS, TradeState.REFUND}:
            raise PaymentRefusedError("paid")
        if order.state is not TradeState.USERPAYING:
            raise PaymentRefusedError("closed")
        return order

    def confirm(self, text: str, openid: str, unix_us: int) -> Order:
        """The payer has typed the password.

        Raises:
            PaymentRefusedError: no box is open, or the money has gone meanwhile (then the order has failed).
        """
        order = self.asked(text, openid, unix_us)
        if not self._wallets.covers(openid, order.total_fen):
            self._fail(order, "NOTENOUGH", "用户帐号余额不足")
            raise PaymentRefusedError("balance")
        self._pay(order, unix_us)
        return order

    def cancel(self, text: str, openid: str, unix_us: int) -> Order:
        """The payer has shut the password box: PAYERROR.

        Raises:
            PaymentRefusedError: no box is open.
        """
        order = self.asked(text, openid, unix_us)
        self._fail(order, "TRADE_ERROR", "用户没有输入支付密码")
        return order

    def reverse(self, account: MerchantAccount, number: str, appid: str, unix_us: int) -> Order:
        """Undo a charge, whatever became of it: a paid one is refunded, an open one never succeeds.

        An order that failed stays as it is, a reversed one is answered as the first time.

        Raises:
            ApiError: no such order, not a pay code's, the payer is at the password box, refunded in part, or too old.
        """
        order = self._ledger.find(account.mchid, number, unix_us)
        if order is None:
            raise refusal(Endpoint.REVERSE, "ORDER_NOT_EXIST")
        if order.appid != appid:
            raise refusal(Endpoint.REVERSE, "APPID_MCHID_NOT_MATCH")
        if order.trade_type != "MICROPAY":
            raise refusal(Endpoint.REVERSE, "TRADE_ERROR")
        if order.state is TradeState.USERPAYING:
            self._may_revoke(order, unix_us)
            self._ledger.move(order, TradeEvent.REVERSE)
        elif order.state is TradeState.REFUND:
            raise refusal(Endpoint.REVERSE, "INVALID_REQUEST", "订单已退款，不能撤销")
        elif order.state is TradeState.SUCCESS:
            self._give_back(order, unix_us)
        return order

    def _may_revoke(self, order: Order, unix_us: int) -> None:
        how = self._switches.reverse_userpaying
        is_early = unix_us < order.created_us + self._switches.reverse_wait_s * _S
        if how == "always" or (how == "early" and is_early):
            raise refusal(Endpoint.REVERSE, "USERPAYING")

    def _give_back(self, order: Order, unix_us: int) -> None:
        assert order.success_us is not None  # noqa: S101 - SUCCESS has it
        if unix_us > order.success_us + self._switches.reverse_life_s * _S:
            raise refusal(Endpoint.REVERSE, "REVERSE_EXPIRE")
        order.refunded_fen = order.total_fen
        order.reversed_us, order.reversal_id = unix_us, self._ids.refund_id(unix_us)
        self._wallets.give(order.openid, order.total_fen)
        self._ledger.move(order, TradeEvent.REVERSE)
