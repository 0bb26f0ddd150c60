"""What both sides tell their owner, in the order in which it happened on the wire."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from protocols.twowire.blocks import NozzleRecord, SentBlock, Totals, Transaction
from protocols.twowire.decoding import BadReason, DeviationKind
from protocols.twowire.wire import Command, Status

__all__ = [
    "BadAnswer",
    "BadData",
    "BlockSent",
    "BlockTaken",
    "CommandSent",
    "Deviation",
    "Event",
    "MoneyAnswer",
    "NotReady",
    "NozzleAnswer",
    "ReplyTimeout",
    "StatusAnswer",
    "TotalsAnswer",
    "TransactionAnswer",
    "Unexpected",
    "Wait",
]


class Wait(Enum):
    """What a controller waits for; the name of each exchange."""

    NOTHING = "nothing"
    STATUS = "status"
    READY = "readiness for data"
    NOZZLE = "nozzle record"
    TRANSACTION = "transaction"
    TOTALS = "totals"
    MONEY = "running money"
    SETTLE = "effect of a command"
    DRAIN = "end of a bad answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusAnswer:
    """Controller: the pump's status. One nibble without any check: a change deserves a second look."""

    pump: int
    status: Status


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionAnswer:
    """Controller: the transaction that was asked for."""

    pump: int
    transaction: Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class TotalsAnswer:
    """Controller: the totals that were asked for."""

    pump: int
    totals: Totals


@dataclass(frozen=True, slots=True, kw_only=True)
class MoneyAnswer:
    """Controller: the running money that was asked for, wire units; it carries no check."""

    pump: int
    money_units: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NozzleAnswer:
    """Controller: the answer to the nozzle query."""

    pump: int
    record: NozzleRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandSent:
    """Controller: a command without answer went out and had its time. What came of it only the status tells."""

    pump: int
    command: Command


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockSent:
    """Controller: the pump was ready, the block went out and had its time. What came of it only a reading tells."""

    pump: int
    block: SentBlock


@dataclass(frozen=True, slots=True, kw_only=True)
class NotReady:
    """Controller: the pump answered ``2p`` with another status than readiness; the block was not sent."""

    pump: int
    status: Status


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyTimeout:
    """Controller: no whole answer in time."""

    pump: int
    wait: Wait


@dataclass(frozen=True, slots=True, kw_only=True)
class BadAnswer:
    """Controller: an answer that cannot be used.

    Attributes:
        pump: who was asked.
        wait: what was asked for.
        reason: why it was refused.
        raw: as it came.
    """

    pump: int
    wait: Wait
    reason: BadReason
    raw: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Unexpected:
    """Controller: bytes that are no part of the answer waited for (another pump, a late answer, noise). Ignored."""

    pump: int | None
    raw: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockTaken:
    """Pump: a good data block arrived; whether it had an effect is the pump's own matter."""

    pump: int
    block: SentBlock


@dataclass(frozen=True, slots=True, kw_only=True)
class BadData:
    """Pump: the block announced by ``2p`` was bad or never came; the next status says "data error" once."""

    pump: int
    reason: BadReason
    raw: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """The peer deviates in a way we live with. A warning, never a failure."""

    pump: int
    kind: DeviationKind


Event: TypeAlias = (
    StatusAnswer
    | TransactionAnswer
    | TotalsAnswer
    | MoneyAnswer
    | NozzleAnswer
    | CommandSent
    | BlockSent
    | NotReady
    | ReplyTimeout
    | BadAnswer
    | Unexpected
    | BlockTaken
    | BadData
    | Deviation
)
