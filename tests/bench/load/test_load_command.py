from __future__ import annotations

import subprocess
import sys

import pytest

from bench.load.__main__ import main

URLS = ["--host", "http://127.0.0.1:1", "--payer-url", "http://127.0.0.1:1"]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ([*URLS, "--rate", "0"], "arrivals a second"),
        ([*URLS, "--duration", "0"], "duration"),
        ([*URLS, "--workers", "0"], "workers"),
        ([*URLS, "--stations", "0"], "station"),
        ([*URLS, "--closed", "0"], "closed_users"),
        ([*URLS, "--lead-ms", "-1"], "lead_us"),
        (["--host", "nowhere", "--payer-url", "http://127.0.0.1:1"], "host must be"),
    ],
)
def test_bad_options_are_one_line_and_exit_code_2(arguments, word, capsys):
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert word in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_missing_options_are_usage_errors(capsys):
    with pytest.raises(SystemExit) as stopped:
        main([])
    assert stopped.value.code == 2
    assert "--host" in capsys.readouterr().err


def test_an_unwritable_folder_is_said_so(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main([*URLS, "--out", str(tmp_path / "file" / "out")]) == 2
    assert "file" in capsys.readouterr().err


def test_gevent_stays_out_of_our_process():
    code = "import sys, bench.load.__main__; print('gevent' in sys.modules, 'locust' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
