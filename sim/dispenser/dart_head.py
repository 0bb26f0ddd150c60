"""One DART pump head: the status of one address, and what commands and the customer's hand do to it."""

from __future__ import annotations

from collections.abc import Callable

from protocols.dart import (
    AMOUNT_COUNTER_SUM,
    VOLUME_COUNTER_SUM,
    AllowedNozzles,
    Command,
    CommandCode,
    FilledReport,
    NozzleReport,
    PresetAmount,
    PresetVolume,
    PumpStatus,
    PumpTransaction,
    StatusEvent,
    StatusReport,
    TotalsReport,
    TotalsRequest,
    Transaction,
    UnitPrices,
    command_allowed,
    next_status,
)

from .events import (
    AuthorisationDropped,
    DeliveryEnded,
    FpEvent,
    NozzleLifted,
    NozzleReturned,
    PowerChanged,
    Reading,
    StateChanged,
)
from .fuelling_point import FuellingPoint
from .meter import PULSE_ML
from .states import FpState

__all__ = ["DartHead"]

_FILLED_MODULUS = 10**8
"""DC2 has eight digits."""

_TOTAL_MODULUS = 10**10
"""DC101 has ten digits: the totalisers roll over after 99,999,999.99."""

_NO_PRESET = 99_999_999
"""All nines: drivers send it for "no limit" (alejomonroy/Full-Colombia-Wayne)."""

_NOZZLE_KIND = 0x03
"""TRANS of DC3."""

_DELIVERING = frozenset({PumpStatus.AUTHORISED, PumpStatus.FILLING})


class DartHead:
    """The mind of one address.

    Args:
        point: its fuelling point.
        send: queues reports for the next poll.
        restart: restarts the link after a power cut.
        has_power: whether the cabinet has power.
        late_price_us: see `DartQuirks`.
        ignored_resets: see `DartQuirks`.
        forgets_prices: see `DartQuirks`.

    Attributes:
        status: what DC1 says.
        delivering: an authorised or running filling; `report_live` has a meaning.
        supersede: forgets what of a kind (TRANS byte) waits for a poll; None: everything is told in its order.
    """

    def __init__(
        self,
        point: FuellingPoint,
        *,
        send: Callable[[tuple[PumpTransaction, ...]], None],
        restart: Callable[[], None],
        has_power: Callable[[], bool],
        late_price_us: int = 0,
        ignored_resets: int = 0,
        forgets_prices: bool = False,
    ) -> None:
        self.point = point
        self.status = PumpStatus.FILLING_COMPLETED if self._priced() else PumpStatus.NOT_PROGRAMMED
        self.delivering = False
        self.supersede: Callable[[int], None] | None = None
        self._send = send
        self._restart = restart
        self._has_power = has_power
        self._late_price_us = late_price_us
        self._ignored_resets = ignored_resets
        self._forgets_prices = forgets_prices
        self._allowed: tuple[int, ...] | None = None
        self._preset: PresetVolume | PresetAmount | None = None
        self._reported = (0, 0)
        self._price_due_us: int | None = None
        self._nozzle_in: NozzleReport | None = None
        self._switching_off = False
        self._power_back_us = -1
        if point.state is FpState.CLOSED:
            # DART knows no open and close: a head with power is in service.
            point.open(0)
        point.listeners.append(self._on_event)

    # --- what it reports ---------------------------------------------------------------------------------------

    def whole_state(self) -> tuple[PumpTransaction, ...]:
        """Everything a controller must know that heard nothing for long."""
        return (self._filled(self.point.reading(0)), self._nozzle(), StatusReport(status=self.status))

    def report_live(self, now_us: int) -> None:
        """Queue DC2 if volume or amount have moved since the last one."""
        report = self.live_report(now_us)
        if report is not None:
            self._send((report,))

    def live_report(self, now_us: int) -> FilledReport | None:
        """DC2 if volume or amount have moved since the last one; whoever asks sends it."""
        reading = self.point.reading(now_us)
        if (reading.volume_ml, reading.amount_fen) == self._reported:
            return None
        return self._filled(reading)

    def has_news(self) -> bool:
        """Whether a poll would find a new DC2, now or by and by."""
        # Without flow the reading does not depend on time.
        if self.point.flowing or not self.delivering:
            return self.point.flowing
        reading = self.point.reading(0)
        return (reading.volume_ml, reading.amount_fen) != self._reported

    # --- time --------------------------------------------------------------------------------------------------

    def next_timer(self) -> int | None:
        """When late prices take effect, or None."""
        return self._price_due_us

    def handle_timer(self, now_us: int) -> None:
        """Let late prices take effect."""
        if self._price_due_us is not None and self._price_due_us <= now_us:
            self._price_due_us = None
            self._move(StatusEvent.PRICES)

    # --- the controller ----------------------------------------------------------------------------------------

    def execute(self, transaction: Transaction, now_us: int) -> None:
        """Do what one transaction of a data block asks for. What cannot be done is left undone without a word."""
        match transaction:
            case Command(code=code):
                if command_allowed(self.status, code):
                    self._command(code, now_us)
            case AllowedNozzles(nozzles=nozzles):
                self._allowed = nozzles
            case PresetVolume() | PresetAmount():
                self._preset = transaction
                if self.status in _DELIVERING:
                    preset_ml, preset_fen = self._preset_values()
                    self.point.set_preset(now_us, preset_ml=preset_ml, preset_fen=preset_fen)
            case UnitPrices(prices_units=prices):
                self._set_prices(prices, now_us)
            case TotalsRequest(counter=counter):
                self._report_total(counter, now_us)
            case _:
                pass  # unknown or malformed: skipped by its length; a pump's own reports are an echo

    def _command(self, code: CommandCode, now_us: int) -> None:
        match code:
            case CommandCode.RETURN_STATUS:
                self._send((StatusReport(status=self.status), self._nozzle()))
            case CommandCode.RETURN_FILLING:
                self._send((self._filled(self.point.reading(now_us)),))
            case CommandCode.RESET:
                self._reset(now_us)
            case CommandCode.AUTHORISE:
                self._authorise(now_us)
            case CommandCode.STOP:
                if self.status is PumpStatus.SWITCHED_OFF:
                    self.point.open(now_us)
                if self.status in _DELIVERING:
                    self.point.terminate(now_us)
                else:
                    self._move(StatusEvent.STOP)
            case CommandCode.SWITCH_OFF:
                self._switch_off(now_us)
            case CommandCode.RETURN_IDENTITY:
                pass  # no public source shows an answer

    def _reset(self, now_us: int) -> None:
        if self._ignored_resets > 0:
            self._ignored_resets -= 1
            return
        if self.status is PumpStatus.SWITCHED_OFF:
            self.point.open(now_us)
        if not self.point.reset(now_us):
            return
        # A controller resets when it has the filling; DART has no other word for it.
        self.point.acknowledge(self.point.last_sequence)
        self._preset = None
        self._move(StatusEvent.RESET)
        self._send((self._filled(self.point.reading(now_us)),))

    def _authorise(self, now_us: int) -> None:
        preset_ml, preset_fen = self._preset_values()
        # The model tells of the start during the call, so the status must stand before it.
        before, self.status = self.status, PumpStatus.AUTHORISED
        self.delivering = True
        self._reported = (0, 0)
        if not self.point.authorise(
            now_us, allowed_nozzles=self._allowed, preset_ml=preset_ml, preset_fen=preset_fen
        ):
            self.status = before
            self.delivering = False
        elif self.status is PumpStatus.AUTHORISED:
            self._send((StatusReport(status=self.status),))

    def _preset_values(self) -> tuple[int | None, int | None]:
        match self._preset:
            case PresetVolume(volume_units=units) if units != _NO_PRESET:
                return units * PULSE_ML, None
            case PresetAmount(amount_units=units) if units != _NO_PRESET:
                return None, units
            case _:
                return None, None

    def _switch_off(self, now_us: int) -> None:
        self._switching_off = True
        if self.status in _DELIVERING and self.point.terminate(now_us):
            self.point.close(now_us)
            if self.delivering:
                return  # the valve still closes; the end of the sale switches off
        else:
            self.point.close(now_us)
        self._switching_off = False
        self._move(StatusEvent.SWITCH_OFF)

    def _set_prices(self, prices: tuple[int, ...], now_us: int) -> None:
        point = self.point
        limit = point.profile.max_price_fen_per_l
        if len(prices) < max(point.nozzles) or self.status in _DELIVERING:
            return
        wanted = {logical: prices[logical - 1] for logical in point.nozzles}
        if not all(0 < price <= limit for price in wanted.values()):
            return
        if not all(point.set_price(now_us, logical, price) for logical, price in wanted.items()):
            return
        if self.status is PumpStatus.NOT_PROGRAMMED:
            if self._late_price_us and self._price_due_us is None:
                self._price_due_us = now_us + self._late_price_us
            elif not self._late_price_us:
                self._move(StatusEvent.PRICES)

    def _report_total(self, counter: int, now_us: int) -> None:
        logical = counter & 0x0F
        is_amount = counter >> 4 == 1
        if counter >> 4 > 1 or not 1 <= logical <= VOLUME_COUNTER_SUM:
            return
        wanted = self.point.nozzles if counter in {VOLUME_COUNTER_SUM, AMOUNT_COUNTER_SUM} else (logical,)
        total = 0
        for number in wanted:
            if number in self.point.nozzles:
                volume_ml, amount = self.point.totals(number, now_us)
                total += amount if is_amount else volume_ml // PULSE_ML
        self._send((TotalsReport(counter=counter, total_units=total % _TOTAL_MODULUS),))

    # --- the customer's hand and the works ---------------------------------------------------------------------

    def _on_event(self, event: FpEvent) -> None:
        if not self._has_power():
            self.delivering = False
            return
        match event:
            case PowerChanged(at_us=at_us):
                self._power_back_us = at_us
                self._power_is_back()
            case NozzleLifted():
                self._tell_nozzle(self._nozzle())
            case NozzleReturned(logical_nozzle=logical):
                report = self._nozzle_report(logical, out=False)
                if self.delivering:
                    self._nozzle_in = report  # travels with the end of the filling: DC2, DC3, DC1
                else:
                    self._tell_nozzle(report)
                    if self.status is PumpStatus.MAX_REACHED:
                        self._move(StatusEvent.NOZZLE_IN)
            case StateChanged(old=FpState.INOPERATIVE, at_us=at_us) if at_us != self._power_back_us:
                self._send((StatusReport(status=self.status), self._nozzle()))
            case StateChanged(new=FpState.FUELLING, old=FpState.STARTED):
                self._move(StatusEvent.FLOW)
            case AuthorisationDropped() | DeliveryEnded():
                self._filling_over(event)
            case _:
                pass

    def _tell_nozzle(self, report: NozzleReport) -> None:
        if self.supersede is not None:
            self.supersede(_NOZZLE_KIND)
        self._send((report,))

    def _filling_over(self, event: AuthorisationDropped | DeliveryEnded) -> None:
        if not self.delivering:
            return
        self.delivering = False
        reports: list[PumpTransaction] = [self._filled(self.point.reading(event.at_us))]
        if self._nozzle_in is not None:
            reports.append(self._nozzle_in)
            self._nozzle_in = None
        self._send(tuple(reports))
        if self._switching_off:
            self._switching_off = False
            self._move(StatusEvent.SWITCH_OFF)
        elif isinstance(event, DeliveryEnded) and "preset" in event.delivery.flags:
            self._move(StatusEvent.PRESET_REACHED)
        else:
            # Nozzle in and stop lead to the same status; from AUTHORISED only the stop is in the table.
            self._move(StatusEvent.STOP)

    def _power_is_back(self) -> None:
        self._restart()
        self._preset = self._nozzle_in = self._price_due_us = None
        self._switching_off = self.delivering = False
        if self._forgets_prices:
            for nozzle in self.point.nozzles.values():
                nozzle.price_fen_per_l = 0
        self.status = PumpStatus.FILLING_COMPLETED if self._priced() else PumpStatus.NOT_PROGRAMMED
        if self.point.delivering_nozzle is not None:
            # A short outage: the filling goes on where it was.
            self.status = PumpStatus.FILLING
            self.delivering = True
        self._send((StatusReport(status=self.status), self._nozzle()))

    # --- inside ------------------------------------------------------------------------------------------------

    def _move(self, event: StatusEvent) -> None:
        """Change the status by the table, and report it."""
        following = next_status(self.status, event)
        if following is not None:
            self.status = following
            self._send((StatusReport(status=following),))

    def _priced(self) -> bool:
        return all(nozzle.price_fen_per_l > 0 for nozzle in self.point.nozzles.values())

    def _filled(self, reading: Reading) -> FilledReport:
        self._reported = (reading.volume_ml, reading.amount_fen)
        return FilledReport(
            volume_units=reading.volume_ml // PULSE_ML % _FILLED_MODULUS,
            amount_units=reading.amount_fen % _FILLED_MODULUS,
        )

    def _nozzle(self) -> NozzleReport:
        """DC3 of the nozzle that is out, or of the one of the last delivery, or of none."""
        out = self.point.nozzle_out
        if out is not None:
            return self._nozzle_report(out, out=True)
        last = self.point.last_delivery
        return self._nozzle_report(last.logical_nozzle if last is not None else 0, out=False)

    def _nozzle_report(self, logical: int, *, out: bool) -> NozzleReport:
        nozzle = self.point.nozzles.get(logical)
        return NozzleReport(
            price_units=nozzle.price_fen_per_l if nozzle is not None else 0, nozzle=logical, out=out
        )
