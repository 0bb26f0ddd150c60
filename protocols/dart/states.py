"""The three state tables of DART, as data: a pump's status, the pump's end of a line, the controller's end.

The connections walk these tables and nothing else; diagrams and conformance automata are made from `state_table`.
What is in no row is not allowed. In the link tables that is a bug of ours (`HarnessProtocolError`); for a pump's status
it means "acknowledged on the line, no effect" (`next_status` returns None).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from protocols.dart.transactions import CommandCode, PumpStatus
from protocols.steps import step, step_table

__all__ = [
    "ControllerLinkEvent",
    "ControllerLinkState",
    "PumpLinkEvent",
    "PumpLinkState",
    "StatusEvent",
    "command_allowed",
    "next_controller_link",
    "next_pump_link",
    "next_status",
    "state_table",
    "status_change_sources",
]


class StatusEvent(StrEnum):
    """What can move a pump's status."""

    PRICES = "prices"
    """CD5 that covers all nozzles."""
    RESET = "reset"
    AUTHORISE = "authorise"
    STOP = "stop"
    SWITCH_OFF = "switch off"
    FLOW = "flow"
    """The first volume step."""
    NOZZLE_IN = "nozzle in"
    PRESET_REACHED = "preset reached"
    ERROR = "error"
    """Pulser or hose alarm and the like."""


_S = PumpStatus
_E = StatusEvent

# (from, event): (to, number of independent public sources). The sources that show the cycle 1-2-4-5 are
# alejomonroy/Full-Colombia-Wayne, dimoskar/ASFuelControlV1, fangym0335/first and the captures of
# moduslightstech-lgtm/intelipump; MAX_REACHED was captured by ASFuelControlV1.
_STATUS: Final[Mapping[tuple[PumpStatus, StatusEvent], tuple[PumpStatus, int]]] = MappingProxyType(
    {
        (_S.NOT_PROGRAMMED, _E.PRICES): (_S.FILLING_COMPLETED, 1),
        (_S.RESET, _E.AUTHORISE): (_S.AUTHORISED, 4),
        (_S.RESET, _E.STOP): (_S.FILLING_COMPLETED, 4),
        (_S.RESET, _E.ERROR): (_S.FILLING_COMPLETED, 4),
        (_S.AUTHORISED, _E.FLOW): (_S.FILLING, 4),
        (_S.AUTHORISED, _E.STOP): (_S.FILLING_COMPLETED, 4),
        (_S.AUTHORISED, _E.ERROR): (_S.FILLING_COMPLETED, 4),
        (_S.FILLING, _E.NOZZLE_IN): (_S.FILLING_COMPLETED, 4),
        (_S.FILLING, _E.STOP): (_S.FILLING_COMPLETED, 4),
        (_S.FILLING, _E.ERROR): (_S.FILLING_COMPLETED, 4),
        (_S.FILLING, _E.PRESET_REACHED): (_S.MAX_REACHED, 1),
        (_S.FILLING_COMPLETED, _E.RESET): (_S.RESET, 4),
        (_S.MAX_REACHED, _E.RESET): (_S.RESET, 1),
        (_S.MAX_REACHED, _E.STOP): (_S.FILLING_COMPLETED, 1),
        (_S.MAX_REACHED, _E.NOZZLE_IN): (_S.FILLING_COMPLETED, 1),
        **{
            (status, _E.SWITCH_OFF): (_S.SWITCHED_OFF, 1)
            for status in PumpStatus
            if status is not _S.SWITCHED_OFF
        },
        (_S.SWITCHED_OFF, _E.RESET): (_S.RESET, 1),
        (_S.SWITCHED_OFF, _E.STOP): (_S.FILLING_COMPLETED, 1),
    }
)

_ANY_STATUS: Final = frozenset(PumpStatus)
_COMMANDS: Final[Mapping[CommandCode, frozenset[PumpStatus]]] = MappingProxyType(
    {
        CommandCode.RETURN_STATUS: _ANY_STATUS,
        CommandCode.RETURN_IDENTITY: _ANY_STATUS,
        CommandCode.RETURN_FILLING: frozenset(
            {_S.RESET, _S.AUTHORISED, _S.FILLING, _S.FILLING_COMPLETED, _S.MAX_REACHED}
        ),
        CommandCode.RESET: frozenset({_S.FILLING_COMPLETED, _S.MAX_REACHED, _S.SWITCHED_OFF}),
        CommandCode.AUTHORISE: frozenset({_S.RESET}),
        CommandCode.STOP: frozenset({_S.RESET, _S.AUTHORISED, _S.FILLING, _S.MAX_REACHED, _S.SWITCHED_OFF}),
        CommandCode.SWITCH_OFF: _ANY_STATUS,
    }
)


def next_status(status: PumpStatus, event: StatusEvent) -> PumpStatus | None:
    """Where the event leads a pump, or None: no change. An illegal command is acknowledged and has no effect."""
    row = _STATUS.get((status, event))
    return None if row is None else row[0]


def status_change_sources(old: PumpStatus, new: PumpStatus) -> int:
    """How many independent sources show this change in one step; 0 for a change that no table has."""
    return max(
        (count for (start, _), (end, count) in _STATUS.items() if (start, end) == (old, new)), default=0
    )


def command_allowed(status: PumpStatus, code: CommandCode) -> bool:
    """Whether CD1 with this code has an effect or an answer in this status."""
    return status in _COMMANDS[code]


class PumpLinkState(StrEnum):
    """The pump's end, per address."""

    EMPTY = "empty"
    """Nothing to say; a poll is answered EOT."""
    QUEUED = "queued"
    """Transactions wait for the next poll."""
    UNACKNOWLEDGED = "unacknowledged"
    """A block is out; each poll fetches it again until it is acknowledged."""


class PumpLinkEvent(StrEnum):
    """What moves the pump's end."""

    POLL = "poll"
    DATA = "data"
    QUEUE = "queue"
    ACK = "ack"
    """Of the block that is out, nothing queued behind it."""
    ACK_MORE = "ack, more queued"
    NAK = "nak"
    DROP = "drop what is queued"
    RESTART = "restart"


_P = PumpLinkState
_Q = PumpLinkEvent
_PUMP_LINK: Final[Mapping[tuple[PumpLinkState, PumpLinkEvent], PumpLinkState]] = MappingProxyType(
    {
        (_P.EMPTY, _Q.POLL): _P.EMPTY,
        (_P.EMPTY, _Q.DATA): _P.EMPTY,
        (_P.EMPTY, _Q.QUEUE): _P.QUEUED,
        (_P.EMPTY, _Q.DROP): _P.EMPTY,
        (_P.EMPTY, _Q.RESTART): _P.EMPTY,
        (_P.QUEUED, _Q.POLL): _P.UNACKNOWLEDGED,
        (_P.QUEUED, _Q.DATA): _P.QUEUED,
        (_P.QUEUED, _Q.QUEUE): _P.QUEUED,
        (_P.QUEUED, _Q.DROP): _P.EMPTY,
        (_P.QUEUED, _Q.RESTART): _P.EMPTY,
        (_P.UNACKNOWLEDGED, _Q.POLL): _P.UNACKNOWLEDGED,
        (_P.UNACKNOWLEDGED, _Q.DATA): _P.UNACKNOWLEDGED,
        (_P.UNACKNOWLEDGED, _Q.QUEUE): _P.UNACKNOWLEDGED,
        (_P.UNACKNOWLEDGED, _Q.ACK): _P.EMPTY,
        (_P.UNACKNOWLEDGED, _Q.ACK_MORE): _P.QUEUED,
        (_P.UNACKNOWLEDGED, _Q.NAK): _P.UNACKNOWLEDGED,
        (_P.UNACKNOWLEDGED, _Q.DROP): _P.UNACKNOWLEDGED,
        (_P.UNACKNOWLEDGED, _Q.RESTART): _P.EMPTY,
    }
)


class ControllerLinkState(StrEnum):
    """The controller's end: one exchange at a time on a line."""

    IDLE = "idle"
    POLLED = "polled"
    """A poll is out."""
    HELD = "held"
    """Data came; its owner has not said yet whether to acknowledge it."""
    SENT = "sent"
    """A data frame is out."""
    SENT_GLUED = "sent, poll glued on"


class ControllerLinkEvent(StrEnum):
    """What moves the controller's end."""

    POLL = "poll"
    SEND = "send"
    SEND_GLUED = "send with a poll behind it"
    EOT = "eot"
    DATA = "data, acknowledged"
    DATA_HELD = "data, held"
    DATA_CHAINED = "data, acknowledged with a poll"
    BAD = "bad frame"
    """Instead of an answer to a poll; a NAK goes out."""
    ACKNOWLEDGE = "acknowledge"
    REFUSE = "refuse"
    ACK = "ack"
    RETRY = "nak or time-out, sent again"
    UNANSWERED = "nak or time-out, exchange over"
    TIMEOUT = "time-out of a poll"


_C = ControllerLinkState
_D = ControllerLinkEvent
_CONTROLLER_LINK: Final[Mapping[tuple[ControllerLinkState, ControllerLinkEvent], ControllerLinkState]] = (
    MappingProxyType(
        {
            (_C.IDLE, _D.POLL): _C.POLLED,
            (_C.IDLE, _D.SEND): _C.SENT,
            (_C.IDLE, _D.SEND_GLUED): _C.SENT_GLUED,
            (_C.POLLED, _D.EOT): _C.IDLE,
            (_C.POLLED, _D.DATA): _C.IDLE,
            (_C.POLLED, _D.DATA_HELD): _C.HELD,
            (_C.POLLED, _D.DATA_CHAINED): _C.POLLED,
            (_C.POLLED, _D.BAD): _C.IDLE,
            (_C.POLLED, _D.TIMEOUT): _C.IDLE,
            (_C.HELD, _D.ACKNOWLEDGE): _C.IDLE,
            (_C.HELD, _D.REFUSE): _C.IDLE,
            (_C.SENT, _D.ACK): _C.IDLE,
            (_C.SENT, _D.RETRY): _C.SENT,
            (_C.SENT, _D.UNANSWERED): _C.IDLE,
            (_C.SENT_GLUED, _D.ACK): _C.POLLED,
            (_C.SENT_GLUED, _D.RETRY): _C.SENT_GLUED,
            (_C.SENT_GLUED, _D.UNANSWERED): _C.IDLE,
        }
    )
)


def next_pump_link(state: PumpLinkState, event: PumpLinkEvent) -> PumpLinkState:
    """One step of the pump's end.

    Raises:
        HarnessProtocolError: the table has no such step.
    """
    return step(_PUMP_LINK, "a DART link", state, event)


def next_controller_link(state: ControllerLinkState, event: ControllerLinkEvent) -> ControllerLinkState:
    """One step of the controller's end.

    Raises:
        HarnessProtocolError: the table has no such step.
    """
    return step(_CONTROLLER_LINK, "a DART link", state, event)


def state_table() -> dict[str, Any]:
    """All tables as JSON-able data: per table its states, events and transitions, in a fixed order."""
    return {
        "pump_status": {
            "initial": [_S.NOT_PROGRAMMED.name, _S.FILLING_COMPLETED.name],
            "states": {status.name: int(status) for status in PumpStatus},
            "events": [event.value for event in StatusEvent],
            "transitions": [
                {"from": start.name, "event": event.value, "to": end.name, "sources": count}
                for (start, event), (end, count) in _STATUS.items()
            ],
            "commands": {
                code.name: [status.name for status in PumpStatus if status in allowed]
                for code, allowed in _COMMANDS.items()
            },
        },
        "pump_link": step_table(_P.EMPTY, PumpLinkState, PumpLinkEvent, _PUMP_LINK),
        "controller_link": step_table(_C.IDLE, ControllerLinkState, ControllerLinkEvent, _CONTROLLER_LINK),
    }
