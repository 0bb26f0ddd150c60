"""WeChat Pay's refined-oil invoices as a tax platform: the gateway's own connection, signature and callbacks."""

from __future__ import annotations

from typing import Final

from protocols.fapiao import MAX_TRIES, Buyer, FuelLine, IssueRequest, quantity_of_ml
from protocols.wechatpay import rfc3339
from reference.backend.gateways.port import Gateway, GatewayRefusedError, InvoiceReport
from reference.backend.tax.port import (
    BlueOrder,
    HeldError,
    RedOrder,
    RedReport,
    WrongFormError,
    reason_waits,
)

__all__ = ["WeChatTax", "application_body"]

_WRONG: Final = frozenset({"PARAM_ERROR", "INVALID_REQUEST"})
_ACCESS: Final = frozenset({"NO_AUTH"})
_RED_REASONS: Final = {
    "01": "ISSUE_ERROR",
    "02": "SALES_RETURN",
    "03": "SERVICE_SUSPENTION",  # the platform's spelling
    "04": "SALES_DISCOUNT",
}


class WeChatTax:
    """Implements `TaxPort` (WXDOC 4016760559).

    A failed try takes a new `fapiao_id` under the same application, at most four. The platform keeps the confirmation form to
    itself, and takes whole invoices back only.
    """

    name = "wechat"
    takes_parts = False

    def __init__(self, gateway: Gateway, tries: int = MAX_TRIES) -> None:
        self._gateway = gateway
        self.tries: int | None = tries

    async def issue(self, order: BlueOrder) -> InvoiceReport | None:
        """202 means accepted."""
        try:
            await self._gateway.issue_invoice(application_body(order))
        except GatewayRefusedError as error:
            raise _meaning(error) from error
        return None

    async def retry(self, order: BlueOrder) -> InvoiceReport | None:
        """The same as handing in: the new try has a number of its own."""
        return await self.issue(order)

    async def query(self, order: BlueOrder) -> InvoiceReport | None:
        """The latest try is the one reported."""
        return await self._gateway.query_invoice(order.serial)

    async def session(self) -> str | None:
        """The platform does not tell."""
        return None

    async def enter_red(self, red: RedOrder) -> RedReport:
        """Reverse; 202 means accepted, and a repeat changes nothing."""
        if not red.is_whole:
            raise WrongFormError(400, "PARTIAL", "this platform takes whole invoices back")
        report = await self.query_red(red)
        if report is not None and report.number is not None:
            return report
        await self._gateway.reverse_invoice(red.blue.serial, _RED_REASONS[red.reason])
        return RedReport()

    async def query_red(self, red: RedOrder) -> RedReport | None:
        """By the invoice's own state."""
        report = await self._gateway.query_invoice(red.blue.serial)
        if report is None or report.state in {"ISSUE_ACCEPTED", "ISSUED"}:
            return None
        if report.state == "REVERSE_FAILED":
            return None  # to be asked for again, as the documentation says, some minutes later
        return RedReport(number=report.red_number if report.state == "REVERSED" else None)

    async def revoke_red(self, red: RedOrder) -> None:
        """There is no form to take back."""
        raise GatewayRefusedError(
            400, "NOT_OFFERED", f"{red.red_id}: this platform shows no confirmation form"
        )


def _meaning(error: GatewayRefusedError) -> GatewayRefusedError:
    if error.code in _WRONG:
        return WrongFormError(error.status, error.code, str(error))
    why = "access" if error.code in _ACCESS else reason_waits(str(error))
    return error if why is None else HeldError(why, error.status, error.code, str(error))


def application_body(order: BlueOrder) -> dict[str, object]:
    """The body of ``issue-refined-oil``.

    The tax-inclusive total is what was paid; the quantity is the pump's, in litres.
    """
    request = IssueRequest(
        fapiao_apply_id=order.serial,
        fapiao_id=order.try_id,
        buyer=Buyer(order.title_type, order.buyer_name, order.buyer_tax_id),
        lines=tuple(
            FuelLine(
                tax_code=part.tax_code,
                goods_name=part.goods_name,
                unit="LETER",
                quantity_e8=quantity_of_ml(part.volume_ml),
                gross_fen=part.gross_fen,
                station=part.station_name,
                trade_time=rfc3339(part.ended_us // 1_000_000),
                gun_number=str(part.nozzle),
                specification=part.specification,
            )
            for part in order.parts
        ),
        transactions=order.transactions,
    )
    return request.body()
