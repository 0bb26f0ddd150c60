"""The measured run: the busiest minute under open-loop load, then kill -9 in mid-load, then everything is looked up."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import httpx

from scenarios.loadgen.client import AnyBackend, LoadError
from scenarios.loadgen.payments import LoadResult, PaymentLoad, Write, station_id
from scenarios.loadgen.schedule import draw_schedule
from scenarios.measured.cars import MeasuredCars
from scenarios.measured.failover import Gap, Kill, failover_gap, failover_trial, kill_in_turn
from scenarios.measured.foreign import ForeignError, foreign_backend
from scenarios.measured.lookup import Books, BooksError, look_up, read_books
from scenarios.measured.machine import ProcessorShares
from scenarios.measured.segments import LatencySegments, segments
from scenarios.measured.system import MeasuredSystem
from scenarios.model import Scenario, Wall
from scenarios.processes.child import ChildError
from scenarios.processes.postgres import PostgresError
from scenarios.record import AcknowledgedWrite, HarnessLag, OperationCount, RunRecord
from scenarios.statistics import duration, percentile
from scenarios.verdicts import ExitCode
from scenarios.world.instants import PaymentInstants, monotonic_us
from scenarios.world.keys import wall_keys
from sim.kernel import KernelError

__all__ = ["MeasureError", "MeasuredRun", "measure"]

Progress = Callable[[str, float], None]

_PHONES: Final = 100
_WARM_UP_S: Final = 4
_WARM_UP_PER_S: Final = 10
"""Connections open and code paths warm before anything counts; the warm-up's payments are looked up but not timed."""

_LEAD_US: Final = 2_000_000
_DRAIN_S: Final = 20.0
_FAILOVER_S: Final = 7_200
"""Longest schedule drawn for the failover part; it ends with the last trial."""


class MeasureError(Exception):
    """The measurement could not be made; the message says why, ``exit_code`` what kind of trouble it was."""

    def __init__(self, message: str, exit_code: ExitCode = ExitCode.HARNESS_ERROR) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class MeasuredRun:
    """What was measured.

    Attributes:
        record: for the oracles, on the wall clock; times are microseconds since the start of the measurement.
        figures: for people, by name.
        environment: what a reader needs to compare figures.
    """

    record: RunRecord
    figures: Mapping[str, object]
    environment: Mapping[str, str]


@dataclass(slots=True)
class _Findings:
    """What the parts of a run leave, before it is judged."""

    epoch_us: int
    minute: LoadResult = field(default_factory=LoadResult)
    cut_off_us: int = 0
    failover: LoadResult = field(default_factory=LoadResult)
    kills: list[Kill] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)
    gateway: dict[str, PaymentInstants] = field(default_factory=dict)
    found: list[AcknowledgedWrite] = field(default_factory=list)
    world_lag_p99_us: int | None = None
    digest: str = ""
    processors: str = ""


async def measure(
    scenario: Scenario,
    seed: str | int,
    *,
    folder: Path,
    backend_urls: Sequence[str] | None = None,
    progress: Progress,
) -> MeasuredRun:
    """Measure a scenario's busiest minute and its failover on this machine.

    Args:
        scenario: with a ``wall`` part.
        seed: of the arrival schedule, the drivers and the services' latencies.
        folder: where the processes' logs go.
        backend_urls: somebody else's backends, which are loaded but not killed; see `foreign_backend`.
        progress: called with a stage's name and the share of it that is over, 0..1.

    Raises:
        MeasureError: it could not be done.
    """
    wall = scenario.wall
    if wall is None:
        raise MeasureError(f"scenario {scenario.name} has no `wall` part: nothing to measure", ExitCode.USAGE)
    try:
        foreign = foreign_backend(backend_urls) if backend_urls else None
    except ForeignError as error:
        raise MeasureError(str(error), ExitCode.USAGE) from error
    keys = foreign.keys if foreign is not None else wall_keys()
    system = MeasuredSystem(scenario, seed, keys, folder=folder, foreign=foreign)
    try:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(system.stop)
            await system.start(progress)
            return await _Measurement(system, wall, progress, stack).run()
    except (ChildError, PostgresError, LoadError, BooksError, KernelError) as error:
        raise MeasureError(str(error)) from error
    except httpx.HTTPError as error:
        raise MeasureError(
            f"the harness lost one of its own processes: {type(error).__name__}: {error}"
        ) from error
    except OSError as error:
        raise MeasureError(f"{error.filename or 'a port or folder'}: {error.strerror or error}") from error


class _Measurement:
    """The steps of one measurement on a system that runs."""

    def __init__(self, system: MeasuredSystem, wall: Wall, progress: Progress, stack: AsyncExitStack) -> None:
        self._system = system
        self._wall = wall
        self._progress = progress
        self._stack = stack
        self._found = _Findings(monotonic_us())

    async def run(self) -> MeasuredRun:
        system, wall, found = self._system, self._wall, self._found
        backend = AnyBackend(system.urls, clock_us=monotonic_us)
        self._stack.push_async_callback(backend.aclose)
        payer = await self._client(system.endpoints.payer)
        load = PaymentLoad(
            backend,
            payer,
            station_key=system.keys.station_key,
            clock_us=monotonic_us,
            unix_us=lambda: time.time_ns() // 1000,
        )
        self._progress("warming up", 0.0)
        try:
            await load.prepare(wall.stations, _PHONES)
        except LoadError as error:
            if system.database != "foreign":
                raise
            # Not the harness's fault: what it was set up with is not what the run needs.
            last = station_id(wall.stations - 1)
            raise MeasureError(
                f"the backend refuses the load: {error}. It has to take the station key of secrets.json for the scenario's station and "
                f"for {station_id(0)}{f' to {last}' if wall.stations > 1 else ''}, and log-in codes that the simulated platform gave out",
                ExitCode.USAGE,
            ) from error
        await self._play(load, "warm-up", _WARM_UP_PER_S, _WARM_UP_S, None)
        # What was made so far lives as long as the run: the collector need not look at it in mid-measurement.
        gc.collect()
        gc.freeze()
        self._stack.callback(gc.unfreeze)
        cars = MeasuredCars(
            system.scenario, system.seed, system.endpoints, system.urls, station_key=system.keys.station_key
        )
        number = self._cars()
        driving = asyncio.create_task(cars.run(number, wall.duration_s * 500_000), name="cars")
        self._stack.push_async_callback(_ended, driving)
        processors = ProcessorShares()
        found.minute = await self._play(
            load, "minute", wall.payments_per_s, wall.duration_s, "the busiest minute, on real sockets"
        )
        found.cut_off_us = monotonic_us()
        found.processors = processors.since()
        if system.backends and wall.failover_trials:
            await self._failover(load, backend)
        self._progress("the last cars", 0.0)
        await driving
        self._progress("the last cars", 1.0)
        await self._harvest(load)
        return self._result(cars, number, backend)

    async def _client(self, url: str) -> httpx.AsyncClient:
        limits = httpx.Limits(max_connections=500, max_keepalive_connections=100)
        client = httpx.AsyncClient(base_url=url, timeout=30.0, limits=limits, trust_env=False)
        return await self._stack.enter_async_context(client)

    def _cars(self) -> int:
        """The cars of the busiest minute, two at least."""
        per_hour = self._system.scenario.demand.arrivals_per_hour
        return max(2, round(per_hour * self._wall.duration_s / 3600))

    async def _play(
        self, load: PaymentLoad, purpose: str, per_s: int, duration_s: int, stage: str | None
    ) -> LoadResult:
        schedule = draw_schedule(
            f"{self._system.seed}/{purpose}", per_s=per_s, duration_s=duration_s, stations=self._wall.stations
        )
        total = max(1, len(schedule.arrivals))
        if stage is not None:
            self._found.digest = schedule.digest

        def arrived(number: int) -> None:
            if stage is not None:
                self._progress(stage, 0.99 * number / total)

        result = await load.run(
            schedule, start_us=monotonic_us() + _LEAD_US, drain_s=_DRAIN_S, on_arrival=arrived
        )
        if stage is not None:
            self._progress(stage, 1.0)
        return result

    async def _failover(self, load: PaymentLoad, backend: AnyBackend) -> None:
        trials = self._wall.failover_trials
        stage = "kill -9 in mid-load"
        schedule = draw_schedule(
            f"{self._system.seed}/failover",
            per_s=self._wall.failover_load_per_s,
            duration_s=_FAILOVER_S,
            stations=self._wall.stations,
        )
        stop = asyncio.Event()
        loading = asyncio.create_task(
            load.run(schedule, start_us=monotonic_us() + _LEAD_US, drain_s=_DRAIN_S, stop=stop),
            name="failover load",
        )
        self._stack.push_async_callback(_ended, loading)
        self._progress(stage, 0.0)
        await asyncio.sleep(_LEAD_US / 1_000_000)
        self._found.kills = await kill_in_turn(
            self._system,
            backend.in_flight,
            trials=trials,
            clock_us=monotonic_us,
            on_trial=lambda done: self._progress(stage, 0.99 * done / trials),
        )
        stop.set()
        self._found.failover = await loading
        self._progress(stage, 1.0)

    async def _harvest(self, load: PaymentLoad) -> None:
        found, system = self._found, self._system
        self._progress("looking up every acknowledged write", 0.0)
        control = await self._client(system.endpoints.control)
        shown = (await control.get("/instants")).raise_for_status().json()["payments"]
        found.gateway = {number: PaymentInstants(**instants) for number, instants in shown.items()}
        found.world_lag_p99_us = (await control.get("/lag")).raise_for_status().json()["p99_us"]
        found.writes = load.writes
        if found.kills:
            books: Books = await read_books(system.urls[0], system.keys.admin_key)
            found.found = look_up(found.writes, books, epoch_us=found.epoch_us)
        self._progress("looking up every acknowledged write", 1.0)

    def _result(self, cars: MeasuredCars, sent: int, backend: AnyBackend) -> MeasuredRun:
        found = self._found
        latencies = segments(found.minute.samples, found.gateway, cut_off_us=found.cut_off_us)
        gaps = [failover_gap(kill, found.failover.writes) for kill in found.kills]
        epoch_us = found.epoch_us
        samples = [*found.minute.samples, *found.failover.samples]
        drivers = cars.latencies()
        record = RunRecord(
            clock="wall",
            ended_us=monotonic_us() - epoch_us,
            operations=(
                OperationCount(
                    kind="payment", tried=len(samples), succeeded=sum(s.paid_us is not None for s in samples)
                ),
                OperationCount(
                    kind="invoice",
                    tried=len(samples),
                    succeeded=sum(s.issued_us is not None for s in samples),
                ),
                OperationCount(kind="car", tried=sent, succeeded=cars.outcomes["paid"]),
            ),
            latencies_us={
                **latencies.as_record(),
                # The load's payers confirm at once; only the cars have drivers.
                "payment_human": drivers.payment_human,
                "live_amount": drivers.live_amount,
            },
            failovers=tuple(
                failover_trial(kill, gap, epoch_us=epoch_us)
                for kill, gap in zip(found.kills, gaps, strict=True)
            ),
            writes=tuple(found.found),
            harness=HarnessLag(
                lags_us=tuple(s.lag_us for s in found.minute.samples if s.lag_us is not None),
                dropped=found.minute.dropped,
            ),
        )
        figures = self._figures(latencies, gaps, cars, sent, backend)
        return MeasuredRun(record, figures, self._environment())

    def _figures(
        self,
        latencies: LatencySegments,
        gaps: Sequence[Gap],
        cars: MeasuredCars,
        sent: int,
        backend: AnyBackend,
    ) -> dict[str, object]:
        found, wall = self._found, self._wall
        samples = found.minute.samples
        paid = sum(sample.paid_us is not None for sample in samples)
        issued = sum(sample.issued_us is not None for sample in samples)
        figures: dict[str, object] = {
            "measured load": f"{len(samples):,} payments at {wall.payments_per_s}/s, {paid:,} PAID, {issued:,} invoiced",
            "measured cars": f"{sent} cars at real nozzles: "
            + (
                ", ".join(f"{count} {name}" for name, count in sorted(cars.outcomes.items()))
                or "none finished"
            ),
        }
        if latencies.unmatched:
            figures["payments without instants at the gateway"] = latencies.unmatched
        if trouble := [s.error for s in (*samples, *found.failover.samples) if s.error is not None]:
            figures["payments that failed"] = f"{len(trouble)}; the first: {trouble[0]}"
        if found.kills:
            lost = sum(not write.found for write in found.found)
            restarts = sorted(kill.restarted_us - kill.killed_us for kill in found.kills)
            figures["kill -9"] = (
                f"{len(gaps)} kills; longest gap {_longest(gap.gap_us for gap in gaps)}, slowest single write "
                f"{_longest(gap.slowest_us for gap in gaps)}, killed instance back after {duration(percentile(restarts, 0.5))}"
            )
            figures["acknowledged writes"] = f"{len(found.found):,} looked up, {lost} lost"
            figures["requests sent again to another instance"] = backend.failovers
        return figures

    def _environment(self) -> dict[str, str]:
        found = self._found
        kept = {
            "measured backends": f"{len(self._system.urls)} {'of ours' if self._system.backends else 'foreign'}",
            "measured store": self._system.database,
            "measured event loop": "uvloop" if find_spec("uvloop") is not None else "asyncio",
            "measured schedule": found.digest,
            "processors in the measured minute": self._found.processors,
            "load average": f"{os.getloadavg()[0]:.1f}",
        }
        if found.world_lag_p99_us is not None:
            kept["world's own lag, p99"] = duration(found.world_lag_p99_us)
        return kept


def _longest(values: object) -> str:
    known = [value for value in values if value is not None]  # type: ignore[attr-defined]
    return duration(max(known)) if known else "unknown"


async def _ended(task: asyncio.Task[object]) -> None:
    """A part that still runs when the run ends, by an error or Ctrl-C, is cut off."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
