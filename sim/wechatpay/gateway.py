"""The gateway: one ASGI application for ``api.mch.weixin.qq.com``, with its books, clock, faults and callbacks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from urllib.parse import parse_qs

import httpx
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from protocols.wechatpay import ApiError, Endpoint, RefundEvent, refusal
from sim.kernel import Kernel
from sim.latency import LatencyProfile
from sim.net import NetworkClient
from sim.wechatpay.bill_calls import BillCalls
from sim.wechatpay.bills import BillBook
from sim.wechatpay.calls import Commit, Done, Route, Router
from sim.wechatpay.codepay import CodePay
from sim.wechatpay.combined import CombinedBook, CombinedOrder
from sim.wechatpay.combined_calls import CombinedCalls
from sim.wechatpay.contract_calls import ContractCalls
from sim.wechatpay.contracts import ContractBook
from sim.wechatpay.control import control_app
from sim.wechatpay.faults import FaultKind, GatewayFault, WeChatPayFaults
from sim.wechatpay.gate import RawRequest, RequestGate, read_request
from sim.wechatpay.ids import Ids
from sim.wechatpay.ledger import Ledger, Order
from sim.wechatpay.logins import LoginDesk
from sim.wechatpay.material import MerchantAccount, PlatformKeys
from sim.wechatpay.notifier import Notifier
from sim.wechatpay.parking_calls import ParkingCalls
from sim.wechatpay.payer import PayerDesk
from sim.wechatpay.plates import PlateBook
from sim.wechatpay.profile import GatewayProfile
from sim.wechatpay.rates import RateLimits
from sim.wechatpay.refund_calls import RefundCalls
from sim.wechatpay.refunds import RefundBook, RefundRecord
from sim.wechatpay.replies import Replier, Signer, certificate_list, empty
from sim.wechatpay.switch_over import SwitchOver
from sim.wechatpay.switches import Switches
from sim.wechatpay.trade_calls import TradeCalls
from sim.wechatpay.wallets import Wallets

__all__ = ["WeChatPayGateway"]


class WeChatPayGateway:
    """WeChat Pay API v3 as a merchant sees it, stateful and signed.

    Args:
        kernel: clock, streams, trace and background tasks; virtual and wall-clock alike.
        merchants: the accounts it serves.
        platform: its own keys.
        notify_client: sends callbacks; see `Notifier` on what it may reach.
        profile: how long things take.
        switches: behaviours that no public source settles.
        faults: what goes wrong.
        entity: its name in streams and trace.

    Attributes:
        app: the gateway itself, an ASGI application.
        payer_app: control of payers' phones, for the host ``payer.sim``; see `PayerDesk`.
        jscode_app: ``api.weixin.qq.com``'s ``/sns/jscode2session``.
        control_app: a look inside and faults by hand.
        ledger: orders. refunds: refunds. faults: counters. notifier: callbacks. gate: refused requests.
        codepay: pay codes. contracts: debits without asking. plates: the same by
            number plate. bills: each
            day's. combined: combinations. wallets: what payers have.
    """

    def __init__(
        self,
        kernel: Kernel,
        merchants: Iterable[MerchantAccount],
        platform: PlatformKeys,
        *,
        notify_client: httpx.AsyncClient | NetworkClient,
        profile: GatewayProfile | None = None,
        switches: Switches | None = None,
        faults: Iterable[GatewayFault] = (),
        entity: str = "wechatpay",
    ) -> None:
        self.kernel = kernel
        self.entity = entity
        self.profile = profile or GatewayProfile()
        self.switches = switches or Switches()
        self.accounts = {account.mchid: account for account in merchants}
        self.ids = Ids(kernel.streams.get(entity, "ids"))
        self.faults = WeChatPayFaults(kernel, entity, faults)
        self.switch_over = SwitchOver(
            self.switches.callback_public_key_permille, self.switches.switch_over_unix_us
        )
        self.signer = Signer(kernel, platform, self.ids)
        self.replier = Replier(self.signer, self.ids)
        self.gate = RequestGate(self.accounts)
        self.ledger = Ledger(self.ids, self.switches, self._trace_order)
        self.refunds = RefundBook(self.ledger, self.ids, self.switches, self._trace_refund)
        self.notifier = Notifier(
            kernel,
            entity,
            notify_client,
            signer=self.signer,
            ids=self.ids,
            faults=self.faults,
            switch_over=self.switch_over,
        )
        self.wallets = Wallets(self.switches)
        codes = Ids(kernel.streams.get(entity, "auth-codes"))
        self.codepay = CodePay(self.ledger, self.wallets, codes, self.switches)
        signed = Ids(kernel.streams.get(entity, "contracts"))
        self.contracts = ContractBook(self.ledger, self.wallets, signed, self.switches)
        plates = Ids(kernel.streams.get(entity, "plates"))
        self.plates = PlateBook(self.ledger, self.contracts, self.wallets, plates)
        self.bills = BillBook(self.ledger, self.refunds, self.faults, self.switches.bill_ready_s)
        combined = Ids(kernel.streams.get(entity, "combined"))
        self.combined = CombinedBook(self.ledger, self.accounts, combined, self.switches)
        self.payers = PayerDesk(self)
        self.payer_app: ASGIApp = self.payers.app
        self.logins = LoginDesk(self)
        self.jscode_app: ASGIApp = self.logins.app
        self.control_app: ASGIApp = control_app(self)
        self.app: ASGIApp = self
        self._mounts: list[tuple[str, ASGIApp]] = []
        self.rates = RateLimits(is_on=self.switches.rate_limits, code=self.switches.rate_limit_code)
        self._refund_calls = RefundCalls(self)
        self._router = Router(
            (
                *TradeCalls(self).routes(),
                *self._refund_calls.routes(),
                *ContractCalls(self).routes(),
                *ParkingCalls(self).routes(),
                *BillCalls(self).routes(),
                *CombinedCalls(self).routes(),
                Route("/v3/certificates", "GET", Endpoint.CERTIFICATES, self._certificates),
            )
        )

    def mount(self, prefix: str, app: ASGIApp) -> None:
        """Serve all paths that begin with a prefix by another application of the same host (the invoice endpoints)."""
        self._mounts.append((prefix, app))

    def rotate(self, serial: str) -> None:
        """Sign with another of the platform's certificates from now on.

        Raises:
            ValueError: no certificate has this serial.
        """
        self.signer.rotate(serial)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI call of ``api.mch.weixin.qq.com``."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"the gateway speaks HTTP, not {scope['type']}")
        path: str = scope["path"]
        for prefix, app in self._mounts:
            if path.startswith(prefix):
                await app(scope, receive, send)
                return
        request = await read_request(scope, receive)
        response = await self._answer(request, path)
        await response(scope, receive, send)

    async def _answer(self, request: RawRequest, path: str) -> Response:
        found = self._router.find(path)
        if found is None:
            return empty(404)
        route, argument = found
        if request.method != route.method:
            return empty(405)
        endpoint = route.endpoint
        try:
            account = self.gate.admit(request, endpoint, self.kernel.unix_us // 1_000_000)
        except ApiError as error:
            self._trace_refusal(endpoint, error)
            # Trade paths leave the Request-ID out of their 401 (probed).
            return self.replier.refusal(error, with_id=not (endpoint.is_trade and error.status == 401))
        wanted = request.headers.get("wechatpay-serial", "")
        try:
            self.rates.admit(account.mchid, endpoint, self.kernel.unix_us // 1_000_000)
            done = await self._work(endpoint, route.prepare(account, request, argument))
        except ApiError as error:
            self.rates.count_error(account.mchid, endpoint, self.kernel.unix_us // 1_000_000)
            self._trace_refusal(endpoint, error)
            return self.replier.refusal(
                error, signed_for=wanted if self.switches.sign_business_errors else None
            )
        if done.before_reply is not None:
            await done.before_reply.wait()
        if done.file is not None:
            return self.replier.file(done.file)
        forged = self.faults.draw(FaultKind.REPLY_SIGNATURE, place=endpoint)
        if forged is not None:
            self.faults.land(forged, endpoint=str(endpoint))
        return self.replier.ok(
            done.data,
            status=done.status,
            wanted_serial=wanted,
            has_certificates=account.has_platform_certificates,
            forgery=forged.spec.forgery if forged is not None else None,
        )

    async def _work(self, endpoint: Endpoint, commit: Commit) -> Done:
        await self.pass_time(self.profile.of(endpoint), endpoint)
        refuse = self.faults.draw(FaultKind.REFUSE, place=endpoint)
        if refuse is not None:
            if refuse.spec.after_commit:
                commit()
            self.faults.land(refuse, endpoint=str(endpoint))
            raise refusal(endpoint, refuse.spec.code)
        hold = self.faults.draw(FaultKind.TIMEOUT, place=endpoint)
        if hold is None:
            return commit()
        done = commit() if hold.spec.after_commit else None
        self.faults.land(hold, endpoint=str(endpoint))
        await asyncio.sleep(hold.spec.delay_us / 1_000_000)
        if done is None:
            raise refusal(endpoint, "SYSTEM_ERROR")
        return done

    async def pass_time(self, latency: LatencyProfile, purpose: str) -> None:
        """Let the gateway's own time pass, drawn from the stream of this purpose."""
        delay_us = latency.draw(self.kernel.streams.get(self.entity, f"latency/{purpose}"))
        if delay_us:
            await asyncio.sleep(delay_us / 1_000_000)

    def _certificates(self, account: MerchantAccount, request: RawRequest, _argument: str) -> Commit:
        algorithm = parse_qs(request.target.partition("?")[2]).get("algorithm_type", ["RSA"])[0]
        if algorithm not in {"RSA", "ALL"}:
            detail: dict[str, object] = {
                "field": "/algorithm_type",
                "value": algorithm[:16],
                "location": "query",
            }
            raise refusal(Endpoint.CERTIFICATES, "PARAM_ERROR", "不支持的algorithm_type", detail=detail)
        if not account.has_platform_certificates:
            raise refusal(Endpoint.CERTIFICATES, "RESOURCE_NOT_EXISTS")
        return lambda: Done(
            {
                "data": certificate_list(
                    self.signer.keys, account, self.ids, times=self.switches.certificate_times
                )
            }
        )

    def announce_paid(self, order: Order, *, at_once: bool = False) -> asyncio.Event:
        """Start the callback of a paid order; the event is set after its first attempt."""
        return self._announce(order, "TRANSACTION.SUCCESS", "支付成功", at_once=at_once)

    def announce_failed(self, order: Order) -> asyncio.Event:
        """Start the callback of a debit that failed; the event is set after its first attempt."""
        return self._announce(order, "TRANSACTION.FAIL", "支付失败", at_once=False)

    async def decide_debit(self, order: Order) -> None:
        """Let the bank answer an accepted debit, and tell the merchant."""
        await self.pass_time(self.profile.debit_settle, "debit-settle")
        fault = self.faults.draw(FaultKind.DEBIT_FAILED)
        if fault is not None:
            self.faults.land(fault, subject=order.out_trade_no)
        problem = "银行系统异常" if fault is not None else None
        if self.contracts.decide(order, self.kernel.unix_us, problem):
            self.announce_paid(order)
        elif self.switches.announce_failed_debits:
            self.announce_failed(order)

    def announce_repaid(self, order: Order) -> asyncio.Event:
        """Start the callback of an advance that was paid back; the event is set after its first attempt."""
        return self._announce(order, "TRANSACTION.PAY_BACK", "用户还款", at_once=False)

    def announce_combined(self, combined: CombinedOrder, *, at_once: bool = False) -> asyncio.Event:
        """Start the one callback of a paid combination; the event is set after its first attempt."""
        return self._tell(
            combined.mchid,
            combined.notify_url,
            combined.shown(),
            subject=combined.number,
            at_once=at_once,
        )

    def _announce(self, order: Order, event_type: str, summary: str, *, at_once: bool) -> asyncio.Event:
        if order.notify_url is None:
            raise ValueError(f"order {order.out_trade_no} has no notify URL of its own")
        return self._tell(
            order.mchid,
            order.notify_url,
            self.plates.shown(order) if order.trade_type == "PARKING" else order.shown(),
            subject=order.out_trade_no,
            event_type=event_type,
            summary=summary,
            at_once=at_once,
        )

    def _tell(
        self,
        mchid: str,
        url: str,
        resource: dict[str, object],
        *,
        subject: str,
        event_type: str = "TRANSACTION.SUCCESS",
        summary: str = "支付成功",
        at_once: bool,
    ) -> asyncio.Event:
        rng = self.kernel.streams.get(self.entity, "latency/confirm-to-callback")
        return self.notifier.announce(
            self.accounts[mchid],
            url,
            event_type=event_type,
            summary=summary,
            resource=resource,
            subject=subject,
            original_type="transaction",
            delay_us=0 if at_once else self.profile.confirm_to_callback.draw(rng),
        )

    def settle_refund(
        self, record: RefundRecord, event: RefundEvent = RefundEvent.SETTLE, summary: str = "退款成功"
    ) -> asyncio.Event | None:
        """The bank has answered: move the refund and announce it, if the merchant gave a URL.

        Raises:
            IllegalMoveError: the refund's state does not allow it.
        """
        return self._refund_calls.settle(record, event, summary)

    def _trace_order(self, order: Order) -> None:
        self.kernel.trace.emit(
            "wechatpay.order",
            self.entity,
            mchid=order.mchid,
            out_trade_no=order.out_trade_no,
            state=str(order.state),
            total_fen=order.total_fen,
            transaction_id=order.transaction_id,
        )

    def _trace_refund(self, record: RefundRecord) -> None:
        self.kernel.trace.emit(
            "wechatpay.refund",
            self.entity,
            out_trade_no=record.order.out_trade_no,
            out_refund_no=record.out_refund_no,
            state=str(record.state),
            refund_fen=record.refund_fen,
        )

    def _trace_refusal(self, endpoint: Endpoint, error: ApiError) -> None:
        self.kernel.trace.emit(
            "wechatpay.refusal", self.entity, endpoint=str(endpoint), status=error.status, code=error.code
        )


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
