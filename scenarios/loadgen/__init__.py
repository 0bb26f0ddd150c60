"""Open-loop load on a real backend: arrivals are drawn first, and each is timed from its intended start."""
