"""What the two ends of an AA FF line tell their owners. Frozen dataclasses."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from protocols.aaff.answers import PumpMessage
from protocols.aaff.framer import BadReason
from protocols.aaff.questions import MasterMessage

__all__ = [
    "BadFrame",
    "Deviation",
    "DeviationKind",
    "MasterEvent",
    "PumpEvent",
    "Reply",
    "ReplyTimeout",
    "Request",
    "Unexpected",
]


class DeviationKind(StrEnum):
    """What a peer did otherwise than the two programs we know, and what was accepted all the same."""

    CHECKSUM_WRONG = "checksum wrong"
    """Accepted because the line was told to (`Quirks.any_checksum`)."""
    CHECKSUM_MISSING = "checksum missing"
    """As above; the back office of the firmware's maker sends none."""
    DESTINATION = "destination"
    """A frame to a dispenser that names another kind of device, or one from a dispenser that is not for a PC."""
    BODY_LENGTH = "body length"
    """A known command whose body is longer or shorter than usual, but can be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """A tolerated deviation; a warning, never a refusal. ``detail`` says what was seen."""

    gun: int
    kind: DeviationKind
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BadFrame:
    """Bytes that are no good frame; they had no other effect.

    Attributes:
        gun: the gun they name, None when they name none.
        ends: at a master: this was the awaited answer, damaged; the exchange is over.
    """

    gun: int | None
    reason: BadReason
    raw: bytes
    ends: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """At a dispenser: a master's frame for one of its guns. It waits for one answer."""

    gun: int
    message: MasterMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """At a master: the awaited answer."""

    gun: int
    message: PumpMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyTimeout:
    """At a master: no answer in time. Whether the dispenser obeyed is unknown."""

    gun: int
    command: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unexpected:
    """At a master: a good frame that answers nothing: late, of another gun, or of another command."""

    gun: int
    message: PumpMessage


PumpEvent: TypeAlias = Request | BadFrame | Deviation
MasterEvent: TypeAlias = Reply | ReplyTimeout | Unexpected | BadFrame | Deviation
