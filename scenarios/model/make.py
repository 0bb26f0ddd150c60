"""What a make of dispenser declares about itself, as far as a scenario may choose it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from scenarios.model.values import Part

__all__ = ["Make"]


class Make(Part):
    """The make of a cabinet. What is left out is as the simulated dispenser has it (docs/dispenser-states.md).

    The names are those of `sim.dispenser.DispenserProfile`.
    """

    valve_lag_us: Annotated[int, Field(ge=0, le=150_000)] | None = None
    """How much longer the small valve takes to close than the board reckons with: the overrun beyond a preset."""
    trickle_ml: Annotated[int, Field(ge=0, le=500)] | None = None
    slow_stop_ml: Annotated[int, Field(ge=0, le=2_000)] | None = None
    mmq_ml: Annotated[int, Field(ge=0, le=20_000)] | None = None
    """Minimum measured quantity: a smaller preset is refused."""
    total_volume_digits: Annotated[int, Field(ge=5, le=10)] | None = None
    """Digits of the volume totaliser in steps of 10 ml: with 8 it rolls over after 999,999.99 L."""
    total_amount_digits: Annotated[int, Field(ge=5, le=10)] | None = None
    price_while_busy: Literal["refuse", "next"] | None = None
    """A price that comes during a delivery is refused, or kept for the next one."""
    nv_write_us: Annotated[int, Field(ge=0, le=10_000)] | None = None
    """Time in which the board writes one copy of a record; power that fails meanwhile tears it."""
    resume_outage_us: Annotated[int, Field(ge=0, le=15_000_000)] | None = None
    """An interrupted delivery goes on after an outage of at most this."""
    journal_limit: Annotated[int, Field(ge=1, le=50_000)] | None = None
    """Deliveries that may wait for a controller."""
    journal_full: Literal["refuse", "lock"] | None = None
    self_service: bool | None = None
    """Customers fuel by themselves: the dispenser says the product of a nozzle that is lifted."""
    hold_up_us: Annotated[int, Field(ge=0, le=2_000_000)] = 0
    """A dip of the mains shorter than this goes unnoticed."""

    @model_validator(mode="after")
    def _trickle_is_the_end_of_the_slow_part(self) -> Make:
        if self.trickle_ml and self.slow_stop_ml is not None and self.trickle_ml > self.slow_stop_ml:
            raise ValueError(
                f"the trickle ({self.trickle_ml} ml) is the end of the slow part ({self.slow_stop_ml} ml), not longer"
            )
        return self
