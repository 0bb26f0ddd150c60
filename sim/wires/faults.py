"""Faults of a wire: what happens to a burst between the one who sends it and those who hear it.

The kinds follow what is met in the field: frames lost, late or doubled by a converter, cut short by a tripped
driver, bits flipped by interference, junk on an idle pair, and a cable pulled for a while.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, get_args

from sim.faults import NEVER_US, ArmedFault, Fault, FaultError, arm_faults, need_int
from sim.kernel import Streams

__all__ = ["NO_FAULTS", "Strike", "WireFault", "WireFaultKind", "WireFaults"]

WireFaultKind = Literal["drop", "delay", "duplicate", "cut", "down", "flip", "noise"]

_NOISE_BYTES_LIMIT: Final = 256
"""Longest piece of noise: a frame of the protocols here is shorter, so more noise shows nothing new."""


@dataclass(frozen=True, kw_only=True)
class WireFault(Fault):
    """One fault of one wire.

    Attributes:
        kind: ``drop`` loses a burst; ``delay`` starts it ``delay_us`` late; ``duplicate`` sends it a second time
            ``delay_us`` after its end; ``cut`` lets only its first ``offset`` bytes through; ``down`` loses all
            bursts and, on a connection, breaks it; ``flip`` inverts ``bits`` bits; ``noise`` puts 1 to
            ``noise_bytes`` random bytes on the wire, on average every ``every_us``.
        sender: strikes only bursts of the port with this name; empty means anybody's.
        delay_us: see ``delay`` and ``duplicate``.
        offset: see ``cut``; None draws it for each burst.
        bits: see ``flip``.
        noise_bytes: see ``noise``.
        every_us: see ``noise``; the gaps are exponential.

    Raises:
        FaultError: an unknown kind, or a field out of range.
    """

    sender: str = ""
    delay_us: int = 0
    offset: int | None = None
    bits: int = 1
    noise_bytes: int = 4
    every_us: int = 1_000_000

    def __post_init__(self) -> None:
        if self.kind not in get_args(WireFaultKind):
            raise FaultError(
                f"wire fault kind {self.kind!r} is not one of {', '.join(get_args(WireFaultKind))}"
            )
        Fault.__post_init__(self)
        need_int(self.label, "delay_us", self.delay_us, 1 if self.kind == "delay" else 0)
        if self.offset is not None:
            need_int(self.label, "offset", self.offset, 0)
        need_int(self.label, "bits", self.bits, 1)
        need_int(self.label, "noise_bytes", self.noise_bytes, 1)
        need_int(self.label, "every_us", self.every_us, 1)
        if self.noise_bytes > _NOISE_BYTES_LIMIT:
            raise FaultError(
                f"{self.label}: noise_bytes is at most {_NOISE_BYTES_LIMIT}, not {self.noise_bytes}"
            )
        if self.kind in ("noise", "down") and self.sender:
            raise FaultError(f"{self.label}: {self.kind} belongs to the wire, not to a sender")


class Strike:
    """What is left of one burst after the faults.

    Attributes:
        data: the bytes others hear; None when nothing arrives.
        delay_us: how much later than intended it starts.
        copy_after_us: a second copy starts this long after the end of the first; None for no copy.
        note: names of the faults that landed, joined by ``+``.
    """

    __slots__ = ("copy_after_us", "data", "delay_us", "note")

    def __init__(self, data: bytes) -> None:
        self.data: bytes | None = data
        self.delay_us = 0
        self.copy_after_us: int | None = None
        self.note = ""


class WireFaults:
    """The faults of one wire at work. Iterate over it for the `ArmedFault` objects and their ``landed`` counts.

    Args:
        specs: the faults, in the order in which they act on a burst.
        streams: the run's random streams.
        entity: the wire's name in streams and trace.
        emit: the trace's ``emit``; each hit becomes a ``wire.fault`` event. None keeps only the counts.
    """

    def __init__(
        self,
        specs: Iterable[WireFault],
        *,
        streams: Streams,
        entity: str,
        emit: Callable[..., None] | None = None,
    ) -> None:
        self.entity = entity
        self.armed: tuple[ArmedFault[WireFault], ...] = arm_faults(specs, streams, entity)
        self._emit = emit
        self._on_burst = tuple(fault for fault in self.armed if fault.spec.kind != "noise")
        self._noise = {fault: fault.spec.at_us for fault in self.armed if fault.spec.kind == "noise"}
        for fault in self._noise:
            self._plan_noise(fault, fault.spec.at_us)
        self.next_noise_us = min(self._noise.values(), default=NEVER_US)

    def __bool__(self) -> bool:
        return bool(self.armed)

    def __iter__(self) -> Iterator[ArmedFault[WireFault]]:
        return iter(self.armed)

    def __getitem__(self, index: int) -> ArmedFault[WireFault]:
        return self.armed[index]

    def __len__(self) -> int:
        return len(self.armed)

    def is_active(self, now_us: int, lead_us: int = 0) -> bool:
        """Whether any fault may strike now, or within ``lead_us`` from now."""
        return any(fault.is_active(now_us, lead_us) for fault in self.armed)

    def is_down(self, now_us: int) -> bool:
        """Whether a ``down`` fault holds the wire now."""
        return any(fault.spec.kind == "down" and fault.is_active(now_us) for fault in self._on_burst)

    def note_down(self, now_us: int) -> None:
        """Count a connection broken or refused by the ``down`` faults of this instant."""
        for fault in self._on_burst:
            if fault.spec.kind == "down" and fault.is_active(now_us):
                self._landed(fault, "")

    def strike(self, sender: str, data: bytes, now_us: int) -> Strike | None:
        """What the faults do to a burst that starts at ``now_us``; None when they leave it alone."""
        hit: Strike | None = None
        for fault in self._on_burst:
            spec = fault.spec
            if (spec.sender and spec.sender != sender) or not fault.strikes(now_us):
                continue
            if hit is None:
                hit = Strike(data)
            elif hit.data is None:
                break  # what is lost can be hit no more
            if self._apply(fault, hit):
                hit.note = f"{hit.note}+{fault.name}" if hit.note else fault.name
                self._landed(fault, sender)
        return hit if hit is not None and hit.note else None

    def take_noise(self, now_us: int) -> list[tuple[str, bytes]]:
        """The pieces of noise due by now, each with its fault's name; plans the next ones."""
        pieces: list[tuple[str, bytes]] = []
        for fault, due_us in self._noise.items():
            while due_us <= now_us:
                if fault.strikes(due_us):
                    length = fault.rng.randint(1, fault.spec.noise_bytes)
                    pieces.append((fault.name, fault.rng.randbytes(length)))
                    self._landed(fault, "")
                due_us = self._plan_noise(fault, due_us)
        self.next_noise_us = min(self._noise.values(), default=NEVER_US)
        return pieces

    def _plan_noise(self, fault: ArmedFault[WireFault], from_us: int) -> int:
        due_us = from_us + 1 + round(fault.rng.expovariate(1.0) * fault.spec.every_us)
        if due_us >= fault.spec.end_us or not fault.is_active(max(due_us, fault.spec.at_us)):
            due_us = NEVER_US
        self._noise[fault] = due_us
        return due_us

    def _apply(self, fault: ArmedFault[WireFault], hit: Strike) -> bool:
        spec = fault.spec
        data = hit.data or b""
        match spec.kind:
            case "drop" | "down":
                hit.data = None
            case "delay":
                hit.delay_us += spec.delay_us
            case "duplicate":
                hit.copy_after_us = spec.delay_us
            case "cut":
                offset = fault.rng.randrange(len(data)) if spec.offset is None else spec.offset
                if offset >= len(data):
                    return False
                hit.data = data[:offset] or None
            case _:
                hit.data = _flip(data, spec.bits, fault.rng)
        return True

    def _landed(self, fault: ArmedFault[WireFault], sender: str) -> None:
        fault.land()
        if self._emit is not None:
            self._emit("wire.fault", self.entity, fault=fault.name, effect=fault.spec.kind, sender=sender)


def _flip(data: bytes, bits: int, rng: random.Random) -> bytes:
    flipped = bytearray(data)
    for position in rng.sample(range(len(data) * 8), min(bits, len(data) * 8)):
        flipped[position >> 3] ^= 1 << (position & 7)
    return bytes(flipped)


NO_FAULTS: Final = WireFaults((), streams=Streams("none"), entity="none")
"""A wire without faults."""
