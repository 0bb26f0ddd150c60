"""The databases of a dispenser and their data ids, as tables.

A row says how an element looks, who may write it and when, and how many independent sources have the data id. Sources:
zhang98722/ifsf-communication, tagnpeng/ifsf, fangym0335/first, ycxzfforever/ZHY_IFSF_AM3352 and ZSY_IFSF. Sizes and who may write
what are those of the captures; where no capture shows them they are this project's own reading, as is the unit of data id 59,
which therefore carries 0. A certifier may judge by what a capture shows, not by the rest of a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Any, Final

__all__ = [
    "DATABASES",
    "PRODUCT_NUMBERS",
    "Access",
    "Database",
    "DatabaseKind",
    "Field",
    "database_tables",
    "error_address",
    "fuelling_point_address",
    "nozzle_address",
    "parse_database",
    "price_address",
    "transaction_address",
]

PRODUCT_NUMBERS: Final = MappingProxyType({"92": 92, "95": 95, "98": 98, "diesel": 10})
"""Product numbers used here for grades; 95 as captured, the others and diesel by this project's own choice."""

MOST_POINTS: Final = 4
MOST_SLOTS: Final = 8
MOST_NOZZLES: Final = 8


class DatabaseKind(Enum):
    """What a database address leads to."""

    COMMUNICATION = "communication service"
    CALCULATOR = "calculator"
    FUELLING_POINT = "fuelling point"
    PRODUCT = "product slot"
    PRICE = "product price"
    METER = "meter"
    NOZZLE = "logical nozzle"
    TRANSACTION = "transaction"
    ERROR = "error"
    SOFTWARE = "software"


class Access(Enum):
    """Who may write an element, and when. A command is an element without value."""

    READ = "read only"
    ANY = "writable in every state"
    CONFIGURATION = "writable while inoperative or closed"
    READY = "writable while idle, calling or authorised"
    COMMAND = "command"
    NOTICE = "marks a kind of unsolicited message"


@dataclass(frozen=True, slots=True)
class Field:
    """One data id of a database.

    Attributes:
        data_id: the id.
        name: what it holds.
        form: ``bin``, ``bcd``, ``number``, ``text`` or ``none``.
        size: bytes; None for any.
        access: see `Access`.
        sources: independent sources that have the data id; 0 means this project's own reading.
    """

    data_id: int
    name: str
    form: str
    size: int | None
    access: Access
    sources: int


@dataclass(frozen=True, slots=True)
class Database:
    """A database address, taken apart.

    Attributes:
        kind: what it is.
        point: fuelling point 1..4; 0 for all of them, or where there is none.
        index: slot, meter, nozzle, fuelling mode, error code or sequence number; 0 for all.
        product: product number of a price.
    """

    kind: DatabaseKind
    point: int = 0
    index: int = 0
    product: int = 0

    @property
    def is_group(self) -> bool:
        """Whether it stands for several databases: one answer each, then a closing acknowledgement."""
        if self.kind is DatabaseKind.FUELLING_POINT:
            return self.point == 0
        return self.kind in _GROUPED and self.index == 0


_GROUPED = (DatabaseKind.PRODUCT, DatabaseKind.METER, DatabaseKind.TRANSACTION)
_R, _A, _C, _Y, _X, _N = (
    Access.READ,
    Access.ANY,
    Access.CONFIGURATION,
    Access.READY,
    Access.COMMAND,
    Access.NOTICE,
)


def _fields(*rows: tuple[int, str, str, int | None, Access, int]) -> MappingProxyType[int, Field]:
    return MappingProxyType({row[0]: Field(*row) for row in rows})


DATABASES: Final = MappingProxyType(
    {
        DatabaseKind.COMMUNICATION: _fields(
            (1, "protocol version", "bcd", 6, _R, 4),
            (2, "own address", "bin", 2, _R, 4),
            (3, "recipients of unsolicited messages", "bin", None, _R, 4),
            (4, "heartbeat interval, s", "bin", 1, _A, 4),
            (5, "block size", "bin", 2, _R, 4),
            (11, "add recipient", "bin", 2, _A, 4),
            (12, "remove recipient", "bin", 2, _A, 4),
        ),
        DatabaseKind.CALCULATOR: _fields(
            (2, "products", "bin", 1, _C, 4),
            (3, "fuelling modes", "bin", 1, _C, 4),
            (4, "meters", "bin", 1, _R, 4),
            (5, "fuelling points", "bin", 1, _C, 4),
            (6, "country", "bcd", 2, _C, 4),
            (11, "Auth_State_Mode", "bin", 1, _C, 4),
            (12, "Stand_Alone_Auth", "bin", 1, _C, 4),
            (13, "Max_Auth_Time, s", "bin", 1, _C, 4),
            (21, "limit 21", "bin", 1, _R, 4),
            (22, "limit 22", "bin", 1, _R, 4),
            (23, "limit 23", "bin", 1, _R, 4),
            (24, "limit 24", "bin", 1, _R, 4),
            (40, "digits of an amount", "bin", 1, _R, 4),
            (41, "decimals of an amount", "bin", 1, _R, 4),
            (42, "digits of a volume", "bin", 1, _R, 4),
            (43, "decimals of a volume", "bin", 1, _R, 4),
            (44, "digits of a unit price", "bin", 1, _R, 4),
            (45, "decimals of a unit price", "bin", 1, _R, 4),
            (46, "rounding", "bin", 1, _R, 4),
            (50, "maker", "text", 3, _R, 4),
            (51, "model", "text", 3, _R, 4),
            (53, "serial number", "text", 12, _R, 4),
            (54, "software version", "text", 12, _R, 4),
            (58, "protocol version", "bcd", 2, _R, 4),
        ),
        DatabaseKind.FUELLING_POINT: _fields(
            (2, "unpaid transactions, most", "bin", 1, _C, 4),
            (3, "history of cleared transactions, most", "bin", 1, _C, 4),
            (4, "logical nozzles", "bin", 1, _C, 4),
            (7, "default fuelling mode", "bin", 1, _C, 4),
            (20, "FP_State", "bin", 1, _R, 4),
            (21, "Log_Noz_State", "bin", 1, _R, 4),
            (22, "Assign_Contr_Id", "bin", 2, _A, 4),
            (23, "Release_Mode", "bin", 1, _C, 4),
            (24, "ZeroTR_Mode", "bin", 1, _C, 4),
            (25, "Log_Noz_Mask", "bin", 1, _Y, 4),
            (26, "Config_Lock", "bin", 2, _C, 4),
            (27, "Remote_Amount_Prepay", "number", 5, _Y, 4),
            (28, "Remote_Volume_Preset", "number", 5, _Y, 4),
            (29, "current transaction sequence", "bcd", 2, _R, 4),
            (30, "Release_Contr_Id", "bin", 2, _Y, 4),
            (32, "release token", "bin", None, _Y, 4),
            (33, "fuelling mode", "bin", 1, _Y, 4),
            (34, "Current_Amount", "number", 5, _R, 4),
            (35, "Current_Volume", "number", 5, _R, 4),
            (36, "current unit price", "number", 4, _R, 4),
            (37, "current logical nozzle", "bin", 1, _R, 4),
            (38, "current product", "bcd", 4, _R, 4),
            (51, "local preset", "number", 5, _R, 4),
            (59, "running message period, tenths of a second", "bin", 1, _A, 0),
            (60, "Open", "none", 0, _X, 4),
            (61, "Close", "none", 0, _X, 4),
            (62, "Release", "none", 0, _X, 4),
            (63, "Terminate", "none", 0, _X, 4),
            (64, "Suspend", "none", 0, _X, 4),
            (65, "Resume", "none", 0, _X, 4),
            (66, "Clear display", "none", 0, _X, 4),
            (80, "alarms", "bin", 8, _R, 4),
            (100, "status message", "none", 0, _N, 4),
            (102, "running message", "none", 0, _N, 4),
        ),
        DatabaseKind.PRODUCT: _fields((2, "product number", "bcd", 4, _C, 4)),
        DatabaseKind.PRICE: _fields(
            (2, "unit price", "number", 4, _A, 4), (3, "most volume", "number", 5, _A, 4)
        ),
        DatabaseKind.METER: _fields(
            (1, "type", "bin", 1, _R, 4),
            (2, "pulse factor", "bin", 1, _R, 4),
            (4, "product slot", "bin", 1, _R, 4),
            (20, "total volume", "number", 7, _R, 4),
        ),
        DatabaseKind.NOZZLE: _fields(
            (1, "product slot", "bin", 1, _C, 4),
            (5, "physical nozzle", "bin", 1, _C, 4),
            (7, "meter", "bin", 1, _R, 4),
            (20, "total volume", "number", 7, _R, 4),
            (21, "total amount", "number", 7, _R, 4),
            (22, "transactions", "number", 7, _R, 4),
        ),
        DatabaseKind.TRANSACTION: _fields(
            (1, "sequence number", "bcd", 2, _R, 4),
            (2, "controlling device that released", "bin", 2, _R, 4),
            (4, "fuelling mode", "bin", 1, _R, 4),
            (5, "amount", "number", 5, _R, 4),
            (6, "volume", "number", 5, _R, 4),
            (7, "unit price", "number", 4, _R, 4),
            (8, "logical nozzle", "bin", 1, _R, 4),
            (10, "product number", "bcd", 4, _R, 4),
            (20, "controlling device that locked", "bin", 2, _R, 4),
            (21, "state", "bin", 1, _R, 4),
            (30, "clear", "none", 0, _X, 4),
            (31, "lock", "none", 0, _X, 4),
            (32, "unlock", "none", 0, _X, 4),
            (100, "buffer message", "none", 0, _N, 4),
            (200, "made off-line", "bin", 1, _R, 1),
            (201, "off-line record number", "bcd", 2, _R, 1),
            (202, "date", "bcd", 4, _R, 1),
            (203, "time", "bcd", 3, _R, 1),
            (204, "total volume before", "number", 7, _R, 1),
            (205, "total volume after", "number", 7, _R, 1),
            (234, "pressure before (gas)", "number", 4, _R, 1),
            (235, "pressure after (gas)", "number", 4, _R, 1),
        ),
        DatabaseKind.ERROR: _fields(
            (1, "type", "bin", 1, _R, 4),
            (2, "text", "text", None, _R, 4),
            (5, "FP_State", "bin", 1, _R, 4),
            (100, "error message", "none", 0, _N, 4),
        ),
        DatabaseKind.SOFTWARE: _fields((1, "software version", "text", 12, _R, 1)),
    }
)
"""Kind of database -> data id -> its row."""


def database_tables() -> dict[str, list[dict[str, Any]]]:
    """All tables as JSON-able data."""
    return {
        kind.value: [
            {
                "id": row.data_id,
                "name": row.name,
                "form": row.form,
                "size": row.size,
                "access": row.access.value,
                "sources": row.sources,
            }
            for row in rows.values()
        ]
        for kind, rows in DATABASES.items()
    }


def parse_database(raw: bytes) -> Database | None:
    """What an address leads to; None for one that a dispenser does not have."""
    if len(raw) == 1:
        return _parse_short(raw[0])
    head = raw[0] if raw else 0
    if 0x21 <= head < 0x21 + MOST_POINTS:
        return _parse_of_point(head - 0x20, raw[1:])
    if head == 0x61 and len(raw) == 6 and _is_bcd(raw[1:5]) and 0x11 <= raw[5] <= 0x18:
        return Database(DatabaseKind.PRICE, index=raw[5] - 0x10, product=int(raw[1:5].hex()))
    return None


def _parse_short(first: int) -> Database | None:
    match first:
        case 0x00:
            return Database(DatabaseKind.COMMUNICATION)
        case 0x01:
            return Database(DatabaseKind.CALCULATOR)
        case 0xA1:
            return Database(DatabaseKind.SOFTWARE)
        case _ if 0x20 <= first <= 0x20 + MOST_POINTS:
            return Database(DatabaseKind.FUELLING_POINT, point=first - 0x20)
        case _ if 0x40 <= first <= 0x40 + MOST_SLOTS:
            return Database(DatabaseKind.PRODUCT, index=first - 0x40)
        case _ if 0x80 <= first <= 0x90:
            return Database(DatabaseKind.METER, index=first - 0x80)
        case _:
            return None


def _parse_of_point(point: int, rest: bytes) -> Database | None:
    match rest[0], len(rest):
        case code, 1 if 0x11 <= code < 0x11 + MOST_NOZZLES:
            return Database(DatabaseKind.NOZZLE, point=point, index=code - 0x10)
        case 0x20, 3 if rest[1:] == b"\x00\x00":
            return Database(DatabaseKind.TRANSACTION, point=point)
        case 0x21, 3 if _is_bcd(rest[1:]) and rest[1:] != b"\x00\x00":
            return Database(DatabaseKind.TRANSACTION, point=point, index=int(rest[1:].hex()))
        case 0x41, 2:
            return Database(DatabaseKind.ERROR, point=point, index=rest[1])
        case _:
            return None


def _is_bcd(data: bytes) -> bool:
    return all(byte >> 4 < 10 and byte & 15 < 10 for byte in data)


def fuelling_point_address(point: int) -> bytes:
    """Fuelling point 1..4; 0 for all."""
    return bytes((0x20 + point,))


def nozzle_address(point: int, logical: int) -> bytes:
    """Logical nozzle 1..8 of a fuelling point."""
    return bytes((0x20 + point, 0x10 + logical))


def price_address(product: int, mode: int = 1) -> bytes:
    """Price of a product (eight digits) in a fuelling mode 1..8."""
    return b"\x61" + bytes.fromhex(str(product).zfill(8)) + bytes((0x10 + mode,))


def transaction_address(point: int, sequence: int = 0) -> bytes:
    """One transaction by its number 1..9999; 0 for all that are payable or locked."""
    digits = bytes.fromhex(str(sequence).zfill(4))
    return bytes((0x20 + point, 0x21 if sequence else 0x20)) + digits


def error_address(point: int, code: int) -> bytes:
    """An error of a fuelling point."""
    return bytes((0x20 + point, 0x41, code))
