"""Reports on static leak tests: functions 203, 207, 208. Source: Veeder-Root 576013-635 rev. U, section 7.2.2."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocols.tls import Command, LeakTest, display_time, encode_float, encode_time, write_leak_tests

from .answer import Answer, code_of, label_of

if TYPE_CHECKING:
    from .console import GaugeConsole

__all__ = ["leak_history", "leak_results", "leak_test"]


def leak_test(console: GaugeConsole, command: Command, device: int, now_us: int) -> Answer | None:
    """The running test, else the last one (function 203)."""
    del command, now_us
    units, data, lines = console.units, "", list[str]()
    for tank in console.tanks(device):
        watch = console.leak_tests.get(tank)
        running = watch.running if watch else None
        last = watch.results[0] if watch and watch.results else None
        lines.append(f"TANK{tank:2d}    {label_of(console, tank).rstrip()}")
        lines.append(f"    TEST STATUS: {'ON' if running else 'OFF'}")
        start = running or (last.start if last else None)
        end = watch.last if watch and running else (last.end if last else None)
        if watch is None or start is None or end is None:
            data += f"{tank:02d}{code_of(console, tank)}{'?' * 12}04{'?' * 32}"
            lines.append("    NO TEST DATA AVAILABLE")
            continue
        hours = (end.at_us - start.at_us) // 3_600_000_000
        lost_ml = start.measured.corrected_ml - end.measured.corrected_ml
        rate = -lost_ml / max(1, end.at_us - start.at_us) * 3.6e9
        test = LeakTest(
            tank,
            code_of(console, tank),
            start.at,
            min(99, hours),
            units.temperature_of(start.measured.temperature_mdeg),
            units.temperature_of(end.measured.temperature_mdeg),
            units.volume_of(start.measured.fuel_ml),
            round(rate / units.ml_per_volume, 4),
            tuple(units.volume_of(ml) for ml in watch.hourly_ml),
        )
        data += write_leak_tests([test])
        lines.append(f"TEST START TIME: {display_time(start.at)}               DURATION: {hours:2d} HOURS")
        lines.append(
            f"  START TEMP: {test.start_temperature:.1f} {units.temperature}    START VOLUME: {test.start_volume:6.0f} {units.volume}"
        )
        lines.append(
            f" ENDING TEMP: {test.end_temperature:.1f} {units.temperature}       LEAK RATE: {test.rate:6.2f} {units.volume}/HR"
        )
    return Answer(data, lines)


def leak_history(console: GaugeConsole, command: Command, device: int, now_us: int) -> Answer | None:
    """The last and the fullest test that passed (functions 207), of the console's periodic (0.2 gal/hr) kind."""
    del command, now_us
    units, data, lines = console.units, "", ["TANK LEAK TEST HISTORY"]
    for tank in console.tanks(device):
        watch = console.leak_tests.get(tank)
        passed = [test for test in (watch.results if watch else ()) if test.passed]
        lines.append(f"T{tank:2d}:{label_of(console, tank).rstrip()}")
        reports = []
        if passed:
            fullest = max(passed, key=lambda test: test.start.measured.fuel_ml)
            reports = [("00", passed[0]), ("01", fullest)]
        data += f"{tank:02d}{len(reports):02X}"
        for kind, test in reports:
            m = test.start.measured
            share = 100 * m.fuel_ml / console.setups[tank].capacity_ml
            data += f"{kind}0000{encode_time(test.start.at)}{encode_float(round(test.hours, 2))}"
            data += encode_float(units.volume_of(m.fuel_ml)) + encode_float(round(share, 1))
            title = "LAST PERIODIC TEST PASS:" if kind == "00" else "FULLEST PERIODIC TEST PASS"
            lines += [
                title,
                "TEST START TIME            HOURS    VOLUME   % VOLUME   TEST TYPE",
                f"{display_time(test.start.at)}{test.hours:9.0f}{units.volume_of(m.fuel_ml):11.0f}{share:11.1f}    STANDARD",
            ]
        if not reports:
            lines.append("NO TEST PASSED")
    return Answer(data, lines, has_headers=False)


def leak_results(console: GaugeConsole, command: Command, device: int, now_us: int) -> Answer | None:
    """The last test of the periodic kind (function 208)."""
    del command, now_us
    units, data, lines = console.units, "", ["PREVIOUS IN TANK LEAK TEST RESULTS"]
    for tank in console.tanks(device):
        watch = console.leak_tests.get(tank)
        results = [*(watch.results if watch else ())][:1]
        lines.append(f"TANK{tank:2d}    {label_of(console, tank).rstrip()}")
        lines.append("TEST TYPE  START TIME              RESULT     RATE  HOURS  VOLUME")
        data += f"{tank:02d}{len(results):02X}"
        for test in results:
            m = test.start.measured
            number, word = {None: (0, "INVALID"), True: (1, "PASSED"), False: (2, "FAILED")}[test.passed]
            rate = round(test.rate_ml_per_h / units.ml_per_volume, 4)
            data += f"0000{encode_time(test.start.at)}{number:02d}{encode_float(rate)}"
            data += encode_float(round(test.hours, 2)) + encode_float(units.volume_of(m.fuel_ml))
            lines.append(
                f" PERIODIC  {display_time(test.start.at)}  {word:9}{rate:6.2f}{test.hours:6.0f}{units.volume_of(m.fuel_ml):8.0f}"
            )
    return Answer(data, lines, has_headers=False)
