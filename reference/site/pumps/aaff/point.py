"""One gun as the master sees it: what it says, what is to be asked, and the sale cycle around its records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from protocols.aaff import BriefSale, LiveRecord, SaleRecord, Totals
from reference.site.pumps.aaff.figures import TOTAL_UNITS, UNIT_ML, agrees, plausible
from reference.site.pumps.aaff.sales import ASKS_MOST, LOGICAL, AaFfSales
from reference.site.pumps.events import Authorised, DriverEvent
from reference.site.pumps.intents import DELIVERING, Authorise, Phase
from reference.site.pumps.witness import Witness

__all__ = ["AaFfPoint"]

# A gun that is silent to the question of totals costs its time-outs each time, so the pauses grow.
_AGAIN_FIRST_US: Final = 5_000_000
_AGAIN_MOST_US: Final = 300_000_000


class AaFfPoint(AaFfSales):
    """See the module. What it wants asked stands in ``ack``, ``totals_asks``, ``fetch`` and ``price_asks``.

    Attributes:
        price_asks: how often the unit price may still be asked for; 0 when it is not wanted.
        brief: the record to acknowledge came as three numbers.
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
        self.last_nozzle = LOGICAL
        self.price_asks = 0
        self.brief = False
        self._sale_waits = False
        self._old_lift = False
        self._missed = False  # there was no answer right before this one
        self._knows_totals = True
        self._again_us = 0  # when a gun whose totals nobody ever read is asked for them once more
        self._again_in_us = _AGAIN_FIRST_US

    # -- the link -----------------------------------------------------------------------------------------------

    @property
    def asks(self) -> bool:
        """Something other than a poll is to be said."""
        return self.ack is not None or self.totals_asks > 0 or self.fetch is not None or self.price_asks > 0

    @property
    def eager(self) -> bool:
        """There is something to say at once. A further poll is not: each one counts against a record that waits."""
        request = self._request
        return (
            self.asks
            or self._stop_polls == -1
            or (request is not None and request.said is None)
            or (self._price_polls < 0 and bool(self._price_wishes))
        )

    def on_answer(self) -> None:
        """See `FuellingPointLogic.on_answer`."""
        if not self.up and not self.recovering:
            self._start_reading()
            self._sale_waits = False
            self.price_asks = ASKS_MOST
        self._missed = self.misses > 0
        super().on_answer()

    def unanswered(self, *, understood: bool = True) -> None:
        """A question of ``asks`` brought no answer; not ``understood``: the gun knows no such command or record."""
        if self.fetch is not None:
            self._fetch_asks = self._fetch_asks - 1 if understood else 0
            if self._fetch_asks <= 0:
                self.fetch = None
                self._fetch_failed = True
        elif self.totals_asks:
            self.totals_asks = self.totals_asks - 1 if understood else 0
            self._totals_vain = not self.totals_asks
            self._knows_totals = self._knows_totals and understood
        elif self.price_asks:
            self.price_asks = self.price_asks - 1 if understood else 0

    def refused(self, reason: str, now_us: int) -> None:
        """The gun answered the authorisation with something else than it."""
        if self._request is not None and self._request.said is Authorise:
            self._drop_request(reason, now_us)
            self._update_busy()

    def _update_busy(self) -> None:
        super()._update_busy()
        self.busy = (
            self.busy or self.asks or bool(self._held) or (self._reconcile and self.up) or self._unread
        )

    @property
    def _unread(self) -> bool:
        """Its totals were never read, though it may know them: noise can eat every answer of a start."""
        return self.up and self._knows_totals and LOGICAL not in self.witnesses

    def _ask_again(self, now_us: int) -> None:
        if not self._unread or self._reconcile or self.asks or now_us < self._again_us:
            return
        if self._again_us:
            self._reconcile, self._totals_vain = True, False
            self._again_in_us = min(2 * self._again_in_us, _AGAIN_MOST_US)
        self._again_us = now_us + self._again_in_us

    def _recover(self, now_us: int) -> None:
        if self._sale_waits or self._held or self._reconcile or self.totals_asks or self.price_asks:
            return
        self._line_up(now_us)

    # -- what the gun says --------------------------------------------------------------------------------------

    def on_status(self, phase: Phase, *, out: bool, calling: bool, now_us: int) -> None:
        """The gun has no record to offer; ``calling``: its nozzle waits for an authorisation."""
        if self._old_lift:
            # Its delivery ended while nobody listened (the mains failed): hung up first, then lifted, is a new customer.
            self._old_lift = out or calling
            out = calling = False
        if phase not in DELIVERING:
            self._sale_waits = False
            if calling and self.phase in DELIVERING:
                self.on_nozzle_out(0, now_us)  # hung up and lifted again between two polls
        if phase is Phase.AUTHORISED and not out and self.up and self._nobody_asked():
            self._stop_polls = (
                -1
            )  # frames have no number: an old one that came again has authorised a hung-up gun
        self.on_nozzle_out(LOGICAL if out else 0, now_us)
        self.on_phase(phase, now_us)
        if phase is Phase.READY:
            self._ask_again(now_us)

    def _nobody_asked(self) -> bool:
        return self.phase not in DELIVERING and self._request is None

    def on_live(self, live: LiveRecord, now_us: int) -> None:
        """Fuel flows."""
        self._sale_waits = False
        self.live_us = now_us
        self._totals = None if self.up else self._totals
        self.on_nozzle_out(LOGICAL, now_us)
        self.on_phase(Phase.FILLING, now_us)
        # Eight bits of checksum let one damaged record in 256 pass: figures that contradict each other are none.
        if agrees(live.volume_units, live.price_units, live.amount_units):
            self.on_filling(live.volume_units * UNIT_ML, live.amount_units, now_us)
            self._watch_price(live.price_units)

    def on_record(self, record: SaleRecord, now_us: int) -> None:
        """The gun is at rest and offers its oldest sale."""
        self._sale_waits, self.brief = True, False
        # A short cut of the mains ends a delivery as well, and its nozzle is still out.
        self._old_lift = self._old_lift or self.recovering or (self._missed and self.phase in DELIVERING)
        if self._is_new(record):
            self._obeyed(now_us)
        self.on_nozzle_out(0, now_us)
        self.on_phase(Phase.READY, now_us)
        self._offered = record.uid
        if record.uid == self._judged_uid:
            self.ack = record.uid
        elif self._believable(record):
            self._offer(record, now_us)

    def on_brief(self, brief: BriefSale, now_us: int) -> None:
        """The same sale in three numbers. Its totals are those of 72 when it is the last one; else it follows what is known.

        Old ones of several cannot be told from new ones after a restart; the record of command 11 can.
        """
        totals, before = self._totals, self.witnesses.get(LOGICAL)
        if not self._totals_vain and (totals is None or totals.uid < brief.uid):
            self._sale_waits, self._totals = True, None
            self._want_totals()
            return
        if totals is not None and totals.uid == brief.uid:
            after, amount = totals.volume_units, totals.amount_units
        else:
            known = before or Witness(0, 0)
            after = (known.volume_ml // UNIT_ML + brief.volume_units) % TOTAL_UNITS
            amount = (known.amount_fen + brief.amount_units) % TOTAL_UNITS
        price = self.pump_prices.get(LOGICAL, self.prices[LOGICAL])
        if not agrees(brief.volume_units, price, brief.amount_units) and brief.volume_units:
            price = (brief.amount_units * 100 + brief.volume_units // 2) // brief.volume_units
        record = SaleRecord(
            uid=brief.uid,
            volume_units=brief.volume_units,
            price_units=price,
            amount_units=brief.amount_units,
            use_amount_units=amount,
            total_before_units=(after - brief.volume_units) % TOTAL_UNITS,
            total_after_units=after,
            started=bytes(6),
            ended=bytes(6),
        )
        self.on_record(record, now_us)
        self.brief = True

    def on_fetched(self, record: SaleRecord) -> None:
        """An answer to ``fetch``."""
        wanted, self.fetch = self.fetch, None
        if wanted is None:
            return
        after = self._held[-1].total_before_units if self._held else self._last_total()
        if record.uid != wanted or record.total_after_units != after or not plausible(record):
            self._fetch_failed = True
        else:
            self._held.append(record)
            self._fetch_more()

    def on_totals_read(self, totals: Totals) -> None:
        """UID and totals as of the last finished sale."""
        self.totals_asks = 0
        self._totals = totals

    def on_price(self, price_fen_per_l: int, now_us: int) -> None:
        """The price, read back."""
        self.price_asks = 0
        self.on_price_read(LOGICAL, price_fen_per_l, now_us)
        if not self._price_wishes:
            self._price_polls = -1

    def _watch_price(self, price_fen_per_l: int) -> None:
        """A gun that sells at another price than it should is set right after the sale."""
        if price_fen_per_l != self.prices[LOGICAL] and LOGICAL not in self._price_wishes:
            self.pump_prices[LOGICAL] = price_fen_per_l
            self._price_wishes[LOGICAL] = 0

    def _on_delivery_end(self, now_us: int) -> None:
        if self._sale_waits or self.recovering or self._reconcile:
            return
        if self.flow_seen:
            self._reconcile = True  # fuel flowed, and yet no record: let the totals tell
            self._totals = None
            self._fetch_failed = self._totals_vain = False
            return
        self._close(now_us, void=True)

    def _may_lift(self) -> bool:
        return super()._may_lift() and not (self._sale_waits or self._held or self._reconcile)

    def settle(self, now_us: int) -> None:
        """After each answer: take over what can be taken over, then go on as any fuelling point."""
        if self._held and self.fetch is None:
            self._take_held(now_us)
        if self._reconcile and not self._held and not self._sale_waits:
            self._compare(now_us)
        self._proceed(now_us)

    def _obeyed(self, now_us: int) -> None:
        """A new sale means that an authorisation whose answer was lost had been obeyed."""
        request = self._request
        if self.up and request is not None and request.said is Authorise:
            self._request = None
            self.emit(Authorised(self.number, self.nozzles[request.logical], now_us))
