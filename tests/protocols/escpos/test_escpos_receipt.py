from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.escpos import (
    GbDecoder,
    Op,
    ReceiptBuilder,
    ReceiptContent,
    StreamParser,
    clip_columns,
    encode_text,
    mask_card,
    mask_phone,
    read_receipt,
    receipt_bytes,
    text_columns,
)

CONTENT = ReceiptContent(
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
    discount_fen=100,
    card_masked=mask_card("6222020000001234567"),
    phone_masked=mask_phone("13812345678"),
    order="KM01-20260105-1",
    qr_text="https://example.invalid/f?o=1",
)


def printed_text(data: bytes) -> str:
    """What an ideal printer shows, lines only."""
    text, decoder = "", GbDecoder()
    for command in StreamParser().feed(data):
        if command.op is Op.TEXT:
            text += "".join(char for char, _ in decoder.feed(command.data))
        elif command.op is Op.LF:
            text += "\n"
    return text


@pytest.mark.requirement("prn.receipt-content-equals-ledger")
def test_a_receipt_says_what_was_sold() -> None:
    facts = read_receipt(printed_text(receipt_bytes(CONTENT)))
    assert (facts.station, facts.nozzle, facts.grade, facts.sequence) == ("KM01", 3, "95", 107)
    assert (facts.volume_ml, facts.price_fen_per_l, facts.amount_fen) == (12_290, 781, 9598)
    assert (facts.discount_fen, facts.paid_fen) == (100, 9498)
    assert (facts.ended_s, facts.pay_method, facts.order) == (1_767_571_200, "微信支付", "KM01-20260105-1")
    assert facts.reprint == 0


def test_the_time_on_paper_is_china_time() -> None:
    assert "2026-01-05 08:00:00" in printed_text(receipt_bytes(CONTENT))


@given(
    volume=st.integers(0, 99_999).map(lambda pulses: pulses * 10),
    price=st.integers(1, 9_999),
    amount=st.integers(0, 10_000_000),
    nozzle=st.integers(1, 99),
    sequence=st.integers(0, 999_999),
    grade=st.sampled_from(["92", "95", "98", "diesel"]),
    seconds=st.integers(0, 4_000_000_000),
    reprint=st.integers(0, 99),
    width=st.sampled_from([32, 42, 48]),
)
def test_every_figure_reads_back_at_every_paper_width(
    volume: int,
    price: int,
    amount: int,
    nozzle: int,
    sequence: int,
    grade: str,
    seconds: int,
    reprint: int,
    width: int,
) -> None:
    content = replace(
        CONTENT,
        volume_ml=volume,
        price_fen_per_l=price,
        amount_fen=amount,
        discount_fen=0,
        nozzle=nozzle,
        sequence=sequence,
        grade=grade,
        ended_us=seconds * 1_000_000,
    )
    facts = read_receipt(printed_text(receipt_bytes(content, reprint, width_columns=width)))
    assert (facts.volume_ml, facts.price_fen_per_l, facts.amount_fen) == (volume, price, amount)
    assert (facts.nozzle, facts.sequence, facts.grade, facts.reprint) == (nozzle, sequence, grade, reprint)
    assert (facts.ended_s, facts.discount_fen) == (seconds, None)


@pytest.mark.requirement("prn.reprints-are-numbered")
def test_only_a_reprint_carries_a_mark_and_it_is_numbered() -> None:
    assert "补打" not in printed_text(receipt_bytes(CONTENT))
    for number in (1, 2, 3):
        text = printed_text(receipt_bytes(CONTENT, number))
        assert text.count(f"补打 REPRINT {number} ") == 2


def test_a_half_printed_receipt_gives_the_fields_it_got_to() -> None:
    facts = read_receipt(printed_text(receipt_bytes(CONTENT)).split("金额")[0])
    assert (facts.volume_ml, facts.amount_fen, facts.paid_fen) == (12_290, None, None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"volume_ml": -10},
        {"discount_fen": 9599},
        {"card_masked": "6222020000001234567"},
        {"phone_masked": "13812345678"},
    ],
)
def test_a_receipt_that_must_not_be_printed_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        replace(CONTENT, **wrong)


def test_masks_keep_the_ends_only() -> None:
    assert mask_card("6222 0200 0000 1234 567") == "622202*********4567"
    assert mask_card("1234567") == "***4567"
    assert mask_phone("138-1234-5678") == "138****5678"
    assert mask_phone("123") == "****"


def test_no_name_can_smuggle_in_a_command() -> None:
    evil = replace(CONTENT, station_name="A\x1b@\x10\x04\x01\nB", order="x\x1dV\x00y", qr_text="")
    normal = replace(CONTENT, station_name="A?@????B", order="x?V?y", qr_text="")
    assert receipt_bytes(evil) == receipt_bytes(normal)


def test_the_job_begins_from_a_known_state_and_ends_with_the_cut() -> None:
    job = receipt_bytes(CONTENT)
    assert job.startswith(b"\x1b\x40\x1c\x26")
    assert job.endswith(b"\x1dVB\x00")
    assert receipt_bytes(CONTENT, confirm=True) == job + b"\x1dr\x01"


@pytest.mark.requirement("prn.chinese-text-is-right")
@pytest.mark.parametrize("text", ["昆明", "㐀䶿", "𠀀𪛖", "龦龻", "€", "升元枪"])
def test_rare_characters_survive_the_code_page(text: str) -> None:
    assert GbDecoder().feed(encode_text(text, "gb18030")) == [(char, 2) for char in text]


@given(
    st.text(st.characters(min_codepoint=32, exclude_categories=("Cs", "Cc"))), st.lists(st.integers(0, 40))
)
def test_a_decoder_takes_characters_cut_anywhere(text: str, cuts: list[int]) -> None:
    data = encode_text(text, "gb18030")
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    decoder = GbDecoder()
    pairs = [pair for a, b in itertools.pairwise(edges) for pair in decoder.feed(data[a:b])]
    assert "".join(char for char, _ in pairs) == text
    assert sum(columns for _, columns in pairs) == text_columns(text)
    assert not decoder.holds_half


@given(st.binary(max_size=60))
def test_a_decoder_never_raises_and_never_sticks(data: bytes) -> None:
    decoder = GbDecoder()
    decoder.feed(data)
    decoder.drop()
    assert decoder.feed(b"ok") == [("o", 1), ("k", 1)]


def test_a_gb2312_printer_takes_only_its_own_leads() -> None:
    assert GbDecoder(lowest_lead=0xA1).feed(b"\x81\x40") == [("?", 1), ("@", 1)]


@pytest.mark.parametrize("width", [32, 42, 48])
def test_columns_fill_the_line_and_break_when_they_must(width: int) -> None:
    (line,) = printed_text(bytes(ReceiptBuilder(width).columns("油品", "95#汽油"))).splitlines()
    assert text_columns(line) == width
    long = printed_text(bytes(ReceiptBuilder(width).columns("订单号", "X" * (width - 3)))).splitlines()
    assert long[0] == "订单号"
    assert text_columns(long[1]) == width


def test_clipping_never_cuts_a_wide_character_in_two() -> None:
    assert clip_columns("汽油92", 3) == "汽"
    assert clip_columns("汽油92", 6) == "汽油92"


@pytest.mark.parametrize(
    "build",
    [
        lambda: ReceiptBuilder(10),
        lambda: ReceiptBuilder(48, "utf-8"),
        lambda: ReceiptBuilder().qr(""),
        lambda: ReceiptBuilder().qr("x" * 3000),
        lambda: ReceiptBuilder().qr("x", module_dots=17),
        lambda: ReceiptBuilder().qr("x", level="X"),
        lambda: ReceiptBuilder().ean13("12345"),
        lambda: ReceiptBuilder().code128("汽油"),
        lambda: ReceiptBuilder().drawer(3),
        lambda: ReceiptBuilder().size(9, 1),
        lambda: ReceiptBuilder().feed(256),
        lambda: receipt_bytes(CONTENT, -1),
    ],
)
def test_what_no_printer_can_do_is_refused(build: Any) -> None:
    with pytest.raises(ValueError, match=r"\d|not|level|pin"):
        build()
