"""How an oracle answers: collected contradictions become FAIL, nothing to look at becomes INCONCLUSIVE."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from scenarios.record import RunRecord
from scenarios.verdicts import CheckResult, Figure, Verdict

__all__ = ["Oracle", "answer", "nothing_seen"]

Oracle = Callable[[RunRecord, Mapping[str, int]], CheckResult]
"""A pure function of a record and the limits of its check."""

_SHOWN = 3


def answer(
    slug: str, record: RunRecord, problems: Sequence[str], good: str, figures: Mapping[str, Figure]
) -> CheckResult:
    """PASS with ``good`` when there are no problems, else FAIL naming the first few and counting the rest."""
    if not problems:
        return CheckResult(slug, Verdict.PASS, good, dict(figures), record.clock)
    shown = "; ".join(problems[:_SHOWN])
    more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    return CheckResult(slug, Verdict.FAIL, shown + more, {**figures, "problems": len(problems)}, record.clock)


def nothing_seen(slug: str, record: RunRecord, what: str) -> CheckResult:
    """INCONCLUSIVE: there was nothing to judge."""
    return CheckResult(slug, Verdict.INCONCLUSIVE, f"nothing to judge: {what}", {}, record.clock)
