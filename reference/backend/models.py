"""What goes over the HTTP API. Integers are bounded, so that no client can make a table overflow."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta
from pydantic import BaseModel, Field, StringConstraints, field_validator, model_validator

from protocols.fapiao import taxpayer_problem
from reference.backend.live import Count, NozzleNumber
from reference.backend.private_numbers import CleanStruct, StrictModel
from reference.backend.tanks.views import GradeStock

__all__ = [
    "AdminPage",
    "ClientResult",
    "Command",
    "CommandList",
    "CommandResult",
    "Correction",
    "Health",
    "InvoiceTitle",
    "InvoiceView",
    "LiveView",
    "NewOrder",
    "NozzleSetup",
    "NozzleView",
    "OrderView",
    "SaleAccepted",
    "SaleList",
    "SalePost",
    "SaleView",
    "SessionRequest",
    "SessionView",
    "Settlement",
    "StationSetup",
    "StationView",
    "StrictModel",
]

# Text without control characters: PostgreSQL cannot store NUL, and a receipt must not be steered by a name.
_CLEAN = r"^[^\x00-\x1f\x7f]*$"
Text80 = Annotated[str, StringConstraints(min_length=1, max_length=80, pattern=_CLEAN)]
Token = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:-]{1,80}$")]
StationId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,16}$")]
Nozzle = Annotated[int, Field(ge=1, le=9999)]
Amount = Annotated[int, Field(ge=0, le=2**53)]
Positive = Annotated[int, Field(ge=1, le=100_000_000)]
TaxpayerId = Annotated[str, StringConstraints(pattern=r"^[0-9A-HJ-NPQRTUWXY]{15,20}$")]
Grade = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+_-]{1,16}$")]


class SessionRequest(StrictModel):
    """A mini-program log-in."""

    js_code: Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,128}$")]


class SessionView(BaseModel):
    """The phone's bearer token."""

    token: str
    openid: str


class NozzleSetup(StrictModel):
    """One nozzle of a station."""

    nozzle: Nozzle
    fuelling_point: Nozzle
    grade: Grade
    price_fen_per_l: Annotated[int, Field(ge=1, le=100_000)]
    tank: Annotated[int, Field(ge=0, le=9999)] | None = None


class StationSetup(StrictModel):
    """A station as its site controller declares it."""

    name: Text80
    taxpayer_id: TaxpayerId | None = None
    lift_policy: Annotated[str, StringConstraints(pattern=r"^[a-z_-]{1,32}$")]
    nozzles: Annotated[list[NozzleSetup], Field(max_length=256)]

    @model_validator(mode="after")
    def _each_nozzle_once(self) -> StationSetup:
        numbers = [item.nozzle for item in self.nozzles]
        if len(set(numbers)) != len(numbers):
            raise ValueError("a nozzle number stands twice")
        return self


class LiveView(BaseModel):
    """The latest reading of a nozzle; ``age_us`` since it was heard here."""

    state: str
    volume_ml: int
    amount_fen: int
    age_us: int


class NozzleView(BaseModel):
    """A nozzle, its price and what it does."""

    nozzle: int
    fuelling_point: int
    grade: str
    price_fen_per_l: int
    tank: int | None
    live: LiveView | None


class StationView(BaseModel):
    """A station for a phone. ``stock`` is empty without a tank gauge."""

    station: str
    name: str
    taxpayer_id: str | None
    lift_policy: str
    nozzles: list[NozzleView]
    stock: list[GradeStock]


class InvoiceTitle(StrictModel):
    """To whom an invoice is made out. An organisation needs its taxpayer number."""

    title_type: Literal["INDIVIDUAL", "ORGANIZATION"]
    name: Text80
    taxpayer_id: TaxpayerId | None = None

    @field_validator("name")
    @classmethod
    def _says_something(cls, name: str) -> str:
        if not name.strip():
            raise ValueError("a name is more than spaces")
        return name.strip()

    @field_validator("taxpayer_id")
    @classmethod
    def _can_be_one(cls, number: str | None) -> str | None:
        problem = taxpayer_problem(number) if number is not None else ""
        if problem:
            raise ValueError(f"this is no taxpayer number: {problem}")
        return number

    @model_validator(mode="after")
    def _organisation_has_number(self) -> InvoiceTitle:
        if self.title_type == "ORGANIZATION" and self.taxpayer_id is None:
            raise ValueError("an ORGANIZATION needs its taxpayer_id")
        return self


class NewOrder(StrictModel):
    """A phone's order. ``client_token`` makes repeating it harmless; ``auto_pay`` debits the contract when it is finished."""

    client_token: Token
    station: StationId
    nozzle: Nozzle
    mode: Literal["postpay", "prepay"]
    preset_fen: Positive | None = None
    preset_ml: Positive | None = None
    invoice: InvoiceTitle | None = None
    auto_pay: bool = False

    @model_validator(mode="after")
    def _presets(self) -> NewOrder:
        if self.preset_fen is not None and self.preset_ml is not None:
            raise ValueError("give preset_fen or preset_ml, not both")
        if self.mode == "prepay" and self.preset_fen is None and self.preset_ml is None:
            raise ValueError("a prepay order needs preset_fen or preset_ml")
        if self.auto_pay and self.mode != "postpay":
            raise ValueError("only a finished sale (postpay) is debited by contract")
        return self


class InvoiceView(BaseModel):
    """Where an order's invoice stands."""

    state: Literal["none", "requested", "issuing", "issued", "failed", "reversing", "reversed"]
    number: str | None
    fapiao_apply_id: str | None


class OrderView(BaseModel):
    """An order. While fuel flows, volume and amount are the pump's live figures."""

    order_id: str
    state: str
    station: str
    nozzle: int
    mode: str
    payable_fen: int
    volume_ml: int
    amount_fen: int
    paid_fen: int
    refunded_fen: int
    out_trade_no: str | None
    sale_id: str | None
    invoice: InvoiceView
    updated_us: int
    notice: str | None = None


class ClientResult(StrictModel):
    """What the payment app told the phone. It proves nothing."""

    result: Literal["ok", "cancel", "fail"]


class SalePost(CleanStruct, forbid_unknown_fields=True):
    """A finished delivery as the site captured it. Times are Unix µs; totals are the meter's, after the delivery.

    ``price_set`` names the set that its unit price belongs to, ``price_since_us`` when the pump began to show it; ``pump_ended_us``
    is the end by the pump's own clock.
    """

    nozzle: NozzleNumber
    sequence: Count
    fuelling_point: NozzleNumber
    grade: Annotated[str, Meta(pattern=r"^[A-Za-z0-9+_-]{1,16}$")]
    volume_ml: Count
    amount_fen: Count
    price_fen_per_l: Count
    started_us: Count
    ended_us: Count
    end_total_volume_ml: Count
    end_total_amount_fen: Count
    order_id: Annotated[str, Meta(pattern=r"^[a-z0-9_]{1,40}$")] | None = None
    flags: Annotated[list[Annotated[str, Meta(pattern=r"^[A-Za-z0-9_:.-]{1,40}$")]], Meta(max_length=16)] = (
        msgspec.field(default_factory=list)
    )
    # Left out of what is stored and compared if a site does not tell them: a sale is the same before and after its update.
    price_set: Count | msgspec.UnsetType = msgspec.UNSET
    price_since_us: Count | msgspec.UnsetType = msgspec.UNSET
    pump_ended_us: Count | msgspec.UnsetType = msgspec.UNSET


class SaleAccepted(BaseModel):
    """The sale's id and state."""

    sale_id: str
    state: str


class SaleView(BaseModel):
    """A sale for the cashier."""

    sale_id: str
    state: str
    station: str
    nozzle: int
    sequence: int
    fuelling_point: int
    grade: str
    volume_ml: int
    amount_fen: int
    price_fen_per_l: int
    price_set: int | None
    price_since_us: int | None
    started_us: int
    ended_us: int
    order_id: str | None
    tender: str | None
    attendant: str | None
    drive_off: bool = False


class SaleList(BaseModel):
    """Sales in one state."""

    sales: list[SaleView]


class Settlement(StrictModel):
    """A cashier's settlement. ``amount_fen`` must be the sale's."""

    client_token: Token
    tender: Literal["cash", "card", "fuel_card"]
    amount_fen: Amount
    invoice: InvoiceTitle | None = None


class Command(BaseModel):
    """A command for the site; what does not belong to its kind is null."""

    id: int
    kind: Literal["authorise", "cancel", "print", "settled", "handover"]
    nozzle: int
    order_id: str | None
    preset_fen: int | None
    preset_ml: int | None
    sale: dict[str, Any] | None
    receipt: dict[str, Any] | None
    shift: dict[str, Any] | None


class CommandList(BaseModel):
    """Unanswered commands in the order of their numbers."""

    commands: list[Command]


class CommandResult(StrictModel):
    """The site's answer to a command."""

    ok: bool
    reason: Annotated[str, StringConstraints(max_length=200, pattern=_CLEAN)] | None = None


class Correction(StrictModel):
    """A correction of a ledger entry: signed differences, and why."""

    corrects: Annotated[int, Field(ge=1, le=2**53)]
    volume_ml: Annotated[int, Field(ge=-(2**53), le=2**53)]
    amount_fen: Annotated[int, Field(ge=-(2**53), le=2**53)]
    reason: Text80


class Release(StrictModel):
    """Why a quarantined sale counts as it was told."""

    reason: Text80


class AdminPage(BaseModel):
    """Rows as they are stored; ``next`` is the ``after`` of the following page, or null at the end."""

    rows: list[dict[str, Any]]
    next: int | None


class Health(BaseModel):
    """A sign of life, with the store asked."""

    status: str
    instance: str
