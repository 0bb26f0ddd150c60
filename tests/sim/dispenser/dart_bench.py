"""A DART dispenser at the bench: a plain controller that polls by hand, and short words for what a pump reports."""

from __future__ import annotations

from protocols.dart import (
    AllowedNozzles,
    Command,
    CommandCode,
    Control,
    FilledReport,
    NozzleReport,
    PumpStatus,
    StatusReport,
    decode_from_pump,
    encode_block,
    encode_control,
    encode_data,
)
from sim.dispenser import DartDispenser, Dispenser

A = 0x50
S = 1_000_000
POLL_US = 250_000
FLOW = 33_000

STATUS = Command(code=CommandCode.RETURN_STATUS)
FILLING_INFO = Command(code=CommandCode.RETURN_FILLING)
RESET = Command(code=CommandCode.RESET)
AUTHORISE = Command(code=CommandCode.AUTHORISE)
STOP = Command(code=CommandCode.STOP)
SWITCH_OFF = Command(code=CommandCode.SWITCH_OFF)


class Line:
    """A plain controller: polls by hand, acknowledges each block, keeps what the pump reported."""

    def __init__(self, points, **options) -> None:
        self.points = points
        self.point = points[0]
        self.dispenser = Dispenser(points)
        addresses = {A + index: point for index, point in enumerate(points)}
        self.pump = DartDispenser(self.dispenser, addresses, **options)
        self.now_us = 0
        self.tx = 0
        self.wakes = 0
        self.pump.on_wake = self._woken

    def _woken(self) -> None:
        self.wakes += 1

    def exchange(self, data: bytes) -> bytes:
        self.pump.receive_data(data, self.now_us)
        return b"".join(burst.data for burst in self.pump.data_to_send(self.now_us))

    def say(self, *transactions, address: int = A) -> None:
        frame = encode_data(address, self.tx, encode_block(transactions))
        assert self.exchange(frame) == encode_control(address, Control.ACK, self.tx)
        self.tx = self.tx % 15 + 1

    def poll(self, address: int = A) -> list:
        """Poll until the pump has nothing left to say."""
        reports: list = []
        for _ in range(20):
            answer = self.exchange(encode_control(address, Control.POLL))
            if answer == encode_control(address, Control.EOT):
                return reports
            if answer:
                reports += decode_from_pump(answer.replace(b"\x10\xfa", b"\xfa")[2:-4])
                assert self.exchange(encode_control(address, Control.ACK, answer[1] & 0x0F)) == b""
        raise AssertionError("the pump never stops talking")

    def ask(self, *transactions) -> list:
        self.say(*transactions)
        return self.poll()

    def wait(self, by_us: int) -> None:
        self.now_us += by_us
        while (timer := self.pump.next_timer()) is not None and timer <= self.now_us:
            self.pump.handle_timer(timer)

    @property
    def status(self) -> PumpStatus:
        reports = self.ask(STATUS)
        return [report.status for report in reports if isinstance(report, StatusReport)][-1]

    def sell(self, *, preset=(), litres_ml: int = 10_000) -> None:
        self.point.lift(1, self.now_us)
        self.point.set_tank_capacity(litres_ml)
        self.say(RESET)
        self.say(AllowedNozzles(nozzles=(1, 2)), *preset)
        self.say(AUTHORISE)
        self.point.squeeze(self.now_us, FLOW)
        self.wait(60 * S)


def st(status: PumpStatus) -> StatusReport:
    return StatusReport(status=status)


def dc3(out: bool, nozzle: int = 1, price: int = 760) -> NozzleReport:
    return NozzleReport(price_units=price, nozzle=nozzle, out=out)


def dc2(volume: int, amount: int) -> FilledReport:
    return FilledReport(volume_units=volume, amount_units=amount)
