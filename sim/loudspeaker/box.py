"""A cloud loudspeaker: it takes messages, keeps out those that it has, and says one after the other, clip by clip."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from protocols.chinese_numerals import point_words
from protocols.loudspeaker import (
    ClipMessage,
    MessageError,
    MoneyMessage,
    decode_message,
    read_aloud,
    split_words,
)
from sim.fault_book import FaultBook
from sim.faults import ArmedFault
from sim.kernel import Kernel
from sim.kernel.base import Cancellable
from sim.loudspeaker.faults import SpeakerFault, SpeakerFaultKind
from sim.loudspeaker.profile import BoxProfile

__all__ = ["Loudspeaker", "Spoken"]

_KEPT: Final = 1_000_000
"""Announcements kept for whoever asks what was said: more than a year of a busy station."""

_NUMBERS: Final = "一二三四五六七八九"


@dataclass(frozen=True, slots=True)
class Spoken:
    """One announcement as people heard it.

    Attributes:
        request_id: of the message; None if it had none.
        words: what was said, a clip each.
        started_us, ended_us: instants of the run.
        volume: 0 to 100.
        is_whole: False if the box lost its power in the middle.
    """

    request_id: str | None
    words: tuple[str, ...]
    started_us: int
    ended_us: int
    volume: int
    is_whole: bool = True


@dataclass(slots=True)
class _Waiting:
    request_id: str | None
    words: tuple[str, ...]
    volume: int | None


class Loudspeaker:
    """A loudspeaker on a kernel's clock: speech takes time.

    Args:
        kernel: clock, streams and trace.
        name: its serial number; its name in trace and streams is ``loudspeaker/{name}``.
        profile: its make.
        faults: its schedule of faults.

    Attributes:
        volume: 0 to 100.
        said: what it has said, oldest first (the last million).
        hits: (fault, kind, request id) of each fault that hit something.
        discarded: messages it could not take, because its queue was full or they made no sense.
        repeated: messages it kept out.
        on_online: called when the radio comes back.
    """

    def __init__(
        self,
        kernel: Kernel,
        name: str,
        *,
        profile: BoxProfile | None = None,
        faults: Iterable[SpeakerFault] = (),
    ) -> None:
        self.kernel = kernel
        self.name = name
        self.entity = f"loudspeaker/{name}"
        self.profile = profile or BoxProfile()
        specs = list(faults)
        self.faults = FaultBook[SpeakerFault](kernel, self.entity, "loudspeaker.fault", specs)
        self.volume = self.profile.volume
        self.said: deque[Spoken] = deque(maxlen=_KEPT)
        self.hits: deque[tuple[str, str, str | None]] = deque(maxlen=_KEPT)
        self.discarded = 0
        self.repeated = 0
        self.is_powered = True
        self.on_online: list[Callable[[], None]] = []
        self._orders: deque[str] = deque(maxlen=self.profile.remembers)
        self._queue: deque[_Waiting] = deque()
        self._speaking: tuple[_Waiting, int, Cancellable] | None = None
        self._radio_down = 0
        for spec in specs:
            if spec.kind == SpeakerFaultKind.OFFLINE:
                self._plan_outage(spec)

    # Radio and power

    @property
    def is_online(self) -> bool:
        """Whether a message can reach it now."""
        return self.is_powered and not self._radio_down

    @property
    def is_speaking(self) -> bool:
        """Whether it says something now."""
        return self._speaking is not None

    def radio_off(self) -> None:
        """Its network is gone; what is queued is still said."""
        self._radio_down += 1

    def radio_on(self) -> None:
        """Its network is back, if nothing else keeps it away."""
        self._radio_down = max(0, self._radio_down - 1)
        self._maybe_online()

    def power_off(self) -> None:
        """It falls silent; its queue is lost, its list of orders (on flash) is not."""
        if not self.is_powered:
            return
        self.is_powered = False
        self._queue.clear()
        if self._speaking is not None:
            waiting, started_us, ending = self._speaking
            ending.cancel()
            self._speaking = None
            self._note(waiting, started_us, is_whole=False)

    def power_on(self) -> None:
        """It starts, and takes messages again."""
        if not self.is_powered:
            self.is_powered = True
            self._maybe_online()

    def forget(self) -> None:
        """Its list of orders is gone."""
        self._orders.clear()

    def arm(self, spec: SpeakerFault) -> None:
        """Add a fault by hand. Raises `sim.faults.FaultError` as `FaultBook.arm` does."""
        self.faults.arm(spec)
        if spec.kind == SpeakerFaultKind.OFFLINE:
            self._plan_outage(spec)

    def _plan_outage(self, spec: SpeakerFault) -> None:
        self.kernel.call_at(spec.at_us, self._outage, spec)

    def _outage(self, spec: SpeakerFault) -> None:
        fault = self.faults.first(SpeakerFaultKind.OFFLINE, lambda one: one is spec)
        if fault is None:
            return
        self.faults.land(fault)
        self.hits.append((fault.name, spec.kind, None))
        self.radio_off()
        if spec.for_us is not None:
            self.kernel.call_at(spec.end_us, self.radio_on)

    def _maybe_online(self) -> None:
        if self.is_online:
            for listener in self.on_online:
                listener()

    # Messages

    def receive(self, payload: bytes) -> None:
        """An MQTT message has arrived. One that makes no sense is dropped, as a box has nobody to tell."""
        if not self.is_powered:
            return
        try:
            message = decode_message(payload)
        except MessageError as error:
            self.discarded += 1
            self.kernel.trace.emit("loudspeaker.discarded", self.entity, request_id=None, why=str(error))
            return
        if isinstance(message, ClipMessage):
            self.take(message.order_id, self._words_of_clips(message))
        else:
            self.take(message.request_id, _words_of_money(message))

    def receive_text(self, text: str, *, request_id: str | None, volume: int | None = None) -> None:
        """The maker's platform tells it to speak a text."""
        self.take(request_id, split_words(read_aloud(text)), volume=volume)

    def take(self, request_id: str | None, words: tuple[str, ...], *, volume: int | None = None) -> None:
        """Queue an announcement, unless it is known or there is no room."""
        if not self.is_powered:
            return
        if self._strike(SpeakerFaultKind.FORGETS, request_id):
            self.forget()
        if request_id is not None and request_id in self._orders:
            self.repeated += 1
            self.kernel.trace.emit("loudspeaker.repeated", self.entity, request_id=request_id)
            return
        full = len(self._queue) >= self.profile.queue_limit
        if full or self._strike(SpeakerFaultKind.QUEUE_FULL, request_id):
            self.discarded += 1
            self.kernel.trace.emit(
                "loudspeaker.discarded", self.entity, request_id=request_id, why="the queue is full"
            )
            return
        if request_id is not None:
            self._orders.append(request_id)
        self._queue.append(_Waiting(request_id, self._struck(words, request_id), volume))
        self._next()

    def _words_of_clips(self, message: ClipMessage) -> tuple[str, ...]:
        words = []
        for number in message.clips:
            word = self.profile.bank.word(number)
            if word is None:
                self.kernel.trace.emit(
                    "loudspeaker.no_clip", self.entity, request_id=message.order_id, clip=number
                )
            else:
                words.append(word)
        return tuple(words)

    def _struck(self, words: tuple[str, ...], request_id: str | None) -> tuple[str, ...]:
        """The words as faults let them be said."""
        said = list(words)
        missing = self._strike(SpeakerFaultKind.CLIP_MISSING, request_id)
        if missing is not None and said:
            del said[missing.rng.randrange(len(said))]
        wrong = self._strike(SpeakerFaultKind.WRONG_CLIP, request_id)
        if wrong is not None:
            places = [place for place, word in enumerate(said) if word in _NUMBERS]
            if places:
                place = wrong.rng.choice(places)
                said[place] = wrong.rng.choice([word for word in _NUMBERS if word != said[place]])
        return tuple(said)

    def _strike(self, kind: SpeakerFaultKind, request_id: str | None) -> ArmedFault[SpeakerFault] | None:
        """The fault of a kind that hits this message, counted; or None."""
        fault = self.faults.first(kind, lambda _: True)
        if fault is not None:
            self.faults.land(fault, request_id=request_id)
            self.hits.append((fault.name, fault.spec.kind, request_id))
        return fault

    def strike(self, kind: SpeakerFaultKind, request_id: str | None) -> SpeakerFault | None:
        """For the services before it: the fault of a kind that hits a message on its way here."""
        fault = self._strike(kind, request_id)
        return None if fault is None else fault.spec

    # Speaking

    def _next(self) -> None:
        if self._speaking is not None or not self._queue:
            return
        waiting = self._queue.popleft()
        now_us = self.kernel.now_us
        length_us = self.profile.speech_us(waiting.words)
        self._speaking = (waiting, now_us, self.kernel.call_later(length_us, self._done))

    def _done(self) -> None:
        assert self._speaking is not None  # noqa: S101 - it is cancelled with what it ends
        waiting, started_us, _ = self._speaking
        self._speaking = None
        self._note(waiting, started_us, is_whole=True)
        self._next()

    def _note(self, waiting: _Waiting, started_us: int, *, is_whole: bool) -> None:
        volume = self.volume if waiting.volume is None else waiting.volume
        if self._strike(SpeakerFaultKind.MUTED, waiting.request_id):
            volume = 0
        ended_us = self.kernel.now_us
        self.said.append(Spoken(waiting.request_id, waiting.words, started_us, ended_us, volume, is_whole))
        self.kernel.trace.emit(
            "loudspeaker.said",
            self.entity,
            request_id=waiting.request_id,
            words="".join(waiting.words),
            started_us=started_us,
            volume=volume,
            is_whole=is_whole,
        )


def _words_of_money(message: MoneyMessage) -> tuple[str, ...]:
    """What the box says of a bare amount: 收款, the number, 元."""
    return ("收款", *point_words(message.amount_fen))
