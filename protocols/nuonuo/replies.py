"""The merchant's side: what is asked beside an order, and what comes back.

Shapes as in the vendor's V2 pages of queryInvoiceResult, saveInvoiceRedConfirm and queryInvoiceRedConfirm.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from protocols.fapiao.fields import plain_decimal, reply_number, reply_object
from protocols.nuonuo.codes import NuonuoCode
from protocols.nuonuo.messages import RED_REASON_OF
from protocols.sansio import RemoteProtocolError

__all__ = [
    "FormEntry",
    "Reply",
    "ResultEntry",
    "read_forms",
    "read_reply",
    "read_results",
    "read_token",
    "red_application_body",
]

_RED_REASON: Final = MappingProxyType({label: code for code, label in RED_REASON_OF.items()})


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply of the services: ``E0000`` means that the call was taken, not that anything was issued."""

    code: str
    describe: str
    result: Any

    @property
    def is_ok(self) -> bool:
        """Whether it was taken."""
        return self.code == NuonuoCode.OK


@dataclass(frozen=True, slots=True)
class ResultEntry:
    """One order in the answer to a query; ``number`` has 20 digits once issued, else it is empty."""

    order_no: str
    status: str
    number: str
    reason: str


@dataclass(frozen=True, slots=True)
class FormEntry:
    """One confirmation form; ``red_number`` has 20 digits once the red letter is issued, else it is empty."""

    bill_id: str
    bill_no: str
    bill_uuid: str
    state: str
    blue_number: str
    red_number: str
    message: str


def read_reply(raw: bytes) -> Reply:
    """Read a reply of the services.

    Raises:
        RemoteProtocolError: not the documented shape.
    """
    body = reply_object(raw, "nuonuo")
    code = body.get("code")
    if not isinstance(code, str) or not code:
        raise RemoteProtocolError("a reply of nuonuo has no code")
    return Reply(code, str(body.get("describe") or ""), body.get("result"))


def read_token(raw: bytes) -> tuple[str, int]:
    """Token and its life in seconds.

    Raises:
        RemoteProtocolError: there is none; the message says what there was instead.
    """
    body = reply_object(raw, "nuonuo")
    token, life_s = body.get("access_token"), body.get("expires_in")
    if not isinstance(token, str) or not token:
        told = f"{body.get('error', '')} {body.get('error_description', '')}".strip()
        raise RemoteProtocolError(f"nuonuo gives no token: {told[:200]}")
    if isinstance(life_s, str) and life_s.isdecimal():
        life_s = int(life_s)
    return token, life_s if isinstance(life_s, int) and not isinstance(life_s, bool) and life_s > 0 else 0


def _entries(values: object) -> Iterable[Mapping[str, Any]]:
    if not isinstance(values, list) or not all(isinstance(value, Mapping) for value in values):
        raise RemoteProtocolError("nuonuo answers with no list")
    return values


def read_results(result: object) -> tuple[ResultEntry, ...]:
    """Read the result of queryInvoiceResult.

    Raises:
        RemoteProtocolError: not the documented shape.
    """
    return tuple(
        ResultEntry(
            str(entry.get("orderNo") or ""),
            str(entry.get("status") or ""),
            reply_number(entry.get("allElectronicInvoiceNumber"), "nuonuo"),
            str(entry.get("failCause") or ""),
        )
        for entry in _entries(result)
    )


def read_forms(result: object) -> tuple[FormEntry, ...]:
    """Read the result of queryInvoiceRedConfirm.

    Raises:
        RemoteProtocolError: not the documented shape.
    """
    if not isinstance(result, Mapping):
        raise RemoteProtocolError("nuonuo answers with no page of forms")
    return tuple(
        FormEntry(
            str(entry.get("billId") or ""),
            str(entry.get("billNo") or ""),
            str(entry.get("billUuid") or ""),
            str(entry.get("billStatus") or ""),
            reply_number(entry.get("blueElecInvoiceNumber"), "nuonuo"),
            reply_number(entry.get("redInvoiceNumber"), "nuonuo"),
            str(entry.get("billMessage") or ""),
        )
        for entry in _entries(result.get("list"))
    )


def red_application_body(
    *,
    bill_id: str,
    order_no: str,
    blue_number: str,
    blue_kind: str,
    seller_tax_id: str,
    buyer_name: str,
    buyer_tax_id: str,
    reason: str,
    parts: Iterable[tuple[int, int, int, int]] = (),
    callback_url: str = "",
) -> dict[str, Any]:
    """The body of saveInvoiceRedConfirm, entered by the seller.

    Args:
        bill_id: our number, at most 32.
        order_no: of the red order, at most 20.
        blue_number: 20 digits.
        blue_kind: ``pc`` or ``bs``.
        seller_tax_id: ours.
        buyer_name: as on the blue invoice.
        buyer_tax_id: as on the blue invoice; empty for a person.
        reason: the bureau's label, 01 to 04.
        parts: of a partial red letter, (line from 0, quantity_e8, net_fen, tax_fen), all positive; empty takes all back.
        callback_url: where the result is pushed.
    """
    body: dict[str, Any] = {
        "billId": bill_id,
        "orderNo": order_no,
        "blueInvoiceLine": blue_kind,
        "blueElecInvoiceNumber": blue_number,
        "applySource": "0",
        "sellerTaxNo": seller_tax_id,
        "buyerName": buyer_name,
        "redReason": _RED_REASON[reason],
    }
    if buyer_tax_id:
        body["buyerTaxNo"] = buyer_tax_id
    if callback_url:
        body["callbackUrl"] = callback_url
    detail = [
        {
            "blueDetailIndex": str(line + 1),
            "num": plain_decimal(-quantity_e8, 8),
            "taxExcludedAmount": plain_decimal(-net_fen, 2, least=2),
            "taxAmount": plain_decimal(-tax_fen, 2, least=2),
        }
        for line, quantity_e8, net_fen, tax_fen in parts
    ]
    if detail:
        body["detail"] = detail
    return body
