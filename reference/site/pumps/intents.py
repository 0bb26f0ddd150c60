"""What a fuelling point's logic wants said to the pump next, in no protocol's words."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["Authorise", "Intent", "Phase", "Read", "Reads", "Reset", "SetPrices", "Stop"]


class Phase(Enum):
    """Where a pump stands in its sale cycle. DART reports these directly; Modbus states map onto them."""

    UNPROGRAMMED = "no unit price"
    READY = "reset"
    AUTHORISED = "authorised"
    FILLING = "filling"
    SUSPENDED = "suspended"
    MAX_REACHED = "preset reached"
    COMPLETED = "filling completed"
    OFF = "switched off"


DELIVERING = (Phase.AUTHORISED, Phase.FILLING, Phase.SUSPENDED, Phase.MAX_REACHED)
"""Phases in which fuel flows, may flow, or has just flowed and is not final."""


class Read(Enum):
    """Things that can be asked for without changing anything."""

    STATUS = "status"
    FILLING = "filling"
    TOTALS = "totals"


@dataclass(frozen=True, slots=True)
class Reads:
    """Ask for these; for TOTALS with the logical nozzle (0 otherwise)."""

    items: tuple[tuple[Read, int], ...]


@dataclass(frozen=True, slots=True)
class Reset:
    """Clear the finished filling and all presets. Never sent before the filling is stored."""


@dataclass(frozen=True, slots=True)
class Authorise:
    """One delivery through this logical nozzle, up to a preset (at most one of the two)."""

    logical: int
    preset_fen: int | None
    preset_ml: int | None


@dataclass(frozen=True, slots=True)
class Stop:
    """End the delivery or the authorisation."""


@dataclass(frozen=True, slots=True)
class SetPrices:
    """Unit prices of logical nozzles 1..n, all of them: pumps ignore a list that does not cover every nozzle."""

    prices_fen_per_l: tuple[int, ...]


Intent = Reads | Reset | Authorise | Stop | SetPrices
