"""Announcements that are right pass; each way of spoiling one is seen by the oracle that must see it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from protocols.loudspeaker import Announcement, words_of
from scenarios.oracles import judge
from scenarios.record import FaultLanding, RunRecord
from scenarios.verdicts import Verdict
from scenarios.voice_record import LoggedAnnouncement, SaidAloud, VoiceHit, VoicePayment, VoiceRecord

S = 1_000_000
SLUGS = ("voice.exactly-once", "voice.in-time", "voice.error-rate")
PROVED_S = (10, 60, 61, 62, 200)  # three at once: the second and third wait for the one before them


def words(nozzle, amount_fen, payer="微信"):
    return "".join(words_of(Announcement(request_id="x", amount_fen=amount_fen, nozzle=nozzle, payer=payer)))


def good_record(count=5):
    payments, log, said, free_us = [], [], [], 0
    for i in range(count):
        proved_us = PROVED_S[i] * S if i < 5 else (200 + 10 * i) * S
        number, nozzle, amount_fen = f"N{i}", 1 + i % 4, 20_005 + i
        payments.append(
            VoicePayment(
                number=number, nozzle=nozzle, amount_fen=amount_fen, proved_us=proved_us, gateway_us=proved_us - S // 5
            )
        )  # fmt: skip
        log.append(LoggedAnnouncement(number=number, state="sent", attempts=1))
        started_us = max(proved_us + S // 10, free_us + S // 10)
        free_us = started_us + 4 * S
        said.append(
            SaidAloud(
                number=number, words=words(nozzle, amount_fen), started_us=started_us, ended_us=free_us, volume=80
            )
        )  # fmt: skip
    voice = VoiceRecord(says_nozzle=True, payments=tuple(payments), log=tuple(log), said=tuple(said))
    return RunRecord(clock="virtual", ended_us=100_000 * S, voice=voice)


def changed(record, **lists):
    return replace(record, voice=replace(record.voice, **lists))


def say(record, place, **changes):
    """The same record with one announcement said otherwise."""
    said = list(record.voice.said)
    said[place] = replace(said[place], **changes)
    return changed(record, said=tuple(said))


def silent(record, place):
    return changed(record, said=tuple(one for i, one in enumerate(record.voice.said) if i != place))


def logged(record, place, **changes):
    log = list(record.voice.log)
    log[place] = replace(log[place], **changes)
    return changed(record, log=tuple(log))


def hit(record, kind, number="N1"):
    return changed(record, hits=(*record.voice.hits, VoiceHit(fault=kind, kind=kind, number=number)))


def landed(record, target, kind, at_s, healed_s):
    fault = FaultLanding(
        name=kind, target=target, kind=kind, at_us=at_s * S, healed_us=healed_s * S, landed=1
    )
    return replace(record, faults=(*record.faults, fault))


def verdicts(record):
    return [judge(record, slug).verdict for slug in SLUGS]


PASS, FAIL, OPEN = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE


@pytest.mark.requirement("vox.spoken-once-after-verified-payment", "vox.queue-in-order-and-fresh")
def test_what_is_right_passes():
    assert verdicts(good_record()) == [PASS, PASS, OPEN]
    assert verdicts(good_record(3_000)) == [PASS, PASS, PASS]
    result = judge(good_record(), "voice.in-time")
    assert result.figures["oldest_us"] == 6_300_000  # the third of three at once


def test_nothing_is_inconclusive():
    empty = RunRecord(clock="virtual", ended_us=S)
    assert verdicts(empty) == [OPEN] * 3
    assert verdicts(replace(empty, voice=VoiceRecord(says_nozzle=True))) == [OPEN] * 3
    deaf = changed(good_record(), said=())
    assert judge(deaf, "voice.in-time").verdict is OPEN
    dropped = changed(deaf, log=tuple(replace(row, state="dropped", reason="old") for row in deaf.voice.log))
    assert verdicts(dropped) == [OPEN] * 3


BROKEN = {
    "never said": (lambda r: silent(r, 1), 0, "was sent and never said"),
    "never announced": (lambda r: changed(silent(r, 1), log=r.voice.log[:1]), 0, "was never announced"),
    "said twice": (lambda r: changed(r, said=(*r.voice.said, r.voice.said[1])), 0, "was said 2 times"),
    "wrong amount": (lambda r: say(r, 2, words=words(3, 20_006)), 0, "it is 20007 fen"),
    "wrong nozzle": (lambda r: say(r, 2, words=words(4, 20_007)), 0, "it was nozzle 3"),
    "nozzle left out": (lambda r: say(r, 2, words=words(None, 20_007)), 0, "it was nozzle 3"),
    "half a sentence": (lambda r: say(r, 2, words="三号枪微信收款二百"), 0, "nobody understands"),
    "before the proof": (lambda r: say(r, 0, started_us=10 * S - 1), 0, "before it was proved"),
    "before the gateway had it": (
        lambda r: changed(r, payments=(replace(r.voice.payments[0], gateway_us=20 * S), *r.voice.payments[1:])),
        0,
        "before it was proved",
    ),
    "no payment behind it": (lambda r: say(r, 0, number="N77"), 0, "no payment is behind it"),
    "silent": (lambda r: say(r, 0, volume=0), 0, "never said"),
    "cut off": (lambda r: say(r, 0, is_whole=False), 0, "never said"),
    "late": (lambda r: say(r, 4, started_us=202 * S + S // 2), 1, "waited 2.5 s"),
    "old": (lambda r: say(r, 4, started_us=231 * S), 1, "31.0 s after its proof"),
    "out of order": (
        lambda r: say(say(r, 1, started_us=66 * S, ended_us=70 * S), 2, started_us=61 * S, ended_us=65 * S),
        1,
        "proved before it",
    ),
}  # fmt: skip


@pytest.mark.requirement("vox.spoken-once-after-verified-payment", "vox.queue-in-order-and-fresh")
@pytest.mark.parametrize("name", BROKEN)
def test_each_way_of_breaking_it_is_seen(name):
    spoil, which, says = BROKEN[name]
    result = judge(spoil(good_record()), SLUGS[which])
    assert result.verdict is FAIL
    assert says in result.message


@pytest.mark.requirement("vox.error-rate-at-most-a-tenth-percent")
def test_errors_are_counted_whoever_is_to_blame():
    record = good_record(3_000)
    assert judge(silent(record, 7), "voice.error-rate").verdict is OPEN  # one in 3,000 proves nothing
    for number in range(6):
        record = hit(silent(record, 100 + number), "lost", f"N{100 + number}")
    result = judge(record, "voice.error-rate")
    assert result.verdict is FAIL
    assert result.figures["missing"] == 6
    assert judge(record, "voice.exactly-once").verdict is FAIL  # places move: those hit are not those missing
    spoilt = say(say(good_record(3_000), 5, words="嗯"), 9, words=words(2, 1))
    assert judge(spoilt, "voice.error-rate").figures["wrong"] == 2
    doubled = changed(spoilt, said=(*spoilt.voice.said, spoilt.voice.said[20]))
    assert judge(doubled, "voice.error-rate").figures["doubled"] == 1


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.requirement("vox.error-rate-at-most-a-tenth-percent")
def test_twenty_in_thirty_thousand_are_enough_and_twenty_one_are_not():
    record = good_record(30_000)
    for wrong, verdict in ((20, PASS), (21, OPEN), (31, FAIL)):
        said = tuple(
            replace(one, words="嗯") if i < wrong else one for i, one in enumerate(record.voice.said)
        )
        assert judge(changed(record, said=said), "voice.error-rate").verdict is verdict


def test_what_was_dropped_on_record_is_no_error():
    record = logged(silent(good_record(3_001), 6), 6, state="dropped", reason="older than 30 s")
    assert verdicts(record) == [PASS, PASS, PASS]
    assert judge(record, "voice.exactly-once").figures["dropped"] == 1


@pytest.mark.parametrize("kind", ["lost", "queue-full", "muted"])
def test_a_fault_of_the_loudspeaker_is_set_aside_by_name(kind):
    record = silent(good_record(), 1)
    assert judge(hit(record, kind), "voice.exactly-once").verdict is PASS
    assert judge(hit(record, kind, "N2"), "voice.exactly-once").verdict is FAIL
    assert judge(hit(record, "late"), "voice.exactly-once").verdict is FAIL


def test_a_fault_excuses_what_it_does_and_nothing_else():
    wrong = say(good_record(), 1, words=words(2, 99))
    assert judge(hit(wrong, "wrong-clip"), "voice.exactly-once").verdict is PASS
    assert judge(hit(wrong, "lost"), "voice.exactly-once").verdict is FAIL
    twice = changed(good_record(), said=(*good_record().voice.said, good_record().voice.said[1]))
    assert judge(hit(twice, "forgets"), "voice.exactly-once").verdict is PASS
    assert judge(hit(twice, "duplicate"), "voice.exactly-once").verdict is FAIL
    assert judge(hit(twice, "ack-lost"), "voice.exactly-once").verdict is FAIL


def test_lateness_is_excused_by_what_came_shortly_before():
    late = say(good_record(), 4, started_us=204 * S)
    assert judge(hit(late, "late", "N4"), "voice.in-time").verdict is PASS
    assert judge(hit(late, "lost", "N3"), "voice.in-time").verdict is FAIL  # two minutes before
    assert judge(landed(late, "backend", "kill", 190, 195), "voice.in-time").verdict is PASS
    assert judge(landed(late, "backend", "kill", 100, 110), "voice.in-time").verdict is FAIL
    http = landed(late, "http", "reply_lost", 190, 210)
    assert judge(http, "voice.in-time").verdict is FAIL
    assert judge(logged(http, 4, attempts=2), "voice.in-time").verdict is PASS
    behind = landed(say(good_record(), 3, started_us=74 * S), "http", "reply_lost", 50, 70)
    assert judge(behind, "voice.in-time").verdict is FAIL
    assert (
        judge(logged(behind, 2, attempts=2), "voice.in-time").verdict is PASS
    )  # it waited for one that was sent again
    everything = good_record()
    for number in range(5):
        everything = hit(everything, "late", f"N{number}")
    assert judge(everything, "voice.in-time").verdict is OPEN


def test_an_outage_excuses_what_was_sent_meanwhile():
    record = silent(good_record(), 4)
    assert judge(landed(record, "loudspeaker", "offline", 190, 260), "voice.exactly-once").verdict is PASS
    assert judge(landed(record, "loudspeaker", "offline", 90, 150), "voice.exactly-once").verdict is FAIL


def test_a_box_that_cannot_say_the_nozzle_need_not():
    record = good_record()
    said = tuple(replace(one, words=one.words.partition("枪")[2]) for one in record.voice.said)
    mute = replace(record, voice=replace(record.voice, said=said, says_nozzle=False))
    assert judge(mute, "voice.exactly-once").verdict is PASS
