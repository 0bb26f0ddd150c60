"""IFSF dispenser application over TCP/IP, both sides, sans-IO.

Heartbeats by UDP, two simplex TCP connections, databases of data ids, acknowledgements element by element, unsolicited
messages. Everything rests on independently published implementations and field captures; `RULES` says how well each point is
supported.
"""

from __future__ import annotations

from .codes import DataAck, ErrorCode, MessageAck, MessageCode, MessageKind, TransactionState
from .controller import (
    ControllingDevice,
    Notice,
    PeerGone,
    PeerSeen,
    Reply,
    Request,
    StreamDown,
    StreamUp,
)
from .databases import (
    DATABASES,
    PRODUCT_NUMBERS,
    Access,
    Database,
    DatabaseKind,
    Field,
    database_tables,
    error_address,
    fuelling_point_address,
    nozzle_address,
    parse_database,
    price_address,
    transaction_address,
)
from .framing import MESSAGE_LIMIT_BYTES, StreamFramer
from .heartbeat import (
    CONFIGURATION_NEEDED,
    HEARTBEAT_PERIOD_US,
    HEARTBEAT_PORT,
    MISSED_HEARTBEATS,
    SOFTWARE_REFRESH,
    Heartbeat,
    HeartbeatError,
)
from .link import OUTGOING_LIMIT_BYTES, PARTIAL_LIMIT_US, Endpoint, IfsfLink, LinkEvents, NodeMachine, Warned
from .message import Address, Element, Message, MessageError, decode_message, encode_message
from .numbers import Number, NumberError, bcd, from_bcd
from .responder import CONTROLLER_SUBNET, DISPENSER_SUBNET, Responder, Store
from .rules import RULES
from .states import (
    COMMAND_NAMES,
    COMMAND_STATES,
    CONFIGURATION_STATES,
    READY_STATES,
    TRANSACTION_COMMANDS,
    FpState,
    UnlockTarget,
    command_table,
    error_for,
)

__all__ = [
    "COMMAND_NAMES",
    "COMMAND_STATES",
    "CONFIGURATION_NEEDED",
    "CONFIGURATION_STATES",
    "CONTROLLER_SUBNET",
    "DATABASES",
    "DISPENSER_SUBNET",
    "HEARTBEAT_PERIOD_US",
    "HEARTBEAT_PORT",
    "MESSAGE_LIMIT_BYTES",
    "MISSED_HEARTBEATS",
    "OUTGOING_LIMIT_BYTES",
    "PARTIAL_LIMIT_US",
    "PRODUCT_NUMBERS",
    "READY_STATES",
    "RULES",
    "SOFTWARE_REFRESH",
    "TRANSACTION_COMMANDS",
    "Access",
    "Address",
    "ControllingDevice",
    "DataAck",
    "Database",
    "DatabaseKind",
    "Element",
    "Endpoint",
    "ErrorCode",
    "Field",
    "FpState",
    "Heartbeat",
    "HeartbeatError",
    "IfsfLink",
    "LinkEvents",
    "Message",
    "MessageAck",
    "MessageCode",
    "MessageError",
    "MessageKind",
    "NodeMachine",
    "Notice",
    "Number",
    "NumberError",
    "PeerGone",
    "PeerSeen",
    "Reply",
    "Request",
    "Responder",
    "Store",
    "StreamDown",
    "StreamFramer",
    "StreamUp",
    "TransactionState",
    "UnlockTarget",
    "Warned",
    "bcd",
    "command_table",
    "database_tables",
    "decode_message",
    "encode_message",
    "error_address",
    "error_for",
    "from_bcd",
    "fuelling_point_address",
    "nozzle_address",
    "parse_database",
    "price_address",
    "transaction_address",
]
