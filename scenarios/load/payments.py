"""Payments at a chain of stations, open loop: sale in, order, pay, confirm, PAID on the phone, invoice on the phone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from scenarios.load.client import AnyBackend, LoadError
from scenarios.load.schedule import Arrival, ArrivalSchedule

__all__ = ["LoadResult", "PaymentLoad", "PaymentSample"]

_LEAD_US = 1_500_000
"""The sale ends and the order is made this long before the intended press of the pay button."""

_NOZZLES = 64
"""Nozzles of a load station: at 64 a nozzle's last sale is paid long before its next one."""

_PRICE_FEN_PER_L = 760
_PAID_STATES = frozenset({"PAID", "COMPLETED", "REFUNDING", "REFUNDED"})
_ANSWERED = frozenset({"issuing", "issued"})


@dataclass(slots=True)
class PaymentSample:
    """What one payment took, in microseconds on the run's clock; None where it did not get there.

    ``intended_us`` is the schedule's instant, ``sent_us`` when the harness really pressed the button: the difference
    is the harness's own delay.
    """

    number: int
    intended_us: int
    out_trade_no: str | None = None
    order_id: str | None = None
    sale_key: str | None = None
    sale_acked_us: int | None = None
    sent_us: int | None = None
    pay_replied_us: int | None = None
    confirmed_us: int | None = None
    paid_us: int | None = None
    answered_us: int | None = None
    issued_us: int | None = None
    error: str | None = None


@dataclass(slots=True)
class LoadResult:
    """All samples of a run and the acknowledged writes with their instants."""

    samples: list[PaymentSample] = field(default_factory=list)
    acked_us: list[int] = field(default_factory=list)
    dropped: int = 0
    failovers: int = 0


class PaymentLoad:
    """Drives an arrival schedule against real backends.

    Args:
        backend: the backends.
        payer: client of the payer's control API (the phone's side of the gateway).
        station_key: bearer key that the stations of the load use.
        clock_us: monotonic clock of the run, microseconds.
        max_in_flight: arrivals above this are dropped and counted, never queued.
    """

    def __init__(
        self,
        backend: AnyBackend,
        payer: httpx.AsyncClient,
        *,
        station_key: str,
        clock_us: Callable[[], int],
        max_in_flight: int = 2_000,
        on_progress: Callable[[int], None] | None = None,
    ) -> None:
        self._backend = backend
        self._payer = payer
        self._station_key = station_key
        self._clock_us = clock_us
        self._max_in_flight = max_in_flight
        self._on_progress = on_progress
        self._phones: list[tuple[str, str]] = []
        self._sequences: dict[int, int] = {}
        self._nozzles: list[int] = []
        self.result = LoadResult()

    async def prepare(self, stations: int, phones: int) -> None:
        """Register the load's stations and log its phones in.

        Raises:
            LoadError: the backend refuses either.
        """
        for index in range(stations):
            await self._backend.request(
                "PUT", f"/v1/stations/{station_id(index)}", key=self._station_key, body=_station(index)
            )
        self._nozzles = [0] * stations
        for number in range(phones):
            openid = f"load-{number:05d}"
            session = await self._backend.request(
                "POST", "/v1/sessions", key="", body={"js_code": f"js-{openid}"}
            )
            self._phones.append((str(session["openid"]), str(session["token"])))

    async def run(self, schedule: ArrivalSchedule, *, start_us: int, drain_s: float = 20.0) -> LoadResult:
        """Play the schedule; each arrival is its own task, and none waits for another.

        Args:
            schedule: arrivals relative to ``start_us``.
            start_us: instant of the schedule's zero on the run's clock; leave room for the lead.
            drain_s: how long the last payments may still take.
        """
        tasks: set[asyncio.Task[None]] = set()
        for arrival in schedule.arrivals:
            due_us = start_us + arrival.intended_us - _LEAD_US
            if (wait_us := due_us - self._clock_us()) > 0:
                await asyncio.sleep(wait_us / 1_000_000)
            if len(tasks) >= self._max_in_flight:
                self.result.dropped += 1
                continue
            sample = PaymentSample(arrival.number, start_us + arrival.intended_us)
            self.result.samples.append(sample)
            task = asyncio.create_task(self._one(arrival, sample))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            if self._on_progress is not None:
                self._on_progress(arrival.number + 1)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=drain_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        self.result.failovers = self._backend.failovers
        return self.result

    async def _one(self, arrival: Arrival, sample: PaymentSample) -> None:
        try:
            await self._pay(arrival, sample)
        except (LoadError, httpx.HTTPError) as error:
            sample.error = f"{type(error).__name__}: {error}"

    async def _pay(self, arrival: Arrival, sample: PaymentSample) -> None:
        openid, token = self._phones[arrival.number % len(self._phones)]
        nozzle = self._nozzles[arrival.station] % _NOZZLES + 1
        self._nozzles[arrival.station] += 1
        await self._post_sale(arrival, sample, nozzle)
        order = await self._backend.request(
            "POST",
            "/v1/orders",
            key=token,
            body={
                "client_token": f"load-{arrival.number}",
                "station": station_id(arrival.station),
                "nozzle": nozzle,
                "mode": "postpay",
                "preset_fen": None,
                "preset_ml": None,
                "invoice": {"title_type": "INDIVIDUAL", "name": "个人", "taxpayer_id": None},
            },
        )
        sample.order_id = str(order["order_id"])
        self.result.acked_us.append(self._clock_us())
        follower = asyncio.create_task(self._follow(sample, token))
        try:
            if (wait_us := sample.intended_us - self._clock_us()) > 0:
                await asyncio.sleep(wait_us / 1_000_000)
            sample.sent_us = self._clock_us()
            prepared = await self._backend.request(
                "POST", f"/v1/orders/{sample.order_id}/pay", key=token, body={"channel": "wechatpay"}
            )
            sample.pay_replied_us = self._clock_us()
            sample.out_trade_no = str(prepared["out_trade_no"])
            self.result.acked_us.append(sample.pay_replied_us)
            reply = await self._payer.post(
                f"/payers/{openid}/confirm", json={"prepay_id": prepared["prepay_id"]}
            )
            reply.raise_for_status()
            sample.confirmed_us = self._clock_us()
            await follower
        finally:
            follower.cancel()

    async def _post_sale(self, arrival: Arrival, sample: PaymentSample, nozzle: int) -> None:
        sequence = self._sequences.get(arrival.station, 0) + 1
        self._sequences[arrival.station] = sequence
        now_us = self._clock_us()
        amount_fen = (arrival.volume_ml * _PRICE_FEN_PER_L + 500) // 1000
        station = station_id(arrival.station)
        await self._backend.request(
            "POST",
            f"/v1/stations/{station}/sales",
            key=self._station_key,
            body={
                "nozzle": nozzle,
                "sequence": sequence,
                "fuelling_point": nozzle,
                "grade": "92",
                "volume_ml": arrival.volume_ml,
                "amount_fen": amount_fen,
                "price_fen_per_l": _PRICE_FEN_PER_L,
                "started_us": now_us,
                "ended_us": now_us,
                "end_total_volume_ml": sequence * 100_000,
                "end_total_amount_fen": sequence * 76_000,
                "order_id": None,
                "flags": [],
            },
        )
        sample.sale_key = f"{station}/{nozzle}/{sequence}"
        sample.sale_acked_us = self._clock_us()
        self.result.acked_us.append(sample.sale_acked_us)

    async def _follow(self, sample: PaymentSample, token: str) -> None:
        async for event in self._backend.events(f"/v1/orders/{sample.order_id}/events", key=token):
            if event.name == "order" and self._seen(sample, event.data):
                return

    def _seen(self, sample: PaymentSample, order: dict[str, Any]) -> bool:
        now_us = self._clock_us()
        if order.get("state") in _PAID_STATES and sample.paid_us is None:
            sample.paid_us = now_us
        invoice = order.get("invoice") or {}
        if sample.paid_us is not None and invoice.get("state") in _ANSWERED and sample.answered_us is None:
            sample.answered_us = now_us
        if invoice.get("state") == "issued" and sample.issued_us is None:
            sample.issued_us = now_us
        return sample.paid_us is not None and sample.issued_us is not None


def station_id(index: int) -> str:
    """Id of a station of the load: ``LOAD0001`` and so on."""
    return f"LOAD{index + 1:04d}"


def _station(index: int) -> dict[str, Any]:
    nozzles: Sequence[dict[str, Any]] = [
        {
            "nozzle": number,
            "fuelling_point": number,
            "grade": "92",
            "price_fen_per_l": _PRICE_FEN_PER_L,
            "tank": 1,
        }
        for number in range(1, _NOZZLES + 1)
    ]
    return {
        "name": f"Load station {index + 1}",
        "taxpayer_id": "91530100MA6K000000",
        "lift_policy": "authorise",
        "nozzles": list(nozzles),
    }
