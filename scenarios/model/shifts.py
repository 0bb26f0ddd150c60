"""Staff over time: attendants that hand over to each other, technicians that test a pump."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from scenarios.model.values import TEXT, Part

__all__ = ["ShiftChange", "TestDelivery"]

_At = Annotated[int, Field(ge=0, le=31 * 86_400)]


class ShiftChange(Part):
    """An attendant takes over: the shift before is closed with the readings of this moment, the next one opened.

    The first one of a run opens its first shift.
    """

    at_s: _At
    attendant: Annotated[str, Field(min_length=1, max_length=40, pattern=TEXT)]
    """Who comes on duty."""
    cash_off_fen: Annotated[int, Field(ge=-1_000_000, le=1_000_000)] = 0
    """So much more (less, if negative) is in the drawer than was taken."""


class TestDelivery(Part):
    """A technician fills the proving can at a nozzle and pours it back into the tank; waits until the place is free."""

    __test__ = False  # no test of pytest's

    at_s: _At
    nozzle: Annotated[int, Field(ge=1, le=256)]
    volume_ml: Annotated[int, Field(ge=1_000, le=1_000_000, multiple_of=10)] = 20_000
