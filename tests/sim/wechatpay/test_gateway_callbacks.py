"""Callbacks: the retry ladder on the virtual clock, lateness, loss, duplicates, forgeries and trust."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from sim.wechatpay import ANSWER_LIMIT_S, RETRY_LADDER_S, GatewayFault, GatewayProfile, Switches

S = 1_000_000


def sent_at(world) -> list[int]:
    return [at_us for at_us, _, _ in world.shop.seen]


def test_the_ladder_is_a_day_and_four_minutes() -> None:
    assert len(RETRY_LADDER_S) == 15
    assert sum(RETRY_LADDER_S) == 24 * 3600 + 4 * 60


def test_a_merchant_that_never_says_yes_hears_of_it_sixteen_times(make_world) -> None:
    world = make_world()
    world.shop.answer = lambda _number: 500
    world.run(world.paid())
    expected = [0, *itertools.accumulate(wait_s * S for wait_s in RETRY_LADDER_S)]
    assert sent_at(world) == expected
    assert len({body for _, _, body in world.shop.seen}) == 1
    assert len({headers["wechatpay-nonce"] for _, headers, _ in world.shop.seen}) == 16
    assert (
        len(world.shop.opened) == 16
    )  # each attempt is signed with its own time, so the last still verifies
    assert world.gateway.notifier.notices[0].given_up
    assert len(world.of("wechatpay.callback-given-up")) == 1


@pytest.mark.parametrize("status", [200, 204])
def test_a_yes_ends_the_ladder(make_world, status: int) -> None:
    world = make_world()
    world.shop.answer = lambda number: status if number == 3 else 503
    world.run(world.paid())
    assert sent_at(world) == [0, 15 * S, 30 * S]
    assert world.gateway.notifier.notices[0].delivered_us == 30 * S


def test_no_answer_within_five_seconds_is_no_answer(make_world) -> None:
    world = make_world()
    world.shop.hang_s = ANSWER_LIMIT_S + 1
    world.run(world.paid(), until_s=40)
    assert sent_at(world) == [0, 15 * S, 30 * S]
    assert {outcome for _, outcome in world.gateway.notifier.notices[0].attempts} == {"timeout"}
    world.shop.hang_s = ANSWER_LIMIT_S - 1
    world.run(asyncio.sleep(0))
    assert world.gateway.notifier.notices[0].attempts[-1][1] == "204"


def test_an_unreachable_url_climbs_the_ladder_too(make_world) -> None:
    world = make_world()

    prepay = world.prepay_body(notify_url="https://backend.station:port/notify")

    async def story() -> None:
        reply = await world.call("POST", "/v3/pay/transactions/jsapi", prepay)
        await world.confirm(reply.json()["prepay_id"])

    world.run(story())
    assert [outcome for _, outcome in world.gateway.notifier.notices[0].attempts] == ["unreachable"] * 16


def test_late_and_lost(make_world) -> None:
    world = make_world(
        GatewayFault(kind="callback-late", name="late", delay_us=7 * S, limit=1),
        GatewayFault(kind="callback-lost", name="lost", attempts=2, skip=1, limit=2),
    )
    world.run(world.paid("ORDER00001"))
    assert sent_at(world) == [7 * S]
    start_us = world.kernel.now_us
    world.run(world.paid("ORDER00002"))
    assert sent_at(world)[1:] == [start_us + 30 * S]
    assert [outcome for _, outcome in world.gateway.notifier.notices[1].attempts] == ["lost", "lost", "204"]
    assert world.gateway.faults.report() == {"late": {"met": 1, "landed": 1}, "lost": {"met": 2, "landed": 2}}


def test_lost_for_good(make_world) -> None:
    world = make_world(GatewayFault(kind="callback-lost", name="lost", attempts=0))
    world.run(world.paid())
    assert not world.shop.seen
    assert world.gateway.faults.report()["lost"]["landed"] == 16
    assert world.gateway.notifier.notices[0].given_up


def test_duplicates_carry_the_same_id(make_world) -> None:
    world = make_world(GatewayFault(kind="callback-duplicate", name="twice", copies=3, delay_us=2 * S))
    world.run(world.paid())
    assert len(world.shop.opened) == 4
    assert len({notice.envelope.id for notice in world.shop.opened}) == 1
    assert len({headers["wechatpay-nonce"] for _, headers, _ in world.shop.seen}) == 4
    assert max(sent_at(world)) <= 2 * S


def test_a_callback_before_the_phones_ok(make_world) -> None:
    world = make_world(GatewayFault(kind="callback-before-reply", name="early"), profile=GatewayProfile())

    async def story() -> tuple[int, int]:
        prepay_id = await world.prepay()
        await world.confirm(prepay_id)
        return len(world.shop.seen), world.kernel.now_us

    assert world.run(story())[0] == 1
    assert len(world.shop.seen) == 1


def test_a_callback_before_the_prepay_reply(make_world) -> None:
    world = make_world(GatewayFault(kind="callback-before-reply", name="early", at=["prepay"]))

    async def story() -> int:
        await world.prepay()
        return len(world.shop.opened)

    assert world.run(story()) == 1
    assert world.run(world.query()).json()["trade_state"] == "SUCCESS"
    assert world.gateway.faults.report()["early"]["landed"] == 1


@pytest.mark.parametrize(
    ("forgery", "reason"),
    [
        ("probe", "probe"),
        ("wrong-key", "signature"),
        ("unknown-serial", "unknown-serial"),
        ("stale", "timestamp"),
        ("no-headers", "missing-header"),
        ("tampered", "signature"),
    ],
)
def test_a_forged_callback_is_refused_and_the_next_attempt_is_honest(
    make_world, forgery: str, reason: str
) -> None:
    world = make_world(GatewayFault(kind="callback-signature", name="forged", forgery=forgery))
    world.run(world.paid())
    assert world.shop.refused == [reason]
    assert len(world.shop.opened) == 1
    assert sent_at(world) == [0, 15 * S]


def test_a_share_of_callbacks_is_signed_with_the_public_key(make_world, platform) -> None:
    world = make_world(switches=Switches(callback_public_key_permille=500))
    for number in range(24):
        world.run(world.paid(f"ORDER{number:05d}"))
    serials = [headers["wechatpay-serial"] for _, headers, _ in world.shop.seen]
    assert set(serials) == {platform.public.serial, platform.certificates[0].serial}
    assert len(world.shop.opened) == 24
    every = make_world(switches=Switches(callback_public_key_permille=1000))
    every.run(every.paid())
    assert every.shop.seen[0][1]["wechatpay-serial"] == platform.public.serial


def test_latency_and_faults_repeat_with_the_seed_and_hold_no_key_material(make_world) -> None:
    def run(seed: str) -> tuple[str, str]:
        world = make_world(
            GatewayFault(kind="callback-lost", probability=0.5),
            GatewayFault(kind="callback-duplicate", probability=0.5, copies=2, delay_us=3 * S),
            seed=seed,
            profile=GatewayProfile(),
        )

        async def story() -> None:
            for number in range(6):
                await world.paid(f"ORDER{number:05d}")
                await world.refund(f"R{number}", 100, f"ORDER{number:05d}")

        world.run(story())
        return world.kernel.trace.hexdigest(), repr(world.events)

    first, text = run("a")
    assert run("a")[0] == first
    assert run("b")[0] != first
    assert "WECHATPAY2" not in text
    assert "==" not in text
