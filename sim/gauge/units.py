"""The console's units: millilitres, micrometres and thousandths of a degree, told as gallons, inches and so on.

Source: Veeder-Root 576013-635 rev. U, function 517 (U.S., metric, imperial). Which length and temperature go with imperial
gallons is not stated there; inches and degrees Fahrenheit are assumed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["IMPERIAL", "METRIC", "UNITS", "US", "Units"]


@dataclass(frozen=True, slots=True)
class Units:
    """One set of units.

    Attributes:
        number: its figure in function 517.
        title: its word on displays.
        volume, length, temperature: words in headings.
    """

    number: int
    title: str
    volume: str
    length: str
    temperature: str
    ml_per_volume: float
    um_per_length: float
    is_fahrenheit: bool

    def volume_of(self, ml: int) -> float:
        """A volume, to a thousandth of its unit."""
        return round(ml / self.ml_per_volume, 3)

    def ml_of(self, volume: float) -> int:
        """Millilitres of a volume."""
        return round(volume * self.ml_per_volume)

    def length_of(self, um: int) -> float:
        """A length, to a thousandth of its unit."""
        return round(um / self.um_per_length, 3)

    def um_of(self, length: float) -> int:
        """Micrometres of a length."""
        return round(length * self.um_per_length)

    def temperature_of(self, mdeg: int) -> float:
        """A temperature, to a hundredth of a degree."""
        degrees = mdeg / 1_000
        return round(degrees * 9 / 5 + 32 if self.is_fahrenheit else degrees, 2)

    def per_degree(self, per_celsius: float) -> float:
        """A coefficient for one degree of these units."""
        return per_celsius / 1.8 if self.is_fahrenheit else per_celsius


US: Final = Units(1, "U.S.", "GALLONS", "INCHES", "DEG F", 3_785.411784, 25_400, is_fahrenheit=True)
METRIC: Final = Units(2, "METRIC", "LITERS", "MM", "DEG C", 1_000, 1_000, is_fahrenheit=False)
IMPERIAL: Final = Units(
    3, "IMPERIAL GALLONS", "GALLONS", "INCHES", "DEG F", 4_546.09, 25_400, is_fahrenheit=True
)
UNITS: Final = {units.number: units for units in (US, METRIC, IMPERIAL)}
