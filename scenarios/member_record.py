"""What a run leaves behind of members: mixed tenders and debits by contract; a part of `scenarios.record.RunRecord`.

What members were given and which drivers asked for what is the world's own; contracts and debits are the payment gateway's; parts
of tenders are the backend's, as its API shows them, beside what its ledger says of them. Money is fen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Debit", "Holding", "MemberRecord", "TenderPart"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TenderPart:
    """A part of a payment: ``points``, ``coupon`` or ``balance``.

    Attributes:
        out_trade_no: of the attempt that it belongs to.
        units: points, fen of balance, or 1 coupon.
        returned_fen: of ``amount_fen``, what was given back.
        state: held, taken, released or returned.
        booked_fen: what the ledger says was paid with it, and (``booked_back_fen``) given back.
    """

    out_trade_no: str
    order_id: str
    kind: str
    units: int
    amount_fen: int
    returned_fen: int
    state: str
    booked_fen: int
    booked_back_fen: int

    @property
    def is_spent(self) -> bool:
        """It went towards the order, whatever was given back later."""
        return self.state in {"taken", "returned"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What a driver was given, and the orders of that driver's phone."""

    car: int
    order_ids: tuple[str, ...]
    points: int
    coupon_fen: int
    coupon_from_fen: int
    balance_fen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Debit:
    """A debit in the gateway's ledger.

    Attributes:
        is_signed: its payer has signed a contract, and before it.
        limit_fen: the most that this contract allows for one debit.
        paid_fen: what was taken; 0: nothing.
    """

    out_trade_no: str
    amount_fen: int
    is_signed: bool
    limit_fen: int
    paid_fen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRecord:
    """Members of a run.

    Attributes:
        has_parts, has_debits: whether the scenario has drivers that hold something, and drivers that have signed.
        by_contract: orders whose phones asked for a debit.
        left: what all accounts together still hold (``points``, ``balance``, and ``coupon``: how many are free); None: not told.
    """

    has_parts: bool = False
    has_debits: bool = False
    parts: tuple[TenderPart, ...] = ()
    holdings: tuple[Holding, ...] = ()
    debits: tuple[Debit, ...] = ()
    by_contract: frozenset[str] = frozenset()
    left: Mapping[str, int] | None = None
