"""SIGTERM in the middle of a measurement: first everything is tidied up, then the signal has its effect."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from scenarios.measured.loop import run_to_end

_WORK = """
import asyncio, shutil, signal, sys, tempfile
from scenarios.measured.loop import run_to_end

async def work():
    private = tempfile.mkdtemp(dir=sys.argv[1])
    try:
        print("ready", flush=True)
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0.05)  # processes end in here
        shutil.rmtree(private)

class Told(BaseException): pass

def handler(number, frame):
    raise Told

if sys.argv[2] == "handled":
    signal.signal(signal.SIGTERM, handler)
try:
    run_to_end(work())
except Told:
    sys.exit(77)
"""


@pytest.mark.parametrize(("what", "code"), [("plain", -signal.SIGTERM), ("handled", 77)])
@pytest.mark.parametrize("times", [1, 2])
def test_sigterm_tidies_up_and_then_does_what_it_would_have_done(
    tmp_path: Path, what: str, code: int, times: int
) -> None:
    command = [sys.executable, "-c", _WORK, str(tmp_path), what]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert list(tmp_path.iterdir())
        for _ in range(times):
            process.terminate()
        assert process.wait(20) == code
    assert not list(tmp_path.iterdir())


def test_result_and_error_come_out_and_the_handler_stays() -> None:
    async def answer() -> int:
        return 42

    async def trouble() -> None:
        raise ValueError("trouble")

    before = signal.getsignal(signal.SIGTERM)
    assert run_to_end(answer()) == 42
    with pytest.raises(ValueError, match="trouble"):
        run_to_end(trouble())
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_thread_that_gets_no_signals_may_measure_too() -> None:
    async def answer() -> int:
        return 42

    answers = []
    thread = threading.Thread(target=lambda: answers.append(run_to_end(answer())))
    thread.start()
    thread.join()
    assert answers == [42]
