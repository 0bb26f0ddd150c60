"""A station with a loudspeaker, from the file to the verdicts; and what a file may not say about it."""

from __future__ import annotations

import pytest

from scenarios.loader import LIBRARY, ScenarioError, parse
from scenarios.oracles import judge
from scenarios.verdicts import Verdict
from scenarios.world.harvest import harvest
from scenarios.world.keys import run_keys
from scenarios.world.virtual import VirtualWorld, WorldOptions

SMOKE = (
    (LIBRARY / "smoke.yaml")
    .read_text(encoding="utf-8")
    .replace("max_cars: 20", "max_cars: 9")
    .replace("duration_s: 3600", "duration_s: 1500")
    .replace("adoption: 0.7", "adoption: 1.0")
)


def text(speaker, *faults):
    with_speaker = SMOKE.replace("services:\n", f"services:\n  loudspeaker: {speaker}\n", 1)
    if not faults:
        return with_speaker
    return with_speaker + "faults:\n" + "".join(f"  - {{target: loudspeaker, {fault}}}\n" for fault in faults)


def play(source):
    world = VirtualWorld(
        parse(source, "my.yaml").scenario, 7, keys=run_keys(), options=WorldOptions(skip_idle_polls=True)
    )
    try:
        world.run()
        return harvest(world), world.kernel.trace.hexdigest()
    finally:
        world.close()


@pytest.mark.requirement("vox.spoken-once-after-verified-payment")
@pytest.mark.parametrize(
    ("kind", "begins"),
    [
        ("clips", "号枪微信收款"),
        pytest.param("text", "号枪微信收款", marks=pytest.mark.slow),
        pytest.param("money", "收款", marks=pytest.mark.slow),
    ],
)
def test_each_payment_is_said(kind, begins):
    record, _ = play(text(f"{{kind: {kind}}}"))
    assert record.voice is not None
    assert record.voice.said[0].words.lstrip("一二").startswith(begins)
    assert len(record.voice.said) == len(record.voice.payments) >= 6
    for slug in ("voice.exactly-once", "voice.in-time"):
        result = judge(record, slug)
        assert result.verdict is Verdict.PASS, result
    told = next(count for count in record.operations if count.kind == "announcement")
    assert told.tried == told.succeeded == len(record.voice.payments)


@pytest.mark.slow
def test_faults_land_and_the_run_repeats():
    source = text(
        "{kind: text, leg: {kind: lognormal, median_ms: 60, p99_ms: 400}}",
        "kind: lost, at_s: 0, for_s: 3600, share: 0.3",
        "kind: refused, at_s: 0, for_s: 3600, share: 0.5",
        "kind: offline, at_s: 400, for_s: 200",
        "kind: wrong_clip, at_s: 700, for_s: 900",
    )
    first, trace = play(source)
    assert all(fault.landed for fault in first.faults), first.faults
    exactly_once = judge(first, "voice.exactly-once")
    assert exactly_once.verdict is Verdict.PASS, exactly_once
    assert exactly_once.figures["faults"] >= 2
    assert judge(first, "voice.error-rate").verdict is Verdict.FAIL
    second, again = play(source)
    assert (second.voice, again) == (first.voice, trace)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (SMOKE + "faults:\n  - {target: loudspeaker, kind: lost, at_s: 1}\n", "services.loudspeaker is not there"),
        (text("{}", "kind: offline, at_s: 1"), "give for_s, 1 or more"),
        (text("{}", "kind: refused, at_s: 1"), "never strikes: a loudspeaker of the kind 'clips'"),
        (text("{kind: amount}", "kind: ack_lost, at_s: 1"), "never strikes"),
        (text("{kind: shout}"), "services.loudspeaker.kind"),
        (text("{volume: 3}"), "volume"),
        (SMOKE + "swarm: {targets: [loudspeaker], faults: 3, longest_s: 60}\n", "services.loudspeaker is not there"),
    ],
)  # fmt: skip
def test_what_a_file_may_not_say(source, says):
    with pytest.raises(ScenarioError, match=says) as refused:
        parse(source, "my.yaml")
    assert str(refused.value).startswith("my.yaml:")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["clips", "amount"])
def test_a_swarm_may_strike_it(kind):
    swarm = "swarm: {targets: [loudspeaker], faults: 12, longest_s: 600}\n"
    record, _ = play(text(f"{{kind: {kind}}}") + swarm)
    assert {fault.target for fault in record.faults} == {"loudspeaker"}
    result = judge(record, "voice.exactly-once")
    assert result.verdict is Verdict.PASS, result
