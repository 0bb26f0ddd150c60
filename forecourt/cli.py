"""The command ``forecourt``: one function a subcommand. Each parses, calls the layers below, and prints."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.text import Text
from typer.core import TyperGroup

from forecourt.backends import backend_url, must_answer
from forecourt.console import out, problem, progress
from forecourt.device import device_app
from forecourt.exit_codes import exit_codes
from forecourt.explain import explain_name
from forecourt.folders import claimed_folder, is_there
from forecourt.gateways import EPILOG as GATEWAYS_CODES
from forecourt.gateways import gateways
from forecourt.guard import INTERRUPTED, BadInput, guarded
from forecourt.leak_scan import EPILOG as LEAK_SCAN_CODES
from forecourt.leak_scan import leak_scan
from forecourt.replay_capture import EPILOG as REPLAY_CAPTURE_CODES
from forecourt.replay_capture import replay_capture
from forecourt.seeds import checked_seed
from forecourt.tables import print_checks, print_figures, print_scenarios, print_verdicts
from scenarios import ExitCode, LoadedScenario, ScenarioError, library_names, load

__all__ = ["app", "main"]

_EXIT_CODES: Final = exit_codes("conformant", one="not conformant", three="inconclusive")
_PLAIN_CODES: Final = exit_codes("done")


class _Guarded(TyperGroup):
    """Every command runs inside `guarded`, under test as on a terminal."""

    def invoke(self, ctx: Any) -> Any:
        with guarded():
            return super().invoke(ctx)


app = typer.Typer(
    cls=_Guarded,
    help="An open harness for petrol-station systems: the whole chain from nozzle to invoice, judged.",
    epilog=_EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.add_typer(device_app, name="device")
app.command("replay-capture", epilog=REPLAY_CAPTURE_CODES)(replay_capture)
app.command("gateways", epilog=GATEWAYS_CODES)(gateways)
app.command("leak-scan", epilog=LEAK_SCAN_CODES)(leak_scan)

ScenarioName = Annotated[
    str,
    typer.Argument(metavar="NAME|FILE", help="A shipped scenario (see `forecourt list`) or a YAML file."),
]


@app.command(epilog=_EXIT_CODES)
def run(
    scenario: ScenarioName,
    seed: Annotated[str, typer.Option(help="Decides every draw; the same seed gives the same trace.")] = "1",
    virtual_only: Annotated[
        bool, typer.Option("--virtual-only", help="Only the modelled run, in virtual time.")
    ] = False,
    wall_only: Annotated[
        bool, typer.Option("--wall-only", help="Only the measured run, on real sockets and processes.")
    ] = False,
    backend: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL",
            help="Measure a backend of your own that follows the OpenAPI document; once for each instance. "
            "Implies --wall-only: a process outside cannot live in virtual time.",
        ),
    ] = None,
    out_folder: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Where the evidence goes; must not hold anything yet. [default: evidence/NAME-SEED-N]",
        ),
    ] = None,
) -> None:
    """Run a scenario and judge it: in virtual time, then on real sockets and processes.

    Ends with a table of verdicts and a folder of evidence: run.json, events.ndjson, captures, histograms, junit.xml
    and report.html.
    """
    urls = tuple(backend_url(url) for url in backend or [])
    if virtual_only and (wall_only or urls):
        other = "--wall-only" if wall_only else "--backend"
        raise BadInput(f"--virtual-only and {other} exclude each other")
    checked_seed(seed)
    loaded = _load(scenario)
    if (wall_only or urls) and loaded.scenario.wall is None:
        raise BadInput(f"{loaded.source}: has no `wall` part, so there is nothing to measure")
    for url in urls:
        must_answer(url)
    with claimed_folder(out_folder, loaded.scenario.name, seed) as folder:
        from scenarios.runner import RunFailed, RunOptions, run_scenario

        options = RunOptions(
            seed=seed,
            virtual=not (wall_only or urls),
            wall=not virtual_only,
            backend_urls=urls,
            out=folder,
            numbered=out_folder is None,
        )
        try:
            with progress() as stages:
                outcome = run_scenario(loaded, options, stages)
        except RunFailed as error:
            raise _failed(error) from None
    console = out()
    print_verdicts(console, outcome.results, outcome.verdict, outcome.exit_code, loaded.scenario)
    figures: dict[str, object] = dict(outcome.figures)
    if outcome.trace_hash is not None:
        figures = {"trace": outcome.trace_hash, **figures}
    print_figures(console, {**figures, "report": outcome.folder / "report.html"})
    raise typer.Exit(outcome.exit_code)


@app.command("list", epilog=_PLAIN_CODES)
def list_scenarios() -> None:
    """List the shipped scenarios with one line each."""
    usable, problems = [], []
    for name in library_names():
        try:
            usable.append(load(name).scenario)
        except ScenarioError as error:
            problems.append(str(error))
    print_scenarios(out(), usable)
    if problems:
        raise BadInput("\n".join(problems))


@app.command(epilog=_PLAIN_CODES)
def explain(
    name: Annotated[
        str | None,
        typer.Argument(metavar="CHECK|REQUIREMENT", help="Slug of a check, a requirement or an area."),
    ] = None,
) -> None:
    """Explain a check or a requirement; without a name, list the checks."""
    if name is None:
        print_checks(out())
    else:
        explain_name(out(), name)


@app.command(epilog=exit_codes("the same trace", one="another trace", usage="not an evidence folder"))
def replay(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The evidence folder of an earlier run.")],
) -> None:
    """Run a folder's scenario again in virtual time and compare the hash of the trace: 0 the same, 1 another."""
    from scenarios.runner import RunFailed
    from scenarios.runner import replay as replay_folder

    try:
        with progress() as stages:
            outcome = replay_folder(folder, stages)
    except RunFailed as error:
        raise _failed(error) from None
    console = out()
    console.print(Text(outcome.message), soft_wrap=True)
    print_figures(console, {"expected": outcome.expected_hash, "trace": outcome.actual_hash})
    raise typer.Exit(int(ExitCode.CONFORMANT if outcome.same else ExitCode.NON_CONFORMANT))


@app.command(
    epilog=exit_codes(
        "every seed is safe",
        one="a seed fails",
        three="inconclusive: the budget ended first, or no fault landed",
    )
)
def swarm(
    scenario: ScenarioName,
    seeds: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many seeds.")] = 100,
    first: Annotated[int, typer.Option(min=1, help="Number of the first: swarm-1, swarm-2 and so on.")] = 1,
    faults: Annotated[
        int | None,
        typer.Option(
            min=1, max=1_000, help="Faults a seed, on everything. [default: what the scenario's `swarm` says]"
        ),
    ] = None,
    budget_s: Annotated[
        float | None,
        typer.Option("--budget", metavar="SECONDS", min=1, help="Begin no seed after this time."),
    ] = None,
    shrink_s: Annotated[
        float,
        typer.Option(
            "--shrink",
            metavar="SECONDS",
            min=0,
            help="Time for making the first failing seed small; 0: none.",
        ),
    ] = 120.0,
    workers: Annotated[
        int | None, typer.Option(min=1, max=256, help="Processes. [default: one a core]")
    ] = None,
    out_folder: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Where swarm.json and the smallest scenario go."),
    ] = None,
) -> None:
    """Run many seeds of a scenario in virtual time: each must be safe and come to rest, whatever its faults."""
    from forecourt.swarm import swarm_scenario

    swarm_scenario(
        _load(scenario).scenario,
        seeds=seeds,
        first=first,
        faults=faults,
        budget_s=budget_s,
        shrink_s=shrink_s,
        workers=workers,
        out_folder=out_folder,
    )


@app.command(
    epilog=exit_codes(
        "stopped by Ctrl-C, SIGTERM or SIGHUP", usage="a port in use", broken="a part broke down", stays=True
    )
)
def serve(
    station: ScenarioName,
    seed: Annotated[str, typer.Option(help="Decides the latencies of the services.")] = "1",
    control_port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Port of the control API; 0 is any free one.")
    ] = 0,
    port: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=N",
            help="Port of another part: backend-a, backend-b, printer, gateway, platform, payer, callbacks, or the "
            "name of a pump line. All others take any free one.",
        ),
    ] = None,
    backend: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL", help="A backend of your own in place of the reference; once an instance."
        ),
    ] = None,
    devices_only: Annotated[
        bool,
        typer.Option(
            "--devices-only",
            help="No site controller, backend or database: pump lines and printer wait for a driver of yours.",
        ),
    ] = False,
    logs: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep the logs of all processes here.")
    ] = None,
    show_keys: Annotated[
        bool,
        typer.Option("--show-keys", help="Print the keys of station and administrator, made for this run."),
    ] = False,
) -> None:
    """Start the station of a scenario on loopback ports, for trying things by hand; Ctrl-C stops it.

    Devices, services, two backends and the site controller run as they do in a measured run, but nobody drives in:
    lift a nozzle through the control API, print on the printer, or connect a driver to a pump line.
    """
    urls = tuple(backend_url(url) for url in backend or [])
    checked_seed(seed)
    ports = {"control": control_port, **_ports(port or [])}
    if devices_only and urls:
        raise BadInput("--devices-only and --backend exclude each other")
    if devices_only and (needless := [name for name in ports if name.startswith("backend-")]):
        raise BadInput(f"--devices-only starts no backend, so there is no port {needless[0]!r}")
    loaded = _load(station)
    for url in urls:
        must_answer(url)

    from forecourt.serve import serve_station

    serve_station(
        loaded.scenario,
        seed=seed,
        ports=ports,
        backend_urls=urls,
        devices_only=devices_only,
        logs=logs,
        show_keys=show_keys,
    )


@app.command(epilog=_PLAIN_CODES)
def keys(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder; only its owner may read it.")],
) -> None:
    """Make the keys that a backend of your own shares with the simulated gateway (see --backend)."""
    from scenarios.world.keys import save_run_keys, wall_keys

    if not folder.name or is_there(folder):
        raise BadInput(f"{folder} already exists; keys are never overwritten")
    try:
        save_run_keys(folder, wall_keys())
    except OSError as error:
        raise BadInput(f"{folder} cannot be written: {error.strerror or error}") from None
    out().print(Text(f"wrote {', '.join(sorted(path.name for path in folder.iterdir()))} to {folder}"))


@app.command(epilog=_PLAIN_CODES)
def version() -> None:
    """Print the version."""
    from importlib.metadata import version as installed

    out().print(f"forecourt {installed('forecourt')}", highlight=False)


def _load(name: str) -> LoadedScenario:
    try:
        return load(name)
    except ScenarioError as error:
        raise BadInput(str(error)) from None


def _ports(texts: list[str]) -> dict[str, int]:
    """``NAME=NUMBER`` options as a mapping."""
    ports: dict[str, int] = {}
    for text in texts:
        name, equals, number = text.partition("=")
        if not equals or not name or not number.isdecimal() or len(number) > 5 or int(number) > 65_535:
            raise BadInput(f"--port {text!r}: expected NAME=NUMBER, for example printer=9100")
        ports[name] = int(number)
    return ports


def _failed(error: Any) -> Exception:
    """A run that could not be done: the person's configuration, or the harness itself."""
    if error.exit_code == ExitCode.USAGE:
        return BadInput(str(error))
    problem(str(error), word="harness error")
    return typer.Exit(error.exit_code)


def main() -> None:
    """Entry point of the console script."""
    try:
        app()
    except KeyboardInterrupt:
        # Before or after a command: while modules load, or while the interpreter's own work ends.
        problem("interrupted", word="stopped")
        os._exit(INTERRUPTED)
