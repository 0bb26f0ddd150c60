"""The daily reconciliation of the gateway's bills with our own books."""
