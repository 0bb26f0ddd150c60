"""The CONNECT proxy: any registered host with TLS, nobody else, and a clean stop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
from cryptography import x509

from sim.proxy import CertificateAuthority, ConnectProxy, ProxyError, make_ca


@pytest.fixture(scope="module")
def ca() -> CertificateAuthority:
    return make_ca()


def app_saying(name: str) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        size = 0
        while True:
            message = await receive()
            size += len(message.get("body", b""))
            if not message.get("more_body"):
                break
        host = dict(scope["headers"])[b"host"].decode()
        text = f"{name} {host} {scope['raw_path'].decode()} {size}".encode()
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}
        )
        await send({"type": "http.response.body", "body": text})

    return app


def run(ca: CertificateAuthority, story: Callable[[ConnectProxy], Awaitable[Any]], **routes: Any) -> Any:
    async def main() -> Any:
        proxy = ConnectProxy(ca, routes)
        await proxy.start()
        try:
            return await story(proxy)
        finally:
            await proxy.stop()

    return asyncio.run(main())


def client(ca: CertificateAuthority, proxy: ConnectProxy) -> httpx.AsyncClient:
    return httpx.AsyncClient(proxy=proxy.url, verify=ca.client_context(), trust_env=False, timeout=20)


def test_each_host_reaches_its_own_application(ca: CertificateAuthority) -> None:
    async def story(proxy: ConnectProxy) -> None:
        await proxy.add("api.Weixin.qq.com", app_saying("wx"))
        async with client(ca, proxy) as http:
            first = await http.get("https://api.mch.weixin.qq.com/v3/a%7Cb?x=1")
            second = await http.post("https://api.weixin.qq.com/sns", content=b"z" * 300_000)
        assert first.text == "mch api.mch.weixin.qq.com /v3/a%7Cb 0"
        assert second.text == "wx api.weixin.qq.com /sns 300000"
        assert proxy.tunnels == {"api.mch.weixin.qq.com": 1, "api.weixin.qq.com": 1}

    run(ca, story, **{"api.mch.weixin.qq.com": app_saying("mch")})


def test_a_blocking_client_in_a_thread(ca: CertificateAuthority, tmp_path: Path) -> None:
    bundle = str(ca.write_bundle(tmp_path / "ca.pem"))

    async def story(proxy: ConnectProxy) -> str:
        def ask() -> str:
            reply = requests.get("https://a.test/x", proxies={"https": proxy.url}, verify=bundle, timeout=20)
            return reply.text

        return await asyncio.to_thread(ask)

    assert run(ca, story, **{"a.test": app_saying("a")}) == "a a.test /x 0"


def test_a_server_that_runs_already(ca: CertificateAuthority) -> None:
    async def story(proxy: ConnectProxy) -> None:
        await proxy.add("b.test", proxy.address_of("a.test"))
        async with client(ca, proxy) as http:
            assert (await http.get("https://b.test/")).text == "a b.test / 0"
        async with httpx.AsyncClient(trust_env=False) as plain:
            host, port = proxy.address_of("a.test")
            assert (await plain.get(f"http://{host}:{port}/y")).text.endswith("/y 0")

    run(ca, story, **{"a.test": app_saying("a")})


def test_unknown_hosts_are_refused(ca: CertificateAuthority) -> None:
    async def story(proxy: ConnectProxy) -> None:
        async with client(ca, proxy) as http:
            with pytest.raises(httpx.ProxyError, match="502"):
                await http.get("https://example.com/")
        assert proxy.refused == {"example.com": 1}

    run(ca, story, **{"a.test": app_saying("a")})


@pytest.mark.parametrize("noise", [b"", b"\r\n\r\n", b"CONNECT\r\n\r\n", b"\x16\x03\x01" * 20_000])
def test_noise_closes_the_connection(ca: CertificateAuthority, noise: bytes) -> None:
    async def story(proxy: ConnectProxy) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(noise)
        if not noise:
            writer.write_eof()
        async with asyncio.timeout(20):
            try:
                answer = await reader.read()
            except ConnectionError:
                answer = b""
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        return answer

    answer = run(ca, story, **{"a.test": app_saying("a")})
    assert answer == b"" or answer.startswith(b"HTTP/1.1 405")


def test_a_client_that_does_not_trust_the_authority_gets_nowhere(ca: CertificateAuthority) -> None:
    async def story(proxy: ConnectProxy) -> None:
        async with client(make_ca(), proxy) as http:
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await http.get("https://a.test/")

    run(ca, story, **{"a.test": app_saying("a")})


def test_leaves_pass_strict_verification_and_name_their_host(ca: CertificateAuthority) -> None:
    context = ca.client_context()
    context.verify_flags |= ssl.VERIFY_X509_STRICT

    async def story(proxy: ConnectProxy) -> int:
        async with httpx.AsyncClient(proxy=proxy.url, verify=context, trust_env=False) as http:
            return (await http.get("https://a.test/")).status_code

    assert run(ca, story, **{"a.test": app_saying("a")}) == 200
    for host in ("api.mch.weixin.qq.com", "127.0.0.1", "::1"):
        certificate = x509.load_pem_x509_certificate(ca.issue(host)[0].encode())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert host in {str(name.value) for name in names}
    for bad in ("", "a b", "*.com", "ü.test", "x" * 254):
        with pytest.raises(ValueError, match="not a host name"):
            ca.issue(bad)


def test_stopping_cuts_open_tunnels(ca: CertificateAuthority) -> None:
    async def main() -> None:
        proxy = ConnectProxy(ca, {"a.test": app_saying("a")})
        await proxy.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"CONNECT a.test:443 HTTP/1.1\r\n\r\n")
        assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
        await proxy.stop()
        assert await reader.read() == b""
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        await proxy.stop()
        with pytest.raises(ProxyError, match="not running"):
            _ = proxy.port

    asyncio.run(main())


def test_impossible_setups_are_named(ca: CertificateAuthority) -> None:
    async def main() -> None:
        proxy = ConnectProxy(ca, {"a.test": app_saying("a")})
        with pytest.raises(ProxyError, match="loopback"):
            await proxy.start("0.0.0.0")
        with pytest.raises(ProxyError, match="already"):
            await proxy.add("A.test", app_saying("a"))
        with pytest.raises(ProxyError, match="loopback"):
            await proxy.add("c.test", ("192.0.2.1", 80))
        with pytest.raises(ProxyError, match="not a host name"):
            await proxy.add("c test", app_saying("c"))
        with pytest.raises(ProxyError, match="does not serve"):
            proxy.address_of("d.test")
        port = await proxy.start()
        other = ConnectProxy(ca)
        with pytest.raises(ProxyError, match=f"cannot listen on 127.0.0.1:{port}"):
            await other.start(port=port)
        with pytest.raises(ProxyError, match="runs already"):
            await proxy.start()
        await proxy.stop()

    asyncio.run(main())


def test_the_body_of_a_reply_does_not_wait_behind_its_head(ca: CertificateAuthority) -> None:
    """Head and body are two writes; with Nagle's algorithm the second waits for the peer's delayed acknowledgement."""
    seen: list[bool] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        transport = send.__self__.transport  # the head of this very reply goes through it
        sock = transport.get_extra_info("socket")
        seen.append(bool(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)))
        await app_saying("n")(scope, receive, send)

    async def story(proxy: ConnectProxy) -> None:
        await proxy.add("n.test", app)
        async with client(ca, proxy) as http:
            assert (await http.get("https://n.test/")).status_code == 200

    run(ca, story)
    assert seen == [True]


def test_a_request_for_plain_http_reaches_its_host_and_only_a_known_one(ca: CertificateAuthority) -> None:
    async def story(proxy: ConnectProxy) -> list[tuple[int, str]]:
        answers = []
        async with httpx.AsyncClient(proxy=proxy.url, trust_env=False, timeout=20) as http:
            for method, url, body in (
                ("GET", "http://a.test/path?x=1", b""),
                ("POST", "http://A.TEST:80/Api/Open/", b"y" * 100_000),
                ("GET", "http://b.test", b""),
                ("GET", "http://elsewhere.test/", b""),
            ):
                answer = await http.request(method, url, content=body)
                answers.append((answer.status_code, answer.text))
        assert (proxy.tunnels, proxy.refused) == ({"a.test": 2, "b.test": 1}, {"elsewhere.test": 1})
        return answers

    assert run(ca, story, **{"a.test": app_saying("A"), "b.test": app_saying("B")}) == [
        (200, "A a.test /path 0"),
        (200, "A a.test /Api/Open/ 100000"),
        (200, "B b.test / 0"),
        (502, "no simulated service answers for elsewhere.test"),
    ]


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET / HTTP/1.1", 405),
        (b"GET http:// HTTP/1.1", 502),
        (b"GET http://[ HTTP/1.1", 502),
        (b"GET http://a.test/ x y", 405),
    ],
)
def test_a_strange_request_line_is_refused(ca: CertificateAuthority, line: bytes, status: int) -> None:
    async def story(proxy: ConnectProxy) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(line + b"\r\nHost: a.test\r\n\r\n")
        answer = await reader.read()
        writer.close()
        return answer

    assert run(ca, story, **{"a.test": app_saying("A")}).startswith(f"HTTP/1.1 {status} ".encode())


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("https://a.test/v3/x%7Cy?a=1&b=/2", b"/v3/x%7Cy", b"a=1&b=/2"),
        ("https://a.test:443/", b"/", b""),
        ("HTTPS://A.TEST?a=1/2", b"/", b"a=1/2"),
        ("http://a.test", b"/", b""),
    ],
)
def test_https_in_absolute_form_is_served_as_if_it_had_come_through_a_tunnel(
    ca: CertificateAuthority, target: str, path: bytes, query: bytes
) -> None:
    """axios (npm) sends this to the proxy that ``HTTPS_PROXY`` names."""
    seen: list[tuple[bytes, bytes]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope["raw_path"], scope["query_string"]))
        await app_saying("A")(scope, receive, send)

    async def story(proxy: ConnectProxy) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(f"POST {target} HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello".encode())
        async with asyncio.timeout(20):
            answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        assert proxy.tunnels == {"a.test": 1}
        return answer

    answer = run(ca, story, **{"a.test": app})
    assert answer.startswith(b"HTTP/1.1 200")
    assert f"{path.decode()} 5\r\n".encode() in answer
    assert seen == [(path, query)]


def test_headers_are_spelled_as_the_platforms_spell_them(ca: CertificateAuthority) -> None:
    """WeChat Pay's own Java client knows them in no other spelling."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        names = (b"wechatpay-timestamp", b"request-id", b"x-content-type-options", b"Odd-NAME")
        headers = [(name, b"a-b") for name in names]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send(
            {"type": "http.response.body", "body": b"http/1.1 body: as-it-is\r\n\r\n", "more_body": True}
        )
        await send({"type": "http.response.body", "body": b"a: b\r\n\r\n"})

    async def story(proxy: ConnectProxy) -> bytes:
        reader, writer = await asyncio.open_connection(*proxy.address_of("a.test"))
        request = b"POST / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 0\r\n"
        writer.write(request + b"\r\n" + request + b"Connection: close\r\n\r\n")
        async with asyncio.timeout(20):
            answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer

    first, second = run(ca, story, **{"a.test": app}).split(b"HTTP/1.1 200 OK\r\n")[1:]
    names = b"Wechatpay-Timestamp: a-b\r\nRequest-ID: a-b\r\nX-Content-Type-Options: a-b\r\nOdd-Name: a-b\r\n"
    assert first.startswith(names)
    assert second.startswith(names + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert first.count(b"http/1.1 body: as-it-is") == second.count(b"a: b") == 1


def test_a_clients_offer_of_another_protocol_costs_it_neither_body_nor_reply(
    ca: CertificateAuthority,
) -> None:
    """Java's own client makes it with each request over plain HTTP."""

    async def story(proxy: ConnectProxy) -> bytes:
        reader, writer = await asyncio.open_connection(*proxy.address_of("a.test"))
        writer.write(
            "POST /昆明 HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings, close\r\nHTTP2-Settings: AAE\r\n"
            "Host: a.test\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\nhello".encode()
        )
        async with asyncio.timeout(20):
            answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer

    answer = run(ca, story, **{"a.test": app_saying("A")})
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"A a.test /%E6%98%86%E6%98%8E 5\r\n" in answer
