"""One fuelling point behind IFSF, as the controller sees it: states, lifts, one request at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from protocols.ifsf import FpState
from reference.site.pumps.events import (
    Authorised,
    AuthoriseRefused,
    DriverEvent,
    LineDown,
    LineUp,
    LiveAmount,
    NozzleLifted,
    NozzleReturned,
    PointState,
    PriceSet,
    StateChanged,
)
from reference.site.pumps.ifsf.sales import IfsfSales
from reference.site.pumps.weighing import RunningFigures
from reference.site.pumps.witness import Filling, Witness

__all__ = ["DELIVERING", "IfsfPointLogic", "Wanted"]

DELIVERING: Final = frozenset(
    {
        FpState.AUTHORISED,
        FpState.STARTED,
        FpState.SUSPENDED_STARTED,
        FpState.FUELLING,
        FpState.SUSPENDED_FUELLING,
    }
)


@dataclass(slots=True)
class Wanted:
    """An authorisation on its way into the pump; ``said`` when the command has left."""

    logical: int
    preset_fen: int | None
    preset_ml: int | None
    said: bool = False


class IfsfPointLogic(IfsfSales):
    """The logic of one fuelling point; `IfsfDriver` tells it what was heard and asks what is to be done.

    Args:
        number: the fuelling point in the station.
        place: its number in the node, 1..4.
        nozzles: logical nozzle -> nozzle number in the station.
        prices_fen_per_l: logical nozzle -> unit price that it should have.
        emit: receives events.

    Attributes:
        up: the link stands and everything that could have been missed was read.
        capture_due: the buffer has to be read.
        stop_due: a Terminate has to be sent.
        price_wishes: logical nozzles whose price has to be written -> tries so far.
        changes: counts changes of state; two readings with the same count hang together.
        told: numbers of transactions that the dispenser has told since the buffer was last captured.
    """

    def __init__(
        self,
        number: int,
        place: int,
        nozzles: Mapping[int, int],
        prices_fen_per_l: Mapping[int, int],
        emit: Callable[[DriverEvent], None],
    ) -> None:
        self.number = number
        self.place = place
        self.nozzles = dict(nozzles)
        self.prices = dict(prices_fen_per_l)
        self._prices_before = dict(
            prices_fen_per_l
        )  # what a delivery that runs over a price change is sold at
        self._figures = RunningFigures()
        self.emit = emit
        self.witnesses: dict[int, Witness] = {}
        self.up = False
        self.state: FpState | None = None
        self.shown = PointState.OFFLINE
        self.nozzle_out = 0
        self.sequence = -1
        self.capture_due = False
        self.stop_due = False
        self.changes = 0
        self.told: set[int] = set()
        self.price_wishes: dict[int, int] = {}
        self.wanted: Wanted | None = None
        self.delivery_open = False
        self.delivery_nozzle = 0
        self.flow_seen = False
        self.running = Filling(0, 0)
        self._started_us = 0
        self._ended_us = 0
        self._doubt = 0
        self._lift_waits = False
        self._stale = 0  # a nozzle that has been out since before a failure

    @property
    def delivering(self) -> bool:
        """Fuel flows or may flow."""
        return self.state in DELIVERING

    @property
    def _is_stale(self) -> bool:
        """The nozzle that is out has not been lifted anew since its delivery was interrupted."""
        return bool(self._stale) and self.nozzle_out == self._stale

    @property
    def settling(self) -> bool:
        """See `PointStatus`."""
        return self.delivery_open or self.capture_due or (self.wanted is not None and self.wanted.said)

    # -- commands ------------------------------------------------------------------------------------------------

    def authorise(self, logical: int | None, preset_fen: int | None, preset_ml: int | None) -> bool:
        """See `PumpDriver.authorise`; logical numbers here."""
        if not self.up or self.wanted is not None or self.delivering or self.capture_due or self.stop_due:
            return False
        logical = self.nozzle_out if logical is None else logical
        if logical not in self.nozzles or self.nozzle_out not in {0, logical}:
            return False
        self.wanted = Wanted(logical, preset_fen, preset_ml)
        return True

    def stop(self) -> bool:
        """See `PumpDriver.stop`."""
        wanted = self.wanted
        if wanted is not None and not wanted.said:
            self.wanted = None
        if self.delivering or (wanted is not None and wanted.said):
            self.stop_due = True
        return self.stop_due or wanted is not None

    def set_prices(self, prices_fen_per_l: Mapping[int, int]) -> None:
        """See `PumpDriver.set_prices`; logical numbers here."""
        self._prices_before.update(self.prices)
        self.prices.update(prices_fen_per_l)
        self.price_wishes.update(dict.fromkeys(prices_fen_per_l, 0))

    # -- the link ------------------------------------------------------------------------------------------------

    def link_lost(self, now_us: int) -> None:
        """Nothing is known any more. A Release that was said may have been obeyed: unknown, not failed."""
        if self.wanted is not None and self.wanted.said:
            self._doubt, self.wanted = self.wanted.logical, None
        self.refuse("link lost", now_us)
        self.stop_due = self.capture_due = self._lift_waits = False
        self.told.clear()
        self.state = None
        self.nozzle_out = 0
        if self.up:
            self.up = False
            self.emit(LineDown(self.number, now_us))
        self._show(now_us)

    def link_up(self, now_us: int) -> None:
        """Everything has been read."""
        self.up = True
        self._settle_doubt(now_us, obeyed=self.delivering)
        self._show(now_us)
        self.emit(LineUp(self.number, now_us))
        self.proceed(now_us)

    # -- what the dispenser says ---------------------------------------------------------------------------------

    def on_status(self, state: FpState, bits: int, now_us: int) -> None:
        """FP_State and Log_Noz_State, told or read."""
        before, self.state = self.state, state
        if state is not before:
            self.changes += 1
        self._on_nozzle(self._nozzle_of(bits, state), now_us)
        if before is FpState.CALLING and state is FpState.IDLE:
            # Nobody calls any more, whatever the nozzle's bit says: some dispensers never clear it.
            self._lift_waits = False
            if self.wanted is not None and not self.wanted.said:
                self.refuse("nozzle returned", now_us)
        if state in DELIVERING:
            self._on_delivering(state, now_us)
        elif self.delivery_open and before is not None:
            if before in DELIVERING:
                self._ended_us = now_us
            self.capture_due = True
        if state is FpState.CALLING and before is not FpState.CALLING and not self._is_stale:
            self._lift_waits = True
        self.proceed(now_us)

    def _nozzle_of(self, bits: int, state: FpState) -> int:
        out = next((logical for logical in sorted(self.nozzles) if bits >> (logical - 1) & 1), 0)
        if not out and state is FpState.CALLING and len(self.nozzles) == 1:
            return next(iter(self.nozzles))  # somebody calls, and there is one nozzle
        return out

    def _on_nozzle(self, out: int, now_us: int) -> None:
        held, self.nozzle_out = self.nozzle_out, out
        if out != self._stale:
            self._stale = 0
        if not held or held == out:
            return
        self._lift_waits = False
        if self.up:
            self.emit(NozzleReturned(self.number, self.nozzles[held], now_us))
        if self.wanted is not None and not self.wanted.said:
            self.refuse("nozzle returned", now_us)
        if self.state is FpState.AUTHORISED:
            self.stop_due = True  # an authorisation never outlives its lift

    def _on_delivering(self, state: FpState, now_us: int) -> None:
        self._lift_waits = False
        wanted, self.wanted = self.wanted, None
        if not self.delivery_open:
            self.delivery_open = True
            self.delivery_nozzle = self.nozzle_out or (wanted.logical if wanted is not None else 0)
            self.flow_seen = False
            self.running = Filling(0, 0)
            self._figures.begin()
            self._started_us = now_us
        elif self.nozzle_out and not self.flow_seen:
            self.delivery_nozzle = self.nozzle_out
        if wanted is not None:
            self.emit(Authorised(self.number, self.nozzles[wanted.logical], now_us))
            if state is FpState.AUTHORISED and not self.nozzle_out:
                self.stop_due = True  # hung up while the command was on the wire
        if self.up:
            self._settle_doubt(now_us, obeyed=True)
        if state in {FpState.FUELLING, FpState.SUSPENDED_FUELLING} and not self.flow_seen:
            self.flow_seen = True
            self._started_us = now_us

    def on_running(self, logical: int, volume_ml: int, amount_fen: int, now_us: int) -> None:
        """Figures of the running delivery. A meter never runs back: smaller figures are late or damaged."""
        before = self.running
        if not self.delivery_open or volume_ml < before.volume_ml or amount_fen < before.amount_fen:
            return
        if (volume_ml, amount_fen) == (before.volume_ml, before.amount_fen):
            return
        if logical not in self.nozzles:
            logical = self.delivery_nozzle
        prices = [table[logical] for table in (self.prices, self._prices_before) if table.get(logical)]
        if not self._figures.believes(Filling(volume_ml, amount_fen), prices, now_us):
            return
        self.delivery_nozzle = logical
        self.running = Filling(volume_ml, amount_fen)
        self.flow_seen = True
        nozzle = self.nozzles.get(self.delivery_nozzle)
        if nozzle is not None and self.up:
            self.emit(LiveAmount(self.number, nozzle, volume_ml, amount_fen, now_us))

    def on_transaction(self, sequence: int) -> None:
        """A transaction was made, or locked by somebody."""
        self.told.add(sequence)
        self.capture_due = True

    def refuse(self, reason: str, now_us: int) -> None:
        """Give the wanted authorisation up."""
        wanted, self.wanted = self.wanted, None
        if wanted is not None:
            self.emit(AuthoriseRefused(self.number, self.nozzles.get(wanted.logical, 0), reason, now_us))

    def price_written(self, logical: int, price_fen_per_l: int, now_us: int, *, confirmed: bool) -> None:
        """The end of a price change."""
        self.price_wishes.pop(logical, None)
        self.emit(PriceSet(self.number, self.nozzles[logical], price_fen_per_l, confirmed, now_us))

    # -- inner ---------------------------------------------------------------------------------------------------

    def proceed(self, now_us: int) -> None:
        """Tell a lift when the delivery before it is stored, never earlier (FC-SALE-08), and show the state."""
        self._show(now_us)
        calls = self.state is FpState.CALLING and self.nozzle_out and not self.capture_due
        if self.up and self._lift_waits and calls and not self.delivery_open:
            self._lift_waits = False
            self.emit(NozzleLifted(self.number, self.nozzles[self.nozzle_out], now_us))

    def _settle_doubt(self, now_us: int, *, obeyed: bool) -> None:
        logical, self._doubt = self._doubt, 0
        if not logical:
            return
        nozzle = self.nozzles[logical]
        if obeyed:
            self.emit(Authorised(self.number, nozzle, now_us))
        else:
            self.emit(AuthoriseRefused(self.number, nozzle, "link lost", now_us))

    def _show(self, now_us: int) -> None:
        shown = PointState.OFFLINE
        if self.up and self.state is not None:
            idle = self.state is FpState.CALLING and self._is_stale
            shown = PointState.IDLE if idle else PointState(self.state.name)
        if shown is not self.shown:
            self.shown = shown
            self.emit(StateChanged(self.number, shown, now_us))
