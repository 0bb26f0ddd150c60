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

    Attributes:
        powered: whether the cabinet has power.
        power_ons: how often the power came back.

    Raises:
        ValueError: a number is used twice.
    """

    def __init__(self, fuelling_points: Iterable[FuellingPoint]) -> None:
        self.fuelling_points: dict[int, FuellingPoint] = {}
        self.tanks: dict[int, Tank] = {}
        self.powered = True
        self.power_ons = 0
        seen: dict[int, int] = {}
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
                if self.tanks.setdefault(nozzle.tank.tank_id, nozzle.tank) is not nozzle.tank:
                    raise ValueError(f"two tanks are number {nozzle.tank.tank_id}")
        self._points = tuple(self.fuelling_points.values())

    def next_timer(self) -> int | None:
        """The next instant (µs) at which something happens by itself, or None."""
        earliest: int | None = None
        for point in self._points:
            timer = point.timer_us  # asked for at each burst on a line: no call
            if timer is not None and (earliest is None or timer < earliest):
                earliest = timer
        return earliest

    def handle_timer(self, now_us: int) -> None:
        """Act on everything due at or before ``now_us``, over all fuelling points in order of time."""
        while (timer := self.next_timer()) is not None and timer <= now_us:
            for point in self._points:
                if point.timer_us == timer:
                    point.handle_timer(timer)

    def settle(self, now_us: int) -> None:
        """Book what flowed up to ``now_us`` on the tanks."""
        for point in self._points:
            point.settle(now_us)

    def cut_power(self, now_us: int) -> None:
        """The mains fail: sales end flagged ``power-failure``; records, prices and totals survive."""
        self.powered = False
        for point in self._points:
            point.fail(now_us, "power-failure")

    def restore_power(self, now_us: int) -> None:
        """The mains are back. No interrupted delivery continues (OIML R 117-1, power supply failure)."""
        self.powered = True
        self.power_ons += 1
        for point in self._points:
            point.recover(now_us)
