"""Shifts and test deliveries: handovers, and the reports that follow from the tables."""
