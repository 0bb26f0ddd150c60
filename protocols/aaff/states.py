"""The state tables of AA FF, as data: a dispenser's end, its upload of finished sales, the master's end.

The connections walk these tables and nothing else. What is in no row is a bug of ours (`HarnessProtocolError`).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from protocols.steps import step, step_table

__all__ = [
    "MasterLinkEvent",
    "MasterLinkState",
    "PumpLinkEvent",
    "PumpLinkState",
    "UploadEvent",
    "UploadState",
    "next_master_link",
    "next_pump_link",
    "next_upload",
    "state_table",
]


class PumpLinkState(StrEnum):
    """A dispenser's end, per gun: it speaks only when spoken to."""

    LISTENING = "listening"
    ASKED = "asked"
    """A frame for this gun came; one answer may go out."""


class PumpLinkEvent(StrEnum):
    """What moves a dispenser's end."""

    REQUEST = "request"
    REPLY = "reply"
    SILENCE = "no reply"
    RESTART = "restart"


class UploadState(StrEnum):
    """What waits for the master, per gun."""

    EMPTY = "empty"
    WAITING = "waiting"
    """The oldest record has not been sent yet."""
    OFFERED = "offered"
    """The oldest record was sent and is not acknowledged: each poll fetches it again."""


class UploadEvent(StrEnum):
    """What moves the upload."""

    RECORD = "record"
    """A sale ended; its record goes behind the others."""
    SEND = "send"
    ACK = "ack, none left"
    ACK_MORE = "ack, more wait"
    ACK_OTHER = "ack of another UID"
    SKIP = "skip, none left"
    SKIP_MORE = "skip, more wait"
    RESTART = "restart"
    """Power was lost: records and pointer are in flash, the count of sends is not."""
    RESTART_EMPTY = "restart, none left"


class MasterLinkState(StrEnum):
    """The master's end: one exchange at a time on a line."""

    IDLE = "idle"
    WAITING = "waiting"
    """A frame is out; one answer is expected."""


class MasterLinkEvent(StrEnum):
    """What moves the master's end."""

    SEND = "send"
    REPLY = "reply"
    BAD = "damaged reply"
    TIMEOUT = "time-out"
    RESTART = "restart"


_P, _Q = PumpLinkState, PumpLinkEvent
_PUMP: Final[Mapping[tuple[PumpLinkState, PumpLinkEvent], PumpLinkState]] = MappingProxyType(
    {
        (_P.LISTENING, _Q.REQUEST): _P.ASKED,
        (_P.LISTENING, _Q.RESTART): _P.LISTENING,
        (_P.ASKED, _Q.REQUEST): _P.ASKED,
        (_P.ASKED, _Q.REPLY): _P.LISTENING,
        (_P.ASKED, _Q.SILENCE): _P.LISTENING,
        (_P.ASKED, _Q.RESTART): _P.LISTENING,
    }
)

_U, _V = UploadState, UploadEvent
_UPLOAD: Final[Mapping[tuple[UploadState, UploadEvent], UploadState]] = MappingProxyType(
    {
        (_U.EMPTY, _V.RECORD): _U.WAITING,
        (_U.EMPTY, _V.ACK_OTHER): _U.EMPTY,
        (_U.EMPTY, _V.RESTART_EMPTY): _U.EMPTY,
        (_U.WAITING, _V.RECORD): _U.WAITING,
        (_U.WAITING, _V.SEND): _U.OFFERED,
        # An acknowledgement counts by its UID alone, even before the first sending (after a restart, say).
        (_U.WAITING, _V.ACK): _U.EMPTY,
        (_U.WAITING, _V.ACK_MORE): _U.WAITING,
        (_U.WAITING, _V.ACK_OTHER): _U.WAITING,
        (_U.WAITING, _V.SKIP): _U.EMPTY,  # flash is full, and the oldest is written over
        (_U.WAITING, _V.SKIP_MORE): _U.WAITING,
        (_U.WAITING, _V.RESTART): _U.WAITING,
        (_U.OFFERED, _V.RECORD): _U.OFFERED,
        (_U.OFFERED, _V.SEND): _U.OFFERED,
        (_U.OFFERED, _V.ACK): _U.EMPTY,
        (_U.OFFERED, _V.ACK_MORE): _U.WAITING,
        (_U.OFFERED, _V.ACK_OTHER): _U.OFFERED,
        (_U.OFFERED, _V.SKIP): _U.EMPTY,
        (_U.OFFERED, _V.SKIP_MORE): _U.WAITING,
        (_U.OFFERED, _V.RESTART): _U.WAITING,
    }
)

_M, _N = MasterLinkState, MasterLinkEvent
_MASTER: Final[Mapping[tuple[MasterLinkState, MasterLinkEvent], MasterLinkState]] = MappingProxyType(
    {
        (_M.IDLE, _N.SEND): _M.WAITING,
        (_M.IDLE, _N.RESTART): _M.IDLE,
        (_M.WAITING, _N.REPLY): _M.IDLE,
        (_M.WAITING, _N.BAD): _M.IDLE,
        (_M.WAITING, _N.TIMEOUT): _M.IDLE,
        (_M.WAITING, _N.RESTART): _M.IDLE,
    }
)


def next_pump_link(state: PumpLinkState, event: PumpLinkEvent) -> PumpLinkState:
    """One step of a dispenser's end. Raises HarnessProtocolError when the table has no such step."""
    return step(_PUMP, "an AA FF dispenser", state, event)


def next_upload(state: UploadState, event: UploadEvent) -> UploadState:
    """One step of the upload. Raises HarnessProtocolError when the table has no such step."""
    return step(_UPLOAD, "an AA FF upload", state, event)


def next_master_link(state: MasterLinkState, event: MasterLinkEvent) -> MasterLinkState:
    """One step of the master's end. Raises HarnessProtocolError when the table has no such step."""
    return step(_MASTER, "an AA FF master", state, event)


def state_table() -> dict[str, Any]:
    """All tables as JSON-able data: per table its states, events and transitions, in a fixed order."""
    return {
        "pump_link": step_table(_P.LISTENING, PumpLinkState, PumpLinkEvent, _PUMP),
        "upload": step_table(_U.EMPTY, UploadState, UploadEvent, _UPLOAD),
        "master_link": step_table(_M.IDLE, MasterLinkState, MasterLinkEvent, _MASTER),
    }
