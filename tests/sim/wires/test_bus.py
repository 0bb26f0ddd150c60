from __future__ import annotations

import pytest

from protocols.sansio import HarnessProtocolError, Outgoing
from sim.wires import Capture, VirtualBus


def test_ten_bytes_at_9600_8n1_take_10417_us(kernel, make_bus, scripted):
    a, b = scripted((1000, bytes(10))), scripted()
    make_bus(a, b)
    kernel.run(1_000_000)
    assert b.heard == [(1000 + 10_417, bytes(10))]


def test_odd_parity_makes_the_character_eleven_bits(kernel, make_bus, scripted):
    a, b = scripted((0, b"\x50\x20\xfa")), scripted()
    make_bus(a, b, bits_per_char=11)
    kernel.run(1_000_000)
    assert b.heard == [(3438, b"\x50\x20\xfa")]  # 33 bits / 9600 Bd = 3437.5 us


def test_every_other_machine_hears_a_burst_and_the_sender_does_not(kernel, make_bus, scripted):
    a, b, c = scripted((0, b"hi")), scripted(), scripted()
    make_bus(a, b, c)
    kernel.run(1_000_000)
    assert a.heard == []
    assert b.heard == c.heard == [(2084, b"hi")]


def test_with_echo_the_sender_hears_itself_at_the_same_instant(kernel, make_bus, scripted):
    a, b = scripted((0, b"hi")), scripted()
    make_bus(a, b, echo=True)
    kernel.run(1_000_000)
    assert a.heard == b.heard == [(2084, b"hi")]


def test_a_senders_bursts_follow_each_other(kernel, make_bus, scripted):
    a, b = scripted((0, b"one"), (10, b"two")), scripted()
    bus = make_bus(a, b)
    kernel.run(1_000_000)
    assert b.heard == [(3125, b"one"), (6250, b"two")]
    assert bus.collisions == 0


def test_not_before_holds_a_burst_back(kernel, make_bus, scripted):
    a, b = scripted(), scripted()
    make_bus(a, b)
    a._due.append(Outgoing(b"x", 5000))
    kernel.run(1_000_000)
    assert b.heard == [(5000 + 1042, b"x")]


def test_turn_round_keeps_an_answer_back_after_hearing(kernel, make_bus, countdown):
    asker, answerer = countdown(serve=3), countdown()
    make_bus(asker, answerer, turn_round_us=1_500)
    kernel.run(1_000_000)
    assert [*answerer.times] == [1042, 1042 + 2 * (1_500 + 1042)]
    assert asker.events == [("said", 3), ("heard", 2), ("said", 1), ("heard", 0)]


def test_overlapping_bursts_are_garbled_for_a_third_machine(kernel, make_bus, scripted):
    one, two = bytes(range(0x20, 0x2A)), bytes(range(0x40, 0x4A))
    a, b, c = scripted((0, one)), scripted((5_200, two)), scripted()
    bus = make_bus(a, b, c)
    kernel.run(1_000_000)
    assert bus.collisions == 1
    ((at_us, heard),) = c.heard
    assert at_us == 5_200 + 10_417
    assert heard[:4] == one[:4], "what passed before the second one started is clean"
    assert heard[-4:] == two[-4:], "what passed after the first one ended is clean"
    assert heard not in (one, two)
    assert heard[4:9] != one[4:9]


def test_a_colliding_sender_hears_only_the_tail_of_the_other(kernel, make_bus, scripted):
    one, two = bytes(range(0x20, 0x2A)), bytes(range(0x40, 0x4A))
    a, b = scripted((0, one)), scripted((5_200, two))
    make_bus(a, b)
    kernel.run(1_000_000)
    ((_, tail),) = a.heard
    assert two.endswith(tail[-4:])
    assert len(tail) <= 6
    assert b.heard == [], "who ends last has nothing left to hear"


def test_bursts_that_touch_end_to_start_do_not_collide(kernel, make_bus, scripted):
    a, b, c = scripted((0, bytes(10))), scripted((10_417, b"x")), scripted()
    bus = make_bus(a, b, c)
    kernel.run(1_000_000)
    assert bus.collisions == 0
    assert c.heard == [(10_417, bytes(10)), (11_459, b"x")]


def test_a_chain_of_three_overlaps_is_one_collision(kernel, make_bus, scripted):
    a, b, c, d = scripted((0, bytes(5))), scripted((4_000, bytes(5))), scripted((8_500, bytes(5))), scripted()
    bus = make_bus(a, b, c, d)
    kernel.run(1_000_000)
    assert bus.collisions == 1
    assert [at_us for at_us, _ in d.heard] == [8_500 + 5_209]


def test_the_capture_holds_a_collision_as_sent_and_as_heard(kernel, scripted):
    capture = Capture("line")
    bus = VirtualBus(kernel, "line", baud=9600, bits_per_char=10, capture=capture)
    a, b, c = scripted((0, b"AAAA")), scripted((2_000, b"BBBB")), scripted()
    for name, machine in (("a", a), ("b", b), ("c", c)):
        bus.attach(machine, name=name)
    kernel.run(1_000_000)
    first, second = capture
    assert (first.sender, first.note, first.sent) == ("a", "collision", b"AAAA")
    assert (second.sender, second.note, second.sent) == ("b", "collision", b"BBBB")
    assert c.heard[0][1].startswith(first.data)


def test_bytes_at_an_instant_are_seen_before_a_timer_of_that_instant(kernel, make_bus, scripted):
    order: list[str] = []

    class Watch(type(scripted())):  # type: ignore[misc]
        def receive_data(self, data: bytes, now_us: int) -> None:
            order.append("bytes")

        def handle_timer(self, now_us: int) -> None:
            order.append("timer")
            super().handle_timer(now_us)

    make_bus(scripted((0, b"x")), Watch((1042, b"y")))
    kernel.run(1_000_000)
    assert order == ["bytes", "timer"]


def test_a_wake_from_outside_sends_at_that_instant(kernel, make_bus, scripted):
    a, b = scripted(), scripted()
    make_bus(a, b)

    def command() -> None:
        a._due.append(Outgoing(b"go"))
        a.on_wake()

    kernel.call_at(70_000, command)
    kernel.run(1_000_000)
    assert b.heard == [(72_084, b"go")]


def test_a_machine_whose_timer_never_moves_on_is_named(kernel, make_bus, scripted):
    class Stuck(type(scripted())):  # type: ignore[misc]
        def handle_timer(self, now_us: int) -> None:
            pass

    make_bus(Stuck((500, b"never")), scripted())
    with pytest.raises(HarnessProtocolError, match="does not come to rest at 500 us; timers still due of: a"):
        kernel.run(1_000_000)


def test_a_reply_timeout_that_the_reply_overtakes_costs_no_event(kernel, toy_master, toy_device):
    bus = VirtualBus(kernel, "line", baud=9600)
    master = toy_master([1])
    bus.attach(master, name="master", master=True)
    bus.attach(toy_device(1), name="device")
    calls = 0
    call_at = kernel.call_at

    def counting(at_us, fn, *args):
        nonlocal calls
        calls += 1
        return call_at(at_us, fn, *args)

    kernel.call_at = counting
    kernel.run(10_000_000)
    assert master.polls == 40
    assert calls <= 3 * master.polls + 2, "slot, poll heard, answer heard"


@pytest.mark.parametrize(
    ("options", "message"),
    [({"baud": 0}, "baud"), ({"baud": 9600, "turn_round_us": -1}, "turn_round_us")],
)
def test_a_line_that_cannot_exist_is_refused(kernel, options, message):
    with pytest.raises(HarnessProtocolError, match=message):
        VirtualBus(kernel, "line", **options)


def test_names_and_master_are_unique_on_a_bus(kernel, make_bus, toy_master):
    bus = make_bus()
    bus.attach(toy_master([1]), name="m", master=True)
    with pytest.raises(HarnessProtocolError, match="already the master"):
        bus.attach(toy_master([1]), name="n", master=True)
    with pytest.raises(HarnessProtocolError, match="two machines are called 'm'"):
        bus.attach(toy_master([1]), name="m")
