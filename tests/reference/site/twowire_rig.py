"""The Two-Wire driver and simulated pumps on a modelled line, with a controller that authorises every lift."""

from __future__ import annotations

from reference.site.config import LineConfig
from reference.site.pumps.driver import SaleNotStored
from reference.site.pumps.events import (
    NozzleLifted,
    SaleCaptured,
    TotalsRead,
)
from reference.site.pumps.twowire.driver import TwoWireDriver
from sim.dispenser import Dispenser, FuellingPoint, Nozzle, Tank, TwoWireDispenser
from sim.kernel import Trace, VirtualKernel
from sim.wires import Capture, VirtualBus, WireFault

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


class Site:
    """The controller's place on the bus: drivers come and go."""

    def __init__(self, driver):
        self.on_wake = None
        self.is_quiet = None
        self.replace(driver)

    def replace(self, driver):
        self.driver = driver
        driver.on_wake = lambda: self.on_wake and self.on_wake()
        driver.is_quiet = self.is_quiet
        if self.on_wake is not None:
            self.on_wake()

    def __setattr__(self, name, value):
        object.__setattr__(self, name, value)
        if name == "is_quiet" and hasattr(self, "driver"):
            self.driver.is_quiet = value

    def wake(self, now_us):
        self.driver.wake(now_us)

    def receive_data(self, data, now_us):
        self.driver.receive_data(data, now_us)

    def data_to_send(self, now_us):
        return self.driver.data_to_send(now_us)

    def next_timer(self):
        return self.driver.next_timer()

    def handle_timer(self, now_us):
        self.driver.handle_timer(now_us)


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
            echo=echo,
            **more,
        )
        self.capture = Capture("line")
        self.bus = VirtualBus(
            self.kernel,
            "line",
            baud=self.config.baud,
            bits_per_char=bits_per_char,
            echo=echo,
            faults=[WireFault(**fault) for fault in faults],
            capture=self.capture,
            skip_idle_polls=skip,
        )
        self.memory = {} if memory is None else memory
        self.events = []
        self.preset_fen = self.preset_ml = None
        self.policy = True
        self.refuse_to_store = 0
        self.site = Site(self.new_driver())
        self.bus.attach(self.site, name="site", master=True, poll_lead_us=self.bus.burst_us(1))
        self.bus.attach(self.device, name="pumps", addresses=[point.number for point in self.points])

    @property
    def driver(self):
        return self.site.driver

    def kill_site(self, now_us):
        """kill -9 of the controller and a new one: it knows its journal and nothing else."""
        del now_us
        self.site.replace(self.new_driver())

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
        self.at(after + wait + seconds, fp.hang_up)

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]

    def sales(self):
        return [(e.nozzle, e.volume_ml, e.amount_fen, e.flags) for e in self.of(SaleCaptured)]

    def truth(self):
        made = [delivery for point in self.points for delivery in point.journal]
        return sorted((d.nozzle_id, d.volume_ml, d.amount_fen) for d in made if d.volume_ml)

    def assert_all_sold(self):
        assert sorted(sale[:3] for sale in self.sales()) == self.truth()


# -- several pumps, and time ----------------------------------------------------------------------------------------


def busy_line(rig, pumps):
    rig.run(8)
    for round_ in range(3):
        for point in range(1, pumps + 1):
            rig.fill(14 + point, point, 1 + (point + round_) % 2, after=45 * round_ + 1.3 * point)
    rig.run(170)
