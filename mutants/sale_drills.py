"""Drills of a small station: each delivery becomes one sale, whatever happens on the way."""

from __future__ import annotations

from mutants.bench import SECOND, Bench, Protocol
from mutants.checks import (
    attribution,
    no_deviation,
    one_price,
    oracles,
    sale_times,
    served,
    totals_as_the_pump_has_them,
)
from scenarios.verdicts import CheckResult
from sim.dispenser import AaFfQuirks
from sim.net import HttpFault
from sim.wires import WireFault

__all__ = [
    "customers_on_aa_ff",
    "customers_on_ifsf",
    "customers_on_modbus",
    "customers_on_two_wire",
    "damaged_fill",
    "damaged_on_aa_ff",
    "killed_in_each_step",
    "long_night",
    "lost_acknowledgement",
    "lost_reply",
    "many_small_sales",
    "off_line_sales",
    "two_lifts",
    "two_sales",
    "wrap",
    "wrap_on_ifsf",
]

_SALES = ("sale.exactly-once", "conservation.litres")
_ALL = (*_SALES, "totals.monotone")
_HOST = "backend.station"
_DATA_FRAME = 8
_LONG_FRAME = 16
_RECORD_ACK = 0x69


def two_sales() -> list[CheckResult]:
    """Two plain sales on each of two nozzles: nothing is wrong anywhere."""
    with Bench(nozzles=2) as bench:
        for logical in (1, 2, 1, 2):
            bench.fill(4_000, logical=logical)
        return [
            *oracles(bench, *_ALL, "live.monotone"),
            attribution(bench),
            served(bench),
            totals_as_the_pump_has_them(bench),
            one_price(bench, (760, 812, 760, 812)),
            sale_times(bench),
            no_deviation(bench),
        ]


def customers_on_modbus() -> list[CheckResult]:
    """On a Modbus RTU line: plain sales, and a cut of the line during which a delivery ends."""
    return _customers("modbus")


def customers_on_two_wire() -> list[CheckResult]:
    """On a Two-Wire line: plain sales, two lifts within one poll, and a cut of the line during which a delivery ends."""
    return _customers("twowire")


def customers_on_ifsf() -> list[CheckResult]:
    """Two IFSF nodes: plain sales, two lifts in no time, and connections lost while a delivery ends."""
    cut = WireFault(kind="down", at_us=61 * SECOND, for_us=12 * SECOND)
    with Bench(protocol="ifsf", nozzles=2, wire_faults=[cut]) as bench:
        point = bench.points[1]
        bench.fill(3_000)
        bench.fill(4_000, logical=2)
        bench.lift()
        bench.run(4)
        point.set_tank_capacity(5_000)
        bench.squeeze()
        bench.run(12)
        bench.hang_up()
        bench.lift()
        bench.run(6)
        point.set_tank_capacity(9_000)
        bench.squeeze()
        bench.run(65 - bench.now_us // SECOND)
        bench.hang_up()
        bench.run(20)
        bench.fill(2_000)
        return [*oracles(bench, *_ALL), attribution(bench), served(bench), totals_as_the_pump_has_them(bench)]


def wrap_on_ifsf() -> list[CheckResult]:
    """Six sales of an IFSF dispenser around its transaction number 9999."""
    with Bench(protocol="ifsf", last_sequence=9_996) as bench:
        for number in range(6):
            bench.fill(2_000 + 500 * number)
        bench.run(5)
        return [*oracles(bench, *_ALL), attribution(bench), served(bench)]


def damaged_on_aa_ff() -> list[CheckResult]:
    """An AA FF gun fills, and every second of its longer frames has one byte changed, each time another."""
    with Bench(protocol="aaff") as bench:
        count = 0

        def damage(burst: bytes) -> bytes:
            nonlocal count
            if len(burst) < _LONG_FRAME:
                return burst
            count += 1
            if count % 2:
                return burst
            place = 6 + count // 2 % (len(burst) - 9)
            return burst[:place] + bytes((burst[place] ^ 0x01,)) + burst[place + 1 :]

        bench.fill(3_000)
        bench.at_pump.outgoing = damage
        for volume_ml in (4_000, 5_000, 6_000):
            bench.fill(volume_ml, after_s=8)
        bench.at_pump.outgoing = None
        bench.run(5)
        return [
            *oracles(bench, *_ALL, "live.monotone"),
            attribution(bench),
            served(bench),
            totals_as_the_pump_has_them(bench),
            sale_times(bench, within_us=4 * SECOND),
        ]


def customers_on_aa_ff() -> list[CheckResult]:
    """On an AA FF line: plain sales, two lifts within one poll, and a cut of the line during which a delivery ends."""
    return _customers("aaff")


def _customers(protocol: Protocol) -> list[CheckResult]:
    nozzles = 1 if protocol == "aaff" else 2
    with Bench(protocol=protocol, nozzles=nozzles) as bench:
        point = bench.points[1]
        bench.fill(3_000)
        bench.fill(4_000, logical=nozzles)
        bench.lift()
        bench.run(4)
        point.set_tank_capacity(5_000)
        bench.squeeze()
        bench.run(12)
        bench.hang_up()
        if protocol == "modbus":
            bench.run(3)  # its registers tell where the nozzle is, and not where it was in between
        bench.lift()
        bench.run(6)
        point.set_tank_capacity(6_000)
        bench.squeeze()
        bench.run(6)
        bench.at_pump.incoming = lambda _burst: b""
        bench.run(10)
        bench.hang_up()
        bench.run(5)
        bench.at_pump.incoming = None
        bench.run(10)
        bench.fill(2_000)
        return [*oracles(bench, *_ALL), attribution(bench), served(bench), totals_as_the_pump_has_them(bench)]


def damaged_fill() -> list[CheckResult]:
    """While a car fills, every third data frame of the pump has a digit changed on its way."""
    with Bench() as bench:
        count = 0

        def damage(burst: bytes) -> bytes:
            nonlocal count
            if len(burst) < _DATA_FRAME:
                return burst
            count += 1
            if count % 3:
                return burst
            return burst[:5] + bytes((burst[5] ^ 0x02,)) + burst[6:]

        bench.lift()
        bench.run(3)
        bench.at_pump.outgoing = damage
        bench.points[1].set_tank_capacity(8_000)
        bench.squeeze()
        bench.run(20)
        bench.at_pump.outgoing = None
        bench.hang_up()
        bench.run(5)
        return [*oracles(bench, *_SALES, "live.monotone"), attribution(bench), served(bench)]


def two_lifts() -> list[CheckResult]:
    """The nozzle is hung up and lifted again before the pump is polled, three times."""
    with Bench() as bench:
        bench.lift()
        for volume_ml in (3_000, 4_000, 5_000):
            bench.run(4)
            bench.points[1].set_tank_capacity(volume_ml)
            bench.squeeze()
            bench.run(15)
            bench.hang_up()
            bench.lift()
        bench.run(4)
        bench.hang_up()
        bench.run(4)
        return [*oracles(bench, *_ALL), attribution(bench), served(bench), one_price(bench, (760, 760, 760))]


def many_small_sales() -> list[CheckResult]:
    """24 sales of odd volumes on one nozzle."""
    with Bench() as bench:
        for number in range(24):
            bench.fill(290 + 70 * (number * 7 % 11), after_s=2.5)
        bench.run(5)
        return [*oracles(bench, *_ALL), attribution(bench), served(bench), totals_as_the_pump_has_them(bench)]


def lost_reply() -> list[CheckResult]:
    """The ledger books a sale, and its answers are lost twice."""
    fault = HttpFault(kind="reply_lost", method="POST", path="*/sales", limit=2)
    with Bench(http_faults=[fault]) as bench:
        bench.fill(3_000)
        bench.run(30)
        bench.fill(4_000)
        bench.run(10)
        return oracles(bench, *_SALES)


def lost_acknowledgement() -> list[CheckResult]:
    """An AA FF gun does not hear that its record was taken over, three times, and sends it again."""
    with Bench(protocol="aaff") as bench:
        lost = 0

        def deaf(burst: bytes) -> bytes:
            nonlocal lost
            if lost < 3 and len(burst) > 3 and burst[3] == _RECORD_ACK:
                lost += 1
                return b""
            return burst

        bench.fill(3_000)
        bench.at_pump.incoming = deaf
        bench.fill(4_000, after_s=15)
        bench.fill(5_000, after_s=8)
        return [*oracles(bench, *_ALL), attribution(bench), served(bench)]


def long_night() -> list[CheckResult]:
    """72 sales on four fuelling points while the back office is away; then it is back."""
    with Bench(points=4) as bench:
        bench.kernel.call_later(0, bench.network.kill, _HOST)
        bench.run(10)
        for _ in range(18):
            for point in bench.points:
                bench.lift(point)
            bench.run(4)
            for point in bench.points:
                bench.points[point].set_tank_capacity(500)
                bench.squeeze(point)
            bench.run(4)
            for point in bench.points:
                bench.hang_up(point)
            bench.run(4)
        bench.kernel.call_later(0, bench.network.restore, _HOST)
        bench.run(30)
        return [*oracles(bench, *_SALES), attribution(bench), served(bench)]


def wrap() -> list[CheckResult]:
    """Six sales of an AA FF gun around its record number 9999."""
    with Bench(protocol="aaff", profile={"sequence_max": 9_999}, last_sequence=9_996) as bench:
        for number in range(6):
            bench.fill(2_000 + 500 * number)
        bench.run(5)
        return [*oracles(bench, *_ALL), attribution(bench), served(bench)]


def off_line_sales() -> list[CheckResult]:
    """An AA FF gun sells by itself for ten minutes while the line is cut; then it is asked again."""
    quirks = AaFfQuirks(self_service="offline", offline_after_us=10 * SECOND)
    with Bench(protocol="aaff", quirks=quirks) as bench:
        bench.fill(3_000)
        bench.at_pump.incoming = lambda _burst: b""
        bench.run(60)
        for number in range(4):
            bench.fill(2_000 + 700 * number, after_s=120)
        bench.at_pump.incoming = None
        bench.run(30)
        bench.fill(3_000)
        return [*oracles(bench, *_ALL), attribution(bench), served(bench), sale_times(bench)]


def killed_in_each_step() -> list[CheckResult]:
    """The site controller is killed (kill -9) and started again in each step of a sale, one sale after the other."""
    with Bench(nozzles=2, keeps_journal=True) as bench:
        for step in range(5):
            point = bench.points[1]
            bench.lift(logical=1 + step % 2)
            _kill(bench, step == 0)
            bench.run(4)
            _kill(bench, step == 1)
            bench.run(4)
            point.set_tank_capacity(4_000)
            bench.squeeze()
            bench.run(4)
            _kill(bench, step == 2)
            bench.run(8)
            bench.hang_up()
            _kill(bench, step == 3)
            bench.run(0.6)
            _kill(bench, step == 4)
            bench.run(6)
        return [*oracles(bench, *_ALL), attribution(bench), served(bench)]


def _kill(bench: Bench, now: bool) -> None:
    if now:
        bench.kill_site()
