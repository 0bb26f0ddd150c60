"""The machine that plays one side of a capture and compares what the other says, byte for byte.

It is without I/O like any other, so the same object plays over a modelled wire, TCP, a pty and a serial device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from protocols.sansio import Outgoing
from scenarios.capture_turns import Turn

__all__ = ["GAP_LEAST_US", "CapturePlayer", "Difference", "ReplayReport", "Timing"]

Timing = Literal["answers", "recorded"]
"""``answers``: the next turn begins as soon as the answer is in; ``recorded``: no earlier than it did then."""

GAP_LEAST_US: Final = 5_000
_SETTLE_US: Final = 50_000
"""An answer that differs is over when nothing has come for so long."""

_SILENT_TURNS: Final = 5
"""Whoever has said nothing in so many turns will not speak any more."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A turn in which the target did not say what was recorded. ``t_us`` is the turn's instant in the capture."""

    turn: int
    t_us: int
    sent: bytes
    expected: bytes
    got: bytes


@dataclass(slots=True)
class ReplayReport:
    """How a replay went.

    Attributes:
        turns: turns in the capture.
        played: turns that came to an end.
        sent_bytes, got_bytes: what went to the target, and came from it.
        different: turns that differed; the first of them are in ``differences``.
        ended: why it ended before the last turn; empty if it did not.
    """

    turns: int
    played: int = 0
    sent_bytes: int = 0
    got_bytes: int = 0
    different: int = 0
    differences: list[Difference] = field(default_factory=list)
    ended: str = ""

    @property
    def same(self) -> bool:
        """Whether the target said all that was recorded, and nothing else."""
        return not self.different and not self.ended


class CapturePlayer:
    """Says one side of a capture and compares the other: a `protocols.sansio.Machine`.

    It begins when it is told ``connection_made``, or at `begin` on a wire that tells nothing.

    Args:
        turns: from `take_turns`.
        timing: see `Timing`.
        limit_us: time for an answer, on top of the time that it took in the capture.
        start_limit_us: time for the first word of a target that speaks first.
        gap_us: an answer is followed no sooner than this, or than it was in the capture if that was sooner.
        settle_us: an answer that differs is over when nothing has come for so long; so is the last turn.
        keep: differences kept in the report; all are counted.

    Attributes:
        report: how it went; complete when `is_done`.
        on_begun, on_done: called once each.
    """

    def __init__(
        self,
        turns: Sequence[Turn],
        *,
        timing: Timing = "answers",
        limit_us: int = 2_000_000,
        start_limit_us: int = 30_000_000,
        gap_us: int = GAP_LEAST_US,
        settle_us: int = _SETTLE_US,
        keep: int = 20,
    ) -> None:
        self.on_wake: Callable[[], None] | None = None
        self.on_begun: Callable[[], None] | None = None
        self.on_done: Callable[[], None] | None = None
        self.report = ReplayReport(len(turns))
        self.is_begun = self.is_done = False
        self._turns = turns
        self._timing = timing
        self._limit_us = limit_us
        self._start_limit_us = start_limit_us
        self._gap_us = gap_us
        self._settle_us = settle_us
        self._keep = keep
        self._index = -1
        self._unsaid: list[tuple[int, bytes]] = []
        self._due: list[Outgoing] = []
        self._got = bytearray()
        self._offset_us: int | None = None
        self._wait_us: int | None = None
        self._differed = False
        self._silent = 0

    # The link.

    def connection_made(self, now_us: int) -> None:
        """From the host: the target is there."""
        self.begin(now_us)

    def connection_lost(self, now_us: int) -> None:  # noqa: ARG002 - named by the hosts
        """From the host: the target is gone."""
        if self.is_begun and not self.is_done:
            turn = self._turns[self._index]
            self._compare(turn)
            self.report.ended = f"the target hung up in turn {turn.number} of {len(self._turns)}"
            self._finish()

    def begin(self, now_us: int) -> None:
        """Begin to play. Harmless when called again."""
        if not self.is_begun:
            self.is_begun = True
            if self.on_begun is not None:
                self.on_begun()
            self._open(now_us)

    # The machine.

    def receive_data(self, data: bytes, now_us: int) -> None:
        """See `protocols.sansio.Machine`."""
        if not self.is_begun or self.is_done:
            return
        self.report.got_bytes += len(data)
        self._got += data
        turn = self._turns[self._index]
        if self._unsaid:
            return
        if self._got == turn.expected:
            if turn is not self._turns[-1]:
                self._next(now_us)
            else:
                self._wait_us = now_us + self._settle_us
        elif len(self._got) >= len(turn.expected) or not turn.expected.startswith(self._got):
            self._wait_us = now_us + self._settle_us

    def data_to_send(self, now_us: int) -> list[Outgoing]:  # noqa: ARG002 - the Machine protocol
        """See `protocols.sansio.Machine`."""
        due, self._due = self._due, []
        return due

    def next_timer(self) -> int | None:
        """When the next burst is due, or the time for an answer is over."""
        if self.is_done:
            return None
        return self._unsaid[0][0] if self._unsaid else self._wait_us

    def handle_timer(self, now_us: int) -> None:
        """See `protocols.sansio.Machine`."""
        while self._unsaid and self._unsaid[0][0] <= now_us:
            self._say(now_us)
        if not self.is_done and not self._unsaid and self._wait_us is not None and self._wait_us <= now_us:
            self._next(now_us)

    # Turns.

    def _open(self, now_us: int) -> None:
        self._index += 1
        turn = self._turns[self._index]
        self._wait_us = None
        if not turn.said:  # the target speaks first
            self._wait_us = now_us + self._start_limit_us + turn.span_us
            return
        due_us = now_us
        before_us = turn.t_us
        if self._index:
            due_us += min(self._gap_us, max(0, turn.t_us - self._turns[self._index - 1].ended_us))
        for at_us, data in turn.said:
            if self._timing == "recorded" and self._offset_us is not None:
                due_us = max(due_us, at_us + self._offset_us)
            elif self._unsaid:
                due_us += min(at_us - before_us, self._limit_us)
            if self._offset_us is None:
                self._offset_us = due_us - at_us
            before_us = at_us
            self._unsaid.append((due_us, data))

    def _say(self, now_us: int) -> None:
        turn = self._turns[self._index]
        _, data = self._unsaid.pop(0)
        if len(self._unsaid) + 1 == len(turn.said) and self._got:
            self._late()
        self._due.append(Outgoing(data))
        self.report.sent_bytes += len(data)
        if not self._unsaid:
            wait_us = self._limit_us + turn.span_us if turn.expected else self._settle_us
            self._wait_us = now_us + wait_us

    def _late(self) -> None:
        """Something came after the turn before had ended as it should: then it had not."""
        before = self._turns[self._index - 1]
        extra, self._got = bytes(self._got), bytearray()
        if self._index and not self._differed:
            self._differ(before, before.expected + extra)

    def _next(self, now_us: int) -> None:
        turn = self._turns[self._index]
        self._silent = self._silent + 1 if turn.expected and not self._got else 0
        self._compare(turn)
        if self._index + 1 == len(self._turns):
            self._finish()
        elif self._silent == _SILENT_TURNS:
            self.report.ended = f"the target has said nothing in {_SILENT_TURNS} turns"
            self._finish()
        else:
            self._open(now_us)

    def _compare(self, turn: Turn) -> None:
        self.report.played += 1
        got, self._got = bytes(self._got), bytearray()
        self._differed = got != turn.expected
        if self._differed:
            self._differ(turn, got)

    def _differ(self, turn: Turn, got: bytes) -> None:
        self.report.different += 1
        if len(self.report.differences) < self._keep:
            sent = b"".join(data for _, data in turn.said)
            self.report.differences.append(Difference(turn.number, turn.t_us, sent, turn.expected, got))

    def _finish(self) -> None:
        self.is_done = True
        self._unsaid.clear()
        if self.on_done is not None:
            self.on_done()
