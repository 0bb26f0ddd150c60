"""What a pump driver tells its controller. Frozen dataclasses; `at_us` is the driver's own (machine) clock."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import msgspec

from reference.site.pumps.witness import Witness

__all__ = [
    "AuthoriseRefused",
    "Authorised",
    "DeliveryVoid",
    "DriverEvent",
    "LineDown",
    "LineUp",
    "LiveAmount",
    "NozzleLifted",
    "NozzleReturned",
    "PointState",
    "PriceSet",
    "SaleCaptured",
    "StateChanged",
    "TotalsRead",
]


class PointState(StrEnum):
    """State of a fuelling point, named as IFSF Part 3-01 names them, plus OFFLINE for a lost link."""

    OFFLINE = "OFFLINE"
    INOPERATIVE = "INOPERATIVE"
    CLOSED = "CLOSED"
    IDLE = "IDLE"
    CALLING = "CALLING"
    AUTHORISED = "AUTHORISED"
    STARTED = "STARTED"
    SUSPENDED_STARTED = "SUSPENDED_STARTED"
    FUELLING = "FUELLING"
    SUSPENDED_FUELLING = "SUSPENDED_FUELLING"


@dataclass(frozen=True, slots=True)
class LineUp:
    """The fuelling point answers again and everything that could have been missed has been read."""

    fuelling_point: int
    at_us: int


@dataclass(frozen=True, slots=True)
class LineDown:
    """The declared number of polls in a row went unanswered."""

    fuelling_point: int
    at_us: int


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The fuelling point is in another state."""

    fuelling_point: int
    state: PointState
    at_us: int


@dataclass(frozen=True, slots=True)
class NozzleLifted:
    """A nozzle was taken out and waits for an authorisation. Never sent twice for one lift."""

    fuelling_point: int
    nozzle: int
    at_us: int


@dataclass(frozen=True, slots=True)
class NozzleReturned:
    """A nozzle was hung up."""

    fuelling_point: int
    nozzle: int
    at_us: int


class LiveAmount(msgspec.Struct, frozen=True):
    """The running figures of a delivery, as the pump shows them."""

    fuelling_point: int
    nozzle: int
    volume_ml: int
    amount_fen: int
    at_us: int


@dataclass(frozen=True, slots=True)
class Authorised:
    """The pump itself reports that it is authorised (an acknowledgement alone proves nothing)."""

    fuelling_point: int
    nozzle: int
    at_us: int


@dataclass(frozen=True, slots=True)
class AuthoriseRefused:
    """The pump did not take the authorisation; nothing of it is left in the pump or the driver."""

    fuelling_point: int
    nozzle: int
    reason: str
    at_us: int


@dataclass(frozen=True, slots=True)
class DeliveryVoid:
    """An authorisation ended without flow: no sale (the totaliser did not move)."""

    fuelling_point: int
    nozzle: int
    at_us: int


@dataclass(frozen=True, slots=True)
class SaleCaptured:
    """One physical delivery, exactly once.

    ``flags`` holds any of: ``reconstructed`` (figures are a difference of totals, the filling itself was never
    seen), ``recovered`` (found after a restart or a lost link), ``adopted`` (was running at the first start),
    ``total_behind``/``total_backwards``/``no_total`` (the totaliser disagrees), ``amount_computed``.
    ``witness`` is what the next delivery of this nozzle is measured against; store it together with the sale.
    ``more`` says that another sale of this nozzle, found at the same time, follows at once.
    ``pump_ended_us`` is when it ended by the pump's own clock (Unix µs), if it told; ``skew_us`` how far at least that clock is
    ahead of ours (behind, if negative), where we saw the delivery end ourselves.
    """

    fuelling_point: int
    nozzle: int
    volume_ml: int
    amount_fen: int
    price_fen_per_l: int
    end_total_volume_ml: int
    end_total_amount_fen: int
    started_us: int
    ended_us: int
    flags: tuple[str, ...]
    witness: Witness
    at_us: int
    more: bool = False
    pump_ended_us: int | None = None
    skew_us: int = 0


@dataclass(frozen=True, slots=True)
class TotalsRead:
    """A first reading of a nozzle's totalisers: the base for later deliveries, not a sale."""

    fuelling_point: int
    nozzle: int
    witness: Witness
    at_us: int


@dataclass(frozen=True, slots=True)
class PriceSet:
    """The end of a price change for one nozzle; ``confirmed`` only when the pump read the price back."""

    fuelling_point: int
    nozzle: int
    price_fen_per_l: int
    confirmed: bool
    at_us: int


DriverEvent = (
    LineUp
    | LineDown
    | StateChanged
    | NozzleLifted
    | NozzleReturned
    | LiveAmount
    | Authorised
    | AuthoriseRefused
    | DeliveryVoid
    | SaleCaptured
    | TotalsRead
    | PriceSet
)
