"""PyPI's feie-print-sdk, unmodified and with its production address, prints through the simulated cloud.

Its address is plain ``http://api.feieyun.cn/Api/Open/``, so it goes through the proxy as a request in absolute form. It
signs with its own SHA-1. Its one bug shows: a printer without paper is "在线，工作状态不正常", in which it finds "正常".
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from feie_print_sdk import FeieClient, PrintError

from sim.feie import CloudPrinter, Feie, FeieAccount
from sim.kernel import WallKernel
from sim.printer import PrinterProfile
from sim.proxy import ConnectProxy, make_ca

FAST = PrinterProfile("fast", width_dots=384, speed_mm_s=100_000, cut_us=100, start_up_us=100)
USER, UKEY, SN = "shop@example.com", "ABCDEFGH12345678", "932500001"


@pytest.fixture
def with_cloud(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)

    def run(steps: Callable[[CloudPrinter, Feie], None]) -> None:
        async def serve() -> None:
            kernel = WallKernel("feie")
            printer = CloudPrinter(kernel, SN, "abcdefgh", profile=FAST)
            cloud = Feie(kernel, [FeieAccount(USER, UKEY, (SN,))], [printer])
            proxy = ConnectProxy(make_ca(), {"api.feieyun.cn": cloud.app})
            await proxy.start()
            monkeypatch.setenv("HTTP_PROXY", proxy.url)
            running = asyncio.create_task(kernel.run(3_600_000_000))
            try:
                await asyncio.to_thread(steps, printer, cloud)
                assert proxy.tunnels["api.feieyun.cn"] >= 3
            finally:
                kernel.stop()
                await running
                await proxy.stop()
                await kernel.close()

        asyncio.run(serve())

    return run


def test_the_sdk_prints_and_asks(with_cloud: Callable[..., None], tmp_path: Path) -> None:
    def steps(printer: CloudPrinter, cloud: Feie) -> None:
        with FeieClient(USER, UKEY) as sdk:
            assert sdk.query_status(SN) == (True, "在线，工作状态正常")
            done, order = sdk.print(
                SN, "<CB>加油小票</CB><BR>92号汽油 200.00元<BR><QR>https://inv.example/1</QR>"
            )
            assert done
            assert order.startswith(f"{SN}_")
            for _ in range(500):  # it takes some milliseconds
                if printer.receipts:
                    break
                sdk.query_status(SN)
            (paper,) = printer.receipts
            assert paper.text.split() == ["加油小票", "92号汽油", "200.00元", "[QR", "https://inv.example/1]"]
            assert paper.qr_codes == (b"https://inv.example/1",)
            # What it takes for good is a printer without paper.
            printer.take_paper_out()
            assert sdk.query_status(SN) == (True, "在线，工作状态不正常")
        with FeieClient(USER, "another key") as sdk, pytest.raises(PrintError, match=r"签名错误"):
            sdk.print(SN, "x")
        with FeieClient(USER, UKEY) as sdk, pytest.raises(PrintError, match=r"打印机编号和用户不匹配"):
            sdk.print("932599999", "x")
        assert len(cloud.orders.all()) == 1

    with_cloud(steps)
