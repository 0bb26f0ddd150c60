"""Price changes of a station: at once, or at a time of day, each of them once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from reference.site.config import SiteConfig
from reference.site.journal import Journal, JournalError
from reference.site.price_book import PlannedPrices, PriceBook
from reference.site.pumps.driver import PumpDriver

__all__ = ["PriceDesk", "PriceOwner"]

LOOK_AGAIN_S: Final = 5.0
"""The clock may be set while a plan waits: so long, at most, it goes unnoticed that its time has come."""


class PriceOwner(Protocol):
    """What the desk asks of the controller."""

    journal: Journal
    clock_us: Callable[[], int]
    point_of: dict[int, int]
    driver_of: dict[int, PumpDriver]

    def alarm(self, text: str) -> None:
        """Tell a person."""


class PriceDesk:
    """Sends prices to pumps, by way of the book.

    Args:
        owner: the controller.
        config: the station, as its file has it.

    Raises:
        JournalError: the book cannot be opened.
    """

    def __init__(self, owner: PriceOwner, config: SiteConfig) -> None:
        self._owner = owner
        self.book = PriceBook(owner.journal, config, owner.clock_us, owner.alarm)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Go on with the plans that the journal holds."""
        self._loop = asyncio.get_running_loop()
        self._tell_pumps(self.book.unfinished())
        self._look()

    def stop(self) -> None:
        """No more changes; plans stay in the journal."""
        self._loop = None
        if self._timer is not None:
            self._timer.cancel()

    def set(self, prices_fen_per_l: Mapping[int, int], source: str) -> int:
        """Change unit prices by nozzle, now; the number of the price set.

        Raises:
            KeyError: for an unknown nozzle.
            JournalError: nothing was stored or sent.
        """
        number, given = self.book.ask(self._known(prices_fen_per_l), source)
        self._tell_pumps(given)
        return number

    def plan(self, prices_fen_per_l: Mapping[int, int], due_us: int, *, key: str, source: str) -> int:
        """Change unit prices when the time of day is ``due_us`` (Unix µs), once, however the clock is set around it.

        Args:
            prices_fen_per_l: by nozzle.
            due_us: a time that has passed already means now.
            key: the same plan again, which changes nothing.
            source: who wants it.

        Raises:
            KeyError: for an unknown nozzle.
            JournalError: nothing was stored.
        """
        number, _ = self.book.ask(self._known(prices_fen_per_l), source, due_us=due_us, key=key)
        self._look()
        return number

    def _known(self, prices_fen_per_l: Mapping[int, int]) -> Mapping[int, int]:
        for nozzle in prices_fen_per_l:
            self._owner.point_of[nozzle]
        return prices_fen_per_l

    def _look(self) -> None:
        """Send what is due, and come back for the next."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._loop is None:
            return
        wait_s = LOOK_AGAIN_S
        try:
            for plan in self.book.planned():
                left_s = (plan.due_us - self._owner.clock_us()) / 1e6
                if left_s > 0:
                    wait_s = min(LOOK_AGAIN_S, left_s)
                    break
                self._send(plan)
            else:
                return
        except JournalError as error:
            self._owner.alarm(f"planned prices wait: {error}")
        self._timer = self._loop.call_later(wait_s, self._look)

    def _send(self, plan: PlannedPrices) -> None:
        if self.book.sent(plan.price_set):
            self._tell_pumps(plan.prices)

    def _tell_pumps(self, prices_fen_per_l: Mapping[int, int]) -> None:
        by_point: dict[int, dict[int, int]] = {}
        for nozzle, price in prices_fen_per_l.items():
            if nozzle not in self._owner.point_of:
                continue  # it was taken down since
            by_point.setdefault(self._owner.point_of[nozzle], {})[nozzle] = price
        for number, prices in by_point.items():
            self._owner.driver_of[number].set_prices(number, prices)
