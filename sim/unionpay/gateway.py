"""The gateway: one ASGI application for ``gateway.95516.com``, with its books, clock, faults and notices."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import httpx
from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from protocols.unionpay import PATHS, VERSION, Endpoint, Fields, Shape, echoed, encode_reply
from sim.kernel import Kernel
from sim.latency import LatencyProfile
from sim.unionpay.cashier import Cashier, problem_page
from sim.unionpay.control import control_app
from sim.unionpay.faults import FaultKind, GatewayFault, UnionPayFaults
from sim.unionpay.gate import RequestGate, read_body
from sim.unionpay.ids import Ids
from sim.unionpay.ledger import AcpRefusedError, Ledger, Trade, TradeState
from sim.unionpay.material import MerchantAccount, PlatformMaterial
from sim.unionpay.notifier import Notifier
from sim.unionpay.operations import Done, Operations
from sim.unionpay.payer import PayerDesk
from sim.unionpay.profile import GatewayProfile, Switches
from sim.unionpay.replies import Signer, message_of
from sim.unionpay.settlement import SettlementBook

__all__ = ["UnionPayGateway"]

_ENDPOINTS = {path: endpoint for endpoint, path in PATHS.items()}
_TEXT = "text/html;charset=UTF-8"
_HOST = "gateway.95516.com"
JUMP_PATH = "/v1/jump"
"""Path of the simulated acquirer's one call; real acquirers each have their own."""


class UnionPayGateway:
    """UnionPay ACP 5.1.0 as a merchant sees it, stateful and signed.

    Args:
        kernel: clock, streams, trace and background tasks; virtual and wall-clock alike.
        merchants: the accounts it serves.
        platform: its own keys.
        notify_client: sends back notices; see `Notifier` on what it may reach.
        profile: how long things take.
        switches: behaviours that no public source settles.
        faults: what goes wrong.
        entity: its name in streams and trace.

    Attributes:
        app: the gateway itself, an ASGI application; browsers find the cashier there too.
        acquirer_app: an acquirer for route 2: ``POST /v1/jump`` takes an app consume and adds ``pay_info``,
            ``union_app_id`` and ``union_path`` to the reply.
        file_app: ``filedownload.95516.com``: settlement files; ``POST /``.
        payer_app: control of payers' phones; see `PayerDesk`.
        control_app: a look inside and faults by hand.
        ledger: trades. settlements: files of clearing days. faults: counters. notifier: notices. gate: refused requests.
    """

    def __init__(
        self,
        kernel: Kernel,
        merchants: Iterable[MerchantAccount],
        platform: PlatformMaterial,
        *,
        notify_client: httpx.AsyncClient,
        profile: GatewayProfile | None = None,
        switches: Switches | None = None,
        faults: Iterable[GatewayFault] = (),
        entity: str = "unionpay",
    ) -> None:
        self.kernel = kernel
        self.entity = entity
        self.profile = profile or GatewayProfile()
        self.switches = switches or Switches()
        self.accounts = {account.mer_id: account for account in merchants}
        self.ids = Ids(kernel.streams.get(entity, "ids"))
        self.faults = UnionPayFaults(kernel, entity, faults)
        self.signer = Signer(platform)
        self.gate = RequestGate(self.accounts, self.switches)
        self.ledger = Ledger(self.ids, self.switches, self._trace_trade)
        self.notifier = Notifier(
            kernel, entity, notify_client, signer=self.signer, faults=self.faults, switches=self.switches
        )
        self.settlements = SettlementBook(self.ledger, self.switches, self.faults)
        self.payers = PayerDesk(self)
        self.operations = Operations(self)
        self.cashier = Cashier(self)
        self.app: ASGIApp = self
        self.acquirer_app: ASGIApp = self._acquirer
        self.file_app: ASGIApp = self._files
        self.payer_app: ASGIApp = self.payers.app
        self.control_app: ASGIApp = control_app(self)

    def rotate(self, number: int) -> None:
        """Sign with another of the platform's signers (from 0) from now on.

        Raises:
            ValueError: there is none of this number.
        """
        self.signer.rotate(number)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI call of ``gateway.95516.com``."""
        if await _is_lifespan(scope, receive, send):
            return
        path: str = scope["path"]
        endpoint = _ENDPOINTS.get(path)
        page = self.cashier.page_of(path)
        if endpoint is None and page is None:
            response: Response = Response(status_code=404)
        elif page is not None and scope["method"] == "GET":
            response = self.cashier.show(page)
        elif scope["method"] != "POST":
            response = Response(status_code=405, headers={"Allow": "POST"})
        elif endpoint is not None:
            host = Headers(scope=scope).get("host", _HOST)
            # By its own name the platform is behind TLS, which a proxy in front may have taken off.
            scheme = "https" if host.endswith(".95516.com") else scope["scheme"]
            origin = f"{scheme}://{host}"
            response = await self._answer(endpoint, await read_body(receive), origin=origin)
        else:
            response = await self.cashier.act(str(page), await read_body(receive))
        await response(scope, receive, send)

    async def _acquirer(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._one_call(scope, receive, send, JUMP_PATH, Endpoint.APP)

    async def _files(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._one_call(scope, receive, send, "/", Endpoint.FILE)

    async def _one_call(
        self, scope: Scope, receive: Receive, send: Send, path: str, endpoint: Endpoint
    ) -> None:
        if await _is_lifespan(scope, receive, send):
            return
        if scope["path"] != path:
            response = Response(status_code=404)
        elif scope["method"] != "POST":
            response = Response(status_code=405, headers={"Allow": "POST"})
        else:
            jump = endpoint is Endpoint.APP
            response = await self._answer(endpoint, await read_body(receive), jump=jump)
        await response(scope, receive, send)

    async def _answer(
        self, endpoint: Endpoint, body: bytes, *, jump: bool = False, origin: str = ""
    ) -> Response:
        fields: Fields = {}
        account: MerchantAccount | None = None
        shape: Shape | None = None
        is_authentic = False
        try:
            fields = self.gate.read(body)
            account = self.gate.authenticate(fields)
            is_authentic = True
            shape = self.gate.admit(account, fields, endpoint, self.kernel.unix_us // 1_000_000)
            done = await self._work(endpoint, shape, fields, jump=jump)
        except AcpRefusedError as refused:
            self.gate.count(refused.code)
            self._trace_refusal(endpoint, refused)
            if endpoint is Endpoint.FRONT:
                return HTMLResponse(problem_page(refused.code, message_of(refused.code, refused.detail)))
            answer = echoed(fields) | _verdict(refused.code, refused.detail)
            is_signed = is_authentic or self.switches.sign_refusals
            return self._reply(answer, account, shape, is_signed=is_signed)
        if done is None:
            return Response(status_code=504)
        if done.before_reply is not None:
            await done.before_reply.wait()
        if done.page is not None:
            return self.cashier.way_to(done.page, origin)
        return self._reply(echoed(fields) | _verdict(done.code) | done.fields, account, shape)

    def _reply(
        self, fields: Fields, account: MerchantAccount | None, shape: Shape | None, *, is_signed: bool = True
    ) -> Response:
        if fields.get("version", VERSION) != VERSION and not self.switches.allow_sha1:
            fields["version"] = VERSION  # nothing is signed with SHA-1 that was not asked for by switch
        if not is_signed:
            return Response(encode_reply(fields), media_type=_TEXT)
        forged = self.faults.draw(FaultKind.REPLY_SIGNATURE, shape.name) if shape is not None else None
        forgery = None
        if forged is not None:
            forgery = forged.spec.forgery
            self.faults.land(forged, order_id=fields.get("orderId"))
        return Response(encode_reply(self.signer.sign(fields, account, forgery)), media_type=_TEXT)

    async def _work(self, endpoint: Endpoint, shape: Shape, fields: Fields, *, jump: bool) -> Done | None:
        """The work of a request and what becomes of its answer; None: the answer is lost."""
        commit = self.operations.prepare(shape, fields, endpoint, jump=jump)
        await self.pass_time(self.profile.of(endpoint), shape.name)
        order_id = fields.get("orderId")
        wrong = self.faults.draw(FaultKind.ANSWER, shape.name)
        if wrong is not None:
            if wrong.spec.after_commit:
                commit()
            self.faults.land(wrong, order_id=order_id)
            raise AcpRefusedError(wrong.spec.code)
        lost = self.faults.draw(FaultKind.REPLY_LOST, shape.name)
        if lost is not None:
            if lost.spec.after_commit:
                commit()
            self.faults.land(lost, order_id=order_id)
            await asyncio.sleep(lost.spec.delay_us / 1_000_000)
            return None
        done = commit()
        late = self.faults.draw(FaultKind.REPLY_LATE, shape.name)
        if late is not None:
            self.faults.land(late, order_id=order_id)
            await asyncio.sleep(late.spec.delay_us / 1_000_000)
        return done

    async def pass_time(self, latency: LatencyProfile, purpose: str) -> None:
        """Let the gateway's own time pass, drawn from the stream of this purpose."""
        delay_us = latency.draw(self.kernel.streams.get(self.entity, f"latency/{purpose}"))
        if delay_us:
            await asyncio.sleep(delay_us / 1_000_000)

    def settle(self, trade: Trade, *, at_once: bool = False) -> asyncio.Event | None:
        """The issuer has answered: the trade succeeds and is announced, or a fault lets it fail.

        Returns:
            Set after the first send of the notice; None if there is none, because the trade failed or was over.
        """
        declined = self.faults.draw(FaultKind.DECLINE, trade.kind)
        if declined is not None and self.ledger.fail(trade, declined.spec.code):
            self.faults.land(declined, order_id=trade.order_id)
            return None
        if not self.ledger.succeed(trade, self.kernel.unix_us):
            return None
        rng = self.kernel.streams.get(self.entity, "latency/notice")
        return self.notifier.announce(
            trade,
            self.accounts[trade.mer_id],
            self.notice_fields(trade),
            delay_us=0 if at_once else self.profile.notice.draw(rng),
        )

    def notice_fields(self, trade: Trade) -> Fields:
        """What a notice (and the return to the shop's page) says about a trade that succeeded."""
        # The test gateway's notices say "success" where its replies say 成功[0000000].
        return trade.request | trade.settled() | {"respCode": "00", "respMsg": "success"}

    def claim(self, trade: Trade) -> None:
        """A trade was made: the moment at which a forger may claim that it was paid."""
        forged = self.faults.draw(FaultKind.NOTICE_FORGED, trade.kind)
        if forged is None:
            return
        self.faults.land(forged, order_id=trade.order_id)
        claimed = self.notice_fields(trade) | {"queryId": trade.query_id, "traceNo": trade.trace_no}
        self.notifier.forge(trade, self.accounts[trade.mer_id], claimed, forged.spec.forgery)

    def _trace_trade(self, trade: Trade) -> None:
        self.kernel.trace.emit(
            "unionpay.trade",
            self.entity,
            mer_id=trade.mer_id,
            order_id=trade.order_id,
            txn_time=trade.txn_time,
            what=trade.kind,
            state=str(trade.state),
            code=trade.code,
            amount_fen=trade.amount_fen,
            query_id=trade.query_id if trade.state is TradeState.SUCCESS else None,
        )

    def _trace_refusal(self, endpoint: Endpoint, refused: AcpRefusedError) -> None:
        self.kernel.trace.emit(
            "unionpay.refusal", self.entity, endpoint=str(endpoint), code=refused.code, detail=refused.detail
        )


def _verdict(code: str, detail: str = "") -> Fields:
    return {"respCode": code, "respMsg": message_of(code, detail)}


async def _is_lifespan(scope: Scope, receive: Receive, send: Send) -> bool:
    if scope["type"] == "http":
        return False
    if scope["type"] != "lifespan":
        raise RuntimeError(f"the gateway speaks HTTP, not {scope['type']}")
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return True
