from __future__ import annotations

import itertools

import pytest

from scenarios.verdicts import ExitCode, Verdict, exit_code, worst


def test_worst_takes_the_heaviest_whatever_the_order() -> None:
    order = [Verdict.PASS, Verdict.WARN, Verdict.INCONCLUSIVE, Verdict.FAIL, Verdict.HARNESS_ERROR]
    for lighter, heavier in itertools.combinations(order, 2):
        assert worst([lighter, heavier]) is heavier
        assert worst([heavier, lighter]) is heavier


@pytest.mark.parametrize("verdicts", [[], [Verdict.INFO], [Verdict.NOT_APPLICABLE, Verdict.INFO]])
def test_a_run_that_judged_nothing_is_inconclusive(verdicts: list[Verdict]) -> None:
    assert worst(verdicts) is Verdict.INCONCLUSIVE


def test_information_does_not_hide_a_pass() -> None:
    assert worst([Verdict.INFO, Verdict.PASS, Verdict.NOT_APPLICABLE]) is Verdict.PASS


@pytest.mark.parametrize(
    ("verdict", "code"),
    [
        (Verdict.PASS, ExitCode.CONFORMANT),
        (Verdict.WARN, ExitCode.CONFORMANT),
        (Verdict.FAIL, ExitCode.NON_CONFORMANT),
        (Verdict.INCONCLUSIVE, ExitCode.INCONCLUSIVE),
        (Verdict.HARNESS_ERROR, ExitCode.HARNESS_ERROR),
        (Verdict.INFO, ExitCode.INCONCLUSIVE),
    ],
)
def test_exit_codes(verdict: Verdict, code: ExitCode) -> None:
    assert exit_code(verdict) == code
