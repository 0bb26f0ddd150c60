"""Brings the schema behind an open connection to a revision."""

from __future__ import annotations

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

__all__ = ["upgrade_connection"]

_LOCK = 0x464F5245  # "FORE"


def upgrade_connection(connection: Connection, revision: str = "head") -> None:
    """Bring the schema behind an open connection to a revision.

    On PostgreSQL an advisory lock lets one of several starting instances do it while the others wait.
    """
    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    with connection.begin():
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        command.upgrade(config, revision)
