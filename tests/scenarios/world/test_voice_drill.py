"""The announcer at work on its own clock: two backends, a broker, a loudspeaker a station, and everything that goes wrong between."""

from __future__ import annotations

import random
from collections import Counter
from types import SimpleNamespace

import httpx
import pytest
from sqlalchemy import select

from protocols.loudspeaker import TOPIC
from reference.backend import BackendSettings, SqliteDatabase, create_backend
from reference.backend.store.schema import payments
from reference.backend.voice.schema import announcements
from reference.backend.voice.settings import LoudspeakerSettings
from scenarios.oracles import judge
from scenarios.record import FaultLanding, RunRecord
from scenarios.verdicts import Verdict
from scenarios.voice_record import LoggedAnnouncement, SaidAloud, VoiceHit, VoicePayment, VoiceRecord
from scenarios.world.keys import run_keys
from sim.kernel import VirtualKernel
from sim.latency import LatencyProfile
from sim.loudspeaker import BoxProfile, Loudspeaker, SpeakerFault, VirtualBroker

S = 1_000_000
EPOCH_US = 1_767_225_600 * S


class Drill:
    """Stations whose payments are proved by hand.

    Args:
        stations: how many.
        faults: of each station's loudspeaker.
    """

    def __init__(self, seed, stations, *faults):
        self.kernel = VirtualKernel(seed, epoch_us=EPOCH_US)
        self.rng = self.kernel.streams.get("drill", "payments")
        self.names = [f"KM{number:02}" for number in range(stations)]
        self.broker = VirtualBroker(self.kernel, latency=LatencyProfile.lognormal(40_000, 200_000))
        self.boxes = {}
        for name in self.names:
            # A box remembers ten; what it hears in between is not so much in these drills.
            box = Loudspeaker(self.kernel, name, profile=BoxProfile(), faults=faults)
            self.broker.subscribe(TOPIC.replace("{box}", name), box)
            self.boxes[name] = box
        self.database = SqliteDatabase()
        self.backends = [self.backend(number, 0) for number in range(2)]
        self.lives = Counter()
        self.kills = []
        self.proved = {name: [] for name in self.names}
        self.count = 0
        self.kernel.spawn(self.start(), "start")
        self.kernel.run(1_000)

    def backend(self, number, life):
        settings = BackendSettings(
            station_keys=dict.fromkeys(self.names, "station-key-0"),
            admin_key="admin-key-0",
            service_secret="service-secret-0",
            loudspeakers={name: LoudspeakerSettings(kind="clips", speaker_id=name) for name in self.names},
        ).with_merchant(run_keys().merchant.credentials)
        name = f"backend-{number}"
        return create_backend(
            settings,
            database=self.database,
            clock_us=lambda: self.kernel.unix_us,
            rng=random.Random(f"{self.kernel.streams.seed}/{name}/{life}"),
            http=lambda _: httpx.MockTransport(lambda request: httpx.Response(500)),
            instance=name,
            voice=self.broker.client(name),
        )

    async def start(self):
        for backend in self.backends:
            await backend.start()

    def pay(self, station):
        """A payment is proved now, on either instance that lives."""
        self.count += 1
        number = f"N{self.count}"
        amount_fen = max(1, int(10 ** self.rng.uniform(0, 7)))
        nozzle = self.rng.randint(1, 32)
        now_us = self.kernel.unix_us
        core = self.rng.choice(self.backends).core
        order = SimpleNamespace(
            order_id=f"o{number}", station=station, nozzle=nozzle, out_trade_no=number, paid_fen=amount_fen
        )
        row = {
            "out_trade_no": number, "order_id": order.order_id, "openid": "x", "amount_fen": amount_fen,
            "state": "SUCCESS", "is_open": None, "queries": 0, "expires_us": now_us, "created_us": now_us,
            "paid_us": now_us,
        }  # fmt: skip

        async def prove():
            async def work(tx):
                await tx.insert(payments, row)
                await core.announcer.paid(tx, order)
                await core.announcer.paid(tx, order)  # whoever tells it twice

            await core.db.run(work)

        self.kernel.task(prove())
        self.proved[station].append(
            VoicePayment(number=number, nozzle=nozzle, amount_fen=amount_fen, proved_us=self.kernel.now_us)
        )

    def kill(self, number, for_us):
        """As by kill -9; another process takes its place."""
        self.backends[number].kill()
        self.kills.append((self.kernel.now_us, self.kernel.now_us + for_us))
        self.lives[number] += 1
        self.backends[number] = self.backend(number, self.lives[number])
        self.kernel.call_later(for_us, self.revive, self.backends[number])

    def revive(self, backend):
        self.kernel.spawn(backend.start(), "start again")

    def records(self):
        """What the oracles see of each station."""
        rows = []

        async def read():
            rows.extend(await self.database.run(lambda tx: tx.rows(select(announcements))))

        self.kernel.spawn(read(), "read")
        self.kernel.run(self.kernel.now_us + 1)
        assert len(rows) == self.count
        for station, box in self.boxes.items():
            log = [LoggedAnnouncement(number=r.request_id, state=r.state, attempts=r.attempts, reason=r.reason) for r in rows if r.station == station]  # fmt: skip
            said = [
                SaidAloud(
                    number=one.request_id, words="".join(one.words), started_us=one.started_us, ended_us=one.ended_us,
                    volume=one.volume, is_whole=one.is_whole,
                )
                for one in box.said
            ]  # fmt: skip
            hits = [VoiceHit(fault=name, kind=kind, number=number) for name, kind, number in box.hits]
            faults = [
                FaultLanding(name="kill", target="backend", kind="kill", at_us=at, healed_us=until, landed=1)
                for at, until in self.kills
            ]
            for fault in box.faults.report():
                if fault.startswith("offline"):
                    at_us, end_us = (int(part) for part in fault.split("/")[1:])
                    faults.append(FaultLanding(name=fault, target="loudspeaker", kind="offline", at_us=at_us, healed_us=end_us, landed=1))  # fmt: skip
            voice = VoiceRecord(
                says_nozzle=True, payments=tuple(self.proved[station]), log=tuple(log), said=tuple(said), hits=tuple(hits)
            )  # fmt: skip
            yield RunRecord(clock="virtual", ended_us=self.kernel.now_us, voice=voice, faults=tuple(faults))

    def close(self):
        for backend in self.backends:
            backend.kill()
        self.kernel.close()


def poisson(drill, station, mean_us, until_us):
    """Payments come and go as they like."""

    def come():
        if drill.kernel.now_us < until_us:
            drill.pay(station)
            drill.kernel.call_later(round(drill.rng.expovariate(1 / mean_us)), come)

    drill.kernel.call_later(round(drill.rng.expovariate(1 / mean_us)), come)


def outage(at_us, for_us):
    return SpeakerFault(kind="offline", name=f"offline/{at_us}/{at_us + for_us}", at_us=at_us, for_us=for_us)


def check(drill):
    """Every station's announcements hold both checks; gives what was counted."""
    counts = Counter()
    for record in drill.records():
        for slug in ("voice.exactly-once", "voice.in-time"):
            result = judge(record, slug)
            assert result.verdict is Verdict.PASS, result
            counts.update({name: value for name, value in result.figures.items() if isinstance(value, int)})
    return counts


@pytest.mark.requirement("vox.spoken-once-after-verified-payment", "vox.queue-in-order-and-fresh")
@pytest.mark.parametrize("seed", [2, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(3, 23))])
def test_through_lost_receipts_doubles_outages_and_kills(seed):
    drill = Drill(
        f"trouble/{seed}",
        2,
        SpeakerFault(kind="ack-lost", probability=0.1),
        SpeakerFault(kind="duplicate", probability=0.1, delay_us=5 * S),
        outage(300 * S, 45 * S),
    )
    try:
        for station in drill.names:
            poisson(drill, station, 10 * S, 900 * S)
        rng = random.Random(f"kills/{seed}")
        for _ in range(8):
            drill.kernel.call_at(
                rng.randrange(900 * S), drill.kill, rng.randrange(2), rng.randrange(1, 40) * S
            )
        drill.kernel.run(1_000 * S)
        counts = check(drill)
        assert counts["said"] > 80
    finally:
        drill.close()


@pytest.mark.requirement("vox.queue-in-order-and-fresh")
def test_twenty_at_once_with_a_real_loudspeaker():
    drill = Drill("twenty", 1)
    try:
        for _ in range(20):
            drill.pay("KM00")
        drill.kernel.run(120 * S)
        counts = check(drill)
        assert counts["said"] + counts["dropped"] >= 20
        assert counts["dropped"] >= 8
        assert 20 * S <= counts["oldest_us"] <= 30 * S
        numbers = [one.request_id for one in drill.boxes["KM00"].said]
        assert numbers == [f"N{n}" for n in range(1, len(numbers) + 1)]
    finally:
        drill.close()


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.requirement("vox.error-rate-at-most-a-tenth-percent", "vox.spoken-once-after-verified-payment")
def test_thirty_thousand_in_virtual_time(capsys):
    """Twelve busy stations for half a day, with receipts lost, messages doubled and instances killed every ten minutes."""
    drill = Drill(
        "thirty thousand",
        12,
        SpeakerFault(kind="ack-lost", probability=0.02),
        SpeakerFault(kind="duplicate", probability=0.02, delay_us=4 * S),
    )
    try:
        end_us = 12 * 3_600 * S
        for station in drill.names:
            poisson(drill, station, 16 * S, end_us)
        for at_us in range(600 * S, end_us, 600 * S):
            drill.kernel.call_at(at_us, drill.kill, (at_us // (600 * S)) % 2, 20 * S)
        drill.kernel.run(end_us + 60 * S)
        counts = check(drill)
        records = list(drill.records())
        whole = VoiceRecord(
            says_nozzle=True,
            **{
                name: tuple(one for record in records for one in getattr(record.voice, name))
                for name in ("payments", "log", "said", "hits")
            },
        )
        result = judge(
            RunRecord(clock="virtual", ended_us=drill.kernel.now_us, voice=whole), "voice.error-rate"
        )
        with capsys.disabled():
            print(f"\n{result.message}; {drill.count:,} payments, {counts['dropped']:,} dropped as too old")
        assert result.verdict is Verdict.PASS
        assert result.figures["announcements"] >= 30_000
        assert result.figures["missing"] + result.figures["doubled"] + result.figures["wrong"] == 0
    finally:
        drill.close()
