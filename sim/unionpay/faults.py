"""What goes wrong at the gateway, as data: which fault, where, when, how often, and whether it ever landed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from protocols.unionpay import CODES, SHAPES
from sim.faults import ArmedFault, Fault, FaultError, arm_faults, need_int
from sim.kernel import Kernel

__all__ = ["CONFIRM", "FaultBook", "FaultKind", "Forgery", "GatewayFault"]

CONFIRM = "confirm"
"""Name of the payer's confirmation where a fault's ``at`` names transactions."""
_PLACES = (*(shape.name for shape in SHAPES), CONFIRM)


class FaultKind(StrEnum):
    """What a fault does."""

    ANSWER = "answer"
    REPLY_LOST = "reply-lost"
    REPLY_LATE = "reply-late"
    REPLY_SIGNATURE = "reply-signature"
    NOTICE_LOST = "notice-lost"
    NOTICE_LATE = "notice-late"
    NOTICE_DUPLICATE = "notice-duplicate"
    NOTICE_BEFORE_REPLY = "notice-before-reply"
    NOTICE_FORGED = "notice-forged"
    DECLINE = "decline"
    CHARGED_LATE = "charged-late"


class Forgery(StrEnum):
    """What is wrong with a message the merchant must refuse."""

    TAMPERED = "tampered"
    WRONG_KEY = "wrong-key"
    FOREIGN_CHAIN = "foreign-chain"
    OTHER_NAME = "other-name"
    NO_SIGNATURE = "no-signature"
    SINGLE_HASH = "single-hash"
    OLD_VERSION = "old-version"


def _one_of(owner: str, name: str, value: object, allowed: Iterable[str]) -> None:
    words = [str(word) for word in allowed]
    if value not in words:
        raise FaultError(f"{owner}: {name} must be one of {', '.join(words)}, not {value!r}")


@dataclass(frozen=True, kw_only=True)
class GatewayFault(Fault):
    """One fault of the gateway's schedule; when it may strike is in the base class.

    Attributes:
        kind: a `FaultKind`. ``answer`` replies with ``code`` instead of the truth; ``reply-lost`` holds the request for
            ``delay_us`` and then answers 504 without a message; ``reply-late`` holds the true reply; ``decline`` lets the
            issuer say no (``code``) to a payment, refund or cancel that was accepted; ``charged-late`` takes the money of a payer
            who confirms an expired order (a query says 42, no notice comes); ``notice-forged`` sends a forged notice of
            success as soon as a trade is made, before anybody has paid.
        at: transactions it may hit (names of `SHAPES`; notice-before-reply also ``confirm``, the payer's finger); empty means
            every one that the kind can hit.
        skip: this many occasions pass unharmed first.
        code: ``answer`` and ``decline``: a code of the table that is no success.
        after_commit: ``answer``, ``reply-lost``: whether the work is done all the same.
        delay_us: how long a reply is held, how late a notice leaves, how far duplicates are spread.
        copies: further copies of a duplicated notice.
        attempts: notice-lost: how many sends of one notice are lost; 0 means all.
        forgery: a `Forgery`, for reply-signature and notice-forged.

    Raises:
        FaultError: a value is impossible; the message names the fault and the field.
    """

    at: tuple[str, ...] = ()
    skip: int = 0
    code: str = "04"
    after_commit: bool = True
    delay_us: int = 30_000_000
    copies: int = 1
    attempts: int = 1
    forgery: str = Forgery.TAMPERED

    def __post_init__(self) -> None:
        super().__post_init__()
        _one_of(self.label, "kind", self.kind, FaultKind)
        _one_of(self.label, "forgery", self.forgery, Forgery)
        places: object = getattr(self, "at")  # noqa: B009 - a scenario file may give anything
        if not isinstance(places, list | tuple) or not all(isinstance(item, str) for item in places):
            raise FaultError(f"{self.label}: at must be a list of names, not {places!r}")
        object.__setattr__(self, "at", tuple(places))  # a scenario file gives a list
        allowed = _PLACES if self.kind == FaultKind.NOTICE_BEFORE_REPLY else _PLACES[:-1]
        for place in self.at:
            _one_of(self.label, "at", place, allowed)
        for name, minimum in (("skip", 0), ("delay_us", 0), ("copies", 1), ("attempts", 0)):
            need_int(self.label, name, getattr(self, name), minimum)
        if self.copies > 50:
            raise FaultError(f"{self.label}: copies must be at most 50, not {self.copies}")
        if not isinstance(self.after_commit, bool):
            raise FaultError(f"{self.label}: after_commit must be true or false, not {self.after_commit!r}")
        _one_of(self.label, "code", self.code, [code for code in CODES if code not in {"00", "A6"}])


class FaultBook:
    """The gateway's faults at work, with their counters.

    A fault that never landed proves nothing, so `report` goes into the run's report.
    """

    def __init__(self, kernel: Kernel, entity: str, faults: Iterable[GatewayFault] = ()) -> None:
        self._kernel = kernel
        self._entity = entity
        self._armed = list(arm_faults(faults, kernel.streams, entity))
        self._met = {fault.name: 0 for fault in self._armed}
        self._over: list[ArmedFault[GatewayFault]] = []

    def arm(self, spec: GatewayFault) -> None:
        """Add a fault by hand.

        Raises:
            FaultError: it has no name, or one that was used before.
        """
        if not spec.name:
            raise FaultError("a fault armed by hand needs a name")
        if spec.name in self._met:
            raise FaultError(f"{self._entity}: there is or was a fault called {spec.name!r}")
        self._armed.extend(arm_faults([spec], self._kernel.streams, self._entity))
        self._met[spec.name] = 0

    def disarm(self, name: str) -> None:
        """Take a fault away; its counters stay.

        Raises:
            KeyError: there is none of this name at work.
        """
        for number, fault in enumerate(self._armed):
            if fault.name == name:
                self._over.append(self._armed.pop(number))
                return
        raise KeyError(name)

    def draw(self, kind: FaultKind, place: str) -> ArmedFault[GatewayFault] | None:
        """The first fault of a kind that strikes on this occasion, or None. The caller counts it with `land`."""
        now_us = self._kernel.now_us
        for fault in self._armed:
            spec = fault.spec
            if spec.kind != kind or (spec.at and place not in spec.at) or not fault.is_active(now_us):
                continue
            self._met[fault.name] += 1
            if self._met[fault.name] > spec.skip and fault.strikes(now_us):
                return fault
        return None

    def land(self, fault: ArmedFault[GatewayFault], **fields: Any) -> None:
        """Count a hit and put it into the trace."""
        fault.land()
        self._kernel.trace.emit(
            "unionpay.fault", self._entity, fault=fault.name, what=fault.spec.kind, **fields
        )

    def report(self) -> dict[str, dict[str, int]]:
        """``{name: {"met": occasions, "landed": hits}}``, those taken away included."""
        return {
            fault.name: {"met": self._met[fault.name], "landed": fault.landed}
            for fault in [*self._armed, *self._over]
        }
