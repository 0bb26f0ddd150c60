"""Nuonuo's own view of the book: 20-digit serials, the sealing step, retries, and the shapes of its replies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from protocols.fapiao import FapiaoState, plain_decimal
from protocols.nuonuo import RED_REASON_OF, NuonuoCode, NuonuoError, NuonuoStatus
from protocols.wechatpay import encode_json, rfc3339
from sim.latency import LatencyProfile
from sim.taxplatform.book import InvoiceBook
from sim.taxplatform.bureau import TaxBureau
from sim.taxplatform.entries import Invoice, RedForm

__all__ = ["NuonuoOrder", "NuonuoOrders", "callback_form", "form_entry", "result_entry"]

_RETRIES_A_DAY: Final = 20
_DAY_US: Final = 86_400_000_000
_CHINA_US: Final = 8 * 3_600_000_000
_RED_REASON: Final = {label: code for code, label in RED_REASON_OF.items()}
_PENDING: Final = frozenset({NuonuoStatus.ISSUING, NuonuoStatus.SEALING})


@dataclass(slots=True, eq=False)
class NuonuoOrder:
    """One order.

    Attributes:
        invoice: in the book.
        serial_num: ``invoiceSerialNum``, 20 digits.
        created_unix_us, updated_unix_us: when.
        seal: None before sealing ends; True sealed, False failed.
        retries: day in China -> how often it was tried again.
    """

    invoice: Invoice
    serial_num: str
    created_unix_us: int
    updated_unix_us: int
    seal: bool | None = None
    retries: dict[int, int] = field(default_factory=dict)

    @property
    def status(self) -> NuonuoStatus:
        """As a query shows it."""
        if self.invoice.state is FapiaoState.ISSUE_ACCEPTED:
            return NuonuoStatus.ISSUING
        if self.invoice.state is FapiaoState.ISSUE_FAILED:
            return NuonuoStatus.FAILED
        if self.seal is None:
            return NuonuoStatus.SEALING
        return NuonuoStatus.ISSUED if self.seal else NuonuoStatus.SEAL_FAILED


class NuonuoOrders:
    """All orders of the platform, blue and red.

    Args:
        bureau: clock and faults.
        seal_latency: issued to sealed.
        ended: called when an order reaches status 2, 22 or 24.
    """

    def __init__(
        self, bureau: TaxBureau, seal_latency: LatencyProfile, ended: Callable[[NuonuoOrder], object]
    ) -> None:
        self._bureau = bureau
        self._latency = seal_latency
        self._ended = ended
        self._rng = bureau.kernel.streams.get("nuonuo", "seal")
        self._orders: dict[tuple[str, str, str], NuonuoOrder] = {}
        self._count = 0

    def __len__(self) -> int:
        return len(self._orders)

    def add(self, invoice: Invoice) -> NuonuoOrder:
        """The order of an invoice; made when it is not there yet."""
        key = invoice.draft.key
        order = self._orders.get(key)
        if order is None:
            self._count += 1
            now_us = self._bureau.kernel.unix_us
            digits = "".join(c for c in rfc3339(now_us // 1_000_000)[2:19] if c.isdigit())
            order = self._orders[key] = NuonuoOrder(
                invoice, f"{digits}{self._count % 10**8:08d}", now_us, now_us
            )
            if invoice.draft.platform != "nuonuo":
                order.seal = True  # a red letter on another platform's form: nothing to seal here
        return order

    def of(self, taxpayer_id: str) -> Iterator[NuonuoOrder]:
        """All orders of a taxpayer, oldest first."""
        return (order for key, order in self._orders.items() if key[1] == taxpayer_id)

    def of_invoice(self, invoice: Invoice) -> NuonuoOrder | None:
        """The order of an invoice, if this platform has one."""
        return self._orders.get(invoice.draft.key)

    def end(self, invoice: Invoice) -> None:
        """The book is done with an invoice: it has failed, or is to be sealed."""
        order = self.add(invoice)
        order.updated_unix_us = self._bureau.kernel.unix_us
        if invoice.state is FapiaoState.ISSUE_FAILED:
            self._ended(order)
        else:
            self._bureau.kernel.call_later(self._latency.draw(self._rng), self._seal, order)

    def retry(self, order: NuonuoOrder, book: InvoiceBook) -> None:
        """reInvoice: a failed order is issued again, an unsealed one sealed again, under the same numbers.

        Raises:
            NuonuoError: it is under way or done, or was tried 20 times today.
        """
        if order.status in _PENDING:
            raise NuonuoError(NuonuoCode.OTHER, "开票中（重试中），请耐心等待开票结果")
        if order.status is NuonuoStatus.ISSUED:
            raise NuonuoError(NuonuoCode.OTHER, "发票已生成，无需再重试开票")
        day = (self._bureau.kernel.unix_us + _CHINA_US) // _DAY_US
        if order.retries.get(day, 0) >= _RETRIES_A_DAY:
            raise NuonuoError(NuonuoCode.RETRY_LIMIT)
        order.retries[day] = order.retries.get(day, 0) + 1
        if order.invoice.state is FapiaoState.ISSUE_FAILED:
            book.retry(order.invoice)
        else:
            order.seal = None
            self.end(order.invoice)

    def _seal(self, order: NuonuoOrder) -> None:
        order.seal = not self._bureau.seal_fails(order.invoice.draft.serial)
        order.updated_unix_us = self._bureau.kernel.unix_us
        self._ended(order)


def _yuan(fen: int) -> str:
    return plain_decimal(fen, 2, least=2)


def _document(order: NuonuoOrder, kind: str) -> str:
    return f"https://inv.jss.com.cn/fp/{order.invoice.number}.{kind}"


def result_entry(
    order: NuonuoOrder, seller_name: str, fuel_codes: Mapping[str, int], *, with_lines: bool
) -> dict[str, object]:
    """One entry of queryInvoiceResult."""
    invoice, draft, status = order.invoice, order.invoice.draft, order.status
    is_oil = any(line.tax_code in fuel_codes for line in draft.lines)
    entry: dict[str, object] = {
        "serialNo": order.serial_num,
        "orderNo": draft.serial,
        "status": str(status),
        "statusMsg": status.message,
        "failCause": invoice.reason,
        "exTaxAmount": _yuan(draft.net_fen),
        "taxAmount": _yuan(draft.tax_fen),
        "orderAmount": _yuan(draft.gross_fen),
        "payerName": draft.buyer_name,
        "payerTaxNo": draft.buyer_tax_id,
        "saleName": seller_name,
        "salerTaxNum": draft.taxpayer_id,
        "clerk": draft.clerk,
        "remark": draft.remark,
        "productOilFlag": int(is_oil),
        "specificFactor": int(is_oil),
        "invoiceType": "2" if draft.is_red else "1",
        "invoiceLine": draft.kind,
        "createTime": order.created_unix_us // 1000,
        "updateTime": order.updated_unix_us // 1000,
    }
    if draft.is_red:
        entry["oldEleInvoiceNumber"] = draft.blue_number
    if invoice.issued_unix_us is not None:
        entry["allElectronicInvoiceNumber"] = invoice.number
        entry["invoiceTime"] = invoice.issued_unix_us // 1000
    if status is NuonuoStatus.ISSUED:
        entry |= {f"{kind}Url": _document(order, kind) for kind in ("pdf", "ofd", "xml")}
    if with_lines:
        entry["invoiceItems"] = [
            {
                "itemName": line.name,
                "itemCode": line.tax_code,
                "itemUnit": line.unit,
                "itemSpec": line.specification,
                "itemNum": plain_decimal(line.figures.quantity_e8, 8),
                "itemPrice": plain_decimal(line.figures.net_price_e8, 8),
                "itemTaxRate": plain_decimal(line.figures.tax_rate_e4, 4, least=2),
                "itemAmount": _yuan(line.figures.net_fen),
                "itemTaxAmount": _yuan(line.figures.tax_fen),
            }
            for line in draft.lines
        ]
    return entry


def form_entry(form: RedForm, seller_name: str, red: NuonuoOrder | None) -> dict[str, object]:
    """One entry of queryInvoiceRedConfirm; the red letter's numbers appear once it is issued."""
    blue = form.blue.draft
    done = red if red is not None and red.invoice.number else None
    return {
        "billId": form.serial,
        "billNo": form.number,
        "billUuid": form.uuid,
        "billStatus": str(form.state),
        "billMessage": "",
        "openStatus": int(done is not None),
        "applySource": 0 if form.by_seller else 1,
        "blueInvoiceLine": blue.kind,
        "blueElecInvoiceNumber": form.blue.number,
        "billTime": _local(form.entered_unix_us),
        "confirmTime": "" if form.confirmed_unix_us is None else _local(form.confirmed_unix_us),
        "sellerTaxNo": blue.taxpayer_id,
        "sellerName": seller_name,
        "buyerTaxNo": blue.buyer_tax_id,
        "buyerName": blue.buyer_name,
        "taxExcludedAmount": _yuan(form.net_fen),
        "taxAmount": _yuan(form.tax_fen),
        "redReason": _RED_REASON[form.reason],
        "invoiceSerialNum": done.serial_num if done else None,
        "orderNo": done.invoice.draft.serial if done else None,
        "redInvoiceNumber": done.invoice.number if done else None,
    }


def _local(unix_us: int) -> str:
    return rfc3339(unix_us // 1_000_000)[:19].replace("T", " ")


def callback_form(order: NuonuoOrder) -> dict[str, str]:
    """The form fields pushed to ``callBackUrl``: status 1 issued, 2 failed, 3 not sealed."""
    invoice, draft = order.invoice, order.invoice.draft
    status = {NuonuoStatus.ISSUED: "1", NuonuoStatus.SEAL_FAILED: "3"}.get(order.status, "2")
    content: dict[str, object] = {
        "c_status": status,
        "c_orderno": draft.serial,
        "c_fpqqlsh": order.serial_num,
        "c_hjse": _yuan(draft.tax_fen),
        "c_bhsje": _yuan(draft.net_fen),
        "c_msg": invoice.reason or order.status.message,
        "buyername": draft.buyer_name,
        "taxnum": draft.buyer_tax_id,
        "salerTaxnum": draft.taxpayer_id,
    }
    if invoice.issued_unix_us is not None:
        content |= {
            "c_kprq": invoice.issued_unix_us // 1000,
            "allElectronicInvoiceNumber": invoice.number,
        }
    if order.status is NuonuoStatus.ISSUED:
        content |= {"c_url": _document(order, "pdf"), "c_ofd_url": _document(order, "ofd")}
    return {"operater": "callback", "orderno": draft.serial, "content": encode_json(content).decode()}
