"""Frames a second of each codec, written and read, beside the least that any codec in Python does to as many bytes.

One frame of each protocol carries a finished or a running sale, or the stock of four tanks. "Bare" is one checksum and one
slice, both in C, called from Python for the same bytes, in the same process right before and after. Only the last column
means anything on another machine. Run it with ``-s`` to see the table.
"""

# ruff: noqa: S101, T201 - a test that shows a table

from __future__ import annotations

import binascii
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final

import pytest

from protocols import aaff, dart, ifsf, modbus, tls, twowire
from protocols.sansio import NEED_DATA

pytestmark = pytest.mark.bench

_FRAMES: Final = 300
_ROUNDS: Final = 15
_MOST_TIMES_BARE: Final = 400
"""A guard, not a goal: the dearest of them (a printed inventory, forty fields of BCD) take less than half of it."""


@dataclass(frozen=True, slots=True)
class _Codec:
    """One frame both ways; `read` says whether it understood."""

    name: str
    raw: bytes
    write: Callable[[], bytes]
    read: Callable[[bytes], bool]


def _dart() -> _Codec:
    reports = (
        dart.FilledReport(volume_units=3_100, amount_units=5_100),
        dart.NozzleReport(price_units=1_645, nozzle=0, out=False),
        dart.StatusReport(status=dart.PumpStatus.FILLING_COMPLETED),
    )
    framer = dart.Framer()

    def write() -> bytes:
        return dart.encode_data(0x50, 1, dart.encode_block(reports))

    def read(raw: bytes) -> bool:
        (frame,) = framer.feed(raw)
        assert isinstance(frame, dart.DataFrame)
        return len(dart.decode_from_pump(frame.block)) == 3

    return _Codec("DART: filled, nozzle, status", write(), write, read)


def _twowire() -> _Codec:
    sale = twowire.Transaction(pump=2, grade=3, price_units=1_070, volume_units=23_360, money_units=25_000)
    return _Codec(
        "Two-Wire: transaction",
        sale.encode(),
        sale.encode,
        lambda raw: twowire.decode_transaction(raw) == sale,
    )


def _aaff() -> _Codec:
    when = bytes.fromhex("261122025028")
    sale = aaff.SaleRecord(
        uid=1_002,
        volume_units=3_100,
        price_units=686,
        amount_units=21_266,
        total_before_units=1_000_000,
        total_after_units=1_003_100,
        started=when,
        ended=when,
    )
    message = aaff.Sale(sale)
    framer = aaff.Framer()

    def write() -> bytes:
        return aaff.encode_frame(aaff.Direction.FROM_PUMP, message.command, 1, message.encode())

    def read(raw: bytes) -> bool:
        (frame,) = framer.feed(raw)
        assert isinstance(frame, aaff.Frame)
        return aaff.decode_from_pump(frame.command, frame.body) == message

    return _Codec("AA FF: sale record", write(), write, read)


def _ifsf() -> _Codec:
    message = ifsf.Message(
        receiver=ifsf.Address(2, 1),
        originator=ifsf.Address(1, 3),
        kind=ifsf.MessageKind.ANSWER,
        token=5,
        database=bytes.fromhex("2121000001"),
        elements=tuple(ifsf.Element(number, bytes.fromhex("0400003100")) for number in (1, 5, 6, 7, 8, 10)),
    )
    framer = ifsf.StreamFramer()

    def read(raw: bytes) -> bool:
        (whole,) = framer.feed(raw)
        return ifsf.decode_message(whole) == message

    return _Codec(
        "IFSF: answer of six elements",
        ifsf.encode_message(message),
        lambda: ifsf.encode_message(message),
        read,
    )


def _modbus_tcp() -> _Codec:
    _, count = modbus.point_read(1)
    pdu = bytes((3, 2 * count)) + bytes(range(2 * count))
    assembler = modbus.TcpAssembler()

    def write() -> bytes:
        return modbus.tcp_frame(modbus.Frame(1, 7, pdu))

    def read(raw: bytes) -> bool:
        (frame,) = assembler.feed(raw)
        return frame.pdu == pdu

    return _Codec("Modbus TCP: block of a fuelling point", write(), write, read)


def _modbus_rtu() -> _Codec:
    _, count = modbus.point_read(1)
    pdu = bytes((3, 2 * count)) + bytes(range(2 * count))
    assembler = modbus.RtuAssembler(modbus.rtu_silence_us(9_600))

    def write() -> bytes:
        return modbus.rtu_frame(modbus.Frame(1, 0, pdu))

    def read(raw: bytes) -> bool:
        assembler.feed(raw, 0)
        frame = assembler.end()
        return frame is not None and frame.pdu == pdu

    return _Codec("Modbus RTU: block of a fuelling point", write(), write, read)


def _tls() -> _Codec:
    tanks = [
        tls.Inventory(tank, "1", 0, 15_000.0, 14_950.0, 12_000.0, 1_200.0, 3.5, 15.5, 20.0)
        for tank in (1, 2, 3, 4)
    ]
    at = datetime(2026, 3, 6, 10)  # noqa: DTZ001 - a console's clock has no zone
    reader = tls.ReplyReader()

    def write() -> bytes:
        return tls.computer_reply("i20100", at, tls.write_inventory(tanks))

    def read(raw: bytes) -> bool:
        reader.receive_data(raw)
        reply = reader.next_event()
        assert isinstance(reply, tls.ComputerReply), reply
        assert reader.next_event() is NEED_DATA
        return len(tls.read_inventory(reply.data)) == 4

    return _Codec("TLS gauge: inventory of four tanks", write(), write, read)


def _frame_s(act: Callable[[], object]) -> float:
    """CPU seconds of one call, in a loop of many."""
    begun = time.process_time()
    for _ in range(_FRAMES):
        act()
    return (time.process_time() - begun) / _FRAMES


def _bare(raw: bytes) -> Callable[[], object]:
    checksum = binascii.crc_hqx

    def bare() -> bytes:
        checksum(raw, 0)
        return raw[2:-2]

    return bare


@pytest.mark.benchmark(group="frames of all protocols")
def test_frames_a_second(benchmark: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """All codecs in one run, each beside the same bytes without a codec."""
    codecs = [make() for make in (_dart, _twowire, _aaff, _ifsf, _modbus_tcp, _modbus_rtu, _tls)]
    rows = []
    for codec in codecs:
        assert codec.read(codec.raw)
        assert codec.write() == codec.raw
        bare = _bare(codec.raw)
        acts: dict[str, Callable[[], object]] = {
            "written": codec.write,
            "read": partial(codec.read, codec.raw),
        }
        spent: dict[str, list[float]] = {"bare": [], **{name: [] for name in acts}}
        for _ in range(_ROUNDS):
            spent["bare"].append(_frame_s(bare))
            for name, act in acts.items():
                spent[name].append(_frame_s(act))
        told = f"{codec.name:<38} {len(codec.raw):>4} bytes"
        for name in acts:
            cost_s = statistics.median(spent[name])
            times = cost_s / statistics.median(spent["bare"])
            told += f"  {name} {1 / cost_s:>9,.0f}/s = {times:5.1f} x bare"
            benchmark.extra_info[f"{codec.name}, {name}"] = {
                "frames_per_s": round(1 / cost_s),
                "times_bare": round(times, 1),
            }
            assert times < _MOST_TIMES_BARE, f"{codec.name} {name}: {times:.0f} times its bytes alone"
        rows.append(told)
    with capsys.disabled():
        print("\n" + "\n".join(rows))
    benchmark.pedantic(lambda: [codec.write() for codec in codecs], rounds=5)
