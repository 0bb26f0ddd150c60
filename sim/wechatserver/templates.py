"""Subscribe-message templates, and what each kind of field takes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

__all__ = ["FIELD_RULES", "Template"]

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_TIME: Final = r"\d{1,2}:\d{2}(:\d{2})?"
_DATE: Final = r"(\d{4}年)?\d{1,2}月\d{1,2}日|\d{4}年\d{1,2}月" + "".join(
    rf"|\d{{4}}{dash}\d{{1,2}}({dash}\d{{1,2}})?" for dash in ("-", "/", r"\.")
)
_MOMENT: Final = rf"(({_DATE})( ?{_TIME})?)"

FIELD_RULES: Final[Mapping[str, re.Pattern[str]]] = MappingProxyType(
    {
        "thing": re.compile(r".{1,20}", re.DOTALL),
        "number": re.compile(r"-?(?=.{1,32}$)\d+(\.\d+)?"),
        "letter": re.compile(r"[A-Za-z]{1,32}"),
        "symbol": re.compile(r"[^\w\s]{1,5}"),
        "character_string": re.compile(r"[!-~ ]{1,32}"),
        "time": re.compile(rf"({_MOMENT}|{_TIME})(~({_TIME}|.{{1,30}}))?"),
        "date": re.compile(rf"{_MOMENT}(~.{{1,30}})?"),
        "amount": re.compile(r"[¥￥$€]?-?(?=[\d.]{1,11}元?$)\d{1,10}(\.\d+)?元?"),
        "phone_number": re.compile(r"[0-9+\-() ]{1,17}"),
        "car_number": re.compile(r"(?=.{1,8}$)[\u4e00-\u9fffA-Z0-9][A-Z0-9]*[\u4e00-\u9fffA-Z0-9]"),
        "name": re.compile(r"[\u4e00-\u9fff·]{1,10}|[A-Za-z .·'-]{1,20}"),
        "phrase": re.compile(r"[\u4e00-\u9fff]{1,5}"),
    }
)
"""What a value may be by the letters before its number (developers.weixin.qq.com, subscribe message, limits of values).
Line breaks and other control characters are refused everywhere. Where the page describes a format by examples, the pattern takes
all of them; a format that it does not show is *unproven* either way."""


@dataclass(frozen=True)
class Template:
    """One template of a mini-program.

    Attributes:
        template_id: what the merchant sends.
        fields: names such as ``thing1`` or ``amount3``.

    Raises:
        ValueError: a field of no known kind.
    """

    template_id: str
    fields: tuple[str, ...]

    def __post_init__(self) -> None:
        for name in self.fields:
            if name.rstrip("0123456789") not in FIELD_RULES:
                raise ValueError(
                    f"template {self.template_id}: {name!r} is no field such as thing1 or amount3"
                )

    def problem(self, data: Any) -> str:
        """What is wrong with a message's ``data``, as error 47003 says it; empty when nothing is."""
        if not isinstance(data, dict):
            return "data is empty"
        for name in self.fields:
            entry = data.get(name)
            value = entry.get("value") if isinstance(entry, dict) else None
            if value is None or value == "":
                return f"data.{name}.value is empty"
            text = str(value) if isinstance(value, str | int | float) else ""
            rule = FIELD_RULES[name.rstrip("0123456789")]
            if _CONTROL.search(text) or rule.fullmatch(text) is None:
                return f"data.{name}.value invalid"
        return ""
