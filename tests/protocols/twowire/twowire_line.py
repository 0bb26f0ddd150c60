"""Both ends of a Two-Wire line without a wire between: a head that keeps what it is told, and a clock."""

from __future__ import annotations

from protocols.sansio import NEED_DATA
from protocols.twowire import (
    GradeTotals,
    NozzleRecord,
    Status,
    Totals,
    Transaction,
)

MS = 1_000


class Head:
    """A pump's mind that writes down what it is told."""

    def __init__(self, pump=1):
        self.pump = pump
        self.told = Status.IDLE
        self.did = []
        self.takes = True
        self.money_units = 1234
        self.sale = Transaction(pump=pump, grade=2, price_units=780, volume_units=10_000, money_units=7_800)
        self.counted = Totals(
            grades=tuple(
                GradeTotals(grade=grade, volume_units=5, money_units=6, price_1_units=770, price_2_units=771)
                for grade in (1, 2)
            )
        )

    def status(self, now_us):
        return self.told

    def authorise(self, now_us):
        self.did.append("authorise")

    def stop(self, now_us):
        self.did.append("stop")

    def data(self, block, now_us):
        self.did.append(block)
        return self.takes

    def nozzle(self, now_us):
        return NozzleRecord.of(self.pump, 2) if self.told is Status.CALL else None

    def transaction(self, now_us):
        return self.sale

    def totals(self, now_us):
        return self.counted

    def money(self, now_us):
        return self.money_units


def drain(side):
    events = []
    while (event := side.next_event()) is not NEED_DATA:
        events.append(event)
    return events


def answer(side, data, now_us=0):
    side.receive_data(data, now_us)
    return b"".join(out.data for out in side.data_to_send(now_us))
