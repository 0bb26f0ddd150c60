from __future__ import annotations

import pytest

from protocols.sansio import HarnessProtocolError, Outgoing
from sim.wires import Capture, VirtualLink, WireFault


def test_bytes_take_the_latency_and_both_ways_are_independent(kernel, scripted):
    a, b = scripted((1_000, b"to b")), scripted((1_100, b"to a"))
    VirtualLink(kernel, "tcp", a, b, latency_us=500)
    kernel.run(1_000_000)
    assert b.heard == [(1_500, b"to b")]
    assert a.heard == [(1_600, b"to a")]


def test_a_rate_spreads_bursts_in_their_order(kernel, scripted):
    a, b = scripted((1_000, bytes(100)), (1_001, b"x")), scripted()
    VirtualLink(kernel, "tcp", a, b, latency_us=500, bytes_per_s=10_000)
    kernel.run(1_000_000)
    assert b.heard == [(11_500, bytes(100)), (11_600, b"x")]


def test_both_ends_learn_of_the_connection(kernel, scripted):
    a, b = scripted(), scripted()
    link = VirtualLink(kernel, "tcp", a, b, latency_us=500, is_connected=False)
    kernel.call_at(10_000, link.connect)
    kernel.run(1_000_000)
    assert a.links == b.links == [(11_000, "up")]
    assert link.is_connected


def test_what_is_sent_without_a_connection_is_lost(kernel, scripted):
    a, b = scripted((1_000, b"early"), (50_000, b"in time")), scripted()
    link = VirtualLink(kernel, "tcp", a, b, latency_us=500, is_connected=False)
    kernel.call_at(10_000, link.connect)
    kernel.run(1_000_000)
    assert b.heard == [(50_500, b"in time")]


def test_a_close_lets_arrive_what_is_on_its_way(kernel, scripted):
    a, b = scripted((1_000, b"bye")), scripted()
    link = VirtualLink(kernel, "tcp", a, b, latency_us=500)
    kernel.call_at(1_100, link.close, a)
    kernel.run(1_000_000)
    assert b.heard == [(1_500, b"bye")]
    assert b.links == [(0, "up"), (1_600, "down")]
    assert not link.is_connected


def test_a_cut_loses_what_is_on_its_way_and_the_capture_says_so(kernel, scripted):
    a, b = scripted((1_000, b"lost")), scripted()
    capture = Capture("tcp")
    link = VirtualLink(kernel, "tcp", a, b, latency_us=500, capture=capture)
    kernel.call_at(1_100, link.cut)
    kernel.run(1_000_000)
    assert b.heard == []
    assert a.links == b.links == [(0, "up"), (1_100, "down")]
    (frame,) = capture
    assert (frame.sender, frame.data, frame.note, frame.sent) == ("a", b"", "lost", b"lost")


def test_a_link_that_is_down_breaks_and_comes_back_by_redial(kernel, scripted):
    a, b = scripted((2_000_000, b"again")), scripted()
    fault = WireFault(kind="down", at_us=100_000, for_us=1_000_000)
    link = VirtualLink(kernel, "tcp", a, b, latency_us=500, faults=[fault], redial_us=299_000)
    kernel.run(3_000_000)
    # Lost at 100 ms, refused at 400, 700 and 1 000 ms, up again at 1 300 ms.
    assert a.links == [(0, "up"), (100_000, "down"), (1_300_000, "up")]
    assert link.faults[0].landed == 4
    assert b.heard == [(2_000_500, b"again")]


def test_timers_run_also_without_a_connection(kernel, scripted):
    a = scripted((1_000, b"x"), (2_000, b"y"))
    VirtualLink(kernel, "tcp", a, scripted(), latency_us=500, is_connected=False)
    kernel.run(1_000_000)
    assert a.script == []


def test_a_wake_from_outside_sends_at_once(kernel, scripted):
    a, b = scripted(), scripted()
    VirtualLink(kernel, "tcp", a, b, latency_us=500)

    def command() -> None:
        a._due.append(Outgoing(b"go"))
        a.on_wake()

    kernel.call_at(70_000, command)
    kernel.run(1_000_000)
    assert b.heard == [(70_500, b"go")]


def test_impossible_links_and_strangers_are_refused(kernel, scripted):
    with pytest.raises(HarnessProtocolError, match="latency_us starts at 0"):
        VirtualLink(kernel, "tcp", scripted(), scripted(), latency_us=-1)
    link = VirtualLink(kernel, "tcp", scripted(), scripted(), latency_us=1)
    with pytest.raises(HarnessProtocolError, match="is not an end of this link"):
        link.close(scripted())
