"""The state table of a fuelling point: data, not code.

States carry the names and numbers of the IFSF dispenser application (Standard Forecourt Protocol part III-01, as
implemented by public forecourt controllers). `STATE_TABLE` is the whole behaviour: for a state and an input the
first rule whose guard holds gives the next state; an input without a matching rule is refused and changes
nothing. Diagrams and conformance automata are made from `state_table()`, the same table as JSON-able data.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from protocols.ifsf import FpState

__all__ = ["COMMANDS", "STATE_TABLE", "FpInput", "FpState", "Guard", "Rule", "state_table"]


class FpInput(Enum):
    """What can happen to a fuelling point: commands of a controller, the customer's hand, its own works."""

    OPEN = "open"
    CLOSE = "close"
    AUTHORISE = "authorise"
    TERMINATE = "terminate"
    SUSPEND = "suspend"
    RESUME = "resume"
    SET_PRESET = "set-preset"
    SET_PRICE = "set-price"
    RESET = "reset"

    LIFT = "lift"
    HANG_UP = "hang-up"

    START = "start"
    FIRST_PULSE = "first-pulse"
    PRESET_REACHED = "preset-reached"
    VALVE_CLOSED = "valve-closed"
    NO_FLOW_TIMEOUT = "no-flow-timeout"
    AUTHORISATION_EXPIRED = "authorisation-expired"
    FAIL = "fail"
    RECOVER = "recover"


COMMANDS: Final = (
    FpInput.OPEN,
    FpInput.CLOSE,
    FpInput.AUTHORISE,
    FpInput.TERMINATE,
    FpInput.SUSPEND,
    FpInput.RESUME,
    FpInput.SET_PRESET,
    FpInput.SET_PRICE,
    FpInput.RESET,
)
"""The inputs that a controller gives; the others come from the hand or from inside."""


class Guard(Enum):
    """Conditions that a rule may ask for; the fuelling point evaluates them."""

    ALWAYS = "always"
    NOZZLE_OUT = "nozzle out"
    OUT_NOZZLE_ALLOWED = "the nozzle that is out is among the allowed ones"
    NO_DISALLOWED_NOZZLE_OUT = "no nozzle is out, or the one that is out is allowed"
    FLOWING = "fuel is flowing"
    CLOSE_PENDING = "a close is waiting for the end of the sale"
    SUSPENDING = "the valve closes for a suspend"
    LATCHED = "an emergency stop or a fault of the memory waits for its deliberate reset"
    MAY_CONTINUE = "a short outage interrupted a delivery and its nozzle is still out"
    PRICE_WAITS = "the make keeps a price that comes now for the next delivery"


@dataclass(frozen=True, slots=True)
class Rule:
    """One row: in ``state``, on ``trigger``, if ``guard`` holds, go to ``target``."""

    state: FpState
    trigger: FpInput
    target: FpState
    guard: Guard = Guard.ALWAYS


_S = FpState
_I = FpInput
_G = Guard

_BUSY: Final = (_S.STARTED, _S.SUSPENDED_STARTED, _S.FUELLING, _S.SUSPENDED_FUELLING)


def _ends(state: FpState, trigger: FpInput) -> tuple[Rule, Rule]:
    """The sale ends here: to CLOSED when a close waited for it, else to IDLE."""
    return (Rule(state, trigger, _S.CLOSED, _G.CLOSE_PENDING), Rule(state, trigger, _S.IDLE))


def _rows() -> tuple[Rule, ...]:
    rows: list[Rule] = [
        Rule(_S.INOPERATIVE, _I.LIFT, _S.INOPERATIVE),
        Rule(_S.INOPERATIVE, _I.HANG_UP, _S.INOPERATIVE),
        Rule(_S.INOPERATIVE, _I.SET_PRICE, _S.INOPERATIVE),
        Rule(_S.INOPERATIVE, _I.RECOVER, _S.INOPERATIVE, _G.LATCHED),
        Rule(_S.INOPERATIVE, _I.RECOVER, _S.FUELLING, _G.MAY_CONTINUE),
        Rule(_S.INOPERATIVE, _I.RECOVER, _S.CLOSED, _G.CLOSE_PENDING),
        Rule(_S.INOPERATIVE, _I.RECOVER, _S.CALLING, _G.NOZZLE_OUT),
        Rule(_S.INOPERATIVE, _I.RECOVER, _S.IDLE),
        Rule(_S.CLOSED, _I.OPEN, _S.CALLING, _G.NOZZLE_OUT),
        Rule(_S.CLOSED, _I.OPEN, _S.IDLE),
        Rule(_S.CLOSED, _I.LIFT, _S.CLOSED),
        Rule(_S.CLOSED, _I.HANG_UP, _S.CLOSED),
        Rule(_S.CLOSED, _I.SET_PRICE, _S.CLOSED),
        Rule(_S.CLOSED, _I.RESET, _S.CLOSED),
        # IDLE with a nozzle out is the rest of an ended sale: it needs a new authorisation, never the old one.
        Rule(_S.IDLE, _I.CLOSE, _S.CLOSED),
        Rule(_S.IDLE, _I.AUTHORISE, _S.AUTHORISED, _G.NO_DISALLOWED_NOZZLE_OUT),
        Rule(_S.IDLE, _I.SET_PRICE, _S.IDLE),
        Rule(_S.IDLE, _I.RESET, _S.IDLE),
        Rule(_S.IDLE, _I.LIFT, _S.CALLING),
        Rule(_S.IDLE, _I.HANG_UP, _S.IDLE),
        Rule(_S.CALLING, _I.CLOSE, _S.CLOSED),
        Rule(_S.CALLING, _I.AUTHORISE, _S.AUTHORISED, _G.OUT_NOZZLE_ALLOWED),
        Rule(_S.CALLING, _I.TERMINATE, _S.IDLE),
        Rule(_S.CALLING, _I.SET_PRICE, _S.CALLING),
        Rule(_S.CALLING, _I.RESET, _S.CALLING),
        Rule(_S.CALLING, _I.HANG_UP, _S.IDLE),
        Rule(_S.AUTHORISED, _I.CLOSE, _S.CLOSED),
        Rule(_S.AUTHORISED, _I.TERMINATE, _S.IDLE),
        Rule(_S.AUTHORISED, _I.SET_PRESET, _S.AUTHORISED),
        Rule(_S.AUTHORISED, _I.LIFT, _S.STARTED, _G.OUT_NOZZLE_ALLOWED),
        Rule(_S.AUTHORISED, _I.LIFT, _S.AUTHORISED),
        Rule(_S.AUTHORISED, _I.START, _S.STARTED, _G.OUT_NOZZLE_ALLOWED),
        Rule(_S.AUTHORISED, _I.HANG_UP, _S.IDLE),
        Rule(_S.AUTHORISED, _I.AUTHORISATION_EXPIRED, _S.CALLING, _G.NOZZLE_OUT),
        Rule(_S.AUTHORISED, _I.AUTHORISATION_EXPIRED, _S.IDLE),
        Rule(_S.STARTED, _I.SUSPEND, _S.STARTED, _G.FLOWING),
        Rule(_S.STARTED, _I.SUSPEND, _S.SUSPENDED_STARTED),
        Rule(_S.STARTED, _I.FIRST_PULSE, _S.FUELLING),
        Rule(_S.STARTED, _I.VALVE_CLOSED, _S.SUSPENDED_STARTED, _G.SUSPENDING),
        Rule(_S.SUSPENDED_STARTED, _I.RESUME, _S.STARTED),
        Rule(_S.FUELLING, _I.SUSPEND, _S.FUELLING, _G.FLOWING),
        Rule(_S.FUELLING, _I.SUSPEND, _S.SUSPENDED_FUELLING),
        Rule(_S.FUELLING, _I.VALVE_CLOSED, _S.SUSPENDED_FUELLING, _G.SUSPENDING),
        Rule(_S.SUSPENDED_FUELLING, _I.RESUME, _S.FUELLING),
    ]
    # One delivery, one price (OIML R 117-1): a make either refuses a price here or keeps it for the next one.
    rows.extend(Rule(state, _I.SET_PRICE, state, _G.PRICE_WAITS) for state in (_S.AUTHORISED, *_BUSY))
    for state in _BUSY:
        # A close never truncates a sale: it waits (close_pending) for the end of it.
        rows.append(Rule(state, _I.CLOSE, state))
        rows.append(Rule(state, _I.SET_PRESET, state))
        rows.extend(_ends(state, _I.HANG_UP))
        rows.extend(_ends(state, _I.NO_FLOW_TIMEOUT))
        if state in {_S.STARTED, _S.FUELLING}:
            # With fuel flowing the valve needs its closing time before the sale can end.
            rows.append(Rule(state, _I.TERMINATE, state, _G.FLOWING))
            rows.extend(_ends(state, _I.VALVE_CLOSED))
        rows.extend(_ends(state, _I.TERMINATE))
    for state in (_S.FUELLING, _S.SUSPENDED_FUELLING):
        # Not before the first pulse: no preset is smaller than one.
        rows.extend(_ends(state, _I.PRESET_REACHED))
    rows.extend(Rule(state, _I.FAIL, _S.INOPERATIVE) for state in _S if state is not _S.INOPERATIVE)
    return tuple(rows)


def _index(rows: tuple[Rule, ...]) -> dict[tuple[FpState, FpInput], tuple[Rule, ...]]:
    table: dict[tuple[FpState, FpInput], tuple[Rule, ...]] = {}
    for row in rows:
        key = (row.state, row.trigger)
        table[key] = (*table.get(key, ()), row)
    return table


STATE_TABLE: Final = _index(_rows())
"""(state, input) -> rules in the order in which they are tried."""


def state_table() -> dict[str, Any]:
    """Return the state table as JSON-able data.

    Keys: ``states`` (name -> IFSF number), ``commands`` (names of the controller's inputs), ``inputs`` (all names),
    ``rules`` (list of ``{state, input, guard, next}`` in the order in which they are tried). A pair that no rule
    names is refused without effect.
    """
    return {
        "states": {state.name: int(state) for state in FpState},
        "commands": [command.value for command in COMMANDS],
        "inputs": [one.value for one in FpInput],
        "rules": [
            {
                "state": rule.state.name,
                "input": rule.trigger.value,
                "guard": rule.guard.value,
                "next": rule.target.name,
            }
            for rules in STATE_TABLE.values()
            for rule in rules
        ],
    }
