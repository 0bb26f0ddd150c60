"""Clients for the measurements on sockets, as light as Python allows: bare sockets and epoll, no event loop.

`ask_in_turn` asks as soon as it is answered (what a server can take). `poll_steadily` asks by the clock, whatever comes back
(what a forecourt does); it times each poll from the instant at which it was meant to leave.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

__all__ = ["Polled", "ask_in_turn", "connect", "poll_steadily"]


def connect(stack: ExitStack, ports: Sequence[int]) -> list[socket.socket]:
    """A connection to each port on 127.0.0.1, closed with the stack; requests leave at once."""
    made = []
    for port in ports:
        one = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.append(one)
    return made


def ask_in_turn(
    connections: Sequence[socket.socket], request: bytes, reply_bytes: int, for_s: float
) -> float:
    """Ask on all connections, each again as soon as it is answered; returns replies a second.

    Raises:
        AssertionError: a connection was closed, or an answer has another size.
    """
    poller = select.epoll()
    by_number = {one.fileno(): one for one in connections}
    for number in by_number:
        poller.register(number, select.EPOLLIN)
    got = dict.fromkeys(by_number, 0)
    for one in connections:
        one.sendall(request)
    begun = time.perf_counter()
    ends = begun + for_s
    answered, waiting, now = 0, len(connections), begun
    while waiting:
        for number, _ in poller.poll(30):
            one = by_number[number]
            size = len(one.recv(65_536))
            if size == 0:
                raise AssertionError("the server closed a connection")
            if size != reply_bytes:
                got[number] += size
                if got[number] < reply_bytes:
                    continue
                size, got[number] = got[number], 0
                if size != reply_bytes:
                    raise AssertionError(f"an answer of {size} bytes instead of {reply_bytes}")
            answered += 1
            now = time.perf_counter()
            if now < ends:
                one.send(request)
            else:
                waiting -= 1
    poller.close()
    return answered / (now - begun)


@dataclass(slots=True)
class Polled:
    """What came of steady polls.

    Attributes:
        asked: polls that were meant to leave.
        missed: of those, how many were not answered before the same device's next one was due; also those that did
            not leave, because the one before was still open.
        latencies_us: of the answered ones, from the instant at which they were meant to leave, sorted.
        late_us: how late the client itself sent, sorted: its own part of the latencies.
    """

    asked: int = 0
    missed: int = 0
    latencies_us: list[int] = field(default_factory=list)
    late_us: list[int] = field(default_factory=list)

    def quantile_us(self, share: float) -> int:
        """A quantile of the latencies; missed polls count as slower than all others."""
        place = int(share * (len(self.latencies_us) + self.missed))
        return self.latencies_us[place] if place < len(self.latencies_us) else 1 << 40


def _answered(request: bytes, reply: bytes) -> bytes | None:
    """The acknowledgement that a DART pump wants for a block of data; None for everything else."""
    if len(request) == 3 and reply[1] & 0xF0 == 0x30:
        return bytes((reply[0], 0xC0 | reply[1] & 0x0F, 0xFA))
    return None


def poll_steadily(
    connections: Sequence[socket.socket], request: bytes, *, period_s: float, for_s: float
) -> Polled:
    """Ask each connection once a period, spread evenly over it; a device still silent at its next turn is not asked again.

    Raises:
        AssertionError: the server closed a connection.
    """
    poller = select.epoll()
    count = len(connections)
    place_of = {one.fileno(): place for place, one in enumerate(connections)}
    for number in place_of:
        poller.register(number, select.EPOLLIN)
    asked_at: list[float] = [0.0] * count  # when the open poll was meant to leave; 0 for none
    result = Polled()
    begun = time.perf_counter() + 0.01
    total = int(count * for_s / period_s)
    step_s = period_s / count
    turn = 0
    open_polls = 0
    while turn < total or open_polls:
        now = time.perf_counter()
        while turn < total and (due := begun + turn * step_s) <= now:
            place = turn % count
            turn += 1
            result.asked += 1
            if asked_at[place]:
                result.missed += 1
                continue
            asked_at[place] = due
            open_polls += 1
            result.late_us.append(int((now - due) * 1e6))
            connections[place].send(request)
        if turn >= total and now > begun + total * step_s + period_s:
            result.missed += open_polls
            break
        wait_s = begun + turn * step_s - now if turn < total else period_s
        for number, _ in poller.poll(max(0.0, wait_s)):
            place = place_of[number]
            reply = connections[place].recv(65_536)
            if not reply:
                raise AssertionError("the server closed a connection")
            due, asked_at[place] = asked_at[place], 0.0
            if due:
                open_polls -= 1
                late_s = time.perf_counter() - due
                if late_s > period_s:
                    result.missed += 1
                else:
                    result.latencies_us.append(int(late_s * 1e6))
            more = _answered(request, reply)
            if more is not None:
                connections[place].send(more)
    poller.close()
    result.latencies_us.sort()
    result.late_us.sort()
    return result
