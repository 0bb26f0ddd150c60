"""The database: one schema, one face for SQLite and PostgreSQL, and the wake-ups between instances."""
