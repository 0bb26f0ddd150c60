"""Faults of a wire: what happens to a burst between the one who sends it and those who hear it.

The kinds follow what is met in the field: frames lost, late, doubled, swapped, glued together or torn apart by a
converter, an old frame out of its buffer, frames cut short by a tripped driver, bits flipped by interference, junk on an
idle pair, a device that talks unasked or under a wrong address, an echo, and a cable pulled for a while.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, get_args

from sim.faults import NEVER_US, ArmedFault, Fault, FaultError, arm_faults, need_int
from sim.kernel import Streams
from sim.wires.frames import FRAME_SHAPES

__all__ = ["NO_FAULTS", "Burst", "Strike", "WireFault", "WireFaultKind", "WireFaults"]

WireFaultKind = Literal[
    "drop", "delay", "duplicate", "swap", "replay", "cut", "down", "flip", "glue", "split", "wrong_address", "echo",
    "noise", "babble",
]  # fmt: skip
FlipPart = Literal["any", "payload", "checksum"]

_UNASKED: Final = frozenset({"noise", "babble"})
"""Kinds that come by themselves, not with a burst."""

_PAST_BURSTS: Final = 16
"""How many bursts of a sender a converter still has in its buffer, to send an old one again."""

_NOISE_BYTES_LIMIT: Final = 256
"""Longest piece of noise: a frame of the protocols here is shorter, so more noise shows nothing new."""


@dataclass(frozen=True, kw_only=True)
class WireFault(Fault):
    """One fault of one wire.

    Attributes:
        kind: ``drop`` loses a burst; ``delay`` starts it ``delay_us`` late; ``duplicate`` sends it a second time
            ``delay_us`` after its end; ``swap`` holds it back until the sender's next one has passed; ``replay`` sends an
            earlier, different one of the same sender ``delay_us`` after its end; ``cut`` lets only its first ``offset``
            bytes through; ``down`` loses all bursts and, on a connection, breaks it; ``flip`` inverts ``bits`` bits of
            its ``part``; ``glue`` holds it back and delivers it in one piece with the sender's next one; ``split``
            delivers its first ``offset`` bytes, and the rest ``delay_us`` later; ``wrong_address`` gives it another
            address and a right checksum; ``echo`` lets the sender hear it too; ``noise`` puts 1 to ``noise_bytes``
            random bytes on the wire, on average every ``every_us``; ``babble`` sends the sender's last burst again,
            unasked, on average every ``every_us``.
        sender: strikes only bursts of the port with this name; empty means anybody's.
        not_sender: does not strike bursts of the port with this name; empty spares nobody.
        delay_us: see ``delay``, ``duplicate``, ``replay`` and ``split``.
        offset: see ``cut`` and ``split``; None draws it for each burst.
        bits: see ``flip``.
        part: ``any`` byte, ``payload`` or ``checksum``; a frame without that part is left alone.
        frames: what frames on this wire look like, a name out of `sim.wires.frames.FRAME_SHAPES`; ``part`` and
            ``wrong_address`` need it.
        noise_bytes: see ``noise``.
        every_us: see ``noise`` and ``babble``; the gaps are exponential.

    Raises:
        FaultError: an unknown kind, or a field out of range.
    """

    sender: str = ""
    not_sender: str = ""
    delay_us: int = 0
    offset: int | None = None
    bits: int = 1
    part: FlipPart = "any"
    frames: str = ""
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
            need_int(self.label, "offset", self.offset, 1 if self.kind == "split" else 0)
        need_int(self.label, "bits", self.bits, 1)
        need_int(self.label, "noise_bytes", self.noise_bytes, 1)
        need_int(self.label, "every_us", self.every_us, 1)
        if self.noise_bytes > _NOISE_BYTES_LIMIT:
            raise FaultError(
                f"{self.label}: noise_bytes is at most {_NOISE_BYTES_LIMIT}, not {self.noise_bytes}"
            )
        if self.kind in ("noise", "down") and (self.sender or self.not_sender):
            raise FaultError(f"{self.label}: {self.kind} belongs to the wire, not to a sender")
        self._check_aim()

    def _check_aim(self) -> None:
        if self.part not in get_args(FlipPart):
            raise FaultError(
                f"{self.label}: part {self.part!r} is not one of {', '.join(get_args(FlipPart))}"
            )
        if self.part != "any" and self.kind != "flip":
            raise FaultError(f"{self.label}: part is for flip, not for {self.kind}")
        shape = FRAME_SHAPES.get(self.frames)
        if self.frames and shape is None:
            raise FaultError(f"{self.label}: frames {self.frames!r} is not one of {', '.join(FRAME_SHAPES)}")
        if shape is None and (self.part != "any" or self.kind == "wrong_address"):
            raise FaultError(f"{self.label}: needs frames, one of {', '.join(FRAME_SHAPES)}")
        if shape is not None and self.part == "checksum" and not shape.has_checksum:
            raise FaultError(f"{self.label}: frames of {self.frames} have no checksum")

    def aims_at(self, sender: str) -> bool:
        """Whether it may strike bursts of this port."""
        return (not self.sender or self.sender == sender) and (
            not self.not_sender or self.not_sender != sender
        )


class Strike:
    """What is left of one burst after the faults.

    Attributes:
        data: the bytes others hear; None when nothing arrives.
        delay_us: how much later than intended it starts.
        copy_after_us: a second copy starts this long after the end of the first; None for no copy.
        more: what else comes after it, each so many microseconds after the end of the one before.
        is_echoed: the sender hears ``data`` as well.
        note: names of the faults that touched it, joined by ``+``.
    """

    __slots__ = ("copy_after_us", "data", "delay_us", "is_echoed", "more", "note")

    def __init__(self, data: bytes) -> None:
        self.data: bytes | None = data
        self.delay_us = 0
        self.copy_after_us: int | None = None
        self.more: list[tuple[int, bytes]] = []
        self.is_echoed = False
        self.note = ""

    def following(self) -> list[tuple[int, bytes]]:
        """All that comes after it: (gap after the end of the one before, bytes)."""
        if self.copy_after_us is None or self.data is None:
            return self.more
        return [*self.more, (self.copy_after_us, self.data)]


@dataclass(frozen=True, slots=True)
class Burst:
    """Bytes that come by themselves.

    Attributes:
        fault: name of the fault.
        sender: the port that babbles; empty for noise, which is nobody's.
        data: the bytes.
    """

    fault: str
    sender: str
    data: bytes


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
        self._on_burst = tuple(fault for fault in self.armed if fault.spec.kind not in _UNASKED)
        self._unasked = {fault: fault.spec.at_us for fault in self.armed if fault.spec.kind in _UNASKED}
        # A burst that is held back for the sender's next one, by its fault: (sender, bytes).
        self._held: dict[ArmedFault[WireFault], tuple[str, bytes]] = {}
        # What has passed while a fault was at work. What passed before it must not count: a run that leaves idle polls
        # out has not seen it.
        self._past: dict[ArmedFault[WireFault], deque[tuple[str, bytes]]] = {
            fault: deque(maxlen=_PAST_BURSTS)
            for fault in self.armed
            if fault.spec.kind in ("replay", "babble")
        }
        for fault in self._unasked:
            self._plan_unasked(fault, fault.spec.at_us)
        self.next_noise_us = min(self._unasked.values(), default=NEVER_US)

    def __bool__(self) -> bool:
        return bool(self.armed)

    def __iter__(self) -> Iterator[ArmedFault[WireFault]]:
        return iter(self.armed)

    def __getitem__(self, index: int) -> ArmedFault[WireFault]:
        return self.armed[index]

    def __len__(self) -> int:
        return len(self.armed)

    def is_active(self, now_us: int, lead_us: int = 0) -> bool:
        """Whether any fault may strike now, or within ``lead_us`` from now, or holds a burst back."""
        return bool(self._held) or any(fault.is_active(now_us, lead_us) for fault in self.armed)

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
        if self._past:
            self._remember(sender, data, now_us)
        for fault in self._on_burst:
            spec = fault.spec
            if not spec.aims_at(sender):
                continue
            held = self._held.get(fault) if self._held else None
            if held is not None:
                if held[0] != sender:
                    continue
            elif not fault.strikes(now_us):
                continue
            if hit is None:
                hit = Strike(data)
            elif hit.data is None:
                break  # what is lost can be hit no more
            if held is not None:
                del self._held[fault]
                self._release(spec, hit, held[1])
            elif spec.kind in ("swap", "glue"):
                self._held[fault] = (sender, hit.data or b"")
                hit.data = None
                hit.note = f"{hit.note}+{fault.name}" if hit.note else fault.name
                continue  # it has landed when the next one passes
            elif not self._apply(fault, hit, sender):
                continue
            hit.note = f"{hit.note}+{fault.name}" if hit.note else fault.name
            self._landed(fault, sender)
        return hit if hit is not None and hit.note else None

    def take_noise(self, now_us: int) -> list[Burst]:
        """The noise and the babble due by now; plans the next."""
        pieces: list[Burst] = []
        for fault, due_us in self._unasked.items():
            while due_us <= now_us:
                if fault.strikes(due_us) and (piece := self._unasked_burst(fault)) is not None:
                    pieces.append(piece)
                    self._landed(fault, piece.sender)
                due_us = self._plan_unasked(fault, due_us)
        self.next_noise_us = min(self._unasked.values(), default=NEVER_US)
        return pieces

    def _unasked_burst(self, fault: ArmedFault[WireFault]) -> Burst | None:
        if fault.spec.kind == "noise":
            length = fault.rng.randint(1, fault.spec.noise_bytes)
            return Burst(fault.name, "", fault.rng.randbytes(length))
        past = self._past[fault]
        return Burst(fault.name, *past[-1]) if past else None

    def _plan_unasked(self, fault: ArmedFault[WireFault], from_us: int) -> int:
        due_us = from_us + 1 + round(fault.rng.expovariate(1.0) * fault.spec.every_us)
        if due_us >= fault.spec.end_us or not fault.is_active(max(due_us, fault.spec.at_us)):
            due_us = NEVER_US
        self._unasked[fault] = due_us
        return due_us

    def _remember(self, sender: str, data: bytes, now_us: int) -> None:
        for fault, past in self._past.items():
            if fault.spec.aims_at(sender) and fault.is_active(now_us):
                past.append((sender, data))

    def _apply(self, fault: ArmedFault[WireFault], hit: Strike, sender: str) -> bool:
        spec = fault.spec
        data = hit.data or b""
        match spec.kind:
            case "drop" | "down":
                hit.data = None
            case "delay":
                hit.delay_us += spec.delay_us
            case "duplicate":
                hit.copy_after_us = spec.delay_us
            case "replay":
                older = [old for who, old in self._past[fault] if who == sender and old != data]
                if not older:
                    return False
                hit.more.append((spec.delay_us, fault.rng.choice(older)))
            case "cut":
                offset = fault.rng.randrange(len(data)) if spec.offset is None else spec.offset
                if offset >= len(data):
                    return False
                hit.data = data[:offset] or None
            case "split":
                return _split(fault, hit, data)
            case "wrong_address":
                changed = FRAME_SHAPES[spec.frames].readdress(data, fault.rng)
                if changed is None:
                    return False
                hit.data = changed
            case "echo":
                hit.is_echoed = True
            case _:
                return _flip(fault, hit, data)
        return True

    @staticmethod
    def _release(spec: WireFault, hit: Strike, held: bytes) -> None:
        """The burst that was held back, now that the sender's next one is there."""
        if spec.kind == "swap":
            hit.more.append((spec.delay_us, held))
        else:
            hit.data = held + (hit.data or b"")

    def _landed(self, fault: ArmedFault[WireFault], sender: str) -> None:
        fault.land()
        if self._emit is not None:
            self._emit("wire.fault", self.entity, fault=fault.name, effect=fault.spec.kind, sender=sender)


def _split(fault: ArmedFault[WireFault], hit: Strike, data: bytes) -> bool:
    if len(data) < 2:
        return False
    offset = fault.rng.randrange(1, len(data)) if fault.spec.offset is None else fault.spec.offset
    if offset >= len(data):
        return False
    hit.data = data[:offset]
    hit.more.insert(0, (fault.spec.delay_us, data[offset:]))
    return True


def _flip(fault: ArmedFault[WireFault], hit: Strike, data: bytes) -> bool:
    spec = fault.spec
    first, end = 0, len(data)
    if spec.part != "any":
        shape = FRAME_SHAPES[spec.frames]
        found = shape.payload(data) if spec.part == "payload" else shape.checksum(data)
        if found is None:
            return False
        first, end = found
    hit.data = data[:first] + _flipped(data[first:end], spec.bits, fault.rng) + data[end:]
    return True


def _flipped(data: bytes, bits: int, rng: random.Random) -> bytes:
    flipped = bytearray(data)
    for position in rng.sample(range(len(data) * 8), min(bits, len(data) * 8)):
        flipped[position >> 3] ^= 1 << (position & 7)
    return bytes(flipped)


NO_FAULTS: Final = WireFaults((), streams=Streams("none"), entity="none")
"""A wire without faults."""
