"""The sales of an IFSF fuelling point: which are new, and each handed over exactly once.

The dispenser keeps its sales until they are cleared, and its totaliser moves with every one of them. So a sale is new when, and
only when, it ends beyond the totals that the journal holds: one that was stored but not cleared before a crash is known
again (FC-SALE-01), and what no transaction explains becomes a reconstructed sale.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from protocols.ifsf import CONFIGURATION_STATES, FpState
from reference.site.pumps.events import DeliveryVoid, DriverEvent, SaleCaptured, TotalsRead
from reference.site.pumps.witness import TOTAL_MODULUS, Filling, Totals, Witness, judge

__all__ = ["BufferedSale", "IfsfSales"]

_AMOUNT_MODULUS: Final = 10**10


@dataclass(frozen=True, slots=True)
class BufferedSale:
    """One transaction of the dispenser's buffer; ``offline``: made without any controlling device."""

    sequence: int
    logical: int
    volume_ml: int
    amount_fen: int
    price_fen_per_l: int
    offline: bool


class IfsfSales:
    """Base of `IfsfPointLogic`: everything about sales."""

    number: int
    nozzles: dict[int, int]
    prices: dict[int, int]
    witnesses: dict[int, Witness]
    emit: Callable[[DriverEvent], None]
    state: FpState | None
    nozzle_out: int
    delivery_open: bool
    delivery_nozzle: int
    flow_seen: bool
    running: Filling
    _started_us: int
    _ended_us: int
    _stale: int
    _doubt: int

    @property
    def delivering(self) -> bool:
        """Fuel flows or may flow."""
        raise NotImplementedError

    def _settle_doubt(self, now_us: int, *, obeyed: bool) -> None:
        raise NotImplementedError

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
        if self.delivery_nozzle == self.nozzle_out and self.state in CONFIGURATION_STATES:
            # Interrupted with the nozzle out: Open will make it call, but nobody has lifted it anew.
            self._stale = self.nozzle_out
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
                # An end that nobody saw, because link or mains were away, is only known to be over by now.
                ended_us=self._ended_us if watched and self._ended_us >= self._started_us else now_us,
                flags=flags,
                witness=witness,
                at_us=now_us,
                more=more,
            )
        )
        self.witnesses[logical] = witness
