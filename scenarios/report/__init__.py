"""The run report: one self-contained HTML file."""

from __future__ import annotations

from scenarios.report.page import render_report
from scenarios.report.plots import curve_plot, latency_plot, queue_plot, timeline_plot

__all__ = ["curve_plot", "latency_plot", "queue_plot", "render_report", "timeline_plot"]
