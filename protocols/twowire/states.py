"""The status of a pump as data: which change each happening may cause.

Source: the four public drivers that show the cycle 6, 7, 8, 9, A or B, and back to 6 when the transaction was read, and
what ``3p`` does in 7, 8 and 9 (`RULES`: ``twowire-cycle``, ``twowire-stop``).
"""

from __future__ import annotations

from enum import Enum
from types import MappingProxyType
from typing import Any, Final

from protocols.twowire.wire import Status

__all__ = ["STATUS_TABLE", "StatusEvent", "state_table", "status_changes", "statuses_after"]


class StatusEvent(Enum):
    """What can happen to a pump, as far as its status shows it."""

    LIFT = "nozzle lifted"
    HANG_UP = "nozzle hung up"
    AUTHORISE = "1p"
    STOP = "3p or FC"
    FLOW = "first fuel"
    STOPPED = "valve closed after a stop"
    OVER = "authorisation over by itself"
    READ = "4p"
    POWER = "power is back"


_S = Status
_E = StatusEvent
_ENDS: Final = (_S.END_PEOT, _S.END_FEOT)


def _table() -> dict[tuple[Status, StatusEvent], tuple[Status, ...]]:
    rows: dict[tuple[Status, StatusEvent], tuple[Status, ...]] = {
        (_S.IDLE, _E.LIFT): (_S.CALL,),
        (_S.IDLE, _E.AUTHORISE): (_S.AUTHORISED,),
        (_S.IDLE, _E.POWER): (_S.CALL,),
        (_S.CALL, _E.HANG_UP): (_S.IDLE,),
        (_S.CALL, _E.AUTHORISE): (_S.AUTHORISED,),
        (_S.AUTHORISED, _E.FLOW): (_S.BUSY,),
        (_S.AUTHORISED, _E.HANG_UP): (_S.IDLE,),
        (_S.AUTHORISED, _E.STOP): (_S.IDLE,),
        (_S.AUTHORISED, _E.STOPPED): (_S.IDLE,),
        (_S.AUTHORISED, _E.OVER): (_S.IDLE, _S.CALL),
        (_S.AUTHORISED, _E.POWER): (_S.IDLE, _S.CALL),
        (_S.BUSY, _E.HANG_UP): _ENDS,
        (_S.BUSY, _E.STOP): (_S.STOPPED,),
        (_S.BUSY, _E.STOPPED): (_S.STOPPED,),
        (_S.BUSY, _E.POWER): _ENDS,
        (_S.STOPPED, _E.HANG_UP): _ENDS,
        (_S.STOPPED, _E.POWER): _ENDS,
    }
    for end in _ENDS:
        rows[end, _E.READ] = (_S.IDLE, _S.CALL)
    return rows


STATUS_TABLE: Final = MappingProxyType(_table())
"""(status, event) -> the statuses that may follow. A pair that is not there changes nothing. After `StatusEvent.READ`
the pump calls at once when its nozzle was lifted again meanwhile. A preset that is reached, or a pause, leaves 9."""


def statuses_after(status: Status, event: StatusEvent) -> tuple[Status, ...]:
    """The statuses that may follow; the same one when the table names none."""
    return STATUS_TABLE.get((status, event), (status,))


def status_changes() -> frozenset[tuple[Status, Status]]:
    """All changes that the table allows, as (before, after)."""
    return frozenset((status, after) for (status, _), afters in STATUS_TABLE.items() for after in afters)


def state_table() -> dict[str, Any]:
    """The table as JSON-able data: ``states`` (name -> nibble), ``events``, ``rules`` of ``{state, event, next}``."""
    return {
        "states": {status.name: int(status) for status in Status},
        "events": [event.value for event in StatusEvent],
        "rules": [
            {"state": status.name, "event": event.value, "next": [one.name for one in afters]}
            for (status, event), afters in STATUS_TABLE.items()
        ],
    }
