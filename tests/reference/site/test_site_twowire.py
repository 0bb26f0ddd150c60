"""The Two-Wire driver and the simulated dispenser on a modelled line."""

from __future__ import annotations

import pytest

from protocols.twowire import EIGHT_DIGITS, Quirks, Status
from reference.site.config import ConfigError, LineConfig
from reference.site.driver import SaleNotStored
from reference.site.events import (
    Authorised,
    AuthoriseRefused,
    DeliveryVoid,
    LineDown,
    LineUp,
    LiveAmount,
    NozzleLifted,
    NozzleReturned,
    PointState,
    PriceSet,
    SaleCaptured,
    TotalsRead,
)
from reference.site.twowire import TwoWireDriver
from sim.dispenser import Dispenser, FuellingPoint, Nozzle, Tank, TwoWireDispenser, TwoWireQuirks
from sim.kernel import Trace, VirtualKernel
from sim.wires import Capture, VirtualBus, WireFault, WireFaults

S = 1_000_000
GRADES = ("92", "95", "98", "diesel")


def line_config(pumps=1, *, nozzles=2, price=760, **more) -> LineConfig:
    settings = {"protocol": "twowire", "baud": 5787, "period_us": max(250_000, 100_000 * pumps), **more}
    settings["fuelling_points"] = [
        {
            "fuelling_point": number,
            "address": number,
            "nozzles": [
                {
                    "nozzle": 10 * number + logical,
                    "logical": logical,
                    "grade": GRADES[logical - 1],
                    "price_fen_per_l": price + 10 * logical,
                }
                for logical in range(1, nozzles + 1)
            ],
        }
        for number in range(1, pumps + 1)
    ]
    return LineConfig.model_validate(settings)


def make_points(pumps=1, *, nozzles=2, price=760) -> list[FuellingPoint]:
    return [
        FuellingPoint(
            number,
            [
                Nozzle(
                    logical=logical,
                    nozzle_id=10 * number + logical,
                    grade=GRADES[logical - 1],
                    tank=Tank(10 * number + logical, GRADES[logical - 1]),
                    price_fen_per_l=price + 10 * logical,
                )
                for logical in range(1, nozzles + 1)
            ],
        )
        for number in range(1, pumps + 1)
    ]


class Rig:
    """A driver that authorises every lift, and pumps, on one bus; sales and witnesses are kept as a journal would."""

    def __init__(
        self,
        pumps=1,
        *,
        nozzles=2,
        quirks=None,
        skip=False,
        faults=(),
        points=None,
        memory=None,
        seed="rig",
        device_price=760,
        reply_delay_us=5_000,
        model=None,
        bits_per_char=11,
        echo=False,
        **config,
    ):
        self.trace = Trace()
        self.kernel = VirtualKernel(seed, epoch_us=0, trace=self.trace)
        self.config = line_config(pumps, nozzles=nozzles, echo=echo, **config)
        self.points = make_points(pumps, nozzles=nozzles, price=device_price) if points is None else points
        self.dispenser = Dispenser(self.points)
        more = {} if model is None else {"model": model}
        self.device = TwoWireDispenser(
            self.dispenser,
            {point.number: point for point in self.points},
            quirks=quirks,
            reply_delay_us=reply_delay_us,
            **more,
        )
        self.capture = Capture("line")
        wire_faults = WireFaults(
            [WireFault(**fault) for fault in faults],
            streams=self.kernel.streams,
            entity="wire/line",
            emit=self.trace.emit,
        )
        self.bus = VirtualBus(
            self.kernel,
            "line",
            baud=self.config.baud,
            bits_per_char=bits_per_char,
            echo=echo,
            faults=wire_faults,
            capture=self.capture,
            skip_idle_polls=skip,
        )
        self.memory = {} if memory is None else memory
        self.events = []
        self.preset_fen = self.preset_ml = None
        self.policy = True
        self.refuse_to_store = 0
        self.driver = self.new_driver()
        self.bus.attach(self.driver, name="site", master=True, poll_lead_us=self.bus.burst_us(1))
        self.bus.attach(self.device, name="pumps", addresses=[point.number for point in self.points])

    def new_driver(self):
        driver = TwoWireDriver(self.config)
        driver.listener = self.hear
        for nozzle, witness in self.memory.items():
            driver.remember(nozzle, witness)
        return driver

    def hear(self, event):
        if isinstance(event, SaleCaptured) and self.refuse_to_store:
            self.refuse_to_store -= 1
            raise SaleNotStored
        self.events.append(event)
        if isinstance(event, (SaleCaptured, TotalsRead)):
            self.memory[event.nozzle] = event.witness
        if isinstance(event, NozzleLifted) and self.policy:
            self.driver.authorise(
                event.fuelling_point, event.nozzle, preset_fen=self.preset_fen, preset_ml=self.preset_ml
            )

    def run(self, seconds):
        self.kernel.run(self.kernel.now_us + round(seconds * S))

    def at(self, seconds, act, *args):
        """Let the customer do something in so many seconds."""
        at_us = self.kernel.now_us + round(seconds * S)
        self.kernel.call_at(at_us, lambda: act(*args, self.kernel.now_us))

    def fill(self, seconds, point=1, nozzle=1, *, wait=4, flow=30_000, after=0):
        """Lift now, squeeze after `wait`, hang up `seconds` later."""
        fp = self.points[point - 1]
        self.at(after, lambda now_us: fp.lift(nozzle, now_us))
        self.at(after + wait, lambda now_us: fp.squeeze(now_us, flow))
        self.at(after + wait + seconds, lambda now_us: fp.hang_up(now_us))

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]

    def sales(self):
        return [(e.nozzle, e.volume_ml, e.amount_fen, e.flags) for e in self.of(SaleCaptured)]

    def truth(self):
        made = [delivery for point in self.points for delivery in point.journal]
        return sorted((d.nozzle_id, d.volume_ml, d.amount_fen) for d in made if d.volume_ml)

    def assert_all_sold(self):
        assert sorted(sale[:3] for sale in self.sales()) == self.truth()


def test_a_full_sale_in_order():
    rig = Rig()
    rig.run(5)
    assert len(rig.of(LineUp)) == 1
    assert {e.nozzle for e in rig.of(TotalsRead)} == {11, 12}
    rig.fill(20, nozzle=2)
    rig.run(40)
    story = [type(e).__name__ for e in rig.events]
    start = story.index("NozzleLifted")
    story = [name for name in story[start:] if name not in {"StateChanged", "LiveAmount", "TotalsRead"}]
    assert story == ["NozzleLifted", "Authorised", "NozzleReturned", "SaleCaptured"]
    (sale,) = rig.of(SaleCaptured)
    delivery = rig.points[0].last_delivery
    assert (sale.nozzle, sale.volume_ml, sale.amount_fen) == (12, delivery.volume_ml, delivery.amount_fen)
    assert (sale.price_fen_per_l, sale.flags) == (780, ())
    assert sale.end_total_volume_ml == delivery.end_total_volume_ml
    assert sale.started_us < sale.ended_us <= sale.at_us
    amounts = [e.amount_fen for e in rig.of(LiveAmount)]
    assert amounts == sorted(set(amounts))
    assert len(amounts) > 40
    assert amounts[-1] <= sale.amount_fen
    assert rig.device.head(1).held is None
    assert rig.driver.status(1).state is PointState.IDLE
