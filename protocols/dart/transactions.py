"""The application layer: transactions ``TRANS LNG DATA…`` inside a data block.

Numbers are whole numbers of the pump's own least step (``_units``): decimals are not in the messages, they are a
setting of site and pump. The same TRANS means one thing towards the pump (CD) and another from it (DC), hence two
decoders. Numbers of independent sources stand in `protocols.dart.RULES`.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import Final, TypeAlias

import msgspec

from protocols.bcd import encode_bcd
from protocols.sansio import LocalProtocolError

__all__ = [
    "AMOUNT_COUNTER_SUM",
    "VOLUME_COUNTER_SUM",
    "AllowedNozzles",
    "Command",
    "CommandCode",
    "ControllerTransaction",
    "FilledReport",
    "MalformedTransaction",
    "NozzleReport",
    "PresetAmount",
    "PresetVolume",
    "PumpStatus",
    "PumpTransaction",
    "StatusReport",
    "TotalsReport",
    "TotalsRequest",
    "Transaction",
    "UnitPrices",
    "UnknownTransaction",
    "amount_counter",
    "encode_block",
    "volume_counter",
]

VOLUME_COUNTER_SUM: Final = 0x09
AMOUNT_COUNTER_SUM: Final = 0x19

_EIGHT_DIGITS: Final = 99_999_999


def volume_counter(nozzle: int) -> int:
    """COUN of the volume total of logical nozzle 1..8."""
    if not 1 <= nozzle <= 8:
        raise LocalProtocolError(f"logical nozzle {nozzle} has no totaliser of its own (1..8)")
    return nozzle


def amount_counter(nozzle: int) -> int:
    """COUN of the amount total of logical nozzle 1..8."""
    return 0x10 + volume_counter(nozzle)


class PumpStatus(IntEnum):
    """What DC1 reports (four independent sources)."""

    NOT_PROGRAMMED = 0
    RESET = 1
    AUTHORISED = 2
    FILLING = 4
    FILLING_COMPLETED = 5
    MAX_REACHED = 6
    """Preset amount or volume reached."""
    SWITCHED_OFF = 7


class CommandCode(IntEnum):
    """What CD1 asks for (four independent sources; RETURN_IDENTITY two)."""

    RETURN_STATUS = 0x00
    RETURN_IDENTITY = 0x03
    RETURN_FILLING = 0x04
    RESET = 0x05
    AUTHORISE = 0x06
    STOP = 0x08
    SWITCH_OFF = 0x0A


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """CD1, a command."""

    code: CommandCode

    def encode(self) -> bytes:
        """TRANS LNG DATA."""
        return bytes((0x01, 1, self.code))


class AllowedNozzles(msgspec.Struct, frozen=True, kw_only=True):
    """CD2, the logical nozzles (1..15) that may fill. Sticky: it stays until the next CD2."""

    nozzles: tuple[int, ...]

    def encode(self) -> bytes:
        """TRANS LNG DATA.

        Raises:
            LocalProtocolError: a nozzle is outside 1..15.
        """
        if any(not 1 <= nozzle <= 15 for nozzle in self.nozzles):
            raise LocalProtocolError(f"logical nozzles {self.nozzles} are not all within 1..15")
        return _transaction(0x02, bytes(self.nozzles))


class PresetVolume(msgspec.Struct, frozen=True, kw_only=True):
    """CD3. Good for one filling; the last one wins; cleared by RESET."""

    volume_units: int

    def encode(self) -> bytes:
        """TRANS LNG DATA; 8 digits."""
        return b"\x03\x04" + encode_bcd(self.volume_units, 4, "preset volume")


class PresetAmount(msgspec.Struct, frozen=True, kw_only=True):
    """CD4. Good for one filling; the last one wins; cleared by RESET."""

    amount_units: int

    def encode(self) -> bytes:
        """TRANS LNG DATA; 8 digits."""
        return b"\x04\x04" + encode_bcd(self.amount_units, 4, "preset amount")


class UnitPrices(msgspec.Struct, frozen=True, kw_only=True):
    """CD5, the prices of logical nozzles 1..n. Must cover all nozzles of the pump, or the pump ignores it whole."""

    prices_units: tuple[int, ...]

    def encode(self) -> bytes:
        """TRANS LNG DATA; 6 digits each."""
        return _transaction(0x05, b"".join(encode_bcd(price, 3, "unit price") for price in self.prices_units))


class TotalsRequest(msgspec.Struct, frozen=True, kw_only=True):
    """CD101. ``counter``: 01..08 volume of a nozzle, 09 volume sum, 11..18 (hex) amount of a nozzle, 19 amount sum."""

    counter: int

    def encode(self) -> bytes:
        """TRANS LNG DATA."""
        return _transaction(0x65, _byte(self.counter, "totaliser"))


class StatusReport(msgspec.Struct, frozen=True, kw_only=True):
    """DC1, the pump's status."""

    status: PumpStatus

    def encode(self) -> bytes:
        """TRANS LNG DATA."""
        return bytes((0x01, 1, self.status))


class FilledReport(msgspec.Struct, frozen=True, kw_only=True):
    """DC2, volume and amount of the running or last filling."""

    volume_units: int
    amount_units: int

    def encode(self) -> bytes:
        """TRANS LNG DATA; 8 digits each."""
        volume, amount = self.volume_units, self.amount_units
        if 0 <= volume <= _EIGHT_DIGITS and 0 <= amount <= _EIGHT_DIGITS:
            return bytes.fromhex(f"0208{volume:08d}{amount:08d}")  # the commonest by far, in one step
        return b"\x02\x08" + encode_bcd(volume, 4, "filled volume") + encode_bcd(amount, 4, "filled amount")


class NozzleReport(msgspec.Struct, frozen=True, kw_only=True):
    """DC3: unit price, logical nozzle (0 = none; never to be read as nozzle 1), in or out.

    ``reserved`` keeps bits 5..7 of NOZIO, whose meaning no public source gives.
    """

    price_units: int
    nozzle: int
    out: bool
    reserved: int = 0

    def encode(self) -> bytes:
        """TRANS LNG DATA.

        Raises:
            LocalProtocolError: a field is out of range.
        """
        if not 0 <= self.nozzle <= 15 or not 0 <= self.reserved <= 7:
            raise LocalProtocolError(f"nozzle {self.nozzle} or reserved bits {self.reserved} out of range")
        nozio = self.reserved << 5 | self.out << 4 | self.nozzle
        return b"\x03\x04" + encode_bcd(self.price_units, 3, "unit price") + bytes((nozio,))


class TotalsReport(msgspec.Struct, frozen=True, kw_only=True):
    """DC101, a totaliser; the second and third figure count only on pumps with two meters.

    Chinese card pumps send 13 bytes in place of 16 (fangym0335/first, one source): the first figure is read, the rest
    is kept in ``tail`` undecoded.
    """

    counter: int
    total_units: int
    second_units: int = 0
    third_units: int = 0
    tail: bytes | None = None

    def encode(self) -> bytes:
        """TRANS LNG DATA; 10 digits each."""
        data = _byte(self.counter, "totaliser") + encode_bcd(self.total_units, 5, "total")
        if self.tail is None:
            data += encode_bcd(self.second_units, 5, "total") + encode_bcd(self.third_units, 5, "total")
        else:
            data += self.tail
        return _transaction(0x65, data)


class UnknownTransaction(msgspec.Struct, frozen=True, kw_only=True):
    """A TRANS that this codec does not know, skipped by its LNG."""

    trans: int
    data: bytes

    def encode(self) -> bytes:
        """TRANS LNG DATA."""
        return _transaction(self.trans, self.data)


class MalformedTransaction(msgspec.Struct, frozen=True, kw_only=True):
    """A known TRANS with impossible contents, or one that runs past the end of the block. Never to be acted on.

    Attributes:
        raw: its bytes, TRANS and LNG included.
        reason: what is wrong, for a log.
    """

    raw: bytes
    reason: str

    def encode(self) -> bytes:
        """The bytes as they came."""
        return self.raw


ControllerTransaction: TypeAlias = (
    Command
    | AllowedNozzles
    | PresetVolume
    | PresetAmount
    | UnitPrices
    | TotalsRequest
    | UnknownTransaction
    | MalformedTransaction
)
PumpTransaction: TypeAlias = (
    StatusReport | FilledReport | NozzleReport | TotalsReport | UnknownTransaction | MalformedTransaction
)
Transaction: TypeAlias = ControllerTransaction | PumpTransaction


def encode_block(transactions: Iterable[Transaction]) -> bytes:
    """The data block of these transactions.

    Raises:
        LocalProtocolError: a field does not fit.
    """
    return b"".join([transaction.encode() for transaction in transactions])


def _transaction(trans: int, data: bytes) -> bytes:
    if len(data) > 0xFF:
        raise LocalProtocolError(f"transaction 0x{trans:02X} with {len(data)} data bytes; LNG is one byte")
    return bytes((trans, len(data))) + data


def _byte(value: int, what: str) -> bytes:
    if not 0 <= value <= 0xFF:
        raise LocalProtocolError(f"{what} {value} does not fit into one byte")
    return bytes((value,))
