"""What the service needs of a payment gateway and a tax platform: a port with two kinds of failure.

`GatewayUnknownError` is the important one: a time-out, a lost reply, a 5xx, a 429 or a reply whose signature does not
verify leaves the outcome open. Whoever sees it asks by the same number before anything else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from protocols.cards import mask_private

__all__ = [
    "AbnormalRefundGateway",
    "BillGateway",
    "CodeGateway",
    "ContractGateway",
    "ContractReport",
    "Gateway",
    "GatewayRefusedError",
    "GatewayUnknownError",
    "GatewayUnreachableError",
    "InvoiceReport",
    "Notice",
    "NoticeRefusedError",
    "RefundGateway",
    "RefundReport",
    "SealedCard",
    "TradeReport",
]


class GatewayUnknownError(Exception):
    """The call may or may not have had its effect."""


class GatewayUnreachableError(GatewayUnknownError):
    """The call certainly never left: no connection could be made."""


class GatewayRefusedError(Exception):
    """The gateway said no, and nothing was done.

    Attributes:
        status: HTTP status.
        code: its error code, such as ``OUT_TRADE_NO_USED``.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        # It is kept with tasks and shown in alarms, and was written by somebody else.
        super().__init__(mask_private(f"{code}: {message}"))
        self.status = status
        self.code = code


class NoticeRefusedError(Exception):
    """A callback that is not authentic, or cannot be read.

    Attributes:
        may_learn: it is signed by a key that nobody knows; perhaps the platform has a new one.
    """

    def __init__(self, message: str, *, may_learn: bool = False) -> None:
        super().__init__(message)
        self.may_learn = may_learn


@dataclass(frozen=True, slots=True)
class TradeReport:
    """What the gateway says of a payment, in a callback or in answer to a query.

    Attributes:
        state: SUCCESS, REFUND (paid, something was given back), NOTPAY, CLOSED, ...
        amount_fen: the order's total; None while nothing was paid.
        provider: whose words these are: ``wechatpay`` or ``unionpay``; ``mchid`` is the merchant's number there.
        order_s: UnionPay's `txnTime` in Unix seconds; it names an order together with the number.
    """

    out_trade_no: str
    state: str
    mchid: str
    appid: str
    transaction_id: str | None = None
    amount_fen: int | None = None
    currency: str = "CNY"
    openid: str | None = None
    provider: str = "wechatpay"
    order_s: int = 0


@dataclass(frozen=True, slots=True)
class RefundReport:
    """What the gateway says of a refund. State: PROCESSING, SUCCESS, CLOSED or ABNORMAL."""

    out_refund_no: str
    state: str
    refund_id: str | None
    amount_fen: int
    out_trade_no: str | None = None


@dataclass(frozen=True, slots=True)
class InvoiceReport:
    """What the tax platform says of an application.

    Attributes:
        fapiao_id: number of the try; None where a platform has no such numbers.
        state: ISSUE_ACCEPTED, ISSUED, ISSUE_FAILED, REVERSED, ...
        number: 20 digits once issued.
        red_number: of the red letter once it is reversed.
    """

    fapiao_apply_id: str
    fapiao_id: str | None
    state: str
    number: str | None = None
    reason: str | None = None
    red_number: str | None = None

    def __post_init__(self) -> None:
        """Words of the platform are kept: without the numbers in them."""
        if self.reason is not None:
            object.__setattr__(self, "reason", mask_private(self.reason))


@dataclass(frozen=True, slots=True)
class Notice:
    """A verified, decrypted callback. An invoice notice carries no number: the platform is to be asked for it."""

    id: str
    event_type: str
    mchid: str | None = None
    trade: TradeReport | None = None
    refund: RefundReport | None = None
    invoice: InvoiceReport | None = None


class RefundGateway(Protocol):
    """Who gives money back."""

    async def refund(
        self, *, out_trade_no: str, out_refund_no: str, amount_fen: int, total_fen: int, reason: str
    ) -> RefundReport:
        """Ask for a refund; the same `out_refund_no` is one refund however often it is sent."""

    async def query_refund(self, out_refund_no: str) -> RefundReport | None:
        """The refund, or None if the gateway has none."""


class Gateway(RefundGateway, Protocol):
    """The merchant's side of the gateway."""

    async def prepay(
        self, *, out_trade_no: str, amount_fen: int, openid: str, description: str, expires_us: int
    ) -> str:
        """Ask for a `prepay_id`; the same number with the same content may be asked again."""

    async def query(self, out_trade_no: str) -> TradeReport | None:
        """The payment, or None if the gateway has no such order."""

    async def close(self, out_trade_no: str) -> None:
        """Close an unpaid order."""

    async def issue_invoice(self, application: Mapping[str, Any]) -> None:
        """Hand in an application; returns when it was accepted."""

    async def query_invoice(self, fapiao_apply_id: str) -> InvoiceReport | None:
        """The application, or None if the platform has none."""

    async def reverse_invoice(self, fapiao_apply_id: str, reason: str) -> None:
        """Ask for a red letter over all of an application; returns when it was accepted, and a repeat changes nothing."""

    def pay_sign(self, prepay_id: str) -> dict[str, str]:
        """What the phone needs to open the cashier."""

    def open_notice(self, headers: Mapping[str, str], body: bytes) -> Notice:
        """Verify and decrypt a callback. Raises `NoticeRefusedError`."""

    async def learn_keys(self) -> None:
        """Ask the platform for keys of its that are new, not too often; whether there were any, the next try tells."""


class CodeGateway(Protocol):
    """What a gateway of pay codes does beside."""

    async def pay_code(
        self, *, out_trade_no: str, amount_fen: int, auth_code: str, description: str, store_id: str
    ) -> TradeReport:
        """Charge the payer whose code was scanned: SUCCESS, or USERPAYING while the payer types a password."""

    async def reverse(self, out_trade_no: str) -> None:
        """End a pay-code order: an unpaid one is closed, a paid one is given back."""


class BillGateway(Protocol):
    """What a gateway that gives daily bills does beside."""

    async def bill(self, bill: str, day: str) -> bytes | None:
        """The content of a bill (``trade`` or ``fund``) of a day (2026-01-31), or None if nothing happened that day."""


@dataclass(frozen=True, slots=True)
class SealedCard:
    """A payer's bank card, as nobody here can read it: RSA-OAEP for the gateway, in base64.

    Attributes:
        bank_type: the bank, such as ``ICBC_DEBIT``.
        serial: of the gateway's certificate or public key that it was encrypted for.
    """

    bank_type: str
    bank_account: str
    real_name: str
    serial: str


class AbnormalRefundGateway(Protocol):
    """What a gateway that can send a refund on to another account does beside."""

    async def pay_elsewhere(
        self, *, refund_id: str, out_refund_no: str, card: SealedCard | None
    ) -> RefundReport:
        """Send an abnormal refund on: to the payer's card, or without one to the merchant's own account."""


@dataclass(frozen=True, slots=True)
class ContractReport:
    """What the gateway says of a contract. State: SIGNED or TERMINATED."""

    contract_id: str
    state: str
    openid: str


class ContractGateway(Protocol):
    """What a gateway of debits by contract does beside. Names are the merchant's own codes."""

    async def contract(self, contract_code: str) -> ContractReport | None:
        """The contract, or None if nobody has signed it."""

    async def end_contract(self, contract_code: str) -> None:
        """End it."""

    async def debit(self, *, out_trade_no: str, amount_fen: int, contract_id: str, description: str) -> None:
        """Ask for a debit; returns when it was accepted, which does not mean that it will succeed."""
