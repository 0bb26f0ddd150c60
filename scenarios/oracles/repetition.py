"""What running again must not change: another seed is as safe, and leaving idle polls out makes no difference."""

from __future__ import annotations

from collections.abc import Mapping

from scenarios.oracles.answer import answer
from scenarios.record import RunRecord
from scenarios.verdicts import CheckResult, Verdict

__all__ = ["idle_polls", "replications_safe"]


def replications_safe(record: RunRecord, _limits: Mapping[str, int]) -> CheckResult:
    """FAIL when any replication broke a safety check; NOT_APPLICABLE when there was none."""
    slug = "replications.safe"
    count = len(record.replications)
    if not count:
        return CheckResult(
            slug, Verdict.NOT_APPLICABLE, "no further run was asked for", {"runs": 0}, record.clock
        )
    failures = [failure for one in record.replications for failure in one.failures]
    return answer(
        slug, record, failures, f"{count} further runs under other seeds, all as safe", {"runs": count}
    )


def idle_polls(record: RunRecord, _limits: Mapping[str, int]) -> CheckResult:
    """HARNESS_ERROR when the twin without idle polls differs; NOT_APPLICABLE without a twin."""
    slug = "harness.idle-polls"
    differences = record.twin_differences
    if differences is None:
        return CheckResult(slug, Verdict.NOT_APPLICABLE, "no twin run was made", {}, record.clock)
    if differences:
        message = f"with and without idle polls: {'; '.join(differences)}"
        return CheckResult(
            slug, Verdict.HARNESS_ERROR, message, {"differences": len(differences)}, record.clock
        )
    if not record.deliveries:
        return CheckResult(slug, Verdict.INCONCLUSIVE, "nothing to compare: no delivery", {}, record.clock)
    message = (
        f"{len(record.deliveries):,} deliveries and all that follows them are the same to the microsecond"
    )
    return CheckResult(slug, Verdict.PASS, message, {"deliveries": len(record.deliveries)}, record.clock)
