"""Captures of TCP wires as pcapng: read back by a reader of our own and by unmodified tshark."""

from __future__ import annotations

import asyncio
import json
import struct
import subprocess

import pytest

from sim.wires import (
    Capture,
    CaptureError,
    VirtualLink,
    WireFault,
    connect_machine_tcp,
    is_tcp,
    serve_line_tcp,
    write_pcapng,
)

EPOCH_US = 1_780_000_000_000_000
READ = bytes.fromhex("0001 0000 0006 01 03 0000 0002")
ANSWER = bytes.fromhex("0001 0000 0007 01 03 04 002a 0007")


def link_capture(*, long: bytes = b"") -> Capture:
    capture = Capture("pumps")
    capture.describe(medium="link", listens="pump", tcp_port=502)
    site, pump = capture.port("site"), capture.port("pump")
    capture.record(1_000, site, READ)
    capture.record(1_501, pump, ANSWER)
    capture.record_touched(250_000, site, READ[:5], "cut", READ)
    capture.record_touched(300_000, site, b"", "drop", READ)
    capture.record(2_000_000, pump, long or ANSWER)
    return capture


def blocks(data: bytes):
    """Read blocks by the format's own words: type, total length, body, total length again."""
    while data:
        kind, size = struct.unpack_from("<II", data)
        assert size % 4 == 0
        assert struct.unpack_from("<I", data, size - 4) == (size,)
        yield kind, data[8 : size - 4]
        data = data[size:]


def packets(data: bytes):
    for kind, body in blocks(data):
        if kind == 6:
            _, high, low, kept, length = struct.unpack_from("<IIIII", body)
            assert kept == length
            yield (high << 32) + low, body[20 : 20 + kept], body[20 + kept + -kept % 4 :]


def ones_sum(data: bytes) -> int:
    total = 0
    for at in range(0, len(data), 2):
        total += int.from_bytes(data[at : at + 2].ljust(2, b"\0"), "big")
    return total % 0xFFFF  # all ones is 0 in this arithmetic


def test_the_packets_carry_the_bytes_with_right_numbers_checksums_and_times(tmp_path):
    path = tmp_path / "pumps.pcapng"
    long = bytes(range(256)) * 12
    write_pcapng(link_capture(long=long), path, epoch_us=EPOCH_US)
    kinds = [kind for kind, _ in blocks(path.read_bytes())]
    assert kinds[:3] == [0x0A0D0D0A, 1, 4]
    said: dict[int, bytearray] = {}
    times = []
    for at_us, packet, _ in packets(path.read_bytes()):
        ip = packet[14:]
        assert packet[12:14] == b"\x08\x00"
        assert ones_sum(ip[:20]) == 0
        assert struct.unpack_from(">H", ip, 2) == (len(ip),)
        tcp = ip[20:]
        assert ones_sum(ip[12:20] + struct.pack(">HH", 6, len(tcp)) + tcp) == 0
        source, _, number, acknowledged, offset, flags = struct.unpack_from(">HHIIBB", tcp)
        data = tcp[offset >> 4 << 2 :]
        if flags & 2:
            said[source] = bytearray()
            start = {49152: 1_000, 502: 2_000}[source]
            assert number == start
        else:
            start = {49152: 1_001, 502: 2_001}
            assert number - start[source] == len(said[source])
            other = 502 if source == 49152 else 49152
            assert acknowledged - start[other] == len(said[other])
            said[source] += data
            if data:
                times.append(at_us - EPOCH_US)
            assert len(data) <= 1460
    assert said == {49152: READ + READ[:5], 502: ANSWER + long}
    assert times == [1_000, 1_501, 250_000, 2_000_000, 2_000_000, 2_000_000]


def test_a_touched_burst_has_a_comment(tmp_path):
    path = tmp_path / "pumps.pcapng"
    write_pcapng(link_capture(), path)
    comments = [
        options[4 : 4 + struct.unpack_from("<H", options, 2)[0]].decode()
        for _, _, options in packets(path.read_bytes())
        if options
    ]
    assert comments == [f"cut; sent as {READ.hex()}"]


def test_a_bus_has_no_pcapng(tmp_path):
    capture = Capture("east")
    capture.describe(medium="bus", baud=9600)
    assert not is_tcp(capture)
    with pytest.raises(CaptureError, match=r"east: medium is 'bus'; only TCP has a pcapng"):
        write_pcapng(capture, tmp_path / "east.pcapng")
    assert not list(tmp_path.iterdir())


def test_instants_before_1970_are_refused(tmp_path):
    with pytest.raises(CaptureError, match="epoch_us starts at 0"):
        write_pcapng(link_capture(), tmp_path / "x.pcapng", epoch_us=-1)


def tshark(foreign, path, *arguments: str) -> list[dict[str, list[str]]]:
    program = foreign.program("tshark", install="apt-get install tshark")
    fields = [part for name in arguments for part in ("-e", name)]
    checks = [
        part
        for name in ("ip.check_checksum", "tcp.check_checksum", "udp.check_checksum")
        for part in ("-o", f"{name}:TRUE")
    ]
    done = subprocess.run(
        [program, "-r", str(path), "-T", "json", *checks, *fields],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return [packet["_source"]["layers"] for packet in json.loads(done.stdout)]


@pytest.mark.foreign
def test_tshark_reads_it_and_sees_modbus(foreign, tmp_path):
    path = tmp_path / "pumps.pcapng"
    write_pcapng(link_capture(), path, epoch_us=EPOCH_US)
    seen = tshark(
        foreign, path, "frame.time_epoch", "frame.protocols", "ip.checksum.status", "tcp.checksum.status",
        "tcp.analysis.flags", "modbus.func_code", "modbus.regval_uint16", "tcp.payload", "tcp.len",
    )  # fmt: skip
    assert {packet["ip.checksum.status"][0] for packet in seen} == {"1"}
    assert {packet["tcp.checksum.status"][0] for packet in seen} == {"1"}
    assert not [
        packet for packet in seen if "tcp.analysis.flags" in packet
    ]  # nothing lost, repeated or out of order
    spoken = [packet for packet in seen if packet["tcp.len"] != ["0"]]
    assert [packet["frame.time_epoch"][0][:17] for packet in spoken[:2]] == [
        "1780000000.001000",
        "1780000000.001501",
    ]
    read, answer = spoken[0], spoken[1]
    assert read["frame.protocols"][0].endswith(":tcp:mbtcp:modbus")
    assert read["modbus.func_code"] == answer["modbus.func_code"] == ["3"]
    assert answer["modbus.regval_uint16"] == ["42", "7"]
    assert answer["tcp.payload"][0].replace(":", "") == ANSWER.hex()


@pytest.mark.foreign
def test_tshark_reads_the_two_connections_and_the_datagrams_of_ifsf_nodes(foreign, tmp_path):
    capture = Capture("island")
    capture.describe(medium="nodes", tcp_port=8801)
    for name in ("site", "pump", "site/udp", "pump/udp"):
        capture.port(name)
    for t_us, sender in ((0, 2), (10, 3), (20, 0), (30, 1), (40, 0)):
        capture.record(t_us, sender, bytes((sender, 7)))
    path = tmp_path / "island.pcapng"
    write_pcapng(capture, path)
    seen = tshark(
        foreign, path, "ip.src", "tcp.stream", "tcp.dstport", "tcp.checksum.status", "udp.checksum.status",
        "udp.dstport", "tcp.len",
    )  # fmt: skip
    datagrams = [packet for packet in seen if "udp.dstport" in packet]
    assert [(one["udp.dstport"], one["udp.checksum.status"]) for one in datagrams] == [(["3486"], ["1"])] * 2
    spoken = [packet for packet in seen if packet.get("tcp.len", ["0"]) != ["0"]]
    assert [(one["tcp.stream"][0], one["tcp.dstport"][0], one["ip.src"][0]) for one in spoken] == [
        ("0", "8802", "192.0.2.1"),
        ("1", "8801", "192.0.2.2"),
        ("0", "8802", "192.0.2.1"),
    ]
    assert {one["tcp.checksum.status"][0] for one in spoken} == {"1"}


@pytest.mark.foreign
def test_tshark_shows_the_names_of_the_ends_and_the_comment(foreign, tmp_path):
    path = tmp_path / "pumps.pcapng"
    write_pcapng(link_capture(), path)
    program = foreign.program("tshark", install="apt-get install tshark")
    done = subprocess.run(
        [program, "-r", str(path), "-N", "n", "-T", "fields", "-e", "_ws.col.Source", "-e", "frame.comment"],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert {row[0] for row in rows} == {"site", "pump"}
    assert [row[1] for row in rows if row[1]] == [f"cut; sent as {READ.hex()}"]


def test_a_link_and_the_hosts_say_who_listens_and_where(kernel, scripted, tmp_path):
    capture = Capture("pumps")
    a, b = scripted((10, READ)), scripted((900, ANSWER))
    VirtualLink(kernel, "pumps", a, b, latency_us=5, capture=capture, names=("site", "pump"), tcp_port=502)
    kernel.run(10_000)
    assert (capture.about["listens"], capture.about["tcp_port"]) == ("pump", 502)

    async def real() -> tuple[Capture, Capture, int]:
        served, dialled = Capture("line"), Capture("line")
        server = await serve_line_tcp(scripted(), "127.0.0.1", 0, lambda: 0, name="pump", capture=served)
        client = await connect_machine_tcp(scripted(), "127.0.0.1", server.port, lambda: 0, capture=dialled)
        await client.aclose()
        await server.aclose()
        return served, dialled, server.port

    served, dialled, port = asyncio.run(real())
    assert served.about == {"medium": "tcp", "listens": "pump", "tcp_port": port}
    assert dialled.about == {"medium": "tcp", "listens": "peer", "tcp_port": port}


def test_a_fault_on_a_link_shows_in_the_pcapng(kernel, scripted, tmp_path):
    capture = Capture("pumps")
    a, b = scripted((10, READ), (20, READ)), scripted()
    faults = [WireFault(kind="glue", limit=1)]
    VirtualLink(kernel, "pumps", a, b, latency_us=5, faults=faults, capture=capture)
    kernel.run(10_000)
    write_pcapng(capture, tmp_path / "pumps.pcapng")
    carried = [packet[54:] for _, packet, _ in packets((tmp_path / "pumps.pcapng").read_bytes())]
    assert [data for data in carried if data] == [READ + READ]
