"""Refunds: what is owed back, within the platform's limits, until its end is known."""
