"""Defects of the line: checksums, escapes, framing, numbering, and the count of missed polls."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import protocols.aaff.framer
import protocols.aaff.master
import protocols.dart.controller
from mutants.mutant import Mutant, patched
from protocols.aaff.framer import Item
from protocols.aaff.wire import FROM_PUMP, OVERHEAD_BYTES
from protocols.aaff.wire import checksum as crc8
from protocols.dart import BadBytes, BadReason, DataFrame, Frame, Framer
from protocols.dart.numbering import next_tx
from protocols.dart.wire import checksum
from reference.site.pumps.dart import DartDriver
from reference.site.pumps.intents import Intent, SetPrices
from reference.site.pumps.point import FuellingPointLogic

__all__ = ["LINK_MUTANTS"]

_DATA_BYTES_LEAST = 6


class _NoChecksum(Framer):
    def _run(self, raw: bytes, bad_byte: int, items: list[Frame]) -> None:
        count = len(items)
        super()._run(raw, bad_byte, items)
        bad = items[-1] if len(items) > count else None
        if isinstance(bad, BadBytes) and bad.reason is BadReason.CHECKSUM:
            body = bad.raw[:-2].replace(b"\x10\xfa", b"\xfa")
            items[-1] = DataFrame(address=body[0], tx=body[1] & 0x0F, block=body[2:-2])


class _NoChecksumAaFf(protocols.aaff.framer.Framer):
    """Whatever the checksum is, it is taken for the right one."""

    def feed(self, data: bytes) -> list[Item]:
        whole = data.startswith(FROM_PUMP) and len(data) > OVERHEAD_BYTES
        if whole:
            data = data[:-3] + bytes((crc8(data[2:-3]),)) + data[-2:]
        return super().feed(data)


class _EscapeAfterChecksum(Framer):
    def _run(self, raw: bytes, bad_byte: int, items: list[Frame]) -> None:
        if len(raw) >= _DATA_BYTES_LEAST and checksum(raw[:-2]) != 0:
            items.append(BadBytes(reason=BadReason.CHECKSUM, raw=raw, address=raw[0], tx=raw[1] & 0x0F))
            return
        super()._run(raw, bad_byte, items)


class _TextReplace(Framer):
    def _run(self, raw: bytes, bad_byte: int, items: list[Frame]) -> None:
        count = len(items)
        super()._run(raw, bad_byte, items)
        for index in range(count, len(items)):
            frame = items[index]
            if isinstance(frame, DataFrame):
                text = frame.block.hex().replace("10fa", "fa")
                block = bytes.fromhex(text[: len(text) // 2 * 2])
                items[index] = DataFrame(address=frame.address, tx=frame.tx, block=block)


class _SwallowsNext(Framer):
    """Takes whatever stands before a stop flag for one frame, and never gives up half a frame."""

    def _run(self, raw: bytes, bad_byte: int, items: list[Frame]) -> None:
        count = len(items)
        super()._run(raw, bad_byte, items)
        if len(items) > count + 1:
            items[count:] = [BadBytes(reason=BadReason.CHECKSUM, raw=raw)]

    def flush(self) -> list[Frame]:
        return []


def _framer(kind: type[Framer]) -> AbstractContextManager[None]:
    return patched((protocols.dart.controller, "Framer", kind))


def _counter_runs_ahead() -> AbstractContextManager[None]:
    say = DartDriver._say

    def mutant(self: Any, index: int, intent: Intent, now_us: int) -> None:
        logic = self.points[index]
        if isinstance(intent, SetPrices):
            known = [logic.pump_prices.get(place) for place in range(1, len(intent.prices_fen_per_l) + 1)]
            if known == list(intent.prices_fen_per_l):
                # Nothing to send after all; the number was taken already and is not given back.
                link = self._wire._links[self.addresses[index]]
                link.tx = next_tx(link.tx, 1)
                self._poll(index, now_us)
                return
        say(self, index, intent, now_us)

    return patched((DartDriver, "_say", mutant))


def _misses_are_never_forgotten() -> AbstractContextManager[None]:
    on_miss = FuellingPointLogic.on_miss

    def mutant(self: Any, now_us: int) -> None:
        self.misses = self.__dict__.get("missed_ever", 0)
        on_miss(self, now_us)
        self.__dict__["missed_ever"] = self.misses

    return patched((FuellingPointLogic, "on_miss", mutant))


LINK_MUTANTS = (
    Mutant(
        "M01",
        "no checksum test",
        "driver",
        "drivers shipped with the checksum left for later; noise became litres and money",
        ("fd-link.bad-checksum-is-discarded",),
        lambda: _framer(_NoChecksum),
        ("damaged-frames", "damaged-fill"),
    ),
    Mutant(
        "M01b",
        "no checksum test (AA FF)",
        "driver",
        "the same at a gas dispenser, whose own firmware does not look at checksums either",
        ("fd-link.bad-checksum-is-discarded",),
        lambda: patched((protocols.aaff.master, "Framer", _NoChecksumAaFf)),
        ("damaged-on-aa-ff",),
        note="records carry volume, price, amount and totals, and one that contradicts itself is not believed; so what "
        "shows is a damaged status, and a customer who stands there without fuel",
    ),
    Mutant(
        "M02",
        "escape removed after the checksum test",
        "driver",
        "a frame whose checksum or data holds the stop flag's byte fails its test and is never heard",
        ("fd-link.byte-stuffing-before-checksum",),
        lambda: _framer(_EscapeAfterChecksum),
        ("every-byte",),
    ),
    Mutant(
        "M03",
        "escape removed by replacing text",
        "driver",
        "the escape is cut out of the frame's hex text, also where it spans two halves of other bytes",
        ("fd-link.byte-stuffing-before-checksum", "fd-link.split-or-glued-frames-decode-alike"),
        lambda: _framer(_TextReplace),
        ("every-byte",),
    ),
    Mutant(
        "M04",
        "swallows the frame after a truncated one",
        "driver",
        "half a frame stays in the buffer and is joined with the next good one; both are lost",
        ("fd-link.truncated-frame-does-not-swallow-next", "fd-link.noise-needs-no-restart"),
        lambda: _framer(_SwallowsNext),
        ("cut-frames",),
    ),
    Mutant(
        "M07",
        "sequence counter not rolled back",
        "driver",
        "a command proves to be unnecessary, its number is spent all the same, and later commands fail",
        ("fd-link.transmit-sequence-stays-consistent",),
        _counter_runs_ahead,
        ("same-price-again",),
    ),
    Mutant(
        "M18",
        "failure counter not reset",
        "driver",
        "single lost polls add up over the day until the pump is told off-line; once past the limit, never again",
        ("fd-link.failure-counter-resets", "fd-link.offline-after-k-missed-polls"),
        _misses_are_never_forgotten,
        ("lost-polls",),
    ),
)
