"""The loudspeaker of a station, as a scenario file describes it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from scenarios.model.values import Constant, Latency, Part

__all__ = ["Loudspeaker"]


class Loudspeaker(Part):
    """A cloud loudspeaker that says each verified payment; without this section a station has none."""

    kind: Literal["clips", "money", "text", "amount"] = "clips"
    """What it is told: numbers of clips or a bare amount over MQTT; a text or a bare amount over its maker's HTTP interface. A
    box that is told a bare amount does not say which nozzle."""
    leg: Latency = Constant(kind="constant", value_ms=60)
    """One way between the broker (or the maker's platform) and anybody."""
    remembers: Annotated[int, Field(ge=0, le=1_000)] = 10
    """How many announcements it knows again."""
    queue_limit: Annotated[int, Field(ge=1, le=1_000)] = 10
    """How many may wait in it while it speaks."""
    holds_offline: bool = False
    """Of the maker's platform: it keeps messages for a box that is offline. What real platforms do is not published."""

    @property
    def is_mqtt(self) -> bool:
        """Whether it hears of payments through a broker."""
        return self.kind in {"clips", "money"}
