"""The AA FF personality: polls, records, acknowledgements, authorisations, prices, power."""

from __future__ import annotations

from typing import Any

import pytest

from protocols import aaff
from protocols.aaff import (
    POWER_DOWN,
    PRICE_INDEX,
    Authorise,
    AuthoriseReply,
    AuthoriseType,
    BriefAck,
    BriefSale,
    Command,
    Direction,
    Fetch,
    Framer,
    Live,
    LiveState,
    Nothing,
    NotUnderstood,
    Parameter,
    ParameterReply,
    Poll,
    Prices,
    Quirks,
    Raw,
    ReadParameter,
    RecordAck,
    RecordAcked,
    RecordType,
    Result,
    Sale,
    ShortPoll,
    Status,
    Stop,
    Totals,
    TotalsRequest,
    WriteParameter,
    decode_from_pump,
    encode_frame,
)
from sim.dispenser import AaFfDispenser, AaFfQuirks, Dispenser, FpState

S = 1_000_000
EPOCH_US = 1_795_287_028_000_000  # 2026-11-22 02:50:28 in Kunming
POLL = Poll(time=bytes.fromhex("261122025028"))
FREE = Authorise(AuthoriseType.FREE, 0)


class Gun:
    """One gun, driven by hand and by frames."""

    def __init__(self, make_point, *, number: int = 1, profile: dict[str, Any] | None = None, **quirks: Any):
        self.point = make_point(number, prices=(700,), **(profile or {}))
        self.dispenser = Dispenser([self.point])
        self.machine = AaFfDispenser(
            self.dispenser, {number: self.point}, quirks=AaFfQuirks(**quirks), epoch_us=EPOCH_US
        )
        self.number = number
        self.now_us = 0

    @property
    def gun(self):
        return self.machine.gun(self.number)

    def at(self, now_us: int) -> Gun:
        assert now_us >= self.now_us
        self.now_us = now_us
        self.machine.handle_timer(now_us)
        return self

    def raw(self, data: bytes) -> bytes:
        self.machine.receive_data(data, self.now_us)
        return b"".join(burst.data for burst in self.machine.data_to_send(self.now_us))

    def ask(self, message: Any) -> Any:
        data = self.raw(encode_frame(Direction.TO_PUMP, message.command, self.number, message.encode()))
        if not data:
            return None
        (frame,) = Framer().feed(data)
        assert isinstance(frame, aaff.Frame)
        assert (frame.direction, frame.gun, frame.destination) == (Direction.FROM_PUMP, self.number, 0)
        return decode_from_pump(frame.command, frame.body)

    def poll(self) -> Any:
        return self.ask(POLL)

    def fill(self, seconds: int = 20, *, authorise: Authorise | None = FREE) -> None:
        """One sale from now on, by the master or (None) by whoever lets it."""
        self.point.lift(1, self.now_us)
        if authorise is not None:
            assert self.ask(authorise) == AuthoriseReply(0, authorise.kind, authorise.value_units)
        self.point.squeeze(self.now_us, 30_000)
        self.at(self.now_us + seconds * S)
        self.point.hang_up(self.now_us)


@pytest.fixture
def gun(make_point) -> Gun:
    return Gun(make_point)


def test_states_as_the_gateway_numbers_them(gun: Gun) -> None:
    assert gun.poll() == Status(0)
    gun.point.lift(1, 1 * S)
    assert gun.at(1 * S).poll() == Status(4)
    assert gun.ask(FREE) == AuthoriseReply(0, AuthoriseType.FREE, 0)
    assert gun.poll() == Status(6)
    gun.point.squeeze(2 * S, 30_000)
    live = gun.at(5 * S).poll()
    assert isinstance(live, Live)
    reading = gun.point.reading(5 * S)
    record = live.record
    assert (record.volume_units * 10, record.amount_units) == (reading.volume_ml, reading.amount_fen)
    assert (record.price_units, record.state, len(record.card)) == (700, LiveState.FUELLING, 10)
    gun.point.suspend(5 * S)
    assert gun.at(6 * S).poll() == Status(9)
    gun.point.resume(6 * S)
    gun.at(7 * S)
    assert gun.point.state is FpState.FUELLING


def test_authorised_with_the_nozzle_in_is_state_5_and_closed_is_2(gun: Gun) -> None:
    assert gun.ask(Authorise(AuthoriseType.VOLUME, 500)) == AuthoriseReply(0, 1, 500)
    assert gun.poll() == Status(5)
    assert gun.ask(Stop()) == Result(Command.STOP, 0)
    gun.point.close(0)
    assert gun.poll() == Status(2)


@pytest.mark.requirement("fd-pwr.repeated-upload-is-one-sale", "fd-pwr.buffered-sales-upload-in-order")
def test_the_oldest_sale_is_repeated_until_its_own_acknowledgement(gun: Gun) -> None:
    gun.fill()
    gun.fill(10)
    first, second = gun.point.journal
    told = gun.poll()
    record = told.record
    assert (record.uid, record.volume_units * 10, record.amount_units, record.price_units) == (
        1,
        first.volume_ml,
        first.amount_fen,
        700,
    )
    assert (record.total_before_units, record.total_after_units * 10) == (0, first.end_total_volume_ml)
    assert record.use_amount_units == first.end_total_amount_fen
    assert aaff.decode_time(record.started) == EPOCH_US + first.started_us // S * S
    assert aaff.decode_time(record.ended) == EPOCH_US + first.ended_us // S * S
    assert [gun.poll() for _ in range(3)] == [told] * 3
    for wrong in (0, 2, 999):
        assert gun.ask(RecordAck(wrong)) == RecordAcked()  # answered, and without effect
        assert gun.poll() == told
    assert gun.ask(RecordAck(1, record=Command.SHIFT)) == RecordAcked()
    assert gun.poll() == told
    assert gun.ask(RecordAck(1)) == RecordAcked()
    assert gun.point.acknowledged_sequence == 1
    after = gun.poll().record
    assert (after.uid, after.total_before_units) == (2, record.total_after_units)
    assert after.volume_units * 10 == second.volume_ml
    assert gun.ask(RecordAck(1)) == RecordAcked()  # the first one's again
    assert gun.poll().record == after
    gun.ask(RecordAck(2))
    assert gun.poll() == Status(0)
    assert not gun.point.unacknowledged


def test_sales_go_before_calls_and_live_figures_before_sales(gun: Gun) -> None:
    gun.fill()
    gun.point.lift(1, gun.now_us)
    assert isinstance(gun.poll(), Sale)
    gun.ask(FREE)
    assert gun.poll() == Status(6, unpaid=1)
    gun.point.squeeze(gun.now_us, 30_000)
    assert isinstance(gun.at(gun.now_us + 3 * S).poll(), Live)
    gun.point.hang_up(gun.now_us)
    assert gun.poll().record.uid == 1


@pytest.mark.parametrize("skip_after", [50, 10])
def test_a_record_nobody_acknowledges_is_skipped_but_can_still_be_fetched(make_point, skip_after) -> None:
    gun = Gun(make_point, skip_after=skip_after)
    gun.fill()
    gun.fill()
    assert [gun.poll().record.uid for _ in range(skip_after)] == [1] * skip_after
    assert gun.poll() is None  # the poll at which it is skipped
    assert gun.poll().record.uid == 2
    assert list(gun.gun.upload.skipped) == [1]
    fetched = gun.ask(Fetch(1))
    assert isinstance(fetched, Sale)
    assert fetched.record.uid == 1
    assert gun.ask(Fetch(3)) == NotUnderstood()
    assert gun.ask(Fetch(1, record=Command.ALARM)) == NotUnderstood()


def test_presets_and_refusals(gun: Gun) -> None:
    gun.point.lift(1, 0)
    assert gun.ask(Authorise(AuthoriseType.AMOUNT, 50_00)) == AuthoriseReply(0, 0, 50_00)
    gun.point.squeeze(0, 40_000)
    gun.at(60 * S)
    assert gun.point.journal[-1].amount_fen <= 50_00 < gun.point.journal[-1].amount_fen + 7
    gun.ask(RecordAck(1))
    assert gun.ask(Authorise(AuthoriseType.AMOUNT, 0)) == AuthoriseReply(1, 0, 0)
    assert gun.ask(Authorise(AuthoriseType.VOLUME, 10**9)) == AuthoriseReply(1, 1, 0)
    assert gun.ask(Authorise(3, 5)) == AuthoriseReply(1, 3, 0)
    assert gun.point.state is FpState.IDLE


@pytest.mark.requirement("fd-auth.one-live-authorisation", "fd-link.duplicate-request-executes-once")
def test_the_same_authorisation_again_is_the_same_one_and_another_is_refused(gun: Gun) -> None:
    wanted = Authorise(AuthoriseType.VOLUME, 300)
    gun.point.lift(1, 0)
    assert gun.ask(wanted) == gun.ask(wanted) == AuthoriseReply(0, 1, 300)
    assert gun.ask(Authorise(AuthoriseType.VOLUME, 900)) == AuthoriseReply(1, 1, 0)
    gun.point.squeeze(0, 40_000)
    assert gun.at(2 * S).ask(wanted) == AuthoriseReply(0, 1, 300)
    gun.at(60 * S)
    assert [delivery.volume_ml for delivery in gun.point.journal] == [3_000]
    assert gun.point.state is FpState.IDLE


def test_a_limit_of_its_own_shows_in_the_echo(make_point) -> None:
    gun = Gun(make_point, most_units=200_00)
    assert gun.ask(Authorise(AuthoriseType.AMOUNT, 300_00)) == AuthoriseReply(0, 0, 200_00)


def test_stop(gun: Gun) -> None:
    assert gun.ask(Stop()) == Result(Command.STOP, 0)
    gun.point.lift(1, 0)
    assert gun.ask(Stop()) == Result(Command.STOP, 0)
    assert gun.point.state is FpState.CALLING  # a customer's call is none of its business
    gun.ask(FREE)
    gun.point.squeeze(0, 40_000)
    gun.at(5 * S)
    assert gun.ask(Stop()) == Result(Command.STOP, 0)
    gun.at(6 * S)
    assert gun.point.journal[-1].flags == ("terminated",)


def test_totals(gun: Gun) -> None:
    assert gun.ask(TotalsRequest()) == Totals(0, 0, 0)
    gun.fill()
    last = gun.point.journal[-1]
    expected = Totals(1, last.end_total_volume_ml // 10, last.end_total_amount_fen)
    assert gun.ask(TotalsRequest()) == expected
    gun.point.lift(1, gun.now_us)
    gun.ask(FREE)
    gun.point.squeeze(gun.now_us, 40_000)
    gun.at(gun.now_us + 5 * S)
    assert gun.ask(TotalsRequest()) == expected  # as of the last finished sale


@pytest.mark.requirement("fd-price.price-holds-for-a-delivery", "fd-price.price-confirmed-by-readback")
def test_prices_are_set_read_back_and_refused_during_a_sale(gun: Gun) -> None:
    assert gun.ask(Prices.of((686, 700, 700, 700))) == Result(Command.PRICES, 0)
    read = ReadParameter(Parameter(PRICE_INDEX, 0))
    assert gun.ask(read) == ParameterReply(Command.READ_PARAMETER, PRICE_INDEX, 686)
    assert gun.ask(ReadParameter(Parameter(PRICE_INDEX + 1, 0))).value == 700
    gun.point.lift(1, 0)
    gun.ask(FREE)
    assert gun.ask(Prices.of((700,) * 4)) == Result(Command.PRICES, 1)
    gun.point.squeeze(0, 30_000)
    gun.at(5 * S)
    assert gun.ask(Prices.of((686, 1, 1, 1))) == Result(Command.PRICES, 0)  # nothing to change
    gun.point.hang_up(gun.now_us)
    assert gun.point.journal[-1].price_fen_per_l == 686
    assert gun.ask(WriteParameter(Parameter(PRICE_INDEX, 6955, decimals=3))).value == 695
    assert gun.ask(Prices.of((10_000,) * 4)) == Result(Command.PRICES, 1)


def test_parameters(gun: Gun) -> None:
    assert gun.ask(ReadParameter(Parameter(3002, 0))) == NotUnderstood()
    assert gun.ask(WriteParameter(Parameter(3002, 123456))) == ParameterReply(0x52, 3002, 123456)
    assert gun.ask(ReadParameter(Parameter(3002, 0))) == ParameterReply(0x53, 3002, 123456)


@pytest.mark.requirement("fd-link.unknown-input-never-crashes")
@pytest.mark.parametrize(
    "message",
    [Raw(0x71, bytes(108)), Raw(0x54, b""), Raw(0xFE, bytes(152)), Raw(0x51, bytes(17)), Raw(0x70, b"\x00")],
)
def test_what_is_not_known_or_not_readable_is_answered_50(gun: Gun, message: Raw) -> None:
    assert gun.ask(message) == NotUnderstood()


def test_the_card_dialect_listens_acknowledges_and_little_else(make_point) -> None:
    gun = Gun(make_point, dialect="card", self_service="always")
    assert gun.poll() == Nothing()
    for message in (FREE, TotalsRequest(), Stop(), BriefAck(), Prices.of((1, 1, 1, 1))):
        assert gun.ask(message) == NotUnderstood()
    gun.point.lift(1, 0)
    assert gun.poll() == Nothing()
    gun.point.squeeze(0, 30_000)
    gun.at(3 * S)
    assert gun.poll().record.state == LiveState.ASKS  # a long poll begins with the year
    live = gun.ask(ShortPoll(1)).record
    assert (live.state, len(live.card), live.record_type) == (LiveState.FUELLING, 4, RecordType.OFFLINE)
    assert gun.ask(ShortPoll(None)).record.state == LiveState.ASKS
    gun.point.hang_up(gun.now_us)
    record = gun.ask(ShortPoll(1)).record
    assert (len(record.card), record.record_type) == (4, RecordType.OFFLINE)
    gun.ask(RecordAck(record.uid))
    assert gun.ask(ShortPoll(1)) == Nothing()


def test_brief_sales(make_point) -> None:
    gun = Gun(make_point, brief_sales=True)
    gun.fill()
    sale = gun.point.journal[0]
    brief = BriefSale(1, sale.volume_ml // 10, sale.amount_fen)
    assert gun.poll() == gun.poll() == brief
    assert gun.ask(BriefAck()) == Nothing()
    assert gun.poll() == Status(0)
    assert gun.ask(BriefAck()) == Nothing()


@pytest.mark.requirement("fd-auth.offline-policy-is-obeyed")
def test_off_line_it_sells_by_itself_and_says_so(make_point) -> None:
    gun = Gun(make_point, self_service="offline", offline_after_us=160 * S)
    gun.poll()
    gun.at(100 * S).point.lift(1, 100 * S)
    assert gun.point.state is FpState.CALLING
    gun.point.hang_up(100 * S)
    gun.at(160 * S).fill(authorise=None)
    record = gun.poll().record
    assert record.record_type == RecordType.OFFLINE
    gun.ask(RecordAck(1))
    gun.fill()
    assert gun.poll().record.record_type == RecordType.ONLINE


@pytest.mark.requirement("fd-pwr.interrupted-sale-uploads-once-flagged", "fd-pwr.totals-survive-power-cycles")
def test_a_power_cut_keeps_records_and_pointer_and_flags_the_sale(gun: Gun) -> None:
    gun.fill()
    gun.point.lift(1, gun.now_us)
    gun.ask(Authorise(AuthoriseType.VOLUME, 5_000))
    gun.point.squeeze(gun.now_us, 30_000)
    gun.at(gun.now_us + 5 * S)
    gun.raw(encode_frame(Direction.TO_PUMP, Command.POLL, 1, POLL.encode())[:9])
    gun.dispenser.cut_power(gun.now_us)
    assert gun.poll() is None
    gun.at(gun.now_us + 60 * S).dispenser.restore_power(gun.now_us)
    gun.point.hang_up(gun.now_us)
    assert gun.poll().record.uid == 1
    gun.ask(RecordAck(1))
    record = gun.poll().record
    assert (record.uid, record.grey, record.record_type) == (2, POWER_DOWN, RecordType.ONLINE)
    assert record.volume_units * 10 == gun.point.journal[-1].volume_ml > 0
    gun.ask(RecordAck(2))
    assert gun.poll() == Status(0)
    gun.fill()  # the interrupted authorisation is gone
    assert gun.poll().record.grey == 0


def test_a_pointer_that_was_not_saved_in_time_sends_old_records_again(make_point) -> None:
    gun = Gun(make_point, forgets_acks=2)
    for uid in (1, 2, 3):
        gun.fill()
        gun.poll()
        gun.ask(RecordAck(uid))
    gun.fill()
    gun.dispenser.cut_power(gun.now_us)
    gun.at(gun.now_us + 60 * S).dispenser.restore_power(gun.now_us)
    uids = []
    while isinstance(told := gun.poll(), Sale):
        uids.append(told.record.uid)
        gun.ask(RecordAck(told.record.uid))
    assert uids == [2, 3, 4]


def test_a_master_without_checksum_is_heard_where_the_switch_says_so(make_point) -> None:
    lenient = Gun(make_point, line=Quirks(any_checksum=True))
    for crc in ("zero", "missing"):
        assert lenient.raw(encode_frame(Direction.TO_PUMP, 0x51, 1, POLL.encode(), crc=crc))
    assert [warning.kind.value for warning in lenient.machine.warnings] == [
        "checksum wrong",
        "checksum missing",
    ]
    strict = Gun(make_point)
    assert not strict.raw(encode_frame(Direction.TO_PUMP, 0x51, 1, POLL.encode(), crc="zero"))


def test_totals_roll_over_at_twelve_digits(gun: Gun) -> None:
    nozzle = gun.point.nozzles[1]
    nozzle.total_volume_ml = 10**13 - 10
    nozzle.total_amount_fen = 10**12 - 7
    gun.fill()
    record = gun.poll().record
    sold = gun.point.journal[-1].volume_ml // 10
    assert (record.total_before_units, record.total_after_units) == (10**12 - 1, sold - 1)
    assert gun.ask(TotalsRequest()).volume_units == sold - 1


@pytest.mark.parametrize(
    ("prices", "guns", "why"),
    [((700, 800), {1: 1}, "2 nozzles"), ((700,), {1: 1, 2: 1}, "two gun numbers")],
)
def test_what_cannot_be_wired(make_point, prices, guns, why) -> None:
    point = make_point(prices=prices)
    with pytest.raises(ValueError, match=why):
        AaFfDispenser(Dispenser([point]), dict.fromkeys(guns, point))
    with pytest.raises(ValueError, match="not part of this dispenser"):
        AaFfDispenser(Dispenser([make_point(prices=(700,))]), {1: make_point(7, prices=(700,))})


def test_quiet_says_that_the_next_answer_is_the_last_one(gun: Gun) -> None:
    assert not gun.machine.quiet(1)  # nobody asked yet
    assert not gun.machine.quiet(2)
    gun.poll()
    assert gun.machine.quiet(1)
    gun.point.lift(1, 0)
    assert not gun.machine.quiet(1)
    gun.poll()
    assert gun.machine.quiet(1)
    gun.ask(FREE)
    gun.poll()
    gun.point.squeeze(0, 30_000)
    gun.at(3 * S).poll()
    assert not gun.machine.quiet(1)
    gun.point.release(gun.now_us)
    gun.poll()
    assert gun.machine.quiet(1)
    gun.point.hang_up(gun.now_us)
    gun.poll()
    assert not gun.machine.quiet(1)  # each poll counts against the record
    gun.ask(RecordAck(1))
    gun.poll()
    assert gun.machine.quiet(1)
    gun.dispenser.cut_power(gun.now_us)
    assert not gun.machine.quiet(1)
