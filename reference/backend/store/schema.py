"""The tables, once for SQLite and PostgreSQL.

Times are Unix microseconds, money is fen, volume is millilitres: 64-bit integers all. JSON is kept as text, because the
database never looks into it. The ledger refuses UPDATE and DELETE by trigger (see the first migration), so that
"append-only" does not depend on the goodwill of this code.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from reference.backend.store.columns import SERIAL, integer, varchar

__all__ = [
    "alarms",
    "commands",
    "handovers",
    "invoices",
    "ledger",
    "metadata",
    "nozzles",
    "orders",
    "outbox",
    "payments",
    "refunds",
    "sales",
    "sessions",
    "shift_entries",
    "stations",
]

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

stations = Table(
    "stations",
    metadata,
    Column("station", String(16), primary_key=True),
    varchar("name", 80),
    varchar("taxpayer_id", 20, null=True),
    varchar("lift_policy", 32),
    # The last command number. It is raised under this row's lock, so that numbers become visible in order.
    integer("command_seq"),
    integer("updated_us"),
)

nozzles = Table(
    "nozzles",
    metadata,
    Column("station", String(16), primary_key=True),
    Column("nozzle", BigInteger, primary_key=True, autoincrement=False),
    integer("fuelling_point"),
    varchar("grade", 16),
    integer("price_fen_per_l"),
    integer("tank", null=True),
)

ledger = Table(
    "ledger",
    metadata,
    Column("entry_id", SERIAL, primary_key=True, autoincrement=True),
    # sale | correction | return | payment | refund | settlement | loss
    varchar("kind", 16),
    # What makes the entry unique: "sale/KM01/3/17", "payment/<out_trade_no>", "refund/<out_refund_no>"...
    varchar("entry_key", 120),
    integer("corrects", null=True),
    varchar("station", 16),
    integer("nozzle"),
    integer("sequence", null=True),
    varchar("sale_id", 40, null=True),
    varchar("order_id", 40, null=True),
    integer("volume_ml"),
    integer("amount_fen"),
    Column("content", Text, nullable=False),
    varchar("instance", 64),
    integer("recorded_us"),
    UniqueConstraint("entry_key"),
    # The money of a shift is found by the time at which it was taken.
    Index(
        "ix_ledger_money",
        "station",
        "recorded_us",
        sqlite_where=text("kind IN ('payment', 'settlement', 'refund')"),
        postgresql_where=text("kind IN ('payment', 'settlement', 'refund')"),
    ),
)

sales = Table(
    "sales",
    metadata,
    Column("sale_id", String(40), primary_key=True),
    varchar("station", 16),
    integer("nozzle"),
    integer("sequence"),
    # payable -> locked (an order owns it) -> cleared; back to payable when the owner gives up; test: nobody's
    varchar("state", 16),
    varchar("order_id", 40, null=True),
    varchar("digest", 64),
    integer("fuelling_point"),
    varchar("grade", 16),
    # The tank that the nozzle drew from when the sale came in; another mapping later changes nothing about it.
    integer("tank", null=True),
    integer("volume_ml"),
    integer("amount_fen"),
    integer("price_fen_per_l"),
    integer("started_us"),
    integer("ended_us"),
    integer("end_total_volume_ml"),
    integer("end_total_amount_fen"),
    varchar("settle_token", 80, null=True),
    varchar("tender", 16, null=True),
    integer("updated_us"),
    # The shift it was metered in; null while that shift is open, 0 before the first.
    integer("shift", null=True),
    # What the site noted about it, as a JSON list; null for an ordinary sale.
    Column("flags", Text, nullable=True),
    # The price set of its unit price, and since when the pump showed it; null if the site did not tell.
    integer("price_set", null=True),
    integer("price_since_us", null=True),
    # Who had logged in at its pump; null: nobody, so it is the shift's own.
    varchar("attendant", 16, null=True),
    UniqueConstraint("station", "nozzle", "sequence"),
    Index("ix_sales_state", "station", "state", "nozzle"),
    Index("ix_sales_shift", "station", "shift"),
)

orders = Table(
    "orders",
    metadata,
    Column("order_id", String(40), primary_key=True),
    varchar("openid", 64),
    varchar("client_token", 80),
    varchar("digest", 64),
    varchar("station", 16),
    integer("nozzle"),
    varchar("mode", 8),
    varchar("state", 16),
    # 1 while the order holds its nozzle, else NULL (NULLs do not meet in a unique index).
    Column("holds_nozzle", Integer, nullable=True),
    Column("cancel_asked", Integer, nullable=False),
    integer("preset_fen", null=True),
    integer("preset_ml", null=True),
    integer("payable_fen"),
    integer("volume_ml"),
    integer("amount_fen"),
    integer("paid_fen"),
    integer("refunded_fen"),
    varchar("out_trade_no", 32, null=True),
    varchar("sale_id", 40, null=True),
    Column("title", Text, nullable=True),
    # Paid out of points, coupon and balance; the rest of paid_fen went through a gateway.
    Column("parts_fen", BigInteger, nullable=False, server_default="0"),
    # contract: debit it when the pump has finished
    varchar("pay_by", 24, null=True),
    # A word for the phone, such as contract_debit_failed.
    varchar("notice", 40, null=True),
    integer("created_us"),
    integer("updated_us"),
    UniqueConstraint("openid", "client_token"),
    Index("uq_orders_holds_nozzle", "station", "nozzle", "holds_nozzle", unique=True),
    Index("ix_orders_updated_us", "updated_us"),
)

payments = Table(
    "payments",
    metadata,
    Column("out_trade_no", String(32), primary_key=True),
    varchar("order_id", 40),
    varchar("openid", 64),
    integer("amount_fen"),
    # OPEN (asked, perhaps unknown) -> SUCCESS | CLOSED
    varchar("state", 16),
    # 1 while OPEN, else NULL: an order never has two payments that could both be paid.
    Column("is_open", Integer, nullable=True),
    # The way it goes: a name of `reference.backend.channels`.
    Column("channel", String(24), nullable=False, server_default="wechatpay"),
    # How many tries may have reached its gateway; 0: certainly none; NULL: the first may have.
    Column("sent", Integer, nullable=True),
    # 1 once its end was asked for at a gateway where that may undo a payment: a notice alone proves nothing any more.
    Column("ending", Integer, nullable=True),
    # What the payer needs, as JSON, where it is not a prepay_id.
    Column("handle", Text, nullable=True),
    varchar("prepay_id", 64, null=True),
    integer("prepay_us", null=True),
    varchar("transaction_id", 32, null=True),
    varchar("proof", 16, null=True),
    integer("queries"),
    integer("expires_us"),
    integer("created_us"),
    integer("paid_us", null=True),
    UniqueConstraint("transaction_id"),
    Index("uq_payments_open", "order_id", "is_open", unique=True),
    Index("ix_payments_order_id", "order_id"),
)

refunds = Table(
    "refunds",
    metadata,
    Column("out_refund_no", String(64), primary_key=True),
    varchar("out_trade_no", 32),
    varchar("order_id", 40),
    varchar("reason", 32),
    integer("amount_fen"),
    integer("total_fen"),
    # PENDING -> PROCESSING -> SUCCESS | CLOSED | ABNORMAL; HELD: only a person can help (`held` says why); CASH: one did
    varchar("state", 16),
    varchar("held", 16, null=True),
    # 2 and more: again, under a new number, because the gateway closed the one before.
    Column("attempt", BigInteger, nullable=False, server_default="1"),
    integer("sent_us", null=True),
    varchar("refund_id", 40, null=True),
    integer("created_us"),
    integer("updated_us"),
    UniqueConstraint("order_id", "reason"),
    Index("ix_refunds_out_trade_no", "out_trade_no"),
)

invoices = Table(
    "invoices",
    metadata,
    Column("fapiao_apply_id", String(40), primary_key=True),
    # Of an invoice about one sale; which fen of which sales it uses stands in `invoice_uses`.
    varchar("sale_id", 40, null=True),
    varchar("order_id", 40, null=True),
    varchar("station", 16),
    # The tax platform that it was handed in to; another in the settings later changes nothing about it.
    Column("platform", String(16), nullable=False, server_default="wechat"),
    # issuing -> issued | failed; issued -> reversing -> reversed
    varchar("state", 16),
    # What it waits for in the queue: login, face, stock, credit, access; null while nothing keeps it.
    varchar("waits", 16, null=True),
    varchar("fapiao_id", 40),
    integer("attempt"),
    # The try that was handed in last.
    Column("sent", BigInteger, nullable=False, server_default="1"),
    integer("amount_fen"),
    integer("volume_ml"),
    varchar("number", 20, null=True),
    # Taken back by red letters so far.
    Column("red_fen", BigInteger, nullable=False, server_default="0"),
    # Empty JSON once it was deleted at the customer's wish.
    Column("title", Text, nullable=False),
    Column("erase", Integer, nullable=True),
    Column("reason", Text, nullable=True),
    integer("requested_us"),
    integer("issued_us", null=True),
    Index("ix_invoices_order_id", "order_id"),
    Index("ix_invoices_waits", "platform", "waits", "requested_us"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", SERIAL, primary_key=True, autoincrement=True),
    varchar("task_key", 120),
    varchar("topic", 32),
    varchar("subject", 64),
    # When the task may run next; a claim moves it forward by the lease, so a killed worker's task comes back.
    integer("due_us"),
    integer("attempts"),
    varchar("claim", 64, null=True),
    integer("created_us"),
    integer("done_us", null=True),
    Column("last_error", Text, nullable=True),
    UniqueConstraint("task_key"),
    Index(
        "ix_outbox_due",
        "due_us",
        "id",
        sqlite_where=text("done_us IS NULL"),
        postgresql_where=text("done_us IS NULL"),
    ),
)

commands = Table(
    "commands",
    metadata,
    Column("station", String(16), primary_key=True),
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    varchar("command_key", 120),
    varchar("kind", 16),
    integer("nozzle"),
    varchar("order_id", 40, null=True),
    Column("body", Text, nullable=False),
    integer("created_us"),
    Column("ok", Integer, nullable=True),
    varchar("reason", 200, null=True),
    integer("done_us", null=True),
    UniqueConstraint("command_key"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("token_digest", String(64), primary_key=True),
    varchar("openid", 64),
    integer("expires_us"),
)

alarms = Table(
    "alarms",
    metadata,
    Column("id", SERIAL, primary_key=True, autoincrement=True),
    varchar("kind", 40),
    varchar("subject", 120),
    Column("detail", Text, nullable=False),
    integer("raised_us"),
)

handovers = Table(
    "handovers",
    metadata,
    Column("station", String(16), primary_key=True),
    # Of the shift that it opens; it closes the one before, if there is one.
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    integer("at_us"),
    varchar("attendant", 40),
    integer("cash_counted_fen", null=True),
    varchar("digest", 64),
    # The readings as the site took them, the stock at that time, and the report of the shift it closes, as JSON.
    Column("content", Text, nullable=False),
    Column("stock", Text, nullable=False),
    Column("report", Text, nullable=True),
    varchar("instance", 64),
    integer("recorded_us"),
)

shift_entries = Table(
    "shift_entries",
    metadata,
    Column("entry_id", SERIAL, primary_key=True, autoincrement=True),
    # late_sale | return | delivery: what became known of a shift after it was closed
    varchar("kind", 16),
    # What makes the entry unique: "late_sale/<sale_id>"
    varchar("entry_key", 120),
    varchar("station", 16),
    integer("shift"),
    varchar("sale_id", 40, null=True),
    integer("nozzle", null=True),
    integer("sequence", null=True),
    integer("grp", null=True),
    varchar("grade", 16),
    integer("volume_ml"),
    integer("amount_fen"),
    varchar("instance", 64),
    integer("recorded_us"),
    UniqueConstraint("entry_key"),
    Index("ix_shift_entries_shift", "station", "shift"),
)
