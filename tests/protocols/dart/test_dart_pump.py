"""The pump's end, driven by bytes."""

from __future__ import annotations

from typing import Any

import pytest

from protocols.dart import (
    Ack,
    BadFrame,
    BadReason,
    Command,
    CommandCode,
    Data,
    Deviation,
    DeviationKind,
    Duplicate,
    Event,
    FilledReport,
    Nak,
    NozzleReport,
    PumpLinkState,
    PumpSide,
    PumpStatus,
    PumpTransaction,
    Quirks,
    StatusReport,
    TotalsReport,
    encode_block,
    encode_data,
)
from protocols.sansio import NEED_DATA, HarnessProtocolError, LocalProtocolError, Machine

RESET = Command(code=CommandCode.RESET)
AUTHORISE = Command(code=CommandCode.AUTHORISE)
STATUS = StatusReport(status=PumpStatus.RESET)
FILLED = FilledReport(volume_units=1234, amount_units=9999)
POLL = "50 20 FA"
EOT = "50 70 FA"


def frame(tx: int, *transactions: Any, address: int = 0x50) -> bytes:
    return encode_data(address, tx, encode_block(transactions))


def say(side: PumpSide, data: bytes | str, now_us: int = 0) -> list[bytes]:
    """What the pump answers to these bytes."""
    side.receive_data(bytes.fromhex(data) if isinstance(data, str) else data, now_us)
    return [burst.data for burst in side.data_to_send(now_us)]


def hexed(answers: list[bytes]) -> list[str]:
    return [answer.hex(" ").upper() for answer in answers]


def news(side: PumpSide) -> list[Event]:
    events = []
    while (event := side.next_event()) is not NEED_DATA:
        events.append(event)
    return events


def test_it_is_a_machine() -> None:
    side = PumpSide([0x50])
    assert isinstance(side, Machine)
    assert side.next_timer() is None
    side.handle_timer(0)
    assert side.addresses == (0x50,)


@pytest.mark.parametrize("address", range(0x50, 0x70))
def test_idle_poll(address: int) -> None:
    side = PumpSide(range(0x50, 0x70))
    assert say(side, bytes((address, 0x20, 0xFA)), 7) == [bytes((address, 0x70, 0xFA))]
    assert news(side) == []
    assert side.connection(address).heard_us == 7
    assert side.quiet(address)


def test_an_idle_poll_in_pieces_is_answered_the_same() -> None:
    side = PumpSide([0x50])
    assert say(side, "50") == []
    assert say(side, "20") == []
    assert hexed(say(side, "FA")) == [EOT]
    assert hexed(say(side, POLL)) == [EOT]


def test_queued_reports_travel_in_one_block_and_are_told_acknowledged() -> None:
    side = PumpSide([0x50, 0x51])
    side.send(0x50, [STATUS])
    side.send(0x50, [FILLED])
    assert not side.quiet(0x50)
    assert side.quiet(0x51)
    assert say(side, POLL) == [frame(0, STATUS, FILLED)]
    assert hexed(say(side, "51 20 FA")) == ["51 70 FA"]
    assert say(side, "50 C0 FA") == []
    assert news(side) == [Ack(address=0x50, tx=0)]
    assert hexed(say(side, POLL)) == [EOT]
    assert side.quiet(0x50)


def test_an_unacknowledged_block_is_repeated_with_its_number_and_nothing_slips_into_it() -> None:
    side = PumpSide([0x50])
    side.send(0x50, [STATUS])
    first = frame(0, STATUS)
    assert say(side, POLL) == [first]
    side.send(0x50, [FILLED])
    assert say(side, POLL) == [first]
    assert say(side, "50 50 FA") == []  # NAK
    assert news(side) == [Nak(address=0x50, tx=0)]
    assert say(side, POLL) == [first]
    say(side, "50 C0 FA")
    assert say(side, POLL) == [frame(1, FILLED)]


def test_block_limit_splits_between_transactions() -> None:
    side = PumpSide([0x50], block_bytes_max=12)
    side.send(0x50, [FILLED, STATUS, STATUS])
    assert say(side, POLL) == [frame(0, FILLED)]
    say(side, "50 C0 FA")
    assert say(side, POLL) == [frame(1, STATUS, STATUS)]
    with pytest.raises(LocalProtocolError, match="18 bytes is over the block limit of 12"):
        side.send(0x50, [TotalsReport(counter=1, total_units=1)])


@pytest.mark.parametrize(("wrap", "after"), [(1, 1), (0, 0)])
def test_numbers_wrap(wrap: int, after: int) -> None:
    side = PumpSide([0x50], quirks=Quirks(tx_wrap=wrap))
    numbers = []
    for _ in range(18):
        side.send(0x50, [STATUS])
        (answer,) = say(side, POLL)
        numbers.append(answer[1] & 15)
        say(side, bytes((0x50, 0xC0 | numbers[-1], 0xFA)))
    assert numbers == [*range(16), after, after + 1]


@pytest.mark.requirement("fd-link.duplicate-request-executes-once")
def test_commands_are_acknowledged_and_told_once() -> None:
    side = PumpSide([0x50])
    assert hexed(say(side, frame(0, RESET))) == ["50 C0 FA"]
    for _ in range(5):
        assert hexed(say(side, frame(1, AUTHORISE))) == ["50 C1 FA"]
    assert news(side) == [
        Data(address=0x50, tx=0, transactions=(RESET,)),
        Data(address=0x50, tx=1, transactions=(AUTHORISE,)),
        *[Duplicate(address=0x50, tx=1)] * 4,
    ]


def test_number_zero_is_always_executed() -> None:
    side = PumpSide([0x50])
    for _ in range(3):
        assert hexed(say(side, frame(0, RESET))) == ["50 C0 FA"]
    say(side, frame(0, AUTHORISE))
    events = news(side)
    assert [event.same_as_last for event in events if isinstance(event, Data)] == [False, True, True, False]


@pytest.mark.parametrize("wrapped", [0, 1])
def test_both_numbers_after_fifteen_are_taken(wrapped: int) -> None:
    side = PumpSide([0x50])
    for tx in (14, 15, wrapped, wrapped + 1):
        say(side, frame(tx, RESET))
    assert [type(event) for event in news(side)] == [Data] * 4


def test_a_gap_is_executed_and_told() -> None:
    side = PumpSide([0x50])
    say(side, frame(3, RESET))
    assert hexed(say(side, frame(7, AUTHORISE))) == ["50 C7 FA"]
    assert news(side)[1:] == [
        Deviation(address=0x50, kind=DeviationKind.SEQUENCE_GAP, expected=4, got=7),
        Data(address=0x50, tx=7, transactions=(AUTHORISE,)),
    ]


def test_a_controller_that_acknowledges_all_as_zero_is_tolerated_with_a_warning() -> None:
    side = PumpSide([0x50])
    for tx in range(3):
        side.send(0x50, [STATUS])
        assert say(side, POLL) == [frame(tx, STATUS)]
        say(side, "50 C0 FA")
    assert news(side) == [
        Ack(address=0x50, tx=0),
        Deviation(address=0x50, kind=DeviationKind.ACK_ZERO, expected=1, got=0),
        Ack(address=0x50, tx=1),
        Deviation(address=0x50, kind=DeviationKind.ACK_ZERO, expected=2, got=0),
        Ack(address=0x50, tx=2),
    ]


def test_an_acknowledgement_of_another_block_counts_for_nothing() -> None:
    side = PumpSide([0x50])
    assert say(side, "50 C5 FA") == []
    side.send(0x50, [STATUS])
    say(side, POLL)
    say(side, "50 C5 FA")
    assert news(side) == []
    assert say(side, POLL) == [frame(0, STATUS)]
    say(side, "50 57 FA")
    assert news(side) == [
        Deviation(address=0x50, kind=DeviationKind.NAK_OTHER, expected=0, got=7),
        Nak(address=0x50, tx=0),
    ]


def test_acknowledge_and_poll_in_one() -> None:
    side = PumpSide([0x50], block_bytes_max=12)
    side.send(0x50, [FILLED, STATUS])
    assert say(side, POLL) == [frame(0, FILLED)]
    assert say(side, "50 E0 FA") == [frame(1, STATUS)]
    assert hexed(say(side, "50 E1 FA")) == [EOT]


@pytest.mark.requirement("fd-link.bad-checksum-is-discarded")
def test_bad_checksum_is_refused_without_effect() -> None:
    side = PumpSide([0x50])
    good = frame(3, AUTHORISE)
    damaged = good[:4] + bytes((good[4] ^ 1,)) + good[5:]
    assert hexed(say(side, damaged)) == ["50 53 FA"]
    assert news(side) == [BadFrame(address=0x50, reason=BadReason.CHECKSUM, raw=damaged, nak=True)]
    assert hexed(say(side, good)) == ["50 C3 FA"]
    assert news(side) == [Data(address=0x50, tx=3, transactions=(AUTHORISE,))]


def test_parity_error_is_refused() -> None:
    side = PumpSide([0x50])
    side.parity_error()
    assert hexed(say(side, frame(2, RESET))) == ["50 52 FA"]
    side.receive_data(b"\x50", 0)
    side.parity_error()
    assert say(side, "20 FA") == []  # a control frame is never answered NAK
    assert [event.nak for event in news(side) if isinstance(event, BadFrame)] == [True, False]


@pytest.mark.requirement("fd-link.wrong-address-has-no-effect")
def test_another_pumps_traffic_is_none_of_ours() -> None:
    side = PumpSide([0x50])
    damaged = frame(0, RESET, address=0x51)[:-3] + b"\x00\x03\xfa"
    for data in (b"\x51\x20\xfa", b"\x51\x70\xfa", frame(0, RESET, address=0x51), damaged):
        assert say(side, data) == []
    assert news(side) == []
    assert hexed(say(side, POLL)) == [EOT]


def test_noise_is_told_and_answered_with_silence() -> None:
    side = PumpSide([0x50])
    assert hexed(say(side, bytes.fromhex("FF 00 10") + bytes.fromhex(POLL))) == [EOT]
    assert news(side) == [BadFrame(address=None, reason=BadReason.NOISE, raw=b"\xff\x00\x10")]


def test_a_poll_glued_to_a_command_is_answered_too() -> None:
    side = PumpSide([0x50])
    assert hexed(say(side, frame(0, RESET) + bytes.fromhex(POLL))) == ["50 C0 FA", EOT]


@pytest.mark.requirement("fd-link.truncated-frame-does-not-swallow-next")
def test_gap_ends_an_unfinished_frame() -> None:
    side = PumpSide([0x50], gap_us=20_000)
    stub = frame(0, RESET)[:5]
    say(side, stub, 0)
    assert hexed(say(side, frame(0, AUTHORISE), 20_001)) == ["50 C0 FA"]
    assert news(side) == [
        BadFrame(address=0x50, reason=BadReason.TRUNCATED, raw=stub),
        Data(address=0x50, tx=0, transactions=(AUTHORISE,)),
    ]


def test_unanswered_polls() -> None:
    side = PumpSide([0x50], quirks=Quirks(unanswered_polls=2))
    side.send(0x50, [STATUS])
    assert [say(side, POLL) for _ in range(3)] == [[], [], [frame(0, STATUS)]]
    say(side, "50 C0 FA")
    side.mute(0x50, 1)
    assert not side.quiet(0x50)
    assert [hexed(say(side, POLL)) for _ in range(2)] == [[], [EOT]]
    assert side.quiet(0x50)
    with pytest.raises(LocalProtocolError, match="-1 polls"):
        side.mute(0x50, -1)


def test_source_is_asked_at_an_idle_poll() -> None:
    ready: list[PumpTransaction] = []
    asked = []

    def source(address: int, now_us: int) -> list[PumpTransaction]:
        asked.append((address, now_us))
        return list(ready)

    side = PumpSide([0x50], source=source)
    assert hexed(say(side, POLL, 5)) == [EOT]
    ready.append(FILLED)
    assert say(side, POLL, 9) == [frame(0, FILLED)]
    assert say(side, POLL, 11) == [frame(0, FILLED)]
    assert asked == [(0x50, 5), (0x50, 9)]


def test_quirks_on_the_wire() -> None:
    side = PumpSide([0x50], quirks=Quirks(tx_always_zero=True, ack_always_zero=True, totals_bytes=13))
    assert hexed(say(side, frame(5, RESET))) == ["50 C0 FA"]
    for _ in range(2):
        side.send(0x50, [TotalsReport(counter=1, total_units=123456)])
        (answer,) = say(side, POLL)
        assert answer[1:10].hex(" ") == "30 65 0d 01 00 00 12 34 56"
        say(side, "50 C0 FA")


def test_reply_delay_stands_in_the_burst() -> None:
    side = PumpSide([0x50], reply_delay_us=2_000)
    side.receive_data(bytes.fromhex(POLL), 100)
    (burst,) = side.data_to_send(100)
    assert (burst.data.hex(" ").upper(), burst.not_before_us) == (EOT, 2_100)


def test_echo_of_our_own_answers_is_not_a_command() -> None:
    side = PumpSide([0x50], echo=True)
    side.send(0x50, [STATUS])
    (answer,) = say(side, POLL)
    assert say(side, answer[:4]) == []
    assert say(side, answer[4:] + b"\x50\xc0\xfa") == []
    assert news(side) == [Ack(address=0x50, tx=0)]
    assert hexed(say(side, POLL)) == [EOT]
    assert hexed(say(side, "50 20 FA")) == [EOT]  # no echo came: the filter lets go


def test_restart_forgets_all() -> None:
    side = PumpSide([0x50, 0x51])
    for _ in range(3):
        side.send(0x50, [STATUS])
        (answer,) = say(side, POLL)
        say(side, bytes((0x50, 0xC0 | answer[1] & 15, 0xFA)))
    say(side, frame(4, RESET))
    side.send(0x50, [FILLED])
    say(side, frame(0, RESET)[:3])
    side.restart()
    assert hexed(say(side, POLL)) == [EOT]
    news(side)
    say(side, frame(4, RESET))
    assert [type(event) for event in news(side)] == [Data]
    side.send(0x50, [FILLED])
    assert say(side, POLL) == [frame(0, FILLED)]
    side.restart(0x50)
    assert side.quiet(0x50)


def test_drop_queued_keeps_the_block_that_is_out() -> None:
    side = PumpSide([0x50])
    side.send(0x50, [FILLED])
    side.drop_queued(0x50)
    assert side.quiet(0x50)
    side.send(0x50, [STATUS])
    say(side, POLL)
    side.send(0x50, [FILLED])
    assert side.connection(0x50).queued == 1
    side.drop_queued(0x50)
    assert side.connection(0x50).state is PumpLinkState.UNACKNOWLEDGED
    assert say(side, POLL) == [frame(0, STATUS)]


def test_wake_when_an_address_stops_being_quiet() -> None:
    side = PumpSide([0x50])
    woken = []
    side.on_wake = lambda: woken.append(True)
    side.send(0x50, [])
    assert woken == []
    side.send(0x50, [STATUS])
    side.send(0x50, [NozzleReport(price_units=1175, nozzle=1, out=True)])
    assert woken == [True]


def test_misuse_is_named() -> None:
    for wrong in ([], [0x50, 0x50], [0x4F], [0x70]):
        with pytest.raises(LocalProtocolError):
            PumpSide(wrong)
    with pytest.raises(LocalProtocolError, match="block_bytes_max"):
        PumpSide([0x50], block_bytes_max=0)
    side = PumpSide([0x50])
    with pytest.raises(HarnessProtocolError, match="0x51 is not one of this pump's"):
        side.send(0x51, [STATUS])
    with pytest.raises(LocalProtocolError, match="nobody polls"):
        side.send(0x50, [STATUS] * 257)
    assert side.quiet(0x50)
