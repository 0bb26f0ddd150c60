"""What waits to be said to one Two-Wire pump: exchanges in their order, some of them not before a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from protocols.twowire import (
    NOZZLE_QUERY,
    Command,
    LineTiming,
    MoneyPreset,
    PriceChange,
    Scale,
    SentBlock,
    Status,
    VolumePreset,
)
from reference.site.pumps.intents import Authorise, Read

__all__ = ["Step", "TwoWirePump"]

NOZZLE_TRIES_MOST: Final = 3
"""Unanswered nozzle queries before a status is taken without knowing the nozzle."""


@dataclass(frozen=True, slots=True)
class Step:
    """One exchange.

    Attributes:
        command: what; `Command.DATA` with its block.
        block: the data block.
        ready_us: not before.
    """

    command: Command
    block: SentBlock | None = None
    ready_us: int = 0

    @property
    def is_preset(self) -> bool:
        """Something that ``1p`` must come after."""
        return isinstance(self.block, VolumePreset | MoneyPreset)


class TwoWirePump:
    """What the driver keeps of one pump beyond its fuelling point's logic.

    Attributes:
        status: the status that is believed; None before the first.
        heard: another one that was heard once and counts when it comes again.
        steps: what waits to be said.
        money_next: the next poll asks for running money.
        preset_left: a preset may still be in the pump.
    """

    def __init__(self, scale: Scale, timing: LineTiming) -> None:
        self.status: Status | None = None
        self.heard: Status | None = None
        self.steps: list[Step] = []
        self.money_next = False
        self.preset_left = True
        self._scale = scale
        self._timing = timing
        self._nozzle_tries = 0
        self._same = 0  # polls in a row that told nothing new
        self._data_from_us = 0  # no 2p before this

    def forget(self) -> None:
        """The link is gone: whatever was known or wanted is not any more."""
        self.status = self.heard = None
        self.steps.clear()
        self.money_next = False
        self.preset_left = True
        self._nozzle_tries = 0

    def refused(self, now_us: int) -> None:
        """A block was not taken. What was to follow it is given up; the logic will want it again."""
        self.steps.clear()
        self._data_from_us = now_us + self._timing.data_retry_us

    def worth_asking_again(self, *, news: bool) -> bool:
        """After a status: whether the rest of the slot is for this pump. Once without news is enough."""
        self._same = 0 if news else self._same + 1
        return self._same <= 1

    @property
    def authorisation_waits(self) -> bool:
        """``1p`` is still to be said."""
        return any(step.command is Command.AUTHORISE for step in self.steps)

    @property
    def price_waits(self) -> bool:
        """A price is to be sent or read back."""
        return any(isinstance(step.block, PriceChange) or _is_read_back(step) for step in self.steps)

    def next_step(self, now_us: int) -> Step | None:
        """The first step whose time has come; ``1p`` never overtakes its preset."""
        preset_waits = False
        for step in self.steps:
            preset_waits = preset_waits or step.is_preset
            if step.ready_us <= now_us and not (step.command is Command.AUTHORISE and preset_waits):
                return step
        return None

    def drop(self, unwanted: Callable[[Step], bool]) -> None:
        """Take steps out."""
        self.steps = [step for step in self.steps if not unwanted(step)]

    # -- what to say --------------------------------------------------------------------------------------------

    def ask(self, reads: Iterable[Read]) -> None:
        """Ask for the transaction, the totals; the status is asked for anyway."""
        wanted = set(reads)
        for read, command in ((Read.FILLING, Command.TRANSACTION), (Read.TOTALS, Command.TOTALS)):
            if read in wanted and Step(command) not in self.steps:
                self.steps.append(Step(command))

    def ask_nozzle(self) -> bool:
        """Ask which nozzle is out. False when it was asked often enough without an answer."""
        if any(step.block == NOZZLE_QUERY for step in self.steps):
            return True
        if self._nozzle_tries >= NOZZLE_TRIES_MOST:
            self._nozzle_tries = 0
            return False
        self._nozzle_tries += 1
        self.steps.insert(0, Step(Command.DATA, NOZZLE_QUERY, self._data_from_us))
        return True

    def nozzle_known(self) -> None:
        """The question was answered, or does not arise any more."""
        self._nozzle_tries = 0

    def send_prices(self, wanted: Iterable[int], prices_fen_per_l: tuple[int, ...]) -> None:
        """Send the prices of these logical nozzles."""
        self.drop(lambda step: isinstance(step.block, PriceChange))
        for logical in wanted:
            units = self._scale.money_units(prices_fen_per_l[logical - 1], self._scale.price)
            self.steps.append(
                Step(Command.DATA, PriceChange(grade=logical, price_units=units), self._data_from_us)
            )

    def read_back(self, now_us: int) -> None:
        """A price went out. Prices show in the totals, but not at once: read them after the last one."""
        if not any(isinstance(step.block, PriceChange) for step in self.steps):
            self.drop(_is_read_back)
            self.steps.append(Step(Command.TOTALS, ready_us=now_us + self._timing.read_back_us))

    def authorise(self, wish: Authorise, *, name_grade: bool) -> None:
        """Preset and ``1p``. A volume preset names the grade; a money preset does not, since not all heads take it."""
        self.drop(lambda step: step.is_preset or step.command is Command.AUTHORISE)
        scale = self._scale
        block: SentBlock | None = None
        if wish.preset_ml is not None:
            units = scale.volume_units(wish.preset_ml, scale.preset_volume)
            block = VolumePreset(volume_units=units, grade=wish.logical if name_grade else None)
        elif wish.preset_fen is not None:
            block = MoneyPreset(money_units=scale.money_units(wish.preset_fen, scale.preset_money))
        elif self.preset_left:
            block = VolumePreset(volume_units=0)
        if block is not None:
            self.steps.append(Step(Command.DATA, block, self._data_from_us))
            # Whatever becomes of it: no later sale may end at this one's limit.
            self.preset_left = True
        self.steps.append(Step(Command.AUTHORISE))


def _is_read_back(step: Step) -> bool:
    return step.command is Command.TOTALS and step.ready_us > 0
