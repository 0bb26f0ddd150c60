"""The controller's end, driven by bytes and time."""

from __future__ import annotations

from typing import Any

import pytest

from protocols.dart import (
    Ack,
    BadFrame,
    BadReason,
    Command,
    CommandCode,
    Control,
    ControllerLinkState,
    ControllerSide,
    Data,
    Deviation,
    DeviationKind,
    Duplicate,
    Eot,
    Event,
    LineTiming,
    Nak,
    PumpStatus,
    Quirks,
    ReplyTimeout,
    SendFailed,
    StatusReport,
    Unexpected,
    encode_block,
    encode_data,
)
from protocols.sansio import NEED_DATA, HarnessProtocolError, LocalProtocolError, Machine

RESET = Command(code=CommandCode.RESET)
STATUS = StatusReport(status=PumpStatus.RESET)
TIMING = LineTiming(baud=9600)


def frame(tx: int, *transactions: Any, address: int = 0x50) -> bytes:
    return encode_data(address, tx, encode_block(transactions))


def sent(side: ControllerSide, now_us: int = 0) -> list[bytes]:
    return [burst.data for burst in side.data_to_send(now_us)]


def news(side: ControllerSide) -> list[Event]:
    events = []
    while (event := side.next_event()) is not NEED_DATA:
        events.append(event)
    return events


def polled(side: ControllerSide, now_us: int = 0) -> None:
    side.poll(0x50, now_us)
    assert sent(side, now_us) == [b"\x50\x20\xfa"]


def test_it_is_a_machine() -> None:
    side = ControllerSide([0x50, 0x51])
    assert isinstance(side, Machine)
    assert side.addresses == (0x50, 0x51)
    assert not side.busy
    assert side.next_timer() is None
    side.handle_timer(10**9)
    assert news(side) == []


def test_idle_poll() -> None:
    side = ControllerSide([0x50, 0x51], timing=TIMING)
    polled(side, 1000)
    assert side.busy
    assert side.next_timer() == 1000 + TIMING.poll_timeout_us
    side.receive_data(b"\x50\x70\xfa", 9000)
    assert news(side) == [Eot(address=0x50)]
    assert not side.busy
    assert side.next_timer() is None
    assert side.connection(0x50).heard_us == 9000


def test_an_answer_in_pieces_is_the_same() -> None:
    side = ControllerSide([0x50])
    polled(side)
    for byte in b"\x50\x70\xfa":
        assert side.busy
        side.receive_data(bytes((byte,)), 0)
    assert news(side) == [Eot(address=0x50)]


def test_data_is_acknowledged_with_its_number_and_a_repetition_is_told_as_such() -> None:
    side = ControllerSide([0x50])
    for expected in (Data(address=0x50, tx=9, transactions=(STATUS,)), Duplicate(address=0x50, tx=9)):
        polled(side)
        side.receive_data(frame(9, STATUS), 5)
        assert sent(side) == [b"\x50\xc9\xfa"]
        assert news(side) == [expected]
        assert not side.busy


def test_only_one_exchange_at_a_time() -> None:
    side = ControllerSide([0x50, 0x51])
    polled(side)
    for start in (
        lambda: side.poll(0x51, 0),
        lambda: side.send(0x51, [RESET], 0),
        lambda: side.resend(0x51, 0),
        lambda: side.abandon(0x50),
    ):
        with pytest.raises(LocalProtocolError, match="under way"):
            start()
    assert sent(side) == []


@pytest.mark.requirement("fd-link.transmit-sequence-stays-consistent")
def test_block_numbers_go_up_with_acknowledgements_only() -> None:
    side = ControllerSide([0x50])
    numbers = []
    for _ in range(18):
        side.send(0x50, [RESET], 0)
        (burst,) = sent(side)
        tx = burst[1] & 15
        numbers.append(tx)
        side.receive_data(bytes((0x50, 0xC0 | tx, 0xFA)), 0)
        assert news(side) == [Ack(address=0x50, tx=tx)]
    assert numbers == [*range(16), 1, 2]


@pytest.mark.requirement("fd-link.nak-is-retried-not-offline")
def test_nak_means_the_same_block_again_a_bounded_number_of_times() -> None:
    side = ControllerSide([0x50], attempts_max=3)
    side.send(0x50, [RESET], 0)
    for attempt in (1, 2, 3):
        assert sent(side) == [frame(0, RESET)]
        side.receive_data(b"\x50\x50\xfa", 0)
        assert news(side)[0] == Nak(address=0x50, tx=0, attempt=attempt)
    assert sent(side) == []
    assert not side.busy
    assert not side.unacknowledged(0x50)


@pytest.mark.requirement("fd-link.transmit-sequence-stays-consistent")
def test_after_a_failure_the_next_block_carries_zero() -> None:
    side = ControllerSide([0x50], attempts_max=2, timing=TIMING)
    for tx in range(2):
        side.send(0x50, [RESET], 0)
        sent(side)
        side.receive_data(bytes((0x50, 0xC0 | tx, 0xFA)), 0)
    news(side)
    side.send(0x50, [RESET], 0)
    now_us = 0
    for _ in range(2):
        assert sent(side) == [frame(2, RESET)]
        timer = side.next_timer()
        assert timer is not None
        assert timer == now_us + TIMING.send_timeout_us(len(frame(2, RESET)))
        side.handle_timer(timer - 1)
        assert news(side) == []
        now_us = timer
        side.handle_timer(now_us)
        assert isinstance(event := side.next_event(), ReplyTimeout), event
    assert news(side) == [SendFailed(address=0x50, tx=2, attempts=2)]
    side.send(0x50, [RESET], now_us)
    assert sent(side) == [frame(0, RESET)]


def test_attempts_are_counted_per_block() -> None:
    side = ControllerSide([0x50], attempts_max=2)
    for _ in range(2):
        side.send(0x50, [RESET], 0)
        for _ in range(2):
            sent(side)
            side.receive_data(b"\x50\x50\xfa", 0)
        assert news(side) == [
            Nak(address=0x50, tx=0, attempt=1),
            Nak(address=0x50, tx=0, attempt=2),
            SendFailed(address=0x50, tx=0, attempts=2),
        ]


def test_the_limit_of_attempts_holds_for_an_owner_that_repeats_by_itself() -> None:
    side = ControllerSide([0x50], auto_retry=False, attempts_max=2, timing=TIMING)
    side.send(0x50, [RESET], 0)
    side.handle_timer(side.next_timer() or 0)
    assert side.unacknowledged(0x50)
    side.resend(0x50, 10**6)
    side.handle_timer(side.next_timer() or 0)
    assert news(side) == [
        ReplyTimeout(address=0x50, tx=0, attempt=1),
        ReplyTimeout(address=0x50, tx=0, attempt=2),
        SendFailed(address=0x50, tx=0, attempts=2),
    ]
    assert not side.unacknowledged(0x50)


def test_owner_decides_about_repetitions() -> None:
    side = ControllerSide([0x50, 0x51], auto_retry=False, attempts_max=2)
    side.send(0x50, [RESET], 0)
    sent(side)
    side.receive_data(b"\x50\x50\xfa", 0)
    assert news(side) == [Nak(address=0x50, tx=0, attempt=1)]
    assert not side.busy
    assert side.unacknowledged(0x50)
    with pytest.raises(LocalProtocolError, match="resend or abandon"):
        side.send(0x50, [RESET], 0)
    side.poll(0x51, 0)
    sent(side)
    side.receive_data(b"\x51\x70\xfa", 0)
    side.resend(0x50, 0)
    assert sent(side) == [frame(0, RESET)]
    side.receive_data(b"\x50\xc0\xfa", 0)
    assert news(side) == [Eot(address=0x51), Ack(address=0x50, tx=0)]
    with pytest.raises(LocalProtocolError, match="no block waits"):
        side.resend(0x50, 0)
    side.send(0x50, [RESET], 0)
    sent(side)
    side.receive_data(b"\x50\x51\xfa", 0)
    side.abandon(0x50)
    side.send(0x50, [RESET], 0)
    assert sent(side) == [frame(0, RESET)]


def test_poll_timeout_drops_the_half_answer() -> None:
    side = ControllerSide([0x50], timing=TIMING)
    polled(side)
    side.receive_data(b"\x50\x30\x01", 10)
    side.handle_timer(TIMING.poll_timeout_us)
    assert news(side) == [
        BadFrame(address=0x50, reason=BadReason.TRUNCATED, raw=b"\x50\x30\x01"),
        ReplyTimeout(address=0x50),
    ]
    polled(side, 10**6)
    side.receive_data(b"\x50\x70\xfa", 10**6)
    assert news(side) == [Eot(address=0x50)]


def test_a_bad_answer_is_refused_and_comes_again() -> None:
    side = ControllerSide([0x50])
    good = frame(4, STATUS)
    damaged = good[:4] + b"\x02" + good[5:]
    polled(side)
    side.receive_data(damaged, 0)
    assert sent(side) == [b"\x50\x54\xfa"]
    assert news(side) == [BadFrame(address=0x50, reason=BadReason.CHECKSUM, raw=damaged, nak=True)]
    assert not side.busy
    polled(side)
    side.receive_data(good, 0)
    assert news(side) == [Data(address=0x50, tx=4, transactions=(STATUS,))]


def test_noise_before_the_answer_does_not_end_the_wait() -> None:
    side = ControllerSide([0x50])
    polled(side)
    side.receive_data(b"\x00\xfa", 0)
    assert side.busy
    side.receive_data(b"\x50\x70\xfa", 0)
    assert [type(event) for event in news(side)] == [BadFrame, Eot]


@pytest.mark.requirement("fd-link.wrong-address-has-no-effect")
def test_an_answer_from_another_address_is_not_taken() -> None:
    side = ControllerSide([0x50, 0x51])
    polled(side)
    side.receive_data(b"\x51\x70\xfa" + frame(0, STATUS, address=0x51), 0)
    assert side.busy
    assert news(side) == [
        Unexpected(address=0x51, control=Control.EOT, tx=0),
        Unexpected(address=0x51, control=Control.DATA, tx=0),
    ]
    assert sent(side) == []


def test_a_late_answer_is_told_and_ignored() -> None:
    side = ControllerSide([0x50])
    side.receive_data(frame(0, STATUS), 0)
    side.receive_data(b"\x50\xc0\xfa", 0)
    assert [event.control for event in news(side) if isinstance(event, Unexpected)] == [
        Control.DATA,
        Control.ACK,
    ]
    side.send(0x50, [RESET], 0)
    sent(side)
    side.receive_data(frame(0, STATUS) + b"\x50\x70\xfa\x50\xc7\xfa", 0)
    assert side.busy
    assert [type(event) for event in news(side)] == [Unexpected] * 3
    assert sent(side) == []


def test_deviating_answers_to_a_block() -> None:
    side = ControllerSide([0x50])
    side.send(0x50, [RESET], 0)
    side.receive_data(b"\x50\xc0\xfa", 0)
    side.send(0x50, [RESET], 0)
    side.receive_data(b"\x50\x5c\xfa\x50\xc0\xfa", 0)
    assert news(side) == [
        Ack(address=0x50, tx=0),
        Deviation(address=0x50, kind=DeviationKind.NAK_OTHER, expected=1, got=12),
        Nak(address=0x50, tx=1, attempt=1),
        Deviation(address=0x50, kind=DeviationKind.ACK_ZERO, expected=1, got=0),
        Ack(address=0x50, tx=1),
    ]


def test_a_pump_that_skips_numbers_is_told() -> None:
    side = ControllerSide([0x50])
    for tx in (3, 5):
        polled(side)
        side.receive_data(frame(tx, STATUS), 0)
        sent(side)
    assert news(side)[1] == Deviation(address=0x50, kind=DeviationKind.SEQUENCE_GAP, expected=4, got=5)


def test_held_data_is_acknowledged_when_it_is_safe() -> None:
    side = ControllerSide([0x50, 0x51], auto_ack=False)
    polled(side)
    side.receive_data(frame(2, STATUS), 0)
    assert news(side) == [Data(address=0x50, tx=2, transactions=(STATUS,))]
    assert sent(side) == []
    assert side.state is ControllerLinkState.HELD
    assert side.next_timer() is None
    with pytest.raises(LocalProtocolError, match="no data of address 0x51"):
        side.acknowledge(0x51, 0)
    side.refuse(0x50, 0)
    assert sent(side) == [b"\x50\x52\xfa"]
    polled(side)
    side.receive_data(frame(2, STATUS), 0)
    assert news(side) == [Data(address=0x50, tx=2, transactions=(STATUS,))]
    side.acknowledge(0x50, 0)
    assert sent(side) == [b"\x50\xc2\xfa"]
    assert not side.busy
    polled(side)
    side.receive_data(frame(2, STATUS), 0)  # the acknowledgement was lost
    assert news(side) == [Duplicate(address=0x50, tx=2)]
    assert sent(side) == [b"\x50\xc2\xfa"]


def test_parity_error_in_an_answer() -> None:
    side = ControllerSide([0x50])
    polled(side)
    side.parity_error()
    side.receive_data(frame(1, STATUS), 0)
    assert sent(side) == [b"\x50\x51\xfa"]
    assert not side.busy


def test_quirk_of_a_controller_that_knows_zero_only() -> None:
    side = ControllerSide([0x50], quirks=Quirks(tx_always_zero=True, ack_always_zero=True))
    for _ in range(2):
        side.send(0x50, [RESET], 0)
        assert sent(side) == [frame(0, RESET)]
        side.receive_data(b"\x50\xc0\xfa", 0)
    polled(side)
    side.receive_data(frame(7, STATUS), 0)
    assert sent(side) == [b"\x50\xc0\xfa"]


def test_quirk_acknowledge_and_poll_is_bounded() -> None:
    side = ControllerSide([0x50], quirks=Quirks(ack_poll=True), chain_max=3)
    polled(side)
    answers = []
    for tx in (1, 2, 3):
        assert side.busy
        side.receive_data(frame(tx, STATUS), 0)
        answers += sent(side)
    assert answers == [b"\x50\xe1\xfa", b"\x50\xe2\xfa", b"\x50\xc3\xfa"]
    assert not side.busy


def test_quirk_poll_glued_to_data() -> None:
    side = ControllerSide([0x50], quirks=Quirks(glue_poll=True))
    side.send(0x50, [RESET], 0)
    assert sent(side) == [frame(0, RESET) + b"\x50\x20\xfa"]
    side.receive_data(b"\x50\xc0\xfa" + frame(0, STATUS), 0)
    assert [type(event) for event in news(side)] == [Ack, Data]
    assert sent(side) == [b"\x50\xc0\xfa"]
    assert not side.busy


def test_turn_round_stands_in_the_burst() -> None:
    side = ControllerSide([0x50], timing=LineTiming(turn_round_us=700))
    polled(side)
    side.receive_data(frame(1, STATUS), 5000)
    (burst,) = side.data_to_send(5000)
    assert burst.not_before_us == 5700


def test_echo() -> None:
    side = ControllerSide([0x50], echo=True)
    polled(side)
    side.receive_data(b"\x50\x20\xfa\x50\x70\xfa", 0)
    side.send(0x50, [RESET], 0)
    (burst,) = sent(side)
    side.receive_data(burst, 0)
    side.receive_data(b"\x50\xc0\xfa", 0)
    assert news(side) == [Eot(address=0x50), Ack(address=0x50, tx=0)]


def test_raw_bytes_are_off_unless_asked_for() -> None:
    with pytest.raises(LocalProtocolError, match="raw=True"):
        ControllerSide([0x50]).send_raw(b"x")
    side = ControllerSide([0x50], raw=True)
    side.send_raw(b"\x50\x00\xfa")
    assert sent(side) == [b"\x50\x00\xfa"]


def test_restart() -> None:
    side = ControllerSide([0x50, 0x51])
    side.send(0x50, [RESET], 0)
    sent(side)
    side.receive_data(b"\x50\xc0\xfa", 0)
    side.send(0x50, [RESET], 0)
    side.restart(0x51)
    assert side.busy
    side.restart()
    assert not side.busy
    assert sent(side) == []
    side.send(0x50, [RESET], 0)
    assert sent(side) == [frame(0, RESET)]


def test_misuse_is_named() -> None:
    for wrong in ([], [0x50, 0x50], [0x4F]):
        with pytest.raises(LocalProtocolError):
            ControllerSide(wrong)
    with pytest.raises(LocalProtocolError, match="attempts_max"):
        ControllerSide([0x50], attempts_max=0)
    with pytest.raises(HarnessProtocolError, match="0x51 is not on this line"):
        ControllerSide([0x50]).poll(0x51, 0)


def test_a_block_that_does_not_fit_leaves_no_trace() -> None:
    side = ControllerSide([0x50])
    from protocols.dart import PresetVolume

    with pytest.raises(LocalProtocolError, match="preset volume"):
        side.send(0x50, [PresetVolume(volume_units=10**9)], 0)
    assert not side.busy
    assert not side.unacknowledged(0x50)
    assert sent(side) == []


def test_wake_when_something_is_to_be_sent() -> None:
    side = ControllerSide([0x50])
    woken = []
    side.on_wake = lambda: woken.append(True)
    side.poll(0x50, 0)
    assert woken == [True]
