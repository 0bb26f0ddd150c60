"""Data fields of the computer format, written and read: one frozen record for each repeated group.

Sources: Veeder-Root 576013-635 rev. U, section 7, under the function named in each docstring. Field counts ``NN`` are hex;
tank numbers and most other counts are decimal. Figures are in the units that function 517 sets.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass
from datetime import datetime

from .values import Fields, encode_float, encode_time

__all__ = [
    "ActiveAlarm",
    "AlarmEvent",
    "Delivery",
    "Inventory",
    "LeakTest",
    "MassInventory",
    "Module",
    "Shift",
    "TankAlarmHistory",
    "TankDeliveries",
    "TankStatus",
    "read_active_alarms",
    "read_alarm_events",
    "read_alarm_history",
    "read_deliveries",
    "read_inventory",
    "read_leak_tests",
    "read_mass_inventory",
    "read_shifts",
    "read_status",
    "read_tank_values",
    "write_active_alarms",
    "write_alarm_events",
    "write_alarm_history",
    "write_deliveries",
    "write_inventory",
    "write_leak_tests",
    "write_mass_inventory",
    "write_modules",
    "write_shifts",
    "write_status",
]

Number = float | None


def _floats(values: Iterable[Number]) -> str:
    """``NN`` and the floats."""
    texts = [encode_float(value) for value in values]
    return f"{len(texts):02X}{''.join(texts)}"


def _status(bits: int | None) -> str:
    return "????" if bits is None else f"{bits:04X}"


def _read_status(text: str) -> int | None:
    return None if text == "????" else Fields(text).hexadecimal(4)


@dataclass(frozen=True, slots=True)
class ActiveAlarm:
    """Function 101: category AA, type NN, device TT. (0, 0, 0) says that all functions are normal."""

    category: int
    kind: int
    device: int


def write_active_alarms(alarms: Iterable[ActiveAlarm]) -> str:
    """Function 101; at most 150 alarms, and ``000000`` for none."""
    groups = [f"{a.category:02d}{a.kind:02d}{a.device:02d}" for a in alarms]
    return "".join(groups[:150]) or "000000"


def read_active_alarms(data: str) -> tuple[ActiveAlarm, ...]:
    """Function 101; "all functions normal" gives no alarm."""
    fields, found = Fields(data), []
    while fields:
        alarm = ActiveAlarm(fields.decimal(2), fields.decimal(2), fields.decimal(2))
        if alarm.category:
            found.append(alarm)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Module:
    """Function 102: slot, kind of module, its reading at power-on and now."""

    slot: int
    kind: int
    power_on: Number
    current: Number


def write_modules(modules: Iterable[Module]) -> str:
    """Function 102."""
    groups = [f"{m.slot:02X}{m.kind:02X}{encode_float(m.power_on)}{encode_float(m.current)}" for m in modules]
    return f"{len(groups):02X}{''.join(groups)}"


@dataclass(frozen=True, slots=True)
class AlarmEvent:
    """Functions 111 and 112: an alarm came (state 2) or went (state 1)."""

    category: int
    sensor: int
    kind: int
    device: int
    state: int
    at: datetime


def write_alarm_events(events: Iterable[AlarmEvent]) -> str:
    """Functions 111 and 112, newest first as given."""
    return "".join(
        f"{e.category:02d}{e.sensor:02d}{e.kind:02d}{e.device:02d}{e.state:02d}{encode_time(e.at)}"
        for e in events
    )


def read_alarm_events(data: str) -> tuple[AlarmEvent, ...]:
    """Functions 111 and 112."""
    fields, found = Fields(data), []
    while fields:
        category, sensor, kind, device, state = (fields.decimal(2) for _ in range(5))
        found.append(AlarmEvent(category, sensor, kind, device, state, fields.time()))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Inventory:
    """Functions 201 and 21A: one tank.

    ``status``: bit 0 delivery, bit 1 leak test, bit 2 invalid fuel height. None, and no figure, when there is no such tank.
    """

    tank: int
    product: str
    status: int | None
    volume: Number
    tc_volume: Number
    ullage: Number
    height: Number
    water: Number
    temperature: Number
    water_volume: Number


def write_inventory(tanks: Iterable[Inventory]) -> str:
    """Functions 201 and 21A (there ``ullage`` is the one to 90 or 95 %)."""
    return "".join(f"{t.tank:02d}{t.product}{_status(t.status)}{_floats(astuple(t)[3:])}" for t in tanks)


def read_inventory(data: str) -> tuple[Inventory, ...]:
    """Functions 201 and 21A; a field that a console adds is passed over, one that it leaves out is None."""
    fields, found = Fields(data), []
    while fields:
        head = (fields.decimal(2), fields.text(1), _read_status(fields.text(4)))
        values = fields.floats(fields.hexadecimal(2))
        found.append(Inventory(*head, *(values + (None,) * 7)[:7]))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class MassInventory:
    """Function 214: one tank with mass and density."""

    tank: int
    product: str
    status: int | None
    volume: Number
    mass: Number
    density: Number
    height: Number
    water: Number
    temperature: Number


def write_mass_inventory(tanks: Iterable[MassInventory]) -> str:
    """Function 214."""
    return "".join(f"{t.tank:02d}{t.product}{_status(t.status)}{_floats(astuple(t)[3:])}" for t in tanks)


def read_mass_inventory(data: str) -> tuple[MassInventory, ...]:
    """Function 214."""
    fields, found = Fields(data), []
    while fields:
        head = (fields.decimal(2), fields.text(1), _read_status(fields.text(4)))
        values = fields.floats(fields.hexadecimal(2))
        found.append(MassInventory(*head, *(values + (None,) * 6)[:6]))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery of functions 202 (ten floats) and 21B (21 floats)."""

    start: datetime
    end: datetime
    values: tuple[Number, ...]


@dataclass(frozen=True, slots=True)
class TankDeliveries:
    """Functions 202 and 21B: the deliveries of one tank, newest first. 21B has no product code (empty)."""

    tank: int
    product: str
    deliveries: tuple[Delivery, ...]


def write_deliveries(tanks: Iterable[TankDeliveries]) -> str:
    """Functions 202 and 21B."""
    return "".join(
        f"{t.tank:02d}{t.product}{len(t.deliveries):02d}"
        + "".join(f"{encode_time(d.start)}{encode_time(d.end)}{_floats(d.values)}" for d in t.deliveries)
        for t in tanks
    )


def read_deliveries(data: str, *, has_product: bool = True) -> tuple[TankDeliveries, ...]:
    """Function 202, or 21B when ``has_product`` is False."""
    fields, found = Fields(data), []
    while fields:
        tank, product, count = fields.decimal(2), fields.text(1) if has_product else "", fields.decimal(2)
        deliveries = tuple(
            Delivery(fields.time(), fields.time(), fields.floats(fields.hexadecimal(2))) for _ in range(count)
        )
        found.append(TankDeliveries(tank, product, deliveries))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class LeakTest:
    """Function 203: the present or last leak test of a tank; ``hourly`` are the changes, one an hour."""

    tank: int
    product: str
    start: datetime
    hours: int
    start_temperature: Number
    end_temperature: Number
    start_volume: Number
    rate: Number
    hourly: tuple[Number, ...] = ()


def write_leak_tests(tests: Iterable[LeakTest]) -> str:
    """Function 203."""
    return "".join(
        f"{t.tank:02d}{t.product}{encode_time(t.start)}{t.hours:02d}"
        + _floats((t.start_temperature, t.end_temperature, t.start_volume, t.rate, *t.hourly))
        for t in tests
    )


def read_leak_tests(data: str) -> tuple[LeakTest, ...]:
    """Function 203."""
    fields, found = Fields(data), []
    while fields:
        head = (fields.decimal(2), fields.text(1), fields.time(), fields.decimal(2))
        values = fields.floats(fields.hexadecimal(2))
        first, last, volume, rate = (values + (None,) * 4)[:4]
        found.append(LeakTest(*head, first, last, volume, rate, values[4:]))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Shift:
    """Function 204: one shift of a tank.

    ``values``: volume, ullage, TC volume, height, water, temperature at the start; the same at the end; the total.
    """

    tank: int
    product: str
    shift: int
    values: tuple[Number, ...]


def write_shifts(shifts: Iterable[Shift]) -> str:
    """Function 204."""
    return "".join(f"{s.tank:02d}{s.product}{s.shift:02d}{_floats(s.values)}" for s in shifts)


def read_shifts(data: str) -> tuple[Shift, ...]:
    """Function 204."""
    fields, found = Fields(data), []
    while fields:
        head = (fields.decimal(2), fields.text(1), fields.decimal(2))
        found.append(Shift(*head, fields.floats(fields.hexadecimal(2))))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class TankStatus:
    """Function 205: the alarms of one tank that are active."""

    tank: int
    alarms: tuple[int, ...]


def write_status(tanks: Iterable[TankStatus]) -> str:
    """Function 205: the count is hex, each alarm number decimal."""
    return "".join(
        f"{t.tank:02d}{len(t.alarms):02X}" + "".join(f"{alarm:02d}" for alarm in t.alarms) for t in tanks
    )


def read_status(data: str) -> tuple[TankStatus, ...]:
    """Function 205."""
    fields, found = Fields(data), []
    while fields:
        tank, count = fields.decimal(2), fields.hexadecimal(2)
        found.append(TankStatus(tank, tuple(fields.decimal(2) for _ in range(count))))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class TankAlarmHistory:
    """Function 206: when alarms of one tank occurred, newest first."""

    tank: int
    alarms: tuple[tuple[datetime, int], ...]


def write_alarm_history(tanks: Iterable[TankAlarmHistory]) -> str:
    """Function 206: the count is decimal, each alarm number hex."""
    return "".join(
        f"{t.tank:02d}{len(t.alarms):02d}" + "".join(f"{encode_time(at)}{kind:04X}" for at, kind in t.alarms)
        for t in tanks
    )


def read_alarm_history(data: str) -> tuple[TankAlarmHistory, ...]:
    """Function 206."""
    fields, found = Fields(data), []
    while fields:
        tank, count = fields.decimal(2), fields.decimal(2)
        alarms = tuple((fields.time(), fields.hexadecimal(4)) for _ in range(count))
        found.append(TankAlarmHistory(tank, alarms))
    return tuple(found)


def read_tank_values(data: str, length: int) -> dict[int, str]:
    """Set-up functions 601 to 628: tank number -> its value as ``length`` characters."""
    fields, found = Fields(data), {}
    while fields:
        tank = fields.decimal(2)
        found[tank] = fields.text(length)
    return found
