"""The books of a fuelling point: records, totalisers, locks and prices, as they stand between operations."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from .events import (
    Component,
    Delivery,
    DeliveryEnded,
    FpEvent,
    PointLocked,
    PriceChanged,
    Reading,
    RecordOverwritten,
)
from .flow import RunningDelivery
from .meter import PULSE_ML
from .nozzle import Nozzle
from .profile import DispenserProfile
from .store import RecordStore

__all__ = ["Books"]


class Books:
    """Base of `Works`: what a fuelling point keeps, and how a delivery gets into it."""

    def __init__(
        self, number: int, nozzles: Iterable[Nozzle], *, profile: DispenserProfile | None = None
    ) -> None:
        self.number = number
        self.profile = profile if profile is not None else DispenserProfile()
        self.nozzles: dict[int, Nozzle] = {}
        for nozzle in nozzles:
            if nozzle.logical in self.nozzles:
                raise ValueError(f"fuelling point {number}: two nozzles are number {nozzle.logical}")
            self.nozzles[nozzle.logical] = nozzle
        if not self.nozzles:
            raise ValueError(f"fuelling point {number} has no nozzle")
        self.journal: deque[Delivery] = deque(maxlen=self.profile.journal_limit)
        self.unacknowledged: deque[Delivery] = deque(maxlen=self.profile.journal_limit)
        self.acknowledged_sequence = 0
        self.last_sequence = 0
        self.store = RecordStore(self.profile.journal_limit)
        self.locks: dict[str, int] = {}
        self.refusal = ""
        self.is_testing = False
        self.clock_is_lost = False
        self._keyed: tuple[int | None, int | None] = (None, None)
        self.listeners: list[Callable[[FpEvent], None]] = []
        self._unwritten: Delivery | None = (
            None  # ended, but its record is not in the store before `_written_us`
        )
        self._written_us = 0
        self._waiting_prices: dict[int, int] = {}
        self._valve_from_us = 0
        self._last_us = 0
        self._events: deque[FpEvent] = deque()

    def _rolled_over(self, volume_ml: int, amount: int) -> tuple[int, int]:
        profile = self.profile
        if profile.total_volume_digits:
            volume_ml %= PULSE_ML * 10**profile.total_volume_digits
        if profile.total_amount_digits:
            amount %= 10**profile.total_amount_digits
        return volume_ml, amount

    def _record(
        self, running: RunningDelivery, shown: Reading, flags: tuple[str, ...], now_us: int
    ) -> Delivery:
        nozzle = running.nozzle
        volume_ml = shown.volume_ml
        if volume_ml == 0:
            flags = (*flags, "zero")
        elif volume_ml < self.profile.mmq_ml:
            flags = (*flags, "below-mmq")
        if running.preset_pulses is not None and volume_ml > running.preset_pulses * PULSE_ML:
            flags = (*flags, "overrun")
        if self.clock_is_lost:
            flags = (*flags, "clock-lost")
        if running.is_test:
            flags = (*flags, "test")
        components: tuple[Component, ...] = ()
        if nozzle.blend is not None:
            second_ml = nozzle.blend.share(volume_ml // PULSE_ML) * PULSE_ML
            parts = zip(nozzle.tanks, (volume_ml - second_ml, second_ml), strict=True)
            components = tuple(Component(tank.tank_id, tank.grade, part_ml) for tank, part_ml in parts)
        end_ml, end_fen = self._rolled_over(
            nozzle.total_volume_ml + volume_ml, nozzle.total_amount_fen + shown.amount_fen
        )
        return Delivery(
            fuelling_point=self.number,
            logical_nozzle=nozzle.logical,
            nozzle_id=nozzle.nozzle_id,
            grade=nozzle.grade,
            tank=nozzle.tank.tank_id,
            sequence=self.last_sequence % self.profile.sequence_max + 1,
            volume_ml=volume_ml,
            amount_fen=shown.amount_fen,
            price_fen_per_l=running.price_fen_per_l,
            started_us=running.started_us,
            ended_us=now_us,
            end_total_volume_ml=end_ml,
            end_total_amount_fen=end_fen,
            flags=flags,
            components=components,
            software_id=self.profile.software_id,
        )

    def _write_down(self) -> None:
        """The record of the ended delivery is safe in both copies: from now on the world may know it."""
        delivery, self._unwritten = self._unwritten, None
        if delivery is None:
            return
        nozzle = self.nozzles[delivery.logical_nozzle]
        nozzle.total_volume_ml, nozzle.total_amount_fen = self._rolled_over(
            nozzle.total_volume_ml + delivery.volume_ml, nozzle.total_amount_fen + delivery.amount_fen
        )
        nozzle.count += delivery.volume_ml > 0
        parts = (
            (part.volume_ml for part in delivery.components) if delivery.components else (delivery.volume_ml,)
        )
        for which, part_ml in enumerate(parts):
            nozzle.component_totals_ml[which] += part_ml
        if "test" in delivery.flags:
            nozzle.return_fuel()
        self.last_sequence = delivery.sequence
        self.store.append(delivery)
        self.journal.append(delivery)
        at_us = max(self._last_us, delivery.ended_us)
        limit = self.profile.journal_limit
        if len(self.unacknowledged) == limit:
            self._events.append(RecordOverwritten(self.number, at_us, self.unacknowledged[0]))
        self.unacknowledged.append(delivery)
        if self.profile.journal_full == "lock" and len(self.unacknowledged) == limit:
            self._lock("journal-full", at_us)
        self._events.append(DeliveryEnded(self.number, at_us, delivery))

    def _lock(self, reason: str, now_us: int) -> bool:
        if reason in self.locks:
            return False
        self.locks[reason] = now_us
        self._events.append(PointLocked(self.number, now_us, reason))
        return True

    def _take_waiting_prices(self, now_us: int) -> None:
        """Prices that came during the delivery are those of the next one."""
        for logical, price in self._waiting_prices.items():
            self._put_price(logical, price, now_us)
        self._waiting_prices.clear()

    def _put_price(self, logical: int, price: int, now_us: int) -> None:
        nozzle = self.nozzles[logical]
        if nozzle.price_fen_per_l != price:
            nozzle.price_fen_per_l = price
            self._valve_from_us = now_us + self.profile.price_pause_us
            self._events.append(PriceChanged(self.number, now_us, logical, price))

    def _keep_part_tally(self, nozzle: Nozzle, now_us: int) -> None:
        """A delivery with fuel went through this nozzle's meter; see `Safety`."""
        raise NotImplementedError
