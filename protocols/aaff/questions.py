"""What a master says to a dispenser. Every ``encode`` raises LocalProtocolError when a field does not fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, TypeAlias

from protocols.aaff.commands import PRICE_INDEX, Command, Malformed, Raw, byte, sized
from protocols.bcd import encode_bcd

__all__ = [
    "Authorise",
    "BriefAck",
    "Fetch",
    "MasterMessage",
    "Parameter",
    "Poll",
    "Prices",
    "ReadParameter",
    "RecordAck",
    "ShortPoll",
    "Stop",
    "TotalsRequest",
    "WriteParameter",
]

_SPARE: Final = bytes(6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """51, long: the gateway's, 16 bytes. ``time`` is six BCD bytes YYMMDDhhmmss."""

    command: ClassVar[int] = Command.POLL
    time: bytes
    fs_state: int = 0
    read_unpaid: int = 0
    mode: int = 0
    pay: int = 0
    spare: bytes = _SPARE

    def encode(self) -> bytes:
        """The body."""
        flags = (
            (self.fs_state, "FS state"),
            (self.read_unpaid, "flag"),
            (self.mode, "mode"),
            (self.pay, "flag"),
        )
        middle = b"".join(byte(value, what) for value, what in flags)
        return sized(self.time, 6, "time") + middle + sized(self.spare, 6, "spare")


@dataclass(frozen=True, slots=True)
class ShortPoll:
    """51, short: the firmware looks at the first byte only, 1 says that the master takes live figures.

    ``rest`` is whatever follows it, fewer than 15 bytes; ``ready`` is None for an empty body.
    """

    command: ClassVar[int] = Command.POLL
    ready: int | None = 1
    rest: bytes = b""

    def encode(self) -> bytes:
        """The body."""
        return b"" if self.ready is None else byte(self.ready, "flag") + self.rest


@dataclass(frozen=True, slots=True)
class _OfRecord:
    uid: int
    record: int = Command.SALE
    spare: bytes = bytes(2)

    def encode(self) -> bytes:
        """The body."""
        return (
            byte(self.record, "record type") + sized(self.spare, 2, "spare") + encode_bcd(self.uid, 6, "UID")
        )


@dataclass(frozen=True, slots=True)
class RecordAck(_OfRecord):
    """69: a record is safe. ``record`` is its command (11, 12 or 13)."""

    command: ClassVar[int] = Command.RECORD_ACK


@dataclass(frozen=True, slots=True)
class Fetch(_OfRecord):
    """67: send this record again, whatever was acknowledged (firmware; answered with the record itself)."""

    command: ClassVar[int] = Command.FETCH


@dataclass(frozen=True, slots=True)
class Authorise:
    """70: one sale up to a value of so many hundredths; see `AuthoriseType`."""

    command: ClassVar[int] = Command.AUTHORISE
    kind: int
    value_units: int

    def encode(self) -> bytes:
        """The body."""
        return byte(self.kind, "type") + encode_bcd(self.value_units, 6, "value")


@dataclass(frozen=True, slots=True)
class _Bare:
    spare: bytes = _SPARE

    def encode(self) -> bytes:
        """The body: nothing but filling."""
        return self.spare


@dataclass(frozen=True, slots=True)
class TotalsRequest(_Bare):
    """72: last UID and totals, please."""

    command: ClassVar[int] = Command.TOTALS


@dataclass(frozen=True, slots=True)
class Stop(_Bare):
    """73: end the sale or the authorisation."""

    command: ClassVar[int] = Command.STOP


@dataclass(frozen=True, slots=True)
class BriefAck(_Bare):
    """74 from the master: the brief sale is safe. The gateway sends six zeros, no UID."""

    command: ClassVar[int] = Command.BRIEF_SALE


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: four-digit index, value, and how many of its digits are decimals."""

    index: int
    value: int
    decimals: int = 2

    def encode(self) -> bytes:
        """Nine bytes."""
        index = encode_bcd(self.index, 2, "parameter index")
        return byte(self.decimals, "decimals") + index + encode_bcd(self.value, 6, "parameter value")


@dataclass(frozen=True, slots=True)
class Prices:
    """75: the four prices."""

    command: ClassVar[int] = Command.PRICES
    parameters: tuple[Parameter, ...]

    @staticmethod
    def of(prices_units: tuple[int, ...]) -> Prices:
        """Four prices in hundredths of a yuan, for the parameters 4031 to 4034."""
        return Prices(
            tuple(Parameter(PRICE_INDEX + place, price) for place, price in enumerate(prices_units))
        )

    def encode(self) -> bytes:
        """The body."""
        return b"".join(parameter.encode() for parameter in self.parameters)


@dataclass(frozen=True, slots=True)
class WriteParameter:
    """52: set one parameter. The gateway adds six spare bytes."""

    command: ClassVar[int] = Command.WRITE_PARAMETER
    parameter: Parameter
    spare: bytes = _SPARE

    def encode(self) -> bytes:
        """The body."""
        return self.parameter.encode() + self.spare


@dataclass(frozen=True, slots=True)
class ReadParameter:
    """53: read one parameter; the value in the question means nothing."""

    command: ClassVar[int] = Command.READ_PARAMETER
    parameter: Parameter
    spare: bytes = b""

    def encode(self) -> bytes:
        """The body."""
        return self.parameter.encode() + self.spare


MasterMessage: TypeAlias = (
    Poll
    | ShortPoll
    | RecordAck
    | Fetch
    | Authorise
    | TotalsRequest
    | Stop
    | BriefAck
    | Prices
    | WriteParameter
    | ReadParameter
    | Raw
    | Malformed
)
