"""The IFSF dispenser node under a random walk and noise."""

from __future__ import annotations

import random

import pytest

from protocols.ifsf import (
    COMMAND_STATES,
    Element,
    FpState,
    MessageKind,
    decode_message,
)

from .ifsf_bench import CLEAR, LOCK, Bench

# -- walks and noise ---------------------------------------------------------------------------------------------------


def walk(steps: int, seed: str) -> None:  # noqa: C901 - one arm for each thing that can happen
    """Commands, hands and time at random: a command outside its table is never taken, and nothing else is impossible."""
    rng = random.Random(seed)
    bench = Bench(prices=(830, 860), unpaid_limit=200)
    legal = {
        (2, 3), (2, 4), (3, 2), (4, 2), (5, 2), (3, 4), (4, 3), (3, 5), (4, 5), (5, 3), (5, 4), (5, 6), (6, 7),
        (6, 8), (7, 6), (8, 9), (9, 8), (6, 3), (7, 3), (8, 3), (9, 3), (6, 2), (7, 2), (8, 2), (9, 2),
    }  # fmt: skip
    seen_states = set()
    changes: list[tuple[int, int]] = []
    from sim.dispenser import StateChanged

    bench.fp.listeners.append(
        lambda event: (
            changes.append((int(event.old), int(event.new))) if isinstance(event, StateChanged) else None
        )
    )
    for step in range(steps):
        before = FpState(bench.fp.state)
        seen_states.add(before)
        act = rng.randrange(8)
        if act < 4:
            command = rng.choice(list(COMMAND_STATES))
            verdict = bench.command(command)
            if before not in COMMAND_STATES[command]:
                assert verdict == 3
                assert [notice.database[1:2] for notice in bench.notices][:1] == [b"\x41"]
            else:
                assert verdict in {0, 6}
        elif act == 4:
            bench.fp.lift(rng.choice((1, 2)), bench.now_us)
        elif act == 5:
            bench.fp.hang_up(bench.now_us)
        elif act == 6:
            bench.fp.squeeze(bench.now_us, 40_000)
        else:
            bench.now_us += rng.randrange(1, 3_000_000)
            if step % 5 == 0:
                bench.heartbeat()
            bench.node.handle_timer(bench.now_us)
        for message in bench.heard():
            if message.database == b"\x21" and message.value(0x14):
                assert 1 <= message.value(0x14)[0] <= 9
        if len(bench.place.buffer) > 100:
            for one in bench.place.buffer.open:
                database = b"\x21\x21" + bytes.fromhex(f"{one.sequence:04d}")
                assert bench.write(database, Element(LOCK), Element(CLEAR)).status == 0
        if bench.node.link.peer is None:
            bench.heartbeat()
    assert set(changes) <= legal
    assert seen_states == set(FpState) - {FpState.INOPERATIVE}


def test_random_walk() -> None:
    walk(4_000, "ifsf")


@pytest.mark.slow
def test_a_hundred_thousand_steps() -> None:
    walk(100_000, "ifsf long")


def fuzz(rounds: int) -> None:
    rng = random.Random("ifsf dispenser")
    bench = Bench(points=2, prices=(830, 860))
    asked = bytes.fromhex("0103020100020003012114")
    for _ in range(rounds):
        kind = rng.randrange(4)
        if kind == 0:
            data = rng.randbytes(rng.randrange(1, 30))
        else:
            body = rng.choice(
                (b"\x01\x21", b"\x02\x21\x11", b"\x01\x01", b"\x01\x00", b"\x04\x21\x21\x00\x01", b"")
            )
            body += rng.randbytes(rng.randrange(0, 12))
            data = (
                bytes((1, 3, 2, 1, 0, rng.choice((0x00, 0x40, 0x60, 0xE0)) | 2))
                + len(body).to_bytes(2, "big")
                + body
            )
        bench.node.receive_data(data, 0)
        if bench.node.wants_close or kind == 0:
            bench.node.dropped(0)
            bench.node.accepted(0)
        bench.node.data_to_send(0)
        if bench.node.wants_redial:
            bench.node.connection_lost(0)
            bench.node.connection_made(0)
    bench.node.receive_data(asked, 0)
    answers = [decode_message(out.data) for out in bench.node.data_to_send(0)]
    assert [(one.kind, one.database) for one in answers] == [(MessageKind.ANSWER, b"\x21")]


def test_noise_is_survived_and_the_next_question_answered() -> None:
    fuzz(5_000)


@pytest.mark.slow
def test_a_million_pieces_of_noise() -> None:
    fuzz(1_000_000)
