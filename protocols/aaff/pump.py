"""A dispenser's end of an AA FF line: frames for its guns become requests, answers become frames."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from protocols.aaff.answers import PumpMessage
from protocols.aaff.decoding import decode_from_master
from protocols.aaff.events import BadFrame, Deviation, DeviationKind, PumpEvent, Request
from protocols.aaff.framer import BadBytes, Framer, Item
from protocols.aaff.questions import MasterMessage, Prices, ReadParameter, Stop, TotalsRequest
from protocols.aaff.quirks import Quirks
from protocols.aaff.states import PumpLinkEvent, PumpLinkState, next_pump_link
from protocols.aaff.wire import TO_PUMP_DEVICE, Direction, Frame, check_gun, encode_frame
from protocols.sansio import NEED_DATA, HarnessProtocolError, LocalProtocolError, NeedData, Outgoing

__all__ = ["PumpSide"]


class PumpSide:
    """A dispenser's end of the line, for one or several guns.

    Feed bytes, drain `next_event`, answer each `Request` with `reply` or `silence`. Frames for other guns, and what other
    dispensers say, are passed over. A damaged frame is a `BadFrame` event and nothing else: no source shows an answer to one.

    Args:
        guns: those it answers, each 1..32.
        quirks: what it lives with.
        reply_delay_us: silence before each answer.

    Raises:
        LocalProtocolError: a gun out of range or given twice, or no gun.
    """

    def __init__(self, guns: Iterable[int], *, quirks: Quirks | None = None, reply_delay_us: int = 0) -> None:
        self.on_wake: Callable[[], None] | None = None
        self.quirks = Quirks() if quirks is None else quirks
        self._reply_delay_us = reply_delay_us
        self._framer = Framer(any_checksum=self.quirks.any_checksum)
        self._events: deque[PumpEvent] = deque()
        self._out: list[Outgoing] = []
        self._states: dict[int, PumpLinkState] = {}
        for gun in guns:
            if check_gun(gun) in self._states:
                raise LocalProtocolError(f"gun {gun} is given twice")
            self._states[gun] = PumpLinkState.LISTENING
        if not self._states:
            raise LocalProtocolError("a dispenser's side needs a gun")

    @property
    def guns(self) -> tuple[int, ...]:
        """Those it answers, in the order given."""
        return tuple(self._states)

    def state(self, gun: int) -> PumpLinkState:
        """One gun's state. Raises HarnessProtocolError for another dispenser's gun."""
        state = self._states.get(gun)
        if state is None:
            raise HarnessProtocolError(f"gun {gun} is not one of this dispenser's")
        return state

    def receive_data(self, data: bytes, now_us: int) -> None:  # noqa: ARG002 - nothing here depends on time
        """Take bytes from the wire. Requests wait in `next_event`."""
        for item in self._framer.feed(data):
            self._take(item)

    def next_event(self) -> PumpEvent | NeedData:
        """The next piece of news, or `NEED_DATA`. A `Request` may be answered from now on, and before the next one."""
        if not self._events:
            return NEED_DATA
        event = self._events.popleft()
        if isinstance(event, Request):
            self._step(event.gun, PumpLinkEvent.REQUEST)
        return event

    def reply(self, gun: int, message: PumpMessage, now_us: int) -> None:
        """Answer the request of this gun.

        Raises:
            LocalProtocolError: nobody asked, or a field does not fit.
        """
        if self.state(gun) is not PumpLinkState.ASKED:
            raise LocalProtocolError(f"gun {gun} was not asked: a dispenser speaks only when spoken to")
        data = encode_frame(Direction.FROM_PUMP, message.command, gun, message.encode())
        self._step(gun, PumpLinkEvent.REPLY)
        self._out.append(Outgoing(data, now_us + self._reply_delay_us if self._reply_delay_us else 0))

    def silence(self, gun: int) -> None:
        """Leave the request of this gun unanswered. Raises LocalProtocolError when nobody asked."""
        if self.state(gun) is not PumpLinkState.ASKED:
            raise LocalProtocolError(f"gun {gun} was not asked")
        self._step(gun, PumpLinkEvent.SILENCE)

    def restart(self) -> None:
        """Power was lost: no request, no answer, no half frame is left."""
        for gun in self._states:
            self._step(gun, PumpLinkEvent.RESTART)
        self._framer = Framer(any_checksum=self.quirks.any_checksum)
        self._events.clear()
        self._out.clear()

    def data_to_send(self, now_us: int) -> list[Outgoing]:  # noqa: ARG002 - the answers carry their own time
        """Drain the answers."""
        out, self._out = self._out, []
        return out

    def next_timer(self) -> int | None:
        """None: a dispenser speaks only when spoken to."""
        return None

    def handle_timer(self, now_us: int) -> None:
        """Nothing is ever due."""

    def _step(self, gun: int, event: PumpLinkEvent) -> None:
        self._states[gun] = next_pump_link(self._states[gun], event)

    def _take(self, item: Item) -> None:
        if isinstance(item, BadBytes):
            self._events.append(BadFrame(gun=item.gun, reason=item.reason, raw=item.raw))
            return
        if item.direction is not Direction.TO_PUMP or item.gun not in self._states:
            return  # another dispenser's, or its answer
        message = decode_from_master(item.command, item.body)
        for kind, detail in _deviations(item, message):
            self._events.append(Deviation(gun=item.gun, kind=kind, detail=detail))
        self._events.append(Request(gun=item.gun, message=message))


def _deviations(frame: Frame, message: MasterMessage) -> list[tuple[DeviationKind, str]]:
    found = []
    if frame.checksum == "wrong":
        found.append((DeviationKind.CHECKSUM_WRONG, f"command {frame.command:02X}"))
    elif frame.checksum == "missing":
        found.append((DeviationKind.CHECKSUM_MISSING, f"command {frame.command:02X}"))
    if frame.destination != TO_PUMP_DEVICE:
        found.append((DeviationKind.DESTINATION, f"{frame.destination:02X} instead of {TO_PUMP_DEVICE:02X}"))
    usual = {Stop: 6, TotalsRequest: 6, Prices: 36, ReadParameter: 9}.get(type(message))
    if usual is not None and len(frame.body) != usual:
        detail = f"command {frame.command:02X} with {len(frame.body)} bytes instead of {usual}"
        found.append((DeviationKind.BODY_LENGTH, detail))
    return found
