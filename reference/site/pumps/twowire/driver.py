"""`TwoWireDriver`: the controller side of Gilbarco Two-Wire on one line.

The protocol has no acknowledgements and checks little, so the driver believes nothing at once (the rules are in
`protocols.twowire.RULES`): a status counts when it came twice; ``1p`` and ``3p`` are judged by the status after them; a
preset is followed by a look for "data error" before ``1p``; a price is read back by the totals; a sale is what transaction
and totals say together. Long answers may outgrow the address's slot: then the slots they reach into are left out.
"""

from __future__ import annotations

from typing import Final

from protocols.sansio import NeedData
from protocols.twowire import (
    EIGHT_DIGITS,
    SIX_DIGITS,
    BadAnswer,
    BlockSent,
    Command,
    CommandSent,
    ControllerSide,
    Deviation,
    LineTiming,
    MoneyAnswer,
    MoneyPreset,
    NotReady,
    NozzleAnswer,
    PriceChange,
    ReplyTimeout,
    Scale,
    Status,
    StatusAnswer,
    Totals,
    TotalsAnswer,
    Transaction,
    TransactionAnswer,
    Unexpected,
    VolumePreset,
    Wait,
)
from reference.site.config import LineConfig
from reference.site.pumps.damage import note_damage
from reference.site.pumps.intents import Authorise, Intent, Phase, Read, Reads, Reset, SetPrices, Stop
from reference.site.pumps.line import PolledLine
from reference.site.pumps.twowire.point import TwoWirePoint
from reference.site.pumps.twowire.steps import Step, TwoWirePump

__all__ = ["LOOP_BAUDS", "TwoWireDriver"]

LOOP_BAUDS: Final = frozenset({5760, 5787})
"""Current loops run 8E1; converters and Changji heads at other speeds 8N1."""

_PHASES = {
    Status.IDLE: Phase.READY,
    Status.CALL: Phase.READY,
    Status.AUTHORISED: Phase.AUTHORISED,
    Status.BUSY: Phase.FILLING,
    Status.END_PEOT: Phase.COMPLETED,
    Status.END_FEOT: Phase.COMPLETED,
    Status.STOPPED: Phase.SUSPENDED,
}
_NOZZLE_OUT = frozenset({Status.CALL, Status.BUSY, Status.STOPPED})
_NOZZLE_IN = frozenset({Status.IDLE, Status.END_PEOT, Status.END_FEOT})


class TwoWireDriver(PolledLine[TwoWirePoint, ControllerSide]):
    """One Two-Wire line.

    Args:
        config: the line; `address` of each fuelling point is its pump number, 1..16.
        timing: speed of the line; from ``config`` if None.
        scale: decimals of the pumps' figures.

    Attributes:
        bad_answers: answers that could not be used.
        warnings: tolerated deviations, by name, with how often they were met.

    Raises:
        ConfigError: too many pumps for the period.
    """

    def __init__(
        self, config: LineConfig, *, timing: LineTiming | None = None, scale: Scale | None = None
    ) -> None:
        super().__init__(config, TwoWirePoint)
        if timing is None:
            timing = LineTiming(
                baud=None if config.tcp else config.baud,
                bits_per_char=11 if config.baud in LOOP_BAUDS else 10,
            )
        self._timing = timing
        self._scale = Scale() if scale is None else scale
        self._model = SIX_DIGITS if config.digits == 6 else EIGHT_DIGITS
        self._wire = ControllerSide(
            self.addresses,
            timing=timing,
            model=self._model,
            grades=max(max(logic.nozzles) for logic in self.points),
            echo=config.echo,
        )
        self._pumps = [TwoWirePump(self._scale, timing) for _ in self.points]
        self._status_us = self._worst_us = self._wire.worst_us(Command.STATUS)
        self.bad_answers = 0
        self.warnings: dict[str, int] = {}
        self._check_fit()

    def authorise(
        self,
        fuelling_point: int,
        nozzle: int | None,
        *,
        preset_fen: int | None = None,
        preset_ml: int | None = None,
    ) -> bool:
        """See `PumpDriver.authorise`. False also for a preset that the pump's digits cannot hold."""
        scale, model = self._scale, self._model
        if preset_ml is not None:
            if not 0 < scale.volume_units(preset_ml, scale.preset_volume) < 10**model.preset_volume:
                return False
        elif preset_fen is not None and not (
            0 < scale.money_units(preset_fen, scale.preset_money) < 10**model.preset_money
        ):
            return False
        return super().authorise(fuelling_point, nozzle, preset_fen=preset_fen, preset_ml=preset_ml)

    # -- hearing ------------------------------------------------------------------------------------------------

    def connection_lost(self, now_us: int) -> None:
        """The stream broke: half an answer in it will never be completed."""
        self._wire.connection_lost(now_us)
        self._drain(now_us)

    def _drain(self, now_us: int) -> None:
        while not isinstance(event := self._wire.next_event(), NeedData):
            index = self._active
            logic, pump = self.points[index], self._pumps[index]
            match event:
                case StatusAnswer(status=status):
                    if (
                        status is pump.status
                        and pump.heard is None
                        and not logic.busy
                        and logic.up
                        and not logic.delivering
                    ):
                        logic.misses = 0  # the common case by far: an idle poll
                        self._over(now_us, more=False)
                    else:
                        self._on_status(index, status, now_us)
                case ReplyTimeout(wait=wait):
                    self._on_silence(index, wait, now_us)
                case Deviation(kind=kind):
                    self.warnings[kind.value] = self.warnings.get(kind.value, 0) + 1
                case Unexpected(pump=asked, raw=raw):  # noise, a late answer
                    place = "the line" if asked is None else f"pump {asked}"
                    note_damage("twowire", place, "no part of an answer", raw)
                case BadAnswer(pump=asked, reason=reason, raw=raw):
                    self.bad_answers += 1
                    note_damage("twowire", f"pump {asked}", reason.value, raw)
                    self._poll_next[index] = True
                    self._over(now_us, more=True)
                case NotReady():
                    logic.on_answer()
                    self._refused_data(index, now_us)
                    self._over(now_us, more=True)
                case _:
                    logic.on_answer()
                    self._on_news(index, event, now_us)
                    self._over(now_us, more=True)

    def _on_silence(self, index: int, wait: Wait, now_us: int) -> None:
        logic, pump = self.points[index], self._pumps[index]
        if wait in {Wait.STATUS, Wait.MONEY}:
            logic.on_miss(now_us)
            pump.heard = None
            if not logic.up and not logic.recovering:
                pump.forget()
                logic.price_under_way = False
        else:
            # A reading that was not answered is asked for again when the logic misses it.
            self._poll_next[index] = True
            if wait is Wait.READY:
                self._refused_data(index, now_us)
        self._over(now_us, more=False)

    def _on_status(self, index: int, status: Status, now_us: int) -> None:
        logic, pump = self.points[index], self._pumps[index]
        logic.on_answer()
        news = status is not pump.status or pump.heard is not None
        if status is Status.DATA_ERROR:
            # The last block was not taken: what was built on it must not follow.
            self._refused_data(index, now_us)
        elif status is Status.DATA_READY:
            self._poll_next[index] = True
        elif status is not pump.status and status is not pump.heard:
            pump.heard = status
            self._poll_next[index] = True
        else:
            pump.heard = None
            self._believe(index, status, now_us)
        more = (
            pump.worth_asking_again(news=news) or self._poll_next[index] or pump.next_step(now_us) is not None
        )
        self._over(now_us, more=more)

    def _believe(self, index: int, status: Status, now_us: int) -> None:
        logic, pump = self.points[index], self._pumps[index]
        pump.status = status
        out = logic.nozzle_out
        if status in _NOZZLE_IN:
            out = 0
        elif status in _NOZZLE_OUT and not out:
            if len(logic.nozzles) == 1:
                out = min(logic.nozzles)
            elif pump.ask_nozzle():
                logic.busy = True
                return  # what it means is told when it is known of which nozzle
        self._tell(index, status, out, now_us)

    def _tell(self, index: int, status: Status, nozzle_out: int, now_us: int) -> None:
        """Hand a believed status to the logic."""
        logic, pump = self.points[index], self._pumps[index]
        logic.begin_block()
        if status in {Status.END_PEOT, Status.END_FEOT}:
            logic.on_end(now_us)
        if nozzle_out:
            pump.nozzle_known()
            logic.last_nozzle = nozzle_out
        logic.on_nozzle_out(nozzle_out, now_us)
        if status in {Status.AUTHORISED, Status.BUSY}:
            pump.preset_left = False  # the authorisation has used it up
        logic.authorisation_under_way = pump.authorisation_waits
        logic.on_phase(_PHASES[status], now_us)
        logic.on_polled(now_us)
        if status in {Status.BUSY, Status.STOPPED}:
            pump.money_next = self._poll_next[index] = True

    def _on_news(self, index: int, event: object, now_us: int) -> None:
        logic, pump = self.points[index], self._pumps[index]
        match event:
            case MoneyAnswer(money_units=units):
                logic.on_money(self._scale.fen(units, self._scale.money), now_us)
                return  # nothing to ask about it
            case TransactionAnswer(transaction=transaction):
                if transaction.pump == self.addresses[index]:
                    self._on_transaction(logic, transaction, now_us)
                else:
                    self.bad_answers += 1  # another pump answered
            case TotalsAnswer(totals=totals):
                logic.price_under_way = pump.price_waits
                self._on_totals(logic, totals, now_us)
            case NozzleAnswer(record=record):
                if record.pump == self.addresses[index] and record.nozzle in logic.nozzles and pump.status:
                    self._tell(index, pump.status, record.nozzle, now_us)
            case BlockSent(block=VolumePreset(volume_units=units) | MoneyPreset(money_units=units)):
                pump.preset_left = units > 0
            case BlockSent(block=PriceChange()):
                pump.read_back(now_us)
            case CommandSent():
                logic.ask_status()
            case _:
                pass
        self._poll_next[index] = True

    def _on_transaction(self, logic: TwoWirePoint, transaction: Transaction, now_us: int) -> None:
        scale = self._scale
        logic.on_transaction(
            transaction.grade,
            volume_ml=scale.ml(transaction.volume_units, scale.volume),
            amount_fen=scale.fen(transaction.money_units, scale.money),
            price_fen_per_l=scale.fen(transaction.price_units, scale.price),
            now_us=now_us,
        )

    def _on_totals(self, logic: TwoWirePoint, totals: Totals, now_us: int) -> None:
        scale, modulus = self._scale, 10**self._model.totals
        for one in totals.grades:
            if one.grade not in logic.nozzles:
                continue
            if one.price_1_units:
                logic.on_price_read(one.grade, scale.fen(one.price_1_units, scale.price), now_us)
            logic.on_totals_field(
                one.grade,
                volume_ml=scale.ml(one.volume_units, scale.total_volume),
                amount_fen=scale.fen(one.money_units, scale.total_money),
                volume_modulus_ml=scale.ml(modulus, scale.total_volume),
                amount_modulus_fen=scale.fen(modulus, scale.total_money),
                now_us=now_us,
            )

    def _refused_data(self, index: int, now_us: int) -> None:
        """The pump did not take a block. Whatever was to follow it is given up; the logic will want it again."""
        self._pumps[index].refused(now_us)
        self.points[index].price_under_way = False
        self._poll_next[index] = True

    def _over(self, now_us: int, *, more: bool) -> None:
        """The exchange is over; what may follow it in this slot depends on how long that can take."""
        if self._wire.busy:
            return
        self._free_us = now_us
        self._worst_us = self._next_worst_us(self._active, now_us)
        self._exchange_over(now_us, gap_us=0, more=more)

    def _next_worst_us(self, index: int, now_us: int) -> int:
        pump = self._pumps[index]
        if self._poll_next[index]:
            return self._wire.worst_us(Command.MONEY) if pump.money_next else self._status_us
        step = pump.next_step(now_us)
        return self._status_us if step is None else self._wire.worst_us(step.command, step.block)

    # -- speaking -----------------------------------------------------------------------------------------------

    def _may_skip(self, index: int) -> bool:
        pump, logic = self._pumps[index], self.points[index]
        return super()._may_skip(index) and pump.heard is None and not pump.steps and not logic.delivering

    def _poll(self, index: int, now_us: int) -> None:
        pump = self._pumps[index]
        command = Command.MONEY if pump.money_next else Command.STATUS
        pump.money_next = False
        self._wire.command(command, self.addresses[index], now_us)

    def _say_again(self, index: int, now_us: int) -> bool:
        """Say the next step, if its time has come."""
        pump, logic = self._pumps[index], self.points[index]
        if not logic.wants_authorisation:  # taken back meanwhile
            pump.drop(lambda step: step.is_preset or step.command is Command.AUTHORISE)
        step = pump.next_step(now_us)
        if step is None:
            return False
        pump.steps.remove(step)
        address = self.addresses[index]
        if step.command is Command.DATA and step.block is not None:
            self._poll_next[index] = True  # was it taken? "data error" tells
            self._wire.send(address, step.block, now_us)
        else:
            self._wire.command(step.command, address, now_us)
        return True

    def _say(self, index: int, intent: Intent, now_us: int) -> None:
        pump, logic = self._pumps[index], self.points[index]
        match intent:
            case Reads(items=items):
                pump.ask(read for read, _ in items)
            case Reset():
                pump.ask((Read.FILLING,))  # reading the transaction is what leads to 6
            case Stop():
                pump.steps.clear()
                pump.steps.append(Step(Command.STOP))
                logic.price_under_way = False
            case SetPrices(prices_fen_per_l=prices):
                pump.send_prices(logic.prices_wanted, prices)
                logic.price_under_way = True
            case Authorise():
                # A head with one grade needs no telling which.
                pump.authorise(intent, name_grade=len(logic.nozzles) > 1)
        if not self._say_again(index, now_us):
            self._poll_next[index] = False
            self._poll(index, now_us)
