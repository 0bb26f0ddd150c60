"""The AA FF personality: a dispenser that keeps each sale until the master has acknowledged it.

The line is `protocols.aaff.PumpSide`, the mind of each gun `AaFfGun`. The payment tunnel of this protocol (command 71: card
check, grey lock, payment request) is not part of it: such a frame is answered 50, "not understood".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from protocols.aaff import Deviation, PumpSide, Request
from protocols.sansio import NEED_DATA, Outgoing

from .aaff_gun import AaFfGun, AaFfQuirks
from .events import FpEvent, StateChanged
from .fuelling_point import FuellingPoint
from .model import Dispenser
from .states import FpState

__all__ = ["AaFfDispenser"]

_WARNINGS_MOST = 100


class AaFfDispenser:
    """A `Machine`: one dispenser on an AA FF line, one gun number for each fuelling point.

    Args:
        dispenser: the model; this personality serves its timers and opens its fuelling points.
        guns: gun number (1..32) -> fuelling point of the dispenser, which has one nozzle.
        quirks: dialect and deviations.
        reply_delay_us: silence before each answer.
        epoch_us: unix time (µs) at time 0, for the times in records.

    Attributes:
        on_wake: set by the host; called when there is something new to report or a timer has moved.
        warnings: the newest tolerated deviations of the master, at most 100.

    Raises:
        ValueError: a fuelling point is not the dispenser's, has two guns, or more than one nozzle.
        LocalProtocolError: a gun number is out of range.
    """

    def __init__(
        self,
        dispenser: Dispenser,
        guns: Mapping[int, FuellingPoint],
        *,
        quirks: AaFfQuirks | None = None,
        reply_delay_us: int = 0,
        epoch_us: int = 0,
    ) -> None:
        self.on_wake: Callable[[], None] | None = None
        self.dispenser = dispenser
        self.quirks = quirks if quirks is not None else AaFfQuirks()
        self.warnings: list[Deviation] = []
        self._side = PumpSide(guns, quirks=self.quirks.line, reply_delay_us=reply_delay_us)
        self._guns: dict[int, AaFfGun] = {}
        seen: set[int] = set()
        for number, point in guns.items():
            if dispenser.fuelling_points.get(point.number) is not point:
                raise ValueError(
                    f"fuelling point {point.number} at gun {number} is not part of this dispenser"
                )
            if point.number in seen:
                raise ValueError(f"fuelling point {point.number} has two gun numbers")
            seen.add(point.number)
            self._guns[number] = AaFfGun(point, self.quirks, epoch_us=epoch_us)
            point.listeners.append(self._on_event)
            point.on_change = self._wake

    def gun(self, number: int) -> AaFfGun:
        """One gun, to look at. Raises KeyError for another number."""
        return self._guns[number]

    def receive_data(self, data: bytes, now_us: int) -> None:
        """See `protocols.sansio.Machine`. Without power nothing is heard."""
        timer = self.next_timer()
        if timer is not None and timer <= now_us:
            self.handle_timer(now_us)
        if not self.dispenser.powered:
            return
        side = self._side
        side.receive_data(data, now_us)
        while (event := side.next_event()) is not NEED_DATA:
            if isinstance(event, Request):
                answer = self._guns[event.gun].answer(event.message, now_us)
                if answer is None:
                    side.silence(event.gun)
                else:
                    side.reply(event.gun, answer, now_us)
            elif isinstance(event, Deviation):
                self.warnings.append(event)
                del self.warnings[:-_WARNINGS_MOST]

    def data_to_send(self, now_us: int) -> list[Outgoing]:
        """See `protocols.sansio.Machine`."""
        return self._side.data_to_send(now_us)

    def next_timer(self) -> int | None:
        """The earliest timer of the model."""
        return self.dispenser.next_timer()

    def handle_timer(self, now_us: int) -> None:
        """See `protocols.sansio.Machine`."""
        self.dispenser.handle_timer(now_us)

    def quiet(self, address: int) -> bool:
        """True when a poll of gun ``address`` now would be answered as the last one was and change nothing."""
        gun = self._guns.get(address)
        return gun is not None and self.dispenser.powered and gun.quiet()

    def _on_event(self, event: FpEvent) -> None:
        if (
            isinstance(event, StateChanged)
            and event.new is FpState.INOPERATIVE
            and not self.dispenser.powered
        ):
            self._side.restart()

    def _wake(self) -> None:
        if self.on_wake is not None:
            self.on_wake()
