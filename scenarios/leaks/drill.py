"""The whole drill: a scenario in virtual time, canaries through every input of the reference, then a scan of all that is left."""

from __future__ import annotations

import base64
import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from reference.backend import SqliteDatabase
from reference.backend.gateways.outgoing import Outgoing
from reference.backend.members.cards import VaultClient
from reference.masked_log import MaskedFormatter
from reference.vault import Vault, VaultSettings, create_vault
from scenarios.evidence import (
    ClockRun,
    EvidenceFolder,
    RunDocument,
    check_lines,
    overall,
    segments,
    write_histograms,
)
from scenarios.junit import junit_xml
from scenarios.leaks.canaries import Canary
from scenarios.leaks.fields import PLANTED_WIRE, plant_scenario, plant_texts
from scenarios.leaks.finder import Finder
from scenarios.leaks.notices import plant_notices
from scenarios.leaks.plant import Basket, Planted, Planter
from scenarios.leaks.report import ScanReport
from scenarios.leaks.scan import Scan
from scenarios.leaks.station import VAULT_HOST, VAULT_KEY, ClosedStation
from scenarios.loader import LoadedScenario
from scenarios.oracles import judge_all
from scenarios.processes.broom import release, sweep_when_killed
from scenarios.runner.run import forecourt_version
from scenarios.verdicts import worst
from scenarios.world.harvest import harvest
from scenarios.world.keys import run_keys
from scenarios.world.virtual import VirtualWorld, WorldOptions
from sim.kernel import Trace
from sim.printer import receipt_png
from sim.wires import is_tcp, write_pcapng

__all__ = ["DrillOutcome", "leak_drill"]

_STEP_US: Final = 1_000_000
_AFTER_US: Final = 600_000_000
"""Ten minutes for everything that was taken to be paid, printed, invoiced and told."""

Stage = Callable[[str, float], None]


@dataclass(slots=True)
class DrillOutcome:
    """What a drill did and found.

    Attributes:
        planted: a line for each kind of input.
        report: of the scan; what answered with an error of its own stands among what was not searched.
    """

    report: ScanReport
    planted: list[Planted] = field(default_factory=list)


def leak_drill(
    loaded: LoadedScenario,
    seed: str,
    canaries: Sequence[Canary],
    *,
    keep: Path | None = None,
    on_stage: Stage | None = None,
    tamper: Callable[[VirtualWorld], None] | None = None,
) -> DrillOutcome:
    """Run, plant, search.

    Args:
        loaded: the scenario.
        seed: decides the run.
        canaries: what to plant.
        keep: where to leave the evidence; by default it is removed.
        on_stage: told of progress.
        tamper: changes the world before it runs; drills of the drill put a leaking part in.

    Raises:
        KernelError: the harness broke.
        EvidenceError: the folder cannot be written.
    """
    on_stage = on_stage or _unheard
    outcome = DrillOutcome(ScanReport())
    basket = Basket(canaries)
    with tempfile.TemporaryDirectory(prefix="forecourt-leak-drill-") as scratch, _swept(Path(scratch)):
        folder = keep or Path(scratch, "evidence")
        with EvidenceFolder(folder) as evidence, _logged(evidence.path / "logs"):
            _live(loaded, seed, basket, evidence, outcome, on_stage, tamper)
        on_stage("searching", 0.0)
        scan = Scan(Finder(canaries))
        scan.folder(folder)
        outcome.report = scan.report
        on_stage("searching", 1.0)
    for planted in outcome.planted:
        outcome.report.unsearched += [f"planted through {place}" for place in planted.failed]
    missing = len(basket.unused)
    if missing:
        outcome.report.unsearched.append(f"{missing} canaries found no input to be planted through")
    return outcome


@contextmanager
def _swept(folder: Path) -> Iterator[None]:
    """The folder goes even if this process is killed: it holds what may not be left lying about if the drill finds a leak."""
    sweep_when_killed(folder)
    try:
        yield
    finally:
        release(folder)


def _unheard(name: str, share: float) -> None:
    del name, share


def _live(
    loaded: LoadedScenario,
    seed: str,
    basket: Basket,
    evidence: EvidenceFolder,
    outcome: DrillOutcome,
    on_stage: Stage,
    tamper: Callable[[VirtualWorld], None] | None,
) -> None:
    folder = evidence.path
    started = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    (folder / "scenario.yaml").write_text(loaded.text, encoding="utf-8", newline="")
    with (folder / "events.ndjson").open("w", encoding="utf-8", newline="\n") as events:
        trace = Trace(events)
        options = WorldOptions(skip_idle_polls=True, captures=True)
        world = VirtualWorld(loaded.scenario, seed, keys=run_keys(), trace=trace, options=options)
        try:
            if tamper is not None:
                tamper(world)
            plant_texts(world, basket, outcome.planted)
            world.run(on_progress=lambda share: on_stage("running", share))
            on_stage("planting", 0.0)
            with _vault(world) as vault:
                _plant(world, vault, basket, outcome.planted)
                outcome.planted.append(plant_scenario(loaded, basket))
                world.kernel.run(world.kernel.now_us + _AFTER_US)
                _keep_databases(world, vault, folder / "databases")
            on_stage("planting", 1.0)
            _keep_papers(world, folder)
            _finish(loaded, seed, started, world, evidence)
        finally:
            world.close()


@contextmanager
def _vault(world: VirtualWorld) -> Iterator[Vault]:
    """The card vault beside the backends, with keys that follow from the seed and guard nothing here."""
    rng = world.kernel.streams.get("vault", "identifiers")
    settings = VaultSettings.model_validate(
        {
            "database": ":memory:",
            "keys": {"k1": base64.b64encode(rng.randbytes(32)).decode()},
            "clients": [
                {"merchant": "reference", "key": VAULT_KEY},
                {"merchant": "reference", "key": f"reveal-{VAULT_KEY}", "may_reveal": True},
            ],
            "tokens_per_minute": 100_000,
        }
    )
    vault = create_vault(settings, clock_us=lambda: world.kernel.unix_us, rng=rng)
    world.network.register(VAULT_HOST, vault.app)
    try:
        yield vault
    finally:
        vault.close()


def _plant(world: VirtualWorld, vault: Vault, basket: Basket, planted: list[Planted]) -> None:
    refunds, invoices = world.read_admin("refunds"), world.read_admin("invoices")
    core = world.instances[0].backend.core
    way = Outgoing(world.network.transport(core.instance), core.clock_us, core.ids, 5.0, 4.0)
    core.cards.vault = VaultClient(way, f"https://{VAULT_HOST}", VAULT_KEY)
    done: list[bool] = []

    async def plant() -> None:
        station = ClosedStation(world)
        await station.prepare()
        planted.append(
            await plant_notices(world, basket, station.new_payment, refunds=refunds, invoices=invoices)
        )
        client = world.client("phone", VAULT_HOST)
        shop = Planter(
            "the vault",
            vault.app.openapi(),
            client,
            keys=[f"reveal-{VAULT_KEY}"],
            known={
                "card_number": lambda: "6222021234567894",
                "token": lambda: "ct_" + "a" * 32,
                "binding": lambda: "cb_" + "a" * 32,
            },
            special={"POST /v1/hand-in": station.binding_secret},
        )
        planted.append(
            await shop.plant(Basket([basket.next(kind) for kind in basket.kinds for _ in range(60)]))
        )
        document = world.instances[0].backend.app.openapi()
        backend = Planter(
            "the backend",
            document,
            station.client,
            keys=station.keys,
            known=station.known,
            before=station.before,
        )
        planted.append(await backend.plant(basket))
        done.append(True)

    world.kernel.spawn(plant(), "leak-drill")
    while not done:
        world.kernel.run(world.kernel.now_us + _STEP_US)


def _keep_databases(world: VirtualWorld, vault: Vault, folder: Path) -> None:
    folder.mkdir()
    store = world.instances[0].backend.core.db
    assert isinstance(store, SqliteDatabase)  # noqa: S101 - in virtual time there is no other
    store.copy_to(folder / "backend.sqlite3")
    world.site.journal.copy_to(folder / "site.sqlite3")
    vault.desk.store.copy_to(folder / "vault.sqlite3")


def _keep_papers(world: VirtualWorld, folder: Path) -> None:
    """Receipts as text and as pictures, and what passed on the wires."""
    papers = folder / "receipts"
    papers.mkdir()
    for number, receipt in enumerate(world.printer.receipts, start=1):
        (papers / f"{number:04d}.txt").write_text(receipt.text + "\n", encoding="utf-8")
        if number <= 3:
            (papers / f"{number:04d}.png").write_bytes(receipt_png(receipt))
    captures = folder / "captures"
    captures.mkdir()
    for capture in world.captures:
        if capture.wire == PLANTED_WIRE:
            continue
        capture.write(captures / f"{capture.wire}.fcap")
        if is_tcp(capture):
            epoch_us = world.scenario.station.epoch_us
            write_pcapng(capture, captures / f"{capture.wire}.pcapng", epoch_us=epoch_us)


def _finish(
    loaded: LoadedScenario, seed: str, started: str, world: VirtualWorld, evidence: EvidenceFolder
) -> None:
    """The usual documents of a run. Its verdict is none about the reference: what was planted is in the books as well."""
    trace = world.kernel.trace
    sha256, world.ended_us = trace.hexdigest(), world.kernel.now_us
    record = harvest(world)
    results = judge_all(record, [(check.check, check.limits) for check in loaded.scenario.checks])
    lines = check_lines(results)
    latencies = record.latencies_us
    run = ClockRun(
        clock="virtual",
        duration_us=world.ended_us,
        trace_sha256=sha256,
        verdict=worst(line.verdict for line in lines),
        checks=lines,
        latencies=segments(latencies),
        notes=["Numbers were planted through every input: the verdicts say nothing about the reference."],
    )
    verdict, code = overall([run])
    document = RunDocument(
        forecourt=forecourt_version(),
        scenario=loaded.scenario.name,
        scenario_sha256=loaded.sha256,
        description=loaded.scenario.description,
        seed=seed,
        started_utc=started,
        replay=f"forecourt leak-scan --run {loaded.name} --seed {seed}",
        verdict=verdict,
        exit_code=code,
        runs=[run],
    )
    write_histograms(evidence.path / "histograms", "virtual", latencies)
    # Its plots take a second to load.
    from scenarios.report import render_report

    evidence.finish(
        document,
        report_html=render_report(document, {"virtual": latencies}, limits_us={}),
        junit_xml=junit_xml(document),
    )


@contextmanager
def _logged(folder: Path) -> Iterator[None]:
    """What the parts log, as their processes write it when they are told to say more."""
    folder.mkdir()
    handler = logging.FileHandler(folder / "run.log", encoding="utf-8")
    handler.setFormatter(MaskedFormatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.setLevel(level)
        root.removeHandler(handler)
        handler.close()
