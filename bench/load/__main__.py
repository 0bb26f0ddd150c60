"""``python -m bench.load``: open-loop payments against a backend; prints one JSON summary, writes HDR files.

Exit codes: 0 the figures may be judged, 2 usage, 3 inconclusive (the summary says why), 4 the harness failed.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.load.plan import LoadPlan, PlanError
from bench.load.run import LoadRunError, run_locust
from bench.load.summary import summarise, write_hdr
from scenarios.loadgen.schedule import draw_schedule

_EPOCH_S = 1_767_225_600  # 2026-01-01: keeps sequence numbers of later runs above those of earlier ones
_SEQUENCES_PER_S = 1_000


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.load",
        description="Open-loop payments against a backend, timed from their intended start.",
        epilog="The stations' bearer key is read from the environment variable FORECOURT_STATION_KEY.",
    )
    add = parser.add_argument
    add("--host", required=True, help="base URL of the backend")
    add("--payer-url", required=True, help="base URL of the control API of the payer's phone")
    add("--rate", type=float, default=20.0, help="mean payments a second (20)")
    add("--duration", type=int, default=60, help="length of the schedule, seconds (60)")
    add("--seed", default="1", help="seed of the schedule (1)")
    add("--stations", type=int, default=10, help="stations that share the load (10)")
    add("--phones", type=int, default=200, help="phones that pay in turn (200)")
    add("--workers", type=int, default=1, help="Locust worker processes (1)")
    add(
        "--max-in-flight",
        type=int,
        default=1_000,
        help="cap of one worker; above it arrivals are dropped (1000)",
    )
    add(
        "--lead-ms",
        type=int,
        default=1_500,
        help="sale and order come this long before the pay button (1500)",
    )
    add("--poll-ms", type=int, default=10, help="pause between two looks at the order (10)")
    add("--timeout", type=int, default=30, help="seconds until an unpaid order has failed (30)")
    add("--closed", type=int, metavar="USERS", help="closed loop with this many users, for comparison only")
    add("--out", type=Path, help="folder for summary.json and the HDR files")
    return parser


def _plan(options: argparse.Namespace) -> LoadPlan:
    schedule = draw_schedule(
        options.seed, per_s=options.rate, duration_s=options.duration, stations=options.stations
    )
    return LoadPlan(
        schedule=schedule,
        run=secrets.token_hex(4),
        host=options.host.rstrip("/"),
        payer_url=options.payer_url.rstrip("/"),
        stations=options.stations,
        phones=options.phones,
        workers=options.workers,
        first_sequence=max(1, int(time.time()) - _EPOCH_S) * _SEQUENCES_PER_S,
        lead_us=options.lead_ms * 1000,
        poll_us=options.poll_ms * 1000,
        max_in_flight=options.max_in_flight,
        timeout_us=options.timeout * 1_000_000,
        closed_users=2 if options.closed is None else options.closed,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    options = _parser().parse_args(arguments)
    is_closed = options.closed is not None
    try:
        plan = _plan(options)
        if options.out is not None:
            options.out.mkdir(parents=True, exist_ok=True)
    except (PlanError, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    try:
        result = run_locust(
            plan, station_key=os.environ.get("FORECOURT_STATION_KEY", ""), is_closed=is_closed
        )
    except LoadRunError as error:
        print(error, file=sys.stderr)
        return 4
    summary = summarise(plan, result, is_closed=is_closed)
    text = json.dumps(summary, indent=2, ensure_ascii=False)
    print(text)
    if options.out is not None:
        (options.out / "summary.json").write_text(text + "\n", encoding="utf-8")
        if not is_closed:
            write_hdr(options.out, result)
    return 3 if summary["inconclusive"] else 0


if __name__ == "__main__":
    sys.exit(main())
