"""Finds canaries in bytes: one pass of an automaton for all forms of all canaries, and three passes for what is taken apart."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from mmap import mmap
from typing import Any, Final

import ahocorasick_rs

from scenarios.leaks.canaries import Canary
from scenarios.leaks.forms import LONGEST, in_digits, patterns

__all__ = ["GAP", "NEAR", "Finder", "Hit"]

GAP: Final = 64
"""Bytes that may stand between two digits of a number: a pair of table tags with attributes, a JSON field name."""

NEAR: Final = 1024
"""How far apart, in bytes, two pieces of a number may stand when there are other digits between them."""

_WINDOW: Final = 32 * 1024 * 1024
_OVERLAP: Final = max(LONGEST, 19 * (GAP + 1), 2 * NEAR) * 2
_PIECE: Final = 6
_MISSING: Final = (
    4  # a number without its first five is met by accident once in a few hundred megabytes of figures
)
_NOT_DIGITS: Final = bytes(byte for byte in range(256) if not 0x30 <= byte <= 0x39)
_BLANK: Final = b" \t\r\n"
_WRAPPED: Final = re.compile(rb"[A-Za-z0-9+/]\r?\n[ \t]*[A-Za-z0-9+/]")
_WRAPPABLE: Final = ("base64", "hex")


@dataclass(frozen=True, slots=True)
class Hit:
    """A canary found.

    Attributes:
        canary: which.
        form: how it was written, in words.
        offset: of its first byte.
    """

    canary: Canary
    form: str
    offset: int


class Finder:
    """Looks for a set of canaries. Building it costs more than a search of a megabyte: keep it.

    Args:
        canaries: what to look for, at least one.
    """

    def __init__(self, canaries: Sequence[Canary]) -> None:
        if not canaries:
            raise ValueError("no canary to look for")
        self.canaries = tuple(canaries)
        self._direct = _Automaton(
            (pattern, (canary, form)) for canary in canaries for form, pattern in patterns(canary.digits)
        )
        self._digits = _Automaton(
            (text.encode(), (canary, form)) for canary in canaries for form, text in in_digits(canary.digits)
        )
        # Masked as usual, a card shows four digits at its end: six or more of them are a piece of the hidden part.
        self._ends = _Automaton(
            (canary.digits[-_PIECE:].encode(), (canary, "")) for canary in canaries if canary.kind == "card"
        )

    def search(self, data: bytes | mmap) -> list[Hit]:
        """What stands in these bytes, each canary once in each form, at its first place, in the order of the places."""
        found: dict[tuple[str, str], Hit] = {}
        size = len(data)
        start = 0
        while True:
            part = data if size <= _WINDOW else data[start : start + _WINDOW]
            for hit in self._of_window(part):
                key = (hit.canary.digits, hit.form)
                if key not in found:
                    found[key] = Hit(hit.canary, hit.form, start + hit.offset)
            if start + _WINDOW >= size:
                break
            start += _WINDOW - _OVERLAP
        return sorted(found.values(), key=lambda hit: (hit.offset, hit.form, hit.canary.digits))

    def _of_window(self, data: bytes | mmap) -> Iterator[Hit]:
        known: set[str] = set()
        for place, (canary, form) in self._direct.matches(data):
            known.add(canary.digits)
            yield Hit(canary, form, place)
        for hit in (*self._wrapped(data, known), *self._split(data, known), *self._pieces(data, known)):
            known.add(hit.canary.digits)
            yield hit

    def _wrapped(self, data: bytes | mmap, known: set[str]) -> list[Hit]:
        """Base64 and hex that go on in the next line, as mail and PEM write them."""
        if _WRAPPED.search(data) is None:
            return []
        hits = []
        for _, (canary, form) in self._direct.matches(bytes(data).translate(None, _BLANK)):
            if canary.digits in known or not form.startswith(_WRAPPABLE):
                continue
            for name, pattern in patterns(canary.digits):
                if name == form and (place := _first(data, pattern, rb"[ \t\r\n]{0,80}")) is not None:
                    hits.append(Hit(canary, f"{form}, wrapped", place))
                    break
        return hits

    def _split(self, data: bytes | mmap, known: set[str]) -> list[Hit]:
        """Digits with something else between them."""
        hits = []
        for _, (canary, form) in self._digits.matches(bytes(data).translate(None, _NOT_DIGITS)):
            if canary.digits in known:
                continue
            for name, text in in_digits(canary.digits):
                if name == form:
                    place = _first(data, text.encode(), b"[^0-9]{0,%d}" % GAP)
                    if place is not None:
                        hits.append(Hit(canary, form, place))
        return hits

    def _pieces(self, data: bytes | mmap, known: set[str]) -> list[Hit]:
        """A card number in two pieces with other digits between them: two columns, two rows, two lines of a log."""
        hits = []
        for place, (canary, _) in self._ends.matches(data):
            if canary.digits in known:
                continue
            digits = canary.digits.encode()
            end = place + _PIECE
            length = _PIECE
            while length < len(digits) and end - length > 0 and data[end - length - 1] == digits[-length - 1]:
                length += 1
            front = digits[: len(digits) - length]
            if len(front) <= _MISSING:
                hits.append(Hit(canary, "without its first digits", end - length))
                continue
            near = data[max(0, place - NEAR) : end + NEAR]
            if front in near:
                hits.append(Hit(canary, "in two pieces", end - length))
        return hits


class _Automaton:
    """Many byte strings, each with what it means, found in one pass."""

    def __init__(self, entries: Any) -> None:
        meanings: dict[bytes, list[Any]] = {}
        for pattern, meaning in entries:
            meanings.setdefault(pattern, []).append(meaning)
        self._meanings = list(meanings.values())
        self._machine = (
            ahocorasick_rs.BytesAhoCorasick(
                list(meanings), implementation=ahocorasick_rs.Implementation.ContiguousNFA
            )
            if meanings
            else None
        )

    def matches(self, data: bytes | mmap) -> Iterator[tuple[int, Any]]:
        """(offset, meaning) of every occurrence, overlapping ones too."""
        if self._machine is None or not len(data):
            return
        for index, start, _ in self._machine.find_matches_as_indexes(data, overlapping=True):
            for meaning in self._meanings[index]:
                yield start, meaning


def _first(data: bytes | mmap, pattern: bytes, between: bytes) -> int | None:
    """Where the bytes of ``pattern`` first follow each other with nothing but ``between`` among them."""
    spaced = between.join(re.escape(pattern[place : place + 1]) for place in range(len(pattern)))
    match = re.search(spaced, data)
    return None if match is None else match.start()
