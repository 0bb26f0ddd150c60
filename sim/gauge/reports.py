"""What the console answers: for each function the data field of the computer format and the lines of the display format.

Source: Veeder-Root 576013-635 rev. U, section 7; columns of displays as in its examples. Where it shows no blank line (its
pages do not), one stands between time, headers and report.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from protocols.tls import (
    ALARM_WORDS,
    ActiveAlarm,
    Command,
    Delivery,
    Inventory,
    MassInventory,
    Shift,
    TankAlarmHistory,
    TankDeliveries,
    TankStatus,
    display_time,
    write_active_alarms,
    write_alarm_events,
    write_alarm_history,
    write_deliveries,
    write_inventory,
    write_mass_inventory,
    write_shifts,
    write_status,
)

from . import control
from .answer import Answer, Report
from .answer import code_of as _code
from .answer import label_of as _label
from .leak_reports import leak_history, leak_results, leak_test

if TYPE_CHECKING:
    from .console import GaugeConsole
    from .watch import SeenDelivery, Snapshot

__all__ = ["REPORTS"]

_DELIVERY_BIT: Final = 1
_TEST_BIT: Final = 2
_INVALID_BIT: Final = 4
_DISPLAY_ALARMS: Final = 25


def _bits(console: GaugeConsole, tank: int) -> int | None:
    if tank not in console.setups:
        return None
    return (
        _DELIVERY_BIT * console.deliveries[tank].in_progress
        | _TEST_BIT * (console.leak_tests[tank].running is not None)
        | _INVALID_BIT * console.is_invalid(tank)
    )


def _seen(console: GaugeConsole, tank: int) -> Snapshot | None:
    return None if tank in console.silent else console.latest.get(tank)


# --- system ------------------------------------------------------------------------------------------------------


def _status(console: GaugeConsole, command: Command, device: int, now_us: int) -> Answer | None:
    del command, now_us
    if device:
        return None
    alarms = console.alarms.shown()
    lines = [_alarm_line(alarm) for alarm in alarms[:_DISPLAY_ALARMS]] or ["  ALL FUNCTIONS NORMAL"]
    return Answer(write_active_alarms(alarms), ["SYSTEM STATUS REPORT", *lines])


def _alarm_line(alarm: ActiveAlarm) -> str:
    word = (
        ALARM_WORDS.get(alarm.kind, f"ALARM {alarm.kind:02d}")
        if alarm.category == 2
        else f"SYSTEM ALARM {alarm.kind:02d}"
    )
    return f"T{alarm.device:2d}:{word}" if alarm.category == 2 else word


def _history(is_priority: bool) -> Report:
    def report(console: GaugeConsole, command: Command, device: int, now_us: int) -> Answer | None:
        del command, now_us
        if device:
            return None
        events = console.alarms.history(is_priority=is_priority)
        title = "PRIORITY ALARM HISTORY" if is_priority else "NON-PRIORITY ALARM HISTORY"
        lines = [title, "ID  CATEGORY  DESCRIPTION          ALARM TYPE           STATE    DATE    TIME"]
        for event in events:
            is_tank = event.category == 2
            word = (
                ALARM_WORDS.get(event.kind, f"ALARM {event.kind:02d}")
                if is_tank
                else f"SYSTEM ALARM {event.kind:02d}"
            )
            at = event.at
            time = f"{at.hour % 12 or 12:2d}:{at.minute:02d}{'AM' if at.hour < 12 else 'PM'}"
            place = f"T{event.device:2d} TANK      SPECIAL     " if is_tank else "    SYSTEM                "
            state = "ALARM" if event.state == 2 else "CLEAR"
            lines.append(f"{place:35}{word:21}{state:6}{at.month:3d}-{at.day:02d}-{at:%y} {time}")
        return Answer(write_alarm_events(events), lines)

    return report


# --- in-tank -----------------------------------------------------------------------------------------------------


def _inventory(console: GaugeConsole, command: Command, device: int, now_us: int) -> Answer | None:
    del now_us
    units, to_95 = console.units, command.function == "I21A"
    ullage_word = "95% ULLAGE" if to_95 else "ULLAGE"
    tanks = []
    width = 12 if to_95 else 9
    lines = [f"TANK PRODUCT             VOLUME TC VOLUME{ullage_word:>{width}}   HEIGHT    WATER     TEMP"]
    for tank in console.tanks(device):
        seen, code, bits = _seen(console, tank), _code(console, tank), _bits(console, tank)
        if seen is None:
            tanks.append(Inventory(tank, code, bits, *(None,) * 7))
            lines.append(f"{tank:3d}  {_label(console, tank)}  ????")
            continue
        m = seen.measured
        room_ml = m.ullage_ml
        if to_95:
            room_ml = max(0, m.ullage_ml - console.setups[tank].capacity_ml // 20)
        row = Inventory(
            tank,
            code,
            bits,
            units.volume_of(m.fuel_ml),
            units.volume_of(m.corrected_ml),
            units.volume_of(room_ml),
            units.length_of(m.height_um),
            units.length_of(m.water_um),
            units.temperature_of(m.temperature_mdeg),
            units.volume_of(m.water_ml),
        )
        tanks.append(row)
        lines.append(
            f"{tank:3d}  {_label(console, tank)}{row.volume:6.0f}{row.tc_volume:10.0f}{row.ullage:{width}.0f}"
            f"{row.height:9.2f}{row.water:9.2f}{row.temperature:9.2f}"
        )
    return Answer(write_inventory(tanks), lines)


def _mass(console: GaugeConsole, command: Command, device: int, now_us: int) -> Answer | None:
    """Density in kg/m3 and mass in kg with metric units; pounds and gallons otherwise (units are not stated there)."""
    del command, now_us
    units, tanks = console.units, []
    lines = ["IN-TANK MASS/DENSITY INVENTORY"]
    lines.append("TANK PRODUCT               VOLUME     MASS    DENSITY   HEIGHT    WATER    TEMP")
    for tank in console.tanks(device):
        seen, code, bits = _seen(console, tank), _code(console, tank), _bits(console, tank)
        if seen is None:
            tanks.append(MassInventory(tank, code, bits, *(None,) * 6))
            lines.append(f"{tank:3d}  {_label(console, tank)}  ????")
            continue
        m, g_per_l = seen.measured, console.setups[tank].density_g_per_l
        kg = m.corrected_ml * g_per_l / 1e6
        mass, density = (kg * 2.2046226, g_per_l * 0.0083454) if units.is_fahrenheit else (kg, float(g_per_l))
        row = MassInventory(
            tank,
            code,
            bits,
            units.volume_of(m.fuel_ml),
            round(mass, 1),
            round(density, 4),
            units.length_of(m.height_um),
            units.length_of(m.water_um),
            units.temperature_of(m.temperature_mdeg),
        )
        tanks.append(row)
        lines.append(
            f"{tank:3d}  {_label(console, tank)}{row.volume:8.0f}{row.mass:9.0f}{row.density:11.4f}"
            f"{row.height:9.2f}{row.water:9.2f}{row.temperature:8.2f}"
        )
    return Answer(write_mass_inventory(tanks), lines)


def _deliveries(console: GaugeConsole, command: Command, device: int, now_us: int) -> Answer | None:
    del command, now_us
    units, tanks, lines = console.units, [], ["DELIVERY REPORT"]
    heading = f"{units.volume} TC {units.volume}"
    for tank in console.tanks(device):
        watch = console.deliveries.get(tank)
        seen = tuple(watch.deliveries) if watch else ()
        tanks.append(
            TankDeliveries(tank, _code(console, tank), tuple(_delivery(console, one) for one in seen))
        )
        lines += [f"T{tank:2d}:{_label(console, tank).rstrip()}"]
        lines += [f"INCREASE   DATE / TIME             {heading} WATER  TEMP {units.temperature}  HEIGHT"]
        for one in seen:
            for word, snapshot in (("END", one.end), ("START", one.start)):
                m = snapshot.measured
                lines.append(
                    f"{word:>9}: {display_time(snapshot.at)}{units.volume_of(m.fuel_ml):10.0f}"
                    f"{units.volume_of(m.corrected_ml):11.0f}{units.length_of(m.water_um):6.2f}"
                    f"{units.temperature_of(m.temperature_mdeg):12.2f}{units.length_of(m.height_um):8.2f}"
                )
            start, end = one.start.measured, one.end.measured
            lines.append(
                f"   AMOUNT:                      {units.volume_of(end.fuel_ml - start.fuel_ml):10.0f}"
                f"{units.volume_of(end.corrected_ml - start.corrected_ml):11.0f}"
            )
    return Answer(write_deliveries(tanks), lines)


def _delivery(console: GaugeConsole, seen: SeenDelivery) -> Delivery:
    units = console.units
    values: list[float] = []
    for snapshot in (seen.start, seen.end):
        m = snapshot.measured
        values += [
            units.volume_of(m.fuel_ml),
            units.volume_of(m.corrected_ml),
            units.length_of(m.water_um),
            units.temperature_of(m.temperature_mdeg),
        ]
    values += [units.length_of(snapshot.measured.height_um) for snapshot in (seen.start, seen.end)]
    return Delivery(seen.start.at, seen.end.at, tuple(values))


def _adjusted(console: GaugeConsole, command: Command, device: int, now_us: int) -> Answer | None:
    """Deliveries with what the pumps drew meanwhile (function 21B); only of a console that reconciles."""
    del now_us
    if not console.has_bir:
        return None
    most = int(command.data) if command.data.isdecimal() else 99
    units, tanks, lines = console.units, [], ["BIR ADJUSTED DELIVERY REPORT"]
    for tank in console.tanks(device):
        lines += [
            f"T{tank:2d}:{_label(console, tank).rstrip()}",
            "                                                START    END     ADJ   ADJ TC",
            "DELIVERY START   DATE   DELIVERY  END    DATE  VOLUME  VOLUME   DELIV   DELIV",
        ]
        watch, rows = console.deliveries.get(tank), []
        for start, end in [*(watch.deliveries if watch else ())][:most]:
            first, last = start.measured, end.measured
            drawn_ml = end.drawn_ml - start.drawn_ml
            adjusted = units.volume_of(last.fuel_ml - first.fuel_ml + drawn_ml)
            corrected = units.volume_of(last.corrected_ml - first.corrected_ml + drawn_ml)
            t_first = units.temperature_of(first.temperature_mdeg)
            t_last = units.temperature_of(last.temperature_mdeg)
            values = (
                units.volume_of(first.fuel_ml),
                units.volume_of(last.fuel_ml),
                adjusted,
                corrected,
                units.length_of(first.height_um),
                *(t_first,) * 6,
                units.length_of(last.height_um),
                *(t_last,) * 6,
                units.volume_of(drawn_ml),
                t_first,
                t_last,
            )
            rows.append(Delivery(start.at, end.at, values))
            lines.append(
                f"{display_time(start.at)}   {display_time(end.at)}{values[0]:8.0f}{values[1]:8.0f}{adjusted:8.0f}{corrected:8.0f}"
            )
        tanks.append(TankDeliveries(tank, "", tuple(rows)))
    return Answer(write_deliveries(tanks), lines, echo=command.data)


def _shift(console: GaugeConsole, command: Command, device: int, now_us: int) -> Answer | None:
    """One shift, from midnight (or from when the console was started) until now."""
    del command, now_us
    units, shifts, lines = console.units, [], ["TANK PRODUCT"]
    for tank in console.tanks(device):
        start, end = console.shift_starts.get(tank), _seen(console, tank)
        if start is None or end is None:
            shifts.append(Shift(tank, _code(console, tank), 1, (None,) * 13))
            continue
        rows, values = [], list[float]()
        for snapshot in (start, end):
            m = snapshot.measured
            row = [
                units.volume_of(m.fuel_ml),
                units.volume_of(m.ullage_ml),
                units.volume_of(m.corrected_ml),
                units.length_of(m.height_um),
                units.length_of(m.water_um),
                units.temperature_of(m.temperature_mdeg),
            ]
            values += row
            rows.append(f"{row[0]:10.0f}{row[2]:10.0f}{row[1]:8.0f}{row[3]:8.2f}{row[4]:7.2f}{row[5]:7.2f}")
        brought_ml = sum(
            one.end.measured.fuel_ml - one.start.measured.fuel_ml
            for one in console.deliveries[tank].deliveries
            if one.start.at_us >= start.at_us
        )
        total = units.volume_of(start.measured.fuel_ml + brought_ml - end.measured.fuel_ml)
        shifts.append(Shift(tank, _code(console, tank), 1, (*values, total)))
        lines += [
            f"{tank:3d}  {_label(console, tank)}  VOLUME TC VOLUME  ULLAGE  HEIGHT  WATER   TEMP",
            f"SHIFT  1 STARTING VALUES{rows[0]}",
            f"         ENDING VALUES  {rows[1]}",
            f"         DELIVERY VALUE {units.volume_of(brought_ml):10.0f}",
            f"         TOTALS         {total:10.0f}",
        ]
    return Answer(write_shifts(shifts), lines)


def _tank_status(console: GaugeConsole, command: Command, device: int, now_us: int) -> Answer | None:
    del command, now_us
    tanks, lines = [], ["TANK   PRODUCT                 STATUS"]
    for tank in console.tanks(device):
        alarms = console.alarms.of_tank(tank)
        tanks.append(TankStatus(tank, alarms))
        words = [ALARM_WORDS.get(kind, f"ALARM {kind:02d}") for kind in alarms] or ["NORMAL"]
        lines.append(f"{tank:3d}    {_label(console, tank)}    {words[0]}")
        lines += [f"{'':31}{word}" for word in words[1:]]
    return Answer(write_status(tanks), lines)


def _alarm_history(console: GaugeConsole, command: Command, device: int, now_us: int) -> Answer | None:
    del command, now_us
    tanks, lines = [], ["TANK ALARM HISTORY"]
    for tank in console.tanks(device):
        history = console.alarms.tank_history(tank)
        tanks.append(TankAlarmHistory(tank, history))
        lines.append(f"TANK{tank:2d}  {_label(console, tank).rstrip()}")
        lines += [
            f"     {ALARM_WORDS.get(kind, f'ALARM {kind:02d}'):25}{display_time(at)}" for at, kind in history
        ]
    return Answer(write_alarm_history(tanks), lines)


REPORTS: Final[dict[str, Report]] = {
    "I101": _status,
    "I111": _history(is_priority=True),
    "I112": _history(is_priority=False),
    "I201": _inventory,
    "I202": _deliveries,
    "I203": leak_test,
    "I204": _shift,
    "I205": _tank_status,
    "I206": _alarm_history,
    "I207": leak_history,
    "I208": leak_results,
    "I214": _mass,
    "I21A": _inventory,
    "I21B": _adjusted,
}
"""Report functions by letter and number; set-up and control functions join them below."""


def _plain(function: control.Control) -> Report:
    def report(console: GaugeConsole, command: Command, device: int, now_us: int) -> Answer | None:
        made = function(console, command, device, now_us)
        return None if made is None else Answer(*made, has_headers=False)

    return report


REPORTS.update({name: _plain(function) for name, function in control.CONTROLS.items()})
