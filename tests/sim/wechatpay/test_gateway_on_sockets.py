"""The gateway on a real socket: idle connections are closed after eight seconds, and empty answers are really empty."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from sim.kernel import WallKernel
from sim.proxy import CertificateAuthority, ConnectProxy, make_ca
from sim.proxy import proxy as proxy_module
from sim.wechatpay import GatewayProfile, Merchant, PlatformKeys, WeChatPayGateway

HOST = "api.mch.weixin.qq.com"


@pytest.fixture(scope="module")
def ca() -> CertificateAuthority:
    return make_ca()


@asynccontextmanager
async def connected(
    platform: PlatformKeys, merchant: Merchant, ca: CertificateAuthority
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A TLS connection to the gateway through the proxy's tunnel, as a client keeps it."""
    kernel = WallKernel("sockets")
    async with httpx.AsyncClient() as nobody:
        gateway = WeChatPayGateway(
            kernel, [merchant.account], platform, notify_client=nobody, profile=GatewayProfile.instant()
        )
        proxy = ConnectProxy(ca, {HOST: gateway.app})
        port = await proxy.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}:443\r\n\r\n".encode())
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        context: ssl.SSLContext = ca.client_context()
        await writer.start_tls(context, server_hostname=HOST)
        try:
            yield reader, writer
        finally:
            writer.close()
            await proxy.stop()
            await kernel.close()


async def ask(streams: Any, method: str, path: str) -> tuple[bytes, bytes]:
    reader, writer = streams
    head = f"{method} {path} HTTP/1.1\r\nHost: {HOST}\r\nAccept: */*\r\nUser-Agent: test\r\n\r\n"
    writer.write(head.encode())
    answer = await reader.readuntil(b"\r\n\r\n")
    lengths = [line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    assert len(lengths) == 1, answer
    return answer, await reader.readexactly(int(lengths[0].split(b":")[1]))


async def closed_after(streams: Any, patience_s: float) -> float:
    """Seconds until the other side closes the idle connection."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    rest = await asyncio.wait_for(streams[0].read(), patience_s)
    assert rest == b""
    return loop.time() - begun


def test_unknown_paths_and_methods_are_answered_with_nothing_at_all(platform, merchant, ca) -> None:
    async def run() -> None:
        async with connected(platform, merchant, ca) as streams:
            for method, path, status in (
                ("GET", "/v3/no/such/path", b"404"),
                ("GET", "/v3/pay/transactions/codepay", b"405"),
                ("POST", "/v3/bill/tradebill", b"405"),
            ):
                head, body = await ask(streams, method, path)
                assert head.split()[1] == status
                assert body == b""
                assert b"wechatpay" not in head.lower()
                assert b"content-type" not in head.lower()
            head, body = await ask(streams, "GET", "/v3/certificates")
            assert head.split()[1] == b"401"
            assert b"Keep-Alive: timeout=8".lower() in head.lower()
            assert b"SIGN_ERROR" in body

    asyncio.run(run())


def test_an_idle_connection_is_closed_and_a_busy_one_is_not(platform, merchant, ca, monkeypatch) -> None:
    monkeypatch.setattr(proxy_module, "KEEP_ALIVE_S", 1)

    async def run() -> float:
        async with connected(platform, merchant, ca) as streams:
            for _ in range(3):
                await ask(streams, "GET", "/v3/certificates")
            return await closed_after(streams, 10)

    assert 0.9 <= asyncio.run(run()) < 5


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_the_real_limit_is_eight_seconds(platform, merchant, ca) -> None:
    async def run() -> float:
        async with connected(platform, merchant, ca) as streams:
            await ask(streams, "GET", "/v3/certificates")
            return await closed_after(streams, 30)

    assert 7.5 <= asyncio.run(run()) < 12
