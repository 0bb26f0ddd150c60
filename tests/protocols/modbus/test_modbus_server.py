from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.framer.rtu import FramerRTU
from pymodbus.framer.socket import FramerSocket
from pymodbus.pdu import DecodePDU

from protocols.modbus import (
    Frame,
    ModbusServer,
    Refusal,
    RegisterBank,
    Scope,
    rtu_frame,
    rtu_silence_us,
    tcp_frame,
)
from protocols.sansio import Machine

UNIT = 17


class Device:
    """Registers that remember: values by scope and name, and what was written in which order."""

    def __init__(self) -> None:
        self.values: dict[tuple[Scope, str], int] = {}
        self.writes: list[tuple[int, int, str, int]] = []
        self.refuse: dict[str, int] = {}
        self.version: int | None = None
        self.reads = 0

    def read_register(self, scope: Scope, name: str, now_us: int) -> int:
        self.reads += 1
        return self.values.get((scope, name), 0)

    def generation(self) -> int | None:
        return self.version

    def write_register(self, scope: Scope, name: str, value: int, now_us: int) -> None:
        if name in self.refuse:
            raise Refusal(self.refuse[name])
        self.writes.append((scope.fuelling_point, scope.nozzle, name, value))


class Bench:
    def __init__(self, **options) -> None:
        self.device = Device()
        self.server = ModbusServer(RegisterBank(self.device, {1: (1, 2), 2: (1,)}), UNIT, **options)

    def tcp(self, data: bytes, now_us: int = 0) -> bytes:
        self.server.receive_data(data, now_us)
        return b"".join(burst.data for burst in self.server.data_to_send(now_us))

    def pdu(self, pdu: str, unit: int = UNIT) -> str | None:
        """Ask one PDU over TCP; return the reply's PDU in hex."""
        reply = self.tcp(tcp_frame(Frame(unit, 0x0102, bytes.fromhex(pdu))))
        if not reply:
            return None
        assert reply[:4] == b"\x01\x02\x00\x00"
        assert int.from_bytes(reply[4:6], "big") == len(reply) - 6
        assert reply[6] == unit
        return reply[7:].hex()


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_both_kinds_are_machines(bench: Bench) -> None:
    assert isinstance(bench.server, Machine)


@pytest.mark.parametrize("function", ["03", "04"])
def test_values_of_several_registers_come_high_word_first(bench: Bench, function: str) -> None:
    bench.device.values[Scope(1), "display_volume"] = 0x0001_8705
    bench.device.values[Scope(1), "display_amount"] = 31_415
    bench.device.values[Scope(1, 2), "total_volume"] = 0x0102_0304_0506_0708
    assert bench.pdu(f"{function} 00cc 0004") == f"{function}08 00018705 00007ab7".replace(" ", "")
    assert bench.pdu(f"{function} 0138 0004") == f"{function}08 0102030405060708".replace(" ", "")
    # The middle of a value may be read, as the specification has registers and no values.
    assert bench.pdu(f"{function} 00cd 0001") == f"{function}02 8705".replace(" ", "")


@pytest.mark.parametrize(
    ("request_pdu", "reply_pdu"),
    [
        ("63", "e301"),
        ("00", "8001"),
        ("01 0000 0001", "8101"),
        ("17 0000 0001 0000 0001 02 0000", "9701"),
        ("2b 0e 01 00", "ab01"),
        ("80", "8001"),
        ("83 02", "8301"),
    ],
)
def test_a_wrong_function_gets_its_own_code_and_exception_1(
    bench: Bench, request_pdu: str, reply_pdu: str
) -> None:
    assert bench.pdu(request_pdu) == reply_pdu


@pytest.mark.parametrize(
    ("request_pdu", "reply_pdu"),
    [
        ("03 0000 0000", "8303"),
        ("03 0000 007e", "8303"),
        ("04 0000 ffff", "8403"),
        ("03 0000", "8303"),
        ("03", "8303"),
        ("03 0000 0001 00", "8303"),
        ("06 00f0 00", "8603"),
        ("10 00f2 0000 00", "9003"),
        ("10 00f2 007c f8" + "0000" * 124, "9003"),
        ("10 00f2 0002 02 0001", "9003"),
        ("10 00f2 0001 02 00", "9003"),
        ("10 00f2 0001 04 0001", "9003"),
        ("10 00f2", "9003"),
    ],
)
def test_wrong_counts_and_lengths_get_exception_3(
    bench: Bench, request_pdu: str, reply_pdu: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert bench.pdu(request_pdu) == reply_pdu
    assert not bench.device.writes
    assert not caplog.records  # pymodbus would report them, on standard error if nobody listens


@pytest.mark.parametrize(
    ("request_pdu", "reply_pdu"),
    [
        ("03 0005 0001", "8302"),
        ("03 0004 0002", "8302"),
        ("03 ffff 0002", "8302"),
        ("04 00eb 0001", "8402"),
        ("03 0258 0001", "8302"),
        ("06 00c8 0001", "8602"),
        ("10 00c8 0001 02 0001", "9002"),
        ("10 00f7 0002 04 0001 0001", "9002"),
    ],
)
def test_wrong_addresses_and_read_only_registers_get_exception_2(
    bench: Bench, request_pdu: str, reply_pdu: str
) -> None:
    assert bench.pdu(request_pdu) == reply_pdu
    assert not bench.device.writes


def test_counts_are_checked_before_addresses(bench: Bench) -> None:
    assert bench.pdu("03 ffff 0000") == "8303"
    assert bench.pdu("10 ffff 0002 02 0000") == "9003"


def test_a_value_of_two_registers_is_written_whole_or_not_at_all(bench: Bench) -> None:
    assert bench.pdu("06 00f0 0001") == "8603"
    assert bench.pdu("10 00f1 0002 04 0001 0002") == "9003"
    assert not bench.device.writes
    assert bench.pdu("10 00f0 0002 04 0001 0002") == "1000f00002"
    assert bench.device.writes == [(1, 0, "acknowledge", 0x0001_0002)]


def test_a_command_and_its_parameters_are_written_in_order(bench: Bench) -> None:
    assert bench.pdu("10 00f2 0006 0c 0007 0002 0002 0000 2710 0003") == "1000f20006"
    assert bench.device.writes == [
        (1, 0, "token", 7),
        (1, 0, "allowed_nozzles", 2),
        (1, 0, "preset_kind", 2),
        (1, 0, "preset_value", 10_000),
        (1, 0, "command", 3),
    ]
    assert bench.pdu("06 012c 02f8") == "06012c02f8"
    assert bench.device.writes[-1] == (1, 1, "price", 760)


def test_an_unchanged_device_is_not_asked_again(bench: Bench) -> None:
    bench.device.version = 1
    assert bench.pdu("03 00c8 0001") == "03020000"
    bench.device.values[Scope(1), "state"] = 4
    assert bench.pdu("03 00c8 0001") == "03020000"
    assert bench.device.reads == 1
    assert bench.pdu("04 00c8 0001") == "04020004"
    bench.device.version = 2
    assert bench.pdu("03 00c8 0001") == "03020004"
    bench.device.version = None
    bench.device.values[Scope(1), "state"] = 8
    assert bench.pdu("03 00c8 0001") == "03020008"
    assert bench.pdu("06 00f2 0001") == bench.pdu("06 00f2 0001") == "0600f20001"
    assert len(bench.device.writes) == 2


def test_the_device_may_refuse_a_value(bench: Bench) -> None:
    bench.device.refuse["price"] = 6
    assert bench.pdu("06 012c 02f8") == "8606"


def test_another_unit_gets_exception_11_or_silence_on_tcp(bench: Bench) -> None:
    assert bench.pdu("03 0000 0001", unit=9) == "830b"
    assert Bench(absent_unit="silence").pdu("03 0000 0001", unit=9) is None
    for direct in (0, 255):
        assert bench.pdu("03 0002 0001", unit=direct) == "03020000"


@pytest.mark.requirement("fd-link.split-or-glued-frames-decode-alike")
def test_pipelined_requests_are_all_answered_in_order_with_their_own_ids(bench: Bench) -> None:
    requests = [Frame(UNIT, tid, bytes.fromhex("0300c80001")) for tid in (7, 7, 65_535, 1, 0)]
    requests.insert(2, Frame(UNIT, 99, b"\x63"))
    stream = bench.tcp(b"".join(tcp_frame(one) for one in requests))
    expected = [
        Frame(UNIT, one.transaction_id, b"\x03\x02\x00\x00" if one.pdu[0] == 3 else b"\xe3\x01")
        for one in requests
    ]
    assert stream == b"".join(tcp_frame(one) for one in expected)


@pytest.mark.requirement("fd-link.split-or-glued-frames-decode-alike")
@given(data=st.data())
def test_any_chunking_of_a_tcp_stream_gives_the_same_replies(data: st.DataObject) -> None:
    pdus = ["0300c80023", "63", "0600f20001", "03ffff0001", "1000f00002040000 0001", "030000"]
    stream = b"".join(
        tcp_frame(Frame(unit, tid, bytes.fromhex(pdu)))
        for tid, (unit, pdu) in enumerate([(UNIT, one) for one in pdus] + [(3, "63")])
    )
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    bench = Bench()
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert b"".join(bench.tcp(piece) for piece in pieces) == Bench().tcp(stream)


def test_a_foreign_protocol_id_is_dropped_and_the_next_request_answered(bench: Bench) -> None:
    foreign = bytearray(tcp_frame(Frame(UNIT, 1, b"\x03\x00\x00\x00\x01")))
    foreign[3] = 1
    assert bench.tcp(bytes(foreign) + tcp_frame(Frame(UNIT, 2, b"\x63"))) == tcp_frame(
        Frame(UNIT, 2, b"\xe3\x01")
    )
    assert bench.server.bad_frames == 1


@pytest.mark.parametrize("length", [0, 1, 301, 65_535])
def test_an_impossible_length_asks_for_a_new_connection(bench: Bench, length: int) -> None:
    assert bench.tcp(b"\x00\x01\x00\x00" + length.to_bytes(2, "big") + b"\x11\x03") == b""
    assert bench.server.wants_close
    assert bench.tcp(tcp_frame(Frame(UNIT, 2, b"\x63"))) == b""


@pytest.mark.requirement("fd-link.unknown-input-never-crashes")
@given(st.binary(max_size=600))
def test_noise_never_breaks_a_server(noise: bytes) -> None:
    for framing in ("tcp", "rtu"):
        bench = Bench(framing=framing)
        bench.tcp(noise, 0)
        bench.server.handle_timer(10_000_000)


def rtu(pdu: str, unit: int = UNIT) -> bytes:
    return rtu_frame(Frame(unit, 0, bytes.fromhex(pdu)))


class RtuBench(Bench):
    def __init__(self) -> None:
        super().__init__(framing="rtu", baud=9_600)
        self.silence_us = rtu_silence_us(9_600)

    def hear(self, data: bytes, now_us: int) -> bytes:
        """Bytes, then silence; returns the reply."""
        self.server.receive_data(data, now_us)
        timer = self.server.next_timer()
        assert timer == now_us + self.silence_us
        self.server.handle_timer(timer)
        assert self.server.next_timer() is None
        return b"".join(burst.data for burst in self.server.data_to_send(timer))


def test_rtu_answers_after_three_and_a_half_characters_of_silence() -> None:
    assert rtu_silence_us(9_600) == 4_011
    assert rtu_silence_us(19_200) == 2_006
    assert rtu_silence_us(115_200) == 1_750
    bench = RtuBench()
    bench.server.receive_data(rtu("0300c80001"), 1_000)
    bench.server.handle_timer(1_000 + bench.silence_us - 1)
    assert bench.server.data_to_send(0) == []
    bench.server.handle_timer(1_000 + bench.silence_us)
    (reply,) = bench.server.data_to_send(0)
    assert reply.data == rtu("03020000")
    assert reply.not_before_us == 1_000 + bench.silence_us


def test_rtu_bytes_in_pieces_within_the_silence_are_one_frame() -> None:
    bench = RtuBench()
    frame = rtu("0300c80001")
    for index, byte in enumerate(frame[:-1]):
        bench.server.receive_data(bytes((byte,)), 1_146 * index)
    assert bench.hear(frame[-1:], 1_146 * 7) == rtu("03020000")


@pytest.mark.requirement("fd-link.truncated-frame-does-not-swallow-next")
@pytest.mark.parametrize("cut", range(1, 8))
def test_an_rtu_frame_that_is_cut_off_does_not_swallow_the_next(cut: int) -> None:
    bench = RtuBench()
    frame = rtu("0300c80001")
    bench.server.receive_data(frame[:cut], 0)
    # No timer was served: the gap itself separates the frames.
    assert bench.hear(frame, bench.silence_us) == rtu("03020000")
    assert bench.server.bad_frames == 1


@pytest.mark.requirement("fd-link.bad-checksum-is-discarded", "fd-link.wrong-address-has-no-effect")
def test_rtu_is_silent_to_bad_crc_to_other_units_and_to_broadcasts() -> None:
    bench = RtuBench()
    good = rtu("0600f20005")
    for position in range(len(good)):
        for bit in range(8):
            bad = bytearray(good)
            bad[position] ^= 1 << bit
            assert bench.hear(bytes(bad), position * 10**6 + bit * 10**5) == b""
    assert bench.device.writes == []
    assert bench.server.bad_frames == 64
    assert bench.hear(rtu("0600f20005", unit=9), 10**8) == b""
    assert bench.device.writes == []
    assert bench.hear(rtu("0600f20005", unit=0), 2 * 10**8) == b""
    assert bench.device.writes == [(1, 0, "token", 5)]
    assert bench.hear(rtu("0300c80001", unit=0), 3 * 10**8) == b""
    assert bench.server.requests == 1


def test_rtu_refuses_as_tcp_does() -> None:
    bench = RtuBench()
    assert bench.hear(rtu("63"), 0) == rtu("e301")
    assert bench.hear(rtu("0300000000"), 10**6) == rtu("8303")
    assert bench.hear(rtu("0300050001"), 2 * 10**6) == rtu("8302")


def test_an_rtu_frame_longer_than_256_bytes_is_dropped() -> None:
    bench = RtuBench()
    assert bench.hear(bytes(5_000), 0) == b""
    assert bench.hear(rtu("0300c80001"), 10**6) == rtu("03020000")


@given(
    unit=st.integers(1, 247),
    tid=st.integers(0, 65_535),
    count=st.integers(1, 125),
    address=st.integers(0, 65_535),
)
def test_pymodbus_reads_our_frames_and_we_read_its(unit: int, tid: int, count: int, address: int) -> None:
    pdu = b"\x03" + address.to_bytes(2, "big") + count.to_bytes(2, "big")
    frame = Frame(unit, tid, pdu)
    used, decoded = FramerSocket(DecodePDU(True)).handleFrame(tcp_frame(frame), 0, 0)
    assert decoded is not None
    assert (used, decoded.dev_id, decoded.transaction_id, decoded.address, decoded.count) == (
        12,
        unit,
        tid,
        address,
        count,
    )
    used, decoded = FramerRTU(DecodePDU(True)).handleFrame(rtu_frame(frame), 0, 0)
    assert decoded is not None
    assert (used, decoded.dev_id, decoded.address, decoded.count) == (8, unit, address, count)


@pytest.mark.parametrize("unit", [0, 248, 255])
def test_a_unit_that_modbus_does_not_have_is_named(unit: int) -> None:
    with pytest.raises(ValueError, match=f"unit {unit} is not in 1..247"):
        ModbusServer(RegisterBank(Device(), {}), unit)
