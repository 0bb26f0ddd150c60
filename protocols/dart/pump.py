"""The pump's side of a DART line: one object for all addresses that one dispenser serves."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from protocols.dart.echo import EchoFilter
from protocols.dart.events import BadFrame, Event
from protocols.dart.framer import BadBytes, BadReason, Frame, Framer
from protocols.dart.pump_connection import PumpConnection, Source
from protocols.dart.quirks import Quirks
from protocols.dart.timing import REPLY_BLOCK_BYTES
from protocols.dart.transactions import PumpTransaction
from protocols.dart.wire import (
    BLOCK_BYTES_MAX,
    CONTROL_FRAMES,
    DATA_END,
    Control,
    ControlFrame,
    encode_control,
)
from protocols.sansio import NEED_DATA, HarnessProtocolError, LocalProtocolError, NeedData, Outgoing

__all__ = ["PumpSide"]


class PumpSide:
    """A dispenser's end of the line, for one or several addresses.

    Feed bytes, drain `next_event`, and put `data_to_send` on the wire. `Data` events hold the controller's transactions;
    what the pump reports goes into `send` and waits for a poll. A block is repeated at each poll until it is
    acknowledged; a block of the controller that comes twice is acknowledged twice and told once.

    Args:
        addresses: those it answers, each 0x50..0x6F.
        quirks: deviations to show.
        reply_delay_us: silence before each answer. The limit is `REPLY_LIMIT_US`.
        source: see `Source`; with it `quiet` speaks of the queue only, the owner knows the rest.
        block_bytes_max: data bytes put into one block.
        gap_us: silence after which an unfinished frame is given up; None: the next frame decides.
        echo: the line echoes our own bytes.

    Raises:
        LocalProtocolError: an address out of range or given twice, or no address.
    """

    def __init__(
        self,
        addresses: Iterable[int],
        *,
        quirks: Quirks | None = None,
        reply_delay_us: int = 0,
        source: Source | None = None,
        block_bytes_max: int = REPLY_BLOCK_BYTES,
        gap_us: int | None = None,
        echo: bool = False,
    ) -> None:
        if not 1 <= block_bytes_max <= BLOCK_BYTES_MAX:
            raise LocalProtocolError(f"block_bytes_max is {block_bytes_max}, not within 1..{BLOCK_BYTES_MAX}")
        self.on_wake: Callable[[], None] | None = None
        self._source = source
        self._reply_delay_us = reply_delay_us
        self._gap_us = gap_us
        self._echo = EchoFilter() if echo else None
        self._framer = Framer()
        self._heard_us = 0
        self._events: deque[Event] = deque()
        self._out: list[Outgoing] = []
        self._links: dict[int, PumpConnection] = {}
        ready_eot = source is None and reply_delay_us == 0 and not echo
        for address in addresses:
            if address in self._links:
                raise LocalProtocolError(f"address 0x{address:02X} is given twice")
            self._links[address] = PumpConnection(
                address,
                self._events,
                Quirks() if quirks is None else quirks,
                block_bytes_max=block_bytes_max,
                ready_eot=ready_eot,
            )
        if not self._links:
            raise LocalProtocolError("a pump side needs an address")
        self._polls = {encode_control(address, Control.POLL): link for address, link in self._links.items()}

    @property
    def addresses(self) -> tuple[int, ...]:
        """Those it answers, in the order given."""
        return tuple(self._links)

    def connection(self, address: int) -> PumpConnection:
        """One address's link, to look at."""
        return self._link(address)

    def receive_data(self, data: bytes, now_us: int) -> None:
        """Take bytes from the wire. Answers wait in `data_to_send`, news in `next_event`."""
        if not self._framer.partial and self._echo is None:
            # 99 of 100 bursts on a real line are idle polls and their answers: no parsing, no allocation
            link = self._polls.get(data)
            if link is not None:
                if link.eot is not None:
                    link.heard_us = now_us
                    self._out.append(link.eot)
                    return
            else:
                frame = CONTROL_FRAMES.get(data)
                if frame is not None:
                    link = self._links.get(frame.address)
                    if link is None:
                        return
            if link is not None and self._framer.is_fresh:
                # A control frame of ours in a burst of its own: the framer would find just that.
                self._heard_us = now_us
                self._control(link, CONTROL_FRAMES[data], now_us)
                return
        self._receive(data, now_us)

    def parity_error(self) -> None:
        """Say that the byte received next came with wrong parity: its frame is answered NAK, whatever its checksum."""
        self._framer.parity_error()

    def next_event(self) -> Event | NeedData:
        """The next piece of news, or `NEED_DATA`."""
        return self._events.popleft() if self._events else NEED_DATA

    def send(self, address: int, transactions: Iterable[PumpTransaction]) -> None:
        """Queue transactions for the next poll of this address; as many as fit travel in one block.

        Calls ``on_wake`` when the address stops being quiet.

        Raises:
            LocalProtocolError: a field does not fit, or over `QUEUE_MAX` transactions wait.
        """
        link = self._link(address)
        was_quiet = link.quiet
        link.send(transactions)
        if was_quiet and not link.quiet and self.on_wake is not None:
            self.on_wake()

    def answer(self, link: PumpConnection, transaction: PumpTransaction, now_us: int) -> bool:
        """Hear a poll of a link that is quiet, and answer it with this: what `send` and the poll after it would do.

        False when the poll's bytes have to be looked at; then nothing was done.
        """
        if self._echo is not None or self._source is not None or not self._framer.is_fresh:
            return False
        self._heard_us = now_us
        frame = link.answer(transaction, now_us)
        self._out.append(Outgoing(frame, now_us + self._reply_delay_us if self._reply_delay_us else 0))
        return True

    def quiet(self, address: int) -> bool:
        """True when a poll now would be answered EOT and change nothing."""
        return self._link(address).quiet

    def idle_answer(self, data: bytes) -> bytes | None:
        """What this burst would get, if hearing it changes nothing but ``heard_us`` of its address (see `idle_heard`).

        Empty if that is nothing; None if the burst has to be heard to know.
        """
        if self._framer.partial or self._echo is not None or self._out:
            return None
        link = self._polls.get(data)
        if link is None:
            frame = CONTROL_FRAMES.get(data)
            return None if frame is None or frame.address in self._links else b""
        return None if link.eot is None else link.eot.data

    def idle_heard(self, data: bytes, heard_us: int) -> None:
        """This poll was heard, and got its `idle_answer`."""
        self._polls[data].heard_us = heard_us

    def mute(self, address: int, polls: int) -> None:
        """Leave the next ``polls`` polls of this address unanswered, as some pumps do around a state change."""
        if polls < 0:
            raise LocalProtocolError(f"cannot leave {polls} polls unanswered")
        self._link(address).mute(polls)
        if polls and self.on_wake is not None:
            self.on_wake()

    def drop_queued(self, address: int) -> None:
        """Forget what waits for a poll and is not yet out."""
        self._link(address).drop_queued()

    def restart(self, address: int | None = None) -> None:
        """Power was lost, for one address or all: numbers to 0, nothing queued, nothing out, no half frame."""
        for link in self._links.values() if address is None else (self._link(address),):
            link.restart()
        if address is None:
            self._framer = Framer()
            self._out.clear()

    def data_to_send(self, now_us: int) -> list[Outgoing]:  # noqa: ARG002 - the answers carry their own time
        """Drain the answers."""
        out = self._out
        if not out:
            return []
        self._out = []
        if self._echo is not None:
            for burst in out:
                self._echo.sent(burst.data)
        return out

    def next_timer(self) -> int | None:
        """None: a pump speaks only when spoken to."""
        return None

    def handle_timer(self, now_us: int) -> None:
        """Nothing is ever due."""

    def _link(self, address: int) -> PumpConnection:
        link = self._links.get(address)
        if link is None:
            raise HarnessProtocolError(f"address 0x{address:02X} is not one of this pump's")
        return link

    def _receive(self, data: bytes, now_us: int) -> None:
        if self._gap_us is not None and self._framer.partial and now_us - self._heard_us > self._gap_us:
            self._handle(self._framer.flush(), now_us)
        self._heard_us = now_us
        if self._echo is not None:
            data = self._echo.heard(data)
        self._handle(self._framer.feed(data), now_us)

    def _handle(self, frames: list[Frame], now_us: int) -> None:
        for frame in frames:
            if isinstance(frame, BadBytes):
                answer = self._bad(frame, now_us)
            else:
                link = self._links.get(frame.address)
                if link is None:
                    continue
                if isinstance(frame, ControlFrame):
                    self._control(link, frame, now_us)
                    continue
                answer = link.data(frame, now_us)
            if answer is not None:
                self._out.append(
                    Outgoing(answer, now_us + self._reply_delay_us if self._reply_delay_us else 0)
                )

    def _control(self, link: PumpConnection, frame: ControlFrame, now_us: int) -> None:
        answer = link.control(frame, self._source, now_us)
        if answer is not None:
            self._out.append(Outgoing(answer, now_us + self._reply_delay_us if self._reply_delay_us else 0))

    def _bad(self, bad: BadBytes, now_us: int) -> bytes | None:
        link = None if bad.address is None else self._links.get(bad.address)
        if link is None:
            if bad.address is None:
                self._events.append(BadFrame(address=None, reason=bad.reason, raw=bad.raw))
            return None  # another pump's frame is not ours to refuse
        # A control frame is never answered NAK, and what was cut off may not have been a data frame.
        nak = bad.reason in (BadReason.CHECKSUM, BadReason.PARITY) and bad.raw.endswith(DATA_END)
        self._events.append(BadFrame(address=bad.address, reason=bad.reason, raw=bad.raw, nak=nak))
        if not nak:
            return None
        link.heard_us = now_us
        return encode_control(link.address, Control.NAK, bad.tx or 0)
