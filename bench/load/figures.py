"""What a load run measures: HDR histograms in microseconds and exact counts, in pieces that can be sent and added up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from hdrh.histogram import HdrHistogram

__all__ = ["LIMITS_US", "SEGMENTS", "LoadFigures"]

SEGMENTS = ("response", "service", "schedule_lag")
"""``response``: intended press of the pay button → PAID seen; it alone is what a customer feels.
``service``: request really sent → PAID seen; blind to waiting, so it flatters.
``schedule_lag``: by how much the harness itself was late; not the backend's doing."""

LIMITS_US = (300_000, 3_000_000)
"""Responses above these are counted one by one: a histogram's bucket may lie on both sides of a limit."""

_HIGHEST_US = 24 * 3_600_000_000
_DIGITS = 3
_ERROR_KINDS = 20


def _empty() -> HdrHistogram:
    return HdrHistogram(1, _HIGHEST_US, _DIGITS)


class LoadFigures:
    """Counts and histograms of one worker, or of all of them added up.

    Attributes:
        histograms: one for each of `SEGMENTS`, microseconds, three significant digits.
        arrivals: arrivals that came due; each becomes one completed, failed or dropped.
        completed: payments seen as PAID.
        dropped: arrivals that found the cap of payments in flight reached.
        over: responses above each of `LIMITS_US`, exact.
        errors: failed payments by reason; beyond twenty reasons, under ``other``.
        longest_us: the largest response, exact; 0 without any.
        last_us: when the last payment was seen as PAID, microseconds after the start of the run.
    """

    def __init__(self) -> None:
        self.histograms = {name: _empty() for name in SEGMENTS}
        self.arrivals = 0
        self.completed = 0
        self.dropped = 0
        self.over = dict.fromkeys(LIMITS_US, 0)
        self.errors: Counter[str] = Counter()
        self.longest_us = 0
        self.last_us = 0

    @property
    def failed(self) -> int:
        """Payments that did not become PAID."""
        return self.errors.total()

    def lag(self, lag_us: int) -> None:
        """The harness started an arrival this late."""
        self.histograms["schedule_lag"].record_value(max(0, lag_us))

    def paid(self, *, response_us: int, service_us: int, at_us: int) -> None:
        """A payment was seen as PAID, ``at_us`` after the start of the run."""
        self.completed += 1
        self.histograms["response"].record_value(response_us)
        self.histograms["service"].record_value(service_us)
        self.longest_us = max(self.longest_us, response_us)
        self.last_us = max(self.last_us, at_us)
        for limit_us in LIMITS_US:
            self.over[limit_us] += response_us > limit_us

    def fail(self, reason: str) -> None:
        """A payment ended without having become PAID."""
        known = reason in self.errors or len(self.errors) < _ERROR_KINDS
        self.errors[reason if known else "other"] += 1

    def to_report(self) -> dict[str, Any]:
        """Everything as plain values; histograms in HdrHistogram's V2 compressed form, base64."""
        return {
            "arrivals": self.arrivals,
            "completed": self.completed,
            "dropped": self.dropped,
            "over": {str(limit_us): count for limit_us, count in self.over.items()},
            "errors": dict(self.errors),
            "longest_us": self.longest_us,
            "last_us": self.last_us,
            "histograms": {
                name: histogram.encode().decode("ascii")
                for name, histogram in self.histograms.items()
                if histogram.get_total_count()
            },
        }

    def add(self, report: Mapping[str, Any]) -> None:
        """Add what `to_report` gave, here or in another process; adding is exact, in any order."""
        self.arrivals += report["arrivals"]
        self.completed += report["completed"]
        self.dropped += report["dropped"]
        for limit_us in LIMITS_US:
            self.over[limit_us] += report["over"][str(limit_us)]
        for reason, count in report["errors"].items():
            self.errors[reason if reason in self.errors or len(self.errors) < _ERROR_KINDS else "other"] += (
                count
            )
        self.longest_us = max(self.longest_us, report["longest_us"])
        self.last_us = max(self.last_us, report["last_us"])
        for name, encoded in report["histograms"].items():
            self.histograms[name].decode_and_add(encoded.encode("ascii"))

    def percentiles(self, segment: str) -> dict[str, int]:
        """``count``, ``p50`` … ``p999`` and ``max`` of a segment, microseconds (0 without samples)."""
        histogram = self.histograms[segment]
        named = {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "p999": 99.9}
        found = {name: int(histogram.get_value_at_percentile(share)) for name, share in named.items()}
        return {"count": int(histogram.get_total_count()), **found, "max": int(histogram.get_max_value())}
