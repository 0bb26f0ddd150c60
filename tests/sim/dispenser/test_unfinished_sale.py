"""A controller that comes back while fuel flows: what is unfinished is answered "busy", never as half a record."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from protocols import aaff
from protocols.aaff import Fetch, Framer, Live, LiveState, NotUnderstood, Poll, RecordAck, RecordType, Sale
from protocols.ifsf import Element, transaction_address
from sim.dispenser import AaFfDispenser, AaFfQuirks, Dispenser, FuellingPoint

from .ifsf_bench import OPEN, Bench

S = 1_000_000
AWAY_US = 160 * S
UNKNOWN_DATABASE = 6


class Gun:
    """A gun that serves by itself while its master is away."""

    def __init__(self, point: FuellingPoint) -> None:
        self.point = point
        quirks = AaFfQuirks(self_service="offline", offline_after_us=AWAY_US)
        self.machine = AaFfDispenser(
            Dispenser([point]), {1: point}, quirks=quirks, epoch_us=1_795_287_028_000_000
        )
        self.now_us = 0

    def ask(self, message: Any) -> Any:
        frame = aaff.encode_frame(aaff.Direction.TO_PUMP, message.command, 1, message.encode())
        self.machine.receive_data(frame, self.now_us)
        data = b"".join(burst.data for burst in self.machine.data_to_send(self.now_us))
        (answer,) = Framer().feed(data)
        assert isinstance(answer, aaff.Frame)
        return aaff.decode_from_pump(answer.command, answer.body)

    def poll(self) -> Any:
        return self.ask(Poll(time=bytes.fromhex("261122025028")))

    def wait(self, us: int) -> None:
        self.now_us += us
        self.machine.handle_timer(self.now_us)

    def seconds_of_a_sale(self) -> Iterator[int]:
        """Each second of a sale without a master; the nozzle is back after the last."""
        self.point.lift(1, self.now_us)
        self.point.squeeze(self.now_us, 30_000)
        for second in range(1, 20):
            self.wait(S)
            yield second
        self.point.hang_up(self.now_us)


@pytest.mark.requirement("fd-pwr.unfinished-sale-answers-busy")
def test_an_aaff_gun_tells_that_it_fuels_and_gives_no_record_of_it(make_point) -> None:
    gun = Gun(make_point(prices=(700,)))
    gun.wait(AWAY_US)
    assert list(gun.seconds_of_a_sale())
    for second in gun.seconds_of_a_sale():
        if second < 3:
            continue  # its master is away still
        answer = gun.poll()
        assert isinstance(answer, Live), "a finished off-line sale waits, and the answer is still: it fuels"
        assert answer.record.state == LiveState.FUELLING
        assert gun.ask(Fetch(2, aaff.Command.SALE)) == NotUnderstood(), f"no record of it after {second} s"
    gun.wait(S)
    first = gun.poll()
    assert isinstance(first, Sale)
    assert (first.record.uid, first.record.record_type) == (1, RecordType.OFFLINE)
    gun.ask(RecordAck(1))
    second_sale = gun.poll().record
    assert (second_sale.uid, second_sale.volume_units * 10) == (2, gun.point.journal[-1].volume_ml)
    assert gun.ask(Fetch(2, aaff.Command.SALE)) == Sale(second_sale)


@pytest.mark.requirement("fd-pwr.unfinished-sale-answers-busy")
def test_an_ifsf_node_has_no_transaction_before_the_end_of_the_sale() -> None:
    bench = Bench()
    bench.write(b"\x01", Element(12, b"\x01"))  # it may go on alone
    bench.command(OPEN)
    bench.run(60, alive=False)
    bench.node.connection_lost(bench.now_us)
    for seconds in (20, 8):
        bench.fp.hang_up(bench.now_us)
        bench.run(1, alive=False)
        assert bench.fp.lift(1, bench.now_us)
        assert bench.fp.squeeze(bench.now_us, 30_000)
        bench.run(seconds, alive=False)
    bench.heartbeat()
    bench.node.connection_made(bench.now_us)
    every = bytes.fromhex("21200000")
    second = transaction_address(1, 2)
    known, end = bench.read(every, 1, 6, 200, 201)
    assert (known.value(1), known.value(201)) == (b"\x00\x01", b"\x00\x01"), "the finished one, whole"
    assert end.status == 0
    assert bench.fp.reading(bench.now_us).volume_ml > 0
    (refused,) = bench.read(second, 1, 6)
    assert refused.status == UNKNOWN_DATABASE
    bench.fp.hang_up(bench.now_us)
    bench.run(1)
    (whole,) = bench.read(second, 1, 6)
    assert whole.value(1) == b"\x00\x02"
    assert [one.volume_ml for one in bench.place.buffer.open] == [one.volume_ml for one in bench.fp.journal]
    assert len(bench.fp.journal) == 2
