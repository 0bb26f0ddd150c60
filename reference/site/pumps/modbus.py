"""`ModbusDriver`: the controller side of the project's own Modbus register map (docs/modbus-register-map.md).

One poll reads a whole fuelling point at one instant. Finished deliveries wait in the device until they are
acknowledged, each with the totaliser after it; so a sale is stored, then acknowledged, and a crash in between offers
it again, where the totaliser witness knows it. Commands carry a token, so an unanswered one may be repeated.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping

from protocols.modbus import (
    NOZZLE_COUNT,
    POINT_COUNT,
    BadReply,
    Command,
    ModbusClient,
    NoReply,
    PointImage,
    Refused,
    Registers,
    SaleImage,
    Written,
    acknowledge_write,
    command_write,
    decode_nozzle,
    decode_point,
    noteworthy_flags,
    nozzle_read,
    point_read,
    price_write,
    rtu_silence_us,
)
from protocols.sansio import NEED_DATA
from reference.site.config import LineConfig
from reference.site.pumps.damage import note_damage
from reference.site.pumps.driver import SaleNotStored
from reference.site.pumps.events import DeliveryVoid, DriverEvent, SaleCaptured, TotalsRead
from reference.site.pumps.intents import DELIVERING, Authorise, Intent, Phase, Reads, Reset, SetPrices, Stop
from reference.site.pumps.line import PolledLine
from reference.site.pumps.point import FuellingPointLogic
from reference.site.pumps.witness import Filling, Totals, Witness, judge

__all__ = ["ModbusDriver"]

REPLY_LIMIT_US = 25_000
TRIES_MOST = 3  # of one write, before the point is polled and the matter decided anew
_BITS_PER_CHAR = 11
_REQUEST_CHARS = 8
_REPLY_CHARS = 5 + 2 * POINT_COUNT

# States by the numbers of the register map, which are IFSF's.
_PHASES = {
    1: Phase.OFF,
    2: Phase.OFF,
    3: Phase.READY,
    4: Phase.READY,
    5: Phase.AUTHORISED,
    6: Phase.AUTHORISED,
    7: Phase.SUSPENDED,
    8: Phase.FILLING,
    9: Phase.SUSPENDED,
}


class _ModbusPoint(FuellingPointLogic):
    """A fuelling point whose device keeps its own sales: capture comes from its queue, not from its display."""

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
        self.sale_waits = False
        self.judged = 0  # sequence of the last sale taken over, to be acknowledged
        self.unread: set[int] = set()  # nozzles whose totals have never been read

    def _on_delivery_end(self, now_us: int) -> None:
        if self.sale_waits or self.recovering:
            return
        nozzle = self.nozzles.get(self.delivery_nozzle, 0)
        self._close_delivery()
        self.emit(DeliveryVoid(self.number, nozzle, now_us))

    def _close_delivery(self) -> None:
        if self.recovering or not self._lift_waits:
            # A nozzle found out after a lost link is taken for the one of the delivery that has ended meanwhile: only
            # a lift that was seen calls, so nobody gets more than the preset without a new one.
            self.ended_with_nozzle_out = bool(self.nozzle_out)
            self._lift_waits = False
        self.delivery_open = self.flow_seen = False
        self.delivery_nozzle = 0

    def _may_lift(self) -> bool:
        return super()._may_lift() and not self.sale_waits

    def _recover(self, now_us: int) -> None:
        if self.phase in DELIVERING or not (self.sale_waits or self.unread):
            self._line_up(now_us)

    def on_first_totals(self, logical: int, witness: Witness, now_us: int) -> None:
        """A nozzle never seen before: the base for its later deliveries."""
        self.unread.discard(logical)
        if logical not in self.witnesses:
            self.witnesses[logical] = witness
            self.emit(TotalsRead(self.number, self.nozzles[logical], witness, now_us))

    def take_sale(self, sale: SaleImage, now_us: int) -> None:
        """Hand over the oldest waiting delivery, unless it was handed over before."""
        logical = sale.logical_nozzle
        if logical not in self.nozzles:
            self.judged = sale.sequence  # not ours to sell; do not let it block the queue
            return
        totals = Totals(sale.end_total_volume_ml, sale.end_total_amount_fen)
        filling = Filling(sale.volume_ml, sale.amount_fen)
        before = self.witnesses.get(logical)
        flags: tuple[str, ...] = ("recovered",) if self.recovering else ()
        if before is None:
            # Never acknowledged to anyone, so never sold by anyone.
            before = Witness(
                totals.volume_ml - filling.volume_ml, sale.end_total_amount_fen - filling.amount_fen
            )
            flags = ("adopted",)
        judgement = judge(
            before, totals, filling, seen=False, patient=False, price_fen_per_l=sale.price_fen_per_l
        )
        ended_us = now_us - sale.age_ms * 1000
        try:
            if judgement.missing is not None:
                between = Witness(
                    totals.volume_ml - filling.volume_ml, sale.end_total_amount_fen - filling.amount_fen
                )
                missing = judgement.missing
                more = judgement.filling is not None
                self._offer(
                    sale, logical, missing, between, ("reconstructed", *flags), ended_us, now_us, more
                )
            if judgement.filling is not None:
                own = (*judgement.flags, *flags, *noteworthy_flags(sale.flags))
                self._offer(sale, logical, filling, judgement.witness, own, ended_us, now_us, more=False)
            elif judgement.witness != before:
                self.emit(TotalsRead(self.number, self.nozzles[logical], judgement.witness, now_us))
        except SaleNotStored:
            return  # not acknowledged, so it is offered again
        self.witnesses[logical] = judgement.witness
        self.judged = sale.sequence
        if self.delivery_open and self.phase not in DELIVERING:
            nozzle = self.nozzles.get(self.delivery_nozzle, 0)
            own_sale = logical == self.delivery_nozzle
            if own_sale:
                self._close_delivery()
            if own_sale and judgement.filling is None and judgement.missing is None:
                self.emit(DeliveryVoid(self.number, nozzle, now_us))
        elif self.recovering and logical == self.nozzle_out:
            self._close_delivery()

    def _offer(
        self,
        sale: SaleImage,
        logical: int,
        filling: Filling,
        witness: Witness,
        flags: tuple[str, ...],
        ended_us: int,
        now_us: int,
        more: bool,
    ) -> None:
        reconstructed = flags[:1] == ("reconstructed",)
        self._before_sale(logical, now_us)
        self.emit(
            SaleCaptured(
                fuelling_point=self.number,
                nozzle=self.nozzles[logical],
                volume_ml=filling.volume_ml,
                amount_fen=filling.amount_fen,
                price_fen_per_l=sale.price_fen_per_l,
                end_total_volume_ml=witness.volume_ml,
                end_total_amount_fen=witness.amount_fen,
                started_us=ended_us if reconstructed else ended_us - sale.duration_ms * 1000,
                ended_us=ended_us,
                flags=flags,
                witness=witness,
                at_us=now_us,
                more=more,
            )
        )
        self.witnesses[logical] = witness


class ModbusDriver(PolledLine[_ModbusPoint, ModbusClient]):
    """One Modbus line or connection, TCP or RTU.

    Args:
        config: the line; ``address`` is the unit id and ``block`` the fuelling point's place in the unit.

    Raises:
        ConfigError: the exchanges do not fit into the period.
    """

    def __init__(self, config: LineConfig) -> None:
        super().__init__(config, _ModbusPoint)
        self._blocks = [point.block for point in config.fuelling_points]
        self._polls = [point_read(block) for block in self._blocks]
        if config.framing == "tcp":
            self._worst_us = 2 * REPLY_LIMIT_US
        else:
            chars = _REQUEST_CHARS + _REPLY_CHARS
            line_us = -(-chars * _BITS_PER_CHAR * 1_000_000 // config.baud)
            self._worst_us = line_us + REPLY_LIMIT_US + 2 * rtu_silence_us(config.baud)
        self._wire = ModbusClient(
            framing=config.framing, timeout_us=self._worst_us, max_in_flight=1, baud=config.baud
        )
        self._writes: list[deque[tuple[int, list[int]]]] = [deque() for _ in self.points]
        self._checks: list[deque[int]] = [deque() for _ in self.points]  # nozzles to read back
        self._tries = [0] * len(self.points)
        self._tokens = [0] * len(self.points)
        self._images: list[tuple[int, ...]] = [()] * len(self.points)  # the point's registers as last read
        self.bad_replies = 0
        self.refusals = 0
        for logic in self.points:
            logic.unread = set(logic.nozzles)
        self._check_fit()

    def connection_lost(self, now_us: int) -> None:
        """The stream broke: half a reply in it will never be completed."""
        self._wire.connection_lost(now_us)
        self._drain(now_us)

    def _drain(self, now_us: int) -> None:
        while (event := self._wire.next_event()) is not NEED_DATA:
            index = self._active
            logic = self.points[index]
            match event:
                case Registers(registers=registers):
                    if registers is self._images[index] and self._may_skip(index):
                        # What might have been left out altogether need not be looked at again.
                        self._talking = False
                        continue
                    logic.on_answer()
                    if len(registers) == POINT_COUNT:
                        self._images[index] = registers
                        self._on_image(index, decode_point(registers), now_us)
                    elif len(registers) == NOZZLE_COUNT:
                        self._on_nozzle_block(index, registers, now_us)
                    self._exchange_over(now_us, gap_us=0, more=logic.busy or bool(self._writes[index]))
                case Written():
                    logic.on_answer()
                    self._done(index)
                    self._exchange_over(now_us, gap_us=0, more=True)
                case Refused():
                    # Busy or not possible now; the next image tells what is.
                    self.refusals += 1
                    logic.on_answer()
                    self._done(index)
                    self._exchange_over(now_us, gap_us=0, more=True)
                case NoReply():
                    logic.on_miss(now_us)
                    if not logic.up:
                        self._writes[index].clear()
                    self._exchange_over(now_us, gap_us=0, more=False)
                case BadReply(raw=raw, reason=reason):
                    self.bad_replies += 1
                    note_damage("modbus", "the line", reason, raw)

    def _done(self, index: int) -> None:
        if self._writes[index]:
            self._writes[index].popleft()
        self._tries[index] = 0

    def _on_nozzle_block(self, index: int, registers: tuple[int, ...], now_us: int) -> None:
        logic, checks = self.points[index], self._checks[index]
        if not checks:
            return
        logical = checks.popleft()
        image = decode_nozzle(registers)
        if image.price_fen_per_l:
            logic.on_price_read(logical, image.price_fen_per_l, now_us)
        if logical in logic.unread:
            if logic.phase in DELIVERING:
                return  # the totals run; they are read when the delivery is over
            logic.on_first_totals(logical, Witness(image.total_volume_ml, image.total_amount_fen), now_us)

    def _on_image(self, index: int, image: PointImage, now_us: int) -> None:
        logic = self.points[index]
        phase = _PHASES.get(image.state)
        if phase is None:
            return  # an unknown state changes nothing
        if not self._tokens[index]:
            self._tokens[index] = image.last_token  # after a restart, go on from the last token that was used
        logic.begin_block()
        sale = image.sale
        logic.sale_waits = sale is not None
        logic.on_nozzle_out(image.nozzle_out, now_us)
        if phase in DELIVERING and image.delivering_nozzle in logic.nozzles:
            logic.delivery_nozzle = image.delivering_nozzle if logic.delivery_open else logic.delivery_nozzle
            logic.on_phase(phase, now_us)
            logic.on_filling(image.volume_ml, image.amount_fen, now_us)
        else:
            logic.on_phase(phase, now_us)
        if sale is not None:
            if sale.sequence != logic.judged:
                logic.take_sale(sale, now_us)
            if sale.sequence == logic.judged and not self._writes[index]:
                self._writes[index].append(acknowledge_write(self._blocks[index], sale.sequence))
        elif logic.unread and phase not in DELIVERING and not self._checks[index]:
            self._checks[index].extend(sorted(logic.unread))
        logic.on_polled(now_us)

    # -- speaking -----------------------------------------------------------------------------------------------

    def _may_skip(self, index: int) -> bool:
        return super()._may_skip(index) and not self._writes[index] and not self._checks[index]

    def _idle_frames(self, index: int, now_us: int) -> tuple[bytes, bytes] | None:
        if not self._images[index]:
            return None
        address, count = self._polls[index]
        return self._wire.idle_read(self.addresses[index], address, count, now_us)

    def _poll(self, index: int, now_us: int) -> None:
        address, count = self._polls[index]
        self._wire.read(self.addresses[index], address, count, now_us)

    def _say_again(self, index: int, now_us: int) -> bool:
        """Writes go before everything; a write without an answer is repeated with its token, then given up."""
        writes = self._writes[index]
        if writes and self._tries[index] >= TRIES_MOST:
            self._done(index)
        if writes:
            self._tries[index] += 1
            # An unanswered write may have been obeyed: poll in between, which also counts the misses.
            self._poll_next[index] = True
            address, registers = writes[0]
            self._wire.write(self.addresses[index], address, registers, now_us)
            return True
        if self._checks[index]:
            self._poll_next[index] = True
            address, count = nozzle_read(self._blocks[index], self._checks[index][0])
            self._wire.read(self.addresses[index], address, count, now_us)
            return True
        return False

    def _say(self, index: int, intent: Intent, now_us: int) -> None:
        block, writes = self._blocks[index], self._writes[index]
        match intent:
            case Reads():
                pass  # the poll reads everything
            case Reset():
                if self.points[index].phase is Phase.OFF:
                    writes.append(command_write(block, Command.OPEN, token=self._token(index)))
            case Stop():
                writes.append(command_write(block, Command.TERMINATE, token=self._token(index)))
            case Authorise(logical=logical, preset_fen=preset_fen, preset_ml=preset_ml):
                writes.append(
                    command_write(
                        block,
                        Command.AUTHORISE,
                        token=self._token(index),
                        allowed_nozzles=(logical,),
                        preset_ml=preset_ml,
                        preset_fen=preset_fen if preset_ml is None else None,
                    )
                )
            case SetPrices(prices_fen_per_l=prices):
                for logical in sorted(self.points[index].nozzles):
                    writes.append(price_write(block, logical, prices[logical - 1]))
                    self._checks[index].append(logical)
        if not self._say_again(index, now_us):
            self._poll_next[index] = False
            self._poll(index, now_us)

    def _token(self, index: int) -> int:
        self._tokens[index] = self._tokens[index] % 0xFFFF + 1
        return self._tokens[index]
