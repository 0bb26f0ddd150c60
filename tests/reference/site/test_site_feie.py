"""Receipts through Feie's cloud, in virtual time: the same rule as on a wire, whatever cloud, printer and process do."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import httpx
import pytest

from protocols.escpos import read_receipt
from reference.site import SiteConfig, SiteController
from reference.site.config import ConfigError, parse_config
from reference.site.receipts.feie_config import UKEY_VARIABLE, FeieConfig
from sim.feie import CloudPrinter, Feie, FeieAccount, FeieSwitches, OrderState
from sim.kernel import VirtualKernel
from sim.webapi import CallFault

from .site_world import EPOCH_US, S, ScriptedBackend
from .spooler_rig import receipt

USER, UKEY, SN = "station@x.com", "UKEY0001", "932500001"
CONFIG = {
    "station": "KM01",
    "lines": [
        {
            "protocol": "dart",
            "fuelling_points": [
                {
                    "fuelling_point": 1,
                    "address": 0x50,
                    "nozzles": [{"nozzle": 3, "grade": "95", "price_fen_per_l": 750}],
                }
            ],
        }
    ],
}


class Network(httpx.AsyncBaseTransport):
    """The network of one process: backend and cloud by their hosts; nothing leaves a process that is dead."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.dead = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.dead:
            raise httpx.ConnectError("this process is dead")
        if request.url.host == "api.feieyun.cn":
            response = await self.desk.cloud_transport.handle_async_request(request)
            await response.aread()
        else:
            response = await self.desk.backend.handle_async_request(request)
        if self.dead:
            raise httpx.ReadError("this process is dead")
        return response


class Desk:
    def __init__(
        self,
        *faults: CallFault,
        path: Path | None = None,
        seed: str = "feie",
        again: bool = False,
        limit: int = 50,
    ) -> None:
        self.kernel = VirtualKernel(seed, epoch_us=EPOCH_US)
        self.rng = random.Random(seed)
        self.backend = ScriptedBackend(self.kernel)
        self.printer = CloudPrinter(self.kernel, SN, "abcdefgh")
        self.cloud = Feie(
            self.kernel, [FeieAccount(USER, UKEY, (SN,))], [self.printer],
            switches=FeieSwitches(hands_over_again=again), faults=faults,
        )  # fmt: skip
        self.cloud_transport = httpx.ASGITransport(self.cloud.app)
        feie = {"user": USER, "ukey": UKEY, "sn": SN, "expires_us": 60 * S, "request_timeout_us": 5 * S}
        self.config = SiteConfig.model_validate(
            {**CONFIG, "printer": {"columns": 32, "queue_limit": limit, "feie": feie}}
        )
        self.folder = path
        self.kills = 0
        self.path = None if path is None else path / "site-0.sqlite3"
        self.sites: list[tuple[SiteController, Network]] = []
        self.begin()

    @property
    def site(self) -> SiteController:
        return self.sites[-1][0]

    def begin(self) -> None:
        network = Network(self)
        site = SiteController(
            self.config,
            clock_us=lambda: self.kernel.unix_us,
            http_transport=network,
            journal_path=":memory:" if self.path is None else str(self.path),
            base_urls=["https://backend-a.station"],
            station_key="key",
        )
        self.sites.append((site, network))
        self.kernel.task(site.start())

    def kill(self) -> None:
        assert self.folder is not None
        assert self.path is not None
        self.kills += 1
        self.sites[-1][1].dead = True
        before, self.path = self.path, self.folder / f"site-{self.kills}.sqlite3"
        for ending in ("", "-wal"):
            if before.with_name(before.name + ending).exists():
                shutil.copy(
                    before.with_name(before.name + ending), self.path.with_name(self.path.name + ending)
                )
        self.begin()

    def ask(self, sequence: int, **changes: object) -> None:
        self.backend.command("print", receipt=receipt(sequence, **changes))

    def at(self, seconds: float, act, *arguments) -> None:
        self.kernel.call_at(round(seconds * S), act, *arguments)

    def run(self, seconds: float) -> None:
        self.kernel.run(self.kernel.now_us + round(seconds * S))

    def copies(self, sequence: int) -> list[tuple[int, bool]]:
        """(reprint, is whole) of each copy of a sale on paper, whether on one piece of it or on two."""
        papers = list(self.printer.receipts)
        papers += [] if self.printer.printer.unfinished is None else [self.printer.printer.unfinished]
        found = []
        for paper in papers:
            for text in paper.text.split("昆明一站")[1:]:
                facts = read_receipt(text)
                if facts.sequence == sequence:
                    found.append((facts.reprint, (facts.paid_fen, facts.pay_method) == (15_000, "微信支付")))
        return found

    def close(self) -> None:
        for site, _ in self.sites:
            self.kernel.task(site.stop())
        self.run(20)
        self.kernel.close()


@pytest.fixture
def make():
    made = []

    def build(*faults: CallFault, **more) -> Desk:
        made.append(Desk(*faults, **more))
        return made[-1]

    yield build
    for desk in made:
        desk.close()


@pytest.mark.requirement("prn.receipt-content-equals-ledger")
def test_a_receipt_goes_through_the_cloud_and_is_confirmed(make) -> None:
    desk = make()
    assert desk.site.printer is None, "nothing to wire"
    desk.at(5, desk.ask, 7)
    desk.run(30)
    assert desk.copies(7) == [(0, True)]
    facts = read_receipt(desk.printer.receipts[0].text)
    assert (facts.station, facts.nozzle, facts.grade, facts.volume_ml) == ("KM01", 3, "95", 20_000)
    assert (facts.amount_fen, facts.pay_method, facts.ended_s) == (15_000, "微信支付", 1_790_000_000)
    assert dict(desk.backend.results)[1] == {"ok": True, "reason": "printed"}
    assert desk.site.snapshot()["printer"]["state"] == "idle"


@pytest.mark.requirement("prn.reprints-are-numbered")
def test_a_receipt_asked_for_again_is_marked(make) -> None:
    desk = make()
    for seconds in (5, 40, 80):
        desk.at(seconds, desk.ask, 7)
    desk.run(120)
    assert desk.copies(7) == [(0, True), (1, True), (2, True)]


@pytest.mark.requirement("prn.status-read-before-printing")
def test_without_paper_nothing_is_ordered(make) -> None:
    desk = make()
    desk.at(2, desk.printer.take_paper_out)
    desk.at(5, desk.ask, 7)
    desk.run(200)
    assert desk.cloud.orders.all() == []
    assert desk.site.receipts.printer.problems == ("out of paper or not working",)
    assert any("out of paper" in alarm for alarm in desk.site.alarms)
    desk.printer.load_paper()
    desk.run(60)
    assert desk.copies(7) == [(0, True)]


@pytest.mark.requirement("prn.paper-out-reprints-whole-with-mark")
@pytest.mark.parametrize("at_s", [5.2, 5.6, 6.0, 6.4, 7.0])
def test_paper_that_ends_in_a_receipt_gives_a_whole_marked_one(make, at_s) -> None:
    desk = make()
    desk.at(5, desk.ask, 7)
    desk.at(at_s, desk.printer.take_paper_out)
    desk.at(at_s + 20, desk.printer.load_paper)
    desk.run(200)
    copies = desk.copies(7)
    assert sum(mark == 0 for mark, _ in copies) <= 1, copies
    assert copies[-1][1], copies
    assert desk.printer.receipts[-1].whole
    assert len(copies) == (1 if desk.printer.receipts[0].whole else 2), "in two pieces: one more, in one"
    assert dict(desk.backend.results)[1]["ok"]


@pytest.mark.requirement("prn.lost-link-ends-declared")
@pytest.mark.parametrize("kind", ["timeout", "bad-gateway", "cut-short"])
@pytest.mark.parametrize("after_work", [False, True])
def test_an_order_whose_reply_is_lost_is_never_sent_again_unmarked(make, kind, after_work) -> None:
    more = {} if kind == "cut-short" else {"after_work": after_work}
    desk = make(CallFault(kind=kind, name="lost", at=("Open_printMsg",), limit=1, **more))
    desk.at(5, desk.ask, 7)
    desk.run(200)
    assert desk.cloud.faults.report()["lost"]["landed"] == 1
    taken = after_work or kind == "cut-short"
    assert desk.copies(7) == ([(0, True)] if taken else []) + [(1, True)]
    assert dict(desk.backend.results)[1]["ok"]


@pytest.mark.requirement("prn.lost-link-ends-declared")
def test_a_platform_that_says_no_and_does_it_all_the_same_gets_no_second_original(make) -> None:
    desk = make(CallFault(kind="refuse", name="liar", at=("Open_printMsg",), limit=1, after_work=True))
    desk.at(5, desk.ask, 7)
    desk.run(100)
    assert desk.copies(7) == [(0, True), (1, True)]


@pytest.mark.requirement("prn.reprints-are-numbered")
def test_a_certain_refusal_spends_no_number(make) -> None:
    desk = make(CallFault(kind="refuse", name="clock", at=("Open_printMsg",), code=-3, limit=5))
    desk.at(5, desk.ask, 7)
    desk.run(100)
    assert desk.copies(7) == [(0, True)]
    assert any("-3" in alarm for alarm in desk.site.alarms)


@pytest.mark.requirement("prn.lost-link-ends-declared")
def test_what_waits_in_the_cloud_is_taken_back_before_a_marked_copy(make) -> None:
    """The printer is gone, which nobody sees for two minutes; the order expires or is cleared, and never comes out late."""
    desk = make()
    desk.at(4, desk.printer.disconnect)
    desk.at(5, desk.ask, 7)
    desk.at(300, desk.printer.connect)
    desk.run(500)
    ((mark, whole),) = desk.copies(7)
    assert mark > 0
    assert whole
    assert next(order.state for order in desk.cloud.orders.all()) in {OrderState.EXPIRED, OrderState.CLEARED}


@pytest.mark.requirement("prn.lost-link-ends-declared")
def test_an_order_that_nobody_can_ask_for_is_taken_back(make) -> None:
    """Its reply is lost and the printer is away for a moment: the original waits in the cloud, and must not come out any more."""
    desk = make(CallFault(kind="bad-gateway", name="lost", at=("Open_printMsg",), limit=1, after_work=True))
    desk.at(4, desk.printer.disconnect)
    desk.at(5, desk.ask, 7)
    desk.at(30, desk.printer.connect)
    desk.run(100)
    assert [order.state for order in desk.cloud.orders.all()] == [OrderState.CLEARED, OrderState.PRINTED]
    assert desk.copies(7) == [(1, True)]


@pytest.mark.requirement("prn.lost-link-ends-declared")
def test_a_short_absence_needs_no_reprint(make) -> None:
    desk = make()
    desk.at(4, desk.printer.disconnect)
    desk.at(5, desk.ask, 7)
    desk.at(30, desk.printer.connect)
    desk.run(100)
    assert desk.copies(7) == [(0, True)]


@pytest.mark.requirement("prn.lost-link-ends-declared")
@pytest.mark.parametrize("at_s", [5.3, 5.8, 6.0, 6.6])
def test_power_lost_over_a_receipt_ends_with_a_marked_one(make, at_s) -> None:
    desk = make()
    desk.at(5, desk.ask, 7)
    desk.at(at_s, desk.printer.power_off)
    desk.at(20, desk.printer.power_on)
    desk.run(300)
    copies = desk.copies(7)
    assert copies[-1][1], copies
    assert sum(mark == 0 for mark, _ in copies) <= 1, copies
    assert dict(desk.backend.results)[1]["ok"]


def test_a_platform_that_hands_an_order_over_again_prints_it_again_which_no_client_can_see(make) -> None:
    """Whether the real one does is not known: the switch shows what would come of it, and the one remedy, a short expiry."""
    desk = make(again=True)
    desk.at(5, desk.ask, 7)
    desk.at(6, desk.printer.power_off)
    desk.at(20, desk.printer.power_on)
    desk.run(100)
    assert [mark for mark, _ in desk.copies(7)][:2] == [0, 0]
    desk.at(105, desk.ask, 8)
    desk.at(106, desk.printer.power_off)
    desk.at(180, desk.printer.power_on)  # later than `expires_us`
    desk.run(300)
    marks = [mark for mark, _ in desk.copies(8)]
    assert (marks.count(0), marks[-1] > 0) == (1, True)


@pytest.mark.requirement("prn.queue-is-bounded-and-fuel-flows")
def test_a_cloud_that_is_away_fills_a_bounded_queue(make) -> None:
    desk = make(CallFault(kind="bad-gateway", name="away", at_us=0, for_us=1200 * S), limit=10)
    for number in range(1, 21):
        desk.at(5 + number, desk.ask, number)
    desk.run(1150)
    assert len(desk.site.receipts.printer) == 10
    refused = [n for n, answer in desk.backend.results if answer["reason"] == "printer queue is full"]
    assert refused == list(range(11, 21))
    desk.run(700)
    assert [desk.copies(n) for n in range(1, 11)] == [[(0, True)]] * 10


@pytest.mark.requirement("prn.lost-link-ends-declared")
def test_a_cloud_that_is_away_after_it_took_an_order_is_asked_when_it_is_back(make) -> None:
    desk = make(CallFault(kind="bad-gateway", name="away", at=("Open_queryOrderState",), for_us=600 * S))
    desk.at(5, desk.ask, 7)
    desk.run(590)
    assert desk.copies(7) == [(0, True)]
    assert desk.backend.results == []
    desk.run(60)
    assert desk.copies(7) == [(0, True)], "long after its expiry, but it was printed: no reprint"
    assert dict(desk.backend.results)[1]["ok"]


def test_a_receipt_that_was_taken_under_other_settings_holds_nothing_up(make) -> None:
    desk = make()
    desk.run(1)
    jobs = desk.site.receipts.journal
    bad = jobs.add(100, {**receipt(1), "station_name": "长" * 2000})
    desk.site.receipts.printer.add(bad)
    desk.ask(7)
    desk.run(30)
    assert desk.copies(7) == [(0, True)]
    assert any("cannot be printed" in alarm for alarm in desk.site.alarms)
    assert jobs.to_do() == []
    assert dict(desk.backend.results)[100]["ok"] is False


def drill(folder: Path, seed: str, *, kills: int, receipts: int, troubles: int, seconds: int = 120) -> None:
    faults = [
        CallFault(kind="bad-gateway", name="502", probability=0.03, after_work=True),
        CallFault(kind="cut-short", name="cut", probability=0.03),
        CallFault(kind="timeout", name="late", probability=0.02, after_work=True, delay_us=20 * S),
    ]
    desk = Desk(*faults, path=folder, seed=seed)
    try:
        for sequence in range(1, receipts + 1):
            desk.at(desk.rng.randrange(2, seconds), desk.ask, sequence)
        for at_us in desk.rng.sample(range(2 * S, seconds * S), kills):
            desk.kernel.call_at(at_us, desk.kill)
        for at_us in desk.rng.sample(range(2 * S, seconds * S), troubles):
            strike, heal = desk.rng.choice(
                [
                    (desk.printer.take_paper_out, desk.printer.load_paper),
                    (desk.printer.disconnect, desk.printer.connect),
                    (desk.printer.power_off, desk.printer.power_on),
                ]
            )
            desk.kernel.call_at(at_us, strike)
            desk.kernel.call_at(at_us + desk.rng.randrange(S, 30 * S), heal)
        desk.run(seconds)
        for _ in range(50):
            if len(desk.backend.results) == receipts:
                break
            desk.run(30)
        answers = dict(desk.backend.results)
        for sequence in range(1, receipts + 1):
            copies = desk.copies(sequence)
            marks = [mark for mark, _ in copies if mark]
            assert sum(mark == 0 for mark, _ in copies) <= 1, (seed, sequence, copies)
            assert len(marks) == len(set(marks)), (seed, sequence, copies)
            assert any(whole for _, whole in copies), (seed, sequence, copies)
        assert [answers[n]["ok"] for n in range(1, receipts + 1)] == [True] * receipts, seed
        assert desk.site.receipts.journal.to_do() == []
    finally:
        desk.close()


@pytest.mark.requirement("prn.lost-link-ends-declared", "prn.reprints-are-numbered")
def test_killed_now_and_then_over_a_bad_cloud(tmp_path: Path) -> None:
    drill(tmp_path, "few", kills=5, receipts=5, troubles=2, seconds=60)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.requirement("prn.lost-link-ends-declared", "prn.reprints-are-numbered")
def test_killed_at_hundreds_of_instants_over_a_bad_cloud(tmp_path: Path) -> None:
    for number in range(30):
        folder = tmp_path / str(number)
        folder.mkdir()
        drill(folder, f"many/{number}", kills=15, receipts=12, troubles=number % 6)
        shutil.rmtree(folder)


def test_the_printer_s_settings_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    feie = {"user": USER, "sn": SN}
    monkeypatch.setenv(UKEY_VARIABLE, "from-outside")
    assert FeieConfig(**feie).key == "from-outside"
    assert FeieConfig(**feie, ukey="own").key == "own"
    for printer, word in (
        ({"tcp": "127.0.0.1:9100", "feie": feie}, "one of tcp, serial and feie"),
        ({"feie": {**feie, "sn": "x y"}}, "sn"),
        ({"feie": {**feie, "url": "ftp://a"}}, "http"),
        ({"feie": {"sn": SN}}, "user"),
        ({"codepage": "utf-8"}, "codepage"),
        ({"confirm": "hope"}, "confirm"),
    ):
        with pytest.raises(ConfigError, match=word):
            parse_config({**CONFIG, "printer": printer})
