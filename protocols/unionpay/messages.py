"""A merchant's requests, replies and notices: built from plain arguments, opened only with a verified signature."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from protocols.sansio import RemoteProtocolError
from protocols.unionpay.codes import Outcome, outcome_of_reply, outcome_of_trade
from protocols.unionpay.keys import MerchantCredentials
from protocols.unionpay.signing import sign_request, verify_received
from protocols.unionpay.wire import MAX_BODY_BYTES, Fields, decode_form, decode_reply

__all__ = [
    "BIZ_DEFAULT",
    "BIZ_GATEWAY",
    "QUERY_WAITS_BACK_S",
    "QUERY_WAITS_FRONT_S",
    "OpenedNotice",
    "OpenedReply",
    "follow_up_request",
    "open_notice",
    "open_reply",
    "query_request",
    "reversal_request",
    "trade_request",
]

BIZ_GATEWAY = "000201"
"""``bizType`` of the web gateway (front requests, apps)."""
BIZ_DEFAULT = "000000"
"""``bizType`` of QR payments and of queries."""
QUERY_WAITS_BACK_S = (1, 2, 4, 8, 16, 32)
"""When to ask about a back transaction of unknown outcome: waits between queries that merchants are told to keep."""
QUERY_WAITS_FRONT_S = (300, 600, 1800, 3600, 7200)
"""The same for front transactions."""


def _base(txn_type: str, sub_type: str, biz_type: str, order_id: str, txn_time: str, mer_id: str) -> Fields:
    return {
        "version": "5.1.0",
        "encoding": "UTF-8",
        "signMethod": "01",
        "txnType": txn_type,
        "txnSubType": sub_type,
        "bizType": biz_type,
        "accessType": "0",
        "merId": mer_id,
        "orderId": order_id,
        "txnTime": txn_time,
    }


def trade_request(
    own: MerchantCredentials,
    *,
    order_id: str,
    txn_time: str,
    amount_fen: int,
    back_url: str,
    txn_type: str = "01",
    sub_type: str = "01",
    biz_type: str | None = None,
    front_url: str | None = None,
    qr_no: str | None = None,
    pay_timeout: str | None = None,
    more: Mapping[str, str] | None = None,
) -> Fields:
    """A signed consume (01) or pre-authorisation (02).

    Args:
        own: the merchant.
        order_id: 8 to 40 letters and digits; with ``txn_time`` it names the order for ever.
        txn_time: ``yyyyMMddHHmmss``, China time.
        amount_fen: payable.
        back_url: where the notice goes.
        txn_type: 01 or 02.
        sub_type: 01 (front, app), 06 (the payer's code was scanned), 07 (asks for a code).
        biz_type: default: 000201 for sub-type 01, else 000000.
        front_url: where the payer's browser returns to; proves nothing.
        qr_no: digits of the payer's code, for 06.
        pay_timeout: last instant to pay, ``yyyyMMddHHmmss``.
        more: further fields.
    """
    if amount_fen <= 0:
        raise ValueError(f"amount_fen must be positive, not {amount_fen}")
    biz = biz_type or (BIZ_GATEWAY if sub_type == "01" else BIZ_DEFAULT)
    fields = _base(txn_type, sub_type, biz, order_id, txn_time, own.mer_id)
    fields |= {"channelType": "08", "txnAmt": str(amount_fen), "currencyCode": "156", "backUrl": back_url}
    for name, value in (("frontUrl", front_url), ("qrNo", qr_no), ("payTimeout", pay_timeout)):
        if value is not None:
            fields[name] = value
    return sign_request(own, {**fields, **(more or {})})


def query_request(own: MerchantCredentials, *, order_id: str, txn_time: str) -> Fields:
    """A signed query; both names of the *original* are needed."""
    return sign_request(own, _base("00", "00", BIZ_DEFAULT, order_id, txn_time, own.mer_id))


def follow_up_request(
    own: MerchantCredentials,
    txn_type: str,
    *,
    order_id: str,
    txn_time: str,
    amount_fen: int,
    orig_query_id: str,
    back_url: str,
    biz_type: str = BIZ_DEFAULT,
) -> Fields:
    """A signed refund (04), cancel (31), completion (03) or cancel of one of those (32, 33).

    Args:
        own: the merchant.
        txn_type: which.
        order_id: a new one.
        txn_time: of this request.
        amount_fen: part or all for a refund, all for a cancel.
        orig_query_id: ``queryId`` of the original, from its notice or query.
        back_url: where the notice goes.
        biz_type: as the original.
    """
    if txn_type not in {"03", "04", "31", "32", "33"}:
        raise ValueError(f"txnType {txn_type[:8]!r} does not follow up another transaction")
    if amount_fen <= 0:
        raise ValueError(f"amount_fen must be positive, not {amount_fen}")
    fields = _base(txn_type, "00", biz_type, order_id, txn_time, own.mer_id)
    fields |= {
        "channelType": "08",
        "txnAmt": str(amount_fen),
        "backUrl": back_url,
        "origQryId": orig_query_id,
    }
    return sign_request(own, fields)


def reversal_request(
    own: MerchantCredentials,
    *,
    order_id: str,
    txn_time: str,
    sub_type: str = "06",
    biz_type: str = BIZ_DEFAULT,
) -> Fields:
    """A signed reversal (99): the *same* order number and time as the consume whose outcome is unknown."""
    fields = _base("99", sub_type, biz_type, order_id, txn_time, own.mer_id)
    return sign_request(own, {**fields, "channelType": "08"})


@dataclass(frozen=True, slots=True)
class OpenedReply:
    """A verified reply.

    Attributes:
        fields: all of them.
        code: ``respCode``: about this request.
        outcome: what the code says about the request; a success is only *accepted*, except for a query.
        trade: what ``origRespCode`` says about the original trade; None in replies to anything but a successful query.
    """

    fields: Fields
    code: str
    outcome: Outcome
    trade: Outcome | None


@dataclass(frozen=True, slots=True)
class OpenedNotice:
    """A verified notice: the trade succeeded, unless its code says otherwise.

    Attributes:
        fields: all of them. Compare merchant, order, time, amount and currency with your own before believing them.
        outcome: what ``respCode`` says about the trade.
        key: what names its effect: duplicates have the same; apply each once.
    """

    fields: Fields
    outcome: Outcome
    key: tuple[str, str, str]


def open_reply(
    own: MerchantCredentials,
    body: bytes,
    *,
    now_s: int,
    sign_method: str = "01",
    max_bytes: int = MAX_BODY_BYTES,
) -> OpenedReply:
    """Verify and read the body of a reply of at most ``max_bytes``.

    Raises:
        RemoteProtocolError: unreadable, or without a code.
        SignatureRefusedError: forged.
    """
    fields = decode_reply(body, max_bytes=max_bytes)
    verify_received(fields, trust=own.trust, now_s=now_s, sign_method=sign_method, secure_key=own.secure_key)
    code = fields.get("respCode", "")
    if not code:
        raise RemoteProtocolError("the reply has no respCode")
    if fields.get("merId", own.mer_id) != own.mer_id:
        raise RemoteProtocolError("the reply is another merchant's")
    is_query = fields.get("txnType") == "00" or "origRespCode" in fields
    trade = outcome_of_trade(fields["origRespCode"]) if fields.get("origRespCode") and code == "00" else None
    outcome = outcome_of_trade(code) if is_query else outcome_of_reply(code)
    return OpenedReply(fields, code, outcome, trade)


def open_notice(
    own: MerchantCredentials, body: bytes, *, now_s: int, sign_method: str = "01"
) -> OpenedNotice:
    """Verify and read a notice, from the body of the POST alone: parameters of the back URL's query are not signed.

    Raises:
        RemoteProtocolError: unreadable, incomplete or another merchant's.
        SignatureRefusedError: forged.
    """
    fields = decode_form(body)
    verify_received(fields, trust=own.trust, now_s=now_s, sign_method=sign_method, secure_key=own.secure_key)
    for name in ("respCode", "merId", "orderId", "txnTime", "txnType"):
        if not fields.get(name):
            raise RemoteProtocolError(f"the notice has no {name}")
    if fields["merId"] != own.mer_id:
        raise RemoteProtocolError("the notice is another merchant's")
    return OpenedNotice(
        fields,
        outcome_of_trade(fields["respCode"]),
        (fields["txnType"], fields["orderId"], fields["txnTime"]),
    )
