"""The pump's side of a Two-Wire line: one object for all pump numbers that one dispenser serves."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

from protocols.sansio import NEED_DATA, HarnessProtocolError, LocalProtocolError, NeedData, Outgoing
from protocols.twowire.events import Event
from protocols.twowire.pump_connection import Head, PumpConnection
from protocols.twowire.quirks import Quirks
from protocols.twowire.scale import SIX_DIGITS, DigitModel
from protocols.twowire.wire import ALL_STOP, Command, split_byte

__all__ = ["PumpSide"]

_FIRST_WORD: Final = 0xE0


class PumpSide:
    """A dispenser's end of the line, for one or several pump numbers.

    Feed bytes and put `data_to_send` on the wire; the heads are asked and commanded at the very byte. `next_event` tells
    of data blocks, refused ones included, and of tolerated deviations.

    Args:
        heads: pump number (1..16) -> its mind.
        model: field widths of its figures.
        quirks: deviations to show.
        reply_delay_us: silence before each answer. The limit is `REPLY_LIMIT_US`.
        echo: the line echoes our own bytes: an answer ``61`` heard back would be a command.

    Raises:
        LocalProtocolError: a pump number out of range, or none.
    """

    def __init__(
        self,
        heads: Mapping[int, Head],
        *,
        model: DigitModel = SIX_DIGITS,
        quirks: Quirks | None = None,
        reply_delay_us: int = 0,
        echo: bool = False,
    ) -> None:
        if not heads:
            raise LocalProtocolError("a pump side needs a pump")
        self.on_wake: Callable[[], None] | None = None
        self._quirks = Quirks() if quirks is None else quirks
        self._reply_delay_us = reply_delay_us
        self._echo = echo
        self._own = b""  # of what was sent, what has not been heard back
        self._events: deque[Event] = deque()
        self._out: list[Outgoing] = []
        self._links = {
            pump: PumpConnection(pump, head, self._events, model, self._quirks)
            for pump, head in heads.items()
        }

    @property
    def pumps(self) -> tuple[int, ...]:
        """Those it answers for, in the order given."""
        return tuple(self._links)

    def connection(self, pump: int) -> PumpConnection:
        """One pump's link, to look at. Raises HarnessProtocolError for another's."""
        link = self._links.get(pump)
        if link is None:
            raise HarnessProtocolError(f"pump {pump} is not one of this side's")
        return link

    def next_event(self) -> Event | NeedData:
        """The next piece of news, or `NEED_DATA`."""
        return self._events.popleft() if self._events else NEED_DATA

    def quiet(self, pump: int, now_us: int) -> bool:
        """True when a status poll now would be answered as the last one was, and change nothing."""
        return self.connection(pump).quiet(now_us)

    def restart(self) -> None:
        """Power was lost: no block is awaited, nothing waits to be sent."""
        for link in self._links.values():
            link.restart()
        self._own = b""
        self._out.clear()

    def receive_data(self, data: bytes, now_us: int) -> None:
        """Take bytes from the wire, in any pieces."""
        if self._quirks.echo:
            self._out.append(Outgoing(data))
        if self._own:
            data = self._without_own(data)
        for byte in data:
            answer = self._byte(byte, now_us)
            if answer is not None:
                delay_us = self._reply_delay_us
                self._out.append(Outgoing(answer, now_us + delay_us if delay_us else 0))

    def _without_own(self, data: bytes) -> bytes:
        """What is no echo. The first byte that differs ends the waiting for it: the line was disturbed."""
        for at, byte in enumerate(data):
            if not self._own:
                return data[at:]
            if byte != self._own[0]:
                self._own = b""
                return data[at:]
            self._own = self._own[1:]
        return b""

    def _byte(self, byte: int, now_us: int) -> bytes | None:
        if byte == ALL_STOP:
            for link in self._links.values():
                link.all_stop(now_us)
            return None
        if byte >= _FIRST_WORD:
            for link in self._links.values():
                link.expire(now_us)
                if link.receiving:
                    return link.word(byte, now_us)
            return None
        nibble, pump = split_byte(byte)
        addressed = self._links.get(pump)
        # Higher nibbles are answers: another pump's, or our own echo.
        if addressed is None or nibble > Command.MONEY:
            return None
        return addressed.command(Command(nibble), now_us)

    def data_to_send(self, now_us: int) -> list[Outgoing]:  # noqa: ARG002 - the answers carry their own time
        """Drain the answers."""
        out = self._out
        if not out:
            return []
        self._out = []
        if self._echo:
            self._own += b"".join(burst.data for burst in out)
        return out

    def next_timer(self) -> int | None:
        """None: a pump speaks only when spoken to."""
        return None

    def handle_timer(self, now_us: int) -> None:
        """Nothing is ever due."""
