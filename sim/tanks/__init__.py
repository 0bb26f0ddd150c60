"""Storage tanks: shape, temperature, water, tankers, leaks, manifolds. In whole ml, um and thousandths of a degree."""

from __future__ import annotations

from .farm import Levels, TankFarm
from .flows import Flow, TankerDelivery, flowed_ml
from .geometry import StrappingTable, cylinder_table, cylinder_volume_ml, usual_cylinder
from .storage import EXPANSION_PPM_PER_DEG, REFERENCE_MDEG, StorageTank, corrected_ml

__all__ = [
    "EXPANSION_PPM_PER_DEG",
    "REFERENCE_MDEG",
    "Flow",
    "Levels",
    "StorageTank",
    "StrappingTable",
    "TankFarm",
    "TankerDelivery",
    "corrected_ml",
    "cylinder_table",
    "cylinder_volume_ml",
    "flowed_ml",
    "usual_cylinder",
]
