"""Deviations that were seen in the field, as switches. The default is a well-behaved peer."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Quirks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quirks:
    """Deviations of one side's line; what belongs to the pump's mind is for the dispenser model.

    Attributes:
        echo: pump only: the converter on its line gives every byte back to the controller before the answer
            (dimoskar/ASFuelControlV1 depends on it, huyhk/Megatech.Gilbarco.Console and fangym0335/first never see it).
        unanswered_polls: pump only: polls left unanswered after each change of its status.
        strict_length: pump only: refuse a block with a wrong length word (proven neither way; Changji heads do not look).
        constant_length: controller only: presets carry the length word E3 whatever their length (fangym0335/first).
        money_five_digits: controller only: money presets carry 5 digits (dimoskar/ASFuelControlV1).
    """

    echo: bool = False
    unanswered_polls: int = 0
    strict_length: bool = False
    constant_length: bool = False
    money_five_digits: bool = False

    def __post_init__(self) -> None:
        if self.unanswered_polls < 0:
            raise ValueError(f"unanswered_polls is {self.unanswered_polls}, below 0")
