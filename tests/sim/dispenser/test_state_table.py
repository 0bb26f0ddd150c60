from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from sim.dispenser import COMMANDS, STATE_TABLE, FpInput, FpState, FuellingPoint, Guard, state_table

S = 1_000_000


def _idle(point: FuellingPoint) -> None:
    assert point.state is FpState.IDLE


def _closed(point: FuellingPoint) -> None:
    point.close(0)


def _inoperative(point: FuellingPoint) -> None:
    point.fail(0)


def _calling(point: FuellingPoint) -> None:
    point.lift(1, 0)


def _authorised(point: FuellingPoint) -> None:
    point.authorise(0)


def _started(point: FuellingPoint) -> None:
    point.lift(1, 0)
    point.authorise(0)


def _suspended_started(point: FuellingPoint) -> None:
    _started(point)
    point.suspend(0)


def _fuelling(point: FuellingPoint) -> None:
    _started(point)
    point.squeeze(0, 33_000)
    point.handle_timer(S)


def _suspended_fuelling(point: FuellingPoint) -> None:
    _fuelling(point)
    point.suspend(S)
    point.handle_timer(2 * S)


REACH: dict[FpState, Callable[[FuellingPoint], None]] = {
    FpState.INOPERATIVE: _inoperative,
    FpState.CLOSED: _closed,
    FpState.IDLE: _idle,
    FpState.CALLING: _calling,
    FpState.AUTHORISED: _authorised,
    FpState.STARTED: _started,
    FpState.SUSPENDED_STARTED: _suspended_started,
    FpState.FUELLING: _fuelling,
    FpState.SUSPENDED_FUELLING: _suspended_fuelling,
}

COMMAND: dict[FpInput, Callable[[FuellingPoint, int], bool]] = {
    FpInput.OPEN: FuellingPoint.open,
    FpInput.CLOSE: FuellingPoint.close,
    FpInput.AUTHORISE: FuellingPoint.authorise,
    FpInput.TERMINATE: FuellingPoint.terminate,
    FpInput.SUSPEND: FuellingPoint.suspend,
    FpInput.RESUME: FuellingPoint.resume,
    FpInput.SET_PRESET: lambda point, now_us: point.set_preset(now_us, preset_ml=50_000),
    FpInput.SET_PRICE: lambda point, now_us: point.set_price(now_us, 1, 799),
    FpInput.RESET: FuellingPoint.reset,
}

# The declared answers, written down a second time by hand: state -> the commands that are accepted, and the state
# that stands once the valve has had its time.
DECLARED: dict[FpState, dict[FpInput, FpState]] = {
    FpState.INOPERATIVE: {FpInput.SET_PRICE: FpState.INOPERATIVE},
    FpState.CLOSED: {
        FpInput.OPEN: FpState.IDLE,
        FpInput.SET_PRICE: FpState.CLOSED,
        FpInput.RESET: FpState.CLOSED,
    },
    FpState.IDLE: {
        FpInput.CLOSE: FpState.CLOSED,
        FpInput.AUTHORISE: FpState.AUTHORISED,
        FpInput.SET_PRICE: FpState.IDLE,
        FpInput.RESET: FpState.IDLE,
    },
    FpState.CALLING: {
        FpInput.CLOSE: FpState.CLOSED,
        FpInput.AUTHORISE: FpState.STARTED,
        FpInput.TERMINATE: FpState.IDLE,
        FpInput.SET_PRICE: FpState.CALLING,
        FpInput.RESET: FpState.CALLING,
    },
    FpState.AUTHORISED: {
        FpInput.CLOSE: FpState.CLOSED,
        FpInput.TERMINATE: FpState.IDLE,
        FpInput.SET_PRESET: FpState.AUTHORISED,
    },
    FpState.STARTED: {
        FpInput.CLOSE: FpState.STARTED,
        FpInput.TERMINATE: FpState.IDLE,
        FpInput.SUSPEND: FpState.SUSPENDED_STARTED,
        FpInput.SET_PRESET: FpState.STARTED,
    },
    FpState.SUSPENDED_STARTED: {
        FpInput.CLOSE: FpState.SUSPENDED_STARTED,
        FpInput.TERMINATE: FpState.IDLE,
        FpInput.RESUME: FpState.STARTED,
        FpInput.SET_PRESET: FpState.SUSPENDED_STARTED,
    },
    FpState.FUELLING: {
        FpInput.CLOSE: FpState.FUELLING,
        FpInput.TERMINATE: FpState.IDLE,
        FpInput.SUSPEND: FpState.SUSPENDED_FUELLING,
        FpInput.SET_PRESET: FpState.FUELLING,
    },
    FpState.SUSPENDED_FUELLING: {
        FpInput.CLOSE: FpState.SUSPENDED_FUELLING,
        FpInput.TERMINATE: FpState.IDLE,
        FpInput.RESUME: FpState.FUELLING,
        FpInput.SET_PRESET: FpState.SUSPENDED_FUELLING,
    },
}


@pytest.mark.requirement("fd-state.every-command-answered-in-every-state")
@pytest.mark.parametrize("state", list(FpState), ids=lambda state: state.name)
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.value)
def test_each_command_in_each_state_gives_the_declared_answer(
    make_point, state: FpState, command: FpInput
) -> None:
    point = make_point()
    REACH[state](point)
    assert point.state is state
    accepted = COMMAND[command](point, 2 * S)
    assert accepted == (command in DECLARED[state])
    point.handle_timer(3 * S)
    assert point.state is DECLARED[state].get(command, state)


@pytest.mark.requirement("fd-state.no-flow-outside-fuelling")
@pytest.mark.parametrize(
    "state", [one for one in FpState if one not in {FpState.STARTED, FpState.FUELLING}], ids=lambda s: s.name
)
def test_no_fuel_flows_where_the_valve_is_shut(make_point, state: FpState) -> None:
    point = make_point()
    REACH[state](point)
    before = [nozzle.meter.pulses(2 * S) for nozzle in point.nozzles.values()]
    if state is not FpState.AUTHORISED:
        point.lift(1, 2 * S)
        if state is FpState.IDLE:
            assert point.state is FpState.CALLING
    assert not point.squeeze(2 * S, 40_000)
    point.settle(60 * S)
    assert [nozzle.meter.pulses(60 * S) for nozzle in point.nozzles.values()] == before
    assert not point.flowing


@pytest.mark.requirement("fd-state.state-table-is-exported")
def test_the_exported_table_is_json_and_says_what_the_code_uses() -> None:
    exported = json.loads(json.dumps(state_table()))
    assert exported["states"] == {state.name: int(state) for state in FpState}
    rules = [(rule["state"], rule["input"], rule["guard"], rule["next"]) for rule in exported["rules"]]
    assert rules == [
        (rule.state.name, rule.trigger.value, rule.guard.value, rule.target.name)
        for rules in STATE_TABLE.values()
        for rule in rules
    ]
    assert len(rules) == len(set(rules))


def test_every_command_of_the_export_is_accepted_somewhere_and_refused_elsewhere() -> None:
    for command in COMMANDS:
        # A price in mid-delivery is for makes that keep it; the profile here refuses it.
        legal = {
            state
            for (state, trigger), rules in STATE_TABLE.items()
            if trigger is command and any(rule.guard is not Guard.PRICE_WAITS for rule in rules)
        }
        assert legal
        assert legal != set(FpState)
        assert legal == {state for state, commands in DECLARED.items() if command in commands}
