"""One address of a controller: block numbers, and the block that is not acknowledged yet."""

from __future__ import annotations

from collections import deque

from protocols.dart.decoding import decode_from_pump
from protocols.dart.events import Ack, Data, Deviation, DeviationKind, Duplicate, Eot, Event, Nak
from protocols.dart.numbering import Arrival, Receiver, next_tx
from protocols.dart.quirks import Quirks
from protocols.dart.wire import Control, DataFrame, check_address, encode_control
from protocols.sansio import Outgoing

__all__ = ["ControllerConnection"]


class ControllerConnection:
    """One address as the controller sees it.

    Attributes:
        address: 0x50..0x6F.
        receiver: what came from the pump.
        frame: our block that is out or waits for another try; empty when there is none.
        attempts: how often it was sent.
        tx: its number, or the number of the next block.
        heard_us: when the pump last answered; None if never.
        poll: the ready poll.
        eot_bytes: the answer to most polls.
        eot_event: what it is told as.
    """

    __slots__ = (
        "_events",
        "_previous",
        "_quirks",
        "address",
        "attempts",
        "eot_bytes",
        "eot_event",
        "frame",
        "heard_us",
        "poll",
        "receiver",
        "tx",
    )

    def __init__(self, address: int, events: deque[Event], quirks: Quirks) -> None:
        self.address = check_address(address)
        self.receiver = Receiver()
        self.frame = b""
        self.attempts = 0
        self.tx = 0
        self.heard_us: int | None = None
        self.poll = Outgoing(encode_control(address, Control.POLL))
        self.eot_bytes = encode_control(address, Control.EOT)
        self.eot_event = Eot(address=address)
        self._events = events
        self._quirks = quirks
        self._previous: int | None = None

    def restart(self) -> None:
        """Numbers to 0, nothing out. What the pump remembers does not matter: 0 is always accepted."""
        self.receiver.restart()
        self.frame = b""
        self.attempts = 0
        self.tx = 0

    def take(self, frame: DataFrame) -> bool:
        """Take a block of the pump and tell it. False when it came before."""
        if frame.checksum_unescaped:
            self._deviation(DeviationKind.CHECKSUM_UNESCAPED, frame.tx, frame.tx)
        arrival = self.receiver.judge(frame.tx)
        if arrival is Arrival.DUPLICATE:
            self._events.append(Duplicate(address=self.address, tx=frame.tx))
            return False
        if arrival is Arrival.GAP:
            self._deviation(DeviationKind.SEQUENCE_GAP, self.receiver.expected(), frame.tx)
        self._previous = self.receiver.last
        same = self.receiver.take(frame.tx, frame.block)
        transactions = decode_from_pump(frame.block)
        self._events.append(
            Data(address=self.address, tx=frame.tx, transactions=transactions, same_as_last=same)
        )
        return True

    def put_back(self) -> None:
        """Undo the last `take`: the owner refuses the block, and its repetition will be new again."""
        self.receiver.last = self._previous

    def acknowledged(self, tx: int) -> bool:
        """The pump acknowledged block ``tx``. False when that is not the one that is out."""
        if tx != self.tx:
            if tx != 0:
                return False
            self._deviation(DeviationKind.ACK_ZERO, self.tx, 0)
        self._events.append(Ack(address=self.address, tx=self.tx))
        if not self._quirks.tx_always_zero:
            self.tx = next_tx(self.tx, self._quirks.tx_wrap)
        self.frame = b""
        self.attempts = 0
        return True

    def refused(self, tx: int) -> None:
        """The pump answered NAK; only one block is out, so it means that one."""
        if tx != self.tx:
            self._deviation(DeviationKind.NAK_OTHER, self.tx, tx)
        self._events.append(Nak(address=self.address, tx=self.tx, attempt=self.attempts))

    def drop(self) -> None:
        """Give the block up.

        Whether the pump took it is unknown. Its number again would look like a repetition, the next one like a gap; 0 is
        accepted in either case.
        """
        if self.frame:
            self.tx = 0
        self.frame = b""
        self.attempts = 0

    def _deviation(self, kind: DeviationKind, expected: int, got: int) -> None:
        self._events.append(Deviation(address=self.address, kind=kind, expected=expected, got=got))
