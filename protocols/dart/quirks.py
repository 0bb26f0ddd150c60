"""Deviations that were seen in the field, as switches. The default is a well-behaved peer."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Quirks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quirks:
    """Protocol-layer deviations of one side.

    What belongs to the pump's mind and its hardware (a CD5 that takes effect late, a RESET that is acknowledged but
    ignored, a nozzle out for less than one poll, a bad parity bit, an address set twice) is for the dispenser model
    (`sim.dispenser.DartQuirks`).

    Attributes:
        tx_wrap: block number after 15, 1 or 0. Merged captures of moduslightstech-lgtm/intelipump show both.
        tx_always_zero: never count blocks, always send number 0 (dimoskar/ASFuelControlV1, fielded).
        ack_always_zero: acknowledge every block as number 0 (the same driver).
        unanswered_polls: pump only: polls left unanswered after each status report was queued
            (intelipump, ASFuelControlV1: silence around a state change).
        checksum_unescaped: send a checksum byte FA without its escape. A classic bug; fangym0335/first logs its repair.
        totals_bytes: pump only: LNG of DC101, 16 or 13 (13: Chinese card pumps, fangym0335/first).
        ack_poll: controller only: acknowledge data with E0 (acknowledge and poll) in place of C0, and go on with
            the next block at once. Bounded by `ControllerSide`'s ``chain_max``.
        glue_poll: controller only: a poll follows each data frame in the same burst.
    """

    tx_wrap: int = 1
    tx_always_zero: bool = False
    ack_always_zero: bool = False
    unanswered_polls: int = 0
    checksum_unescaped: bool = False
    totals_bytes: int = 16
    ack_poll: bool = False
    glue_poll: bool = False

    def __post_init__(self) -> None:
        if self.tx_wrap not in {0, 1}:
            raise ValueError(f"tx_wrap is {self.tx_wrap}, not 0 or 1")
        if self.unanswered_polls < 0:
            raise ValueError(f"unanswered_polls is {self.unanswered_polls}, below 0")
        if self.totals_bytes not in {13, 16}:
            raise ValueError(f"totals_bytes is {self.totals_bytes}, not 13 or 16")
