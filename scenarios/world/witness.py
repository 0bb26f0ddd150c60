"""What a run's trace and its site controller tell beyond the tables: who paid when, what caused what, what the pump was told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from scenarios.timings import CarLog

__all__ = ["PAY_PATH", "Witness", "controlled_payments"]

PAY_PATH: Final = "/v1/orders/"
_PREPAY_PATH: Final = "/v3/pay/transactions/jsapi"
_PAID_EVENT: Final = "TRANSACTION.SUCCESS"
_TAKEN: Final = frozenset({"200", "204"})


@dataclass(slots=True)
class Witness:
    """A listener of the trace, and of the commands that reach the site controller.

    Attributes:
        cars: the people's own log.
        pays: order id -> (arrival of its pay request at the backend, number of that request), the last one answered 2xx.
        prepays: number of the causing request -> departure of the prepay call to the gateway.
        callbacks: out_trade_no -> departure of the first payment callback that was taken.
        sheets: order id -> out_trade_no, as phones were told.
        paid: order id -> when PAID stood on the phone.
        settled: order id -> when the site controller was told that the sale is settled.
    """

    cars: CarLog = field(default_factory=CarLog)
    pays: dict[str, tuple[int, int]] = field(default_factory=dict)
    prepays: dict[int, int] = field(default_factory=dict)
    callbacks: dict[str, int] = field(default_factory=dict)
    sheets: dict[str, str] = field(default_factory=dict)
    paid: dict[str, int] = field(default_factory=dict)
    settled: dict[str, int] = field(default_factory=dict)

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Take one event of the trace."""
        kind: str = event["kind"]
        if kind == "http":
            self._http(event)
        elif kind == "wechatpay.callback":
            if event["event"] == _PAID_EVENT and event["outcome"] in _TAKEN:
                self.callbacks.setdefault(event["subject"], event["sent_us"])
        else:
            self.cars(event)
            if kind == "phone.sheet":
                self.sheets[event["order_id"]] = event["out_trade_no"]
            elif kind == "phone.paid":
                self.paid.setdefault(event["order_id"], event["t_us"])

    def _http(self, event: Mapping[str, Any]) -> None:
        path: str = event["path"]
        if path == _PREPAY_PATH:
            if event["cause"] is not None:
                self.prepays[event["cause"]] = event["sent_us"]
        elif path.startswith(PAY_PATH) and path.endswith("/pay") and event["status"] == 200:
            order_id = path[len(PAY_PATH) : -len("/pay")]
            self.pays[order_id] = (event["arrived_us"], event["number"])

    def hear_commands(
        self, handle: Callable[[dict[str, Any]], bool], now_us: Callable[[], int]
    ) -> Callable[..., bool]:
        """Wrap the site controller's ``on_command`` so that "settled" is noted when it arrives."""

        def heard(command: dict[str, Any]) -> bool:
            if command.get("kind") == "settled" and command.get("order_id"):
                self.settled.setdefault(str(command["order_id"]), now_us())
            return handle(command)

        return heard


def controlled_payments(witness: Witness) -> list[int]:
    """Our own share of each phone payment, microseconds.

    From the pay request's arrival at the backend to the prepay call's departure, plus from the callback's departure
    at the gateway to PAID on the phone *and* "settled" at the site, whichever is later (a pre-paid order has no sale
    to settle yet). A payment that was found by query, without a callback, has no such time and is left out.
    """
    controlled = []
    for order_id, (arrived_us, number) in witness.pays.items():
        prepay_us = witness.prepays.get(number)
        callback_us = witness.callbacks.get(witness.sheets.get(order_id, ""))
        paid_us = witness.paid.get(order_id)
        if prepay_us is None or callback_us is None or paid_us is None or callback_us > paid_us:
            continue
        seen_us = paid_us
        settled_us = witness.settled.get(order_id)
        if settled_us is not None and not _was_prepaid(witness, order_id, settled_us):
            seen_us = max(paid_us, settled_us)
        controlled.append(prepay_us - arrived_us + seen_us - callback_us)
    return controlled


def _was_prepaid(witness: Witness, order_id: str, settled_us: int) -> bool:
    """A pre-paid order is settled by its delivery, long after PAID: pumping takes at least some seconds."""
    return settled_us - witness.paid[order_id] > 5_000_000
