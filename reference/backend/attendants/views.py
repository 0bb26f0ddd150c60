"""What the API takes and shows of attendants."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints

from reference.backend.private_numbers import StrictModel

__all__ = ["AttendantList", "AttendantLogin", "AttendantPost", "AttendantView", "LoggedIn"]

_Code = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{16,64}$")]
_Name = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{1,40}$")]
Role = Literal["attendant", "manager"]


class AttendantPost(StrictModel):
    """An attendant as the operator enters them. ``code`` is the secret of the card (16 letters and digits at least)."""

    name: _Name
    code: _Code
    role: Role = "attendant"
    active: bool = True


class AttendantView(BaseModel):
    """An attendant."""

    attendant: str
    name: str
    role: Role
    active: bool


class AttendantList(BaseModel):
    """The attendants of a station."""

    attendants: list[AttendantView]


class AttendantLogin(StrictModel):
    """A card was read, at a till (no ``fuelling_points``) or for the fuelling points it is in charge of; 0 is all of them."""

    code: _Code
    fuelling_points: Annotated[list[Annotated[int, Field(ge=0, le=9999)]], Field(max_length=64)] = Field(
        default_factory=list
    )


class LoggedIn(BaseModel):
    """The bearer token of this login."""

    token: str
    attendant: str
    name: str
    role: Role
