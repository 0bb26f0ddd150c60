"""``forecourt leak-scan``: looks for planted card and phone numbers in folders and databases, or plants them itself first."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.table import Table
from rich.text import Text

from forecourt.console import out, progress
from forecourt.exit_codes import exit_codes
from forecourt.guard import BadInput
from forecourt.seeds import checked_seed
from scenarios import ExitCode, ScenarioError, load
from scenarios.verdicts import Verdict

if TYPE_CHECKING:
    from scenarios.leaks import Canary, Scan, ScanReport

__all__ = ["EPILOG", "leak_scan"]

EPILOG: Final = exit_codes(
    "clean", one="a leak", three="inconclusive: nothing was searched, or something could not be"
)
_SHOWN: Final = 50
_EXITS: Final = {
    Verdict.PASS: ExitCode.CONFORMANT,
    Verdict.FAIL: ExitCode.NON_CONFORMANT,
    Verdict.INCONCLUSIVE: ExitCode.INCONCLUSIVE,
}


def leak_scan(
    places: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FOLDER|FILE]...", help="Evidence, logs, databases: searched with all they hold."
        ),
    ] = None,
    canaries: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The numbers that were planted, one a line (see --write-canaries)."
        ),
    ] = None,
    database: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL", help="Search a PostgreSQL database as well: postgresql://user@host/name."
        ),
    ] = None,
    drill: Annotated[
        str | None,
        typer.Option(
            "--run",
            metavar="NAME|FILE",
            help="The whole drill: run this scenario in virtual time, plant canaries through every input of the reference, "
            "search all that is left behind.",
        ),
    ] = None,
    write: Annotated[
        Path | None,
        typer.Option(
            "--write-canaries",
            metavar="FILE",
            help="Make a file of canaries for your own drill; nothing is searched.",
        ),
    ] = None,
    cards: Annotated[
        int, typer.Option(min=0, max=50_000, help="Card numbers made by --run and --write-canaries.")
    ] = 1000,
    phones: Annotated[int, typer.Option(min=0, max=50_000, help="Phone numbers made by them.")] = 1000,
    seed: Annotated[str, typer.Option(help="Decides the canaries and the run.")] = "1",
    keep: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Keep what --run left behind, with its canaries beside it (DIR.canaries).",
        ),
    ] = None,
    report_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the whole report to a new file.")
    ] = None,
) -> None:
    """Search for card and phone numbers that were planted: none may be found in whatever form.

    Forms are plain, split, hex, base64, URL-encoded, UTF-16, packed decimals and others, also inside gzip, zip and
    databases. Plant the numbers of a file through every input of your own system, then scan what it wrote.
    """
    modes = [
        name
        for name, value in (("--canaries", canaries), ("--run", drill), ("--write-canaries", write))
        if value
    ]
    if len(modes) != 1:
        raise BadInput(
            "give one of --canaries FILE (search), --run NAME (the whole drill) and --write-canaries FILE"
        )
    checked_seed(seed)
    if write is not None:
        _write(write, seed, cards, phones)
        return
    _new_place(report_file, "--json")
    if drill is not None:
        if places or database:
            raise BadInput(
                "--run searches what it leaves behind itself; give no folders or databases with it"
            )
        report = _drill(drill, seed, cards, phones, keep)
    else:
        assert canaries is not None  # noqa: S101 - one of the three was given
        if keep is not None:
            raise BadInput("--out goes with --run")
        report = _search(canaries, places or [], database or [])
    _print(report)
    if report_file is not None:
        try:
            with report_file.open("x", encoding="utf-8", errors="backslashreplace") as file:
                json.dump(report.as_json(), file, ensure_ascii=False, indent=1)
                file.write("\n")
        except OSError as error:
            raise BadInput(f"--json {report_file}: {error.strerror or error}") from None
    raise typer.Exit(int(_EXITS[report.verdict]))


def _new_place(path: Path | None, option: str) -> None:
    if path is not None and (path.exists() or path.is_symlink()):
        raise BadInput(f"{option} {path}: already exists")
    if path is not None and not path.parent.is_dir():
        raise BadInput(f"{option} {path}: there is no folder {path.parent}")


def _write(path: Path, seed: str, cards: int, phones: int) -> None:
    from scenarios.leaks import write_canaries

    try:
        write_canaries(path, _made(seed, cards, phones))
    except FileExistsError:
        raise BadInput(f"{path} already exists; canaries that were planted must not be lost") from None
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror or error}") from None
    out().print(Text(f"wrote {cards:,} card numbers and {phones:,} phone numbers to {path}"), soft_wrap=True)


def _made(seed: str, cards: int, phones: int) -> tuple[Canary, ...]:
    from scenarios.leaks import make_canaries

    if not cards + phones:
        raise BadInput("--cards and --phones are both 0: there would be nothing to look for")
    return make_canaries(seed, cards=cards, phones=phones)


def _search(file: Path, places: list[Path], databases: list[str]) -> ScanReport:
    from scenarios.leaks import CanaryError, Finder, Scan, read_canaries

    for place in places:
        if not place.exists():
            raise BadInput(f"{place}: there is no such file or folder")
    for url in databases:
        if not url.startswith(("postgresql://", "postgres://")):
            raise BadInput("--database: expected postgresql://...; a SQLite database is given as a file")
    try:
        known = read_canaries(file)
    except CanaryError as error:
        raise BadInput(f"--canaries {error}") from None
    scan = Scan(Finder(known))
    for place in places:
        scan.folder(place, but=[file])
    for number, url in enumerate(databases, start=1):
        _database(scan, url, "PostgreSQL" if len(databases) == 1 else f"PostgreSQL {number}")
    return scan.report


def _database(scan: Scan, url: str, told: str) -> None:
    from scenarios.leaks.tables import postgres_tables

    try:
        for text in asyncio.run(postgres_tables(url, told)):
            scan.table(text)
    except ConnectionError as error:
        raise BadInput(f"--database {error}") from None


def _drill(name: str, seed: str, cards: int, phones: int, keep: Path | None) -> ScanReport:
    try:
        loaded = load(name)
    except ScenarioError as error:
        raise BadInput(str(error)) from None
    known = _made(seed, cards, phones)
    _new_place(keep, "--out")
    from scenarios.leaks.drill import leak_drill

    with progress() as stages:
        outcome = leak_drill(loaded, seed, known, keep=keep, on_stage=stages.stage)
    console = out()
    table = Table(title="planted", title_justify="left", title_style="bold")
    for column in ("through", "inputs", "taken", "refused"):
        table.add_column(column, justify="left" if column == "through" else "right", overflow="fold")
    for line in outcome.planted:
        table.add_row(line.through, f"{line.inputs:,}", f"{line.taken:,}", f"{line.refused:,}")
    console.print(table)
    return outcome.report


def _print(report: ScanReport) -> None:
    console = out()
    if report.findings:
        table = Table(title="leaks", title_justify="left", title_style="bold")
        for column in ("where", "at byte", "form", "number"):
            table.add_column(column, justify="right" if column == "at byte" else "left", overflow="fold")
        for finding in report.findings[:_SHOWN]:
            told = finding.as_json()
            row = (told["place"], f"{finding.offset:,}", finding.form, f"{told['kind']} {told['masked']}")
            table.add_row(*map(Text, row))
        console.print(table)
        if report.found > _SHOWN:
            console.print(Text(f"and {report.found - _SHOWN:,} more (--json FILE has them)"))
    for reason in report.as_json()["unsearched"][:_SHOWN]:
        console.print(Text(f"not searched: {reason}"), soft_wrap=True)
    searched = (
        f"searched {report.files:,} files, {report.members:,} parts inside them, {report.rows:,} rows, "
        f"{report.bytes_searched:,} bytes for {report.planted:,} canaries: {report.found:,} found"
    )
    console.print(Text(searched), soft_wrap=True)
    console.print(Text(str(report.verdict), style="bold"))
