"""Nuonuo (诺诺) as a tax platform: orders by our own number, results by query, pushed results as a hint only."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from protocols.fapiao import RedFormState, quantity_of_ml
from protocols.nuonuo import (
    SERVICES_PATH,
    TOKEN_PATH,
    FormEntry,
    NuonuoCode,
    NuonuoStatus,
    Order,
    Reply,
    read_forms,
    read_reply,
    read_results,
    read_token,
    red_application_body,
    sign,
)
from protocols.sansio import RemoteProtocolError
from protocols.wechatpay import rfc3339
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
from reference.backend.tax.settings import NuonuoSettings
from reference.backend.tax.tokens import SharedToken

__all__ = ["NuonuoTax"]

_ORDINARY: Final = "pc"
_METHOD: Final = "nuonuo.OpeMplatform."
_ACCESS: Final = frozenset(
    {NuonuoCode.APP_KEY, NuonuoCode.CREDENTIALS, NuonuoCode.METHOD, NuonuoCode.SIGNATURE}
)
_ALLOWING_FORMS: Final = frozenset(state for state in RedFormState if state.allows_red)
_LIVE_FORMS: Final = frozenset(state for state in RedFormState if not state.is_void)


class NuonuoTax:
    """Implements `TaxPort`.

    A failed order is tried again under its own number (``reInvoice``, 20 times a day). An invoice that was issued and could
    not be sealed (24) is an invoice: it is sealed again in the same way, never issued again.
    """

    name = "nuonuo"
    takes_parts = True
    tries: int | None = None

    def __init__(self, calls: TaxCalls, settings: NuonuoSettings, callback_url: str) -> None:
        self._calls = calls
        self._settings = settings
        self._callback_url = callback_url
        self._token = SharedToken(calls.db, calls.clock_us, self.name, self._new_token)

    # -- the port ---------------------------------------------------------------------------------------------------

    async def issue(self, order: BlueOrder) -> InvoiceReport | None:
        """requestBillingNew; E0000 means accepted."""
        await self._call("requestBillingNew", self._order(order).body(_codes(order)))
        return None

    async def retry(self, order: BlueOrder) -> InvoiceReport | None:
        """reInvoice; one that is under way already needs none."""
        reply = await self._ask("reInvoice", {"fpqqlsh": "", "orderno": order.serial})
        if not reply.is_ok and reply.code != NuonuoCode.OTHER:
            raise _refusal(reply)
        return None

    async def query(self, order: BlueOrder) -> InvoiceReport | None:
        """QueryInvoiceResult by our number."""
        reply = await self._ask(
            "queryInvoiceResult", {"orderNos": [order.serial], "isOfferInvoiceDetail": "0"}
        )
        if reply.code == NuonuoCode.NOT_FOUND:
            return None
        if not reply.is_ok:
            raise _refusal(reply)
        entries = believed(lambda: read_results(reply.result))
        found = next((entry for entry in entries if entry.order_no == order.serial), None)
        if found is None:
            return None
        if found.status == NuonuoStatus.SEAL_FAILED and found.number:
            await self.retry(order)
        # 2 issued, 24 issued and not sealed: both are invoices. Whatever is unknown is not an end.
        if found.number and found.status in {NuonuoStatus.ISSUED, NuonuoStatus.SEAL_FAILED}:
            return InvoiceReport(order.serial, None, "ISSUED", found.number)
        state = "ISSUE_FAILED" if found.status == NuonuoStatus.FAILED else "ISSUE_ACCEPTED"
        return InvoiceReport(order.serial, None, state, None, found.reason or None)

    async def session(self) -> str | None:
        """getCertificationStatus: 2 asks for the login, 0 for the identity."""
        login = await self._call("getCertificationStatus", {"queryType": "2"})
        if _status(login) == "0":
            return "login"
        identity = await self._call("getCertificationStatus", {"queryType": "0"})
        return "face" if _status(identity) == "2" else "ok"

    async def enter_red(self, red: RedOrder) -> RedReport:
        """saveInvoiceRedConfirm; if there is a form of ours, or a red letter, that one."""
        known = await self._forms(billId=red.red_id)
        if known:
            return await self._issue_red(known[0])
        assert red.blue.number is not None  # noqa: S101 - only what was issued is taken back
        body = red_application_body(
            bill_id=red.red_id,
            order_no=red.red_id,
            blue_number=red.blue.number,
            blue_kind=_ORDINARY,
            seller_tax_id=self._settings.taxpayer_id,
            buyer_name=red.blue.buyer_name,
            buyer_tax_id=red.blue.buyer_tax_id,
            reason=red.reason,
            parts=()
            if red.is_whole
            else [(p.line, quantity_of_ml(p.volume_ml), p.net_fen, p.tax_fen) for p in red.parts],
        )
        reply = await self._ask("saveInvoiceRedConfirm", body)
        known = await self._forms(billId=red.red_id)
        if known:
            return await self._issue_red(known[0])
        if reply.code == NuonuoCode.RED_REPEATED:
            return await self._foreign_red(red, reply)
        if not reply.is_ok:
            raise _refusal(reply)
        return RedReport()

    async def query_red(self, red: RedOrder) -> RedReport | None:
        """QueryInvoiceRedConfirm by our number."""
        found = await self._forms(billId=red.red_id)
        return _red_report(found[0]) if found else None

    async def revoke_red(self, red: RedOrder) -> None:
        """ConfirmInfoCancel."""
        await self._call("confirmInfoCancel", {"identity": "0", "billId": red.red_id})

    async def _issue_red(self, form: FormEntry) -> RedReport:
        """FastInvoiceRed for a form that allows it: asked again, it names the red letter there is."""
        if form.state in _ALLOWING_FORMS and not form.red_number:
            await self._call("fastInvoiceRed", {"billNo": form.bill_no})
            again = await self._forms(billNo=form.bill_no)
            form = again[0] if again else form
        return _red_report(form)

    # -- red letters that others entered ------------------------------------------------------------------------------

    async def _foreign_red(self, red: RedOrder, reply: Reply) -> RedReport:
        """The invoice has a red letter that somebody entered elsewhere (the buyer, the bureau's own pages): that is the one."""
        page = 1
        while forms := await self._forms(pageNo=str(page), pageSize="50"):
            for form in forms:
                if form.blue_number == red.blue.number and form.state in _LIVE_FORMS:
                    return await self._issue_red(form)
            page += 1
        raise _refusal(reply)

    async def _forms(self, **wanted: str) -> tuple[FormEntry, ...]:
        result = await self._call("queryInvoiceRedConfirm", {"identity": "0", **wanted})
        return believed(lambda: read_forms(result))

    # -- calls --------------------------------------------------------------------------------------------------------

    def _order(self, order: BlueOrder) -> Order:
        return Order(
            order_no=order.serial,
            seller_tax_id=self._settings.taxpayer_id,
            buyer_name=order.buyer_name,
            invoice_date=rfc3339(order.asked_us // 1_000_000)[:19].replace("T", " "),
            lines=tuple(part.invoice_line for part in order.parts),
            buyer_tax_id=order.buyer_tax_id,
            kind=_ORDINARY,
            clerk=self._settings.clerk,
            callback_url=self._callback_url,
        )

    async def _call(self, method: str, body: dict[str, Any]) -> Any:
        reply = await self._ask(method, body)
        if not reply.is_ok:
            raise _refusal(reply)
        return reply.result

    async def _ask(self, method: str, body: dict[str, Any]) -> Reply:
        token = await self._token.get()
        reply = await self._post(method, body, token)
        if reply.code == NuonuoCode.TOKEN:
            reply = await self._post(method, body, await self._token.get(refused=token))
        return reply

    async def _post(self, method: str, body: dict[str, Any], token: str) -> Reply:
        raw = msgspec.json.encode(body)
        query = {
            "senid": self._calls.ids.text(32),
            "nonce": f"{self._calls.ids.below(10**8):08d}",
            "timestamp": str(self._calls.clock_us() // 1_000_000),
            "appkey": self._settings.app_key,
        }
        signature = sign(
            self._settings.app_secret,
            app_key=self._settings.app_key,
            senid=query["senid"],
            nonce=query["nonce"],
            timestamp=query["timestamp"],
            body=raw,
        )
        headers = {
            "Content-Type": "application/json",
            "X-Nuonuo-Sign": signature,
            "accessToken": token,
            "userTax": self._settings.taxpayer_id,
            "method": _METHOD + method,
        }
        url = f"{self._settings.url}{SERVICES_PATH}?{urlencode(query)}"
        answer = await self._calls.post(url, raw, headers)
        return believed(lambda: read_reply(answer))

    async def _new_token(self) -> tuple[str, int]:
        fields = {
            "client_id": self._settings.app_key,
            "client_secret": self._settings.app_secret,
            "grant_type": "client_credentials",
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        raw = await self._calls.post(
            f"{self._settings.token_url}{TOKEN_PATH}", urlencode(fields).encode(), headers
        )
        try:
            return read_token(raw)
        except RemoteProtocolError as error:
            raise HeldError("access", 200, "TOKEN", str(error)) from error


def _refusal(reply: Reply) -> GatewayRefusedError:
    code, told = reply.code, reply.describe[:500]
    if code == NuonuoCode.ORDER_EXISTS:
        return ExistsError(200, code, told)
    why = "access" if code in _ACCESS else reason_waits(told)
    if code == NuonuoCode.RETRY_LIMIT:
        why = "stock"  # tried 20 times today: it goes on tomorrow, whatever was short
    if why is not None:
        return HeldError(why, 200, code, told)
    return (
        WrongFormError(200, code, told)
        if code == NuonuoCode.CONTENT
        else GatewayRefusedError(200, code, told)
    )


def _red_report(form: FormEntry) -> RedReport:
    return RedReport(form.state or None, form.bill_no or None, form.red_number or None)


def _status(result: object) -> str:
    return str(result.get("certificationStatus", "")) if isinstance(result, dict) else ""


def _codes(order: BlueOrder) -> dict[str, int]:
    return {part.tax_code: 1 for part in order.parts}
