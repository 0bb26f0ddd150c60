"""One Two-Wire pump head: the status of one pump number, and what commands and the customer's hand do to it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace

from protocols.twowire import (
    DigitModel,
    GradeTotals,
    MoneyPreset,
    NozzleRecord,
    PriceChange,
    Scale,
    SentBlock,
    Status,
    Totals,
    Transaction,
    VolumePreset,
)

from .events import Delivery, DeliveryEnded, FpEvent, NozzleReturned
from .fuelling_point import FuellingPoint
from .states import FpState

__all__ = ["TwoWireHead", "TwoWireMind"]

_ENDS = frozenset({Status.END_PEOT, Status.END_FEOT})
_NOZZLE_TOLD = frozenset({Status.CALL, Status.BUSY, Status.STOPPED})

_READY = frozenset({FpState.IDLE, FpState.CALLING})

_STATUS = {
    FpState.IDLE: Status.IDLE,
    FpState.CALLING: Status.CALL,
    FpState.AUTHORISED: Status.AUTHORISED,
    FpState.STARTED: Status.AUTHORISED,
    FpState.SUSPENDED_STARTED: Status.AUTHORISED,
    FpState.FUELLING: Status.BUSY,
    FpState.SUSPENDED_FUELLING: Status.STOPPED,
}


class TwoWireMind:
    """What all heads of one dispenser share.

    Attributes:
        model: field widths.
        scale: decimals.
        end_status: A or B, told between the end of a delivery and the reading of its transaction; the sources do not
            say which one when.
        marker: nibble after F8 of the transaction block.
        unknown: the three nibbles after its pump.
        lagging_totals_us: how long after the end of a delivery the totalisers count it.
        grades_in_money_presets: understand a grade in a money preset; Changji heads do so in volume presets only.
    """

    def __init__(
        self,
        *,
        model: DigitModel,
        scale: Scale,
        end_status: Status,
        marker: int,
        unknown: tuple[int, int, int],
        lagging_totals_us: int,
        grades_in_money_presets: bool,
    ) -> None:
        if end_status not in _ENDS:
            raise ValueError(f"a delivery ends in status A or B, not {end_status:X}")
        self.model = model
        self.scale = scale
        self.end_status = end_status
        self.marker = marker
        self.unknown = unknown
        self.lagging_totals_us = lagging_totals_us
        self.grades_in_money_presets = grades_in_money_presets


class TwoWireHead:
    """The mind of one pump number; grade k is the fuelling point's logical nozzle k.

    Args:
        pump: its number on the line.
        point: its fuelling point.
        mind: what the heads of the dispenser share.
        has_power: whether the cabinet has power.

    Attributes:
        held: the ended delivery whose transaction no controller has read.
    """

    def __init__(
        self, pump: int, point: FuellingPoint, *, mind: TwoWireMind, has_power: Callable[[], bool]
    ) -> None:
        self.pump = pump
        self.point = point
        self.held: Delivery | None = None
        self._mind = mind
        self._has_power = has_power
        self._ended_with_nozzle_out: Status | None = None  # what it shows until the nozzle is back
        self._preset: tuple[int | None, int | None] = (None, None)  # ml, fen
        self._preset_grade: int | None = None
        self._second_price: dict[int, int] = {}
        # Deliveries that the totalisers do not show yet, each with the time at which they will.
        self._lagging: deque[tuple[int, Delivery]] = deque()
        if point.state is FpState.CLOSED:
            # Two-Wire knows no open and close: a head with power is in service.
            point.open(0)
        point.listeners.append(self._on_event)

    # --- what the line asks ------------------------------------------------------------------------------------

    def status(self, now_us: int) -> Status | None:  # noqa: ARG002 - the model is advanced before it is asked
        """What ``0p`` is answered; None while the electronics do not work."""
        if self._ended_with_nozzle_out is not None:
            return self._ended_with_nozzle_out
        if self.held is not None:
            return self._mind.end_status
        return _STATUS.get(self.point.state)

    def authorise(self, now_us: int) -> None:
        """``1p``: in 7 for the nozzle that is out, in 6 ahead of the lift. Elsewhere nothing happens."""
        if self.held is not None or self.point.state not in _READY:
            return
        preset_ml, preset_fen = self._preset
        allowed = None if self._preset_grade is None else {self._preset_grade}
        if self.point.authorise(now_us, allowed_nozzles=allowed, preset_ml=preset_ml, preset_fen=preset_fen):
            self._forget_preset()

    def stop(self, now_us: int) -> None:
        """``3p``: nothing in 7, back to 6 from 8, to C from 9."""
        if self.point.state in {
            FpState.AUTHORISED,
            FpState.STARTED,
            FpState.FUELLING,
            FpState.SUSPENDED_STARTED,
            FpState.SUSPENDED_FUELLING,
        }:
            self.point.terminate(now_us)

    def data(self, block: SentBlock, now_us: int) -> bool:
        """A price or a preset. False: the head cannot do it and tells a data error."""
        scale = self._mind.scale
        match block:
            case PriceChange(grade=grade, price_units=units, level=level):
                price = scale.fen(units, scale.price)
                if level == 2 and grade in self.point.nozzles:
                    self._second_price[grade] = price  # kept and shown; the model sells at the first
                    return True
                return self.point.set_price(now_us, grade, price)
            case VolumePreset(volume_units=units, grade=grade):
                return self._take_preset(scale.ml(units, scale.preset_volume) or None, None, grade)
            case MoneyPreset(money_units=units, grade=grade):
                if grade is not None and not self._mind.grades_in_money_presets:
                    return False
                return self._take_preset(None, scale.fen(units, scale.preset_money) or None, grade)
            case _:
                return False  # a good frame that nobody understands, perhaps damaged

    def nozzle(self, now_us: int) -> NozzleRecord | None:
        """Which nozzle is out; answered in call, busy and stopped only."""
        if self.status(now_us) not in _NOZZLE_TOLD:
            return None
        return NozzleRecord.of(
            self.pump, self.point.nozzle_out or 0, totals_decimals=self._mind.scale.total_volume == 3
        )

    def transaction(self, now_us: int) -> Transaction | None:
        """The last delivery. In A and B this reading lets it go; it stays readable until the next one ends."""
        if self.status(now_us) is None:
            return None
        last = self.point.last_delivery
        if self.held is not None and self._ended_with_nozzle_out is None:
            self.point.acknowledge(self.held.sequence)
            self.held = None
        scale, model = self._mind.scale, self._mind.model
        blank = Transaction(
            pump=self.pump,
            grade=min(self.point.nozzles),
            price_units=0,
            volume_units=0,
            money_units=0,
            marker=self._mind.marker,
            unknown=self._mind.unknown,
        )
        if last is None:
            return blank
        return replace(
            blank,
            grade=last.logical_nozzle,
            price_units=scale.money_units(last.price_fen_per_l, scale.price) % 10**model.price,
            volume_units=scale.volume_units(last.volume_ml, scale.volume) % 10**model.volume,
            money_units=scale.money_units(last.amount_fen, scale.money) % 10**model.money,
        )

    def totals(self, now_us: int) -> Totals | None:
        """The totalisers of ended deliveries and the prices, a grade for each nozzle."""
        if self.status(now_us) is None:
            return None
        while self._lagging and self._lagging[0][0] <= now_us:
            self._lagging.popleft()
        scale, model = self._mind.scale, self._mind.model
        modulus = 10**model.totals
        grades = []
        for logical in sorted(self.point.nozzles):
            nozzle = self.point.nozzles[logical]
            volume_ml, amount_fen = nozzle.total_volume_ml, nozzle.total_amount_fen
            for _, late in self._lagging:
                if late.logical_nozzle == logical:
                    volume_ml -= late.volume_ml
                    amount_fen -= late.amount_fen
            first = nozzle.price_fen_per_l
            second = self._second_price.get(logical, first)
            grades.append(
                GradeTotals(
                    grade=logical,
                    volume_units=scale.volume_units(volume_ml, scale.total_volume) % modulus,
                    money_units=scale.money_units(amount_fen, scale.total_money) % modulus,
                    price_1_units=scale.money_units(first, scale.price) % 10**model.price,
                    price_2_units=scale.money_units(second, scale.price) % 10**model.price,
                )
            )
        return Totals(grades=tuple(grades))

    def money(self, now_us: int) -> int | None:
        """The display's money, of the delivery under way or of the last one."""
        if self.status(now_us) is None:
            return None
        scale = self._mind.scale
        amount_fen = self.point.reading(now_us).amount_fen
        modulus: int = 10**self._mind.model.money
        return scale.money_units(amount_fen, scale.money) % modulus

    # --- inside ------------------------------------------------------------------------------------------------

    def _take_preset(self, preset_ml: int | None, preset_fen: int | None, grade: int | None) -> bool:
        """Keep a preset until a ``1p`` uses it or another one replaces it; taken in 6 and 7 only."""
        ready = self.held is None and self.point.state in _READY
        if not ready or (grade is not None and grade not in self.point.nozzles):
            return False
        self._preset = (preset_ml, preset_fen)
        self._preset_grade = grade
        return True

    def _forget_preset(self) -> None:
        self._preset = (None, None)
        self._preset_grade = None

    def _on_event(self, event: FpEvent) -> None:
        match event:
            case DeliveryEnded(delivery=delivery, at_us=at_us):
                self.held = delivery
                if self.point.nozzle_out is not None and self._has_power():
                    stopped = "terminated" in delivery.flags
                    self._ended_with_nozzle_out = Status.STOPPED if stopped else Status.BUSY
                if self._mind.lagging_totals_us:
                    self._lagging.append((at_us + self._mind.lagging_totals_us, delivery))
            case NozzleReturned():
                self._ended_with_nozzle_out = None
            case _:
                pass

    def power_is_back(self) -> None:
        """After a power cut: presets and the stage of an ended delivery are forgotten, the delivery is not."""
        self._forget_preset()
        self._ended_with_nozzle_out = None
