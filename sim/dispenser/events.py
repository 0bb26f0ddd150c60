"""What a fuelling point tells: events, the reading on its display, the record of a delivery."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from .states import FpInput, FpState

__all__ = [
    "AuthorisationDropped",
    "Component",
    "Delivery",
    "DeliveryEnded",
    "FlowStarted",
    "FlowStopped",
    "FpEvent",
    "NozzleLifted",
    "NozzleReturned",
    "PointLocked",
    "PointUnlocked",
    "PowerChanged",
    "PriceChanged",
    "Reading",
    "RecordOverwritten",
    "StateChanged",
    "VoicePrompt",
]


class Reading(msgspec.Struct, frozen=True):
    """The display: volume in whole 10 ml pulses, amount in fen, unit price in fen per litre."""

    volume_ml: int
    amount_fen: int
    price_fen_per_l: int


@dataclass(frozen=True, slots=True)
class Component:
    """What one tank gave to a blended delivery: whole pulses, in ml. They add up to the delivery's volume."""

    tank: int
    grade: str
    volume_ml: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """The record of one physical delivery.

    Attributes:
        fuelling_point: number of the fuelling point in the station.
        logical_nozzle: 1..8 on its fuelling point.
        nozzle_id: number of the nozzle in the station.
        grade: what was sold.
        tank: number of the tank it came from.
        sequence: gap-free per fuelling point, from 1; wraps as the profile declares.
        volume_ml: whole pulses.
        amount_fen: round-half-up(volume x price).
        price_fen_per_l: fixed when the delivery was authorised. In the last decimal of the site's prices: fen, unless
            the profile declares other than two decimals.
        started_us: when it became able to deliver (authorised and nozzle out).
        ended_us: when it ended.
        end_total_volume_ml: the nozzle's volume totaliser afterwards.
        end_total_amount_fen: the nozzle's amount totaliser afterwards.
        flags: why and how it ended, and what it was: ``preset``, ``terminated``, ``power-failure``, ``no-flow-timeout``,
            ``emergency-stop``, ``breakaway``, ``zero``, ``overrun``, ``below-mmq``, ``clock-lost``, ``test``.
        components: of a blend, what each tank gave; else empty.
        software_id: identification of the metering software.
    """

    fuelling_point: int
    logical_nozzle: int
    nozzle_id: int
    grade: str
    tank: int
    sequence: int
    volume_ml: int
    amount_fen: int
    price_fen_per_l: int
    started_us: int
    ended_us: int
    end_total_volume_ml: int
    end_total_amount_fen: int
    flags: tuple[str, ...] = ()
    components: tuple[Component, ...] = ()
    software_id: str = ""


@dataclass(frozen=True, slots=True)
class _At:
    fuelling_point: int
    at_us: int


@dataclass(frozen=True, slots=True)
class NozzleLifted(_At):
    """A nozzle left its boot."""

    logical_nozzle: int


@dataclass(frozen=True, slots=True)
class NozzleReturned(_At):
    """The nozzle is back in its boot."""

    logical_nozzle: int


@dataclass(frozen=True, slots=True)
class StateChanged(_At):
    """The state changed; ``trigger`` says on what."""

    old: FpState
    new: FpState
    trigger: FpInput


@dataclass(frozen=True, slots=True)
class FlowStarted(_At):
    """Fuel began to flow."""

    logical_nozzle: int


@dataclass(frozen=True, slots=True)
class FlowStopped(_At):
    """Fuel stopped flowing. ``reason``: ``released``, ``shut-off``, ``preset``, ``valve`` or ``hang-up``."""

    logical_nozzle: int
    volume_ml: int
    reason: str


@dataclass(frozen=True, slots=True)
class AuthorisationDropped(_At):
    """An authorisation ended without any fuel (nozzle back, stopped, expired); no sale came of it."""

    reason: str


@dataclass(frozen=True, slots=True)
class PriceChanged(_At):
    """A nozzle has a new unit price."""

    logical_nozzle: int
    price_fen_per_l: int


@dataclass(frozen=True, slots=True)
class DeliveryEnded(_At):
    """A delivery ended and stands in the journal."""

    delivery: Delivery


@dataclass(frozen=True, slots=True)
class PowerChanged(_At):
    """The mains failed or came back."""

    on: bool


@dataclass(frozen=True, slots=True)
class PointLocked(_At):
    """The fuelling point is locked: it refuses to authorise. ``reason``: ``tampering``, ``emergency-stop`` and so on."""

    reason: str


@dataclass(frozen=True, slots=True)
class PointUnlocked(_At):
    """A lock was taken away; others may remain."""

    reason: str


@dataclass(frozen=True, slots=True)
class RecordOverwritten(_At):
    """The journal was full, and this delivery, which no controller had taken over, was dropped from it."""

    delivery: Delivery


@dataclass(frozen=True, slots=True)
class VoicePrompt(_At):
    """The dispenser itself said something to the customer, as ``voice:92#`` when the nozzle of that product was lifted."""

    logical_nozzle: int
    text: str


FpEvent: TypeAlias = (
    NozzleLifted
    | NozzleReturned
    | StateChanged
    | FlowStarted
    | FlowStopped
    | AuthorisationDropped
    | PriceChanged
    | DeliveryEnded
    | PowerChanged
    | PointLocked
    | PointUnlocked
    | RecordOverwritten
    | VoicePrompt
)
