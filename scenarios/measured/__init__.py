"""The measured half of a run: real sockets, real processes, open-loop load, kill -9."""

from __future__ import annotations

from scenarios.measured.loop import run_to_end
from scenarios.measured.run import MeasuredRun, MeasureError, measure

__all__ = ["MeasureError", "MeasuredRun", "measure", "run_to_end"]
