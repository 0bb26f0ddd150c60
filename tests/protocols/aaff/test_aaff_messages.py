"""Bodies: round trips, both record layouts against a second reading, and what cannot be read."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols import aaff
from protocols.sansio import LocalProtocolError

byte = st.integers(0, 255)
uids = st.integers(0, 10**12 - 1)
spare6 = st.just(bytes(6))
records = st.sampled_from([0x11, 0x12, 0x13])
parameters = st.builds(aaff.Parameter, st.integers(0, 9999), uids, byte)
cards = st.sampled_from([4, 10]).flatmap(lambda size: st.binary(min_size=size, max_size=size))
times = st.integers(946_684_800, 4_102_300_000).map(lambda s: aaff.encode_time(s * 1_000_000))


def digits(count: int) -> Any:
    return st.integers(0, 10**count - 1)


sale_records = st.builds(
    aaff.SaleRecord,
    uid=uids,
    shift=digits(2),
    shift_sequence=digits(12),
    started=times,
    ended=times,
    card=cards,
    record_type=digits(2),
    balance_before=digits(8),
    volume_units=digits(8),
    price_units=digits(4),
    amount_units=digits(8),
    balance_after=digits(8),
    topup_count=digits(6),
    topup_sum=digits(12),
    use_count=digits(6),
    use_volume_units=digits(12),
    use_amount_units=digits(12),
    initial_balance=digits(8),
    computed_balance=digits(8),
    car=digits(4),
    pressure_before=digits(4),
    pressure_after=digits(4),
    total_before_units=digits(12),
    total_after_units=digits(12),
    grey=byte,
    printed=digits(2),
    uploaded=digits(2),
    unit=digits(2),
    device=digits(2),
    station=digits(2),
)
live_records = st.builds(
    aaff.LiveRecord,
    card=cards,
    record_type=digits(2),
    balance_before=digits(8),
    car=digits(4),
    pressure=digits(4),
    flow=digits(4),
    total_before_units=digits(12),
    card_present=digits(2),
    valve_low=digits(2),
    valve_middle=digits(2),
    valve_high=digits(2),
    state=byte,
    price_units=digits(4),
    volume_units=digits(8),
    amount_units=digits(8),
    balance=digits(8),
    unit=digits(2),
    device=digits(2),
)
from_master = st.one_of(
    st.builds(aaff.Poll, time=times, fs_state=byte, read_unpaid=byte, mode=byte, pay=byte),
    st.builds(aaff.ShortPoll, byte, st.binary(max_size=14)),
    st.just(aaff.ShortPoll(None)),
    st.builds(aaff.RecordAck, uids, records),
    st.builds(aaff.Fetch, uids, records),
    st.builds(aaff.Authorise, byte, uids),
    st.builds(aaff.TotalsRequest, spare6),
    st.builds(aaff.Stop, spare6),
    st.builds(aaff.BriefAck, spare6),
    st.builds(aaff.Prices, st.lists(parameters, min_size=1, max_size=4).map(tuple)),
    st.builds(aaff.WriteParameter, parameters, st.sampled_from([b"", bytes(6)])),
    st.builds(aaff.ReadParameter, parameters, st.sampled_from([b"", bytes(6)])),
    st.builds(aaff.Raw, st.sampled_from([0x54, 0x71, 0x76, 0xA0]), st.binary(max_size=152)),
)
from_pump = st.one_of(
    st.just(aaff.Nothing()),
    st.just(aaff.NotUnderstood()),
    st.just(aaff.RecordAcked()),
    st.builds(aaff.Status, byte, digits(4), st.binary(max_size=6)),
    st.builds(aaff.Sale, sale_records),
    st.builds(aaff.Live, live_records),
    st.builds(aaff.OtherRecord, st.just(0x12), uids, st.binary(min_size=47, max_size=47)),
    st.builds(aaff.OtherRecord, st.just(0x13), uids, st.binary(min_size=15, max_size=15)),
    st.builds(aaff.AuthoriseReply, byte, byte, uids),
    st.builds(aaff.Totals, uids, uids, uids),
    st.builds(aaff.BriefSale, uids, uids, uids),
    st.builds(aaff.Result, st.sampled_from([0x73, 0x75]), byte, st.binary(max_size=6)),
    st.builds(aaff.ParameterReply, st.sampled_from([0x52, 0x53]), digits(4), uids),
    st.builds(aaff.Raw, st.sampled_from([0x61, 0x71, 0x76]), st.binary(max_size=152)),
)


@given(from_master, st.integers(1, 32))
def test_what_a_master_says_comes_out_as_it_went_in(message: Any, gun: int) -> None:
    raw = aaff.encode_frame(aaff.Direction.TO_PUMP, message.command, gun, message.encode())
    (frame,) = aaff.Framer().feed(raw)
    assert isinstance(frame, aaff.Frame)
    assert frame.gun == gun
    assert aaff.decode_from_master(frame.command, frame.body) == message


@given(from_pump, st.integers(1, 32))
def test_what_a_dispenser_says_comes_out_as_it_went_in(message: Any, gun: int) -> None:
    raw = aaff.encode_frame(aaff.Direction.FROM_PUMP, message.command, gun, message.encode())
    items = aaff.Framer().feed(raw)
    if any(marker in raw[2:] for marker in (b"\xaa\xff", b"\xbb\xee")):
        return
    (frame,) = items
    assert isinstance(frame, aaff.Frame)
    assert aaff.decode_from_pump(frame.command, frame.body) == message


@given(byte, st.binary(max_size=152))
def test_any_body_is_a_message_and_goes_back_byte_for_byte(command: int, body: bytes) -> None:
    for decode in (aaff.decode_from_master, aaff.decode_from_pump):
        message: Any = decode(command, body)
        assert message.command == command
        assert message.encode() == body


@given(record=sale_records)
def test_the_sale_record_stands_where_the_gateway_looks(record: aaff.SaleRecord, independent) -> None:
    body = record.encode()
    short = len(record.card) == 4
    assert len(body) == (104 if short else 110)
    expected = {
        "uid": record.uid,
        "record_type": record.record_type,
        "volume": record.volume_units,
        "price": record.price_units,
        "amount": record.amount_units,
        "amount_total": record.use_amount_units,
        "pressure_before": record.pressure_before,
        "pressure_after": record.pressure_after,
        "volume_total": record.total_after_units,
    }
    for name, value in expected.items():
        shifted = short and independent.sale[name][0] > 25
        assert independent.field(body, independent.sale[name], shifted) == value, name
    assert (body[13:19], body[19:25], body[25 : 25 + len(record.card)]) == (
        record.started,
        record.ended,
        record.card,
    )


@given(record=live_records)
def test_the_live_record_stands_where_the_gateway_looks(record: aaff.LiveRecord, independent) -> None:
    body = record.encode()
    short = len(record.card) == 4
    assert len(body) == (42 if short else 48)
    for name in ("price", "volume", "amount"):
        value = getattr(record, f"{name}_units")
        assert independent.field(body, independent.live[name], short) == value


@pytest.mark.parametrize(
    ("command", "body"),
    [
        (0x51, bytes(17)),
        (0x69, bytes(8)),
        (0x69, bytes(8) + b"\xfa"),
        (0x67, b""),
        (0x70, bytes(8)),
        (0x70, b"\x00\x0a" + bytes(5)),
        (0x75, b""),
        (0x75, bytes(10)),
        (0x52, bytes(8)),
        (0x53, b"\x02\x40\x3a" + bytes(6)),
    ],
)
def test_what_a_dispenser_cannot_read(command: int, body: bytes) -> None:
    message = aaff.decode_from_master(command, body)
    assert isinstance(message, aaff.Malformed)
    assert "expected" in message.why or "at most" in message.why


@pytest.mark.parametrize(
    ("command", "body"),
    [
        (0x51, b"\x00"),
        (0x20, b"\x00\x00"),
        (0x20, b"\x00\x0a\x00"),
        (0x11, bytes(103)),
        (0x11, b"\xff" + bytes(109)),
        (0x19, bytes(47)),
        (0x19, bytes(10) + b"\xaa" + bytes(37)),
        (0x12, bytes(52)),
        (0x70, bytes(7)),
        (0x72, bytes(17)),
        (0x72, bytes(17) + b"\x0f"),
        (0x73, b""),
        (0x53, bytes(9)),
    ],
)
def test_what_a_master_cannot_read(command: int, body: bytes) -> None:
    assert isinstance(aaff.decode_from_pump(command, body), aaff.Malformed)


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: aaff.RecordAck(10**12), "UID 1000000000000 does not fit into 12 BCD digits"),
        (lambda: aaff.Authorise(0, -1), "value -1"),
        (lambda: aaff.Authorise(256, 0), "type 256 is not a byte"),
        (lambda: aaff.Poll(time=bytes(5)), "time has 6 bytes, not 5"),
        (lambda: aaff.Parameter(10_000, 0), "parameter index 10000"),
    ],
)
def test_what_does_not_fit_is_our_own_error(make: Any, what: str) -> None:
    with pytest.raises(LocalProtocolError, match=what):
        make().encode()
    with pytest.raises(LocalProtocolError, match="4 or 10 bytes, not 5"):
        aaff.LiveRecord(volume_units=0, price_units=0, amount_units=0, card=bytes(5))
    with pytest.raises(LocalProtocolError, match="gun 33"):
        aaff.encode_frame(aaff.Direction.TO_PUMP, 0x51, 33)


@given(st.integers(946_684_800, 4_102_300_000))
def test_times_of_day(second: int) -> None:
    assert aaff.decode_time(aaff.encode_time(second * 1_000_000 + 999_999)) == second * 1_000_000


def test_the_gateway_s_clock_and_what_is_no_time() -> None:
    assert aaff.decode_time(bytes.fromhex("261122025028")) == 1_795_287_028_000_000  # 02:50:28 in Kunming
    for text in ("261322025028", "2611220250", "26112202502a", "000000000000"):
        assert aaff.decode_time(bytes.fromhex(text)) is None
