"""Payments: attempts and their ends, proofs, and what a proved payment does to its order."""
