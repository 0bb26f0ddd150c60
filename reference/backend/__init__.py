"""The reference backend: the service in the cloud that stations, phones and the payment gateway talk to.

Rules that shape it: each physical delivery is one ledger sale; the ledger is append-only; a time-out is unknown, never
failed; only a verified callback or a query marks an order paid; what must follow a commit is written in that commit;
the pump's figures are never recomputed.
"""

from __future__ import annotations

from reference.backend.app import Backend, create_backend, open_database
from reference.backend.audit import audit
from reference.backend.gateways.port import Gateway
from reference.backend.payments.trade_number import TradeNumber, TradeNumberError, TradeNumbers
from reference.backend.settings import BackendSettings, SettingsError
from reference.backend.store.database import Database, StoreUnavailableError
from reference.backend.store.postgres import PostgresDatabase
from reference.backend.store.sqlite import SqliteDatabase

__all__ = [
    "Backend",
    "BackendSettings",
    "Database",
    "Gateway",
    "PostgresDatabase",
    "SettingsError",
    "SqliteDatabase",
    "StoreUnavailableError",
    "TradeNumber",
    "TradeNumberError",
    "TradeNumbers",
    "audit",
    "create_backend",
    "open_database",
]
