"""The end of a delivery: read what is needed, judge it against the totaliser, hand over each sale exactly once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from reference.site.pumps.driver import SaleNotStored
from reference.site.pumps.events import DeliveryVoid, DriverEvent, SaleCaptured, TotalsRead
from reference.site.pumps.intents import DELIVERING, Phase, Read
from reference.site.pumps.witness import UNREAD, Filling, Judgement, Totals, Witness, judge

__all__ = ["DeliveryCapture"]

JUDGE_TRIES_MOST = 6  # readings before a disagreement between display and totaliser is believed


@dataclass(slots=True)
class _Capture:
    """A capture in progress: which nozzles' totals are wanted, and what has come in."""

    logicals: tuple[int, ...]
    recovered: bool
    ended_us: int
    totals: dict[int, list[int | None]]
    unreadable: set[int]
    tries: int = 0
    display_dark: bool = (
        False  # the pump does not tell its last filling; what was heard of it may be half of it
    )


class DeliveryCapture:
    """Base of `FuellingPointLogic`: everything about deliveries and their capture.

    The pump must not be reset while ``capture`` is not None: its display is one of the two sources.
    """

    number: int
    nozzles: dict[int, int]
    prices: dict[int, int]
    pump_prices: dict[int, int]
    witnesses: dict[int, Witness]
    filling: Filling
    running: Filling
    phase: Phase | None
    nozzle_out: int
    last_nozzle: int
    recovering: bool
    busy: bool
    emit: Callable[[DriverEvent], None]
    _block: int
    _reads: dict[tuple[Read, int], list[int]]
    _lift_waits: bool

    def _init_capture(self) -> None:
        self.filling_block = -1
        self.running = Filling(0, 0)
        self.delivery_open = False
        self.delivery_nozzle = 0
        self.flow_seen = False
        self.display_zeroed = False
        self.started_us = 0
        self.capture: _Capture | None = None
        self.ended_with_nozzle_out = False

    def _line_up(self, now_us: int) -> None:
        raise NotImplementedError

    def _before_sale(self, logical: int, now_us: int) -> None:
        """A sale of this nozzle is about to be handed over."""
        raise NotImplementedError

    # -- while fuel flows ---------------------------------------------------------------------------------------

    def _open_delivery(self, logical: int, now_us: int) -> None:
        self.delivery_open = True
        self.delivery_nozzle = logical
        self.flow_seen = False
        self.started_us = now_us
        self.ended_with_nozzle_out = False
        self._lift_waits = False
        self.running = Filling(0, 0)  # the display may still show the filling before

    def _grow(self) -> bool:
        """Take the display's figures for the running delivery's, and say if they are news.

        A meter never runs back: figures smaller than those already heard are late or damaged and count for nothing.
        """
        before, now = self.running, self.filling
        if now == before or now.volume_ml < before.volume_ml or now.amount_fen < before.amount_fen:
            return False
        self.running = now
        return True

    def _flow(self, now_us: int) -> None:
        if not self.flow_seen:
            self.flow_seen = True
            self.started_us = now_us

    # -- the end ------------------------------------------------------------------------------------------------

    def _on_delivery_end(self, now_us: int) -> None:
        """The pump left the delivering phases, for whatever reason."""
        if self.capture is not None or self.recovering:
            return
        known = self.delivery_nozzle in self.nozzles
        self._begin_capture((self.delivery_nozzle,) if known else self.nozzles, now_us, recovered=False)

    def _begin_capture(self, logicals: Iterable[int], now_us: int, *, recovered: bool) -> None:
        self.capture = _Capture(tuple(logicals), recovered, now_us, {}, set())
        if recovered or self.filling_block != self._block:
            self._reads[Read.FILLING, 0] = [-1, 0]
        for logical in self.capture.logicals:
            self._reads[Read.TOTALS, logical] = [-1, 0]
        self.busy = True

    def _forget_capture(self) -> None:
        """The link is gone; recovery will read everything again. An open delivery stays open."""
        self.capture = None

    def on_totals(
        self, logical: int, *, volume_ml: int | None = None, amount_fen: int | None = None, now_us: int
    ) -> None:
        """A totaliser reading; volume and amount may come one after the other, in either order."""
        capture = self.capture
        if capture is None or (Read.TOTALS, logical) not in self._reads:
            return
        pair = capture.totals.setdefault(logical, [None, None])
        if volume_ml is not None:
            pair[0] = volume_ml
        if amount_fen is not None:
            pair[1] = amount_fen
        if pair[0] is not None and pair[1] is not None:
            del self._reads[Read.TOTALS, logical]
            if not self._reads:
                self._settle_capture(now_us)

    def _settle_capture(self, now_us: int) -> None:
        raise NotImplementedError

    def _unreadable(self, item: tuple[Read, int]) -> None:
        """The pump never answered this question; go on without."""
        del self._reads[item]
        read, logical = item
        capture = self.capture
        if capture is not None and read is Read.FILLING:
            capture.display_dark = True
        # A volume total alone is still a witness.
        if capture is not None and read is Read.TOTALS and capture.totals.get(logical, [None])[0] is None:
            capture.unreadable.add(logical)

    def _recover(self, now_us: int) -> None:
        """Status is known after a lost link or a start: adopt what runs, find what ended meanwhile."""
        if self.phase in DELIVERING:
            self._line_up(now_us)
        elif self.capture is None:
            self._begin_capture(self.nozzles, now_us, recovered=True)
        else:
            self._conclude(now_us)

    def _conclude(self, now_us: int) -> None:
        """All readings are in: judge, hand over, and be ready for the next delivery."""
        capture = self.capture
        if capture is None:
            return
        # A display that is not told can never come to agree with the totaliser.
        patient = capture.tries < JUDGE_TRIES_MOST and not (capture.display_dark and capture.recovered)
        judged = self._judge_all(capture, patient)
        if any(judgement.wait for _, judgement in judged):
            capture.tries += 1
            capture.totals.clear()
            self._reads[Read.FILLING, 0] = [-1, 0]
            for logical in capture.logicals:
                if logical not in capture.unreadable:
                    self._reads[Read.TOTALS, logical] = [-1, 0]
            return
        try:
            sold = self._hand_over(capture, judged, now_us)
        except SaleNotStored:
            return  # the pump keeps the filling; the next poll tries again
        was_open = self.delivery_open
        nozzle = self.nozzles.get(self.delivery_nozzle, 0)
        self.capture = None
        self.delivery_open = self.flow_seen = self.display_zeroed = False
        if sold or was_open:
            self.ended_with_nozzle_out = bool(self.nozzle_out) and (capture.recovered or not self._lift_waits)
            if self.ended_with_nozzle_out:
                self._lift_waits = False
        if was_open and not sold:
            self.emit(DeliveryVoid(self.number, nozzle, now_us))
        self.delivery_nozzle = 0
        if self.recovering:
            self._line_up(now_us)

    def _judge_all(self, capture: _Capture, patient: bool) -> list[tuple[int, Judgement]]:
        holder = self._nozzle_of_filling(capture)
        judged = []
        for logical in capture.logicals:
            shown = logical == holder and not (capture.display_dark and capture.recovered)
            filling = self.filling if shown else Filling(0, 0)
            seen = self.delivery_open and (self.flow_seen or self.display_zeroed) and logical == holder
            judged.append((logical, self._judge(capture, logical, filling, seen=seen, patient=patient)))
        return judged

    def _nozzle_of_filling(self, capture: _Capture) -> int:
        """Whose filling the display shows: the nozzle that was watched, else the one that moved, else the last."""
        if self.delivery_nozzle in capture.logicals:
            return self.delivery_nozzle
        moved = [
            logical
            for logical, (volume_ml, _) in capture.totals.items()
            if logical in self.witnesses and volume_ml != self.witnesses[logical].volume_ml
        ]
        if len(moved) == 1:
            return moved[0]
        return self.last_nozzle or capture.logicals[0]

    def _judge(
        self, capture: _Capture, logical: int, filling: Filling, *, seen: bool, patient: bool
    ) -> Judgement:
        before = self.witnesses.get(logical)
        volume_ml, amount_fen = capture.totals.get(logical, (None, None))
        if volume_ml is None:
            blind = before or UNREAD
            # Without a totaliser only a delivery that was watched can be told from one captured earlier.
            sale = filling if seen and filling.volume_ml else None
            return Judgement(blind.owing(sale) if sale else blind, filling=sale, flags=("no_total",))
        if before is None:
            first = Witness(volume_ml, amount_fen or 0)
            watched = self.delivery_open and logical == self.delivery_nozzle and filling.volume_ml > 0
            return Judgement(first, filling=filling if watched else None, flags=("adopted",))
        return judge(
            before,
            Totals(volume_ml, amount_fen),
            filling,
            seen=seen,
            patient=patient,
            price_fen_per_l=self._price_of(logical),
        )

    def _price_of(self, logical: int) -> int:
        """What the pump shows for this nozzle; a pump that lost its prices shows 0, at which nothing was ever sold."""
        return self.pump_prices.get(logical) or self.prices[logical]

    def _hand_over(self, capture: _Capture, judged: list[tuple[int, Judgement]], now_us: int) -> bool:
        """Offer the sales to the controller, oldest first. Raises SaleNotStored; calling again continues."""
        sold = False
        for logical, judgement in judged:
            flags = ("recovered",) if capture.recovered else ()
            after = judgement.witness
            if judgement.missing is not None:
                rest = judgement.filling or Filling(0, 0)
                between = Witness(after.volume_ml - rest.volume_ml, after.amount_fen - rest.amount_fen)
                how = (
                    ("reconstructed", "amount_computed") if judgement.missing_computed else ("reconstructed",)
                )
                last = judgement.filling is None
                self._sell(
                    capture, logical, judgement.missing, between, (*how, *flags), now_us, more=not last
                )
                sold = True
            if judgement.filling is not None:
                self._sell(capture, logical, judgement.filling, after, (*judgement.flags, *flags), now_us)
                sold = True
            elif after != self.witnesses.get(logical) and logical not in capture.unreadable:
                self.emit(TotalsRead(self.number, self.nozzles[logical], after, now_us))
            self._rely_on(logical, after)
        return sold

    def _rely_on(self, logical: int, witness: Witness) -> None:
        if witness.is_read:
            self.witnesses[logical] = witness

    def _sell(
        self,
        capture: _Capture,
        logical: int,
        filling: Filling,
        witness: Witness,
        flags: tuple[str, ...],
        now_us: int,
        *,
        more: bool = False,
    ) -> None:
        watched = self.delivery_open and "reconstructed" not in flags
        self._before_sale(logical, now_us)
        self.emit(
            SaleCaptured(
                fuelling_point=self.number,
                nozzle=self.nozzles[logical],
                volume_ml=filling.volume_ml,
                amount_fen=filling.amount_fen,
                price_fen_per_l=self._sale_price(logical, flags),
                end_total_volume_ml=witness.settled.volume_ml,
                end_total_amount_fen=witness.settled.amount_fen or 0,
                started_us=self.started_us if watched else capture.ended_us,
                ended_us=capture.ended_us,
                flags=flags,
                witness=witness,
                at_us=now_us,
                more=more,
            )
        )
        self._rely_on(logical, witness)

    def _sale_price(self, logical: int, flags: tuple[str, ...]) -> int:  # noqa: ARG002 - some pumps tell more
        """The unit price of a sale."""
        return self._price_of(logical)
