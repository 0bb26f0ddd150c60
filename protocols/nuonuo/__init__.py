"""Nuonuo open platform (诺诺), both sides: the request signature, methods, statuses, codes and message shapes.

Sources: the source and notes of PyPI ``nuonuo-sdk`` 0.2.0 (checked against the vendor's test account on 2026-09-22), the vendor's
API pages of ``nuonuo.OpeMplatform.*`` V2, and Odoo's public module ``l10n_cn_edi_nuonuo`` (records of 2026-09).
"""

from __future__ import annotations

from protocols.nuonuo.codes import CODES, NuonuoCode, NuonuoError, NuonuoStatus
from protocols.nuonuo.messages import (
    RED_REASON_OF,
    Order,
    RedApplication,
    parse_order,
    parse_red_application,
)
from protocols.nuonuo.replies import (
    FormEntry,
    Reply,
    ResultEntry,
    read_forms,
    read_reply,
    read_results,
    read_token,
    red_application_body,
)
from protocols.nuonuo.signing import (
    SERVICES_PATH,
    TOKEN_CALLS,
    TOKEN_LIFE_S,
    TOKEN_PATH,
    TOKEN_WINDOW_S,
    sign,
)

__all__ = [
    "CODES",
    "RED_REASON_OF",
    "SERVICES_PATH",
    "TOKEN_CALLS",
    "TOKEN_LIFE_S",
    "TOKEN_PATH",
    "TOKEN_WINDOW_S",
    "FormEntry",
    "NuonuoCode",
    "NuonuoError",
    "NuonuoStatus",
    "Order",
    "RedApplication",
    "Reply",
    "ResultEntry",
    "parse_order",
    "parse_red_application",
    "read_forms",
    "read_reply",
    "read_results",
    "read_token",
    "red_application_body",
    "sign",
]
