"""The tables around invoices: which fen each one uses, red letters, deliveries, what keeps a platform, its tokens.

The invoices themselves stand in `reference.backend.store.schema`.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, String, Table, Text, UniqueConstraint

from reference.backend.store.columns import integer, varchar
from reference.backend.store.schema import metadata

__all__ = [
    "invoice_deliveries",
    "invoice_requests",
    "invoice_uses",
    "red_letters",
    "tax_holds",
    "tax_tokens",
]


invoice_uses = Table(
    "invoice_uses",
    metadata,
    Column("fapiao_apply_id", String(40), primary_key=True),
    # The line of the invoice, from 0.
    Column("line", BigInteger, primary_key=True, autoincrement=False),
    varchar("sale_id", 40),
    varchar("order_id", 40, null=True),
    # The fen from_fen <= x < from_fen + amount_fen of what was paid for the sale.
    integer("from_fen"),
    integer("amount_fen"),
    integer("volume_ml"),
    # Of these, taken back by red letters.
    integer("red_fen"),
    # from_fen while the invoice is valid or on its way, else NULL: no fen can be in two valid invoices.
    integer("held_from", null=True),
    UniqueConstraint("sale_id", "held_from"),
    Index("ix_invoice_uses_order_id", "order_id"),
)

invoice_requests = Table(
    "invoice_requests",
    metadata,
    Column("openid", String(64), primary_key=True),
    Column("client_token", String(80), primary_key=True),
    varchar("digest", 64),
    # The applications it made, as a JSON list.
    Column("content", Text, nullable=False),
    integer("created_us"),
)

red_letters = Table(
    "red_letters",
    metadata,
    # Our number at the platform, 20 letters and digits (Nuonuo takes no more for a red order).
    Column("red_id", String(20), primary_key=True),
    varchar("fapiao_apply_id", 40),
    # The line that it takes back (all or a part of), or -1 for the whole invoice.
    integer("line"),
    # What it is for, such as an out_refund_no: asked twice, it is one red letter.
    varchar("cause", 80),
    integer("amount_fen"),
    integer("net_fen"),
    integer("tax_fen"),
    integer("volume_ml"),
    # The bureau's label, 01 to 04.
    varchar("reason", 2),
    # asked -> confirming -> issuing -> issued; or denied, expired, revoked, void, failed
    varchar("state", 16),
    # The confirmation form's own state, 01 to 10.
    varchar("form_state", 2, null=True),
    varchar("form_number", 32, null=True),
    varchar("number", 20, null=True),
    # A new blue invoice follows where the platform takes back whole invoices only, or where the title was wrong: JSON.
    Column("again", Text, nullable=True),
    Column("note", Text, nullable=True),
    integer("requested_us"),
    integer("done_us", null=True),
    UniqueConstraint("fapiao_apply_id", "line", "cause"),
)

invoice_deliveries = Table(
    "invoice_deliveries",
    metadata,
    Column("delivery_id", String(40), primary_key=True),
    varchar("fapiao_apply_id", 40),
    # message | mail | wallet
    varchar("channel", 8),
    # Where to; NULL once it is delivered, given up or deleted.
    varchar("address", 200, null=True),
    # waiting -> delivered | failed
    varchar("state", 16),
    integer("tries"),
    Column("note", Text, nullable=True),
    integer("created_us"),
    integer("done_us", null=True),
    Index("ix_invoice_deliveries_fapiao_apply_id", "fapiao_apply_id"),
)

tax_holds = Table(
    "tax_holds",
    metadata,
    Column("platform", String(16), primary_key=True),
    # login | face
    varchar("why", 16),
    integer("since_us"),
)

tax_tokens = Table(
    "tax_tokens",
    metadata,
    Column("platform", String(16), primary_key=True),
    Column("token", Text, nullable=False),
    integer("expires_us"),
    # Whoever asks for a new one has until then; so that instances do not all ask (a platform may count the calls).
    integer("claimed_until_us"),
)
