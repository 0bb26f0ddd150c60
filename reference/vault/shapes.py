"""What goes over the vault's HTTP API. Fields that are not named here are refused: nothing else of a card is taken."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

__all__ = ["BindingView", "CardView", "ErrorBody", "HandIn", "NewToken", "RevealRequest", "RevealView"]

_Number = Annotated[str, StringConstraints(min_length=13, max_length=19, pattern=r"^[0-9]+$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class NewToken(_Strict):
    """A card number, plain or as a gateway encrypted it; nothing else of a card is taken."""

    card_number: _Number | None = None
    sealed: Annotated[str, StringConstraints(min_length=4, max_length=2048)] | None = None


class CardView(BaseModel):
    """What everybody else gets to know of a card."""

    token: str
    bin: str = Field(description="First six digits")
    last4: str
    network: str


class BindingView(BaseModel):
    """A card that was announced, and the secret with which its holder hands it in."""

    binding: str
    secret: str
    expires_us: int


class HandIn(_Strict):
    """The holder's card number."""

    card_number: _Number


class RevealRequest(_Strict):
    """Whose number is wanted, and what for."""

    token: Annotated[str, StringConstraints(pattern=r"^ct_[a-z2-7]{32}$")]
    reason: Annotated[str, StringConstraints(min_length=3, max_length=80, pattern=r"^[^\x00-\x1f\x7f]*$")]


class RevealView(BaseModel):
    """A card number. It must not be kept."""

    card_number: str


class ErrorBody(BaseModel):
    """Every refusal."""

    code: str
    message: str
    field: str | None = None
