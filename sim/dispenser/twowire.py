"""The Two-Wire personality: a dispenser that speaks Gilbarco Two-Wire as public drivers know it.

The line (bytes, blocks, data mode) is `protocols.twowire.PumpSide`; here is the pump's mind: its status, what a command
does to the model. ``1p`` and ``3p`` have no answer, so a driver has to look at the status. A delivery is held in A or B
until its transaction is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from protocols.sansio import NeedData, Outgoing
from protocols.twowire import SIX_DIGITS, DigitModel, PumpSide, Quirks, Scale, Status
from protocols.twowire import Event as LineEvent

from .events import FpEvent, StateChanged
from .fuelling_point import FuellingPoint
from .model import Dispenser
from .states import FpState
from .twowire_head import TwoWireHead, TwoWireMind

__all__ = ["TwoWireDispenser", "TwoWireQuirks"]

_WARNINGS_MAX = 1_000
"""Line events kept to look at; the oldest go first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoWireQuirks:
    """Deviations and varieties of real pump heads.

    Attributes:
        end_status: A or B after a delivery.
        marker: nibble after F8 of a transaction, B or A in captures.
        unknown: the three nibbles after its pump, 0 0 2 or 0 0 0 in captures.
        lagging_totals_us: the totalisers count a delivery only so long after its end.
        grades_in_money_presets: False as on Changji heads.
        line: deviations of the line: echo, unanswered polls, a checked length word.
    """

    end_status: Status = Status.END_PEOT
    marker: int = 0xB
    unknown: tuple[int, int, int] = (0, 0, 2)
    lagging_totals_us: int = 0
    grades_in_money_presets: bool = True
    line: Quirks = field(default_factory=Quirks)


class TwoWireDispenser:
    """A `Machine`: one dispenser on a Two-Wire line, one pump number for each fuelling point.

    Args:
        dispenser: the model; this personality serves its timers and opens its fuelling points.
        addresses: pump number (1..16) -> fuelling point of the dispenser.
        model: field widths of its figures.
        scale: their decimals.
        quirks: deviations to show.
        reply_delay_us: silence before each answer (limit 68 ms).
        echo: the line echoes our own bytes.

    Attributes:
        on_wake: set by the host; called when something may have changed or a timer has moved.
        line_events: what the line told: blocks taken, data errors, tolerated deviations; the newest thousand.

    Raises:
        ValueError: a fuelling point is not the dispenser's or has two pump numbers.
        LocalProtocolError: a pump number is out of range.
    """

    def __init__(
        self,
        dispenser: Dispenser,
        addresses: Mapping[int, FuellingPoint],
        *,
        model: DigitModel = SIX_DIGITS,
        scale: Scale | None = None,
        quirks: TwoWireQuirks | None = None,
        reply_delay_us: int = 0,
        echo: bool = False,
    ) -> None:
        self.on_wake: Callable[[], None] | None = None
        self.dispenser = dispenser
        self.quirks = quirks if quirks is not None else TwoWireQuirks()
        self.line_events: list[LineEvent] = []
        mind = TwoWireMind(
            model=model,
            scale=scale if scale is not None else Scale(),
            end_status=self.quirks.end_status,
            marker=self.quirks.marker,
            unknown=self.quirks.unknown,
            lagging_totals_us=self.quirks.lagging_totals_us,
            grades_in_money_presets=self.quirks.grades_in_money_presets,
        )
        self._heads: dict[int, TwoWireHead] = {}
        seen: set[int] = set()
        for pump, point in addresses.items():
            if dispenser.fuelling_points.get(point.number) is not point:
                raise ValueError(
                    f"fuelling point {point.number} at pump {pump} is not part of this dispenser"
                )
            if point.number in seen:
                raise ValueError(f"fuelling point {point.number} has two pump numbers")
            seen.add(point.number)
            self._heads[pump] = TwoWireHead(pump, point, mind=mind, has_power=lambda: self.dispenser.powered)
            point.on_change = self._wake
            point.listeners.append(self._on_event)
        self._side = PumpSide(
            self._heads, model=model, quirks=self.quirks.line, reply_delay_us=reply_delay_us, echo=echo
        )

    def head(self, pump: int) -> TwoWireHead:
        """The pump head at a pump number, to look at. Raises KeyError for another one."""
        return self._heads[pump]

    def receive_data(self, data: bytes, now_us: int) -> None:
        """See `protocols.sansio.Machine`. Without power nothing is heard."""
        self.handle_timer(now_us)
        if not self.dispenser.powered:
            return
        self._side.receive_data(data, now_us)
        while not isinstance(event := self._side.next_event(), NeedData):
            self.line_events.append(event)
            del self.line_events[:-_WARNINGS_MAX]

    def data_to_send(self, now_us: int) -> list[Outgoing]:
        """See `protocols.sansio.Machine`."""
        return self._side.data_to_send(now_us)

    def next_timer(self) -> int | None:
        """The earliest timer of the model."""
        return self.dispenser.next_timer()

    def handle_timer(self, now_us: int) -> None:
        """See `protocols.sansio.Machine`."""
        timer = self.dispenser.next_timer()
        if timer is not None and timer <= now_us:
            self.dispenser.handle_timer(now_us)

    def quiet(self, address: int) -> bool:
        """True when a status poll of ``address`` now would be answered as the last one was, and change nothing."""
        # The status depends on time only through the model's timers, which are served.
        return address in self._heads and self.dispenser.powered and self._side.quiet(address, 0)

    def _wake(self) -> None:
        if self.on_wake is not None:
            self.on_wake()

    def _on_event(self, event: FpEvent) -> None:
        if isinstance(event, StateChanged) and event.old is FpState.INOPERATIVE and self.dispenser.powered:
            self._heads_of(event.fuelling_point).power_is_back()
            self._side.restart()

    def _heads_of(self, number: int) -> TwoWireHead:
        return next(head for head in self._heads.values() if head.point.number == number)
