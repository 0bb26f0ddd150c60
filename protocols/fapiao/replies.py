"""What the merchant reads: the query reply and the event of the invoice platform."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from protocols.fapiao.number import FapiaoNumber
from protocols.fapiao.states import FapiaoState
from protocols.sansio import RemoteProtocolError

__all__ = ["FapiaoNotice", "FapiaoReport", "read_notice", "read_query"]


@dataclass(frozen=True, slots=True)
class FapiaoReport:
    """One invoice in a query reply.

    Attributes:
        fapiao_id: number of the try.
        state: where it stands.
        number: 20 digits once issued, else empty.
        issued_at: RFC 3339, or empty.
        gross_fen, net_fen, tax_fen: the sums; net and tax are 0 before it is issued.
        reason: why it failed, or empty.
        red_number: number of the red letter once reversed, else empty.
    """

    fapiao_id: str
    state: FapiaoState
    number: str
    issued_at: str
    gross_fen: int
    net_fen: int
    tax_fen: int
    reason: str
    red_number: str


@dataclass(frozen=True, slots=True)
class FapiaoNotice:
    """The opened resource of a FAPIAO.* event: (fapiao id, state) pairs; it has no number, so a query follows."""

    mchid: str
    fapiao_apply_id: str
    fapiaos: tuple[tuple[str, FapiaoState], ...]


def _object(raw: bytes) -> Mapping[str, Any]:
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RemoteProtocolError(f"the invoice platform sent no JSON: {error}") from None
    if not isinstance(value, dict):
        raise RemoteProtocolError("the invoice platform sent JSON that is not an object")
    return value


def _state(text: object) -> FapiaoState:
    try:
        return FapiaoState(str(text))
    except ValueError:
        raise RemoteProtocolError(f"unknown invoice state {str(text)[:40]!r}") from None


def _number(part: object) -> str:
    text = str(part.get("fapiao_number", "")) if isinstance(part, dict) else ""
    if text:
        try:
            FapiaoNumber.parse(text)
        except ValueError as error:
            raise RemoteProtocolError(str(error)) from None
    return text


def _fen(entry: Mapping[str, Any], name: str) -> int:
    value = entry.get(name, 0)
    if not isinstance(value, int) or isinstance(value, bool):
        raise RemoteProtocolError(f"{name} of an invoice is a whole number of fen")
    return value


def read_query(raw: bytes) -> tuple[FapiaoReport, ...]:
    """Read the reply of GET ``.../fapiao-applications/{fapiao_apply_id}``, oldest try first.

    Raises:
        RemoteProtocolError: not the documented shape.
    """
    entries = _object(raw).get("fapiao_information")
    if not isinstance(entries, list):
        raise RemoteProtocolError("the query reply has no list fapiao_information")
    reports = []
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get("fapiao_id"), str):
            raise RemoteProtocolError("an entry of fapiao_information has no fapiao_id")
        blue = entry.get("blue_fapiao")
        reports.append(
            FapiaoReport(
                entry["fapiao_id"],
                _state(entry.get("status")),
                _number(blue),
                str(blue.get("fapiao_time", "")) if isinstance(blue, dict) else "",
                _fen(entry, "total_amount"),
                _fen(entry, "amount"),
                _fen(entry, "tax_amount"),
                str(entry.get("fail_reason", "")),
                _number(entry.get("red_fapiao")),
            )
        )
    return tuple(reports)


def read_notice(resource: bytes) -> FapiaoNotice:
    """Read the decrypted resource of FAPIAO.ISSUED or FAPIAO.REVERSED.

    Raises:
        RemoteProtocolError: not the documented shape.
    """
    body = _object(resource)
    apply_id, entries = body.get("fapiao_apply_id"), body.get("fapiao_information", [])
    if not isinstance(apply_id, str) or not isinstance(entries, list):
        raise RemoteProtocolError("an invoice event has fapiao_apply_id and fapiao_information")
    pairs = tuple(
        (str(entry.get("fapiao_id", "")), _state(entry.get("fapiao_status")))
        for entry in entries
        if isinstance(entry, dict)
    )
    return FapiaoNotice(str(body.get("mchid", "")), apply_id, pairs)
