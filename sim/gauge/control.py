"""Set-up and control functions of the console: 001 to 003, 051 to 054, 102, 501 to 517, 601 to 628, 902.

Each gives the data field of the computer format and the lines of the display format, or None when the command makes no sense
(answered like an unknown one). Source: Veeder-Root 576013-635 rev. U, sections 7.1, 7.3.1, 7.3.4 and function 902.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from protocols.sansio import RemoteProtocolError
from protocols.tls import Command, Module, decode_time, encode_float, encode_time, write_modules
from sim.tanks import StrappingTable, cylinder_table

from .setup import SETUP, SetupSpec, TankSetup, read_figures
from .units import UNITS
from .watch import Snapshot

if TYPE_CHECKING:
    from .console import GaugeConsole

__all__ = ["CONTROLS", "Control"]

Made = tuple[str, list[str]]
Control = Callable[["GaugeConsole", Command, int, int], Made | None]

_FOUR_PROBES: Final = 0x01
_UNUSED: Final = 0x00
_RS232: Final = 0x07
_SLOTS: Final = 16


def _printable(text: str) -> bool:
    return text.isascii() and text.isprintable()


# --- control ------------------------------------------------------------------------------------------------------


def _reset(console: GaugeConsole, command: Command, device: int, now_us: int) -> Made | None:
    del command
    if device:
        return None
    console.reset(now_us)
    return "", []


def _clear_power(console: GaugeConsole, command: Command, device: int, now_us: int) -> Made | None:
    del console, command, now_us
    return None if device else ("", [])


def _acknowledge(console: GaugeConsole, command: Command, device: int, now_us: int) -> Made | None:
    del command, now_us
    if device:
        return None
    console.alarms.acknowledge()
    return "", []


def _erase(console: GaugeConsole, command: Command, device: int, now_us: int) -> Made | None:
    del command, now_us
    for tank in console.tanks(device):
        if tank in console.deliveries:
            console.deliveries[tank].clear()
    return "", ["DELIVERY REPORTS ERASED"]


def _test(is_start: bool) -> Control:
    def control(console: GaugeConsole, command: Command, device: int, now_us: int) -> Made | None:
        del command
        data, lines = "", ["TANK   PRODUCT LABEL"]
        for tank in console.tanks(device):
            seen = console.latest.get(tank)
            if seen is None:
                return None
            watch = console.leak_tests[tank]
            if is_start:
                watch.start(Snapshot(now_us, console.time(now_us), seen.measured, seen.drawn_ml))
            else:
                watch.stop()
            data += f"{tank:02d}{int(watch.running is not None)}"
            lines.append(
                f"{tank:3d}    {console.setups[tank].label:21}LEAK TEST {'START' if is_start else 'STOP'}"
            )
            if is_start:
                lines.append(f"{'':28}TEST BY EXTERN INTERFACE")
        return data, lines

    return control


def _delete_rates(console: GaugeConsole, command: Command, device: int, now_us: int) -> Made | None:
    """The rate table of continuous leak detection; the code 149 confirms. Leak histories go with it here."""
    del now_us
    if command.data != "149" or device not in console.setups:
        return None
    console.leak_tests[device].results.clear()
    return "", [f"T{device:2d}:{console.setups[device].label}   CSLD RECORDS DELETED"]


def _modules(console: GaugeConsole, command: Command, device: int, now_us: int) -> Made | None:
    """Probe boards for the tanks, an RS-232 board; readings of boards as in the manual's example."""
    del command, now_us
    if device:
        return None
    boards = (len(console.setups) + 3) // 4
    kinds = [_FOUR_PROBES] * boards + [_UNUSED] * (_SLOTS - boards - 1) + [_RS232]
    readings = {_FOUR_PROBES: 164_040.0, _UNUSED: 15_000_000.0, _RS232: 14_764.0}
    words = {_FOUR_PROBES: "4 PROBE", _UNUSED: "UNUSED", _RS232: "RS232 SERIAL BD"}
    modules = [Module(slot, kind, readings[kind], readings[kind]) for slot, kind in enumerate(kinds, start=1)]
    lines = ["SYSTEM CONFIGURATION", "SLOT  BOARD TYPE                    POWER ON RESET     CURRENT"]
    lines += [f"{m.slot:3d}   {words[m.kind]:25}{m.power_on:15.0f}{m.current:17.0f}" for m in modules]
    return write_modules(modules), lines


# --- system set-up -------------------------------------------------------------------------------------------------


def _clock(console: GaugeConsole, command: Command, device: int, now_us: int) -> Made | None:
    if device:
        return None
    if command.function[0] == "S":
        try:
            console.set_time(decode_time(command.data), now_us)
        except RemoteProtocolError:
            return None
    return encode_time(console.time(now_us)), ["SYSTEM DATE AND TIME"]


def _header(console: GaugeConsole, command: Command, device: int, now_us: int) -> Made | None:
    del now_us
    if not 1 <= device <= 4 or not _printable(command.data):
        return None
    if command.function[0] == "S":
        console.headers[device - 1] = command.data.rstrip()
    text = f"{console.headers[device - 1]:20}"
    return text, [f"# {device}:{text.rstrip()}"]


def _security(console: GaugeConsole, command: Command, device: int, now_us: int) -> Made | None:
    """The code can be set and told; the switch that makes the console ask for it is on its board."""
    del now_us
    if device:
        return None
    if command.function[0] == "S":
        if len(command.data) != 6 or not _printable(command.data):
            return None
        if console.security_code:
            console.security_code = command.data
        console.stored_code = command.data
    code = console.security_code or console.stored_code
    return code, ["SYSTEM SECURITY CODE", f"CODE : {code}"]


def _units(console: GaugeConsole, command: Command, device: int, now_us: int) -> Made | None:
    del now_us
    if device:
        return None
    if command.function[0] == "S":
        number, language = command.data[:1], command.data[1:]
        if not command.data.isdecimal() or int(number) not in UNITS or not 1 <= int(language or 0) <= 14:
            return None
        console.units, console.language = UNITS[int(number)], language
    lines = ["SYSTEM TYPE AND LANGUAGE FLAG", "SYSTEM UNITS", f" {console.units.title}", "SYSTEM LANGUAGE"]
    lines += [" ENGLISH" if console.language == "01" else f" {console.language}"]
    lines += ["SYSTEM DATE/TIME FORMAT", "MON DD YYYY HH:MM:SS xM"]
    return f"{console.units.number}{console.language}", lines


def _software(console: GaugeConsole, command: Command, device: int, now_us: int) -> Made | None:
    del command, now_us
    if device:
        return None
    number, created = console.software
    return f"SOFTWARE# {number}CREATED - {created}", [
        "SOFTWARE REVISION LEVEL",
        f"SOFTWARE# {number}",
        f"CREATED - {created}",
    ]


# --- tank set-up ---------------------------------------------------------------------------------------------------


def _tank_setup(spec: SetupSpec) -> Control:
    def control(console: GaugeConsole, command: Command, device: int, now_us: int) -> Made | None:
        del now_us
        numbers = [*console.setups] if device == 0 else [device]
        if command.function[0] == "S" and not all(
            number in console.setups and _write(console, number, spec, command) for number in numbers
        ):
            return None
        data, lines = "", [spec.title, _heading(console, spec)]
        for number in numbers:
            setup = console.setups.get(number)
            if setup is None:
                width = {"flag": 1, "label": 20, "code": 1}.get(spec.kind, 8 * spec.count)
                data += f"{number:02d}{'?' * width}"
                continue
            text, shown = _told(console, number, setup, spec)
            data += f"{number:02d}{text}"
            lines.append(
                f"{number:2d}     {setup.label:20}{shown[0]}"
                if spec.kind != "label"
                else f"{number:2d}     {setup.label}"
            )
            lines += [f"{'':27}{line}" for line in shown[1:]]
        return data, lines

    return control


def _heading(console: GaugeConsole, spec: SetupSpec) -> str:
    if spec.kind == "flag":
        return "DEVICE  LABEL                  CONFIGURED"
    unit = {"volume": console.units.volume, "length": console.units.length}.get(spec.kind, "")
    return f"TANK   PRODUCT LABEL{unit:>{8 * spec.count + 12 if spec.count == 1 else 32}}".rstrip()


def _figures(console: GaugeConsole, number: int, setup: TankSetup, spec: SetupSpec) -> list[float]:
    """A tank's value in the console's units."""
    units = console.units
    if spec.name.startswith("volumes_"):
        table = console.source.table(number)
        heights = [table.diameter_um * (spec.count - n) // spec.count for n in range(spec.count)]
        return [units.volume_of(table.volume_ml(height)) for height in heights]
    value = getattr(setup, spec.name)
    if spec.kind == "volume":
        return [units.volume_of(value)]
    if spec.kind == "length":
        return [units.length_of(value)]
    return [round(units.per_degree(value / 1e6), 6)]


def _told(console: GaugeConsole, number: int, setup: TankSetup, spec: SetupSpec) -> tuple[str, list[str]]:
    if spec.kind == "flag":
        return f"{int(setup.is_on)}", ["   ON" if setup.is_on else "   OFF"]
    if spec.kind == "label":
        return f"{setup.label:20}", [""]
    if spec.kind == "code":
        return setup.product_code, [f"      {setup.product_code}"]
    figures = _figures(console, number, setup, spec)
    texts = [f"{figure:10.{spec.decimals}f}" if spec.count == 1 else f"{figure:8.0f}" for figure in figures]
    return "".join(encode_float(figure) for figure in figures), [
        "".join(texts[i : i + 4]) for i in range(0, len(texts), 4)
    ]


def _write(console: GaugeConsole, number: int, spec: SetupSpec, command: Command) -> bool:
    setup, data, units = console.setups[number], command.data, console.units
    if spec.kind == "flag":
        setup.is_on = data == "1"
        return data in {"0", "1"}
    if spec.kind in {"label", "code"}:
        if not _printable(data) or (spec.kind == "code" and len(data) != 1):
            return False
        setattr(setup, spec.name, data.rstrip() if spec.kind == "label" else data)
        return True
    figures = read_figures(spec, data, is_display=command.is_display)
    if figures is None:
        return False
    if spec.name.startswith("volumes_"):
        return _recalibrate(console, number, [units.ml_of(figure) for figure in figures])
    if spec.kind == "volume":
        setattr(setup, spec.name, units.ml_of(figures[0]))
    elif spec.kind == "length":
        return _set_length(console, number, spec.name, units.um_of(figures[0]))
    else:
        setup.expansion_ppm_per_deg = round(figures[0] * 1e6 / units.per_degree(1.0))
        console.source.set_expansion(number, setup.expansion_ppm_per_deg)
    return True


def _set_length(console: GaugeConsole, number: int, name: str, um: int) -> bool:
    setup = console.setups[number]
    if name == "diameter_um":
        if um < 100_000:
            return False
        old = console.source.table(number)
        heights = [old.diameter_um * n // 20 for n in range(21)]
        points = [(um * n // 20, old.volume_ml(height)) for n, height in enumerate(heights)]
        console.source.recalibrate(number, StrappingTable(points))
    setattr(setup, name, um)
    return True


def _recalibrate(console: GaugeConsole, number: int, volumes_ml: list[int]) -> bool:
    """A new table from 1, 4 or 20 volumes, full first. One volume makes a cylinder of the diameter that is set."""
    setup, old = console.setups[number], console.source.table(number)
    diameter_um, count = old.diameter_um, len(volumes_ml)
    try:
        if count == 1:
            shape = cylinder_table(diameter_um, diameter_um * 3)
            full = shape.capacity_ml
            heights = [diameter_um * n // 100 for n in range(101)]
            points = [(height, shape.volume_ml(height) * volumes_ml[0] // full) for height in heights]
        else:
            points = [(0, 0)]
            points += [(diameter_um * n // count, ml) for n, ml in enumerate(reversed(volumes_ml), start=1)]
        table = StrappingTable(points)
    except ValueError:
        return False
    console.source.recalibrate(number, table)
    setup.capacity_ml = table.capacity_ml
    return True


CONTROLS: Final[dict[str, Control]] = {
    "S001": _reset,
    "S002": _clear_power,
    "S003": _acknowledge,
    "S051": _erase,
    "S052": _test(is_start=True),
    "S053": _test(is_start=False),
    "S054": _delete_rates,
    "I102": _modules,
    "I902": _software,
}
CONTROLS.update({f"{letter}501": _clock for letter in "IS"})
CONTROLS.update({f"{letter}503": _header for letter in "IS"})
CONTROLS.update({f"{letter}504": _security for letter in "IS"})
CONTROLS.update({f"{letter}517": _units for letter in "IS"})
CONTROLS.update({f"{letter}{number}": _tank_setup(spec) for number, spec in SETUP.items() for letter in "IS"})
