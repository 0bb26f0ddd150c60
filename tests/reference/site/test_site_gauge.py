"""The site's gauge reader against a console that the test plays by hand, with checksums computed here."""

from __future__ import annotations

import itertools
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.sansio import Machine
from reference.site.config import parse_config
from reference.site.controller import SiteController
from reference.site.gauge.config import GaugeConfig
from reference.site.gauge.reader import GaugeRead, GaugeReader, GaugeSilent

S = 1_000_000
L = 1_000
TANKS = [{"tank": 1, "grade": "92", "capacity_ml": 30_000 * L}]


def number(value: float) -> str:
    return struct.pack(">f", value).hex().upper()


def reply(code: str, data: str) -> bytes:
    """A reply as the manual words it; nothing of the project's codec is in it."""
    text = f"\x01{code}2603061800{data}&&".encode()
    return text + f"{(0x10000 - sum(text) % 0x10000) % 0x10000:04X}".encode() + b"\x03"


def inventory(
    volume: float = 15_000.0, temperature: float = 18.5, *, status: str = "0000", height: str = ""
) -> str:
    values = [
        number(volume),
        number(volume - 3),
        number(30_000 - volume),
        height or number(1_250.5),
        number(12.0),
    ]
    return "011" + status + "07" + "".join([*values, number(temperature), number(7.0)])


class Bench:
    """A reader and everything it says and tells."""

    def __init__(self, **config: Any) -> None:
        self.reader = GaugeReader(GaugeConfig.model_validate({"tanks": TANKS, "units": "metric", **config}))
        assert isinstance(self.reader, Machine)
        self.events: list[Any] = []
        self.reader.listener = self.events.append
        self.now_us = 0
        self.answers = {"i201": inventory(), "i205": "0100", "i101": "000000", "i202": "01100", "i517": "201"}

    def said(self) -> bytes:
        return b"".join(out.data for out in self.reader.data_to_send(self.now_us))

    def until(self, at_us: int) -> bytes:
        said = b""
        while (due := self.reader.next_timer()) is not None and due <= at_us:
            self.now_us = max(self.now_us, due)
            self.reader.handle_timer(self.now_us)
            said += self.said()
        self.now_us = at_us
        return said

    def hear(self, data: bytes) -> bytes:
        self.reader.receive_data(data, self.now_us)
        return self.said()

    def serve(self, seconds: int) -> None:
        """A good console answers for some seconds."""
        said = self.until(self.now_us)
        for _ in range(seconds):
            while b"\x01" in said:
                code = said.rpartition(b"\x01")[2][:6].decode()
                said = self.hear(reply(code, self.answers[code[:4]]))
            said = self.until(self.now_us + S)


def test_a_round_of_polls_in_order() -> None:
    bench = Bench()
    assert bench.until(0) == b"\x01i20100\r\n"
    assert bench.hear(reply("i20100", inventory())) == b"\x01i20500\r\n"
    assert bench.hear(reply("i20500", "01020305")) == b"\x01i10100\r\n"
    assert bench.hear(reply("i10100", "010400020301")) == b"\x01i20200\r\n"
    assert bench.events == []
    assert bench.hear(reply("i20200", "01100")) == b""
    (event,) = bench.events
    assert isinstance(event, GaugeRead)
    (tank,) = event.tanks
    assert (tank.volume_ml, tank.corrected_ml, tank.ullage_ml) == (15_000 * L, 14_997 * L, 15_000 * L)
    assert (tank.height_um, tank.water_um, tank.water_ml, tank.temperature_mdeg) == (
        1_250_500,
        12_000,
        7 * L,
        18_500,
    )
    assert tank.alarms == (3, 5)
    assert event.system_alarms == (4,)
    assert bench.until(29 * S) == b""
    assert bench.until(30 * S) == b"\x01i20100\r\n"


@pytest.mark.requirement("tank.stock-is-fresh")
def test_it_reads_at_least_once_a_minute_for_a_day() -> None:
    bench = Bench(period_us=60 * S)
    bench.serve(3_600)
    times = [event.at_us for event in bench.events]
    assert len(times) == 60
    assert all(later - earlier <= 61 * S for earlier, later in itertools.pairwise(times))
    with pytest.raises(ValueError, match="period_us"):
        GaugeConfig.model_validate({"tanks": TANKS, "period_us": 61 * S})


@pytest.mark.requirement("tank.float-decoding-is-safe")
@pytest.mark.parametrize(("units", "to_shown"), [("metric", lambda c: c), ("us", lambda c: c * 1.8 + 32)])
def test_temperatures_from_minus_40_to_60(units: str, to_shown: Any) -> None:
    bench = Bench(units=units)
    for tenth in range(-400, 601, 7):
        bench.answers["i201"] = inventory(temperature=to_shown(tenth / 10))
        bench.events.clear()
        bench.serve(31)
        assert abs(bench.events[-1].tanks[0].temperature_mdeg - tenth * 100) <= 1


def test_units_are_asked_for() -> None:
    bench = Bench(units="ask")
    bench.answers["i517"] = "101"
    bench.serve(2)
    assert bench.events[0].tanks[0].volume_ml == round(15_000 * 3_785.411784)
    assert (
        bench.events[0].tanks[0].height_um == round(1_250.5 * 25_400)
        or bench.events[0].tanks[0].height_um is None
    )


@pytest.mark.requirement("tank.float-decoding-is-safe")
@pytest.mark.parametrize("bad", ["7FC00000", "7F800000", "FF800000", "C2C7FAE1", "7F7FFFFF"])
def test_a_volume_that_cannot_be_is_no_volume(bad: str) -> None:
    bench = Bench()
    bench.answers["i201"] = inventory().replace(number(15_000.0), bad, 1)
    bench.serve(90)
    for event in bench.events:
        assert isinstance(event, GaugeSilent) or event.tanks[0].volume_ml is None


def test_question_marks_are_no_figures() -> None:
    bench = Bench()
    bench.answers["i201"] = "01?????07" + "????????" * 7
    bench.serve(2)
    (tank,) = bench.events[0].tanks
    assert (tank.volume_ml, tank.water_um, tank.temperature_mdeg, tank.status) == (None, None, None, None)
    assert not tank.is_valid


@pytest.mark.requirement("tank.offline-gauge-shows-age")
def test_silence_is_told_once_and_the_last_reading_stands() -> None:
    bench = Bench()
    bench.serve(31)
    last = bench.reader.latest
    bench.events.clear()
    bench.until(bench.now_us + 600 * S)
    (silent,) = bench.events
    assert isinstance(silent, GaugeSilent)
    assert last is not None
    assert silent.since_us == last.at_us
    assert silent.at_us - last.at_us <= 70 * S
    assert bench.reader.latest is last
    bench.serve(31)
    assert isinstance(bench.events[-1], GaugeRead)
    assert not bench.reader.silent


def test_a_bad_checksum_is_asked_for_again_after_escape() -> None:
    bench = Bench()
    bench.until(0)
    good = reply("i20100", inventory())
    bad = good.replace(b"07", b"08", 1)
    assert bench.hear(bad) == b"\x1b\x01i20100\r\n"
    assert bench.hear(good) == b"\x01i20500\r\n"
    assert bench.reader.bad_replies == 1


def test_a_reply_that_comes_too_late_is_not_taken_for_another() -> None:
    bench = Bench()
    bench.until(0)
    assert bench.until(3 * S) == b"\x1b\x01i20100\r\n"
    assert bench.hear(reply("i20500", "0100")) == b""
    assert bench.reader.strays == 1
    assert bench.hear(reply("i20100", inventory())) == b"\x01i20500\r\n"
    assert bench.hear(reply("i20100", inventory(1.0))) == b""  # the first answer, late
    bench.hear(reply("i20500", "0100"))
    bench.hear(reply("i10100", "000000"))
    bench.hear(reply("i20200", "01100"))
    assert bench.events[0].tanks[0].volume_ml == 15_000 * L


def test_a_function_that_the_console_does_not_know_is_left_out() -> None:
    bench = Bench()
    bench.until(0)
    bench.hear(reply("i20100", inventory()))
    assert bench.hear(b"\x019999FF1B\x03") == b"\x01i10100\r\n"
    bench.hear(reply("i10100", "000000"))
    bench.hear(reply("i20200", "01100"))
    assert bench.until(30 * S) == b"\x01i20100\r\n"
    assert bench.hear(reply("i20100", inventory())) == b"\x01i10100\r\n"


def test_the_security_code_goes_first() -> None:
    assert Bench(security_code="123456").until(0) == b"\x01123456i20100\r\n"


@given(st.binary(max_size=200), st.integers(0, 120))
def test_noise_and_cut_replies_are_survived(noise: bytes, cut: int) -> None:
    bench = Bench()
    bench.until(0)
    bench.hear(noise + reply("i20100", inventory())[:cut])
    bench.serve(95)
    assert isinstance(bench.events[-1], GaugeRead)
    assert bench.events[-1].tanks[0].volume_ml == 15_000 * L


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tcp": "h:1", "serial": "/dev/x"}, "not both"),
        ({"tanks": TANKS * 2}, "same number"),
        ({"security_code": "12"}, "security_code"),
        (
            {
                "tanks": [
                    {**TANKS[0], "group": 1},
                    {"tank": 2, "grade": "95", "capacity_ml": 5_000, "group": 1},
                ]
            },
            "different grades",
        ),
    ],
)
def test_configurations_that_cannot_be(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        GaugeConfig.model_validate({"tanks": TANKS, **change})


# In the controller.

LINE = {
    "protocol": "dart",
    "framing": "rtu",
    "fuelling_points": [
        {
            "fuelling_point": 1,
            "address": 80,
            "nozzles": [{"nozzle": 1, "grade": "92", "tank": 1, "price_fen_per_l": 760}],
        },
        {
            "fuelling_point": 2,
            "address": 81,
            "nozzles": [{"nozzle": 2, "grade": "95", "tank": 2, "price_fen_per_l": 812}],
        },
    ],
}


def site() -> SiteController:
    gauge = {"units": "metric", "tanks": [*TANKS, {"tank": 2, "grade": "95", "capacity_ml": 30_000 * L}]}
    config = parse_config({"station": "KM01", "lines": [LINE], "gauge": gauge})
    return SiteController(config, clock_us=lambda: 1_700_000_000 * S)


def feed(controller: SiteController, water_mm: float) -> None:
    assert controller.gauge is not None
    reader = controller.gauge.reader
    reader.handle_timer(reader.next_timer() or 0)
    rows = inventory().replace(number(12.0), number(water_mm)) + "02" + inventory()[2:]
    reader.receive_data(reply("i20100", rows), 0)
    for code, data in (("i20500", "01000200"), ("i10100", "000000"), ("i20200", "0110002100")):
        reader.receive_data(reply(code, data), 0)


@pytest.mark.requirement("tank.water-alarms-and-blocks", "tank.blocked-tank-stops-its-grade")
def test_water_blocks_the_tanks_nozzles_and_frees_them() -> None:
    controller = site()
    feed(controller, 12.0)
    assert controller.blocked == set()
    feed(controller, 40.0)
    assert controller.blocked == {1}
    order = {
        "id": 1,
        "kind": "authorise",
        "nozzle": 1,
        "order_id": "o1",
        "preset_fen": None,
        "preset_ml": None,
    }
    assert controller.commands._authorise(1, order) == (False, "the nozzle's tank is blocked")
    feed(controller, 37.0)
    assert controller.blocked == {1}
    feed(controller, 35.0)
    assert controller.blocked == set()
    assert len([text for text in controller.alarms if "blocked" in text]) == 1
    snapshot = controller.snapshot()["gauge"]
    assert snapshot["silent"] is False
    controller.journal.close()


def test_without_a_gauge_nothing_is_there() -> None:
    controller = SiteController(parse_config({"station": "KM01", "lines": [LINE]}), clock_us=lambda: 0)
    assert controller.gauge is None
    assert controller.snapshot()["gauge"] is None
    controller.journal.close()
