"""The tables: complete, closed, exportable; the rules and times that stand beside them."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols import dart
from protocols.dart import (
    RULES,
    CommandCode,
    LineTiming,
    PumpLinkEvent,
    PumpLinkState,
    PumpStatus,
    Quirks,
    StatusEvent,
    command_allowed,
    exchange_us,
    next_controller_link,
    next_pump_link,
    next_status,
    state_table,
    status_change_sources,
)
from protocols.dart.numbering import Arrival, Receiver, next_tx
from protocols.sansio import HarnessProtocolError


def test_the_tables_are_json_and_closed() -> None:
    tables = json.loads(json.dumps(state_table()))
    assert set(tables) == {"pump_status", "pump_link", "controller_link"}
    for table in tables.values():
        assert table["transitions"]
        for row in table["transitions"]:
            assert {row["from"], row["to"]} <= set(table["states"])
            assert row["event"] in table["events"]
        # Every state can be reached, and every event does something somewhere.
        reached = set(table["initial"])
        for _ in table["states"]:
            reached |= {row["to"] for row in table["transitions"] if row["from"] in reached}
        assert reached == set(table["states"])
        assert {row["event"] for row in table["transitions"]} == set(table["events"])
    assert json.dumps(state_table()) == json.dumps(state_table())


def test_the_sale() -> None:
    steps = [
        (PumpStatus.NOT_PROGRAMMED, StatusEvent.PRICES),
        (PumpStatus.FILLING_COMPLETED, StatusEvent.RESET),
        (PumpStatus.RESET, StatusEvent.AUTHORISE),
        (PumpStatus.AUTHORISED, StatusEvent.FLOW),
        (PumpStatus.FILLING, StatusEvent.PRESET_REACHED),
        (PumpStatus.MAX_REACHED, StatusEvent.NOZZLE_IN),
        (PumpStatus.FILLING_COMPLETED, StatusEvent.RESET),
    ]
    for (status, event), (following, _) in pairwise(steps):
        assert next_status(status, event) is following
    assert next_status(PumpStatus.FILLING, StatusEvent.NOZZLE_IN) is PumpStatus.FILLING_COMPLETED


@pytest.mark.parametrize("status", PumpStatus)
def test_commands_and_transitions_agree(status: PumpStatus) -> None:
    moved_by = {
        CommandCode.RESET: StatusEvent.RESET,
        CommandCode.AUTHORISE: StatusEvent.AUTHORISE,
        CommandCode.STOP: StatusEvent.STOP,
    }
    for code, event in moved_by.items():
        assert command_allowed(status, code) == (next_status(status, event) is not None)
    assert command_allowed(status, CommandCode.RETURN_STATUS)
    assert command_allowed(status, CommandCode.AUTHORISE) == (status is PumpStatus.RESET)


def test_changes_that_no_source_shows_have_no_sources() -> None:
    assert status_change_sources(PumpStatus.RESET, PumpStatus.AUTHORISED) == 4
    assert status_change_sources(PumpStatus.FILLING, PumpStatus.MAX_REACHED) == 1
    assert status_change_sources(PumpStatus.RESET, PumpStatus.FILLING) == 0
    assert status_change_sources(PumpStatus.FILLING, PumpStatus.RESET) == 0


@given(st.lists(st.sampled_from(StatusEvent), max_size=100))
def test_random_walk_of_the_status_takes_listed_steps_only(walk: list[StatusEvent]) -> None:
    listed = {(row["from"], row["event"], row["to"]) for row in state_table()["pump_status"]["transitions"]}
    status = PumpStatus.NOT_PROGRAMMED
    for event in walk:
        following = next_status(status, event)
        if following is None:
            assert not any((start, name) == (status.name, event.value) for start, name, _ in listed)
            continue
        assert (status.name, event.value, following.name) in listed
        assert following is status or status_change_sources(status, following) >= 1
        status = following


def test_a_step_that_is_not_in_a_link_table_is_our_bug() -> None:
    with pytest.raises(HarnessProtocolError, match="'empty' has no 'ack'"):
        next_pump_link(PumpLinkState.EMPTY, PumpLinkEvent.ACK)
    with pytest.raises(HarnessProtocolError, match="'idle' has no 'eot'"):
        next_controller_link(dart.ControllerLinkState.IDLE, dart.ControllerLinkEvent.EOT)


def test_rules_are_counted_and_named() -> None:
    assert len(RULES) > 30
    for slug, rule in RULES.items():
        assert slug == rule.id
        assert rule.id.startswith("dart-")
        assert rule.text.endswith(".")
        assert rule.count >= max(1, len(rule.sources))
        assert rule.mandatory is (rule.count >= 2)
        assert all(source.count("/") == 1 for source in rule.sources)
    assert RULES["dart-checksum"].mandatory
    assert not RULES["dart-ack-zero-tolerated"].mandatory


def test_numbers() -> None:
    assert [next_tx(tx, 1) for tx in (0, 1, 14, 15)] == [1, 2, 15, 1]
    assert next_tx(15, 0) == 0
    receiver = Receiver()
    assert receiver.judge(7) is Arrival.NEW
    receiver.take(7, b"")
    assert receiver.judge(7) is Arrival.DUPLICATE
    assert receiver.judge(8) is Arrival.NEW
    assert receiver.judge(9) is Arrival.GAP
    assert receiver.judge(0) is Arrival.NEW
    receiver.take(15, b"")
    assert [receiver.judge(tx) for tx in (0, 1, 2)] == [Arrival.NEW, Arrival.NEW, Arrival.GAP]
    assert not receiver.take(0, b"x")
    assert receiver.judge(0) is Arrival.NEW
    assert receiver.take(0, b"x")
    assert not receiver.take(0, b"y")


def test_times() -> None:
    timing = LineTiming(baud=9600)
    assert timing.chars_us(3) == 3438  # 33 bits at 9600 baud: 3437.5 µs
    assert timing.poll_timeout_us == 3438 + 25_000 + 55_000
    assert timing.exchange_us() == exchange_us(9600) == 3438 + 25_000 + 55_000 + 3438
    assert exchange_us(19200) < exchange_us(9600)
    assert exchange_us(9600, block_bytes=3) == timing.chars_us(11) + 25_000 + timing.chars_us(3)
    assert exchange_us(None) == 25_000
    assert exchange_us(9600, turn_round_us=500) == exchange_us(9600) + 1000


@pytest.mark.parametrize(
    "wrong", [{"baud": 0}, {"bits_per_char": 0}, {"reply_limit_us": -1}, {"turn_round_us": -1}, {"gap_us": 0}]
)
def test_impossible_times(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        LineTiming(**wrong)


@pytest.mark.parametrize("wrong", [{"tx_wrap": 2}, {"unanswered_polls": -1}, {"totals_bytes": 14}])
def test_impossible_quirks(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Quirks(**wrong)


def test_the_public_list_is_whole() -> None:
    assert sorted(set(dart.__all__)) == sorted(dart.__all__)
    assert all(hasattr(dart, name) for name in dart.__all__)
