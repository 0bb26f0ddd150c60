"""What stands on 10,000 invoices, recomputed with decimal fractions from the rules as published, for each platform's own shape."""

from __future__ import annotations

import json
import random
from decimal import ROUND_HALF_UP, Decimal

import msgspec
import pytest

from protocols.baiwang import issue_body
from protocols.nuonuo import Order
from reference.backend.invoices.money import free_slices, slices_of, volume_of
from reference.backend.tax import BlueOrder, FuelPart
from reference.backend.tax.settings import TaxSettings
from reference.backend.tax.wechat import application_body

CENT = Decimal("0.01")
RATE = Decimal("0.13")
PETROL, DIESEL = "1070101010100000000", "1070101030100000000"


def sales(count):
    """(litres x 1000, paid fen, grade): the pump's amount, sometimes less a discount, sometimes tiny or a tanker's."""
    rng = random.Random("amounts")
    for _ in range(count):
        volume_ml = rng.choice(
            [rng.randrange(10, 900, 10), rng.randrange(1000, 90_000, 10), rng.randrange(90_000, 900_000, 10)]
        )
        price = rng.randint(600, 990)
        pump_fen = (volume_ml * price + 500) // 1000
        paid_fen = pump_fen if rng.random() < 0.6 else max(1, pump_fen - rng.randrange(0, pump_fen // 3 + 1))
        if paid_fen:
            yield volume_ml, paid_fen, rng.choice(["92", "95", "98", "diesel"])


def check(gross, net, tax, quantity, price, rate):
    """The rules of a fully digital invoice: total = net + tax; quantity x price = net within 0.01; tax = net x rate within 0.01."""
    assert net + tax == gross
    assert rate == RATE
    assert abs(quantity * price - net) < CENT
    # Total / 1.13, rounded once: that is the anchor.
    assert net == (gross / (1 + RATE)).quantize(CENT, ROUND_HALF_UP)
    assert abs(tax - net * RATE) <= CENT


@pytest.mark.requirement("inv.amounts-are-consistent", "inv.fuel-quantity-equals-sale")
def test_ten_thousand_sales_recomputed():
    goods = TaxSettings().goods
    for number, (volume_ml, paid_fen, grade) in enumerate(sales(10_000)):
        kind = goods[grade]
        part = FuelPart(kind.tax_code, kind.name, kind.specification, volume_ml, paid_fen, "昆明一号站", 1, 0)
        order = BlueOrder("FC1", "FC11", "INDIVIDUAL", "张三", "", (part,))
        gross, litres = Decimal(paid_fen) / 100, Decimal(volume_ml) / 1000
        code = DIESEL if grade == "diesel" else PETROL
        if number % 3 == 0:
            (fapiao,) = application_body(order)["fapiao_information"]
            (item,) = fapiao["items"]
            assert fapiao["total_amount"] == item["total_amount"] == paid_fen
            assert (item["quantity"], item["unit"]) == (volume_ml * 100_000, "LETER")
            assert (item["tax_code"], item["tax_rate"]) == (code, 1300)
        elif number % 3 == 1:
            body = Order("FC1", "9" * 15, "张三", "2026-01-05 08:00:00", (part.invoice_line,)).body()["order"]
            (item,) = body["invoiceDetail"]
            assert (item["goodsCode"], item["unit"], body["specificFactor"]) == (code, "升", "1")
            assert Decimal(item["taxIncludedAmount"]) == gross
            assert Decimal(item["num"]) == litres
            net, tax, price = (Decimal(item[name]) for name in ("taxExcludedAmount", "tax", "price"))
            check(gross, net, tax, litres, price, Decimal(item["taxRate"]))
        else:
            raw = msgspec.json.encode(
                issue_body(
                    tax_no="9" * 15,
                    serial_no="FC1",
                    type_code="02",
                    oil_mark="01",
                    buyer_name="张三",
                    buyer_tax_id="",
                    lines=[part.invoice_line],
                )
            )
            data = json.loads(raw, parse_float=Decimal, parse_int=Decimal)["data"]
            (item,) = data["invoiceDetailsList"]
            assert (item["goodsCode"], item["goodsUnit"]) == (code, "升")
            assert data["invoiceTotalPriceTax"] == gross
            assert (data["invoiceTotalPrice"], data["invoiceTotalTax"]) == (
                item["goodsTotalPrice"],
                item["goodsTotalTax"],
            )
            check(
                gross,
                item["goodsTotalPrice"],
                item["goodsTotalTax"],
                Decimal(item["goodsQuantity"]),
                Decimal(item["goodsPrice"]),
                item["goodsTaxRate"],
            )
            assert Decimal(item["goodsQuantity"]) == litres


@pytest.mark.requirement("inv.merged-invoices-use-each-fen-once")
def test_fen_and_litres_of_any_split_add_up():
    rng = random.Random("split")
    for volume_ml, money_fen, _ in sales(1000):
        held, used_ml = [], 0
        while free := free_slices(money_fen, held):
            for piece in slices_of(free, rng.randint(1, money_fen)):
                held.append(piece)
                used_ml += volume_of(piece, money_fen, volume_ml)
        covered = [fen for first, count in sorted(held) for fen in (first, first + count)]
        assert covered[0] == 0
        assert covered[-1] == money_fen
        assert covered[1:-1:2] == covered[2::2], "no gap and no overlap"
        assert used_ml == volume_ml


@pytest.mark.requirement("inv.amounts-are-consistent")
def test_a_grade_without_a_tax_code_gets_no_invoice_and_an_alarm(play_sqlite):
    """Better none than petrol on a diesel driver's invoice."""

    async def scene(w):
        order = await w.paid_order(invoice={"title_type": "INDIVIDUAL", "name": "张三"})
        await w.run_due()
        assert w.gateway.invoices == {}
        assert (await w.show(order))["invoice"]["state"] == "failed"
        (alarm,) = (await w.admin("alarms"))["rows"]
        assert alarm["detail"] == "grade 92 has no tax code in the settings"
        # Once it has one, the customer may ask again.
        w.core.settings.tax.goods["92"] = TaxSettings().goods["92"]
        await w.phone(
            "POST", f"/{order['order_id']}/invoice", {"title_type": "INDIVIDUAL", "name": "张三"}, status=200
        )
        await w.run_due()
        await w.run_due(later_s=10)
        assert (await w.show(order))["invoice"]["state"] == "issued"

    goods = {grade: kind for grade, kind in TaxSettings().goods.items() if grade != "92"}
    play_sqlite(scene, tax=TaxSettings(goods=goods))
