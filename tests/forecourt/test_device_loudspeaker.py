"""``forecourt device loudspeaker`` in a real process, told of payments by clients that know nothing of it."""

from __future__ import annotations

import io
import json
import subprocess
import time
import urllib.parse
import urllib.request
import wave
from pathlib import Path

import httpx
import numpy as np
import pytest
from typer.testing import CliRunner

from forecourt.cli import app
from sim.loudspeaker.ear import Ear

from .running_device import device


def tell(url: str, **fields: str) -> dict[str, object]:
    """One request as the standard library makes it."""
    form = {"id": "860000000000017", "token": "token", "version": "3", **fields}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, urllib.parse.urlencode(form).encode(), timeout=30) as reply:
        answer: dict[str, object] = json.load(reply)
    return answer


def wait_for(control: httpx.Client, count: int) -> list[dict[str, object]]:
    for _ in range(300):
        said: list[dict[str, object]] = control.get("/said").json()
        if len(said) >= count:
            return said
        time.sleep(0.05)
    raise AssertionError(f"only {said}")


def test_it_says_what_the_makers_interface_is_told(tmp_path: Path) -> None:
    with device("loudspeaker", cwd=tmp_path) as (url, control):
        assert tell(url, message="3号枪,微信收款8元", seq="1")["errcode"] == 0
        assert tell(url, message="3号枪,微信收款8元", seq="1")["errcode"] == 17
        assert tell(url, message="x", token="wrong")["errcode"] == 9
        (said,) = wait_for(control, 1)
        assert said["words"] == "三号枪微信收款八元"
        with wave.open(io.BytesIO(control.get("/said/0.wav").content)) as sound:
            assert (sound.getframerate(), sound.getnchannels()) == (8_000, 1)
            samples = np.frombuffer(sound.readframes(sound.getnframes()), dtype="<i2").astype(np.float32)
        assert "".join(Ear().hear(samples / 32_768)) == said["words"]
        assert control.get("/said/1.wav").status_code == 404
        assert control.put("/faults/gone", json={"kind": "lost", "limit": 1}).status_code == 204
        assert tell(url, message="收款1元")["errcode"] == 0
        assert control.get("/faults").json() == {"gone": {"met": 1, "landed": 1}}
        assert control.put("/faults/gone", json={"kind": "lost"}).status_code == 422
        assert control.put("/faults/bad", json={"kind": "shout"}).status_code == 422
        assert control.delete("/faults/gone").status_code == 204
        assert control.delete("/faults/gone").status_code == 404
        assert control.post("/radio", json={"on": False}).status_code == 204
        assert control.post("/volume", json={"volume": 101}).status_code == 422
        assert control.post("/volume", json={"volume": 5}).status_code == 204
        state = control.get("/state").json()
        assert (state["volume"], state["online"], state["said"]) == (5, False, 1)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--tcp", "nowhere"], "expected HOST:PORT"),
        (["--mqtt", "http://x"], "is not mqtt://"),
        (["--mqtt", "mqtt://x:y"], "--mqtt"),
        (["--mqtt", "mqtt://127.0.0.1", "--tcp", "127.0.0.1:0"], "with --mqtt it has none"),
        (["--box", "a/b"], "up to 32 letters"),
        (["--topic", "a/#"], "without wildcards"),
        (["--clips", "none"], "none"),
    ],
)
def test_bad_input_is_told_in_a_line(arguments: list[str], says: str) -> None:
    result = CliRunner().invoke(app, ["device", "loudspeaker", *arguments])
    assert result.exit_code != 0
    assert says in (result.output + str(result.exception or ""))


@pytest.mark.foreign
def test_it_listens_to_a_broker(tmp_path: Path, foreign, free_port) -> None:
    publish = foreign.program("mosquitto_pub", install="apt-get install mosquitto mosquitto-clients")
    (tmp_path / "broker.conf").write_text(f"listener {free_port} 127.0.0.1\nallow_anonymous true\n")
    broker = next(
        path for path in ("/usr/sbin/mosquitto", "mosquitto") if path == "mosquitto" or Path(path).is_file()
    )
    with subprocess.Popen([broker, "-c", tmp_path / "broker.conf"], stderr=subprocess.DEVNULL) as running:
        try:
            with device("loudspeaker", "--mqtt", f"mqtt://127.0.0.1:{free_port}", cwd=tmp_path) as (
                where,
                control,
            ):
                assert where == f"127.0.0.1:{free_port}, topic /sub/topic/money/860000000000017"
                message = json.dumps({"playAudibleMsg": "065-001-015", "orderId": "o1"})
                topic = where.rpartition(" ")[2]
                # Retained: whoever subscribes first, this message is heard.
                subprocess.run(
                    [publish, "-p", str(free_port), "-t", topic, "-q", "1", "-r", "-m", message], check=True, timeout=30
                )  # fmt: skip
                (said,) = wait_for(control, 1)
                assert (said["words"], said["request_id"]) == ("收款一元", "o1")
        finally:
            running.terminate()


@pytest.fixture
def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
