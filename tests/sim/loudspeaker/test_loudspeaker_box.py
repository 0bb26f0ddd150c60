"""The loudspeaker in virtual time: speech takes time, repeats are kept out, and each fault does what it says."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.loudspeaker import (
    STATION,
    TOPIC,
    Announcement,
    ClipMessage,
    MoneyMessage,
    NotUnderstoodError,
    encode_message,
    understand,
    words_of,
)
from sim.faults import FaultError
from sim.kernel import VirtualKernel
from sim.loudspeaker import BoxProfile, Loudspeaker, SpeakerFault, SpeakerFaultKind, VirtualBroker

S = 1_000_000


def message(number, amount_fen=20_005, nozzle=3):
    words = words_of(Announcement(request_id=number, amount_fen=amount_fen, nozzle=nozzle))
    return encode_message(ClipMessage(number, STATION.numbers(words)))


def make(*faults, **profile):
    kernel = VirtualKernel("voice", epoch_us=0)
    return kernel, Loudspeaker(kernel, "17", profile=BoxProfile(**profile), faults=faults)


def said(box):
    return [(one.request_id, "".join(one.words)) for one in box.said]


def test_one_after_the_other_each_in_the_time_it_takes():
    kernel, box = make()
    for number in ("a", "b", "c"):
        box.receive(message(number))
    kernel.run(60 * S)
    words = ("三", "号", "枪", "微信", "收款", *"二百元零五分")
    length_us = sum(250_000 * len(word) + 40_000 for word in words)
    assert [one.request_id for one in box.said] == ["a", "b", "c"]
    assert [one.started_us for one in box.said] == [0, length_us, 2 * length_us]
    assert {one.words for one in box.said} == {words}
    assert not box.is_speaking


def test_a_repeat_is_kept_out_as_long_as_it_is_remembered():
    kernel, box = make(remembers=2)
    for number in ("a", "a", "b", "a", "c", "a"):  # the last comes when b and c have pushed a out
        box.receive(message(number))
        kernel.run(kernel.now_us + 10 * S)
    assert [one.request_id for one in box.said] == ["a", "b", "c", "a"]
    assert box.repeated == 2


def test_a_full_queue_discards():
    kernel, box = make(queue_limit=2)
    for number in "abcde":
        box.receive(message(number))
    kernel.run(60 * S)
    assert [one.request_id for one in box.said] == ["a", "b", "c"]
    assert box.discarded == 2


def test_power_and_what_it_costs():
    kernel, box = make()
    box.receive(message("a"))
    box.receive(message("b"))
    kernel.call_at(1 * S, box.power_off)
    kernel.call_at(2 * S, box.receive, message("c"))
    kernel.call_at(3 * S, box.power_on)
    kernel.call_at(4 * S, box.receive, message("a"))
    kernel.call_at(5 * S, box.receive, message("d"))
    kernel.run(60 * S)
    assert [(one.request_id, one.is_whole) for one in box.said] == [("a", False), ("d", True)]
    assert box.said[0].ended_us == 1 * S
    assert box.repeated == 1  # its list of orders is on flash


def test_a_bare_amount_is_said_with_a_point_and_without_a_nozzle():
    kernel, box = make()
    box.receive(encode_message(MoneyMessage("r", 20_005)))
    box.receive(encode_message(MoneyMessage(None, 1)))
    box.receive(encode_message(MoneyMessage(None, 1)))  # nothing tells it from the one before
    kernel.run(60 * S)
    assert said(box) == [("r", "收款二百点零五元"), (None, "收款零点零一元"), (None, "收款零点零一元")]


@given(st.lists(st.binary(max_size=60) | st.sampled_from([message("a"), message("b")]), max_size=12))
def test_noise_neither_harms_nor_is_said(payloads):
    kernel, box = make()
    for payload in payloads:
        box.receive(payload)
    kernel.run(120 * S)
    assert {one.request_id for one in box.said} <= {"a", "b"}
    assert len(box.said) + box.repeated + box.discarded == len(payloads)


def test_a_clip_that_is_not_there_is_passed_over():
    kernel, box = make()
    box.receive(encode_message(ClipMessage("a", ("065", "999", "001", "015"))))
    kernel.run(60 * S)
    assert said(box) == [("a", "收款一元")]


def one_fault(kind, **more):
    return SpeakerFault(kind=kind, limit=1, **more)


@pytest.mark.parametrize("kind", ["clip-missing", "wrong-clip"])
def test_what_a_fault_says_wrong_is_wrong(kind):
    wrong = 0
    for seed in range(30):
        kernel = VirtualKernel(seed, epoch_us=0)
        box = Loudspeaker(kernel, "17", faults=[one_fault(kind)])
        box.receive(message("a"))
        kernel.run(60 * S)
        assert box.hits[0] == (kind, kind, "a")
        assert box.faults.report()[kind]["landed"] == 1
        try:
            heard = understand(box.said[0].words)
        except NotUnderstoodError:
            wrong += 1
        else:
            # Without its 微信, or with a 零 too few, an announcement still says what it has to.
            wrong += (heard.nozzle, heard.amount_fen) != (3, 20_005)
    assert wrong == 30 if kind == "wrong-clip" else wrong >= 20


def test_muted_full_and_forgetful():
    kernel, box = make(one_fault("muted"), one_fault("queue-full", skip=1), one_fault("forgets", skip=3))
    for number in ("a", "b", "c", "a"):
        box.receive(message(number))
        kernel.run(kernel.now_us + 10 * S)
    assert [(one.request_id, one.volume) for one in box.said] == [("a", 0), ("c", 80), ("a", 80)]
    assert [kind for _, kind, _ in box.hits] == ["muted", "queue-full", "forgets"]


def test_a_fault_that_cannot_be_is_refused():
    for bad in ({"kind": "explode"}, {"kind": "late", "delay_us": -1}, {"kind": "late", "skip": -1}):
        with pytest.raises(FaultError):
            SpeakerFault(**bad)


# Over a broker


def publish(kernel, client, *messages, every_us=S, **more):
    """Publish one a second; gives the outcomes."""
    outcomes = []

    async def go():
        for payload in messages:
            try:
                await client.publish(TOPIC.replace("{box}", "17"), payload, **more)
            except ConnectionError as error:
                outcomes.append(str(error))
            else:
                outcomes.append("taken")
            await asyncio.sleep(every_us / S)

    kernel.spawn(go(), "publisher")
    return outcomes


def over_broker(*faults):
    kernel, box = make(*faults)
    broker = VirtualBroker(kernel)
    broker.subscribe(TOPIC.replace("{box}", "17"), box)
    return kernel, box, broker


def numbers(box):
    return [one.request_id for one in box.said]


def test_a_message_goes_through_the_broker():
    kernel, box, broker = over_broker()
    outcomes = publish(kernel, broker.client("cloud"), message("a"))
    kernel.run(30 * S)
    assert outcomes == ["taken"]
    assert [(one.request_id, one.started_us) for one in box.said] == [("a", 40_000)]


@pytest.mark.parametrize(
    ("fault", "heard"),
    [
        (one_fault("lost"), ["b"]),
        (one_fault("late", delay_us=9 * S), ["a", "b"]),  # and the other behind it
        (one_fault("duplicate"), ["a", "b"]),
        (one_fault("ack-lost"), ["a", "b"]),
    ],
)
def test_faults_on_the_way(fault, heard):
    kernel, box, broker = over_broker(fault)
    outcomes = publish(kernel, broker.client("cloud"), message("a"), message("b"))
    kernel.run(60 * S)
    assert numbers(box) == heard
    broken = "the connection broke before the receipt came" if fault.kind == "ack-lost" else "taken"
    assert outcomes == [broken, "taken"]
    assert box.repeated == (fault.kind == "duplicate")


def test_an_outage_keeps_what_is_still_fresh_and_drops_the_rest():
    kernel, box, broker = over_broker(SpeakerFault(kind="offline", at_us=5 * S, for_us=20 * S))
    outcomes = publish(
        kernel, broker.client("cloud"), *(message(c) for c in "abcd"), every_us=8 * S, expires_s=10
    )
    kernel.run(90 * S)
    # a before the outage; b waits 17 s and expires; c waits 9 s; d comes when it is over
    assert numbers(box) == ["a", "c", "d"]
    assert broker.expired == 1
    assert outcomes == ["taken"] * 4


def test_without_expiry_a_box_recites_what_it_missed():
    """As owners of such boxes have met it: with a persistent session the broker keeps everything."""
    kernel, box, broker = over_broker(SpeakerFault(kind="offline", at_us=0, for_us=3_600 * S))
    publish(kernel, broker.client("cloud"), *(message(c) for c in "abcd"))
    kernel.run(3_700 * S)
    assert numbers(box) == ["a", "b", "c", "d"]
    assert box.said[0].started_us > 3_600 * S


def test_a_broker_that_is_down_says_so():
    kernel, box, broker = over_broker()
    broker.is_down = True
    outcomes = publish(kernel, broker.client("cloud"), message("a"))
    kernel.run(10 * S)
    assert outcomes == ["the broker does not answer"]
    assert numbers(box) == []


def test_the_same_seed_says_the_same():
    def run():
        faults = [
            SpeakerFault(kind=kind, probability=0.3, for_us=300 * S, delay_us=2 * S)
            for kind in SpeakerFaultKind
        ]
        kernel, box, broker = over_broker(*faults)
        publish(
            kernel, broker.client("cloud"), *(message(f"n{i}", 100 + i) for i in range(60)), every_us=4 * S
        )
        kernel.run(600 * S)
        return kernel.trace.hexdigest(), json.dumps(said(box))

    assert run() == run()
