"""Random hands and a random controller on a DART line: the status table holds, quiet never lies, no sale is lost."""

from __future__ import annotations

from random import Random

import pytest

from protocols.dart import (
    AllowedNozzles,
    Command,
    CommandCode,
    Control,
    FilledReport,
    PresetAmount,
    PresetVolume,
    PumpStatus,
    StatusReport,
    TotalsRequest,
    UnitPrices,
    decode_from_pump,
    encode_block,
    encode_control,
    encode_data,
    status_change_sources,
)
from sim.dispenser import DartDispenser, DartQuirks, Delivery, DeliveryEnded, Dispenser

A = 0x50
POLL = encode_control(A, Control.POLL)
EOT = encode_control(A, Control.EOT)


class Walk:
    def __init__(self, point, seed: int) -> None:
        self.rng = Random(seed)
        self.point = point
        quirks = DartQuirks(
            late_price_us=self.rng.choice((0, 2_000_000)), ignored_resets=self.rng.choice((0, 3))
        )
        self.dispenser = Dispenser([point])
        self.pump = DartDispenser(self.dispenser, {A: point}, quirks=quirks)
        self.now_us = 0
        self.tx = 0
        self.status = self.pump.head(A).status
        self.filled = (0, 0)
        self.final: tuple[int, int] | None = None
        self.sales: list[Delivery] = []
        self.reported: list[tuple[int, int]] = []
        self.polls = 0
        point.listeners.append(
            lambda event: self.sales.append(event.delivery) if isinstance(event, DeliveryEnded) else None
        )

    def wait(self, by_us: int) -> None:
        self.now_us += by_us
        while (timer := self.pump.next_timer()) is not None and timer <= self.now_us:
            self.pump.handle_timer(timer)

    def exchange(self, data: bytes) -> bytes:
        self.pump.receive_data(data, self.now_us)
        return b"".join(burst.data for burst in self.pump.data_to_send(self.now_us))

    def poll(self) -> None:
        quiet = self.pump.quiet(A)
        before = (self.point.state, self.pump.head(A).status, self.pump.next_timer())
        answer = self.exchange(POLL)
        self.polls += 1
        assert quiet <= (answer == EOT)
        assert not quiet or before == (self.point.state, self.pump.head(A).status, self.pump.next_timer())
        if answer == EOT:
            return
        for report in decode_from_pump(answer.replace(b"\x10\xfa", b"\xfa")[2:-4]):
            self.hear(report)
        assert self.exchange(encode_control(A, Control.ACK, answer[1] & 0x0F)) == b""

    def hear(self, report: object) -> None:
        if isinstance(report, StatusReport):
            if report.status is not self.status:
                assert status_change_sources(self.status, report.status) > 0, (self.status, report.status)
                if (
                    report.status in {PumpStatus.FILLING_COMPLETED, PumpStatus.MAX_REACHED}
                    and self.status is PumpStatus.FILLING
                ):
                    self.reported.append(self.filled)
            self.status = report.status
        elif isinstance(report, FilledReport):
            filled = (report.volume_units, report.amount_units)
            if self.status is PumpStatus.FILLING:
                assert filled >= self.filled
            self.filled = filled

    def say(self, *transactions) -> None:
        frame = encode_data(A, self.tx, encode_block(transactions))
        assert self.exchange(frame) == encode_control(A, Control.ACK, self.tx)
        self.tx = self.tx % 15 + 1

    def mishap(self) -> None:
        match self.rng.randrange(20):
            case 0:
                self.dispenser.cut_power(self.now_us)
                self.now_us += self.rng.choice((0, 20_000_000))
                self.dispenser.restore_power(self.now_us)
                # What the controller had heard of the filling was cut short; its status starts anew.
                self.tx = 0
                self.status = self.pump.head(A).status
            case 1:
                self.point.emergency_stop(self.now_us)
                self.wait(200_000)
                self.point.reset_emergency(self.now_us, "manager")
            case _:
                pass

    def step(self) -> None:  # noqa: C901 - one case for each thing that can happen
        rng, point = self.rng, self.point
        match rng.randrange(18):
            case 0 | 1:
                point.lift(rng.choice((1, 2)), self.now_us)
            case 2 | 3:
                point.squeeze(self.now_us, rng.randint(5_000, 50_000))
            case 4:
                point.release(self.now_us)
            case 5:
                point.hang_up(self.now_us)
            case 6 | 7:
                self.say(Command(code=CommandCode.RESET))
            case 8 | 9:
                self.say(Command(code=CommandCode.AUTHORISE))
            case 10:
                self.say(Command(code=rng.choice((CommandCode.STOP, CommandCode.SWITCH_OFF))))
            case 11:
                self.say(
                    rng.choice(
                        (
                            PresetVolume(volume_units=rng.randint(0, 900)),
                            PresetAmount(amount_units=rng.randint(0, 9_000)),
                        )
                    )
                )
            case 12:
                self.say(AllowedNozzles(nozzles=rng.choice(((1,), (2,), (1, 2), (3,)))))
            case 13:
                self.say(
                    UnitPrices(prices_units=tuple(rng.randint(0, 1_000) for _ in range(rng.randint(1, 3))))
                )
            case 16 | 17:
                self.mishap()
            case 14:
                self.say(
                    Command(
                        code=rng.choice(
                            (
                                CommandCode.RETURN_STATUS,
                                CommandCode.RETURN_FILLING,
                                CommandCode.RETURN_IDENTITY,
                            )
                        )
                    )
                )
            case _:
                self.say(TotalsRequest(counter=rng.randint(0, 255)))


@pytest.mark.requirement(
    "fd-state.only-listed-transitions",
    "fd-met.live-values-grow-and-end-at-sale",
    "fd-state.no-flow-outside-fuelling",
)
@pytest.mark.parametrize("seed", range(10))
def test_a_random_line_keeps_the_status_table_and_tells_every_sale(make_point, seed: int) -> None:
    walk = Walk(make_point(prices=(0, 0) if seed % 2 else (760, 812)), seed)
    for _ in range(10_000):
        walk.wait(walk.rng.choice((0, 1_000, 250_000, 2_000_000)))
        if walk.rng.random() < 0.6:
            walk.step()
        assert not walk.point.flowing or walk.pump.head(A).status in {
            PumpStatus.AUTHORISED,
            PumpStatus.FILLING,
        }
        # Every report is fetched before the next thing happens, as a fast poller would.
        while not walk.pump.quiet(A) and walk.polls < 10**6:
            before = walk.polls
            walk.poll()
            if walk.point.flowing:
                break
            assert walk.polls == before + 1
        walk.poll()
    sold = [(sale.volume_ml // 10, sale.amount_fen) for sale in walk.sales]
    assert len(sold) > 40
    # What the line told at the end of each filling is what the journal holds, in order; a filling switched off is
    # told too, but its status goes to SWITCHED OFF.
    told = iter(sold)
    assert all(one in told for one in walk.reported)
    assert len(walk.reported) > 20
