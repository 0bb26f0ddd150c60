"""The verdict vocabulary: its order, the worst of several, and the exit codes of the command line.

The order follows ISO/IEC 9646-1 (fail over inconclusive over pass) with a harness error above all of them: a harness
that broke has judged nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Literal

__all__ = ["CheckResult", "Clock", "ExitCode", "Figure", "Verdict", "exit_code", "worst"]

Clock = Literal["virtual", "wall"]
"""Which clock a result was judged on: modelled time or measured time. A report never mixes the two."""

Figure = int | float | str | bool | None
"""One figure beside a verdict; its unit stands in its name (``p99_us``)."""


class Verdict(Enum):
    """What a check says. Compare by `rank`, not by text."""

    PASS = "PASS"  # noqa: S105 - a verdict, not a password
    WARN = "WARN"
    INFO = "INFO"
    NOT_APPLICABLE = "NOT_APPLICABLE"
    INCONCLUSIVE = "INCONCLUSIVE"
    FAIL = "FAIL"
    HARNESS_ERROR = "HARNESS_ERROR"

    @property
    def rank(self) -> int:
        """Severity: 0 says nothing about conformance, higher is worse."""
        return _RANK[self]

    def __str__(self) -> str:
        return self.value


_RANK: Mapping[Verdict, int] = {
    Verdict.NOT_APPLICABLE: 0,
    Verdict.INFO: 0,
    Verdict.PASS: 1,
    Verdict.WARN: 2,
    Verdict.INCONCLUSIVE: 3,
    Verdict.FAIL: 4,
    Verdict.HARNESS_ERROR: 5,
}


class ExitCode(IntEnum):
    """What the command line returns to the shell."""

    CONFORMANT = 0
    NON_CONFORMANT = 1
    USAGE = 2
    INCONCLUSIVE = 3
    HARNESS_ERROR = 4


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check's answer on one clock.

    Attributes:
        check: slug of the check, as ``explain`` knows it.
        verdict: the answer.
        message: one sentence for a person, with the figures that decided.
        figures: named figures, units in the names; JSON-able.
        clock: ``virtual`` (modelled) or ``wall`` (measured).
    """

    check: str
    verdict: Verdict
    message: str
    figures: Mapping[str, Figure] = field(default_factory=dict)
    clock: Clock = "virtual"


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict of a whole run: HARNESS_ERROR > FAIL > INCONCLUSIVE > WARN > PASS.

    A run that judged nothing at all (no verdict, or only INFO and NOT_APPLICABLE) proved nothing, so it is
    INCONCLUSIVE and never PASS.
    """
    heaviest = max(verdicts, key=lambda verdict: verdict.rank, default=Verdict.INFO)
    return heaviest if heaviest.rank > 0 else Verdict.INCONCLUSIVE


def exit_code(verdict: Verdict) -> ExitCode:
    """Exit code for the verdict of a whole run."""
    match verdict:
        case Verdict.HARNESS_ERROR:
            return ExitCode.HARNESS_ERROR
        case Verdict.FAIL:
            return ExitCode.NON_CONFORMANT
        case Verdict.PASS | Verdict.WARN:
            return ExitCode.CONFORMANT
        case _:
            return ExitCode.INCONCLUSIVE
