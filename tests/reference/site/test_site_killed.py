"""kill -9 of the whole site controller at any instant: what its journal's files hold then is all that the next one has."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from reference.site import SiteConfig, SiteController
from sim.dispenser import (
    AaFfDispenser,
    DartDispenser,
    Dispenser,
    FuellingPoint,
    ModbusDispenser,
    Nozzle,
    Tank,
    TwoWireDispenser,
)
from sim.kernel import VirtualKernel
from sim.wires import VirtualBus

from .site_world import EPOCH_US, Mortal, Plug, S, ScriptedBackend

PROTOCOLS = {  # first address, baud, characters of an idle poll, poll period in ms
    "dart": (0x50, 19_200, 3, 250),
    "modbus": (1, 19_200, 8, 250),
    "twowire": (1, 9_600, 1, 250),
    "aaff": (1, 38_400, 25, 800),
}


class Station:
    """Two fuelling points of one nozzle on one line, a site controller that is killed, a backend that stays."""

    def __init__(self, protocol: str, folder: Path, seed: str) -> None:
        self.kernel = VirtualKernel(seed, epoch_us=EPOCH_US)
        self.folder = folder
        self.rng = random.Random(f"{seed}/{protocol}")
        self.kills = 0
        tank = Tank(1, "92")
        self.points = [
            FuellingPoint(k, [Nozzle(logical=1, nozzle_id=k, grade="92", tank=tank, price_fen_per_l=750)])
            for k in (1, 2)
        ]
        first, baud, characters, period_ms = PROTOCOLS[protocol]
        dispenser = Dispenser(self.points)
        at = {first + k: point for k, point in enumerate(self.points)}
        self.pump = {
            "dart": lambda: DartDispenser(dispenser, at),
            "modbus": lambda: ModbusDispenser(dispenser, 1, framing="rtu", baud=baud),
            "twowire": lambda: TwoWireDispenser(dispenser, at),
            "aaff": lambda: AaFfDispenser(dispenser, at, epoch_us=EPOCH_US),
        }[protocol]()
        self.backend = ScriptedBackend(self.kernel)
        bus = VirtualBus(self.kernel, "line", baud=baud)
        bus.attach(self.pump, name="pump", addresses=[first] if protocol == "modbus" else sorted(at))
        fuelling_points = [
            {
                "fuelling_point": k + 1,
                "address": first if protocol == "modbus" else first + k,
                **({"block": k + 1} if protocol == "modbus" else {}),
                "nozzles": [{"nozzle": k + 1, "grade": "92", "price_fen_per_l": 750}],
            }
            for k in range(2)
        ]
        line = {"protocol": protocol, "baud": baud, "period_us": period_ms * 1_000}
        if protocol == "modbus":
            line["framing"] = "rtu"
        self.config = SiteConfig.model_validate(
            {"station": "KM01", "lines": [{**line, "fuelling_points": fuelling_points}]}
        )
        self.sites: list[tuple[SiteController, Mortal]] = []
        self.path = folder / "site-0.sqlite3"
        self.plug = Plug(self.begin().drivers[0])
        bus.attach(self.plug, name="site", master=True, poll_lead_us=bus.burst_us(characters))

    def begin(self) -> SiteController:
        network = Mortal(self.backend)
        site = SiteController(
            self.config,
            clock_us=lambda: self.kernel.unix_us,
            http_transport=network,
            journal_path=str(self.path),
            base_urls=["https://backend-a.station", "https://backend-b.station"],
            station_key="key",
        )
        self.sites.append((site, network))
        self.kernel.task(site.start())
        return site

    def kill(self) -> None:
        """At this very instant: its files as they are, its sockets closed, its line silent."""
        self.kills += 1
        _, network = self.sites[-1]
        network.dead = True
        before, self.path = self.path, self.folder / f"site-{self.kills}.sqlite3"
        for ending in ("", "-wal"):
            if before.with_name(before.name + ending).exists():
                shutil.copy(
                    before.with_name(before.name + ending), self.path.with_name(self.path.name + ending)
                )
        self.plug.change(self.begin().drivers[0])

    def customers(self, until_us: int) -> None:
        """Each point is lifted, filled and hung up again and again, now and then twice in no time."""
        for point in self.points:
            at_us = 3 * S + self.rng.randrange(3 * S)
            while at_us < until_us:
                begins_us = at_us + self.rng.randrange(2 * S, 4 * S)
                ends_us = begins_us + self.rng.randrange(S, 12 * S)
                self.at(at_us, point.lift, 1)
                self.at(begins_us, self.squeeze, point)
                self.at(ends_us, point.hang_up)
                at_us = ends_us + self.rng.choice((200_000, 2 * S, 6 * S))

    def at(self, at_us: int, act, *arguments) -> None:
        self.kernel.call_at(at_us, lambda: act(*arguments, self.kernel.now_us))

    @staticmethod
    def squeeze(point: FuellingPoint, now_us: int) -> None:
        point.squeeze(now_us, 33_000)

    def truth(self) -> list[tuple[int, int, int, int]]:
        return sorted(
            (d.nozzle_id, d.end_total_volume_ml, d.volume_ml, d.amount_fen)
            for point in self.points
            for d in point.journal
            if d.volume_ml
        )

    def ledger(self) -> list[tuple[int, int, int, int]]:
        return sorted(
            (s["nozzle"], s["end_total_volume_ml"], s["volume_ml"], s["amount_fen"])
            for s in self.backend.sales.values()
        )

    def close(self) -> None:
        for site, _ in self.sites:
            self.kernel.task(site.stop())
        self.kernel.run(self.kernel.now_us + 20 * S)
        self.kernel.close()


def drill(protocol: str, folder: Path, *, seed: str, kills: int, minutes: int = 4) -> int:
    """Returns how many sales there were."""
    station = Station(protocol, folder, seed)
    try:
        end_us = minutes * 60 * S
        station.customers(end_us)
        for at_us in sorted(station.rng.sample(range(S, end_us), kills)):
            station.kernel.call_at(at_us, station.kill)
        station.kernel.run(end_us + 60 * S)
        assert station.kills == kills
        assert station.ledger() == station.truth(), (protocol, seed)
        numbers = [[n for nozzle, n in sorted(station.backend.sales) if nozzle == k] for k in (1, 2)]
        assert numbers == [list(range(1, 1 + len(one))) for one in numbers], "no number twice, none left out"
        return len(station.truth())
    finally:
        station.close()


@pytest.mark.requirement("fc-sale.one-delivery-one-ledger-sale", "fd-state.restart-rebuilds-state")
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_killed_now_and_then(protocol: str, tmp_path: Path) -> None:
    assert drill(protocol, tmp_path, seed="few", kills=12) > 8


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.requirement("fc-sale.one-delivery-one-ledger-sale", "fd-state.restart-rebuilds-state")
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_killed_at_a_thousand_instants(protocol: str, tmp_path: Path) -> None:
    sold = 0
    for number in range(50):
        folder = tmp_path / str(number)
        folder.mkdir()
        sold += drill(protocol, folder, seed=f"many/{number}", kills=20)
        shutil.rmtree(folder)
    assert sold > 500
