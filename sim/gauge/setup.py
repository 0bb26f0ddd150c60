"""What a console is told about its tanks: the values of functions 601 to 628, kept in ml and um.

Source: Veeder-Root 576013-635 rev. U, section 7.3.4. Display commands carry decimal figures, computer commands floats.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from protocols.sansio import RemoteProtocolError
from protocols.tls import decode_float

__all__ = ["SETUP", "SetupSpec", "TankSetup", "read_figures"]

Kind = Literal["flag", "label", "code", "volume", "length", "coefficient"]


@dataclass(frozen=True, slots=True)
class SetupSpec:
    """One set-up function.

    Attributes:
        name: the field of `TankSetup`.
        kind: what its value is.
        title: heading on displays.
        count: figures that it takes.
        decimals: behind the point on displays.
    """

    name: str
    kind: Kind
    title: str
    count: int = 1
    decimals: int = 0


SETUP: Final[dict[str, SetupSpec]] = {
    "601": SetupSpec("is_on", "flag", "TANK CONFIGURATION"),
    "602": SetupSpec("label", "label", "TANK PRODUCT LABEL"),
    "603": SetupSpec("product_code", "code", "TANK PRODUCT CODE"),
    "604": SetupSpec("volumes_1", "volume", "TANK FULL VOLUME"),
    "605": SetupSpec("volumes_4", "volume", "TANK 4 POINT VOLUMES", 4),
    "606": SetupSpec("volumes_20", "volume", "TANK 20 POINT VOLUMES", 20),
    "607": SetupSpec("diameter_um", "length", "TANK DIAMETER", decimals=2),
    "608": SetupSpec("tilt_um", "length", "TANK TILT", decimals=2),
    "609": SetupSpec("expansion_ppm_per_deg", "coefficient", "TANK THERMAL COEFFICIENT", decimals=6),
    "621": SetupSpec("low_ml", "volume", "TANK LOW PRODUCT LIMIT"),
    "622": SetupSpec("high_ml", "volume", "TANK HIGH PRODUCT LIMIT"),
    "623": SetupSpec("overfill_ml", "volume", "TANK OVERFILL LEVEL LIMIT"),
    "624": SetupSpec("high_water_um", "length", "TANK HIGH WATER LEVEL LIMIT", decimals=1),
    "625": SetupSpec("sudden_loss_ml", "volume", "TANK SUDDEN LOSS LIMIT"),
    "626": SetupSpec("leak_ml", "volume", "TANK LEAK ALARM LIMIT"),
    "627": SetupSpec("water_warning_um", "length", "TANK HIGH WATER WARNING LIMIT", decimals=1),
    "628": SetupSpec("maximum_ml", "volume", "TANK MAXIMUM VOLUME LIMIT"),
}


@dataclass(slots=True)
class TankSetup:
    """One tank as a console is set up for it.

    The limits that are not given follow from the capacity: overfill at 90 %, high product at 95 % (the two steps of
    GB 50156), maximum 98 %, low product at 10 %.

    Attributes:
        capacity_ml: full volume.
        label: up to 20 characters.
        product_code: one character.
        expansion_ppm_per_deg: thermal expansion for a degree Celsius, in millionths.
        density_g_per_l: for function 214.
        invalid_um: below this height the float rests on the bottom.
    """

    capacity_ml: int
    label: str = "FUEL"
    product_code: str = "1"
    is_on: bool = True
    diameter_um: int = 2_500_000
    tilt_um: int = 0
    expansion_ppm_per_deg: int = 1_200
    density_g_per_l: int = 745
    low_ml: int = -1
    high_ml: int = -1
    overfill_ml: int = -1
    maximum_ml: int = -1
    high_water_um: int = 40_000
    water_warning_um: int = 25_000
    sudden_loss_ml: int = 380_000
    leak_ml: int = 190_000
    invalid_um: int = 75_000

    def __post_init__(self) -> None:
        if len(self.label) > 20 or len(self.product_code) != 1:
            raise ValueError(f"a tank has a label of up to 20 characters and a code of one: {self}")
        shares = {"low_ml": 100, "overfill_ml": 900, "high_ml": 950, "maximum_ml": 980}
        for name, thousandths in shares.items():
            if getattr(self, name) < 0:
                setattr(self, name, self.capacity_ml * thousandths // 1_000)


def read_figures(spec: SetupSpec, data: str, *, is_display: bool) -> list[float] | None:
    """The figures of a set command, in the console's units; None when they make no sense."""
    try:
        if not is_display:
            parts = [data[i : i + 8] for i in range(0, len(data), 8)]
            values = [decode_float(part) for part in parts]
        elif "," in data:
            values = [float(part) for part in data.split(",")]
        else:
            width = len(data) // spec.count if spec.count else 0
            values = [float(data[i * width : (i + 1) * width]) for i in range(spec.count)]
    except (ValueError, RemoteProtocolError):
        return None
    found = [value for value in values if value is not None]
    if len(found) != spec.count or not all(0 <= value < 1e9 for value in found):
        return None
    return found
