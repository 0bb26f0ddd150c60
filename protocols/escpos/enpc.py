"""The datagrams with which a host reaches an Epson network board beside the print data, on UDP port 3289.

Layout and functions: Epson UB-E02 technical reference, section 4.7 (00 11, 00 12, 00 13, 00 16); TM-U230 specification,
appendix F (00 15). The replies of 00 00 (basic information) and 00 10 (status) are not laid out in what we have read, so a
board says that it does not support them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

__all__ = [
    "ENPC_PORT",
    "EnpcFunction",
    "EnpcRequest",
    "EnpcResult",
    "enpc_reply",
    "enpc_request",
    "read_enpc_reply",
    "read_enpc_request",
]

ENPC_PORT: Final = 3289

_HEADER_BYTES: Final = 14
_PRINTER: Final = b"\x03\x00"


class EnpcResult(IntEnum):
    """Result codes of a reply."""

    NORMAL = 0x0000
    NO_DEVICE = 0xFFFE
    UNSUPPORTED = 0xFFFF


class EnpcFunction(IntEnum):
    """What a board can be asked for."""

    BASIC_INFORMATION = 0x0000
    STATUS = 0x0010
    FORCED_TRANSMISSION = 0x0011
    RESET = 0x0012
    FLUSH = 0x0013
    FORCED_MODE = 0x0015
    CLEAR_TIMER = 0x0016


@dataclass(frozen=True, slots=True)
class EnpcRequest:
    """A request.

    Attributes:
        kind: ``Q`` (query) or ``C`` (command).
        device: type and number of the device asked for: ``03 00`` is the printer.
        function: its number, known or not.
        data: parameters.
    """

    kind: str
    device: bytes
    function: int
    data: bytes

    @property
    def is_for_printer(self) -> bool:
        """Whether the printer is meant."""
        return self.device == _PRINTER


def read_enpc_request(datagram: bytes) -> EnpcRequest | None:
    """Decode a datagram; None for whatever else arrives on that port."""
    if len(datagram) < _HEADER_BYTES or datagram[:5] != b"EPSON" or datagram[5:6] not in (b"Q", b"C"):
        return None
    length = int.from_bytes(datagram[12:14], "big")
    data = datagram[_HEADER_BYTES:]
    if len(data) < length:
        return None
    function = int.from_bytes(datagram[8:10], "big")
    return EnpcRequest(datagram[5:6].decode(), datagram[6:8], function, data[:length])


def enpc_request(function: EnpcFunction, data: bytes = b"") -> bytes:
    """A host's datagram for the printer behind the board."""
    kind = b"Q" if function in (EnpcFunction.BASIC_INFORMATION, EnpcFunction.STATUS) else b"C"
    return (
        b"EPSON"
        + kind
        + _PRINTER
        + function.to_bytes(2, "big")
        + b"\0\0"
        + len(data).to_bytes(2, "big")
        + data
    )


def enpc_reply(request: EnpcRequest, result: EnpcResult, data: bytes = b"") -> bytes:
    """The board's answer: the request's head with a small letter, the result code, and data."""
    head = b"EPSON" + request.kind.lower().encode() + request.device + request.function.to_bytes(2, "big")
    return head + result.to_bytes(2, "big") + len(data).to_bytes(2, "big") + data


def read_enpc_reply(datagram: bytes) -> tuple[int, int, bytes] | None:
    """Function, result code and data of a board's answer; None if it is none."""
    if len(datagram) < _HEADER_BYTES or datagram[:5] != b"EPSON" or datagram[5:6] not in (b"q", b"c"):
        return None
    function, result, length = (int.from_bytes(datagram[at : at + 2], "big") for at in (8, 10, 12))
    return function, result, datagram[_HEADER_BYTES : _HEADER_BYTES + length]
