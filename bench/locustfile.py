"""Locust: payments fed from a plan. Run it through ``python -m bench.load``, which draws the plan and reads the result.

Open loop (`OpenArrivals`): one arrival process in each worker walks the plan and spawns a greenlet for each payment; it
never waits for one. Every time counts from the intended instant, so a server that stalls cannot thin out its own load.
Closed loop (`ClosedPayers`) stands beside it for comparison only: a user comes again when the last payment is done.

By hand: ``FORECOURT_LOAD_PLAN`` and ``FORECOURT_LOAD_RESULT`` name two files, ``FORECOURT_STATION_KEY`` holds the key;
``locust -f bench/locustfile.py --headless --processes N -u N -r N OpenArrivals``. Workers run on one machine: they
share its monotonic clock.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import gevent.event
from locust import User, constant_pacing, events, runners, task

from bench.load.figures import LoadFigures
from bench.load.payment import Payer, Payment, PaymentFailedError
from bench.load.plan import LoadPlan, PlannedPayment

_LOG = logging.getLogger(__name__)
_PLAN = LoadPlan.read(Path(os.environ["FORECOURT_LOAD_PLAN"]))
_RESULT = Path(os.environ["FORECOURT_LOAD_RESULT"])
_STATION_KEY = os.environ.get("FORECOURT_STATION_KEY", "")
_START_LEAD_US = 300_000
"""From the master's word to the plan's zero: more than a message between processes takes."""

_FLOW = ("FLOW", "payment")

runners.WORKER_REPORT_INTERVAL = 0.5


def _now_us() -> int:
    return time.monotonic_ns() // 1000


class _Worker:
    """What one worker process holds: its client, its figures, and the word to start."""

    def __init__(self, environment: Any) -> None:
        self.environment = environment
        self.payer = Payer(_PLAN, station_key=_STATION_KEY, on_request=self._on_request)
        self.figures = LoadFigures()
        self.start_us: gevent.event.AsyncResult = gevent.event.AsyncResult()
        self.is_running = False

    def _on_request(self, method: str, name: str, took_us: int, size: int, error: str | None) -> None:
        """A step's own time, for Locust's table; nothing is judged by it."""
        self.environment.events.request.fire(
            request_type=method,
            name=name,
            response_time=took_us / 1000,
            response_length=size,
            exception=None if error is None else PaymentFailedError(error),
            context={},
        )

    def _on_payment(self, took_us: int, error: str | None) -> None:
        self._on_request(*_FLOW, took_us, 0, error)

    def walk(self, payments: Iterator[PlannedPayment]) -> None:
        """The arrival process: start each payment when it is due, wait for none."""
        start_us = self.start_us.get()
        in_flight: set[gevent.Greenlet] = set()
        for payment in payments:
            due_us = start_us + payment.intended_us
            begin_us = due_us - _PLAN.lead_us
            if (wait_us := begin_us - _now_us()) > 0:
                gevent.sleep(wait_us / 1_000_000)
            self.figures.arrivals += 1
            if len(in_flight) >= _PLAN.max_in_flight:
                self.figures.dropped += 1
                continue
            greenlet = gevent.spawn(self._open, payment, begin_us, due_us)
            in_flight.add(greenlet)
            greenlet.rawlink(in_flight.discard)
        gevent.joinall(list(in_flight))

    def _open(self, planned: PlannedPayment, begin_us: int, due_us: int) -> None:
        lag_us = _now_us() - begin_us
        payment = Payment(self.payer, planned)
        try:
            payment.prepare()
            if (wait_us := due_us - _now_us()) > 0:
                gevent.sleep(wait_us / 1_000_000)
                # The preparation was done in time, so what is late from here on is late through us.
                lag_us = max(lag_us, _now_us() - due_us)
            sent_us = _now_us()
            payment.pay(give_up_us=due_us + _PLAN.timeout_us)
        except PaymentFailedError as error:
            self.figures.fail(str(error))
            self._on_payment(_now_us() - due_us, str(error))
        else:
            paid_us = _now_us()
            self.figures.paid(
                response_us=paid_us - due_us,
                service_us=paid_us - sent_us,
                at_us=paid_us - self.start_us.get(),
            )
            self._on_payment(paid_us - due_us, None)
        self.figures.lag(lag_us)

    def closed(self, planned: PlannedPayment) -> None:
        """One payment as a closed loop times it: from when the user got round to it."""
        sent_us = _now_us()
        payment = Payment(self.payer, planned)
        try:
            payment.prepare()
            payment.pay(give_up_us=sent_us + _PLAN.timeout_us)
        except PaymentFailedError as error:
            self._on_payment(_now_us() - sent_us, str(error))
        else:
            self._on_payment(_now_us() - sent_us, None)

    def take_report(self) -> dict[str, Any]:
        """What was measured since the last report; it is then the master's."""
        report = self.figures.to_report()
        self.figures = LoadFigures()
        return report


class _Master:
    """Adds up the workers' reports and ends the run when all of them have told everything."""

    def __init__(self, environment: Any) -> None:
        self.environment = environment
        self.figures = LoadFigures()
        self.ready = 0
        self.done = 0

    def on_ready(self, environment: Any, **_: Any) -> None:
        """One more worker is prepared; the last one sets the common start."""
        self.ready += 1
        if self.ready == _PLAN.workers:
            start_us = _now_us() + _START_LEAD_US + _PLAN.lead_us
            environment.runner.send_message("arrivals_start", {"start_us": start_us})

    def on_done(self, **_: Any) -> None:
        """One more worker has seen the end of its share."""
        self.done += 1
        self.end_when_told()

    def on_failed(self, environment: Any, msg: Any, **_: Any) -> None:
        """A worker could not prepare: there is no run."""
        _LOG.error("a worker could not prepare the run: %s", msg.data["error"])
        self.figures.fail(f"prepare: {msg.data['error']}")
        gevent.spawn(environment.runner.quit)

    def on_report(self, data: dict[str, Any]) -> None:
        """Add what a worker has measured since its last report."""
        if (report := data.get("forecourt")) is not None:
            self.figures.add(report)
            self.end_when_told()

    def end_when_told(self) -> None:
        """The last report may overtake the worker's word that it is done, or the other way round."""
        if self.done == _PLAN.workers and self._is_complete():
            gevent.spawn(self.environment.runner.quit)

    def _is_complete(self) -> bool:
        figures = self.figures
        ended = figures.completed + figures.failed + figures.dropped
        return figures.arrivals == len(_PLAN.schedule.arrivals) == ended

    def write(self) -> None:
        """Write the result; `bench.load` reads it."""
        environment = self.environment
        flow = environment.stats.get(_FLOW[1], _FLOW[0])
        shares = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
        _RESULT.write_text(
            json.dumps(
                {
                    "figures": self.figures.to_report(),
                    "is_complete": self.done == _PLAN.workers and self._is_complete(),
                    "cpu_warning": bool(getattr(environment.runner, "worker_cpu_warning_emitted", False)),
                    "locust": {
                        "count": flow.num_requests,
                        "failed": flow.num_failures,
                        **{
                            f"{name}_ms": flow.get_response_time_percentile(share)
                            for name, share in shares.items()
                        },
                        "max_ms": flow.max_response_time,
                    },
                }
            ),
            encoding="utf-8",
        )


_worker: _Worker | None = None
_master: _Master | None = None


def _on_init(environment: Any, **_: Any) -> None:
    global _worker, _master  # noqa: PLW0603 - Locust's user classes have no other way to their process's state
    runner = environment.runner
    if not isinstance(runner, runners.WorkerRunner):
        _master = _Master(environment)
        runner.register_message("arrivals_ready", _master.on_ready)
        runner.register_message("arrivals_done", _master.on_done)
        runner.register_message("arrivals_failed", _master.on_failed)
    if not isinstance(runner, runners.MasterRunner):
        _worker = worker = _Worker(environment)
        runner.register_message("arrivals_start", lambda msg, **_: worker.start_us.set(msg.data["start_us"]))


def _on_report_to_master(data: dict[str, Any], **_: Any) -> None:
    if _worker is not None:
        data["forecourt"] = _worker.take_report()


def _on_worker_report(data: dict[str, Any], **_: Any) -> None:
    if _master is not None:
        _master.on_report(data)


def _on_quitting(**_: Any) -> None:
    if _master is not None:
        _master.write()


_hooks: Any = events  # Locust's hooks are not typed
_hooks.init.add_listener(_on_init)
_hooks.report_to_master.add_listener(_on_report_to_master)
_hooks.worker_report.add_listener(_on_worker_report)
_hooks.quitting.add_listener(_on_quitting)


class OpenArrivals(User):
    """Not a user but the arrival process; each worker runs one."""

    @task
    def arrive(self) -> None:
        """Prepare, wait for the common start, walk this worker's share of the plan once."""
        worker, runner = _worker, self.environment.runner
        if worker is None or worker.is_running:
            gevent.sleep(3600)
            return
        worker.is_running = True
        try:
            worker.payer.prepare()
        except PaymentFailedError as error:
            runner.send_message("arrivals_failed", {"error": str(error)})
        else:
            runner.send_message("arrivals_ready")
            worker.walk(_PLAN.payments(runner.worker_index))
            runner.send_message("arrivals_done")
        gevent.sleep(3600)  # until the master ends the run


class ClosedPayers(User):
    """What most load tests do: wait for the answer, then come again. Blind to every start that a stall has put off."""

    wait_time = constant_pacing(
        _PLAN.closed_users * _PLAN.schedule.duration_us / 1e6 / len(_PLAN.schedule.arrivals)
    )
    _payments: Iterator[PlannedPayment] = _PLAN.payments()
    _is_prepared = False

    def on_start(self) -> None:
        """Register stations and phones once."""
        if _worker is not None and not ClosedPayers._is_prepared:
            ClosedPayers._is_prepared = True
            _worker.payer.prepare()

    @task
    def come_again(self) -> None:
        """The next payment of the plan, whenever that is."""
        payment = next(self._payments, None)
        if payment is None or _worker is None:
            self.environment.runner.quit()
            return
        _worker.closed(payment)
