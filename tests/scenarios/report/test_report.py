from __future__ import annotations

import base64
import importlib.util
import re
import sys
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from matplotlib.figure import Figure

from scenarios.evidence import Segment
from scenarios.loader import load
from scenarios.report import curve_plot, latency_plot, render_report, timeline_plot
from scenarios.report.plots import _survival, survival

VOID = {"meta", "br", "img", "link", "hr"}


def load_data() -> ModuleType:
    spec = importlib.util.spec_from_file_location("report_data", Path(__file__).with_name("report_data.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["report_data"] = module
    spec.loader.exec_module(module)
    return module


data: Any = load_data()


class Outline(HTMLParser):
    """Checks that elements close in order and collects what a reader meets."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.ids: list[str] = []
        self.sources: list[str] = []
        self.images_without_text = 0
        self.headings: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids += [given["id"]] if given.get("id") else []
        self.sources += [given[name] for name in ("src", "href") if given.get(name)]
        self.images_without_text += tag == "img" and not given.get("alt")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, text: str) -> None:
        if self.open and self.open[-1] in {"h1", "h2", "h3"}:
            self.headings.append(text.strip())


@pytest.fixture(scope="module")
def page() -> str:
    samples = {clock: data.samples(clock) for clock in ("virtual", "wall")}
    return render_report(data.document(), samples)


def outline(page: str) -> Outline:
    parser = Outline()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    return parser


def test_the_page_is_well_formed_and_stands_alone(page: str) -> None:
    seen = outline(page)
    assert page.startswith("<!DOCTYPE html>")
    assert len(seen.ids) == len(set(seen.ids))
    assert seen.images_without_text == 0
    assert len(seen.sources) >= 5
    assert all(source.startswith("data:image/svg+xml;base64,") for source in seen.sources)
    assert not re.search(r"@import|url\(|<script", page)


def test_modelled_and_measured_are_kept_apart(page: str) -> None:
    modelled, measured = page.index('<section id="virtual">'), page.index('<section id="wall">')
    assert modelled < measured
    assert "Harness delay: p99 0.8 ms." in page[measured:]
    assert "Harness delay: p99 0.8 ms." not in page[modelled:measured]
    assert outline(page).headings.count("Latency") == 2


def test_text_from_outside_is_escaped(page: str) -> None:
    assert "sale S&lt;77&gt; of 22,800 fen" in page
    assert "S<77>" not in page


def test_a_fault_that_never_landed_is_told(page: str) -> None:
    assert "never landed" in page


def test_shifts_stand_in_a_table_with_their_sum(page: str) -> None:
    assert page.count("<h3>Shifts</h3>") == 1, "only a virtual run has shifts"
    assert "<td>王丽</td>" in page
    assert "&lt;b&gt;Li&lt;/b&gt;" in page
    assert "<td>1,199.50</td>" in page
    assert "<td>6,420.90</td><td>48,798.84</td>" in page


def test_each_plot_is_an_svg_that_parses(page: str) -> None:
    for source in outline(page).sources:
        root = ET.fromstring(base64.b64decode(source.partition(",")[2]))
        assert root.tag == "{http://www.w3.org/2000/svg}svg"


def test_the_same_run_gives_the_same_page(page: str) -> None:
    samples = {clock: data.samples(clock) for clock in ("virtual", "wall")}
    assert render_report(data.document(), samples) == page


def test_a_run_with_next_to_nothing_still_has_a_page() -> None:
    bare = data.document(
        runs=[data.document().runs[1].model_copy(update={"latencies": {}, "checks": []})],
        curve=[],
        environment={},
    )
    page = render_report(bare)
    assert outline(page).sources == []
    assert latency_plot({}) == curve_plot([]) == timeline_plot([]) == ""


@pytest.mark.parametrize("n", [1, 2, 60])
def test_a_distribution_of_a_few_samples_can_be_drawn(n: int) -> None:
    assert "<svg" in latency_plot({"payment_controlled": [1_000] * n, "invoice_answered": [0] * n})


@pytest.mark.parametrize("n", [1, 2, 13, 100, 1_000, 90_000])
def test_the_drawn_line_is_the_share_of_slower_samples(n: int) -> None:
    latencies_us, shares = survival(range(1, n + 1))

    assert latencies_us == sorted(latencies_us)
    assert (latencies_us[0], shares[0], latencies_us[-1], shares[-1]) == (1, 1.0, n, 1 / n)
    for upto_us, share in zip(latencies_us, shares, strict=True):
        assert share == (n - upto_us + 1) / n, "of those that took so long or longer"
    for below, above in pairwise(shares):
        assert above >= below * 0.98 - 1 / n, "no step that would hide what the tail does"


def test_a_line_keeps_a_limit_that_all_but_one_in_a_hundred_keep() -> None:
    latencies_us, shares = survival([10_000] * 99 + [400_000])
    figure = Figure()
    _survival(figure.subplots(), [10_000] * 99 + [400_000], "a segment", {"p99_us": 300_000})
    line = figure.axes[0].lines[0]

    assert line.get_drawstyle() == "steps-pre"
    assert list(line.get_xdata())[:-1] == [at_us / 1e6 for at_us in latencies_us]
    at_300_ms = next(share for at_us, share in zip(latencies_us, shares, strict=True) if at_us >= 300_000)
    assert at_300_ms == pytest.approx(0.01), "it touches the mark at (300 ms, 1 %) and does not pass above it"


def test_what_took_no_time_is_drawn_at_the_edge() -> None:
    assert survival([0, 0, 0])[0][-1] == 1


def test_a_percentile_that_is_only_the_largest_sample_is_not_shown() -> None:
    run = data.document().runs[0]
    few = Segment(samples=19, p50_us=1_000, p95_us=2_000, p99_us=2_000, p999_us=2_000, maximum_us=2_000)
    some = few.model_copy(update={"samples": 999, "p99_us": 1_900})
    page = render_report(
        data.document(
            runs=[run.model_copy(update={"latencies": {"payment_controlled": few, "live_amount": some}})]
        )
    )

    def row(*cells: str) -> str:
        return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"

    assert row("payment controlled", "19", "1.0 ms", "–", "–", "–", "2.0 ms") in page
    assert row("live amount", "999", "1.0 ms", "2.0 ms", "1.9 ms", "–", "2.0 ms") in page


def test_the_curve_says_nothing_of_a_scenario_that_it_does_not_know() -> None:
    page = render_report(data.document(description="Somebody else's station."))

    assert "Kiosk against mini-program" in page
    assert "searched to fit" not in page
    assert "searched to fit" in load("kunming-peak").scenario.description.replace("\n", " ")
