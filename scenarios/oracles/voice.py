"""Announcements: each verified payment said once, rightly, in order and in time; and how often that went wrong.

A fault of the loudspeaker itself (a clip that is not there, a message that vanishes after it was taken) is nothing the announcer
can know of: `exactly_once` sets those announcements aside, by name, and `error_rate` counts them all the same.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Final

from protocols.loudspeaker import NotUnderstoodError, split_words, understand
from scenarios.oracles.answer import answer, nothing_seen
from scenarios.record import FaultLanding, RunRecord
from scenarios.statistics import clopper_pearson
from scenarios.verdicts import CheckResult, Verdict
from scenarios.voice_record import LoggedAnnouncement, SaidAloud, VoicePayment, VoiceRecord

__all__ = ["error_rate", "exactly_once", "in_time"]

_SILENCES: Final = frozenset({"lost", "queue-full", "muted", "refused", "offline"})
"""Faults after which an announcement may be missing though it was sent."""

_MANGLES: Final = frozenset({"clip-missing", "wrong-clip"})
_REPEATS: Final = frozenset({"forgets"})
_DELAYS: Final = frozenset({"lost", "late", "ack-lost", "refused", "offline", "queue-full", "forgets"})
"""Faults that hold up an announcement or, because the announcer waits for a loudspeaker that is silent, those behind it."""

_AFTERMATH_US: Final = 30_000_000
"""A killed instance's work is taken up by another within its lease; after that an announcement is dropped anyway."""

_UNDER_WAY_US: Final = 40_000_000
"""What was proved so shortly before the end of the run may still be on its way."""

_ONE_SIDED: Final = 0.90
"""The upper end of this two-sided interval is the one-sided bound at 95 %."""


class _Ledger:
    """The record, sorted by announcement."""

    def __init__(self, voice: VoiceRecord, faults: Iterable[FaultLanding]) -> None:
        self.voice = voice
        self.outages = [
            fault for fault in faults if fault.target == "loudspeaker" and fault.kind == "offline"
        ]
        self.payments = {payment.number: payment for payment in voice.payments}
        self.log: dict[str, LoggedAnnouncement] = {row.number: row for row in voice.log}
        self.heard: defaultdict[str, list[SaidAloud]] = defaultdict(list)
        for said in voice.said:
            if said.volume > 0 and said.is_whole and said.number is not None:
                self.heard[said.number].append(said)
        self._hits: defaultdict[str | None, set[str]] = defaultdict(set)
        for hit in voice.hits:
            self._hits[hit.number].add(hit.kind)

    def hits(self, payment: VoicePayment) -> set[str]:
        """Kinds of faults that hit this announcement; an outage hits, unnamed, whatever is sent meanwhile."""
        hits = self._hits[payment.number]
        for outage in self.outages:
            healed_us = outage.healed_us or outage.at_us
            if outage.landed and outage.at_us - _AFTERMATH_US <= payment.proved_us <= healed_us:
                return hits | {"offline"}
        return hits

    def wrong(self, payment: VoicePayment, said: SaidAloud) -> str | None:
        """What is wrong with the words; None if nothing is."""
        try:
            heard = understand(split_words(said.words))
        except NotUnderstoodError:
            return f"was said as {said.words!r}, which nobody understands"
        if heard.amount_fen != payment.amount_fen:
            return f"was said as {heard.amount_fen} fen ({said.words}), it is {payment.amount_fen} fen"
        if self.voice.says_nozzle and heard.nozzle != payment.nozzle:
            return f"was said for nozzle {heard.nozzle}, it was nozzle {payment.nozzle}"
        return None


def exactly_once(record: RunRecord, _limits: Mapping[str, int]) -> CheckResult:
    """Each verified payment said once, with its amount and nozzle, after its proof; what was dropped is on record."""
    slug = "voice.exactly-once"
    if record.voice is None or not record.voice.payments:
        return nothing_seen(slug, record, "no payment at a station with a loudspeaker")
    ledger = _Ledger(record.voice, record.faults)
    counts: Counter[str] = Counter()
    problems = [
        problem
        for payment in record.voice.payments
        for problem in _judge_one(ledger, payment, record.ended_us, counts)
    ]
    problems += [
        f"{said.words!r} was said at {said.started_us} µs, and no payment is behind it"
        for said in record.voice.said
        if said.number not in ledger.payments
    ]
    if not counts["said"] and not problems:
        return nothing_seen(slug, record, "nothing was said aloud")
    good = (
        f"{counts['said']:,} payments said once, {counts['dropped']:,} dropped on record, "
        f"{counts['faults']:,} spoilt by faults of the loudspeaker"
    )
    figures = {
        "payments": len(record.voice.payments),
        **{name: counts[name] for name in ("said", "dropped", "faults")},
    }
    return answer(slug, record, problems, good, figures)


def _judge_one(ledger: _Ledger, payment: VoicePayment, ended_us: int, counts: Counter[str]) -> Iterable[str]:
    name = f"payment {payment.number}"
    heard, hits = ledger.heard[payment.number], ledger.hits(payment)
    logged = ledger.log.get(payment.number)
    for said in heard:
        if said.started_us < max(payment.proved_us, payment.gateway_us or 0):
            yield f"{name} was said at {said.started_us} µs, before it was proved ({payment.proved_us} µs)"
    if not heard:
        if logged is None:
            yield f"{name} was never announced"
        elif logged.state == "dropped":
            counts["dropped"] += 1
        elif hits & (_SILENCES | _MANGLES):
            counts["faults"] += 1
        elif ended_us - payment.proved_us > _UNDER_WAY_US:
            yield f"{name} was {logged.state} and never said"
        return
    if len(heard) > 1 and not hits & _REPEATS:
        yield f"{name} was said {len(heard)} times"
    wrong = [problem for said in heard if (problem := ledger.wrong(payment, said)) is not None]
    if wrong and not hits & _MANGLES:
        yield f"{name} {wrong[0]}"
    spoilt = len(heard) > 1 or bool(wrong)
    counts["faults" if spoilt else "said"] += 1


def in_time(record: RunRecord, limits: Mapping[str, int]) -> CheckResult:
    """Said within two seconds of the proof, or of the end of the one before; in the order of the proofs; none when it is old."""
    slug = "voice.in-time"
    if record.voice is None or not record.voice.payments:
        return nothing_seen(slug, record, "no payment at a station with a loudspeaker")
    ledger = _Ledger(record.voice, record.faults)
    said = sorted(
        ((one, ledger.payments[one.number]) for one in record.voice.said if one.number in ledger.payments),
        key=lambda pair: pair[0].started_us,
    )
    if not said:
        return nothing_seen(slug, record, "nothing was said aloud")
    troubles = _Troubles(record, ledger)
    problems, judged, slowest, oldest, free_us = [], [], 0, 0, 0
    for one, payment in said:
        name = f"payment {payment.number}"
        age_us = one.started_us - payment.proved_us
        wait_us = one.started_us - max(payment.proved_us, free_us)
        free_us = max(free_us, one.ended_us)
        if troubles.excuse(payment, one.started_us):
            continue
        judged.append(payment)
        oldest, slowest = max(oldest, age_us), max(slowest, wait_us)
        if age_us > limits["oldest_us"]:
            problems.append(f"{name} was said {age_us / 1e6:.1f} s after its proof")
        elif wait_us > limits["within_us"]:
            problems.append(f"{name} waited {wait_us / 1e6:.1f} s though nothing was being said")
    problems += [
        f"payment {later.number} was said after {earlier.number}, and was proved before it"
        for earlier, later in pairwise(judged)
        if later.proved_us < earlier.proved_us
    ]
    if not judged:
        return nothing_seen(slug, record, f"all of the {len(said):,} announcements met a fault")
    excused = len(said) - len(judged)
    good = (
        f"{len(judged):,} in order; the slowest waited {slowest / 1e6:.2f} s for a free loudspeaker, "
        f"the oldest was {oldest / 1e6:.1f} s old ({excused:,} met a fault and are set aside)"
    )
    figures = {"said": len(said), "excused": excused, "slowest_us": slowest, "oldest_us": oldest}
    return answer(slug, record, problems, good, figures)


class _Troubles:
    """When an announcement has an excuse for coming late: a fault that hit it or one shortly before it, or a killed backend."""

    def __init__(self, record: RunRecord, ledger: _Ledger) -> None:
        self._ledger = ledger
        self._kills = [fault for fault in record.faults if fault.landed and fault.target == "backend"]
        self._http = [fault for fault in record.faults if fault.landed and fault.target == "http"]
        self._hit_us = sorted(
            payment.proved_us for payment in ledger.payments.values() if self._is_hit(payment)
        )

    def _is_hit(self, payment: VoicePayment) -> bool:
        if self._ledger.hits(payment) & _DELAYS:
            return True
        logged = self._ledger.log.get(payment.number)
        if logged is None or logged.attempts < 2:
            return False
        return _overlaps(self._http, payment.proved_us, payment.proved_us + _AFTERMATH_US)

    def excuse(self, payment: VoicePayment, started_us: int) -> bool:
        """Whether this announcement, said then, is set aside."""
        first = bisect_left(self._hit_us, payment.proved_us - _AFTERMATH_US)
        if first < len(self._hit_us) and self._hit_us[first] <= payment.proved_us:
            return True
        return _overlaps(self._kills, payment.proved_us, started_us)


def _overlaps(faults: Iterable[FaultLanding], from_us: int, until_us: int) -> bool:
    return any(
        fault.at_us <= until_us and (fault.healed_us is None or from_us <= fault.healed_us + _AFTERMATH_US)
        for fault in faults
    )


def error_rate(record: RunRecord, limits: Mapping[str, int]) -> CheckResult:
    """Missing, doubled, wrong amount, wrong nozzle: their share, whoever is to blame, by its upper bound at 95 %.

    What the announcer dropped because it had grown old, on record, is no error of an announcement: it was none.
    """
    slug = "voice.error-rate"
    if record.voice is None or not record.voice.payments:
        return nothing_seen(slug, record, "no payment at a station with a loudspeaker")
    ledger = _Ledger(record.voice, record.faults)
    errors: Counter[str] = Counter()
    announcements = 0
    for payment in record.voice.payments:
        heard = ledger.heard[payment.number]
        logged = ledger.log.get(payment.number)
        if not heard and logged is not None and logged.state == "dropped":
            continue
        announcements += 1
        if not heard:
            errors["missing"] += 1
        elif len(heard) > 1:
            errors["doubled"] += 1
        elif ledger.wrong(payment, heard[0]) is not None:
            errors["wrong"] += 1
    if not announcements:
        return nothing_seen(slug, record, "every announcement was dropped")
    wrong = sum(errors.values())
    upper = clopper_pearson(wrong, announcements, _ONE_SIDED)[1]
    allowed = limits["errors_per_million"] / 1_000_000
    figures = {
        "announcements": announcements,
        **{kind: errors[kind] for kind in ("missing", "doubled", "wrong")},
        "upper_bound_per_million": round(upper * 1_000_000),
    }
    shown = f"{wrong} errors in {announcements:,} announcements, at most {upper:.4%} with 95 % confidence"
    if upper <= allowed:
        return CheckResult(slug, Verdict.PASS, shown, figures, record.clock)
    if wrong > allowed * announcements:
        return CheckResult(slug, Verdict.FAIL, f"{shown}; allowed are {allowed:.2%}", figures, record.clock)
    short = f"{shown}: too few to prove {allowed:.2%}"
    return CheckResult(slug, Verdict.INCONCLUSIVE, short, figures, record.clock)
