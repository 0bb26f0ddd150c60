"""Alembic's entry point. The connection comes from `upgrade_connection`."""

from __future__ import annotations

from alembic import context

from reference.backend import (  # noqa: F401 - their tables are part of the schema
    card_schema,
    invoice_schema,
    member_schema,
    reconciliation_schema,
    refund_schema,
    voice_schema,
)
from reference.backend.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
