"""A dispenser: the fuelling points of one cabinet and the tanks that they draw from."""

from __future__ import annotations

from collections.abc import Iterable

from .fuelling_point import FuellingPoint
from .tank import Tank

__all__ = ["Dispenser"]


class Dispenser:
    """The fuelling points behind one electronics board, protocol-free. A personality gives it a wire.

    Args:
        fuelling_points: distinct numbers, nozzle numbers distinct over all of them.

        hold_up_us: so long the board lives on after the mains failed; a shorter dip goes unnoticed.

    Attributes:
        powered: whether the cabinet's board has power.
        power_ons: how often the power came back after the board had lost it.

    Raises:
        ValueError: a number is used twice, or a meter serves two fuelling points.
    """

    def __init__(self, fuelling_points: Iterable[FuellingPoint], *, hold_up_us: int = 0) -> None:
        self.fuelling_points: dict[int, FuellingPoint] = {}
        self.tanks: dict[int, Tank] = {}
        self.powered = True
        self.power_ons = 0
        self._hold_up_us = hold_up_us
        self._dark_at_us: int | None = None
        seen: dict[int, int] = {}
        meters: dict[int, int] = {}
        for point in fuelling_points:
            if point.number in self.fuelling_points:
                raise ValueError(f"two fuelling points are number {point.number}")
            self.fuelling_points[point.number] = point
            for nozzle in point.nozzles.values():
                if nozzle.nozzle_id in seen:
                    raise ValueError(
                        f"nozzle {nozzle.nozzle_id} is on fuelling points {seen[nozzle.nozzle_id]} and {point.number}"
                    )
                seen[nozzle.nozzle_id] = point.number
                if meters.setdefault(id(nozzle.meter), point.number) != point.number:
                    raise ValueError(
                        f"nozzle {nozzle.nozzle_id} shares its meter with a nozzle of another fuelling point: "
                        "both could deliver at once"
                    )
                for tank in nozzle.tanks:
                    if self.tanks.setdefault(tank.tank_id, tank) is not tank:
                        raise ValueError(f"two tanks are number {tank.tank_id}")
        self._points = tuple(self.fuelling_points.values())

    def next_timer(self) -> int | None:
        """The next instant (µs) at which something happens by itself, or None."""
        earliest = self._dark_at_us
        for point in self._points:
            timer = point.timer_us  # asked for at each burst on a line: no call
            if timer is not None and (earliest is None or timer < earliest):
                earliest = timer
        return earliest

    def handle_timer(self, now_us: int) -> None:
        """Act on everything due at or before ``now_us``, over all fuelling points in order of time."""
        while (timer := self.next_timer()) is not None and timer <= now_us:
            if self._dark_at_us is not None and self._dark_at_us <= timer:
                self._go_dark(self._dark_at_us)
                continue
            for point in self._points:
                if point.timer_us == timer:
                    point.handle_timer(timer)

    def settle(self, now_us: int) -> None:
        """Book what flowed up to ``now_us`` on the tanks."""
        for point in self._points:
            point.settle(now_us)

    def cut_power(self, now_us: int) -> None:
        """The mains fail. After the hold-up time deliveries stop where they are; records, prices and totals survive."""
        if not self.powered or self._dark_at_us is not None:
            return
        if self._hold_up_us:
            self._dark_at_us = now_us + self._hold_up_us
            self._moved()
        else:
            self._go_dark(now_us)

    def restore_power(self, now_us: int) -> None:
        """The mains are back. What was interrupted is ended, or goes on after a short outage (`PowerFail`)."""
        self.handle_timer(now_us)
        if self._dark_at_us is not None:
            self._dark_at_us = None  # a glitch that the capacitors bridged
            self._moved()
            return
        if self.powered:
            return
        self.powered = True
        self.power_ons += 1
        for point in self._points:
            point.regain_power(now_us)

    def emergency_stop(self, now_us: int) -> None:
        """The button on the cabinet: all flow stops, whatever else is dead."""
        for point in self._points:
            point.emergency_stop(now_us)

    def reset_emergency(self, now_us: int, role: str) -> bool:
        """Back into service by a person with the right to (`LOCAL_ROLES`); whether all points are."""
        waiting = [point for point in self._points if point.is_latched]
        return sum(point.reset_emergency(now_us, role) for point in waiting) == len(waiting)

    def _go_dark(self, now_us: int) -> None:
        self._dark_at_us = None
        self.powered = False
        for point in self._points:
            point.lose_power(now_us)

    def _moved(self) -> None:
        """The next timer has changed: whoever waits for one of the points' waits for this, too."""
        for point in self._points[:1]:
            if point.on_change is not None:
                point.on_change()
