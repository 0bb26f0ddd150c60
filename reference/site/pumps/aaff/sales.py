"""Sales of one AA FF gun: each record is judged by its totals, stored, and only then acknowledged.

A record is told from one that was sold already, also after a restart that forgot every number, by the totals that it
carries. What the gun gave up offering (it skips a record after so many sends) is found by the gap between two totals,
fetched by its number, or, when the gun has it no more, booked as the difference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from protocols.aaff import CARD_LONG, SaleRecord, Totals, decode_time
from reference.site.pumps.aaff.figures import UNIT_ML, ahead_ml, duration_us, plausible
from reference.site.pumps.driver import SaleNotStored
from reference.site.pumps.events import DeliveryVoid, DriverEvent, SaleCaptured, TotalsRead
from reference.site.pumps.intents import DELIVERING
from reference.site.pumps.point import FuellingPointLogic
from reference.site.pumps.witness import Filling, Judgement, Witness, judge
from reference.site.pumps.witness import Totals as TotalsReading

__all__ = ["ASKS_MOST", "LOGICAL", "AaFfSales"]

ASKS_MOST = 3
FETCHED_MOST = 200
AGE_MOST_US = 400 * 86_400_000_000
LOGICAL = 1
"""A gun is one nozzle."""


class AaFfSales(FuellingPointLogic):
    """Base of `AaFfPoint`: everything about records.

    Attributes:
        clock_us: unix time (µs) for the age of records; None: a record is as old as its arrival.
        ack: UID to acknowledge, or None.
        fetch: UID to fetch, or None.
        totals_asks: how often the totals may still be asked for; 0 when they are not wanted.
        implausible: records that were not believed at first sight.
    """

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
        self.clock_us: Callable[[], int] | None = None
        self.live_us: int | None = None
        self._told_us: tuple[int | None, int] = (None, 0)
        self.ack: int | None = None
        self.fetch: int | None = None
        self.totals_asks = 0
        self.implausible = 0
        self._fetch_asks = 0
        self._judged_uid: int | None = None
        self._doubtful: SaleRecord | None = None
        self._held: list[SaleRecord] = []  # newest first; taken over when everything before them is here
        self._offered: int | None = None
        self._totals: Totals | None = None
        self._strange: Totals | None = None  # read once, and not yet believed
        self._totals_vain = False  # asked for, and never answered
        self._reconcile = True
        self._fetch_failed = False

    def _start_reading(self) -> None:
        """The link is new: what was known of the gun may be old, what was sold is known by its totals."""
        self.ack = self.fetch = self._offered = self._totals = self._doubtful = None
        self._judged_uid = self._strange = None
        self._held.clear()
        self._fetch_failed = self._totals_vain = False
        self._reconcile = True
        self.totals_asks = ASKS_MOST

    def _want_totals(self) -> None:
        self.totals_asks = self.totals_asks or ASKS_MOST

    def _certain(self) -> bool:
        """Totals that would change something are read twice: an eight-bit checksum lets damage through."""
        if self._totals == self._strange:
            return True
        self._strange, self._totals = self._totals, None
        self._want_totals()
        return False

    def _believable(self, record: SaleRecord) -> bool:
        """Figures that contradict each other are believed when they come a second time."""
        if plausible(record) or record == self._doubtful:
            self._doubtful = None
            return True
        self._doubtful = record
        self.implausible += 1
        return False

    def _offer(self, record: SaleRecord, now_us: int) -> None:
        if self._held or self.fetch is not None:
            return  # it is waiting already
        if self.recovering and self._totals is None and self.totals_asks:
            return  # how much there is behind it has to be known first
        before = self.witnesses.get(LOGICAL)
        if before is not None:
            moved_ml = ahead_ml(record.total_after_units, before.volume_ml)
            if moved_ml < 0 and self._totals is None and not self._totals_vain:
                self._want_totals()
                return
            if moved_ml < 0 and self._lost_totals(before) and not self._certain():
                return
            if moved_ml <= 0 and not self._lost_totals(before):
                self._done_with(record.uid)  # it was sold before a restart
                self._close(now_us)
                return
            if moved_ml > 0 and ahead_ml(record.total_before_units, before.volume_ml) > 0:
                self._held = [record]
                self._fetch_more()
                return
        self._held = [record]

    def _fetch_more(self) -> None:
        """Ask for the sale before the oldest one held, unless that is the last one needed."""
        oldest = self._held[-1]
        before = self.witnesses.get(LOGICAL)
        joins = before is None or ahead_ml(oldest.total_before_units, before.volume_ml) <= 0
        if joins or oldest.uid <= 1 or self._fetch_failed or len(self._held) >= FETCHED_MOST:
            self.fetch = None
            return
        self.fetch = oldest.uid - 1
        self._fetch_asks = ASKS_MOST

    def _lost_totals(self, before: Witness) -> bool:
        return self._totals is not None and ahead_ml(self._totals.volume_units, before.volume_ml) < 0

    def _last_total(self) -> int:
        return self._totals.volume_units if self._totals is not None else -1

    def _take_held(self, now_us: int) -> None:
        while self._held:
            record = self._held[-1]
            newest = self._totals is None or record.uid == self._totals.uid
            more = len(self._held) > 1 or (self.recovering and not newest) or self.phase in DELIVERING
            if not self._take(record, now_us, more=more):
                return  # not stored: neither acknowledged nor forgotten
            self._held.pop()
            self._done_with(record.uid)
        self._fetch_failed = False

    def _done_with(self, uid: int) -> None:
        self._judged_uid = uid
        if uid == self._offered:
            self.ack = uid

    def _take(self, record: SaleRecord, now_us: int, *, more: bool) -> bool:
        """Hand one record over. False: it could not be stored."""
        amount = record.use_amount_units if len(record.card) == CARD_LONG else None
        now = TotalsReading(record.total_after_units * UNIT_ML, amount)
        filling = Filling(record.volume_units * UNIT_ML, record.amount_units)
        flags: tuple[str, ...] = ("recovered",) if self.recovering else ()
        before = self.witnesses.get(LOGICAL)
        if before is None or self._lost_totals(before):
            flags = ("adopted",) if before is None else ("total_backwards", *flags)
            before_fen = 0 if amount is None else amount - record.amount_units
            before = Witness(record.total_before_units * UNIT_ML, before_fen)
        price = record.price_units
        judgement = judge(before, now, filling, seen=False, patient=False, price_fen_per_l=price)
        ended_us = self._ended_us(record, now_us)
        self._told_us = self._pump_clock(record, now_us, seen=self.delivery_open and not more)
        started_us = self.started_us
        if not self.delivery_open or more:
            started_us = ended_us - duration_us(record)
        try:
            return self._hand(judgement, price, flags, (started_us, ended_us, now_us), more=more)
        finally:
            self._told_us = (None, 0)

    def _hand(
        self,
        judgement: Judgement,
        price: int,
        flags: tuple[str, ...],
        times_us: tuple[int, int, int],
        *,
        more: bool,
    ) -> bool:
        missing, filling, after = judgement.missing, judgement.filling, judgement.witness
        sold = False
        try:
            if missing is not None:
                rest = filling or Filling(0, 0)
                between = Witness(after.volume_ml - rest.volume_ml, after.amount_fen - rest.amount_fen)
                how = (
                    ("reconstructed", "amount_computed") if judgement.missing_computed else ("reconstructed",)
                )
                self._emit_sale(
                    missing, price, between, (*how, *flags), times_us, more or filling is not None
                )
                sold = True
            if filling is not None:
                own = (*judgement.flags, *flags)
                self._emit_sale(filling, price, after, own, times_us, more)
                sold = True
            elif after != self.witnesses.get(LOGICAL):
                self.emit(TotalsRead(self.number, self.nozzles[LOGICAL], after, times_us[2]))
        except SaleNotStored:
            return False
        self.witnesses[LOGICAL] = after
        if self._totals is not None and ahead_ml(self._totals.volume_units, after.volume_ml) < 0:
            self._totals = None  # it is older than what it is to be compared with
        if not more:
            self._close(times_us[2], void=not sold)
        return True

    def _emit_sale(
        self,
        filling: Filling,
        price: int,
        witness: Witness,
        flags: tuple[str, ...],
        times_us: tuple[int, int, int],
        more: bool,
    ) -> None:
        started_us, ended_us, now_us = times_us
        self._before_sale(LOGICAL, now_us)
        self.emit(
            SaleCaptured(
                fuelling_point=self.number,
                nozzle=self.nozzles[LOGICAL],
                volume_ml=filling.volume_ml,
                amount_fen=filling.amount_fen,
                price_fen_per_l=price,
                end_total_volume_ml=witness.volume_ml,
                end_total_amount_fen=witness.amount_fen,
                started_us=min(started_us, ended_us),
                ended_us=ended_us,
                flags=flags,
                witness=witness,
                at_us=now_us,
                more=more,
                pump_ended_us=self._told_us[0],
                skew_us=self._told_us[1],
            )
        )
        self.witnesses[LOGICAL] = witness

    def _compare(self, now_us: int) -> None:
        """Nothing is offered: what the totals say beyond what is known is a sale that the gun will not offer again."""
        totals = self._totals
        if totals is None:
            if self._totals_vain:
                self._compared(now_us)  # this gun tells no totals; its records still do
            else:
                self._want_totals()
            return
        before = self.witnesses.get(LOGICAL)
        reading = Witness(totals.volume_units * UNIT_ML, totals.amount_units)
        ahead = 0 if before is None else ahead_ml(totals.volume_units, before.volume_ml)
        if (before is None or ahead) and not self._certain():
            return
        if before is None or ahead < 0:
            self.witnesses[LOGICAL] = reading
            self.emit(TotalsRead(self.number, self.nozzles[LOGICAL], reading, now_us))
        elif ahead > 0:
            if not self._fetch_failed and totals.uid:
                if self.fetch is None:
                    self.fetch, self._fetch_asks = totals.uid, ASKS_MOST
                return
            now = TotalsReading(reading.volume_ml, reading.amount_fen)
            price = self.pump_prices.get(LOGICAL, self.prices[LOGICAL])
            judgement = judge(before, now, Filling(0, 0), seen=False, patient=False, price_fen_per_l=price)
            flags = ("recovered",) if self.recovering else ()
            running = self.phase in DELIVERING
            if not self._hand(judgement, price, flags, (now_us, now_us, now_us), more=running):
                return
        self._compared(now_us)

    def _compared(self, now_us: int) -> None:
        self._reconcile = self._fetch_failed = False
        self._close(now_us, void=True)

    def _is_new(self, record: SaleRecord) -> bool:
        before = self.witnesses.get(LOGICAL)
        return before is None or ahead_ml(record.total_after_units, before.volume_ml) > 0

    def _close(self, now_us: int, *, void: bool = False) -> None:
        was_open = self.delivery_open and self.phase not in DELIVERING
        if not was_open:
            return
        self.delivery_open = self.flow_seen = False
        self.delivery_nozzle = 0
        if void:
            self.emit(DeliveryVoid(self.number, self.nozzles[LOGICAL], now_us))

    def _ended_us(self, record: SaleRecord, now_us: int) -> int:
        """When the sale ended, on the driver's clock."""
        ended_us = decode_time(record.ended)
        if self.delivery_open or self.clock_us is None or ended_us is None:
            return now_us
        age_us = self.clock_us() - ended_us
        return now_us - age_us if 0 <= age_us <= AGE_MOST_US else now_us

    def _pump_clock(self, record: SaleRecord, now_us: int, *, seen: bool) -> tuple[int | None, int]:
        """When the sale ended by the gun's clock, and how far that clock is off at least.

        A delivery that ran under our eyes ended between the last poll that saw fuel flow and now; records tell whole seconds.
        """
        told_us = decode_time(record.ended)
        if told_us is None or self.clock_us is None or not seen or self.live_us is None:
            return told_us, 0
        unix_us = self.clock_us()
        earliest_us = unix_us - (now_us - self.live_us) - 1_000_000
        return told_us, told_us - unix_us if told_us > unix_us else min(0, told_us - earliest_us)
