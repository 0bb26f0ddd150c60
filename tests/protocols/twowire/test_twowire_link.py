"""Both ends of the line: what each byte does, in any pieces, with noise, with every byte value everywhere."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.sansio import NEED_DATA, HarnessProtocolError, LocalProtocolError, Machine, Outgoing
from protocols.twowire import (
    EIGHT_DIGITS,
    NOZZLE_QUERY,
    SIX_DIGITS,
    BadAnswer,
    BadData,
    BadReason,
    BlockSent,
    BlockTaken,
    Command,
    CommandSent,
    ControllerSide,
    Deviation,
    DeviationKind,
    GradeTotals,
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
    SpecialFunction,
    Status,
    StatusAnswer,
    Totals,
    TotalsAnswer,
    Transaction,
    TransactionAnswer,
    Unexpected,
    UnknownBlock,
    VolumePreset,
    Wait,
    decode_sent,
    decode_totals,
    decode_transaction,
)

MS = 1_000


class Head:
    """A pump's mind that writes down what it is told."""

    def __init__(self, pump=1):
        self.pump = pump
        self.told = Status.IDLE
        self.did = []
        self.takes = True
        self.money_units = 1234
        self.sale = Transaction(pump=pump, grade=2, price_units=780, volume_units=10_000, money_units=7_800)
        self.counted = Totals(
            grades=tuple(
                GradeTotals(grade=grade, volume_units=5, money_units=6, price_1_units=770, price_2_units=771)
                for grade in (1, 2)
            )
        )

    def status(self, now_us):
        return self.told

    def authorise(self, now_us):
        self.did.append("authorise")

    def stop(self, now_us):
        self.did.append("stop")

    def data(self, block, now_us):
        self.did.append(block)
        return self.takes

    def nozzle(self, now_us):
        return NozzleRecord.of(self.pump, 2) if self.told is Status.CALL else None

    def transaction(self, now_us):
        return self.sale

    def totals(self, now_us):
        return self.counted

    def money(self, now_us):
        return self.money_units


def drain(side):
    events = []
    while (event := side.next_event()) is not NEED_DATA:
        events.append(event)
    return events


def answer(side, data, now_us=0):
    side.receive_data(data, now_us)
    return b"".join(out.data for out in side.data_to_send(now_us))


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


# -- damaged answers --------------------------------------------------------------------------------------------------


def ask(side, command, now_us=0):
    side.command(command, 1, now_us)
    side.data_to_send(now_us)


def until_idle(side):
    events = drain(side)
    while side.busy:
        side.handle_timer(side.next_timer())
        events += drain(side)
    return events


ANSWERS = [
    (Command.TRANSACTION, Head().sale.encode()),
    (Command.TOTALS, Head().counted.encode()),
    (Command.MONEY, bytes.fromhex("E0 E2 E2 E0 E0 E0")),
]


@pytest.mark.parametrize(("command", "data"), ANSWERS)
def test_an_answer_cut_at_every_offset_is_a_time_out(command, data):
    for length in range(len(data)):
        side = ControllerSide([1])
        ask(side, command)
        side.receive_data(data[:length], MS)
        (event,) = until_idle(side)
        assert type(event) is ReplyTimeout
        # The next good answer is understood.
        ask(side, Command.STATUS, 10**6)
        side.receive_data(b"\x61", 10**6 + 20 * MS)
        assert drain(side) == [StatusAnswer(pump=1, status=Status.IDLE)]


@pytest.mark.parametrize(("command", "data"), ANSWERS)
def test_every_byte_value_at_every_position_of_an_answer(command, data):
    side = ControllerSide([1])
    now_us = 0
    for position in range(len(data)):
        for value in range(256):
            now_us += 10**6
            ask(side, command, now_us)
            side.receive_data(data[:position] + bytes((value,)) + data[position + 1 :], now_us + MS)
            events = until_idle(side)
            kinds = {type(event) for event in events} - {
                Unexpected,
                Deviation,
            }  # our own byte looks like an echo
            if command is Command.MONEY:
                assert len(kinds) == 1
                assert kinds <= {MoneyAnswer, BadAnswer, ReplyTimeout}
            elif value == data[position]:
                assert kinds in ({TransactionAnswer}, {TotalsAnswer})
            else:
                assert kinds in ({BadAnswer}, {ReplyTimeout}), (position, value)
            assert not side.busy


def test_noise_before_an_answer_does_no_harm():
    side = ControllerSide([1])
    ask(side, Command.TRANSACTION)
    side.receive_data(b"\x00\x33\x62" + Head().sale.encode(), MS)
    assert type(drain(side)[-1]) is TransactionAnswer


def test_a_status_of_another_pump_is_not_taken():
    side = ControllerSide([1, 2])
    ask(side, Command.STATUS)
    side.receive_data(b"\x62", MS)
    assert drain(side) == [Unexpected(pump=1, raw=b"\x62")]
    side.receive_data(b"\x71", 2 * MS)
    assert drain(side) == [StatusAnswer(pump=1, status=Status.CALL)]


def test_after_a_bad_answer_the_line_is_left_in_peace():
    side = ControllerSide([1])
    ask(side, Command.MONEY)
    side.receive_data(b"\xe1\xf0", MS)
    assert side.busy  # more of it may be on its way
    side.receive_data(b"\xe1\xe1\xe1\xe1", 2 * MS)
    assert until_idle(side) == [
        BadAnswer(pump=1, wait=Wait.MONEY, reason=BadReason.BODY, raw=b"\xe1\xf0"),
    ]


def test_a_broken_stream_ends_half_an_answer():
    side = ControllerSide([1])
    ask(side, Command.TRANSACTION)
    side.connection_lost(MS)
    assert side.busy
    side.receive_data(b"\xff\xf1", MS)
    side.connection_lost(2 * MS)
    assert drain(side) == [ReplyTimeout(pump=1, wait=Wait.TRANSACTION)]


# -- Hypothesis -------------------------------------------------------------------------------------------------------

MODELS = st.sampled_from([SIX_DIGITS, EIGHT_DIGITS])


def units(digits):
    return st.integers(0, 10**digits - 1)


@st.composite
def sent_blocks(draw):
    model = draw(MODELS)
    grade = draw(st.integers(1, 16))
    level = draw(st.sampled_from([1, 2]))
    maybe = draw(st.sampled_from([None, grade]))
    named = {} if maybe is None else {"grade": maybe, "level": level}
    block = draw(
        st.sampled_from(
            [
                PriceChange(grade=grade, level=level, price_units=draw(units(model.price))),
                VolumePreset(volume_units=draw(units(model.preset_volume)), **named),
                MoneyPreset(money_units=draw(units(model.preset_money)), **named),
                SpecialFunction(number=draw(units(3))),
            ]
        )
    )
    return model, block


@given(sent_blocks())
def test_sent_blocks_round_trip(case):
    model, block = case
    data = block.encode(model)
    sent = decode_sent(data, model, strict_length=True)
    assert (sent.block, sent.deviations) == (block, ())


@st.composite
def transactions(draw):
    model = draw(MODELS)
    nibble = st.integers(0, 15)
    return model, Transaction(
        pump=draw(st.integers(1, 16)),
        grade=draw(st.integers(1, 16)),
        level=draw(st.sampled_from([1, 2])),
        price_units=draw(units(model.price)),
        volume_units=draw(units(model.volume)),
        money_units=draw(units(model.money)),
        marker=draw(nibble),
        unknown=draw(st.tuples(nibble, nibble, nibble)),
    )


@given(transactions())
def test_transactions_round_trip(case):
    model, transaction = case
    assert len(transaction.encode(model)) == model.transaction_words
    assert decode_transaction(transaction.encode(model), model) == transaction


@given(MODELS, st.lists(st.integers(1, 16), unique=True, max_size=8), st.randoms(use_true_random=False))
def test_totals_round_trip(model, grades, rng):
    totals = Totals(
        grades=tuple(
            GradeTotals(
                grade=grade,
                volume_units=rng.randrange(10**model.totals),
                money_units=rng.randrange(10**model.totals),
                price_1_units=rng.randrange(10**model.price),
                price_2_units=rng.randrange(10**model.price),
            )
            for grade in grades
        )
    )
    assert len(totals.encode(model)) == model.totals_words(len(grades))
    assert decode_totals(totals.encode(model), model) == totals


@settings(max_examples=60)
@given(st.data())
def test_any_pieces_give_the_same_answers_and_news(data):
    """A whole conversation, cut anywhere, is the same conversation."""
    stream = (
        b"\x01\x21"
        + VolumePreset(volume_units=500).encode()
        + b"\x01\x11\x01\x41\x51\x61\x31\x21"
        + NOZZLE_QUERY.encode()
        + b"\x21"
        + PriceChange(grade=1, price_units=700).encode()[:-1]
        + b"\x01\x01\xfc"
    )
    cuts = sorted(data.draw(st.sets(st.integers(1, len(stream) - 1), max_size=12)))
    whole, parts = Head(), Head()
    whole.told = parts.told = Status.CALL
    one, other = PumpSide({1: whole}), PumpSide({1: parts})
    expected = answer(one, stream)
    got = b"".join(answer(other, stream[a:b]) for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True))
    assert got == expected
    assert parts.did == whole.did
    assert drain(other) == drain(one)


# -- fuzz -------------------------------------------------------------------------------------------------------------


def fuzz(frames: int, seed: str) -> None:
    """Random and damaged bytes into both sides: no crash, and the next good question is answered."""
    rng = random.Random(seed)
    head = Head()
    pump, site = PumpSide({1: head}), ControllerSide([1])
    good = [
        b"\x01",
        b"\x21" + VolumePreset(volume_units=500, grade=1).encode(),
        b"\x21" + NOZZLE_QUERY.encode(),
        head.sale.encode(),
        head.counted.encode(),
        NozzleRecord.of(1, 1).encode(),
        UnknownBlock(body=b"\xf3\xe1").encode(),
    ]
    now_us = 0
    for number in range(frames):
        kind = rng.randrange(3)
        if kind == 0:
            data = rng.randbytes(rng.randrange(1, 40))
        elif kind == 1:
            data = bytes(0xE0 | rng.randrange(32) for _ in range(rng.randrange(1, 40)))
        else:
            mutable = bytearray(rng.choice(good))
            for _ in range(rng.randrange(1, 4)):
                mutable[rng.randrange(len(mutable))] = rng.randrange(256)
            data = bytes(mutable)
        now_us += 3_000
        pump.receive_data(data, now_us)
        pump.data_to_send(now_us)
        if not site.busy:
            if rng.random() < 0.2:
                site.send(1, NOZZLE_QUERY, now_us)
            else:
                site.command(
                    rng.choice([Command.STATUS, Command.TRANSACTION, Command.TOTALS, Command.MONEY]),
                    1,
                    now_us,
                )
        site.data_to_send(now_us)
        site.receive_data(data, now_us)
        due_us = site.next_timer()
        if due_us is not None and due_us <= now_us:
            site.handle_timer(now_us)
        drain(site)
        if number % 100 == 0:
            drain(pump)
            head.did.clear()
            pump.receive_data(b"\x01\x01", now_us)  # ends a block under way; perhaps a data error first
            pump.data_to_send(now_us)
            assert answer(pump, b"\x01", now_us) == b"\x61"
            until_idle(site)
            now_us += 10**6
            ask(site, Command.STATUS, now_us)
            site.receive_data(b"\x61", now_us + MS)
            assert drain(site)[-1] == StatusAnswer(pump=1, status=Status.IDLE)


def test_fuzz_a_little():
    fuzz(20_000, "twowire")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_fuzz_a_million():
    fuzz(1_000_000, "twowire/million")


def test_bursts_are_outgoing():
    side = ControllerSide([1])
    side.command(Command.STATUS, 1, 5)
    assert side.data_to_send(5) == [Outgoing(b"\x01", 5)]
