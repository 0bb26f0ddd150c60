"""In which states of a fuelling point or a transaction a command is taken: data, not code.

States 1..9 and the table as fangym0335/first implements it and zhang98722/ifsf-communication and tagnpeng/ifsf rely on it. The
table of IFSF Part 3-01 itself was not seen; where the target of an unlock lies is open (`UnlockTarget`).
"""

from __future__ import annotations

from enum import IntEnum
from types import MappingProxyType
from typing import Any, Final, Literal

from .codes import ErrorCode, TransactionState

__all__ = [
    "COMMAND_NAMES",
    "COMMAND_STATES",
    "CONFIGURATION_STATES",
    "READY_STATES",
    "TRANSACTION_COMMANDS",
    "FpState",
    "UnlockTarget",
    "command_table",
    "error_for",
]

UnlockTarget = Literal["payable", "cleared"]
"""What an unlocked transaction becomes: the sources differ, so it is a switch. The general description says payable."""


class FpState(IntEnum):
    """FP_State: the state of a fuelling point. Simulated dispensers of every protocol know the same nine."""

    INOPERATIVE = 1
    CLOSED = 2
    IDLE = 3
    CALLING = 4
    AUTHORISED = 5
    STARTED = 6
    SUSPENDED_STARTED = 7
    FUELLING = 8
    SUSPENDED_FUELLING = 9


_S = FpState
CONFIGURATION_STATES: Final = frozenset({_S.INOPERATIVE, _S.CLOSED})
READY_STATES: Final = frozenset({_S.IDLE, _S.CALLING, _S.AUTHORISED})

OPEN, CLOSE, RELEASE, TERMINATE, SUSPEND, RESUME, CLEAR_DISPLAY = range(60, 67)
CLEAR, LOCK, UNLOCK = range(30, 33)

COMMAND_NAMES: Final = MappingProxyType(
    {
        OPEN: "Open",
        CLOSE: "Close",
        RELEASE: "Release",
        TERMINATE: "Terminate",
        SUSPEND: "Suspend",
        RESUME: "Resume",
        CLEAR_DISPLAY: "Clear display",
    }
)

COMMAND_STATES: Final = MappingProxyType(
    {
        OPEN: frozenset({_S.CLOSED}),
        CLOSE: frozenset(_S) - {_S.INOPERATIVE, _S.CLOSED},
        RELEASE: frozenset({_S.IDLE, _S.CALLING}),
        TERMINATE: frozenset(_S) - {_S.INOPERATIVE, _S.CLOSED, _S.IDLE},
        SUSPEND: frozenset({_S.STARTED, _S.FUELLING}),
        RESUME: frozenset({_S.SUSPENDED_STARTED, _S.SUSPENDED_FUELLING}),
        CLEAR_DISPLAY: frozenset({_S.CLOSED, _S.IDLE, _S.CALLING}),
    }
)
"""Command -> states in which it is taken; Clear display by this project's own reading."""

TRANSACTION_COMMANDS: Final = MappingProxyType(
    {
        CLEAR: frozenset({TransactionState.PAYABLE, TransactionState.LOCKED}),
        LOCK: frozenset({TransactionState.PAYABLE}),
        UNLOCK: frozenset({TransactionState.LOCKED}),
    }
)
"""Command on a transaction -> states in which it is taken; a locked one only from the device that locked it."""


def error_for(command: int, state: FpState) -> ErrorCode:
    """The error message that follows a command refused in this state (fangym0335/first)."""
    if state is FpState.INOPERATIVE:
        return ErrorCode.INOPERATIVE
    if command == OPEN:
        return ErrorCode.ALREADY_OPEN
    if state is FpState.CLOSED:
        return ErrorCode.CLOSED
    if command == RELEASE and state > FpState.AUTHORISED:
        return ErrorCode.TRANSACTION_STARTED
    return ErrorCode.NO_TRANSACTION


def command_table() -> dict[str, Any]:
    """The tables as JSON-able data."""
    return {
        "states": {state.name: int(state) for state in FpState},
        "commands": {
            COMMAND_NAMES[command]: sorted(state.name for state in states)
            for command, states in COMMAND_STATES.items()
        },
        "transactions": {
            {CLEAR: "clear", LOCK: "lock", UNLOCK: "unlock"}[command]: sorted(state.name for state in states)
            for command, states in TRANSACTION_COMMANDS.items()
        },
    }
