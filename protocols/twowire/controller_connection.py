"""One pump as the controller sees it."""

from __future__ import annotations

from protocols.twowire.wire import Status, check_pump

__all__ = ["ControllerConnection"]


class ControllerConnection:
    """One pump number.

    Attributes:
        pump: 1..16.
        heard_us: when it last answered; None if never.
        status: the status it told last; None before the first.
    """

    __slots__ = ("heard_us", "pump", "status")

    def __init__(self, pump: int) -> None:
        self.pump = check_pump(pump)
        self.heard_us: int | None = None
        self.status: Status | None = None
