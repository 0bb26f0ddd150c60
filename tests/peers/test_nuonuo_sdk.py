"""PyPI's nuonuo-sdk, unmodified and with its production addresses, issues, queries and red-letters against the tax platform.

It talks through the CONNECT proxy on real TLS with a generated authority; it signs with its own HMAC and reads JSON with its own
reader.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from nuonuo import Nuonuo
from nuonuo.exceptions import AuthenticationError

from sim.kernel import WallKernel
from sim.latency import LatencyProfile
from sim.proxy import ConnectProxy, make_ca
from sim.taxplatform import (
    InvoiceBook,
    NuonuoApp,
    NuonuoPlatform,
    TaxBureau,
    TaxFault,
    Taxpayer,
)

TAXPAYER = "91530100MA6K00001X"
PETROL = "1070101010100000000"
SOON = LatencyProfile.constant(5_000)


def order(order_no: str, **changes: Any) -> dict[str, Any]:
    """What a station's shop sends: an issued invoice of 2023-08-10, 92# at 7.81."""
    line = {
        "goodsName": "92号车用汽油",
        "goodsCode": PETROL,
        "withTaxFlag": "0",
        "price": "6.91150442",
        "num": "12.29193342",
        "unit": "升",
        "taxRate": "0.13",
        "taxExcludedAmount": "84.96",
        "tax": "11.04",
        "taxIncludedAmount": "96.00",
        "invoiceLineProperty": "0",
        "favouredPolicyFlag": "0",
    }
    line.update({name: changes.pop(name) for name in list(changes) if name in line})
    return {
        "orderNo": order_no,
        "buyerName": "个人",
        "salerTaxNum": TAXPAYER,
        "invoiceDate": "2026-09-22 08:00:00",
        "invoiceType": "1",
        "invoiceLine": "pc",
        "specificFactor": "1",
        "clerk": "张三",
        "pushMode": "-1",
        "invoiceDetail": [line],
        **changes,
    }


@pytest.fixture
def with_sdk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy", "https_proxy", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    ca = make_ca()
    bundle = ca.write_bundle(tmp_path / "ca.pem")

    @contextmanager
    def client(secret: str) -> Iterator[Nuonuo]:
        with Nuonuo("KEY0001", secret, tax_number=TAXPAYER, timeout=(5, 10)) as found:
            yield found

    def run(steps: Callable[[Nuonuo, InvoiceBook], None], *, secret: str = "SECRET0001") -> None:
        async def serve() -> None:
            kernel = WallKernel("nuonuo")
            book = InvoiceBook(
                TaxBureau(kernel),
                [Taxpayer(TAXPAYER, "昆明某石油公司")],
                issue_latency=SOON,
                red_latency=SOON,
            )
            platform = NuonuoPlatform(book, [NuonuoApp("KEY0001", "SECRET0001", TAXPAYER)])
            proxy = ConnectProxy(ca, {"sdk.nuonuo.com": platform.app, "open.nuonuo.com": platform.app})
            await proxy.start()
            monkeypatch.setenv("HTTPS_PROXY", proxy.url)
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
            running = asyncio.create_task(kernel.run(3_600_000_000))

            def work() -> None:
                with client(secret) as sdk:
                    steps(sdk, book)

            try:
                await asyncio.to_thread(work)
            finally:
                kernel.stop()
                await running
                await proxy.stop()
                await kernel.close()

        asyncio.run(serve())

    return run


def until_done(ask: Callable[[], dict[str, Any]], status: str = "2") -> dict[str, Any]:
    """Poll as a merchant does; the platform issues within milliseconds here."""
    for _ in range(200):
        reply = ask()
        assert reply["code"] == "E0000", reply
        if reply["result"][0]["status"] == status:
            found: dict[str, Any] = reply["result"][0]
            return found
    raise AssertionError(f"never {status}: {reply}")


def test_the_sdk_issues_queries_and_red_letters(with_sdk: Callable[..., None]) -> None:
    def steps(sdk: Nuonuo, book: InvoiceBook) -> None:
        token = sdk.get_merchant_token()
        assert token["expires_in"] == 86_400
        accepted = sdk.nst.issue(order("KM01-1"))
        assert (accepted["code"], accepted["describe"]) == ("E0000", "开票提交成功")
        serial = accepted["result"]["invoiceSerialNum"]
        assert (len(serial), serial.isdecimal()) == (20, True)
        again = sdk.nst.issue(order("KM01-1"))
        assert (again["code"], again["describe"]) == ("E9106", "订单编号或流水号不能重复")
        blue = until_done(lambda: sdk.nst.query(order_nos=["KM01-1"], include_details=True))
        assert blue["serialNo"] == serial
        number = blue["allElectronicInvoiceNumber"]
        assert (len(number), number.isdecimal()) == (20, True)
        assert (blue["exTaxAmount"], blue["taxAmount"], blue["orderAmount"]) == ("84.96", "11.04", "96.00")
        assert blue["productOilFlag"] == 1
        assert blue["invoiceItems"][0]["itemNum"] == "12.29193342"
        assert sdk.invoice.query(serial_nos=[serial])["result"][0]["orderNo"] == "KM01-1"
        application = {
            "billId": "RED1",
            "blueInvoiceLine": "pc",
            "applySource": "0",
            "blueElecInvoiceNumber": number,
            "sellerTaxNo": TAXPAYER,
            "buyerName": "个人",
            "redReason": "2",
        }
        assert sdk.call("nuonuo.OpeMplatform.saveInvoiceRedConfirm", application)["result"] == "RED1"
        assert sdk.call("nuonuo.OpeMplatform.saveInvoiceRedConfirm", application)["code"] == "E9999"
        twice = sdk.call("nuonuo.OpeMplatform.saveInvoiceRedConfirm", {**application, "billId": "RED2"})
        assert (twice["code"], twice["describe"]) == ("E9103", "该发票已全额冲红")
        listed = sdk.call("nuonuo.OpeMplatform.queryInvoiceRedConfirm", {"identity": "0", "billId": "RED1"})
        (form,) = listed["result"]["list"]
        assert (form["billStatus"], form["taxExcludedAmount"], form["taxAmount"]) == (
            "01",
            "-84.96",
            "-11.04",
        )
        reds = {
            sdk.call(
                "nuonuo.OpeMplatform.fastInvoiceRed", {"billNo": form["billNo"], "elecInvoiceNumber": number}
            )["result"]["invoiceSerialNum"]
            for _ in range(5)
        }
        (red_serial,) = reds
        red = until_done(lambda: sdk.nst.query(serial_nos=[red_serial]))
        assert (red["orderAmount"], red["oldEleInvoiceNumber"]) == ("-96.00", number)
        assert [len(invoice.number) for invoice in book.invoices.values()] == [20, 20]

    with_sdk(steps)


def test_what_the_sdk_is_told_when_it_may_not(with_sdk: Callable[..., None]) -> None:
    def steps(sdk: Nuonuo, book: InvoiceBook) -> None:
        with pytest.raises(AuthenticationError):
            sdk.get_merchant_token()
        sdk.set_access_token("0" * 32)
        assert sdk.nst.issue(order("KM01-1"))["code"] == "070601"
        assert not book.invoices

    with_sdk(steps, secret="WRONG")


def test_the_sdk_sees_the_lost_login_and_its_invoice_afterwards(with_sdk: Callable[..., None]) -> None:
    def steps(sdk: Nuonuo, book: InvoiceBook) -> None:
        book.bureau.arm(TaxFault(kind="login-lost", name="out"))
        sdk.get_merchant_token()
        assert sdk.nst.query(order_nos=["KM01-1"])["code"] == "E9500"
        assert sdk.nst.issue(order("KM01-1"))["code"] == "E0000"
        method = "nuonuo.OpeMplatform.getCertificationStatus"
        assert sdk.call(method, {"queryType": "2"})["result"] == {"certificationStatus": "0"}
        assert sdk.nst.query(order_nos=["KM01-1"])["result"][0]["status"] == "20"

    with_sdk(steps)
