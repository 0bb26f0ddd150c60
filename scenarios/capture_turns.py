"""A capture cut into turns: what the played side said, then what the other side said to it.

What a fault did to a recorded burst is played as it was: the target hears the bytes that were heard then, and is expected
to say the bytes that were *sent* then, whatever became of them on the way.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sim.wires import Capture

__all__ = ["NOISE", "ReplayError", "Turn", "first_sender", "take_turns"]

NOISE: Final = "noise"
"""The sender of what nobody has sent on a bus; the target heard it, so it is played."""


class ReplayError(Exception):
    """A capture that cannot be played to this target; the message says why."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What the played side said, and what the other side said to it.

    Attributes:
        number: from 1 up.
        said: (instant in the capture, bytes) of each burst to play; empty only when the target speaks first.
        expected: what the target said until the played side spoke again.
        t_us: when it began.
        span_us: from the last burst that was said to the last that was expected.
    """

    number: int
    said: tuple[tuple[int, bytes], ...]
    expected: bytes
    t_us: int
    span_us: int

    @property
    def ended_us(self) -> int:
        """When it ended."""
        return (self.said[-1][0] if self.said else self.t_us) + self.span_us


def first_sender(capture: Capture) -> str:
    """Who speaks first: on a polled line the master.

    Raises:
        ReplayError: nobody has said anything.
    """
    for frame in capture:
        if frame.sent or (not frame.note and frame.data):
            return frame.sender
    raise ReplayError(f"the capture of {capture.wire} holds no bursts")


def take_turns(capture: Capture, play: Iterable[str]) -> list[Turn]:
    """Cut a capture into turns.

    Args:
        capture: of a line or a connection; not of two IFSF nodes, whose wire is three in one.
        play: the senders that are played; the target is all the others.

    Raises:
        ReplayError: a sender that is not there, nobody left as target, nothing to play, or a capture of IFSF nodes.
    """
    played = list(play)
    _check(capture, played)
    turns: list[Turn] = []
    open_turn = _Open()
    for frame in capture:
        is_ours = frame.sender in played or frame.sender == NOISE
        # What the target heard, and what it said: a fault may have come between the two.
        data = frame.data if is_ours or frame.sent is None else frame.sent
        if not data:
            continue
        if is_ours and open_turn.expected:
            turns.append(open_turn.close(len(turns) + 1))
            open_turn = _Open()
        open_turn.take(frame.t_us, data, is_ours=is_ours)
    if (
        open_turn.expected
    ):  # else the capture ends before anybody could answer, and nobody knows what they would have said
        turns.append(open_turn.close(len(turns) + 1))
    if not any(turn.said for turn in turns):
        raise ReplayError(f"{' and '.join(played)} said nothing in this capture, so there is nothing to play")
    return turns


def _check(capture: Capture, played: list[str]) -> None:
    senders = [name for name in capture.ports if name != NOISE]
    for name in played:
        if name not in capture.ports:
            raise ReplayError(f"nobody is called {name!r} in this capture; there are {', '.join(senders)}")
    if capture.about.get("medium") == "nodes":
        raise ReplayError(
            "IFSF nodes speak on two connections and in datagrams; that cannot be played to one target"
        )
    if all(name in played for name in senders):
        raise ReplayError("every sender is played, so nobody is left to be the target")


class _Open:
    """A turn that is being read."""

    def __init__(self) -> None:
        self.said: list[tuple[int, bytes]] = []
        self.expected = bytearray()
        self._began_us = self._ended_us = -1

    def take(self, t_us: int, data: bytes, *, is_ours: bool) -> None:
        if self._began_us < 0:
            self._began_us = t_us
        self._ended_us = t_us
        if is_ours:
            self.said.append((t_us, data))
        else:
            self.expected += data

    def close(self, number: int) -> Turn:
        since_us = self.said[-1][0] if self.said else self._began_us
        return Turn(
            number, tuple(self.said), bytes(self.expected), self._began_us, max(0, self._ended_us - since_us)
        )
