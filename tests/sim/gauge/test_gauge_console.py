"""The console against published exchanges, byte for byte, and as a machine that is set up and asked."""

# ruff: noqa: DTZ001 - a console tells its local time, without an offset
from __future__ import annotations

from datetime import datetime

import pytest

from protocols.tls import (
    LINE_END,
    ComputerReply,
    NotUnderstood,
    ReplyReader,
    TankAlarm,
    command,
    decode_float,
    read_inventory,
)
from sim.gauge import US, GaugeConsole, Measured, Snapshot, TankSetup
from sim.tanks import StrappingTable, usual_cylinder

from .gauge_bench import START, Bench, S, station, tank


def gallons(value: float) -> int:
    return round(value * 3_785.411784)


def inches(value: float) -> int:
    return round(value * 25_400)


def fahrenheit(value: float) -> int:
    return round((value - 32) / 1.8 * 1_000)


class Shown:
    """A source whose measurements the test states."""

    def __init__(self, tanks: dict[int, Measured]) -> None:
        self.tanks = tanks

    def measure(self, tank: int, now_us: int) -> Measured | None:
        return self.tanks[tank]

    def table(self, tank: int) -> StrappingTable:
        return usual_cylinder(30_000_000)

    def recalibrate(self, tank: int, table: StrappingTable) -> None: ...

    def set_expansion(self, tank: int, ppm_per_deg: int) -> None: ...

    def drawn_ml(self, tank: int) -> int:
        return 0


MANUAL = {
    1: Measured(gallons(5329), gallons(5413), gallons(4699), inches(48.97), 0, 0, fahrenheit(37.39)),
    2: Measured(gallons(2428.5), gallons(2440.25), gallons(7580), inches(30.12), 0, 0, fahrenheit(59.2)),
}


def at_1996(minute: int, month: int = 1, day: int = 22) -> GaugeConsole:
    """The console of the manual's examples, U.S. units, with its clock at a minute past three."""
    clock = datetime(1996, month, day, 15, minute)
    setups = {
        n: TankSetup(gallons(10_028), label, str(n)) for n, label in ((1, "REGULAR UNLEADED"), (2, "SUPER"))
    }
    console = GaugeConsole(
        Shown(dict(MANUAL)),
        setups,
        clock=lambda now_us: clock,
        units=US,
        software=("346110-101-B", "95.11.20.13.28"),
    )
    console.scan(0)
    return console


def seen(at: datetime, volume: float, tc: float, water: float, temp: float, height: float) -> Snapshot:
    return Snapshot(
        0,
        at,
        Measured(gallons(volume), gallons(tc), 0, inches(height), inches(water), 0, fahrenheit(temp)),
        0,
    )


GOLDEN_201 = (
    b"\x01i20100960122150601100000745A6880045A928004592D8004243E1480000000042158F5C00000000"
    b"0220001074517C8004518819A45EC9C0041F0F5C33FA00000426CCCCD41300000&&E14C\x03"
)


def test_inventory_as_published_but_for_water() -> None:
    """The published figures themselves: volumes, heights, temperatures of both tanks, to the bit."""
    console = at_1996(6)
    # Tank 2 of the exchange, from its floats: 2428.5, TC, ullage, 30.12, water 1.25, 59.2, water volume 11.
    values = [decode_float(GOLDEN_201[91 + 8 * n : 99 + 8 * n].decode()) for n in range(7)]
    volume, tc, ullage, height, water, temp, water_volume = (value or 0.0 for value in values)
    source = console.source
    assert isinstance(source, Shown)
    source.tanks[2] = Measured(
        gallons(volume),
        gallons(tc),
        gallons(ullage),
        inches(height),
        inches(water),
        gallons(water_volume),
        fahrenheit(temp),
    )
    source.tanks[1] = MANUAL[1]
    console.deliveries[2].see(seen(datetime(1996, 1, 22, 15, 0), 1000, 1000, 0, 60, 20)._replace(at_us=-1))
    console.next_scan_us = 0
    assert Bench(console).ask(b"\x01i20100\r\n") == GOLDEN_201


@pytest.mark.parametrize(
    ("minute", "sent", "reply"),
    [
        (12, b"\x01i50100\r\n", b"\x01i5010096012215119601221511&&FA5C\x03"),
        (16, b"\x01i60201\r\n", b"\x01i60201960122151601REGULAR UNLEADED    &&F6FB\x03"),
        (7, b"\x01i20501\r\n", b"\x01i2050196012215070100&&FB90\x03"),
        (
            24,
            b"\x01i90200\r\n",
            b"\x01i902009601221524SOFTWARE# 346110-101-BCREATED - 95.11.20.13.28&&F227\x03",
        ),
        (24, b"\x01i99900\r\n", b"\x019999FF1B\x03"),
        (24, b"\x01I99900", b"\x019999FF1B\x03"),
    ],
)
def test_published_exchanges(minute: int, sent: bytes, reply: bytes) -> None:
    console = at_1996(11 if sent.startswith(b"\x01i501") else minute)
    assert Bench(console).ask(sent) == reply


def test_published_alarm_reset() -> None:
    console = at_1996(0)
    console._clock = lambda now_us: datetime(1996, 3, 27, 20, 4)
    assert Bench(console).ask(b"\x01s00300\r\n") == b"\x01s003009603272004&&FC4C\x03"


def test_published_status_report() -> None:
    console = at_1996(6)
    console.alarms.set(TankAlarm.OVERFILL, 2, START, is_active=True)
    console.alarms.set(TankAlarm.LOW_PRODUCT, 1, START, is_active=True)
    console.next_scan_us = 1 << 60
    assert Bench(console).ask(b"\x01i10100\r\n") == b"\x01i101009601221506020402020501&&FA08\x03"


def test_published_delivery_report() -> None:
    console = at_1996(6)
    from sim.gauge import SeenDelivery

    console.deliveries[1].deliveries.appendleft(
        SeenDelivery(
            seen(datetime(1997, 7, 28, 15, 5), 1244, 1231, 0, 73.89, 24.40),
            seen(datetime(1997, 7, 28, 15, 14), 3231, 3194, 0, 76.14, 48.27),
        )
    )
    del console.setups[2]
    published = (
        b"\x01i20200960122150601101970728150597072815140A449B80004499E000000000004293C7AE4549F0004547A000"
        b"00000000429847AE41C333334241147B&&E645\x03"
    )
    assert Bench(console).ask(b"\x01i20200\r\n") == published


def test_display_format_byte_for_byte() -> None:
    console = at_1996(6)
    del console.setups[2]
    text = [
        "",
        "I20100",
        "JAN 22, 1996  3:06 PM",
        "",
        "TANK PRODUCT             VOLUME TC VOLUME   ULLAGE   HEIGHT    WATER     TEMP",
        "  1  REGULAR UNLEADED      5329      5413     4699    48.97     0.00    37.39",
        "",
    ]
    assert (
        Bench(console).ask(b"\x01I20100\n")
        == b"\x01" + b"".join(t.encode() + LINE_END for t in text) + b"\x03"
    )


def test_header_lines_stand_in_reports() -> None:
    console = at_1996(6)
    bench = Bench(console)
    assert bench.data("s503", 1, "STATION HEADER 1....") == "STATION HEADER 1...."
    assert bench.lines("I503", 1)[-1] == "# 1:STATION HEADER 1...."
    lines = bench.lines("I201", 1)
    assert lines[3] == "STATION HEADER 1...."
    assert lines[-1].startswith("  1  REGULAR UNLEADED")


@pytest.mark.parametrize("function", ["101", "102", "111", "112", "201", "202", "203", "204", "205", "206", "207", "208", "214", "21A", "501", "503", "504", "517", "902", *(f"60{n}" for n in range(1, 10)), *(f"62{n}" for n in range(1, 9))])  # fmt: skip
def test_every_function_answers_in_both_formats(function: str) -> None:
    bench = station(tank(), tank(2, grade="95"))
    device = 1 if function == "503" else 0
    bench.data(f"i{function}", device)
    lines = bench.lines(f"I{function}", device)
    assert lines[0] == f"I{function}{device:02d}"
    assert lines[1] == "MAR 06, 2026  6:00 PM".replace(" 06", "  6")


def test_set_up_is_written_in_both_formats_and_read_back() -> None:
    bench = station(tank())
    assert bench.data("s602", 1, "DIESEL -10\r\n".rstrip()) == "01DIESEL -10          "
    assert bench.data("i621", 1) == "01453B8000"  # 3000 l
    bench.lines("S621", 1, "001250")
    assert bench.data("i621", 1) == "01449C4000"
    assert bench.data("s621", 1, "44FA0000") == "0144FA0000"
    assert bench.lines("I621", 1)[-1].split()[-1] == "2000"
    assert bench.data("s624", 0, "42480000") == "0142480000"  # 50 mm
    assert bench.console.setups[1].high_water_um == 50_000
    bench.lines("S627", 1, "30.5")
    assert bench.console.setups[1].water_warning_um == 30_500
    bench.lines("S609", 1, "0.001100")
    assert bench.console.setups[1].expansion_ppm_per_deg == 1_100
    for bad in ("7FC00000", "ZZZZZZZZ", "C2C7FAE1"):
        assert bench.ask(command("s621", 1, bad)) == b"\x019999FF1B\x03"
    assert bench.ask(command("s621", 9, "44FA0000")) == b"\x019999FF1B\x03"
    bench.data("s601", 1, "0")
    assert bench.data("i201") == ""


def test_another_calibration_changes_what_the_console_tells() -> None:
    bench = station(tank())
    before = read_inventory(bench.data("i201"))[0]
    bench.data("s604", 1, "46C35000")  # 25 000 l in the place of 30 000
    bench.until(bench.now_us + 20 * S)
    after = read_inventory(bench.data("i201"))[0]
    assert after.height == before.height
    assert after.volume == pytest.approx((before.volume or 0) * 25 / 30, rel=0.001)
    points = "".join(f"{30_000 * n // 20:06d}" for n in range(20, 0, -1))
    bench.lines("S606", 1, points)
    assert decode_float(bench.data("i606", 1)[2:10]) == 30_000


def test_units_and_clock() -> None:
    bench = station(tank())
    assert bench.data("i517") == "201"
    assert bench.data("s517", 0, "101") == "101"
    assert read_inventory(bench.data("i201"))[0].volume == pytest.approx(15_000 / 3.785411784, abs=0.1)
    assert bench.ask(command("s517", 0, "901")) == b"\x019999FF1B\x03"
    bench.data("s501", 0, "2603071215")
    assert bench.console.time(bench.now_us).replace(second=0) == datetime(2026, 3, 7, 12, 15)


def test_without_the_security_code_there_is_silence() -> None:
    bench = station(tank(), security_code="123456")
    assert bench.ask(b"\x01i20100\r\n") == b""
    assert bench.ask(b"\x01999999i20100\r\n") == b""
    assert bench.port.refused == 2
    assert bench.ask(b"\x01123456i20100\r\n").startswith(b"\x01i20100")


def test_stacked_commands_are_answered_in_turn_and_128_characters_wait() -> None:
    bench = station(tank(), rate=960)
    codes = [b"\x01i20100", b"\x01i10100", b"\x01i50100", b"\x01i20501"]
    reader = ReplyReader()
    reader.receive_data(bench.ask(b"".join(codes)) + bench.until(5 * S))
    replies = [reader.next_event() for _ in codes]
    assert [reply.code.encode() for reply in replies if isinstance(reply, ComputerReply)] == [
        c[1:] for c in codes
    ]
    bench.port.receive_data(b"\x01i20100" * 30, bench.now_us)
    assert bench.port.overflowed == 29 * 7 - 128
    sent = bench.until(bench.now_us + 20 * S)
    # 18 whole commands fitted into 128 characters; the 19th was cut, and the console waits for the rest of it.
    assert sent.count(b"\x01i20100") == 19


def test_escape_halts_a_reply() -> None:
    bench = station(tank(), tank(2, grade="95"), rate=960)
    whole = station(tank(), tank(2, grade="95")).ask(b"\x01I20100")
    bench.port.receive_data(b"\x01I20100", 0)
    begun = bench.until(150_000)
    assert 0 < len(begun) < len(whole)
    assert whole.startswith(begun)
    bench.port.receive_data(b"\x1b", bench.now_us)
    assert bench.until(5 * S) == b""
    assert bench.ask(b"\x01i10100\r\n").startswith(b"\x01i10100")


def test_noise_between_commands_and_unknown_codes() -> None:
    bench = station(tank())
    reader = ReplyReader()
    reader.receive_data(bench.ask(b"\xff\x00xyz\r\n\x01i2xx00\r\n\x01q20100\r\n\x01i201AB\r\n"))
    assert [reader.next_event() for _ in range(3)] == [NotUnderstood()] * 3


def test_without_power_it_is_silent() -> None:
    bench = station(tank())
    bench.console.cut_power()
    assert bench.ask(b"\x01i20100\r\n") == b""
    bench.console.restore_power(bench.now_us)
    assert bench.ask(b"\x01i20100\r\n").startswith(b"\x01i20100")
