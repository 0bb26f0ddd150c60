from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import stat
from pathlib import Path
from xml.etree import ElementTree as ET

import jsonschema
import pytest
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

from scenarios.evidence import (
    RUN_SCHEMA,
    CheckLine,
    ClockRun,
    EvidenceError,
    EvidenceFolder,
    RunDocument,
    check_lines,
    overall,
    segments,
    write_histograms,
)
from scenarios.junit import junit_xml
from scenarios.verdicts import CheckResult, Verdict

VERDICTS = {
    "conservation.litres": Verdict.PASS,
    "conservation.money": Verdict.FAIL,
    "sale.exactly-once": Verdict.INCONCLUSIVE,
    "faults.landed": Verdict.NOT_APPLICABLE,
    "latency.payment-human": Verdict.INFO,
    "live.monotone": Verdict.WARN,
    "failover.gap": Verdict.HARNESS_ERROR,
}


def document() -> RunDocument:
    results = [
        CheckResult(slug, verdict, f"said <{slug}>\x00", {"n": 1, "none": None})
        for slug, verdict in VERDICTS.items()
    ]
    run = ClockRun(
        clock="virtual", duration_us=3_600_000_000, trace_sha256="0" * 64, verdict=Verdict.FAIL, checks=check_lines(results),
        latencies=segments({"payment_controlled": [300, 100, 200], "live_amount": []}),
    )  # fmt: skip
    verdict, code = overall([run])
    return RunDocument(
        forecourt="0.1.0", scenario="smoke", scenario_sha256="1" * 64, seed="7", started_utc="2026-03-06T10:00:00Z",
        replay="forecourt run smoke --seed 7", verdict=verdict, exit_code=code, runs=[run],
    )  # fmt: skip


def test_a_folder_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "evidence"
    with EvidenceFolder(target) as folder:
        (folder.path / "events.ndjson").write_text("{}\n")
        assert not target.exists()
        assert folder.path.parent == target.parent
        folder.finish(document(), report_html="<p>x</p>", junit_xml="<testsuites/>")
    assert sorted(path.name for path in target.iterdir()) == [
        "SHA256SUMS",
        "events.ndjson",
        "junit.xml",
        "report.html",
        "run.json",
    ]
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o755), (0o077, 0o700), (0o027, 0o750)])
def test_a_folder_is_as_private_as_the_person_makes_folders(tmp_path: Path, mask: int, mode: int) -> None:
    before = os.umask(mask)
    try:
        with EvidenceFolder(tmp_path / "e") as folder:
            folder.finish(document(), report_html="", junit_xml="")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "e").stat().st_mode) == mode
    assert ".mode" not in (tmp_path / "e" / "SHA256SUMS").read_text()


def test_checksums_cover_every_file(tmp_path: Path) -> None:
    with EvidenceFolder(tmp_path / "e") as folder:
        (folder.path / "captures").mkdir()
        (folder.path / "captures" / "line.bin").write_bytes(b"\x50\x20\xfa")
        folder.finish(document(), report_html="", junit_xml="")
    sums = dict(
        reversed(line.split("  ")) for line in (tmp_path / "e" / "SHA256SUMS").read_text().splitlines()
    )
    assert set(sums) == {"captures/line.bin", "junit.xml", "report.html", "run.json"}
    for name, digest in sums.items():
        assert hashlib.sha256((tmp_path / "e" / name).read_bytes()).hexdigest() == digest


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_run_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    def run() -> None:
        with EvidenceFolder(tmp_path / "e") as folder:
            (folder.path / "events.ndjson").write_text("{}\n")
            raise error

    with pytest.raises(error):
        run()
    assert list(tmp_path.iterdir()) == []


def test_a_taken_name_is_refused_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "mine.txt").write_text("keep")
    with pytest.raises(EvidenceError, match="already exists"):
        EvidenceFolder(tmp_path / "e")
    (tmp_path / "file").write_text("")
    with pytest.raises(EvidenceError, match="already exists"):
        EvidenceFolder(tmp_path / "file")
    assert (tmp_path / "e" / "mine.txt").read_text() == "keep"


def test_a_place_that_cannot_be_written_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EvidenceError, match=r"cannot be written: (Not a directory|File exists)"):
        EvidenceFolder(tmp_path / "file" / "e")


def test_an_empty_folder_of_that_name_is_used(tmp_path: Path) -> None:
    (tmp_path / "e").mkdir()
    with EvidenceFolder(tmp_path / "e") as folder:
        folder.finish(document(), report_html="", junit_xml="")
    assert (tmp_path / "e" / "run.json").exists()


def test_a_number_that_another_run_took_meanwhile_grows(tmp_path: Path) -> None:
    with EvidenceFolder(tmp_path / "smoke-1-9", numbered=True) as folder:
        for taken in ("smoke-1-9", "smoke-1-10"):
            (tmp_path / taken).mkdir()
            (tmp_path / taken / "run.json").write_text("theirs")
        assert folder.finish(document(), report_html="", junit_xml="") == tmp_path / "smoke-1-11"
    assert (tmp_path / "smoke-1-9" / "run.json").read_text() == "theirs"
    assert (tmp_path / "smoke-1-11" / "run.json").exists()


def test_a_name_that_was_asked_for_is_never_another(tmp_path: Path) -> None:
    with EvidenceFolder(tmp_path / "e-1") as folder:
        (tmp_path / "e-1").mkdir()
        (tmp_path / "e-1" / "run.json").write_text("theirs")
        with pytest.raises(EvidenceError, match="not empty"):
            folder.finish(document(), report_html="", junit_xml="")
    assert [path.name for path in tmp_path.iterdir()] == ["e-1"]
    assert (tmp_path / "e-1" / "run.json").read_text() == "theirs"


def test_run_json_passes_the_published_schema_and_reads_back(tmp_path: Path) -> None:
    with EvidenceFolder(tmp_path / "e") as folder:
        folder.finish(document(), report_html="", junit_xml="")
    text = (tmp_path / "e" / "run.json").read_text(encoding="utf-8")
    jsonschema.Draft202012Validator(json.loads(RUN_SCHEMA.read_text(encoding="utf-8"))).validate(
        json.loads(text)
    )
    assert RunDocument.model_validate_json(text) == document()
    told = json.loads(text)
    assert (told["verdict"], told["exit_code"]) == ("HARNESS_ERROR", 4)
    assert told["runs"][0]["latencies"] == {
        "payment_controlled": {
            "samples": 3,
            "p50_us": 200,
            "p95_us": 300,
            "p99_us": 300,
            "p999_us": 300,
            "maximum_us": 300,
        }
    }


def test_histogram_logs_are_read_by_the_library_s_own_reader(tmp_path: Path) -> None:
    values = [0, 100, 250_000, 250_000, 3_000_000]
    (path,) = write_histograms(
        tmp_path / "histograms", "virtual", {"payment_controlled": values, "live_amount": []}
    )
    assert path.name == "virtual-payment_controlled.hlog"
    reader = HistogramLogReader(str(path), HdrHistogram(1, 24 * 3_600_000_000, 3))
    histogram = reader.get_next_interval_histogram()
    assert histogram.get_total_count() == 5
    assert histogram.get_value_at_percentile(60) == pytest.approx(250_000, rel=1e-3)
    assert (
        not histogram.get_tag()
    )  # HdrHistogram's own processor reads untagged lines unless it is told a tag
    reader.close()


class TestJunit:
    def suite(self) -> ET.Element:
        root = ET.fromstring(junit_xml(document()))
        assert root.tag == "testsuites"
        assert dict(root.attrib) == {"name": "forecourt smoke", "tests": "7", "failures": "1", "errors": "2"}
        suite = root.find("testsuite")
        assert suite is not None
        return suite

    def test_counts(self) -> None:
        suite = self.suite()
        assert {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped", "time")} == {
            "tests": "7", "failures": "1", "errors": "2", "skipped": "1", "time": "3600.000000",
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("slug", "child"),
        [
            ("conservation.money", "failure"),
            ("sale.exactly-once", "error"),
            ("failover.gap", "error"),
            ("faults.landed", "skipped"),
            ("conservation.litres", "system-out"),
            ("live.monotone", "system-out"),
        ],
    )
    def test_what_is_not_proved_does_not_read_green(self, slug: str, child: str) -> None:
        (case,) = [case for case in self.suite().iter("testcase") if case.get("name") == slug]
        outcomes = [element.tag for element in case if element.tag != "properties"]
        assert outcomes == [child]
        properties = {element.get("name"): element.get("value") for element in case.iter("property")}
        assert properties["verdict"] == VERDICTS[slug].value
        assert properties["none"] == ""

    def test_characters_that_xml_cannot_hold_are_replaced(self) -> None:
        assert "\x00" not in junit_xml(document())
        (case,) = [case for case in self.suite().iter("testcase") if case.get("name") == "conservation.money"]
        failure = case.find("failure")
        assert failure is not None
        assert failure.text == "said <conservation.money>\ufffd"


def test_check_lines_carry_the_keyword() -> None:
    (line,) = check_lines([CheckResult("latency.payment-human", Verdict.INFO, "x")])
    assert line == CheckLine(check="latency.payment-human", keyword="MAY", verdict=Verdict.INFO, message="x")


def test_matplotlib_is_not_needed_to_write_evidence() -> None:
    """Start-up of the command line must not pay for the plots."""
    spec = importlib.util.find_spec("scenarios.evidence")
    assert spec is not None
    assert spec.origin is not None
    assert "matplotlib" not in Path(spec.origin).read_text(encoding="utf-8")
