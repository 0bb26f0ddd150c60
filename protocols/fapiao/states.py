"""The life of one invoice at the platform, as a table: state x event -> state."""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import Final

from protocols.sansio import LocalProtocolError

__all__ = ["FAPIAO_MOVES", "FapiaoEvent", "FapiaoState", "move_fapiao"]


class FapiaoState(StrEnum):
    """``status`` in the query reply and in events (WXDOC 4016760559)."""

    ISSUE_ACCEPTED = "ISSUE_ACCEPTED"
    ISSUED = "ISSUED"
    ISSUE_FAILED = "ISSUE_FAILED"
    REVERSE_ACCEPTED = "REVERSE_ACCEPTED"
    REVERSED = "REVERSED"
    REVERSE_FAILED = "REVERSE_FAILED"


class FapiaoEvent(StrEnum):
    """What happens to an invoice."""

    ISSUE = "issue"
    REFUSE = "refuse"
    REVERSE = "reverse"
    RED_ISSUED = "red-issued"
    RED_REFUSED = "red-refused"


FAPIAO_MOVES: Final = MappingProxyType(
    {
        (FapiaoState.ISSUE_ACCEPTED, FapiaoEvent.ISSUE): FapiaoState.ISSUED,
        (FapiaoState.ISSUE_ACCEPTED, FapiaoEvent.REFUSE): FapiaoState.ISSUE_FAILED,
        (FapiaoState.ISSUED, FapiaoEvent.REVERSE): FapiaoState.REVERSE_ACCEPTED,
        (FapiaoState.REVERSE_ACCEPTED, FapiaoEvent.RED_ISSUED): FapiaoState.REVERSED,
        (FapiaoState.REVERSE_ACCEPTED, FapiaoEvent.RED_REFUSED): FapiaoState.REVERSE_FAILED,
        (FapiaoState.REVERSE_FAILED, FapiaoEvent.REVERSE): FapiaoState.REVERSE_ACCEPTED,
    }
)
"""All moves there are. ISSUE_FAILED is final: a new try has a new ``fapiao_id``. A late event moves nothing back."""


def move_fapiao(state: FapiaoState, event: FapiaoEvent) -> FapiaoState:
    """The next state.

    Raises:
        LocalProtocolError: the table has no such move.
    """
    moved = FAPIAO_MOVES.get((state, event))
    if moved is None:
        raise LocalProtocolError(f"an invoice in {state} does not take {event!s}")
    return moved
