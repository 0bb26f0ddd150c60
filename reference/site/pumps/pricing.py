"""Unit prices of a fuelling point: wanted, sent, and believed only when read back."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from reference.site.pumps.events import DriverEvent, PriceSet
from reference.site.pumps.intents import Intent, Read, SetPrices

__all__ = ["PATIENCE_POLLS", "TRIES_MOST", "PriceKeeping"]

PATIENCE_POLLS = 3  # unanswered wishes are repeated after this many polls
TRIES_MOST = 5  # commands; some heads obey only the second RESET


class PriceKeeping:
    """Base of `FuellingPointLogic`: price changes. Logical nozzle numbers throughout."""

    number: int
    nozzles: dict[int, int]
    prices: dict[int, int]
    pump_prices: dict[int, int]
    last_nozzle: int
    busy: bool
    emit: Callable[[DriverEvent], None]
    _reads: dict[tuple[Read, int], list[int]]

    def _init_prices(self) -> None:
        self._price_wishes: dict[int, int] = {}  # logical -> tries
        self._price_polls = -1

    def set_prices(self, prices_fen_per_l: Mapping[int, int]) -> bool:
        """See `PumpDriver.set_prices`; logical numbers here."""
        if any(logical not in self.nozzles for logical in prices_fen_per_l):
            return False
        self.prices.update(prices_fen_per_l)
        self._price_wishes.update(dict.fromkeys(prices_fen_per_l, 0))
        self._price_polls = -1
        self.busy = True
        return True

    def on_price_read(self, logical: int, price_fen_per_l: int, now_us: int) -> None:
        """The unit price that the pump shows for a nozzle."""
        self.pump_prices[logical] = price_fen_per_l
        if logical not in self._price_wishes:
            return
        if price_fen_per_l == self.prices[logical]:
            del self._price_wishes[logical]
            if not self._price_wishes:
                self._price_polls = -1  # nothing is waited for: the point may be left alone again
            self.emit(PriceSet(self.number, self.nozzles[logical], price_fen_per_l, True, now_us))

    def _next_price(self, now_us: int) -> Intent | None:
        if 0 <= self._price_polls < PATIENCE_POLLS:
            return None
        if self._price_polls >= PATIENCE_POLLS:
            self._price_polls = -1
            for logical in list(self._price_wishes):
                # Only nozzles that the pump has spoken of since can have failed; others wait for their lift.
                if self._heard_of(logical) and self._price_wishes[logical] >= TRIES_MOST:
                    del self._price_wishes[logical]
                    shown = self.pump_prices.get(logical, 0)
                    self.emit(PriceSet(self.number, self.nozzles[logical], shown, False, now_us))
        due = self._prices_due()
        if not due:
            return None
        for logical in due:
            self._price_wishes[logical] += 1
        self._price_polls = 0
        self._reads[Read.STATUS, 0] = [-1, 0]  # a price counts when it has been read back
        return SetPrices(tuple(self.prices.get(logical, 0) for logical in range(1, max(self.nozzles) + 1)))

    def _prices_due(self) -> list[int]:
        return [
            logical for logical, tries in self._price_wishes.items() if tries == 0 or self._heard_of(logical)
        ]

    def _heard_of(self, logical: int) -> bool:
        """Whether the pump has told this nozzle's price since: most tell that of the nozzle in use only."""
        return logical == self.last_nozzle
