"""Invoices over several platforms: which fen each uses, red letters, deliveries, holds and tokens of the platforms."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def _int(name: str, *, null: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=null)


def _str(name: str, length: int, *, null: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(length=length), nullable=null)


def _text(name: str, *, null: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=null)


def upgrade() -> None:
    with op.batch_alter_table("invoices") as batch:
        batch.alter_column("sale_id", existing_type=sa.String(40), nullable=True)
        batch.add_column(sa.Column("platform", sa.String(16), nullable=False, server_default="wechat"))
        batch.add_column(_str("waits", 16, null=True))
        batch.add_column(sa.Column("sent", sa.BigInteger(), nullable=False, server_default="1"))
        batch.add_column(sa.Column("red_fen", sa.BigInteger(), nullable=False, server_default="0"))
        batch.add_column(sa.Column("erase", sa.Integer(), nullable=True))
        # A sale may be split, and after a red letter it may have another invoice: its fen are what is used once.
        batch.drop_constraint("uq_invoices_sale_id", type_="unique")
    op.create_index("ix_invoices_waits", "invoices", ["platform", "waits", "requested_us"], unique=False)
    _uses()
    op.create_table(
        "invoice_requests",
        _str("openid", 64),
        _str("client_token", 80),
        _str("digest", 64),
        _text("content"),
        _int("created_us"),
        sa.PrimaryKeyConstraint("openid", "client_token", name=op.f("pk_invoice_requests")),
    )
    op.create_table(
        "red_letters",
        _str("red_id", 20),
        _str("fapiao_apply_id", 40),
        _int("line"),
        _str("cause", 80),
        _int("amount_fen"),
        _int("net_fen"),
        _int("tax_fen"),
        _int("volume_ml"),
        _str("reason", 2),
        _str("state", 16),
        _str("form_state", 2, null=True),
        _str("form_number", 32, null=True),
        _str("number", 20, null=True),
        _text("again", null=True),
        _text("note", null=True),
        _int("requested_us"),
        _int("done_us", null=True),
        sa.PrimaryKeyConstraint("red_id", name=op.f("pk_red_letters")),
        sa.UniqueConstraint(
            "fapiao_apply_id", "line", "cause", name=op.f("uq_red_letters_fapiao_apply_id_line_cause")
        ),
    )
    op.create_table(
        "invoice_deliveries",
        _str("delivery_id", 40),
        _str("fapiao_apply_id", 40),
        _str("channel", 8),
        _str("address", 200, null=True),
        _str("state", 16),
        _int("tries"),
        _text("note", null=True),
        _int("created_us"),
        _int("done_us", null=True),
        sa.PrimaryKeyConstraint("delivery_id", name=op.f("pk_invoice_deliveries")),
    )
    op.create_index(
        "ix_invoice_deliveries_fapiao_apply_id", "invoice_deliveries", ["fapiao_apply_id"], unique=False
    )
    op.create_table(
        "tax_holds",
        _str("platform", 16),
        _str("why", 16),
        _int("since_us"),
        sa.PrimaryKeyConstraint("platform", name=op.f("pk_tax_holds")),
    )
    op.create_table(
        "tax_tokens",
        _str("platform", 16),
        _text("token"),
        _int("expires_us"),
        _int("claimed_until_us"),
        sa.PrimaryKeyConstraint("platform", name=op.f("pk_tax_tokens")),
    )


def _uses() -> None:
    """Until now an invoice was about one sale and all that was paid for it."""
    op.create_table(
        "invoice_uses",
        _str("fapiao_apply_id", 40),
        sa.Column("line", sa.BigInteger(), autoincrement=False, nullable=False),
        _str("sale_id", 40),
        _str("order_id", 40, null=True),
        _int("from_fen"),
        _int("amount_fen"),
        _int("volume_ml"),
        _int("red_fen"),
        _int("held_from", null=True),
        sa.PrimaryKeyConstraint("fapiao_apply_id", "line", name=op.f("pk_invoice_uses")),
        sa.UniqueConstraint("sale_id", "held_from", name=op.f("uq_invoice_uses_sale_id_held_from")),
    )
    op.create_index("ix_invoice_uses_order_id", "invoice_uses", ["order_id"], unique=False)
    op.execute(
        "INSERT INTO invoice_uses (fapiao_apply_id, line, sale_id, order_id, from_fen, amount_fen, volume_ml, red_fen, held_from) "
        "SELECT fapiao_apply_id, 0, sale_id, order_id, 0, amount_fen, volume_ml, 0, "
        "CASE WHEN state = 'failed' THEN NULL ELSE 0 END FROM invoices"
    )


def downgrade() -> None:
    raise NotImplementedError("invoices are not thrown away by a migration; restore a backup instead")
