"""What ``--map`` says: a foreign Modbus map, and how what its source leaves open is set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from forecourt.guard import BadInput
from protocols.modbus.maps import MapParameters

if TYPE_CHECKING:
    from scenarios.world.equipment import Cabinet
    from sim.dispenser import CngDispenser

__all__ = ["CNG_PRICE", "CngChoice", "read_cng"]

CNG_PRICE: Final = "92=4.25"
"""The one hose of a CNG dispenser, with an assumed price a kilogram; the scenario's grades have no name for gas."""

_KEYS: Final = {
    "first-address": ("0", "1"),
    "words": ("high", "low"),
    "functions": ("3", "4", "3+4"),
    "gaps": ("refuse", "zero"),
    "keeps-lock": ("no", "yes"),
}


@dataclass(frozen=True, slots=True)
class CngChoice:
    """A CNG map with its unknowns set."""

    settings: dict[str, str]

    def parameters(self, unit_id: int) -> MapParameters:
        """The parameters of both ends."""
        gaps: Literal["refuse", "zero"] = "zero" if self.settings["gaps"] == "zero" else "refuse"
        return MapParameters(
            unit_id=unit_id,
            functions=frozenset(map(int, self.settings["functions"].split("+"))),
            low_word_first=self.settings["words"] == "low",
            first_address=1 if self.settings["first-address"] == "1" else 0,
            gaps=gaps,
        )

    def personality(self, *, is_tcp: bool, baud: int) -> Callable[[Cabinet], CngDispenser]:
        """What makes a CNG dispenser of a cabinet; ``is_tcp`` for Modbus TCP."""
        from sim.dispenser import CngDispenser

        def make(cabinet: Cabinet) -> CngDispenser:
            (unit,) = cabinet.addresses
            return CngDispenser(
                cabinet.dispenser,
                self.parameters(unit),
                keeps_lock=self.settings["keeps-lock"] == "yes",
                framing="tcp" if is_tcp else "rtu",
                baud=baud,
            )

        return make


def read_cng(text: str) -> CngChoice:
    """Read ``cng`` or ``cng:KEY=VALUE,...``. Raises `BadInput` naming what it does not know."""
    name, _, rest = text.partition(":")
    if name != "cng":
        raise BadInput(f"--map {text!r}: there are own and cng")
    settings = {key: values[-1] if key == "functions" else values[0] for key, values in _KEYS.items()}
    for part in filter(None, rest.split(",")):
        key, _, value = part.partition("=")
        if key not in _KEYS:
            raise BadInput(f"--map {text!r}: {key!r} is none of {', '.join(_KEYS)}")
        if value not in _KEYS[key]:
            raise BadInput(f"--map {text!r}: {key} is {' or '.join(_KEYS[key])}, not {value!r}")
        settings[key] = value
    return CngChoice(settings)
