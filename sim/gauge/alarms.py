"""The console's alarms: what is active, what was not acknowledged yet, what has been."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from protocols.tls import TANK, ActiveAlarm, AlarmEvent, TankAlarm

__all__ = ["PRIORITY", "AlarmBoard"]

PRIORITY: Final = frozenset(
    {
        TankAlarm.LEAK,
        TankAlarm.HIGH_WATER,
        TankAlarm.OVERFILL,
        TankAlarm.SUDDEN_LOSS,
        TankAlarm.HIGH_PRODUCT,
        TankAlarm.MAXIMUM_PRODUCT,
    }
)
"""Which alarms stand in the priority history. The manual shows both histories and no list; this one is a decision."""

_CLEARED: Final = 1
_OCCURRED: Final = 2
_HISTORY_LIMIT: Final = 50
_PER_KIND: Final = 3


@dataclass(slots=True)
class _Alarm:
    category: int
    kind: int
    device: int
    is_active: bool = True
    is_acknowledged: bool = False


class AlarmBoard:
    """Keeps alarms by (category, kind, device), in the order in which they came."""

    def __init__(self) -> None:
        self._alarms: dict[tuple[int, int, int], _Alarm] = {}
        self._priority: deque[AlarmEvent] = deque(maxlen=_HISTORY_LIMIT)
        self._ordinary: deque[AlarmEvent] = deque(maxlen=_HISTORY_LIMIT)
        self._of_tank: dict[int, list[tuple[datetime, int]]] = {}

    def set(self, kind: int, device: int, at: datetime, *, is_active: bool, category: int = TANK) -> bool:
        """Tell how an alarm stands now; gives whether that is news."""
        key = (category, kind, device)
        alarm = self._alarms.get(key)
        if (alarm is not None and alarm.is_active) is is_active:
            return False
        if is_active:
            self._alarms.pop(key, None)
            self._alarms[key] = _Alarm(category, kind, device)
            if category == TANK:
                self._remember(device, kind, at)
        elif alarm is not None:
            alarm.is_active = False
            if alarm.is_acknowledged:
                del self._alarms[key]
        history = self._priority if category == TANK and kind in PRIORITY else self._ordinary
        state = _OCCURRED if is_active else _CLEARED
        history.appendleft(AlarmEvent(category, 0, kind, device, state, at))
        return True

    def _remember(self, tank: int, kind: int, at: datetime) -> None:
        history = self._of_tank.setdefault(tank, [])
        history.insert(0, (at, kind))
        kept: list[tuple[datetime, int]] = []
        for entry in history:
            if sum(other == entry[1] for _, other in kept) < _PER_KIND:
                kept.append(entry)
        history[:] = kept

    def acknowledge(self) -> None:
        """The operator has seen them all (function S003)."""
        for key, alarm in list(self._alarms.items()):
            alarm.is_acknowledged = True
            if not alarm.is_active:
                del self._alarms[key]

    def shown(self) -> list[ActiveAlarm]:
        """Active or not acknowledged: function 101."""
        return [ActiveAlarm(alarm.category, alarm.kind, alarm.device) for alarm in self._alarms.values()]

    def of_tank(self, tank: int) -> tuple[int, ...]:
        """Numbers of a tank's active alarms, rising: function 205."""
        return tuple(
            sorted(
                alarm.kind
                for alarm in self._alarms.values()
                if alarm.category == TANK and alarm.device == tank and alarm.is_active
            )
        )

    def history(self, *, is_priority: bool) -> tuple[AlarmEvent, ...]:
        """Functions 111 and 112, newest first."""
        return tuple(self._priority if is_priority else self._ordinary)

    def tank_history(self, tank: int) -> tuple[tuple[datetime, int], ...]:
        """Function 206, newest first, the last three of each kind."""
        return tuple(self._of_tank.get(tank, ()))
