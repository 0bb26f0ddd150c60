"""Framing: any chunking, any cut, any byte, any noise; and the next good frame is heard."""

from __future__ import annotations

import itertools
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.aaff import BODY_BYTES_MAX, BadBytes, Direction, Frame, Framer, PumpSide, Request, encode_frame
from protocols.sansio import NEED_DATA

POLL = bytes.fromhex("AAFF15510110261122025028000000000000000000003 9CCFF".replace(" ", ""))
SALE = encode_frame(Direction.FROM_PUMP, 0x11, 1, bytes.fromhex("12" * 110))
IDLE = bytes.fromhex("BBEE0051010014DDEE")

bodies = st.binary(max_size=BODY_BYTES_MAX)
frames = st.builds(encode_frame, st.sampled_from(Direction), st.integers(0, 255), st.integers(1, 32), bodies)
damaged = st.one_of(
    st.binary(max_size=40),
    st.builds(lambda frame, cut: frame[: cut % len(frame)], frames, st.integers(0, 200)),
    st.builds(
        lambda frame, at, bit: bytes(
            b ^ (1 << bit if i == at % len(frame) else 0) for i, b in enumerate(frame)
        ),
        frames,
        st.integers(0, 200),
        st.integers(0, 7),
    ),
    st.sampled_from(
        [b"\xaa", b"\xaa\xff", b"\xbb", b"\xaa\xff\x15\x51\x01", b"\xcc\xff", b"\xaa\xff\x15\x51\x01\xff"]
    ),
)
streams = st.lists(st.one_of(frames, damaged), max_size=8).map(b"".join)


def fed(data: bytes, cuts: list[int], **options: bool) -> list[object]:
    framer = Framer(**options)
    items: list[object] = []
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, end in itertools.pairwise(edges):
        items += framer.feed(data[start:end])
    return items + framer.flush()


def raw_of(item: object) -> bytes:
    if isinstance(item, BadBytes):
        return item.raw
    assert isinstance(item, Frame)
    return encode_frame(
        item.direction,
        item.command,
        item.gun,
        item.body,
        destination=item.destination,
        crc="good" if item.checksum == "good" else "missing",
    )


@pytest.mark.requirement("fd-link.split-or-glued-frames-decode-alike")
@given(streams, st.lists(st.integers(0, 2000), max_size=12), st.booleans())
def test_items_depend_on_the_bytes_and_never_on_how_they_were_cut(
    data: bytes, cuts: list[int], any_checksum: bool
) -> None:
    whole = fed(data, [], any_checksum=any_checksum)
    assert fed(data, cuts, any_checksum=any_checksum) == whole
    assert fed(data, list(range(len(data))), any_checksum=any_checksum) == whole


@given(st.lists(st.one_of(frames, damaged), max_size=8).map(b"".join))
def test_no_byte_gets_lost(data: bytes) -> None:
    items = fed(data, [])
    guns = [item.gun for item in items if isinstance(item, Frame)]
    if all(1 <= gun <= 32 for gun in guns):
        assert b"".join(raw_of(item) for item in items) == data


@given(st.lists(frames, min_size=1, max_size=6))
def test_good_frames_alone_are_all_heard(good: list[bytes]) -> None:
    data = b"".join(good)
    if any(start in body[2:] for body in good for start in (b"\xaa\xff", b"\xbb\xee")):
        return  # a frame inside a frame; real bodies are decimal
    assert [raw_of(item) for item in fed(data, [])] == good


@pytest.mark.parametrize("frame", [POLL, SALE, IDLE], ids=["poll", "sale", "idle"])
def test_cut_at_each_offset_the_next_frame_is_heard_at_once(frame: bytes) -> None:
    for length in range(len(frame)):
        framer = Framer()
        items = framer.feed(frame[:length]) + framer.feed(POLL)
        assert [item for item in items if isinstance(item, Frame)] == Framer().feed(POLL), length
        assert b"".join(item.raw for item in items if isinstance(item, BadBytes)) == frame[:length]


@pytest.mark.parametrize("frame", [POLL, SALE[:40] + SALE[40:], IDLE], ids=["poll", "sale", "idle"])
def test_each_byte_value_at_each_position(frame: bytes, independent) -> None:
    for at in range(len(frame)):
        for value in range(256):
            if value == frame[at]:
                continue
            raw = frame[:at] + bytes((value,)) + frame[at + 1 :]
            framer = Framer()
            items = framer.feed(raw)
            # One changed byte never passes an eight-bit checksum, nor does it look like another whole frame.
            assert not [item for item in items if isinstance(item, Frame)], (at, value)
            items += framer.feed(IDLE + IDLE)
            assert items[-1] == Framer().feed(IDLE)[0], (at, value)


def test_noise_is_told_in_pieces_and_bounded() -> None:
    framer = Framer()
    items = framer.feed(bytes(1000))
    assert [len(item.raw) for item in items if isinstance(item, BadBytes)] == [256, 256, 256]
    items = framer.feed(IDLE)
    assert isinstance(items[0], BadBytes)
    assert len(items[0].raw) == 232
    assert items[1:] == Framer().feed(IDLE)
    assert not framer.partial


def test_a_master_without_checksum() -> None:
    for crc, checksum in (("zero", "wrong"), ("missing", "missing"), ("good", "good")):
        raw = encode_frame(Direction.TO_PUMP, 0x73, 3, bytes(6), crc=crc)
        (frame,) = Framer(any_checksum=True).feed(raw)
        assert isinstance(frame, Frame)
        assert (frame.checksum, frame.body) == (checksum, bytes(6))
        strict = Framer().feed(raw)
        assert (crc == "good") is (len(strict) == 1 and isinstance(strict[0], Frame))


def fuzz(count: int) -> None:
    """Random frames, most of them damaged; after each dozen a good poll must be answered."""
    rng = Random(7)
    side = PumpSide([1])
    pieces = (POLL, SALE, IDLE, encode_frame(Direction.TO_PUMP, 0x75, 1, bytes(36)))
    answered = 0
    for number in range(count):
        raw = bytearray(rng.choice(pieces))
        kind = rng.randrange(5)
        if kind == 0:
            raw[rng.randrange(len(raw))] = rng.randrange(256)
        elif kind == 1:
            del raw[rng.randrange(len(raw)) :]
        elif kind == 2:
            raw = bytearray(rng.randbytes(rng.randrange(1, 30)))
        elif kind == 3:
            at = rng.randrange(len(raw))
            raw[at:at] = rng.choice((b"\xaa\xff", b"\xbb\xee", b"\xcc\xff", b"\xaa", b"\x00"))
        side.receive_data(bytes(raw), number)
        if number % 12 == 11:
            while side.next_event() is not NEED_DATA:
                pass
            side.receive_data(POLL, number)
            events = []
            while (event := side.next_event()) is not NEED_DATA:
                events.append(event)
            assert isinstance(events[-1], Request), number
            answered += 1
    assert answered == count // 12


@pytest.mark.parametrize(
    "count", [20_000, pytest.param(1_000_000, marks=[pytest.mark.slow, pytest.mark.timeout(1200)])]
)
def test_fuzzed_frames(count: int) -> None:
    fuzz(count)
