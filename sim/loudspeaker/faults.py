"""What goes wrong with a loudspeaker, as data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sim.fault_book import CountedFault
from sim.faults import need_int, need_one_of

__all__ = ["AUDIBLE_FAULTS", "SpeakerFault", "SpeakerFaultKind"]


class SpeakerFaultKind(StrEnum):
    """What a fault does."""

    OFFLINE = "offline"
    LOST = "lost"
    LATE = "late"
    DUPLICATE = "duplicate"
    ACK_LOST = "ack-lost"
    REFUSED = "refused"
    QUEUE_FULL = "queue-full"
    FORGETS = "forgets"
    MUTED = "muted"
    CLIP_MISSING = "clip-missing"
    WRONG_CLIP = "wrong-clip"


AUDIBLE_FAULTS: Final = frozenset(
    {
        SpeakerFaultKind.LOST,
        SpeakerFaultKind.QUEUE_FULL,
        SpeakerFaultKind.MUTED,
        SpeakerFaultKind.CLIP_MISSING,
        SpeakerFaultKind.WRONG_CLIP,
    }
)
"""Faults behind the back of whoever sent the message: he is told that it was taken, and people hear it wrong or not at all."""


@dataclass(frozen=True, kw_only=True)
class SpeakerFault(CountedFault):
    """One fault of a loudspeaker's schedule; when it may strike is in the base class.

    Attributes:
        kind: a `SpeakerFaultKind`. ``offline``: no radio for the whole window (a broker keeps what it may and sends it again when the
            box is back); ``lost``: a message is taken and vanishes; ``late``: it arrives ``delay_us`` later; ``duplicate``: its
            receipt is lost, and it is sent again ``delay_us`` later, as after a reconnect; ``ack-lost``: the service that took it
            does not get to say so; ``refused``: the service answers with an error; ``queue-full``: the box discards it;
            ``forgets``: the box has lost its list of orders; ``muted``: it speaks at volume 0; ``clip-missing``: one word is not
            said; ``wrong-clip``: another number is said in the place of one.
        delay_us: of ``late`` and ``duplicate``.

    Raises:
        FaultError: a value is impossible; the message names the fault and the field.
    """

    delay_us: int = 3_000_000

    def __post_init__(self) -> None:
        super().__post_init__()
        need_one_of(self.label, "kind", self.kind, SpeakerFaultKind)
        need_int(self.label, "skip", self.skip, 0)
        need_int(self.label, "delay_us", self.delay_us, 0)
