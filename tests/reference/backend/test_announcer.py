"""The announcer on both stores: who is told what, when, and how often."""

from __future__ import annotations

import asyncio
import itertools
import json

import pytest
from sqlalchemy import select, update

from protocols.loudspeaker import STATION as BANK
from protocols.loudspeaker import Heard, understand
from reference.backend import BackendSettings
from reference.backend.store.schema import outbox
from reference.backend.voice.schema import announcements
from reference.backend.voice.settings import LoudspeakerSettings

BOX = LoudspeakerSettings(kind="clips", speaker_id="860000000000017")


class Ears:
    """A broker's client that hears what is published; ``fails`` says how each next publish ends."""

    def __init__(self, world):
        self.world = world
        self.heard = []
        self.fails = []

    async def publish(self, topic, payload, *, expires_s=None):
        failure = self.fails.pop(0) if self.fails else None
        if failure != "before":
            assert topic == "/sub/topic/money/860000000000017"
            message = json.loads(payload)
            words = [BANK.word(number) for number in message["playAudibleMsg"].split("-")]
            at_s = (self.world.now_us - self.world.started_us) / 1e6
            self.heard.append((message["orderId"], understand(words), at_s, expires_s))
        if failure == "killed":
            raise asyncio.CancelledError
        if failure:
            raise ConnectionError("no receipt")


def listening(world):
    ears = Ears(world)
    world.started_us = world.now_us
    for backend in world.backends:
        backend.core.announcer.voices._publisher = ears
    return ears


async def paid(world, nozzle, amount_fen, *, who="zhang", on=0):
    """One payment up to the moment before its callback; gives its number."""
    await world.site("POST", "/sales", world.sale(nozzle, amount_fen), status=201)
    order = await world.order(nozzle, who=who, client_token=f"token-{amount_fen}")
    asked = await world.pay(order, who=who)
    world.gateway.pay(asked["out_trade_no"])
    return order, asked["out_trade_no"]


async def run_for(world, seconds, *, on=0):
    """Let the worker run, a tenth of a second at a time."""
    for _ in range(round(seconds * 10)):
        await world.run_due(later_s=0.1, on=on)


async def rows(world):
    found = await world.database.run(lambda tx: tx.rows(select(announcements).order_by(announcements.c.id)))
    return [(row.request_id, row.state, row.reason) for row in found]


@pytest.mark.requirement("vox.spoken-once-after-verified-payment", "pay.duplicate-callbacks-have-one-effect")
def test_said_once_after_the_proof_whatever_is_repeated(play):
    async def scene(world):
        ears = listening(world)
        order, number = await paid(world, 3, 20_005)
        world.gateway.trades[number]["state"] = "NOTPAY"  # the phone says so, the gateway does not
        await world.phone("POST", f"/{order['order_id']}/client-result", {"result": "ok"}, status=200)
        await run_for(world, 1)
        assert ears.heard == []
        world.gateway.pay(number)
        answers = await asyncio.gather(*(world.notify(number, on=i % 2) for i in range(6)))
        assert set(answers) == {204}
        await run_for(world, 2)
        await world.notify(number, on=1)
        await asyncio.gather(run_for(world, 5), run_for(world, 5, on=1))
        assert [(heard[0], heard[1]) for heard in ears.heard] == [(number, Heard(3, "微信", 20_005))]
        assert ears.heard[0][2] <= 1.2
        assert await world.violations() == []

    play(scene, instances=2, loudspeakers={"KM01": BOX})


@pytest.mark.requirement("vox.queue-in-order-and-fresh")
def test_twenty_at_once_are_said_in_order_and_the_old_ones_dropped_on_record(play):
    async def scene(world):
        ears = listening(world)
        numbers = [(await paid(world, 1 + i % 8, 10_000 + i))[1] for i in range(20)]
        world.started_us = world.now_us
        for number in numbers:
            assert await world.notify(number) == 204
        await run_for(world, 60)
        said = [heard[0] for heard in ears.heard]
        assert said == numbers[: len(said)]
        assert 6 <= len(said) <= 11
        times = [heard[2] for heard in ears.heard]
        assert times[0] <= 0.2
        assert times[-1] <= 26.1
        assert all(later - earlier >= 2.5 for earlier, later in itertools.pairwise(times))
        assert {heard[3] for heard in ears.heard} == {3}, "a broker would keep them for a box that is away"
        dropped = [number for number, state, _ in await rows(world) if state == "dropped"]
        assert dropped == numbers[len(said) :]
        alarms = (await world.admin("alarms"))["rows"]
        assert [row["subject"] for row in alarms if row["kind"] == "announcement_dropped"] == dropped

    play(scene, loudspeakers={"KM01": BOX})


@pytest.mark.requirement("vox.spoken-once-after-verified-payment")
@pytest.mark.parametrize("failure", ["before", "after"])
def test_an_unknown_outcome_is_tried_again_under_its_number(play, failure):
    async def scene(world):
        ears = listening(world)
        ears.fails = [failure, failure]
        _, first = await paid(world, 1, 5_000)
        _, second = await paid(world, 2, 6_000)
        await world.notify(first)
        await world.notify(second)
        await run_for(world, 15)
        said = list(dict.fromkeys(heard[0] for heard in ears.heard))
        assert said == [first, second]
        assert len(ears.heard) == (2 if failure == "before" else 4)
        assert {heard[1] for heard in ears.heard if heard[0] == first} == {Heard(1, "微信", 5_000)}
        assert [state for _, state, _ in await rows(world)] == ["sent", "sent"]

    play(scene, loudspeakers={"KM01": BOX})


def test_a_broker_that_stays_away_lets_them_grow_old_on_record(play):
    async def scene(world):
        ears = listening(world)
        ears.fails = ["before"] * 1000
        _, number = await paid(world, 1, 5_000)
        await world.notify(number)
        await run_for(world, 40)
        assert ears.heard == []
        assert [(n, state) for n, state, _ in await rows(world)] == [(number, "dropped")]
        ears.fails = []
        _, number = await paid(world, 2, 7_000)
        await world.notify(number)
        await run_for(world, 3)
        assert [heard[0] for heard in ears.heard] == [number]

    play(scene, loudspeakers={"KM01": BOX})


@pytest.mark.requirement("vox.spoken-once-after-verified-payment")
def test_an_instance_that_dies_in_the_middle_leaves_it_to_another(play):
    async def scene(world):
        ears = listening(world)
        ears.fails = ["killed"]
        _, number = await paid(world, 4, 12_345)
        await world.notify(number)
        with pytest.raises(asyncio.CancelledError):
            await world.run_due()
        await run_for(world, 20, on=1)
        assert {heard[:2] for heard in ears.heard} == {(number, Heard(4, "微信", 12_345))}
        assert [heard[0] for heard in ears.heard] == [number, number]  # the box knows the number
        assert [state for _, state, _ in await rows(world)] == ["sent"]
        assert await world.violations() == []

    play(scene, instances=2, loudspeakers={"KM01": BOX})


def test_a_station_without_a_loudspeaker_costs_nothing(play_sqlite):
    async def scene(world):
        _, number = await paid(world, 1, 5_000)
        await world.notify(number)
        assert await rows(world) == []
        tasks = await world.database.run(lambda tx: tx.rows(select(outbox.c.topic)))
        assert "voice.speak" not in {task.topic for task in tasks}

    play_sqlite(scene, loudspeakers={"KM02": BOX})


def test_what_the_clips_cannot_say_is_dropped_and_holds_nobody_up(play_sqlite):
    async def scene(world):
        world.core.announcer.voices._publisher = None
        _, number = await paid(world, 1, 5_000)
        await world.notify(number)
        await run_for(world, 1)
        assert await rows(world) == [(number, "dropped", "mqtt_url is not set")]
        ears = listening(world)
        _, second = await paid(world, 2, 5_001)
        await world.notify(second)
        await run_for(world, 0.1)
        assert [heard[0] for heard in ears.heard] == [second]

    play_sqlite(scene, loudspeakers={"KM01": BOX})


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"kind": "text", "speaker_id": "1"}, "needs a token"),
        ({"kind": "clips", "speaker_id": "a/b"}, "speaker_id"),
        ({"kind": "clips", "speaker_id": "1", "topic": "a/#"}, "topic"),
        ({"kind": "shout", "speaker_id": "1"}, "kind"),
        ({"kind": "text", "speaker_id": "1", "token": "t", "version": "0"}, "version"),
    ],
)
def test_settings_that_cannot_work(fields, says):
    with pytest.raises(ValueError, match=says):
        LoudspeakerSettings.model_validate(fields)


def test_the_brokers_address_is_checked(settings):
    for bad in ("http://x", "mqtt://", "mqtt://a b"):
        with pytest.raises(ValueError, match="mqtt_url"):
            BackendSettings.model_validate({**settings.model_dump(), "mqtt_url": bad})


@pytest.mark.requirement("vox.phone-systems-fall-back")
def test_the_staffs_phones_are_told_whatever_becomes_of_the_loudspeaker(play):
    async def scene(world):
        ears = listening(world)
        ears.fails = ["before"] * 1000
        waiting = asyncio.create_task(world.site("GET", "/announcements?wait_ms=20000", status=200))
        _, number = await paid(world, 3, 20_005)
        await world.notify(number)
        (told,) = (await waiting)["announcements"]
        assert told["message"]["data"]["request_id"] == number
        assert told["message"]["data"]["speech"] == "三号枪微信收款二百元零五分"
        await run_for(world, 40)
        assert [state for _, state, _ in await rows(world)] == ["dropped"]
        assert (await world.site("GET", "/announcements", status=200))["announcements"][0][
            "state"
        ] == "dropped"
        after = f"/announcements?after={told['id']}"
        assert (await world.site("GET", after, status=200))["announcements"] == []
        await world.call("GET", "/v1/stations/KM01/announcements", status=401)

    play(scene, loudspeakers={"KM01": BOX})


def test_a_clock_that_was_set_back_silences_nobody(play_sqlite):
    async def scene(world):
        ears = listening(world)
        _, first = await paid(world, 1, 5_000)
        await world.notify(first)
        await run_for(world, 0.1)
        world.now_us -= 3_600_000_000
        _, second = await paid(world, 2, 5_001)
        await world.notify(second)
        await run_for(world, 1)
        assert [heard[0] for heard in ears.heard] == [first, second]

    play_sqlite(scene, loudspeakers={"KM01": BOX})


def test_the_audit_misses_nothing(play_sqlite):
    async def scene(world):
        listening(world)
        _, number = await paid(world, 1, 5_000)
        await world.notify(number)
        assert await world.violations() == []

        async def spoil(tx):
            await tx.execute(update(outbox).where(outbox.c.topic == "voice.speak").values(done_us=1))
            await tx.execute(update(announcements).values(amount_fen=5_001))

        await world.database.run(spoil)
        assert [line.partition(" ")[2][len(number) :] for line in await world.violations()] == [
            " waits and nobody will send it",
            f" tells of money that order {(await world.admin('orders'))['rows'][0]['order_id']} does not have",
        ]

    play_sqlite(scene, loudspeakers={"KM01": BOX})


@pytest.mark.requirement("vox.spoken-once-after-verified-payment")
def test_a_prepaid_order_is_said_when_it_is_paid_and_not_again(play_sqlite):
    async def scene(world):
        ears = listening(world)
        order = await world.order(2, mode="prepay", preset_fen=10_000)
        asked = await world.pay(order)
        world.gateway.pay(asked["out_trade_no"])
        await world.notify(asked["out_trade_no"])
        await run_for(world, 1)
        assert [heard[1] for heard in ears.heard] == [Heard(2, "微信", 10_000)]
        await world.answer_command("authorise")
        sale = world.sale(2, 9_600, order_id=order["order_id"])
        await world.site("POST", "/sales", sale, status=201)
        await run_for(world, 10)
        assert len(ears.heard) == 1
        assert await world.violations() == []

    play_sqlite(scene, loudspeakers={"KM01": BOX})


def test_money_that_comes_after_the_end_is_given_back_in_silence(play_sqlite):
    async def scene(world):
        ears = listening(world)
        sale = world.sale(1, 5_000)
        await world.site("POST", "/sales", sale, status=201)
        order = await world.order(1)
        asked = await world.pay(order)
        await world.phone("POST", f"/{order['order_id']}/cancel", status=200)
        other = await world.order(1, who="li", client_token="again")
        second = await world.pay(other, who="li")
        world.gateway.pay(second["out_trade_no"])
        await world.notify(second["out_trade_no"])
        world.gateway.trades[asked["out_trade_no"]]["state"] = "NOTPAY"
        world.gateway.pay(asked["out_trade_no"])
        await world.notify(asked["out_trade_no"])
        await run_for(world, 10)
        assert [heard[0] for heard in ears.heard] == [second["out_trade_no"]]

    play_sqlite(scene, loudspeakers={"KM01": BOX})
