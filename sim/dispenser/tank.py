"""The tank under the forecourt: what left it, counted apart from what the meters sold."""

from __future__ import annotations

from .meter import PULSE_ML

__all__ = ["Tank"]


class Tank:
    """A storage tank of one grade.

    It counts pulse by pulse what leaves it, whenever flow changes, and knows nothing of deliveries or totalisers: so
    "litres out of the tank" is an independent witness for the oracles.
    """

    __slots__ = (
        "_drawn_pulses",
        "capacity_ml",
        "grade",
        "initial_ml",
        "received_ml",
        "returned_ml",
        "tank_id",
    )

    def __init__(
        self, tank_id: int, grade: str, *, capacity_ml: int = 30_000_000, initial_ml: int | None = None
    ) -> None:
        self.tank_id = tank_id
        self.grade = grade
        self.capacity_ml = capacity_ml
        self.initial_ml = capacity_ml * 9 // 10 if initial_ml is None else initial_ml
        if not 0 <= self.initial_ml <= capacity_ml:
            raise ValueError(f"tank {tank_id}: {self.initial_ml} ml do not fit a tank of {capacity_ml} ml")
        self.received_ml = 0
        self.returned_ml = 0
        self._drawn_pulses = 0

    def __repr__(self) -> str:
        return f"Tank({self.tank_id}, {self.grade!r}, level_ml={self.level_ml})"

    @property
    def drawn_ml(self) -> int:
        """All that left the tank, ml, up to the last settling of the meters (`Dispenser.settle`)."""
        return self._drawn_pulses * PULSE_ML

    @property
    def level_ml(self) -> int:
        """What should be in the tank, ml. Negative means that more was drawn than it ever held."""
        return self.initial_ml + self.received_ml + self.returned_ml - self.drawn_ml

    def draw(self, pulses: int) -> None:
        """Take out ``pulses`` of 10 ml. Raises ValueError for a negative count: fuel does not flow back."""
        if pulses < 0:
            raise ValueError(f"tank {self.tank_id}: {pulses} pulses cannot be drawn")
        self._drawn_pulses += pulses

    def give_back(self, pulses: int) -> None:
        """Pour back ``pulses`` of 10 ml that a test delivery took. They stay counted in ``drawn_ml``.

        Raises ValueError when more would come back than was ever drawn.
        """
        if pulses < 0 or self.returned_ml + pulses * PULSE_ML > self.drawn_ml:
            raise ValueError(
                f"tank {self.tank_id}: {pulses} pulses cannot come back, {self.drawn_ml} ml were drawn"
            )
        self.returned_ml += pulses * PULSE_ML

    def receive(self, volume_ml: int) -> None:
        """A road tanker delivers. Raises ValueError when the volume is not positive or does not fit."""
        if volume_ml <= 0 or self.level_ml + volume_ml > self.capacity_ml:
            raise ValueError(
                f"tank {self.tank_id} holds {self.level_ml} of {self.capacity_ml} ml: cannot receive {volume_ml} ml"
            )
        self.received_ml += volume_ml
