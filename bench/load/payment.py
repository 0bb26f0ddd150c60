"""One payment against a backend's HTTP API, for greenlets: sale, order, press of the pay button, PAID.

Imported in Locust's process only. The client is geventhttpclient's own (Locust's FastHttpUser stands on it), because
what is timed here is the whole payment and not a single request.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import gevent
from geventhttpclient import HTTPClient
from geventhttpclient.response import HTTPConnectionClosed, HTTPProtocolViolationError

from bench.load.plan import NOZZLES, PRICE_FEN_PER_L, LoadPlan, PlannedPayment, station_id

__all__ = ["Payer", "Payment", "PaymentFailedError"]

OnRequest = Callable[[str, str, int, int, str | None], None]
"""Called with method, route, microseconds, bytes and the error, if any."""

_PAID = frozenset({"PAID", "COMPLETED"})
_OVER = frozenset({"CANCELLED", "CLOSED", "REFUNDING", "REFUNDED"})


class PaymentFailedError(Exception):
    """A payment that cannot become PAID any more; the message has no ids in it, so that equal reasons count as one."""


class Payer:
    """Connections to backend and payer's phone, and the phones that are logged in.

    Args:
        plan: the plan.
        station_key: bearer key of the load's stations.
        on_request: told of every request.

    A pool never makes a payment wait for a connection: it holds as many as there may be payments in flight.
    """

    def __init__(self, plan: LoadPlan, *, station_key: str, on_request: OnRequest) -> None:
        self.plan = plan
        self.phones: list[tuple[str, str]] = []
        self._station_key = station_key
        self._on_request = on_request
        timeout_s = plan.timeout_us / 1_000_000
        self._clients: dict[str, tuple[HTTPClient, str]] = {}
        for url in (plan.host, plan.payer_url):
            client = HTTPClient.from_url(
                url,
                concurrency=plan.max_in_flight + 8,
                connection_timeout=timeout_s,
                network_timeout=timeout_s,
            )
            self._clients[url] = (client, urlsplit(url).path.rstrip("/"))

    def prepare(self) -> None:
        """Register the stations and log the phones in; harmless when another worker has done it.

        Raises:
            PaymentFailedError: the backend refuses or does not answer.
        """
        for index in range(self.plan.stations):
            self.as_station("PUT", "/v1/stations/{station}", _station(index), station=station_id(index))
        for number in range(self.plan.phones):
            openid = f"load-{number:05d}"
            session = self.call(self.plan.host, "POST", "/v1/sessions", {"js_code": f"js-{openid}"})
            self.phones.append((str(session["openid"]), str(session["token"])))

    def as_station(self, method: str, route: str, body: Any, **places: str) -> dict[str, Any]:
        """A request of a station's controller."""
        return self.call(self.plan.host, method, route, body, key=self._station_key, **places)

    def call(
        self, url: str, method: str, route: str, body: Any = None, *, key: str = "", **places: str
    ) -> dict[str, Any]:
        """Send one request and read its JSON reply.

        Args:
            url: the plan's ``host`` or ``payer_url``.
            method: HTTP method.
            route: path with places in braces; errors and Locust's table name the route, not the path.
            body: JSON value, or None for no body.
            key: bearer key, or nothing.
            places: what stands in the braces.

        Raises:
            PaymentFailedError: not a 2xx reply, or none.
        """
        client, prefix = self._clients[url]
        headers = {"Accept": "application/json"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        payload = b""
        if body is not None:
            payload = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        began_us = time.monotonic_ns() // 1000
        error: str | None = None
        reply: Any = {}
        content = b""
        try:
            response = client.request(method, prefix + route.format(**places), body=payload, headers=headers)
            content = bytes(response.read())
            if 200 <= response.status_code < 300:
                reply = json.loads(content) if content else {}
            else:
                error = f"{method} {route}: {response.status_code}"
        except (OSError, HTTPConnectionClosed, HTTPProtocolViolationError, ValueError) as problem:
            error = f"{method} {route}: {type(problem).__name__}"
        self._on_request(method, route, time.monotonic_ns() // 1000 - began_us, len(content), error)
        if error is not None:
            raise PaymentFailedError(error)
        return dict(reply)


class Payment:
    """One payment on its way."""

    def __init__(self, payer: Payer, planned: PlannedPayment) -> None:
        self._payer = payer
        self._planned = planned
        self._openid, self._token = payer.phones[planned.number % len(payer.phones)]
        self._order_id = ""

    def _as_phone(self, method: str, route: str, body: Any = None) -> dict[str, Any]:
        host = self._payer.plan.host
        return self._payer.call(host, method, route, body, key=self._token, order_id=self._order_id)

    def prepare(self) -> None:
        """The station uploads the sale, the phone makes the order for it.

        Raises:
            PaymentFailedError: either is refused.
        """
        planned, run = self._planned, self._payer.plan.run
        station = station_id(planned.station)
        self._payer.as_station("POST", "/v1/stations/{station}/sales", _sale(planned), station=station)
        order = self._as_phone(
            "POST",
            "/v1/orders",
            {
                "client_token": f"{run}-{planned.number}",
                "station": station,
                "nozzle": planned.nozzle,
                "mode": "postpay",
                "preset_fen": None,
                "preset_ml": None,
                "invoice": None,
            },
        )
        self._order_id = str(order["order_id"])

    def pay(self, *, give_up_us: int) -> None:
        """Press the pay button, confirm on the phone, look at the order until it is PAID.

        Args:
            give_up_us: monotonic microseconds after which an unpaid order has failed.

        Raises:
            PaymentFailedError: a refusal, an order that ended otherwise, or no PAID in time.
        """
        plan = self._payer.plan
        prepared = self._as_phone("POST", "/v1/orders/{order_id}/pay", {"channel": "wechatpay"})
        confirm = {"prepay_id": prepared["prepay_id"]}
        self._payer.call(plan.payer_url, "POST", "/payers/{openid}/confirm", confirm, openid=self._openid)
        while True:
            state = self._as_phone("GET", "/v1/orders/{order_id}").get("state")
            if state in _PAID:
                return
            if state in _OVER:
                raise PaymentFailedError(f"the order became {state}")
            if time.monotonic_ns() // 1000 >= give_up_us:
                raise PaymentFailedError(f"still {state} after {plan.timeout_us // 1_000_000} s")
            gevent.sleep(plan.poll_us / 1_000_000)


def _sale(planned: PlannedPayment) -> dict[str, Any]:
    now_us = time.time_ns() // 1000
    return {
        "nozzle": planned.nozzle,
        "sequence": planned.sequence,
        "fuelling_point": planned.nozzle,
        "grade": "92",
        "volume_ml": planned.volume_ml,
        "amount_fen": (planned.volume_ml * PRICE_FEN_PER_L + 500) // 1000,
        "price_fen_per_l": PRICE_FEN_PER_L,
        "started_us": now_us - 60_000_000,
        "ended_us": now_us,
        "end_total_volume_ml": planned.sequence * 100_000,
        "end_total_amount_fen": planned.sequence * 76_000,
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
                "price_fen_per_l": PRICE_FEN_PER_L,
                "tank": 1,
            }
            for number in range(1, NOZZLES + 1)
        ],
    }
