"""The DART driver and a small pump on a small line."""

from __future__ import annotations

from reference.site.pumps.dart import DartDriver
from reference.site.pumps.driver import SaleNotStored
from reference.site.pumps.events import (
    NozzleLifted,
    SaleCaptured,
    TotalsRead,
)

SECOND = 1_000_000


class Rig:
    """A driver, a pump and the wire between them; `policy` authorises every lift at once."""

    def __init__(self, fake, *, policy=True, count=1, memory=None, pumps=None, preset_fen=None, **config):
        self.driver = DartDriver(fake.config(count, **config))
        self.pumps = pumps or [fake.Pump(0x51 + k) for k in range(count)]
        self.line = fake.Line(self.driver, self.pumps)
        self.events = []
        self.policy = policy
        self.preset_fen = preset_fen
        self.refuse_to_store = 0
        self.driver.listener = self.hear
        self.memory = {} if memory is None else memory
        for nozzle, witness in self.memory.items():
            self.driver.remember(nozzle, witness)

    @property
    def pump(self):
        return self.pumps[0]

    def hear(self, event):
        if isinstance(event, SaleCaptured) and self.refuse_to_store:
            self.refuse_to_store -= 1
            raise SaleNotStored
        self.events.append(event)
        if isinstance(event, (SaleCaptured, TotalsRead)):
            self.memory[event.nozzle] = event.witness
        if isinstance(event, NozzleLifted) and self.policy:
            assert self.driver.authorise(event.fuelling_point, event.nozzle, preset_fen=self.preset_fen)

    def run(self, seconds):
        self.line.run(round(seconds * SECOND))

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]

    def sales(self):
        return [(e.nozzle, e.volume_ml, e.amount_fen, e.flags) for e in self.of(SaleCaptured)]

    def fill(self, pulses=2000, nozzle=1):
        self.pump.lift(nozzle)
        self.run(4)
        self.pump.flow(pulses // 2)
        self.run(1)
        self.pump.flow(pulses - pulses // 2)
        self.run(1)
        self.pump.hang_up()
        self.run(5)
