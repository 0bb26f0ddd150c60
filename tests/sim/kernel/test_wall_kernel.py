"""The same objects on real time: asyncio is the master. Waits are milliseconds and on events, never on luck."""

from __future__ import annotations

import asyncio

import pytest

from sim.kernel import KernelError, WallKernel


def test_processes_and_coroutines_follow_real_time():
    async def main():
        kernel = WallKernel(1)
        seen = []

        async def guest():
            await asyncio.sleep(0.01)
            return "guest"

        def process():
            yield kernel.env.timeout(5_000)
            seen.append(("process", kernel.env.now))
            seen.append(((yield kernel.task(guest())), kernel.env.now))
            kernel.stop()

        kernel.process(process())
        await kernel.run(60_000_000)
        elapsed = kernel.now_us
        await kernel.close()
        return seen, elapsed, list(kernel.lag_us)

    seen, elapsed_us, lag_us = asyncio.run(main())
    assert seen[0][0] == "process"
    assert 5_000 <= seen[0][1] <= elapsed_us
    assert seen[1][0] == "guest"
    assert seen[1][1] >= 15_000, "an answer from a coroutine is stamped with the real time"
    assert elapsed_us >= 15_000
    assert lag_us
    assert min(lag_us) >= 0


def test_call_from_a_socket_callback_is_relative_to_real_now_and_rearms():
    async def main():
        kernel = WallKernel(1)
        kernel.call_later(50_000_000, lambda: None)  # the armed timer lies far ahead
        called = []
        fired = asyncio.Event()

        def outside():
            before = kernel.now_us
            kernel.call_later(1_000, lambda: (called.append(kernel.now_us - before), fired.set()))

        asyncio.get_running_loop().call_later(0.01, outside)
        run = asyncio.create_task(kernel.run(60_000_000))
        await asyncio.wait_for(fired.wait(), 5)
        kernel.stop()
        await run
        await kernel.close()
        return called

    (delay_us,) = asyncio.run(main())
    assert delay_us >= 900


def test_crash_of_a_service_ends_the_run():
    async def main():
        kernel = WallKernel(1)

        async def service():
            raise RuntimeError("port in use")

        kernel.spawn(service(), "gateway")
        try:
            await kernel.run(60_000_000)
        finally:
            await kernel.close()

    with pytest.raises(KernelError, match="gateway crashed: RuntimeError: port in use"):
        asyncio.run(main())


def test_a_kernel_that_runs_for_days_keeps_the_last_delays_only(monkeypatch):
    monkeypatch.setattr("sim.kernel.wall._LAGS_KEPT", 3)

    async def main():
        kernel = WallKernel(1)
        for _ in range(10):
            kernel.call_later(0, lambda: None)
        kernel.call_later(1, kernel.stop)
        await kernel.run(60_000_000)
        await kernel.close()
        return len(kernel.lag_us)

    assert asyncio.run(main()) == 3
