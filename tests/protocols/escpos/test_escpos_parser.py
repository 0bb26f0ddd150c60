from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.escpos import MAX_DATA_BYTES, Command, Op, ReceiptBuilder, StreamParser


def ops(data: bytes) -> list[tuple[Op, tuple[int, ...], bytes]]:
    return [(command.op, command.args, command.data) for command in StreamParser().feed(data)]


PYTHON_ESCPOS_DEFAULTS = bytes.fromhex("1B 7B 00 1D 62 00 1B 45 00 1B 2D 00 1B 4D 00 1B 61 00 1D 42 00")
NODE_THERMAL_END = bytes.fromhex("1B 64 04 1B 64 04 1D 56 00 1B 40")


def test_traces_of_real_clients_parse_without_surprise() -> None:
    for trace in (
        PYTHON_ESCPOS_DEFAULTS,
        NODE_THERMAL_END,
        bytes.fromhex("1B 40 1C 2E 1B 4D 00") + b"text\n\r" + bytes.fromhex("1D 56 01"),
        bytes.fromhex("1B 64 06 1D 56 00"),
        bytes.fromhex("1D 56 42 00"),
        bytes.fromhex("1B 70 00 32 32"),
    ):
        assert not [command for command in StreamParser().feed(trace) if command.surprise]


def test_cut_takes_a_parameter_only_in_the_modes_that_have_one() -> None:
    assert ops(b"\x1dV\x00A\x1dV\x42\x03B\x1dV1C") == [
        (Op.CUT, (0,), b""),
        (Op.TEXT, (), b"A"),
        (Op.CUT, (66, 3), b""),
        (Op.TEXT, (), b"B"),
        (Op.CUT, (49,), b""),
        (Op.TEXT, (), b"C"),
    ]


def test_a_drawer_kick_without_its_times_swallows_the_next_kick_as_a_real_printer_does() -> None:
    first, second = StreamParser().feed(b"\x1bp\x00\x1bp\x01")
    assert (first.op, first.args) == (Op.PULSE, (0, 0x1B, 0x70))
    assert "left them out" in first.surprise
    assert second.op is Op.IGNORED
    (kick, *_) = StreamParser().feed(b"\x1bp\x00\n\n\n")
    assert kick.args == (0, 10, 10)
    assert kick.surprise


def test_an_unknown_command_loses_two_bytes_and_is_logged_with_its_offset() -> None:
    text, unknown, rest = StreamParser().feed(b"abc\x1b5def")
    assert (unknown.op, unknown.offset, unknown.length) == (Op.UNKNOWN, 3, 2)
    assert "1B 35" in unknown.surprise
    assert (text.data, rest.data, rest.offset) == (b"abc", b"def", 5)


def test_qr_commands_keep_their_payload() -> None:
    found = ops(bytes(ReceiptBuilder().qr("发票", module_dots=7, level="H")))
    assert [data for _, _, data in found] == [b"1A2\0", b"1C\x07", b"1E3", b"1P0" + "发票".encode(), b"1Q0"]
    assert {op for op, _, _ in found} == {Op.SYMBOL}


@pytest.mark.parametrize(
    ("data", "op", "payload", "rest"),
    [
        (b"\x1dk\x02690123456789\x00ok", Op.BARCODE, b"690123456789", b"ok"),
        (b"\x1dk\x43\x0c690123456789ok", Op.BARCODE, b"690123456789", b"ok"),
        (b"\x1dk\x49\x05{B123ok", Op.BARCODE, b"{B123", b"ok"),
        (b"\x1dk\x02690A123\x00", Op.BARCODE_REFUSED, b"690", b"A123"),
        (b"\x1dk\x43\x0c69012345X789", Op.BARCODE_REFUSED, b"69012345", b"X789"),
        (b"\x1dk\x43\x03123ok", Op.BARCODE_REFUSED, b"", b"123ok"),
        (b"\x1dk\x49\x03123ok", Op.BARCODE_REFUSED, b"", b"123ok"),
    ],
)
def test_bar_code_data_that_a_system_does_not_take_becomes_text(
    data: bytes, op: Op, payload: bytes, rest: bytes
) -> None:
    command, *others = StreamParser().feed(data)
    assert (command.op, command.data) == (op, payload)
    assert b"".join(other.data for other in others if other.op is Op.TEXT) == rest
    assert sum(c.length for c in [command, *others]) == len(data)


def test_images_are_consumed_by_their_own_length() -> None:
    raster = b"\x1dv0\x00\x02\x00\x03\x00" + bytes(range(6))
    column = b"\x1b*\x21\x02\x00" + b"\x1b" * 6
    assert ops(raster + column + b"z") == [
        (Op.RASTER, (0, 2, 3), bytes(range(6))),
        (Op.COLUMN_IMAGE, (33, 2), b"\x1b" * 6),
        (Op.TEXT, (), b"z"),
    ]


def test_a_payload_of_gigabytes_is_swallowed_without_being_kept() -> None:
    parser = StreamParser()
    assert parser.feed(b"\x1d8L\xff\xff\xff\x7f" + b"x" * 100) == []
    assert parser.in_command
    size = MAX_DATA_BYTES + 1
    parser = StreamParser()
    found = parser.feed(b"\x1d8L" + size.to_bytes(4, "little") + b"x" * size + b"end")
    assert [command.op for command in found] == [Op.UNKNOWN, Op.TEXT]
    assert "beyond the limit" in found[0].surprise
    assert found[1].offset == size + 7


def summary(commands: list[Command]) -> list[tuple[object, ...]]:
    """Commands with neighbouring pieces of text joined: where text is cut is up to the network."""
    joined: list[tuple[object, ...]] = []
    for command in commands:
        if command.op is Op.TEXT and joined and joined[-1][0] is Op.TEXT:
            joined[-1] = (Op.TEXT, (), joined[-1][2] + command.data, joined[-1][3], "")  # type: ignore[operator]
        else:
            joined.append((command.op, command.args, command.data, command.offset, command.surprise))
    return joined


LIKELY = st.lists(
    st.sampled_from(
        [
            b"\x1b",
            b"\x1d",
            b"\x1c",
            b"\x10",
            b"(k",
            b"k\x02",
            b"kC\x0c",
            b"v0\x00",
            b"V",
            b"\x03\x00",
            b"12345",
            b"\x00",
            b"\n",
            b"p",
            b"*\x21",
            b"q\x01",
            b"&",
            b"D",
            b"8L",
        ]
    )
    | st.binary(max_size=4),
    max_size=30,
).map(b"".join)


@given(data=LIKELY, cuts=st.lists(st.integers(0, 150), max_size=20))
def test_commands_may_be_split_anywhere(data: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    parser = StreamParser()
    pieces = [command for a, b in itertools.pairwise(edges) for command in parser.feed(data[a:b])]
    assert summary(pieces) == summary(StreamParser().feed(data))


@given(data=LIKELY)
def test_no_byte_is_lost_or_read_twice(data: bytes) -> None:
    parser = StreamParser()
    position = 0
    for command in parser.feed(data):
        assert command.offset == position
        position += command.length
    assert position <= len(data)
    assert parser.in_command or position == len(data)


@given(data=LIKELY)
def test_take_stops_after_one_command(data: bytes) -> None:
    parser, at, taken = StreamParser(), 0, []
    while at < len(data) or parser.has_replay:
        command, at = parser.take(data, at)
        if command is not None:
            taken.append(command)
    assert taken == StreamParser().feed(data)
