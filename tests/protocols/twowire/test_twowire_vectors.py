"""Published bytes, good ones both ways and damaged ones refused, and the rules they rest on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from protocols.sansio import LocalProtocolError
from protocols.twowire import (
    EIGHT_DIGITS,
    NOZZLE_QUERY,
    RULES,
    SIX_DIGITS,
    BadBlock,
    BadReason,
    Command,
    DeviationKind,
    MoneyPreset,
    NozzleRecord,
    PriceChange,
    Scale,
    Status,
    Transaction,
    UnknownBlock,
    VolumePreset,
    command_byte,
    decode_money,
    decode_nozzle_record,
    decode_sent,
    decode_totals,
    decode_transaction,
    digit_words,
    length_word,
    split_byte,
    status_byte,
)

VECTORS = json.loads(Path(__file__).with_name("vectors.json").read_text())
SENT = [*VECTORS["prices"], *VECTORS["presets"], VECTORS["nozzle_query"]]


def raw(vector) -> bytes:
    return bytes.fromhex(vector["hex"])


def with_check(words: bytes) -> bytes:
    """A block with its right check word, computed in the plainest way there is."""
    total = sum(word & 0x0F for word in words)
    return words + bytes((0xE0 | (16 - total % 16) % 16, 0xF0))


@pytest.mark.parametrize("vector", VECTORS["transactions"], ids=lambda v: v["source"][:20])
def test_transactions_both_ways(vector):
    fields = {key: value for key, value in vector.items() if key not in {"hex", "source"}}
    fields["unknown"] = tuple(fields["unknown"])
    transaction = decode_transaction(raw(vector))
    assert transaction == Transaction(**fields)
    assert transaction.encode() == raw(vector)
    # 23.360 L at 10.70 for 250.00 would be 249.95: a preset sum; 71.620 L at 0.761 is 54.50.
    scale = Scale()
    assert scale.ml(transaction.volume_units, scale.volume) == vector["volume_units"]


def test_the_field_capture_adds_up():
    sale = decode_transaction(raw(VECTORS["transactions"][1]))
    assert (
        round(sale.volume_units * sale.price_units / 10_000) == sale.money_units
    )  # price with three decimals


@pytest.mark.parametrize("vector", VECTORS["prices"], ids=lambda v: v["hex"])
def test_prices_both_ways(vector):
    block = PriceChange(grade=vector["grade"], level=vector["level"], price_units=vector["price_units"])
    assert decode_sent(raw(vector)).block == block
    assert decode_sent(raw(vector)).deviations == ()
    assert block.encode() == raw(vector)


@pytest.mark.parametrize("vector", VECTORS["presets"], ids=lambda v: v["kind"])
def test_presets_both_ways(vector):
    if vector["kind"] == "volume":
        block = VolumePreset(volume_units=vector["units"], grade=vector["grade"])
    else:
        block = MoneyPreset(money_units=vector["units"], grade=vector["grade"])
    assert decode_sent(raw(vector)).block == block
    assert block.encode() == raw(vector)


def test_the_nozzle_query_and_its_answers():
    assert NOZZLE_QUERY.encode() == raw(VECTORS["nozzle_query"])
    assert decode_sent(raw(VECTORS["nozzle_query"])).block == NOZZLE_QUERY
    for vector in VECTORS["nozzle_records"]:
        record = decode_nozzle_record(raw(vector))
        assert (record.pump, record.nozzle, record.totals_decimals) == (vector["pump"], vector["nozzle"], 0)
        assert record.encode() == raw(vector)
        assert NozzleRecord.of(vector["pump"], vector["nozzle"]) == record


def test_one_byte_vectors_and_money():
    vector = VECTORS["status"]
    assert command_byte(Command.STATUS, vector["pump"]) == bytes.fromhex(vector["command"])
    assert status_byte(Status(vector["status"]), vector["pump"]) == bytes.fromhex(vector["answer"])
    assert split_byte(bytes.fromhex(vector["answer"])[0]) == (6, 2)
    assert decode_money(raw(VECTORS["money"])) == 220
    assert digit_words(220, 6) == raw(VECTORS["money"])


def test_pump_sixteen_travels_as_nought():
    assert command_byte(Command.TOTALS, 16) == b"\x50"
    assert split_byte(0x60) == (6, 16)
    for pump in (0, 17, -1):
        with pytest.raises(LocalProtocolError):
            command_byte(Command.STATUS, pump)


@pytest.mark.parametrize(
    ("block", "word"),
    [
        (PriceChange(grade=1, price_units=1), 0xE5),
        (VolumePreset(volume_units=1), 0xE6),
        (MoneyPreset(money_units=1), 0xE5),
        (MoneyPreset(money_units=1, digits=5), 0xE6),
        (VolumePreset(volume_units=1, grade=1), 0xE3),
        (MoneyPreset(money_units=1, grade=1), 0xE2),
        (NOZZLE_QUERY, 0xE9),
    ],
)
def test_the_length_words_of_the_field(block, word):
    assert block.encode()[1] == word == length_word(len(block.encode()))


def test_the_eight_digit_price_has_the_length_word_of_the_field():
    assert PriceChange(grade=1, price_units=1).encode(EIGHT_DIGITS)[1] == 0xE3
    assert (SIX_DIGITS.transaction_words, SIX_DIGITS.totals_stride) == (33, 30)
    assert (EIGHT_DIGITS.totals_stride, EIGHT_DIGITS.totals) == (42, 12)


# -- deviations that work in the field ------------------------------------------------------------------------------


def test_a_constant_length_word_is_taken_with_a_warning():
    words = bytes.fromhex("FF E3 F1 F8 E0 E0 E0 E2 E0 FB")
    sent = decode_sent(with_check(words))
    assert sent.block == VolumePreset(volume_units=2000)
    assert sent.deviations == (DeviationKind.LENGTH_CONSTANT,)
    with pytest.raises(BadBlock) as refused:
        decode_sent(with_check(words), strict_length=True)
    assert refused.value.reason is BadReason.LENGTH


def test_a_money_preset_of_five_digits_is_taken_with_a_warning():
    data = with_check(bytes.fromhex("FF E6 F2 F8 E0 E0 E0 E0 E1 FB"))
    sent = decode_sent(data)
    assert sent.block == MoneyPreset(money_units=10000, digits=5)
    assert sent.deviations == (DeviationKind.MONEY_FIVE_DIGITS,)
    assert sent.block.encode() == data


def test_another_wrong_length_word_is_taken_with_another_warning():
    words = raw(VECTORS["prices"][0])[:-2]
    sent = decode_sent(with_check(words[:1] + b"\xe7" + words[2:]))
    assert sent.deviations == (DeviationKind.LENGTH_WRONG,)


def test_a_body_that_nobody_explains_is_told():
    data = UnknownBlock(body=b"\xfd\xe1").encode()
    assert decode_sent(data).block == UnknownBlock(body=b"\xfd\xe1")


# -- damaged ones ---------------------------------------------------------------------------------------------------


def all_decoders():
    for vector in SENT:
        yield raw(vector), decode_sent
    for vector in VECTORS["transactions"]:
        yield raw(vector), decode_transaction
    for vector in VECTORS["nozzle_records"]:
        yield raw(vector), decode_nozzle_record
    yield totals_block(), decode_totals


def totals_block() -> bytes:
    grades = b""
    for grade in range(2):
        grades += bytes((0xF6, 0xE0 | grade, 0xF9)) + digit_words(12345678 + grade, 8)
        grades += b"\xfa" + digit_words(87654321, 8)
        grades += b"\xf4" + digit_words(1070, 4) + b"\xf5" + digit_words(1069, 4)
    return with_check(b"\xff" + grades + b"\xfb")


def test_totals_both_ways():
    totals = decode_totals(totals_block())
    assert [(one.grade, one.volume_units, one.money_units) for one in totals.grades] == [
        (1, 12345678, 87654321),
        (2, 12345679, 87654321),
    ]
    assert {(one.price_1_units, one.price_2_units) for one in totals.grades} == {(1070, 1069)}
    assert len(totals_block()) == 64 == SIX_DIGITS.totals_words(2)
    assert totals.encode() == totals_block()


@pytest.mark.parametrize(("data", "decode"), list(all_decoders()))
def test_cut_at_every_offset_it_is_refused(data, decode):
    for length in range(len(data)):
        with pytest.raises(BadBlock):
            decode(data[:length])


@pytest.mark.parametrize(("data", "decode"), list(all_decoders()))
def test_every_byte_value_at_every_position(data, decode):
    """A wrong nibble never passes; a wrong word passes only if it is the check word's own harmless upper half."""
    original = decode(data)
    passed = []
    for position in range(len(data)):
        for value in range(256):
            if value == data[position]:
                continue
            damaged = data[:position] + bytes((value,)) + data[position + 1 :]
            try:
                decoded = decode(damaged)
            except BadBlock:
                continue
            passed.append((position, value, decoded))
    # One changed word changes the sum by less than 16 unless only its upper half changed. Then it is a digit turned
    # into a marker or back, which the fields do not allow; of an unknown body nothing can be told.
    for position, value, decoded in passed:
        assert value & 0x0F == data[position] & 0x0F
        block = getattr(decoded, "block", decoded)
        assert block != original
        assert isinstance(block, UnknownBlock), (position, hex(value), decoded)


def test_two_damages_can_cancel_out_in_the_check():
    """The LRC is one nibble: what a driver relies on must be confirmed by another reading."""
    data = bytearray(raw(VECTORS["prices"][1]))
    data[6] += 1
    data[8] -= 1
    assert decode_sent(bytes(data)).block != decode_sent(raw(VECTORS["prices"][1])).block


@pytest.mark.parametrize(
    ("block", "field"),
    [
        (PriceChange(grade=0, price_units=1), "grade"),
        (PriceChange(grade=1, price_units=10_000), "digits"),
        (PriceChange(grade=1, price_units=1, level=3), "level"),
        (VolumePreset(volume_units=100_000), "digits"),
        (MoneyPreset(money_units=-1), "digits"),
    ],
)
def test_what_does_not_fit_is_a_local_error(block, field):
    with pytest.raises(LocalProtocolError, match=field):
        block.encode()


def test_a_scale_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match="decimals"):
        Scale(price=3)
    with pytest.raises(ValueError, match="decimals"):
        Scale(volume=-1)
    site = Scale(volume=2, price=0)
    assert (site.ml(1234, site.volume), site.volume_units(12_349, site.volume)) == (12_340, 1234)
    assert (site.fen(7, site.price), site.money_units(799, site.price)) == (700, 7)


def test_every_rule_has_its_count_and_a_text():
    assert len(RULES) > 30
    for rule in RULES.values():
        assert rule.id.startswith("twowire-")
        assert rule.text
        assert 0 <= rule.count <= 6
        assert len(rule.sources) <= max(rule.count, 0)
        assert rule.mandatory == (rule.count >= 2)
    assert not RULES["twowire-length-unchecked"].mandatory
    assert RULES["twowire-lrc"].mandatory
