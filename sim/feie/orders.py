"""The cloud's orders: waiting, handed over, printed; forgotten when they are too old or somebody clears the queue."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Final

from protocols.feie import order_number
from sim.kernel import Kernel
from sim.webapi import china_time

__all__ = ["KEPT_US", "Order", "OrderBook", "OrderState"]

KEPT_US: Final = 86_400_000_000
"""How long the cloud keeps an order at most; clients give up to a day (``easy-feieyun``)."""


class OrderState(StrEnum):
    """Where an order stands."""

    WAITING = "waiting"
    HANDED_OVER = "handed-over"
    PRINTED = "printed"
    EXPIRED = "expired"
    CLEARED = "cleared"
    LOST = "lost"


@dataclass(slots=True)
class Order:
    """One order; times in Unix microseconds.

    Attributes:
        number: the platform's name of it.
        sn: its printer.
        content: markup.
        times: copies.
        backurl: where to tell that it is printed; empty: nowhere.
        ordered_us, expires_us, printed_us: when it came, until when it may be printed, when it was.
    """

    number: str
    sn: str
    content: str
    times: int
    backurl: str
    ordered_us: int
    expires_us: int
    state: OrderState = OrderState.WAITING
    printed_us: int | None = None

    @property
    def day(self) -> date:
        """The day in China on which it came."""
        return china_time(self.ordered_us).date()


class OrderBook:
    """All orders of the cloud.

    There is no idempotency: the platform has no field for a number of the caller's, so what is sent twice is two orders.

    Args:
        kernel: clock and streams.
        entity: the platform's name there.
    """

    def __init__(self, kernel: Kernel, entity: str) -> None:
        self._kernel = kernel
        self._draw = kernel.streams.get(entity, "orders")
        self._entity = entity
        self._orders: dict[str, Order] = {}
        self._queues: dict[str, list[Order]] = {}

    def all(self) -> list[Order]:
        """Every order, oldest first."""
        return list(self._orders.values())

    def find(self, number: str) -> Order | None:
        """An order by its number."""
        return self._orders.get(number)

    def add(self, sn: str, content: str, times: int, *, backurl: str, expires_us: int | None) -> Order:
        """Take an order."""
        now_us = self._kernel.unix_us
        while True:
            number = order_number(sn, china_time(now_us), self._draw.randrange(10**9, 2**31))
            if number not in self._orders:
                break
        latest_us = now_us + KEPT_US
        order = Order(number, sn, content, times, backurl, now_us, min(expires_us or latest_us, latest_us))
        self._orders[number] = order
        self._queues.setdefault(sn, []).append(order)
        self._tell(order)
        return order

    def next_for(self, sn: str) -> Order | None:
        """The oldest order that waits for a printer and may still be printed; it counts as handed over from now on."""
        queue = self._queues.get(sn, [])
        while queue:
            order = queue.pop(0)
            if order.expires_us >= self._kernel.unix_us:
                self._move(order, OrderState.HANDED_OVER)
                return order
            self._move(order, OrderState.EXPIRED)
        return None

    def waiting(self, sn: str) -> int:
        """How many wait for a printer."""
        return sum(order.expires_us >= self._kernel.unix_us for order in self._queues.get(sn, ()))

    def printed(self, number: str) -> Order:
        """The printer says that an order is on paper."""
        order = self._orders[number]
        order.printed_us = self._kernel.unix_us
        self._move(order, OrderState.PRINTED)
        return order

    def put_back(self, number: str) -> None:
        """The printer lost power over it, and the cloud hands it over again."""
        order = self._orders[number]
        self._move(order, OrderState.WAITING)
        self._queues.setdefault(order.sn, []).insert(0, order)

    def lose(self, number: str) -> None:
        """The printer lost power over it, and nobody hands it over again."""
        self._move(self._orders[number], OrderState.LOST)

    def clear(self, sn: str) -> int:
        """Forget what waits for a printer; what it was handed goes on. Returns how many."""
        queue = self._queues.pop(sn, [])
        for order in queue:
            self._move(order, OrderState.CLEARED)
        return len(queue)

    def counts(self, sn: str, day: date) -> dict[str, int]:
        """``Open_queryOrderInfoByDate``: of the orders of a day, how many are printed and how many wait."""
        states = [order.state for order in self._orders.values() if order.sn == sn and order.day == day]
        waiting = sum(state in {OrderState.WAITING, OrderState.HANDED_OVER} for state in states)
        return {"print": states.count(OrderState.PRINTED), "waiting": waiting}

    def _move(self, order: Order, state: OrderState) -> None:
        order.state = state
        self._tell(order)

    def _tell(self, order: Order) -> None:
        self._kernel.trace.emit("feie.order", self._entity, order=order.number, state=str(order.state))
