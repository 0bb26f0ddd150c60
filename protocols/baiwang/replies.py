"""The merchant's side: the query and bodies of calls, and what comes back.

Nothing here was checked against the vendor; see the package. Amounts are JSON numbers written from whole fen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from protocols.baiwang.signing import TOKEN_METHOD
from protocols.fapiao.fields import plain_decimal, reply_number, reply_object
from protocols.fapiao.lines import InvoiceLine
from protocols.sansio import RemoteProtocolError

__all__ = [
    "FormReply",
    "Reply",
    "call_query",
    "issue_body",
    "issued_number",
    "read_form",
    "read_reply",
    "read_token",
    "red_add_body",
    "token_query",
]


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply: ``response`` when ``success``, else code and message of the refusal."""

    success: bool
    response: Any = None
    code: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class FormReply:
    """A red form; ``red_number`` has 20 digits once the red letter is issued, else it is empty."""

    uuid: str
    number: str
    serial: str
    state: str
    red_number: str


def call_query(
    method: str, *, version: str, app_key: str, token: str, timestamp_ms: int, request_id: str
) -> dict[str, str]:
    """The query of a call, without its ``sign``. Version 7.0 says how it is signed and that nothing is encrypted."""
    query = {
        "method": method,
        "version": version,
        "appKey": app_key,
        "format": "json",
        "timestamp": str(timestamp_ms),
        "token": token,
        "type": "sync",
        "requestId": request_id,
    }
    if version == "7.0":
        query |= {"signType": "MD5", "encryptType": "NONE", "encryptScope": "00"}
    return query


def token_query(*, app_key: str, timestamp_ms: int, request_id: str) -> dict[str, str]:
    """The query of ``baiwang.oauth.token``, which is not signed."""
    return {
        "method": TOKEN_METHOD,
        "version": "6.0",
        "client_id": app_key,
        "grant_type": "password",
        "timestamp": str(timestamp_ms),
        "requestId": request_id,
    }


def _number(value: int, places: int = 2) -> msgspec.Raw:
    return msgspec.Raw(plain_decimal(value, places, least=2).encode())


def issue_body(
    *,
    tax_no: str,
    serial_no: str,
    type_code: str,
    oil_mark: str,
    buyer_name: str,
    buyer_tax_id: str,
    lines: Sequence[InvoiceLine],
) -> dict[str, Any]:
    """The body of ``baiwang.output.invoice.issue``; encode it with `msgspec.json.encode`.

    Args:
        tax_no: the seller's.
        serial_no: our number, at most 50.
        type_code: ``01`` digital special, ``02`` digital ordinary.
        oil_mark: ``invoiceSpecialMark``.
        buyer_name: for whom.
        buyer_tax_id: the buyer's; empty for a person.
        lines: amounts without tax.
    """
    data: dict[str, Any] = {
        "invoiceTypeCode": type_code,
        "invoiceType": "0",
        "invoiceSpecialMark": oil_mark,
        "priceTaxMark": "0",
        "serialNo": serial_no,
        "buyerName": buyer_name,
        "invoiceTotalPrice": _number(sum(line.figures.net_fen for line in lines)),
        "invoiceTotalTax": _number(sum(line.figures.tax_fen for line in lines)),
        "invoiceTotalPriceTax": _number(sum(line.figures.gross_fen for line in lines)),
        "invoiceDetailsList": [
            {
                "goodsLineNo": place,
                "invoiceLineNature": "0",
                "goodsCode": line.tax_code,
                "goodsName": line.name,
                "goodsSpecification": line.specification,
                "goodsUnit": line.unit,
                "goodsQuantity": plain_decimal(line.figures.quantity_e8, 8),
                "goodsPrice": plain_decimal(line.figures.net_price_e8, 8),
                "goodsTotalPrice": _number(line.figures.net_fen),
                "goodsTotalTax": _number(line.figures.tax_fen),
                "goodsTaxRate": _number(line.figures.tax_rate_e4, 4),
            }
            for place, line in enumerate(lines, 1)
        ],
    }
    if buyer_tax_id:
        data["buyerTaxNo"] = buyer_tax_id
    return {"taxNo": tax_no, "data": data}


def red_add_body(
    *,
    tax_no: str,
    serial_no: str,
    blue_number: str,
    reason: str,
    net_fen: int,
    tax_fen: int,
    parts: Iterable[tuple[int, int, int, int]] = (),
    auto_issue: bool = True,
) -> dict[str, Any]:
    """The body of ``baiwang.output.redinvoice.add``, entered by the seller.

    Args:
        tax_no: the seller's.
        serial_no: our number, at most 50.
        blue_number: 20 digits.
        reason: the bureau's label, 01 to 04.
        net_fen: the sum without tax, positive.
        tax_fen: the tax, positive.
        parts: of a partial red letter, (line from 0, quantity_e8, net_fen, tax_fen), all positive; empty takes all back.
        auto_issue: whether the red letter follows by itself.
    """
    body: dict[str, Any] = {
        "taxNo": tax_no,
        "redConfirmSerialNo": serial_no,
        "entryIdentity": "01",
        "sellerTaxNo": tax_no,
        "originalInvoiceNo": blue_number,
        "redInvoiceLabel": reason,
        "autoIssueSwitch": "Y" if auto_issue else "N",
        "invoiceTotalPrice": _number(-net_fen),
        "invoiceTotalTax": _number(-tax_fen),
    }
    details = [
        {
            "originalInvoiceDetailNo": line + 1,
            "goodsQuantity": plain_decimal(-quantity_e8, 8),
            "goodsTotalPrice": _number(-net),
            "goodsTotalTax": _number(-tax),
        }
        for line, quantity_e8, net, tax in parts
    ]
    if details:
        body["redConfirmDetailReqEntityList"] = details
    return body


def read_reply(raw: bytes) -> Reply:
    """Read a reply.

    Raises:
        RemoteProtocolError: neither a success nor a refusal with a code.
    """
    body = reply_object(raw, "baiwang")
    if body.get("success") is True:
        return Reply(True, body.get("response"))
    error = body.get("errorResponse")
    if not isinstance(error, Mapping) or not error.get("code"):
        raise RemoteProtocolError("a reply of baiwang is neither a success nor a refusal with a code")
    return Reply(False, None, str(error["code"]), str(error.get("message") or "")[:500])


def read_token(response: object) -> tuple[str, int]:
    """Token and its life in seconds, out of the response of ``baiwang.oauth.token``.

    Raises:
        RemoteProtocolError: there is none.
    """
    token = response.get("access_token") if isinstance(response, Mapping) else None
    if not isinstance(response, Mapping) or not isinstance(token, str) or not token:
        raise RemoteProtocolError("baiwang gives no token")
    life_s = response.get("expires_in")
    return token, life_s if isinstance(life_s, int) and not isinstance(life_s, bool) and life_s > 0 else 0


def issued_number(response: object, serial_no: str) -> tuple[str, str]:
    """(20 digits or empty, why it failed or empty) of our serial, out of the response to an order or a query.

    Raises:
        RemoteProtocolError: the response does not mention it.
    """
    good, bad = response, ()
    if isinstance(response, Mapping):
        good, bad = response.get("success"), response.get("fail") or ()
    for entries in (good, bad):
        if not isinstance(entries, list | tuple):
            raise RemoteProtocolError("baiwang answers with no list of invoices")
        for entry in entries:
            if isinstance(entry, Mapping) and entry.get("serialNo") == serial_no:
                number = reply_number(entry.get("invoiceNo"), "baiwang")
                return number, "" if number else str(entry.get("message") or "no reason given")
    raise RemoteProtocolError(f"baiwang does not mention {serial_no}")


def read_form(response: object) -> FormReply:
    """Read a red form, alone or as the only one of a list.

    Raises:
        RemoteProtocolError: not the shape.
    """
    entry = response[0] if isinstance(response, list) and len(response) == 1 else response
    if not isinstance(entry, Mapping) or not entry.get("confirmState"):
        raise RemoteProtocolError("baiwang answers with no red form")
    return FormReply(
        str(entry.get("redConfirmUuid") or ""),
        str(entry.get("redConfirmNo") or ""),
        str(entry.get("redConfirmSerialNo") or ""),
        str(entry["confirmState"]),
        reply_number(entry.get("redInvoiceNo"), "baiwang"),
    )
