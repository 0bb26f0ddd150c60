"""The payer's phone: it confirms, cancels or dawdles over the password box, and shows its pay code at the pump."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from protocols.wechatpay import encode_json
from sim.wechatpay.codepay import AuthCode, PhonePlan
from sim.wechatpay.contracts import ContractError
from sim.wechatpay.faults import CONFIRM, FaultKind
from sim.wechatpay.ledger import PaymentRefusedError
from sim.wechatpay.material import MerchantAccount
from sim.wechatpay.payable import Payable, find_payable

if TYPE_CHECKING:
    from sim.wechatpay.gateway import WeChatPayGateway

__all__ = ["PayerDesk"]

_OK = "requestPayment:ok"
_CANCEL = "requestPayment:fail cancel"
_MAX_DAWDLE_US = 86_400 * 1_000_000
_MAX_FEN = 10_000_000_000
_ACTIONS = ("confirm", "cancel", "dawdle")
_CONTRACT_CODE = re.compile(r"[0-9A-Za-z_-]{1,32}")
_SERVICES = ("NORMAL", "PAUSE", "OUT_SERVICE")
_THEN = ("confirm", "cancel", "nothing")


class _BadRequestError(Exception):
    """What the caller of the phone got wrong, for the answer."""


class PayerDesk:
    """All payers of one gateway.

    ``app`` takes ``POST /payers/{openid}/confirm|cancel|dawdle`` with one of ``{"prepay_id": …}`` (the mini-program's
    payment call), ``{"code_url": …}`` (a code that was scanned) and ``{"auth_code": …}`` (the password box that a charge
    of this phone's code has opened). With a ``prepay_id`` there may be ``"pay_sign"``: the six fields the mini-program
    hands to ``wx.requestPayment``; they are checked with the merchant's certificate as the real phone does. The answer is
    what the phone's callback shows, ``{"err_msg": "requestPayment:ok"}``, 409 with ``requestPayment:fail (…)`` and a
    ``reason``, or 202 for ``dawdle``, which goes on by itself: ``{"delay_us": …, "then": "confirm"|"cancel"|"nothing"}``.
    An ok on the phone proves nothing to the merchant. Cancelling a pay code shuts its password box, so the charge has
    failed; cancelling the others leaves the order as it was.

    ``POST /payers/{openid}/code`` shows a pay code: ``{"auth_code": …, "life_us": …}``. It may say beforehand what the
    payer does if a password is wanted, ``{"then": …, "delay_us": …}``, and that one is wanted in any case,
    ``{"password": true}``.

    ``POST /payers/{openid}/contracts`` with ``{"plan_id": …, "out_contract_code": …, "limit_fen": …}``, optionally
    ``"day_limit_fen"`` and ``"mchid"``, signs a contract and answers with it; ``DELETE …/contracts/{contract_id}`` ends it.

    ``POST /payers/{openid}/plates`` with ``{"plate_number": …, "plate_color": …, "limit_fen": …}``, optionally ``"advance"``
    (the platform pays what the owner's money does not cover), ``"service"`` (NORMAL, PAUSE, OUT_SERVICE) and ``"mchid"``,
    opens payment by plate or changes it; ``POST …/repay`` with ``{"out_trade_no": …}`` pays an advance back.

    ``POST /payers/{openid}/balance`` with ``{"balance_fen": …}`` says what a payer has; null: enough, as at first.
    """

    def __init__(self, gateway: WeChatPayGateway) -> None:
        self._gateway = gateway
        self._others = {
            "code": self._code,
            "balance": self._balance,
            "contracts": self._sign,
            "plates": self._plate,
            "repay": self._repay,
        }
        self.app = Starlette(
            routes=[
                Route("/payers/{openid}/{action}", self._act, methods=["POST"]),
                Route("/payers/{openid}/contracts/{contract_id}", self._end, methods=["DELETE"]),
            ]
        )

    async def _act(self, request: Request) -> Response:
        openid, action = request.path_params["openid"], request.path_params["action"]
        if action not in _ACTIONS:
            other = self._others.get(action)
            if other is None:
                return _bad(404, f"a payer can {', '.join((*_ACTIONS, *self._others))}, not {action[:40]!r}")
            return await other(request)
        try:
            body = await _body(request)
            payable = find_payable(self._gateway, openid, body)
            if payable is None:
                return _bad(400, "prepay_id, code_url or auth_code is missing")
            plan = _plan(body) if action == "dawdle" else PhonePlan()
        except _BadRequestError as error:
            return _bad(400, str(error))
        try:
            payable.look(self._gateway.kernel.unix_us, body.get("pay_sign"))
        except PaymentRefusedError as refused:
            return self._failed(openid, refused.reason)
        if action == "cancel":
            return self._cancel(openid, payable)
        if action == "dawdle":
            return self._dawdle(openid, payable, plan)
        return await self._confirm(openid, payable)

    def _cancel(self, openid: str, payable: Payable) -> Response:
        try:
            payable.cancel(self._gateway.kernel.unix_us)
        except PaymentRefusedError as refused:
            return self._failed(openid, refused.reason)
        self._trace(openid, payable.subject, "cancel")
        return _answer({"err_msg": _CANCEL})

    async def _confirm(self, openid: str, payable: Payable) -> Response:
        gateway = self._gateway
        await gateway.pass_time(gateway.profile.confirm, CONFIRM)
        try:
            payable.pay(gateway.kernel.unix_us)
        except PaymentRefusedError as refused:
            return self._failed(openid, refused.reason)
        self._trace(openid, payable.subject, "confirm")
        if payable.is_announced:
            early = gateway.faults.draw(FaultKind.CALLBACK_BEFORE_REPLY, place=CONFIRM)
            if early is None:
                payable.announce(at_once=False)
            else:
                gateway.faults.land(early, endpoint=CONFIRM)
                await payable.announce(at_once=True).wait()
        return _answer({"err_msg": _OK})

    def _dawdle(self, openid: str, payable: Payable, plan: PhonePlan) -> Response:
        self._trace(openid, payable.subject, "dawdle", delay_us=plan.delay_us)
        self._go_on(openid, payable, plan)
        return _answer({"err_msg": None, "waiting_us": plan.delay_us}, 202)

    def _go_on(self, openid: str, payable: Payable, plan: PhonePlan) -> None:
        if plan.then != "nothing":
            self._gateway.kernel.spawn(self._later(openid, payable, plan), f"dawdle-{payable.handle}")

    async def _later(self, openid: str, payable: Payable, plan: PhonePlan) -> None:
        await asyncio.sleep(plan.delay_us / 1_000_000)
        if plan.then == "cancel":
            self._cancel(openid, payable)
        else:
            await self._confirm(openid, payable)

    def open_box(self, code: AuthCode) -> None:
        """A charge has opened the password box on a phone: the payer does what was said when the code was shown."""
        payable = find_payable(self._gateway, code.openid, {"auth_code": code.code})
        assert payable is not None  # noqa: S101 - the body has a code
        self._trace(code.openid, payable.subject, "asked")
        self._go_on(code.openid, payable, code.plan)

    async def _code(self, request: Request) -> Response:
        openid = request.path_params["openid"]
        try:
            body = await _body(request)
            plan = _plan(body)
        except _BadRequestError as error:
            return _bad(400, str(error))
        gateway = self._gateway
        code = gateway.codepay.show(openid, gateway.kernel.unix_us, plan)
        self._trace(openid, None, "code")
        return _answer({"auth_code": code.code, "life_us": gateway.switches.auth_code_life_s * 1_000_000})

    async def _balance(self, request: Request) -> Response:
        try:
            fen = (await _body(request)).get("balance_fen")
        except _BadRequestError as error:
            return _bad(400, str(error))
        if fen is not None and (type(fen) is not int or not 0 <= fen <= _MAX_FEN):
            return _bad(400, f"balance_fen must be null or a whole number from 0 to {_MAX_FEN}")
        self._gateway.wallets.limit(request.path_params["openid"], fen)
        return Response(status_code=204)

    async def _sign(self, request: Request) -> Response:
        gateway = self._gateway
        try:
            body = await _body(request)
            account = self._account(body)
            code = body.get("out_contract_code")
            if not isinstance(code, str) or _CONTRACT_CODE.fullmatch(code) is None:
                raise _BadRequestError("out_contract_code must be 1 to 32 letters, digits, _ or -")  # noqa: TRY301
            contract = gateway.contracts.sign(
                account,
                request.path_params["openid"],
                plan_id=_whole(body, "plan_id", 1, 10**15),
                out_contract_code=code,
                limit_fen=_whole(body, "limit_fen", 1, _MAX_FEN),
                day_limit_fen=_whole(body, "day_limit_fen", 1, _MAX_FEN) if "day_limit_fen" in body else None,
                unix_us=gateway.kernel.unix_us,
            )
        except (_BadRequestError, ContractError) as error:
            return _bad(400, str(error))
        self._trace(contract.openid, None, "sign")
        return _answer(contract.shown(), 201)

    def _account(self, body: Mapping[str, Any]) -> MerchantAccount:
        accounts = self._gateway.accounts
        account = accounts.get(str(body.get("mchid", next(iter(accounts)))))
        if account is None:
            raise _BadRequestError("mchid is no merchant of this gateway")
        return account

    async def _plate(self, request: Request) -> Response:
        gateway, openid = self._gateway, request.path_params["openid"]
        try:
            body = await _body(request)
            number, color = body.get("plate_number"), body.get("plate_color")
            advance, service = body.get("advance", False), body.get("service", "NORMAL")
            if not (
                isinstance(number, str) and isinstance(color, str) and 0 < len(number) + len(color) <= 64
            ):
                raise _BadRequestError("plate_number and plate_color must be texts")  # noqa: TRY301
            if type(advance) is not bool or service not in _SERVICES:
                words = ", ".join(_SERVICES)
                raise _BadRequestError(f"advance must be true or false, service one of {words}")  # noqa: TRY301
            plate = gateway.plates.open(
                self._account(body),
                openid,
                number,
                color,
                limit_fen=_whole(body, "limit_fen", 1, _MAX_FEN),
                advances=advance,
                service=service,
                unix_us=gateway.kernel.unix_us,
            )
        except _BadRequestError as error:
            return _bad(400, str(error))
        self._trace(openid, None, "plate")  # never the plate itself
        return _answer(gateway.plates.find(openid, plate.number, plate.color), 201)

    async def _repay(self, request: Request) -> Response:
        openid = request.path_params["openid"]
        try:
            number = str((await _body(request)).get("out_trade_no", ""))
            order = self._gateway.plates.repay(openid, number)
        except _BadRequestError as error:
            return _bad(400, str(error))
        except PaymentRefusedError as refused:
            return self._failed(openid, refused.reason)
        self._trace(openid, order.out_trade_no, "repay")
        self._gateway.announce_repaid(order)
        return Response(status_code=204)

    async def _end(self, request: Request) -> Response:
        gateway, names = self._gateway, request.path_params
        contract = gateway.contracts.find_own(names["openid"], names["contract_id"])
        if contract is None:
            return _bad(404, "this payer has no such contract")
        gateway.contracts.terminate(contract, "USER_TERMINATE", "用户解约", gateway.kernel.unix_us)
        self._trace(contract.openid, None, "end-contract")
        return Response(status_code=204)

    def _failed(self, openid: str, reason: str) -> Response:
        self._trace(openid, None, "failed", reason=reason)
        return _answer({"err_msg": f"requestPayment:fail ({reason})", "reason": reason}, 409)

    def _trace(self, openid: str, out_trade_no: str | None, action: str, **fields: object) -> None:
        self._gateway.kernel.trace.emit(
            "wechatpay.payer",
            self._gateway.entity,
            openid=openid,
            out_trade_no=out_trade_no,
            action=action,
            **fields,
        )


async def _body(request: Request) -> Mapping[str, Any]:
    raw = await request.body()
    try:
        body = msgspec.json.decode(raw or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _BadRequestError("the body is not JSON") from None
    if not isinstance(body, dict):
        raise _BadRequestError("the body is not a JSON object")
    return body


def _whole(body: Mapping[str, Any], name: str, low: int, high: int) -> int:
    value = body.get(name)
    if type(value) is not int or not low <= value <= high:
        raise _BadRequestError(f"{name} must be a whole number from {low} to {high}")
    return value


def _plan(body: Mapping[str, Any]) -> PhonePlan:
    asks, then, delay_us = (
        body.get("password", False),
        body.get("then", "nothing"),
        body.get("delay_us", 0),
    )
    if type(delay_us) is not int or not 0 <= delay_us <= _MAX_DAWDLE_US:
        raise _BadRequestError(f"delay_us must be a whole number from 0 to {_MAX_DAWDLE_US}")
    if then not in _THEN:
        raise _BadRequestError("then must be confirm, cancel or nothing")
    if type(asks) is not bool:
        raise _BadRequestError("password must be true or false")
    return PhonePlan(asks, then, delay_us)


def _answer(data: dict[str, object], status: int = 200) -> Response:
    return Response(encode_json(data), status, media_type="application/json")


def _bad(status: int, message: str) -> Response:
    return JSONResponse({"code": "BAD_REQUEST", "message": message}, status)
