"""Random hands and a random master on an AA FF line: quiet never lies, records come in order, no sale is lost."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from protocols import aaff
from protocols.aaff import (
    Authorise,
    AuthoriseReply,
    BriefAck,
    Fetch,
    Live,
    NotUnderstood,
    Poll,
    Prices,
    RecordAck,
    Sale,
    ShortPoll,
    Status,
    Stop,
    Totals,
    TotalsRequest,
)
from sim.dispenser import AaFfDispenser, AaFfQuirks, Delivery, DeliveryEnded, Dispenser, FpState

POLL = Poll(time=bytes(6))
STATES = {
    0: {FpState.IDLE},
    2: {FpState.CLOSED, FpState.INOPERATIVE},
    4: {FpState.CALLING},
    5: {FpState.AUTHORISED},
    6: {FpState.STARTED},
    7: {FpState.SUSPENDED_STARTED},
    9: {FpState.SUSPENDED_FUELLING},
}


class Walk:
    def __init__(self, point, seed: int) -> None:
        self.rng = Random(seed)
        self.point = point
        self.dispenser = Dispenser([point])
        quirks = AaFfQuirks(
            skip_after=self.rng.choice((3, 50)), self_service="offline", offline_after_us=10**8
        )
        self.machine = AaFfDispenser(self.dispenser, {1: point}, quirks=quirks)
        self.now_us = 0
        self.sold: list[Delivery] = []
        self.taken: dict[int, aaff.SaleRecord] = {}
        self.price = 700
        self.kinds: set[type] = set()
        point.listeners.append(
            lambda event: self.sold.append(event.delivery) if isinstance(event, DeliveryEnded) else None
        )

    def wait(self, by_us: int) -> None:
        self.now_us += by_us
        while (timer := self.machine.next_timer()) is not None and timer <= self.now_us:
            self.machine.handle_timer(timer)

    def ask(self, message: Any) -> Any:
        data = aaff.encode_frame(aaff.Direction.TO_PUMP, message.command, 1, message.encode())
        self.machine.receive_data(data, self.now_us)
        answer = b"".join(burst.data for burst in self.machine.data_to_send(self.now_us))
        if not answer:
            return None
        (frame,) = aaff.Framer().feed(answer)
        assert isinstance(frame, aaff.Frame)
        told = aaff.decode_from_pump(frame.command, frame.body)
        assert not isinstance(told, aaff.Malformed), told
        self.kinds.add(type(told))
        return told

    def poll(self) -> None:
        quiet = self.machine.quiet(1)
        before = self.state()
        told = self.ask(POLL if self.rng.random() < 0.8 else ShortPoll(1))
        if quiet:
            assert told == self.last
            assert before == self.state()
        self.last = told
        if isinstance(told, Status):
            assert self.point.state in STATES[told.state]
        elif isinstance(told, Live):
            reading = self.point.reading(self.now_us)
            assert (told.record.volume_units * 10, told.record.amount_units) == (
                reading.volume_ml,
                reading.amount_fen,
            )
        elif isinstance(told, Sale):
            assert self.point.state in {FpState.IDLE, FpState.CALLING, FpState.CLOSED}
            uid = told.record.uid
            assert uid == self.machine.gun(1).upload.pointer + 1
            assert self.taken.setdefault(uid, told.record) == told.record
            if self.rng.random() < 0.4:
                self.ask(RecordAck(uid))
        else:
            assert told is None

    last: Any = None

    def state(self) -> tuple[object, ...]:
        upload = self.machine.gun(1).upload
        return (self.point.state, upload.pointer, upload.sends, len(upload), self.machine.next_timer())

    def step(self) -> None:
        self.wait(self.rng.choice((0, 100_000, 800_000, 5_000_000)))
        point, rng, now_us = self.point, self.rng, self.now_us
        match rng.randrange(16):
            case 0 | 1:
                point.lift(1, now_us)
            case 2:
                point.hang_up(now_us)
            case 3 | 4:
                point.squeeze(now_us, rng.choice((8_000, 40_000)))
            case 5:
                point.release(now_us)
            case 6 | 7:
                wanted = Authorise(rng.randrange(4), rng.choice((0, 200, 5_000, 10**9)))
                told = self.ask(wanted)
                assert isinstance(told, AuthoriseReply) or not self.dispenser.powered
            case 8:
                self.ask(rng.choice((Stop(), BriefAck(), RecordAck(rng.randrange(200)))))
            case 9:
                told = self.ask(TotalsRequest())
                if told is not None:
                    nozzle = point.nozzles[1]
                    assert told == Totals(
                        point.last_sequence, nozzle.total_volume_ml // 10, nozzle.total_amount_fen
                    )
            case 10:
                self.ask(Prices.of((rng.choice((0, 650, 700, 99_999)),) * 4))
            case 11:
                uid = rng.randrange(1, 300)
                told = self.ask(Fetch(uid))
                kept = any(delivery.sequence == uid for delivery in self.sold)
                assert told is None or isinstance(told, Sale if kept else NotUnderstood)
            case 12 if rng.random() < 0.1:
                self.dispenser.cut_power(now_us)
                self.wait(rng.choice((10_000, 60_000_000)))
                self.dispenser.restore_power(self.now_us)
            case _:
                self.poll()

    def finish(self) -> None:
        self.point.release(self.now_us)
        self.point.hang_up(self.now_us)
        self.wait(1_000_000)
        while len(self.machine.gun(1).upload):
            told = self.ask(POLL)
            if isinstance(told, Sale):
                self.taken[told.record.uid] = told.record
                self.ask(RecordAck(told.record.uid))


@pytest.mark.requirement("fd-state.every-command-answered-in-every-state")
@pytest.mark.parametrize(
    ("seed", "steps"),
    [
        *((seed, 2_000) for seed in range(3)),
        pytest.param(99, 100_000, marks=[pytest.mark.slow, pytest.mark.timeout(900)]),
    ],
)
def test_random_walk(make_point, seed: int, steps: int) -> None:
    walk = Walk(make_point(prices=(700,)), seed)
    for _ in range(steps):
        walk.step()
    walk.finish()
    assert [delivery.sequence for delivery in walk.sold] == list(range(1, len(walk.sold) + 1))
    assert len(walk.sold) > steps // 100
    skipped = set(walk.machine.gun(1).upload.skipped)
    guessed = {delivery.sequence for delivery in walk.sold} - skipped - set(walk.taken)
    assert all(uid < 200 for uid in guessed)  # acknowledged by a random number before they were read
    for delivery in walk.sold:
        record = walk.taken.get(delivery.sequence)
        if record is not None:
            assert (record.volume_units * 10, record.amount_units) == (
                delivery.volume_ml,
                delivery.amount_fen,
            )
            assert record.total_after_units * 10 == delivery.end_total_volume_ml
    assert {Status, Live, Sale, AuthoriseReply} <= walk.kinds
