"""Faults that reorder, repeat, tear, glue and forge bursts: on every wire, each with its count of hits."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest

from protocols.sansio import Outgoing
from sim.faults import FaultError
from sim.kernel import Streams
from sim.wires import (
    FRAME_SHAPES,
    Capture,
    StreamHost,
    VirtualBus,
    VirtualLink,
    VirtualNodes,
    WireFault,
    WireFaults,
)

WIRES = ["bus", "link", "nodes"]
FRAMES = [bytes([0x50, 0x30 + n, 0x01, 0x02, 0x03, 0x04, 0x03, 0xFA]) for n in range(6)]


class Node:
    """A machine that can also hang on `VirtualNodes`: it dials at once and sends what its script says."""

    wants_redial = wants_close = False

    def __init__(self, inner) -> None:
        self._inner = inner
        self.on_wake: Callable[[], None] | None = None
        self.dial = None
        self.far = None

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def start(self, endpoint, now_us: int) -> None:
        self.far.dial = endpoint

    def datagrams_to_send(self, now_us: int) -> list[bytes]:
        return []

    def receive_datagram(self, data: bytes, now_us: int) -> None:
        raise AssertionError("nobody sends datagrams")

    def accepted(self, now_us: int) -> None: ...

    def dropped(self, now_us: int) -> None: ...


@pytest.fixture
def play(kernel, scripted):
    """Six frames of a, 100 ms apart, to b, over a wire with faults; gives what a and b heard, the wire and its capture."""

    def play(wire_kind, *faults, frames=FRAMES, answers=(), until_us=20_000_000):
        a = scripted(*((1_000_000 + 100_000 * n, frame) for n, frame in enumerate(frames)))
        b = scripted(*((1_050_000 + 100_000 * n, frame) for n, frame in enumerate(answers)))
        capture = Capture("line")
        if wire_kind == "bus":
            wire = VirtualBus(kernel, "line", baud=9600, bits_per_char=10, faults=faults, capture=capture)
            wire.attach(a, name="a", master=True)
            wire.attach(b, name="b")
        elif wire_kind == "link":
            wire = VirtualLink(
                kernel, "line", a, b, latency_us=1_000, faults=faults, capture=capture, names=("a", "b")
            )
        else:
            ends = Node(a), Node(b)
            ends[0].far, ends[1].far = ends[1], ends[0]
            wire = VirtualNodes(
                kernel, "line", *ends, latency_us=1_000, faults=faults, capture=capture, names=("a", "b")
            )
        kernel.run(until_us)
        return [data for _, data in a.heard], [data for _, data in b.heard], wire, capture

    return play


def sent_in(capture: Capture, sender: str) -> list[bytes]:
    told = (frame.data if frame.sent is None else frame.sent for frame in capture if frame.sender == sender)
    return [data for data in told if data]


@pytest.mark.parametrize("wire", WIRES)
def test_swap_puts_a_frame_behind_the_next_one(play, wire):
    _, heard, used, capture = play(wire, WireFault(kind="swap", at_us=1_100_000, limit=1, delay_us=500))
    one, two, three, *rest = FRAMES
    assert heard == [one, three, two, *rest]
    assert used.faults[0].landed == 1
    assert sent_in(capture, "a") == FRAMES
    held = next(frame for frame in capture if frame.note)
    assert (held.data, held.note, held.sent) == (b"", "swap", two)


@pytest.mark.parametrize("wire", WIRES)
def test_glue_delivers_two_frames_in_one_piece(play, wire):
    _, heard, used, capture = play(wire, WireFault(kind="glue", at_us=1_100_000, limit=1))
    one, two, three, *rest = FRAMES
    assert heard == [one, two + three, *rest]
    assert used.faults[0].landed == 1
    assert sent_in(capture, "a") == FRAMES


@pytest.mark.parametrize("wire", WIRES)
def test_a_held_frame_whose_successor_never_comes_has_not_landed(play, wire):
    _, heard, used, _ = play(wire, WireFault(kind="glue", at_us=1_500_000, limit=1))
    assert heard == FRAMES[:5]
    assert used.faults[0].landed == 0
    assert used.faults.is_active(20_000_000), "it still holds a frame back: idle polls must not be skipped"


@pytest.mark.parametrize("wire", WIRES)
def test_split_delivers_a_frame_in_two_reads(play, wire):
    _, heard, used, capture = play(wire, WireFault(kind="split", limit=1, offset=3, delay_us=2_000))
    assert heard == [FRAMES[0][:3], FRAMES[0][3:], *FRAMES[1:]]
    assert used.faults[0].landed == 1
    pieces = [frame for frame in capture if frame.note]
    assert [frame.sent for frame in pieces] == [FRAMES[0], b""]
    assert pieces[1].t_us - pieces[0].t_us >= 2_000


@pytest.mark.parametrize("wire", WIRES)
def test_a_drawn_split_gives_both_pieces_at_least_a_byte(play, wire):
    _, heard, used, _ = play(wire, WireFault(kind="split"), frames=[*FRAMES, b"x"])
    assert used.faults[0].landed == 6, "one byte cannot be split"
    assert b"".join(heard) == b"".join(FRAMES) + b"x"
    assert len(heard) == 13
    assert all(heard)


@pytest.mark.parametrize("wire", WIRES)
def test_replay_sends_an_old_frame_once_more(play, wire):
    _, heard, used, capture = play(wire, WireFault(kind="replay", at_us=1_000_000, limit=1, delay_us=500))
    assert used.faults[0].landed == 1
    assert heard == [FRAMES[0], FRAMES[1], FRAMES[0], *FRAMES[2:]], "the first frame has nothing before it"
    assert sent_in(capture, "a") == FRAMES


@pytest.mark.parametrize("wire", WIRES)
def test_replay_knows_only_what_passed_while_it_was_at_work(play, wire):
    _, heard, used, _ = play(wire, WireFault(kind="replay", at_us=1_500_000))
    assert (heard, used.faults[0].landed) == (FRAMES, 0)


@pytest.mark.parametrize("wire", WIRES)
def test_replay_of_nothing_but_the_same_does_not_land(play, wire):
    _, heard, used, _ = play(wire, WireFault(kind="replay"), frames=[FRAMES[0]] * 6)
    assert (len(heard), used.faults[0].landed) == (6, 0)


@pytest.mark.parametrize("wire", WIRES)
def test_an_echo_is_heard_by_its_sender_too(play, wire):
    own, heard, used, capture = play(wire, WireFault(kind="echo", at_us=1_200_000, limit=2))
    assert own == FRAMES[2:4]
    assert heard == FRAMES
    assert used.faults[0].landed == 2
    assert sent_in(capture, "a") == FRAMES
    assert sent_in(capture, "b") == []


@pytest.mark.parametrize("wire", WIRES)
def test_a_babbling_device_repeats_itself_unasked(play, wire):
    fault = WireFault(kind="babble", not_sender="a", every_us=300_000, at_us=1_000_000, for_us=10_000_000)
    heard, _, used, capture = play(wire, fault, frames=[], answers=[b"idle", b"full"])
    landed = used.faults[0].landed
    assert landed > 10
    assert len(heard) == 2 + landed
    assert set(heard) == {b"idle", b"full"}
    assert sent_in(capture, "b") == [b"idle", b"full"]
    assert {frame.sender for frame in capture} == {"b"}


@pytest.mark.parametrize("wire", WIRES)
def test_a_device_that_has_said_nothing_does_not_babble(play, wire):
    fault = WireFault(kind="babble", not_sender="a", every_us=300_000)
    heard, _, used, _ = play(wire, fault)
    assert (heard, used.faults[0].landed) == ([], 0)


def test_babble_collides_on_a_bus(play):
    fault = WireFault(kind="babble", sender="b", every_us=5_000, at_us=1_000_000, for_us=600_000)
    _, heard, used, capture = play("bus", fault, answers=[b"a long story of a pump"])
    assert used.faults[0].landed
    assert used.collisions
    assert heard != FRAMES
    assert any("collision" in frame.note for frame in capture)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(("part", "first", "end"), [("payload", 2, 4), ("checksum", 4, 6), ("any", 0, 8)])
def test_flips_strike_the_part_that_they_aim_at(play, wire, part, first, end):
    fault = WireFault(kind="flip", part=part, frames="dart", bits=1)
    _, heard, used, _ = play(wire, fault)
    assert used.faults[0].landed == 6
    for was, now in zip(FRAMES, heard, strict=True):
        wrong = [at for at in range(8) if was[at] != now[at]]
        assert len(wrong) == 1
        assert first <= wrong[0] < end


@pytest.mark.parametrize("wire", WIRES)
def test_an_answer_under_a_wrong_address_has_a_right_checksum(play, wire):
    answer = bytes.fromhex("50 70 fa")
    fault = WireFault(kind="wrong_address", frames="dart", not_sender="a", limit=1)
    heard, polled, used, capture = play(wire, fault, answers=[answer, answer])
    assert polled == FRAMES
    assert used.faults[0].landed == 1
    assert heard[0][0] in range(0x51, 0x60)
    assert heard[0][1:] == answer[1:]
    assert heard[1] == answer
    assert sent_in(capture, "b") == [answer, answer]


@pytest.mark.parametrize("wire", WIRES)
def test_a_link_that_is_down_for_a_span_loses_what_is_said_in_it(play, wire):
    _, heard, used, _ = play(wire, WireFault(kind="down", at_us=1_150_000, for_us=100_000))
    assert used.faults[0].landed >= 1
    assert FRAMES[2] not in heard
    assert heard[:2] == FRAMES[:2]


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("kind", ["drop", "delay", "duplicate", "cut", "noise"])
def test_the_older_kinds_land_on_every_wire(play, wire, kind):
    fault = WireFault(kind=kind, delay_us=700, offset=2 if kind == "cut" else None, every_us=100_000, limit=3)
    _, heard, used, capture = play(wire, fault)
    assert used.faults[0].landed == 3
    assert len(heard) == {"drop": 3, "delay": 6, "duplicate": 9, "cut": 6, "noise": 9}[kind]
    assert sent_in(capture, "a") == FRAMES


# What each protocol's frames are.


def crc(data: bytes, polynomial: int, value: int) -> int:
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (polynomial if value & 1 else 0)
    return value


DART = b"\x50\x31\x01\x01\x02" + crc(b"\x50\x31\x01\x01\x02", 0xA001, 0).to_bytes(2, "little") + b"\x03\xfa"
RTU = b"\x01\x03\x02\x00\x2a" + crc(b"\x01\x03\x02\x00\x2a", 0xA001, 0xFFFF).to_bytes(2, "little")
AAFF = b"\xbb\xee\x00\x31\x03\x02\x12\x34" + bytes([crc(b"\x00\x31\x03\x02\x12\x34", 0x8C, 0)]) + b"\xdd\xee"


@pytest.mark.parametrize(
    ("frames", "data", "address_at", "payload", "checksum"),
    [
        ("dart", DART, 0, (2, 5), (5, 7)),
        ("dart", b"\x50\x70\xfa", 0, None, None),
        ("modbus-rtu", RTU, 0, (1, 5), (5, 7)),
        ("modbus-tcp", bytes.fromhex("0001 0000 0005 01 03 02 002a"), 6, (7, 11), None),
        ("twowire", b"\x61", 0, None, None),
        ("twowire", b"\xff\xe1\xf8\xe0\xfb\xe3\xf0", None, (1, 4), (5, 6)),
        ("aaff", AAFF, 4, (6, 8), (8, 9)),
        ("ifsf", bytes.fromhex("0201 0101 00 00 0004 01 21 14 03"), 3, (8, 12), None),
    ],
)
def test_the_parts_of_a_frame(frames, data, address_at, payload, checksum):
    shape = FRAME_SHAPES[frames]
    assert shape.payload(data) == payload
    assert shape.checksum(data) == checksum
    other = shape.readdress(data, random.Random("address"))
    if address_at is None:
        assert other is None
        return
    assert len(other) == len(data)
    assert [at for at in range(len(data)) if other[at] != data[at] and not _within(at, checksum)] == [
        address_at
    ]
    if frames in ("dart", "modbus-rtu") and checksum:
        start = {"dart": 0, "modbus-rtu": 0xFFFF}[frames]
        assert crc(other[: checksum[1]], 0xA001, start) == 0
    if frames == "aaff":
        assert crc(other[2:9], 0x8C, 0) == 0


def _within(at: int, part: tuple[int, int] | None) -> bool:
    return part is not None and part[0] <= at < part[1]


def test_a_dart_checksum_with_an_escape_is_found_whole():
    data = b"\x50\x31\x01\x10\xfa\x02\x10\xfa\x07\x03\xfa"
    assert FRAME_SHAPES["dart"].payload(data) == (2, 6)
    assert FRAME_SHAPES["dart"].checksum(data) == (6, 9)


@pytest.mark.parametrize("frames", sorted(FRAME_SHAPES))
def test_no_bytes_make_a_frame_shape_stumble(frames):
    rng = random.Random("junk")
    shape = FRAME_SHAPES[frames]
    for _ in range(2_000):
        data = rng.randbytes(rng.randrange(1, 14))
        for part in (shape.payload(data), shape.checksum(data)):
            assert part is None or 0 <= part[0] < part[1] <= len(data)
        other = shape.readdress(data, rng)
        assert other is None or other != data


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"kind": "flip", "part": "payload"}, "flip: needs frames, one of dart, modbus-rtu"),
        ({"kind": "wrong_address"}, "wrong_address: needs frames"),
        ({"kind": "flip", "part": "head"}, "part 'head' is not one of any, payload, checksum"),
        ({"kind": "drop", "part": "payload", "frames": "dart"}, "part is for flip, not for drop"),
        (
            {"kind": "flip", "part": "checksum", "frames": "modbus-tcp"},
            "frames of modbus-tcp have no checksum",
        ),
        ({"kind": "flip", "frames": "morse"}, "frames 'morse' is not one of dart"),
        ({"kind": "split", "offset": 0}, "split: offset must be a whole number from 1 up"),
        ({"kind": "noise", "not_sender": "site"}, "noise belongs to the wire"),
    ],
)
def test_a_fault_that_cannot_be_says_why(raw, message):
    with pytest.raises(FaultError, match=message):
        WireFault.from_dict(raw)


# Real sockets and serial lines.


class Writer:
    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def abort(self) -> None: ...

    def close(self) -> None: ...


class Said:
    """Sends what it is told to, and notes what it hears."""

    def __init__(self) -> None:
        self.on_wake: Callable[[], None] | None = None
        self.heard: list[bytes] = []
        self.due: list[Outgoing] = []

    def receive_data(self, data: bytes, now_us: int) -> None:
        self.heard.append(data)

    def data_to_send(self, now_us: int) -> list[Outgoing]:
        due, self.due = self.due, []
        return due

    def next_timer(self) -> int | None:
        return None

    def handle_timer(self, now_us: int) -> None: ...


@pytest.mark.parametrize(
    ("fault", "written", "heard"),
    [
        (WireFault(kind="swap", limit=1), [b"two.", b"one.", b"three"], []),
        (WireFault(kind="glue", limit=1), [b"one.two.", b"three"], []),
        (WireFault(kind="split", limit=1, offset=1, delay_us=10), [b"o", b"ne.", b"two.", b"three"], []),
        (WireFault(kind="replay", limit=1), [b"one.", b"two.", b"one.", b"three"], []),
        (WireFault(kind="echo", limit=1), [b"one.", b"two.", b"three"], [b"one."]),
        (
            WireFault(kind="babble", at_us=1_150, every_us=1_000, limit=1),
            [b"one.", b"two.", b"three", b"three"],
            [],
        ),
        (WireFault(kind="drop", limit=1), [b"two.", b"three"], []),
        (WireFault(kind="duplicate", limit=1), [b"one.", b"one.", b"two.", b"three"], []),
        (WireFault(kind="cut", limit=1, offset=2), [b"on", b"two.", b"three"], []),
        (WireFault(kind="delay", limit=1, delay_us=50), [b"one.", b"two.", b"three"], []),
    ],
    ids=lambda value: getattr(value, "kind", None),
)
def test_a_real_wire_takes_them_too(fault, written, heard):
    async def play() -> tuple[Writer, Said, WireFaults, Capture]:
        now = [1_000]
        faults = WireFaults([fault], streams=Streams("host"), entity="wire")
        machine, writer, capture = Said(), Writer(), Capture("wire")
        host = StreamHost(machine, lambda: now[0], name="pump", faults=faults, capture=capture)
        host.attach_writer(writer)
        for data in (b"one.", b"two.", b"three"):
            machine.due.append(Outgoing(data))
            host.pump()
            now[0] += 100
            host.pump()
        await asyncio.sleep(0)
        now[0] += 5_000
        host.pump()
        host.stop()
        return writer, machine, faults, capture

    writer, machine, faults, capture = asyncio.run(play())
    assert writer.written == written
    assert machine.heard == heard
    assert faults[0].landed == 1
    assert sent_in(capture, "pump") == [b"one.", b"two.", b"three"]
