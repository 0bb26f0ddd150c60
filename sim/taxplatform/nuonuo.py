"""The Nuonuo open platform over the shared book: token, orders, red letters, the issuer's session, pushed results."""

from __future__ import annotations

import asyncio
import hmac
import random
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

import httpx
from starlette.requests import Request
from starlette.responses import Response

from protocols.fapiao import Fields, json_object
from protocols.nuonuo import (
    SERVICES_PATH,
    TOKEN_CALLS,
    TOKEN_LIFE_S,
    TOKEN_PATH,
    TOKEN_WINDOW_S,
    NuonuoCode,
    NuonuoError,
    parse_order,
    parse_red_application,
    sign,
)
from protocols.wechatpay import encode_json
from sim.latency import LatencyProfile
from sim.taxplatform.apps import NuonuoApp, NuonuoSwitches
from sim.taxplatform.asgi import asgi_app, read_body
from sim.taxplatform.book import BookError, BookProblem, InvoiceBook
from sim.taxplatform.bureau import Session
from sim.taxplatform.entries import Draft
from sim.taxplatform.nuonuo_orders import NuonuoOrder, NuonuoOrders, callback_form, form_entry, result_entry
from sim.taxplatform.tokens import TokenDesk

__all__ = ["NuonuoPlatform"]

_NUMBER: Final = re.compile("[0-9]{1,16}")
"""The documents call the nonce eight digits, the vendor's own SDKs draw it from 10,000 to 1,000,000,000: it is only signed."""

_MAX_BODY_BYTES: Final = 256 * 1024
_MAX_QUERY: Final = 50
_AT_ONCE: Final = LatencyProfile.constant(0)
_SWITCHES: Final = NuonuoSwitches()
_BOOK_CODES: Final = {
    BookProblem.EXISTS: NuonuoCode.OTHER,
    BookProblem.NOT_FOUND: NuonuoCode.NOT_FOUND,
    BookProblem.NOT_ISSUED: NuonuoCode.OTHER,
    BookProblem.ALREADY_RED: NuonuoCode.RED_REPEATED,
    BookProblem.FORM_STATE: NuonuoCode.OTHER,
    BookProblem.AMOUNT: NuonuoCode.CONTENT,
}
_COMMITS: Final = frozenset({"requestBillingNew", "reInvoice", "saveInvoiceRedConfirm", "fastInvoiceRed"})

Handler = Callable[[NuonuoApp, dict[str, Any]], tuple[str, object]]
"""(app, body) -> (``describe``, ``result``)."""


class NuonuoPlatform:
    """The services of ``sdk.nuonuo.com`` and ``open.nuonuo.com``.

    Args:
        book: where invoices go.
        apps: who may call, each for its own taxpayer.
        push: sends results to ``callBackUrl``; None pushes nothing.
        call_latency: how long a call takes before it does anything.
        seal_latency: issued to sealed; only then is an order's status 2.
        switches: what no source settles.

    Attributes:
        app: the ASGI application of both hosts; they have different paths.
        orders: all orders, blue and red.

    Raises:
        ValueError: two apps with one key, or an app whose taxpayer the book does not know.
    """

    name: Final = "nuonuo"

    def __init__(
        self,
        book: InvoiceBook,
        apps: Iterable[NuonuoApp],
        *,
        push: httpx.AsyncClient | None = None,
        call_latency: LatencyProfile = _AT_ONCE,
        seal_latency: LatencyProfile = _AT_ONCE,
        switches: NuonuoSwitches = _SWITCHES,
    ) -> None:
        self.book = book
        self._kernel = book.bureau.kernel
        self._push = push
        self._call_latency = call_latency
        self._switches = switches
        self._rng: random.Random = self._kernel.streams.get(self.name, "calls")
        self._forms_rng: random.Random = self._kernel.streams.get(self.name, "forms")
        self._apps: dict[str, NuonuoApp] = {}
        for app in apps:
            if app.app_key in self._apps:
                raise ValueError(f"two applications have the key {app.app_key}")
            if app.taxpayer_id not in book.accounts:
                raise ValueError(f"the book has no taxpayer {app.taxpayer_id}")
            self._apps[app.app_key] = app
        self._tokens = TokenDesk(
            self._kernel, self.name, life_s=TOKEN_LIFE_S, one_each=switches.new_token_ends_old
        )
        self._token_calls: dict[str, deque[int]] = {key: deque() for key in self._apps}
        self.orders = NuonuoOrders(book.bureau, seal_latency, self._ended)
        self.app = asgi_app(self._answer)
        self._handlers: dict[str, Handler] = {
            "requestBillingNew": self._request_billing,
            "queryInvoiceResult": self._query_result,
            "reInvoice": self._retry,
            "deliveryInvoice": self._deliver,
            "saveInvoiceRedConfirm": self._save_red,
            "queryInvoiceRedConfirm": self._query_red,
            "refreshInvoiceRedConfirm": lambda _app, _body: ("下载成功", None),
            "confirm": self._confirm,
            "confirmInfoCancel": self._revoke,
            "fastInvoiceRed": self._fast_red,
            "getCertificationStatus": self._session,
            "getCreditLine": self._credit_line,
        }

    # -- HTTP -------------------------------------------------------------------------------------------------------

    async def _answer(self, request: Request) -> Response:
        path = request.scope["path"]
        if path not in {SERVICES_PATH, TOKEN_PATH}:
            return Response(b"", 404)
        if request.method != "POST":
            return Response(b"", 405)
        body = await read_body(request, _MAX_BODY_BYTES)
        if body is None:
            return Response(b"", 413)
        await asyncio.sleep(self._call_latency.draw(self._rng) / 1_000_000)
        until_us = self.book.bureau.accept_stalled_until_us()
        if until_us is not None:
            await asyncio.sleep((until_us - self._kernel.now_us) / 1_000_000)
        if path == TOKEN_PATH:
            return _json(self._token(body))
        return await self._call(request, body)

    async def _call(self, request: Request, body: bytes) -> Response:
        # A method is nuonuo.OpeMplatform.x or, in the older product, nuonuo.ElectronInvoice.x.
        method = request.headers.get("method", "").rpartition(".")[2]
        try:
            app = self._admit(request, body)
            handler = self._handlers.get(method)
            if handler is None:
                raise NuonuoError(NuonuoCode.METHOD)  # noqa: TRY301 # one place makes replies of refusals
            describe, result = handler(app, _object(body))
        except NuonuoError as error:
            return _json({"code": str(error.code), "describe": error.describe, "result": None})
        except BookError as error:
            return _json({"code": str(_BOOK_CODES[error.problem]), "describe": error.message, "result": None})
        if method in _COMMITS:
            late_us = self.book.bureau.reply_late_us(method)
            if late_us:
                await asyncio.sleep(late_us / 1_000_000)
        return _json({"code": str(NuonuoCode.OK), "describe": describe, "result": result})

    def _admit(self, request: Request, body: bytes) -> NuonuoApp:
        """Check key, signature, time, token and taxpayer, in this order."""
        query, headers = request.query_params, request.headers
        app = self._apps.get(query.get("appkey", ""))
        if app is None:
            raise NuonuoError(NuonuoCode.APP_KEY)
        senid, nonce, timestamp = (query.get(name, "") for name in ("senid", "nonce", "timestamp"))
        signed = sign(
            app.app_secret, app_key=app.app_key, senid=senid, nonce=nonce, timestamp=timestamp, body=body
        )
        given = headers.get("x-nuonuo-sign", "")
        well_formed = len(senid) == 32 and _NUMBER.fullmatch(nonce) and _NUMBER.fullmatch(timestamp)
        if not well_formed or not hmac.compare_digest(signed.encode(), given.encode("latin-1", "replace")):
            raise NuonuoError(NuonuoCode.SIGNATURE)
        window_s = self._switches.timestamp_window_s
        if window_s is not None and abs(int(timestamp[:12]) - self._kernel.unix_us // 1_000_000) > window_s:
            raise NuonuoError(NuonuoCode.SIGNATURE, "timestamp已失效")
        owner, has_ended = self._tokens.owner(headers.get("accesstoken", ""))
        if owner != app.app_key or has_ended:
            raise NuonuoError(NuonuoCode.TOKEN)
        if headers.get("usertax", "") not in {"", app.taxpayer_id}:
            raise NuonuoError(NuonuoCode.OTHER, "userTax与应用授权的税号不一致")
        return app

    def _token(self, body: bytes) -> dict[str, object]:
        """The token endpoint: form fields in, JSON out, refusals as 200 without a token."""
        fields = dict(parse_qsl(body.decode("latin-1"), max_num_fields=20))
        app = self._apps.get(fields.get("client_id", ""))
        secret = fields.get("client_secret", "").encode()
        if (
            app is None
            or not hmac.compare_digest(app.app_secret.encode(), secret)
            or fields.get("grant_type") != "client_credentials"
        ):
            return _token_refusal(NuonuoCode.CREDENTIALS)
        calls, now_us = self._token_calls[app.app_key], self._kernel.now_us
        while calls and calls[0] <= now_us - TOKEN_WINDOW_S * 1_000_000:
            calls.popleft()
        if len(calls) >= TOKEN_CALLS:
            return _token_refusal(NuonuoCode.TOKEN_CALLS)
        calls.append(now_us)
        return {"access_token": self._tokens.make(app.app_key), "expires_in": TOKEN_LIFE_S}

    # -- invoices ---------------------------------------------------------------------------------------------------

    def _request_billing(self, app: NuonuoApp, body: dict[str, Any]) -> tuple[str, object]:
        order = parse_order(body, self.book.bureau.litres_per_ton)
        if order.seller_tax_id != app.taxpayer_id:
            raise NuonuoError(NuonuoCode.CONTENT, "salerTaxNum与授权税号不一致")
        draft = Draft(
            platform=self.name,
            taxpayer_id=app.taxpayer_id,
            serial=order.order_no,
            kind=order.kind,
            buyer_name=order.buyer_name,
            buyer_tax_id=order.buyer_tax_id,
            lines=order.lines,
            callback_url=order.callback_url,
            clerk=order.clerk,
            remark=order.remark,
        )
        try:
            invoice = self.book.submit(draft, self.orders.end)
        except BookError:
            raise NuonuoError(NuonuoCode.ORDER_EXISTS) from None
        return "开票提交成功", {"invoiceSerialNum": self.orders.add(invoice).serial_num}

    def _query_result(self, app: NuonuoApp, body: dict[str, Any]) -> tuple[str, object]:
        fields = Fields(body, _refuse)
        with_lines = fields.text("isOfferInvoiceDetail", high=1) == "1"
        serials, order_nos = fields.texts("serialNos", _MAX_QUERY), fields.texts("orderNos", _MAX_QUERY)
        if not serials and not order_nos:
            raise NuonuoError(NuonuoCode.CONTENT, "serialNos和orderNos不能同时为空")
        found = [
            order
            for order in self.orders.of(app.taxpayer_id)
            if (order.serial_num in serials if serials else order.invoice.draft.serial in order_nos)
        ]
        if not found:
            raise NuonuoError(NuonuoCode.NOT_FOUND)
        seller = self.book.accounts[app.taxpayer_id].name
        fuel = self.book.bureau.litres_per_ton
        return "查询成功", [result_entry(order, seller, fuel, with_lines=with_lines) for order in found]

    def _retry(self, app: NuonuoApp, body: dict[str, Any]) -> tuple[str, object]:
        self.orders.retry(self._order(app, body, "fpqqlsh", "orderno"), self.book)
        return "提交成功", None

    def _deliver(self, app: NuonuoApp, body: dict[str, Any]) -> tuple[str, object]:
        """Send an issued invoice again; it issues nothing."""
        invoice = self.book.issued(app.taxpayer_id, Fields(body, _refuse).text("invoiceNum", required=True))
        self.book.bureau.emit("fapiao.delivered", serial=invoice.draft.serial)
        return "交付成功", None

    def _order(self, app: NuonuoApp, body: dict[str, Any], serial: str, order_no: str) -> NuonuoOrder:
        fields = Fields(body, _refuse)
        wanted = fields.text(serial, high=32), fields.text(order_no, high=64)
        for order in self.orders.of(app.taxpayer_id):
            if order.serial_num == wanted[0] or (not wanted[0] and order.invoice.draft.serial == wanted[1]):
                return order
        raise NuonuoError(NuonuoCode.NOT_FOUND)

    # -- red letters ------------------------------------------------------------------------------------------------

    def _save_red(self, app: NuonuoApp, body: dict[str, Any]) -> tuple[str, object]:
        wanted = parse_red_application(body)
        seller = Fields(body, _refuse).text("sellerTaxNo", required=True)
        blue = self.book.issued(seller, wanted.blue_number)
        if app.taxpayer_id != (seller if wanted.by_seller else blue.draft.buyer_tax_id):
            raise NuonuoError(NuonuoCode.CONTENT, "申请方与授权税号不一致")
        serial = wanted.bill_id or f"{self._forms_rng.getrandbits(60):019d}"
        self.book.apply_red(
            blue,
            platform=self.name,
            serial=serial,
            by_seller=wanted.by_seller,
            reason=wanted.reason,
            parts=wanted.parts,
            red_serial=wanted.order_no,
            callback_url=wanted.callback_url,
            ended=self.orders.end,
        )
        return "提交成功", serial

    def _query_red(self, app: NuonuoApp, body: dict[str, Any]) -> tuple[str, object]:
        fields = Fields(body, _refuse)
        as_seller = fields.one_of("identity", ("0", "1")) == "0"
        wanted = {name: fields.text(name, high=32) for name in ("billId", "billNo", "billUuid", "billStatus")}
        size = min(max(fields.number("pageSize", 0) or 10, 1), _MAX_QUERY)
        start = (max(fields.number("pageNo", 0) or 1, 1) - 1) * size
        entries = []
        for form in self.book.forms_of(app.taxpayer_id, as_seller=as_seller):
            red = None if form.red is None else self.orders.of_invoice(form.red)
            entry = form_entry(form, self.book.accounts[form.side(True)].name, red)
            if all(not value or entry[name] == value for name, value in wanted.items()):
                entries.append(entry)
        return "查询成功", {"total": len(entries), "list": entries[start : start + size]}

    def _confirm(self, app: NuonuoApp, body: dict[str, Any]) -> tuple[str, object]:
        fields = Fields(body, _refuse)
        by_seller = fields.one_of("identity", ("0", "1")) == "0"
        agrees = fields.one_of("confirmAgreement", ("0", "1")) == "1"
        form = self.book.form(app.taxpayer_id, as_seller=by_seller, **_form_key(fields))
        (self.book.confirm if agrees else self.book.deny)(form, by_seller=by_seller)
        return "提交成功", form.serial

    def _revoke(self, app: NuonuoApp, body: dict[str, Any]) -> tuple[str, object]:
        fields = Fields(body, _refuse)
        by_seller = fields.one_of("identity", ("0", "1")) == "0"
        form = self.book.form(app.taxpayer_id, as_seller=by_seller, **_form_key(fields))
        self.book.revoke(form, by_seller=by_seller)
        return "提交成功", form.serial

    def _fast_red(self, app: NuonuoApp, body: dict[str, Any]) -> tuple[str, object]:
        """Issue on a form that allows it, or name the red letter that was issued by itself: asked again, the same one."""
        form = self.book.form(app.taxpayer_id, as_seller=True, **_form_key(Fields(body, _refuse)))
        order = self.orders.add(self.book.issue_red(form))
        return "开票提交成功", {"invoiceSerialNum": order.serial_num}

    # -- the issuer -------------------------------------------------------------------------------------------------

    def _session(self, _app: NuonuoApp, body: dict[str, Any]) -> tuple[str, object]:
        """QueryType 2: logged in at the bureau (1) or not (0); 0 and 1: identity confirmed (1) or to be (2)."""
        session = self.book.bureau.session()
        if Fields(body, _refuse).one_of("queryType", ("0", "1", "2")) == "2":
            return "查询成功", {"certificationStatus": "0" if session is Session.LOGIN else "1"}
        return "查询成功", {"certificationStatus": "2" if session is Session.FACE else "1"}

    def _credit_line(self, app: NuonuoApp, _body: dict[str, Any]) -> tuple[str, object]:
        fen = self.book.accounts[app.taxpayer_id].credit_fen
        return "查询成功", {"availableCreditLine": None if fen is None else f"{fen // 100}.{fen % 100:02d}"}

    # -- pushed results ---------------------------------------------------------------------------------------------

    def _ended(self, order: NuonuoOrder) -> None:
        url = order.invoice.draft.callback_url
        if self._push is not None and url:
            self._kernel.spawn(self._tell(order, url), f"nuonuo push {order.serial_num}")

    async def _tell(self, order: NuonuoOrder, url: str) -> None:
        """Push until it is taken (``{"status": "0000"}``) or the attempts are used up; the merchant must query then."""
        assert self._push is not None  # noqa: S101 # _ended looked
        content = callback_form(order)
        for wait_us in (0, *self._switches.callback_waits_us):
            await asyncio.sleep(wait_us / 1_000_000)
            try:
                reply = await self._push.post(url, data=content)
                taken = reply.is_success and json_object(reply.content).get("status") == "0000"
            except (httpx.HTTPError, httpx.InvalidURL, ValueError):
                taken = False
            self.book.bureau.emit("fapiao.pushed", serial=order.invoice.draft.serial, taken=taken)
            if taken:
                return


def _refuse(name: str, problem: str) -> NuonuoError:
    return NuonuoError(NuonuoCode.CONTENT, f"{name}{problem}")


def _object(body: bytes) -> dict[str, Any]:
    try:
        return json_object(body)
    except ValueError:
        raise NuonuoError(NuonuoCode.CONTENT, "请求报文不是合法的JSON") from None


def _form_key(fields: Fields) -> dict[str, str]:
    """The three names of a form; at least one must be there."""
    names = {"uuid": "billUuid", "serial": "billId", "number": "billNo"}
    key = {name: fields.text(field, high=32) for name, field in names.items()}
    if not any(key.values()):
        raise NuonuoError(NuonuoCode.CONTENT, "billUuid、billId、billNo不能同时为空")
    return key


def _token_refusal(code: NuonuoCode) -> dict[str, object]:
    error = NuonuoError(code)
    return {"error": str(code), "error_description": error.describe}


def _json(value: Mapping[str, object]) -> Response:
    return Response(encode_json(value), 200, {"Content-Type": "application/json;charset=UTF-8"})
