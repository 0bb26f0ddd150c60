"""A pump's answer out of single bytes: which bytes can belong to it, and when it is whole."""

from __future__ import annotations

from typing import Final, TypeAlias

from protocols.twowire.decoding import (
    BadBlock,
    BadReason,
    decode_money,
    decode_nozzle_record,
    decode_totals,
    decode_transaction,
)
from protocols.twowire.events import (
    MoneyAnswer,
    NozzleAnswer,
    StatusAnswer,
    TotalsAnswer,
    TransactionAnswer,
    Wait,
)
from protocols.twowire.scale import DigitModel
from protocols.twowire.wire import Status, Word, split_byte

__all__ = ["Answer", "AnswerReader"]

Answer: TypeAlias = StatusAnswer | TransactionAnswer | TotalsAnswer | MoneyAnswer | NozzleAnswer

_STATUSES: Final = frozenset(int(status) for status in Status)
_RECORD_START: Final = 0x80 | ord(":")
_RECORD_BYTES: Final = 19
_GRADES_MOST: Final = 16


class AnswerReader:
    """Collects the answer to one question. Bytes that cannot begin it are passed over, so noise before it does no harm.

    Args:
        model: field widths of the pump's figures.

    Attributes:
        raw: what was collected so far, or of the last whole answer.
        ended: the last refused answer had come to its end.
    """

    def __init__(self, model: DigitModel) -> None:
        self.raw = b""
        self.ended = False
        self._model = model
        self._wait = Wait.NOTHING
        self._pump = 0
        self._held = bytearray()
        self._most = model.totals_words(_GRADES_MOST)

    @property
    def partial(self) -> bool:
        """Half an answer is there."""
        return bool(self._held)

    def expect(self, wait: Wait, pump: int) -> None:
        """Begin to wait for another answer."""
        self._wait, self._pump = wait, pump
        self._held.clear()
        self.ended = False

    def fits(self, byte: int) -> bool:
        """Whether the answer can begin with this byte."""
        match self._wait:
            case Wait.STATUS | Wait.READY:
                nibble, pump = split_byte(byte)
                return pump == self._pump and nibble in _STATUSES
            case Wait.TRANSACTION | Wait.TOTALS:
                return byte == Word.START
            case Wait.MONEY:
                return 0xE0 <= byte <= 0xE9
            case Wait.NOZZLE:
                return byte == _RECORD_START
            case _:
                return False

    def take(self, byte: int) -> Answer | None:
        """Take one byte; return the answer when it is whole. Raises BadBlock when it cannot be one any more."""
        if not self._held and not self.fits(byte):
            return None
        self._held.append(byte)
        self.raw = bytes(self._held)
        match self._wait:
            case Wait.STATUS | Wait.READY:
                self._held.clear()
                return StatusAnswer(pump=self._pump, status=Status(byte >> 4))
            case Wait.MONEY:
                return self._money(byte)
            case Wait.NOZZLE:
                return self._nozzle(byte)
            case _:
                return self._block(byte)

    def _money(self, byte: int) -> Answer | None:
        if not 0xE0 <= byte <= 0xE9:
            raise BadBlock(BadReason.BODY, f"{byte:02X} is no digit")
        if len(self._held) < self._model.money:
            return None
        self._held.clear()
        return MoneyAnswer(pump=self._pump, money_units=decode_money(self.raw, self._model))

    def _nozzle(self, byte: int) -> Answer | None:
        if not byte & 0x80:
            raise BadBlock(BadReason.FRAME, f"{byte:02X} has no top bit")
        if len(self._held) < _RECORD_BYTES:
            return None
        self.ended = True
        self._held.clear()
        return NozzleAnswer(pump=self._pump, record=decode_nozzle_record(self.raw))

    def _block(self, byte: int) -> Answer | None:
        if byte < 0xE0 or len(self._held) > self._most:
            raise BadBlock(BadReason.FRAME, f"{byte:02X} is no data word, or no end comes")
        if byte != Word.END:
            return None
        self.ended = True
        self._held.clear()
        if self._wait is Wait.TRANSACTION:
            return TransactionAnswer(pump=self._pump, transaction=decode_transaction(self.raw, self._model))
        return TotalsAnswer(pump=self._pump, totals=decode_totals(self.raw, self._model))
