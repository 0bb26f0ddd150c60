"""One fuelling point as the controller side sees it: recovery, sale cycle, exactly-once capture.

Protocol-free: an adapter reports what the pump said (`on_...`) and asks `next_intent` what to say. The rules come
from public field evidence on DART drivers: an acknowledgement does not mean that a command was obeyed, so every
command is judged by the status that follows; RESET clears presets, so presets go after it; after a lost link the
pump is read before anything is commanded (FD-LINK-11..13, FD-STATE-15/17, FC-SALE-01).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from reference.site.pumps.capture import DeliveryCapture
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
    StateChanged,
)
from reference.site.pumps.intents import (
    DELIVERING,
    Authorise,
    Intent,
    Phase,
    Read,
    Reads,
    Reset,
    SetPrices,
    Stop,
)
from reference.site.pumps.pricing import PATIENCE_POLLS, TRIES_MOST, PriceKeeping
from reference.site.pumps.witness import Filling, Witness

__all__ = ["FuellingPointLogic"]

READ_TRIES_MOST = 6


@dataclass(slots=True)
class _Request:
    """A wanted authorisation on its way into the pump."""

    logical: int
    preset_fen: int | None
    preset_ml: int | None
    said: type | None = None
    polls: int = 0
    tries: int = 0
    cleared: bool = False


class FuellingPointLogic(DeliveryCapture, PriceKeeping):
    """The logic of one fuelling point.

    Args:
        number: the fuelling point in the station.
        nozzles: logical nozzle (1..8) -> nozzle number in the station.
        prices_fen_per_l: logical nozzle -> the unit price that this nozzle should have.
        missed_polls_offline: so many polls in a row without an answer mean off-line.
        emit: receives events.
    """

    presets_cling = True
    """A preset stays in the pump until RESET, so one that was left over must be taken out first."""

    def __init__(
        self,
        number: int,
        nozzles: Mapping[int, int],
        prices_fen_per_l: Mapping[int, int],
        *,
        missed_polls_offline: int,
        emit: Callable[[DriverEvent], None],
    ) -> None:
        self.number = number
        self.nozzles = dict(nozzles)
        self.prices = dict(prices_fen_per_l)
        self.emit = emit
        self.limit = missed_polls_offline
        self.misses = 0
        self.up = False
        self.recovering = False
        self.busy = False  # something to say or to wait for; False is the fast path of an idle poll
        self.state = PointState.OFFLINE
        self.phase: Phase | None = None
        self.nozzle_out = 0
        self.last_nozzle = 0
        self.filling = Filling(0, 0)
        self.pump_prices: dict[int, int] = {}
        self.witnesses: dict[int, Witness] = {}
        self._block = 0
        self._reads: dict[tuple[Read, int], list[int]] = {}  # -> [polls since asked or -1, tries]
        self._request: _Request | None = None
        self._doubt = 0  # logical nozzle of an authorisation that was said and never answered
        self._stop_polls: int | None = None
        self._init_prices()
        self._preset_left = True  # unknown until a RESET was seen to work
        self._lift_waits = False
        self._returned = False
        self._init_capture()

    # -- commands -----------------------------------------------------------------------------------------------

    def authorise(self, logical: int | None, preset_fen: int | None, preset_ml: int | None) -> bool:
        """See `PumpDriver.authorise`; logical numbers here."""
        if (
            not self.up
            or self._request is not None
            or self.phase in DELIVERING
            or self._stop_polls is not None
        ):
            return False
        logical = self.nozzle_out if logical is None else logical
        if logical not in self.nozzles or self.nozzle_out not in (0, logical):
            return False
        self._request = _Request(logical, preset_fen, preset_ml)
        self.busy = True
        return True

    def stop(self) -> bool:
        """See `PumpDriver.stop`."""
        request, self._request = self._request, None
        if self.phase in DELIVERING or (request is not None and request.said is Authorise):
            self._stop_polls = -1
            self.busy = True
            return True
        return request is not None

    # -- the link -----------------------------------------------------------------------------------------------

    def on_miss(self, now_us: int) -> None:
        """A poll went unanswered."""
        self.misses += 1
        if self.misses == self.limit and (self.up or self.recovering):
            self.up = self.recovering = False
            if self._request is not None and self._request.said is Authorise:
                # Unknown, not failed: the pump may have obeyed. What it does when it is back will tell.
                self._doubt, self._request = self._request.logical, None
            self._drop_request("link lost", now_us)
            self._stop_polls = None
            self._reads.clear()
            self._forget_capture()
            self._update_busy()
            self.emit(LineDown(self.number, now_us))
            self._show(now_us)

    def on_answer(self) -> None:
        """The pump answered, whatever it said. Called before the contents are reported."""
        self.misses = 0
        if not self.up and not self.recovering:
            # Read before command: nothing is known about what happened meanwhile.
            self.recovering = True
            self._preset_left = True
            self.phase = None
            self.nozzle_out = 0
            self._reads = {(Read.STATUS, 0): [-1, 0]}
            self.busy = True

    def ask_status(self) -> None:
        """What the pump made of the last command is unknown: read before anything else is said."""
        self._reads[Read.STATUS, 0] = [-1, 0]
        self.busy = True

    def on_polled(self, now_us: int) -> None:
        """A poll was answered and its contents reported; called only while `busy`."""
        for waited in self._reads.values():
            if waited[0] >= 0:
                waited[0] += 1
        if self._request is not None and self._request.said is not None:
            self._request.polls += 1
        if self._stop_polls is not None and self._stop_polls >= 0:
            self._stop_polls += 1
        if self._price_polls >= 0:
            self._price_polls += 1
        self._proceed(now_us)

    # -- what the pump said -------------------------------------------------------------------------------------

    def begin_block(self) -> None:
        """A new block of reports: everything in it was true at one moment."""
        self._block += 1

    def on_nozzle(self, logical: int, out: bool, price_fen_per_l: int, now_us: int) -> None:
        """Nozzle in or out. An unknown nozzle number counts as "no nozzle", never as nozzle 1 (FD-STATE-17)."""
        if logical not in self.nozzles:
            logical, out = 0, False
        else:
            self.last_nozzle = logical
            self.on_price_read(logical, price_fen_per_l, now_us)
        self.on_nozzle_out(logical if out else 0, now_us)

    def on_nozzle_out(self, now_out: int, now_us: int) -> None:
        """Which logical nozzle is out; 0 or an unknown number for none."""
        if now_out not in self.nozzles:
            now_out = 0
        held = self.nozzle_out
        if held == now_out:
            return
        self.nozzle_out = now_out
        self.ended_with_nozzle_out = False
        if now_out and self.delivery_open and (not self.flow_seen or not self.delivery_nozzle):
            self.delivery_nozzle = now_out
        if held:
            self._lift_waits = False
            self._returned = self.phase in DELIVERING
            if self.up:
                self.emit(NozzleReturned(self.number, self.nozzles[held], now_us))
            self._drop_request("nozzle returned", now_us)
            if self.phase is Phase.AUTHORISED:
                self._stop_polls = -1  # an authorisation never outlives its lift
        if now_out and (self.phase not in DELIVERING or self._returned):
            # Hung up and lifted again between two polls is a new lift: it needs its own authorisation.
            self._lift_waits = True
        self._proceed(now_us)

    def on_filling(self, volume_ml: int, amount_fen: int, now_us: int) -> None:
        """Figures of the running or the last filling, as shown."""
        if volume_ml != self.filling.volume_ml or amount_fen != self.filling.amount_fen:
            self.filling = Filling(volume_ml, amount_fen)
        self.filling_block = self._block
        if self._reads:
            self._answered(Read.FILLING, 0)
        if self.delivery_open and self.phase in DELIVERING and self._grow() and self.up:
            self._flow(now_us)
            nozzle = self.nozzles.get(self.delivery_nozzle)
            if nozzle is not None:
                self.emit(LiveAmount(self.number, nozzle, volume_ml, amount_fen, now_us))

    def on_phase(self, phase: Phase, now_us: int) -> None:
        """The pump's status."""
        self._answered(Read.STATUS, 0)
        before, self.phase = self.phase, phase
        if phase in DELIVERING:
            self._on_delivering(phase, now_us)
        elif before in DELIVERING or self.delivery_open:
            self._on_delivery_end(now_us)
        if phase is Phase.READY and before is not Phase.READY:
            if before is not None and before not in DELIVERING:
                self._preset_left = False
                self.display_zeroed = True
            if self._request is not None and self._request.said is Reset:
                self._request.said = None
                self._request.tries = 0
        if self._stop_polls is not None and phase not in DELIVERING:
            self._stop_polls = None
        self._proceed(now_us)

    def _on_delivering(self, phase: Phase, now_us: int) -> None:
        if not self.delivery_open:
            self._returned = False
            self._open_delivery(self.nozzle_out or self.last_nozzle, now_us)
        if self.recovering:
            self._lift_waits = False  # the lift that was just read is the one that this delivery serves
        if phase is not Phase.AUTHORISED:
            self._flow(now_us)
            if self.filling_block == self._block:
                self._grow()  # the figures came before the status, in one block with it
        self._settle_doubt(now_us, obeyed=True)
        request = self._request
        if request is not None and self.up:
            self._request = None
            self.emit(Authorised(self.number, self.nozzles[request.logical], now_us))
            if phase is Phase.AUTHORISED and self.nozzle_out == 0:
                self._stop_polls = -1  # hung up while the command was on the wire

    # -- what to say next ---------------------------------------------------------------------------------------

    def next_intent(self, now_us: int) -> Intent | None:
        """What to say now instead of a poll, or None. Saying it is taken for granted (`on_nak` tells otherwise)."""
        reads = self._due_reads()
        if reads is not None:
            return reads
        if not self.up:
            return None
        if self._stop_polls is not None and (self._stop_polls < 0 or self._stop_polls >= PATIENCE_POLLS):
            self._stop_polls = 0
            return Stop()
        if self._reads or self.capture is not None or self.phase in DELIVERING:
            return None
        if self._price_wishes:
            intent = self._next_price(now_us)
            if intent is not None:
                return intent
        return self._next_for_request(now_us) if self._request is not None else None

    def _due_reads(self) -> Reads | None:
        fresh = tuple(item for item, (polls, _) in self._reads.items() if polls < 0)
        if fresh:
            for item in fresh:
                self._reads[item][:] = (0, self._reads[item][1] + 1)
            return Reads(fresh)
        for item, waited in self._reads.items():
            if waited[0] >= PATIENCE_POLLS:
                # Some heads answer only the first question of a block: repeat one at a time.
                if waited[1] >= READ_TRIES_MOST and item[0] is not Read.STATUS:
                    self._unreadable(item)
                    return self._due_reads()
                waited[:] = (0, waited[1] + 1)
                return Reads((item,))
        return None

    def _next_for_request(self, now_us: int) -> Intent | None:
        request = self._request
        if request is None or self.phase is None:
            return None
        if request.said is not None and request.polls < PATIENCE_POLLS:
            return None
        if request.said is not None and request.polls == PATIENCE_POLLS:
            # No reaction to an acknowledged command: some heads tell their status only when asked.
            request.polls += 1
            self._reads[Read.STATUS, 0] = [-1, 0]
            return self._due_reads()
        if request.tries >= TRIES_MOST:
            self._drop_request(f"pump stays in {self.phase.value!r}", now_us)
            return None
        intent = self._step(request)
        request.said, request.polls = type(intent), 0
        request.tries += 1
        return intent

    def _step(self, request: _Request) -> Intent:
        if self.phase is Phase.UNPROGRAMMED:
            return SetPrices(
                tuple(self.prices.get(logical, 0) for logical in range(1, max(self.nozzles) + 1))
            )
        if self.phase is not Phase.READY:
            return Reset()
        if request.said is Authorise and not request.cleared:
            # Acknowledged and not obeyed: the pump may hold what nobody here sent (on a line that echoes, a head takes
            # its own nozzle report for a preset).
            request.cleared = self._preset_left = True
        if self._preset_left and self.presets_cling:
            # A preset of another sale may still be in the pump, and only STOP + RESET takes it out.
            return Stop()
        self._preset_left = request.preset_fen is not None or request.preset_ml is not None
        return Authorise(request.logical, request.preset_fen, request.preset_ml)

    # -- inner --------------------------------------------------------------------------------------------------

    def _answered(self, read: Read, logical: int) -> None:
        waited = self._reads.get((read, logical))
        # A report that was on its way before the question is not the answer: it may lack what the answer has.
        if waited is not None and waited[0] >= 0:
            del self._reads[read, logical]

    def _drop_request(self, reason: str, now_us: int) -> None:
        request, self._request = self._request, None
        if request is not None:
            if request.said is Authorise:
                self._stop_polls = -1
            nozzle = self.nozzles.get(request.logical, 0)
            self.emit(AuthoriseRefused(self.number, nozzle, reason, now_us))

    def _settle_doubt(self, now_us: int, *, obeyed: bool) -> None:
        logical, self._doubt = self._doubt, 0
        if not logical:
            return
        nozzle = self.nozzles[logical]
        if obeyed:
            self.emit(Authorised(self.number, nozzle, now_us))
        else:
            self.emit(AuthoriseRefused(self.number, nozzle, "link lost", now_us))

    def _before_sale(self, logical: int, now_us: int) -> None:
        if logical == self._doubt:
            self._settle_doubt(now_us, obeyed=True)

    def _proceed(self, now_us: int) -> None:
        """After anything changed: finish recovery or capture when their readings are complete."""
        if not self._reads and self.phase is not None:
            if self.recovering:
                self._recover(now_us)
            elif self.capture is not None:
                self._conclude(now_us)
        if self.up and self._lift_waits and self._may_lift():
            self._lift_waits = False
            self._show(now_us)
            self.emit(NozzleLifted(self.number, self.nozzles[self.nozzle_out], now_us))
        self._show(now_us)
        self._update_busy()

    def _may_lift(self) -> bool:
        """A lift is told when the delivery before it is stored, never earlier (FC-SALE-08)."""
        return bool(self.nozzle_out) and self.capture is None and self.phase not in DELIVERING

    def _settle_capture(self, now_us: int) -> None:
        self._proceed(now_us)

    def _line_up(self, now_us: int) -> None:
        self.recovering = False
        self.up = True
        self._settle_doubt(now_us, obeyed=False)
        self._show(now_us)
        self.emit(LineUp(self.number, now_us))
        wrong = [logical for logical, price in self.pump_prices.items() if price != self.prices[logical]]
        if wrong or self.phase is Phase.UNPROGRAMMED:
            self._price_wishes.update(dict.fromkeys(wrong or self.prices, 0))

    def _update_busy(self) -> None:
        self.busy = bool(
            self._reads
            or self._request is not None
            or self._stop_polls is not None
            or self._price_polls >= 0
            or self._prices_due()
            or self.capture is not None
            or self.recovering
        )

    def _show(self, now_us: int) -> None:
        state = self._state()
        if state is not self.state:
            self.state = state
            self.emit(StateChanged(self.number, state, now_us))

    def _state(self) -> PointState:
        if not self.up or self.phase is None:
            return PointState.OFFLINE
        if self.phase is Phase.AUTHORISED:
            return PointState.STARTED if self.nozzle_out else PointState.AUTHORISED
        if self.phase in (Phase.READY, Phase.COMPLETED):
            # After a stop the nozzle may still be out; only a new lift calls.
            calling = self.nozzle_out and not self.ended_with_nozzle_out
            return PointState.CALLING if calling else PointState.IDLE
        return _STATES[self.phase]


_STATES = {
    Phase.UNPROGRAMMED: PointState.INOPERATIVE,
    Phase.OFF: PointState.CLOSED,
    Phase.FILLING: PointState.FUELLING,
    Phase.SUSPENDED: PointState.SUSPENDED_FUELLING,
    Phase.MAX_REACHED: PointState.SUSPENDED_FUELLING,
}
