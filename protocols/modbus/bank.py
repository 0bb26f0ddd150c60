"""A bank of registers: addresses to named values and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from .registers import (
    DEVICE,
    FUELLING_POINT,
    NOZZLE,
    Access,
    Register,
    base_of_fuelling_point,
    base_of_nozzle,
)

__all__ = ["ExceptionCode", "Refusal", "RegisterBank", "RegisterSource", "Scope"]


PLANS_MAX: Final = 256
"""Ranges remembered for reading; drivers use a handful."""


class ExceptionCode:
    """Exception codes of the Modbus Application Protocol Specification V1.1b3, section 7."""

    ILLEGAL_FUNCTION = 1
    ILLEGAL_DATA_ADDRESS = 2
    ILLEGAL_DATA_VALUE = 3
    SERVER_DEVICE_FAILURE = 4
    SERVER_DEVICE_BUSY = 6
    GATEWAY_TARGET_FAILED_TO_RESPOND = 11


class Refusal(Exception):  # noqa: N818 - it is an answer of the protocol, not an error of the program
    """A request that gets an exception response with ``code``."""

    def __init__(self, code: int) -> None:
        super().__init__(f"Modbus exception {code}")
        self.code = code


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose register it is: fuelling point 1..M of the unit (0: the device), logical nozzle 1..8 (0: none)."""

    fuelling_point: int = 0
    nozzle: int = 0


class RegisterSource(Protocol):
    """The device behind a bank."""

    def read_register(self, scope: Scope, name: str, now_us: int) -> int:
        """Return the value of a register."""

    def generation(self) -> int | None:
        """A number that stays the same as long as every register does; None while values move with time."""

    def write_register(self, scope: Scope, name: str, value: int, now_us: int) -> None:
        """Take a written value; raises `Refusal` when it cannot be taken."""


@dataclass(frozen=True, slots=True)
class _Word:
    scope: Scope
    register: Register
    index: int


class RegisterBank:
    """The registers of one unit.

    Args:
        source: where values come from and go to.
        nozzles: fuelling point (1..M of the unit) -> number of nozzles.
    """

    def __init__(self, source: RegisterSource, nozzles: Mapping[int, Sequence[int]]) -> None:
        self._source = source
        self._words: dict[int, _Word] = {}
        self._plans: dict[tuple[int, int], list[tuple[Scope, str, list[int]]]] = {}
        self._place(0, DEVICE, Scope())
        for point, logicals in nozzles.items():
            self._place(base_of_fuelling_point(point), FUELLING_POINT, Scope(point))
            for logical in logicals:
                self._place(base_of_nozzle(point, logical), NOZZLE, Scope(point, logical))

    def _place(self, base: int, registers: Sequence[Register], scope: Scope) -> None:
        for register in registers:
            for index in range(register.width):
                self._words[base + register.offset + index] = _Word(scope, register, index)

    def generation(self) -> int | None:
        """See `RegisterSource.generation`."""
        return self._source.generation()

    def read(self, address: int, count: int, now_us: int) -> list[int]:
        """Read ``count`` registers, all of one instant. Raises `Refusal` (2) when one of them does not exist."""
        plan = self._plans.get((address, count))
        if plan is None:
            plan = self._plan(self._range(address, count))
            if len(self._plans) < PLANS_MAX:
                self._plans[address, count] = plan
        result: list[int] = []
        for scope, name, shifts in plan:
            value = self._source.read_register(scope, name, now_us)
            if len(shifts) == 1:
                result.append(value >> shifts[0] & 0xFFFF)
            else:
                result += [value >> shift & 0xFFFF for shift in shifts]
        return result

    @staticmethod
    def _plan(words: Sequence[_Word]) -> list[tuple[Scope, str, list[int]]]:
        """Which values to ask for, and by how many bits to shift each for the registers wanted of it."""
        plan: list[tuple[Scope, str, list[int]]] = []
        last: _Word | None = None
        for word in words:
            shift = 16 * (word.register.width - 1 - word.index)
            if last is not None and last.register is word.register and last.scope is word.scope:
                plan[-1][2].append(shift)
            else:
                plan.append((word.scope, word.register.name, [shift]))
            last = word
        return plan

    def write(self, address: int, values: Sequence[int], now_us: int) -> None:
        """Write registers, in order of address, after the whole request was found writable.

        Raises:
            Refusal: 2 when a register does not exist or is read-only; 3 when a value of several registers is not written
                whole, or its source refuses it.
        """
        words = self._range(address, len(values))
        for word in words:
            if word.register.access is not Access.READ_WRITE:
                raise Refusal(ExceptionCode.ILLEGAL_DATA_ADDRESS)
        if words[0].index != 0 or words[-1].index != words[-1].register.width - 1:
            raise Refusal(ExceptionCode.ILLEGAL_DATA_VALUE)
        value = 0
        for word, part in zip(words, values, strict=True):
            value = part if word.index == 0 else value << 16 | part
            if word.index == word.register.width - 1:
                self._source.write_register(word.scope, word.register.name, value, now_us)

    def _range(self, address: int, count: int) -> list[_Word]:
        try:
            return [self._words[one] for one in range(address, address + count)]
        except KeyError:
            raise Refusal(ExceptionCode.ILLEGAL_DATA_ADDRESS) from None
