"""The controller's side of a DART line: one exchange at a time, whose turn it is decides the owner."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from protocols.dart.controller_connection import ControllerConnection
from protocols.dart.echo import EchoFilter
from protocols.dart.events import (
    BadFrame,
    Event,
    ReplyTimeout,
    SendFailed,
    Unexpected,
)
from protocols.dart.framer import BadBytes, BadReason, Frame, Framer
from protocols.dart.quirks import Quirks
from protocols.dart.states import ControllerLinkEvent, ControllerLinkState, next_controller_link
from protocols.dart.timing import LineTiming
from protocols.dart.transactions import ControllerTransaction, encode_block
from protocols.dart.wire import (
    DATA_END,
    Control,
    ControlFrame,
    DataFrame,
    encode_control,
    encode_data,
)
from protocols.sansio import NEED_DATA, HarnessProtocolError, LocalProtocolError, NeedData, Outgoing

__all__ = ["ControllerSide"]

ATTEMPTS_MAX: Final = 3
"""Tries per block: 3 in alejomonroy/Full-Colombia-Wayne, 5 in fangym0335/first."""

CHAIN_MAX: Final = 8
"""Blocks fetched in a row by the quirk ``ack_poll``. Ours: so that one chatty pump cannot hold the line."""


class ControllerSide:
    """A controller's end of the line.

    The owner schedules: `poll` and `send` start one exchange each and are refused while `busy`. An exchange ends with
    `Eot`, `Data`, `Duplicate`, `Ack`, `SendFailed`, `ReplyTimeout` of a poll, or a `BadFrame` that was answered NAK; then `busy` is
    False again. `exchange_us` tells how long one can take at worst.

    Args:
        addresses: the pumps on the line, each 0x50..0x6F.
        timing: speed and patience of the line.
        quirks: deviations to show.
        attempts_max: tries per block, at least 1.
        auto_retry: send a refused or unanswered block again at once; False: the owner calls `resend` or `abandon`.
        auto_ack: acknowledge data at once; False: the owner calls `acknowledge` or `refuse` when it has stored the data.
        chain_max: see `Quirks.ack_poll`.
        echo: the line echoes our own bytes.
        raw: allow `send_raw`, for a test controller that must break the rules.

    Raises:
        LocalProtocolError: an address out of range or given twice, no address, or an impossible limit.
    """

    def __init__(
        self,
        addresses: Iterable[int],
        *,
        timing: LineTiming | None = None,
        quirks: Quirks | None = None,
        attempts_max: int = ATTEMPTS_MAX,
        auto_retry: bool = True,
        auto_ack: bool = True,
        chain_max: int = CHAIN_MAX,
        echo: bool = False,
        raw: bool = False,
    ) -> None:
        if attempts_max < 1 or chain_max < 1:
            raise LocalProtocolError(f"attempts_max {attempts_max} or chain_max {chain_max} is below 1")
        self.on_wake: Callable[[], None] | None = None
        self.timing = LineTiming() if timing is None else timing
        self.state = ControllerLinkState.IDLE
        self._quirks = Quirks() if quirks is None else quirks
        self._attempts_max = attempts_max
        self._auto_retry = auto_retry
        self._auto_ack = auto_ack
        self._chain_max = chain_max
        self._raw = raw
        self._echo = EchoFilter() if echo else None
        self._poll_timeout_us = self.timing.poll_timeout_us
        self._framer = Framer()
        self._heard_us = 0
        self._events: deque[Event] = deque()
        self._out: list[Outgoing] = []
        self._deadline_us: int | None = None
        self._chain = 0
        self._links: dict[int, ControllerConnection] = {}
        for address in addresses:
            if address in self._links:
                raise LocalProtocolError(f"address 0x{address:02X} is given twice")
            self._links[address] = ControllerConnection(address, self._events, self._quirks)
        if not self._links:
            raise LocalProtocolError("a controller side needs an address")
        self._current = next(iter(self._links.values()))

    @property
    def addresses(self) -> tuple[int, ...]:
        """The pumps on the line, in the order given."""
        return tuple(self._links)

    @property
    def busy(self) -> bool:
        """An exchange is under way."""
        return self.state is not ControllerLinkState.IDLE

    def connection(self, address: int) -> ControllerConnection:
        """One address's link, to look at."""
        return self._link(address)

    def unacknowledged(self, address: int) -> bool:
        """A block for this address is out or waits for `resend`."""
        return bool(self._link(address).frame)

    @property
    def at_rest(self) -> bool:
        """No exchange is under way, and nothing half received would meddle with the next one."""
        return self.state is ControllerLinkState.IDLE and not self._framer.partial and self._echo is None

    def exchange_us(self, block_bytes: int | None = None) -> int:
        """Worst-case µs of one `poll`, or of one try to send ``block_bytes``."""
        return self.timing.exchange_us(block_bytes)

    def poll(self, address: int, now_us: int) -> None:
        """Ask this pump what it has to say.

        Raises:
            LocalProtocolError: an exchange is under way.
        """
        link = self._links.get(address)
        if link is None or self.state is not ControllerLinkState.IDLE:
            link = self._idle_link(address)
        if self._framer.partial:
            self._handle(self._framer.flush(), now_us)
        self._current = link
        self._chain = 0
        self.state = ControllerLinkState.POLLED  # what the table says for IDLE and POLL, without the look-up
        self._deadline_us = now_us + self._poll_timeout_us
        self._out.append(link.poll)
        if self.on_wake is not None:
            self.on_wake()

    def send(self, address: int, transactions: Iterable[ControllerTransaction], now_us: int) -> None:
        """Send one block with these transactions.

        Raises:
            LocalProtocolError: an exchange is under way, a block of this address is still unacknowledged, or a field
                does not fit.
        """
        link = self._idle_link(address)
        if link.frame:
            raise LocalProtocolError(
                f"address 0x{address:02X}: resend or abandon the unacknowledged block first"
            )
        link.frame = encode_data(
            address, link.tx, encode_block(transactions), escape_checksum=not self._quirks.checksum_unescaped
        )
        self._start_send(link, now_us)

    def resend(self, address: int, now_us: int) -> None:
        """Send the unacknowledged block once more, same number.

        Raises:
            LocalProtocolError: there is none, or an exchange is under way.
        """
        link = self._idle_link(address)
        if not link.frame:
            raise LocalProtocolError(f"address 0x{address:02X}: no block waits to be sent again")
        self._start_send(link, now_us)

    def abandon(self, address: int) -> None:
        """Give the unacknowledged block up; the next one carries number 0."""
        link = self._link(address)
        if self.busy and link is self._current:
            raise LocalProtocolError(f"address 0x{address:02X}: an exchange is under way")
        link.drop()

    def acknowledge(self, address: int, now_us: int) -> None:
        """Acknowledge the held data: it is safe now.

        Raises:
            LocalProtocolError: no data of this address is held.
        """
        self._answer_held(address, Control.ACK, now_us)

    def refuse(self, address: int, now_us: int) -> None:
        """Answer NAK to the held data: the pump will repeat it, and it will be told as a `Data` again.

        Raises:
            LocalProtocolError: no data of this address is held.
        """
        self._answer_held(address, Control.NAK, now_us)

    def send_raw(self, data: bytes) -> None:
        """Put any bytes on the wire, outside all rules.

        Raises:
            LocalProtocolError: the side was not made with ``raw=True``.
        """
        if not self._raw:
            raise LocalProtocolError("raw bytes are off; make the ControllerSide with raw=True")
        self._out.append(Outgoing(data))
        self._wake()

    def restart(self, address: int | None = None) -> None:
        """Forget numbers and unacknowledged blocks, of one address or all."""
        links = tuple(self._links.values()) if address is None else (self._link(address),)
        for link in links:
            link.restart()
        if address is None or self._link(address) is self._current:
            self.state = ControllerLinkState.IDLE
            self._deadline_us = None
            self._framer = Framer()
            self._out.clear()

    def receive_data(self, data: bytes, now_us: int) -> None:
        """Take bytes from the wire. News wait in `next_event`, acknowledgements in `data_to_send`."""
        if self.state is ControllerLinkState.POLLED and not self._framer.partial and self._echo is None:
            link = self._current
            if data == link.eot_bytes:
                link.heard_us = now_us
                self.state = ControllerLinkState.IDLE
                self._deadline_us = None
                self._events.append(link.eot_event)
                return
        gap_us = self.timing.gap_us
        if gap_us is not None and self._framer.partial and now_us - self._heard_us > gap_us:
            self._handle(self._framer.flush(), now_us)
        self._heard_us = now_us
        if self._echo is not None:
            data = self._echo.heard(data)
        self._handle(self._framer.feed(data), now_us)

    def parity_error(self) -> None:
        """Say that the byte received next came with wrong parity: its frame is refused, whatever its checksum."""
        self._framer.parity_error()

    def next_event(self) -> Event | NeedData:
        """The next piece of news, or `NEED_DATA`."""
        return self._events.popleft() if self._events else NEED_DATA

    def data_to_send(self, now_us: int) -> list[Outgoing]:  # noqa: ARG002 - the bursts carry their own time
        """Drain the bursts."""
        out = self._out
        if not out:
            return []
        self._out = []
        if self._echo is not None:
            for burst in out:
                self._echo.sent(burst.data)
        return out

    def next_timer(self) -> int | None:
        """When the patience with the current answer ends."""
        return self._deadline_us

    def handle_timer(self, now_us: int) -> None:
        """Give up waiting, if it is time."""
        if self._deadline_us is None or now_us < self._deadline_us:
            return
        self._handle(self._framer.flush(), now_us)
        link = self._current
        if self.state is ControllerLinkState.POLLED:
            self._events.append(ReplyTimeout(address=link.address))
            self._end(ControllerLinkEvent.TIMEOUT)
        else:
            self._events.append(ReplyTimeout(address=link.address, tx=link.tx, attempt=link.attempts))
            self._try_again(link, now_us)

    def _link(self, address: int) -> ControllerConnection:
        link = self._links.get(address)
        if link is None:
            raise HarnessProtocolError(f"address 0x{address:02X} is not on this line")
        return link

    def _idle_link(self, address: int) -> ControllerConnection:
        link = self._link(address)
        if self.busy:
            raise LocalProtocolError(f"an exchange with address 0x{self._current.address:02X} is under way")
        return link

    def _wake(self) -> None:
        if self.on_wake is not None:
            self.on_wake()

    def _step(self, event: ControllerLinkEvent) -> None:
        self.state = next_controller_link(self.state, event)

    def _end(self, event: ControllerLinkEvent) -> None:
        self._step(event)
        self._deadline_us = None

    def _start_send(self, link: ControllerConnection, now_us: int) -> None:
        if self._framer.partial:
            self._handle(self._framer.flush(), now_us)
        self._current = link
        self._chain = 0
        glued = self._quirks.glue_poll
        self._step(ControllerLinkEvent.SEND_GLUED if glued else ControllerLinkEvent.SEND)
        self._transmit(link, now_us)
        self._wake()

    def _transmit(self, link: ControllerConnection, now_us: int) -> None:
        link.attempts += 1
        data = link.frame
        if self.state is ControllerLinkState.SENT_GLUED:
            data += link.poll.data
        self._deadline_us = now_us + self.timing.send_timeout_us(len(data))
        self._out.append(Outgoing(data, self._after_turn_round(now_us)))

    def _after_turn_round(self, now_us: int) -> int:
        return now_us + self.timing.turn_round_us if self.timing.turn_round_us else 0

    def _try_again(self, link: ControllerConnection, now_us: int) -> None:
        if link.attempts >= self._attempts_max:
            self._events.append(SendFailed(address=link.address, tx=link.tx, attempts=link.attempts))
            link.drop()
            self._end(ControllerLinkEvent.UNANSWERED)
        elif self._auto_retry:
            self._step(ControllerLinkEvent.RETRY)
            self._transmit(link, now_us)
        else:
            self._end(ControllerLinkEvent.UNANSWERED)

    def _handle(self, frames: Sequence[Frame], now_us: int) -> None:
        for frame in frames:
            if isinstance(frame, BadBytes):
                self._bad(frame, now_us)
                continue
            link = self._current
            if frame.address != link.address or self.state is ControllerLinkState.IDLE:
                self._unexpected(frame)
            elif isinstance(frame, DataFrame):
                self._data(frame, link, now_us)
            elif self.state is ControllerLinkState.POLLED and frame.control is Control.EOT:
                link.heard_us = now_us
                self._events.append(link.eot_event)
                self._end(ControllerLinkEvent.EOT)
            elif frame.control in (Control.ACK, Control.NAK) and self.state in _SENT:
                self._answered(frame, link, now_us)
            else:
                self._unexpected(frame)

    def _unexpected(self, frame: ControlFrame | DataFrame) -> None:
        if isinstance(frame, DataFrame):
            control = Control.DATA
        else:
            control = frame.control
            if control is Control.POLL:
                return  # only ever our own echo, or another controller's poll
        self._events.append(Unexpected(address=frame.address, control=control, tx=frame.tx))

    def _data(self, frame: DataFrame, link: ControllerConnection, now_us: int) -> None:
        if self.state is not ControllerLinkState.POLLED:
            self._unexpected(frame)  # unacknowledged, so it will be there at the next poll
            return
        link.heard_us = now_us
        if link.take(frame) and not self._auto_ack:
            self._end(ControllerLinkEvent.DATA_HELD)
        else:
            self._acknowledge(frame.tx, now_us)

    def _acknowledge(self, tx: int, now_us: int) -> None:
        """Acknowledge data on the line and end the exchange, or go on when the quirk polls at the same time."""
        self._chain += 1
        chained = self._quirks.ack_poll and self._chain < self._chain_max
        control = Control.ACK_POLL if chained else Control.ACK
        number = 0 if self._quirks.ack_always_zero else tx
        answer = encode_control(self._current.address, control, number)
        turn_round_us = self.timing.turn_round_us
        self._out.append(Outgoing(answer, now_us + turn_round_us if turn_round_us else 0))
        if chained:
            self._step(ControllerLinkEvent.DATA_CHAINED)
            self._deadline_us = now_us + self._poll_timeout_us
        else:
            self._end(ControllerLinkEvent.DATA)

    def _answer_held(self, address: int, control: Control, now_us: int) -> None:
        link = self._link(address)
        if link is not self._current or self.state is not ControllerLinkState.HELD:
            raise LocalProtocolError(f"no data of address 0x{address:02X} is held")
        tx = link.receiver.last or 0
        if control is Control.NAK:
            link.put_back()
            self._step(ControllerLinkEvent.REFUSE)
        else:
            tx = 0 if self._quirks.ack_always_zero else tx
            self._step(ControllerLinkEvent.ACKNOWLEDGE)
        self._out.append(Outgoing(encode_control(address, control, tx), self._after_turn_round(now_us)))
        self._wake()

    def _answered(self, frame: ControlFrame, link: ControllerConnection, now_us: int) -> None:
        """An ACK or NAK of the block that is out."""
        if frame.control is Control.NAK:
            link.heard_us = now_us
            link.refused(frame.tx)
            self._try_again(link, now_us)
        elif link.acknowledged(frame.tx):
            link.heard_us = now_us
            self._end(ControllerLinkEvent.ACK)
            if self.state is ControllerLinkState.POLLED:
                self._deadline_us = now_us + self._poll_timeout_us
        else:
            self._unexpected(frame)

    def _bad(self, bad: BadBytes, now_us: int) -> None:
        link = self._current
        # Only a whole data frame with a wrong checksum ends the wait: after noise the true answer may still come.
        nak = (
            self.state is ControllerLinkState.POLLED
            and bad.address == link.address
            and bad.reason in (BadReason.CHECKSUM, BadReason.PARITY)
            and bad.raw.endswith(DATA_END)
        )
        self._events.append(BadFrame(address=bad.address, reason=bad.reason, raw=bad.raw, nak=nak))
        if nak:
            link.heard_us = now_us
            answer = encode_control(link.address, Control.NAK, bad.tx or 0)
            self._out.append(Outgoing(answer, self._after_turn_round(now_us)))
            self._end(ControllerLinkEvent.BAD)


_SENT: Final = (ControllerLinkState.SENT, ControllerLinkState.SENT_GLUED)
