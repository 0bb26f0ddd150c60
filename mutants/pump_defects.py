"""Defects of the dispenser, the gauge reader and the tank account."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from mutants.mutant import Mutant, patched
from reference.backend.tanks import account as tank_account
from reference.site.gauge.reader import GaugeReader
from sim.dispenser import FuellingPoint
from sim.dispenser.books import Books
from sim.dispenser.power import PowerFail

__all__ = ["PUMP_MUTANTS"]

_LAST_OF_FOUR = 4


def _float_totals() -> AbstractContextManager[None]:
    write_down = Books._write_down

    def mutant(self: Any) -> None:
        delivery = self._unwritten
        write_down(self)
        if delivery is None:
            return
        nozzle = self.nozzles[delivery.logical_nozzle]
        litres, yuan = self.__dict__.setdefault("sums", {}).get(nozzle.logical, (0.0, 0.0))
        litres, yuan = litres + delivery.volume_ml / 1000, yuan + delivery.amount_fen / 100
        self.__dict__["sums"][nozzle.logical] = litres, yuan
        nozzle.total_volume_ml, nozzle.total_amount_fen = int(litres * 100) * 10, int(yuan * 100)

    return patched((Books, "_write_down", mutant))


def _price_at_once() -> AbstractContextManager[None]:
    set_price = FuellingPoint.set_price

    def mutant(self: Any, now_us: int, logical_nozzle: int, price_fen_per_l: int) -> bool:
        accepted = set_price(self, now_us, logical_nozzle, price_fen_per_l)
        running = self._running
        if accepted and running is not None and running.nozzle.logical == logical_nozzle:
            running.price_fen_per_l = price_fen_per_l
        return accepted

    return patched((FuellingPoint, "set_price", mutant))


def _any_outage_is_short() -> AbstractContextManager[None]:
    after_outage = PowerFail._after_outage

    def mutant(self: Any, running: Any, state: dict[str, Any], now_us: int) -> None:
        profile = self.profile
        self.profile = replace(profile, resume_outage_us=10**12)
        try:
            after_outage(self, running, state, now_us)
        finally:
            self.profile = profile

    return patched((PowerFail, "_after_outage", mutant))


def _one_stays_closed() -> AbstractContextManager[None]:
    regain_power = FuellingPoint.regain_power

    def mutant(self: Any, now_us: int) -> bool:
        back = regain_power(self, now_us)
        if back and self.number == _LAST_OF_FOUR:
            self.close(now_us)
        return back

    return patched((FuellingPoint, "regain_power", mutant))


def _starts_again() -> AbstractContextManager[None]:
    squeeze = FuellingPoint.squeeze

    def mutant(self: Any, now_us: int, flow_ml_per_min: int) -> bool:
        last = self.last_delivery
        if self.nozzle_out is not None and last is not None and "terminated" in last.flags:
            self.authorise(now_us)
        return squeeze(self, now_us, flow_ml_per_min)

    return patched((FuellingPoint, "squeeze", mutant))


def _no_sign() -> AbstractContextManager[None]:
    degrees = GaugeReader._degrees

    def mutant(self: Any, value: float | None) -> int | None:
        return degrees(self, None if value is None else abs(value))

    return patched((GaugeReader, "_degrees", mutant))


def _pause_is_an_end() -> AbstractContextManager[None]:
    advance = tank_account.advance
    booked: dict[int, tank_account.Booked] = {}

    def mutant(account: Any, reading: Any, limits: Any) -> tank_account.Found:
        found = advance(account, reading, limits.model_copy(update={"quiet_us": 60_000_000}))
        part = found.booked
        if part is None:
            return found
        before = booked.get(account.opened_us)
        if before is not None:
            # It goes on after the pause, so it is booked from its beginning.
            part = part._replace(started_us=before.started_us, volume_ml=before.volume_ml + part.volume_ml)
        booked[account.opened_us] = part
        return found._replace(booked=part)

    return patched((tank_account, "advance", mutant))


PUMP_MUTANTS = (
    Mutant(
        "M14",
        "totals add up binary fractions",
        "dispenser",
        "totals are kept as binary fractions of litres and yuan; after some sales the last digit is wrong",
        ("fd-met.no-binary-floating-point", "fd-met.totals-equal-sum-of-sales"),
        _float_totals,
        ("many-small-sales",),
    ),
    Mutant(
        "M15",
        "a new price takes effect in the middle of a delivery",
        "dispenser",
        "a price that comes while fuel flows changes the running sale",
        ("fd-price.price-holds-for-a-delivery",),
        _price_at_once,
        ("price-while-fuelling",),
    ),
    Mutant(
        "M16",
        "the delivery goes on after an outage of 60 s",
        "dispenser",
        "power comes back after a minute, and fuel flows from a nozzle that somebody left in a car",
        ("fd-pwr.no-resumption-after-long-outage",),
        _any_outage_is_short,
        ("outage",),
    ),
    Mutant(
        "M19",
        "one of four fuelling points stays closed after recovery",
        "dispenser",
        "after an outage the board puts all its fuelling points into service but one",
        ("fd-state.points-on-one-board-are-independent", "fd-state.restart-rebuilds-state"),
        _one_stays_closed,
        ("outage-of-four",),
    ),
    Mutant(
        "M22",
        "flows again after a stop",
        "dispenser",
        "stopped, idle, and at the next squeeze of the trigger it fuels again without being asked",
        ("fd-state.no-refuelling-after-stop",),
        _starts_again,
        ("stop",),
    ),
    Mutant(
        "M32",
        "the sign of a temperature is lost",
        "gauge",
        "the decoder of floating-point figures forgets the sign bit, and winter becomes summer",
        ("tank.float-decoding-is-safe",),
        _no_sign,
        ("winter",),
    ),
    Mutant(
        "M33",
        "a tanker's delivery is booked twice when it pauses",
        "backend",
        "the driver pauses to change the hose; what came before the pause is booked then, and again at the end",
        ("tank.delivery-booked-once", "tank.delivery-detected-while-selling"),
        _pause_is_an_end,
        ("tanker",),
    ),
)
