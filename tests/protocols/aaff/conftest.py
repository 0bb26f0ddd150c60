"""A second reading of AA FF, from the published facts and from nothing of the package: for comparison only."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

# Offsets inside the body of command 11 with a ten-byte card, as the gateway reads them (`Dispose_Recv11`).
GATEWAY_SALE = {
    "uid": (0, 6),
    "started": (13, 6),
    "ended": (19, 6),
    "card": (25, 10),
    "record_type": (35, 1),
    "volume": (40, 4),
    "price": (44, 2),
    "amount": (46, 4),
    "amount_total": (72, 6),
    "pressure_before": (88, 2),
    "pressure_after": (90, 2),
    "volume_total": (98, 6),
}
# Inside the body of command 19 (`Dispose_Recv19`).
GATEWAY_LIVE = {"card": (0, 10), "price": (32, 2), "volume": (34, 4), "amount": (38, 4)}


def crc8(data: bytes) -> int:
    """Bit by bit: polynomial 31 reflected (8C), start 0."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0x8C if crc & 1 else crc >> 1
    return crc


def frame(to_pump: bool, command: int, gun: int, body: bytes = b"", device: int | None = None) -> bytes:
    head, tail = (b"\xaa\xff", b"\xcc\xff") if to_pump else (b"\xbb\xee", b"\xdd\xee")
    device = (0x15 if to_pump else 0x00) if device is None else device
    inner = bytes([device, command, gun, len(body)]) + body
    return head + inner + bytes([crc8(inner)]) + tail


def parts(raw: bytes) -> tuple[int, int, bytes]:
    """(command, gun, body) of a whole frame from a dispenser."""
    assert raw[:3] == b"\xbb\xee\x00"
    assert raw[-2:] == b"\xdd\xee"
    assert len(raw) == raw[5] + 9
    assert crc8(raw[2:-3]) == raw[-3]
    return raw[3], raw[4], raw[6:-3]


def field(body: bytes, where: tuple[int, int], short_card: bool = False) -> int:
    """A BCD field at the gateway's offset; with a short card every field behind it stands six bytes earlier."""
    start, size = where
    if short_card:
        start -= 6
    return int(body[start : start + size].hex())


@pytest.fixture(scope="session")
def independent() -> SimpleNamespace:
    return SimpleNamespace(
        crc8=crc8, frame=frame, parts=parts, field=field, sale=GATEWAY_SALE, live=GATEWAY_LIVE
    )
