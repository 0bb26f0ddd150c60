"""One fuelling point: what the customer's hand and a controller can do to it.

All times are integer microseconds and given by the caller; they must not go back.
Events are told to ``listeners`` after an operation is complete, each with its own exact time.
"""

from __future__ import annotations

from collections.abc import Collection

from .events import NozzleLifted, NozzleReturned, Reading, VoicePrompt
from .flow import RunningDelivery
from .presets import Presets
from .states import FpInput, FpState

__all__ = ["FuellingPoint"]


class FuellingPoint(Presets):
    """A fuelling point with up to eight nozzles, of which one delivers at a time.

    Args:
        number: 1..M in the station.
        nozzles: its nozzles, with distinct logical numbers.
        profile: the declared figures of the make.

    Attributes:
        state: the IFSF state.
        nozzle_out: logical number of the nozzle that is out of its boot, or None.
        journal: the deliveries, oldest first, as long as the profile's limit allows.
        unacknowledged: those of them that no controller has taken over, oldest first.
        acknowledged_sequence: the last delivery that a controller has taken over (0 = none).
        listeners: called with each event.
        on_change: called after each operation, because `next_timer` may have changed; set by the owner.
        timer_us: what `next_timer` says, for owners that ask at each burst.
        locks: why it refuses to authorise (reason -> since when, µs), oldest first; see `lock`.
        refusal: why the last authorisation or preset was refused; empty when it was not.
        is_testing: deliveries go into the proving can; see `set_test`.
        store: the board's memory.
        serials: the sealed parts and their serial numbers.

    Raises:
        ValueError: no nozzles, a doubled logical number, or time that goes back.
    """

    # --- the customer's hand -----------------------------------------------------------------------------------

    def lift(self, logical_nozzle: int, now_us: int) -> bool:
        """Take a nozzle out of its boot. False when another one is out (only one can deliver at a time).

        Raises:
            ValueError: the fuelling point has no such nozzle.
        """
        if logical_nozzle not in self.nozzles:
            raise ValueError(
                f"fuelling point {self.number} has no nozzle {logical_nozzle}, only {sorted(self.nozzles)}"
            )
        self._advance(now_us)
        if self.nozzle_out is not None:
            self._tell()
            return False
        self.nozzle_out = logical_nozzle
        self._shut_off_ml = None
        self._events.append(NozzleLifted(self.number, now_us, logical_nozzle))
        if self.profile.self_service and self.is_powered:
            words = f"voice:{self.nozzles[logical_nozzle].grade}#"
            self._events.append(VoicePrompt(self.number, now_us, logical_nozzle, words))
        self._fire(FpInput.LIFT, now_us)
        if self.state is FpState.STARTED:
            self._start(logical_nozzle, now_us)
        self._done(now_us)
        return True

    def squeeze(self, now_us: int, flow_ml_per_min: int) -> bool:
        """Squeeze the trigger for a flow (ml/min). Returns whether fuel flows now; without authorisation none does.

        Raises:
            ValueError: the flow is not positive.
        """
        if flow_ml_per_min <= 0:
            raise ValueError(f"a squeezed trigger gives a positive flow, not {flow_ml_per_min} ml/min")
        self._advance(now_us)
        if self.nozzle_out is not None:
            self._trigger_ml_per_min = flow_ml_per_min
        self._done(now_us)
        return self.flowing

    def release(self, now_us: int) -> None:
        """Let the trigger go; the nozzle stays out."""
        self._advance(now_us)
        self._trigger_ml_per_min = 0
        self._stop_reason = "released"
        self._done(now_us)

    def hang_up(self, now_us: int) -> bool:
        """Put the nozzle back: ends the delivery, drops an authorisation. False when no nozzle is out."""
        self._advance(now_us)
        if self.nozzle_out is None:
            self._tell()
            return False
        self._settle(now_us)
        self._events.append(NozzleReturned(self.number, now_us, self.nozzle_out))
        self.nozzle_out = None
        self._trigger_ml_per_min = 0
        self._stop_reason = "hang-up"
        self._fire(FpInput.HANG_UP, now_us)
        if self._running is not None:
            ends_by_stop = self._closing_for is FpInput.TERMINATE
            self._finish(self._running, now_us, FpInput.TERMINATE if ends_by_stop else FpInput.HANG_UP)
        elif self._allowed:
            self._drop(now_us, "hang-up")
        self._done(now_us)
        return True

    def set_tank_capacity(self, volume_ml: int | None) -> None:
        """Set the delivered volume (ml) at which the nozzle's automatic shut-off trips because the car is full.

        Rounded up to a whole pulse. It holds until the next lift; a larger value allows a top-up; None means never.
        """
        if volume_ml is not None and volume_ml < 0:
            raise ValueError(f"a car cannot take {volume_ml} ml")
        self._settle(self._last_us)
        self._shut_off_ml = volume_ml
        self._done(self._last_us)

    # --- the controller's side ---------------------------------------------------------------------------------

    def open(self, now_us: int) -> bool:
        """Put into service: CLOSED to IDLE, or CALLING when a nozzle is out."""
        return self._command(FpInput.OPEN, now_us)

    def close(self, now_us: int) -> bool:
        """Take out of service, dropping an unused authorisation; during a sale it waits for the sale's end."""
        self._advance(now_us)
        accepted = self._fire(FpInput.CLOSE, now_us)
        if accepted and self._running is not None:
            self._close_pending = True
        elif accepted and self._allowed:
            self._drop(now_us, "closed")
        self._done(now_us)
        return accepted

    def authorise(
        self,
        now_us: int,
        *,
        allowed_nozzles: Collection[int] | None = None,
        preset_ml: int | None = None,
        preset_fen: int | None = None,
    ) -> bool:
        """Allow one delivery through one of ``allowed_nozzles`` (logical numbers; None: all that have a price).

        Refused when the state table does not allow it, a nozzle is out that is not allowed, no allowed nozzle has a price,
        the preset is outside the profile's limits or too small for one pulse, the point is locked, or the journal is
        full and protected; ``refusal`` says which.

        Raises:
            ValueError: both presets are given.
        """
        self._advance(now_us)
        self.refusal = ""
        asked = frozenset(
            logical
            for logical, nozzle in self.nozzles.items()
            if nozzle.price_fen_per_l > 0
            and not nozzle.blocked
            and (allowed_nozzles is None or logical in allowed_nozzles)
        )
        preset_ml, preset_fen = self._with_keyed(preset_ml, preset_fen)
        if not asked or not self._preset_fits(asked, preset_ml, preset_fen) or self._is_barred():
            blocked = [nozzle.blocked for nozzle in self.nozzles.values() if nozzle.blocked]
            self.refusal = self.refusal or ", ".join(("no allowed nozzle may deliver", *blocked))
            self._tell()
            return False
        before, self._allowed = self._allowed, asked
        accepted = self._fire(FpInput.AUTHORISE, now_us)
        if accepted:
            self._preset = (preset_ml, preset_fen)
            self._display = Reading(0, 0, 0)
            self._expires_us = now_us + self.profile.authorisation_ttl_us
            if self.nozzle_out is not None and self._fire(FpInput.START, now_us):
                self._start(self.nozzle_out, now_us)
        else:
            self._allowed = before
            self.refusal = f"not in {self.state.name}"
        self._done(now_us)
        return accepted

    def set_preset(self, now_us: int, *, preset_ml: int | None = None, preset_fen: int | None = None) -> bool:
        """Replace the preset of the live authorisation or delivery (None and None: no preset).

        A preset at or below what is delivered stops the delivery at once.

        Raises:
            ValueError: both presets are given.
        """
        self._advance(now_us)
        self.refusal = ""
        fits = self._preset_fits(self._allowed, preset_ml, preset_fen)
        accepted = fits and self._fire(FpInput.SET_PRESET, now_us)
        if fits and not accepted:
            self.refusal = f"not in {self.state.name}"
        if accepted:
            self._preset = (preset_ml, preset_fen)
            if self._running is not None:
                self._re_aim(self._running, now_us)
        self._done(now_us)
        return accepted

    def terminate(self, now_us: int) -> bool:
        """Stop: the valve closes (within the profile's time), the sale ends with what was delivered.

        Afterwards only a new authorisation lets fuel flow, even if the nozzle stayed out.
        """
        self._advance(now_us)
        accepted = self._fire(FpInput.TERMINATE, now_us)
        if accepted and self._running is not None:
            if self._rate > 0:
                self._close_valve(FpInput.TERMINATE, now_us)
            else:
                self._finish(self._running, now_us, FpInput.TERMINATE)
        elif accepted and self._allowed:
            self._drop(now_us, "terminated")
        self._done(now_us)
        return accepted

    def suspend(self, now_us: int) -> bool:
        """Close the valve but keep the delivery; the state changes when the valve is closed."""
        self._advance(now_us)
        accepted = self._closing_for in {None, FpInput.SUSPEND} and self._fire(FpInput.SUSPEND, now_us)
        if accepted and self._rate > 0:
            self._close_valve(FpInput.SUSPEND, now_us)
        self._stop_reason = "valve"
        self._done(now_us)
        return accepted

    def resume(self, now_us: int) -> bool:
        """Open the valve of a suspended delivery again: same sale, same preset."""
        return self._command(FpInput.RESUME, now_us)

    def reset(self, now_us: int) -> bool:
        """Zero the display before a delivery. Refused once authorised."""
        self._advance(now_us)
        accepted = self._fire(FpInput.RESET, now_us)
        if accepted:
            self._display = Reading(0, 0, 0)
        self._done(now_us)
        return accepted

    def set_price(
        self, now_us: int, logical_nozzle: int, price_fen_per_l: int, *, confirmed: bool = False
    ) -> bool:
        """Set the unit price of a nozzle (OIML R 117-1: one delivery, one price).

        From authorisation to the end of the sale it is refused, or kept for the next delivery, as the profile says. It
        is refused for an unknown nozzle, for a price that is not positive or above the profile's limit, and, unless
        ``confirmed``, for one that jumps further than the profile allows.
        """
        self._advance(now_us)
        fits = logical_nozzle in self.nozzles and 0 < price_fen_per_l <= self.profile.max_price_fen_per_l
        if fits and self.profile.price_jump_percent and not confirmed:
            before = self.nozzles[logical_nozzle].price_fen_per_l
            fits = (
                not before or abs(price_fen_per_l - before) * 100 <= before * self.profile.price_jump_percent
            )
        accepted = fits and self._fire(FpInput.SET_PRICE, now_us)
        if accepted and (self._running is not None or self._allowed):
            self._waiting_prices[logical_nozzle] = price_fen_per_l
        elif accepted:
            self._put_price(logical_nozzle, price_fen_per_l, now_us)
        self._done(now_us)
        return accepted

    def lose_clock(self) -> None:
        """The board's clock lost its battery: records are flagged ``clock-lost`` until `set_clock`."""
        self.clock_is_lost = True

    def set_clock(self) -> None:
        """A controller has set the board's clock."""
        self.clock_is_lost = False

    def set_test(self, now_us: int, on: bool) -> bool:
        """Begin or end testing: deliveries are flagged ``test`` and their fuel goes back into the tank.

        They count in the totalisers, and in the journal, and are nobody's sale. Refused from authorisation to the end of
        a delivery, and without power.
        """
        self._advance(now_us)
        free = self._running is None and not self._allowed and self.is_powered
        if free:
            self.is_testing = on
        self._done(now_us)
        return free

    def acknowledge(self, sequence: int) -> bool:
        """A controller has taken over the delivery with this number and all before it.

        True also when it had been acknowledged before (nothing changes then); False for a number that is not in the journal.
        """
        if any(delivery.sequence == sequence for delivery in self.unacknowledged):
            while self.unacknowledged.popleft().sequence != sequence:
                pass
            self.acknowledged_sequence = sequence
            return True
        return any(delivery.sequence == sequence for delivery in reversed(self.journal))

    # --- faults ------------------------------------------------------------------------------------------------

    def fail(self, now_us: int, reason: str = "fault") -> bool:
        """Become INOPERATIVE (power cut, pulser alarm): a sale ends at once, flagged with ``reason``."""
        self._advance(now_us)
        self._settle(now_us)
        accepted = self._fire(FpInput.FAIL, now_us)
        self._stop_reason = reason
        if accepted and self._running is not None:
            self._finish(self._running, now_us, FpInput.FAIL, reason)
        elif accepted and self._allowed:
            self._drop(now_us, reason)
        self._done(now_us)
        return accepted

    def recover(self, now_us: int) -> bool:
        """Leave INOPERATIVE after a `fail`; a nozzle that is out calls again.

        False when it was not INOPERATIVE, has no power, or a latch (`emergency_stop`) waits for its own reset.
        """
        self._advance(now_us)
        accepted = self.state is FpState.INOPERATIVE and self.is_powered and self._recover(now_us)
        self._done(now_us)
        return accepted

    # --- inside ------------------------------------------------------------------------------------------------

    def _command(self, command: FpInput, now_us: int) -> bool:
        self._advance(now_us)
        accepted = self._fire(command, now_us)
        self._done(now_us)
        return accepted

    def _re_aim(self, running: RunningDelivery, now_us: int) -> None:
        """Give a running delivery its new target; one that lies behind it ends it as fast as the valve allows."""
        self._settle(now_us)
        running.aim(*self._preset)
        if running.target_pulses is None or running.delivered_pulses(now_us) < running.target_pulses:
            return
        running.target_pulses = running.preset_pulses = None
        if self._rate > 0:
            self._close_valve(FpInput.PRESET_REACHED, now_us)
        elif self._fire(FpInput.PRESET_REACHED, now_us):
            self._finish(running, now_us, FpInput.PRESET_REACHED)
