"""Open-loop load with Locust, in a process of its own: plan first, time from the intended start, count every drop.

``python -m bench.load --host URL --payer-url URL`` draws the plan, starts Locust on ``bench/locustfile.py`` and prints
one JSON summary. Nothing here imports Locust: it patches the standard library for gevent as soon as it is imported.
"""

from __future__ import annotations

from bench.load.figures import LIMITS_US, SEGMENTS, LoadFigures
from bench.load.plan import LoadPlan, PlanError, PlannedPayment
from bench.load.run import LoadRunError, run_locust
from bench.load.summary import doubts, summarise

__all__ = [
    "LIMITS_US",
    "SEGMENTS",
    "LoadFigures",
    "LoadPlan",
    "LoadRunError",
    "PlanError",
    "PlannedPayment",
    "doubts",
    "run_locust",
    "summarise",
]
