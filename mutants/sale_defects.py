"""Defects of what the site controller makes of a delivery: captured, numbered, priced, timed, uploaded."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import msgspec

from mutants.mutant import Mutant, patched
from protocols.aaff import SaleRecord, decode_time, encode_time
from protocols.dart import TotalsReport, Transaction
from reference.site.authorisations import AuthorisationDesk
from reference.site.journal import Journal, Sale
from reference.site.pumps.aaff.figures import UNIT_ML
from reference.site.pumps.aaff.point import AaFfPoint
from reference.site.pumps.capture import DeliveryCapture
from reference.site.pumps.dart import DartDriver
from reference.site.pumps.events import PriceSet
from reference.site.pumps.ifsf.sales import IfsfSales
from reference.site.pumps.intents import Intent, SetPrices
from reference.site.pumps.point import FuellingPointLogic
from reference.site.pumps.pricing import PriceKeeping
from reference.site.pumps.witness import Witness
from reference.site.uplink import Uplink

__all__ = ["SALE_MUTANTS"]

_NODE_BUFFER = 64
_AMOUNTS = range(0x11, 0x19)
_MONTH_US = 31 * 86_400_000_000
_ZONE_US = 8 * 3_600_000_000


def _idle_must_be_seen() -> AbstractContextManager[None]:
    hand_over = DeliveryCapture._hand_over

    def mutant(self: Any, capture: Any, judged: Any, now_us: int) -> bool:
        if self.nozzle_out and not capture.recovered:
            # Lifted again already: it was never seen idle, so nothing has ended.
            for logical, judgement in judged:
                self.witnesses[logical] = judgement.witness
            return False
        return hand_over(self, capture, judged, now_us)

    return patched((DeliveryCapture, "_hand_over", mutant))


def _preset_clings() -> AbstractContextManager[None]:
    drop_request = FuellingPointLogic._drop_request

    def mutant(self: Any, reason: str, now_us: int) -> None:
        stop = self._stop_polls
        drop_request(self, reason, now_us)
        self._stop_polls = stop

    return patched(
        (FuellingPointLogic, "presets_cling", False), (FuellingPointLogic, "_drop_request", mutant)
    )


def _new_number_at_each_try() -> AbstractContextManager[None]:
    async def mutant(self: Any, sale: Sale) -> None:
        tries = 0

        def body() -> dict[str, Any]:
            nonlocal tries
            tries += 1
            return replace(sale, sequence=sale.sequence + 1_000 * (tries - 1)).as_json()

        await self._patiently("POST", "/sales", body)
        self._journal.uploaded(sale.sale_id)

    return patched((Uplink, "_send_sale", mutant))


def _every_record_is_new() -> AbstractContextManager[None]:
    on_record = AaFfPoint.on_record

    def mutant(self: Any, record: SaleRecord, now_us: int) -> None:
        self._judged_uid = None
        self.witnesses[1] = Witness(
            record.total_before_units * UNIT_ML, record.use_amount_units - record.amount_units
        )
        on_record(self, record, now_us)

    return patched((AaFfPoint, "on_record", mutant))


def _only_the_newest_wait() -> AbstractContextManager[None]:
    record_sales, unsent_sales = Journal.record_sales, Journal.unsent_sales

    def record(self: Any, sales: Any, *, spend: int | None = None) -> list[Sale]:
        stored = record_sales(self, sales, spend=spend)
        waiting = unsent_sales(self, -1)
        if len(waiting) > _NODE_BUFFER:
            self.__dict__["wiped_to"] = waiting[-_NODE_BUFFER - 1].sale_id
        return stored

    def unsent(self: Any, limit: int = 50) -> list[Sale]:
        wiped_to = self.__dict__.get("wiped_to", 0)
        return [sale for sale in unsent_sales(self, limit) if sale.sale_id > wiped_to]

    return patched((Journal, "record_sales", record), (Journal, "unsent_sales", unsent))


def _total(change: Any) -> AbstractContextManager[None]:
    report = DartDriver._report

    def mutant(self: Any, logic: FuellingPointLogic, transaction: Transaction, now_us: int) -> None:
        if isinstance(transaction, TotalsReport):
            transaction = change(transaction)
        report(self, logic, transaction, now_us)

    return patched((DartDriver, "_report", mutant))


def _times_ten(total: TotalsReport) -> TotalsReport:
    return (
        msgspec.structs.replace(total, total_units=total.total_units * 10)
        if total.counter in _AMOUNTS
        else total
    )


def _amount_for_volume() -> AbstractContextManager[None]:
    sell = DeliveryCapture._sell

    def mutant(
        self: Any,
        capture: Any,
        logical: int,
        filling: Any,
        witness: Witness,
        flags: Any,
        now_us: int,
        **more: Any,
    ) -> None:
        emit = self.emit
        self.emit = lambda event: emit(replace(event, end_total_volume_ml=event.end_total_amount_fen))
        try:
            sell(self, capture, logical, filling, witness, flags, now_us, **more)
        finally:
            self.emit = emit

    return patched((DeliveryCapture, "_sell", mutant))


def _nozzle_zero_is_one() -> AbstractContextManager[None]:
    on_nozzle = FuellingPointLogic.on_nozzle

    def mutant(self: Any, logical: int, out: bool, price_fen_per_l: int, now_us: int) -> None:
        on_nozzle(self, logical if logical in self.nozzles else 1, out, price_fen_per_l, now_us)

    return patched((FuellingPointLogic, "on_nozzle", mutant))


def _told_before_read_back() -> AbstractContextManager[None]:
    next_price = PriceKeeping._next_price

    def mutant(self: Any, now_us: int) -> Intent | None:
        intent = next_price(self, now_us)
        if isinstance(intent, SetPrices):
            for logical in list(self._price_wishes):
                del self._price_wishes[logical]
                price = self.prices[logical]
                self.emit(PriceSet(self.number, self.nozzles[logical], price, True, now_us))
        return intent

    return patched((PriceKeeping, "_next_price", mutant))


def _lock_is_for_show() -> AbstractContextManager[None]:
    return patched((AuthorisationDesk, "policy_allows", property(lambda _desk: True)))


def _wrap_looks_old() -> AbstractContextManager[None]:
    offer = AaFfPoint._offer

    def mutant(self: Any, record: SaleRecord, now_us: int) -> None:
        if self._judged_uid is not None and record.uid < self._judged_uid:
            # A smaller number: known already. Its totals are, too.
            self.witnesses[1] = Witness(record.total_after_units * UNIT_ML, record.use_amount_units)
            self._done_with(record.uid)
            return
        offer(self, record, now_us)

    return patched((AaFfPoint, "_offer", mutant))


def _wrap_looks_old_to_ifsf() -> AbstractContextManager[None]:
    new, sell_nozzle = IfsfSales._new, IfsfSales._sell_nozzle

    def not_old(self: Any, sales: Any, logical: int, total: Any) -> Any:
        last = self.__dict__.get("newest", 0)
        return [(sale, end) for sale, end in new(self, sales, logical, total) if sale.sequence > last]

    def sell(self: Any, logical: int, total: Any, sales: Any, now_us: int, *, recovered: bool) -> bool:
        sold = sell_nozzle(self, logical, total, sales, now_us, recovered=recovered)
        numbers = [sale.sequence for sale in sales if sale.logical == logical]
        self.__dict__["newest"] = max([self.__dict__.get("newest", 0), *numbers])
        return sold

    return patched((IfsfSales, "_new", not_old), (IfsfSales, "_sell_nozzle", sell))


def _shifted_time(by_us: int) -> AbstractContextManager[None]:
    ended_us = AaFfPoint._ended_us

    def mutant(self: Any, record: SaleRecord, now_us: int) -> int:
        told_us = decode_time(record.ended)
        if told_us is not None:
            record = replace(record, ended=encode_time(told_us + by_us))
        return ended_us(self, record, now_us)

    return patched((AaFfPoint, "_ended_us", mutant))


SALE_MUTANTS = (
    Mutant(
        "M05",
        "a delivery is lost when idle is not sampled between two lifts",
        "driver",
        "the nozzle is hung up and lifted within one poll; the driver waits for a state it never sees",
        ("fd-state.fast-nozzle-cycle-keeps-deliveries-apart", "fc-sale.one-delivery-one-ledger-sale"),
        _idle_must_be_seen,
        ("two-lifts",),
        note="a driver that merely overlooks the end is healed by the totals (the sale is flagged reconstructed); the "
        "mutant takes the totals as the next delivery's start, as drivers without that check do",
    ),
    Mutant(
        "M06",
        "a refused preset stays in the pump",
        "driver",
        "after a preset that the pump refused, every later customer is refused, too",
        ("fd-auth.refused-preset-is-reported", "fd-auth.cancel-clears-presets"),
        _preset_clings,
        ("refused-preset",),
        note="the reference takes a refused preset out twice, by STOP at the refusal and by RESET before the next "
        "authorisation; the mutant lacks both, with one of them it is healed",
    ),
    Mutant(
        "M08",
        "a retried upload is a second sale",
        "site",
        "the answer to an upload is lost, the retry goes out under a new number, and both are booked",
        ("fd-pwr.repeated-upload-is-one-sale", "fc-sale.repeated-upload-is-one-row"),
        _new_number_at_each_try,
        ("lost-reply",),
    ),
    Mutant(
        "M08b",
        "a repeated record is a second sale",
        "driver",
        "the acknowledgement of a record is lost, the pump sends it again, and it is booked again",
        ("fd-pwr.repeated-upload-is-one-sale", "fc-sale.one-delivery-one-ledger-sale"),
        _every_record_is_new,
        ("lost-acknowledgement",),
        note="the second place of M08: between pump and site controller instead of site controller and back office",
    ),
    Mutant(
        "M09",
        "older off-line sales are wiped beyond 64",
        "site",
        "a node keeps 64 sales while the back office is away; the 65th pushes out the first without a word",
        ("fd-pwr.offline-buffer-never-overwrites", "fd-pwr.buffered-sales-upload-in-order"),
        _only_the_newest_wait,
        ("long-night",),
    ),
    Mutant(
        "M10",
        "amount total times ten",
        "driver",
        "the amount totaliser of one make has a decimal more, and is taken over as it stands",
        ("fd-met.totals-neither-swapped-nor-rescaled",),
        lambda: _total(_times_ten),
        ("two-sales",),
    ),
    Mutant(
        "M11",
        "amount total stored as end volume total",
        "driver",
        "the two totalisers are mixed up on the way into the record",
        ("fd-met.totals-neither-swapped-nor-rescaled",),
        _amount_for_volume,
        ("two-sales",),
    ),
    Mutant(
        "M12",
        "nozzle zero is taken for nozzle 1",
        "driver",
        "a status without a nozzle number is booked on the first nozzle",
        ("fd-state.nozzle-zero-is-no-nozzle",),
        _nozzle_zero_is_one,
        ("nozzle-zero",),
    ),
    Mutant(
        "M13",
        "a price counts before it is read back",
        "driver",
        "the database has the new price as soon as it was sent; the pump sells at the old one",
        ("fd-price.price-confirmed-by-readback", "fd-price.failed-change-is-never-silent"),
        _told_before_read_back,
        ("deaf-to-prices",),
    ),
    Mutant(
        "M17",
        "fuels after the off-line lock",
        "site",
        "the station is to deny fuel while the back office is away, and a lift is authorised all the same",
        ("fd-auth.offline-policy-is-obeyed",),
        _lock_is_for_show,
        ("locked-off-line",),
    ),
    Mutant(
        "M20",
        "the wrap from 9999 to 1 loses a sale",
        "driver",
        "a record with a smaller number than the last one is taken for an old one",
        ("fd-pwr.sequence-is-gap-free-and-wraps",),
        _wrap_looks_old,
        ("wrap",),
        note="a driver that only ignores the record is healed by the next one, whose totals show the gap; the mutant "
        "believes the totals of the record that it ignores",
    ),
    Mutant(
        "M20b",
        "the wrap from 9999 to 1 loses a sale (IFSF)",
        "driver",
        "the same with transaction numbers: after the wrap no sale is a new one any more",
        ("fd-pwr.sequence-is-gap-free-and-wraps",),
        _wrap_looks_old_to_ifsf,
        ("wrap-on-ifsf",),
        note="the totals bring every lost sale back, flagged reconstructed: litres and money are right, and the suite says "
        "that they were guessed",
    ),
    Mutant(
        "M21",
        "month off by one",
        "driver",
        "months are counted from 0 on one side and from 1 on the other",
        ("fd-pwr.buffered-sales-upload-in-order", "fd-pwr.pump-clock-loss-is-reported"),
        lambda: _shifted_time(-_MONTH_US),
        ("off-line-sales",),
    ),
    Mutant(
        "M21b",
        "local time taken for UTC",
        "driver",
        "the pump's local time is read as UTC, and the sale falls on another business date",
        ("fd-pwr.buffered-sales-upload-in-order", "fd-pwr.pump-clock-loss-is-reported"),
        lambda: _shifted_time(-_ZONE_US),
        ("off-line-sales",),
        note="the second half of M21; only records that a pump kept while it was off-line carry a time that is used",
    ),
)
