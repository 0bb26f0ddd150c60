"""The totaliser as witness: which deliveries happened since the last one that was captured.

A pump shows its last filling until the next one begins, so the figures on its display cannot tell a new delivery
from one already captured. Its totaliser can: it only moves when fuel flows. So a delivery is captured when, and
only when, the totaliser moved, and what the display does not explain becomes a *reconstructed* sale.
Field evidence for each case: totals may lag behind hang-up, sales are posted "by total difference" after a lost
link, and a finished sale is still readable after a restart (requirements FD-PWR-14, FD-LINK-13, FC-SALE-01).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import msgspec

__all__ = ["AMOUNT_MODULUS", "TOTAL_MODULUS", "UNREAD", "Filling", "Judgement", "Totals", "Witness", "judge"]

TOTAL_MODULUS = 10**11  # ten BCD digits of 10 ml; amounts (ten digits of fen) wrap ten times earlier
AMOUNT_MODULUS = 10**10
_FEWEST_DIGITS = 5


@dataclass(frozen=True, slots=True)
class Totals:
    """One reading of a nozzle's totalisers; ``amount_fen`` is None for pumps that count volume only."""

    volume_ml: int
    amount_fen: int | None


class Filling(msgspec.Struct, frozen=True):
    """The figures of the last filling as the pump shows them."""

    volume_ml: int
    amount_fen: int


@dataclass(frozen=True, slots=True)
class Witness:
    """What the totalisers said when the last delivery was captured, and what they still owed then.

    ``owed_*`` is the part of an already captured delivery that the totaliser had not counted yet.
    """

    volume_ml: int
    amount_fen: int
    owed_volume_ml: int = 0
    owed_amount_fen: int = 0

    @property
    def is_read(self) -> bool:
        """Whether the totalisers were ever read; `UNREAD` stands for those that were not."""
        return self.volume_ml >= 0

    @property
    def settled(self) -> Totals:
        """What the totalisers will say once they have counted everything that was captured; 0 where they were never read."""
        if not self.is_read:
            return Totals(0, 0)
        return Totals(
            (self.volume_ml + self.owed_volume_ml) % TOTAL_MODULUS,
            (self.amount_fen + self.owed_amount_fen) % AMOUNT_MODULUS,
        )

    def owing(self, filling: Filling) -> Witness:
        """The same reading, with a further filling that it does not hold."""
        if not self.is_read:
            return self
        owed_ml, owed_fen = self.owed_volume_ml, self.owed_amount_fen
        return replace(
            self,
            owed_volume_ml=owed_ml + filling.volume_ml,
            owed_amount_fen=owed_fen + filling.amount_fen,
        )


UNREAD: Final = Witness(-1, -1)
"""A nozzle sold, and nobody could read its totalisers before or after."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a look at the totaliser says.

    Attributes:
        wait: the totaliser has not caught up with the filling; read again (unless patience is over).
        missing: a delivery of which only the difference of totals is known, or None.
        missing_computed: the amount of ``missing`` had to be computed from the price.
        filling: the filling to capture as it is, or None.
        witness: the base for the next delivery once the above is stored.
        flags: flags for the captured filling.
    """

    witness: Witness
    wait: bool = False
    missing: Filling | None = None
    missing_computed: bool = False
    filling: Filling | None = None
    flags: tuple[str, ...] = ()


def judge(
    before: Witness,
    now: Totals,
    filling: Filling,
    *,
    seen: bool,
    patient: bool,
    price_fen_per_l: int,
) -> Judgement:
    """Decide what happened between ``before`` and ``now``.

    Args:
        before: the stored witness of the nozzle.
        now: the totals just read, the pump not delivering.
        filling: the pump's last filling; zero volume when it shows none.
        seen: this driver watched a delivery begin on this nozzle since ``before``, so ``filling`` is known to be
            new even while the totaliser lags.
        patient: more readings are allowed; a disagreement is answered with ``wait``.
        price_fen_per_l: used only when the pump has no amount totaliser.
    """
    moved_ml = _moved_ml(before, now, filling)
    if moved_ml > TOTAL_MODULUS // 2:
        return _backwards(now, filling, seen=seen, patient=patient)
    if filling.volume_ml == 0 or (moved_ml <= before.owed_volume_ml and not seen):
        # No filling, or the display still shows the one captured before; what was owed may have come in.
        filling = Filling(0, 0)
        if moved_ml <= before.owed_volume_ml:
            return Judgement(_settled(before, now, filling, moved_ml))
    gap_ml = moved_ml - filling.volume_ml - before.owed_volume_ml
    witness = _settled(before, now, filling, moved_ml)
    if gap_ml == 0 or moved_ml == filling.volume_ml:
        return Judgement(witness, filling=filling)
    if patient:
        return Judgement(before, wait=True)
    if gap_ml < 0:
        return Judgement(witness, filling=filling, flags=("total_behind",))
    computed = now.amount_fen is None
    if now.amount_fen is None:
        gap_fen = (gap_ml * price_fen_per_l + 500) // 1000
    else:
        moved_fen = _moved_fen(before, now.amount_fen, filling.amount_fen + before.owed_amount_fen)
        gap_fen = max(0, moved_fen - filling.amount_fen - before.owed_amount_fen)
    return Judgement(
        witness,
        missing=Filling(gap_ml, gap_fen),
        missing_computed=computed,
        filling=filling if filling.volume_ml else None,
    )


def _moved_ml(before: Witness, now: Totals, filling: Filling) -> int:
    """How far the volume totaliser moved.

    A totaliser with fewer digits than the wire rolls over earlier than the wire's field. It says so itself: modulo its
    own number of digits the step back is just the filling that the pump shows.
    """
    moved_ml = (now.volume_ml - before.volume_ml) % TOTAL_MODULUS
    if moved_ml > TOTAL_MODULUS // 2 and filling.volume_ml:
        modulus: int = 10 ** (_FEWEST_DIGITS + 1)
        while modulus < TOTAL_MODULUS:
            step_ml = (now.volume_ml - before.volume_ml) % modulus
            fits = step_ml in {filling.volume_ml, filling.volume_ml + before.owed_volume_ml}
            if before.volume_ml < modulus and fits:
                return step_ml
            modulus *= 10
    return moved_ml


def _moved_fen(before: Witness, now_fen: int, expected_fen: int) -> int:
    """How far the amount totaliser moved; it rolls over by itself, at its own number of digits."""
    moved_fen = (now_fen - before.amount_fen) % AMOUNT_MODULUS
    if moved_fen > AMOUNT_MODULUS // 2:
        modulus: int = 10**_FEWEST_DIGITS
        while modulus < AMOUNT_MODULUS:
            step_fen = (now_fen - before.amount_fen) % modulus
            # Where the volume leaves a gap, the amount is not known better than to this.
            if before.amount_fen < modulus and expected_fen <= step_fen < expected_fen + modulus // 2:
                return step_fen
            modulus *= 10
    return moved_fen


def _settled(before: Witness, now: Totals, filling: Filling, moved_ml: int) -> Witness:
    """The base for the next delivery once ``filling`` is captured: whatever has not been counted is owed."""
    owed_ml = max(0, filling.volume_ml + before.owed_volume_ml - moved_ml)
    if now.amount_fen is None:
        return Witness(now.volume_ml, before.amount_fen, owed_ml)
    moved_fen = _moved_fen(before, now.amount_fen, filling.amount_fen + before.owed_amount_fen)
    owed_fen = max(0, filling.amount_fen + before.owed_amount_fen - moved_fen) if owed_ml else 0
    return Witness(now.volume_ml, now.amount_fen, owed_ml, owed_fen)


def _after(now: Totals) -> Witness:
    return Witness(now.volume_ml, now.amount_fen or 0)


def _backwards(now: Totals, filling: Filling, *, seen: bool, patient: bool) -> Judgement:
    """The pump lost its totals. Nothing can be reconstructed; what was watched is still a sale."""
    witness = _after(now)
    if patient:
        return Judgement(witness, wait=True)
    if seen and filling.volume_ml:
        return Judgement(witness, filling=filling, flags=("total_backwards",))
    return Judgement(witness)
