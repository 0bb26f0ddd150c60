"""The works of a fuelling point: state table, valve, meter, timers and the record, without the outside's operations.

Each operation of `FuellingPoint` first acts on the timers due before it (`Works._advance`), so the result does not
depend on how punctually ``handle_timer`` is called, and ends with `Works._done`: plan the flow, wake the owner,
tell the listeners.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .books import Books
from .events import AuthorisationDropped, Delivery, FlowStarted, FlowStopped, Reading, StateChanged
from .flow import RunningDelivery, plan_flow
from .meter import amount_fen
from .nozzle import Nozzle
from .profile import DispenserProfile
from .states import STATE_TABLE, FpInput, FpState, Guard

__all__ = ["Works"]

_VALVE_MAY_OPEN = frozenset({FpState.STARTED, FpState.FUELLING})

_END_FLAGS: dict[FpInput, tuple[str, ...]] = {
    FpInput.HANG_UP: (),
    FpInput.PRESET_REACHED: ("preset",),
    FpInput.TERMINATE: ("terminated",),
    FpInput.NO_FLOW_TIMEOUT: ("no-flow-timeout",),
}


class Works(Books):
    """State, flow and time of a fuelling point; see `FuellingPoint`, its only user."""

    def __init__(
        self, number: int, nozzles: Iterable[Nozzle], *, profile: DispenserProfile | None = None
    ) -> None:
        super().__init__(number, nozzles, profile=profile)
        self.state = FpState.IDLE if self.profile.starts_open else FpState.CLOSED
        self.nozzle_out: int | None = None
        self.on_change: Callable[[], None] | None = None
        self._trigger_ml_per_min = 0
        self._shut_off_ml: int | None = None
        self._running: RunningDelivery | None = None
        self._display = Reading(0, 0, 0)
        self._allowed: frozenset[int] = frozenset()
        self._preset: tuple[int | None, int | None] = (None, None)
        self._close_pending = False
        # The valve closes for `_closing_for` and is closed at `_closed_us`; both None when it does not close.
        self._closing_for: FpInput | None = None
        self._closed_us: int | None = None
        self._expires_us: int | None = None
        self._still_since_us = 0
        self.timer_us: int | None = None
        self._rate = 0
        self._stop_reason = ""
        self._latch = ""  # why INOPERATIVE may not be left by itself
        self._interrupted: RunningDelivery | None = None
        self._may_continue = False
        self._telling = False

    # --- observation -------------------------------------------------------------------------------------------

    @property
    def last_delivery(self) -> Delivery | None:
        """The newest record of the journal."""
        return self.journal[-1] if self.journal else None

    @property
    def flowing(self) -> bool:
        """Whether fuel flows."""
        return self._rate > 0

    @property
    def delivering_nozzle(self) -> int | None:
        """Logical number of the nozzle whose delivery is under way, or None."""
        return self._running.nozzle.logical if self._running is not None else None

    @property
    def allowed_nozzles(self) -> frozenset[int]:
        """The nozzles of the live authorisation; empty when there is none."""
        return self._allowed

    def reading(self, now_us: int) -> Reading:
        """The display at ``now_us``: the delivery under way, or the last one until the display is zeroed.

        A time before the last operation reads as that operation's time.
        """
        running = self._running
        if running is None:
            return self._display
        volume_ml = running.delivered_ml(max(now_us, self._last_us))
        amount = amount_fen(volume_ml, running.price_fen_per_l, running.price_decimals)
        return Reading(volume_ml, amount, running.price_fen_per_l)

    def totals(self, logical_nozzle: int, now_us: int) -> tuple[int, int]:
        """The totalisers (ml, fen) of a nozzle at ``now_us``, counting along with a delivery under way.

        They roll over as the profile declares: after the largest number of that many digits comes 0.
        """
        nozzle = self.nozzles[logical_nozzle]
        volume_ml, amount = nozzle.total_volume_ml, nozzle.total_amount_fen
        unwritten = self._unwritten
        if self._running is not None and self._running.nozzle is nozzle:
            live = self.reading(now_us)
            volume_ml, amount = volume_ml + live.volume_ml, amount + live.amount_fen
        elif unwritten is not None and unwritten.logical_nozzle == logical_nozzle:
            volume_ml, amount = volume_ml + unwritten.volume_ml, amount + unwritten.amount_fen
        return self._rolled_over(volume_ml, amount)

    # --- time --------------------------------------------------------------------------------------------------

    def next_timer(self) -> int | None:
        """The next instant (µs) at which something happens by itself, or None."""
        return self.timer_us

    def handle_timer(self, now_us: int) -> None:
        """Act on everything due at or before ``now_us``, each at its own time."""
        self._advance(now_us)
        self._tell()

    def settle(self, now_us: int) -> None:
        """Book what flowed up to ``now_us`` on the tanks, so that they can be compared with the meters."""
        self._advance(now_us)
        self._settle(now_us)
        self._done(now_us)

    def _advance(self, now_us: int) -> None:
        if now_us < self._last_us:
            raise ValueError(
                f"fuelling point {self.number}: time went back from {self._last_us} to {now_us} µs"
            )
        while self.timer_us is not None and self.timer_us <= now_us:
            at_us = self._last_us = self.timer_us
            self._settle(at_us)
            if self._running is not None:
                self._running_due(self._running, at_us)
            elif self._unwritten is not None and at_us >= self._written_us:
                self._write_down()
            elif self._expires_us is not None and at_us >= self._expires_us:
                self._fire(FpInput.AUTHORISATION_EXPIRED, at_us)
                self._drop(at_us, "expired")
            self._plan(at_us)
        self._last_us = now_us

    def _running_due(self, running: RunningDelivery, at_us: int) -> None:
        """Do what is due at ``at_us`` during a delivery; the meter is settled."""
        delivered = running.delivered_pulses(at_us)
        if delivered and self.state is FpState.STARTED:
            self._fire(FpInput.FIRST_PULSE, at_us)
        if running.target_pulses is not None and delivered >= running.target_pulses:
            if self.profile.valve_lag_us and self._rate:
                running.target_pulses = None
                running.slow = True
                self._close_valve(FpInput.PRESET_REACHED, at_us, self.profile.valve_lag_us)
                return
            self._stop_reason = "preset"
            self._fire(FpInput.PRESET_REACHED, at_us)
            self._finish(running, at_us, FpInput.PRESET_REACHED)
        elif self._closing_for is not None and self._closed_us is not None and at_us >= self._closed_us:
            self._stop_reason = "valve"
            self._fire(FpInput.VALVE_CLOSED, at_us)
            if self._closing_for is FpInput.SUSPEND:
                self._closing_for = self._closed_us = None
            else:
                self._finish(running, at_us, self._closing_for)
        elif not self._rate and at_us >= self._still_since_us + self.profile.no_flow_timeout_us:
            self._fire(FpInput.NO_FLOW_TIMEOUT, at_us)
            self._finish(running, at_us, FpInput.NO_FLOW_TIMEOUT)

    # --- the state table ---------------------------------------------------------------------------------------

    def _fire(self, trigger: FpInput, now_us: int) -> bool:
        """Apply the first rule that holds for ``trigger``; False when none does: refused, nothing changed."""
        for rule in STATE_TABLE.get((self.state, trigger), ()):
            if self._holds(rule.guard):
                if rule.target is not self.state:
                    old, self.state = self.state, rule.target
                    self._events.append(StateChanged(self.number, now_us, old, rule.target, trigger))
                return True
        return False

    def _holds(self, guard: Guard) -> bool:
        if guard is Guard.ALWAYS:
            return True
        if guard is Guard.NOZZLE_OUT:
            return self.nozzle_out is not None
        if guard is Guard.OUT_NOZZLE_ALLOWED:
            return self.nozzle_out in self._allowed
        if guard is Guard.NO_DISALLOWED_NOZZLE_OUT:
            return self.nozzle_out is None or self.nozzle_out in self._allowed
        if guard is Guard.FLOWING:
            return self._rate > 0
        if guard is Guard.CLOSE_PENDING:
            return self._close_pending
        if guard is Guard.LATCHED:
            return bool(self._latch)
        if guard is Guard.MAY_CONTINUE:
            return self._may_continue
        if guard is Guard.PRICE_WAITS:
            return self.profile.price_while_busy == "next"
        return self._closing_for is FpInput.SUSPEND

    # --- start and end of a delivery ---------------------------------------------------------------------------

    def _start(self, logical_nozzle: int, now_us: int) -> None:
        nozzle = self.nozzles[logical_nozzle]
        nozzle.meter.settle(now_us)
        nozzle.begin()
        self._running = RunningDelivery(
            nozzle=nozzle,
            price_fen_per_l=nozzle.price_fen_per_l,
            started_us=now_us,
            start_units=nozzle.meter.position_units(now_us),
            start_pulses=nozzle.meter.pulses(now_us),
            is_test=self.is_testing,
            price_decimals=self.profile.price_decimals,
        )
        self._running.aim(*self._preset)
        self._expires_us = None
        self._still_since_us = now_us

    def _close_valve(self, cause: FpInput, now_us: int, takes_us: int | None = None) -> None:
        """Begin to close. A valve that is closing already keeps its time; an end outranks a suspend."""
        if self._closed_us is None:
            self._closed_us = now_us + (self.profile.valve_close_us if takes_us is None else takes_us)
        if self._closing_for is None or self._closing_for is FpInput.SUSPEND:
            self._closing_for = cause

    def _drop(self, now_us: int, reason: str) -> None:
        self._forget_authorisation()
        self._events.append(AuthorisationDropped(self.number, now_us, reason))
        self._take_waiting_prices(now_us)

    def _forget_authorisation(self) -> None:
        self._allowed = frozenset()
        self._preset = self._keyed = (None, None)
        self._expires_us = None

    def _finish(self, running: RunningDelivery, now_us: int, cause: FpInput, reason: str = "") -> None:
        """The delivery is over; the state has changed already. Its record is written within the profile's time."""
        self._settle(now_us)
        self._display = self.reading(now_us)
        self._set_rate(running, 0, None, now_us)
        self._running = None
        self._closing_for = self._closed_us = None
        self._close_pending = False
        self._forget_authorisation()
        # A latch (emergency stop) is the reason, whatever came first while the valve closed.
        flags = (reason or self._latch,) if reason or self._latch else _END_FLAGS[cause]
        if self._display.volume_ml == 0:
            self._events.append(AuthorisationDropped(self.number, now_us, flags[0] if flags else cause.value))
        else:
            self._keep_part_tally(running.nozzle, now_us)
        if self._display.volume_ml or self.profile.zero_sales == "journal":
            self._unwritten = self._record(running, self._display, flags, now_us)
            # Both copies of the record, then both of the state.
            self._written_us = now_us + 4 * self.profile.nv_write_us
            if not self.profile.nv_write_us:
                self._write_down()
        self._take_waiting_prices(now_us)
        if self._latch:
            self._fire(FpInput.FAIL, now_us)

    # --- flow --------------------------------------------------------------------------------------------------

    def _settle(self, now_us: int) -> None:
        if self._running is not None:
            nozzle = self._running.nozzle
            pulses = nozzle.meter.settle(now_us)
            if pulses:
                nozzle.draw(self._running.delivered_pulses(now_us) - pulses, pulses)

    def _set_rate(self, running: RunningDelivery, rate: int, stop_units: int | None, now_us: int) -> None:
        """Set the flow of a settled meter and tell when it starts or stops."""
        running.nozzle.meter.set_flow(rate, stop_units)
        logical = running.nozzle.logical
        if rate and not self._rate:
            self._events.append(FlowStarted(self.number, now_us, logical))
        elif self._rate and not rate:
            volume_ml = running.delivered_ml(now_us)
            self._events.append(
                FlowStopped(self.number, now_us, logical, volume_ml, self._stop_reason or "valve")
            )
            self._still_since_us = now_us
        self._rate = rate
        self._stop_reason = ""

    def _plan(self, now_us: int) -> None:
        """Set the flow from ``now_us`` on, and find the next instant at which something changes by itself."""
        running = self._running
        if running is None:
            self.timer_us = self._expires_us
            if self._unwritten is not None and (self.timer_us is None or self._written_us < self.timer_us):
                self.timer_us = self._written_us
            return
        self._settle(now_us)
        timer = self._plan_flow(running, now_us)
        if self._closed_us is not None and self._closed_us < timer:
            timer = self._closed_us
        self.timer_us = timer

    def _plan_flow(self, running: RunningDelivery, now_us: int) -> int:
        """Set the flow; return when it changes next, or when its absence times out."""
        meter = running.nozzle.meter
        if now_us < self._valve_from_us:
            self._set_rate(running, 0, None, now_us)
            return min(self._valve_from_us, self._still_since_us + self.profile.no_flow_timeout_us)
        if self.state in _VALVE_MAY_OPEN:
            plan = plan_flow(
                running,
                self.profile,
                position_units=meter.position_units(now_us),
                trigger_ml_per_min=self._trigger_ml_per_min,
                first_pulse_wanted=self.state is FpState.STARTED,
                shut_off_ml=self._shut_off_ml,
            )
            if plan.shut_off and self._rate:
                self._stop_reason = "shut-off"
                self._trigger_ml_per_min = 0
            self._set_rate(running, plan.rate_ml_per_min, plan.stop_units, now_us)
            if plan.boundary_units is not None:
                return meter.reaches_us(plan.boundary_units)
        else:
            self._set_rate(running, 0, None, now_us)
        return self._still_since_us + self.profile.no_flow_timeout_us

    # --- telling -----------------------------------------------------------------------------------------------

    def _done(self, now_us: int) -> None:
        self._plan(now_us)
        if self.on_change is not None:
            self.on_change()
        self._tell()

    def _tell(self) -> None:
        """Tell the queued events in order, also those that a listener's own commands cause meanwhile."""
        if self._telling:
            return
        self._telling = True
        try:
            while self._events:
                event = self._events.popleft()
                for listener in tuple(self.listeners):
                    listener(event)
        finally:
            self._telling = False
