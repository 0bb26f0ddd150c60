"""Run Locust in a process of its own, and get it back to the last worker."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.load.plan import LoadPlan

__all__ = ["LoadRunError", "run_locust"]

_LOCUSTFILE = Path(__file__).parents[1] / "locustfile.py"
_SLACK_S = 60.0
_STOP_S = 10.0


class LoadRunError(RuntimeError):
    """Locust did not run to its end; the message ends with what it said."""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _command(plan: LoadPlan, *, is_closed: bool) -> list[str]:
    command = [sys.executable, "-m", "locust", "-f", str(_LOCUSTFILE), "--headless", "--only-summary"]
    command += ["--host", plan.host, "--stop-timeout", "1"]
    if is_closed:
        users = str(plan.closed_users)
        return [*command, "-u", users, "-r", users, "ClosedPayers"]
    workers = str(plan.workers)
    port = str(_free_port())
    command += ["--processes", workers, "-u", workers, "-r", workers]
    # Workers take the port of the same option; Locust's fixed default would let two runs meet each other's workers.
    command += ["--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--master-port", port]
    return [*command, "OpenArrivals"]


def run_locust(plan: LoadPlan, *, station_key: str, is_closed: bool = False) -> dict[str, Any]:
    """Play the plan; returns what the Locust process measured (`bench.load.summarise` reads it).

    Args:
        plan: the plan.
        station_key: bearer key of the load's stations; it travels in the environment and is written nowhere.
        is_closed: play it with users that wait for their answer, for comparison.

    Raises:
        LoadRunError: Locust failed, was told off by the backend while preparing, or hung.
    """
    with tempfile.TemporaryDirectory(prefix="forecourt-load-") as name:
        folder = Path(name)
        plan.write(folder / "plan.json")
        result = folder / "result.json"
        environment = {
            **os.environ,
            "FORECOURT_LOAD_PLAN": str(folder / "plan.json"),
            "FORECOURT_LOAD_RESULT": str(result),
            "FORECOURT_STATION_KEY": station_key,
            "PYTHONPATH": os.pathsep.join(
                [str(_LOCUSTFILE.parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
            ),
        }
        log = folder / "locust.log"
        with log.open("wb") as sink:
            process = subprocess.Popen(  # noqa: S603 - our own command
                _command(plan, is_closed=is_closed),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,  # one group, so that no worker outlives us
            )
            limit_s = (plan.schedule.duration_us + plan.lead_us + plan.timeout_us) / 1_000_000 + _SLACK_S
            try:
                process.wait(limit_s)
            except subprocess.TimeoutExpired:
                raise LoadRunError(f"Locust did not end within {limit_s:.0f} s: {_tail(log)}") from None
            finally:
                _end(process)
        if not result.exists():
            raise LoadRunError(f"Locust left no result: {_tail(log)}")
        found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    for reason in found["figures"]["errors"]:
        if reason.startswith("prepare: "):
            raise LoadRunError(
                f"the backend did not let the run be prepared: {reason.removeprefix('prepare: ')}"
            )
    return found


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the whole group: a worker notices its master's death only after a minute."""
    try:
        os.killpg(process.pid, signal.SIGTERM if process.poll() is None else signal.SIGKILL)
        process.wait(_STOP_S)
    except ProcessLookupError:
        return
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(_STOP_S)


def _tail(log: Path) -> str:
    return log.read_text(errors="replace").strip()[-1500:] or "it said nothing"
