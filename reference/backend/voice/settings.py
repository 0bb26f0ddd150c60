"""The loudspeaker of a station, as an operator describes it."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from protocols.loudspeaker import TOPIC

__all__ = ["LoudspeakerSettings"]

_Token = Annotated[str, StringConstraints(min_length=1, max_length=64)]


class LoudspeakerSettings(BaseModel):
    """A loudspeaker.

    Attributes:
        kind: what it is told: ``clips`` or ``money`` over MQTT, ``text`` or ``amount`` over its maker's HTTP interface. Boxes told
            a bare amount cannot say which nozzle.
        speaker_id: its serial number or IMEI.
        bank: the clips that it holds (``clips`` only).
        topic: where it listens (MQTT); ``{box}`` stands for its number.
        token, version: of the HTTP interface.
        character_ms, gap_ms: how long it takes for a character, and between two clips: what is waited for before the next.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["clips", "money", "text", "amount"]
    speaker_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,32}$")]
    bank: Literal["station", "mqlinks"] = "station"
    topic: Annotated[str, StringConstraints(pattern=r"^[^#+\x00]{1,200}$")] = TOPIC
    token: _Token | None = Field(default=None, repr=False)
    version: Annotated[str, StringConstraints(pattern="^[1-9]$")] = "3"
    character_ms: Annotated[int, Field(ge=50, le=2_000)] = 250
    gap_ms: Annotated[int, Field(ge=0, le=2_000)] = 40

    @property
    def is_mqtt(self) -> bool:
        """Whether it is reached through a broker."""
        return self.kind in {"clips", "money"}

    @model_validator(mode="after")
    def _has_what_its_kind_needs(self) -> Self:
        if not self.is_mqtt and self.token is None:
            raise ValueError(f"a loudspeaker of the kind {self.kind} needs a token")
        return self
