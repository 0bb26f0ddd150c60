"""The schema's history (Alembic), run from code: one history for SQLite and PostgreSQL.

`reference.backend.migrations.upgrade` does it, and takes Alembic to load; what a store needs to know before stands here.
"""

from __future__ import annotations

__all__ = ["HEAD"]

HEAD = "0011"
"""The newest revision; a store that has it is left alone."""
