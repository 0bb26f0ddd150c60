"""The plots of the report, each as the text of one SVG. Same input, same bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from scenarios.checks import REGISTRY
from scenarios.evidence import CurveLine, FaultLine, TimelineStep

__all__ = ["curve_plot", "latency_plot", "queue_plot", "survival", "timeline_plot"]

INK, MUTED, GRID = "#1f2933", "#66727f", "#e4e7eb"
BLUE, ORANGE, RED, GREEN = "#1c5d99", "#c8641b", "#b3261e", "#2e7d4f"
_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "forecourt",
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "legend.frameon": False,
}
_QUANTILES = {"p95_us": 0.95, "p99_us": 0.99, "p999_us": 0.999}
_NOTHING = 1e-12
"""A share below every panel."""
_SEGMENTS = (
    ("payment_controlled", "Payment, controlled segment", "latency.payment-controlled"),
    ("payment_end_to_end", "Payment, end to end", "latency.payment-end-to-end"),
    ("invoice_issued", "PAID to invoice issued", "latency.invoice-issued"),
    ("invoice_answered", "PAID to answered", "latency.invoice-answered"),
    ("live_amount", "Live amount on the phone", "latency.live-amount"),
    ("payment_human", "Human time (not judged)", "latency.payment-human"),
)


def _svg(figure: Figure) -> str:
    text = io.StringIO()
    # No date and no version: the same run gives the same report.
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()


def _seconds(value: float, _position: object = None) -> str:
    if value < 1e-3:
        return f"{value * 1e6:g} µs"
    return f"{value * 1e3:g} ms" if value < 1 else f"{value:g} s"


def queue_plot(queue: Sequence[tuple[int, int]], duration_us: int, faults: Sequence[FaultLine] = ()) -> str:
    """Cars waiting for a position over the run, with the windows of the faults behind it."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(9.2, 2.5), layout="constrained")
        axes = figure.subplots()
        times = [0.0, *(at_us / 60e6 for at_us, _ in queue), duration_us / 60e6]
        lengths = [0, *(length for _, length in queue), queue[-1][1] if queue else 0]
        for number, fault in enumerate(faults):
            end_us = fault.healed_us if fault.healed_us is not None else duration_us
            axes.axvspan(
                fault.at_us / 60e6,
                end_us / 60e6,
                color=RED,
                alpha=0.06,
                lw=0,
                label="a fault is active" if number == 0 else None,
            )
        axes.fill_between(times, lengths, step="post", color=BLUE, alpha=0.15, lw=0)
        axes.step(times, lengths, where="post", color=BLUE, lw=1.3)
        axes.set(xlabel="minutes into the run", ylabel="cars waiting", xlim=(0, duration_us / 60e6))
        axes.set_ylim(0, max(4, *lengths) * 1.12)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        if faults:
            axes.legend(loc="upper left", fontsize=8.5)
        return _svg(figure)


def latency_plot(
    latencies_us: Mapping[str, Sequence[int]], limits_us: Mapping[str, Mapping[str, int]] | None = None
) -> str:
    """Share of samples slower than a latency, one panel a segment, with the limits drawn.

    A limit "p99 <= 300 ms" is a mark at (300 ms, 1 %): a curve that passes below and left of it keeps the limit.

    Args:
        latencies_us: samples by segment name.
        limits_us: limits by check slug where the scenario's differ from the check's own.
    """
    panels = [entry for entry in _SEGMENTS if latencies_us.get(entry[0])]
    if not panels:
        return ""
    rows = (len(panels) + 1) // 2
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(9.2, 2.55 * rows), layout="constrained")
        grid = figure.subplots(rows, 2, squeeze=False)
        for place, (name, title, slug) in enumerate(panels):
            limits = {**REGISTRY[slug].limits, **(limits_us or {}).get(slug, {})}
            _survival(grid[place // 2][place % 2], latencies_us[name], title, limits)
        if len(panels) % 2:
            grid[-1][-1].axis("off")
        return _svg(figure)


def survival(samples_us: Sequence[int]) -> tuple[list[int], list[float]]:
    """Latencies in µs, rising, and for each the share of samples that took at least so long: that of the line up to there.

    Of many samples those are left out whose share differs from their neighbour's by less than a hundredth of it, so that a tail of
    a few samples is as exact as the rest. What took no time stands at 1 µs: a logarithmic axis has no place for 0.
    """
    ordered = sorted(samples_us)
    n = len(ordered)
    left = {n - rank for rank in range(0, n, max(1, n // 900))}
    count = n
    while count:
        left.add(count)
        count = min(count - 1, count * 99 // 100)
    counts = sorted(left, reverse=True)
    return [max(ordered[n - count], 1) for count in counts], [count / n for count in counts]


def _survival(axes: Axes, samples: Sequence[int], title: str, limits: Mapping[str, int]) -> None:
    latencies_us, slower = survival(samples)
    n = len(samples)
    # Where the last sample has passed nothing is slower, which no logarithmic axis can show: there the line falls out of the panel.
    axes.step(
        [*(at_us / 1e6 for at_us in latencies_us), latencies_us[-1] / 1e6],
        [*slower, _NOTHING],
        where="pre",
        color=BLUE,
        lw=1.5,
    )
    low, high = latencies_us[0] / 1e6, latencies_us[-1] / 1e6
    lowest = min(0.5 / n, 0.5e-2)
    for key, limit_us in limits.items():
        share = 1 - _QUANTILES[key] if key in _QUANTILES else lowest
        name = key.removesuffix("_us").replace("p999", "p99.9").replace("maximum", "all")
        limit_s = limit_us / 1e6
        high = max(high, limit_s)
        axes.plot([limit_s, limit_s], [share, 1.0], color=RED, lw=1.1, ls=(0, (4, 2)))
        axes.plot([limit_s], [share], marker="o", ms=4, color=RED)
        axes.annotate(
            f"{name} ≤ {_seconds(limit_s)}", (limit_s, share), xytext=(6, 0), textcoords="offset points",
            color=RED, fontsize=8.5, ha="left", va="center", zorder=5,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0, "alpha": 0.85},
        )  # fmt: skip
    axes.set(xscale="log", yscale="log", title=f"{title}  (n = {n:,})", ylabel="share slower")
    axes.set_xlim(low / 1.3, high * (5 if limits else 1.6))
    axes.set_ylim(min(lowest, *(1 - _QUANTILES[k] for k in limits if k in _QUANTILES), 0.5e-2) / 2, 1.3)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if high / low > 30 else (1.0, 2.0, 5.0)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(FuncFormatter(_seconds))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value * 100:g} %"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def timeline_plot(steps: Sequence[TimelineStep]) -> str:
    """One car from arrival to receipt: a lane for each actor, bars for steps, marks for moments."""
    if not steps:
        return ""
    lanes = list(dict.fromkeys(step.lane for step in steps))
    start_us = min(step.start_us for step in steps)
    span = (max(step.end_us for step in steps) - start_us) / 1e6 or 1.0
    colours = dict(zip(lanes, [BLUE, ORANGE, GREEN, MUTED, RED] * 3, strict=False))
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(9.2, 0.9 + 0.8 * len(lanes)), layout="constrained")
        axes = figure.subplots()
        axes.grid(visible=False, axis="y")
        for row, lane in enumerate(lanes):
            _lane(axes, row, [step for step in steps if step.lane == lane], start_us, span, colours[lane])
        axes.set_yticks(range(len(lanes)), lanes, color=INK)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set(
            xlabel="seconds after arrival", xlim=(-0.01 * span, span * 1.04), ylim=(len(lanes) - 0.4, -0.62)
        )
        return _svg(figure)


def _lane(
    axes: Axes, row: int, steps: Sequence[TimelineStep], start_us: int, span: float, colour: str
) -> None:
    level = 0
    last_end = -span
    for step in sorted(steps, key=lambda step: step.start_us):
        x, width = (step.start_us - start_us) / 1e6, (step.end_us - step.start_us) / 1e6
        text_width = span * 0.0105 * len(step.name)
        if width > 0:
            axes.barh(row, width, left=x, height=0.42, color=colour, alpha=0.22, edgecolor=colour, lw=0.8)
            if width > text_width:
                axes.text(x + width / 2, row, step.name, ha="center", va="center", fontsize=8, color=INK)
                continue
        else:
            axes.plot([x], [row], marker="|", ms=12, color=colour, mew=1.8)
        # Names that do not fit inside stand above, and step down when they would overlap.
        level = (level + 1) % 2 if x < last_end else 0
        right = x > span * 0.85
        axes.text(
            x, row - 0.32 if level == 0 else row + 0.34, step.name, ha="right" if right else "left", va="center",
            fontsize=7.5, color=MUTED,
        )  # fmt: skip
        last_end = x + text_width * 0.95


def curve_plot(points: Sequence[CurveLine]) -> str:
    """Kiosk against mini-program over arrival rates: share of time paying, time per car, cars per hour."""
    if not points:
        return ""
    panels: tuple[tuple[str, str, Any], ...] = (
        (
            "Payment and invoice",
            "share of position time, %",
            lambda p: None if p.paying_share is None else p.paying_share * 100,
        ),
        (
            "Time per car",
            "minutes at the station",
            lambda p: None if p.station_us is None else p.station_us / 60e6,
        ),
        ("Throughput", "cars served per hour", lambda p: p.served_per_hour),
    )
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(9.2, 3.1), layout="constrained")
        for place, (axes, (title, label, value)) in enumerate(
            zip(figure.subplots(1, 3), panels, strict=True)
        ):
            for mode, name, colour, marker in (
                ("kiosk", "kiosk", ORANGE, "s"),
                ("mini_program", "mini-program", BLUE, "o"),
            ):
                _band(axes, [p for p in points if p.mode == mode], value, name, colour, marker)
            axes.set(title=title, ylabel=label, xlabel="cars arriving per hour")
            axes.set_ylim(bottom=0)
            if title == "Throughput":
                rates = sorted({p.arrivals_per_hour for p in points})
                axes.plot(rates, rates, color=MUTED, lw=0.8, ls=":", label="everyone served")
            if place in {0, 2}:
                axes.legend(loc="best", fontsize=8.5)
        return _svg(figure)


def _band(axes: Axes, points: Sequence[CurveLine], value: Any, name: str, colour: str, marker: str) -> None:
    rates = sorted({point.arrivals_per_hour for point in points})
    seen = [
        [v for p in points if p.arrivals_per_hour == rate and (v := value(p)) is not None] for rate in rates
    ]
    kept = [(rate, values) for rate, values in zip(rates, seen, strict=True) if values]
    xs = [rate for rate, _ in kept]
    axes.fill_between(
        xs, [min(v) for _, v in kept], [max(v) for _, v in kept], color=colour, alpha=0.18, lw=0
    )
    means = [sum(v) / len(v) for _, v in kept]
    axes.plot(xs, means, color=colour, marker=marker, ms=4, lw=1.5, label=name)
