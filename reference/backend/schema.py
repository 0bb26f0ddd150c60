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
    "stock_book",
    "tank_accounts",
    "tank_readings",
    "tanks",
]

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite numbers rows by itself only in a column of the type INTEGER.
_Serial = BigInteger().with_variant(Integer, "sqlite")


def _int(name: str, *, null: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=null)


def _str(name: str, length: int, *, null: bool = False) -> Column[str]:
    return Column(name, String(length), nullable=null)


stations = Table(
    "stations",
    metadata,
    Column("station", String(16), primary_key=True),
    _str("name", 80),
    _str("taxpayer_id", 20, null=True),
    _str("lift_policy", 32),
    # The last command number. It is raised under this row's lock, so that numbers become visible in order.
    _int("command_seq"),
    _int("updated_us"),
)

nozzles = Table(
    "nozzles",
    metadata,
    Column("station", String(16), primary_key=True),
    Column("nozzle", BigInteger, primary_key=True, autoincrement=False),
    _int("fuelling_point"),
    _str("grade", 16),
    _int("price_fen_per_l"),
    _int("tank", null=True),
)

ledger = Table(
    "ledger",
    metadata,
    Column("entry_id", _Serial, primary_key=True, autoincrement=True),
    # sale | correction | return | payment | refund | settlement | loss
    _str("kind", 16),
    # What makes the entry unique: "sale/KM01/3/17", "payment/<out_trade_no>", "refund/<out_refund_no>"...
    _str("entry_key", 120),
    _int("corrects", null=True),
    _str("station", 16),
    _int("nozzle"),
    _int("sequence", null=True),
    _str("sale_id", 40, null=True),
    _str("order_id", 40, null=True),
    _int("volume_ml"),
    _int("amount_fen"),
    Column("content", Text, nullable=False),
    _str("instance", 64),
    _int("recorded_us"),
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
    _str("station", 16),
    _int("nozzle"),
    _int("sequence"),
    # payable -> locked (an order owns it) -> cleared; back to payable when the owner gives up; test: nobody's
    _str("state", 16),
    _str("order_id", 40, null=True),
    _str("digest", 64),
    _int("fuelling_point"),
    _str("grade", 16),
    # The tank that the nozzle drew from when the sale came in; another mapping later changes nothing about it.
    _int("tank", null=True),
    _int("volume_ml"),
    _int("amount_fen"),
    _int("price_fen_per_l"),
    _int("started_us"),
    _int("ended_us"),
    _int("end_total_volume_ml"),
    _int("end_total_amount_fen"),
    _str("settle_token", 80, null=True),
    _str("tender", 16, null=True),
    _int("updated_us"),
    # The shift it was metered in; null while that shift is open, 0 before the first.
    _int("shift", null=True),
    # What the site noted about it, as a JSON list; null for an ordinary sale.
    Column("flags", Text, nullable=True),
    UniqueConstraint("station", "nozzle", "sequence"),
    Index("ix_sales_state", "station", "state", "nozzle"),
    Index("ix_sales_shift", "station", "shift"),
)

orders = Table(
    "orders",
    metadata,
    Column("order_id", String(40), primary_key=True),
    _str("openid", 64),
    _str("client_token", 80),
    _str("digest", 64),
    _str("station", 16),
    _int("nozzle"),
    _str("mode", 8),
    _str("state", 16),
    # 1 while the order holds its nozzle, else NULL (NULLs do not meet in a unique index).
    Column("holds_nozzle", Integer, nullable=True),
    Column("cancel_asked", Integer, nullable=False),
    _int("preset_fen", null=True),
    _int("preset_ml", null=True),
    _int("payable_fen"),
    _int("volume_ml"),
    _int("amount_fen"),
    _int("paid_fen"),
    _int("refunded_fen"),
    _str("out_trade_no", 32, null=True),
    _str("sale_id", 40, null=True),
    Column("title", Text, nullable=True),
    # Paid out of points, coupon and balance; the rest of paid_fen went through a gateway.
    Column("parts_fen", BigInteger, nullable=False, server_default="0"),
    # contract: debit it when the pump has finished
    _str("pay_by", 24, null=True),
    # A word for the phone, such as contract_debit_failed.
    _str("notice", 40, null=True),
    _int("created_us"),
    _int("updated_us"),
    UniqueConstraint("openid", "client_token"),
    Index("uq_orders_holds_nozzle", "station", "nozzle", "holds_nozzle", unique=True),
    Index("ix_orders_updated_us", "updated_us"),
)

payments = Table(
    "payments",
    metadata,
    Column("out_trade_no", String(32), primary_key=True),
    _str("order_id", 40),
    _str("openid", 64),
    _int("amount_fen"),
    # OPEN (asked, perhaps unknown) -> SUCCESS | CLOSED
    _str("state", 16),
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
    _str("prepay_id", 64, null=True),
    _int("prepay_us", null=True),
    _str("transaction_id", 32, null=True),
    _str("proof", 16, null=True),
    _int("queries"),
    _int("expires_us"),
    _int("created_us"),
    _int("paid_us", null=True),
    UniqueConstraint("transaction_id"),
    Index("uq_payments_open", "order_id", "is_open", unique=True),
    Index("ix_payments_order_id", "order_id"),
)

refunds = Table(
    "refunds",
    metadata,
    Column("out_refund_no", String(64), primary_key=True),
    _str("out_trade_no", 32),
    _str("order_id", 40),
    _str("reason", 32),
    _int("amount_fen"),
    _int("total_fen"),
    # PENDING -> PROCESSING -> SUCCESS | CLOSED | ABNORMAL; HELD: only a person can help (`held` says why)
    _str("state", 16),
    _str("held", 16, null=True),
    # 2 and more: again, under a new number, because the gateway closed the one before.
    Column("attempt", BigInteger, nullable=False, server_default="1"),
    _int("sent_us", null=True),
    _str("refund_id", 40, null=True),
    _int("created_us"),
    _int("updated_us"),
    UniqueConstraint("order_id", "reason"),
    Index("ix_refunds_out_trade_no", "out_trade_no"),
)

invoices = Table(
    "invoices",
    metadata,
    Column("fapiao_apply_id", String(40), primary_key=True),
    # Of an invoice about one sale; which fen of which sales it uses stands in `invoice_uses`.
    _str("sale_id", 40, null=True),
    _str("order_id", 40, null=True),
    _str("station", 16),
    # The tax platform that it was handed in to; another in the settings later changes nothing about it.
    Column("platform", String(16), nullable=False, server_default="wechat"),
    # issuing -> issued | failed; issued -> reversing -> reversed
    _str("state", 16),
    # What it waits for in the queue: login, face, stock, credit, access; null while nothing keeps it.
    _str("waits", 16, null=True),
    _str("fapiao_id", 40),
    _int("attempt"),
    # The try that was handed in last.
    Column("sent", BigInteger, nullable=False, server_default="1"),
    _int("amount_fen"),
    _int("volume_ml"),
    _str("number", 20, null=True),
    # Taken back by red letters so far.
    Column("red_fen", BigInteger, nullable=False, server_default="0"),
    # Empty JSON once it was deleted at the customer's wish.
    Column("title", Text, nullable=False),
    Column("erase", Integer, nullable=True),
    Column("reason", Text, nullable=True),
    _int("requested_us"),
    _int("issued_us", null=True),
    Index("ix_invoices_order_id", "order_id"),
    Index("ix_invoices_waits", "platform", "waits", "requested_us"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    _str("task_key", 120),
    _str("topic", 32),
    _str("subject", 64),
    # When the task may run next; a claim moves it forward by the lease, so a killed worker's task comes back.
    _int("due_us"),
    _int("attempts"),
    _str("claim", 64, null=True),
    _int("created_us"),
    _int("done_us", null=True),
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
    _str("command_key", 120),
    _str("kind", 16),
    _int("nozzle"),
    _str("order_id", 40, null=True),
    Column("body", Text, nullable=False),
    _int("created_us"),
    Column("ok", Integer, nullable=True),
    _str("reason", 200, null=True),
    _int("done_us", null=True),
    UniqueConstraint("command_key"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("token_digest", String(64), primary_key=True),
    _str("openid", 64),
    _int("expires_us"),
)

alarms = Table(
    "alarms",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    _str("kind", 40),
    _str("subject", 120),
    Column("detail", Text, nullable=False),
    _int("raised_us"),
)


tanks = Table(
    "tanks",
    metadata,
    Column("station", String(16), primary_key=True),
    Column("tank", BigInteger, primary_key=True, autoincrement=False),
    _str("grade", 16),
    # Tanks that a siphon joins are accounted as one.
    _int("grp"),
    _int("capacity_ml"),
    _int("pumpable_ml"),
    # The last figures that could be true, and when they were read; an unreadable tank keeps them, with their age.
    _int("volume_ml", null=True),
    _int("corrected_ml", null=True),
    _int("height_um", null=True),
    _int("water_um", null=True),
    _int("temperature_mdeg", null=True),
    _int("volume_at_us", null=True),
    _int("read_at_us"),
    # 1 while nothing may be sold from it.
    Column("blocked", Integer, nullable=False),
    # Alarms that are active, as a JSON list; each was raised once when it came.
    Column("active", Text, nullable=False),
)

tank_readings = Table(
    "tank_readings",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    _str("station", 16),
    _int("at_us"),
    _str("digest", 64),
    Column("content", Text, nullable=False),
    _int("heard_us"),
    UniqueConstraint("station", "at_us"),
)

tank_accounts = Table(
    "tank_accounts",
    metadata,
    Column("station", String(16), primary_key=True),
    Column("grp", BigInteger, primary_key=True, autoincrement=False),
    _str("grade", 16),
    Column("state", Text, nullable=False),
    _int("updated_us"),
)

stock_book = Table(
    "stock_book",
    metadata,
    Column("entry_id", _Serial, primary_key=True, autoincrement=True),
    # opening | delivery | return | correction
    _str("kind", 16),
    # What makes the entry unique: "delivery/KM01/2/<start>"
    _str("entry_key", 120),
    _str("station", 16),
    _int("grp"),
    _str("grade", 16),
    # One road tanker fills several tanks: its lines share this name.
    _str("site_delivery", 60, null=True),
    _int("volume_ml"),
    _int("started_us"),
    _int("ended_us"),
    Column("content", Text, nullable=False),
    _str("instance", 64),
    _int("recorded_us"),
    UniqueConstraint("entry_key"),
    Index("ix_stock_book_station", "station", "ended_us"),
)

handovers = Table(
    "handovers",
    metadata,
    Column("station", String(16), primary_key=True),
    # Of the shift that it opens; it closes the one before, if there is one.
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    _int("at_us"),
    _str("attendant", 40),
    _int("cash_counted_fen", null=True),
    _str("digest", 64),
    # The readings as the site took them, the stock at that time, and the report of the shift it closes, as JSON.
    Column("content", Text, nullable=False),
    Column("stock", Text, nullable=False),
    Column("report", Text, nullable=True),
    _str("instance", 64),
    _int("recorded_us"),
)

shift_entries = Table(
    "shift_entries",
    metadata,
    Column("entry_id", _Serial, primary_key=True, autoincrement=True),
    # late_sale | return | delivery: what became known of a shift after it was closed
    _str("kind", 16),
    # What makes the entry unique: "late_sale/<sale_id>"
    _str("entry_key", 120),
    _str("station", 16),
    _int("shift"),
    _str("sale_id", 40, null=True),
    _int("nozzle", null=True),
    _int("sequence", null=True),
    _int("grp", null=True),
    _str("grade", 16),
    _int("volume_ml"),
    _int("amount_fen"),
    _str("instance", 64),
    _int("recorded_us"),
    UniqueConstraint("entry_key"),
    Index("ix_shift_entries_shift", "station", "shift"),
)
