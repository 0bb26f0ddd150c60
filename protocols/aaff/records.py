"""The records a dispenser sends: a finished sale (11), the running one (19), shift (12) and alarm (13).

Two programs read and write the same fields; one carries a card number of 4 bytes (ycxzfforever/LNG_V2.X_NEW
``src/app.c``, `UpLoad_11H`, `UpLoad_RunState`), the other of 10 (ycxzfforever/ZHY_IFSF_AM3352 ``uart.c``,
`Dispose_Recv11`, `Dispose_Recv19`), which moves every later field by six bytes. The length tells which it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from protocols.bcd import decode_bcd, encode_bcd
from protocols.sansio import LocalProtocolError

__all__ = [
    "CARD_LONG",
    "CARD_SHORT",
    "GREY_CARD",
    "POWER_DOWN",
    "LiveRecord",
    "LiveState",
    "RecordType",
    "SaleRecord",
]

CARD_SHORT: Final = 4
CARD_LONG: Final = 10

GREY_CARD: Final = 0x01
"""Bit of ``grey``: the card was pulled before it was settled."""

POWER_DOWN: Final = 0x02
"""Bit of ``grey``: the mains failed during the sale. Both flags travel in the record; this one's place is our declaration."""


class RecordType(IntEnum):
    """Card type of the firmware; the gateway tells off-line and on-line sales by it."""

    OFFLINE = 0
    ONLINE = 1


class LiveState(IntEnum):
    """Byte of the live record that says why it is sent (firmware)."""

    ENDED = 0
    ASKS = 1
    """Fuelling; asks whether the master is ready for live figures."""
    FUELLING = 2


# name, bytes; 0 bytes stands for the card number. Raw bytes are kept as they are, the others are BCD.
_SALE: Final = (
    ("uid", 6),
    ("shift", 1),
    ("shift_sequence", 6),
    ("started", 6),
    ("ended", 6),
    ("card", 0),
    ("record_type", 1),
    ("balance_before", 4),
    ("volume_units", 4),
    ("price_units", 2),
    ("amount_units", 4),
    ("balance_after", 4),
    ("topup_count", 3),
    ("topup_sum", 6),
    ("use_count", 3),
    ("use_volume_units", 6),
    ("use_amount_units", 6),
    ("initial_balance", 4),
    ("computed_balance", 4),
    ("car", 2),
    ("pressure_before", 2),
    ("pressure_after", 2),
    ("total_before_units", 6),
    ("total_after_units", 6),
    ("grey", 1),
    ("printed", 1),
    ("uploaded", 1),
    ("unit", 1),
    ("device", 1),
    ("station", 1),
)
_LIVE: Final = (
    ("card", 0),
    ("record_type", 1),
    ("balance_before", 4),
    ("car", 2),
    ("pressure", 2),
    ("flow", 2),
    ("total_before_units", 6),
    ("card_present", 1),
    ("valve_low", 1),
    ("valve_middle", 1),
    ("valve_high", 1),
    ("state", 1),
    ("price_units", 2),
    ("volume_units", 4),
    ("amount_units", 4),
    ("balance", 4),
    ("unit", 1),
    ("device", 1),
)
_RAW: Final = frozenset({"card", "started", "ended", "grey", "state"})


def _size(fields: tuple[tuple[str, int], ...]) -> int:
    return sum(size for _, size in fields)


def _encode(record: object, fields: tuple[tuple[str, int], ...]) -> bytes:
    parts = []
    for name, size in fields:
        value = getattr(record, name)
        if isinstance(value, bytes):
            parts.append(value)
        elif name in _RAW:
            if not 0 <= value <= 0xFF:
                raise LocalProtocolError(f"{name} {value} is not a byte")
            parts.append(bytes((value,)))
        else:
            parts.append(encode_bcd(value, size, name))
    return b"".join(parts)


def _decode(body: bytes, fields: tuple[tuple[str, int], ...]) -> dict[str, Any] | str:
    """The fields, or the name of the one that is no number."""
    card = len(body) - _size(fields)
    values: dict[str, Any] = {}
    at = 0
    for name, declared in fields:
        size = declared or card
        piece = body[at : at + size]
        at += size
        if name in _RAW:
            values[name] = piece[0] if declared == 1 else piece
            continue
        number = decode_bcd(piece)
        if number is None:
            return name
        values[name] = number
    return values


@dataclass(frozen=True, slots=True, kw_only=True)
class SaleRecord:
    """One finished sale (command 11). Volumes, prices, amounts and totals count hundredths (0.01 L, 0.01 yuan).

    Attributes:
        uid: running number of the gun's sales, 12 digits.
        started, ended: six BCD bytes, YYMMDDhhmmss.
        card: card number as it stands, 4 or 10 bytes; its length is the layout.
        record_type: see `RecordType`.
        total_before_units, total_after_units: the gun's volume totaliser around this sale.
        use_volume_units, use_amount_units: sums of the card (firmware); the gateway takes the amount for the gun's total.
        grey: see `GREY_CARD` and `POWER_DOWN`.

    Raises:
        LocalProtocolError: times are not six bytes, or the card is neither 4 nor 10.
    """

    uid: int
    volume_units: int
    price_units: int
    amount_units: int
    total_before_units: int
    total_after_units: int
    started: bytes
    ended: bytes
    card: bytes = bytes(CARD_LONG)
    record_type: int = RecordType.ONLINE
    shift: int = 0
    shift_sequence: int = 0
    balance_before: int = 0
    balance_after: int = 0
    topup_count: int = 0
    topup_sum: int = 0
    use_count: int = 0
    use_volume_units: int = 0
    use_amount_units: int = 0
    initial_balance: int = 0
    computed_balance: int = 0
    car: int = 0
    pressure_before: int = 0
    pressure_after: int = 0
    grey: int = 0
    printed: int = 0
    uploaded: int = 0
    unit: int = 0
    device: int = 0
    station: int = 0

    def __post_init__(self) -> None:
        _check_card(self.card)
        if len(self.started) != 6 or len(self.ended) != 6:
            raise LocalProtocolError("a record's times are six bytes each")

    def encode(self) -> bytes:
        """The body: 104 or 110 bytes. Raises LocalProtocolError when a field does not fit."""
        return _encode(self, _SALE)

    @staticmethod
    def decode(body: bytes) -> SaleRecord | str:
        """The record, or what is wrong with the body."""
        if len(body) - _size(_SALE) not in (CARD_SHORT, CARD_LONG):
            return f"a sale record has 104 or 110 bytes, not {len(body)}"
        values = _decode(body, _SALE)
        return f"{values} is no BCD number" if isinstance(values, str) else SaleRecord(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveRecord:
    """The running sale (command 19): 42 bytes with a short card, 48 with a long one. Units as in `SaleRecord`.

    Attributes:
        state: see `LiveState`.
        total_before_units: the gun's volume totaliser before this sale.
    """

    volume_units: int
    price_units: int
    amount_units: int
    total_before_units: int = 0
    card: bytes = bytes(CARD_LONG)
    record_type: int = RecordType.ONLINE
    balance_before: int = 0
    car: int = 0
    pressure: int = 0
    flow: int = 0
    card_present: int = 0
    valve_low: int = 0
    valve_middle: int = 0
    valve_high: int = 0
    state: int = LiveState.FUELLING
    balance: int = 0
    unit: int = 0
    device: int = 0

    def __post_init__(self) -> None:
        _check_card(self.card)

    def encode(self) -> bytes:
        """The body: 42 or 48 bytes. Raises LocalProtocolError when a field does not fit."""
        return _encode(self, _LIVE)

    @staticmethod
    def decode(body: bytes) -> LiveRecord | str:
        """The record, or what is wrong with the body."""
        if len(body) - _size(_LIVE) not in (CARD_SHORT, CARD_LONG):
            return f"a live record has 42 or 48 bytes, not {len(body)}"
        values = _decode(body, _LIVE)
        return f"{values} is no BCD number" if isinstance(values, str) else LiveRecord(**values)


def _check_card(card: bytes) -> None:
    if len(card) not in (CARD_SHORT, CARD_LONG):
        raise LocalProtocolError(f"a card number has {CARD_SHORT} or {CARD_LONG} bytes, not {len(card)}")
