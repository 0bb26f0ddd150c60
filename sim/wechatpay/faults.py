"""What goes wrong at the gateway, as data: which fault, where, when, how often, and whether it ever landed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from protocols.wechatpay import REFUSALS, Endpoint
from sim.fault_book import CountedFault, FaultBook
from sim.faults import ArmedFault, FaultError, need_int, need_one_of
from sim.kernel import Kernel

__all__ = ["CONFIRM", "FaultKind", "Forgery", "GatewayFault", "WeChatPayFaults"]

CONFIRM = "confirm"
"""Name of the payer's confirmation where a fault's ``at`` names endpoints."""
_CODES = tuple(sorted({row.code for row in REFUSALS}))
_PLACES = (*(str(endpoint) for endpoint in Endpoint), CONFIRM)


class FaultKind(StrEnum):
    """What a fault does.

    PASSWORD_ASKED opens a pay code's password box whatever the amount; DEBIT_FAILED is the bank's no to an accepted debit.
    The BILL kinds are drawn once for each row of a bill as it is made: the row is missing, is followed by one of nobody's
    order, is off by a fen, or (refunds) stands in the next day's bill.
    """

    REFUSE = "refuse"
    TIMEOUT = "timeout"
    REPLY_SIGNATURE = "reply-signature"
    CALLBACK_LOST = "callback-lost"
    CALLBACK_LATE = "callback-late"
    CALLBACK_DUPLICATE = "callback-duplicate"
    CALLBACK_BEFORE_REPLY = "callback-before-reply"
    CALLBACK_SIGNATURE = "callback-signature"
    REFUND_CLOSED = "refund-closed"
    REFUND_ABNORMAL = "refund-abnormal"
    BILL_MISSING = "bill-missing"
    BILL_EXTRA = "bill-extra"
    BILL_AMOUNT = "bill-amount"
    BILL_OTHER_DAY = "bill-other-day"
    DEBIT_FAILED = "debit-failed"
    PASSWORD_ASKED = "password-asked"  # noqa: S105 - a kind of fault


class Forgery(StrEnum):
    """What is wrong with a signature the merchant must refuse."""

    PROBE = "probe"
    WRONG_KEY = "wrong-key"
    UNKNOWN_SERIAL = "unknown-serial"
    STALE = "stale"
    NO_HEADERS = "no-headers"
    NO_TYPE = "no-type"
    TAMPERED = "tampered"


@dataclass(frozen=True, kw_only=True)
class GatewayFault(CountedFault):
    """One fault of the gateway's schedule; when it may strike is in the base class.

    Attributes:
        kind: a `FaultKind`.
        at: endpoints it may hit (names of `Endpoint`, or ``confirm``); empty means every one that the kind can hit.
            A callback before the reply hits ``confirm`` and ``refund`` unless it names ``prepay``: there the order is
            paid by itself, a situation that a phone can make only on a re-asked prepay.
        events: event types it may hit, for callback faults; empty means all.
        code: ``refuse`` only: a code of the endpoint's refusal table.
        after_commit: ``refuse`` and ``timeout``: whether the work is done all the same.
        delay_us: how long a time-out holds the reply, how late a callback leaves, how far duplicates are spread.
        copies: further copies of a duplicated callback.
        attempts: callback-lost and callback-signature: how many attempts of one notification are hit; 0 means all.
        forgery: a `Forgery`, for the two signature kinds.

    Raises:
        FaultError: a value is impossible; the message names the fault and the field.
    """

    at: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    code: str = "SYSTEM_ERROR"
    after_commit: bool = False
    delay_us: int = 60_000_000
    copies: int = 1
    attempts: int = 1
    forgery: str = Forgery.PROBE

    def __post_init__(self) -> None:
        super().__post_init__()
        need_one_of(self.label, "kind", self.kind, FaultKind)
        need_one_of(self.label, "forgery", self.forgery, Forgery)
        for name in ("at", "events"):
            value = getattr(self, name)
            if isinstance(value, str) or not all(isinstance(item, str) for item in value):
                raise FaultError(f"{self.label}: {name} must be a list of names, not {value!r}")
            object.__setattr__(self, name, tuple(value))  # a scenario file gives a list
        for place in self.at:
            need_one_of(self.label, "at", place, _PLACES)
        for name, minimum in (("skip", 0), ("delay_us", 0), ("copies", 1), ("attempts", 0)):
            need_int(self.label, name, getattr(self, name), minimum)
        if self.copies > 50:
            raise FaultError(f"{self.label}: copies must be at most 50, not {self.copies}")
        if self.kind == FaultKind.REFUSE:
            where = [str(row.endpoint) for row in REFUSALS if row.code == self.code]
            for place in self.at or [self.code]:
                need_one_of(self.label, "at" if self.at else "code", place, where if self.at else _CODES)
            object.__setattr__(self, "at", self.at or tuple(where))
        elif self.kind == FaultKind.CALLBACK_BEFORE_REPLY and not self.at:
            object.__setattr__(self, "at", (CONFIRM, str(Endpoint.REFUND)))


class WeChatPayFaults(FaultBook[GatewayFault]):
    """The gateway's faults at work."""

    def __init__(self, kernel: Kernel, entity: str, faults: Iterable[GatewayFault] = ()) -> None:
        super().__init__(kernel, entity, "wechatpay.fault", faults)

    def draw(
        self, kind: FaultKind, *, place: str | None = None, event: str | None = None
    ) -> ArmedFault[GatewayFault] | None:
        """The first fault of a kind that strikes on this occasion, or None. The caller counts it with `land`."""

        def fits(spec: GatewayFault) -> bool:
            here = not spec.at or place is None or place in spec.at
            return here and (not spec.events or event is None or event in spec.events)

        return self.first(kind, fits)
