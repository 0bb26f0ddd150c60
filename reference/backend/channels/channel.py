"""What a way to pay must be able to do. All of them share one rule: a time-out is unknown, never failed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from sqlalchemy import Row

from reference.backend.gateways.port import GatewayRefusedError, TradeReport

__all__ = ["DEAD", "PAID", "Channel", "Parts", "Started", "Wish"]

PAID: Final = frozenset({"SUCCESS", "REFUND"})
"""States of a `TradeReport` in which money came."""
DEAD: Final = frozenset({"CLOSED", "REVOKED", "PAYERROR"})
"""States in which it never will."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a member puts towards an order beside the channel; the channel takes the rest."""

    points: int = 0
    coupon_id: str | None = None
    balance_fen: int = 0

    def __bool__(self) -> bool:
        return bool(self.points or self.coupon_id or self.balance_fen)


@dataclass(frozen=True, slots=True)
class Wish:
    """How somebody wants to pay.

    Attributes:
        channel: a name of the settings' ``channels``.
        parts: points, coupon, balance.
        code: of the payer's phone, scanned at the pump. It pays for whoever holds it: it is never stored.
        token: names the scan, so that repeating the request is harmless.
    """

    channel: str = "wechatpay"
    parts: Parts = field(default=Parts())
    code: str | None = field(default=None, repr=False)
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Started:
    """What a gateway answered to a new attempt.

    Attributes:
        answer: for the payer; what is not told again is kept with the payment.
        prepay_id: WeChat's, where there is one.
        report: the outcome, where the gateway tells it at once in a verified answer.
    """

    answer: dict[str, Any]
    prepay_id: str | None = None
    report: TradeReport | None = None


class Channel(Protocol):
    """A way to pay. Calls raise `GatewayUnknownError` (ask again) or `GatewayRefusedError` (nothing was done).

    ``payment`` is a row of the table ``payments`` throughout.

    Attributes:
        name: stands with the payment for ever.
        provider: whose reports are about it.
        tender: what receipts and shift reports call the money.
        is_repeatable: a start may be sent again with the same number and gives the same.
        may_undo: `close` gives money back that came in the meantime. From the first such call on only its outcome
            counts: no notice is believed that was sent before it.
        window_s: the service ends an unpaid attempt by itself after so long; None: the order's own time to live rules.
        late_look_s: waits before each look for money that came after an attempt was given up and is announced by nobody.
    """

    name: str
    provider: str
    tender: str
    is_repeatable: bool
    may_undo: bool
    window_s: int | None
    late_look_s: tuple[int, ...]

    def waits_s(self) -> tuple[int, ...]:
        """Waits before each query; the last one repeats."""

    def ready(self, payment: Row[Any]) -> dict[str, Any] | None:
        """What the payer was given, if it is still good; None: start (again)."""

    async def start(self, payment: Row[Any], wish: Wish) -> Started:
        """Tell the gateway of the attempt."""

    async def query(self, payment: Row[Any]) -> TradeReport | None:
        """The truth, or None if the gateway has no such attempt."""

    async def close(self, payment: Row[Any]) -> None:
        """Make an unpaid attempt unpayable. Whether it worked, a query tells."""

    def cannot_undo(self, refusal: GatewayRefusedError) -> bool:
        """Whether a refused `close` says that it will be refused for ever: then what is paid stays paid."""

    def may_appear(self, payment: Row[Any]) -> bool:
        """Whether an attempt that the gateway does not know may still come into being there."""

    def check(self, payment: Row[Any], report: TradeReport) -> None:
        """Whether a report is about this attempt, beside its amount. Raises `NoticeRefusedError`."""
