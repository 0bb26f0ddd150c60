"""The vault as a process of its own: real sockets, TLS, kill -9, weak keys."""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import signal
import socket
import ssl
import subprocess
import sys
import warnings
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from reference.vault import VaultSettings, create_vault
from reference.vault.__main__ import main
from sim.proxy import make_ca

KEY = "backend-key-0123456"
CARD = "6222021234567894"


def write_config(folder, **changes):
    config = {
        "database": "vault.sqlite3",
        "keys": {"k1": base64.b64encode(secrets.token_bytes(32)).decode()},
        "clients": [{"merchant": "m1", "key": KEY}],
        **changes,
    }
    path = folder / "vault.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(config))
    return path


def command(path, *more):
    return [sys.executable, "-m", "reference.vault", "--config", str(path), *more]


@contextmanager
def running(path):
    process = subprocess.Popen(command(path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        assert line, process.stderr.read()
        yield process, json.loads(line)["url"]
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(timeout=20)
        process.stdout.close()
        process.stderr.close()


@pytest.fixture
def run(monkeypatch, capsys):
    """The command in this process: (exit code, standard output, standard error)."""
    monkeypatch.setattr("resource.setrlimit", lambda what, limits: None)

    def call(path, *more):
        code = main(["--config", str(path), *more])
        said = capsys.readouterr()
        return code, said.out.strip(), said.err.strip()

    return call


def weak_certificate(folder, *, bits=1024):
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "vault.station")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    (folder / "weak.pem").write_bytes(made.public_bytes(Encoding.PEM))
    (folder / "weak.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return {"tls_certificate": "weak.pem", "tls_key": "weak.key"}


@pytest.mark.requirement("sec.tokens-need-the-vault", "sec.weak-keys-are-refused")
def test_a_token_survives_kill_9_and_tls_below_1_2_is_refused(tmp_path):
    authority = make_ca()
    certificate, key = authority.issue("127.0.0.1")
    (tmp_path / "tls.pem").write_text(certificate)
    (tmp_path / "tls.key").write_text(key)
    path = write_config(tmp_path, tls_certificate="tls.pem", tls_key="tls.key")
    headers = {"Authorization": f"Bearer {KEY}"}
    card = {"card_number": CARD}
    old = authority.client_context()
    old.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with httpx.Client(verify=authority.client_context(), headers=headers, trust_env=False) as client:
        with running(path) as (process, url):
            assert url.startswith("https://127.0.0.1:")
            first = client.post(f"{url}/v1/tokens", json=card)
            assert first.status_code == 201
            process.send_signal(signal.SIGKILL)
            process.wait(timeout=20)
        with running(path) as (process, url):
            again = client.post(f"{url}/v1/tokens", json=card)
            assert (again.status_code, again.json()) == (200, first.json())
            with httpx.Client(verify=old, trust_env=False) as outdated, pytest.raises(httpx.ConnectError):
                outdated.get(f"{url}/healthz")
            if sys.platform == "linux":  # no memory image of a crash
                limits = Path(f"/proc/{process.pid}/limits").read_text()
                assert re.search(r"Max core file size\s+0\s+0", limits)
            client.close()
            process.terminate()
            assert process.wait(timeout=20) == 0
            assert CARD not in process.stderr.read()
    assert (tmp_path / "vault.sqlite3").stat().st_mode & 0o777 == 0o600


@pytest.mark.requirement("sec.weak-keys-are-refused")
def test_a_certificate_of_1024_bits_is_refused(tmp_path, run):
    code, _, said = run(write_config(tmp_path, **weak_certificate(tmp_path)))
    assert code == 2
    assert re.search(r"weak\.pem: certificate: the RSA key has 1024 bits; at least 2048 are needed", said)


@pytest.mark.requirement("sec.weak-keys-are-refused")
def test_a_key_of_1024_bits_for_encrypted_numbers_is_refused(tmp_path, run):
    weak_certificate(tmp_path)
    clients = [{"merchant": "m1", "key": KEY, "unseal_file": "weak.key"}]
    code, _, said = run(write_config(tmp_path, clients=clients))
    assert code == 2
    assert "weak.key: the RSA key has 1024 bits" in said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"keys": {"k1": base64.b64encode(b"0123456789abcdef").decode()}},
            "key k1 has 128 bits; the vault needs 256",
        ),
        ({"keys": {"k1": "not base64!"}}, "keys.k1: a key is not base64"),
        ({"keys": {}}, "keys: "),
        ({"clients": []}, "clients: "),
        ({"host": "0.0.0.0"}, "without tls_certificate only a loopback address"),
        ({"tls_key": "x"}, "belong together"),
        ({"tls_key": "x", "tls_certificate": "none.pem"}, "none.pem: No such file"),
        ({"extra": CARD}, "extra: "),
        ({"database": "no/such/folder/v.db"}, "No such file"),
        ({"database": "a\0b"}, "database: "),
        ({"database": "."}, "not a file"),
    ],
)
def test_bad_settings_are_one_sentence(tmp_path, run, changes, said):
    code, _, words = run(write_config(tmp_path, **changes))
    assert code in {2, 3}
    assert said in words
    assert len(words.splitlines()) == 1
    assert CARD not in words


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ("[" * 100_000, "not JSON: nested too deeply"),
        ('{"port": ' + "1" * 5000 + "}", "not JSON: a number with thousands of digits"),
        ("{", "not JSON: "),
    ],
)
def test_settings_that_are_no_json_are_one_sentence(tmp_path, run, raw, said):
    path = write_config(tmp_path)
    path.write_text(raw)
    code, _, words = run(path)
    assert (code, len(words.splitlines())) == (2, 1)
    assert said in words


@pytest.mark.timeout(20)
def test_settings_from_a_pipe_are_not_waited_for(tmp_path, run):
    os.mkfifo(tmp_path / "pipe", 0o600)
    code, _, words = run(tmp_path / "pipe")
    assert (code, "not a file" in words) == (2, True)


def test_a_folder_in_the_place_of_the_database_keeps_its_mode(tmp_path, run):
    (tmp_path / "folder").mkdir(mode=0o755)
    code, _, _ = run(write_config(tmp_path, database="folder"), "--rotate")
    assert (code, (tmp_path / "folder").stat().st_mode & 0o777) == (3, 0o755)


def test_it_listens_on_the_loopback_address_of_ipv6(tmp_path):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    with running(write_config(tmp_path, host="::1")) as (_, url):
        assert url.startswith("http://[::1]:")
        assert httpx.get(f"{url}/healthz", trust_env=False).json() == {"status": "ok"}


def test_settings_that_others_may_read_are_refused(tmp_path, run):
    path = write_config(tmp_path)
    path.chmod(0o644)
    code, _, said = run(path)
    assert (code, "mode 0644" in said) == (2, True)


def test_rotation_from_the_command_line(tmp_path, run):
    path = write_config(tmp_path)
    vault = create_vault(VaultSettings.from_file(path))
    vault.desk.tokenise("m1", CARD)
    vault.close()
    config = json.loads(path.read_text())
    config["keys"] = {"k2": base64.b64encode(os.urandom(32)).decode(), **config["keys"]}
    path.write_text(json.dumps(config))
    assert run(path, "--rotate") == (0, '{"rotated": 1}', "")
    del config["keys"]["k1"]
    path.write_text(json.dumps(config))
    assert run(path, "--rotate") == (0, '{"rotated": 0}', "")
    config["keys"] = {"k3": base64.b64encode(os.urandom(32)).decode()}
    path.write_text(json.dumps(config))
    code, _, said = run(path, "--rotate")
    assert (code, "keys.k2" in said) == (2, True)
