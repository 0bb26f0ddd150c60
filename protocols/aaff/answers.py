"""What a dispenser says. Every ``encode`` raises LocalProtocolError when a field does not fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from protocols.aaff.commands import Command, Malformed, Raw, byte
from protocols.aaff.records import LiveRecord, SaleRecord
from protocols.bcd import encode_bcd

__all__ = [
    "AuthoriseReply",
    "BriefSale",
    "Live",
    "NotUnderstood",
    "Nothing",
    "OtherRecord",
    "ParameterReply",
    "PumpMessage",
    "RecordAcked",
    "Result",
    "Sale",
    "Status",
    "Totals",
]


@dataclass(frozen=True, slots=True)
class Nothing:
    """51 from a dispenser: nothing to report."""

    command: ClassVar[int] = Command.POLL

    def encode(self) -> bytes:
        """The body."""
        return b""


@dataclass(frozen=True, slots=True)
class NotUnderstood:
    """50: the command is none that the dispenser knows."""

    command: ClassVar[int] = Command.NOT_UNDERSTOOD

    def encode(self) -> bytes:
        """The body."""
        return b""


@dataclass(frozen=True, slots=True)
class Status:
    """20: state (0 idle, 1 fuelling, else the IFSF number) and how many sales are unpaid."""

    command: ClassVar[int] = Command.STATUS
    state: int
    unpaid: int = 0
    spare: bytes = bytes(3)

    def encode(self) -> bytes:
        """The body."""
        return byte(self.state, "state") + encode_bcd(self.unpaid, 2, "unpaid count") + self.spare


@dataclass(frozen=True, slots=True)
class Sale:
    """11: a finished sale."""

    command: ClassVar[int] = Command.SALE
    record: SaleRecord

    def encode(self) -> bytes:
        """The body."""
        return self.record.encode()


@dataclass(frozen=True, slots=True)
class Live:
    """19: the running sale."""

    command: ClassVar[int] = Command.LIVE
    record: LiveRecord

    def encode(self) -> bytes:
        """The body."""
        return self.record.encode()


@dataclass(frozen=True, slots=True)
class OtherRecord:
    """12 or 13: a shift (53 bytes) or an alarm (21 bytes) that waits for its acknowledgement, kept as it stands."""

    command: int
    uid: int
    rest: bytes

    def encode(self) -> bytes:
        """The body."""
        return encode_bcd(self.uid, 6, "UID") + self.rest


@dataclass(frozen=True, slots=True)
class RecordAcked:
    """69 from a dispenser: the acknowledgement came. It does not say whether the record was the awaited one."""

    command: ClassVar[int] = Command.RECORD_ACK

    def encode(self) -> bytes:
        """The body."""
        return b""


@dataclass(frozen=True, slots=True)
class AuthoriseReply:
    """70 from a dispenser. The gateway takes it for a refusal unless the result is 0 and the value is its own."""

    command: ClassVar[int] = Command.AUTHORISE
    result: int
    kind: int
    value_units: int

    def encode(self) -> bytes:
        """The body."""
        return (
            byte(self.result, "result") + byte(self.kind, "type") + encode_bcd(self.value_units, 6, "value")
        )


@dataclass(frozen=True, slots=True)
class Totals:
    """72 from a dispenser: UID of the last sale, volume and amount totals in hundredths."""

    command: ClassVar[int] = Command.TOTALS
    uid: int
    volume_units: int
    amount_units: int

    def encode(self) -> bytes:
        """The body."""
        return b"".join(
            encode_bcd(value, 6, what)
            for value, what in (
                (self.uid, "UID"),
                (self.volume_units, "volume total"),
                (self.amount_units, "amount total"),
            )
        )


@dataclass(frozen=True, slots=True)
class BriefSale:
    """74 from a dispenser: a finished sale in three numbers."""

    command: ClassVar[int] = Command.BRIEF_SALE
    uid: int
    volume_units: int
    amount_units: int

    def encode(self) -> bytes:
        """The body."""
        return Totals(self.uid, self.volume_units, self.amount_units).encode()


@dataclass(frozen=True, slots=True)
class Result:
    """73 or 75 from a dispenser: 0 is done, anything else is not."""

    command: int
    result: int
    spare: bytes = b""

    def encode(self) -> bytes:
        """The body."""
        return byte(self.result, "result") + self.spare


@dataclass(frozen=True, slots=True)
class ParameterReply:
    """52 or 53 from a dispenser: index and value (firmware; no decimals)."""

    command: int
    index: int
    value: int

    def encode(self) -> bytes:
        """The body."""
        return encode_bcd(self.index, 2, "parameter index") + encode_bcd(self.value, 6, "parameter value")


PumpMessage: TypeAlias = (
    Nothing
    | NotUnderstood
    | Status
    | Sale
    | Live
    | OtherRecord
    | RecordAcked
    | AuthoriseReply
    | Totals
    | BriefSale
    | Result
    | ParameterReply
    | Raw
    | Malformed
)
