"""State tables as data: (state, event) -> state. A connection walks its table; the same table is published."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeVar

from protocols.sansio import HarnessProtocolError

__all__ = ["step", "step_table"]

_State = TypeVar("_State", bound=StrEnum)
_Event = TypeVar("_Event", bound=StrEnum)


def step(table: Mapping[tuple[_State, _Event], _State], what: str, state: _State, event: _Event) -> _State:
    """The state that follows.

    Raises:
        HarnessProtocolError: the table has no such step, a bug of ours; ``what`` names the walker, with its article.
    """
    following = table.get((state, event))
    if following is None:
        raise HarnessProtocolError(f"{what} in state {state.value!r} has no {event.value!r}")
    return following


def step_table(
    initial: _State,
    states: type[_State],
    events: type[_Event],
    table: Mapping[tuple[_State, _Event], _State],
) -> dict[str, Any]:
    """The table as JSON-able data: where it begins, its states, events and transitions, in their order."""
    return {
        "initial": [initial.value],
        "states": [state.value for state in states],
        "events": [event.value for event in events],
        "transitions": [
            {"from": start.value, "event": event.value, "to": end.value}
            for (start, event), end in table.items()
        ],
    }
