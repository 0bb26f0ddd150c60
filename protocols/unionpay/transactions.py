"""Transactions: their types, which URL takes them, and which fields each needs, as data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from typing import Final

__all__ = [
    "CHINA",
    "PATHS",
    "SHAPES",
    "Endpoint",
    "FieldFault",
    "Shape",
    "check_fields",
    "clearing_date",
    "echoed",
    "shape_of",
    "txn_time",
    "unix_s_of_txn_time",
]

CHINA: Final = timezone(timedelta(hours=8))
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_CLEARING_SHIFT: Final = timedelta(hours=1)


class Endpoint(StrEnum):
    """The gateway's URLs."""

    FRONT = "front"
    BACK = "back"
    QUERY = "query"
    APP = "app"
    FILE = "file"


PATHS: Final[Mapping[Endpoint, str]] = {
    Endpoint.FRONT: "/gateway/api/frontTransReq.do",
    Endpoint.BACK: "/gateway/api/backTransReq.do",
    Endpoint.QUERY: "/gateway/api/queryTrans.do",
    Endpoint.APP: "/gateway/api/appTransReq.do",
}
"""Paths below ``https://gateway.95516.com`` (UP-GO, the official demonstration code). Files have a host of their own,
``https://filedownload.95516.com/`` (open API page 791)."""

_COMMON: Final = (
    "version", "encoding", "signMethod", "txnType", "txnSubType", "bizType", "accessType", "merId", "orderId", "txnTime",
)  # fmt: skip
_TRADE: Final = (*_COMMON, "channelType", "txnAmt", "currencyCode", "backUrl")
_FILE: Final = (*(name for name in _COMMON if name != "orderId"), "settleDate", "fileType")
_FOLLOW_UP: Final = (*_COMMON, "channelType", "txnAmt", "backUrl", "origQryId")


@dataclass(frozen=True, slots=True)
class Shape:
    """One kind of transaction.

    Attributes:
        name: what the code and the trace call it.
        txn_type: ``txnType``.
        sub_types: values of ``txnSubType`` that it may have.
        endpoints: URLs that take it.
        required: fields it needs, in the order in which their lack is told.
        proof: ``doc`` (demonstration code shows it) or ``unproven``.
    """

    name: str
    txn_type: str
    sub_types: tuple[str, ...]
    endpoints: tuple[Endpoint, ...]
    required: tuple[str, ...]
    proof: str = "doc"


_BACK: Final = (Endpoint.BACK,)
SHAPES: Final[tuple[Shape, ...]] = (
    Shape("query", "00", ("00",), (Endpoint.QUERY,), _COMMON),
    Shape("consume", "01", ("01",), (Endpoint.FRONT, Endpoint.APP), _TRADE),
    Shape("consume-scanned", "01", ("06",), _BACK, (*_TRADE, "qrNo")),
    Shape("consume-qr", "01", ("07",), _BACK, _TRADE),
    Shape("pre-authorisation", "02", ("01",), (Endpoint.FRONT, Endpoint.APP), _TRADE),
    Shape("pre-authorisation-scanned", "02", ("06",), _BACK, (*_TRADE, "qrNo"), "unproven"),
    Shape("completion", "03", ("00",), _BACK, _FOLLOW_UP),
    Shape("refund", "04", ("00",), _BACK, _FOLLOW_UP),
    Shape("cancel", "31", ("00",), _BACK, _FOLLOW_UP),
    Shape("pre-authorisation-cancel", "32", ("00",), _BACK, _FOLLOW_UP),
    Shape("completion-cancel", "33", ("00",), _BACK, _FOLLOW_UP),
    Shape("reversal", "99", ("01", "06"), _BACK, (*_COMMON, "channelType")),
    Shape("encryption-key", "95", ("00",), _BACK, (*_COMMON, "channelType", "certType")),
    Shape("file-transfer", "76", ("01",), (Endpoint.FILE,), _FILE),
)
"""SMS codes and card opening (77 to 79) are not here."""

_PATTERNS: Final[Mapping[str, re.Pattern[str]]] = {
    "version": re.compile(r"5\.[01]\.0"),
    "encoding": re.compile(r"(?i:UTF-8)"),
    "signMethod": re.compile(r"01|11|12"),
    "certId": re.compile(r"[0-9]{1,49}"),
    "txnType": re.compile(r"[0-9]{2}"),
    "txnSubType": re.compile(r"[0-9]{2}"),
    "bizType": re.compile(r"[0-9]{6}"),
    "channelType": re.compile(r"[0-9]{2}"),
    "accessType": re.compile(r"[012]"),
    "merId": re.compile(r"[0-9A-Za-z]{15}"),
    "orderId": re.compile(r"[0-9A-Za-z]{8,40}"),
    "txnTime": re.compile(r"20[0-9]{12}"),
    "txnAmt": re.compile(r"[0-9]{1,12}"),
    "certType": re.compile(r"01"),
    "settleDate": re.compile(r"(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])"),
    "fileType": re.compile(r"[0-9]{2}"),
    "currencyCode": re.compile(r"[0-9]{3}"),
    "origQryId": re.compile(r"[0-9]{21}"),
    "qrNo": re.compile(r"[0-9]{16,20}"),
    "payTimeout": re.compile(r"20[0-9]{12}"),
    "frontUrl": re.compile(r"https?://[^\s\"'<>]{1,240}"),
    "backUrl": re.compile(r"https?://[^\s\"'<>]{1,240}"),
    # Replies carry it unencoded, so what would break their reading cannot be in it; merchants are told to use base64.
    "reqReserved": re.compile(r"[^&{}\[\]\r\n]{1,1024}"),
}


@dataclass(frozen=True, slots=True)
class FieldFault:
    """The first thing wrong with a request's fields.

    Attributes:
        code: ``13`` (something is missing) or ``10`` (something has the wrong form).
        field: which.
    """

    code: str
    field: str


def shape_of(fields: Mapping[str, str], endpoint: Endpoint) -> Shape | None:
    """The kind of a request by ``txnType`` and ``txnSubType``, or None if this URL does not take such a one."""
    for shape in SHAPES:
        if (
            shape.txn_type == fields.get("txnType")
            and fields.get("txnSubType") in shape.sub_types
            and endpoint in shape.endpoints
        ):
            return shape
    return None


def check_fields(fields: Mapping[str, str], shape: Shape) -> FieldFault | None:
    """The first fault of a request, missing fields before wrong ones; None if there is none.

    An order number has 8 to 40 letters and digits, no ``-`` and no ``_``.
    """
    for name in shape.required:
        if not fields.get(name):
            return FieldFault("13", name)
    for name, pattern in _PATTERNS.items():
        value = fields.get(name)
        if value and pattern.fullmatch(value) is None:
            return FieldFault("10", name)
    for name in ("txnTime", "payTimeout"):
        if fields.get(name) and unix_s_of_txn_time(fields[name]) is None:
            return FieldFault("10", name)
    if "txnAmt" in shape.required and int(fields["txnAmt"]) == 0:
        return FieldFault("10", "txnAmt")
    if fields.get("currencyCode", "156") != "156":
        return FieldFault("10", "currencyCode")
    return None


_ECHOED: Final = (
    "accessType", "bizType", "encoding", "fileType", "merId", "orderId", "origQryId", "reqReserved", "settleDate",
    "signMethod", "txnAmt", "txnSubType", "txnTime", "txnType", "version",
)  # fmt: skip


def echoed(fields: Mapping[str, str]) -> dict[str, str]:
    """The fields of a request that its reply repeats; those of the wrong form are left out, since replies are not encoded."""
    return {
        name: fields[name]
        for name in _ECHOED
        if fields.get(name) and _PATTERNS[name].fullmatch(fields[name]) is not None
    }


def txn_time(unix_s: int) -> str:
    """``yyyyMMddHHmmss`` in China time."""
    return (_EPOCH + timedelta(seconds=unix_s)).astimezone(CHINA).strftime("%Y%m%d%H%M%S")


def unix_s_of_txn_time(text: str) -> int | None:
    """Unix seconds of a ``txnTime``; None if there is no such instant."""
    try:
        return int(datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=CHINA).timestamp())
    except (ValueError, OverflowError):
        return None


def clearing_date(unix_s: int) -> str:
    """The clearing day ``yyyyMMdd`` of an instant: a day runs from 23:00 to 23:00 China time."""
    return ((_EPOCH + timedelta(seconds=unix_s)).astimezone(CHINA) + _CLEARING_SHIFT).strftime("%Y%m%d")
