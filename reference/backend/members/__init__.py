"""Members: points, balance, coupons, cards and contracts for frictionless payment."""
