"""The heartbeat: ten bytes by UDP broadcast, by which nodes find each other and miss each other.

IPv4 address, TCP port that the sender listens on, subnet, node, message code 1, status (IFSF Part 2-02, Communications over
TCP/IP, as four independent implementations send it). Status bits: fangym0335/first only.
"""

from __future__ import annotations

from dataclasses import dataclass

from .codes import MessageCode
from .message import Address

__all__ = [
    "CONFIGURATION_NEEDED",
    "HEARTBEAT_PERIOD_US",
    "HEARTBEAT_PORT",
    "HEARTBEAT_SIZE",
    "MISSED_HEARTBEATS",
    "SOFTWARE_REFRESH",
    "Heartbeat",
    "HeartbeatError",
]

HEARTBEAT_PORT = 3486
HEARTBEAT_SIZE = 10
HEARTBEAT_PERIOD_US = 10_000_000
MISSED_HEARTBEATS = 3
CONFIGURATION_NEEDED = 1
SOFTWARE_REFRESH = 8


class HeartbeatError(ValueError):
    """A datagram that is no heartbeat."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """One heartbeat.

    Attributes:
        ip: IPv4 address in dotted decimal.
        port: TCP port on which the sender takes connections.
        address: the sender's subnet and node.
        status: status bits.
    """

    ip: str
    port: int
    address: Address
    status: int = 0

    def encode(self) -> bytes:
        """Ten bytes. Raises HeartbeatError for an address or port that does not fit."""
        parts = self.ip.split(".")
        if len(parts) != 4 or not all(part.isdecimal() and int(part) < 256 for part in parts):
            raise HeartbeatError(f"{self.ip!r} is not an IPv4 address")
        if not 0 <= self.port <= 0xFFFF:
            raise HeartbeatError(f"{self.port} is no port")
        ip = bytes(int(part) for part in parts)
        port = self.port.to_bytes(2, "big")
        return ip + port + self.address.encode() + bytes((MessageCode.HEARTBEAT, self.status))

    @classmethod
    def decode(cls, data: bytes) -> Heartbeat:
        """Read a datagram. Raises HeartbeatError when it is none."""
        if len(data) != HEARTBEAT_SIZE:
            raise HeartbeatError(f"a heartbeat has {HEARTBEAT_SIZE} bytes, not {len(data)}")
        if data[8] != MessageCode.HEARTBEAT:
            raise HeartbeatError(f"message code {data[8]} where a heartbeat has 1")
        return cls(
            ".".join(str(part) for part in data[:4]),
            int.from_bytes(data[4:6], "big"),
            Address(data[6], data[7]),
            data[9],
        )
