"""Blocks of any content round trip, and come in any pieces."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.twowire import (
    EIGHT_DIGITS,
    NOZZLE_QUERY,
    SIX_DIGITS,
    GradeTotals,
    MoneyPreset,
    PriceChange,
    PumpSide,
    SpecialFunction,
    Status,
    Totals,
    Transaction,
    VolumePreset,
    decode_sent,
    decode_totals,
    decode_transaction,
)

from .twowire_line import Head, answer, drain

# -- Hypothesis -------------------------------------------------------------------------------------------------------

MODELS = st.sampled_from([SIX_DIGITS, EIGHT_DIGITS])


def units(digits):
    return st.integers(0, 10**digits - 1)


@st.composite
def sent_blocks(draw):
    model = draw(MODELS)
    grade = draw(st.integers(1, 16))
    level = draw(st.sampled_from([1, 2]))
    maybe = draw(st.sampled_from([None, grade]))
    named = {} if maybe is None else {"grade": maybe, "level": level}
    block = draw(
        st.sampled_from(
            [
                PriceChange(grade=grade, level=level, price_units=draw(units(model.price))),
                VolumePreset(volume_units=draw(units(model.preset_volume)), **named),
                MoneyPreset(money_units=draw(units(model.preset_money)), **named),
                SpecialFunction(number=draw(units(3))),
            ]
        )
    )
    return model, block


@given(sent_blocks())
def test_sent_blocks_round_trip(case):
    model, block = case
    data = block.encode(model)
    sent = decode_sent(data, model, strict_length=True)
    assert (sent.block, sent.deviations) == (block, ())


@st.composite
def transactions(draw):
    model = draw(MODELS)
    nibble = st.integers(0, 15)
    return model, Transaction(
        pump=draw(st.integers(1, 16)),
        grade=draw(st.integers(1, 16)),
        level=draw(st.sampled_from([1, 2])),
        price_units=draw(units(model.price)),
        volume_units=draw(units(model.volume)),
        money_units=draw(units(model.money)),
        marker=draw(nibble),
        unknown=draw(st.tuples(nibble, nibble, nibble)),
    )


@given(transactions())
def test_transactions_round_trip(case):
    model, transaction = case
    assert len(transaction.encode(model)) == model.transaction_words
    assert decode_transaction(transaction.encode(model), model) == transaction


@given(MODELS, st.lists(st.integers(1, 16), unique=True, max_size=8), st.randoms(use_true_random=False))
def test_totals_round_trip(model, grades, rng):
    totals = Totals(
        grades=tuple(
            GradeTotals(
                grade=grade,
                volume_units=rng.randrange(10**model.totals),
                money_units=rng.randrange(10**model.totals),
                price_1_units=rng.randrange(10**model.price),
                price_2_units=rng.randrange(10**model.price),
            )
            for grade in grades
        )
    )
    assert len(totals.encode(model)) == model.totals_words(len(grades))
    assert decode_totals(totals.encode(model), model) == totals


@settings(max_examples=60)
@given(st.data())
def test_any_pieces_give_the_same_answers_and_news(data):
    """A whole conversation, cut anywhere, is the same conversation."""
    stream = (
        b"\x01\x21"
        + VolumePreset(volume_units=500).encode()
        + b"\x01\x11\x01\x41\x51\x61\x31\x21"
        + NOZZLE_QUERY.encode()
        + b"\x21"
        + PriceChange(grade=1, price_units=700).encode()[:-1]
        + b"\x01\x01\xfc"
    )
    cuts = sorted(data.draw(st.sets(st.integers(1, len(stream) - 1), max_size=12)))
    whole, parts = Head(), Head()
    whole.told = parts.told = Status.CALL
    one, other = PumpSide({1: whole}), PumpSide({1: parts})
    expected = answer(one, stream)
    got = b"".join(answer(other, stream[a:b]) for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True))
    assert got == expected
    assert parts.did == whole.did
    assert drain(other) == drain(one)
