"""Who holds which nozzle: one live authorisation each, by order or by policy, for a limited time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cached_property

from reference.site.config import SiteConfig
from reference.site.journal import Authorisation, Journal
from reference.site.pumps.driver import PumpDriver
from reference.site.pumps.events import PointState

__all__ = ["TAKEN", "AuthorisationDesk"]

FLOWING = frozenset({PointState.FUELLING, PointState.SUSPENDED_FUELLING})
TAKEN = FLOWING | {PointState.AUTHORISED, PointState.STARTED, PointState.SUSPENDED_STARTED}


class AuthorisationDesk:
    """Base of `SiteController`: everything about authorisations.

    An order's claim is stored before it counts; a claim by policy is not, since a restart adopts what runs.

    The time of day when a claim ends is for the journal, so that a restart knows it. While the process lives, the loop's own
    clock counts: somebody may set the time of day meanwhile.
    """

    config: SiteConfig
    clock_us: Callable[[], int]
    journal: Journal
    backend_up: bool
    blocked: set[int]
    lifted: dict[int, int]
    held: dict[int, Authorisation]
    point_of: dict[int, int]
    driver_of: dict[int, PumpDriver]
    _loop: asyncio.AbstractEventLoop | None
    _timers: dict[int, asyncio.TimerHandle]

    @cached_property
    def _ended(self) -> set[int]:
        """Nozzles whose authorisation's time is over, and which hold it still."""
        return set()

    @property
    def policy_allows(self) -> bool:
        """Whether a lift without an order is authorised now."""
        if self.backend_up:
            return self.config.lift_policy == "authorise"
        return self.config.offline_policy == "authorise"

    def consider(self, fuelling_point: int) -> None:
        """Authorise the nozzle that waits at this fuelling point, if an order or the policy says so."""
        nozzle = self.lifted.get(fuelling_point)
        if nozzle is None or nozzle in self.blocked:
            return
        held = self.held.get(nozzle)
        if held is not None and held.live:
            return
        if held is not None and self.is_over(held):
            self.release(nozzle)
            held = None
        if held is None:
            if not self.policy_allows:
                return
            held = Authorisation(nozzle, None, None, None, None, self.expiry_us())
            self.hold(held)
        self.driver_of[fuelling_point].authorise(
            fuelling_point, nozzle, preset_fen=held.preset_fen, preset_ml=held.preset_ml
        )

    def expiry_us(self) -> int:
        """When an authorisation given now ends."""
        return self.clock_us() + self.config.authorisation_ttl_us

    def is_over(self, held: Authorisation) -> bool:
        """Whether the time in which this authorisation lets a delivery begin is over."""
        timer = self._timers.get(held.nozzle)
        if timer is not None and self._loop is not None:
            return timer.when() <= self._loop.time()
        return held.nozzle in self._ended or held.expires_us <= self.clock_us()

    def hold(self, held: Authorisation) -> None:
        """Give a nozzle its authorisation, or note that it changed. Raises JournalError if that cannot be stored."""
        if held.order_id is not None:
            self.journal.put_authorisation(held)
        before = self.held.get(held.nozzle)
        self.held[held.nozzle] = held
        if before is None or before.expires_us != held.expires_us:
            self._ended.discard(held.nozzle)
            self._arm(held)
        elif held.nozzle not in self._timers:
            self._arm(held)

    def release(self, nozzle: int) -> None:
        """Take a nozzle's authorisation away."""
        held = self.held.get(nozzle)
        if held is not None:
            if held.order_id is not None:
                self.journal.drop_authorisation(nozzle)
            self._forget(nozzle)

    def _forget(self, nozzle: int) -> None:
        self.held.pop(nozzle, None)
        self._ended.discard(nozzle)
        timer = self._timers.pop(nozzle, None)
        if timer is not None:
            timer.cancel()

    def _arm(self, held: Authorisation) -> None:
        timer = self._timers.pop(held.nozzle, None)
        if timer is not None:
            timer.cancel()
        if self._loop is not None:
            left_us = 0 if held.nozzle in self._ended else held.expires_us - self.clock_us()
            delay_s = max(0, left_us) / 1e6
            self._timers[held.nozzle] = self._loop.call_later(delay_s, self._expire, held.nozzle)

    def _expire(self, nozzle: int) -> None:
        """The time to begin is over; a delivery that has begun goes on (FD-AUTH-03)."""
        self._timers.pop(nozzle, None)
        held = self.held.get(nozzle)
        if held is None:
            return
        self._ended.add(nozzle)
        number = self.point_of[nozzle]
        driver = self.driver_of[number]
        status = driver.status(number)
        if status.state is PointState.OFFLINE:
            return  # what the pump made of it is unknown; looked at again when the line is up
        if held.live and (status.state in TAKEN or status.settling):
            if status.state in TAKEN - FLOWING and status.volume_ml == 0:
                driver.stop(number)
            return  # what comes of it, void or sale, releases the nozzle
        driver.stop(number)
        self.release(nozzle)
