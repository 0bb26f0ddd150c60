"""Tanks: stock with its age, deliveries, losses and alarms."""
