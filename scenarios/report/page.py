"""The report: one HTML file that needs nothing else, online or off."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape

from scenarios.checks import REGISTRY
from scenarios.evidence import CheckLine, ClockRun, RunDocument
from scenarios.report.plots import curve_plot, latency_plot, queue_plot, timeline_plot
from scenarios.report.style import CSS
from scenarios.verdicts import Clock, Verdict

__all__ = ["render_report"]

_CLOCKS: Mapping[Clock, tuple[str, str]] = {
    "virtual": (
        "Modelled",
        (
            "Virtual time: protocols, queues and services with the latencies that the scenario declares. The verdicts "
            "are about the model, not about the speed of any machine."
        ),
    ),
    "wall": (
        "Measured",
        (
            "Wall clock: real sockets, real processes, real storage on the machine named below. Load is open-loop and "
            "timed from the intended start."
        ),
    ),
}
_VERDICT_HEAD = '<thead><tr><th scope="col">Verdict</th><th scope="col">Check</th><th scope="col">What decided</th></tr></thead>'
_MEANING = {
    Verdict.PASS: "Everything that was judged holds.",
    Verdict.WARN: "Everything that must hold does; something that should hold does not.",
    Verdict.INCONCLUSIVE: "Nothing was found wrong, but not everything could be decided.",
    Verdict.FAIL: "At least one requirement is broken.",
    Verdict.HARNESS_ERROR: "The harness itself broke; nothing was judged.",
}


def _badge(verdict: Verdict) -> str:
    return f'<span class="badge {verdict.value.lower().replace("_", "-")}">{escape(verdict.value.replace("_", " "))}</span>'


def _picture(svg: str, text: str, caption: str) -> str:
    # As a data URI each plot keeps its own ids; inline, two plots would share glyph ids and the page be invalid.
    data = base64.b64encode(svg.encode()).decode("ascii")
    return (
        f'<figure><img alt="{escape(text)}" src="data:image/svg+xml;base64,{data}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _duration(value_us: int | None) -> str:
    if value_us is None:
        return "–"
    if value_us < 1_000:
        return f"{value_us} µs"
    if value_us < 1_000_000:
        return f"{value_us / 1e3:.1f} ms"
    return f"{value_us / 1e6:.1f} s" if value_us < 300_000_000 else f"{value_us / 60e6:.1f} min"


def _check_row(line: CheckLine) -> str:
    title = REGISTRY[line.check].title if line.check in REGISTRY else line.check
    return (
        f"<tr><td>{_badge(line.verdict)}</td><td><strong>{escape(title)}</strong><br>"
        f'<code>{escape(line.check)}</code> <span class="keyword">{line.keyword}</span></td>'
        f"<td>{escape(line.message)}</td></tr>"
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, numeric: bool = True) -> str:
    cells = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return (
        f'<div class="wide"><table class="{"figures" if numeric else "plain"}"><thead><tr>{cells}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _latencies(
    run: ClockRun, samples: Mapping[str, Sequence[int]], limits: Mapping[str, Mapping[str, int]]
) -> list[str]:
    if not run.latencies:
        return []
    rows = [
        [
            name.replace("_", " "),
            f"{s.samples:,}",
            _duration(s.p50_us),
            *(
                _duration(value_us) if s.samples >= needed else "–"
                for value_us, needed in ((s.p95_us, 20), (s.p99_us, 100), (s.p999_us, 1_000))
            ),
            _duration(s.maximum_us),
        ]
        for name, s in run.latencies.items()
    ]
    parts = [
        "<h3>Latency</h3>",
        '<p class="note">Nearest-rank percentiles of all samples. A dash: too few samples, it would be the largest of them.</p>',
        _table(["segment", "samples", "p50", "p95", "p99", "p99.9", "largest"], rows),
    ]
    if svg := latency_plot(samples, limits):
        caption = (
            "Share of samples slower than a given latency, both axes logarithmic. A limit is the red mark: the curve keeps it "
            "when it passes below and to the left. Verdicts use the upper confidence bound, not this line."
        )
        parts.append(_picture(svg, f"Latency distributions, {run.clock} clock, with limits", caption))
    return parts


def _floor(run: ClockRun) -> list[str]:
    floor = run.floor
    if floor is None:
        return []
    share = "–" if floor.paying_share is None else f"{floor.paying_share:.0%}"
    facts = [
        ("arrived", f"{floor.arrived:,}"),
        ("served", f"{floor.served:,}"),
        ("drove on", f"{floor.balked:,}"),
        ("gave up", f"{floor.reneged:,}"),
        ("cars per hour", f"{floor.served_per_hour:.0f}"),
        ("at the position", _duration(floor.position_us)),
        ("of it paying", share),
        ("at the station", _duration(floor.station_us)),
        ("longest queue", f"{floor.longest_queue}"),
    ]
    tiles = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts)
    note = (
        f"Counts are cars. Cars per hour is the mean over all {_duration(run.duration_us)} of the run, its end without arrivals "
        "included. Times are means over the cars served; paying is payment and invoicing as a share of the time at the position."
    )
    parts = ["<h3>The station floor</h3>", f'<p class="note">{note}</p>', f'<dl class="tiles">{tiles}</dl>']
    if floor.queue:
        svg = queue_plot(floor.queue, run.duration_us, run.faults)
        parts.append(_picture(svg, "Cars waiting over the run", "Cars waiting for a position over the run."))
    if svg := timeline_plot(floor.timeline):
        caption = f"Car {floor.car} from arrival to receipt. Bars are steps, marks are moments."
        parts.append(_picture(svg, f"Timeline of car {floor.car}", caption))
    return parts


def _yuan(fen: int | None) -> str:
    return "–" if fen is None else f"{'-' if fen < 0 else ''}{abs(fen) // 100:,}.{abs(fen) % 100:02d}"


def _litres(ml: int) -> str:
    return f"{ml / 1000:,.2f}"


def _shifts(run: ClockRun) -> list[str]:
    if not run.shifts:
        return []
    head = ["shift", "attendant", "from", "to", "sales", "litres", "yuan", "unpaid", "tests, litres", "taken",
            "cash due", "cash counted", "totalisers off, litres", "corrections"]  # fmt: skip
    rows = [
        [str(s.shift), s.attendant, _duration(s.from_us), _duration(s.until_us), f"{s.sales:,}", _litres(s.volume_ml),
         _yuan(s.amount_fen), _yuan(s.unpaid_fen), _litres(s.tests_ml), _yuan(s.taken_fen), _yuan(s.cash_expected_fen),
         _yuan(s.cash_counted_fen), _litres(s.difference_ml), f"{s.corrections:,}"]
        for s in run.shifts
    ]  # fmt: skip
    sums = {
        name: sum(getattr(s, name) for s in run.shifts)
        for name in ("sales", "volume_ml", "amount_fen", "unpaid_fen", "tests_ml", "taken_fen", "corrections")
    }
    rows.append(
        ["all", "", "", "", f"{sums['sales']:,}", _litres(sums["volume_ml"]), _yuan(sums["amount_fen"]),
         _yuan(sums["unpaid_fen"]), _litres(sums["tests_ml"]), _yuan(sums["taken_fen"]), "", "", "", f"{sums['corrections']:,}"]
    )  # fmt: skip
    return [
        "<h3>Shifts</h3>",
        '<p class="note">A delivery belongs to the shift in which it ended; money to the one in which it was taken.</p>',
        _table(head, rows),
    ]


def _faults(run: ClockRun) -> list[str]:
    if not run.faults:
        return []

    def waited(count: int, slowest_us: int | None) -> list[str]:
        return [f"{count:,}", "" if slowest_us is None else _duration(slowest_us)]

    rows = [
        [f.name, f.target, f.kind.replace("_", " "), _duration(f.at_us), "never" if f.healed_us is None else _duration(f.healed_us),
         f"{f.landed:,}" if f.landed else "never landed",
         *waited(f.deliveries, f.slowest_settled_us), *waited(f.invoices, f.slowest_invoice_us)]
        for f in run.faults
    ]  # fmt: skip
    head = ["fault", "target", "kind", "from", "healed", "hits", "deliveries", "slowest paid", "invoices", "slowest issued"]  # fmt: skip
    return [
        "<h3>Faults</h3>",
        '<p class="note">Deliveries that ended and invoices asked for while the fault was active, and how long the slowest took.</p>',
        _table(head, rows, numeric=False),
    ]


def _clock_section(
    run: ClockRun, samples: Mapping[str, Sequence[int]], limits: Mapping[str, Mapping[str, int]]
) -> list[str]:
    title, meaning = _CLOCKS[run.clock]
    rows = "".join(_check_row(line) for line in run.checks)
    return [
        f'<section id="{run.clock}"><h2>{title} {_badge(run.verdict)}</h2><p class="meaning">{escape(meaning)}</p>',
        f'<div class="wide"><table class="verdicts">{_VERDICT_HEAD}<tbody>{rows}</tbody></table></div>',
        *(f'<p class="note">{escape(note)}</p>' for note in run.notes),
        *_latencies(run, samples, limits),
        *_floor(run),
        *_shifts(run),
        *_faults(run),
        "</section>",
    ]


def _curve_section(document: RunDocument) -> list[str]:
    svg = curve_plot(document.curve)
    if not svg:
        return []
    caption = (
        "Plain floor model at constant arrival rates; lines are means over seeds, bands their range. It shows what follows from the "
        "scenario's step times, patience and station size. It is no proof that these are true."
    )
    return [
        '<section id="curve"><h2>Kiosk against mini-program</h2>',
        _picture(svg, "Share of time paying, time per car and throughput over arrival rates", caption),
        "</section>",
    ]


def render_report(
    document: RunDocument,
    samples_us: Mapping[Clock, Mapping[str, Sequence[int]]] | None = None,
    *,
    limits_us: Mapping[str, Mapping[str, int]] | None = None,
) -> str:
    """The report of a run.

    Args:
        document: the run, as in ``run.json``.
        samples_us: latency samples by clock and segment, for the distributions (``run.json`` holds only percentiles).
        limits_us: limits by check slug where the scenario's differ from the check's own.
    """
    facts = [
        ("Scenario", f"{document.scenario} ({document.scenario_sha256[:12]})"),
        ("Seed", document.seed),
        ("Version", document.forecourt),
        ("Started", document.started_utc),
        ("Reproduce", document.replay),
        *(
            (f"Trace, {_CLOCKS[run.clock][0].lower()}", run.trace_sha256)
            for run in document.runs
            if run.trace_sha256
        ),
    ]
    listed = "".join(f"<dt>{escape(name)}</dt><dd><code>{escape(value)}</code></dd>" for name, value in facts)
    environment = [[name, value] for name, value in document.environment.items()]
    meaning = _MEANING.get(document.verdict, "")
    parts = [
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Forecourt: {escape(document.scenario)}, {document.verdict.value}</title><style>{CSS}</style></head><body><main>",
        f'<header><p class="brand">Forecourt run report</p><h1>{escape(document.scenario)} {_badge(document.verdict)}</h1>',
        f'<p class="lead">{escape(meaning)}</p><p>{escape(document.description)}</p>',
        f'<dl class="facts">{listed}</dl></header>',
        *(
            part
            for run in document.runs
            for part in _clock_section(run, (samples_us or {}).get(run.clock, {}), limits_us or {})
        ),
        *_curve_section(document),
    ]
    if environment:
        parts += [
            '<section id="environment"><h2>Environment</h2>',
            _table(["what", "value"], environment, numeric=False),
            "</section>",
        ]
    parts.append("</main></body></html>\n")
    return "\n".join(parts)
