"""Receipts: queued, printed once, on a wire or through a printer in Feie's cloud."""
