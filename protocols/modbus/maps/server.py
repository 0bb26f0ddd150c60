"""The server side of maps that are not ours: one bank of fields, coils where a map has them.

Requests are checked in the order of the Modbus Application Protocol Specification V1.1b3, section 7: function, then
counts and lengths, then addresses, then the value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, Protocol

from protocols.modbus.bank import ExceptionCode, Refusal, RegisterBank, Scope
from protocols.modbus.framing import Framing
from protocols.modbus.registers import Access
from protocols.modbus.server import MAX_READ_COUNT, MAX_WRITE_COUNT, ModbusServer

from .fields import Field, MapParameters

__all__ = ["FieldBank", "FieldSource", "MapServer"]

WRITE_COIL: Final = 5
WRITE_SINGLE: Final = 6
WRITE_MULTIPLE: Final = 16

_COIL_VALUES: Final = {b"\xff\x00": True, b"\x00\x00": False}


class FieldSource(Protocol):
    """The device behind a bank."""

    def read_field(self, name: str, now_us: int) -> float:
        """The value of a field, in units of its last place."""

    def write_field(self, name: str, value: float, now_us: int) -> None:
        """Take a written value; raises `Refusal` when it cannot be taken."""

    def write_coil(self, name: str, on: bool, now_us: int) -> None:
        """Take a written coil; raises `Refusal` when it cannot be taken."""


class FieldBank:
    """The registers and coils of one unit.

    Args:
        fields: what there is.
        source: where values come from and go to.
        parameters: how it is addressed and written.
        coils: coil address on the wire -> name.

    Raises:
        ValueError: two fields share a register, or one lies before address 0.
    """

    def __init__(
        self,
        fields: Iterable[Field],
        source: FieldSource,
        parameters: MapParameters,
        *,
        coils: Mapping[int, str] | None = None,
    ) -> None:
        self.parameters = parameters
        self._source = source
        self._coils = dict(coils or {})
        self._at: dict[int, tuple[Field, int]] = {}
        for field in fields:
            first = parameters.on_wire(field.number)
            for index in range(field.kind.registers):
                if first < 0 or self._at.setdefault(first + index, (field, index)) != (field, index):
                    raise ValueError(f"{field.name} cannot have the register {first + index}")

    @property
    def functions(self) -> frozenset[int]:
        """The functions that are answered otherwise than by exception 1."""
        coils = {WRITE_COIL} if self._coils else set()
        return self.parameters.functions | {WRITE_SINGLE, WRITE_MULTIPLE} | coils

    def read(self, address: int, count: int, now_us: int) -> bytes:
        """``count`` registers, all of one instant, as they stand in a reply. Raises `Refusal` (2)."""
        values: dict[str, list[int]] = {}
        words = []
        for one in range(address, address + count):
            found = self._at.get(one)
            if found is None:
                if self.parameters.gaps == "refuse" or one > 0xFFFF:
                    raise Refusal(ExceptionCode.ILLEGAL_DATA_ADDRESS)
                words.append(0)
                continue
            field, index = found
            if field.name not in values:
                value = self._source.read_field(field.name, now_us)
                values[field.name] = field.encode(value, low_word_first=self.parameters.low_word_first)
            words.append(values[field.name][index])
        return b"".join(word.to_bytes(2, "big") for word in words)

    def write(self, address: int, values: Sequence[int], now_us: int) -> None:
        """Write whole fields, after all of them were found writable.

        Raises:
            Refusal: 2 for a register that is not there or read-only; 3 for part of a field, or what its source refuses.
        """
        wanted: list[tuple[Field, list[int]]] = []
        for offset, value in enumerate(values):
            found = self._at.get(address + offset)
            if found is None or found[0].access is not Access.READ_WRITE:
                raise Refusal(ExceptionCode.ILLEGAL_DATA_ADDRESS)
            field, index = found
            if index == 0:
                wanted.append((field, []))
            if not wanted:
                raise Refusal(ExceptionCode.ILLEGAL_DATA_VALUE)
            wanted[-1][1].append(value)
        if any(len(words) != field.kind.registers for field, words in wanted):
            raise Refusal(ExceptionCode.ILLEGAL_DATA_VALUE)
        for field, words in wanted:
            try:
                value_of = field.decode(words, low_word_first=self.parameters.low_word_first)
            except ValueError:
                raise Refusal(ExceptionCode.ILLEGAL_DATA_VALUE) from None
            self._source.write_field(field.name, value_of, now_us)

    def write_coil(self, address: int, on: bool, now_us: int) -> None:
        """Write a coil. Raises `Refusal` (2) for one that is not there."""
        if address not in self._coils:
            raise Refusal(ExceptionCode.ILLEGAL_DATA_ADDRESS)
        self._source.write_coil(self._coils[address], on, now_us)


class _Nothing:
    """Stands where `ModbusServer` wants a source; `MapServer` never asks it."""

    def read_register(self, scope: Scope, name: str, now_us: int) -> int:  # noqa: ARG002 - see the class
        return 0

    def generation(self) -> None:
        """Nothing is ever remembered: a meter's values move by themselves."""
        return

    def write_register(self, scope: Scope, name: str, value: int, now_us: int) -> None:  # noqa: ARG002
        raise Refusal(ExceptionCode.ILLEGAL_DATA_ADDRESS)


_NOTHING: Final = RegisterBank(_Nothing(), {})


class MapServer(ModbusServer):
    """One connection of a server for a `FieldBank`: framing, units and order as `ModbusServer` has them.

    Args: see `ModbusServer`; the unit is the bank's.
    """

    def __init__(
        self,
        bank: FieldBank,
        *,
        framing: Framing = "rtu",
        baud: int = 9_600,
        absent_unit: Literal["gateway", "silence"] = "gateway",
        silence_us: int | None = None,
    ) -> None:
        super().__init__(
            _NOTHING,
            bank.parameters.unit_id,
            framing=framing,
            baud=baud,
            absent_unit=absent_unit,
            silence_us=silence_us,
        )
        self._fields = bank

    def _work_out(self, pdu: bytes, now_us: int) -> bytes:
        function = pdu[0]
        try:
            return self._take(function, pdu, now_us)
        except Refusal as refusal:
            return bytes((function & 0x7F | 0x80, refusal.code))

    def _take(self, function: int, pdu: bytes, now_us: int) -> bytes:
        bank = self._fields
        if function not in bank.functions:
            raise Refusal(ExceptionCode.ILLEGAL_FUNCTION)
        if len(pdu) < 5 or (function != WRITE_MULTIPLE and len(pdu) != 5):
            raise Refusal(ExceptionCode.ILLEGAL_DATA_VALUE)
        address, value = pdu[1] << 8 | pdu[2], pdu[3] << 8 | pdu[4]
        if function in bank.parameters.functions:
            if not 1 <= value <= MAX_READ_COUNT:
                raise Refusal(ExceptionCode.ILLEGAL_DATA_VALUE)
            return bytes((function, 2 * value)) + bank.read(address, value, now_us)
        if function == WRITE_COIL:
            on = _COIL_VALUES.get(pdu[3:])
            if on is None:
                raise Refusal(ExceptionCode.ILLEGAL_DATA_VALUE)
            bank.write_coil(address, on, now_us)
            return pdu
        if function == WRITE_SINGLE:
            bank.write(address, [value], now_us)
            return pdu
        if not 1 <= value <= MAX_WRITE_COUNT or len(pdu) != 6 + 2 * value or pdu[5] != 2 * value:
            raise Refusal(ExceptionCode.ILLEGAL_DATA_VALUE)
        words = [pdu[at] << 8 | pdu[at + 1] for at in range(6, len(pdu), 2)]
        bank.write(address, words, now_us)
        return pdu[:5]
