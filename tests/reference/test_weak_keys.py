"""Wherever a key or certificate enters: 1024 bits are refused, with the file or field and the bits; so is TLS below 1.2."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import threading
import warnings
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from protocols.rsa_keys import check_certificate, load_certificates, load_private_key
from protocols.unionpay import MerchantCredentials as UnionPayCredentials
from protocols.wechatpay import MerchantCredentials, PlatformTrust
from reference.backend.__main__ import main as backend_main
from reference.tls import client_context
from sim import unionpay, wechatpay
from sim.proxy import make_ca
from sim.wechatpay import MerchantAccount, PlatformKey, PlatformKeys

pytestmark = pytest.mark.requirement("sec.weak-keys-are-refused")

BITS = r"1024 bits; at least 2048"


@pytest.fixture(scope="module")
def weak():
    return rsa.generate_private_key(public_exponent=65537, key_size=1024)


@pytest.fixture(scope="module")
def strong():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(key) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def public_pem(key) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(Encoding.PEM, form).decode()


def certificate(key, *, host="localhost", issuer=None, hash_=None):
    """For a host, signed by itself or by (name, key)."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    issuer_name, issuer_key = issuer or (name, key)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer_name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
    )
    hash_ = None if isinstance(issuer_key, ed25519.Ed25519PrivateKey) else hash_ or hashes.SHA256()
    return builder.sign(issuer_key, hash_)


def text_of(made) -> str:
    return made.public_bytes(Encoding.PEM).decode()


@pytest.fixture(scope="module")
def wechat_text():
    return wechatpay.generate_merchant(wechatpay.generate_platform()).credentials.to_json()


@pytest.fixture(scope="module")
def unionpay_text():
    return unionpay.generate_merchant(unionpay.generate_platform()).credentials.to_json()


def test_the_merchants_own_wechat_key(wechat_text, weak):
    text = json.dumps({**json.loads(wechat_text), "private_key": pem(weak)})
    with pytest.raises(ValueError, match=f"private_key: the RSA key has {BITS}"):
        MerchantCredentials.from_json(text)


@pytest.mark.parametrize("is_certificate", [False, True])
def test_a_key_of_the_platform(wechat_text, weak, is_certificate):
    told = text_of(certificate(weak)) if is_certificate else public_pem(weak)
    text = json.dumps({**json.loads(wechat_text), "platform_keys": {"PUB_KEY_ID_1": told}})
    with pytest.raises(ValueError, match=rf"platform_keys\.PUB_KEY_ID_1: the RSA key has {BITS}"):
        MerchantCredentials.from_json(text)
    with pytest.raises(ValueError, match=f"ABC: the RSA key has {BITS}"):
        PlatformTrust({"ABC": weak.public_key()})


@pytest.mark.parametrize("field", ["private_key", "root", "middle"])
def test_unionpays_keys_and_certificates(unionpay_text, weak, field):
    data = json.loads(unionpay_text)
    told = {
        "private_key": pem(weak),
        "root": text_of(certificate(weak)),
        "middle": [text_of(certificate(weak))],
    }
    with pytest.raises(ValueError, match=rf"{field}(\.0)?: the RSA key has {BITS}"):
        UnionPayCredentials.from_json(json.dumps({**data, field: told[field]}))


def test_the_simulated_gateways_take_none_either(weak, strong):
    with pytest.raises(ValueError, match=f"merchant 1900000001, certificate AA: the RSA key has {BITS}"):
        MerchantAccount("1900000001", ("wx1",), {"AA": weak.public_key()}, "0" * 32)
    with pytest.raises(ValueError, match=f"platform key BB: the RSA key has {BITS}"):
        PlatformKeys((PlatformKey("BB", weak),))
    with pytest.raises(ValueError, match=f"platform key BB: the RSA key has {BITS}"):
        PlatformKeys((PlatformKey("CC", strong),), public=PlatformKey("BB", weak))


def test_the_backend_does_not_start_with_a_weak_key_and_says_which(tmp_path, wechat_text, weak, capsys):
    (tmp_path / "merchant.json").write_text(json.dumps({**json.loads(wechat_text), "private_key": pem(weak)}))
    config = {
        "station_keys": {"KM01": "station-key"},
        "admin_key": "admin-key-1",
        "service_secret": "service-secret",
        "merchant_file": "merchant.json",
    }
    (tmp_path / "backend.json").write_text(json.dumps(config))
    assert backend_main(["--config", str(tmp_path / "backend.json")]) == 2
    said = capsys.readouterr().err
    assert (
        "backend.json: merchant_file: private_key: the RSA key has 1024 bits; at least 2048 are needed"
        in said
    )
    assert "BEGIN" not in said


def test_other_kinds_of_keys(tmp_path, weak):
    for made, why in (
        (pem(ec.generate_private_key(ec.SECP256R1())), "signs with RSA"),
        (pem(ed25519.Ed25519PrivateKey.generate()), "signs with RSA"),
        ("no key", "no RSA private key in PEM"),
        (pem(weak).replace("A", "B"), "no RSA private key in PEM"),
    ):
        with pytest.raises(ValueError, match=rf"merchant\.pem: .*{why}"):
            load_private_key(made, source="merchant.pem")
    locked = weak.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
    ).decode()
    with pytest.raises(ValueError, match=r"merchant\.pem: it has a password"):
        load_private_key(locked, source="merchant.pem")


def test_certificates_for_tls(tmp_path, weak, strong):
    file = tmp_path / "chain.pem"
    file.write_text(text_of(certificate(strong)) + text_of(certificate(weak)))
    with pytest.raises(ValueError, match=rf"chain\.pem: certificate: the RSA key has {BITS}"):
        load_certificates(file)
    file.write_text(text_of(certificate(strong)))
    assert len(load_certificates(file)) == 1
    for key in (ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()):
        check_certificate(certificate(key))
    with pytest.raises(ValueError, match="192 bits on its curve"):
        check_certificate(certificate(ec.generate_private_key(ec.SECP192R1())))
    for text in ("", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
        file.write_text(text)
        with pytest.raises(ValueError, match=r"chain\.pem: no certificate in PEM"):
            load_certificates(file)
    with pytest.raises(ValueError, match=r"none\.pem: No such file"):
        load_certificates(tmp_path / "none.pem")


@contextmanager
def tls_server(folder, made, key, *, most=None):
    """A server on a port of its own that lets nobody down by itself: security level 0, any version."""
    (folder / "server.pem").write_text(text_of(made) + pem(key))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        if most is not None:
            context.maximum_version = most
    context.load_cert_chain(folder / "server.pem")
    ready, done = threading.Event(), threading.Event()
    places = []

    async def serve():
        async def answer(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
            await writer.drain()
            writer.close()

        async def guarded(reader, writer):
            try:
                await answer(reader, writer)
            except (asyncio.IncompleteReadError, OSError):
                writer.close()

        server = await asyncio.start_server(guarded, "127.0.0.1", 0, ssl=context)
        places.append(server.sockets[0].getsockname()[1])
        ready.set()
        await asyncio.to_thread(done.wait)
        server.close()
        await server.wait_closed()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    ready.wait(10)
    try:
        yield f"https://localhost:{places[0]}"
    finally:
        done.set()
        thread.join(10)


def fetch(url, trusted):
    context = client_context()
    context.load_verify_locations(cadata=text_of(trusted))

    async def ask():
        async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(verify=context)) as client:
            return (await client.get(url)).text

    return asyncio.run(ask())


def test_a_server_with_a_certificate_of_1024_bits_is_not_talked_to(tmp_path, weak, strong):
    good = certificate(strong)
    with tls_server(tmp_path, good, strong) as url:
        assert fetch(url, good) == "ok"  # the same server with a good one is
    bad = certificate(weak)
    with (
        tls_server(tmp_path, bad, weak) as url,
        pytest.raises(httpx.ConnectError, match=r"too weak|too small"),
    ):
        fetch(url, bad)


def version_with(url, trusted, context):
    """Which version a context comes to with a server."""
    context.load_verify_locations(cadata=text_of(trusted))
    address = ("127.0.0.1", int(url.rpartition(":")[2]))
    with (
        socket.create_connection(address, timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as wrapped,
    ):
        return wrapped.version()


def test_a_server_that_speaks_no_tls_1_2_is_not_talked_to(tmp_path, strong):
    good = certificate(strong)
    lax = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    lax.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        lax.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with tls_server(tmp_path, good, strong, most=ssl.TLSVersion.TLSv1_1) as url:
        assert version_with(url, good, lax) == "TLSv1.1"  # a careless client would
        with pytest.raises(ssl.SSLError):
            version_with(url, good, client_context())
        with pytest.raises(httpx.ConnectError):
            fetch(url, good)


def test_our_own_contexts_begin_at_1_2():
    authority = make_ca()
    for context in (client_context(), authority.client_context(), authority.server_context("localhost")):
        assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    for host in ("api.mch.weixin.qq.com", "127.0.0.1"):
        check_certificate(x509.load_pem_x509_certificate(authority.issue(host)[0].encode()))
    check_certificate(x509.load_pem_x509_certificate(authority.certificate_pem.encode()))
