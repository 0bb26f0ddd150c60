"""The deviations of DART peers that were met in the field, each with the switch that shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["QUIRKS", "KnownQuirk"]

_INTELIPUMP: Final = "moduslightstech-lgtm/intelipump"
_ASFUEL: Final = "dimoskar/ASFuelControlV1"
_FIRST: Final = "fangym0335/first"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownQuirk:
    """A deviation that can be switched on.

    Attributes:
        text: what it is.
        switch: the field that shows it: of `Quirks` (``line.``), of the simulated pump, or what a test does.
        answer: how the reference driver lives with it.
        source: who met it.
    """

    text: str
    switch: str
    answer: str
    source: str


QUIRKS: Final = (
    KnownQuirk(
        text="prices take effect seconds after CD5",
        switch="late_price_us",
        answer="waits for DC1, repeats within bounds",
        source=_INTELIPUMP,
    ),
    KnownQuirk(
        text="RESET is acknowledged and ignored",
        switch="ignored_resets",
        answer="looks at DC1, asks for the status, repeats within bounds",
        source=_INTELIPUMP,
    ),
    KnownQuirk(
        text="polls stay unanswered around a change of status",
        switch="line.unanswered_polls",
        answer="polls on; off-line only after the declared number",
        source=f"{_INTELIPUMP}, {_ASFUEL}",
    ),
    KnownQuirk(
        text="block number 0 or 1 after 15",
        switch="line.tx_wrap",
        answer="takes both",
        source=f"{_INTELIPUMP} (both captured)",
    ),
    KnownQuirk(
        text="block numbers are never counted",
        switch="line.tx_always_zero",
        answer="takes 0 always",
        source=_ASFUEL,
    ),
    KnownQuirk(
        text="totaliser report of 13 bytes",
        switch="line.totals_bytes",
        answer="reads the first ten digits",
        source=_FIRST,
    ),
    KnownQuirk(
        text="every block is acknowledged as number 0",
        switch="line.ack_always_zero",
        answer="goes on, and counts a warning (`ack zero`); so does the simulated pump with such a controller",
        source=_ASFUEL,
    ),
    KnownQuirk(
        text="a byte comes with wrong parity",
        switch="parity_every",
        answer="repeats what was refused; refuses what it heard so itself",
        source=_INTELIPUMP,
    ),
    KnownQuirk(
        text="a frame comes late, glued to the answer of the next poll",
        switch="glue_every",
        answer="takes the block once; the number tells",
        source="captures of merged buses",
    ),
    KnownQuirk(
        text="a poll is glued to the data frame before it",
        switch="line.glue_poll (controller)",
        answer="the pump answers both",
        source="captures of merged buses",
    ),
    KnownQuirk(
        text="a checksum byte FA comes without its escape",
        switch="line.checksum_unescaped",
        answer="puts the frame together, and counts a warning (`checksum unescaped`)",
        source=_FIRST,
    ),
    KnownQuirk(
        text="two pumps on one address",
        switch="second_address",
        answer="is deaf while they collide, reads everything again afterwards, and books each delivery once",
        source="installation practice",
    ),
    KnownQuirk(
        text="a nozzle is out, or in, for less than one poll",
        switch="newest_only",
        answer="a sale that ended is captured by its totaliser; fuel never flows on the old authorisation",
        source=_FIRST,
    ),
    KnownQuirk(
        text="a power loss takes the prices along",
        switch="forgets_prices",
        answer="reads, captures what was interrupted, sets the prices again",
        source=_INTELIPUMP,
    ),
)
"""Every quirk switch, in the order in which field notes list them."""
