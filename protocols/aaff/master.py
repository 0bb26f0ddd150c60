"""The master's end of an AA FF line: one exchange at a time, whose turn it is decides the owner."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from protocols.aaff.commands import Command
from protocols.aaff.decoding import decode_from_pump
from protocols.aaff.events import (
    BadFrame,
    Deviation,
    DeviationKind,
    MasterEvent,
    Reply,
    ReplyTimeout,
    Unexpected,
)
from protocols.aaff.framer import BadBytes, BadReason, Framer, Item
from protocols.aaff.questions import MasterMessage
from protocols.aaff.quirks import Quirks
from protocols.aaff.states import MasterLinkEvent, MasterLinkState, next_master_link
from protocols.aaff.timing import LineTiming
from protocols.aaff.wire import TO_PC, Direction, Frame, check_gun, encode_frame
from protocols.sansio import NEED_DATA, HarnessProtocolError, LocalProtocolError, NeedData, Outgoing

__all__ = ["MasterSide"]

_ANSWERS: Final[dict[int, frozenset[Command]]] = {
    Command.FETCH: frozenset({Command.SALE, Command.SHIFT, Command.ALARM}),
    Command.BRIEF_SALE: frozenset({Command.POLL, Command.STATUS}),
}
_COMMAND_ANSWERS: Final = frozenset(
    {
        Command.RECORD_ACK,
        Command.AUTHORISE,
        Command.TOTALS,
        Command.STOP,
        Command.PRICES,
        Command.WRITE_PARAMETER,
        Command.READ_PARAMETER,
    }
)
"""These answer their own command and never a poll: one that comes later is late."""


class MasterSide:
    """A master's end of the line.

    The owner schedules: `send` starts one exchange and is refused while `busy`. An exchange ends with `Reply`, `ReplyTimeout`,
    or a `BadFrame` with ``ends``. AA FF has no sequence number, so an answer is told from a late one by its gun and command
    only. Our own echo, and frames to other guns, are passed over.

    Args:
        guns: the guns on the line, each 1..32.
        timing: speed and patience of the line.
        quirks: deviations to show.

    Raises:
        LocalProtocolError: a gun out of range or given twice, or no gun.
    """

    def __init__(
        self, guns: Iterable[int], *, timing: LineTiming | None = None, quirks: Quirks | None = None
    ) -> None:
        self.on_wake: Callable[[], None] | None = None
        self.timing = LineTiming() if timing is None else timing
        self.quirks = Quirks() if quirks is None else quirks
        self.state = MasterLinkState.IDLE
        self._framer = Framer()
        self._events: deque[MasterEvent] = deque()
        self._out: list[Outgoing] = []
        self._guns: tuple[int, ...] = ()
        for gun in guns:
            if check_gun(gun) in self._guns:
                raise LocalProtocolError(f"gun {gun} is given twice")
            self._guns = (*self._guns, gun)
        if not self._guns:
            raise LocalProtocolError("a master's side needs a gun")
        self._gun = self._guns[0]
        self._command = 0
        self._deadline_us: int | None = None

    @property
    def guns(self) -> tuple[int, ...]:
        """The guns on the line, in the order given."""
        return self._guns

    @property
    def busy(self) -> bool:
        """An exchange is under way."""
        return self.state is not MasterLinkState.IDLE

    def send(self, gun: int, message: MasterMessage, now_us: int) -> None:
        """Say something to a gun and wait for its answer.

        Raises:
            LocalProtocolError: an exchange is under way, or a field does not fit.
        """
        if gun not in self._guns:
            raise HarnessProtocolError(f"gun {gun} is not on this line")
        if self.busy:
            raise LocalProtocolError(f"an exchange with gun {self._gun} is under way")
        crc = self.quirks.checksum_sent
        data = encode_frame(Direction.TO_PUMP, message.command, gun, message.encode(), crc=crc)
        for item in self._framer.flush():
            self._take(item)
        self._gun, self._command = gun, message.command
        self.state = next_master_link(self.state, MasterLinkEvent.SEND)
        self._deadline_us = now_us + self.timing.timeout_us(len(data))
        self._out.append(Outgoing(data))
        if self.on_wake is not None:
            self.on_wake()

    def receive_data(self, data: bytes, now_us: int) -> None:  # noqa: ARG002 - nothing here depends on time
        """Take bytes from the wire. News wait in `next_event`."""
        for item in self._framer.feed(data):
            self._take(item)

    def next_event(self) -> MasterEvent | NeedData:
        """The next piece of news, or `NEED_DATA`."""
        return self._events.popleft() if self._events else NEED_DATA

    def data_to_send(self, now_us: int) -> list[Outgoing]:  # noqa: ARG002 - what waits is due
        """Drain the bursts."""
        out, self._out = self._out, []
        return out

    def next_timer(self) -> int | None:
        """When the patience with the current answer ends."""
        return self._deadline_us

    def handle_timer(self, now_us: int) -> None:
        """Give up waiting, if it is time."""
        if self._deadline_us is None or now_us < self._deadline_us:
            return
        for item in self._framer.flush():
            self._take(item)
        if self.busy:  # the cut-off answer may just have ended the exchange
            self._events.append(ReplyTimeout(gun=self._gun, command=self._command))
            self._end(MasterLinkEvent.TIMEOUT)

    def restart(self) -> None:
        """Forget the exchange and half a frame: the connection is a new one."""
        self._framer = Framer()
        self._out.clear()
        self._end(MasterLinkEvent.RESTART)

    def _end(self, event: MasterLinkEvent) -> None:
        self.state = next_master_link(self.state, event)
        self._deadline_us = None

    def _take(self, item: Item) -> None:
        if isinstance(item, BadBytes):
            # Only a whole frame of the asked gun ends the wait: after noise the true answer may still come.
            ends = (
                self.busy
                and item.reason is BadReason.CHECKSUM
                and item.direction is Direction.FROM_PUMP
                and item.gun == self._gun
            )
            self._events.append(BadFrame(gun=item.gun, reason=item.reason, raw=item.raw, ends=ends))
            if ends:
                self._end(MasterLinkEvent.BAD)
            return
        if item.direction is not Direction.FROM_PUMP or item.gun not in self._guns:
            return
        message = decode_from_pump(item.command, item.body)
        self._note(item)
        if not self.busy or item.gun != self._gun or not self._answers(item.command):
            self._events.append(Unexpected(gun=item.gun, message=message))
            return
        self._events.append(Reply(gun=item.gun, message=message))
        self._end(MasterLinkEvent.REPLY)

    def _answers(self, command: int) -> bool:
        if command == Command.NOT_UNDERSTOOD:
            return True
        if self._command == Command.POLL:
            return command not in _COMMAND_ANSWERS
        return command in _ANSWERS.get(self._command, (self._command,))

    def _note(self, frame: Frame) -> None:
        if frame.destination != TO_PC:
            detail = f"{frame.destination:02X} instead of {TO_PC:02X}"
            self._events.append(Deviation(gun=frame.gun, kind=DeviationKind.DESTINATION, detail=detail))
