"""Shapes of the JSON that travels: transactions, refunds, notifications. Money is fen, times are RFC 3339 with offset.

Shapes are read leniently (clients must tolerate new fields, WXDOC 4012081709) and written without null values, which the
platform does not allow.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec

from protocols.sansio import RemoteProtocolError

__all__ = [
    "Amount",
    "Notification",
    "NotificationResource",
    "PaySign",
    "Payer",
    "Refund",
    "RefundAmount",
    "Transaction",
    "decode_notification",
    "decode_refund",
    "decode_transaction",
    "encode_json",
    "rfc3339",
    "unix_s_of_rfc3339",
]

_CHINA = timezone(timedelta(hours=8))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PaySign = dict[str, str]
"""The six fields of ``wx.requestPayment``; see `pay_sign`."""


def rfc3339(unix_s: int) -> str:
    """Unix seconds as the platform writes them: ``2026-01-31T08:00:00+08:00``."""
    return (_EPOCH + timedelta(seconds=unix_s)).astimezone(_CHINA).isoformat()


def unix_s_of_rfc3339(text: str) -> int:
    """RFC 3339 text with an offset as Unix seconds, fractions dropped.

    Raises:
        ValueError: not a time, or a time without its offset.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"the time {text[:40]!r} has no offset")
    return int((moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1))


class _Shape(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    pass


class Payer(_Shape, frozen=True, omit_defaults=True, kw_only=True):
    """Who pays: the mini-program user's openid."""

    openid: str | None = None


class Amount(_Shape, frozen=True, omit_defaults=True, kw_only=True):
    """Money of a transaction in fen; ``payer_total`` is what the payer gave after vouchers."""

    total: int
    payer_total: int | None = None
    currency: str = "CNY"
    payer_currency: str | None = None


class Transaction(_Shape, frozen=True, omit_defaults=True, kw_only=True):
    """An order as query and ``TRANSACTION.SUCCESS`` show it (WX-OAPI).

    An unpaid order has no ``transaction_id``, ``success_time`` or ``bank_type``.
    """

    mchid: str
    appid: str
    out_trade_no: str
    trade_state: str
    amount: Amount | None = None
    trade_state_desc: str = ""
    transaction_id: str | None = None
    trade_type: str | None = None
    bank_type: str | None = None
    attach: str | None = None
    success_time: str | None = None
    payer: Payer | None = None


class RefundAmount(_Shape, frozen=True, omit_defaults=True, kw_only=True):
    """Money of a refund in fen: of the order, of this refund, and of both on the payer's side."""

    total: int
    refund: int
    payer_total: int | None = None
    payer_refund: int | None = None
    currency: str = "CNY"


class Refund(_Shape, frozen=True, omit_defaults=True, kw_only=True):
    """A refund. Replies call its state ``status``, notifications ``refund_status``; `state` reads either (WX-OAPI)."""

    out_refund_no: str
    refund_id: str
    out_trade_no: str
    transaction_id: str
    amount: RefundAmount
    status: str | None = None
    refund_status: str | None = None
    mchid: str | None = None
    channel: str | None = None
    user_received_account: str | None = None
    create_time: str | None = None
    success_time: str | None = None

    @property
    def state(self) -> str:
        """PROCESSING, SUCCESS, CLOSED or ABNORMAL; empty when the sender gave neither."""
        return self.status or self.refund_status or ""


class NotificationResource(_Shape, frozen=True, omit_defaults=True, kw_only=True):
    """The encrypted part of a notification. Invoice events come without ``original_type``."""

    algorithm: str
    ciphertext: str
    nonce: str
    associated_data: str | None = None
    original_type: str | None = None


class Notification(_Shape, frozen=True, omit_defaults=True, kw_only=True):
    """The envelope of a callback (WXDOC 4012791861)."""

    id: str
    event_type: str
    resource: NotificationResource
    create_time: str = ""
    resource_type: str = "encrypt-resource"
    summary: str = ""


_transaction = msgspec.json.Decoder(Transaction)
_refund = msgspec.json.Decoder(Refund)
_notification = msgspec.json.Decoder(Notification)
_encoder = msgspec.json.Encoder()


def encode_json(value: Any) -> bytes:
    """Compact UTF-8 JSON. Keep these bytes: they are what is signed."""
    return _encoder.encode(value)


def decode_transaction(data: bytes) -> Transaction:
    """Read an order.

    Raises:
        RemoteProtocolError: not JSON, or a field is missing or of another type.
    """
    try:
        return _transaction.decode(data)
    except msgspec.DecodeError as error:
        raise RemoteProtocolError(f"not a transaction: {error}") from None


def decode_refund(data: bytes) -> Refund:
    """Read a refund.

    Raises:
        RemoteProtocolError: not JSON, or a field is missing or of another type.
    """
    try:
        return _refund.decode(data)
    except msgspec.DecodeError as error:
        raise RemoteProtocolError(f"not a refund: {error}") from None


def decode_notification(data: bytes) -> Notification:
    """Read a notification's envelope; its signature must have been checked over these very bytes.

    Raises:
        RemoteProtocolError: not JSON, or a field is missing or of another type.
    """
    try:
        return _notification.decode(data)
    except msgspec.DecodeError as error:
        raise RemoteProtocolError(f"not a notification: {error}") from None
