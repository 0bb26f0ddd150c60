"""Every fault of the tax platform that a scenario can name lands in a run, and the invoices survive it."""

from __future__ import annotations

import httpx
import pytest

from scenarios.loader import LIBRARY, ScenarioError, parse
from scenarios.oracles import judge
from scenarios.runner.virtual import run_once
from scenarios.verdicts import Verdict
from scenarios.world.faults import plan_faults
from scenarios.world.keys import run_keys
from scenarios.world.services import build_services
from sim.kernel import VirtualKernel
from sim.taxplatform import Session, TaxFaultKind

SMOKE = (
    (LIBRARY / "smoke.yaml")
    .read_text(encoding="utf-8")
    .replace("arrivals_per_hour: 60", "arrivals_per_hour: 240")
    .replace("max_cars: 20", "max_cars: 24")
    .replace("duration_s: 3600", "duration_s: 480")
    .replace("adoption: 0.7", "adoption: 1.0")
    .replace("wanted_share: 0.35", "wanted_share: 1.0")
)


def scenario(*faults):
    listed = "".join(f"  - {{target: tax, {fault}}}\n" for fault in faults)
    return parse(f"{SMOKE}faults:\n{listed}", "my.yaml").scenario


def test_each_kind_is_put_to_work_as_the_file_says():
    told = scenario(
        "kind: reply_late, at_s: 10, delay_ms: 30000",
        "kind: credit_exhausted, at_s: 20, for_s: 5, share: 0.5",
        *(
            f"kind: {kind}, at_s: 30, for_s: 60"
            for kind in ("quota_exhausted", "stall", "accept_stall", "login_lost", "face_check")
        ),
    )
    kernel = VirtualKernel("taxes", epoch_us=0)
    plan = plan_faults(told, "taxes")
    services = build_services(
        kernel,
        told.station,
        told.services,
        plan,
        run_keys(),
        notify_client=httpx.AsyncClient(),
        notify_url="https://backend.station",
    )
    armed = {spec.kind: spec for spec in services.tax.bureau.schedule}
    assert set(armed) == set(TaxFaultKind) - {TaxFaultKind.SEAL}
    late, credit, stall = armed["reply-late"], armed["credit"], armed["stall"]
    assert (late.at_us, late.for_us, late.limit, late.late_us) == (10_000_000, None, 1, 30_000_000)
    assert (credit.at_us, credit.for_us, credit.limit, credit.probability) == (
        20_000_000,
        5_000_000,
        None,
        0.5,
    )
    assert (stall.at_us, stall.for_us) == (30_000_000, 60_000_000)
    assert services.tax.bureau.accept_stalled_until_us() is None
    kernel.run(until_us=40_000_000)
    assert services.tax.bureau.session() is Session.LOGIN
    assert services.tax.bureau.accept_stalled_until_us() == 90_000_000
    assert {planned.landed() for planned in plan.faults} == {0, 1}, "the counts are the platform's own"
    kernel.close()


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.requirement("inv.one-blue-invoice-per-sale", "inv.answered-while-issuing")
def test_each_kind_lands_and_every_sale_has_one_invoice_at_most():
    run = run_once(
        scenario(
            "kind: reply_late, at_s: 0, delay_ms: 30000",
            "kind: credit_exhausted, at_s: 0",
            "kind: quota_exhausted, at_s: 0",
            "kind: accept_stall, at_s: 230, for_s: 60",
            "kind: login_lost, at_s: 290, for_s: 60",
            "kind: face_check, at_s: 350, for_s: 60",
            "kind: stall, at_s: 410, for_s: 60",
        ),
        "taxes",
        skip_idle_polls=True,
    )
    landed = {fault.kind: fault.landed for fault in run.record.faults}
    assert len(landed) == 7
    assert min(landed.values()) >= 1, landed
    result = judge(run.record, "invoice.one-per-sale")
    assert result.verdict is Verdict.PASS, result
    assert result.figures["issued"] > 10


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ("kind: face_check, at_s: 100", "needs for_s"),
        ("kind: accept_stall, at_s: 100", "needs for_s"),
        ("kind: login_lost, at_s: 100, for_s: 60, share: 0.5", "has no share"),
        ("kind: stall, at_s: 100, for_s: 60, delay_ms: 5", "delay_ms is for 'reply_late'"),
        ("kind: seal, at_s: 100", "input should be"),
    ],
)
def test_faults_that_make_no_sense_are_refused_with_their_reason(fault, problem):
    with pytest.raises(ScenarioError, match=problem):
        scenario(fault)
