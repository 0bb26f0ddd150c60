"""What each transaction does once it has been let in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

from protocols.unionpay import (
    Endpoint,
    Fields,
    Shape,
    clearing_date,
    echoed,
    pack_settlement,
    write_settlement,
)
from sim.latency import LatencyProfile
from sim.unionpay.faults import FaultKind
from sim.unionpay.followups import follow_up
from sim.unionpay.ledger import AcpRefusedError, Trade, TradeState
from sim.unionpay.replies import message_of

if TYPE_CHECKING:
    from sim.unionpay.gateway import UnionPayGateway

__all__ = ["UNION_APP_ID", "Done", "Operations"]

UNION_APP_ID = "wx0000000000000000"
"""Stands for the id of UnionPay's mini-program, which no public source could be opened for."""
_NOT_REPEATED = ("respCode", "respMsg")


@dataclass(frozen=True, slots=True)
class Done:
    """A committed request: what to answer, and what must be over before the answer leaves.

    Attributes:
        fields: added to the repeated fields of the request.
        code: ``respCode`` of the reply.
        page: the number of a cashier page that the browser is sent to instead of a reply.
        before_reply: the answer waits for it.
    """

    fields: Fields = field(default_factory=dict)
    code: str = "00"
    page: str | None = None
    before_reply: asyncio.Event | None = None


Commit = Callable[[], Done]


class Operations:
    """The transactions of one gateway. Preparing changes nothing; the returned function commits."""

    def __init__(self, gateway: UnionPayGateway) -> None:
        self._gateway = gateway

    def prepare(self, shape: Shape, fields: Fields, endpoint: Endpoint, *, jump: bool = False) -> Commit:
        """The work a request asks for.

        Args:
            shape: its kind.
            fields: checked.
            endpoint: the URL it came to.
            jump: it came through the acquirer of route 2.

        Returns:
            A function that does the work; it raises `AcpRefusedError` where the books do not allow it.
        """
        if shape.name == "query":
            return lambda: self._query(fields)
        if shape.name == "reversal":
            return lambda: self._reverse(fields)
        if shape.name == "encryption-key":
            return self._encryption_key
        if shape.name == "file-transfer":
            return lambda: self._file(fields)
        if "origQryId" in shape.required:
            return lambda: self._follow_up(shape, fields)
        if "qrNo" in shape.required:
            return lambda: self._scan(shape, fields)
        if shape.name == "consume-qr":
            return lambda: self._apply_qr(shape, fields)
        if endpoint is Endpoint.FRONT:
            return lambda: self._front(shape, fields)
        return lambda: self._app(shape, fields, jump=jump)

    def _add(self, shape: Shape, fields: Fields, life_s: int) -> Trade:
        gateway = self._gateway
        request = echoed(fields)
        trade = gateway.ledger.add(shape, fields, request, gateway.kernel.unix_us, life_s=life_s)
        gateway.claim(trade)
        return trade

    def _front(self, shape: Shape, fields: Fields) -> Done:
        gateway = self._gateway
        trade = self._add(shape, fields, gateway.switches.unpaid_life_s)
        page = gateway.ids.page()
        gateway.ledger.name(trade, "page", page)
        return Done(page=page)

    def _app(self, shape: Shape, fields: Fields, *, jump: bool) -> Done:
        gateway = self._gateway
        trade = self._add(shape, fields, gateway.switches.unpaid_life_s)
        tn = gateway.ids.tn(gateway.kernel.unix_us // 1_000_000)
        gateway.ledger.name(trade, "tn", tn)
        if not jump:
            return Done({"tn": tn})
        trade.needs_sms = True
        path = f"pages/pay/index?tn={quote(tn)}"
        return Done({"tn": tn, "union_app_id": UNION_APP_ID, "union_path": path, "pay_info": f"tn={tn}"})

    def _apply_qr(self, shape: Shape, fields: Fields) -> Done:
        gateway = self._gateway
        trade = self._add(shape, fields, gateway.switches.unpaid_life_s)
        qr_code = gateway.ids.qr_code()
        gateway.ledger.name(trade, "qr_code", qr_code)
        return Done({"qrCode": qr_code})

    def _scan(self, shape: Shape, fields: Fields) -> Done:
        gateway = self._gateway
        known = gateway.ledger.find(
            fields["merId"], fields["orderId"], fields["txnTime"], gateway.kernel.unix_us
        )
        if known is not None:
            # Before the code is looked at: the merchant's repetition must not read "code used".
            raise AcpRefusedError("12")
        payer = gateway.payers.use_code(fields["qrNo"])
        trade = self._add(shape, fields, gateway.switches.scan_life_s)
        trade.payer = payer
        gateway.ledger.name(trade, "qr_no", fields["qrNo"])
        answer: Fields = {"queryId": trade.query_id}
        if trade.amount_fen > gateway.switches.password_over_fen:
            return Done(answer)
        return self._go_on(trade, gateway.profile.issuer, answer)

    def _follow_up(self, shape: Shape, fields: Fields) -> Done:
        gateway = self._gateway
        request = echoed(fields)
        trade = follow_up(gateway.ledger, gateway.switches, shape, fields, request, gateway.kernel.unix_us)
        latency = gateway.profile.issuer if shape.name == "completion" else gateway.profile.settle
        return self._go_on(trade, latency, {"queryId": trade.query_id})

    def _go_on(self, trade: Trade, latency: LatencyProfile, answer: Fields) -> Done:
        """Let the trade settle by itself: after a while, or (by fault) before the reply leaves."""
        gateway = self._gateway
        early = gateway.faults.draw(FaultKind.NOTICE_BEFORE_REPLY, trade.kind)
        if early is None:
            gateway.kernel.spawn(self._settle_later(trade, latency), f"unionpay-settle-{trade.query_id}")
            return Done(answer)
        gateway.faults.land(early, order_id=trade.order_id)
        return Done(answer, before_reply=gateway.settle(trade, at_once=True))

    async def _settle_later(self, trade: Trade, latency: LatencyProfile) -> None:
        await self._gateway.pass_time(latency, f"settle/{trade.kind}")
        self._gateway.settle(trade)

    def _reverse(self, fields: Fields) -> Done:
        gateway = self._gateway
        now_us = gateway.kernel.unix_us
        trade = gateway.ledger.find(fields["merId"], fields["orderId"], fields["txnTime"], now_us)
        if trade is None or trade.txn_type != "01":
            raise AcpRefusedError("35", "orderId")
        paid_s = (trade.done_us or trade.created_us) // 1_000_000
        if clearing_date(paid_s) != clearing_date(now_us // 1_000_000):
            raise AcpRefusedError(gateway.switches.late_follow_up_code, "clearing day")
        gateway.ledger.reverse(trade)
        return Done()

    def _encryption_key(self) -> Done:
        """What card fields are to be encrypted with; clients ask for it when they start (UP-GO ``LoadEncryptKey``, API 758)."""
        return Done({"certType": "01", "encryptPubKeyCert": self._gateway.signer.encryption.pem})

    def _file(self, fields: Fields) -> Done:
        gateway = self._gateway
        now_us = gateway.kernel.unix_us
        book, missing = gateway.settlements, gateway.switches.no_file_code
        day = book.day_of(fields["settleDate"], now_us)
        if day is None:
            raise AcpRefusedError("10", "settleDate")
        if fields["fileType"] != "00":
            raise AcpRefusedError(missing, "fileType")
        ready_us = book.ready_us(day)
        if now_us < ready_us or now_us - ready_us > gateway.switches.file_kept_days * 86_400_000_000:
            raise AcpRefusedError(missing, "settleDate")
        rows = book.rows(fields["merId"], day)
        if not rows and not gateway.switches.empty_day_file:
            raise AcpRefusedError(missing, "settleDate")
        return Done(pack_settlement(write_settlement(rows), mer_id=fields["merId"], day=day))

    def _query(self, fields: Fields) -> Done:
        gateway = self._gateway
        trade = gateway.ledger.find(
            fields["merId"], fields["orderId"], fields["txnTime"], gateway.kernel.unix_us
        )
        if trade is None:
            raise AcpRefusedError("34")
        answer = {name: value for name, value in trade.request.items() if name not in _NOT_REPEATED}
        # How the query itself was signed decides how its reply is.
        answer |= {"signMethod": fields["signMethod"], "version": fields["version"]}
        answer |= {"origRespCode": trade.code, "origRespMsg": message_of(trade.code)}
        if trade.state is TradeState.SUCCESS:
            answer |= trade.settled()
        else:
            answer["settleAmt"] = "0"
        return Done(answer)
