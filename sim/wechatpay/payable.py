"""What a payer's phone is asked to pay: a payment call, a scanned code, or the password box of its own pay code."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from protocols.wechatpay import verify_pay_sign
from sim.wechatpay.ledger import PaymentRefusedError

if TYPE_CHECKING:
    from sim.wechatpay.gateway import WeChatPayGateway

__all__ = ["Payable", "find_payable"]


class Payable(ABC):
    """One thing to pay, on one phone.

    Attributes:
        handle: what names it: a ``prepay_id``, a ``code_url`` or an ``auth_code``.
        subject: the merchant's number, once it was looked at.
        is_announced: whether its payment is announced to the merchant.
    """

    is_announced = True

    def __init__(self, gateway: WeChatPayGateway, openid: str, handle: str) -> None:
        self.gateway = gateway
        self.openid = openid
        self.handle = handle
        self.subject: str | None = None

    @abstractmethod
    def look(self, unix_us: int, pay_sign: object) -> None:
        """What the phone shows before anybody pays.

        Raises:
            PaymentRefusedError: this cannot be paid.
        """

    @abstractmethod
    def pay(self, unix_us: int) -> None:
        """The payer confirms.

        Raises:
            PaymentRefusedError: it cannot be paid any more.
        """

    def cancel(self, unix_us: int) -> None:
        """The payer shuts it.

        Raises:
            PaymentRefusedError: there is nothing to shut any more.
        """
        del unix_us  # mostly nothing happens: the order waits for another try

    @abstractmethod
    def announce(self, *, at_once: bool) -> asyncio.Event:
        """Start the notice; the event is set after its first attempt."""


class _Prepaid(Payable):
    """An order with a ``prepay_id`` or a ``code_url``."""

    def look(self, unix_us: int, pay_sign: object) -> None:
        gateway = self.gateway
        order = gateway.ledger.payable(self.handle, self.openid, unix_us)
        self.subject = order.out_trade_no
        if order.trade_type == "NATIVE" or (pay_sign is None and not gateway.switches.require_pay_sign):
            return
        check_pay_sign(gateway, order.mchid, order.appid, self.handle, pay_sign)

    def pay(self, unix_us: int) -> None:
        ledger, wallets = self.gateway.ledger, self.gateway.wallets
        order = ledger.payable(self.handle, self.openid, unix_us)
        if not wallets.covers(self.openid, order.total_fen):
            raise PaymentRefusedError("balance")
        ledger.pay(self.handle, self.openid, unix_us)
        wallets.take(self.openid, order.total_fen)

    def announce(self, *, at_once: bool) -> asyncio.Event:
        order = self.gateway.ledger.of_handle(self.handle)
        return self.gateway.announce_paid(order, at_once=at_once)


class _Combined(Payable):
    """A combination with a ``prepay_id`` or a ``code_url``."""

    def look(self, unix_us: int, pay_sign: object) -> None:
        gateway = self.gateway
        combined = gateway.combined.payable(self.handle, self.openid, unix_us)
        self.subject = combined.number
        is_native = combined.orders[0].trade_type == "NATIVE"
        if is_native or (pay_sign is None and not gateway.switches.require_pay_sign):
            return
        check_pay_sign(gateway, combined.mchid, combined.appid, self.handle, pay_sign)

    def pay(self, unix_us: int) -> None:
        book, wallets = self.gateway.combined, self.gateway.wallets
        combined = book.payable(self.handle, self.openid, unix_us)
        if not wallets.covers(self.openid, combined.total_fen):
            raise PaymentRefusedError("balance")
        book.pay(self.handle, self.openid, unix_us)
        wallets.take(self.openid, combined.total_fen)

    def announce(self, *, at_once: bool) -> asyncio.Event:
        combined = self.gateway.combined.of_handle(self.handle)
        return self.gateway.announce_combined(combined, at_once=at_once)


class _PasswordBox(Payable):
    """The box that a charge of this phone's pay code has opened. Nothing of it is announced."""

    is_announced = False

    def look(self, unix_us: int, pay_sign: object) -> None:
        del pay_sign
        self.subject = self.gateway.codepay.asked(self.handle, self.openid, unix_us).out_trade_no

    def pay(self, unix_us: int) -> None:
        self.subject = self.gateway.codepay.confirm(self.handle, self.openid, unix_us).out_trade_no

    def cancel(self, unix_us: int) -> None:
        self.subject = self.gateway.codepay.cancel(self.handle, self.openid, unix_us).out_trade_no

    def announce(self, *, at_once: bool) -> asyncio.Event:
        raise NotImplementedError("pay codes are not announced")


def check_pay_sign(
    gateway: WeChatPayGateway, mchid: str, appid: str, prepay_id: str, pay_sign: object
) -> None:
    """Whether the mini-program's payment call is the merchant's.

    Raises:
        PaymentRefusedError: it is not: ``pay-sign``.
    """
    if (
        not isinstance(pay_sign, Mapping)
        or pay_sign.get("appId") != appid
        or pay_sign.get("package") != f"prepay_id={prepay_id}"
        or not all(isinstance(value, str) for value in pay_sign.values())
        or not any(verify_pay_sign(key, pay_sign) for key in gateway.accounts[mchid].certificates.values())
    ):
        raise PaymentRefusedError("pay-sign")


_KINDS: tuple[tuple[str, type[Payable]], ...] = (
    ("prepay_id", _Prepaid),
    ("code_url", _Prepaid),
    ("auth_code", _PasswordBox),
)


def find_payable(gateway: WeChatPayGateway, openid: str, body: Mapping[str, Any]) -> Payable | None:
    """What a phone's request is about; None if it does not say."""
    for name, kind in _KINDS:
        handle = body.get(name)
        if isinstance(handle, str):
            if kind is _Prepaid and gateway.combined.owns(handle):
                return _Combined(gateway, openid, handle)
            return kind(gateway, openid, handle)
    return None
