"""What follows up a trade: refund, cancel, completion and their cancels, and what each asks of the original."""

from __future__ import annotations

from collections.abc import Mapping

from protocols.unionpay import Fields, Shape, clearing_date
from sim.unionpay.ledger import AcpRefusedError, Ledger, Trade, TradeState
from sim.unionpay.profile import Switches

__all__ = ["follow_up"]

_ORIGINALS: Mapping[str, tuple[str, ...]] = {
    "refund": ("01", "03"),
    "cancel": ("01",),
    "completion": ("02",),
    "pre-authorisation-cancel": ("02",),
    "completion-cancel": ("03",),
}
"""``txnType`` of the originals each may have."""


def follow_up(
    ledger: Ledger, switches: Switches, shape: Shape, fields: Mapping[str, str], request: Fields, now_us: int
) -> Trade:
    """Accept a follow-up: a trade of its own, pending, with its share of the original reserved.

    Raises:
        AcpRefusedError: 12, 35, 36, 45 or one of the switches' codes.
    """
    if ledger.find(fields["merId"], fields["orderId"], fields["txnTime"], now_us) is not None:
        # Before the original is looked at: a refund sent again must not read "already refunded".
        raise AcpRefusedError("12")
    original = ledger.find_original(fields["merId"], fields["origQryId"], now_us)
    if (
        original is None
        or original.txn_type not in _ORIGINALS[shape.name]
        or original.state is not TradeState.SUCCESS
    ):
        raise AcpRefusedError("35", "origQryId")
    amount_fen = int(fields["txnAmt"])
    if original.is_cancelled:
        raise AcpRefusedError("45")
    _CHECKS[shape.name](switches, original, amount_fen, now_us)
    trade = ledger.add(shape, fields, request, now_us)
    trade.original = original
    trade.acc_no = original.acc_no
    if shape.name == "refund":
        original.reserved_fen += amount_fen
    elif shape.name == "completion":
        original.is_completed = True
    else:
        original.is_cancelled = True
        if shape.name == "completion-cancel" and original.original is not None:
            original.original.is_completed = False
    return trade


def _check_refund(switches: Switches, original: Trade, amount_fen: int, now_us: int) -> None:
    if original.reserved_fen >= original.amount_fen:
        raise AcpRefusedError("45")
    if original.reserved_fen + amount_fen > original.amount_fen:
        raise AcpRefusedError(switches.over_refund_code, "txnAmt")
    if now_us - _done_us(original) > switches.refund_days * 86_400_000_000:
        raise AcpRefusedError(switches.late_follow_up_code, "refund period")


def _check_cancel(switches: Switches, original: Trade, amount_fen: int, now_us: int) -> None:
    if original.reserved_fen:
        raise AcpRefusedError("45")
    if amount_fen != original.amount_fen:
        raise AcpRefusedError("36", "txnAmt")
    if clearing_date(now_us // 1_000_000) != clearing_date(_done_us(original) // 1_000_000):
        raise AcpRefusedError(switches.late_follow_up_code, "clearing day")


def _check_completion(switches: Switches, original: Trade, amount_fen: int, now_us: int) -> None:
    _check_uncompleted(original)
    if amount_fen * 1000 > original.amount_fen * switches.completion_permille:
        raise AcpRefusedError("36", "txnAmt")
    if now_us - _done_us(original) > switches.refund_days * 86_400_000_000:
        raise AcpRefusedError(switches.late_follow_up_code, "completion period")


def _check_authorisation_cancel(_switches: Switches, original: Trade, amount_fen: int, _now_us: int) -> None:
    _check_uncompleted(original)
    if amount_fen != original.amount_fen:
        raise AcpRefusedError("36", "txnAmt")


def _check_uncompleted(original: Trade) -> None:
    if original.is_completed:
        raise AcpRefusedError("35", "completed")


def _done_us(trade: Trade) -> int:
    assert trade.done_us is not None  # noqa: S101 - only successful trades come here
    return trade.done_us


_CHECKS = {
    "refund": _check_refund,
    "cancel": _check_cancel,
    "completion": _check_completion,
    "pre-authorisation-cancel": _check_authorisation_cancel,
    "completion-cancel": _check_cancel,
}
