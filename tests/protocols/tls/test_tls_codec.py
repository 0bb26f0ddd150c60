"""The TLS codec against published vectors, against damage, and against a reader that shares no code with it."""

# ruff: noqa: DTZ001, DTZ007 - a console tells its local time, without an offset
from __future__ import annotations

import struct
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.sansio import NEED_DATA, LocalProtocolError, RemoteProtocolError
from protocols.tls import (
    NOT_UNDERSTOOD,
    BadReply,
    Command,
    CommandParser,
    ComputerReply,
    Delivery,
    DisplayReply,
    Escape,
    Inventory,
    NotUnderstood,
    ReplyReader,
    TankDeliveries,
    TankStatus,
    WrongSecurityCode,
    checksum,
    command,
    computer_reply,
    decode_float,
    display_reply,
    display_time,
    encode_float,
    read_deliveries,
    read_inventory,
    read_status,
    write_deliveries,
    write_inventory,
    write_status,
)

AT = datetime(1996, 1, 22, 15, 6)
# A reply that a real console sent, and replies to the examples of the manual.
CAPTURED = b"\x01i101002312301342020402&&FB3B\x03"
INVENTORY = (
    b"\x01i20100960122150601100000745A6880045A928004592D8004243E1480000000042158F5C00000000"
    b"0220001074517C8004518819A45EC9C0041F0F5C33FA00000426CCCCD41300000&&E14C\x03"
)
GOOD = [
    CAPTURED,
    INVENTORY,
    b"\x01i101009601221506020402020501&&FA08\x03",
    (
        b"\x01i20200960122150601101970728150597072815140A449B80004499E000000000004293C7AE4549F0004547A000"
        b"00000000429847AE41C333334241147B&&E645\x03"
    ),
    b"\x01i5010096012215119601221511&&FA5C\x03",
    b"\x01i60201960122151601REGULAR UNLEADED    &&F6FB\x03",
    b"\x01i2050196012215070100&&FB90\x03",
    b"\x01s003009603272004&&FC4C\x03",
    b"\x01i902009601221524SOFTWARE# 346110-101-BCREATED - 95.11.20.13.28&&F227\x03",
]


def sums_to_zero(frame: bytes) -> bool:
    """The check as the manual words it, written here for itself."""
    return (sum(frame[:-5]) + int(frame[-5:-1], 16)) % 65_536 == 0


def events(data: bytes) -> list[object]:
    reader = ReplyReader()
    reader.receive_data(data)
    return list(iter(reader.next_event, NEED_DATA))


@pytest.mark.parametrize("frame", GOOD)
def test_published_replies_are_read_and_written_again(frame: bytes) -> None:
    assert sums_to_zero(frame)
    (reply,) = events(frame)
    assert isinstance(reply, ComputerReply)
    assert computer_reply(reply.code, reply.at, reply.data) == frame


def test_checksum_of_the_error_reply() -> None:
    assert checksum(b"\x019999") == "FF1B"
    assert events(NOT_UNDERSTOOD) == [NotUnderstood()]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3F800000", 1.0),
        ("C2C7FAE1", -99.99),
        ("461C4000", 10_000.0),
        ("00000000", 0.0),
        ("B8D1B717", -0.0001),
    ],
)
@pytest.mark.requirement("tank.float-decoding-is-safe")
def test_floats_of_the_manual(text: str, value: float) -> None:
    assert decode_float(text) == pytest.approx(value, rel=1e-5)
    assert encode_float(value) == text


@pytest.mark.requirement("tank.float-decoding-is-safe")
@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_every_finite_float_survives(value: float) -> None:
    expected = struct.unpack(">f", struct.pack(">f", value))[0]
    if abs(expected) < 2**-126:
        expected = 0.0
    assert decode_float(encode_float(value)) == expected


@pytest.mark.requirement("tank.float-decoding-is-safe")
def test_every_tenth_of_a_degree_from_minus_40_to_60_comes_back() -> None:
    for tenth in range(-400, 601):
        assert round((decode_float(encode_float(tenth / 10)) or 0.0) * 10) == tenth


@pytest.mark.requirement("tank.float-decoding-is-safe")
@pytest.mark.parametrize(
    "text", ["7F800000", "FF800000", "7FC00000", "FFFFFFFF", "3F80000", "3F80000G", "+F800000"]
)
def test_what_is_no_finite_number_never_becomes_one(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_float(text)


def test_a_number_that_does_not_fit_is_refused_here() -> None:
    for value in (float("nan"), float("inf"), 1e39):
        with pytest.raises(LocalProtocolError):
            encode_float(value)


def test_question_marks_are_no_number() -> None:
    assert decode_float("????????") is None
    assert encode_float(None) == "????????"


def test_inventory_of_the_manual() -> None:
    (reply,) = events(INVENTORY)
    assert isinstance(reply, ComputerReply)
    first, second = read_inventory(reply.data)
    assert (first.tank, first.product, first.status) == (1, "1", 0)
    assert [first.volume, first.tc_volume, first.ullage] == [5329.0, 5413.0, 4699.0]
    assert first.height == pytest.approx(48.97)
    assert first.temperature == pytest.approx(37.39)
    assert (second.tank, second.product, second.status) == (2, "2", 1)
    assert write_inventory((first, second)) == reply.data


def test_deliveries_and_status() -> None:
    (reply,) = events(GOOD[3])
    assert isinstance(reply, ComputerReply)
    (tank,) = read_deliveries(reply.data)
    assert tank.tank == 1
    assert tank.deliveries[0].start == datetime(1997, 7, 28, 15, 5)
    assert tank.deliveries[0].values[0] == 1244.0
    assert tank.deliveries[0].values[4] == 3231.0
    assert write_deliveries((tank,)) == reply.data
    many = (TankStatus(1, (3, 5)), TankStatus(2, ()), TankStatus(16, tuple(range(1, 13))))
    assert read_status(write_status(many)) == many
    assert write_status(many).startswith("01020305")
    assert write_status(many).endswith("160C" + "".join(f"{n:02d}" for n in range(1, 13)))


NUMBERS = st.one_of(
    st.none(), st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=False)
)
TIMES = st.datetimes(datetime(1970, 1, 1), datetime(2069, 12, 31)).map(
    lambda at: at.replace(second=0, microsecond=0)
)


@given(
    st.lists(
        st.builds(
            Inventory, st.integers(1, 99), st.sampled_from("01*Z"), st.integers(0, 0xFFFF), *[NUMBERS] * 7
        )
    )
)
def test_inventories_round_trip(tanks: list[Inventory]) -> None:
    assert list(read_inventory(write_inventory(tanks))) == tanks


@given(
    st.lists(
        st.builds(
            TankDeliveries,
            st.integers(1, 99),
            st.just("2"),
            st.lists(st.builds(Delivery, TIMES, TIMES, st.tuples(*[NUMBERS] * 10)), max_size=3).map(tuple),
        ),
        max_size=4,
    )
)
def test_deliveries_round_trip(tanks: list[TankDeliveries]) -> None:
    assert list(read_deliveries(write_deliveries(tanks))) == tanks


def test_display_lines_end_with_cr_lf_and_six_nuls() -> None:
    end = b"\r\n" + b"\x00" * 6
    frame = display_reply(["I20100", display_time(AT)])
    assert frame == b"\x01" + end + b"I20100" + end + b"JAN 22, 1996  3:06 PM" + end + end + b"\x03"
    assert events(frame) == [DisplayReply(("I20100", "JAN 22, 1996  3:06 PM"))]


@given(st.datetimes(datetime(1970, 1, 1), datetime(2069, 1, 1)))
def test_display_times_are_those_of_strptime(at: datetime) -> None:
    assert datetime.strptime(display_time(at), "%b %d, %Y %I:%M %p") == at.replace(second=0, microsecond=0)


@given(st.lists(st.integers(0, 400), max_size=6))
def test_any_chunking_gives_the_same_replies(cuts: list[int]) -> None:
    stream = b"".join(GOOD)
    reader, found, start = ReplyReader(), [], 0
    for cut in sorted(min(c, len(stream)) for c in cuts):
        reader.receive_data(stream[start:cut])
        start = cut
    reader.receive_data(stream[start:])
    while (event := reader.next_event()) is not NEED_DATA:
        found.append(event)
    assert found == events(stream)
    assert len(found) == len(GOOD)


@pytest.mark.parametrize("frame", GOOD)
def test_no_flipped_bit_is_taken_for_a_reply(frame: bytes) -> None:
    """Every bit of every byte; the next good reply is read whatever came before."""
    for place in range(len(frame)):
        for bit in range(8):
            bad = bytearray(frame)
            bad[place] ^= 1 << bit
            found = events(bytes(bad) + CAPTURED)
            assert isinstance(found[-1], ComputerReply), (place, bit)
            assert found[-1].code == "i10100"
            assert not any(isinstance(event, ComputerReply) for event in found[:-1]), (place, bit)


@pytest.mark.parametrize("frame", GOOD)
def test_a_reply_cut_at_any_place_is_reported_and_the_next_one_is_read(frame: bytes) -> None:
    for cut in range(1, len(frame)):
        found = events(frame[:cut] + CAPTURED)
        assert isinstance(found[0], BadReply)
        assert isinstance(found[-1], ComputerReply)
        assert len(found) == 2


@given(st.binary(max_size=400))
def test_noise_never_raises(noise: bytes) -> None:
    assert isinstance(events(noise + CAPTURED)[-1], ComputerReply)


# Commands.


def parse(data: bytes, security: str = "") -> list[object]:
    parser = CommandParser(security)
    return [event for byte in data for event in parser.feed(byte)]


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\r", b"\r\n\x00\x00"])
def test_a_command_is_complete_with_its_code(end: bytes) -> None:
    assert parse(b"\x01i20100" + end) == [Command("i20100")]


def test_stacked_commands() -> None:
    stacked = b"\x01i20100\x01I20501\r\n\x01s60201REGULAR\x01S50100960122151100\x01i10100"
    assert parse(stacked) == [
        Command("i20100"),
        Command("I20501"),
        Command("s60201", "REGULAR"),
        Command("S50100", "9601221511"),
        Command("i10100"),
    ]


def test_data_lengths_differ_by_format() -> None:
    assert parse(b"\x01S62101001000\x01s62101447A0000") == [
        Command("S62101", "001000"),
        Command("s62101", "447A0000"),
    ]


def test_security_code() -> None:
    assert parse(b"\x01123456i20100", "123456") == [Command("i20100")]
    assert parse(b"\x01654321i20100", "123456") == [WrongSecurityCode()]
    assert parse(b"\x01i20100\r\n\x01123456i20100", "123456") == [WrongSecurityCode(), Command("i20100")]
    assert parse(command("i201", 0, security_code="123456"), "123456") == [Command("i20100")]


def test_escape_throws_half_a_command_away() -> None:
    assert parse(b"\x01i20\x1b\x01i20100") == [Escape(), Command("i20100")]


@given(st.binary(max_size=300))
def test_no_bytes_make_the_parser_raise(data: bytes) -> None:
    assert parse(data + b"\r\n\x01i10100")[-1] == Command("i10100")
