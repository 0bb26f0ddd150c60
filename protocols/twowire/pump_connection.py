"""One pump of the pump's side: what each byte means to it, and what it answers."""

from __future__ import annotations

from collections import deque
from typing import Final, Protocol

from protocols.twowire.blocks import (
    NOZZLE_QUERY,
    NozzleRecord,
    SentBlock,
    SpecialFunction,
    Totals,
    Transaction,
)
from protocols.twowire.decoding import BadBlock, BadReason, decode_sent
from protocols.twowire.events import BadData, BlockTaken, Deviation, Event
from protocols.twowire.quirks import Quirks
from protocols.twowire.scale import DigitModel
from protocols.twowire.timing import DATA_MODE_US
from protocols.twowire.wire import Command, Status, Word, check_pump, digit_words, status_byte

__all__ = ["SENT_WORDS_MAX", "Head", "PumpConnection"]

SENT_WORDS_MAX: Final = 32
"""Words of a block before it is given up. Ours: the longest known one, an eight-digit preset with grade, has 18."""

_TOLD_ENOUGH: Final = 3


class Head(Protocol):
    """The mind behind one pump number, asked at the very byte that needs it. All times are the caller's, µs."""

    def status(self, now_us: int) -> Status | None:
        """The status; None: no answer."""

    def authorise(self, now_us: int) -> None:
        """``1p``."""

    def stop(self, now_us: int) -> None:
        """``3p`` or all-stop."""

    def data(self, block: SentBlock, now_us: int) -> bool:
        """A good block that is no nozzle query. False: it cannot be, answered as a data error."""

    def nozzle(self, now_us: int) -> NozzleRecord | None:
        """The nozzle query; None: no answer."""

    def transaction(self, now_us: int) -> Transaction | None:
        """``4p``; None: no answer."""

    def totals(self, now_us: int) -> Totals | None:
        """``5p``; None: no answer."""

    def money(self, now_us: int) -> int | None:
        """``6p``, wire units; None: no answer."""


class PumpConnection:
    """One pump number.

    Attributes:
        pump: 1..16.
        receiving: a block is awaited after ``2p``.
        heard_us: when the controller last spoke to this pump; None if never.
        told: the status told last; None before the first.
        times_told: how often in a row it was told.
    """

    __slots__ = (
        "_block",
        "_data_error",
        "_events",
        "_head",
        "_model",
        "_mute",
        "_quirks",
        "_until_us",
        "heard_us",
        "pump",
        "receiving",
        "times_told",
        "told",
    )

    def __init__(
        self, pump: int, head: Head, events: deque[Event], model: DigitModel, quirks: Quirks
    ) -> None:
        self.pump = check_pump(pump)
        self.receiving = False
        self.heard_us: int | None = None
        self.told: Status | None = None
        self.times_told = 0
        self._head = head
        self._events = events
        self._model = model
        self._quirks = quirks
        self._block = bytearray()
        self._until_us = 0
        self._data_error = False
        self._mute = 0

    def quiet(self, now_us: int) -> bool:
        """A status poll now would be answered as the last ones were, and change nothing.

        The status travels without any check, so a controller may have misread it once: three in a row count.
        """
        return (
            not self.receiving
            and not self._data_error
            and not self._mute
            and self.times_told >= _TOLD_ENOUGH
            and self._head.status(now_us) is self.told
        )

    def restart(self) -> None:
        """Power was lost: no block is awaited, nothing was ever told."""
        self.receiving = self._data_error = False
        self._block.clear()
        self._mute = self.times_told = 0
        self.told = None

    def command(self, command: Command, now_us: int) -> bytes | None:
        """Take a command of this pump; return the answer, None for silence."""
        self.heard_us = now_us
        if self.receiving:
            self._give_up(BadReason.FRAME)
        head = self._head
        match command:
            case Command.STATUS:
                return self._status(now_us)
            case Command.AUTHORISE:
                head.authorise(now_us)
            case Command.STOP:
                head.stop(now_us)
            case Command.DATA:
                if head.status(now_us) is None:
                    return None
                self.receiving = True
                self._block.clear()
                self._until_us = now_us + DATA_MODE_US
                return status_byte(Status.DATA_READY, self.pump)
            case Command.TRANSACTION:
                transaction = head.transaction(now_us)
                return None if transaction is None else transaction.encode(self._model)
            case Command.TOTALS:
                totals = head.totals(now_us)
                return None if totals is None else totals.encode(self._model)
            case Command.MONEY:
                money = head.money(now_us)
                return None if money is None else digit_words(money, self._model.money)
        return None

    def all_stop(self, now_us: int) -> None:
        """Take the all-stop."""
        self.heard_us = now_us
        if self.receiving:
            self._give_up(BadReason.FRAME)
        self._head.stop(now_us)

    def expire(self, now_us: int) -> None:
        """Leave the data mode when its time is over."""
        if self.receiving and now_us > self._until_us:
            self._give_up(BadReason.FRAME)

    def word(self, word: int, now_us: int) -> bytes | None:
        """Take a data word while `receiving`; return the answer to the block that it completes, if there is one."""
        if not self._block and word != Word.START:
            return None  # noise, or the rest of another pump's block
        self._block.append(word)
        if word != Word.END:
            if len(self._block) >= SENT_WORDS_MAX:
                self._give_up(BadReason.FRAME)
            return None
        data = bytes(self._block)
        try:
            sent = decode_sent(data, self._model, strict_length=self._quirks.strict_length)
        except BadBlock as bad:
            self._give_up(bad.reason)
            return None
        self.receiving = False
        self._block.clear()
        for kind in sent.deviations:
            self._events.append(Deviation(pump=self.pump, kind=kind))
        return self._taken(sent.block, now_us)

    def _taken(self, block: SentBlock, now_us: int) -> bytes | None:
        self._events.append(BlockTaken(pump=self.pump, block=block))
        if isinstance(block, SpecialFunction):
            record = self._head.nozzle(now_us) if block == NOZZLE_QUERY else None
            return None if record is None else record.encode()
        if not self._head.data(block, now_us):
            self._data_error = True
        return None

    def _give_up(self, reason: BadReason) -> None:
        self._events.append(BadData(pump=self.pump, reason=reason, raw=bytes(self._block)))
        self.receiving = False
        self._block.clear()
        self._data_error = True

    def _status(self, now_us: int) -> bytes | None:
        status = self._head.status(now_us)
        if status is None:
            return None
        if self._data_error:
            self._data_error = False
            return status_byte(Status.DATA_ERROR, self.pump)
        if status is not self.told:
            self.told = status
            self.times_told = 0
            self._mute = self._quirks.unanswered_polls
        if self._mute:
            self._mute -= 1
            return None
        self.times_told += 1
        return status_byte(status, self.pump)
