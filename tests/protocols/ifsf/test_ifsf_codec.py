"""Round trips, arbitrary chunks, limits and noise."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.ifsf import (
    DATABASES,
    MESSAGE_LIMIT_BYTES,
    RULES,
    Address,
    Element,
    Heartbeat,
    HeartbeatError,
    Message,
    MessageError,
    MessageKind,
    Number,
    NumberError,
    StreamFramer,
    bcd,
    command_table,
    database_tables,
    decode_message,
    encode_message,
    from_bcd,
)

byte = st.integers(0, 255)
addresses = st.builds(Address, byte, byte)
elements = st.lists(st.builds(Element, byte, st.binary(max_size=300)), max_size=5).map(tuple)


@st.composite
def messages(draw: st.DrawFn) -> Message:
    kind = draw(st.sampled_from(MessageKind))
    content: dict[str, object] = {}
    if kind is MessageKind.READ:
        content["ids"] = draw(st.lists(byte, max_size=8).map(tuple))
    elif kind is MessageKind.ACKNOWLEDGE:
        content["status"] = draw(byte)
        content["verdicts"] = draw(st.lists(st.tuples(byte, byte), max_size=8).map(tuple))
    else:
        content["elements"] = draw(elements)
    return Message(
        receiver=draw(addresses),
        originator=draw(addresses),
        kind=kind,
        token=draw(st.integers(0, 31)),
        code=draw(st.integers(0, 2)),
        database=draw(st.binary(min_size=1, max_size=8)),
        **content,  # type: ignore[arg-type]
    )


@given(messages())
def test_message_round_trip(message: Message) -> None:
    assert decode_message(encode_message(message)) == message


@settings(max_examples=25)
@given(st.lists(messages(), max_size=4), st.data())
def test_any_cut_of_the_stream_gives_the_same_messages(sent: list[Message], data: st.DataObject) -> None:
    stream = b"".join(map(encode_message, sent))
    framer = StreamFramer()
    heard = []
    at = 0
    while at < len(stream):
        size = data.draw(st.integers(1, len(stream) - at))
        heard += framer.feed(stream[at : at + size])
        at += size
    assert [decode_message(raw) for raw in heard] == sent
    assert framer.partial == 0


@given(st.integers(-(10**8) + 1, 10**8 - 1), st.integers(0, 3))
def test_number_round_trip(value: int, decimals: int) -> None:
    number = Number.of(value, decimals=decimals, left=8 - decimals)
    assert Number.decode(number.encode()) == number
    assert number.scaled(decimals) == value


@given(st.binary(max_size=12))
def test_a_number_that_decodes_encodes_again(data: bytes) -> None:
    try:
        number = Number.decode(data)
    except NumberError:
        return
    assert number.encode() == data
    assert str(number)


@given(st.integers(0, 9999))
def test_bcd_round_trip(value: int) -> None:
    assert from_bcd(bcd(value, 2)) == value


@given(st.ip_addresses(v=4).map(str), st.integers(0, 65_535), addresses, byte)
def test_heartbeat_round_trip(ip: str, port: int, address: Address, status: int) -> None:
    heartbeat = Heartbeat(ip, port, address, status)
    assert Heartbeat.decode(heartbeat.encode()) == heartbeat


@pytest.mark.parametrize("data", [b"", b"\x7f\x00\x00\x01\x0d\x9e\x01\x01\x01", bytes(11), bytes(10)])
def test_no_heartbeat(data: bytes) -> None:
    with pytest.raises(HeartbeatError):
        Heartbeat.decode(data)


@pytest.mark.parametrize("ip", ["", "1.2.3", "1.2.3.256", "::1", "a.b.c.d"])
def test_no_address_of_a_heartbeat(ip: str) -> None:
    with pytest.raises(HeartbeatError):
        Heartbeat(ip, 1, Address(1, 1)).encode()


@pytest.mark.parametrize("data", ["", "060000000a", "06f0"])
def test_no_number(data: str) -> None:
    with pytest.raises(NumberError):
        Number.decode(bytes.fromhex(data))


def test_a_number_never_loses_digits() -> None:
    with pytest.raises(NumberError, match="more than 2 decimals"):
        Number.decode(bytes.fromhex("0500100005")).scaled(2)
    with pytest.raises(NumberError, match="does not fit"):
        Number.of(10**8, decimals=2, left=6)
    with pytest.raises(NumberError):
        Number.decode(b"\x7f\x01").scaled(2)


def test_a_length_without_sense_ends_the_stream() -> None:
    framer = StreamFramer()
    good = bytes.fromhex("0201010300e2000301" + "2100")
    assert framer.feed(good + bytes(6) + b"\xff\xff") == [good]
    assert framer.broken is not None
    assert str(MESSAGE_LIMIT_BYTES) in framer.broken
    assert framer.feed(good) == []
    framer.reset()
    assert framer.feed(good) == [good]


@pytest.mark.parametrize(
    ("field", "value"),
    [("database", b""), ("database", bytes(9)), ("token", 32), ("elements", (Element(1, bytes(70_000)),))],
)
def test_what_has_no_place_in_the_format_is_refused(field: str, value: object) -> None:
    fields = {
        "receiver": Address(1, 1),
        "originator": Address(2, 1),
        "kind": MessageKind.WRITE,
        "database": b"\x21",
        field: value,
    }
    with pytest.raises((MessageError, OverflowError)):
        encode_message(Message(**fields))  # type: ignore[arg-type]


def test_tables_name_every_id_once_with_its_sources() -> None:
    tables = database_tables()
    assert len(tables) == len(DATABASES) == 10
    for rows in tables.values():
        assert len({row["id"] for row in rows}) == len(rows)
        assert all(0 <= row["sources"] <= 4 for row in rows)
    commands = command_table()["commands"]
    assert commands["Open"] == ["CLOSED"]
    assert commands["Resume"] == ["SUSPENDED_FUELLING", "SUSPENDED_STARTED"]


def test_rules_count_their_sources() -> None:
    assert RULES["ifsf-framing"].count == 4
    assert RULES["ifsf-framing"].mandatory
    assert not RULES["ifsf-unlock"].mandatory
    assert not RULES["ifsf-price-event"].mandatory  # two sources, but a deviation
    assert all(rule.text.endswith(".") for rule in RULES.values())


def noise(rng: random.Random) -> bytes:
    """Half of it nearly a message."""
    if rng.random() < 0.5:
        return rng.randbytes(rng.randrange(1, 40))
    body = rng.randbytes(rng.randrange(0, 30))
    return (
        rng.randbytes(5)
        + bytes((rng.choice((0x00, 0x40, 0xE0, 0x80)),))
        + len(body).to_bytes(2, "big")
        + body
    )


def fuzz(rounds: int) -> None:
    rng = random.Random("ifsf codec")
    good = bytes.fromhex("0201010300e20003012100")
    framer = StreamFramer()
    for _ in range(rounds):
        for raw in framer.feed(noise(rng)):
            try:
                message = decode_message(raw)
            except MessageError:
                continue
            assert decode_message(encode_message(message)) == message
        assert framer.partial <= MESSAGE_LIMIT_BYTES
        if framer.broken is not None:
            framer.reset()
            assert framer.feed(good) == [good]


def test_noise_neither_crashes_nor_grows() -> None:
    fuzz(10_000)


@pytest.mark.slow
def test_a_million_pieces_of_noise() -> None:
    fuzz(1_000_000)
