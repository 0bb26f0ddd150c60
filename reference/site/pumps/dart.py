"""`DartDriver`: the controller side of Wayne DART on one line.

Sale flow, as field implementations agree (moduslightstech-lgtm/intelipump notes, alejomonroy/Full-Colombia-Wayne,
dimoskar/ASFuelControlV1): nozzle out -> RESET -> CD2 with CD3 or CD4 -> AUTHORIZE -> DC1 tells whether it worked.
"""

from __future__ import annotations

from collections import Counter

from protocols.dart import (
    Ack,
    AllowedNozzles,
    BadFrame,
    Command,
    CommandCode,
    ControllerSide,
    ControllerTransaction,
    Data,
    Deviation,
    Duplicate,
    Eot,
    FilledReport,
    LineTiming,
    Nak,
    NozzleReport,
    PresetAmount,
    PresetVolume,
    PumpStatus,
    Quirks,
    ReplyTimeout,
    SendFailed,
    StatusReport,
    TotalsReport,
    TotalsRequest,
    Transaction,
    UnitPrices,
    amount_counter,
    volume_counter,
)
from protocols.sansio import NEED_DATA
from reference.site.config import LineConfig
from reference.site.pumps.damage import note_damage
from reference.site.pumps.intents import Authorise, Intent, Phase, Read, Reads, Reset, SetPrices, Stop
from reference.site.pumps.line import PolledLine
from reference.site.pumps.point import FuellingPointLogic

__all__ = ["DartDriver"]

VOLUME_STEP_ML = 10  # one unit of a DART volume; amounts are fen and prices fen/l as they stand

_PHASES = {
    PumpStatus.NOT_PROGRAMMED: Phase.UNPROGRAMMED,
    PumpStatus.RESET: Phase.READY,
    PumpStatus.AUTHORISED: Phase.AUTHORISED,
    PumpStatus.FILLING: Phase.FILLING,
    PumpStatus.FILLING_COMPLETED: Phase.COMPLETED,
    PumpStatus.MAX_REACHED: Phase.MAX_REACHED,
    PumpStatus.SWITCHED_OFF: Phase.OFF,
}


class DartDriver(PolledLine[FuellingPointLogic, ControllerSide]):
    """One DART line.

    Args:
        config: the line; `address` of each fuelling point is its DART address.
        timing: speed of the line; from ``config`` if None.
        quirks: deviations to show, for tests of pumps; the driver itself is well-behaved.

    Attributes:
        warnings: what pumps did otherwise than the rules say and is lived with, counted by its kind
            (`protocols.dart.DeviationKind`).

    Raises:
        ConfigError: too many addresses for the period.
    """

    def __init__(
        self, config: LineConfig, *, timing: LineTiming | None = None, quirks: Quirks | None = None
    ) -> None:
        super().__init__(config, FuellingPointLogic)
        if timing is None:
            timing = LineTiming(baud=None if config.tcp else config.baud)
        self._timing = timing
        # Every try is one exchange in a slot of its own, hence no automatic repetition.
        self._wire = ControllerSide(self.addresses, timing=timing, quirks=quirks, auto_retry=False)
        self._links = [self._wire.connection(address) for address in self.addresses]
        self._worst_us = timing.exchange_us()
        self._ack_us = timing.turn_round_us + timing.chars_us(3)
        self._by_address = {address: index for index, address in enumerate(self.addresses)}
        self.bad_frames = 0
        self.naks = 0
        self.warnings: Counter[str] = Counter()
        self._check_fit()

    def parity_error(self) -> None:
        """From hosts that can see it: the byte received next came with wrong parity."""
        self._wire.parity_error()

    def _drain(self, now_us: int) -> None:
        wire = self._wire
        while (event := wire.next_event()) is not NEED_DATA:
            if type(event) is Eot:
                # The common case by far: an idle poll. Keep it short.
                logic = self.points[self._active]
                logic.misses = 0
                if logic.up and not logic.busy:
                    self._talking = False
                    continue
                logic.on_answer()
                logic.on_polled(now_us)
                self._exchange_over(now_us, gap_us=0, more=False)
            elif type(event) is Data:
                self._block(event, now_us)
            elif type(event) is Deviation:
                self.warnings[event.kind.value] += 1
            else:
                self._news(event, now_us)

    def _block(self, block: Data, now_us: int) -> None:
        index = self._by_address[block.address]
        logic = self.points[index]
        logic.on_answer()
        logic.begin_block()
        only_figures = True
        for transaction in block.transactions:
            if type(transaction) is FilledReport:
                volume_ml = transaction.volume_units * VOLUME_STEP_ML
                logic.on_filling(volume_ml, transaction.amount_units, now_us)
            else:
                only_figures = False
                self._report(logic, transaction, now_us)
        if logic.busy or not only_figures:
            logic.on_polled(now_us)  # and now it may have nothing left to ask
        if logic.busy or not only_figures:
            # There may be more where this came from; the figures of running fuel alone wait for the next slot, or they
            # would be asked for twice in each.
            self._poll_next[index] = True
        self._exchange_over(now_us, gap_us=self._ack_us, more=True)

    def _news(self, event: object, now_us: int) -> None:
        logic = self.points[self._active]
        match event:
            case Duplicate():
                logic.on_answer()
                logic.on_polled(now_us)
                self._exchange_over(now_us, gap_us=self._ack_us, more=True)
            case Ack():
                logic.on_answer()
                self._exchange_over(now_us, gap_us=0, more=True)
            case Nak():
                # The pump is there and did not understand: repeat, at most so often (FD-LINK-10).
                self.naks += 1
                logic.on_answer()
                self._poll_next[self._active] = False
                self._exchange_over(now_us, gap_us=0, more=True)
            case ReplyTimeout(tx=tx):
                if tx is None:
                    logic.on_miss(now_us)
                else:
                    self._poll_next[self._active] = True
                self._exchange_over(now_us, gap_us=0, more=False)
            case SendFailed():
                # Whether the pump obeyed is unknown: read before anything else is said.
                logic.ask_status()
            case BadFrame(address=address, reason=reason, raw=raw, nak=nak):
                self.bad_frames += 1
                place = "no address" if address is None else f"address {address:02X}"
                note_damage("dart", place, reason.value, raw)
                if nak and not self._wire.busy:
                    self._exchange_over(now_us, gap_us=self._ack_us, more=False)
            case _:
                pass  # late answers

    def _report(self, logic: FuellingPointLogic, transaction: Transaction, now_us: int) -> None:
        match transaction:
            case NozzleReport(price_units=price, nozzle=nozzle, out=out):
                logic.on_nozzle(nozzle, out, price, now_us)
            case StatusReport(status=status):
                logic.on_phase(_PHASES[status], now_us)
            case TotalsReport(counter=counter, total_units=total):
                if 0x01 <= counter <= 0x08:
                    logic.on_totals(counter, volume_ml=total * VOLUME_STEP_ML, now_us=now_us)
                elif 0x11 <= counter <= 0x18:
                    logic.on_totals(counter - 0x10, amount_fen=total, now_us=now_us)
            case _:
                pass  # unknown and malformed transactions change nothing (FD-LINK-15)

    # -- speaking -----------------------------------------------------------------------------------------------

    def _poll(self, index: int, now_us: int) -> None:
        self._wire.poll(self.addresses[index], now_us)

    def _may_skip(self, index: int) -> bool:
        return super()._may_skip(index) and not self._links[index].frame

    def _idle_frames(self, index: int, now_us: int) -> tuple[bytes, bytes] | None:  # noqa: ARG002 - see `PolledLine`
        if not self._wire.at_rest:
            return None
        link = self._links[index]
        return link.poll.data, link.eot_bytes

    def _idle_heard(self, index: int, heard_us: int) -> None:
        self._links[index].heard_us = heard_us

    def _say_again(self, index: int, now_us: int) -> bool:
        if not self._links[index].frame:
            return False
        address = self.addresses[index]
        if not self.points[index].up and not self.points[index].recovering:
            self._wire.abandon(address)  # off-line: what was wanted then is not wanted any more
            return False
        self._wire.resend(address, now_us)
        return True

    def _say(self, index: int, intent: Intent, now_us: int) -> None:
        self._wire.send(self.addresses[index], _transactions(intent), now_us)


def _transactions(intent: Intent) -> list[ControllerTransaction]:
    match intent:
        case Reads(items=items):
            return [transaction for read, logical in items for transaction in _read(read, logical)]
        case Reset():
            return [Command(code=CommandCode.RESET)]
        case Stop():
            return [Command(code=CommandCode.STOP)]
        case SetPrices(prices_fen_per_l=prices):
            return [UnitPrices(prices_units=prices)]
        case Authorise(logical=logical, preset_fen=preset_fen, preset_ml=preset_ml):
            block: list[ControllerTransaction] = [AllowedNozzles(nozzles=(logical,))]
            if preset_ml is not None:
                block.append(PresetVolume(volume_units=preset_ml // VOLUME_STEP_ML))
            elif preset_fen is not None:
                block.append(PresetAmount(amount_units=preset_fen))
            return [*block, Command(code=CommandCode.AUTHORISE)]


def _read(read: Read, logical: int) -> list[ControllerTransaction]:
    if read is Read.STATUS:
        return [Command(code=CommandCode.RETURN_STATUS)]
    if read is Read.FILLING:
        return [Command(code=CommandCode.RETURN_FILLING)]
    return [
        TotalsRequest(counter=volume_counter(logical)),
        TotalsRequest(counter=amount_counter(logical)),
    ]
