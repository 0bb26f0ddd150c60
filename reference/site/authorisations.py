"""Who holds which nozzle: one live authorisation each, by order or by policy, for a limited time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from reference.site.config import SiteConfig
from reference.site.driver import PumpDriver
from reference.site.events import PointState
from reference.site.journal import Authorisation, Journal

__all__ = ["TAKEN", "AuthorisationDesk"]

FLOWING = frozenset({PointState.FUELLING, PointState.SUSPENDED_FUELLING})
TAKEN = FLOWING | {PointState.AUTHORISED, PointState.STARTED, PointState.SUSPENDED_STARTED}


class AuthorisationDesk:
    """Base of `SiteController`: everything about authorisations.

    An order's claim is stored before it counts; a claim by policy is not, since a restart adopts what runs.
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
        if held is not None and held.expires_us <= self.clock_us():
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

    def hold(self, held: Authorisation) -> None:
        """Give a nozzle its authorisation, or note that it changed. Raises JournalError if that cannot be stored."""
        if held.order_id is not None:
            self.journal.put_authorisation(held)
        self.held[held.nozzle] = held
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
        timer = self._timers.pop(nozzle, None)
        if timer is not None:
            timer.cancel()

    def _arm(self, held: Authorisation) -> None:
        timer = self._timers.pop(held.nozzle, None)
        if timer is not None:
            timer.cancel()
        if self._loop is not None:
            delay_s = max(0, held.expires_us - self.clock_us()) / 1e6
            self._timers[held.nozzle] = self._loop.call_later(delay_s, self._expire, held.nozzle)

    def _expire(self, nozzle: int) -> None:
        """The time to begin is over; a delivery that has begun goes on (FD-AUTH-03)."""
        self._timers.pop(nozzle, None)
        held = self.held.get(nozzle)
        if held is None:
            return
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
