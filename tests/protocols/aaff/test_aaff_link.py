"""Both ends of the line, the upload, and their tables."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from protocols import aaff
from protocols.aaff import (
    BadFrame,
    BadReason,
    Command,
    Deviation,
    DeviationKind,
    Direction,
    Fetch,
    LineTiming,
    MasterLinkEvent,
    MasterLinkState,
    MasterSide,
    Nothing,
    NotUnderstood,
    Poll,
    PumpLinkEvent,
    PumpLinkState,
    PumpSide,
    Quirks,
    RecordAcked,
    Reply,
    ReplyTimeout,
    Request,
    ShortPoll,
    Status,
    Stop,
    TotalsRequest,
    Unexpected,
    Upload,
    UploadEvent,
    UploadState,
    encode_frame,
)
from protocols.sansio import NEED_DATA, HarnessProtocolError, LocalProtocolError, Outgoing

POLL = Poll(time=bytes.fromhex("261122025028"))


def events(side: Any) -> list[Any]:
    told = []
    while (event := side.next_event()) is not NEED_DATA:
        told.append(event)
    return told


def bytes_of(side: Any, now_us: int = 0) -> bytes:
    return b"".join(burst.data for burst in side.data_to_send(now_us))


def to_pump(message: Any, gun: int = 1, **more: Any) -> bytes:
    return encode_frame(Direction.TO_PUMP, message.command, gun, message.encode(), **more)


def from_pump(message: Any, gun: int = 1, **more: Any) -> bytes:
    return encode_frame(Direction.FROM_PUMP, message.command, gun, message.encode(), **more)


# --- the dispenser's end -------------------------------------------------------------------------------------------


def test_a_question_and_one_answer() -> None:
    side = PumpSide([3, 4], reply_delay_us=2_000)
    side.receive_data(to_pump(POLL, 4), 100)
    assert events(side) == [Request(gun=4, message=POLL)]
    assert side.state(4) is PumpLinkState.ASKED
    side.reply(4, Status(4), 100)
    assert side.data_to_send(100) == [Outgoing(from_pump(Status(4), 4), 2_100)]
    with pytest.raises(LocalProtocolError, match="speaks only when spoken to"):
        side.reply(4, Status(4), 100)
    with pytest.raises(HarnessProtocolError, match="gun 5"):
        side.reply(5, Status(4), 100)


@pytest.mark.requirement("fd-link.wrong-address-has-no-effect")
def test_frames_for_others_and_of_others_are_passed_over() -> None:
    side = PumpSide([1])
    side.receive_data(to_pump(POLL, 2) + from_pump(Nothing(), 2) + from_pump(Nothing(), 1), 0)
    assert events(side) == []
    assert side.state(1) is PumpLinkState.LISTENING
    assert side.next_timer() is None


def test_questions_in_one_burst_are_answered_one_after_the_other() -> None:
    side = PumpSide([1])
    side.receive_data(to_pump(POLL) + to_pump(Stop()), 0)
    for expected, answer in ((POLL, Nothing()), (Stop(), aaff.Result(Command.STOP, 0))):
        assert side.next_event() == Request(gun=1, message=expected)
        side.reply(1, answer, 0)
        assert bytes_of(side) == from_pump(answer)


def test_silence_and_restart() -> None:
    side = PumpSide([1])
    side.receive_data(to_pump(POLL), 0)
    assert len(events(side)) == 1
    side.silence(1)
    assert bytes_of(side) == b""
    with pytest.raises(LocalProtocolError, match="was not asked"):
        side.silence(1)
    side.receive_data(to_pump(POLL) + to_pump(POLL)[:7], 0)
    side.restart()
    assert events(side) == []
    side.receive_data(to_pump(POLL)[7:], 0)
    assert not [event for event in events(side) if isinstance(event, Request)]


@pytest.mark.parametrize(
    ("guns", "why"), [([], "needs a gun"), ([1, 1], "twice"), ([0], "gun 0"), ([33], "gun 33")]
)
def test_impossible_guns(guns: list[int], why: str) -> None:
    for side in (PumpSide, MasterSide):
        with pytest.raises(LocalProtocolError, match=why):
            side(guns)


@pytest.mark.parametrize(
    ("sent", "kind"),
    [("zero", DeviationKind.CHECKSUM_WRONG), ("missing", DeviationKind.CHECKSUM_MISSING)],
)
def test_a_master_without_checksum_is_a_warning_where_it_is_allowed(sent: str, kind: DeviationKind) -> None:
    master = MasterSide([1], quirks=Quirks(checksum_sent=sent))
    master.send(1, Stop(), 0)
    data = bytes_of(master)
    strict, lenient = PumpSide([1]), PumpSide([1], quirks=Quirks(any_checksum=True))
    strict.receive_data(data, 0)
    assert not [event for event in events(strict) if isinstance(event, Request)]
    lenient.receive_data(data, 0)
    warning, request = events(lenient)
    assert (warning.kind, request) == (kind, Request(gun=1, message=Stop()))


def test_other_tolerated_deviations() -> None:
    side = PumpSide([1])
    side.receive_data(to_pump(Stop(), destination=0x20) + to_pump(TotalsRequest(b"")), 0)
    told = events(side)
    kinds = [event.kind for event in told if isinstance(event, Deviation)]
    assert kinds == [DeviationKind.DESTINATION, DeviationKind.BODY_LENGTH]
    assert [type(event.message) for event in told if isinstance(event, Request)] == [Stop, TotalsRequest]
    assert "20 instead of 15" in told[0].detail
    with pytest.raises(LocalProtocolError, match="checksum_sent"):
        Quirks(checksum_sent="maybe")


# --- the master's end ----------------------------------------------------------------------------------------------


def master(**more: Any) -> MasterSide:
    return MasterSide([1, 2], **more)


def test_an_exchange() -> None:
    side = master()
    side.send(1, POLL, 1_000)
    assert bytes_of(side) == to_pump(POLL)
    assert side.busy
    assert side.next_timer() == 1_000 + side.timing.timeout_us(25)
    with pytest.raises(LocalProtocolError, match="under way"):
        side.send(2, POLL, 1_000)
    side.receive_data(to_pump(POLL) + from_pump(Nothing())[:4], 2_000)  # our own echo, half an answer
    assert events(side) == []
    side.receive_data(from_pump(Nothing())[4:], 3_000)
    assert events(side) == [Reply(gun=1, message=Nothing())]
    assert not side.busy
    assert side.next_timer() is None
    with pytest.raises(HarnessProtocolError, match="gun 9"):
        side.send(9, POLL, 0)


def test_no_answer_and_half_an_answer() -> None:
    side = master()
    side.send(1, Stop(), 0)
    deadline_us = side.next_timer()
    assert deadline_us is not None
    side.receive_data(from_pump(Nothing())[:5], 10)
    side.handle_timer(deadline_us - 1)
    assert events(side) == []
    side.handle_timer(deadline_us)
    bad, late = events(side)
    assert bad.reason is BadReason.TRUNCATED
    assert late == ReplyTimeout(gun=1, command=Command.STOP)
    side.receive_data(from_pump(aaff.Result(Command.STOP, 0)), deadline_us + 5)
    assert isinstance(events(side)[0], Unexpected)


@pytest.mark.requirement("fd-link.late-frames-never-move-state-back", "fd-link.wrong-address-has-no-effect")
def test_an_answer_belongs_to_its_question() -> None:
    side = master()
    late = aaff.AuthoriseReply(0, 0, 100)
    side.send(1, POLL, 0)
    side.receive_data(from_pump(late) + from_pump(Nothing(), 2), 1)
    assert [type(event) for event in events(side)] == [Unexpected, Unexpected]
    side.receive_data(from_pump(Status(0)), 2)
    assert events(side) == [Reply(gun=1, message=Status(0))]
    side.send(1, aaff.Authorise(0, 100), 3)
    side.receive_data(from_pump(Status(0)), 4)
    assert [type(event) for event in events(side)] == [Unexpected]
    side.receive_data(from_pump(late), 5)
    assert events(side) == [Reply(gun=1, message=late)]
    side.send(1, Fetch(7), 6)
    side.receive_data(from_pump(Nothing()) + from_pump(NotUnderstood()), 7)
    assert [type(event) for event in events(side)] == [Unexpected, Reply]


def test_a_damaged_answer_ends_the_exchange_and_noise_does_not() -> None:
    side = master()
    side.send(1, POLL, 0)
    side.receive_data(b"\x00\xff\x13" + from_pump(Nothing(), 2)[:-3] + b"\x00\xdd\xee", 1)
    assert [event.ends for event in events(side)] == [False, False]
    side.receive_data(from_pump(Nothing())[:-3] + b"\x00\xdd\xee", 2)
    (bad,) = events(side)
    assert isinstance(bad, BadFrame)
    assert (bad.ends, bad.reason, bad.gun) == (True, BadReason.CHECKSUM, 1)
    assert not side.busy
    side.send(1, POLL, 3)
    side.restart()
    assert not side.busy
    assert bytes_of(side) == b""


def test_an_answer_for_another_device_is_a_warning() -> None:
    side = master()
    side.send(1, POLL, 0)
    side.receive_data(from_pump(Nothing(), destination=0x20), 1)
    warning, reply = events(side)
    assert warning.kind is DeviationKind.DESTINATION
    assert isinstance(reply, Reply)


def test_timing() -> None:
    timing = LineTiming(baud=4800)
    assert timing.chars_us(48) == 100_000
    assert timing.exchange_us == timing.chars_us(45 + 119) + timing.reply_limit_us
    assert LineTiming(baud=None).exchange_us == aaff.REPLY_LIMIT_US
    assert aaff.BAUDS[0] == 4800
    assert aaff.BAUDS[-1] == LineTiming().baud == 38_400
    for wrong in ({"baud": 0}, {"bits_per_char": 0}, {"reply_limit_us": 0}):
        with pytest.raises(ValueError, match="is 0"):
            LineTiming(**wrong)


# --- the upload ----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("fd-pwr.buffered-sales-upload-in-order", "fd-pwr.repeated-upload-is-one-sale")
def test_the_oldest_record_again_and_again_until_it_is_acknowledged() -> None:
    upload: Upload[str] = Upload(1000)
    upload.add(1001, "a")
    upload.add(1002, "b")
    assert [upload.send() for _ in range(3)] == ["a"] * 3
    assert upload.state is UploadState.OFFERED
    assert not upload.acknowledge(1002)  # not the pointer plus one
    assert not upload.acknowledge(1000)
    assert upload.send() == "a"
    assert upload.acknowledge(1001)
    assert (upload.pointer, upload.sends, upload.state) == (1001, 0, UploadState.WAITING)
    assert not upload.acknowledge(1001)
    assert upload.send() == "b"
    assert upload.acknowledge(1002)
    assert (upload.send(), upload.oldest(), len(upload)) == (None, None, 0)
    assert not upload.acknowledge(1003)
    with pytest.raises(LocalProtocolError, match="record 1004 does not follow 1002"):
        upload.add(1004, "d")
    with pytest.raises(LocalProtocolError, match="no record"):
        upload.give_up()


@pytest.mark.parametrize("skip_after", [1, 10, 50])
def test_a_record_is_skipped_after_so_many_sends(skip_after: int) -> None:
    upload: Upload[str] = Upload(skip_after=skip_after)
    upload.add(1, "a")
    upload.add(2, "b")
    assert [upload.send() for _ in range(skip_after)] == ["a"] * skip_after
    assert upload.send() is None  # and the poll stays unanswered
    assert (list(upload.skipped), upload.pointer) == ([1], 1)
    assert upload.send() == "b"
    with pytest.raises(LocalProtocolError, match="below 1"):
        Upload(skip_after=0)


def test_a_restart_keeps_records_and_pointer_and_forgets_the_count() -> None:
    upload: Upload[str] = Upload(skip_after=3)
    upload.restart()
    upload.add(1, "a")
    for _ in range(3):
        upload.send()
    upload.restart()
    assert [upload.send() for _ in range(3)] == ["a"] * 3
    assert Upload[str](skip_after=None).send() is None


@pytest.mark.requirement("fd-pwr.sequence-is-gap-free-and-wraps")
def test_numbers_wrap() -> None:
    upload: Upload[str] = Upload(9_998, uid_last=9_999)
    for uid in (9_999, 1, 2):
        upload.add(uid, str(uid))
    assert [upload.acknowledge(uid) for uid in (9_999, 1, 2)] == [True] * 3
    assert aaff.next_uid(aaff.UID_LAST) == 1


# --- the tables ----------------------------------------------------------------------------------------------------


def test_tables_are_closed_and_exported() -> None:
    tables = aaff.state_table()
    assert sorted(tables) == ["master_link", "pump_link", "upload"]
    for table in tables.values():
        states, inputs = set(table["states"]), set(table["events"])
        for row in table["transitions"]:
            assert {row["from"], row["to"]} <= states
            assert row["event"] in inputs
        assert states == {row["to"] for row in table["transitions"]} | set(table["initial"])


@pytest.mark.parametrize(
    ("step", "state", "event"),
    [
        (aaff.next_pump_link, PumpLinkState.LISTENING, PumpLinkEvent.REPLY),
        (aaff.next_upload, UploadState.EMPTY, UploadEvent.SEND),
        (aaff.next_master_link, MasterLinkState.IDLE, MasterLinkEvent.REPLY),
    ],
)
def test_what_no_table_has_is_a_bug_of_ours(step: Any, state: Any, event: Any) -> None:
    with pytest.raises(HarnessProtocolError, match=event.value):
        step(state, event)


@pytest.mark.parametrize(
    "steps", [5_000, pytest.param(100_000, marks=[pytest.mark.slow, pytest.mark.timeout(600)])]
)
def test_a_random_walk_never_leaves_the_tables(steps: int) -> None:
    """A master and a dispenser with an upload, over a wire that loses, doubles and damages."""
    rng = Random(11)
    pump = PumpSide([1])
    master = MasterSide([1])
    upload: Upload[int] = Upload(skip_after=5)
    made = now_us = 0
    taken: list[int] = []
    ack: int | None = None
    for _ in range(steps):
        now_us += 50_000
        if rng.random() < 0.2:
            made += 1
            upload.add(made, made)
        if rng.random() < 0.01:
            pump.restart()
            upload.restart()
        if not master.busy:
            message: Any = POLL if ack is None else aaff.RecordAck(ack)
            ack = None
            master.send(1, message, now_us)
        wire(rng, bytes_of(master), pump, now_us)
        for event in events(pump):
            if isinstance(event, Request) and pump.state(1) is PumpLinkState.ASKED:
                answer(pump, upload, event.message, now_us)
        wire(rng, bytes_of(pump), master, now_us)
        for event in events(master):
            if isinstance(event, Reply) and isinstance(event.message, aaff.BriefSale):
                ack = event.message.uid
                if not taken or taken[-1] != ack:
                    taken.append(ack)
        master.handle_timer(now_us + 1_000_000 if rng.random() < 0.5 else now_us)
    skipped = set(upload.skipped)
    assert taken == sorted(set(taken))
    # What was neither taken nor waits was skipped, and was skipped because of lost answers only.
    assert set(range(1, made + 1)) <= set(taken) | skipped | set(range(upload.pointer + 1, made + 1))
    assert len(taken) > steps // 20


def wire(rng: Random, data: bytes, side: Any, now_us: int) -> None:
    if not data or rng.random() < 0.1:
        return
    if rng.random() < 0.1:
        at = rng.randrange(len(data))
        data = data[:at] + bytes((data[at] ^ 1 << rng.randrange(8),)) + data[at + 1 :]
    for _ in range(2 if rng.random() < 0.1 else 1):
        side.receive_data(data, now_us)


def answer(pump: PumpSide, upload: Upload[int], message: Any, now_us: int) -> None:
    if isinstance(message, aaff.RecordAck):
        upload.acknowledge(message.uid)
        pump.reply(1, RecordAcked(), now_us)
        return
    waiting = upload.oldest()
    record = upload.send()
    if record is not None:
        # Stands in for the long record: any frame with a UID will do here.
        pump.reply(1, aaff.Raw(0x74, aaff.Totals(record, 0, 0).encode()), now_us)
    elif waiting is not None:
        pump.silence(1)
    else:
        pump.reply(1, Nothing(), now_us)


def test_short_polls() -> None:
    assert ShortPoll(None).encode() == b""
    assert ShortPoll(1).encode() == b"\x01"
