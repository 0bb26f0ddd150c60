"""Progress: bars on a terminal, plain lines anywhere else."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from forecourt import console as module
from forecourt.console import problem, progress


@pytest.fixture
def screen(monkeypatch):
    """Replace standard error by a console; returns a function that makes it a terminal or not."""

    def make(*, terminal: bool) -> io.StringIO:
        stream = io.StringIO()
        made = Console(file=stream, force_terminal=terminal, width=100, highlight=False)
        monkeypatch.setattr(module, "err", lambda: made)
        return stream

    return make


def test_a_log_gets_a_line_a_quarter_and_nothing_twice(screen):
    stream = screen(terminal=False)
    with progress() as stages:
        for percent in range(101):
            stages.stage("virtual hour", percent / 100)
        stages.stage("virtual hour", 1.0)
        stages.stage("[bold]wall", 0.1)
    lines = stream.getvalue().splitlines()
    assert lines[:4] == [f"virtual hour: {percent} %" for percent in (0, 25, 50, 75)]
    assert lines[4].startswith("virtual hour: done in ")
    assert lines[5:] == ["[bold]wall: 0 %"]


def test_a_terminal_gets_a_bar_a_stage(screen):
    stream = screen(terminal=True)
    with progress() as stages:
        stages.stage("virtual hour", 0.5)
        stages.stage("virtual hour", 1.0)
        stages.stage("busiest minute", 0.25)
    text = stream.getvalue()
    assert "virtual hour" in text
    assert "busiest minute" in text
    assert "100%" in text
    assert "25%" in text


def test_shares_out_of_range_are_harmless(screen):
    stream = screen(terminal=False)
    with progress() as stages:
        stages.stage("x", -1.0)
        stages.stage("x", 2.0)
    assert stream.getvalue().splitlines()[0] == "x: 0 %"
    assert "done" in stream.getvalue()


def test_a_problem_is_shown_as_it_is(screen):
    stream = screen(terminal=False)
    problem("a [red]b[/red]\nc" + "d" * 200)
    assert stream.getvalue() == "error: a [red]b[/red]\nerror: c" + "d" * 200 + "\n"
