"""`SiteController`: who may fuel, what was sold, and what the backend is told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import httpx

from reference.site.authorisations import TAKEN, AuthorisationDesk
from reference.site.commands import CommandHandler
from reference.site.config import FuellingPointConfig, LineConfig, NozzleConfig, SiteConfig
from reference.site.gauge.desk import GaugeDesk
from reference.site.journal import Authorisation, Journal, JournalError, Sale
from reference.site.presenting import LiveReadings, snapshot, station_setup
from reference.site.price_desk import PriceDesk
from reference.site.pumps.driver import PumpDriver, SaleNotStored
from reference.site.pumps.drivers import make_driver
from reference.site.pumps.events import (
    Authorised,
    AuthoriseRefused,
    DeliveryVoid,
    DriverEvent,
    LineDown,
    LineUp,
    LiveAmount,
    NozzleLifted,
    NozzleReturned,
    PriceSet,
    SaleCaptured,
    StateChanged,
    TotalsRead,
)
from reference.site.receipts.desk import ReceiptDesk
from reference.site.shifts import ShiftDesk
from reference.site.uplink import Uplink

__all__ = ["SiteController"]

log = logging.getLogger(__name__)

SKEW_MOST_US: Final = 2_000_000
"""A pump's clock that is further off is told."""


class SiteController(AuthorisationDesk):
    """The controller of one station.

    Wire each of ``drivers`` and ``printer`` (`protocols.sansio.Machine`; None without a printer on a wire) to its line, and ``await start()`` on the
    event loop that is to carry the uplink.

    Args:
        config: the station.
        clock_us: unix time in µs; used for time stamps and for the life of authorisations.
        http_transport: what carries HTTP; None for real sockets.
        journal_path: a file, or ":memory:".
        base_urls: backend instances, any number.
        station_key: the key that the backend knows this station by.

    Raises:
        ConfigError: a line cannot work as configured.
        JournalError: the journal cannot be opened.
    """

    def __init__(
        self,
        config: SiteConfig,
        *,
        clock_us: Callable[[], int],
        http_transport: httpx.AsyncBaseTransport | None = None,
        journal_path: str = ":memory:",
        base_urls: Sequence[str] = (),
        station_key: str = "",
    ) -> None:
        self.clock_us = clock_us
        self.alarms: list[str] = []
        self.journal = Journal(journal_path)
        self.price_desk = PriceDesk(self, config)
        self.config = config = self.price_desk.book.applied(config)
        self.drivers: list[PumpDriver] = [make_driver(line, clock_us=clock_us) for line in config.lines]
        self.points: dict[int, FuellingPointConfig] = {}
        self.nozzles: dict[int, NozzleConfig] = {}
        self.point_of: dict[int, int] = {}
        self.driver_of: dict[int, PumpDriver] = {}
        self.prices: dict[int, int] = {}
        self.lifted: dict[int, int] = {}  # fuelling point -> nozzle that waits for an authorisation
        self.held: dict[int, Authorisation] = {}  # nozzle -> the one authorisation it has
        self.blocked: set[int] = set()  # nozzles that must not sell: their tank has water in it
        self.backend_up = False
        self.on_sale: list[Callable[[Sale], None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timers: dict[int, asyncio.TimerHandle] = {}
        for line, driver in zip(config.lines, self.drivers, strict=True):
            self._add_line(line, driver)
        self.receipts = ReceiptDesk.of(self, http_transport)
        self.printer = None if self.receipts is None else self.receipts.wired
        self.uplink = Uplink(
            station=config.station,
            key=station_key,
            base_urls=base_urls,
            transport=http_transport,
            config=config.uplink,
            journal=self.journal,
            owner=self,
            clock_us=clock_us,
        )
        self._readings = LiveReadings(self)
        self.gauge = GaugeDesk.of(self)
        self.shifts = ShiftDesk(self)
        self.commands = CommandHandler(self)
        self._handlers: dict[type[Any], Callable[[Any], None]] = {
            LineUp: self._on_line_up,
            LineDown: self._on_line_down,
            StateChanged: self._on_state,
            NozzleLifted: self._on_lifted,
            NozzleReturned: self._on_returned,
            LiveAmount: self._on_live,
            Authorised: self._on_authorised,
            AuthoriseRefused: self._on_not_delivered,
            DeliveryVoid: self._on_not_delivered,
            SaleCaptured: self._on_sale,
            TotalsRead: self._on_totals,
            PriceSet: self._on_price,
        }

    def _add_line(self, line: LineConfig, driver: PumpDriver) -> None:
        driver.listener = self._hear
        for point in line.fuelling_points:
            self.points[point.fuelling_point] = point
            self.driver_of[point.fuelling_point] = driver
            for nozzle in point.nozzles:
                self.nozzles[nozzle.nozzle] = nozzle
                self.point_of[nozzle.nozzle] = point.fuelling_point
                self.prices[nozzle.nozzle] = nozzle.price_fen_per_l
                witness = self.journal.witness(nozzle.nozzle)
                if witness is not None:
                    driver.remember(nozzle.nozzle, witness)

    # -- life ---------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Take up what the journal holds, and start the uplink."""
        self._loop = asyncio.get_running_loop()
        for held in self.journal.authorisations():
            if held.nozzle in self.nozzles:
                self.held[held.nozzle] = held
                self._arm(held)
        if self.receipts is not None:
            self.receipts.start()
        self.uplink.start()
        self.shifts.start()
        self.price_desk.start()

    async def stop(self) -> None:
        """Stop the uplink and close the journal. Pumps are left as they are: a restart adopts what runs."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self.price_desk.stop()
        await self.shifts.stop()
        if self.receipts is not None:
            await self.receipts.stop()
        await self.uplink.stop()
        self.journal.close()

    def snapshot(self) -> dict[str, Any]:
        """A status page as JSON-able data."""
        return snapshot(self)

    # -- what the drivers tell ----------------------------------------------------------------------------------

    def _hear(self, event: DriverEvent) -> None:
        self._handlers[type(event)](event)

    def _on_line_up(self, event: LineUp) -> None:
        state = self.driver_of[event.fuelling_point].status(event.fuelling_point).state
        for nozzle in self.points[event.fuelling_point].nozzles:
            held = self.held.get(nozzle.nozzle)
            if held is None:
                continue
            if held.live and state not in TAKEN:
                # It ended without flow while nobody listened (a sale would have spent it).
                self._withdraw(held)
            elif self.is_over(held):
                self._expire(nozzle.nozzle)
        self.uplink.live_changed()

    def _on_line_down(self, event: LineDown) -> None:
        self.lifted.pop(event.fuelling_point, None)
        self.alarm(f"fuelling point {event.fuelling_point} is off-line")

    def _on_state(self, _event: StateChanged) -> None:
        self.uplink.live_changed()

    def _on_live(self, _event: LiveAmount) -> None:
        self.uplink.live_changed()

    def _on_lifted(self, event: NozzleLifted) -> None:
        self.lifted[event.fuelling_point] = event.nozzle
        self.consider(event.fuelling_point)

    def _on_returned(self, event: NozzleReturned) -> None:
        if self.lifted.get(event.fuelling_point) == event.nozzle:
            del self.lifted[event.fuelling_point]

    def _on_authorised(self, event: Authorised) -> None:
        held = self.held.get(event.nozzle)
        if held is not None and not held.live:
            self.hold(replace(held, live=True))
        elif held is None:
            self._stop_unheld(event.fuelling_point)
        self.lifted.pop(event.fuelling_point, None)

    def _stop_unheld(self, fuelling_point: int) -> None:
        """Found authorised after a lost link, and whom it was for has gone. Fuel that flows is sold, to whoever pays."""
        driver = self.driver_of[fuelling_point]
        if driver.status(fuelling_point).delivering is None:
            driver.stop(fuelling_point)

    def _on_not_delivered(self, event: AuthoriseRefused | DeliveryVoid) -> None:
        """The pump did not deliver. An order keeps its claim on the nozzle until its time is over."""
        held = self.held.get(event.nozzle)
        if held is not None:
            self._withdraw(held)
        self.commands.on_not_delivered(event.nozzle)

    def _withdraw(self, held: Authorisation) -> None:
        if held.order_id is None or self.is_over(held):
            self.release(held.nozzle)
        elif held.live:
            self.hold(replace(held, live=False))

    def _on_totals(self, event: TotalsRead) -> None:
        try:
            self.journal.record_witness(event.nozzle, event.witness)
        except JournalError as error:
            self.alarm(str(error))

    def _on_sale(self, event: SaleCaptured) -> None:
        held = self.held.get(event.nozzle)
        order_id = held.order_id if held is not None and held.live and not event.more else None
        # Durations come from the machine's clock, which no one sets; only the end is a time of day.
        ended_us = self.clock_us() - (event.at_us - event.ended_us)
        started_us = ended_us - (event.ended_us - event.started_us)
        try:
            shown = self.price_desk.book.of_sale(event.nozzle, event.price_fen_per_l, started_us)
        except JournalError as error:
            self.alarm(f"sale at nozzle {event.nozzle} not stored: {error}")
            raise SaleNotStored from error
        sale = Sale(
            nozzle=event.nozzle,
            sequence=0,
            fuelling_point=event.fuelling_point,
            grade=self.nozzles[event.nozzle].grade,
            volume_ml=event.volume_ml,
            amount_fen=event.amount_fen,
            price_fen_per_l=event.price_fen_per_l,
            started_us=started_us,
            ended_us=ended_us,
            end_total_volume_ml=event.end_total_volume_ml,
            end_total_amount_fen=event.end_total_amount_fen,
            order_id=order_id,
            flags=self._clock_flags(event),
            pump_ended_us=event.pump_ended_us,
            price_set=None if shown is None else shown.price_set,
            price_since_us=None if shown is None else shown.since_us,
        )
        spend = event.nozzle if held is not None and held.live and not event.more else None
        try:
            stored = self.journal.record_sales([(sale, event.witness)], spend=spend)
        except JournalError as error:
            self.alarm(f"sale at nozzle {event.nozzle} not stored: {error}")
            raise SaleNotStored from error
        if spend is not None:
            self._forget(event.nozzle)
        self.commands.on_delivered(event.nozzle)
        command_id = held.command_id if held is not None and order_id is not None else None
        self.uplink.sale_stored(stored[0].sale_id, command_id)
        self.uplink.live_changed()
        for listener in self.on_sale:
            listener(stored[0])

    def _clock_flags(self, event: SaleCaptured) -> tuple[str, ...]:
        """The sale's flags, and one more if the pump's clock is wrong; a person is told."""
        if abs(event.skew_us) <= SKEW_MOST_US:
            return event.flags
        ahead = "ahead of" if event.skew_us > 0 else "behind"
        self.alarm(
            f"the clock of fuelling point {event.fuelling_point} is {abs(event.skew_us) / 1e6:.0f} s {ahead} ours"
        )
        return (*event.flags, "clock_skew")

    def _on_price(self, event: PriceSet) -> None:
        try:
            if event.confirmed:
                self.price_desk.book.confirm(event.nozzle, event.price_fen_per_l)
            else:
                self.price_desk.book.refused(event.nozzle, event.price_fen_per_l)
        except JournalError as error:
            self.alarm(str(error))
        if not event.confirmed:
            self.alarm(
                f"nozzle {event.nozzle} did not take its price, it shows {event.price_fen_per_l} fen/l"
            )
        if event.price_fen_per_l and self.prices[event.nozzle] != event.price_fen_per_l:
            self.prices[event.nozzle] = event.price_fen_per_l
            self.uplink.setup_changed()

    # -- the operator -------------------------------------------------------------------------------------------

    def set_prices(self, prices_fen_per_l: Mapping[int, int], *, source: str = "operator") -> int:
        """Change unit prices by nozzle, within the bounds of each grade; the number of the price set.

        The change is told when read back. Raises KeyError for an unknown nozzle, JournalError if it cannot be put on record.
        """
        return self.price_desk.set(prices_fen_per_l, source)

    def stop_pump(self, fuelling_point: int) -> bool:
        """Stop a fuelling point. False when there is nothing to stop. Raises KeyError if it is unknown."""
        return self.driver_of[fuelling_point].stop(fuelling_point)

    # -- what the uplink asks -----------------------------------------------------------------------------------

    def station_setup(self) -> dict[str, Any]:
        """See `UplinkOwner`."""
        return station_setup(self)

    def live_readings(self) -> list[dict[str, Any]]:
        """See `UplinkOwner`."""
        return self._readings()

    def on_command(self, command: dict[str, Any]) -> bool:
        """See `UplinkOwner`."""
        try:
            self.commands.handle(command)
        except JournalError as error:
            self.alarm(f"command {command.get('id')} not stored: {error}")
            return False
        return True

    def on_backend(self, up: bool) -> None:
        """See `UplinkOwner`."""
        if up is not self.backend_up:
            self.backend_up = up
            for fuelling_point in list(self.lifted):
                self.consider(fuelling_point)

    # -- alarms -------------------------------------------------------------------------------------------------

    def alarm(self, text: str) -> None:
        """Something a person should know."""
        log.warning("%s", text)
        self.alarms.append(text)
        del self.alarms[:-100]
