"""Baiwang cloud (百望云), both sides: the request signature, password forms, codes and message shapes.

No page of the vendor could be read. Sources: a public API reference checked against the vendor's sandbox on 2026-05-21, a
public test runner for the ISP gateway (its v6.0 and v7.0 signatures and the older password form), and the request classes of
public integrations. Where they conflict, the choice is a switch of `sim.taxplatform`.
"""

from __future__ import annotations

from protocols.baiwang.codes import BaiwangCodes, BaiwangError
from protocols.baiwang.messages import (
    GOODS_PREFIXES,
    OIL_MARKS,
    IssueOrder,
    RedAdd,
    goods_name,
    parse_issue,
    parse_red_add,
)
from protocols.baiwang.replies import (
    FormReply,
    Reply,
    call_query,
    issue_body,
    issued_number,
    read_form,
    read_reply,
    read_token,
    red_add_body,
    token_query,
)
from protocols.baiwang.signing import (
    REFRESH_LIFE_S,
    ROUTER_PATH,
    TOKEN_LIFE_S,
    TOKEN_METHOD,
    PasswordForm,
    digest_password,
    sign,
)

__all__ = [
    "GOODS_PREFIXES",
    "OIL_MARKS",
    "REFRESH_LIFE_S",
    "ROUTER_PATH",
    "TOKEN_LIFE_S",
    "TOKEN_METHOD",
    "BaiwangCodes",
    "BaiwangError",
    "FormReply",
    "IssueOrder",
    "PasswordForm",
    "RedAdd",
    "Reply",
    "call_query",
    "digest_password",
    "goods_name",
    "issue_body",
    "issued_number",
    "parse_issue",
    "parse_red_add",
    "read_form",
    "read_reply",
    "read_token",
    "red_add_body",
    "sign",
    "token_query",
]
