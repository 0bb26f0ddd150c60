"""kill -9 of the site controller at any instant, with receipts under way: never two originals, none lost, each one answered."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from protocols.escpos import read_receipt
from reference.site import SiteConfig, SiteController
from sim.kernel import VirtualKernel
from sim.printer import CHINESE_80MM, Printer
from sim.wires import VirtualLink

from .site_world import EPOCH_US, Mortal, Plug, S, ScriptedBackend
from .spooler_rig import receipt

CONFIG = {
    "station": "KM01",
    "lines": [
        {
            "protocol": "dart",
            "fuelling_points": [
                {"fuelling_point": 1, "address": 0x50, "nozzles": [{"nozzle": 3, "grade": "95", "price_fen_per_l": 750}]}
            ],
        }
    ],
}  # fmt: skip


class PrinterPlug(Plug):
    """The site's end of the printer's wire; the spooler in it changes with the process."""

    def change(self, driver) -> None:
        driver.on_wake = self.driver.on_wake
        object.__setattr__(self, "driver", driver)


class Desk:
    """A site controller that is killed, a printer and a backend that stay."""

    def __init__(self, folder: Path, seed: str, **printer) -> None:
        self.kernel = VirtualKernel(seed, epoch_us=EPOCH_US)
        self.rng = random.Random(seed)
        self.folder = folder
        self.kills = 0
        self.config = SiteConfig.model_validate({**CONFIG, "printer": {"columns": 48, **printer}})
        self.backend = ScriptedBackend(self.kernel)
        self.printer = Printer(CHINESE_80MM)
        self.sites: list[tuple[SiteController, Mortal]] = []
        self.path = folder / "site-0.sqlite3"
        self.plug = PrinterPlug(self.begin().printer)
        self.link = VirtualLink(
            self.kernel,
            "printer",
            self.plug,
            self.printer,
            latency_us=1_000,
            bytes_per_s=100_000,
            redial_us=300_000,
        )

    def begin(self) -> SiteController:
        network = Mortal(self.backend)
        site = SiteController(
            self.config,
            clock_us=lambda: self.kernel.unix_us,
            http_transport=network,
            journal_path=str(self.path),
            base_urls=["https://backend-a.station"],
            station_key="key",
        )
        self.sites.append((site, network))
        self.kernel.task(site.start())
        return site

    def kill(self) -> None:
        """At this very instant: its files as they are, its sockets closed; bytes that left it arrive."""
        self.kills += 1
        self.sites[-1][1].dead = True
        before, self.path = self.path, self.folder / f"site-{self.kills}.sqlite3"
        for ending in ("", "-wal"):
            if before.with_name(before.name + ending).exists():
                shutil.copy(
                    before.with_name(before.name + ending), self.path.with_name(self.path.name + ending)
                )
        if self.rng.random() < 0.5:
            self.link.close(self.plug)
        else:
            self.link.cut()
        self.plug.change(self.begin().printer)

    def trouble(self) -> None:
        """Now and then the paper ends, the cover is open or the plug is out, for some seconds."""
        printer, now_us = self.printer, self.kernel.now_us
        strike, heal = self.rng.choice(
            [
                (printer.paper_out, lambda at_us: printer.load_paper(now_us=at_us)),
                (printer.open_cover, printer.close_cover),
                (printer.power_off, printer.power_on),
            ]
        )
        strike(now_us)
        self.kernel.call_later(self.rng.randrange(2 * S, 9 * S), lambda: heal(self.kernel.now_us))

    def close(self) -> None:
        for site, _ in self.sites:
            self.kernel.task(site.stop())
        self.kernel.run(self.kernel.now_us + 20 * S)
        self.kernel.close()


def copies(printer: Printer) -> list[tuple[int, int, bool]]:
    """(sequence, reprint, is whole) of every copy that got as far as its sequence number."""
    texts = [paper.text for paper in printer.receipts]
    texts += [] if printer.unfinished is None else [printer.unfinished.text]
    found = []
    for text in "\n".join(texts).split("昆明一站")[1:]:
        facts = read_receipt(text)
        if facts.sequence is not None:
            found.append(
                (facts.sequence, facts.reprint, facts.paid_fen == 15_000 and facts.pay_method is not None)
            )
    return found


def drill(
    folder: Path, *, seed: str, kills: int, receipts: int, troubles: int = 0, seconds: int = 60, **printer
) -> None:
    desk = Desk(folder, seed, **printer)
    try:
        for sequence in range(1, receipts + 1):
            at_us = desk.rng.randrange(S, seconds * S)
            desk.kernel.call_at(
                at_us, lambda sequence=sequence: desk.backend.command("print", receipt=receipt(sequence))
            )
        for at_us in desk.rng.sample(range(S, (seconds + 5) * S), kills):
            desk.kernel.call_at(at_us, desk.kill)
        for at_us in desk.rng.sample(range(S, seconds * S), troubles):
            desk.kernel.call_at(at_us, desk.trouble)
        desk.kernel.run((seconds + 200) * S)
        assert desk.kills == kills
        answers = dict(desk.backend.results)
        assert [answers[n]["reason"] for n in range(1, receipts + 1)] == ["printed"] * receipts, seed
        printed = copies(desk.printer)
        for sequence in range(1, receipts + 1):
            mine = [(mark, whole) for number, mark, whole in printed if number == sequence]
            marks = [mark for mark, _ in mine if mark]
            assert sum(mark == 0 for mark, _ in mine) <= 1, (seed, sequence, mine)
            assert marks == sorted(set(marks)), (seed, sequence, mine)
            assert any(whole for _, whole in mine), (seed, sequence, mine)
        assert desk.sites[-1][0].receipts.journal.to_do() == []
    finally:
        desk.close()


@pytest.mark.requirement("prn.lost-link-ends-declared", "prn.reprints-are-numbered")
def test_killed_now_and_then(tmp_path: Path) -> None:
    drill(tmp_path, seed="few", kills=9, receipts=8, seconds=40)


@pytest.mark.requirement(
    "prn.lost-link-ends-declared", "prn.reprints-are-numbered", "prn.paper-out-reprints-whole-with-mark"
)
def test_killed_while_the_printer_is_in_trouble(tmp_path: Path) -> None:
    drill(tmp_path, seed="both", kills=7, receipts=8, troubles=4, seconds=40)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.requirement(
    "prn.lost-link-ends-declared", "prn.reprints-are-numbered", "prn.paper-out-reprints-whole-with-mark"
)
@pytest.mark.parametrize("confirm", ["status", "process-id"])
def test_killed_at_a_thousand_instants(tmp_path: Path, confirm: str) -> None:
    for number in range(50):
        folder = tmp_path / str(number)
        folder.mkdir()
        drill(folder, seed=f"many/{number}", kills=20, receipts=15, troubles=number % 6, confirm=confirm)
        shutil.rmtree(folder)
