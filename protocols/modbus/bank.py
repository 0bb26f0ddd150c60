"""A bank of registers: addresses to named values and back."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple, Protocol, runtime_checkable

from .registers import (
    DEVICE,
    FUELLING_POINT,
    NOZZLE,
    Access,
    Register,
    base_of_fuelling_point,
    base_of_nozzle,
)

__all__ = ["ExceptionCode", "ReaderSource", "Refusal", "RegisterBank", "RegisterSource", "Scope"]


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


@runtime_checkable
class ReaderSource(Protocol):
    """A source that hands out a function for each register, so that a poll need not look up twenty names each time."""

    def register_reader(self, scope: Scope, name: str) -> Callable[[int], int]:
        """A function that takes the time (µs) and returns the register's value then; it holds for as long as the source."""


@dataclass(frozen=True, slots=True)
class _Word:
    scope: Scope
    register: Register
    index: int


class _Plan(NamedTuple):
    """How a range is read: what gives each value, which bits of it fit, and what packs them all."""

    pack: Callable[..., bytes]
    values: tuple[tuple[Callable[[int], int], int], ...]


_LETTERS: Final = {1: "H", 2: "I", 4: "Q"}
"""Of the module `struct`, by registers a value."""


def _shifted(read: Callable[[int], int], by: int) -> Callable[[int], int]:
    return lambda now_us: read(now_us) >> by


class RegisterBank:
    """The registers of one unit.

    Args:
        source: where values come from and go to.
        nozzles: fuelling point (1..M of the unit) -> number of nozzles.
    """

    def __init__(self, source: RegisterSource, nozzles: Mapping[int, Sequence[int]]) -> None:
        self._source = source
        self._words: dict[int, _Word] = {}
        self._plans: dict[tuple[int, int], _Plan] = {}
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

    def read(self, address: int, count: int, now_us: int) -> bytes:
        """Read ``count`` registers, all of one instant, as they stand in a reply: high byte first.

        Raises:
            Refusal: 2 when one of them does not exist.
        """
        plan = self._plans.get((address, count))
        if plan is None:
            plan = self._plan(self._range(address, count))
            if len(self._plans) < PLANS_MAX:
                self._plans[address, count] = plan
        return plan.pack(*[read(now_us) & mask for read, mask in plan.values])

    def _reader(self, scope: Scope, name: str) -> Callable[[int], int]:
        if isinstance(self._source, ReaderSource):
            return self._source.register_reader(scope, name)
        return partial(self._source.read_register, scope, name)

    def _plan(self, words: Sequence[_Word]) -> _Plan:
        shape, values = ">", []
        at = 0
        while at < len(words):
            word = words[at]
            width = int(word.register.width)
            read = self._reader(word.scope, word.register.name)
            if word.index == 0 and at + width <= len(words):
                shape += _LETTERS[width]
                values.append((read, (1 << 16 * width) - 1))
                at += width
            else:  # a value of which only some registers are wanted
                shape += _LETTERS[1]
                values.append((_shifted(read, 16 * (width - 1 - word.index)), 0xFFFF))
                at += 1
        return _Plan(struct.Struct(shape).pack, tuple(values))

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
