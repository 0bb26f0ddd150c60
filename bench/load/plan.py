"""The plan of a load run: everything that is decided before the first request, in one file that all workers read."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from scenarios.loadgen.schedule import Arrival, ArrivalSchedule

__all__ = ["NOZZLES", "PRICE_FEN_PER_L", "LoadPlan", "PlanError", "PlannedPayment", "station_id"]

NOZZLES = 64
"""Nozzles of a load station: at 64 a nozzle's last sale is paid long before its next one."""

PRICE_FEN_PER_L = 760


class PlanError(ValueError):
    """A plan that cannot be run; the message names the field."""


@dataclass(frozen=True, slots=True)
class PlannedPayment:
    """One payment with everything that makes it unlike the others.

    Attributes:
        number: as in the schedule.
        intended_us: when the phone's pay button is pressed, microseconds after the start of the run.
        station: index, 0-based.
        nozzle: 1..64, in turn at each station.
        sequence: of the delivery at its station; it only grows.
        volume_ml: what was pumped.
    """

    number: int
    intended_us: int
    station: int
    nozzle: int
    sequence: int
    volume_ml: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPlan:
    """What the workers need to know. The station key is not in it: it travels in the environment.

    Attributes:
        schedule: the arrivals.
        run: a word that makes the keys of this run unlike those of another, lower-case letters and digits.
        host: base URL of the backend.
        payer_url: base URL of the control API of the payer's phone.
        stations: how many stations share the load.
        phones: how many phones are logged in; they pay in turn.
        workers: Locust's worker processes; each takes every workers-th arrival.
        first_sequence: of the first delivery at each station.
        lead_us: sale and order happen this long before the intended press of the pay button.
        poll_us: pause between two looks at an unpaid order; also the resolution of what is measured.
        max_in_flight: arrivals of one worker above this are dropped and counted, never queued.
        timeout_us: a payment that has not become PAID this long after its intended start has failed.
        closed_users: with the closed loop, for comparison only: how many users press again once they are served.
    """

    schedule: ArrivalSchedule
    run: str
    host: str
    payer_url: str
    stations: int
    phones: int = 100
    workers: int = 1
    first_sequence: int = 1
    lead_us: int = 1_500_000
    poll_us: int = 10_000
    max_in_flight: int = 1_000
    timeout_us: int = 30_000_000
    closed_users: int = 2

    def __post_init__(self) -> None:
        for name in (
            "stations",
            "phones",
            "workers",
            "first_sequence",
            "max_in_flight",
            "timeout_us",
            "closed_users",
        ):
            if getattr(self, name) < 1:
                raise PlanError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("lead_us", "poll_us"):
            if getattr(self, name) < 0:
                raise PlanError(f"{name} cannot be negative: {getattr(self, name)}")
        for name in ("host", "payer_url"):
            if not getattr(self, name).startswith(("http://", "https://")):
                raise PlanError(f"{name} must be an http(s) URL, not {getattr(self, name)!r}")
        if not (self.run.isascii() and self.run.isalnum()):
            raise PlanError(f"run must be letters and digits, not {self.run!r}")
        if not self.schedule.arrivals:
            raise PlanError("the schedule has no arrivals; raise the rate or the duration")

    def payments(self, worker: int | None = None) -> Iterator[PlannedPayment]:
        """All payments in order of time, or those of one worker; numbered the same whoever asks."""
        turns = [0] * self.stations
        for arrival in self.schedule.arrivals:
            turn = turns[arrival.station]
            turns[arrival.station] += 1
            if worker is None or arrival.number % self.workers == worker:
                yield PlannedPayment(
                    number=arrival.number,
                    intended_us=arrival.intended_us,
                    station=arrival.station,
                    nozzle=turn % NOZZLES + 1,
                    sequence=self.first_sequence + turn,
                    volume_ml=arrival.volume_ml,
                )

    def write(self, path: Path) -> None:
        """Write the plan as JSON, with the digest of its schedule."""
        plain: dict[str, Any] = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name != "schedule"
        }
        plain["duration_us"] = self.schedule.duration_us
        plain["digest"] = self.schedule.digest
        plain["arrivals"] = [[a.intended_us, a.station, a.volume_ml] for a in self.schedule.arrivals]
        path.write_text(json.dumps(plain), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote.

        Raises:
            PlanError: no such file, not a plan, or a schedule whose digest does not fit.
        """
        try:
            plain = json.loads(path.read_text(encoding="utf-8"))
            arrivals = tuple(Arrival(number, *values) for number, values in enumerate(plain.pop("arrivals")))
            schedule = ArrivalSchedule(arrivals, plain.pop("duration_us"))
            digest = plain.pop("digest")
            plan = cls(schedule=schedule, **plain)
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise PlanError(f"{path} is not a load plan: {error}") from error
        if digest != schedule.digest:
            raise PlanError(f"{path}: the arrivals are not the ones that were drawn (digest {digest})")
        return plan


def station_id(index: int) -> str:
    """Id of a station of the load: ``LOAD0001`` and so on."""
    return f"LOAD{index + 1:04d}"
