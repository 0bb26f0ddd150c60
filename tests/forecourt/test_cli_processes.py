"""The real command in real processes: signals, exit codes, and what is left behind. No test here waits for time to pass."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from forecourt.folders import claimed_folder


def start(*arguments: str, cwd: Path, **more) -> subprocess.Popen[str]:
    environment = {**os.environ, "COLUMNS": "200", "PYTHONUNBUFFERED": "1"}
    # Whoever runs these tests under `nohup` ignores SIGHUP, and a child would inherit that.
    inherited = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "forecourt", *arguments],
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **more,
        )
    finally:
        signal.signal(signal.SIGHUP, inherited)


def read_until(process: subprocess.Popen[str], words: str) -> str:
    """Read its standard error line by line until one holds ``words``."""
    assert process.stderr is not None
    seen = ""
    for line in process.stderr:
        seen += line
        if words in line:
            return seen
    raise AssertionError(f"never said {words!r}:\n{seen}")


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "SIGTERM"), (signal.SIGHUP, 129, "SIGHUP")],
)
def test_a_signal_in_mid_run_ends_it_at_once_and_leaves_nothing(tmp_path, number, code, word):
    with start("run", "kunming-peak", "--virtual-only", "--out", "here/evidence", cwd=tmp_path) as process:
        read_until(process, "0 %")
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert out == ""
    assert word in err
    assert "Traceback" not in err
    assert "Task was destroyed" not in err
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert not (tmp_path / "here" / "evidence").exists()


def test_who_wants_sighup_ignored_is_heeded(tmp_path):
    """As under `nohup`: the run goes on, and SIGTERM ends it."""
    command = [
        "/bin/sh",
        "-c",
        f"trap '' HUP; exec {sys.executable} -m forecourt run bad-hour --virtual-only",
    ]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        read_until(process, "0 %")
        process.send_signal(signal.SIGHUP)
        read_until(process, "%")  # it goes on, for another tenth of the hour
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err


def test_two_runs_with_one_out_learn_of_each_other_at_once_and_kill_9_leaves_no_claim(tmp_path):
    arguments = ("run", "kunming-peak", "--virtual-only", "--out", "e")
    with start(*arguments, cwd=tmp_path) as first:
        read_until(first, "0 %")
        with start(*arguments, cwd=tmp_path) as second:
            out, err = second.communicate(timeout=60)
        assert second.returncode == 2, err
        assert out == ""
        assert err == "error: e is where another run writes just now; give another folder with --out\n"
        assert first.poll() is None
        first.kill()
        first.communicate(timeout=60)
    with claimed_folder(tmp_path / "e", "kunming-peak", "1") as folder:
        assert not folder.exists()


def test_ctrl_c_outside_any_command_shows_no_traceback(tmp_path):
    program = (
        "import forecourt.cli as cli, signal\n"
        "cli.app = lambda: signal.raise_signal(signal.SIGINT)\n"
        "cli.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 130
    assert done.stderr == "stopped: interrupted\n"


def test_ctrl_c_while_modules_load_shows_no_traceback(tmp_path):
    program = (
        "import signal, sys\n"
        "class Strike:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'typer': signal.raise_signal(signal.SIGINT)\n"
        "sys.meta_path.insert(0, Strike())\n"
        "from forecourt.__main__ import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 130
    assert done.stderr == "stopped: interrupted\n"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere; run the tests as another user")
def test_a_closed_folder_is_told_before_the_run(tmp_path):
    tmp_path.chmod(0o500)
    with start("run", "smoke", "--out", "e", cwd=tmp_path) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "Permission denied" in err


def test_a_folder_on_a_read_only_file_system_is_told_before_the_run(tmp_path):
    """/proc refuses new folders to anyone, root included."""
    with start("run", "smoke", "--out", "/proc/forecourt-evidence", cwd=tmp_path) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "/proc/forecourt-evidence cannot be written" in err
    assert out == ""


def test_a_reader_that_leaves_early_is_no_error(tmp_path):
    with start("explain", cwd=tmp_path) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
    assert process.returncode == 0


def run_in_shell(command: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["/bin/sh", "-c", command.replace("forecourt", f"{sys.executable} -m forecourt")],
        cwd=cwd,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )


@pytest.mark.parametrize(
    "command", ["forecourt list >&-", "forecourt version >&- 2>&-", "forecourt list 2>&-"]
)
def test_a_closed_stream_is_no_error(tmp_path, command):
    done = run_in_shell(command, tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_full_disk_behind_standard_output_is_told(tmp_path):
    done = run_in_shell("forecourt list >/dev/full", tmp_path)
    assert done.returncode == 2
    assert done.stderr == b"error: standard output cannot be written: No space left on device\n"
    assert run_in_shell("forecourt run nothing 2>/dev/full", tmp_path).returncode == 2


@pytest.mark.parametrize("columns", ["²", "0", "x", "-1", "9" * 30])
def test_a_terminal_width_that_is_none_is_ignored(tmp_path, columns):
    done = run_in_shell("forecourt list", tmp_path, COLUMNS=columns)
    assert (done.returncode, done.stderr) == (0, b"")


def test_characters_that_the_output_cannot_take_are_replaced(tmp_path):
    done = run_in_shell("forecourt explain latency.payment-controlled", tmp_path, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, b"")
    told = run_in_shell("forecourt run \u6606\u660e", tmp_path, PYTHONIOENCODING="ascii")
    assert told.returncode == 2
    assert b"Traceback" not in told.stderr


def test_the_installed_script_is_this_program(tmp_path):
    script = Path(sys.executable).with_name("forecourt")
    done = subprocess.run([script, "version"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("forecourt ")
