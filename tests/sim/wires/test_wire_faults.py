from __future__ import annotations

import pytest

from sim.faults import FaultError
from sim.kernel import Trace
from sim.wires import Capture, VirtualBus, VirtualLink, WireFault

BURST = bytes(range(0x40, 0x4A))
END_US = 10_417


@pytest.fixture
def play(kernel, scripted):
    """Send bursts over a 9600 Bd 8N1 bus with one fault; gives what b heard, the fault and the capture."""

    def play(fault, script=((0, BURST),), *, medium="bus", until_us=100_000_000):
        a, b = scripted(*script), scripted()
        capture = Capture("line")
        if medium == "bus":
            wire = VirtualBus(kernel, "line", baud=9600, bits_per_char=10, faults=[fault], capture=capture)
            wire.attach(a, name="a")
            wire.attach(b, name="b")
        else:
            wire = VirtualLink(kernel, "line", a, b, latency_us=1_000, faults=[fault], capture=capture)
        kernel.run(until_us)
        return b.heard, wire.faults[0], list(capture)

    return play


def test_a_dropped_burst_is_heard_by_nobody_and_recorded(play):
    heard, fault, (frame,) = play(WireFault(kind="drop"))
    assert (heard, fault.landed) == ([], 1)
    assert (frame.t_us, frame.sender, frame.data, frame.note, frame.sent) == (END_US, "a", b"", "drop", BURST)


def test_a_delayed_burst_is_late(play):
    heard, fault, _ = play(WireFault(kind="delay", delay_us=3_000))
    assert (heard, fault.landed) == ([(END_US + 3_000, BURST)], 1)


def test_a_duplicated_burst_comes_twice(play):
    heard, fault, frames = play(WireFault(kind="duplicate", delay_us=500))
    assert (heard, fault.landed) == ([(END_US, BURST), (2 * END_US + 500, BURST)], 1)
    assert [frame.note for frame in frames] == ["duplicate", "duplicate"]


def test_a_cut_burst_stops_at_its_offset(play):
    heard, fault, (frame,) = play(WireFault(kind="cut", offset=3))
    assert (heard, fault.landed) == ([(3_125, BURST[:3])], 1)
    assert (frame.data, frame.sent) == (BURST[:3], BURST)


def test_a_cut_beyond_the_end_does_not_land(play):
    heard, fault, _ = play(WireFault(kind="cut", offset=10))
    assert (heard, fault.landed) == ([(END_US, BURST)], 0)


def test_a_drawn_cut_is_always_shorter(play):
    heard, fault, _ = play(WireFault(kind="cut"), [(at_us, BURST) for at_us in range(0, 1_000_000, 20_000)])
    assert fault.landed == 50
    lengths = {len(data) for _, data in heard}
    assert lengths <= {*range(1, 10)}
    assert len(lengths) > 5


@pytest.mark.parametrize("bits", [1, 3, 17])
def test_flipped_bits_are_exactly_as_many(play, bits):
    ((_, heard),), fault, _ = play(WireFault(kind="flip", bits=bits))
    wrong = int.from_bytes(heard) ^ int.from_bytes(BURST)
    assert (wrong.bit_count(), fault.landed) == (bits, 1)


def test_a_wire_that_is_down_loses_what_starts_in_that_span(play):
    script = [(at_us, b"x") for at_us in (0, 100_000, 200_000, 300_000)]
    heard, fault, _ = play(WireFault(kind="down", at_us=100_000, for_us=150_000), script)
    assert [at_us for at_us, _ in heard] == [1_042, 301_042]
    assert fault.landed == 2


def test_noise_comes_between_frames_at_its_rate(play):
    heard, fault, frames = play(WireFault(kind="noise", noise_bytes=4, every_us=10_000, for_us=1_000_000), [])
    assert 70 < fault.landed < 130
    assert len(heard) == fault.landed == len(frames)
    assert all(1 <= len(data) <= 4 for _, data in heard)
    assert {frame.sender for frame in frames} == {"noise"}
    assert max(at_us for at_us, _ in heard) < 1_000_000 + 4 * 1_042


def test_noise_inside_a_burst_collides_with_it(play):
    heard, fault, frames = play(WireFault(kind="noise", noise_bytes=1, every_us=4_000, for_us=10_000))
    assert fault.landed
    assert any(frame.note == "collision" for frame in frames)
    assert (END_US, BURST) not in heard


@pytest.mark.parametrize("kind", ["drop", "flip", "cut", "duplicate"])
def test_a_link_takes_the_same_faults(play, kind):
    script = [(at_us, BURST) for at_us in range(10_000, 110_000, 10_000)]
    heard, fault, frames = play(WireFault(kind=kind, limit=4), script, medium="link")
    assert fault.landed == 4
    clean = sum(data == BURST for _, data in heard)
    assert clean == {"drop": 6, "flip": 6, "cut": 6, "duplicate": 14}[kind]
    assert sum(bool(frame.note) for frame in frames) == {"duplicate": 8}.get(kind, 4)


def test_a_link_keeps_the_order_behind_a_delayed_burst(play):
    fault = WireFault(kind="delay", delay_us=50_000, limit=1)
    heard, _, _ = play(fault, [(10_000, b"first"), (20_000, b"second")], medium="link")
    assert heard == [(61_000, b"first"), (61_000, b"second")]


def test_probability_and_sender_narrow_a_fault(play):
    script = [(at_us, b"x") for at_us in range(0, 2_000_000, 10_000)]
    heard, fault, _ = play(WireFault(kind="drop", probability=0.25, sender="a"), script)
    assert 30 < fault.landed < 70
    assert len(heard) == 200 - fault.landed


def test_a_fault_of_another_sender_does_not_land(play):
    heard, fault, _ = play(WireFault(kind="drop", sender="b"))
    assert (len(heard), fault.landed) == (1, 0)


def test_each_hit_is_in_the_trace(make_kernel, scripted):
    events = []
    trace = Trace()
    trace.listen(events.append)
    kernel = make_kernel(trace=trace)
    fault = WireFault(kind="drop", name="tripped driver", at_us=50, limit=1)
    bus = VirtualBus(kernel, "KM01/line-1", baud=9600, faults=[fault])
    bus.attach(scripted((50, b"x")), name="pump")
    bus.attach(scripted(), name="master")
    kernel.run(1_000_000)
    assert events == [
        {
            "t_us": 50,
            "kind": "wire.fault",
            "entity": "wire/KM01/line-1",
            "fault": "tripped driver",
            "effect": "drop",
            "sender": "pump",
        }
    ]


def test_one_seed_hits_the_same_bursts_and_another_fault_shifts_nothing(make_kernel, scripted):
    def play(seed, *others):
        kernel = make_kernel(seed)
        fault = WireFault(kind="flip", name="sparks", probability=0.4)
        bus = VirtualBus(kernel, "line", baud=9600, faults=[fault, *others])
        hearer = scripted()
        bus.attach(scripted(*((at_us, BURST) for at_us in range(0, 1_000_000, 20_000))), name="a")
        bus.attach(hearer, name="b")
        kernel.run(2_000_000)
        return hearer.heard

    first = play("one")
    assert play("one") == first
    assert play("two") != first
    assert play("one", WireFault(kind="delay", delay_us=1, at_us=5_000_000, probability=0.5)) == first


def test_a_fault_is_read_from_plain_data():
    raw = {"kind": "noise", "at_us": 5, "for_us": 9, "every_us": 100, "noise_bytes": 2}
    assert WireFault.from_dict(raw) == WireFault(kind="noise", at_us=5, for_us=9, every_us=100, noise_bytes=2)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"kind": "lost"}, "wire fault kind 'lost' is not one of drop"),
        ({"kind": "delay"}, "delay: delay_us must be a whole number from 1 up"),
        ({"kind": "cut", "offset": -1}, "cut: offset must be"),
        ({"kind": "noise", "noise_bytes": 257}, "noise_bytes is at most 256"),
        ({"kind": "noise", "sender": "pump"}, "noise belongs to the wire"),
        ({"kind": "drop", "for_us": 0}, "drop: for_us must be"),
        ({"kind": "drop", "limit": True}, "drop: limit must be"),
        ({"kind": "drop", "probability": 1.5}, "at most 1"),
        ({"kind": "drop", "at": 5}, "WireFault has no field 'at'; it has kind, name, at_us"),
    ],
)
def test_a_bad_fault_says_what_is_wrong(raw, message):
    with pytest.raises(FaultError, match=message):
        WireFault.from_dict(raw)


def test_two_faults_of_one_name_are_refused(kernel):
    twice = [WireFault(kind="drop", name="x"), WireFault(kind="flip", name="x")]
    with pytest.raises(FaultError, match="two faults are called 'x'"):
        VirtualBus(kernel, "line", baud=9600, faults=twice)
