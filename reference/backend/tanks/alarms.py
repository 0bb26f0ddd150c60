"""The alarms of a tank: which are active with a reading, and what they say."""

from __future__ import annotations

from collections.abc import Mapping

from reference.backend.settings import BackendSettings
from reference.backend.tanks.posts import TankPost

__all__ = ["active_alarms", "words_of"]

_ALARM_GOES_PER_MILLE = 10
_WATER_GOES_PER_MILLE = 900
_GAUGE_TELLS = frozenset({3, 4, 5, 7, 10, 12})
"""Alarms of the gauge (function 205) that are judged here from the figures: water, overfill, low, high, maximum."""


def active_alarms(tank: TankPost, was: set[str], settings: BackendSettings) -> set[str]:
    """The alarms that are active with this reading; those of figures that it does not have stay as they were."""
    slack_ml = tank.capacity_ml * _ALARM_GOES_PER_MILLE // 1_000
    active = {f"tank_gauge_{number:02d}" for number in tank.alarms if number not in _GAUGE_TELLS}
    if tank.volume_ml is None:
        active |= {"tank_unreadable"} | (was & {"tank_low", "tank_high", "tank_overfill"})
    else:
        for kind, share in (
            ("tank_high", settings.tank_high_percent),
            ("tank_overfill", settings.tank_overfill_percent),
        ):
            limit_ml = tank.capacity_ml * share // 100 - (slack_ml if kind in was else 0)
            if tank.volume_ml >= limit_ml:
                active.add(kind)
        if tank.volume_ml <= tank.pumpable_ml + (slack_ml if "tank_low" in was else 0):
            active.add("tank_low")
    if tank.water_um is None:
        return active | (was & {"tank_water"})
    stays_um = (
        tank.water_limit_um * _WATER_GOES_PER_MILLE // 1_000 if "tank_water" in was else tank.water_limit_um
    )
    return active | {"tank_water"} if tank.water_um >= stays_um else active


def words_of(kind: str, tank: TankPost) -> str:
    """What a person reads when an alarm is raised."""
    share = 0 if tank.volume_ml is None else 100 * tank.volume_ml // tank.capacity_ml
    words: Mapping[str, str] = {
        "tank_low": f"{tank.volume_ml} ml are left, below what can be pumped ({tank.pumpable_ml} ml)",
        "tank_high": f"filled to {share} %",
        "tank_overfill": f"filled to {share} %: stop the tanker",
        "tank_water": f"{(tank.water_um or 0) // 1_000} mm of water: nothing is sold from it",
        "tank_unreadable": "the gauge gives no volume",
    }
    return words.get(kind, f"the gauge raises its alarm {kind[-2:]}")
