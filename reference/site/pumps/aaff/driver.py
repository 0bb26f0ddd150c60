"""`AaFfDriver`: the master's side of AA FF (JK), the polled protocol of Chinese gas dispensers, on one line.

Frames have no number and the dispenser acknowledges little, so a command whose answer is lost is never simply repeated:
the gun is polled first, and what it does then decides (the gateway ycxzfforever/ZHY_IFSF_AM3352 repeats it at once).
Sales are judged by `AaFfPoint`. The grey lock and the payments through the dispenser (command 71) are not driven.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

from protocols.aaff import (
    PRICE_INDEX,
    PRICE_PLACES,
    AuthoriseReply,
    AuthoriseType,
    BadFrame,
    BriefAck,
    BriefSale,
    Command,
    Deviation,
    Fetch,
    LineTiming,
    Live,
    MasterMessage,
    MasterSide,
    Nothing,
    NotUnderstood,
    OtherRecord,
    Parameter,
    ParameterReply,
    Poll,
    Prices,
    PumpMessage,
    Quirks,
    ReadParameter,
    RecordAck,
    Reply,
    ReplyTimeout,
    Sale,
    ShortPoll,
    Status,
    Totals,
    TotalsRequest,
    encode_time,
)
from protocols.aaff import (
    Authorise as AuthoriseMessage,
)
from protocols.aaff import (
    Stop as StopMessage,
)
from protocols.sansio import NEED_DATA
from reference.site.config import LineConfig
from reference.site.pumps.aaff.figures import UNIT_ML
from reference.site.pumps.aaff.point import AaFfPoint
from reference.site.pumps.aaff.sales import ASKS_MOST
from reference.site.pumps.damage import note_damage
from reference.site.pumps.intents import Authorise, Intent, Phase, Reads, Reset, SetPrices, Stop
from reference.site.pumps.line import PolledLine

__all__ = ["AaFfDriver"]

_UNITS_MOST: Final = 10**12 - 1

_OPEN_BYTES: Final = 6
"""Marker, device, command, gun, length: behind them a record may carry a card number."""

# States of the status: 0 and 1 are the protocol's own, the others IFSF numbers.
_PHASES: Final = {
    0: Phase.READY,
    1: Phase.FILLING,
    2: Phase.OFF,
    3: Phase.READY,
    4: Phase.READY,
    5: Phase.AUTHORISED,
    6: Phase.AUTHORISED,
    7: Phase.SUSPENDED,
    8: Phase.FILLING,
    9: Phase.SUSPENDED,
}
_CALLING: Final = 4
_NOZZLE_OUT: Final = frozenset({1, 4, 6, 7, 8, 9})


class AaFfDriver(PolledLine[AaFfPoint, MasterSide]):
    """One AA FF line.

    Args:
        config: the line; ``address`` of each fuelling point is its gun number, and each has one nozzle.
        timing: speed of the line; from ``config`` if None.
        poll: ``long`` as the gateway sends it, or ``short``, one byte that asks for live figures, for dispensers whose
            firmware looks at nothing else; from ``config`` if None.
        quirks: deviations to show, such as a master without checksum.
        clock_us: unix time (µs), for the clock in the poll and the age of records; None: they are as old as they come.

    Attributes:
        bad_frames: damaged answers and noise.
        warnings: tolerated deviations, by kind, with how often they were met.

    Raises:
        ConfigError: too many guns for the period.
    """

    def __init__(
        self,
        config: LineConfig,
        *,
        timing: LineTiming | None = None,
        poll: Literal["long", "short"] | None = None,
        quirks: Quirks | None = None,
        clock_us: Callable[[], int] | None = None,
    ) -> None:
        super().__init__(config, AaFfPoint)
        if timing is None:
            timing = LineTiming(baud=None if config.tcp else config.baud)
        self._wire = MasterSide(self.addresses, timing=timing, quirks=quirks)
        self._worst_us = timing.exchange_us
        self._short = (config.poll if poll is None else poll) == "short"
        self._clock_us = clock_us
        self._said = 0  # command of the exchange under way
        self._asked = False  # it is one of the logic's own questions
        self._authorised: list[AuthoriseMessage | None] = [None] * len(self.points)
        self._other: dict[int, RecordAck] = {}
        self.bad_frames = 0
        self.warnings: dict[str, int] = {}
        for logic in self.points:
            logic.clock_us = clock_us
        self._check_fit()

    # -- hearing ------------------------------------------------------------------------------------------------

    def connection_lost(self, now_us: int) -> None:
        """The stream broke: half an answer in it will never be completed."""
        if self._wire.busy:
            self._unanswered(now_us)
        self._wire.restart()

    def _drain(self, now_us: int) -> None:
        while (event := self._wire.next_event()) is not NEED_DATA:
            match event:
                case Reply(message=message):
                    self._answered(message, now_us)
                case ReplyTimeout():
                    self._unanswered(now_us)
                case BadFrame(gun=gun, reason=reason, raw=raw, ends=ends):
                    self.bad_frames += 1
                    place = "no gun" if gun is None else f"gun {gun}"
                    note_damage("aaff", place, reason.value, raw, open_bytes=_OPEN_BYTES)
                    if ends:
                        self._damaged(now_us)
                case Deviation(kind=kind):
                    self.warnings[kind.value] = self.warnings.get(kind.value, 0) + 1
                case _:
                    pass  # late answers

    def _answered(self, message: PumpMessage, now_us: int) -> None:
        index = self._active
        logic = self.points[index]
        polled = self._said == Command.POLL
        logic.on_answer()
        logic.begin_block()
        self._hear(index, message, now_us)
        logic.settle(now_us)
        if polled:
            logic.on_polled(now_us)
        self._exchange_over(now_us, gap_us=0, more=logic.eager or not polled)

    def _hear(self, index: int, message: PumpMessage, now_us: int) -> None:
        logic = self.points[index]
        match message:
            case Status(state=state):
                phase = _PHASES.get(state)
                if phase is not None:  # an unknown state changes nothing (FD-STATE-17)
                    out, calling = state in _NOZZLE_OUT, state == _CALLING
                    logic.on_status(phase, out=out, calling=calling, now_us=now_us)
            case Nothing():
                logic.on_status(Phase.READY, out=False, calling=False, now_us=now_us)
            case Live(record=live):
                logic.on_live(live, now_us)
            case Sale(record=record):
                if self._said == Command.FETCH:
                    logic.on_fetched(record)
                else:
                    logic.on_record(record, now_us)
            case BriefSale():
                logic.on_brief(message, now_us)
            case OtherRecord(command=command, uid=uid):
                self._other[index] = RecordAck(
                    uid, command
                )  # shifts and alarms are not kept, but must not pile up
                logic.busy = True
            case _:
                self._hear_result(index, message, now_us)

    def _hear_result(self, index: int, message: PumpMessage, now_us: int) -> None:
        """What came of a command or a question."""
        logic = self.points[index]
        match message:
            case Totals():
                logic.on_totals_read(message)
            case ParameterReply(command=Command.READ_PARAMETER, index=place, value=value):
                if place == PRICE_INDEX:
                    logic.on_price(value, now_us)
                else:
                    logic.unanswered(understood=False)
            case AuthoriseReply(result=result, kind=kind, value_units=value):
                asked = self._authorised[index]
                if result != 0:
                    logic.refused(f"pump answers {result}", now_us)
                elif asked is not None and (kind, value) != (asked.kind, asked.value_units):
                    logic.refused(
                        f"pump took {value} (type {kind}) for {asked.value_units} (type {asked.kind})", now_us
                    )
            case NotUnderstood():
                if self._said == Command.AUTHORISE:
                    logic.refused("pump does not know the command", now_us)
                else:
                    logic.unanswered(understood=False)
            case _:
                pass  # what cannot be read changes nothing; the next poll asks again

    def _unanswered(self, now_us: int) -> None:
        logic = self.points[self._active]
        if self._said == Command.POLL:
            logic.on_miss(now_us)
        else:
            # Whether the gun obeyed is unknown: look before anything else is said. The look counts the misses.
            self._poll_next[self._active] = True
            if self._asked:
                logic.unanswered()
        self._exchange_over(now_us, gap_us=0, more=False)

    def _damaged(self, now_us: int) -> None:
        """The gun is there, but what it said is lost."""
        logic = self.points[self._active]
        logic.misses = 0
        self._poll_next[self._active] = True
        if self._asked:
            logic.unanswered()
        self._exchange_over(now_us, gap_us=0, more=True)

    # -- speaking -----------------------------------------------------------------------------------------------

    def _send(self, index: int, message: MasterMessage, now_us: int, *, asked: bool = False) -> None:
        self._said = message.command
        self._asked = asked
        self._wire.send(self.addresses[index], message, now_us)

    def _poll(self, index: int, now_us: int) -> None:
        if self._short:
            self._send(index, ShortPoll(1), now_us)
            return
        unix_us = now_us if self._clock_us is None else self._clock_us()
        self._send(index, Poll(time=encode_time(unix_us), fs_state=1), now_us)

    def _say_again(self, index: int, now_us: int) -> bool:
        """Acknowledge and ask, before anything is commanded."""
        logic = self.points[index]
        other: RecordAck | BriefAck | None = self._other.pop(index, None)
        if not (logic.up or logic.recovering):
            return False
        if other is not None or logic.ack is not None:
            if other is None:
                other = BriefAck() if logic.brief else RecordAck(logic.ack or 0)
                logic.ack = None
            self._poll_next[index] = True  # which fetches the next record
            self._send(index, other, now_us)
        elif logic.fetch is not None:
            self._send(index, Fetch(logic.fetch), now_us, asked=True)
        elif logic.totals_asks:
            self._send(index, TotalsRequest(), now_us, asked=True)
        elif logic.price_asks:
            self._send(index, ReadParameter(Parameter(PRICE_INDEX, 0)), now_us, asked=True)
        else:
            return False
        return True

    def _say(self, index: int, intent: Intent, now_us: int) -> None:
        match intent:
            case Authorise(preset_fen=preset_fen, preset_ml=preset_ml):
                if preset_ml is not None:
                    message = AuthoriseMessage(AuthoriseType.VOLUME, min(preset_ml // UNIT_ML, _UNITS_MOST))
                elif preset_fen is not None:
                    message = AuthoriseMessage(AuthoriseType.AMOUNT, min(preset_fen, _UNITS_MOST))
                else:
                    message = AuthoriseMessage(AuthoriseType.FREE, 0)
                self._authorised[index] = message
                self._send(index, message, now_us)
            case Stop():
                self._send(index, StopMessage(), now_us)
            case SetPrices(prices_fen_per_l=prices):
                # Four places and one nozzle: they all get its price, so that none keeps an old one.
                self.points[index].price_asks = ASKS_MOST
                self._send(index, Prices.of(prices[:1] * PRICE_PLACES), now_us)
            case Reads() | Reset():
                self._poll_next[index] = False
                self._poll(index, now_us)
