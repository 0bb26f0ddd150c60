"""What goes over the API about invoices, beside the title itself."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, Field, StringConstraints, model_validator

from reference.backend.models import InvoiceTitle, Positive, Token
from reference.backend.private_numbers import StrictModel

__all__ = [
    "DeliveryView",
    "InvoiceCorrection",
    "InvoiceDetail",
    "InvoiceItem",
    "InvoiceLineView",
    "InvoiceList",
    "InvoiceRequest",
    "InvoiceReversal",
    "InvoiceWish",
    "NewDelivery",
    "RedLetterView",
]

OrderId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,40}$")]
_PHONE = r"^1[3-9][0-9]{9}$"
_MAIL = r"^[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{1,120}\.[A-Za-z]{2,24}$"


class InvoiceLineView(BaseModel):
    """A line: what of a sale it uses. ``red_fen`` was taken back."""

    sale_id: str
    order_id: str | None
    from_fen: int
    amount_fen: int
    volume_ml: int
    red_fen: int


class RedLetterView(BaseModel):
    """A red letter; ``form_state`` is that of its confirmation form (01 to 10), where the platform shows it."""

    red_id: str
    state: Literal[
        "asked", "confirming", "issuing", "issued", "denied", "expired", "revoked", "void", "failed"
    ]
    form_state: str | None
    amount_fen: int
    reason: str
    number: str | None
    requested_us: int
    done_us: int | None


class DeliveryView(BaseModel):
    """One delivery; the address is masked, and gone when it is over."""

    delivery_id: str
    channel: str
    address: str | None
    state: Literal["waiting", "delivered", "failed"]
    tries: int


class InvoiceDetail(BaseModel):
    """An invoice. ``waits`` says what keeps it: login, face, access, stock, credit."""

    fapiao_apply_id: str
    platform: str
    state: Literal["issuing", "issued", "failed", "reversing", "reversed"]
    waits: str | None
    number: str | None
    amount_fen: int
    net_fen: int
    tax_fen: int
    volume_ml: int
    red_fen: int
    requested_us: int
    issued_us: int | None
    lines: list[InvoiceLineView]
    red_letters: list[RedLetterView]
    deliveries: list[DeliveryView]


class InvoiceList(BaseModel):
    """Invoices, oldest first."""

    invoices: list[InvoiceDetail]


class InvoiceItem(StrictModel):
    """An order's money, or a part of it; without an amount all that is not in an invoice yet."""

    order_id: OrderId
    amount_fen: Positive | None = None


class InvoiceWish(StrictModel):
    """One invoice over several orders, or over a part of one."""

    title: InvoiceTitle
    items: Annotated[list[InvoiceItem], Field(min_length=1, max_length=20)]

    @model_validator(mode="after")
    def _each_order_once(self) -> InvoiceWish:
        if len({item.order_id for item in self.items}) != len(self.items):
            raise ValueError("an order stands twice in one invoice")
        return self


class InvoiceRequest(StrictModel):
    """Merged and split invoices: all of them, or none. ``client_token`` makes repeating it harmless."""

    client_token: Token
    invoices: Annotated[list[InvoiceWish], Field(min_length=1, max_length=10)]


class InvoiceCorrection(StrictModel):
    """The title was wrong: take the invoice back and issue it for this one."""

    title: InvoiceTitle


class InvoiceReversal(StrictModel):
    """Take an invoice back. Reasons as the tax bureau labels them: 01 issued wrongly, 02 returned, 03 ended, 04 discount."""

    client_token: Token
    reason: Literal["01", "02", "03", "04"]


class NewDelivery(StrictModel):
    """Where an invoice is to be sent; ``wallet`` is the payer's own and needs no address."""

    numbers_by_right: ClassVar[frozenset[str]] = frozenset({"address"})

    channel: Literal["message", "mail", "wallet"]
    address: Annotated[str, StringConstraints(max_length=200)] | None = None

    @model_validator(mode="after")
    def _address_fits(self) -> NewDelivery:
        wanted = {"message": _PHONE, "mail": _MAIL}.get(self.channel)
        if wanted is None:
            if self.address is not None:
                raise ValueError("the wallet is the payer's own: give no address")
        elif self.address is None or re.fullmatch(wanted, self.address) is None:
            raise ValueError(f"a {self.channel} needs a phone number or mail address that can be one")
        return self
