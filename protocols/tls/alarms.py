"""Alarm numbers and their words. Source: Veeder-Root 576013-635 rev. U, functions 101 (notes) and 206 (notes)."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

__all__ = ["ALARM_WORDS", "SYSTEM", "TANK", "TankAlarm"]

SYSTEM: Final = 1
TANK: Final = 2


class TankAlarm(IntEnum):
    """Alarms of a tank (category 02)."""

    SETUP_DATA = 1
    LEAK = 2
    HIGH_WATER = 3
    OVERFILL = 4
    LOW_PRODUCT = 5
    SUDDEN_LOSS = 6
    HIGH_PRODUCT = 7
    INVALID_LEVEL = 8
    PROBE_OUT = 9
    HIGH_WATER_WARNING = 10
    DELIVERY_NEEDED = 11
    MAXIMUM_PRODUCT = 12
    GROSS_TEST_FAIL = 13
    PERIODIC_TEST_FAIL = 14
    ANNUAL_TEST_FAIL = 15
    PERIODIC_TEST_WARNING = 16
    ANNUAL_TEST_WARNING = 17
    PERIODIC_TEST_ALARM = 18
    ANNUAL_TEST_ALARM = 19
    LEAK_TEST_ACTIVE = 20
    NO_CSLD_IDLE_TIME = 21
    SIPHON_BREAK = 22
    CSLD_RATE = 23
    ACCUCHART = 24
    HRM_WARNING = 25
    HRM_ALARM = 26
    COLD = 27
    MISSING_TICKET = 28
    LINE_GROSS_LEAK = 29


ALARM_WORDS: Final[dict[int, str]] = {
    TankAlarm.SETUP_DATA: "SETUP DATA WARNING",
    TankAlarm.LEAK: "LEAK ALARM",
    TankAlarm.HIGH_WATER: "HIGH WATER ALARM",
    TankAlarm.OVERFILL: "OVERFILL ALARM",
    TankAlarm.LOW_PRODUCT: "LOW PRODUCT ALARM",
    TankAlarm.SUDDEN_LOSS: "SUDDEN LOSS ALARM",
    TankAlarm.HIGH_PRODUCT: "HIGH PRODUCT ALARM",
    TankAlarm.INVALID_LEVEL: "INVALID FUEL LEVEL",
    TankAlarm.PROBE_OUT: "PROBE OUT",
    TankAlarm.HIGH_WATER_WARNING: "HIGH WATER WARNING",
    TankAlarm.DELIVERY_NEEDED: "DELIVERY NEEDED",
    TankAlarm.MAXIMUM_PRODUCT: "MAX PRODUCT ALARM",
    TankAlarm.LEAK_TEST_ACTIVE: "LEAK TEST ACTIVE",
}
"""Words for displays, for the alarms that a simulated console raises."""
