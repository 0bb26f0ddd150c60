"""Transactions inside a block: round trips, unknown kinds, impossible contents."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.bcd import decode_bcd, encode_bcd
from protocols.dart import (
    AMOUNT_COUNTER_SUM,
    VOLUME_COUNTER_SUM,
    AllowedNozzles,
    Command,
    CommandCode,
    FilledReport,
    MalformedTransaction,
    NozzleReport,
    PresetAmount,
    PresetVolume,
    PumpStatus,
    StatusReport,
    TotalsReport,
    TotalsRequest,
    Transaction,
    UnitPrices,
    UnknownTransaction,
    amount_counter,
    decode_from_controller,
    decode_from_pump,
    encode_block,
    volume_counter,
)
from protocols.dart.decoding import plausible
from protocols.sansio import LocalProtocolError

eight = st.integers(0, 99_999_999)
six = st.integers(0, 999_999)
ten = st.integers(0, 9_999_999_999)
byte = st.integers(0, 255)
unknown = st.builds(UnknownTransaction, trans=st.integers(0x66, 0xFF), data=st.binary(max_size=40))
from_controller = st.one_of(
    st.builds(Command, code=st.sampled_from(CommandCode)),
    st.builds(AllowedNozzles, nozzles=st.lists(st.integers(1, 15), max_size=8).map(tuple)),
    st.builds(PresetVolume, volume_units=eight),
    st.builds(PresetAmount, amount_units=eight),
    st.builds(UnitPrices, prices_units=st.lists(six, min_size=1, max_size=8).map(tuple)),
    st.builds(TotalsRequest, counter=byte),
    unknown,
)
from_pump = st.one_of(
    st.builds(StatusReport, status=st.sampled_from(PumpStatus)),
    st.builds(FilledReport, volume_units=eight, amount_units=eight),
    st.builds(
        NozzleReport,
        price_units=six,
        nozzle=st.integers(0, 15),
        out=st.booleans(),
        reserved=st.integers(0, 7),
    ),
    st.builds(TotalsReport, counter=byte, total_units=ten, second_units=ten, third_units=ten),
    st.builds(TotalsReport, counter=byte, total_units=ten, tail=st.binary(min_size=7, max_size=7)),
    unknown,
)


@given(st.lists(from_controller, max_size=6))
def test_round_trip_towards_the_pump(transactions: list[Transaction]) -> None:
    assert list(decode_from_controller(encode_block(transactions))) == transactions


@given(st.lists(from_pump, max_size=6))
def test_round_trip_from_the_pump(transactions: list[Transaction]) -> None:
    assert list(decode_from_pump(encode_block(transactions))) == transactions


@given(
    st.one_of(
        st.binary(max_size=80), st.lists(st.one_of(from_pump, from_controller), max_size=5).map(encode_block)
    )
)
def test_any_block_decodes_and_encodes_to_the_same_bytes(block: bytes) -> None:
    for decode in (decode_from_controller, decode_from_pump):
        assert encode_block(decode(block)) == block


@given(st.lists(st.one_of(from_controller, from_pump), max_size=6))
def test_a_block_is_plausible_unless_something_in_it_is_unknown(transactions: list[Transaction]) -> None:
    strange = any(isinstance(transaction, UnknownTransaction) for transaction in transactions)
    assert plausible(encode_block(transactions)) is not strange


def test_unknown_kind_is_skipped_by_its_length() -> None:
    assert decode_from_controller(bytes.fromhex("42 03 01 01 05 01 01 06")) == (
        UnknownTransaction(trans=0x42, data=b"\x01\x01\x05"),
        Command(code=CommandCode.AUTHORISE),
    )


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        ("01", "runs past the end"),
        ("01 01", "runs past the end"),
        ("02 FF 01", "runs past the end"),
        ("01 00", "LNG is 0, not 1"),
        ("01 02 05 06", "LNG is 2, not 1"),
        ("01 01 07", "command 0x07"),
        ("02 01 00", r"outside 1\.\.15"),
        ("02 01 10", r"outside 1\.\.15"),
        ("03 03 00 00 00", "LNG is 3, not 4"),
        ("03 04 00 00 0A 00", "00 00 0A 00 is no BCD number"),
        ("04 04 F0 00 00 00", "no BCD number"),
        ("05 00", "LNG is 0, not a multiple of 3"),
        ("05 04 00 11 75 00", "LNG is 4, not a multiple of 3"),
        ("05 06 00 11 75 00 11 7F", "no BCD number"),
        ("65 00", "LNG is 0, not 1"),
    ],
)
def test_impossible_contents_towards_the_pump(block: str, reason: str) -> None:
    raw = bytes.fromhex(block)
    (bad,) = decode_from_controller(raw)
    assert isinstance(bad, MalformedTransaction)
    assert bad.raw == raw
    assert re.search(reason, bad.reason)


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        ("01 01 03", "status 0x03"),
        ("01 01 08", "status 0x08"),
        ("02 07 00 00 00 00 00 00 00", "LNG is 7, not 8"),
        ("02 08 00 00 00 00 00 00 00 0B", "no BCD number"),
        ("03 04 00 1A 00 01", "no BCD number"),
        ("03 05 00 11 75 01 00", "LNG is 5, not 4"),
        ("65 0C 01 00 00 00 00 00 00 00 00 00 00 00", "LNG is 12, not 16"),
        ("65 10 01 00 00 00 00 0C 00 00 00 00 00 00 00 00 00 00", "no BCD number"),
    ],
)
def test_impossible_contents_from_the_pump(block: str, reason: str) -> None:
    (bad,) = decode_from_pump(bytes.fromhex(block))
    assert isinstance(bad, MalformedTransaction)
    assert reason in bad.reason


def test_a_malformed_transaction_spares_its_neighbours() -> None:
    first, bad, last = decode_from_controller(bytes.fromhex("01 01 05 03 04 AA 00 00 00 01 01 06"))
    assert first == Command(code=CommandCode.RESET)
    assert isinstance(bad, MalformedTransaction)
    assert last == Command(code=CommandCode.AUTHORISE)


def test_nozzle_zero_is_no_nozzle() -> None:
    (report,) = decode_from_pump(bytes.fromhex("03 04 00 11 75 00"))
    assert report == NozzleReport(price_units=1175, nozzle=0, out=False)


@pytest.mark.parametrize(
    ("transaction", "words"),
    [
        (PresetVolume(volume_units=100_000_000), "preset volume 100000000 does not fit into 8 BCD digits"),
        (PresetAmount(amount_units=-1), "preset amount -1 does not fit"),
        (UnitPrices(prices_units=(1_000_000,)), "unit price 1000000 does not fit into 6"),
        (UnitPrices(prices_units=(1,) * 86), "258 data bytes; LNG is one byte"),
        (AllowedNozzles(nozzles=(16,)), "not all within"),
        (NozzleReport(price_units=0, nozzle=16, out=False), "nozzle 16"),
        (TotalsRequest(counter=256), "totaliser 256"),
        (TotalsReport(counter=1, total_units=10**10), "total 10000000000 does not fit into 10"),
    ],
)
def test_values_that_do_not_fit_are_our_own_fault(transaction: Transaction, words: str) -> None:
    with pytest.raises(LocalProtocolError, match=words):
        transaction.encode()


def test_totaliser_numbers() -> None:
    assert [volume_counter(nozzle) for nozzle in (1, 8)] == [0x01, 0x08]
    assert [amount_counter(nozzle) for nozzle in (1, 8)] == [0x11, 0x18]
    assert (VOLUME_COUNTER_SUM, AMOUNT_COUNTER_SUM) == (0x09, 0x19)
    with pytest.raises(LocalProtocolError, match="no totaliser"):
        volume_counter(9)


@given(st.integers(0, 9), st.data())
def test_bcd_round_trip(size: int, data: st.DataObject) -> None:
    value = data.draw(st.integers(0, 10 ** (2 * (size + 1)) - 1))
    encoded = encode_bcd(value, size + 1, "value")
    assert len(encoded) == size + 1
    assert decode_bcd(encoded) == value
    assert encoded.hex() == str(value).zfill(2 * (size + 1))


def test_bcd_refuses_every_nibble_that_is_no_digit() -> None:
    for value in range(256):
        wrong = value >> 4 > 9 or value & 15 > 9
        assert (decode_bcd(bytes((0x12, value))) is None) is wrong
