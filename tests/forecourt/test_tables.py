"""The verdict table keeps modelled and measured time apart, and shows limits as the scenario sets them."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from forecourt.tables import limits_text, print_figures, print_scenarios, print_verdicts
from scenarios import REGISTRY, CheckResult, Verdict, load


def printed(show, *arguments, width=140, terminal=False):
    stream = io.StringIO()
    show(Console(file=stream, width=width, highlight=False, force_terminal=terminal), *arguments)
    return stream.getvalue()


def test_limits_are_written_as_a_person_writes_them():
    assert limits_text({"p99_us": 300_000, "p999_us": 1_000_000}) == "p99 ≤ 300 ms, p99.9 ≤ 1.00 s"
    assert limits_text({"maximum_us": 15_000_000, "trials": 20}) == "max ≤ 15.00 s, ≥ 20 trials"
    assert limits_text({}) == ""


@pytest.mark.parametrize("slug", REGISTRY)
def test_every_limit_of_the_registry_reads_well(slug):
    text = limits_text(REGISTRY[slug].limits)
    assert "_" not in text
    assert bool(text) == bool(REGISTRY[slug].limits)


RESULTS = (
    CheckResult("conservation.litres", Verdict.PASS, "4 counts agree [to the ml]", {}, "virtual"),
    CheckResult("liveness.settled", Verdict.FAIL, "sale 7 never settled", {}, "virtual"),
    CheckResult("latency.payment-controlled", Verdict.INCONCLUSIVE, "12 samples", {}, "wall"),
)


def test_modelled_and_measured_stand_in_tables_of_their_own():
    text = printed(print_verdicts, RESULTS, Verdict.FAIL, 1, load("smoke").scenario)
    modelled, measured = text.index("Modelled"), text.index("Measured")
    assert modelled < text.index("conservation.litres") < text.index("sale 7 never settled") < measured
    assert measured < text.index("latency.payment-controlled") < text.index("12 samples")
    assert "4 counts agree [to the ml]" in text
    assert "p99 ≤ 300 ms" in text
    assert text.splitlines()[-1] == "FAIL  smoke is not conformant (exit code 1)"


def test_in_a_narrow_window_nothing_is_cut_off():
    text = printed(print_verdicts, RESULTS, Verdict.FAIL, 1, load("smoke").scenario, width=40)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 40
    for words in ("INCONCLUSIVE", "latency.payment-controlled", "sale 7 never settled", "p99 ≤ 300 ms"):
        assert words in text
    assert "…" not in text


def test_the_limit_shown_is_the_one_of_the_scenario():
    scenario = load("smoke").scenario
    (mine,) = [check.limits["settle_us"] for check in scenario.checks if check.check == "liveness.settled"]
    assert mine != REGISTRY["liveness.settled"].limits["settle_us"]
    text = printed(print_verdicts, RESULTS, Verdict.FAIL, 1, scenario)
    assert limits_text({"settle_us": mine}) in text


@pytest.mark.parametrize("verdict", Verdict)
def test_every_verdict_has_a_style_in_the_table(verdict):
    results = (CheckResult("faults.landed", verdict, "seen", {}, "virtual"),)
    assert verdict.value in printed(print_verdicts, results, Verdict.PASS, 0, load("smoke").scenario)


def test_a_clock_that_did_not_run_has_no_table():
    assert "Measured" not in printed(print_verdicts, RESULTS[:1], Verdict.PASS, 0, load("smoke").scenario)


def test_figures_carry_their_units():
    text = printed(
        print_figures, {"poll_period_us": 250_000, "virtual_s": 9.5, "polls": 230_400, "skipped": True}
    )
    assert [line.split("  ")[0] for line in text.splitlines()] == [
        "poll period",
        "virtual",
        "polls",
        "skipped",
    ]
    for words in ("250 ms", "9.50 s", "230,400", "yes"):
        assert words in text


def test_scenarios_are_cut_on_a_terminal_only():
    scenarios = [load("kunming-peak").scenario]
    assert "mini-program" in printed(print_scenarios, scenarios, width=60)
    cut = printed(print_scenarios, scenarios, width=60, terminal=True)
    assert "mini-program" not in cut
    assert cut.count("\n") == 1
