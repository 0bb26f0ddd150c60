"""What goes wrong at the gateway, as data: which fault, where, when, how often, and whether it ever landed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from protocols.unionpay import CODES, SHAPES
from sim.fault_book import CountedFault, FaultBook
from sim.faults import ArmedFault, FaultError, need_int, need_one_of
from sim.kernel import Kernel

__all__ = ["CONFIRM", "FaultKind", "Forgery", "GatewayFault", "UnionPayFaults"]

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
    BILL_MISSING = "bill-missing"
    BILL_EXTRA = "bill-extra"
    BILL_AMOUNT = "bill-amount"
    BILL_OTHER_DAY = "bill-other-day"


class Forgery(StrEnum):
    """What is wrong with a message the merchant must refuse."""

    TAMPERED = "tampered"
    WRONG_KEY = "wrong-key"
    FOREIGN_CHAIN = "foreign-chain"
    OTHER_NAME = "other-name"
    NO_SIGNATURE = "no-signature"
    SINGLE_HASH = "single-hash"
    OLD_VERSION = "old-version"


@dataclass(frozen=True, kw_only=True)
class GatewayFault(CountedFault):
    """One fault of the gateway's schedule; when it may strike is in the base class.

    Attributes:
        kind: a `FaultKind`. ``answer`` replies with ``code`` instead of the truth; ``reply-lost`` holds the request for
            ``delay_us`` and then answers 504 without a message; ``reply-late`` holds the true reply; ``decline`` lets the
            issuer say no (``code``) to a payment, refund or cancel that was accepted; ``charged-late`` takes the money of a payer
            who confirms an expired order (a query says 42, no notice comes); ``notice-forged`` sends a forged notice of
            success as soon as a trade is made, before anybody has paid. The ``bill-`` kinds strike rows of settlement files
            when these are made: a row is left out, one of nobody's payment is added, an amount is a fen too high, a refund
            stands in the next day's file.
        at: transactions it may hit (names of `SHAPES`; notice-before-reply also ``confirm``, the payer's finger); empty means
            every one that the kind can hit.
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
    code: str = "04"
    after_commit: bool = True
    delay_us: int = 30_000_000
    copies: int = 1
    attempts: int = 1
    forgery: str = Forgery.TAMPERED

    def __post_init__(self) -> None:
        super().__post_init__()
        need_one_of(self.label, "kind", self.kind, FaultKind)
        need_one_of(self.label, "forgery", self.forgery, Forgery)
        places: object = getattr(self, "at")  # noqa: B009 - a scenario file may give anything
        if not isinstance(places, list | tuple) or not all(isinstance(item, str) for item in places):
            raise FaultError(f"{self.label}: at must be a list of names, not {places!r}")
        object.__setattr__(self, "at", tuple(places))  # a scenario file gives a list
        allowed = _PLACES if self.kind == FaultKind.NOTICE_BEFORE_REPLY else _PLACES[:-1]
        for place in self.at:
            need_one_of(self.label, "at", place, allowed)
        for name, minimum in (("skip", 0), ("delay_us", 0), ("copies", 1), ("attempts", 0)):
            need_int(self.label, name, getattr(self, name), minimum)
        if self.copies > 50:
            raise FaultError(f"{self.label}: copies must be at most 50, not {self.copies}")
        if not isinstance(self.after_commit, bool):
            raise FaultError(f"{self.label}: after_commit must be true or false, not {self.after_commit!r}")
        need_one_of(self.label, "code", self.code, [code for code in CODES if code not in {"00", "A6"}])


class UnionPayFaults(FaultBook[GatewayFault]):
    """The gateway's faults at work."""

    def __init__(self, kernel: Kernel, entity: str, faults: Iterable[GatewayFault] = ()) -> None:
        super().__init__(kernel, entity, "unionpay.fault", faults)

    def draw(self, kind: FaultKind, place: str) -> ArmedFault[GatewayFault] | None:
        """The first fault of a kind that strikes on this occasion, or None. The caller counts it with `land`."""
        return self.first(kind, lambda spec: not spec.at or place in spec.at)
