"""Chinese numerals: against the requirement's own examples, an unmodified peer, and the way back."""

from __future__ import annotations

import cn2an
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocols.chinese_numerals import (
    MAX_AMOUNT_FEN,
    MAX_INTEGER,
    NumeralError,
    amount_words,
    integer_words,
    point_words,
    read_amount,
    read_integer,
)

AMOUNTS = st.integers(1, MAX_AMOUNT_FEN) | st.integers(1, 9_999_999)
# Runs of zeros are where readings go wrong: numbers made of few digits that are not zero.
SPARSE = st.lists(st.sampled_from("000000123456789"), min_size=1, max_size=10).map(lambda d: int("".join(d)))


def yuan(fen):
    return f"{fen // 100}.{fen % 100:02}"


def peer_amount(fen):
    """What cn2an writes on a cheque, in everyday digits: 整 and a leading 一 before 十 are for cheques only."""
    everyday = str.maketrans("壹贰叁肆伍陆柒捌玖拾佰仟", "一二三四五六七八九十百千")
    words = cn2an.an2cn(yuan(fen), "rmb").translate(everyday).removesuffix("整")
    return words[1:] if words.startswith("一十") else words


def peer_point(fen):
    text = yuan(fen).rstrip("0").rstrip(".")
    return cn2an.an2cn(text, "low") + "元"


@pytest.mark.requirement("vox.numerals-are-correct")
@pytest.mark.parametrize(
    ("fen", "words", "pointed"),
    [
        (1, "一分", "零点零一元"),
        (10, "一角", "零点一元"),
        (50, "五角", "零点五元"),
        (55, "五角五分", "零点五五元"),
        (100, "一元", "一元"),
        (105, "一元零五分", "一点零五元"),
        (1000, "十元", "十元"),
        (1150, "十一元五角", "十一点五元"),
        (10_005, "一百元零五分", "一百点零五元"),
        (11_000, "一百一十元", "一百一十元"),
        (20_005, "二百元零五分", "二百点零五元"),
        (100_050, "一千元五角", "一千点五元"),
        (100_500, "一千零五元", "一千零五元"),
        (1_001_001, "一万零一十元零一分", "一万零一十点零一元"),
        (10_000_000, "十万元", "十万元"),
        (12_000_500, "十二万零五元", "十二万零五元"),
        (2_000_050_000, "二千万零五百元", "二千万零五百元"),
        (
            MAX_AMOUNT_FEN,
            "九千九百九十九万九千九百九十九元九角九分",
            "九千九百九十九万九千九百九十九点九九元",
        ),
    ],
)
def test_amounts_that_people_have_written_down(fen, words, pointed):
    assert amount_words(fen) == words
    assert point_words(fen) == pointed
    assert read_amount(words) == read_amount(pointed) == fen


@pytest.mark.requirement("vox.numerals-are-correct")
@given(AMOUNTS | SPARSE.filter(bool).filter(lambda fen: fen <= MAX_AMOUNT_FEN))
@example(1_000_000_000)
def test_every_amount_is_the_peers_and_is_read_back(fen):
    assert amount_words(fen) == peer_amount(fen)
    assert point_words(fen) == peer_point(fen)
    assert read_amount(amount_words(fen)) == fen
    assert read_amount(point_words(fen)) == fen


def test_all_amounts_below_a_hundred_yuan_and_each_round_one():
    amounts = [*range(1, 10_000, 7), *(digit * 10**place for digit in range(1, 10) for place in range(10))]
    said = {amount_words(fen) for fen in amounts}
    assert len(said) == len(set(amounts))
    assert all(amount_words(fen) == peer_amount(fen) for fen in amounts)


@given(st.integers(0, MAX_INTEGER) | SPARSE)
@example(10**12)
@example(10**12 + 10**8)
@example(100_000_010_000)
@example(100_001_000)
def test_whole_numbers_come_back(number):
    words = integer_words(number)
    assert read_integer(words) == number
    # The peer leaves out the zero of a whole group of them before thousands: 一亿一千 is what people say for 一亿一千万.
    skips_a_group = number >= 10**8 and not number // 10**4 % 10**4 and number % 10**4 >= 1000
    if number < 10**12 and not skips_a_group:
        assert words == cn2an.an2cn(str(number), "low")


def test_the_groups_of_large_numbers():
    assert integer_words(100_010_000) == "一亿零一万"
    assert integer_words(100_001_000) == "一亿零一千"
    assert integer_words(1_0000_0000_0000) == "一万亿"
    assert integer_words(1_2345_0000_0001) == "一万二千三百四十五亿零一"


@pytest.mark.parametrize("fen", [0, -1, MAX_AMOUNT_FEN + 1])
def test_amounts_that_cannot_be_said(fen):
    for say in (amount_words, point_words):
        with pytest.raises(NumeralError, match="is not from 1 to"):
            say(fen)
    with pytest.raises(NumeralError):
        integer_words(MAX_INTEGER + 1)


@pytest.mark.parametrize(
    "words",
    ["", "元", "二百", "二百元零", "二百元零五", "二百元五分角", "十百元", "二三元", "百元", "万元", "二百点元", "点五元",
     "二百点零五", "二百点零零五元", "二百点十元", "三加仑元", "五百千元", "零角", "亿元", "一元零零五分"],
)  # fmt: skip
def test_what_is_no_amount_is_not_read_as_one(words):
    with pytest.raises(NumeralError):
        read_amount(words)


def test_two_may_be_said_in_either_way():
    assert read_amount("两百元零五分") == read_amount("二百元零五分") == 20_005
    assert read_integer("两千两百") == 2_200


@given(st.text("零一二两三十百千万亿元角分点", max_size=12))
def test_reading_never_fails_otherwise(words):
    try:
        fen = read_amount(words)
    except NumeralError:
        return
    assert fen >= 0
