"""Kill -9 in mid-load: what a trial is, and what its gap is.

The design's target is "fault to first acknowledged write". With two instances behind one load the survivor acknowledges something
within milliseconds, whatever becomes of the work that the dead one held, so that figure alone would flatter. The gap of a trial is
therefore the longer of two spans:

* from the kill to the acknowledgement of the first write whose acknowledged try was *sent after* the kill;
* the longest time without any acknowledged write between the kill and the end of the trial, when the killed instance serves again.

Beside it stands the slowest single write that was sent before the kill and acknowledged after it, or first sent during the trial:
what one unlucky client saw.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from scenarios.loadgen.payments import Write
from scenarios.measured.system import MeasuredSystem
from scenarios.record import FailoverTrial

__all__ = ["Gap", "Kill", "failover_gap", "failover_trial", "kill_in_turn"]

_LOOK_S: Final = 0.001
_LONGEST_LOOK_S: Final = 5.0
_WATCH_S: Final = 1.0
"""How long a trial goes on after the killed instance serves again."""


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill as it was done; instants on the run's clock, µs.

    Attributes:
        instance: who was killed.
        killed_us: just before the signal.
        in_flight: requests under way at that instance then.
        restarted_us: when its successor said that it serves.
        ended_us: end of the trial.
    """

    instance: str
    killed_us: int
    in_flight: int
    restarted_us: int
    ended_us: int


@dataclass(frozen=True, slots=True)
class Gap:
    """What one kill cost, µs; None when no write that was sent after the kill was acknowledged within the trial."""

    first_us: int | None
    silence_us: int
    slowest_us: int | None

    @property
    def gap_us(self) -> int | None:
        """The gap as it is judged: see the text of this module."""
        return None if self.first_us is None else max(self.first_us, self.silence_us)


def failover_gap(kill: Kill, writes: Iterable[Write]) -> Gap:
    """The gap of a trial out of all acknowledged writes of the run, in any order.

    ``paid`` is shown, not acknowledged, and does not count.
    """
    requests = [write for write in writes if write.kind != "paid"]
    after = [
        w.acked_us - kill.killed_us
        for w in requests
        if kill.killed_us < w.sent_us and w.acked_us <= kill.ended_us
    ]
    acked = sorted(w.acked_us for w in requests if kill.killed_us < w.acked_us <= kill.ended_us)
    edges = [kill.killed_us, *acked, kill.ended_us]
    silence_us = max(later - earlier for earlier, later in pairwise(edges))
    touched = [
        w.acked_us - max(w.first_us, kill.killed_us)
        for w in requests
        if w.first_us <= kill.ended_us and w.acked_us > kill.killed_us
    ]
    return Gap(min(after, default=None), silence_us, max(touched, default=None))


def failover_trial(kill: Kill, gap: Gap, *, epoch_us: int = 0) -> FailoverTrial:
    """For the oracle, which judges ``first_acknowledged_us - killed_us``: the end of the gap stands there."""
    gap_us, killed_us = gap.gap_us, kill.killed_us - epoch_us
    return FailoverTrial(
        instance=kill.instance,
        killed_us=killed_us,
        first_acknowledged_us=None if gap_us is None else killed_us + gap_us,
        in_flight=kill.in_flight,
        gave_up_us=kill.ended_us - epoch_us if gap_us is None else None,
    )


async def kill_in_turn(
    system: MeasuredSystem,
    in_flight: Sequence[int],
    *,
    trials: int,
    clock_us: Callable[[], int],
    on_trial: Callable[[int], None],
) -> list[Kill]:
    """Kill the backends in turn, each at a moment when it has work in hand, and bring each back before the next.

    A kill of an idle instance tests nothing, so the drill waits (up to 5 s) until the victim holds at least one request of the
    load: that makes it harder, not easier.

    Args:
        system: whose backends die.
        in_flight: live view of the requests under way at each backend (`AnyBackend.in_flight`).
        trials: how many kills.
        clock_us: the run's clock.
        on_trial: called with the number of trials done.

    Raises:
        ChildError: a killed backend does not come up again.
    """
    kills = []
    for number in range(trials):
        which = number % len(system.backends)
        victim = system.backends[which]
        for _ in range(round(_LONGEST_LOOK_S / _LOOK_S)):
            if in_flight[which]:
                break
            await asyncio.sleep(_LOOK_S)
        held, killed_us = in_flight[which], clock_us()
        await victim.kill()
        await victim.start()
        restarted_us = clock_us()
        await asyncio.sleep(_WATCH_S)
        kills.append(Kill(victim.name, killed_us, held, restarted_us, clock_us()))
        on_trial(number + 1)
    return kills
