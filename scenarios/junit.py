"""JUnit XML for CI: what is not proved must not read green.

FAIL becomes a failure; HARNESS_ERROR and INCONCLUSIVE become errors (a skip would read green); NOT_APPLICABLE is skipped; WARN and
INFO pass with a property that says so.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from scenarios.evidence import CheckLine, RunDocument
from scenarios.verdicts import Verdict

__all__ = ["junit_xml"]

# What XML 1.0 cannot hold at all (section 2.2), not even escaped.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)


def _case(suite: ET.Element, scenario: str, clock: str, line: CheckLine) -> None:
    case = ET.SubElement(
        suite, "testcase", name=line.check, classname=f"forecourt.{scenario}.{clock}", time="0"
    )
    properties = ET.SubElement(case, "properties")
    ET.SubElement(properties, "property", name="verdict", value=line.verdict.value)
    ET.SubElement(properties, "property", name="keyword", value=line.keyword)
    for name, value in line.figures.items():
        ET.SubElement(
            properties, "property", name=_clean(name), value=_clean("" if value is None else str(value))
        )
    message = _clean(line.message)
    match line.verdict:
        case Verdict.FAIL:
            ET.SubElement(case, "failure", message=message, type="FAIL").text = message
        case Verdict.INCONCLUSIVE | Verdict.HARNESS_ERROR:
            ET.SubElement(case, "error", message=message, type=line.verdict.value).text = message
        case Verdict.NOT_APPLICABLE:
            ET.SubElement(case, "skipped", message=message)
        case _:
            ET.SubElement(case, "system-out").text = message


def junit_xml(document: RunDocument) -> str:
    """The JUnit text of a run: one suite a clock."""
    root = ET.Element("testsuites", name=f"forecourt {document.scenario}")
    bad = {"failures": 0, "errors": 0, "tests": 0}
    for run in document.runs:
        verdicts = [line.verdict for line in run.checks]
        counts = {
            "tests": len(verdicts),
            "failures": verdicts.count(Verdict.FAIL),
            "errors": verdicts.count(Verdict.INCONCLUSIVE) + verdicts.count(Verdict.HARNESS_ERROR),
            "skipped": verdicts.count(Verdict.NOT_APPLICABLE),
        }
        for name in bad:
            bad[name] += counts[name]
        suite = ET.SubElement(
            root,
            "testsuite",
            name=f"{document.scenario} ({run.clock})",
            timestamp=document.started_utc,
            time=f"{run.duration_us / 1e6:.6f}",
            attrib={name: str(value) for name, value in counts.items()},
        )
        properties = ET.SubElement(suite, "properties")
        ET.SubElement(properties, "property", name="seed", value=_clean(document.seed))
        ET.SubElement(properties, "property", name="replay", value=_clean(document.replay))
        for line in run.checks:
            _case(suite, document.scenario, run.clock, line)
    for name, value in bad.items():
        root.set(name, str(value))
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"
