"""What both sides tell their owner, in the order in which it happened on the wire."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

import msgspec

from protocols.dart.framer import BadReason
from protocols.dart.transactions import Transaction
from protocols.dart.wire import Control

__all__ = [
    "Ack",
    "BadFrame",
    "Data",
    "Deviation",
    "DeviationKind",
    "Duplicate",
    "Eot",
    "Event",
    "Nak",
    "ReplyTimeout",
    "SendFailed",
    "Unexpected",
]


class Data(msgspec.Struct, frozen=True, kw_only=True):
    """A new block arrived; it is to be executed once.

    Attributes:
        address: whose.
        tx: its block number.
        transactions: what it holds, unknown and malformed ones included.
        same_as_last: number 0 again with the very same bytes: perhaps a repetition, but 0 must always be accepted.
    """

    address: int
    tx: int
    transactions: tuple[Transaction, ...]
    same_as_last: bool = False


class Duplicate(msgspec.Struct, frozen=True, kw_only=True):
    """A block came again (its acknowledgement was lost): acknowledged again, not to be executed again."""

    address: int
    tx: int


class Eot(msgspec.Struct, frozen=True, kw_only=True):
    """Controller: the pump has nothing to send."""

    address: int


class Ack(msgspec.Struct, frozen=True, kw_only=True):
    """Our block was taken. It proves receipt, never effect: a pump acknowledges commands that it then ignores."""

    address: int
    tx: int


class Nak(msgspec.Struct, frozen=True, kw_only=True):
    """Our block was refused.

    Attributes:
        address: whose.
        tx: the number of our block.
        attempt: controller: how often it was sent so far, from 1. Pump: 0, it repeats at each poll.
    """

    address: int
    tx: int
    attempt: int = 0


class ReplyTimeout(msgspec.Struct, frozen=True, kw_only=True):
    """Controller: no whole answer in time.

    Attributes:
        address: who was silent.
        tx: the number of our unanswered block; None when it was a poll.
        attempt: how often the block was sent so far, from 1; 1 for a poll.
    """

    address: int
    tx: int | None = None
    attempt: int = 1


class SendFailed(msgspec.Struct, frozen=True, kw_only=True):
    """Controller: the block was given up after all its attempts. Whether the pump executed it is unknown: read first.

    The next block will carry number 0, which a pump accepts whatever it saw before.
    """

    address: int
    tx: int
    attempts: int


class BadFrame(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes that are no good frame.

    Attributes:
        address: the address they begin with, if any.
        reason: why they were refused.
        raw: as they came.
        nak: a NAK goes out.
    """

    address: int | None
    reason: BadReason
    raw: bytes
    nak: bool = False


class Unexpected(msgspec.Struct, frozen=True, kw_only=True):
    """A good frame at a moment when nobody should have sent it (a late answer, another pump). Ignored.

    Attributes:
        address: the address in it.
        control: its kind.
        tx: its block number.
    """

    address: int
    control: Control
    tx: int


class DeviationKind(StrEnum):
    """Deviations that work in the field, and so are tolerated and told."""

    ACK_ZERO = "ack zero"
    """A block with another number was acknowledged as number 0."""
    NAK_OTHER = "nak other"
    """A NAK names another number than the block that is out."""
    CHECKSUM_UNESCAPED = "checksum unescaped"
    """A checksum byte FA came without its escape. The frame was taken; ``expected`` and ``got`` are its number."""
    SEQUENCE_GAP = "sequence gap"
    """A block number that does not follow the last one."""


class Deviation(msgspec.Struct, frozen=True, kw_only=True):
    """The peer deviates in a way we live with. A warning, never a failure.

    Attributes:
        address: whose.
        kind: which deviation.
        expected: the number that would have been right.
        got: the number that came.
    """

    address: int
    kind: DeviationKind
    expected: int
    got: int


Event: TypeAlias = (
    Data | Duplicate | Eot | Ack | Nak | ReplyTimeout | SendFailed | BadFrame | Unexpected | Deviation
)
