"""Codes of the IFSF dispenser application: kinds of message, acknowledgements, states, error codes.

Sources: zhang98722/ifsf-communication, tagnpeng/ifsf, fangym0335/first (cites IFSF Part 3-01 2.44), ycxzfforever/
ZHY_IFSF_AM3352; the table of errors from fangym0335/first, code 99 also from ycxzfforever on the wire.
"""

from __future__ import annotations

from enum import IntEnum

__all__ = ["DataAck", "ErrorCode", "MessageAck", "MessageCode", "MessageKind", "TransactionState"]


class MessageCode(IntEnum):
    """Third word of the header: to whom in the node a message speaks."""

    APPLICATION = 0
    HEARTBEAT = 1
    COMMUNICATION = 2


class MessageKind(IntEnum):
    """Bits 7-5 of the status byte."""

    READ = 0
    ANSWER = 1
    WRITE = 2
    NOTICE_WITH_ACK = 3
    NOTICE = 4
    ACKNOWLEDGE = 7


class MessageAck(IntEnum):
    """First byte of an acknowledgement. Only 5 brings a list of elements with it."""

    OK = 0
    REFUSED_ELEMENTS = 5
    UNKNOWN_DATABASE = 6


class DataAck(IntEnum):
    """What became of one element of a write."""

    OK = 0
    INVALID_VALUE = 1
    NOT_WRITABLE = 2
    NOT_IN_THIS_STATE = 3
    NO_SUCH_DATA = 4
    NOT_ACCEPTED = 5
    CANNOT_EXECUTE_NOW = 6


class TransactionState(IntEnum):
    """Data id 21 of a transaction."""

    CLEARED = 1
    PAYABLE = 2
    LOCKED = 3


class ErrorCode(IntEnum):
    """Last byte of the address of an error message (``21 41 xx``)."""

    INOPERATIVE = 0x2D
    CLOSED = 0x2E
    ALREADY_OPEN = 0x2F
    NO_TRANSACTION = 0x30
    TRANSACTION_STARTED = 0x31
    CONFIGURATION_IMPOSSIBLE = 0x32
    PRICE_FAILED = 0x36
    PRICE_REFUSED = 0x37
    PRICE_APPLIED = 0x99
    """A Chinese extension: not an error, the new price holds."""
