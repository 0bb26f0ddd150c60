"""``forecourt gateways`` as a process, used by unmodified clients through their environment alone."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from forecourt.cli import app

CLIENTS = Path(__file__).with_name("gateway_clients.py")


def start(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "forecourt", "gateways", "--instant", *arguments],
        cwd=cwd,
        env={**os.environ, "COLUMNS": "160", "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def read_places(process: subprocess.Popen[str]) -> tuple[dict[str, str], list[str]]:
    """What listens where, and the export lines."""
    places, exports = {}, []
    assert process.stdout is not None
    for line in process.stdout:
        cells = [cell.strip() for cell in line.strip().strip("│").split("│")]
        if len(cells) == 3:
            places[cells[0]] = cells[1]
        if line.startswith("export "):
            exports.append(line.strip())
        if line.startswith("Ctrl-C"):
            return places, exports
    raise AssertionError(process.stderr.read() if process.stderr else "")


@dataclass(frozen=True)
class Running:
    """The command at work."""

    places: dict[str, str]
    exports: list[str]
    folder: Path
    callback_port: int


@pytest.fixture(scope="module")
def gateways(tmp_path_factory) -> Iterator[Running]:
    place = tmp_path_factory.mktemp("gateways")
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    arguments = ("--folder", "keys", "--callbacks", f"http://127.0.0.1:{port}")
    with start(*arguments, cwd=place) as process:
        try:
            yield Running(*read_places(process), place / "keys", port)
        finally:
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert err == "stopped\n"


def in_shell(gateways: Running, command: str) -> str:
    """Run a command as a person would: env.sh first, and nothing else about a proxy or a certificate."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.lower().endswith("_proxy") and "CA_" not in name and not name.startswith("SSL_")
    }
    done = subprocess.run(
        ["bash", "-euc", f". '{gateways.folder}/env.sh'; {command}"],
        # A shell with a proxy of its own: the file has to win.
        env={**clean, "PYTHONUTF8": "1", "https_proxy": "http://127.0.0.1:9", "no_proxy": "weixin.qq.com"},
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_wechatpayv3_and_wechatpy_reach_every_platform_by_their_environment(gateways) -> None:
    told = json.loads(
        in_shell(gateways, f"'{sys.executable}' '{CLIENTS}' '{gateways.folder}' {gateways.callback_port}")
    )
    assert told["pay"] | {"transaction_id": ""} == {
        "prepay": 200,
        "phone": "requestPayment:ok",
        "callback": "SUCCESS",
        "query": "SUCCESS",
        "transaction_id": "",
        "out_trade_no": "KM01000001",
        "refund": 200,
    }
    assert told["wechat"] == {
        "openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o",
        "code_again": 40029,
        "phone": "13812345678",
        "new_token": True,
        "sent": [0, 43101],
        "shipped": [0, 10060023],
    }
    assert told["wecom"] == {"codes": [0, 40058, 40003, 40071, 0], "tags": ["金卡"]}
    assert told["nuonuo"] == {
        "code": "E0000",
        "status": ["2"],
        "listed": [["nuonuo", "KM01000001", "ISSUED", 20_000]],
    }
    assert (told["amap"]["count"], told["amap"]["geocodes"][0]["building"]["name"]) == ("1", [])
    assert told["elsewhere"] == "refused"
    with httpx.Client(base_url=gateways.places["control"], trust_env=False, timeout=30) as control:
        index = control.get("/").json()
        assert index["refused"] == {"pay.weixin.qq.com": 1}
        assert index["tunnels"]["api.mch.weixin.qq.com"] >= 3
        assert [order["trade_state"] for order in control.get("/wechatpay/orders").json()] == ["REFUND"]
        messages = control.get("/wechat/messages").json()
        assert [sent["touser"] for sent in messages if sent["touser"] != "o-npm"] == [
            told["wechat"]["openid"]
        ]
        assert len(control.get("/wecom/marks").json()) == 1


@pytest.mark.foreign
def test_curl_reaches_a_platform_by_its_environment(gateways, foreign) -> None:
    curl = foreign.program("curl", install="apt-get install curl")
    key = json.loads((gateways.folder / "gateways.json").read_text("utf-8"))["services"]["amap"]["key"]
    url = f"https://restapi.amap.com/v3/geocode/regeo?key={key}&location=102.722,25.045"
    found = json.loads(in_shell(gateways, f"'{curl}' --silent --show-error '{url}'"))
    assert found["regeocode"]["formatted_address"] == "云南省昆明市盘龙区北京路928号"
    # As it is typed, which real servers read: curl encodes nothing.
    typed = f"https://restapi.amap.com/v3/geocode/geo?key={key}&address=昆明市北京路928号"
    assert json.loads(in_shell(gateways, f"'{curl}' --silent --show-error '{typed}'"))["count"] == "1"


def test_what_is_printed_is_what_the_file_says_and_nobody_else_may_read_the_keys(gateways) -> None:
    assert gateways.exports == (gateways.folder / "env.sh").read_text().splitlines()
    assert f"export HTTPS_PROXY={gateways.places['proxy']}" in gateways.exports
    assert stat.S_IMODE(gateways.folder.stat().st_mode) == 0o700
    files = [path for path in gateways.folder.iterdir() if path.is_file()]
    assert {"ca.pem", "apiclient_key.pem", "merchant.json", "gateways.json"} <= {path.name for path in files}
    assert [path.name for path in files if stat.S_IMODE(path.stat().st_mode) != 0o600] == []
    secret = json.loads((gateways.folder / "gateways.json").read_text("utf-8"))["services"]["wechatpay"]
    with httpx.Client(base_url=gateways.places["control"], trust_env=False, timeout=30) as control:
        index = control.get("/").text
        assert secret["apiv3_key"] not in index
        hosts = [host for service in json.loads(index)["services"] for host in service["hosts"]]
    assert {"api.mch.weixin.qq.com", "api.weixin.qq.com", "qyapi.weixin.qq.com", "restapi.amap.com"} <= set(
        hosts
    )
    assert len(set(hosts)) == len(hosts)


def test_every_host_that_is_listed_answers_through_the_proxy_with_a_certificate_for_its_name(
    gateways,
) -> None:
    authority = ssl.create_default_context(cafile=str(gateways.folder / "ca.pem"))
    with (
        httpx.Client(proxy=gateways.places["proxy"], verify=authority, trust_env=False, timeout=30) as client,
        httpx.Client(base_url=gateways.places["control"], trust_env=False, timeout=30) as control,
    ):
        services = control.get("/").json()["services"]
        hosts = [host for service in services for host in service["hosts"]]
        assert {
            "gateway.95516.com",
            "sdk.nuonuo.com",
            "openapi.baiwang.com",
            "api2.mch.weixin.qq.com",
        } <= set(hosts)
        for host in hosts:
            assert client.get(f"https://{host}/").status_code in {200, 404, 405}, host
        for service in services:
            if service["control"] is not None:
                assert (
                    httpx.get(f"{service['control']}/faults", trust_env=False, timeout=30).status_code == 200
                )
        assert control.get("/tax/session").json() == {"session": "ok"}
        lost = {"kind": "login-lost", "name": "lost"}
        assert control.post("/tax/faults", json=lost).status_code == 204
        assert control.get("/tax/session").json() == {"session": "login"}
        assert control.delete("/tax/faults/lost").status_code == 204
        assert control.get("/tax/session").json() == {"session": "ok"}
        assert control.post("/tax/invoices/0/take-up").status_code == 404
        assert control.post("/tax/forms/0/confirm").status_code == 404


def test_a_fault_by_hand_strikes_and_is_counted(gateways) -> None:
    with httpx.Client(base_url=gateways.places["control"], trust_env=False, timeout=30) as control:
        fault = {"kind": "refuse", "name": "busy", "at": ["geo"], "code": 10016, "limit": 1}
        assert control.post("/amap/faults", json=fault).status_code == 204
        url = "https://restapi.amap.com/v3/geocode/geo?address=x"
        found = in_shell(
            gateways, f"'{sys.executable}' -c \"import requests; print(requests.get('{url}').text)\""
        )
        assert json.loads(found)["info"] == "SERVER_IS_BUSY"
        assert control.get("/amap/faults").json()["faults"]["busy"] == {"met": 1, "landed": 1}
        assert control.post("/amap/faults", json={"kind": "wrong"}).status_code == 400


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGTERM,
        pytest.param(signal.SIGHUP, marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, marks=pytest.mark.slow),
    ],
)
def test_the_temporary_folder_is_gone_after_the_end_however_it_ends(tmp_path, number) -> None:
    with start(cwd=tmp_path) as process:
        places, _ = read_places(process)
        folder = Path(places["folder"])
        assert folder.is_dir()
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    if number == signal.SIGKILL:
        end_s = time.monotonic() + 30
        while folder.exists() and time.monotonic() < end_s:  # what tidies up after it takes its time
            os.sched_yield()
    else:
        assert (process.returncode, err) == (0, "stopped\n")
    assert not folder.exists()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--callbacks", "https://127.0.0.1:8000"], "expected a place on this machine"),
        (["--callbacks", "http://192.0.2.1:8000"], "expected a place on this machine"),
        (["--callbacks", "http://127.0.0.1:x"], "expected a place on this machine"),
        (["--callbacks", "http://127.0.0.1:80/path"], "expected a place on this machine"),
        (["--folder", "taken"], "--folder taken already exists; keys are never overwritten"),
        (["--folder", "tree/keys"], "lies in the git work tree"),
        (["--folder", "file/keys"], "--folder file/keys cannot be written: Not a directory"),
    ],
)
def test_what_cannot_be_is_refused_with_one_message(tmp_path, monkeypatch, arguments, said) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").mkdir()
    (tmp_path / "tree" / ".git").mkdir(parents=True)
    (tmp_path / "file").touch()
    result = CliRunner().invoke(app, ["gateways", *arguments])
    assert result.exit_code == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("option", ["--port", "--control-port"])
def test_a_port_in_use_is_told_with_its_option_and_leaves_nothing(tmp_path, monkeypatch, option) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        results = [
            CliRunner().invoke(app, ["gateways", option, str(port), *folder])
            for folder in ([], ["--folder", str(tmp_path / "keys")])
        ]
    for result in results:
        assert result.exit_code == 2, result.stderr
        assert f"({option} {port})" in result.stderr
    # Nor a folder by that name: with another port the same command must work.
    assert list(tmp_path.iterdir()) == []


@pytest.mark.foreign
def test_npm_clients_reach_maps_and_messages(gateways, foreign) -> None:
    node, peers = foreign.node("amap-web-api-sdk"), Path(__file__).parents[1] / "peers"
    script = f"'{node}' --require '{peers}/proxy_agent.cjs' '{peers}/gateway_clients.cjs'"
    told = json.loads(in_shell(gateways, f"FORECOURT_PROXY=$HTTPS_PROXY {script} '{gateways.folder}'"))
    assert told == {
        "address": "云南省昆明市盘龙区北京路928号",
        "unknown": "10002",
        "openid": "o-npm",
        "sent": [0, 43101],
    }
