"""The shape of an answer, and what all reports tell of a tank."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from protocols.tls import Command

if TYPE_CHECKING:
    from .console import GaugeConsole

__all__ = ["Answer", "Report", "code_of", "label_of"]


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer in both formats.

    Attributes:
        data: what follows the time stamp of the computer format.
        lines: what follows the headers of the display format.
        has_headers: whether the station's header lines stand above it.
        echo: what follows the code in the first line of the display.
    """

    data: str = ""
    lines: list[str] = field(default_factory=list)
    has_headers: bool = True
    echo: str = ""


Report = Callable[["GaugeConsole", Command, int, int], Answer | None]
"""(console, command, device, now_us) -> the answer, or None for a command that makes no sense."""


def label_of(console: GaugeConsole, tank: int) -> str:
    """A tank's label, 20 characters wide."""
    setup = console.setups.get(tank)
    return f"{setup.label if setup else '????':20}"


def code_of(console: GaugeConsole, tank: int) -> str:
    """A tank's product code; a question mark for an unknown tank."""
    setup = console.setups.get(tank)
    return setup.product_code if setup else "?"
