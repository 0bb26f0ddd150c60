"""One fuelling point behind IFSF, as the controller sees it: states, lifts, one request, sales exactly once.

The dispenser keeps its sales until they are cleared, and its totaliser moves with every one of them. So a sale is new when, and
only when, it ends beyond the totals that the journal holds: one that was stored but not cleared before a crash is known
again (FC-SALE-01), and what no transaction explains becomes a reconstructed sale.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from protocols.ifsf import FpState
from reference.site.events import (
    Authorised,
    AuthoriseRefused,
    DeliveryVoid,
    DriverEvent,
    LineDown,
    LineUp,
    LiveAmount,
    NozzleLifted,
    NozzleReturned,
    PointState,
    PriceSet,
    SaleCaptured,
    StateChanged,
    TotalsRead,
)
from reference.site.witness import TOTAL_MODULUS, Filling, Totals, Witness, judge

__all__ = ["DELIVERING", "BufferedSale", "IfsfPointLogic", "Wanted"]

DELIVERING: Final = frozenset(
    {
        FpState.AUTHORISED,
        FpState.STARTED,
        FpState.SUSPENDED_STARTED,
        FpState.FUELLING,
        FpState.SUSPENDED_FUELLING,
    }
)
_AMOUNT_MODULUS: Final = 10**10


@dataclass(slots=True)
class Wanted:
    """An authorisation on its way into the pump; ``said`` when the command has left."""

    logical: int
    preset_fen: int | None
    preset_ml: int | None
    said: bool = False


@dataclass(frozen=True, slots=True)
class BufferedSale:
    """One transaction of the dispenser's buffer; ``offline``: made without any controlling device."""

    sequence: int
    logical: int
    volume_ml: int
    amount_fen: int
    price_fen_per_l: int
    offline: bool


class IfsfPointLogic:
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
        notices: counts what the dispenser said of its own accord; two readings with the same count hang together.
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
        self.emit = emit
        self.witnesses: dict[int, Witness] = {}
        self.up = False
        self.state: FpState | None = None
        self.shown = PointState.OFFLINE
        self.nozzle_out = 0
        self.sequence = -1
        self.capture_due = False
        self.stop_due = False
        self.notices = 0
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

    @property
    def delivering(self) -> bool:
        """Fuel flows or may flow."""
        return self.state in DELIVERING

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
        self.prices.update(prices_fen_per_l)
        self.price_wishes.update(dict.fromkeys(prices_fen_per_l, 0))

    # -- the link ------------------------------------------------------------------------------------------------

    def link_lost(self, now_us: int) -> None:
        """Nothing is known any more. A Release that was said may have been obeyed: unknown, not failed."""
        if self.wanted is not None and self.wanted.said:
            self._doubt, self.wanted = self.wanted.logical, None
        self.refuse("link lost", now_us)
        self.stop_due = self.capture_due = self._lift_waits = False
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
            self.notices += 1
        self._on_nozzle(self._nozzle_of(bits, state), now_us)
        if state in DELIVERING:
            self._on_delivering(state, now_us)
        elif self.delivery_open and before is not None:
            if before in DELIVERING:
                self._ended_us = now_us
            self.capture_due = True
        if state is FpState.CALLING and before is not FpState.CALLING:
            self._lift_waits = True
        self.proceed(now_us)

    def _nozzle_of(self, bits: int, state: FpState) -> int:
        out = next((logical for logical in sorted(self.nozzles) if bits >> (logical - 1) & 1), 0)
        if not out and state is FpState.CALLING and len(self.nozzles) == 1:
            return next(iter(self.nozzles))  # somebody calls, and there is one nozzle
        return out

    def _on_nozzle(self, out: int, now_us: int) -> None:
        held, self.nozzle_out = self.nozzle_out, out
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
        if logical in self.nozzles:
            self.delivery_nozzle = logical
        if (volume_ml, amount_fen) == (before.volume_ml, before.amount_fen):
            return
        self.running = Filling(volume_ml, amount_fen)
        self.flow_seen = True
        nozzle = self.nozzles.get(self.delivery_nozzle)
        if nozzle is not None and self.up:
            self.emit(LiveAmount(self.number, nozzle, volume_ml, amount_fen, now_us))

    def on_transaction(self) -> None:
        """A transaction was made or cleared."""
        self.notices += 1
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

    # -- sales ---------------------------------------------------------------------------------------------------

    def nozzles_to_read(self, sales: Iterable[BufferedSale], *, recovered: bool) -> list[int]:
        """Whose totals are needed to judge these sales."""
        if recovered or (self.delivery_open and self.delivery_nozzle not in self.nozzles):
            return sorted(self.nozzles)
        wanted = {sale.logical for sale in sales} | {self.delivery_nozzle}
        return sorted(wanted & self.nozzles.keys())

    def must_wait(self, sales: list[BufferedSale], totals: Mapping[int, Totals]) -> bool:
        """Buffer and totaliser do not fit together yet: one of them comes later. Reading again may help."""
        for logical, total in totals.items():
            before = self.witnesses.get(logical)
            if before is None:
                continue
            mine = self._new(sales, logical, total)
            watched = self.delivery_open and self.flow_seen and logical == self.delivery_nozzle
            if not mine and (total.volume_ml != before.volume_ml or (watched and self.running.volume_ml)):
                return True
            if mine:
                sale, end = mine[0]
                filling = Filling(sale.volume_ml, sale.amount_fen)
                price = sale.price_fen_per_l
                if judge(before, end, filling, seen=watched, patient=True, price_fen_per_l=price).wait:
                    return True
        return False

    def hand_over(
        self, sales: list[BufferedSale], totals: Mapping[int, Totals], now_us: int, *, recovered: bool
    ) -> None:
        """Emit what is new, oldest first. Raises SaleNotStored; calling again with fresh readings goes on."""
        sold = False
        for logical, total in totals.items():
            sold |= self._sell_nozzle(logical, total, sales, now_us, recovered=recovered)
        if not self.delivery_open or self.delivering:
            return
        nozzle = self.nozzles.get(self.delivery_nozzle, 0)
        self.delivery_open = self.flow_seen = False
        self.delivery_nozzle = 0
        self.running = Filling(0, 0)
        if not sold:
            self.emit(DeliveryVoid(self.number, nozzle, now_us))

    def _new(
        self, sales: list[BufferedSale], logical: int, total: Totals
    ) -> list[tuple[BufferedSale, Totals]]:
        """The sales of a nozzle that end beyond the witness, each with the totals after it."""
        volume_ml, amount_fen = total.volume_ml, total.amount_fen or 0
        ends = []
        for sale in reversed([one for one in sales if one.logical == logical and one.volume_ml]):
            ends.append((sale, Totals(volume_ml, amount_fen)))
            volume_ml = (volume_ml - sale.volume_ml) % TOTAL_MODULUS
            amount_fen = (amount_fen - sale.amount_fen) % _AMOUNT_MODULUS
        ends.reverse()
        before = self.witnesses.get(logical)
        watched = self.delivery_open and self.flow_seen and logical == self.delivery_nozzle
        if before is None or (total.volume_ml - before.volume_ml) % TOTAL_MODULUS > TOTAL_MODULUS // 2:
            return ends
        return [
            (sale, end)
            for index, (sale, end) in enumerate(ends, start=1)
            if 0 < (end.volume_ml - before.volume_ml) % TOTAL_MODULUS <= TOTAL_MODULUS // 2
            # The totaliser may not have counted the last one yet; it was watched, so it is new.
            or (watched and index == len(ends) and self.running.volume_ml <= sale.volume_ml)
        ]

    def _sell_nozzle(
        self, logical: int, total: Totals, sales: list[BufferedSale], now_us: int, *, recovered: bool
    ) -> bool:
        mine = self._new(sales, logical, total)
        how: tuple[str, ...] = ("recovered",) if recovered else ()
        if logical not in self.witnesses:
            how = ("adopted",)
            first, end = mine[0] if mine else (None, total)
            self.witnesses[logical] = Witness(
                (end.volume_ml - (first.volume_ml if first else 0)) % TOTAL_MODULUS,
                ((end.amount_fen or 0) - (first.amount_fen if first else 0)) % _AMOUNT_MODULUS,
            )
            if not mine:
                self.emit(TotalsRead(self.number, self.nozzles[logical], self.witnesses[logical], now_us))
        sold = False
        for index, (sale, end) in enumerate(mine, start=1):
            watched = self.delivery_open and self.flow_seen and logical == self.delivery_nozzle
            filling = Filling(sale.volume_ml, sale.amount_fen)
            flags = ("offline", *how) if sale.offline else how
            last = index == len(mine)
            sold |= self._sell(
                logical, end, filling, sale.price_fen_per_l, flags, now_us, watched and last, last
            )
        if not mine and total.volume_ml != self.witnesses[logical].volume_ml:
            sold |= self._sell(logical, total, Filling(0, 0), self.prices[logical], how, now_us, False, True)
        return sold

    def _sell(
        self,
        logical: int,
        end: Totals,
        filling: Filling,
        price_fen_per_l: int,
        flags: tuple[str, ...],
        now_us: int,
        watched: bool,
        last: bool,
    ) -> bool:
        before = self.witnesses[logical]
        judged = judge(before, end, filling, seen=watched, patient=False, price_fen_per_l=price_fen_per_l)
        found = filling if filling.volume_ml and judged.filling is None else judged.filling
        if judged.missing is not None:
            rest = found or Filling(0, 0)
            between = Witness(
                (end.volume_ml - rest.volume_ml) % TOTAL_MODULUS,
                ((end.amount_fen or 0) - rest.amount_fen) % _AMOUNT_MODULUS,
            )
            more = found is not None or not last
            self._offer(
                logical,
                judged.missing,
                between,
                price_fen_per_l,
                ("reconstructed", *flags),
                now_us,
                False,
                more,
            )
        if found is not None:
            own = judged.flags if judged.filling is not None else ("total_backwards",)
            self._offer(
                logical, found, judged.witness, price_fen_per_l, (*own, *flags), now_us, watched, not last
            )
        elif judged.missing is None and judged.witness != before:
            self.emit(TotalsRead(self.number, self.nozzles[logical], judged.witness, now_us))
        self.witnesses[logical] = judged.witness
        return found is not None or judged.missing is not None

    def _offer(
        self,
        logical: int,
        filling: Filling,
        witness: Witness,
        price_fen_per_l: int,
        flags: tuple[str, ...],
        now_us: int,
        watched: bool,
        more: bool,
    ) -> None:
        if logical == self._doubt:
            self._settle_doubt(now_us, obeyed=True)
        self.emit(
            SaleCaptured(
                fuelling_point=self.number,
                nozzle=self.nozzles[logical],
                volume_ml=filling.volume_ml,
                amount_fen=filling.amount_fen,
                price_fen_per_l=price_fen_per_l,
                end_total_volume_ml=witness.volume_ml,
                end_total_amount_fen=witness.amount_fen,
                started_us=self._started_us if watched else now_us,
                ended_us=max(self._started_us, self._ended_us) if watched else now_us,
                flags=flags,
                witness=witness,
                at_us=now_us,
                more=more,
            )
        )
        self.witnesses[logical] = witness

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
            shown = PointState(self.state.name)
        if shown is not self.shown:
            self.shown = shown
            self.emit(StateChanged(self.number, shown, now_us))
