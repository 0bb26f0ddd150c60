"""The house of hosted services: the registry, callbacks that never leave the machine, a clean end after a crash."""

from __future__ import annotations

import asyncio
import json
import random
import stat
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs12

from scenarios.gateways import (
    SERVICES,
    GatewayContext,
    GatewayFolder,
    GatewayHouse,
    HostedService,
    WeChatTrust,
    environment,
)
from sim.kernel import KernelError, VirtualKernel
from sim.proxy import ProxyError


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


def one_more(context: GatewayContext) -> HostedService:
    return HostedService(
        "hello", "one more", {"hello.test": hello}, hello, {"key": "k"}, {"hello.pem": "pem"}
    )


def house(tmp_path, *services: Any, **more: Any) -> GatewayHouse:
    return GatewayHouse(GatewayFolder(tmp_path / "keys"), services=services or (one_more,), **more)


def test_a_service_is_added_by_one_entry_and_is_reached_by_name(tmp_path) -> None:
    async def story() -> None:
        home = house(tmp_path)
        try:
            await home.start()
            authority = home.folder.path / "ca.pem"
            assert home.variables == environment(home.proxy_url, authority)
            async with httpx.AsyncClient(
                proxy=home.proxy_url, verify=home._proxy.ca.client_context(), trust_env=False
            ) as client:
                assert (await client.get("https://hello.test/")).text == "hello"
            async with httpx.AsyncClient(base_url=home.control_url, trust_env=False) as control:
                assert (await control.get("/hello/any")).text == "hello"
                index = (await control.get("/")).json()
                assert index["tunnels"] == {"hello.test": 1}
                assert (await control.get("/none")).status_code == 404
        finally:
            await home.stop()
            await home.stop()

    asyncio.run(story())
    known = json.loads((tmp_path / "keys" / "gateways.json").read_text())
    assert known["services"] == {"hello": {"key": "k"}}
    assert stat.S_IMODE((tmp_path / "keys" / "hello.pem").stat().st_mode) == 0o600


def test_two_services_that_want_one_host_are_told_so(tmp_path) -> None:
    async def story() -> None:
        home = house(tmp_path, one_more, one_more)
        try:
            with pytest.raises(ProxyError, match=r"serves hello\.test already"):
                await home.start()
        finally:
            await home.stop()

    asyncio.run(story())


def test_a_service_that_crashes_ends_the_house(tmp_path) -> None:
    async def crash() -> None:
        raise LookupError("lost")

    def broken(context: GatewayContext) -> HostedService:
        context.kernel.spawn(crash(), "broken")
        return one_more(context)

    async def story() -> None:
        home = house(tmp_path, broken)
        try:
            await home.start()
            with pytest.raises(KernelError, match="broken crashed: LookupError: lost"):
                await home.wait()
        finally:
            await home.stop()

    asyncio.run(story())


@pytest.mark.parametrize("with_place", [True, False])
def test_callbacks_reach_this_machine_and_nothing_else(tmp_path, with_place) -> None:
    got: list[tuple[str, str]] = []
    outcomes: list[str] = []

    async def shop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
        got.append((head[0], next(line for line in head if line.lower().startswith("host:"))))
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    async def ring(context: GatewayContext, port: int) -> None:
        for url in ("https://shop.example/notify?a=1", f"http://127.0.0.1:{port}/own"):
            try:
                outcomes.append(str((await context.notify_client.post(url)).status_code))
            except httpx.HTTPError as error:
                outcomes.append(type(error).__name__)

    async def story() -> None:
        async with await asyncio.start_server(shop, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            kept: list[GatewayContext] = []

            def build(context: GatewayContext) -> HostedService:
                kept.append(context)
                return one_more(context)

            home = house(tmp_path, build, callbacks=f"http://127.0.0.1:{port}" if with_place else None)
            try:
                await home.start()
                await ring(kept[0], port)
            finally:
                await home.stop()

    asyncio.run(story())
    if with_place:
        assert outcomes == ["204", "204"]
        assert got[0] == ("POST /notify?a=1 HTTP/1.1", "Host: shop.example")
    else:
        assert outcomes == ["ConnectError", "204"]
        assert [line for line, _ in got] == ["POST /own HTTP/1.1"]


def test_no_two_services_share_a_name_a_host_or_a_file(tmp_path) -> None:
    async def story() -> None:
        home = house(tmp_path, *SERVICES, is_instant=True)
        try:
            await home.start()
            names = [service.name for service in home.services]
            files = [name for service in home.services for name in service.files]
            hosts = [host for service in home.services for host in service.hosts]
            for several in (names, files, hosts):
                assert len(several) == len(set(several))
            for service in home.services:
                named = [value for name, value in service.settings.items() if name.endswith("_file")]
                assert set(named) <= set(service.files)
        finally:
            await home.stop()

    asyncio.run(story())


@pytest.mark.parametrize("trust", list(WeChatTrust))
def test_the_merchant_gets_the_files_that_a_real_one_of_its_kind_has(tmp_path, trust) -> None:
    async def story() -> None:
        home = house(tmp_path, SERVICES[0], trust=trust)
        try:
            await home.start()
        finally:
            await home.stop()

    asyncio.run(story())
    folder = tmp_path / "keys"
    known = json.loads((folder / "gateways.json").read_text())["services"]["wechatpay"]
    assert ("platform_certificate_file" in known) == (trust is not WeChatTrust.PUBLIC_KEY)
    assert ("public_key_file" in known) == (trust is not WeChatTrust.CERTIFICATES)
    assert [
        name for key, name in known.items() if key.endswith("_file") and not (folder / name).is_file()
    ] == []
    certificate = x509.load_pem_x509_certificate((folder / known["certificate_file"]).read_bytes())
    assert f"{certificate.serial_number:X}" == known["serial_no"]
    packed = (folder / known["pkcs12_file"]).read_bytes()
    assert pkcs12.load_pkcs12(packed, known["pkcs12_password"].encode()).cert.certificate == certificate


@pytest.mark.parametrize(
    ("trust", "with_public_key"), [(WeChatTrust.BOTH, False), (WeChatTrust.PUBLIC_KEY, True)]
)
def test_who_joined_with_the_public_key_alone_gets_its_callbacks_signed_with_it(
    trust, with_public_key
) -> None:
    kernel = VirtualKernel("trust", epoch_us=1_790_000_000_000_000)
    context = GatewayContext(kernel, httpx.AsyncClient(), trust=trust)
    has_certificates = context.merchant.account.has_platform_certificates
    key = context.wechatpay.signer.pick(None, 0, random.Random(1), has_certificates=has_certificates)
    assert key.serial.startswith("PUB_KEY_ID_") == with_public_key
