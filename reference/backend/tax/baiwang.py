"""Baiwang cloud (百望云) as a tax platform: orders are answered with the invoice itself, or with "query later".

Nothing here was checked against the vendor; what the sources disagree about is in the settings.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from protocols.baiwang import (
    ROUTER_PATH,
    BaiwangCodes,
    FormReply,
    PasswordForm,
    Reply,
    call_query,
    digest_password,
    issue_body,
    issued_number,
    read_form,
    read_reply,
    read_token,
    red_add_body,
    sign,
    token_query,
)
from protocols.fapiao import RedFormState, quantity_of_ml
from protocols.sansio import RemoteProtocolError
from reference.backend.gateways.port import GatewayRefusedError, InvoiceReport
from reference.backend.tax.calls import TaxCalls, believed
from reference.backend.tax.port import (
    BlueOrder,
    ExistsError,
    HeldError,
    RedOrder,
    RedReport,
    WrongFormError,
    reason_waits,
)
from reference.backend.tax.settings import BaiwangSettings
from reference.backend.tax.tokens import SharedToken

__all__ = ["BaiwangTax"]

_PREFIX: Final = "baiwang.output."
_CODES: Final = BaiwangCodes()
_TOKEN: Final = frozenset({_CODES.token, _CODES.token_expired})
_ACCESS: Final = frozenset({_CODES.signature, _CODES.credentials, _CODES.method})
_ALLOWING_FORMS: Final = frozenset(state for state in RedFormState if state.allows_red)
_LIVE_FORMS: Final = frozenset(state for state in RedFormState if not state.is_void)
_WRONG: Final = frozenset({_CODES.type_code, _CODES.missing, _CODES.content})


class BaiwangTax:
    """Implements `TaxPort`. A failed order is tried again under its own serial."""

    name = "baiwang"
    takes_parts = True
    tries: int | None = None

    def __init__(self, calls: TaxCalls, settings: BaiwangSettings) -> None:
        self._calls = calls
        self._settings = settings
        self._token = SharedToken(calls.db, calls.clock_us, self.name, self._new_token)

    # -- the port ---------------------------------------------------------------------------------------------------

    async def issue(self, order: BlueOrder) -> InvoiceReport | None:
        """invoice.issue: the invoice, its failure, or None for "pending"."""
        body = issue_body(
            tax_no=self._settings.taxpayer_id,
            serial_no=order.serial,
            type_code="02",
            oil_mark=self._settings.oil_mark,
            buyer_name=order.buyer_name,
            buyer_tax_id=order.buyer_tax_id,
            lines=[part.invoice_line for part in order.parts],
        )
        reply = await self._ask("invoice.issue", "6.0", body)
        if reply.code == _CODES.pending:
            return None
        if not reply.success:
            raise _refusal(reply)
        return self._report(order, reply.response)

    async def retry(self, order: BlueOrder) -> InvoiceReport | None:
        """The same serial again."""
        return await self.issue(order)

    async def query(self, order: BlueOrder) -> InvoiceReport | None:
        """invoice.query by our serial."""
        body = {"taxNo": self._settings.taxpayer_id, "data": {"serialNo": order.serial}}
        reply = await self._ask("invoice.query", "6.0", body)
        if reply.code == _CODES.not_found:
            return None
        if reply.code == _CODES.pending:
            return InvoiceReport(order.serial, None, "ISSUE_ACCEPTED")
        if reply.code == _CODES.failed:
            return InvoiceReport(order.serial, None, "ISSUE_FAILED", None, reply.message or None)
        if not reply.success:
            raise _refusal(reply)
        return self._report(order, reply.response)

    async def session(self) -> str | None:
        """The platform does not tell."""
        return None

    async def enter_red(self, red: RedOrder) -> RedReport:
        """redinvoice.add, with the red letter to follow by itself; if there is a form of ours, that one."""
        known = await self._form(red)
        if known is not None:
            return await self._issue_red(known)
        assert red.blue.number is not None  # noqa: S101 - only what was issued is taken back
        body = red_add_body(
            tax_no=self._settings.taxpayer_id,
            serial_no=red.red_id,
            blue_number=red.blue.number,
            reason=red.reason,
            net_fen=sum(part.net_fen for part in red.parts),
            tax_fen=sum(part.tax_fen for part in red.parts),
            parts=()
            if red.is_whole
            else [(p.line, quantity_of_ml(p.volume_ml), p.net_fen, p.tax_fen) for p in red.parts],
        )
        reply = await self._ask("redinvoice.add", "7.0", body)
        if reply.success:
            return _red_report(believed(lambda: read_form(reply.response)))
        known = await self._form(red)
        if known is not None:
            return await self._issue_red(known)
        if reply.code == _CODES.red_state:
            return await self._foreign_red(red, reply)
        raise _refusal(reply)

    async def query_red(self, red: RedOrder) -> RedReport | None:
        """redinvoice.redforminfo by our serial."""
        form = await self._form(red)
        return None if form is None else _red_report(form)

    async def _form(self, red: RedOrder) -> FormReply | None:
        body = {"taxNo": self._settings.taxpayer_id, "redConfirmSerialNo": red.red_id}
        reply = await self._ask("redinvoice.redforminfo", "7.0", body)
        if reply.code == _CODES.not_found:
            return None
        if not reply.success:
            raise _refusal(reply)
        return believed(lambda: read_form(reply.response))

    async def _issue_red(self, form: FormReply) -> RedReport:
        """redinvoice.issued for a form that allows it: asked again, it names the red letter there is."""
        if form.state in _ALLOWING_FORMS and not form.red_number:
            body = {"taxNo": self._settings.taxpayer_id, "redConfirmUuid": form.uuid}
            reply = await self._ask("redinvoice.issued", "7.0", body)
            if not reply.success:
                raise _refusal(reply)
            form = believed(lambda: read_form(reply.response))
        return _red_report(form)

    async def revoke_red(self, red: RedOrder) -> None:
        """redinvoice.operate, 03."""
        body = {
            "taxNo": self._settings.taxpayer_id,
            "redConfirmSerialNo": red.red_id,
            "confirmType": "03",
        }
        reply = await self._ask("redinvoice.operate", "7.0", body)
        if not reply.success:
            raise _refusal(reply)

    async def _foreign_red(self, red: RedOrder, reply: Reply) -> RedReport:
        """The invoice has a red letter that somebody entered elsewhere: that is the one."""
        page = 1
        while True:
            body = {
                "taxNo": self._settings.taxpayer_id,
                "buySelSelector": "0",
                "pageNo": page,
                "pageSize": 50,
            }
            listed = await self._ask("redinvoice.formlist", "7.0", body)
            entries = listed.response.get("list") if isinstance(listed.response, dict) else None
            if not isinstance(entries, list) or not entries:
                raise _refusal(reply)
            for entry in entries:
                is_live = isinstance(entry, dict) and entry.get("confirmState") in _LIVE_FORMS
                if is_live and entry.get("originalInvoiceNo") == red.blue.number:
                    return await self._issue_red(believed(partial(read_form, entry)))
            page += 1

    # -- calls --------------------------------------------------------------------------------------------------------

    def _report(self, order: BlueOrder, response: object) -> InvoiceReport:
        number, reason = believed(lambda: issued_number(response, order.serial))
        if number:
            return InvoiceReport(order.serial, None, "ISSUED", number)
        return InvoiceReport(order.serial, None, "ISSUE_FAILED", None, reason)

    async def _ask(self, method: str, version: str, body: dict[str, Any]) -> Reply:
        token = await self._token.get()
        reply = await self._post(method, version, body, token)
        if reply.code in _TOKEN:
            reply = await self._post(method, version, body, await self._token.get(refused=token))
        return reply

    async def _post(self, method: str, version: str, body: dict[str, Any], token: str) -> Reply:
        raw = msgspec.json.encode(body)
        query = call_query(
            _PREFIX + method,
            version=version,
            app_key=self._settings.app_key,
            token=token,
            timestamp_ms=self._calls.clock_us() // 1000,
            request_id=self._calls.ids.text(32),
        )
        query["sign"] = sign(self._settings.app_secret, query, raw)
        return await self._send(query, raw)

    async def _send(self, query: dict[str, str], raw: bytes) -> Reply:
        url = f"{self._settings.url}{ROUTER_PATH}?{urlencode(query)}"
        answer = await self._calls.post(url, raw, {"Content-Type": "application/json"})
        reply: Reply = believed(lambda: read_reply(answer))
        return reply

    async def _new_token(self) -> tuple[str, int]:
        settings = self._settings
        query = token_query(
            app_key=settings.app_key,
            timestamp_ms=self._calls.clock_us() // 1000,
            request_id=self._calls.ids.text(32),
        )
        digest = digest_password(settings.password, settings.salt, PasswordForm(settings.password_form))
        body = {"username": settings.username, "password": digest, "client_secret": settings.app_secret}
        reply = await self._send(query, msgspec.json.encode(body))
        try:
            if not reply.success:
                raise HeldError("access", 200, reply.code, reply.message)
            return read_token(reply.response)
        except RemoteProtocolError as error:
            raise HeldError("access", 200, "TOKEN", str(error)) from error


def _refusal(reply: Reply) -> GatewayRefusedError:
    code, told = reply.code, reply.message
    if code == _CODES.duplicate:
        return ExistsError(200, code, told)
    why = "access" if code in _ACCESS else reason_waits(told)
    if why is not None:
        return HeldError(why, 200, code, told)
    return WrongFormError(200, code, told) if code in _WRONG else GatewayRefusedError(200, code, told)


def _red_report(form: FormReply) -> RedReport:
    return RedReport(form.state, form.number or None, form.red_number or None)
