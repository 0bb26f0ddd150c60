"""Payments at a chain of stations, open loop: sale in, order, pay, confirm, PAID on the phone, invoice on the phone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import httpx

from scenarios.loadgen.client import Answer, AnyBackend, LoadError
from scenarios.loadgen.schedule import Arrival, ArrivalSchedule

__all__ = ["LoadResult", "PaymentLoad", "PaymentSample", "Write", "station_id"]

_LEAD_US: Final = 1_500_000
"""The sale ends and the order is made this long before the intended press of the pay button."""

_NOZZLES: Final = 256
"""Nozzles of a load station, the most that a station may have: a nozzle's last sale is owned long before its next one."""

_PRICE_FEN_PER_L: Final = 760
_PAID_STATES = frozenset({"PAID", "COMPLETED", "REFUNDING", "REFUNDED"})
_ANSWERED = frozenset({"issuing", "issued"})


@dataclass(slots=True)
class PaymentSample:
    """What one payment took, in microseconds on the run's clock; None where it did not get there.

    ``intended_us`` is the schedule's instant and ``sent_us`` when the harness really pressed the button. What delays
    the press is split: ``order_acked_us`` after the intended instant is the system's own slowness in what comes
    before, the rest is the harness's (`lag_us`).
    """

    number: int
    intended_us: int
    order_id: str | None = None
    out_trade_no: str | None = None
    sale_key: str | None = None
    order_acked_us: int | None = None
    begun_us: int | None = None
    sent_us: int | None = None
    pay_replied_us: int | None = None
    confirmed_us: int | None = None
    paid_us: int | None = None
    answered_us: int | None = None
    issued_us: int | None = None
    error: str | None = None

    @property
    def lag_us(self) -> int | None:
        """The harness's own delay: intended press (or the order's answer, if that came later) to the real one."""
        if self.sent_us is None or self.order_acked_us is None:
            return None
        return self.sent_us - max(self.intended_us, self.order_acked_us)


@dataclass(frozen=True, slots=True)
class Write:
    """A write that the load saw acknowledged, with when its first and its last try were sent (run's clock, µs).

    ``kind`` is ``sale`` (key ``station/nozzle/sequence``), ``order`` (order id), ``pay`` (out_trade_no) or ``paid`` (order
    id: the phone was shown PAID, which is no request of its own). ``amount_fen`` is the sale's, 0 elsewhere.
    """

    kind: Literal["sale", "order", "pay", "paid"]
    key: str
    first_us: int
    sent_us: int
    acked_us: int
    amount_fen: int = 0


@dataclass(slots=True)
class LoadResult:
    """All samples of a run and all acknowledged writes in the order of their acknowledgement."""

    samples: list[PaymentSample] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)
    dropped: int = 0


class PaymentLoad:
    """Drives arrival schedules against real backends.

    Args:
        backend: the backends.
        payer: client of the payer's control API (the phone's side of the gateway).
        station_key: bearer key that the stations of the load use.
        clock_us: monotonic clock of the run, microseconds.
        unix_us: Unix time, microseconds, for the times of sales.
        max_in_flight: arrivals above this are dropped and counted, never queued.

    Attributes:
        writes: every write acknowledged so far, over all schedules.
    """

    def __init__(
        self,
        backend: AnyBackend,
        payer: httpx.AsyncClient,
        *,
        station_key: str,
        clock_us: Callable[[], int],
        unix_us: Callable[[], int],
        max_in_flight: int = 2_000,
    ) -> None:
        self._backend = backend
        self._payer = payer
        self._station_key = station_key
        self._clock_us = clock_us
        self._unix_us = unix_us
        self._max_in_flight = max_in_flight
        self._phones: list[tuple[str, str]] = []
        self._sales: list[int] = []
        self._payments = 0
        self.writes: list[Write] = []

    async def prepare(self, stations: int, phones: int) -> None:
        """Register the load's stations and log its phones in.

        Raises:
            LoadError: the backend refuses either.
        """
        for index in range(stations):
            path = f"/v1/stations/{station_id(index)}"
            await self._backend.request("PUT", path, key=self._station_key, body=_station(index))
        self._sales = [0] * stations
        for number in range(phones):
            answer = await self._backend.request(
                "POST", "/v1/sessions", key="", body={"js_code": f"js-load-{number:05d}"}
            )
            self._phones.append((str(answer.body["openid"]), str(answer.body["token"])))

    async def run(
        self,
        schedule: ArrivalSchedule,
        *,
        start_us: int,
        drain_s: float = 20.0,
        stop: asyncio.Event | None = None,
        on_arrival: Callable[[int], None] | None = None,
    ) -> LoadResult:
        """Play a schedule; each arrival is its own task, and none waits for another.

        Args:
            schedule: arrivals relative to ``start_us``.
            start_us: instant of the schedule's zero on the run's clock; leave room for the lead.
            drain_s: how long the last payments may still take; what is not done then is cut off and says so.
            stop: once set, no further arrival begins; those under way are drained.
            on_arrival: called with the number of arrivals begun.
        """
        result = LoadResult()
        first_write = len(self.writes)
        tasks: dict[asyncio.Task[None], None] = {}
        try:
            for arrival in schedule.arrivals:
                due_us = start_us + arrival.intended_us - _LEAD_US
                if await self._wait_until(due_us, stop):
                    break
                if len(tasks) >= self._max_in_flight:
                    result.dropped += 1
                    continue
                sample = PaymentSample(arrival.number, start_us + arrival.intended_us)
                result.samples.append(sample)
                task = asyncio.create_task(self._one(arrival, sample))
                tasks[task] = None
                task.add_done_callback(lambda task: tasks.pop(task, None))
                if on_arrival is not None:
                    on_arrival(arrival.number + 1)
            if tasks:
                await asyncio.wait(list(tasks), timeout=drain_s)
        finally:
            late = list(tasks)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        result.writes = self.writes[first_write:]
        return result

    async def _wait_until(self, due_us: int, stop: asyncio.Event | None) -> bool:
        """Wait; True when it was told to stop."""
        wait_us = due_us - self._clock_us()
        if stop is None:
            if wait_us > 0:
                await asyncio.sleep(wait_us / 1_000_000)
            return False
        if wait_us > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), wait_us / 1_000_000)
        return stop.is_set()

    async def _one(self, arrival: Arrival, sample: PaymentSample) -> None:
        try:
            await self._pay(arrival, sample)
        except (LoadError, httpx.HTTPError) as error:
            sample.error = f"{type(error).__name__}: {error}"
        except asyncio.CancelledError:
            sample.error = "not done when the load ended"
            raise

    async def _pay(self, arrival: Arrival, sample: PaymentSample) -> None:
        number = self._payments
        self._payments += 1
        sample.begun_us = self._clock_us()
        openid, token = self._phones[number % len(self._phones)]
        nozzle = await self._post_sale(arrival, sample)
        order = await self._backend.request(
            "POST", "/v1/orders", key=token, body=_order(number, station_id(arrival.station), nozzle)
        )
        sample.order_id = str(order.body["order_id"])
        sample.order_acked_us = order.acked_us
        self._acked("order", sample.order_id, order)
        follower = asyncio.create_task(self._follow(sample, token))
        try:
            if (wait_us := sample.intended_us - self._clock_us()) > 0:
                await asyncio.sleep(wait_us / 1_000_000)
            sample.sent_us = self._clock_us()
            prepared = await self._backend.request(
                "POST", f"/v1/orders/{sample.order_id}/pay", key=token, body={"channel": "wechatpay"}
            )
            sample.pay_replied_us = prepared.acked_us
            sample.out_trade_no = str(prepared.body["out_trade_no"])
            self._acked("pay", sample.out_trade_no, prepared)
            sample.confirmed_us = self._clock_us()
            reply = await self._payer.post(
                f"/payers/{openid}/confirm", json={"prepay_id": prepared.body["prepay_id"]}
            )
            reply.raise_for_status()
            await follower
        finally:
            follower.cancel()
            with suppress(asyncio.CancelledError, LoadError, httpx.HTTPError):
                await follower

    async def _post_sale(self, arrival: Arrival, sample: PaymentSample) -> int:
        sequence = self._sales[arrival.station] + 1
        self._sales[arrival.station] = sequence
        nozzle = sequence % _NOZZLES + 1
        station = station_id(arrival.station)
        body = _sale(arrival, nozzle, sequence, self._unix_us())
        answer = await self._backend.request(
            "POST", f"/v1/stations/{station}/sales", key=self._station_key, body=body
        )
        sample.sale_key = f"{station}/{nozzle}/{sequence}"
        self._acked("sale", sample.sale_key, answer, body["amount_fen"])
        return nozzle

    def _acked(
        self, kind: Literal["sale", "order", "pay"], key: str, answer: Answer, amount_fen: int = 0
    ) -> None:
        self.writes.append(Write(kind, key, answer.first_us, answer.sent_us, answer.acked_us, amount_fen))

    async def _follow(self, sample: PaymentSample, token: str) -> None:
        events = self._backend.events(f"/v1/orders/{sample.order_id}/events", key=token)
        async with aclosing(events):  # type: ignore[type-var]  # an async generator, which has aclose
            async for event in events:
                if event.name == "order" and self._seen(sample, event.data):
                    return

    def _seen(self, sample: PaymentSample, order: dict[str, Any]) -> bool:
        now_us = self._clock_us()
        if order.get("state") in _PAID_STATES and sample.paid_us is None:
            sample.paid_us = now_us
            self.writes.append(Write("paid", str(sample.order_id), now_us, now_us, now_us))
        invoice = order.get("invoice")
        if not isinstance(invoice, dict):
            invoice = {}
        if sample.paid_us is not None and invoice.get("state") in _ANSWERED and sample.answered_us is None:
            sample.answered_us = now_us
        if invoice.get("state") == "issued" and sample.issued_us is None:
            sample.issued_us = now_us
        return sample.paid_us is not None and (
            sample.issued_us is not None or invoice.get("state") == "failed"
        )


def station_id(index: int) -> str:
    """Id of a station of the load: ``LOAD0001`` and so on."""
    return f"LOAD{index + 1:04d}"


def _order(number: int, station: str, nozzle: int) -> dict[str, Any]:
    return {
        "client_token": f"load-{number}",
        "station": station,
        "nozzle": nozzle,
        "mode": "postpay",
        "preset_fen": None,
        "preset_ml": None,
        "invoice": {"title_type": "INDIVIDUAL", "name": "个人", "taxpayer_id": None},
    }


def _sale(arrival: Arrival, nozzle: int, sequence: int, unix_us: int) -> dict[str, Any]:
    return {
        "nozzle": nozzle,
        "sequence": sequence,
        "fuelling_point": nozzle,
        "grade": "92",
        "volume_ml": arrival.volume_ml,
        "amount_fen": (arrival.volume_ml * _PRICE_FEN_PER_L + 500) // 1000,
        "price_fen_per_l": _PRICE_FEN_PER_L,
        "started_us": unix_us - 60_000_000,
        "ended_us": unix_us,
        "end_total_volume_ml": sequence * 100_000,
        "end_total_amount_fen": sequence * 76_000,
        "order_id": None,
        "flags": [],
    }


def _station(index: int) -> dict[str, Any]:
    return {
        "name": f"Load station {index + 1}",
        "taxpayer_id": "91530100MA6K000000",
        "lift_policy": "authorise",
        "nozzles": [
            {
                "nozzle": number,
                "fuelling_point": number,
                "grade": "92",
                "price_fen_per_l": _PRICE_FEN_PER_L,
                "tank": 1,
            }
            for number in range(1, _NOZZLES + 1)
        ],
    }
