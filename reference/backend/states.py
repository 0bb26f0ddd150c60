"""The order's states as a table. Whatever is not in it does not happen."""

from __future__ import annotations

from typing import Final

__all__ = ["FINAL", "MOVES", "PAYING_OFF", "IllegalMoveError", "check_move"]

MOVES: Final[dict[str, frozenset[str]]] = {
    # Waits for the site to authorise (postpay) or for the payment (prepay).
    "CREATED": frozenset({"AUTHORISED", "FUELLING", "PAYABLE", "PAYING", "CANCELLED", "CLOSED"}),
    "AUTHORISED": frozenset({"FUELLING", "PAYABLE", "COMPLETED", "REFUNDING", "CANCELLED", "CLOSED"}),
    "FUELLING": frozenset({"PAYABLE", "COMPLETED", "REFUNDING", "CLOSED"}),
    "PAYABLE": frozenset({"PAYING", "CANCELLED", "CLOSED"}),
    "PAYING": frozenset({"PAID", "PAYABLE", "CREATED", "CANCELLED", "CLOSED"}),
    # The end for postpay; for prepay the nozzle is now authorised.
    "PAID": frozenset({"AUTHORISED", "FUELLING", "COMPLETED", "REFUNDING"}),
    # An operator may give back more, also of what is over.
    "COMPLETED": frozenset({"REFUNDING"}),
    "REFUNDING": frozenset({"REFUNDED", "COMPLETED"}),
    "REFUNDED": frozenset(),
    # Money that comes after the end is taken if it can be (the sale is still unpaid), else given back, once.
    "CANCELLED": frozenset({"PAYABLE", "PAID", "REFUNDING"}),
    "CLOSED": frozenset({"PAYABLE", "PAID", "REFUNDING"}),
}

FINAL: Final = frozenset({"COMPLETED", "REFUNDED", "CANCELLED", "CLOSED"})
PAYING_OFF: Final = frozenset({"PAYABLE", "PAYING"})


class IllegalMoveError(RuntimeError):
    """A defect of this service: it asked for a move that the table does not have."""


def check_move(order_id: str, old: str, new: str) -> None:
    """Raise `IllegalMoveError` unless ``old`` may become ``new``."""
    if new != old and new not in MOVES[old]:
        raise IllegalMoveError(f"order {order_id}: {old} cannot become {new}")
