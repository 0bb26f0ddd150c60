"""Worlds: a scenario put together, in virtual time or on real sockets and processes."""
