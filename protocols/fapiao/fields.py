"""Reads of one JSON object of an invoicing platform: whole numbers out of decimal texts, refusals that name the field."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from protocols.fapiao.number import FapiaoNumber
from protocols.sansio import RemoteProtocolError

__all__ = ["Fields", "fixed_point", "json_object", "plain_decimal", "reply_number", "reply_object"]

_MAX_BODY_BYTES: Final = 256 * 1024  # a hundred lines are some 50 kB
_MAX_DIGITS: Final = 30  # of a number in a request; far above any amount of money
_MAX_VALUE: Final = 10**18


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not a JSON number")


def json_object(raw: bytes) -> dict[str, Any]:
    """Read a JSON object; fractions become `Decimal`, never float.

    Raises:
        ValueError: no JSON, no object, or larger than any real request.
    """
    if len(raw) > _MAX_BODY_BYTES:
        raise ValueError(f"the body has {len(raw)} bytes")
    try:
        value = json.loads(raw.decode(), parse_float=Decimal, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the body is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError("the body is no JSON object")  # noqa: TRY004 # the caller's one error
    return value


def reply_number(value: object, platform: str) -> str:
    """20 digits out of a platform's reply, empty where it has none yet. Raises RemoteProtocolError, which names the platform."""
    text = str(value or "")
    if text:
        try:
            FapiaoNumber.parse(text)
        except ValueError as error:
            raise RemoteProtocolError(f"{platform}: {error}") from None
    return text


def reply_object(raw: bytes, platform: str) -> dict[str, Any]:
    """Read a platform's reply as `json_object` does. Raises RemoteProtocolError, which names the platform."""
    try:
        return json_object(raw)
    except ValueError as error:
        raise RemoteProtocolError(f"{platform}: {error}") from None


def fixed_point(value: object, places: int) -> int:
    """A decimal text or number as a whole number x 10^places: ``fixed_point("96.00", 2) == 9600``.

    Raises:
        ValueError: no plain decimal, too large, or more decimals than ``places``.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise ValueError("not a decimal number")  # noqa: TRY004 # the caller's one error
    text = str(value).strip()
    try:
        number = Decimal(text) if len(text) <= _MAX_DIGITS else None
    except InvalidOperation:
        number = None
    if number is None or not number.is_finite() or abs(number) >= _MAX_VALUE:
        raise ValueError(f"not a decimal number: {text[:40]!r}")
    scaled = number.scaleb(places)
    if scaled != scaled.to_integral_value():
        raise ValueError(f"{text[:40]} has more than {places} decimals")
    return int(scaled)


def plain_decimal(value: int, places: int, *, least: int = 0) -> str:
    """``plain_decimal(9600, 2, least=2) == "96.00"``; zeros beyond ``least`` decimals are cut."""
    sign, digits = ("-" if value < 0 else ""), str(abs(value)).rjust(places + 1, "0")
    whole, fraction = digits[: len(digits) - places], digits[len(digits) - places :]
    while len(fraction) > least and fraction.endswith("0"):
        fraction = fraction[:-1]
    return f"{sign}{whole}.{fraction}" if fraction else f"{sign}{whole}"


class Fields:
    """Typed reads of one JSON object.

    Args:
        values: the object.
        refuse: makes the platform's own refusal from (field, what is wrong with it).
        path: where the object stands in the body; leads the names in refusals.
    """

    def __init__(
        self, values: Mapping[str, Any], refuse: Callable[[str, str], Exception], path: str = ""
    ) -> None:
        self.values = values
        self._refuse = refuse
        self._path = path

    def refusal(self, name: str, problem: str) -> Exception:
        """The refusal for a field, to be raised."""
        return self._refuse(f"{self._path}{name}", problem)

    def text(
        self, name: str, *, required: bool = False, high: int = 200, pattern: re.Pattern[str] | None = None
    ) -> str:
        """A text; a number counts as its digits, what is absent or null as empty.

        Raises:
            Exception: the platform's refusal.
        """
        value = self.values.get(name)
        if value is None or value == "":
            if required:
                raise self.refusal(name, "不能为空")
            return ""
        if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
            raise self.refusal(name, "类型不正确")
        text = str(value)
        if len(text) > high:
            raise self.refusal(name, f"长度不能超过{high}")
        if pattern is not None and pattern.fullmatch(text) is None:
            raise self.refusal(name, "格式不正确")
        return text

    def one_of(self, name: str, choices: Mapping[str, Any] | tuple[str, ...], *, default: str = "") -> str:
        """A text that is one of the choices; without a default it must be there.

        Raises:
            Exception: the platform's refusal.
        """
        text = self.text(name, required=not default) or default
        if text not in choices:
            raise self.refusal(name, f"须为{'、'.join(choices)}之一")
        return text

    def number(self, name: str, places: int) -> int | None:
        """A decimal x 10^places; None when absent, null or empty.

        Raises:
            Exception: the platform's refusal.
        """
        value = self.values.get(name)
        if value is None or value == "":
            return None
        try:
            return fixed_point(value, places)
        except ValueError:
            raise self.refusal(name, "不是合法的数值") from None

    def child(self, name: str) -> Fields:
        """An object within; it must be there.

        Raises:
            Exception: the platform's refusal.
        """
        value = self.values.get(name)
        if not isinstance(value, Mapping):
            raise self.refusal(name, "不能为空")
        return Fields(value, self._refuse, f"{self._path}{name}.")

    def children(self, name: str, most: int) -> list[Fields]:
        """A list of 1 to ``most`` objects.

        Raises:
            Exception: the platform's refusal.
        """
        values = self.values.get(name)
        if not isinstance(values, list) or not 1 <= len(values) <= most:
            raise self.refusal(name, f"须有1至{most}项")
        found = []
        for place, value in enumerate(values, 1):
            if not isinstance(value, Mapping):
                raise self.refusal(f"{name}[{place}]", "类型不正确")
            found.append(Fields(value, self._refuse, f"{self._path}{name}[{place}]."))
        return found

    def texts(self, name: str, most: int) -> list[str]:
        """A list of 0 to ``most`` texts; empty when absent.

        Raises:
            Exception: the platform's refusal.
        """
        values = self.values.get(name)
        if values is None:
            return []
        if not isinstance(values, list) or len(values) > most:
            raise self.refusal(name, f"最多{most}项")
        if not all(isinstance(value, str) and value for value in values):
            raise self.refusal(name, "类型不正确")
        return list(values)
