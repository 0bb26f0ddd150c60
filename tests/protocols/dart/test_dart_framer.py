"""Bytes to frames: escaping, cutting, resynchronisation, limits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.dart import (
    BLOCK_BYTES_MAX,
    FRAME_BYTES_MAX,
    BadBytes,
    BadReason,
    Control,
    ControlFrame,
    DataFrame,
    Frame,
    Framer,
    encode_control,
    encode_data,
)
from protocols.dart.wire import checksum
from protocols.sansio import LocalProtocolError

addresses = st.integers(0x50, 0x6F)
numbers = st.integers(0, 15)
# The bytes that mean something to a framer turn up often.
spicy = st.sampled_from(b"\xfa\x10\x03\x50\x51\x20\x30\x70\xc0")
blocks = st.lists(st.one_of(spicy, st.integers(0, 255)), max_size=60).map(bytes)
noise = st.lists(st.one_of(spicy, st.integers(0, 255)), max_size=40).map(bytes)
data_frames = st.builds(encode_data, addresses, numbers, blocks)
control_frames = st.builds(
    encode_control,
    addresses,
    st.sampled_from([Control.NAK, Control.EOT, Control.ACK, Control.ACK_POLL]),
    numbers,
)
frames = st.one_of(data_frames, control_frames)
POLL = b"\x50\x20\xfa"
POLL_FRAME = ControlFrame(address=0x50, control=Control.POLL)


def read(data: bytes) -> list[Frame]:
    return Framer().feed(data)


@given(addresses, numbers, blocks)
def test_round_trip(address: int, tx: int, block: bytes) -> None:
    framer = Framer()
    assert framer.feed(encode_data(address, tx, block)) == [DataFrame(address=address, tx=tx, block=block)]
    assert not framer.partial


@pytest.mark.requirement("fd-link.byte-stuffing-before-checksum")
def test_every_byte_value_at_every_position() -> None:
    for length in range(1, 9):
        for position in range(length):
            for value in range(256):
                block = bytes(position) + bytes((value,)) + bytes(length - position - 1)
                assert read(encode_data(0x51, 3, block)) == [DataFrame(address=0x51, tx=3, block=block)]


@pytest.mark.requirement("fd-link.byte-stuffing-before-checksum")
@pytest.mark.parametrize("place", [0, 1], ids=["low", "high"])
def test_checksum_byte_equal_to_the_stop_flag_is_escaped(place: int) -> None:
    found = 0
    for first in range(256):
        for second in range(256):
            block = bytes((first, second))
            check = checksum(b"\x52\x31" + block).to_bytes(2, "little")
            if check[place] != 0xFA:
                continue
            found += 1
            raw = encode_data(0x52, 1, block)
            assert b"\x10\xfa" in raw[-6:-2]
            assert read(raw) == [DataFrame(address=0x52, tx=1, block=block)]
    assert found >= 200


def test_lone_dle_is_literal_and_dle_before_an_escaped_flag_survives() -> None:
    for block in (b"\x10", b"\x10\x10", b"\x10\xfa", b"\x10\x10\xfa\xfa\x10", b"\xfa\x10"):
        assert read(encode_data(0x50, 0, block)) == [DataFrame(address=0x50, tx=0, block=block)]


@pytest.mark.requirement("fd-link.split-or-glued-frames-decode-alike")
@given(st.lists(st.one_of(frames, noise), max_size=8), st.data())
def test_chunking_changes_nothing(parts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    framer = Framer()
    items: list[Frame] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        items += framer.feed(stream[start:end])
    whole = Framer()
    assert items == whole.feed(stream)
    assert framer.partial == whole.partial
    assert framer.flush() == whole.flush()


@pytest.mark.requirement("fd-link.truncated-frame-does-not-swallow-next")
@given(data_frames, st.one_of(data_frames, st.just(POLL)))
def test_truncation_at_every_offset_never_swallows_the_next_frame(raw: bytes, following: bytes) -> None:
    (good,) = read(following)
    for cut in range(len(raw)):
        assert read(raw[:cut] + following)[-1] == good


def test_frame_without_its_end_does_not_merge_with_the_frame_behind_it() -> None:
    # CRC-16/ARC starts from 0: body, checksum, body, checksum passes as one frame.
    first = encode_data(0x51, 2, b"\x01\x01\x05")
    second = encode_data(0x51, 3, b"\x01\x01\x06")
    assert checksum(first[:-2] + second[:-2]) == 0
    assert read(first[:-2] + second) == [
        BadBytes(reason=BadReason.TRUNCATED, raw=first[:-2], address=0x51, tx=2),
        DataFrame(address=0x51, tx=3, block=b"\x01\x01\x06"),
    ]


@given(data_frames, st.one_of(data_frames, st.just(POLL)))
def test_missing_start_never_swallows_the_next_frame(raw: bytes, following: bytes) -> None:
    (good,) = read(following)
    for cut in range(1, len(raw)):
        items = read(raw[cut:] + following)
        assert items[-1] == good
        # A shortened frame is a frame again only by its checksum: one chance in 65,536 at most.
        assert all(isinstance(item, BadBytes) for item in items[:-1] if item != good)


@given(data_frames, st.data())
def test_one_flipped_bit_is_never_taken_as_data(raw: bytes, data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(raw) - 1))
    flipped = bytearray(raw)
    flipped[position] ^= 1 << data.draw(st.integers(0, 7))
    (good,) = read(raw)
    items = read(bytes(flipped) + POLL)
    assert items[-1] == POLL_FRAME
    assert good not in items
    assert not any(isinstance(item, DataFrame) for item in items)


@given(noise)
def test_noise_reports_every_byte_once(junk: bytes) -> None:
    framer = Framer()
    items = framer.feed(junk) + framer.flush()
    size = 0
    for item in items:
        if isinstance(item, BadBytes):
            size += len(item.raw)
        elif isinstance(item, ControlFrame):
            size += 3
        else:
            size += len(encode_data(item.address, item.tx, item.block))
    assert size == len(junk)


@given(noise.filter(lambda junk: not junk.endswith(b"\x10")), frames)
def test_noise_before_a_frame_hides_nothing(junk: bytes, raw: bytes) -> None:
    assert read(junk + raw)[-1] == read(raw)[0]


def test_noise_that_ends_in_dle_hides_nothing_either() -> None:
    assert read(b"\x99\x10" + POLL) == [
        BadBytes(reason=BadReason.NOISE, raw=b"\x99\x10"),
        POLL_FRAME,
    ]


def test_two_frames_glued_and_a_poll_glued_behind() -> None:
    raw = encode_data(0x50, 1, b"\x01\x01\x05")
    assert read(raw + raw + POLL) == [*read(raw), *read(raw), POLL_FRAME]


def test_reasons() -> None:
    good = encode_data(0x50, 0, b"\x01\x01\x05")
    assert read(b"\xfa") == [BadBytes(reason=BadReason.NOISE, raw=b"\xfa")]
    assert read(b"\x50\x99\xfa") == [
        BadBytes(reason=BadReason.CONTROL, raw=b"\x50\x99\xfa", address=0x50, tx=9)
    ]
    assert read(good[:4] + b"\xfa") == [
        BadBytes(reason=BadReason.TRUNCATED, raw=good[:4] + b"\xfa", address=0x50, tx=0)
    ]
    body = b"\x50\x40\x01"
    odd = body + checksum(body).to_bytes(2, "little") + b"\x03\xfa"
    assert read(odd) == [BadBytes(reason=BadReason.CONTROL, raw=odd, address=0x50, tx=0)]
    assert read(b"\x70" + good[1:]) == [BadBytes(reason=BadReason.NOISE, raw=b"\x70" + good[1:])]


@pytest.mark.parametrize("high", [True, False], ids=["last byte", "first byte"])
def test_a_checksum_without_its_escape_is_taken_and_marked(high: bool) -> None:
    def fits(block: bytes) -> bool:
        check = checksum(bytes((0x50, 0x30)) + block)
        low, up = check & 0xFF, check >> 8
        return 0xFA not in block and ((up == 0xFA and low != 0xFA) if high else (low == 0xFA and up != 0xFA))

    blocks = [
        bytes((first, second))
        for first in range(256)
        for second in range(256)
        if fits(bytes((first, second)))
    ]
    assert len(blocks) > 100
    for block in blocks[:100]:
        raw = encode_data(0x50, 0, block, escape_checksum=False)
        taken = DataFrame(address=0x50, tx=0, block=block, checksum_unescaped=True)
        if any(not isinstance(item, BadBytes) for item in read(raw[: raw.index(0xFA) + 1])):
            continue  # what stands before the bare FA happens to end like a control frame of another pump
        for cut in range(1, len(raw)):
            framer = Framer()
            items = framer.feed(raw[:cut]) + framer.feed(raw[cut:] + POLL)
            assert items[-2:] == [taken, POLL_FRAME]
            assert all(isinstance(item, BadBytes) for item in items[:-2])
        # With its escape it is an ordinary frame, and a frame whose end was lost does not swallow the next.
        assert read(encode_data(0x50, 0, block)) == [DataFrame(address=0x50, tx=0, block=block)]
        assert read(raw[: raw.index(0xFA) + 1] + POLL)[-1] == POLL_FRAME


def test_parity_error_spoils_the_frame_around_it_and_no_other() -> None:
    good = encode_data(0x50, 0, b"\x01\x01\x05")
    for position in range(len(good)):
        framer = Framer()
        items = framer.feed(good + good[:position])
        framer.parity_error()
        items += framer.feed(good[position:] + good)
        assert items[0] == items[-1] == read(good)[0]
        assert items[1:-1] == [BadBytes(reason=BadReason.PARITY, raw=good, address=0x50, tx=0)]


def test_parity_error_in_a_stub_spares_the_frame_glued_to_it() -> None:
    framer = Framer()
    framer.parity_error()
    assert framer.feed(b"\x51\x30\x01" + POLL) == [
        BadBytes(reason=BadReason.PARITY, raw=b"\x51\x30\x01", address=0x51, tx=0),
        POLL_FRAME,
    ]


def test_endless_bytes_without_a_flag_are_cut_and_a_frame_behind_them_is_found() -> None:
    longest = encode_data(0x6F, 15, b"\xfa" * BLOCK_BYTES_MAX)
    for babble in (FRAME_BYTES_MAX - 1, FRAME_BYTES_MAX, 10_000, 10_001):
        framer = Framer()
        items: list[Frame] = []
        for _ in range(babble):
            items += framer.feed(b"\x55")
        items += framer.feed(longest)
        assert items[-1] == DataFrame(address=0x6F, tx=15, block=b"\xfa" * BLOCK_BYTES_MAX)
        assert items == read(b"\x55" * babble + longest)


def test_block_over_the_limit() -> None:
    with pytest.raises(LocalProtocolError, match="257 bytes is over the limit of 256"):
        encode_data(0x50, 0, bytes(BLOCK_BYTES_MAX + 1))
    body = b"\x50\x30" + bytes(BLOCK_BYTES_MAX + 1)
    raw = body + checksum(body).to_bytes(2, "little").replace(b"\xfa", b"\x10\xfa") + b"\x03\xfa"
    assert [item.reason for item in read(raw) if isinstance(item, BadBytes)] == [BadReason.TOO_LONG]


@pytest.mark.parametrize("address", [0x4F, 0x70, -1, 256])
def test_address_out_of_range(address: int) -> None:
    with pytest.raises(LocalProtocolError, match=r"outside 0x50\.\.0x6F"):
        encode_control(address, Control.POLL)
    with pytest.raises(LocalProtocolError, match=r"outside 0x50\.\.0x6F"):
        encode_data(address, 0, b"")


def test_control_out_of_range() -> None:
    for control, tx in ((Control.ACK, 16), (Control.POLL, 1), (Control.DATA, 0)):
        with pytest.raises(LocalProtocolError):
            encode_control(0x50, control, tx)
    with pytest.raises(LocalProtocolError, match=r"outside 0\.\.15"):
        encode_data(0x50, 16, b"")


@pytest.mark.requirement("fd-link.undetected-errors-stay-at-theoretical-rate")
@pytest.mark.parametrize(
    "count", [20_000, pytest.param(1_000_000, marks=[pytest.mark.slow, pytest.mark.timeout(1200)])]
)
def test_random_damage_passes_no_more_often_than_the_checksum_allows(count: int) -> None:
    import random

    rng = random.Random("dart/damage")
    raw = encode_data(0x50, 5, bytes.fromhex("02080000003100000051030400164500010105"))
    good = read(raw)[0]
    accepted = 0
    for _ in range(count):
        damaged = bytearray(raw)
        start = rng.randrange(len(raw) - 3)
        damaged[start : start + 4] = rng.randbytes(4)
        if damaged == raw:
            continue
        items = read(bytes(damaged) + POLL)
        assert items[-1] == POLL_FRAME
        accepted += sum(isinstance(item, DataFrame) and item != good for item in items)
    # Expected: below count / 65,536; five times that plus a few for short runs is far outside of chance.
    assert accepted <= 3 + 5 * count // 65_536
