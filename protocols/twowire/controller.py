"""The controller's side of a Two-Wire line: one exchange at a time, whose turn it is decides the owner."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from protocols.sansio import NEED_DATA, HarnessProtocolError, LocalProtocolError, NeedData, Outgoing
from protocols.twowire.answers import Answer, AnswerReader
from protocols.twowire.blocks import NOZZLE_QUERY, MoneyPreset, SentBlock, VolumePreset
from protocols.twowire.controller_connection import ControllerConnection
from protocols.twowire.decoding import BadBlock, DeviationKind
from protocols.twowire.events import (
    BadAnswer,
    BlockSent,
    CommandSent,
    Deviation,
    Event,
    NotReady,
    ReplyTimeout,
    StatusAnswer,
    Unexpected,
    Wait,
)
from protocols.twowire.quirks import Quirks
from protocols.twowire.scale import SIX_DIGITS, DigitModel
from protocols.twowire.timing import LineTiming
from protocols.twowire.wire import ALL_STOP, Command, Status, Word, command_byte, lrc_word

__all__ = ["ControllerSide"]

_SILENT: Final = frozenset({Command.AUTHORISE, Command.STOP})
_WAITS: Final = {
    Command.STATUS: Wait.STATUS,
    Command.AUTHORISE: Wait.SETTLE,
    Command.DATA: Wait.READY,
    Command.STOP: Wait.SETTLE,
    Command.TRANSACTION: Wait.TRANSACTION,
    Command.TOTALS: Wait.TOTALS,
    Command.MONEY: Wait.MONEY,
}
_NOZZLE_BYTES: Final = 19


class ControllerSide:
    """A controller's end of the line.

    The owner schedules: `command` and `send` start one exchange each and are refused while `busy`. An exchange is over
    when, after an event, `busy` is False. Nothing is repeated here. `worst_us` tells how long an exchange can take.

    Args:
        pumps: those on the line, each 1..16.
        timing: speed and patience of the line.
        model: field widths of the pumps' figures.
        grades: grades of the pump that has most; bounds the totals block.
        quirks: deviations to show.
        echo: the line echoes our own bytes. Without it the first byte heard is the answer.

    Raises:
        LocalProtocolError: a pump out of range or given twice, no pump.
    """

    def __init__(
        self,
        pumps: Iterable[int],
        *,
        timing: LineTiming | None = None,
        model: DigitModel = SIX_DIGITS,
        grades: int = 4,
        quirks: Quirks | None = None,
        echo: bool = False,
    ) -> None:
        self.on_wake: Callable[[], None] | None = None
        self.timing = LineTiming() if timing is None else timing
        self.model = model
        self.wait = Wait.NOTHING
        self._grades = grades
        self._quirks = Quirks() if quirks is None else quirks
        self._echo = echo
        self._events: deque[Event] = deque()
        self._out: list[Outgoing] = []
        self._deadline_us: int | None = None
        self._free_us = 0
        self._reader = AnswerReader(model)
        self._own = b""  # of what was sent last, what has not come back as an echo
        self._pump = 0
        self._command = Command.STATUS
        self._block: SentBlock | None = None
        self._bad: BadAnswer | None = None
        self._links: dict[int, ControllerConnection] = {}
        for pump in pumps:
            if pump in self._links:
                raise LocalProtocolError(f"pump {pump} is given twice")
            self._links[pump] = ControllerConnection(pump)
        if not self._links:
            raise LocalProtocolError("a controller side needs a pump")

    @property
    def pumps(self) -> tuple[int, ...]:
        """Those on the line, in the order given."""
        return tuple(self._links)

    @property
    def busy(self) -> bool:
        """An exchange is under way."""
        return self.wait is not Wait.NOTHING

    def connection(self, pump: int) -> ControllerConnection:
        """One pump's link, to look at. Raises HarnessProtocolError for another's."""
        link = self._links.get(pump)
        if link is None:
            raise HarnessProtocolError(f"pump {pump} is not on this line")
        return link

    def worst_us(self, command: Command, block: SentBlock | None = None) -> int:
        """Worst-case µs of an exchange, with the silence before it; of `send` with `Command.DATA` and its block."""
        timing = self.timing
        gap_us = timing.command_gap_us
        if command in _SILENT:
            return gap_us + timing.chars_us(1) + timing.settle_us
        if command is not Command.DATA:
            return gap_us + timing.answer_us(1, self._answer_chars(_WAITS[command]))
        ready_us = gap_us + timing.answer_us(1, 1)
        if block is None:
            return ready_us
        words = len(block.encode(self.model))
        if block == NOZZLE_QUERY:
            return ready_us + gap_us + timing.answer_us(words, _NOZZLE_BYTES)
        return ready_us + gap_us + timing.chars_us(words) + timing.settle_us

    def command(self, command: Command, pump: int, now_us: int) -> None:
        """Send one command: a status poll, a reading, or ``1p`` and ``3p``, which have no answer.

        Raises:
            LocalProtocolError: an exchange is under way, or the command is `Command.DATA` (see `send`).
        """
        if command is Command.DATA:
            raise LocalProtocolError("2p goes with a block: use send")
        self._start(command, pump, now_us)

    def send(self, pump: int, block: SentBlock, now_us: int) -> None:
        """Announce a data block and, when the pump is ready, send it.

        Raises:
            LocalProtocolError: an exchange is under way, or a figure does not fit.
        """
        block.encode(self.model)
        self._start(Command.DATA, pump, now_us, block)

    def all_stop(self, now_us: int) -> None:
        """Stop every pump of the line. May be said at any time; an exchange under way is given up without a word."""
        self.wait = Wait.NOTHING
        self._deadline_us = None
        self._transmit(bytes((ALL_STOP,)), now_us)
        self._free_us = now_us + self.timing.chars_us(1) + self.timing.settle_us
        self._wake()

    def receive_data(self, data: bytes, now_us: int) -> None:
        """Take bytes from the wire, in any pieces."""
        for byte in data:
            self._byte(byte, now_us)

    def next_event(self) -> Event | NeedData:
        """The next piece of news, or `NEED_DATA`."""
        return self._events.popleft() if self._events else NEED_DATA

    def data_to_send(self, now_us: int) -> list[Outgoing]:  # noqa: ARG002 - bursts carry their own time
        """Drain the bytes that are due."""
        if not self._out:
            return []
        out, self._out = self._out, []
        return out

    def next_timer(self) -> int | None:
        """When the wait for an answer, or the time a command needs, is over; None when nothing is under way."""
        return self._deadline_us

    def handle_timer(self, now_us: int) -> None:
        """End the exchange if its time is over."""
        if self._deadline_us is None or now_us < self._deadline_us:
            return
        wait, pump = self.wait, self._pump
        self._over(now_us)
        if wait is Wait.SETTLE:
            if self._block is None:
                self._events.append(CommandSent(pump=pump, command=self._command))
            else:
                self._events.append(BlockSent(pump=pump, block=self._block))
        elif wait is Wait.DRAIN and self._bad is not None:
            self._events.append(self._bad)
        else:
            self._events.append(ReplyTimeout(pump=pump, wait=wait))

    def connection_lost(self, now_us: int) -> None:
        """The stream broke: half an answer in it will never be completed."""
        if self._reader.partial:
            self._deadline_us = now_us
            self.handle_timer(now_us)

    # -- inside -------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        if self.on_wake is not None:
            self.on_wake()

    def _answer_chars(self, wait: Wait) -> int:
        match wait:
            case Wait.TRANSACTION:
                return self.model.transaction_words
            case Wait.TOTALS:
                return self.model.totals_words(self._grades)
            case Wait.MONEY:
                return self.model.money
            case Wait.NOZZLE:
                return _NOZZLE_BYTES
            case _:
                return 1

    def _start(self, command: Command, pump: int, now_us: int, block: SentBlock | None = None) -> None:
        self.connection(pump)
        if self.busy:
            raise LocalProtocolError(f"the line is busy: waiting for {self.wait.value} of pump {self._pump}")
        self._pump = pump
        self._command = command
        self._block = block
        self._bad = None
        start_us = self._transmit(command_byte(command, pump), now_us)
        self._await(_WAITS[command], start_us, 1)
        self._wake()

    def _transmit(self, data: bytes, now_us: int) -> int:
        start_us = max(now_us, self._free_us)
        self._out.append(Outgoing(data, start_us))
        self._own = data
        return start_us

    def _await(self, wait: Wait, start_us: int, sent: int) -> None:
        self.wait = wait
        timing = self.timing
        if wait is Wait.SETTLE:
            self._deadline_us = start_us + timing.chars_us(sent) + timing.settle_us
        else:
            self._deadline_us = start_us + timing.answer_us(sent, self._answer_chars(wait))
        self._reader.expect(wait, self._pump)

    def _over(self, now_us: int) -> None:
        self.wait = Wait.NOTHING
        self._deadline_us = None
        self._own = b""
        self._reader.expect(Wait.NOTHING, self._pump)
        self._free_us = now_us + self.timing.command_gap_us

    def _byte(self, byte: int, now_us: int) -> None:
        if self._own:
            if byte == self._own[0] and (self._echo or not self._is_answer(byte)):
                self._own = self._own[1:]
                if not self._echo and not self._own:
                    self._events.append(Deviation(pump=self._pump, kind=DeviationKind.ECHO_UNDECLARED))
                return
            if self._echo and self.busy:
                self._events.append(Deviation(pump=self._pump, kind=DeviationKind.ECHO_MISSING))
            self._own = b""
        if self.wait in {Wait.NOTHING, Wait.SETTLE, Wait.DRAIN}:
            if self.wait is not Wait.DRAIN:
                self._events.append(Unexpected(pump=self._pump or None, raw=bytes((byte,))))
            return
        try:
            answer = self._reader.take(byte)
        except BadBlock as bad:
            self._refuse(bad, now_us)
            return
        if answer is None:
            if not self._reader.partial:
                self._events.append(Unexpected(pump=self._pump, raw=bytes((byte,))))
            return
        self._answered(answer, now_us)

    def _is_answer(self, byte: int) -> bool:
        """Without a declared echo, could this byte be what is waited for rather than our own command?"""
        if self.wait is Wait.SETTLE:
            return False
        return self._reader.fits(byte)

    def _refuse(self, bad: BadBlock, now_us: int) -> None:
        refused = BadAnswer(pump=self._pump, wait=self.wait, reason=bad.reason, raw=self._reader.raw)
        if self._reader.ended:
            self._over(now_us)
            self._events.append(refused)
        else:
            # More of it may be on its way: speak again when it must have passed.
            self._bad = refused
            self.wait = Wait.DRAIN

    def _answered(self, answer: Answer, now_us: int) -> None:
        link = self._links[self._pump]
        link.heard_us = now_us
        if self.wait is Wait.READY and isinstance(answer, StatusAnswer):
            if answer.status is Status.DATA_READY and self._block is not None:
                data = self._encode(self._block)
                self._free_us = now_us + self.timing.command_gap_us
                start_us = self._transmit(data, now_us)
                wait = Wait.NOZZLE if self._block == NOZZLE_QUERY else Wait.SETTLE
                self._await(wait, start_us, len(data))
                return
            self._over(now_us)
            self._events.append(NotReady(pump=self._pump, status=answer.status))
            return
        if isinstance(answer, StatusAnswer):
            link.status = answer.status
        self._over(now_us)
        self._events.append(answer)

    def _encode(self, block: SentBlock) -> bytes:
        quirks = self._quirks
        if quirks.money_five_digits and isinstance(block, MoneyPreset):
            block = MoneyPreset(money_units=block.money_units, grade=block.grade, level=block.level, digits=5)
        data = block.encode(self.model)
        if quirks.constant_length and isinstance(block, VolumePreset | MoneyPreset):
            words = data[:1] + b"\xe3" + data[2:-2]
            data = words + bytes((lrc_word(words), Word.END))
        return data
