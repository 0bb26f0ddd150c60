"""Power that fails at any microsecond, and what a board finds in its memory when it comes back.

OIML R 117-1 (power supply failure): the figures of the interrupted delivery are kept and can be shown; a delivery goes
on only after an outage of at most 15 s, otherwise it is ended with what was measured.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Any

from .events import Delivery, PowerChanged, Reading
from .flow import RunningDelivery
from .meter import PULSE_ML, amount_fen
from .states import FpInput, FpState
from .store import decode_delivery, encode_delivery
from .works import Works

__all__ = ["PowerFail"]


class PowerFail(Works):
    """A fuelling point whose board loses power and gets it back.

    The board writes each pulse of a delivery, then the record of its end, into its memory, one copy after the other
    (``nv_write_us`` each). Whatever was not whole in one copy when the power went is as if it had not happened: at most
    one pulse of the encoder, or the end of a delivery, which is then recorded when the power is back.
    """

    _powered = True
    _cut_us = 0

    @property
    def is_powered(self) -> bool:
        """Whether the board has power."""
        return self._powered

    @property
    def is_record_due(self) -> bool:
        """A delivery has ended, or the power has, and its record is still to come (`DeliveryEnded`)."""
        return self._unwritten is not None or (self._interrupted is not None and self._display.volume_ml > 0)

    def display(self, now_us: int) -> Reading | None:
        """What can be read at the pump: without power the last figures, as long as the battery holds, then None."""
        if self._powered or now_us - self._cut_us <= self.profile.display_hold_us:
            return self.reading(now_us)
        return None

    def lose_power(self, now_us: int) -> bool:
        """The mains fail. False when they have failed already."""
        self._advance(now_us)
        if not self._powered:
            return False
        self._settle(now_us)
        self._powered = False
        self._cut_us = now_us
        running, ended = self._running, self._unwritten
        pulses = self._whole_pulses(running, now_us)
        self._keep_state(pulses, now_us)
        self._stop_reason = "power-failure"
        if running is not None:
            price, decimals = running.price_fen_per_l, running.price_decimals
            self._display = Reading(pulses * PULSE_ML, amount_fen(pulses * PULSE_ML, price, decimals), price)
            self._set_rate(running, 0, None, now_us)
        self._fire(FpInput.FAIL, now_us)
        if ended is None:
            self._interrupted, self._running = running, None
        self._unwritten = None
        self._closing_for = self._closed_us = None
        self._close_pending = False
        if running is None and self._allowed:
            self._drop(now_us, "power-failure")
        self._forget_authorisation()
        self._events.append(PowerChanged(self.number, now_us, on=False))
        self._done(now_us)
        return True

    def regain_power(self, now_us: int) -> bool:
        """The mains are back: read the memory, end or continue what was interrupted, leave INOPERATIVE.

        False when there was power all along.
        """
        self._advance(now_us)
        if self._powered:
            return False
        self._powered = True
        self._events.append(PowerChanged(self.number, now_us, on=True))
        state = self.store.read_state()
        interrupted = self._interrupted
        self._interrupted = None
        if state is None:
            self._latch = self._latch or "memory-fault"
            self._lock("memory-fault", now_us)
        else:
            self._load(state)
            record = state["unwritten"]
            if record is not None:
                self._end_of_outage(record)
            elif interrupted is not None and state["pulses"]:
                self._after_outage(interrupted, state, now_us)
        if not self._may_continue:
            self._take_waiting_prices(now_us)
        self._recover(now_us)
        self._done(now_us)
        return True

    # --- inside ------------------------------------------------------------------------------------------------

    def _recover(self, now_us: int) -> bool:
        """Leave INOPERATIVE by the table."""
        if not self._may_continue:
            self._close_pending = not self.profile.starts_open
        accepted = self._fire(FpInput.RECOVER, now_us)
        self._close_pending = self._may_continue = False
        return accepted and self.state is not FpState.INOPERATIVE

    def _whole_pulses(self, running: RunningDelivery | None, now_us: int) -> int:
        """Pulses of the running delivery, as the meter counted them."""
        return 0 if running is None else running.delivered_pulses(now_us)

    def _keep_state(self, pulses: int, now_us: int) -> None:
        """Leave in the memory what the power's end at this instant leaves there."""
        width = self.profile.nv_write_us
        new = self._state_now(pulses, self._unwritten)
        self.store.write_state(new)
        if not width:
            return
        ended = self._unwritten
        if ended is not None:
            # The record of the end is being written; until one copy of it is whole, only the last pulse is.
            since_us = now_us - ended.ended_us
            if since_us < width:
                before = {**new, "unwritten": _interrupted_record(new["unwritten"])}
                self.store.tear_state(before, new, copy=0, done_permille=since_us * 1000 // width)
            return
        running = self._running
        if running is None or not pulses:
            return
        since_us = now_us - running.nozzle.meter.last_pulse_us
        if since_us < 2 * width:
            before = self._state_now(pulses - running.nozzle.meter.grain, None)
            copy, part_us = divmod(since_us, width)
            self.store.tear_state(before, new, copy=1 if copy else 0, done_permille=part_us * 1000 // width)

    def _state_now(self, pulses: int, unwritten: Delivery | None) -> dict[str, Any]:
        return {
            "pulses": pulses,
            "unwritten": None if unwritten is None else encode_delivery(unwritten).hex(),
            "sequence": self.last_sequence,
            "acknowledged": self.acknowledged_sequence,
            "nozzles": {
                str(logical): [
                    nozzle.price_fen_per_l,
                    nozzle.total_volume_ml,
                    nozzle.total_amount_fen,
                    nozzle.count,
                    *nozzle.component_totals_ml,
                ]
                for logical, nozzle in self.nozzles.items()
            },
        }

    def _load(self, state: dict[str, Any]) -> None:
        """Take over what the memory holds: from here on the board knows nothing else."""
        self.last_sequence = state["sequence"]
        self.acknowledged_sequence = state["acknowledged"]
        for logical, nozzle in self.nozzles.items():
            (
                nozzle.price_fen_per_l,
                nozzle.total_volume_ml,
                nozzle.total_amount_fen,
                nozzle.count,
                *nozzle.component_totals_ml,
            ) = state["nozzles"][str(logical)]
        if self.store.is_damaged:  # else it reads as it was written
            self._load_records()

    def _load_records(self) -> None:
        records = self.store.read_all()
        limit = self.profile.journal_limit
        waiting = {delivery.sequence for delivery in self.unacknowledged}
        self.journal = deque(records, maxlen=limit)
        self.unacknowledged = deque(
            (delivery for delivery in records if delivery.sequence in waiting), maxlen=limit
        )

    def _end_of_outage(self, record: str) -> None:
        """A delivery had ended, and its record was on the way into the memory when the power went."""
        self._unwritten = decode_delivery(bytes.fromhex(record))
        self._write_down()

    def _after_outage(self, running: RunningDelivery, state: dict[str, Any], now_us: int) -> None:
        """Continue the interrupted delivery if the outage was short enough, else end it as of the cut."""
        lost = running.delivered_pulses(self._cut_us) - state["pulses"]
        running.start_pulses += lost  # a pulse that the memory never got was never counted
        outage_us = now_us - self._cut_us
        still_out = self.nozzle_out == running.nozzle.logical
        if still_out and 0 < outage_us <= self.profile.resume_outage_us and not self._latch:
            self._running = running
            self._still_since_us = now_us
            self._may_continue = True
            return
        volume_ml = state["pulses"] * PULSE_ML
        amount = amount_fen(volume_ml, running.price_fen_per_l, running.price_decimals)
        self._display = Reading(volume_ml, amount, running.price_fen_per_l)
        self._keep_part_tally(running.nozzle, now_us)
        self._unwritten = self._record(running, self._display, ("power-failure",), self._cut_us)
        self._write_down()


def _interrupted_record(record: str) -> str:
    """The record of a delivery whose end the memory does not know: all its pulses, and that the power failed."""
    delivery = decode_delivery(bytes.fromhex(record))
    if delivery is None:
        raise ValueError("a record that was just made does not decode")
    kept = tuple(flag for flag in delivery.flags if flag in {"test", "overrun", "below-mmq", "zero"})
    return encode_delivery(replace(delivery, flags=("power-failure", *kept))).hex()
