"""The clock of the service's own machine is set back by an hour: nothing that paces calls waits for it to catch up."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from reference.backend.gateways.outgoing import Outgoing
from reference.backend.gateways.platform_keys import PlatformKeys
from reference.backend.gateways.port import GatewayRefusedError, GatewayUnreachableError
from reference.backend.identifiers import Identifiers
from reference.backend.refunds.limits import RefundLimits

from .refund_rig import ask

HOUR_US = 3_600_000_000


@pytest.mark.requirement("pay.back-off-without-new-orders")
def test_a_gateway_that_had_trouble_is_asked_again():
    now_us, status = [10 * HOUR_US], [500]
    transport = httpx.MockTransport(lambda _: httpx.Response(status[0]))
    outgoing = Outgoing(transport, lambda: now_us[0], Identifiers(None), timeout_s=5, busy_qps=1000)

    async def call():
        return (await outgoing.send("GET", "https://gateway.sim/", b"", {})).status_code

    async def scene():
        for _ in range(3):
            await call()
        outgoing._next_us = now_us[0] + 7_000_000
        with pytest.raises(GatewayUnreachableError):
            await call()  # a queue that is too long is none of the clock's doing
        now_us[0] -= HOUR_US
        status[0] = 200
        assert await call() == 200

    asyncio.run(scene())


def test_a_new_certificate_is_learnt(merchant):
    now_us = [10 * HOUR_US]

    async def fetch():
        raise GatewayRefusedError(500, "SYSTEM_ERROR", "")

    async def scene():
        keys = PlatformKeys(merchant, lambda: now_us[0], fetch)
        for learned in (1, 1):
            await keys.learn()
            assert keys.learned == learned
        now_us[0] -= HOUR_US
        await keys.learn()
        assert keys.learned == 2

    asyncio.run(scene())


@pytest.mark.parametrize("slow", [False, True])
def test_refunds_go_on(play_sqlite, slow):
    async def scene(w):
        w.now_us += HOUR_US
        for n in range(2):
            await ask(w, await w.paid_order(client_token=f"o{n}"), 100)
        await w.run_due()
        if slow:
            await w.core.refunds.limits.failed()
        w.now_us -= HOUR_US
        await ask(w, await w.paid_order(client_token="later"), 100)
        await w.run_due(later_s=1)
        assert len(w.gateway.refunds) == 3

    play_sqlite(scene)


def test_two_refunds_of_one_payment_wait_a_minute_and_not_an_hour(play_sqlite):
    async def scene(w):
        order = await w.paid_order()
        await ask(w, order, 100)
        w.now_us += HOUR_US
        await w.run_due()
        w.now_us -= HOUR_US
        await ask(w, order, 100, "t2")
        await w.run_due(later_s=120)
        assert len(w.gateway.refunds) == 2

    play_sqlite(scene)


def test_failing_calls_stay_slow_though_the_clocks_of_two_instances_differ(play_sqlite):
    async def scene(w):
        await w.add()
        ahead_us = [0]
        first, second = (RefundLimits(backend.core) for backend in w.backends)
        w.backends[0].core.clock_us = lambda: w.now_us + ahead_us[0]
        ahead_us[0] = 300_000
        calls = 0
        for _ in range(200):
            w.now_us += 5_000
            for limits in (first, second):
                if await w.database.run(limits.of_merchant) is None:
                    calls += 1
                    await limits.failed()
        assert calls <= 8, "6 of them in a second, by clocks that differ"

    play_sqlite(scene)
