"""A fuelling point behind a Two-Wire head: what differs from the pumps that report by themselves.

The head shows its last delivery until the next one ends, and nothing zeroes it: only the totalisers can tell a new delivery
from an old one. Running figures are money alone and travel without any check, so they are weighed before they are
believed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from reference.site.pumps.capture import JUDGE_TRIES_MOST
from reference.site.pumps.events import Authorised, DriverEvent, LiveAmount
from reference.site.pumps.intents import DELIVERING, Authorise, Phase, Read
from reference.site.pumps.point import FuellingPointLogic
from reference.site.pumps.witness import AMOUNT_MODULUS, TOTAL_MODULUS, Filling

__all__ = ["TwoWirePoint"]

_FASTEST_ML_PER_S = 2_200
"""No hose gives more: 130 L/min is a high-flow diesel nozzle."""

_FIRST_STEP_ML = 100
"""What may have flowed before the first look, beyond what the clock says."""

_STEP_US = 3_000_000
"""After a longer silence nobody can say what is possible: then readings have to confirm each other."""

_CONFIRMATIONS = 2
"""So many further readings must go on from a step that seemed impossible: garbage repeats itself on a disturbed line."""


class TwoWirePoint(FuellingPointLogic):
    """See `FuellingPointLogic`; grade k of the head is logical nozzle k.

    Attributes:
        price_under_way: a price was sent or waits to be read back: its patience does not run.
        authorisation_under_way: ``1p`` waits behind its preset: its patience does not run either.
    """

    presets_cling = False

    def __init__(
        self,
        number: int,
        nozzles: Mapping[int, int],
        prices_fen_per_l: Mapping[int, int],
        *,
        missed_polls_offline: int,
        emit: Callable[[DriverEvent], None],
    ) -> None:
        super().__init__(
            number, nozzles, prices_fen_per_l, missed_polls_offline=missed_polls_offline, emit=emit
        )
        self.price_under_way = self.authorisation_under_way = False
        self._sold_at: dict[int, int] = {}  # unit price in the transaction read last
        self._weighed: tuple[int, int] = (0, 0)  # running money believed last, and when
        self._doubtful: list[
            tuple[int, int]
        ] = []  # readings that go on from each other, not from what is shown

    # -- what the driver asks -----------------------------------------------------------------------------------

    @property
    def wants_authorisation(self) -> bool:
        """An authorisation is on its way and nothing has taken it back."""
        return self._request is not None and self.up

    @property
    def delivering(self) -> bool:
        """Fuel flows or may flow."""
        return self.phase in DELIVERING

    @property
    def prices_wanted(self) -> tuple[int, ...]:
        """Logical nozzles whose price has not been read back."""
        return tuple(sorted(self._price_wishes))

    # -- what the pump said -------------------------------------------------------------------------------------

    def on_polled(self, now_us: int) -> None:
        """See `FuellingPointLogic.on_polled`."""
        if self.price_under_way and self._price_polls > 0:
            self._price_polls = 0
        if self.authorisation_under_way and self._request is not None:
            self._request.polls = -1
        super().on_polled(now_us)

    def on_phase(self, phase: Phase, now_us: int) -> None:
        """See `FuellingPointLogic.on_phase`.

        A pump that is authorised though nobody asked for it heard a damaged poll as ``1p``, which is one bit away: take it
        back.
        """
        idle = self.phase is not None and self.phase not in DELIVERING
        unasked = phase is Phase.AUTHORISED and idle and self._request is None and self.up
        super().on_phase(phase, now_us)
        if unasked and self._stop_polls is None:
            self._stop_polls = -1
            self.busy = True

    def on_end(self, now_us: int) -> None:
        """The pump ends a delivery. What of it was not heard has happened all the same; the totals say if any fuel flowed.

        Authorisation, flow and end may have come between two statuses that were believed.
        """
        if not self.up or self.capture is not None:
            return
        if self.phase is Phase.READY and not self.delivery_open:
            self._open_delivery(self.nozzle_out or self.last_nozzle, now_us)
            request = self._request
            if request is not None and request.said is Authorise:
                self._request = None
                self.emit(Authorised(self.number, self.nozzles[request.logical], now_us))
        if self.delivery_open:
            self._flow(now_us)

    def on_transaction(
        self, logical: int, *, volume_ml: int, amount_fen: int, price_fen_per_l: int, now_us: int
    ) -> None:
        """The last delivery. It names its nozzle, which is better knowledge than which one seemed to be out."""
        if logical in self.nozzles:
            self.last_nozzle = logical
            if price_fen_per_l:
                self._sold_at[logical] = price_fen_per_l
            if self.delivery_open:
                self.delivery_nozzle = logical
        self.on_filling(volume_ml, amount_fen, now_us)

    def on_totals_field(
        self,
        logical: int,
        *,
        volume_ml: int,
        amount_fen: int,
        volume_modulus_ml: int,
        amount_modulus_fen: int,
        now_us: int,
    ) -> None:
        """A totaliser reading of so many digits: counted on from the last one, however often it rolled over."""
        before = self.witnesses.get(logical)
        if before is not None:
            volume_ml = _carried_on(before.volume_ml, volume_ml, volume_modulus_ml, TOTAL_MODULUS)
            amount_fen = _carried_on(before.amount_fen, amount_fen, amount_modulus_fen, AMOUNT_MODULUS)
        self.on_totals(logical, volume_ml=volume_ml, amount_fen=amount_fen, now_us=now_us)

    def on_money(self, amount_fen: int, now_us: int) -> None:
        """Running money. A step that no hose can make is believed only when the next reading goes on from it."""
        if not (self.delivery_open and self.phase in DELIVERING and self.up):
            return
        if amount_fen < self.running.amount_fen:
            self._doubtful.clear()
            return  # late, or damaged on its way
        if not self._possible(self._weighed, amount_fen, now_us):
            if self._doubtful and not self._possible(self._doubtful[-1], amount_fen, now_us):
                self._doubtful.clear()
            self._doubtful.append((amount_fen, now_us))
            if len(self._doubtful) <= _CONFIRMATIONS:
                return
        self._doubtful.clear()
        self._weighed = (amount_fen, now_us)
        if amount_fen == self.running.amount_fen:
            return
        self.running = Filling(0, amount_fen)
        self._flow(now_us)
        nozzle = self.nozzles.get(self.delivery_nozzle)
        if nozzle is not None:
            self.emit(LiveAmount(self.number, nozzle, 0, amount_fen, now_us))

    def _possible(self, since: tuple[int, int], amount_fen: int, now_us: int) -> bool:
        before_fen, before_us = since
        known = {**self.prices, **self.pump_prices}
        price = known.get(self.delivery_nozzle) or max(known.values())
        if now_us - before_us > _STEP_US:
            return amount_fen == before_fen
        most_ml = _FIRST_STEP_ML + _FASTEST_ML_PER_S * (now_us - before_us) // 1_000_000
        return before_fen <= amount_fen <= before_fen + price * most_ml // 1000 + 1

    # -- deliveries ---------------------------------------------------------------------------------------------

    def _open_delivery(self, logical: int, now_us: int) -> None:
        super()._open_delivery(logical, now_us)
        self._weighed = (0, now_us)
        self._doubtful.clear()

    def _on_delivery_end(self, now_us: int) -> None:
        # One reading gives the totals of all grades, and only the transaction knows which one it was.
        if self.capture is None and not self.recovering:
            self._begin_capture(self.nozzles, now_us, recovered=False)
            self._reads[Read.FILLING, 0] = [-1, 0]

    def _unreadable(self, item: tuple[Read, int]) -> None:
        # The head keeps showing an old delivery: without totals nothing is proven. Ask on; the pump does answer polls.
        self._reads[item] = [-1, 0]

    def _conclude(self, now_us: int) -> None:
        # Status 6 after the reading is no RESET: the display still shows the delivery before.
        self.display_zeroed = False
        capture = self.capture
        if capture is not None and capture.tries >= JUDGE_TRIES_MOST:
            # Totals that never moved: the end was misread, and what the head shows is the delivery before. Should they
            # move later, the difference is found then; a sale too many never goes away again.
            self.flow_seen = False
        super()._conclude(now_us)

    def _sale_price(self, logical: int, flags: tuple[str, ...]) -> int:
        # The head may have a new price by now; the transaction keeps the one it was sold at.
        if "reconstructed" not in flags and logical in self._sold_at:
            return self._sold_at[logical]
        return super()._sale_price(logical, flags)

    def _heard_of(self, logical: int) -> bool:
        # The totals block carries the price of every grade.
        return logical in self.nozzles


def _carried_on(before: int, reading: int, modulus: int, limit: int) -> int:
    """The total that reads ``reading`` and lies nearest to ``before``; it wraps at ``limit`` as witnesses do."""
    step = (reading - before) % modulus
    if step > modulus // 2:
        step -= modulus
    return (before + step) % limit
