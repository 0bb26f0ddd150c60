"""Captures of TCP wires as pcapng, for Wireshark and everything that reads its files.

A capture holds what the two ends exchanged, not what a network card saw. So Ethernet, IPv4 and TCP are put around it:
one handshake, sequence and acknowledgement numbers that follow the bytes, right checksums, segments of at most 1,460
bytes, at the microsecond at which the burst had arrived. Addresses are of the block reserved for documentation
(RFC 5737); a name resolution block gives them the names of the wire's ends. A burst that a fault has touched carries a
comment. What arrived nowhere is not here; the ``*.fcap`` file has it.

Format: draft-ietf-opsawg-pcapng (section header, interface, name resolution and enhanced packet blocks), RFC 791, 768 and
9293. Writers on PyPI (dpkt, python-pcapng) have had no release since 2022, and neither puts TCP around bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from sim.wires.capture import Capture, CapturedFrame, CaptureError

__all__ = ["is_tcp", "write_pcapng"]

_SEGMENT_BYTES: Final = 1460
"""What an Ethernet frame of 1,500 bytes has room for."""

_SECTION, _INTERFACE, _NAMES, _PACKET = 0x0A0D0D0A, 1, 4, 6
_ETHERNET: Final = 1
_NO_LENGTH: Final = 0xFFFF_FFFF_FFFF_FFFF
_FIN, _SYN, _PSH, _ACK = 0x01, 0x02, 0x08, 0x10
_TCP, _UDP = 6, 17

_CLIENT_PORT: Final = 49_152
"""First of the ephemeral ports (RFC 6335)."""

_HEARTBEAT_PORT: Final = 3486
"""Where IFSF nodes broadcast."""

_BROADCAST: Final = 0xFF
_MEDIA: Final = frozenset({"link", "tcp", "nodes"})


def is_tcp(capture: Capture) -> bool:
    """Whether the capture is of a TCP wire, so that `write_pcapng` takes it."""
    return capture.about.get("medium") in _MEDIA


def write_pcapng(capture: Capture, path: Path, *, epoch_us: int = 0) -> None:
    """Write a capture of a TCP wire as pcapng; the file appears under its name only when complete.

    Args:
        capture: of a link, a TCP host or IFSF nodes. ``listens`` and ``tcp_port`` of its head say which end is the server
            and on which port; without them the second sender is, on port 4,000 and up.
        path: the file.
        epoch_us: Unix time of the capture's instant 0, microseconds.

    Raises:
        CaptureError: the capture is of a bus or a serial line, or its instants lie before 1970.
        OSError: the folder cannot be written.
    """
    if not is_tcp(capture):
        medium = capture.about.get("medium", "unknown")
        raise CaptureError(f"capture of {capture.wire}: medium is {medium!r}; only TCP has a pcapng")
    if epoch_us < 0:
        raise CaptureError(f"capture of {capture.wire}: epoch_us starts at 0, not {epoch_us}")
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.writelines(_blocks(capture, epoch_us))
    partial.replace(path)


def _blocks(capture: Capture, epoch_us: int) -> Iterator[bytes]:
    section = struct.pack("<IHHQ", 0x1A2B3C4D, 1, 0, _NO_LENGTH)
    yield _block(_SECTION, section + _options((4, b"forecourt")))
    about = f"forecourt wire, {capture.about['medium']}; Ethernet, IPv4 and TCP are put around its bytes"
    interface = struct.pack("<HHI", _ETHERNET, 0, 0)
    yield _block(
        _INTERFACE,
        interface + _options((2, capture.wire.encode()), (3, about.encode()), (9, b"\x06")),
    )
    ends = _ends(capture)
    names = b"".join(_name_record(host, name) for name, host in ends.items())
    yield _block(_NAMES, names + struct.pack("<HH", 0, 0))
    flows = _flows(capture, ends)
    for frame in capture:
        if frame.data:
            for packet in flows[frame.sender].packets(frame.data):
                yield _packet(epoch_us + frame.t_us, packet, _comment(frame))


def _comment(frame: CapturedFrame) -> str:
    if not frame.note:
        return ""
    sent = "nobody sent it" if not frame.sent else f"sent as {frame.sent.hex()}"
    return f"{frame.note}; {sent}"


# Who speaks to whom.


def _ends(capture: Capture) -> dict[str, int]:
    """Name of each end -> last byte of its address."""
    names = [name for name in capture.ports if not name.endswith("/udp")]
    return {name: number for number, name in enumerate(names[:250], start=1)}


def _flows(capture: Capture, ends: dict[str, int]) -> dict[str, _Segments | _Datagrams]:
    about = capture.about
    listens = str(about.get("listens", next(iter(list(ends)[1:]), "")))
    port = int(about.get("tcp_port", 4_000))
    flows: dict[str, _Segments | _Datagrams] = {}
    if about["medium"] == "nodes":  # each end dials the other: two connections, each used one way
        for number, (name, host) in enumerate(ends.items()):
            far = next((other for other in ends.values() if other != host), _BROADCAST)
            connection = _Connection((host, _CLIENT_PORT + number), (far, port + 1 - number % 2))
            flows[name] = _Segments(connection, from_server=False)
            flows[f"{name}/udp"] = _Datagrams(host)
        return flows
    server = (ends.get(listens, 2), port)
    clients = [(name, host) for name, host in ends.items() if name != listens]
    connections = {name: _Connection((host, _CLIENT_PORT), server) for name, host in clients}
    for name, connection in connections.items():
        flows[name] = _Segments(connection, from_server=False)
    for connection in list(connections.values())[:1] or [_Connection((1, _CLIENT_PORT), server)]:
        flows[listens] = _Segments(connection, from_server=True)
    return flows


class _Connection:
    """One connection: next sequence number of either end. The handshake is made when the first byte passes."""

    def __init__(self, client: tuple[int, int], server: tuple[int, int]) -> None:
        self.ends = (client, server)
        self.next = [1_000, 2_000]
        self.is_open = False

    def segment(self, end: int, flags: int, data: bytes = b"") -> bytes:
        """The packet with which an end (0 client, 1 server) says this, and its sequence number moved on."""
        (host, port), (far, far_port) = self.ends[end], self.ends[1 - end]
        acknowledged = self.next[1 - end] if flags & _ACK else 0
        header = struct.pack(
            ">HHIIBBHHH", port, far_port, self.next[end], acknowledged, 5 << 4, flags, 0xFFFF, 0, 0
        )
        self.next[end] = (self.next[end] + len(data) + (flags & (_SYN | _FIN) != 0)) & 0xFFFF_FFFF
        body = _sealed(header + data, 16, _TCP, host, far)
        return _ip(body, _TCP, host, far)


class _Segments:
    """What one end of a connection says."""

    def __init__(self, connection: _Connection, *, from_server: bool) -> None:
        self._connection = connection
        self._end = int(from_server)

    def packets(self, data: bytes) -> Iterator[bytes]:
        connection = self._connection
        if not connection.is_open:
            connection.is_open = True
            yield connection.segment(0, _SYN)
            yield connection.segment(1, _SYN | _ACK)
            yield connection.segment(0, _ACK)
        for at in range(0, len(data), _SEGMENT_BYTES):
            yield connection.segment(self._end, _PSH | _ACK, data[at : at + _SEGMENT_BYTES])


class _Datagrams:
    """What one IFSF node broadcasts."""

    def __init__(self, host: int) -> None:
        self._host = host

    def packets(self, data: bytes) -> Iterator[bytes]:
        header = struct.pack(">HHHH", _HEARTBEAT_PORT, _HEARTBEAT_PORT, 8 + len(data), 0)
        body = _sealed(header + data, 6, _UDP, self._host, _BROADCAST)
        yield _ip(body, _UDP, self._host, _BROADCAST)


# Packets.


def _address(host: int) -> bytes:
    return bytes((192, 0, 2, host))


def _sum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    total: int = sum(struct.unpack(f">{(len(data) + 1) // 2}H", data + b"\x00" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _sealed(body: bytes, at: int, protocol: int, host: int, far: int) -> bytes:
    """A TCP or UDP packet with its checksum, which covers the addresses too."""
    pseudo = _address(host) + _address(far) + struct.pack(">BBH", 0, protocol, len(body))
    check = _sum(pseudo + body) or 0xFFFF  # of UDP, where 0 means none; TCP takes either
    return body[:at] + struct.pack(">H", check) + body[at + 2 :]


def _ip(body: bytes, protocol: int, host: int, far: int) -> bytes:
    header = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0x4000, 64, protocol, 0)
    header += _address(host) + _address(far)
    header = header[:10] + struct.pack(">H", _sum(header)) + header[12:]
    # Locally administered addresses; a broadcast goes to everybody.
    to = b"\xff" * 6 if far == _BROADCAST else bytes((2, 0, 0, 0, 0, far))
    return to + bytes((2, 0, 0, 0, 0, host)) + b"\x08\x00" + header + body


# Blocks.


def _padded(data: bytes) -> bytes:
    return data + b"\x00" * (-len(data) % 4)


def _block(kind: int, body: bytes) -> bytes:
    size = 12 + len(body)
    return struct.pack("<II", kind, size) + body + struct.pack("<I", size)


def _options(*options: tuple[int, bytes]) -> bytes:
    return b"".join(
        struct.pack("<HH", code, len(value)) + _padded(value) for code, value in _kept(options)
    ) + struct.pack("<HH", 0, 0)


def _kept(options: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """An option holds 64 KiB at most."""
    for code, value in options:
        yield code, value[:0xFFF0]


def _name_record(host: int, name: str) -> bytes:
    # Names of hosts have no blanks; a null ends them.
    value = _address(host) + "-".join(name.split()).replace("\0", "").encode() + b"\0"
    return struct.pack("<HH", 1, len(value)) + _padded(value)


def _packet(at_us: int, data: bytes, comment: str) -> bytes:
    head = struct.pack("<IIIII", 0, at_us >> 32, at_us & 0xFFFF_FFFF, len(data), len(data))
    tail = _options((1, comment.encode())) if comment else b""
    return _block(_PACKET, head + _padded(data) + tail)
