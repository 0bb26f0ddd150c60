"""What goes over the HTTP API about ways to pay and about members."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, Field, StringConstraints

from reference.backend.models import Amount, InvoiceTitle, StrictModel, Text80, Token

__all__ = [
    "CodePayment",
    "ContractView",
    "Coupon",
    "Grant",
    "MemberView",
    "NewCoupon",
    "PartsRequest",
    "PayRequest",
    "PayView",
]

OpenId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
CouponId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,40}$")]
Signed = Annotated[int, Field(ge=-(2**40), le=2**40)]
Part = Annotated[int, Field(ge=0, le=100_000_000)]


class PartsRequest(StrictModel):
    """What a member puts towards the order; the channel takes the rest, so that all of them sum to the payable."""

    points: Part = 0
    coupon_id: CouponId | None = None
    balance_fen: Part = 0


class PayRequest(StrictModel):
    """Through which channel, and what else pays."""

    channel: Literal["wechatpay", "unionpay-qr", "unionpay-jump", "unionpay-page"]
    parts: PartsRequest | None = None


class PayView(BaseModel):
    """What the payer needs, by channel; all is absent when the parts have paid the whole."""

    out_trade_no: str | None = None
    prepay_id: str | None = None
    pay_sign: dict[str, str] | None = None
    qr_code: str | None = None
    jump: dict[str, Any] | None = None
    form: dict[str, Any] | None = None


class CodePayment(StrictModel):
    """A payer's code, scanned at the pump. ``client_token`` names the scan and makes repeating it harmless."""

    numbers_by_right: ClassVar[frozenset[str]] = frozenset({"auth_code"})

    client_token: Token
    auth_code: Annotated[str, StringConstraints(pattern=r"^[0-9]{16,24}$"), Field(repr=False)]
    invoice: InvoiceTitle | None = None


class Coupon(BaseModel):
    """A coupon that can be used."""

    coupon_id: str
    worth_fen: int
    min_fen: int
    expires_us: int


class MemberView(BaseModel):
    """What a member can spend: whole points (``points_per_fen`` of them are a fen), balance, coupons."""

    points: int
    balance_fen: int
    points_per_fen: int
    coupons: list[Coupon]


class ContractView(BaseModel):
    """A contract: at most ``limit_fen`` for one debit. ``signing`` until the gateway says ``active``."""

    contract_code: str
    plan_id: int | None
    limit_fen: int
    state: str


class Grant(StrictModel):
    """Points and balance for a member, signed; once for its token."""

    client_token: Token
    openid: OpenId
    points: Signed = 0
    balance_fen: Signed = 0
    reason: Text80


class NewCoupon(StrictModel):
    """A coupon for a member."""

    coupon_id: CouponId
    openid: OpenId
    worth_fen: Annotated[int, Field(ge=1, le=100_000_000)]
    min_fen: Amount = 0
    expires_us: Annotated[int, Field(ge=0, le=2**62)]
