"""One address of a pump: block numbers, the block that is out, and what waits behind it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeAlias

from msgspec.structs import replace

from protocols.dart.decoding import decode_from_controller
from protocols.dart.events import Ack, Data, Deviation, DeviationKind, Duplicate, Event, Nak
from protocols.dart.numbering import Arrival, Receiver, next_tx
from protocols.dart.quirks import Quirks
from protocols.dart.states import PumpLinkEvent, PumpLinkState, next_pump_link
from protocols.dart.transactions import FilledReport, PumpTransaction, StatusReport, TotalsReport
from protocols.dart.wire import Control, ControlFrame, DataFrame, check_address, encode_control, encode_data
from protocols.sansio import LocalProtocolError, Outgoing

__all__ = ["QUEUE_MAX", "PumpConnection", "Source"]

Source: TypeAlias = Callable[[int, int], Sequence[PumpTransaction]]
"""``source(address, now_us)``: asked at a poll that would otherwise be answered EOT; what it returns is sent at once."""

QUEUE_MAX: Final = 256
"""Encoded transactions waiting per address. Ours: an owner that piles up more has lost its controller and should
keep states, not history."""


class PumpConnection:
    """One address as the pump sees it: numbers, the block that is out, what waits behind it.

    Attributes:
        address: 0x50..0x6F.
        state: where the link stands in its table.
        heard_us: when the controller last spoke to this address; None if never.
        eot: the ready answer to an idle poll; None whenever a poll needs a closer look.
    """

    __slots__ = (
        "_block_max",
        "_events",
        "_frame",
        "_idle_eot",
        "_mute",
        "_queue",
        "_quirks",
        "_receiver",
        "_tx",
        "address",
        "eot",
        "heard_us",
        "state",
    )

    def __init__(
        self, address: int, events: deque[Event], quirks: Quirks, *, block_bytes_max: int, ready_eot: bool
    ) -> None:
        self.address = check_address(address)
        self.state = PumpLinkState.EMPTY
        self.heard_us: int | None = None
        self._events = events
        self._quirks = quirks
        self._block_max = block_bytes_max
        self._queue: deque[bytes] = deque()
        self._frame = b""
        self._tx = 0
        self._receiver = Receiver()
        self._mute = 0
        self._idle_eot = Outgoing(encode_control(address, Control.EOT)) if ready_eot else None
        self.eot = self._idle_eot

    @property
    def quiet(self) -> bool:
        """A poll now would be answered EOT and change nothing."""
        return self.state is PumpLinkState.EMPTY and not self._mute

    @property
    def queued(self) -> int:
        """Transactions that wait behind the block that is out."""
        return len(self._queue)

    def send(self, transactions: Iterable[PumpTransaction]) -> None:
        """Queue transactions. See `PumpSide.send`."""
        encoded: list[bytes] = []
        mute = 0
        for transaction in transactions:
            if isinstance(transaction, TotalsReport):
                transaction = self._as_configured(transaction)
            elif isinstance(transaction, StatusReport):
                mute += self._quirks.unanswered_polls
            data = transaction.encode()
            if len(data) > self._block_max:
                raise LocalProtocolError(
                    f"a transaction of {len(data)} bytes is over the block limit of {self._block_max}"
                )
            encoded.append(data)
        if len(self._queue) + len(encoded) > QUEUE_MAX:
            raise LocalProtocolError(
                f"address 0x{self.address:02X}: over {QUEUE_MAX} transactions wait; nobody polls"
            )
        if encoded:
            self._queue.extend(encoded)
            self._mute += mute
            self._step(PumpLinkEvent.QUEUE)

    def answer(self, transaction: PumpTransaction, now_us: int) -> bytes:
        """Hear a poll while quiet, and answer it with this transaction. See `PumpSide.answer`."""
        self.heard_us = now_us
        if type(transaction) is FilledReport:
            data = transaction.encode()
            if len(data) <= self._block_max:
                # What flowing fuel is told with: it goes out at once, without a queue.
                self._step(PumpLinkEvent.QUEUE)
                return self._fetched(data)
        self.send((transaction,))
        return self._next_block()

    def mute(self, polls: int) -> None:
        """Leave the next polls unanswered."""
        self._mute += polls
        self._refresh()

    def drop_queued(self) -> None:
        """Forget what waits behind the block that is out. The block itself stays until it is acknowledged."""
        self._queue.clear()
        self._step(PumpLinkEvent.DROP)

    def supersede(self, kind: int) -> None:
        """Forget what waits and is of this kind (the TRANS byte): something newer of it comes."""
        kept = [data for data in self._queue if data[0] != kind]
        if len(kept) == len(self._queue):
            return
        self._queue = deque(kept)
        if not kept:
            self._step(PumpLinkEvent.DROP)

    def restart(self) -> None:
        """Numbers to 0, nothing queued, nothing out: power was lost."""
        self._queue.clear()
        self._frame = b""
        self._tx = 0
        self._mute = 0
        self._receiver.restart()
        self._step(PumpLinkEvent.RESTART)

    def control(self, frame: ControlFrame, source: Source | None, now_us: int) -> bytes | None:
        """Take a control frame of this address; return the answer, None for silence."""
        self.heard_us = now_us
        control = frame.control
        if control is Control.POLL:
            return self._polled(source, now_us)
        if control is Control.ACK:
            self._acknowledged(frame.tx)
        elif control is Control.ACK_POLL:
            self._acknowledged(frame.tx)
            return self._polled(source, now_us)
        elif control is Control.NAK:
            self._refused(frame.tx)
        # An EOT comes from pumps only: another pump on this address, or an echo.
        return None

    def data(self, frame: DataFrame, now_us: int) -> bytes:
        """Take a data frame of this address; return its acknowledgement."""
        self.heard_us = now_us
        if frame.checksum_unescaped:
            self._deviation(DeviationKind.CHECKSUM_UNESCAPED, frame.tx, frame.tx)
        arrival = self._receiver.judge(frame.tx)
        if arrival is Arrival.DUPLICATE:
            self._events.append(Duplicate(address=self.address, tx=frame.tx))
        else:
            if arrival is Arrival.GAP:
                self._deviation(DeviationKind.SEQUENCE_GAP, self._receiver.expected(), frame.tx)
            same = self._receiver.take(frame.tx, frame.block)
            transactions = decode_from_controller(frame.block)
            self._events.append(
                Data(address=self.address, tx=frame.tx, transactions=transactions, same_as_last=same)
            )
        self._step(PumpLinkEvent.DATA)
        tx = 0 if self._quirks.ack_always_zero else frame.tx
        return encode_control(self.address, Control.ACK, tx)

    def _polled(self, source: Source | None, now_us: int) -> bytes | None:
        if self._muted():
            return None
        if source is not None and self.state is PumpLinkState.EMPTY:
            self.send(source(self.address, now_us))
            if self._muted():
                return None
        if self.state is PumpLinkState.QUEUED:
            return self._next_block()
        self._step(PumpLinkEvent.POLL)
        if self.state is PumpLinkState.UNACKNOWLEDGED:
            return self._frame
        return encode_control(self.address, Control.EOT)

    def _next_block(self) -> bytes:
        block = self._queue.popleft()
        while self._queue and len(block) + len(self._queue[0]) <= self._block_max:
            block += self._queue.popleft()
        return self._fetched(block)

    def _fetched(self, block: bytes) -> bytes:
        self._frame = encode_data(
            self.address, self._tx, block, escape_checksum=not self._quirks.checksum_unescaped
        )
        self._step(PumpLinkEvent.POLL)
        return self._frame

    def _muted(self) -> bool:
        if not self._mute:
            return False
        self._mute -= 1
        self._refresh()
        return True

    def _acknowledged(self, tx: int) -> None:
        if self.state is not PumpLinkState.UNACKNOWLEDGED:
            return  # the acknowledgement of a block that was acknowledged before: nothing is out
        if tx != self._tx:
            if tx != 0:
                return  # of an older block; ours will be fetched again
            self._deviation(DeviationKind.ACK_ZERO, self._tx, 0)
        self._events.append(Ack(address=self.address, tx=self._tx))
        if not self._quirks.tx_always_zero:
            self._tx = next_tx(self._tx, self._quirks.tx_wrap)
        self._frame = b""
        self._step(PumpLinkEvent.ACK_MORE if self._queue else PumpLinkEvent.ACK)

    def _refused(self, tx: int) -> None:
        if self.state is not PumpLinkState.UNACKNOWLEDGED:
            return
        if tx != self._tx:
            self._deviation(DeviationKind.NAK_OTHER, self._tx, tx)
        self._events.append(Nak(address=self.address, tx=self._tx))
        self._step(PumpLinkEvent.NAK)

    def _as_configured(self, report: TotalsReport) -> TotalsReport:
        if self._quirks.totals_bytes == 16 or report.tail is not None:
            return report
        return replace(report, tail=bytes(7))

    def _deviation(self, kind: DeviationKind, expected: int, got: int) -> None:
        self._events.append(Deviation(address=self.address, kind=kind, expected=expected, got=got))

    def _step(self, event: PumpLinkEvent) -> None:
        state = self.state = next_pump_link(self.state, event)
        self.eot = self._idle_eot if state is PumpLinkState.EMPTY and not self._mute else None

    def _refresh(self) -> None:
        self.eot = self._idle_eot if self.quiet else None
