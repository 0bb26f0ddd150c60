"""The IFSF dispenser node without its controlling device, without power, with a peer that does not read."""

from __future__ import annotations

from protocols.ifsf import (
    Element,
    Heartbeat,
)

from .ifsf_bench import CD, OPEN, RELEASE, Bench, closed

# -- alone -----------------------------------------------------------------------------------------------------------


def test_without_its_controlling_device_it_goes_on_and_uploads_later() -> None:
    bench = Bench()
    bench.write(b"\x01", Element(12, b"\x01"))
    bench.command(OPEN)
    bench.run(29, alive=False)
    bench.fp.lift(1, bench.now_us)
    assert bench.fp.state == 4  # three periods are not over
    bench.node.connection_lost(bench.now_us)
    bench.run(2, alive=False)
    assert bench.node.dial is None
    assert bench.fp.state == 6
    bench.fp.squeeze(bench.now_us, 30_000)
    bench.run(20, alive=False)
    bench.fp.hang_up(bench.now_us)
    bench.heartbeat()
    bench.node.connection_made(bench.now_us)
    sale, end = bench.read(bytes.fromhex("21200000"), 1, 2, 6, 200, 201)
    assert (sale.value(1), sale.value(2)) == (b"\x00\x01", b"\xff\xff")
    assert (sale.value(200), sale.value(201)) == (b"\x01", b"\x00\x01")
    assert end.status == 0
    bench.fp.lift(1, bench.now_us)
    assert bench.fp.state == 4  # it is asked again


def test_without_permission_it_waits() -> None:
    bench = Bench()
    bench.command(OPEN)
    bench.run(60, alive=False)
    bench.fp.lift(1, bench.now_us)
    assert bench.fp.state == 4


def test_a_sale_that_ends_alone_is_still_the_devices_own() -> None:
    bench = Bench()
    bench.command(OPEN)
    bench.fp.lift(1, 0)
    bench.command(RELEASE)
    bench.fp.squeeze(0, 5_000)
    bench.run(60, alive=False)
    bench.fp.hang_up(bench.now_us)
    (sale,) = bench.place.buffer.open
    assert (sale.released_by, sale.offline) == (CD.encode(), 0)
    assert sale.volume_ml > 1000


def test_power_comes_back_closed_and_asks_for_configuration() -> None:
    bench = Bench()
    bench.command(OPEN)
    bench.fp.lift(1, 0)
    bench.command(RELEASE)
    bench.fp.squeeze(0, 30_000)
    bench.run(5)
    bench.dispenser.cut_power(bench.now_us)
    assert bench.node.dial is None
    assert bench.node.wants_close
    assert bench.say("01 03 02 01 00 0E 00 03 01 20 14") == []
    bench.node.connection_lost(bench.now_us)
    bench.run(3, alive=False)
    bench.dispenser.restore_power(bench.now_us)
    bench.node.handle_timer(bench.now_us)
    closed(bench)
    datagrams = [Heartbeat.decode(one) for one in bench.node.datagrams_to_send(bench.now_us)]
    assert [beat.status for beat in datagrams] == [1]
    assert [one.volume_ml > 0 for one in bench.place.buffer.open] == [True]  # the interrupted sale is kept
    assert bench.node.store.recipients == []


def test_a_peer_that_does_not_read_is_bounded() -> None:
    bench = Bench()
    bench.command(OPEN)
    for _ in range(10_000):
        bench.place.tell_status()
    assert bench.node.wants_redial
    assert sum(len(out.data) for out in bench.node.data_to_send(0)) <= 65_536
    bench.node.connection_lost(0)
    bench.node.connection_made(0)
    assert bench.heard() == []


def test_half_a_message_does_not_wait_for_ever() -> None:
    bench = Bench()
    bench.node.receive_data(bytes.fromhex("010302010042"), 0)
    for at in range(1, 30):
        bench.now_us = at * 1_000_000
        bench.node.handle_timer(bench.now_us)
    assert bench.node.wants_close
    bench.node.dropped(bench.now_us)
    bench.node.accepted(bench.now_us)
    bench.heartbeat()
    bench.node.connection_made(bench.now_us)
    assert bench.say("01 03 02 01 00 42 00 04 01 21 3C 00")[0] == "0201010300e20003012100"
