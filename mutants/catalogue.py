"""All mutants and all drills, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from mutants import frame_drills, pump_drills, sale_drills, tank_drills
from mutants.link_defects import LINK_MUTANTS
from mutants.mutant import Mutant
from mutants.pump_defects import PUMP_MUTANTS
from mutants.sale_defects import SALE_MUTANTS
from scenarios.verdicts import CheckResult

__all__ = ["DRILLS", "MUTANTS", "Drill"]

Drill = Callable[[], list[CheckResult]]
"""Plays to its end in virtual time and judges; the same each time."""

MUTANTS: Final[tuple[Mutant, ...]] = tuple(
    sorted((*LINK_MUTANTS, *SALE_MUTANTS, *PUMP_MUTANTS), key=lambda mutant: mutant.slug)
)

DRILLS: Final[Mapping[str, Drill]] = MappingProxyType(
    {
        drill.__name__.replace("_", "-"): drill
        for drill in (
            frame_drills.damaged_frames,
            frame_drills.every_byte,
            frame_drills.cut_frames,
            sale_drills.two_sales,
            sale_drills.customers_on_modbus,
            sale_drills.customers_on_two_wire,
            sale_drills.customers_on_aa_ff,
            sale_drills.customers_on_ifsf,
            sale_drills.damaged_on_aa_ff,
            sale_drills.wrap_on_ifsf,
            sale_drills.damaged_fill,
            sale_drills.two_lifts,
            pump_drills.refused_preset,
            pump_drills.same_price_again,
            sale_drills.lost_reply,
            sale_drills.lost_acknowledgement,
            sale_drills.long_night,
            pump_drills.nozzle_zero,
            pump_drills.deaf_to_prices,
            sale_drills.many_small_sales,
            pump_drills.price_while_fuelling,
            pump_drills.outage,
            pump_drills.outage_of_four,
            pump_drills.locked_off_line,
            pump_drills.lost_polls,
            sale_drills.wrap,
            sale_drills.off_line_sales,
            pump_drills.stop,
            sale_drills.killed_in_each_step,
            tank_drills.winter,
            tank_drills.tanker,
        )
    }
)
