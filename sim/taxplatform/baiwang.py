"""The Baiwang cloud over the shared book: token, issue, query, documents, red forms.

Nothing here was checked against the vendor; where sources conflict or are silent, `BaiwangSwitches` decides.
"""

from __future__ import annotations

import asyncio
import hmac
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from protocols.baiwang import (
    REFRESH_LIFE_S,
    ROUTER_PATH,
    TOKEN_LIFE_S,
    TOKEN_METHOD,
    BaiwangError,
    digest_password,
    parse_issue,
    parse_red_add,
    sign,
)
from protocols.fapiao import FapiaoState, Fields, json_object
from protocols.wechatpay import encode_json
from sim.latency import LatencyProfile
from sim.taxplatform.apps import BaiwangApp, BaiwangSwitches
from sim.taxplatform.asgi import asgi_app, read_body
from sim.taxplatform.baiwang_replies import document_reply, failed_entry, form_reply, issued_entry
from sim.taxplatform.book import BookError, BookProblem, InvoiceBook
from sim.taxplatform.entries import Draft, Invoice, RedForm
from sim.taxplatform.tokens import TokenDesk

__all__ = ["BaiwangPlatform"]

_MAX_BODY_BYTES: Final = 256 * 1024
_MAX_PAGE: Final = 50
_AT_ONCE: Final = LatencyProfile.constant(0)
_SWITCHES: Final = BaiwangSwitches()
_BOOK_KINDS: Final = {
    BookProblem.EXISTS: "duplicate",
    BookProblem.NOT_FOUND: "not_found",
    BookProblem.NOT_ISSUED: "red_state",
    BookProblem.ALREADY_RED: "red_state",
    BookProblem.FORM_STATE: "red_state",
    BookProblem.AMOUNT: "content",
}
_V7: Final = {"signType": "MD5", "encryptType": "NONE", "encryptScope": "00"}
_COMMITS: Final = frozenset({"invoice.issue", "redinvoice.add", "redinvoice.operate", "redinvoice.issued"})

Handler = Callable[[BaiwangApp, dict[str, Any]], Awaitable[object]]
"""(app, body) -> ``response``."""


class BaiwangPlatform:
    """The router of ``openapi.baiwang.com``.

    Args:
        book: where invoices go.
        apps: who may call, each for its own taxpayer.
        call_latency: how long a call takes before it does anything.
        switches: what the sources disagree about or do not say.

    Attributes:
        app: the ASGI application.

    Raises:
        ValueError: two apps with one key, or an app whose taxpayer the book does not know.
    """

    name: Final = "baiwang"

    def __init__(
        self,
        book: InvoiceBook,
        apps: Iterable[BaiwangApp],
        *,
        call_latency: LatencyProfile = _AT_ONCE,
        switches: BaiwangSwitches = _SWITCHES,
    ) -> None:
        self.book = book
        self._kernel = book.bureau.kernel
        self._call_latency = call_latency
        self._switches = switches
        self._rng: random.Random = self._kernel.streams.get(self.name, "calls")
        self._refresh_rng: random.Random = self._kernel.streams.get(self.name, "refresh")
        self._apps: dict[str, BaiwangApp] = {}
        for app in apps:
            if app.app_key in self._apps:
                raise ValueError(f"two applications have the key {app.app_key}")
            if app.taxpayer_id not in book.accounts:
                raise ValueError(f"the book has no taxpayer {app.taxpayer_id}")
            self._apps[app.app_key] = app
        self._tokens = TokenDesk(
            self._kernel, self.name, life_s=TOKEN_LIFE_S, one_each=switches.new_token_ends_old
        )
        self._waiting: dict[tuple[str, str, str], list[asyncio.Future[None]]] = {}
        self.app = asgi_app(self._answer)
        self._handlers: dict[str, Handler] = {
            "invoice.issue": self._issue,
            "invoice.query": self._query,
            "invoice.queryeinvoice": self._query,
            "invoice.cancel": self._cancel,
            "format.create": self._documents,
            "format.query": self._documents,
            "redinvoice.add": self._red_add,
            "redinvoice.operate": self._red_operate,
            "redinvoice.formlist": self._red_list,
            "redinvoice.redforminfo": self._red_info,
            "redinvoice.issued": self._red_issue,
        }

    # -- HTTP -------------------------------------------------------------------------------------------------------

    async def _answer(self, request: Request) -> Response:
        if request.scope["path"] != ROUTER_PATH:
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
        query = dict(request.query_params)
        method = query.get("method", "").removeprefix("baiwang.output.")
        reply: dict[str, object] = {
            "method": query.get("method", ""),
            "requestId": query.get("requestId", ""),
        }
        try:
            if query.get("method") == TOKEN_METHOD:
                response: object = self._token(query, _object(body))
            else:
                app = self._admit(query, body)
                handler = self._handlers.get(method)
                if handler is None or query.get("version") not in {"6.0", "7.0"}:
                    raise BaiwangError("method", "接口或版本不存在")  # noqa: TRY301 # one place makes replies of refusals
                response = await handler(app, _for_taxpayer(app, _object(body)))
            reply |= {"success": True, "response": response}
            if method in _COMMITS:
                late_us = self.book.bureau.reply_late_us(method)
                await asyncio.sleep(late_us / 1_000_000)
        except BaiwangError as error:
            reply |= self._refusal(error.kind, error.message)
        except BookError as error:
            reply |= self._refusal(_BOOK_KINDS[error.problem], error.message)
        return Response(encode_json(reply), 200, {"Content-Type": "application/json;charset=UTF-8"})

    def _refusal(self, kind: str, message: str) -> dict[str, object]:
        code: str = getattr(self._switches.codes, kind)
        error = {"code": code, "message": message, "subCode": code, "subMessage": message}
        return {"success": False, "errorResponse": error}

    def _admit(self, query: Mapping[str, str], body: bytes) -> BaiwangApp:
        """Check the token, then the signature over everything in the query and the raw body."""
        app = self._apps.get(query.get("appKey", ""))
        owner, has_ended = self._tokens.owner(query.get("token", ""))
        if app is None or owner != app.app_key:
            raise BaiwangError("token", "token无效")
        if has_ended:
            raise BaiwangError("token_expired", "token已过期")
        given = query.get("sign", "").encode()
        if not hmac.compare_digest(sign(app.app_secret, query, body).encode(), given):
            raise BaiwangError("signature", "签名错误")
        for name in ("timestamp", "format", "type", *(_V7 if query.get("version") == "7.0" else ())):
            if not query.get(name) or query[name] != _V7.get(name, query[name]):
                raise BaiwangError("missing", f"公共参数{name}不正确")
        return app

    def _token(self, query: Mapping[str, str], body: dict[str, Any]) -> dict[str, object]:
        app = self._apps.get(query.get("client_id", ""))
        given = str(body.get("password", "")).encode()
        fine = (
            app is not None
            and query.get("grant_type") == "password"
            and body.get("username") == app.username
            and hmac.compare_digest(str(body.get("client_secret", "")).encode(), app.app_secret.encode())
            and any(
                hmac.compare_digest(digest_password(app.password, app.salt, form).encode(), given)
                for form in self._switches.passwords
            )
        )
        if app is None or not fine:
            raise BaiwangError("credentials", "用户名、密码或client_secret不正确")
        return {
            "access_token": self._tokens.make(app.app_key),
            "expires_in": TOKEN_LIFE_S,
            "refresh_token": f"{self._refresh_rng.getrandbits(128):032x}",
            "refresh_expires_in": REFRESH_LIFE_S,
        }

    # -- invoices ---------------------------------------------------------------------------------------------------

    async def _issue(self, app: BaiwangApp, body: dict[str, Any]) -> object:
        order = parse_issue(
            body, fuel_codes=self.book.bureau.litres_per_ton, oil_marks=self._switches.oil_marks
        )
        draft = Draft(
            platform=self.name,
            taxpayer_id=app.taxpayer_id,
            serial=order.serial_no,
            kind=order.type_code,
            buyer_name=order.buyer_name,
            buyer_tax_id=order.buyer_tax_id,
            lines=order.lines,
            remark=order.remark,
        )
        invoice = self.book.invoices.get(draft.key)
        if invoice is None:
            invoice = self.book.submit(draft, self._ended)
        elif invoice.draft != draft:
            raise BaiwangError("duplicate", "开票流水号已存在，且请求参数不一致")
        elif invoice.state is FapiaoState.ISSUE_FAILED:
            self.book.retry(invoice)
        elif self._switches.duplicate == "error":
            raise BaiwangError("duplicate", "开票流水号已存在，请查询开票结果")
        if invoice.ended_us is None and not await self._wait(invoice):
            raise BaiwangError("pending", "开票中，请稍后查询开票结果")
        if invoice.state is FapiaoState.ISSUE_FAILED:
            return {"success": [], "fail": [failed_entry(invoice)]}
        return {"success": [issued_entry(invoice)], "fail": []}

    async def _wait(self, invoice: Invoice) -> bool:
        """Whether it ended before the platform's patience did."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(invoice.draft.key, []).append(future)
        done, _ = await asyncio.wait({future}, timeout=self._switches.sync_wait_us / 1_000_000)
        return bool(done)

    def _ended(self, invoice: Invoice) -> None:
        for future in self._waiting.pop(invoice.draft.key, ()):
            if not future.done():
                future.set_result(None)

    async def _query(self, app: BaiwangApp, body: dict[str, Any]) -> object:
        invoice = self._find(app, body)
        if invoice.state is FapiaoState.ISSUE_FAILED:
            raise BaiwangError("failed", invoice.reason)
        if not invoice.number:
            raise BaiwangError("pending", "开票中，请稍后查询开票结果")
        return [issued_entry(invoice)]

    async def _documents(self, app: BaiwangApp, body: dict[str, Any]) -> object:
        invoice = self._find(app, body)
        if not invoice.number:
            raise BaiwangError("pending", "发票未开具，没有版式文件")
        return document_reply(invoice)

    async def _cancel(self, app: BaiwangApp, body: dict[str, Any]) -> object:
        self._find(app, body)
        raise BaiwangError("content", "数电发票不能作废，请冲红")

    def _find(self, app: BaiwangApp, body: dict[str, Any]) -> Invoice:
        """By serial or by number, flat or wrapped in ``data``."""
        inner = body.get("data")
        fields = Fields(inner if isinstance(inner, dict) else body, _refuse)
        serial, number = fields.text("serialNo", high=50), fields.text("invoiceNo", high=20)
        if not serial and not number:
            raise fields.refusal("serialNo", "不能为空")
        invoice = (
            self.book.find(self.name, app.taxpayer_id, serial) if serial else self.book.numbers.get(number)
        )
        if invoice is None or invoice.draft.taxpayer_id != app.taxpayer_id:
            raise BaiwangError("not_found", "未查询到发票")
        return invoice

    # -- red letters ------------------------------------------------------------------------------------------------

    async def _red_add(self, app: BaiwangApp, body: dict[str, Any]) -> object:
        wanted = parse_red_add(body)
        seller = Fields(body, _refuse).text("sellerTaxNo", required=True, high=20)
        blue = self.book.issued(seller, wanted.blue_number)
        if app.taxpayer_id != (seller if wanted.by_seller else blue.draft.buyer_tax_id):
            raise BaiwangError("content", "录入方身份与税号不一致")
        net, tax = (
            (sum(part[1] for part in wanted.parts.values()), sum(part[2] for part in wanted.parts.values()))
            if wanted.parts
            else (-blue.draft.net_fen, -blue.draft.tax_fen)
        )
        if (wanted.net_fen, wanted.tax_fen) != (net, tax):
            raise BaiwangError("content", "红字合计金额与明细不一致")
        form = self.book.apply_red(
            blue,
            platform=self.name,
            serial=wanted.serial_no,
            by_seller=wanted.by_seller,
            reason=wanted.reason,
            parts={} if _is_all(blue, wanted.parts) else wanted.parts,
            auto_issue=wanted.auto_issue,
        )
        return [form_reply(form)]

    async def _red_operate(self, app: BaiwangApp, body: dict[str, Any]) -> object:
        """01 confirm, 02 deny, 03 revoke."""
        kind = Fields(body, _refuse).one_of("confirmType", ("01", "02", "03"))
        form, is_seller = self._form(app, body)
        if kind == "03":
            self.book.revoke(form, by_seller=is_seller)
        else:
            (self.book.confirm if kind == "01" else self.book.deny)(form, by_seller=is_seller)
        return [form_reply(form)]

    async def _red_list(self, app: BaiwangApp, body: dict[str, Any]) -> object:
        fields = Fields(body, _refuse)
        as_seller = fields.one_of("buySelSelector", ("0", "1"), default="0") == "0"
        state = fields.text("confirmState", high=2)
        size = min(max(fields.number("pageSize", 0) or _MAX_PAGE, 1), _MAX_PAGE)
        start = (max(fields.number("pageNo", 0) or 1, 1) - 1) * size
        forms = [
            form_reply(form)
            for form in self.book.forms_of(app.taxpayer_id, as_seller=as_seller)
            if not state or form.state == state
        ]
        return {"total": len(forms), "list": forms[start : start + size]}

    async def _red_info(self, app: BaiwangApp, body: dict[str, Any]) -> object:
        return form_reply(self._form(app, body)[0], with_lines=True)

    async def _red_issue(self, app: BaiwangApp, body: dict[str, Any]) -> object:
        """Issue on a form that was entered with ``autoIssueSwitch`` N; asked again, the same red letter."""
        form, is_seller = self._form(app, body)
        if not is_seller:
            raise BaiwangError("content", "只能由销方开具红票")
        self.book.issue_red(form)
        return form_reply(form)

    def _form(self, app: BaiwangApp, body: dict[str, Any]) -> tuple[RedForm, bool]:
        fields = Fields(body, _refuse)
        key = {
            "uuid": fields.text("redConfirmUuid", high=60),
            "number": fields.text("redConfirmNo", high=32),
            "serial": fields.text("redConfirmSerialNo", high=50),
        }
        if not any(key.values()):
            raise fields.refusal("redConfirmUuid", "不能为空")
        try:
            return self.book.form(app.taxpayer_id, as_seller=True, **key), True
        except BookError:
            return self.book.form(app.taxpayer_id, as_seller=False, **key), False


def _is_all(blue: Invoice, parts: Mapping[int, tuple[int, int, int]]) -> bool:
    """Whether the parts are the whole invoice: then the red letter is a full one."""
    lines = blue.draft.lines
    return sorted(parts) == list(range(len(lines))) and all(
        (-lines[place].figures.net_fen, -lines[place].figures.tax_fen) == part[1:]
        for place, part in parts.items()
    )


def _refuse(name: str, problem: str) -> BaiwangError:
    return BaiwangError("missing" if problem == "不能为空" else "content", f"{name}{problem}")


def _object(body: bytes) -> dict[str, Any]:
    try:
        return json_object(body)
    except ValueError:
        raise BaiwangError("content", "请求报文不是合法的JSON") from None


def _for_taxpayer(app: BaiwangApp, body: dict[str, Any]) -> dict[str, Any]:
    if Fields(body, _refuse).text("taxNo", required=True, high=20) != app.taxpayer_id:
        raise BaiwangError("content", "taxNo与应用授权的税号不一致")
    return body
