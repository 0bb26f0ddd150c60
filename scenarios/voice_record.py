"""What a run leaves behind of its loudspeaker; a part of `scenarios.record.RunRecord`.

Payments are the backend's and the gateway's, the log is the backend's own, what was said is the loudspeaker's. Times are microseconds
of the run's clock.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LoggedAnnouncement", "SaidAloud", "VoiceHit", "VoicePayment", "VoiceRecord"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VoicePayment:
    """A payment that is to be said.

    Attributes:
        number: what the announcement is known by: the `out_trade_no`.
        proved_us: when the backend took it for paid.
        gateway_us: when the gateway had the money; None for what a member paid from his balance.
    """

    number: str
    nozzle: int
    amount_fen: int
    proved_us: int
    gateway_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedAnnouncement:
    """The backend's record of one: ``queued``, ``sending``, ``unknown``, ``sent`` or ``dropped`` with the reason."""

    number: str
    state: str
    attempts: int
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SaidAloud:
    """What people heard, as one text."""

    number: str | None
    words: str
    started_us: int
    ended_us: int
    volume: int
    is_whole: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceHit:
    """A fault of the loudspeaker that hit one announcement (or none in particular)."""

    fault: str
    kind: str
    number: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceRecord:
    """Everything about the announcements of a run.

    Attributes:
        says_nozzle: whether this loudspeaker can say which nozzle.
    """

    says_nozzle: bool
    payments: tuple[VoicePayment, ...] = ()
    log: tuple[LoggedAnnouncement, ...] = ()
    said: tuple[SaidAloud, ...] = ()
    hits: tuple[VoiceHit, ...] = ()
