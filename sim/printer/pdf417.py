"""PDF417 codes from the data and the settings a printer was sent. Source of the settings: GS ( k, functions 065 to 081."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pdf417gen
from pdf417gen.compaction import compact

__all__ = ["Pdf417Settings", "pdf417_rows"]

_MODULES_BESIDE_DATA: Final = 17 + 17 + 17 + 18
"""Start, both row indicators, stop."""

_MOST_COLUMNS: Final = 30
_MAX_WORDS: Final = 928
_FEWEST_ROWS: Final = 3
_HIGHEST_LEVEL: Final = 8


@dataclass(slots=True)
class Pdf417Settings:
    """Power-on values of the manuals: everything automatic, modules of 3 dots, rows of 3 modules, 10 % correction."""

    columns: int = 0
    rows: int = 0
    module_dots: int = 3
    row_modules: int = 3
    level: int | None = None
    ratio_tenths: int = 1

    def set(self, function: int, parameters: bytes) -> str:
        """Functions 65 to 70; returns a surprise or an empty text."""
        value = parameters[0] if parameters else -1
        if function == 65 and 0 <= value <= _MOST_COLUMNS:
            self.columns = value
        elif function == 66 and (value == 0 or 3 <= value <= 90):
            self.rows = value
        elif function == 67 and 2 <= value <= 8:
            self.module_dots = value
        elif function == 68 and 2 <= value <= 8:
            self.row_modules = value
        elif function == 69 and len(parameters) >= 2 and value == 48 and 48 <= parameters[1] <= 56:
            self.level = parameters[1] - 48
        elif function == 69 and len(parameters) >= 2 and value == 49 and 1 <= parameters[1] <= 40:
            self.level, self.ratio_tenths = None, parameters[1]
        elif function == 70 and value == 0:
            pass
        elif function == 70 and value == 1:
            return "truncated PDF417 is drawn as standard PDF417"
        else:
            return (
                f"GS ( k: PDF417 function {function} does not take {parameters.hex(' ').upper() or 'nothing'}"
            )
        return ""


def pdf417_rows(data: bytes, settings: Pdf417Settings, width_dots: int) -> tuple[str, ...] | None:
    """The rows, each a string of 1 (bar) and 0 (space); None if the data fits no code of these settings and this width."""
    words = sum(1 for _ in compact(data))
    level = settings.level
    if level is None:
        wanted = -(-words * settings.ratio_tenths // 10)
        level = next((step for step in range(9) if 2 ** (step + 1) >= wanted), 8)
    widest = min(_MOST_COLUMNS, (width_dots // settings.module_dots - _MODULES_BESIDE_DATA) // 17)
    total = words + 1 + 2 ** (level + 1)
    if total > _MAX_WORDS or widest < 1:
        return None
    for columns in _columns_to_try(settings, total, widest):
        height = -(-total // columns)
        if height > 90 or (settings.rows and height > settings.rows):
            continue
        # A code has three rows at least: what is short of that is filled with more correction.
        while height < _FEWEST_ROWS and level < _HIGHEST_LEVEL:
            level += 1
            height = -(-(words + 1 + 2 ** (level + 1)) // columns)
        try:
            codes = pdf417gen.encode(data, columns=columns, security_level=level)
        except ValueError:
            continue
        return tuple("".join(f"{word:b}" for word in row) for row in codes)
    return None


def _columns_to_try(settings: Pdf417Settings, total: int, widest: int) -> list[int]:
    if settings.columns:
        return [settings.columns] if settings.columns <= widest else []
    if settings.rows:
        return list(range(max(1, -(-total // settings.rows)), widest + 1))

    def lopsided(columns: int) -> int:
        # Nobody prescribes a shape: about twice as wide as high reads well.
        width = (_MODULES_BESIDE_DATA + 17 * columns) * settings.module_dots
        height = -(-total // columns) * settings.row_modules * settings.module_dots
        return abs(width - 2 * height)

    return sorted(range(1, widest + 1), key=lopsided)
