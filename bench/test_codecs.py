"""What DART frames cost, each side by itself.

`tox -e bench` runs it. The goal is under 3 microseconds a side for an idle poll, which is what a line carries nearly
all the time. Only figures from one machine and one run may be compared.
"""

# ruff: noqa: D103, S101 - tests: a name says what is measured, and each result is checked once it is timed

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from protocols.dart import (
    ControllerSide,
    DataFrame,
    FilledReport,
    Framer,
    NozzleReport,
    PumpSide,
    PumpStatus,
    StatusReport,
    decode_from_pump,
    encode_block,
    encode_data,
)
from protocols.sansio import NEED_DATA

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

pytestmark = pytest.mark.bench

_POLL = b"\x50\x20\xfa"
_EOT = b"\x50\x70\xfa"
# Captured shape: DC2 with DC3 and DC1, 25 bytes on the wire.
_REPORTS = (
    FilledReport(volume_units=31, amount_units=51),
    NozzleReport(price_units=1645, nozzle=0, out=False),
    StatusReport(status=PumpStatus.FILLING_COMPLETED),
)
_FRAMES = 1000


def test_idle_poll_pump_side(benchmark: BenchmarkFixture) -> None:
    side = PumpSide(range(0x50, 0x54))

    def polled() -> bytes:
        side.receive_data(_POLL, 0)
        (burst,) = side.data_to_send(0)
        assert side.next_event() is NEED_DATA
        return burst.data

    assert benchmark(polled) == _EOT


def test_idle_poll_controller_side(benchmark: BenchmarkFixture) -> None:
    side = ControllerSide(range(0x50, 0x54))

    def poll() -> object:
        side.poll(0x50, 0)
        side.data_to_send(0)
        side.next_timer()
        side.receive_data(_EOT, 7000)
        return side.next_event()

    assert benchmark(poll) == side.connection(0x50).eot_event


def test_another_pumps_poll(benchmark: BenchmarkFixture) -> None:
    side = PumpSide([0x50])

    def overhear() -> int:
        side.receive_data(b"\x51\x20\xfa", 0)
        return len(side.data_to_send(0))

    assert benchmark(overhear) == 0


def test_encode_frames(benchmark: BenchmarkFixture) -> None:
    def encode() -> bytes:
        raw = b""
        for number in range(_FRAMES):
            raw = encode_data(0x50, number & 15, encode_block(_REPORTS))
        return raw

    assert len(benchmark(encode)) == 25
    benchmark.extra_info["frames_per_round"] = _FRAMES


def test_decode_frames(benchmark: BenchmarkFixture) -> None:
    stream = encode_data(0x50, 1, encode_block(_REPORTS)) * _FRAMES

    def decode() -> int:
        frames = Framer().feed(stream)
        for frame in frames:
            assert isinstance(frame, DataFrame)
            assert len(decode_from_pump(frame.block)) == 3
        return len(frames)

    assert benchmark(decode) == _FRAMES
    benchmark.extra_info["frames_per_round"] = _FRAMES


def test_data_exchange_both_sides(benchmark: BenchmarkFixture) -> None:
    pump, controller = PumpSide([0x50]), ControllerSide([0x50])

    def exchange() -> int:
        pump.send(0x50, _REPORTS)
        controller.poll(0x50, 0)
        for _ in range(2):
            for burst in controller.data_to_send(0):
                pump.receive_data(burst.data, 0)
            for burst in pump.data_to_send(0):
                controller.receive_data(burst.data, 0)
        told = 0
        while controller.next_event() is not NEED_DATA:
            told += 1
        while pump.next_event() is not NEED_DATA:
            told += 1
        return told

    assert benchmark(exchange) == 2
    assert pump.quiet(0x50)
