"""The payer's phone: shows its code, and confirms, cancels or dawdles; in each of the ways a trade can reach it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from protocols.unionpay import CODES, tn_of_path
from sim.unionpay.faults import CONFIRM, FaultKind
from sim.unionpay.gate import read_body
from sim.unionpay.ledger import AcpRefusedError, PaymentRefusedError, Trade

if TYPE_CHECKING:
    from sim.unionpay.gateway import UnionPayGateway

__all__ = ["PayerDesk"]

_MAX_DAWDLE_US = 86_400 * 1_000_000
_PAYER = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MAX_CODES = 100_000
_HANDLES = ("tn", "qr_code", "qr_no", "page", "union_path")


@dataclass(slots=True)
class _Code:
    payer: str
    expire_us: int
    is_used: bool = False


class PayerDesk:
    """All payers of one gateway.

    ``app`` takes ``POST /payers/{payer}/code`` → ``{"qr_no": …}`` (the code a cashier scans, once, for a minute), and ``POST
    /payers/{payer}/confirm|cancel|dawdle`` with one of ``tn`` (an app, or a mini-program inside the 云闪付 app), ``qr_code``
    (scanned at the pump), ``qr_no`` (the phone asks for the password after its code was scanned), ``page`` (the cashier page) or
    ``union_path`` (the mini-program jumped to, which needs ``"password": true, "sms_code": true``). ``confirm`` may carry
    ``"resp_code"``: the issuer says no with this code. The answer is what the phone shows, ``{"result": "success"}`` and so
    on; it proves nothing to the merchant. ``dawdle`` goes on by itself: ``{"delay_us": …, "then":
    "confirm"|"cancel"|"nothing"}``.
    """

    def __init__(self, gateway: UnionPayGateway) -> None:
        self._gateway = gateway
        self._codes: dict[str, _Code] = {}
        self.app = Starlette(
            routes=[
                Route("/payers/{payer}/code", self._show_code, methods=["POST"]),
                Route("/payers/{payer}/{action}", self._act, methods=["POST"]),
            ]
        )

    def use_code(self, qr_no: str) -> str:
        """Whose code was scanned; each is good once.

        Raises:
            AcpRefusedError: 88, nobody showed it; 86, used or too old.
        """
        code = self._codes.get(qr_no)
        if code is None:
            raise AcpRefusedError("88", "qrNo")
        if code.is_used or self._gateway.kernel.unix_us >= code.expire_us:
            raise AcpRefusedError("86", "qrNo")
        code.is_used = True
        return code.payer

    async def pay(self, trade: Trade, payer: str, decline_code: str | None = None) -> None:
        """The payer's finger: time passes, then the trade succeeds and is announced, or fails.

        Raises:
            PaymentRefusedError: it failed, or was over by then.
        """
        gateway = self._gateway
        await gateway.pass_time(gateway.profile.confirm, CONFIRM)
        if decline_code is not None:
            if gateway.ledger.fail(trade, decline_code):
                self._trace(payer, trade, "declined", code=decline_code)
            raise PaymentRefusedError(gateway.ledger.why_over(trade) or "failed")
        early = gateway.faults.draw(FaultKind.NOTICE_BEFORE_REPLY, CONFIRM)
        told = gateway.settle(trade, at_once=early is not None)
        if told is None:
            raise PaymentRefusedError(gateway.ledger.why_over(trade) or "failed")
        self._trace(payer, trade, "confirm")
        if early is not None:
            gateway.faults.land(early, order_id=trade.order_id)
            await told.wait()

    async def _show_code(self, request: Request) -> Response:
        payer = request.path_params["payer"]
        if _PAYER.fullmatch(payer) is None:
            return _bad(400, "a payer's name has letters, digits, _ and -, at most 64")
        gateway = self._gateway
        expire_us = gateway.kernel.unix_us + gateway.switches.code_life_s * 1_000_000
        qr_no = gateway.ids.payer_code()
        if len(self._codes) >= _MAX_CODES:
            self._codes.pop(next(iter(self._codes)))  # the oldest; it reads "no such code" from now on
        self._codes[qr_no] = _Code(payer, expire_us)
        return JSONResponse({"qr_no": qr_no, "valid_s": gateway.switches.code_life_s})

    async def _act(self, request: Request) -> Response:
        payer, action = request.path_params["payer"], request.path_params["action"]
        if action not in {"confirm", "cancel", "dawdle"} or _PAYER.fullmatch(payer) is None:
            return _bad(404, f"a payer can code, confirm, cancel, dawdle, not {action[:40]!r}")
        try:
            body = msgspec.json.decode(await read_body(request.receive))
        except (msgspec.DecodeError, UnicodeDecodeError):
            return _bad(400, "the body is not JSON")
        if not isinstance(body, dict):
            return _bad(400, "the body is not a JSON object")
        if len([name for name in _HANDLES if isinstance(body.get(name), str)]) != 1:
            return _bad(400, f"name the order by one of {', '.join(_HANDLES)}")
        code = body.get("resp_code")
        if code is not None and (code not in CODES or code in {"00", "A6"}):
            return _bad(400, "resp_code must be a code of a trade that did not succeed")
        try:
            trade = self._look(payer, body)
            if action == "cancel":
                return self._cancel(payer, trade)
            if action == "dawdle":
                return self._dawdle(payer, trade, body)
            await self.pay(trade, payer, code)
        except PaymentRefusedError as refused:
            if action != "confirm" or refused.reason != "expired" or not self._charge_late(payer, body):
                return self._failed(payer, refused.reason)
        return JSONResponse({"result": "success"})

    def _charge_late(self, payer: str, body: Mapping[str, Any]) -> bool:
        gateway = self._gateway
        handle, value = _named(body)
        late = gateway.faults.draw(FaultKind.CHARGED_LATE, gateway.ledger.kind_of(handle, value))
        if late is None:
            return False
        trade = gateway.ledger.charge_late(handle, value, gateway.kernel.unix_us)
        if trade is None:
            return False
        gateway.faults.land(late, order_id=trade.order_id)
        self._trace(payer, trade, "charged-late")
        return True

    def _look(self, payer: str, body: Mapping[str, Any]) -> Trade:
        handle, value = _named(body)
        gateway = self._gateway
        trade = gateway.ledger.payable(handle, value, gateway.kernel.unix_us)
        if trade.payer is not None and trade.payer != payer:
            raise PaymentRefusedError("other-payer")
        if trade.needs_sms:
            for name, reason in (("password", "password"), ("sms_code", "sms-code")):
                if body.get(name) is not True:
                    raise PaymentRefusedError(reason)
        return trade

    def _cancel(self, payer: str, trade: Trade) -> Response:
        # Who closes a page or a QR code can still pay later; who refuses a scanned payment has said no to the cashier.
        if trade.payer is not None:
            self._gateway.ledger.fail(trade, "01")
        self._trace(payer, trade, "cancel")
        return JSONResponse({"result": "cancel"})

    def _dawdle(self, payer: str, trade: Trade, body: Mapping[str, Any]) -> Response:
        delay_us, then = body.get("delay_us", 0), body.get("then", "nothing")
        if not isinstance(delay_us, int) or isinstance(delay_us, bool) or not 0 <= delay_us <= _MAX_DAWDLE_US:
            return _bad(400, f"delay_us must be a whole number from 0 to {_MAX_DAWDLE_US}")
        if then not in {"confirm", "cancel", "nothing"}:
            return _bad(400, "then must be confirm, cancel or nothing")
        self._trace(payer, trade, "dawdle", delay_us=delay_us)
        if then != "nothing":
            coroutine = self._dawdle_on(payer, trade, delay_us, then)
            self._gateway.kernel.spawn(coroutine, f"unionpay-dawdle-{trade.query_id}")
        return JSONResponse({"result": None, "waiting_us": delay_us}, 202)

    async def _dawdle_on(self, payer: str, trade: Trade, delay_us: int, then: str) -> None:
        await asyncio.sleep(delay_us / 1_000_000)
        if then == "cancel":
            self._cancel(payer, trade)
            return
        try:
            await self.pay(trade, payer)
        except PaymentRefusedError as refused:
            self._failed(payer, refused.reason)

    def _failed(self, payer: str, reason: str) -> Response:
        self._gateway.kernel.trace.emit(
            "unionpay.payer", self._gateway.entity, payer=payer, order_id=None, action="failed", reason=reason
        )
        return JSONResponse({"result": "fail", "reason": reason}, 409)

    def _trace(self, payer: str, trade: Trade, action: str, **fields: object) -> None:
        self._gateway.kernel.trace.emit(
            "unionpay.payer",
            self._gateway.entity,
            payer=payer,
            order_id=trade.order_id,
            action=action,
            **fields,
        )


def _named(body: Mapping[str, Any]) -> tuple[str, str]:
    """The one name by which the body knows its order."""
    handle = next(name for name in _HANDLES if isinstance(body.get(name), str))
    value: str = body[handle]
    return ("tn", tn_of_path(value) or "") if handle == "union_path" else (handle, value)


def _bad(status: int, message: str) -> Response:
    return JSONResponse({"code": "BAD_REQUEST", "message": message}, status)
