"""Virtual time: SimPy is the master, coroutines are guests, and nothing outside reaches the run."""

from __future__ import annotations

import asyncio
import math
import os
import subprocess
import sys
import textwrap

import pytest

from sim.kernel import KernelError, Streams, Trace, VirtualKernel

HOUR_US = 3_600_000_000


@pytest.fixture
def kernel():
    kernel = VirtualKernel(7, epoch_us=1_000_000)
    yield kernel
    kernel.close()


def test_coroutine_sleeps_in_virtual_time_to_the_microsecond(kernel):
    seen = []

    async def sleeper():
        for _ in range(1000):
            await asyncio.sleep(0.1)
        seen.append(kernel.now_us)

    kernel.spawn(sleeper(), "sleeper")
    kernel.run(HOUR_US)
    assert seen == [100_000_000]
    assert kernel.now_us == HOUR_US
    assert kernel.unix_us == HOUR_US + 1_000_000


def test_wait_for_times_out_at_its_virtual_instant(kernel):
    async def impatient():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 15)
        return kernel.now_us

    results = []

    def process():
        results.append((yield kernel.task(impatient())))

    kernel.process(process())
    kernel.run(20_000_000)
    assert results == [15_000_000]


def test_simpy_process_and_coroutine_wait_for_each_other(kernel):
    order = []
    gate = asyncio.Event()

    async def guest():
        await gate.wait()
        order.append(("guest", kernel.now_us))
        await asyncio.sleep(2)
        return "done"

    def process():
        answer = kernel.task(guest())
        yield kernel.env.timeout(3_000_000)
        gate.set()
        order.append(("process", kernel.now_us))
        order.append(((yield answer), kernel.now_us))

    kernel.process(process())
    kernel.run(10_000_000)
    assert order == [("process", 3_000_000), ("guest", 3_000_000), ("done", 5_000_000)]


def test_exception_of_a_task_reaches_the_waiting_process(kernel):
    async def fails():
        raise ValueError("no such nozzle")

    caught = []

    def process():
        try:
            yield kernel.task(fails())
        except ValueError as error:
            caught.append(str(error))

    kernel.process(process())
    kernel.run(1)
    assert caught == ["no such nozzle"]


def test_crashed_service_ends_the_run_and_names_itself(kernel):
    async def service():
        await asyncio.sleep(1)
        raise RuntimeError("disk full")

    kernel.spawn(service(), "outbox worker")
    with pytest.raises(KernelError, match="outbox worker crashed: RuntimeError: disk full"):
        kernel.run(5_000_000)
    assert kernel.now_us == 1_000_000


def test_threads_are_refused(kernel):
    async def blocking():
        await asyncio.to_thread(len, "abc")

    kernel.spawn(blocking(), "blocking")
    with pytest.raises(KernelError, match="asks for a thread inside virtual time"):
        kernel.run(1)


def test_cancelled_call_never_happens_and_same_instant_keeps_order(kernel):
    calls = []
    kernel.call_at(10, calls.append, "a")
    doomed = kernel.call_at(10, calls.append, "never")
    kernel.call_at(10, calls.append, "b")
    kernel.call_at(5, doomed.cancel)
    kernel.run(20)
    assert calls == ["a", "b"]


def test_time_stands_still_during_declared_real_io(kernel):
    """A real loopback server answers a guest coroutine; the virtual clock does not move meanwhile."""
    seen = []

    async def real_round_trip():
        with kernel.real_io():
            served = asyncio.Event()

            async def answer(reader, writer):
                writer.write(await reader.readexactly(5))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
                served.set()

            server = await asyncio.start_server(answer, "127.0.0.1", 0)
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"hello")
            seen.append((await reader.readexactly(5), kernel.now_us))
            writer.close()
            await writer.wait_closed()
            await served.wait()
            server.close()
            await server.wait_closed()

    def process():
        yield kernel.env.timeout(42)
        yield kernel.task(real_round_trip())
        seen.append(kernel.now_us)

    kernel.process(process())
    kernel.run(HOUR_US)
    assert seen == [(b"hello", 42), 42]


def test_streams_are_independent_of_each_other_and_of_order():
    first, second = Streams("s"), Streams("s")
    draws = [first.get("pump-1", "flow").random() for _ in range(3)]
    second.get("pump-99", "flow").random()
    assert [second.get("pump-1", "flow").random() for _ in range(3)] == draws
    assert Streams("t").get("pump-1", "flow").random() != draws[0]


PROGRAM = """
import asyncio, sys
from sim.kernel import Trace, VirtualKernel
kernel = VirtualKernel(sys.argv[1], epoch_us=0, trace=Trace())
names = {f"pump-{n}" for n in range(20)}  # a set: its order follows PYTHONHASHSEED
queue = asyncio.Queue()
async def worker():
    while True:
        name = await queue.get()
        await asyncio.sleep(kernel.streams.get(name, "wait").random())
        kernel.trace.emit("worked", name)
def pump(name):
    draw = kernel.streams.get(name, "gap")
    while True:
        yield kernel.env.timeout(draw.randrange(1, 3_000_000))
        kernel.trace.emit("lift", name)
        queue.put_nowait(name)
for name in sorted(names):
    kernel.process(pump(name))
for n in range(3):
    kernel.spawn(worker(), f"worker-{n}")
kernel.run(60_000_000)
print(kernel.trace.count, kernel.trace.hexdigest())
"""


def run_program(seed: str, hash_seed: str) -> str:
    env = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), seed],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_two_processes_with_one_seed_give_one_trace_whatever_the_hash_seed():
    first, again, other = run_program("5", "0"), run_program("5", "4242"), run_program("6", "0")
    assert int(first.split()[0]) > 500
    assert first == again
    assert first.split()[1] != other.split()[1]


def test_trace_refuses_nan_and_hashes_bytes(tmp_path):
    from sim.kernel import hash_trace_file

    path = tmp_path / "events.ndjson"
    with path.open("w", encoding="utf-8") as sink:
        trace = Trace(sink)
        trace.emit("sale", "加油枪-1", volume_ml=12_340)
        with pytest.raises(ValueError, match="not JSON compliant"):
            trace.emit("sale", "x", volume=float("nan"))
    assert path.read_text("utf-8") == '{"entity":"加油枪-1","kind":"sale","t_us":0,"volume_ml":12340}\n'
    assert hash_trace_file(path) == trace.hexdigest()


def test_guest_that_never_rests_is_named(monkeypatch, kernel):
    monkeypatch.setattr("sim.kernel.guest_loop._TURNS_LIMIT", 100)

    async def spins():
        while True:
            await asyncio.sleep(0)

    kernel.spawn(spins(), "spinner")
    with pytest.raises(KernelError, match="does not come to rest at 0 us"):
        kernel.run(1)


def test_deadline_that_floats_leave_a_hair_ahead_still_passes(kernel):
    """0.1 added three times is 0.30000000000000004: what is left of it rounds to no microsecond at all."""
    rounds = []

    async def waits():
        await asyncio.sleep(0.3)
        end = 0.1 + 0.1 + 0.1
        while (left := end - kernel.loop.time()) > 0:
            rounds.append(left)
            assert len(rounds) < 5
            await asyncio.sleep(left)
        return kernel.now_us

    results = []

    def process():
        results.append((yield kernel.task(waits())))

    kernel.process(process())
    kernel.run(1_000_000)
    assert rounds
    assert results == [300_001]


def test_what_python_offers_for_waiting_works_in_virtual_time(kernel):
    async def together():
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(10))
            group.create_task(asyncio.wait_for(asyncio.Event().wait(), 0.25))

    async def waits():
        seen = []
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await asyncio.sleep(math.inf)
        seen.append(kernel.now_us)
        async with asyncio.timeout(0.5) as limit:
            limit.reschedule(kernel.loop.time() + 5)
            await asyncio.sleep(2)
        seen.append(kernel.now_us)
        with pytest.raises(ExceptionGroup):
            await together()
        seen.append(kernel.now_us)
        return seen

    results = []

    def process():
        results.append((yield kernel.task(waits())))

    kernel.process(process())
    kernel.run(20_000_000)
    assert results == [[500_000, 2_500_000, 2_750_000]]


@pytest.mark.parametrize(
    "start",
    [
        lambda: asyncio.open_connection("127.0.0.1", 9),
        lambda: asyncio.start_server(print, "127.0.0.1", 0),
        lambda: asyncio.create_subprocess_exec("true"),
        lambda: asyncio.create_subprocess_shell("true"),
    ],
    ids=["connection", "server", "process", "shell"],
)
def test_undeclared_sockets_and_processes_are_refused_instead_of_waited_for(kernel, start):
    kernel.spawn(start(), "service")
    with pytest.raises(KernelError, match=r"is real and has no place in virtual time; .*real_io"):
        kernel.run(HOUR_US)
