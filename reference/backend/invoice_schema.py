"""The tables around invoices: which fen each one uses, red letters, deliveries, what keeps a platform, its tokens.

The invoices themselves stand in `reference.backend.schema`.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, Index, String, Table, Text, UniqueConstraint

from reference.backend.schema import metadata

__all__ = [
    "invoice_deliveries",
    "invoice_requests",
    "invoice_uses",
    "red_letters",
    "tax_holds",
    "tax_tokens",
]


def _int(name: str, *, null: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=null)


def _str(name: str, length: int, *, null: bool = False) -> Column[Any]:
    return Column(name, String(length), nullable=null)


invoice_uses = Table(
    "invoice_uses",
    metadata,
    Column("fapiao_apply_id", String(40), primary_key=True),
    # The line of the invoice, from 0.
    Column("line", BigInteger, primary_key=True, autoincrement=False),
    _str("sale_id", 40),
    _str("order_id", 40, null=True),
    # The fen from_fen <= x < from_fen + amount_fen of what was paid for the sale.
    _int("from_fen"),
    _int("amount_fen"),
    _int("volume_ml"),
    # Of these, taken back by red letters.
    _int("red_fen"),
    # from_fen while the invoice is valid or on its way, else NULL: no fen can be in two valid invoices.
    _int("held_from", null=True),
    UniqueConstraint("sale_id", "held_from"),
    Index("ix_invoice_uses_order_id", "order_id"),
)

invoice_requests = Table(
    "invoice_requests",
    metadata,
    Column("openid", String(64), primary_key=True),
    Column("client_token", String(80), primary_key=True),
    _str("digest", 64),
    # The applications it made, as a JSON list.
    Column("content", Text, nullable=False),
    _int("created_us"),
)

red_letters = Table(
    "red_letters",
    metadata,
    # Our number at the platform, 20 letters and digits (Nuonuo takes no more for a red order).
    Column("red_id", String(20), primary_key=True),
    _str("fapiao_apply_id", 40),
    # The line that it takes back (all or a part of), or -1 for the whole invoice.
    _int("line"),
    # What it is for, such as an out_refund_no: asked twice, it is one red letter.
    _str("cause", 80),
    _int("amount_fen"),
    _int("net_fen"),
    _int("tax_fen"),
    _int("volume_ml"),
    # The bureau's label, 01 to 04.
    _str("reason", 2),
    # asked -> confirming -> issuing -> issued; or denied, expired, revoked, void, failed
    _str("state", 16),
    # The confirmation form's own state, 01 to 10.
    _str("form_state", 2, null=True),
    _str("form_number", 32, null=True),
    _str("number", 20, null=True),
    # A new blue invoice follows where the platform takes back whole invoices only, or where the title was wrong: JSON.
    Column("again", Text, nullable=True),
    Column("note", Text, nullable=True),
    _int("requested_us"),
    _int("done_us", null=True),
    UniqueConstraint("fapiao_apply_id", "line", "cause"),
)

invoice_deliveries = Table(
    "invoice_deliveries",
    metadata,
    Column("delivery_id", String(40), primary_key=True),
    _str("fapiao_apply_id", 40),
    # message | mail | wallet
    _str("channel", 8),
    # Where to; NULL once it is delivered, given up or deleted.
    _str("address", 200, null=True),
    # waiting -> delivered | failed
    _str("state", 16),
    _int("tries"),
    Column("note", Text, nullable=True),
    _int("created_us"),
    _int("done_us", null=True),
    Index("ix_invoice_deliveries_fapiao_apply_id", "fapiao_apply_id"),
)

tax_holds = Table(
    "tax_holds",
    metadata,
    Column("platform", String(16), primary_key=True),
    # login | face
    _str("why", 16),
    _int("since_us"),
)

tax_tokens = Table(
    "tax_tokens",
    metadata,
    Column("platform", String(16), primary_key=True),
    Column("token", Text, nullable=False),
    _int("expires_us"),
    # Whoever asks for a new one has until then; so that instances do not all ask (a platform may count the calls).
    _int("claimed_until_us"),
)
