"""The databases of an IFSF dispenser node, over its fuelling points."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from protocols.ifsf import (
    PRODUCT_NUMBERS,
    Address,
    DataAck,
    Database,
    DatabaseKind,
    ErrorCode,
    Field,
    FpState,
    Message,
    Number,
    NumberError,
    bcd,
    from_bcd,
    fuelling_point_address,
    transaction_address,
)

from .ifsf_buffer import Transaction
from .ifsf_fields import IfsfOptions, amount_field, price_field, total_field, volume_field
from .ifsf_point import IfsfPoint

__all__ = ["RECIPIENTS_MOST", "NodeStore"]

RECIPIENTS_MOST: Final = 8
_PRODUCTS_MOST: Final = 64
_SLOTS: Final = 8
_MODES: Final = 8
_TEXT: Final = {50: b"FCT", 51: b"SIM", 53: b"000000000001", 54: b"0001        "}
_LAYOUT: Final = {21: 8, 22: 8, 23: 8, 24: 8, 40: 8, 41: 2, 42: 8, 43: 2, 44: 6, 45: 2, 46: 0}


_FIRST_EXTRA: Final = 200
_TRANSACTION: Final[dict[int, Callable[[Transaction], bytes]]] = {
    1: lambda one: bcd(one.sequence, 2),
    2: lambda one: one.released_by,
    4: lambda one: bytes((one.mode,)),
    5: lambda one: amount_field(one.amount_fen),
    6: lambda one: volume_field(one.volume_ml),
    7: lambda one: price_field(one.price_fen_per_l),
    8: lambda one: bytes((one.logical,)),
    10: lambda one: bcd(one.product, 4),
    20: lambda one: one.locked_by,
    21: lambda one: bytes((one.state,)),
    200: lambda one: bytes((one.offline > 0,)),
    201: lambda one: bcd(one.offline % 10_000, 2),
    204: lambda one: total_field(one.start_total_ml // 10),
    205: lambda one: total_field(one.end_total_ml // 10),
}
"""Data id -> how a transaction shows it."""


class NodeStore:
    """What a dispenser node holds: see `protocols.ifsf.Store`.

    Args:
        own: the node's address.
        points: fuelling points by their place in the node, 1..4.
        options: see `IfsfOptions`.

    Attributes:
        recipients: who gets unsolicited messages.
        stand_alone: Stand_Alone_Auth is set: go on without a controlling device.
        heartbeat_s: heartbeat interval.
        on_interval: called with a new interval, s.
    """

    def __init__(self, own: Address, points: Mapping[int, IfsfPoint], options: IfsfOptions) -> None:
        self.own = own
        self.points = points
        self.recipients: list[Address] = []
        self.heartbeat_s = 10
        self.on_interval: Callable[[int], None] | None = None
        self._options = options
        self._prices: dict[tuple[int, int], int] = {}
        self._most_volume: dict[tuple[int, int], bytes] = {}
        self._pending: set[tuple[int, int]] = set()
        self._calculator: dict[int, bytes] = {}
        self._slots: dict[int, int] = {}
        self._nozzles: dict[tuple[int, int], dict[int, int]] = {}
        for place, held in points.items():
            held.on_settled = lambda now_us, place=place: self._apply_pending(place, now_us)
        self._meters = [(place, logical) for place, held in points.items() for logical in held.point.nozzles]
        self.reset()

    def reset(self) -> None:
        """Power-on: settings as the maker left them; prices stay, as in a dispenser that has been running."""
        grades = dict.fromkeys(
            nozzle.grade for held in self.points.values() for nozzle in held.point.nozzles.values()
        )
        self._slots = {slot: PRODUCT_NUMBERS.get(grade, 0) for slot, grade in enumerate(grades, start=1)}
        slot_of = {grade: slot for slot, grade in enumerate(grades, start=1)}
        self._pending.clear()
        for place, held in self.points.items():
            held.reset_settings()
            for logical, nozzle in held.point.nozzles.items():
                self._nozzles[place, logical] = {1: slot_of[nozzle.grade], 5: logical}
                if nozzle.price_fen_per_l:
                    self._prices[self.product_of(place, logical), 1] = nozzle.price_fen_per_l
        self._calculator = {
            2: bytes((len(grades),)),
            3: b"\x01",
            5: bytes((len(self.points),)),
            6: b"\x01\x56",
            11: b"\x00",
            12: b"\x00",
            13: b"\x00",
        }
        self.recipients.clear()

    @property
    def stand_alone(self) -> bool:
        """See the class."""
        return bool(self._calculator[12][0])

    def product_of(self, place: int, logical: int) -> int:
        """Product number behind a nozzle; 0 for none."""
        return self._slots.get(self._nozzles[place, logical][1], 0)

    # -- which databases there are -------------------------------------------------------------------------------

    def expand(self, database: Database, raw: bytes) -> list[tuple[bytes, Database]] | None:
        """See `Store`."""
        kind, held = database.kind, self.points.get(database.point)
        if kind is DatabaseKind.FUELLING_POINT and database.is_group:
            return [(fuelling_point_address(place), Database(kind, point=place)) for place in self.points]
        if kind is DatabaseKind.PRODUCT and database.is_group:
            return [(bytes((0x40 + slot,)), Database(kind, index=slot)) for slot in sorted(self._slots)]
        if kind is DatabaseKind.METER:
            numbers = range(1, len(self._meters) + 1)
            if database.is_group:
                return [(bytes((0x80 + number,)), Database(kind, index=number)) for number in numbers]
            return [(raw, database)] if database.index in numbers else None
        if database.point and held is None:
            return None
        if held is not None and kind is DatabaseKind.TRANSACTION:
            if database.is_group:
                return [
                    (
                        transaction_address(held.place, one.sequence),
                        Database(kind, point=held.place, index=one.sequence),
                    )
                    for one in held.buffer.open
                ]
            return [(raw, database)] if held.buffer.get(database.index) is not None else None
        if held is not None and kind is DatabaseKind.NOZZLE:
            return [(raw, database)] if database.index in held.point.nozzles else None
        if held is not None and kind is DatabaseKind.ERROR:
            return [(raw, database)] if database.index in held.errors else None
        return [(raw, database)]

    def state_for(self, database: Database) -> FpState:
        """See `Store`. What belongs to the whole node is open as long as one fuelling point is."""
        held = self.points.get(database.point)
        return held.state if held is not None else max(one.state for one in self.points.values())

    # -- reading -------------------------------------------------------------------------------------------------

    def read(self, database: Database, data_id: int, now_us: int) -> bytes:
        """See `Store`."""
        held = self.points.get(database.point)
        match database.kind:
            case DatabaseKind.COMMUNICATION:
                return self._read_communication(data_id)
            case DatabaseKind.CALCULATOR:
                return self._read_calculator(data_id)
            case DatabaseKind.SOFTWARE:
                return _TEXT[54]
            case DatabaseKind.PRODUCT:
                product = self._slots.get(database.index)
                return b"" if product is None else bcd(product, 4)
            case DatabaseKind.PRICE:
                return self._read_price(database, data_id)
            case DatabaseKind.METER:
                return self._read_meter(self._meters[database.index - 1], data_id, now_us)
        if held is None:
            return b""
        match database.kind:
            case DatabaseKind.FUELLING_POINT:
                return self._read_point(held, data_id, now_us)
            case DatabaseKind.NOZZLE:
                return self._read_nozzle(held, database.index, data_id)
            case DatabaseKind.ERROR:
                state = held.errors[database.index]
                return {1: bytes((database.index,)), 5: bytes((state,))}.get(data_id, b"")
            case _:
                found = held.buffer.get(database.index)
                return b"" if found is None else self._read_transaction(found, data_id)

    def _read_communication(self, data_id: int) -> bytes:
        match data_id:
            case 1:
                return bcd(102, 6)
            case 2:
                return self.own.encode()
            case 3:
                return b"".join(one.encode() for one in self.recipients)
            case 4:
                return bytes((self.heartbeat_s,))
            case 5:
                return b"\x02\x00"
            case _:
                return b""

    def _read_calculator(self, data_id: int) -> bytes:
        if data_id in self._calculator:
            return self._calculator[data_id]
        if data_id in _LAYOUT:
            return bytes((_LAYOUT[data_id],))
        if data_id == 4:
            return bytes((len(self._meters),))
        return bcd(225, 2) if data_id == 58 else _TEXT.get(data_id, b"")

    def _read_price(self, database: Database, data_id: int) -> bytes:
        key = (database.product, database.index)
        if data_id == 3:
            return self._most_volume.get(key, b"")
        price = self._prices.get(key)
        return b"" if price is None else price_field(price)

    def _read_meter(self, at: tuple[int, int], data_id: int, now_us: int) -> bytes:
        place, logical = at
        match data_id:
            case 4:
                return bytes((self._nozzles[at][1],))
            case 20:
                return total_field(self.points[place].point.totals(logical, now_us)[0] // 10)
            case _:
                return b"\x01"

    def _read_point(self, held: IfsfPoint, data_id: int, now_us: int) -> bytes:
        point = held.point
        if data_id in held.settings:
            return held.settings[data_id]
        logical = point.delivering_nozzle
        if logical is None:
            logical = point.nozzle_out or 0
        reading = point.reading(now_us)
        match data_id:
            case 20:
                return bytes((held.state,))
            case 21:
                return held.nozzle_bits
            case 29:
                return bcd(held.buffer.last_sequence, 2)
            case 34:
                return amount_field(reading.amount_fen)
            case 35:
                return volume_field(reading.volume_ml)
            case 36:
                return price_field(reading.price_fen_per_l)
            case 37:
                return bytes((logical,))
            case 38:
                return bcd(self.product_of(held.place, logical), 4) if logical else b""
            case 80:
                return bytes(8)
            case _:
                return b""

    def _read_nozzle(self, held: IfsfPoint, logical: int, data_id: int) -> bytes:
        nozzle = held.point.nozzles[logical]
        at = (held.place, logical)
        match data_id:
            case 7:
                return bytes((self._meters.index(at) + 1,))
            case 20:
                return total_field(nozzle.total_volume_ml // 10)
            case 21:
                return total_field(nozzle.total_amount_fen)
            case 22:
                return Number.of(nozzle.count, decimals=0, left=12).encode()
            case _:
                return bytes((self._nozzles[at][data_id],))

    def _read_transaction(self, found: Transaction, data_id: int) -> bytes:
        if data_id >= _FIRST_EXTRA and not self._options.offline_records:
            return b""
        show = _TRANSACTION.get(data_id)
        return b"" if show is None else show(found)

    # -- writing -------------------------------------------------------------------------------------------------

    def write(self, database: Database, field: Field, value: bytes, message: Message, now_us: int) -> DataAck:
        """See `Store`."""
        data_id, held = field.data_id, self.points.get(database.point)
        match database.kind:
            case DatabaseKind.COMMUNICATION:
                return self._write_communication(data_id, value)
            case DatabaseKind.CALCULATOR:
                return self._write_calculator(data_id, value)
            case DatabaseKind.PRODUCT:
                self._slots[database.index] = from_bcd(value)
                return self._reprice(now_us)
            case DatabaseKind.PRICE:
                return self._write_price(database, data_id, value, now_us)
            case DatabaseKind.FUELLING_POINT if held is not None:
                return held.write(data_id, value, message, now_us)
            case DatabaseKind.NOZZLE if held is not None:
                if data_id == 1 and not 1 <= value[0] <= _SLOTS:
                    return DataAck.INVALID_VALUE
                self._nozzles[held.place, database.index][data_id] = value[0]
                return self._reprice(now_us)
            case DatabaseKind.TRANSACTION if held is not None:
                return held.write_transaction(database.index, data_id, message)
            case _:
                return DataAck.NOT_ACCEPTED

    def _write_communication(self, data_id: int, value: bytes) -> DataAck:
        if data_id == 4:
            if not value[0]:
                return DataAck.INVALID_VALUE
            self.heartbeat_s = value[0]
            if self.on_interval is not None:
                self.on_interval(value[0])
            return DataAck.OK
        address = Address(value[0], value[1])
        if data_id == 11:
            if address not in self.recipients:
                if len(self.recipients) >= RECIPIENTS_MOST:
                    return DataAck.NOT_ACCEPTED
                self.recipients.append(address)
        elif address in self.recipients:
            self.recipients.remove(address)
        return DataAck.OK

    def _write_calculator(self, data_id: int, value: bytes) -> DataAck:
        if data_id in {2, 3} and not 1 <= value[0] <= _MODES:
            return DataAck.INVALID_VALUE
        if data_id == 5 and value[0] != len(self.points):
            return DataAck.INVALID_VALUE
        if data_id in {11, 12} and value[0] > 1:
            return DataAck.INVALID_VALUE
        self._calculator[data_id] = value
        for held in self.points.values():
            held.requires_calling = bool(self._calculator[11][0])
            held.max_authorised_us = self._calculator[13][0] * 1_000_000 or None
        return DataAck.OK

    def _write_price(self, database: Database, data_id: int, value: bytes, now_us: int) -> DataAck:
        key = (database.product, database.index)
        if key not in self._prices and len(self._prices) >= _PRODUCTS_MOST:
            return DataAck.NOT_ACCEPTED
        if data_id == 3:
            self._most_volume[key] = value
            return DataAck.OK
        most = min(held.point.profile.max_price_fen_per_l for held in self.points.values())
        try:
            price = Number.decode(value).scaled(2)
        except NumberError:
            price = 0
        if not 0 < price <= most:
            if self._options.price_event:
                for held in self.points.values():
                    held.tell_error(ErrorCode.PRICE_REFUSED)
            return DataAck.INVALID_VALUE
        self._prices[key] = price
        return self._reprice(now_us)

    def _reprice(self, now_us: int) -> DataAck:
        """Give every nozzle the price of its product; those that deliver get it when they have finished."""
        for place, held in self.points.items():
            for logical, nozzle in held.point.nozzles.items():
                price = self._prices.get((self.product_of(place, logical), held.mode))
                self._pending.discard((place, logical))
                if price is None or price == nozzle.price_fen_per_l:
                    continue
                if not held.point.set_price(now_us, logical, price):
                    self._pending.add((place, logical))
        return DataAck.OK

    def _apply_pending(self, place: int, now_us: int) -> None:
        held = self.points[place]
        for at in sorted(self._pending):
            if at[0] != place:
                continue
            price = self._prices.get((self.product_of(*at), held.mode))
            if price is None or held.point.set_price(now_us, at[1], price):
                self._pending.discard(at)
