"""Numbers and amounts of money as Chinese words, and back.

Two ways to read an amount are in use. A person reads 元, 角 and 分 (200.05 is 二百元零五分): so texts and receipts have it. A box that
holds only the clips of a number reads it with a point (二百点零五元), as the published demonstrations of payment loudspeakers do
(OpenLuat's cloud speaker says 12345678.9 so).

Where 零 belongs follows the rules for amounts on bank forms (支付结算办法, 银发〔1997〕393号, annex 1): one 零 for a run of zeros inside a
number, none for zeros at the end, 零 before 分 when there is no 角; the 零 before 角 that may be left out is left out. A number begins
with 十, not 一十. Two is 二 everywhere, as in the rule's own examples and the requirement's; 两 is understood when it is read back.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "MAX_AMOUNT_FEN",
    "MAX_INTEGER",
    "NumeralError",
    "amount_words",
    "integer_words",
    "point_words",
    "read_amount",
    "read_integer",
]

MAX_INTEGER: Final = 10**16 - 1
"""Four groups of four digits: beyond 万亿 usage is not settled."""

MAX_AMOUNT_FEN: Final = 9_999_999_999
"""99,999,999.99 yuan, the largest amount that payment loudspeakers take."""

_DIGITS: Final = "零一二三四五六七八九"
_PLACES: Final = ("", "十", "百", "千")
_GROUPS: Final = ("", "万", "亿", "万亿")

_VALUES: Final = {digit: value for value, digit in enumerate(_DIGITS)} | {"两": 2}
_SMALL: Final = {"十": 10, "百": 100, "千": 1_000}


class NumeralError(ValueError):
    """Not a number that can be said, or not one that can be read; the message says which."""


def integer_words(number: int) -> str:
    """A whole number from 0 to `MAX_INTEGER`: 10,050 is 一万零五十.

    Raises:
        NumeralError: out of range.
    """
    if not 0 <= number <= MAX_INTEGER:
        raise NumeralError(f"{number} is not from 0 to {MAX_INTEGER}")
    if number == 0:
        return _DIGITS[0]
    groups = []
    rest = number
    while rest:
        rest, low = divmod(rest, 10_000)
        groups.append(low)
    words: list[str] = []
    gap = False
    for index in range(len(groups) - 1, -1, -1):
        group = groups[index]
        if group == 0:
            gap = True
            continue
        if words and (gap or group < 1_000):
            words.append(_DIGITS[0])
        words.append(_group_words(group))
        unit = _GROUPS[index]
        # 万亿 is said once: the 亿 of it belongs to the group below when that has something to say.
        words.append("万" if unit == "万亿" and groups[index - 1] else unit)
        gap = False
    text = "".join(words)
    return text[1:] if text.startswith("一十") else text


def _group_words(group: int) -> str:
    """1 to 9,999, without leading zeros: 1,005 is 一千零五."""
    words = ""
    gap = False
    for place in (3, 2, 1, 0):
        digit = group // 10**place % 10
        if digit == 0:
            gap = bool(words)
            continue
        words += (_DIGITS[0] if gap else "") + _DIGITS[digit] + _PLACES[place]
        gap = False
    return words


def _check(amount_fen: int) -> tuple[int, int, int]:
    if not 1 <= amount_fen <= MAX_AMOUNT_FEN:
        raise NumeralError(f"{amount_fen} fen is not from 1 to {MAX_AMOUNT_FEN}")
    yuan, cents = divmod(amount_fen, 100)
    return yuan, *divmod(cents, 10)


def amount_words(amount_fen: int) -> str:
    """An amount in 元, 角 and 分: 20,005 fen are 二百元零五分.

    Raises:
        NumeralError: not from 1 fen to `MAX_AMOUNT_FEN`.
    """
    yuan, jiao, fen = _check(amount_fen)
    words = f"{integer_words(yuan)}元" if yuan else ""
    if jiao:
        words += f"{_DIGITS[jiao]}角"
    elif fen and yuan:
        words += _DIGITS[0]
    return words + (f"{_DIGITS[fen]}分" if fen else "")


def point_words(amount_fen: int) -> str:
    """An amount read with a point: 20,005 fen are 二百点零五元, 3,050 are 三十点五元.

    Raises:
        NumeralError: not from 1 fen to `MAX_AMOUNT_FEN`.
    """
    yuan, jiao, fen = _check(amount_fen)
    words = integer_words(yuan)
    if jiao or fen:
        words += "点" + _DIGITS[jiao] + (_DIGITS[fen] if fen else "")
    return words + "元"


def read_integer(words: str) -> int:
    """The number that somebody said, by adding up what he heard; 两 and a leading 一十 are understood.

    Raises:
        NumeralError: not a number.
    """
    if not words:
        raise NumeralError("no number was said")
    total = section = digit = 0
    last = 0  # the unit that was heard last inside this section; units fall from left to right
    for word in words:
        if word in _VALUES:
            if digit:
                raise NumeralError(f"two digits in a row in {words!r}")
            digit = _VALUES[word]
        elif word in _SMALL:
            unit = _SMALL[word]
            if (digit == 0 and not (unit == 10 and section == 0)) or (last and unit >= last):
                raise NumeralError(f"{word} is out of place in {words!r}")
            section, digit, last = section + max(digit, 1) * unit, 0, unit
        elif word == "万":
            total, section, digit, last = total + _whole(words, section + digit) * 10_000, 0, 0, 0
        elif word == "亿":
            total, section, digit, last = _whole(words, total + section + digit) * 100_000_000, 0, 0, 0
        else:
            raise NumeralError(f"{word!r} is no word of a number")
    return total + section + digit


def _whole(words: str, value: int) -> int:
    if value == 0:
        raise NumeralError(f"nothing stands before a unit in {words!r}")
    return value


def read_amount(words: str) -> int:
    """The amount in fen that somebody said, in either way of reading.

    Raises:
        NumeralError: not an amount of money.
    """
    if "点" in words:
        return _read_point(words)
    whole, mark, rest = words.rpartition("元")
    fen = 100 * read_integer(whole) if mark else 0
    if not rest:
        if not mark:
            raise NumeralError(f"no unit of money in {words!r}")
        return fen
    if mark and len(rest) > 1 and rest.startswith(_DIGITS[0]):
        rest = rest[1:]
    for unit, value in (("角", 10), ("分", 1)):
        if len(rest) >= 2 and rest[1] == unit:
            fen += value * _digit(rest[0], words)
            rest = rest[2:]
    if rest:
        raise NumeralError(f"{rest!r} is left over in {words!r}")
    return fen


def _read_point(words: str) -> int:
    whole, _, rest = words.partition("点")
    digits, mark, after = rest.partition("元")
    if not mark or after or not 1 <= len(digits) <= 2:
        raise NumeralError(f"{words!r} is no amount with a point")
    value = 0
    for word in digits.ljust(2, _DIGITS[0]):
        if word not in _VALUES:
            raise NumeralError(f"{word!r} is no digit")
        value = value * 10 + _VALUES[word]
    return 100 * read_integer(whole) + value


def _digit(word: str, words: str) -> int:
    value = _VALUES.get(word, 0)
    if value == 0:
        raise NumeralError(f"{word!r} is out of place in {words!r}")
    return value
