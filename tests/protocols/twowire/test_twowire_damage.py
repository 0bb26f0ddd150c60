"""Answers cut, damaged and buried in noise, and bytes that mean nothing."""

from __future__ import annotations

import random

import pytest

from protocols.twowire import (
    NOZZLE_QUERY,
    BadAnswer,
    BadReason,
    Command,
    ControllerSide,
    Deviation,
    MoneyAnswer,
    NozzleRecord,
    PumpSide,
    ReplyTimeout,
    Status,
    StatusAnswer,
    TotalsAnswer,
    TransactionAnswer,
    Unexpected,
    UnknownBlock,
    VolumePreset,
    Wait,
)

from .twowire_line import MS, Head, answer, drain

# -- damaged answers --------------------------------------------------------------------------------------------------


def ask(side, command, now_us=0):
    side.command(command, 1, now_us)
    side.data_to_send(now_us)


def until_idle(side):
    events = drain(side)
    while side.busy:
        side.handle_timer(side.next_timer())
        events += drain(side)
    return events


ANSWERS = [
    (Command.TRANSACTION, Head().sale.encode()),
    (Command.TOTALS, Head().counted.encode()),
    (Command.MONEY, bytes.fromhex("E0 E2 E2 E0 E0 E0")),
]


@pytest.mark.parametrize(("command", "data"), ANSWERS)
def test_an_answer_cut_at_every_offset_is_a_time_out(command, data):
    for length in range(len(data)):
        side = ControllerSide([1])
        ask(side, command)
        side.receive_data(data[:length], MS)
        (event,) = until_idle(side)
        assert type(event) is ReplyTimeout
        # The next good answer is understood.
        ask(side, Command.STATUS, 10**6)
        side.receive_data(b"\x61", 10**6 + 20 * MS)
        assert drain(side) == [StatusAnswer(pump=1, status=Status.IDLE)]


@pytest.mark.parametrize(("command", "data"), ANSWERS)
def test_every_byte_value_at_every_position_of_an_answer(command, data):
    side = ControllerSide([1])
    now_us = 0
    for position in range(len(data)):
        for value in range(256):
            now_us += 10**6
            ask(side, command, now_us)
            side.receive_data(data[:position] + bytes((value,)) + data[position + 1 :], now_us + MS)
            events = until_idle(side)
            kinds = {type(event) for event in events} - {
                Unexpected,
                Deviation,
            }  # our own byte looks like an echo
            if command is Command.MONEY:
                assert len(kinds) == 1
                assert kinds <= {MoneyAnswer, BadAnswer, ReplyTimeout}
            elif value == data[position]:
                assert kinds in ({TransactionAnswer}, {TotalsAnswer})
            else:
                assert kinds in ({BadAnswer}, {ReplyTimeout}), (position, value)
            assert not side.busy


def test_noise_before_an_answer_does_no_harm():
    side = ControllerSide([1])
    ask(side, Command.TRANSACTION)
    side.receive_data(b"\x00\x33\x62" + Head().sale.encode(), MS)
    assert type(drain(side)[-1]) is TransactionAnswer


def test_a_status_of_another_pump_is_not_taken():
    side = ControllerSide([1, 2])
    ask(side, Command.STATUS)
    side.receive_data(b"\x62", MS)
    assert drain(side) == [Unexpected(pump=1, raw=b"\x62")]
    side.receive_data(b"\x71", 2 * MS)
    assert drain(side) == [StatusAnswer(pump=1, status=Status.CALL)]


def test_after_a_bad_answer_the_line_is_left_in_peace():
    side = ControllerSide([1])
    ask(side, Command.MONEY)
    side.receive_data(b"\xe1\xf0", MS)
    assert side.busy  # more of it may be on its way
    side.receive_data(b"\xe1\xe1\xe1\xe1", 2 * MS)
    assert until_idle(side) == [
        BadAnswer(pump=1, wait=Wait.MONEY, reason=BadReason.BODY, raw=b"\xe1\xf0"),
    ]


def test_a_broken_stream_ends_half_an_answer():
    side = ControllerSide([1])
    ask(side, Command.TRANSACTION)
    side.connection_lost(MS)
    assert side.busy
    side.receive_data(b"\xff\xf1", MS)
    side.connection_lost(2 * MS)
    assert drain(side) == [ReplyTimeout(pump=1, wait=Wait.TRANSACTION)]


# -- fuzz -------------------------------------------------------------------------------------------------------------


def fuzz(frames: int, seed: str) -> None:
    """Random and damaged bytes into both sides: no crash, and the next good question is answered."""
    rng = random.Random(seed)
    head = Head()
    pump, site = PumpSide({1: head}), ControllerSide([1])
    good = [
        b"\x01",
        b"\x21" + VolumePreset(volume_units=500, grade=1).encode(),
        b"\x21" + NOZZLE_QUERY.encode(),
        head.sale.encode(),
        head.counted.encode(),
        NozzleRecord.of(1, 1).encode(),
        UnknownBlock(body=b"\xf3\xe1").encode(),
    ]
    now_us = 0
    for number in range(frames):
        kind = rng.randrange(3)
        if kind == 0:
            data = rng.randbytes(rng.randrange(1, 40))
        elif kind == 1:
            data = bytes(0xE0 | rng.randrange(32) for _ in range(rng.randrange(1, 40)))
        else:
            mutable = bytearray(rng.choice(good))
            for _ in range(rng.randrange(1, 4)):
                mutable[rng.randrange(len(mutable))] = rng.randrange(256)
            data = bytes(mutable)
        now_us += 3_000
        pump.receive_data(data, now_us)
        pump.data_to_send(now_us)
        if not site.busy:
            if rng.random() < 0.2:
                site.send(1, NOZZLE_QUERY, now_us)
            else:
                site.command(
                    rng.choice([Command.STATUS, Command.TRANSACTION, Command.TOTALS, Command.MONEY]),
                    1,
                    now_us,
                )
        site.data_to_send(now_us)
        site.receive_data(data, now_us)
        due_us = site.next_timer()
        if due_us is not None and due_us <= now_us:
            site.handle_timer(now_us)
        drain(site)
        if number % 100 == 0:
            drain(pump)
            head.did.clear()
            pump.receive_data(b"\x01\x01", now_us)  # ends a block under way; perhaps a data error first
            pump.data_to_send(now_us)
            assert answer(pump, b"\x01", now_us) == b"\x61"
            until_idle(site)
            now_us += 10**6
            ask(site, Command.STATUS, now_us)
            site.receive_data(b"\x61", now_us + MS)
            assert drain(site)[-1] == StatusAnswer(pump=1, status=Status.IDLE)


def test_fuzz_a_little():
    fuzz(20_000, "twowire")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_fuzz_a_million():
    fuzz(1_000_000, "twowire/million")
