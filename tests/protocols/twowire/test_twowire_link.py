"""Both ends of the line: what each byte does, echoes, deviations."""

from __future__ import annotations

import pytest

from protocols.sansio import HarnessProtocolError, LocalProtocolError, Machine, Outgoing
from protocols.twowire import (
    EIGHT_DIGITS,
    NOZZLE_QUERY,
    SIX_DIGITS,
    BadData,
    BadReason,
    BlockSent,
    BlockTaken,
    Command,
    CommandSent,
    ControllerSide,
    Deviation,
    DeviationKind,
    LineTiming,
    MoneyAnswer,
    MoneyPreset,
    NotReady,
    NozzleAnswer,
    NozzleRecord,
    PriceChange,
    PumpSide,
    Quirks,
    ReplyTimeout,
    Status,
    StatusAnswer,
    TotalsAnswer,
    TransactionAnswer,
    VolumePreset,
    Wait,
)

from .twowire_line import MS, Head, answer, drain


class Line:
    """A controller and pumps back to back, bytes in pieces of any size, 1 ms a burst."""

    def __init__(
        self, *heads, piece=None, echo=False, timing=None, quirks=None, pump_quirks=None, model=SIX_DIGITS
    ):
        self.heads = heads or (Head(),)
        self.pumps = PumpSide({h.pump: h for h in self.heads}, quirks=pump_quirks, model=model)
        self.site = ControllerSide(
            [h.pump for h in self.heads],
            timing=LineTiming(baud=None) if timing is None else timing,
            echo=echo,
            quirks=quirks,
            model=model,
        )
        self.now_us = 0
        self.piece = piece
        self.sent = []
        self.events = []

    def run(self):
        """Until the exchange is over."""
        while self.site.busy:
            bursts = self.site.data_to_send(self.now_us)
            for out in bursts:
                self.now_us = max(self.now_us, out.not_before_us) + MS
                self.sent.append((self.now_us, out.data))
                back = b""
                for piece in self.cut(out.data):
                    back += answer(self.pumps, piece, self.now_us)
                self.now_us += MS
                for piece in self.cut(back):
                    self.site.receive_data(piece, self.now_us)
            if not bursts and self.site.busy:
                due_us = self.site.next_timer()
                assert due_us is not None
                self.now_us = max(self.now_us, due_us)
                self.site.handle_timer(self.now_us)
            self.events += drain(self.site)
        events, self.events = self.events, []
        return events

    def cut(self, data):
        step = self.piece or len(data) or 1
        return [data[at : at + step] for at in range(0, len(data), step)]


def test_both_sides_are_machines():
    assert isinstance(PumpSide({1: Head()}), Machine)
    assert isinstance(ControllerSide([1]), Machine)


@pytest.mark.parametrize("piece", [None, 1, 3])
@pytest.mark.parametrize("model", [SIX_DIGITS, EIGHT_DIGITS])
def test_every_reading(piece, model):
    line = Line(Head(1), Head(16), piece=piece, model=model)
    for head in line.heads:
        head.told = Status.CALL
        for command, expected in (
            (Command.STATUS, StatusAnswer(pump=head.pump, status=Status.CALL)),
            (Command.TRANSACTION, TransactionAnswer(pump=head.pump, transaction=head.sale)),
            (Command.TOTALS, TotalsAnswer(pump=head.pump, totals=head.counted)),
            (Command.MONEY, MoneyAnswer(pump=head.pump, money_units=1234)),
        ):
            line.site.command(command, head.pump, line.now_us)
            assert line.run() == [expected]
        line.site.send(head.pump, NOZZLE_QUERY, line.now_us)
        assert line.run() == [NozzleAnswer(pump=head.pump, record=NozzleRecord.of(head.pump, 2))]


@pytest.mark.parametrize("piece", [None, 1, 4])
def test_commands_and_blocks_reach_the_head(piece):
    line = Line(Head(3), piece=piece)
    (head,) = line.heads
    blocks = [
        PriceChange(grade=1, price_units=750),
        VolumePreset(volume_units=0),
        MoneyPreset(money_units=1, grade=2),
    ]
    for block in blocks:
        line.site.send(3, block, line.now_us)
        assert line.run() == [BlockSent(pump=3, block=block)]
    for command in (Command.AUTHORISE, Command.STOP):
        line.site.command(command, 3, line.now_us)
        assert line.run() == [CommandSent(pump=3, command=command)]
    assert head.did == [*blocks, "authorise", "stop"]
    assert drain(line.pumps) == [BlockTaken(pump=3, block=block) for block in blocks]


@pytest.mark.requirement("fd-link.minimum-command-spacing")
def test_the_silences_of_the_line_are_kept():
    line = Line(timing=LineTiming())
    starts = []
    for command in (Command.STATUS, Command.AUTHORISE, Command.STATUS, Command.MONEY):
        line.site.command(command, 1, line.now_us)
        (out,) = line.site.data_to_send(line.now_us)
        starts.append((command, max(out.not_before_us, line.now_us)))
        line.now_us = starts[-1][1] + 2 * MS
        line.site.receive_data(answer(line.pumps, out.data, line.now_us), line.now_us)
        while line.site.busy:
            line.now_us = line.site.next_timer()
            line.site.handle_timer(line.now_us)
        ended_us = line.now_us
        starts.append(("ended", ended_us))
    gaps = [later - earlier for (_, earlier), (_, later) in zip(starts[1::2], starts[2::2], strict=False)]
    assert min(gaps) >= 10 * MS
    said_us = dict(starts[2:3])[Command.AUTHORISE]
    assert starts[4][1] - said_us >= 68 * MS


def test_all_stop_may_be_said_at_any_time():
    line = Line(Head(1), Head(2))
    line.site.command(Command.STATUS, 1, 0)
    line.site.data_to_send(0)
    line.site.all_stop(0)
    assert not line.site.busy
    (out,) = line.site.data_to_send(0)
    assert out.data == b"\xfc"
    assert answer(line.pumps, out.data) == b""
    assert [head.did for head in line.heads] == [["stop"], ["stop"]]
    # Also in the middle of a block: FC is no data word.
    answer(line.pumps, b"\x21")
    answer(line.pumps, b"\xff\xe6\xfc")
    assert line.heads[0].did == ["stop", "stop"]
    assert answer(line.pumps, b"\x01") == b"\x01"  # the block never came: data error, once
    assert answer(line.pumps, b"\x01") == b"\x61"


def test_silence_is_told_and_nothing_is_repeated():
    line = Line()
    line.heads[0].told = None
    for command, wait in ((Command.STATUS, Wait.STATUS),):
        line.site.command(command, 1, line.now_us)
        assert line.run() == [ReplyTimeout(pump=1, wait=wait)]
    line.site.send(1, VolumePreset(volume_units=1), line.now_us)
    assert line.run() == [ReplyTimeout(pump=1, wait=Wait.READY)]
    assert len(line.sent) == 2
    line.heads[0].told = Status.IDLE
    line.site.send(1, NOZZLE_QUERY, line.now_us)
    assert line.run() == [ReplyTimeout(pump=1, wait=Wait.NOZZLE)]


def test_one_exchange_at_a_time():
    side = ControllerSide([1, 2])
    side.command(Command.STATUS, 1, 0)
    with pytest.raises(LocalProtocolError, match="busy"):
        side.command(Command.STATUS, 2, 0)
    with pytest.raises(HarnessProtocolError):
        side.connection(3)
    for wrong in ([], [1, 1], [17]):
        with pytest.raises(LocalProtocolError):
            ControllerSide(wrong)
    with pytest.raises(LocalProtocolError, match="use send"):
        ControllerSide([1]).command(Command.DATA, 1, 0)
    with pytest.raises(LocalProtocolError):
        ControllerSide([1]).send(1, VolumePreset(volume_units=10**5), 0)
    with pytest.raises(LocalProtocolError):
        PumpSide({})
    with pytest.raises(LocalProtocolError):
        PumpSide({0: Head()})


def test_a_pump_that_is_not_ready_gets_no_block():
    side = ControllerSide([1])
    side.send(1, VolumePreset(volume_units=5), 0)
    assert [out.data for out in side.data_to_send(0)] == [b"\x21"]
    side.receive_data(b"\x91", 1 * MS)
    assert drain(side) == [NotReady(pump=1, status=Status.BUSY)]
    assert side.data_to_send(MS) == []
    assert not side.busy


# -- echo -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("piece", [None, 1])
def test_a_line_that_echoes(piece):
    line = Line(echo=True, piece=piece, pump_quirks=Quirks(echo=True))
    line.heads[0].told = Status.CALL
    for command, kind in ((Command.STATUS, StatusAnswer), (Command.TRANSACTION, TransactionAnswer)):
        line.site.command(command, 1, line.now_us)
        (event,) = line.run()
        assert type(event) is kind
    line.site.send(1, VolumePreset(volume_units=5), line.now_us)
    assert line.run() == [BlockSent(pump=1, block=VolumePreset(volume_units=5))]
    line.site.send(1, NOZZLE_QUERY, line.now_us)
    assert type(line.run()[-1]) is NozzleAnswer
    line.site.command(Command.AUTHORISE, 1, line.now_us)
    assert line.run() == [CommandSent(pump=1, command=Command.AUTHORISE)]


def test_a_declared_echo_that_does_not_come_is_a_warning():
    line = Line(echo=True)
    line.site.command(Command.STATUS, 1, 0)
    assert line.run() == [
        Deviation(pump=1, kind=DeviationKind.ECHO_MISSING),
        StatusAnswer(pump=1, status=Status.IDLE),
    ]


def test_an_echo_that_was_not_declared_is_a_warning():
    line = Line(pump_quirks=Quirks(echo=True))
    line.site.command(Command.TRANSACTION, 1, 0)
    deviation, event = line.run()
    assert deviation == Deviation(pump=1, kind=DeviationKind.ECHO_UNDECLARED)
    assert type(event) is TransactionAnswer
    # A status poll's echo cannot be told from a data error: there the option has to be right.
    line.site.command(Command.STATUS, 1, line.now_us)
    assert line.run()[0] == StatusAnswer(pump=1, status=Status.DATA_ERROR)


# -- the pump's data mode ---------------------------------------------------------------------------------------------


def test_a_bad_block_is_a_data_error_once():
    side = PumpSide({1: Head()})
    good = VolumePreset(volume_units=5).encode()
    assert answer(side, b"\x21") == b"\xd1"
    assert answer(side, good[:-2] + bytes((good[-2] ^ 1, 0xF0))) == b""
    assert drain(side) == [BadData(pump=1, reason=BadReason.LRC, raw=good[:-2] + bytes((good[-2] ^ 1, 0xF0)))]
    assert answer(side, b"\x01\x01") == b"\x01\x61"


def test_a_block_that_the_head_cannot_use_is_a_data_error_too():
    head = Head()
    head.takes = False
    side = PumpSide({1: head})
    answer(side, b"\x21" + PriceChange(grade=9, price_units=1).encode())
    assert answer(side, b"\x01\x01") == b"\x01\x61"


def test_without_2p_a_block_is_noise():
    head = Head()
    side = PumpSide({1: head})
    assert answer(side, VolumePreset(volume_units=5).encode() + b"\x01") == b"\x61"
    assert head.did == []


def test_a_block_that_comes_too_late_is_not_taken():
    head = Head()
    side = PumpSide({1: head})
    answer(side, b"\x21", 0)
    answer(side, VolumePreset(volume_units=5).encode(), 2_100_000)
    assert head.did == []
    assert answer(side, b"\x01", 2_200_000) == b"\x01"


def test_deviations_of_a_controller_are_taken_with_a_warning():
    line = Line(quirks=Quirks(constant_length=True, money_five_digits=True))
    line.site.send(1, MoneyPreset(money_units=100), 0)
    line.run()
    warnings = [event.kind for event in drain(line.pumps) if isinstance(event, Deviation)]
    assert warnings == [DeviationKind.MONEY_FIVE_DIGITS, DeviationKind.LENGTH_CONSTANT]
    assert line.heads[0].did == [MoneyPreset(money_units=100, digits=5)]
    strict = PumpSide({1: Head()}, quirks=Quirks(strict_length=True))
    answer(strict, b"\x21" + line.sent[-1][1])
    assert [type(event) for event in drain(strict)] == [BadData]


def test_unanswered_polls_follow_a_change_of_status():
    head = Head()
    side = PumpSide({1: head}, quirks=Quirks(unanswered_polls=2))
    assert [answer(side, b"\x01") for _ in range(4)] == [b"", b"", b"\x61", b"\x61"]
    head.told = Status.CALL
    assert not side.quiet(1, 0)
    assert [answer(side, b"\x01") for _ in range(5)] == [b"", b"", b"\x71", b"\x71", b"\x71"]
    assert side.quiet(1, 0)
    side.restart()
    assert not side.quiet(1, 0)


def test_other_pumps_answers_mean_nothing_to_a_pump():
    """On a shared pair each pump hears the others: their answers look like commands of other pumps only."""
    heads = {1: Head(1), 2: Head(2)}
    side = PumpSide({1: heads[1]})
    other = heads[2]
    heard = (
        b"\x62\xd2"
        + other.sale.encode()
        + other.counted.encode()
        + NozzleRecord.of(2, 1).encode()
        + bytes.fromhex("E0 E2 E2 E0 E0 E0")
    )
    assert answer(side, heard) == b""
    assert heads[1].did == []


def test_bursts_are_outgoing():
    side = ControllerSide([1])
    side.command(Command.STATUS, 1, 5)
    assert side.data_to_send(5) == [Outgoing(b"\x01", 5)]
