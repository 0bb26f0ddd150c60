"""What ``forecourt device printer --model`` and ``--set`` mean."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, get_args, get_type_hints

from forecourt.guard import BadInput
from sim.printer import CHINESE_58MM, CHINESE_80MM, PROFILES, PrinterProfile

__all__ = ["printer_profile"]

_GENERIC = {"generic-58mm": CHINESE_58MM, "generic-80mm": CHINESE_80MM}
_SWITCHES = {"yes": True, "no": False}


def printer_profile(model: str, settings: list[str]) -> PrinterProfile:
    """A model with some of its properties replaced.

    Args:
        model: its name, or one of the two names that scenarios know.
        settings: ``name=value``.

    Raises:
        BadInput: no such model, no such property, or a value that it cannot have.
    """
    models = {**_GENERIC, **PROFILES}
    if model not in models:
        raise BadInput(f"--model {model!r}: there are {', '.join(models)}")
    hints = get_type_hints(PrinterProfile)
    changes: dict[str, Any] = {}
    for setting in settings:
        name, sign, text = setting.partition("=")
        if not sign or name not in hints:
            known = ", ".join(field.name for field in fields(PrinterProfile))
            raise BadInput(f"--set {setting!r}: expected NAME=VALUE with a NAME of {known}")
        changes[name] = _value(setting, hints[name], text)
    try:
        return replace(models[model], **changes)
    except ValueError as error:
        raise BadInput(f"--set: {error}") from None


def _value(setting: str, hint: Any, text: str) -> Any:
    choices = [choice for part in (get_args(hint) or (hint,)) for choice in (get_args(part) or (part,))]
    if hint is str:
        return text
    if hint is bool:
        if text in _SWITCHES:
            return _SWITCHES[text]
        raise BadInput(f"--set {setting!r}: yes or no")
    if hint is int:
        try:
            return int(text, 0)
        except ValueError:
            raise BadInput(f"--set {setting!r}: expected a whole number") from None
    named = {"none" if choice is type(None) else str(choice): choice for choice in choices}
    if text not in named:
        raise BadInput(f"--set {setting!r}: one of {', '.join(named)}")
    return None if named[text] is type(None) else named[text]
