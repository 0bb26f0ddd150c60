"""Alembic's entry point. The connection comes from `upgrade_connection`."""

from __future__ import annotations

from alembic import context

# Their tables are part of the schema.
import reference.backend.attendants.schema
import reference.backend.invoices.schema
import reference.backend.members.card_schema
import reference.backend.members.schema
import reference.backend.reconciliation.schema
import reference.backend.refunds.schema
import reference.backend.tanks.schema
import reference.backend.voice.schema  # noqa: F401
from reference.backend.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
