"""Fully digital invoices: asked for, issued by a tax platform, delivered, and taken back by red letters."""
