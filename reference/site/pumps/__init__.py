"""Drivers of dispensers: what the controller needs from any protocol, and each protocol's own side."""
