"""The evidence folder of a run: written beside its final place and renamed when complete, so that half of one never looks whole.

``run.json`` (schema published as ``run.schema.json``), ``events.ndjson``, ``captures/``, ``histograms/`` (HdrHistogram logs),
``junit.xml``, ``report.html``, ``SHA256SUMS``.
"""

from __future__ import annotations

import errno
import hashlib
import re
import shutil
import stat
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Literal, Self

from hdrh.histogram import HdrHistogram
from pydantic import Field

from scenarios.checks import REGISTRY
from scenarios.model import Part
from scenarios.processes.broom import release, sweep_when_killed
from scenarios.statistics import percentile
from scenarios.verdicts import CheckResult, Clock, Verdict, exit_code, worst

__all__ = [
    "RUN_SCHEMA",
    "CheckLine",
    "ClockRun",
    "CurveLine",
    "EvidenceError",
    "EvidenceFolder",
    "FaultLine",
    "Floor",
    "RunDocument",
    "Segment",
    "ShiftLine",
    "TimelineStep",
    "check_lines",
    "overall",
    "run_schema",
    "segments",
    "write_histograms",
]

RUN_SCHEMA = Path(__file__).with_name("run.schema.json")
_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_HIGHEST_US = 24 * 3_600_000_000


class EvidenceError(Exception):
    """The evidence folder cannot be written; the message says why, for the person at the terminal."""


class CheckLine(Part):
    """One verdict."""

    check: str
    keyword: Literal["MUST", "SHOULD", "MAY"]
    verdict: Verdict
    message: str
    figures: dict[str, int | float | str | bool | None] = Field(default_factory=dict)


class Segment(Part):
    """A latency segment in figures, microseconds; nearest-rank percentiles."""

    samples: int
    p50_us: int
    p95_us: int
    p99_us: int
    p999_us: int
    maximum_us: int


class FaultLine(Part):
    """A fault as it was planned, as it landed, and how long those waited who came while it was active."""

    name: str
    target: str
    kind: str
    at_us: int
    healed_us: int | None
    landed: int
    deliveries: int = 0
    """Deliveries that ended in its window, those left unpaid on purpose and tests not counted."""
    slowest_settled_us: int | None = None
    """Of those, the longest from the end of a delivery to its settlement; None if there was none."""
    invoices: int = 0
    """Invoices asked for in its window."""
    slowest_invoice_us: int | None = None
    """Of those, the longest from the wish to the issued invoice; None if there was none."""


class TimelineStep(Part):
    """One bar (or, with ``end_us`` equal to ``start_us``, one mark) in the timeline of a car."""

    lane: str
    name: str
    start_us: int
    end_us: int


class Floor(Part):
    """What happened on the station floor."""

    arrived: int
    served: int
    balked: int
    reneged: int
    served_per_hour: float
    position_us: int | None
    station_us: int | None
    paying_share: float | None
    longest_queue: int
    queue: list[tuple[int, int]] = Field(default_factory=list)
    """(µs, cars waiting), at each change."""
    car: int | None = None
    """Number of the car whose timeline is shown."""
    timeline: list[TimelineStep] = Field(default_factory=list)


class ShiftLine(Part):
    """A closed shift: what was sold in it, how its money agrees, and how far totalisers and sales are apart."""

    shift: int
    attendant: str
    from_us: int
    until_us: int
    sales: int
    volume_ml: int
    amount_fen: int
    unpaid_fen: int
    tests_ml: int
    taken_fen: int
    cash_expected_fen: int
    cash_counted_fen: int | None
    difference_ml: int
    corrections: int


class ClockRun(Part):
    """What was judged on one clock."""

    clock: Clock
    duration_us: int
    trace_sha256: _Sha256 | None = None
    verdict: Verdict
    checks: list[CheckLine]
    latencies: dict[str, Segment] = Field(default_factory=dict)
    faults: list[FaultLine] = Field(default_factory=list)
    floor: Floor | None = None
    shifts: list[ShiftLine] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)


class CurveLine(Part):
    """One point of the curve over arrival rates; see `scenarios.curve`."""

    mode: Literal["kiosk", "mini_program"]
    arrivals_per_hour: int
    seed: str
    served_per_hour: float
    position_us: int | None
    station_us: int | None
    paying_share: float | None


class RunDocument(Part):
    """``run.json``."""

    format: Literal[1] = 1
    forecourt: str
    """Version that made the run."""
    scenario: str
    scenario_sha256: _Sha256
    description: str = ""
    seed: str
    started_utc: str
    replay: str
    """Command line that reproduces the run."""
    verdict: Verdict
    exit_code: int
    runs: list[ClockRun]
    curve: list[CurveLine] = Field(default_factory=list)
    environment: dict[str, str] = Field(default_factory=dict)


def run_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of ``run.json``."""
    body = RunDocument.model_json_schema(mode="serialization")
    body["title"] = "Forecourt run"
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:forecourt:schema:run",
        **body,
    }


def check_lines(results: Sequence[CheckResult]) -> list[CheckLine]:
    """Results as they stand in ``run.json``."""
    return [
        CheckLine(
            check=result.check,
            keyword=REGISTRY[result.check].keyword,
            verdict=result.verdict,
            message=result.message,
            figures=dict(result.figures),
        )
        for result in results
    ]


def overall(runs: Sequence[ClockRun]) -> tuple[Verdict, int]:
    """Verdict and exit code of a run over its clocks."""
    verdict = worst(line.verdict for run in runs for line in run.checks)
    return verdict, int(exit_code(verdict))


def segments(latencies_us: Mapping[str, Sequence[int]]) -> dict[str, Segment]:
    """Figures of each latency segment that has samples."""
    told = {}
    for name, samples in latencies_us.items():
        ordered = sorted(samples)
        if ordered:
            told[name] = Segment(
                samples=len(ordered),
                p50_us=percentile(ordered, 0.5),
                p95_us=percentile(ordered, 0.95),
                p99_us=percentile(ordered, 0.99),
                p999_us=percentile(ordered, 0.999),
                maximum_us=ordered[-1],
            )
    return told


def write_histograms(folder: Path, clock: Clock, latencies_us: Mapping[str, Sequence[int]]) -> list[Path]:
    """Write one HdrHistogram log a segment: microseconds, three significant digits, one interval over the whole run.

    Values beyond 24 h are counted as 24 h. The format is that of HistogramLogWriter 1.3, which the usual viewers read. The line has
    no tag, since HdrHistogram's own HistogramLogProcessor passes over tagged ones unless it is told the tag.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, samples in latencies_us.items():
        if not samples:
            continue
        histogram = HdrHistogram(1, _HIGHEST_US, 3)
        for value in samples:
            histogram.record_value(min(max(value, 1), _HIGHEST_US))
        path = folder / f"{clock}-{name}.hlog"
        largest_ms = histogram.get_max_value() / 1_000
        path.write_text(
            "#[Histogram log format version 1.3]\n"
            f"#[{name}, {clock} clock, recorded in microseconds, max column in milliseconds]\n"
            '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"\n'
            f"0.000,0.001,{largest_ms:.3f},{histogram.encode().decode('ascii')}\n",
            encoding="ascii",
        )
        written.append(path)
    return written


class EvidenceFolder:
    """A folder that appears under its name only when it is complete.

    Use as a context manager; write below `path`, then call `finish`. Leaving without `finish` (an error, Ctrl-C)
    removes everything, and so does kill -9.

    Args:
        target: its name.
        numbered: the number at the end of the name may grow, when another run took the name meanwhile.

    Raises:
        EvidenceError: the place is taken by something else, or cannot be written.
    """

    def __init__(self, target: Path, *, numbered: bool = False) -> None:
        self.target = Path(target)
        self._numbered = numbered
        if self.target.exists() and not (self.target.is_dir() and not any(self.target.iterdir())):
            raise EvidenceError(f"{self.target} already exists; give another folder with --out")
        try:
            self.target.parent.mkdir(parents=True, exist_ok=True)
            # A sibling, so that the final rename stays on one file system and is atomic.
            self.path = Path(tempfile.mkdtemp(prefix=f".{self.target.name}.partial-", dir=self.target.parent))
        except OSError as error:
            raise EvidenceError(f"{self.target} cannot be written: {error.strerror or error}") from error
        sweep_when_killed(self.path)
        self._finished = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._finished:
            shutil.rmtree(self.path, ignore_errors=True)
        release(self.path)

    def finish(self, document: RunDocument, *, report_html: str, junit_xml: str) -> Path:
        """Write ``run.json``, JUnit, report and checksums, and give the folder its name.

        Raises:
            EvidenceError: the disk is full, or the name was taken meanwhile.
        """
        try:
            (self.path / "run.json").write_text(document.model_dump_json(indent=2) + "\n", encoding="utf-8")
            (self.path / "junit.xml").write_text(junit_xml, encoding="utf-8")
            (self.path / "report.html").write_text(report_html, encoding="utf-8")
            _write_checksums(self.path)
            self.path.chmod(_usual_mode(self.path))
            self._give_name()
        except OSError as error:
            raise EvidenceError(f"{self.target} cannot be written: {error.strerror or error}") from error
        self._finished = True
        return self.target

    def _give_name(self) -> None:
        while True:
            try:
                # Takes the place of an empty folder, and of nothing else.
                self.path.rename(self.target)
            except OSError as error:
                if not self._numbered or error.errno not in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}:
                    raise
                name = re.sub(r"\d+$", lambda number: str(int(number[0]) + 1), self.target.name)
                self.target = self.target.with_name(name)
            else:
                return


def _usual_mode(folder: Path) -> int:
    """Mode of any new folder. mkdtemp's are private, and evidence is for others to read, unless the person's umask keeps them out."""
    probe = folder / ".mode"
    probe.mkdir()
    mode = stat.S_IMODE(probe.stat().st_mode)
    probe.rmdir()
    return mode


def _write_checksums(folder: Path) -> None:
    lines = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            lines.append(f"{digest}  {path.relative_to(folder).as_posix()}\n")
    (folder / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")
