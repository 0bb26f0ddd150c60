"""The clients of the socket measurements count what they should: answers of the right size, and polls that nobody answered."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from bench.wire_clients import Polled, ask_in_turn, connect, poll_steadily

REQUEST = bytes(12)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def peer(stack: ExitStack, answer: Callable[[bytes], list[bytes]]) -> socket.socket:
    """A connection whose far end says this to each thing it hears."""
    near, far = (stack.enter_context(one) for one in socket.socketpair())

    def serve() -> None:
        while heard := far.recv(4096):
            for piece in answer(heard):
                far.sendall(piece)

    thread = threading.Thread(target=serve)
    thread.start()
    stack.callback(thread.join)
    stack.callback(near.shutdown, socket.SHUT_WR)
    return near


def test_answers_in_pieces_are_one_answer(stack):
    whole = peer(stack, lambda heard: [bytes(20)] * (len(heard) // 12))
    pieces = peer(stack, lambda heard: [bytes(7), bytes(13)] * (len(heard) // 12))
    assert ask_in_turn([whole, pieces], REQUEST, 20, 0.05) > 0


def test_an_answer_of_another_size_is_an_error(stack):
    with pytest.raises(AssertionError, match="an answer of 21 bytes instead of 20"):
        ask_in_turn([peer(stack, lambda _: [bytes(21)])], REQUEST, 20, 0.05)


def test_a_closed_connection_is_an_error(stack):
    near, far = (stack.enter_context(one) for one in socket.socketpair())
    far.close()
    with pytest.raises((AssertionError, BrokenPipeError)):
        poll_steadily([near], REQUEST, period_s=0.02, for_s=0.1)


def test_who_never_answers_has_missed_every_poll(stack):
    silent, answers = peer(stack, lambda _: []), peer(stack, lambda _: [b"x"])
    alone = poll_steadily([silent], REQUEST, period_s=0.02, for_s=0.1)
    assert (alone.asked, alone.missed, alone.latencies_us) == (5, 5, [])
    assert len(alone.late_us) == 1  # it is not asked again while it is silent
    both = poll_steadily([answers, peer(stack, lambda _: [])], REQUEST, period_s=0.05, for_s=0.2)
    assert both.asked == 8
    assert both.missed + len(both.latencies_us) == 8
    assert both.missed >= 4


def test_dart_data_is_acknowledged_with_its_number(stack):
    heard: list[bytes] = []

    def pump(data: bytes) -> list[bytes]:
        heard.append(data)
        return [bytes.fromhex("50 35 01 01 05 00 00 03 FA")] if data == b"\x50\x20\xfa" else []

    poll_steadily([peer(stack, pump)], b"\x50\x20\xfa", period_s=0.2, for_s=0.2)
    stack.close()
    assert b"".join(heard) == bytes.fromhex("50 20 FA 50 C5 FA")


def test_missed_polls_are_the_slowest():
    polled = Polled(asked=4, missed=1, latencies_us=[10, 20, 30])
    assert polled.quantile_us(0.5) == 30
    assert polled.quantile_us(0.99) > 1_000_000


def test_connections_close_with_the_stack(stack):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        (one,) = connect(stack, [port])
        assert one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        stack.close()
        assert one.fileno() == -1
