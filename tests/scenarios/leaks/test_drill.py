"""The whole drill against the reference: nothing is found; with one guard taken away, something is."""

from __future__ import annotations

from pathlib import Path

import pytest

from scenarios import LoadedScenario, load, parse
from scenarios.leaks import make_canaries
from scenarios.leaks.drill import DrillOutcome, leak_drill
from scenarios.loader import LIBRARY
from scenarios.verdicts import Verdict

SMOKE = (LIBRARY / "smoke.yaml").read_text("utf-8")
SHORT = (
    SMOKE.replace("max_cars: 20", "max_cars: 4")
    .replace("duration_s: 3600", "duration_s: 600")
    .replace("  cashiers: 1", "  gauge:\n    poll_s: 30\n  cashiers: 1")
)


def drill(canaries, **more) -> DrillOutcome:
    loaded: LoadedScenario = parse(SHORT, "short.yaml")
    return leak_drill(loaded, "1", canaries, **more)


def places(outcome: DrillOutcome) -> set[str]:
    return {finding.place.partition(":")[0] for finding in outcome.report.findings}


@pytest.mark.requirement("sec.no-card-number-anywhere")
def test_a_thousand_card_numbers_through_every_input_leave_nothing_behind(tmp_path):
    canaries = make_canaries("1", cards=1000, phones=0)
    outcome = drill(canaries, keep=tmp_path / "evidence")
    report = outcome.report
    assert (report.verdict, report.found, report.unsearched) == (Verdict.PASS, 0, [])
    assert report.planted == 1000
    lines = {line.through: line for line in outcome.planted}
    assert set(lines) == {
        "texts of the tank gauge",
        "notices of the gateway",
        "the vault",
        "the backend",
        "fields of the scenario",
    }
    backend = lines["the backend"]
    assert backend.inputs > 500
    assert backend.failed == []
    # Numbers in headers, unknown queries and the like are not read, so those requests are taken.
    assert backend.taken > 100
    assert backend.refused > 300
    # Of the operations that change something, most were open: a number behind a closed door proves little.
    assert len(backend.closed) < 30
    assert lines["the vault"].taken > 10
    assert lines["fields of the scenario"].taken == 0
    kept = {path.relative_to(tmp_path / "evidence").as_posix() for path in (tmp_path / "evidence").rglob("*")}
    for wanted in (
        "events.ndjson",
        "run.json",
        "report.html",
        "junit.xml",
        "logs/run.log",
        "receipts/0001.txt",
        "receipts/0001.png",
        "captures/printer.fcap",
        "captures/pumps.fcap",
        "databases/backend.sqlite3",
        "databases/site.sqlite3",
        "databases/vault.sqlite3",
    ):
        assert wanted in kept
    assert report.rows > 200
    for canary in canaries[:50]:
        assert canary.digits.encode() not in (tmp_path / "evidence" / "events.ndjson").read_bytes()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.requirement("sec.no-card-number-anywhere", "priv.phone-and-plate-masked")
@pytest.mark.parametrize("name", ["kunming-peak"])
def test_with_phone_numbers_nothing_is_found_after_a_whole_scenario(name):
    outcome = leak_drill(load(name), "2", make_canaries("2"))
    assert (outcome.report.verdict, outcome.report.found, outcome.report.unsearched) == (Verdict.PASS, 0, [])
    assert all(line.taken + line.refused > 0 for line in outcome.planted)


GUARDS = {
    "the backend takes any text": (
        "reference.backend.private_numbers.refuse_numbers",
        lambda values, but=frozenset(): None,
    ),
    "the network's trace has paths as they are": ("sim.net.exchange.mask_private", str),
    "a gateway's identifiers are believed": (
        "reference.backend.payments.callbacks.refuse_numbers",
        lambda values, but=frozenset(): None,
    ),
    "the vault seals nothing": ("reference.vault.keys.KeyRing.seal", None),
}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.requirement("sec.no-card-number-anywhere")
@pytest.mark.parametrize("guard", GUARDS)
def test_without_a_guard_the_drill_finds_the_leak(monkeypatch, guard):
    from reference.vault.keys import Sealed

    name, instead = GUARDS[guard]
    if instead is None:

        def instead(ring, number, *, bound_to):
            return Sealed(ring.active, b"\0" * 12, number.encode())

    monkeypatch.setattr(name, instead)
    outcome = drill(make_canaries("leaky", cards=700, phones=0))
    assert outcome.report.verdict is Verdict.FAIL
    expected = {
        "the backend takes any text": "databases/backend.sqlite3",
        "the network's trace has paths as they are": "events.ndjson",
        "a gateway's identifiers are believed": "databases/backend.sqlite3",
        "the vault seals nothing": "databases/vault.sqlite3",
    }[guard]
    assert expected in places(outcome)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.requirement("sec.no-card-number-anywhere")
def test_a_part_that_leaks_into_log_trace_and_paper_is_found_in_each():
    import base64
    import logging

    canaries = make_canaries("parts", cards=700, phones=0)
    first, second, third = canaries[:3]

    def tamper(world):
        def leak() -> None:
            logging.getLogger("reference.backend").warning(
                "card %s", base64.b64encode(first.digits.encode()).decode()
            )
            world.kernel.trace.emit(
                "debug", "backend-a", note=f"card {second.digits[:4]} {second.digits[4:]}"
            )
            world.printer.receive_data(f"\n{third.digits}\n\x1dV\x00".encode(), world.kernel.now_us)

        world.kernel.call_at(5_000_000, leak)

    outcome = drill(canaries, tamper=tamper)
    by_canary = {
        canary: {f.place.partition(":")[0] for f in outcome.report.findings if f.canary == canary}
        for canary in canaries[:3]
    }
    assert "logs/run.log" in by_canary[first]
    assert "events.ndjson" in by_canary[second]
    assert any(place.startswith("receipts/") for place in by_canary[third])


def test_a_folder_that_is_taken_is_refused(tmp_path):
    from scenarios.evidence import EvidenceError

    (tmp_path / "file").write_text("x")
    with pytest.raises(EvidenceError):
        drill(make_canaries("1", cards=1, phones=0), keep=Path(tmp_path))
