"""WeChat Pay's answers and notices, read into the reports of `reference.backend.gateways.port`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import httpx
import msgspec

from protocols.fapiao import EVENT_ISSUED, EVENT_REVERSED, read_notice, read_query
from protocols.sansio import RemoteProtocolError
from protocols.wechatpay import OpenedNotice, decode_refund, decode_transaction
from reference.backend.gateways.port import (
    GatewayRefusedError,
    GatewayUnknownError,
    InvoiceReport,
    Notice,
    RefundReport,
    TradeReport,
)

__all__ = [
    "about",
    "believed",
    "invoice_of",
    "notice_of",
    "prepay_id_of",
    "refund_of",
    "refusal_of",
    "trade_of",
]

T = TypeVar("T")
R = TypeVar("R", TradeReport, RefundReport)


def believed(read: Callable[[bytes], T], raw: bytes) -> T:
    """Read a verified answer; one that cannot be read leaves the outcome open."""
    try:
        return read(raw)
    except RemoteProtocolError as error:
        raise GatewayUnknownError(f"the gateway's answer cannot be read: {error}") from error


def about(report: R, number: str) -> R:
    """A report that is about this number. An answer to another question, however well signed, leaves the outcome open."""
    told = report.out_trade_no if isinstance(report, TradeReport) else report.out_refund_no
    if told != number:
        raise GatewayUnknownError("the answer is about another number than was asked for")
    return report


class _Prepaid(msgspec.Struct):
    prepay_id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


def prepay_id_of(raw: bytes) -> str:
    """What a prepay was answered."""
    try:
        return msgspec.json.decode(raw, type=_Prepaid).prepay_id
    except msgspec.DecodeError as error:
        raise RemoteProtocolError(f"no prepay_id: {error}") from error


def refusal_of(response: httpx.Response) -> GatewayRefusedError:
    """A 4xx as the error it is."""
    # 404 and 405 come with an empty body from the real gateway, so JSON is not taken for granted.
    try:
        reply = msgspec.json.decode(response.content, type=dict[str, Any])
    except msgspec.DecodeError:
        reply = {}
    return GatewayRefusedError(
        response.status_code, str(reply.get("code", "")), str(reply.get("message", ""))[:500]
    )


def trade_of(raw: bytes) -> TradeReport:
    """A payment."""
    shape = decode_transaction(raw)
    return TradeReport(
        out_trade_no=shape.out_trade_no,
        state=shape.trade_state,
        mchid=shape.mchid,
        appid=shape.appid,
        transaction_id=shape.transaction_id,
        amount_fen=shape.amount.total if shape.amount is not None else None,
        currency=shape.amount.currency if shape.amount is not None else "CNY",
        openid=shape.payer.openid if shape.payer is not None else None,
    )


def refund_of(raw: bytes) -> RefundReport:
    """A refund."""
    shape = decode_refund(raw)
    return RefundReport(
        out_refund_no=shape.out_refund_no,
        state=shape.state,
        refund_id=shape.refund_id,
        amount_fen=shape.amount.refund,
        out_trade_no=shape.out_trade_no,
    )


def invoice_of(raw: bytes, fapiao_apply_id: str) -> InvoiceReport | None:
    """The latest try of an application."""
    tries = read_query(raw)
    if not tries:
        return None
    last = tries[-1]
    return InvoiceReport(
        fapiao_apply_id,
        last.fapiao_id,
        str(last.state),
        last.number or None,
        last.reason or None,
        last.red_number or None,
    )


def notice_of(opened: OpenedNotice) -> Notice:
    """By event type only: invoice notices have no original_type."""
    kind, number = opened.event_type, opened.envelope.id
    if kind.startswith("TRANSACTION."):
        return Notice(number, kind, trade=trade_of(opened.resource))
    if kind.startswith("REFUND."):
        return Notice(number, kind, refund=refund_of(opened.resource))
    if kind in {EVENT_ISSUED, EVENT_REVERSED}:
        notice = read_notice(opened.resource)
        fapiao_id, state = notice.fapiaos[-1] if notice.fapiaos else (None, "")
        return Notice(
            number,
            kind,
            invoice=InvoiceReport(notice.fapiao_apply_id, fapiao_id, str(state)),
            mchid=notice.mchid,
        )
    return Notice(number, kind)
