from __future__ import annotations

import pytest

from protocols.escpos import ReceiptContent


@pytest.fixture
def content() -> ReceiptContent:
    return ReceiptContent(
        station_name="昆明北站加油站",
        station="KM01",
        nozzle=3,
        grade="95",
        volume_ml=12_290,
        price_fen_per_l=781,
        amount_fen=9598,
        sequence=107,
        ended_us=1_767_571_200_000_000,
        pay_method="微信支付",
        qr_text="https://example.invalid/开票?o=1",
    )
