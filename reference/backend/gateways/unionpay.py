"""The merchant's side of UnionPay (ACP 5.1.0), over an injected HTTP client.

The reply to a payment only says that the request was taken; whether money moved stands in a query or a notice. Codes 01 to
09, and silence, are unknown; 10 to 29 say that our message is wrong, 30 to 59 that the merchant may not, 60 to 89 that the
card's holder or issuer refuses (the bands of the platform interface specification, as demonstration codes quote them).
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable
from typing import Any

from protocols.sansio import RemoteProtocolError
from protocols.unionpay import (
    MAX_BODY_BYTES,
    MAX_FILE_BODY_BYTES,
    NO_FILE,
    PATHS,
    Endpoint,
    Fields,
    MerchantCredentials,
    OpenedReply,
    Outcome,
    clearing_date,
    encode_form,
    file_request,
    follow_up_request,
    open_notice,
    open_reply,
    query_request,
    reversal_request,
    sign_request,
    trade_request,
    txn_time,
    unix_s_of_txn_time,
    unpack_settlement,
)
from reference.backend.gateways.outgoing import Outgoing
from reference.backend.gateways.port import (
    GatewayRefusedError,
    GatewayUnknownError,
    Notice,
    NoticeRefusedError,
    RefundReport,
    TradeReport,
)

__all__ = ["UnionPayClient", "follow_up_id", "time_of"]

_FORM = {"Content-Type": "application/x-www-form-urlencoded;charset=UTF-8", "User-Agent": "forecourt"}
_NO_SUCH_TRADE = "34"
# Money was taken although the order's time was over: it is paid, late, and dealt with as such.
_TAKEN_LATE = "42"
_TOO_LATE = "39"
_CONSUME = "01"


def time_of(unix_us: int) -> str:
    """``txnTime`` of something that was written at this time; with the number it names the order for ever."""
    return txn_time(unix_us // 1_000_000)


class UnionPayClient:
    """Calls the gateway and believes only what is signed.

    Args:
        own: the merchant's keys, and whom it trusts.
        outgoing: carries the calls to the gateway.
        acquirer: carries calls to the acquirer of the mini-program route.
        files: carries calls for settlement files.
        url, acquirer_url, file_url: where they answer.
        back_url: where notices go.
        clock_us: Unix time in microseconds.
    """

    def __init__(
        self,
        own: MerchantCredentials,
        outgoing: Outgoing,
        acquirer: Outgoing,
        files: Outgoing | None = None,
        *,
        url: str,
        acquirer_url: str | None,
        file_url: str = "https://filedownload.95516.com",
        back_url: str,
        clock_us: Callable[[], int],
    ) -> None:
        self.own = own
        self._outgoing = outgoing
        self._acquirer = acquirer
        self._files = files or outgoing
        self._file_url = file_url
        self._url = url
        self._acquirer_url = acquirer_url
        self.back_url = back_url
        self._clock_us = clock_us

    # Payments

    def trade(self, payment: Any, **more: Any) -> Fields:
        """A signed consume for an attempt (a row of ``payments``)."""
        return trade_request(
            self.own,
            order_id=payment.out_trade_no,
            txn_time=time_of(payment.created_us),
            amount_fen=payment.amount_fen,
            back_url=self.back_url,
            pay_timeout=time_of(payment.expires_us),
            **more,
        )

    def page_of(self, payment: Any, front_url: str) -> tuple[str, Fields]:
        """Where a browser posts what, to come to the cashier's page. Nothing is sent from here."""
        return self._url + PATHS[Endpoint.FRONT], self.trade(payment, sub_type="01", front_url=front_url)

    async def apply(self, fields: Fields, *, through_acquirer: bool = False) -> Fields:
        """Send a trade; the verified fields of a reply that accepts it.

        Raises:
            GatewayUnknownError: no sure answer.
            GatewayRefusedError: refused; its code is UnionPay's.
        """
        if through_acquirer:
            if self._acquirer_url is None:
                raise GatewayRefusedError(0, "NO_ACQUIRER", "unionpay_acquirer_url is not set")
            reply = await self._post(self._acquirer, self._acquirer_url, fields)
        else:
            reply = await self._post(self._outgoing, self._url + PATHS[Endpoint.BACK], fields)
        return _accepted(reply, fields)

    async def query(self, order_id: str, at_us: int) -> TradeReport | None:
        """What became of a trade, or None if the gateway has none of this number and time."""
        reply = await self._query(order_id, at_us)
        return None if reply is None else self._report(reply)

    async def reverse(self, order_id: str, at_us: int) -> None:
        """Undo a consume, whatever became of it; only within its clearing day (23:00 to 23:00)."""
        request = reversal_request(self.own, order_id=order_id, txn_time=time_of(at_us))
        _accepted(await self._post(self._outgoing, self._url + PATHS[Endpoint.BACK], request), request)

    # Giving back

    async def refund(
        self, *, query_id: str, out_refund_no: str, at_us: int, amount_fen: int, is_whole_today: bool
    ) -> RefundReport:
        """Give back: by a cancel (31) what was paid on this clearing day, if it is all of it, else by a refund (04)."""
        if is_whole_today:
            try:
                return await self._follow_up("31", query_id, out_refund_no, at_us, amount_fen)
            except GatewayRefusedError as error:
                if error.code != _TOO_LATE:  # the day has ended on the way
                    raise
        return await self._follow_up("04", query_id, out_refund_no, at_us, amount_fen)

    async def query_refund(self, out_refund_no: str, at_us: int) -> RefundReport | None:
        """What became of a refund; None if the gateway has none.

        A cancel that came too late may be on record beside the refund that went in its place. The refund decides then, and one
        that the gateway does not know yet may still come: it is sent again under its number, never under a new one.
        """
        report = None
        for txn_type in ("31", "04"):
            reply = await self._query(follow_up_id(txn_type, out_refund_no), at_us)
            if reply is None:
                continue
            report = _refund(reply.fields, _state(reply), out_refund_no)
            if report.state != "CLOSED":
                break
            if txn_type == "31" and reply.fields.get("origRespCode") == _TOO_LATE:
                report = None
        return report

    def is_today(self, paid_us: int) -> bool:
        """Whether something was paid on this clearing day."""
        return clearing_date(paid_us // 1_000_000) == clearing_date(self._clock_us() // 1_000_000)

    async def _follow_up(
        self, txn_type: str, query_id: str, out_refund_no: str, at_us: int, amount_fen: int
    ) -> RefundReport:
        fields = follow_up_request(
            self.own,
            txn_type,
            order_id=follow_up_id(txn_type, out_refund_no),
            txn_time=time_of(at_us),
            amount_fen=amount_fen,
            orig_query_id=query_id,
            back_url=self.back_url,
        )
        # The notice repeats it: without, nobody could tell whose number the hashed one is.
        fields = {name: value for name, value in fields.items() if name != "signature"}
        fields = sign_request(self.own, {**fields, "reqReserved": out_refund_no})
        reply = await self._post(self._outgoing, self._url + PATHS[Endpoint.BACK], fields)
        accepted = _accepted(reply, fields)
        return _refund({**fields, **accepted}, "PROCESSING", out_refund_no)

    # Settlement

    async def settlement_file(self, day: dt.date) -> bytes | None:
        """The text of the settlement file of a clearing day; None if the gateway says that there is none (98).

        Raises:
            SettlementFileError: what came is none, or another's.
            GatewayUnknownError, GatewayRefusedError: it is not to be had now.
        """
        at = time_of(self._clock_us())
        request = file_request(self.own, txn_time=at, settle_date=f"{day:%m%d}")
        reply = await self._post(self._files, f"{self._file_url}/", request, MAX_FILE_BODY_BYTES)
        if reply.outcome is Outcome.REFUSED:
            raise GatewayRefusedError(200, reply.code, reply.fields.get("respMsg", "")[:500])
        # A day without its year comes round again, so the time of the request tells an old answer.
        about = {"settleDate": request["settleDate"], "fileType": request["fileType"], **reply.fields}
        if any(about.get(name) != request[name] for name in ("txnTime", "settleDate", "fileType")):
            raise GatewayUnknownError("the answer is about another request")
        if reply.code == NO_FILE:
            return None
        if reply.outcome is Outcome.UNKNOWN:
            raise GatewayUnknownError(f"the gateway answered {reply.code}")
        content = reply.fields.get("fileContent", "")
        return unpack_settlement(content, mer_id=self.own.mer_id, day=day)

    # Hearing

    def open_notice(self, body: bytes) -> Notice:
        """Verify and read a notice. Raises `NoticeRefusedError`."""
        try:
            opened = open_notice(self.own, body, now_s=self._clock_us() // 1_000_000)
        except RemoteProtocolError as error:
            raise NoticeRefusedError(str(error)) from error
        fields = opened.fields
        key = "/".join(opened.key)
        state = _STATES[opened.outcome]
        if fields["respCode"] == _TAKEN_LATE:
            state = "SUCCESS"
        if fields["txnType"] == _CONSUME:
            return Notice(key, "TRANSACTION", trade=self._trade(fields, state))
        if fields["txnType"] in {"31", "04"}:
            number = fields.get("reqReserved", "")
            if follow_up_id(fields["txnType"], number) != fields["orderId"]:
                raise NoticeRefusedError("the notice is about a refund that is not ours")
            return Notice(key, "REFUND", refund=_refund(fields, _GIVEN[state], number))
        return Notice(key, f"TXN.{fields['txnType']}")

    # Transport

    async def _query(self, order_id: str, at_us: int) -> OpenedReply | None:
        request = query_request(self.own, order_id=order_id, txn_time=time_of(at_us))
        reply = await self._post(self._outgoing, self._url + PATHS[Endpoint.QUERY], request)
        if reply.code == _NO_SUCH_TRADE:
            return None
        if reply.outcome is Outcome.REFUSED:
            raise GatewayRefusedError(200, reply.code, reply.fields.get("respMsg", ""))
        if reply.trade is None:
            raise GatewayUnknownError(f"the query was answered {reply.code}")
        _about(reply, request)
        return reply

    def _report(self, reply: OpenedReply) -> TradeReport:
        return self._trade(reply.fields, _state(reply))

    def _trade(self, fields: Fields, state: str) -> TradeReport:
        amount = fields.get("txnAmt", "")
        return TradeReport(
            out_trade_no=fields["orderId"],
            state=state,
            mchid=fields.get("merId", ""),
            appid="",
            transaction_id=fields.get("queryId"),
            amount_fen=int(amount) if amount.isascii() and amount.isdigit() else None,
            currency={"156": "CNY"}.get(fields.get("currencyCode", "156"), "?"),
            provider="unionpay",
            order_s=unix_s_of_txn_time(fields.get("txnTime", "")) or 0,
        )

    async def _post(
        self, outgoing: Outgoing, url: str, fields: Fields, max_bytes: int = MAX_BODY_BYTES
    ) -> OpenedReply:
        response = await outgoing.send("POST", url, encode_form(fields), dict(_FORM))
        if response.status_code != 200:
            raise GatewayUnknownError(f"the gateway answered {response.status_code}")
        try:
            now_s = self._clock_us() // 1_000_000
            return open_reply(self.own, response.content, now_s=now_s, max_bytes=max_bytes)
        except RemoteProtocolError as error:
            raise GatewayUnknownError(f"the gateway's answer cannot be believed: {error}") from error


# A trade that is not decided yet is NOTPAY, whoever it waits for; one that was refused or undone is PAYERROR.
_STATES = {
    Outcome.SUCCESS: "SUCCESS",
    Outcome.ACCEPTED: "NOTPAY",
    Outcome.UNKNOWN: "NOTPAY",
    Outcome.REFUSED: "PAYERROR",
}
_GIVEN = {"SUCCESS": "SUCCESS", "NOTPAY": "PROCESSING", "PAYERROR": "CLOSED", "PROCESSING": "PROCESSING"}


def _state(reply: OpenedReply) -> str:
    if reply.fields.get("origRespCode") == _TAKEN_LATE and reply.fields.get("queryId"):
        return "SUCCESS"
    return _STATES[reply.trade or Outcome.UNKNOWN]


def _about(reply: OpenedReply, request: Fields) -> None:
    """Replies carry no time of their own: one that was signed for another order could be played back for ever."""
    if any(reply.fields.get(name) != request[name] for name in ("orderId", "txnTime")):
        raise GatewayUnknownError("the answer is about another order")


def _accepted(reply: OpenedReply, request: Fields) -> Fields:
    if reply.outcome is Outcome.REFUSED:
        raise GatewayRefusedError(200, reply.code, reply.fields.get("respMsg", "")[:500])
    if reply.outcome is Outcome.UNKNOWN:
        raise GatewayUnknownError(f"the gateway answered {reply.code}")
    _about(reply, request)
    return reply.fields


def follow_up_id(txn_type: str, out_refund_no: str) -> str:
    """The `orderId` of a refund (04) or cancel (31): 32 letters and digits (an `orderId` has no ``-``), the same for the same refund."""
    return txn_type + hashlib.sha256(f"{txn_type}/{out_refund_no}".encode()).hexdigest()[:30]


def _refund(fields: Fields, state: str, out_refund_no: str) -> RefundReport:
    amount = fields.get("txnAmt", "")
    return RefundReport(
        out_refund_no,
        _GIVEN[state],
        fields.get("queryId"),
        int(amount) if amount.isascii() and amount.isdigit() else -1,
    )
