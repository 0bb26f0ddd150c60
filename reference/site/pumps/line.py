"""The scheduler of one polled line: slots, exchanges, link supervision. What is said is up to the protocol."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

from protocols.sansio import Machine, Outgoing
from reference.site.config import ConfigError, LineConfig
from reference.site.pumps.driver import PointStatus, PumpDriver
from reference.site.pumps.events import DriverEvent
from reference.site.pumps.grid import SlotGrid
from reference.site.pumps.intents import Intent
from reference.site.pumps.point import FuellingPointLogic
from reference.site.pumps.witness import Witness

__all__ = ["PolledLine"]

Logic = TypeVar("Logic", bound=FuellingPointLogic)
Wire = TypeVar("Wire", bound=Machine)


class PolledLine(PumpDriver, Generic[Logic, Wire]):
    """A `PumpDriver` that speaks to one address after the other, each in its own slot.

    Within a slot exchanges follow each other only while something happens (news arrived, a command was sent), and
    only if the next one's worst case still ends inside the slot. An idle poll always ends its slot, so that a run
    that leaves it out is the same run (see `SlotGrid`).

    Args:
        config: the line.
        logic: what keeps the state of one fuelling point.

    Raises:
        ConfigError: the exchanges of so many addresses do not fit into the period.
    """

    def __init__(self, config: LineConfig, logic: type[Logic]) -> None:
        super().__init__()
        self.config = config
        self.points: list[Logic] = [
            logic(
                point.fuelling_point,
                {nozzle.logical: nozzle.nozzle for nozzle in point.nozzles},
                {nozzle.logical: nozzle.price_fen_per_l for nozzle in point.nozzles},
                missed_polls_offline=config.missed_polls_offline,
                emit=self._emit,
            )
            for point in config.fuelling_points
        ]
        self.addresses = [point.address for point in config.fuelling_points]
        self._index = {point.number: index for index, point in enumerate(self.points)}
        self._logical = [{n.nozzle: n.logical for n in point.nozzles} for point in config.fuelling_points]
        self.grid = SlotGrid(len(self.points), config.period_us, config.phase_us)
        self._active = 0
        self._slot_end_us = 0
        self._talking = False  # an exchange is under way
        self._poll_next = [False] * len(self.points)  # after each command: ask what came of it
        self._chain_us: int | None = None
        self._commanded = False
        self._free_us = 0  # end of the last exchange that was allowed to outgrow its slot
        self.overruns = 0
        """Slots that were left out because an earlier exchange, or the host, came too late."""

    # -- what a protocol provides -------------------------------------------------------------------------------

    _wire: Wire
    """The controller side of the protocol."""
    _worst_us: int
    """Worst-case time of one exchange, with the acknowledgement that follows it."""

    @abstractmethod
    def _drain(self, now_us: int) -> None:
        """Take what the wire has heard."""

    @abstractmethod
    def _poll(self, index: int, now_us: int) -> None:
        """Start a poll of this address."""

    @abstractmethod
    def _say(self, index: int, intent: Intent, now_us: int) -> None:
        """Start an exchange that says this."""

    @abstractmethod
    def _say_again(self, index: int, now_us: int) -> bool:
        """Repeat what was refused or went unanswered; False when there is nothing to repeat."""

    def _idle_frames(self, index: int, now_us: int) -> tuple[bytes, bytes] | None:  # noqa: ARG002 - for protocols that can
        """Poll of this address, to be sent now, and the answer that would tell nothing new; None if nobody can tell."""
        return None

    def _idle_heard(self, index: int, heard_us: int) -> None:
        """That answer was heard, in an exchange that the host passed."""

    def _check_fit(self) -> None:
        need_us = self._worst_us
        if need_us > self.grid.narrowest_us:
            count = len(self.points)
            raise ConfigError(
                f"line {self.config.name or '?'}: an exchange can take {need_us} us, {count} fuelling points need a "
                f"period of at least {need_us * count} us, not {self.config.period_us} us "
                f"(fewer on the line, a faster line, or a longer period)"
            )

    # -- commands -----------------------------------------------------------------------------------------------

    @property
    def fuelling_points(self) -> tuple[int, ...]:
        """Numbers of the fuelling points on this line."""
        return tuple(self._index)

    def status(self, fuelling_point: int) -> PointStatus:
        """See `PumpDriver.status`."""
        logic = self.points[self._index[fuelling_point]]
        flows = logic.delivery_open and logic.flow_seen
        return PointStatus(
            fuelling_point=fuelling_point,
            state=logic.state,
            nozzle_out=logic.nozzles.get(logic.nozzle_out),
            # Which nozzle is out is unknown for a while after a lost link; which one delivers is not.
            delivering=logic.nozzles.get(logic.delivery_nozzle or logic.nozzle_out) if flows else None,
            volume_ml=logic.running.volume_ml if flows else 0,
            amount_fen=logic.running.amount_fen if flows else 0,
            missed_polls=logic.misses,
            settling=logic.delivery_open or logic.capture is not None,
        )

    def remember(self, nozzle: int, witness: Witness) -> None:
        """See `PumpDriver.remember`."""
        for logic, logical in zip(self.points, self._logical, strict=True):
            if nozzle in logical:
                logic.witnesses[logical[nozzle]] = witness

    def authorise(
        self,
        fuelling_point: int,
        nozzle: int | None,
        *,
        preset_fen: int | None = None,
        preset_ml: int | None = None,
    ) -> bool:
        """See `PumpDriver.authorise`."""
        index = self._index[fuelling_point]
        logical = None if nozzle is None else self._logical[index].get(nozzle)
        if nozzle is not None and logical is None:
            return False
        return self._command(self.points[index].authorise(logical, preset_fen, preset_ml))

    def stop(self, fuelling_point: int) -> bool:
        """See `PumpDriver.stop`."""
        return self._command(self.points[self._index[fuelling_point]].stop())

    def set_prices(self, fuelling_point: int, prices_fen_per_l: Mapping[int, int]) -> bool:
        """See `PumpDriver.set_prices`."""
        index = self._index[fuelling_point]
        logical = self._logical[index]
        if any(nozzle not in logical for nozzle in prices_fen_per_l):
            return False
        wanted = {logical[nozzle]: price for nozzle, price in prices_fen_per_l.items()}
        return self._command(self.points[index].set_prices(wanted))

    def _command(self, accepted: bool) -> bool:
        if accepted:
            self._commanded = True
            if self.on_wake is not None:
                self.on_wake()
        return accepted

    def _emit(self, event: DriverEvent) -> None:
        self.listener(event)

    # -- time ---------------------------------------------------------------------------------------------------

    def wake(self, now_us: int) -> None:
        """See `PumpDriver.wake`."""
        if self.grid.parked_count:
            self.grid.resume(now_us)

    def _take_commands(self, now_us: int) -> None:
        """A command was given since the host last looked: its address is not to be skipped."""
        self._commanded = False
        for index, logic in enumerate(self.points):
            if logic.busy and self.grid.is_parked(index):
                self.grid.resume(now_us, index)

    def receive_data(self, data: bytes, now_us: int) -> None:
        """See `protocols.sansio.Machine`."""
        self._wire.receive_data(data, now_us)
        self._drain(now_us)

    def data_to_send(self, now_us: int) -> list[Outgoing]:
        """See `protocols.sansio.Machine`."""
        if self._commanded:
            self._take_commands(now_us)
        return self._wire.data_to_send(now_us)

    def handle_timer(self, now_us: int) -> None:
        """See `protocols.sansio.Machine`."""
        due_us = self._wire.next_timer()
        if due_us is not None and due_us <= now_us:
            self._wire.handle_timer(now_us)
            self._drain(now_us)
        self._run_slots(now_us)

    def next_timer(self) -> int | None:
        """See `protocols.sansio.Machine`."""
        due_us = self._wire.next_timer()
        if due_us is None:
            due_us = self._chain_us
            if due_us is None:
                return self.grid.next_us
        return due_us

    def _run_slots(self, now_us: int) -> None:
        """Begin whatever is due. At most one slot ends up talking."""
        grid = self.grid
        if self._chain_us is not None:
            if now_us < self._chain_us:
                return
            self._chain_us = None
            self._converse(now_us)
        while not self._talking and grid.next_us is not None and grid.next_us <= now_us:
            index = grid.next_index
            start_us = grid.next_us
            end_us = start_us + grid.width_us(index)
            if self._may_skip(index):
                quiet = self.is_quiet
                if quiet is not None and quiet(self.addresses[index]):
                    grid.park()
                    continue
                if now_us == start_us >= self._free_us and self._carry(index, now_us):
                    grid.use()
                    self._active = index
                    self._slot_end_us = end_us
                    continue
            grid.use()
            if now_us >= end_us or start_us < self._free_us:
                self.overruns += 1
                continue
            self._active = index
            self._slot_end_us = end_us
            self._converse(now_us)

    def _carry(self, index: int, now_us: int) -> bool:
        """Let the host pass the idle poll of this address, see `PumpDriver.carry`; False to send it."""
        if self.carry is None or (frames := self._idle_frames(index, now_us)) is None:
            return False
        heard_us = self.carry(*frames, now_us)
        if not heard_us:
            return False
        self._idle_heard(index, heard_us)
        return True

    @property
    def slots_a_round(self) -> int:
        """From a host that carries: how many addresses are polled in turn."""
        return len(self.points)

    def idle_round(self) -> list[tuple[bytes, bytes]] | None:
        """From a host that carries: poll and answer of each address, if idle polls are all that comes by itself from here on.

        None if one of them has more to expect than that.
        """
        next_us = self.grid.next_us
        if next_us is None or self.grid.parked_count or self._talking or self._commanded:
            return None
        count = len(self.points)
        if self.next_timer() != next_us or not all(self._may_skip(index) for index in range(count)):
            return None
        frames = [
            frames for index in range(count) if (frames := self._idle_frames(index, next_us)) is not None
        ]
        return frames if len(frames) == count else None

    def pass_idle(self, until_us: int, took_us: Sequence[int]) -> list[int]:
        """From a host that carries: every slot that has begun by now was an idle exchange.

        Args:
            until_us: now.
            took_us: how long an exchange with each address takes.

        Returns:
            The start of each address's last slot, -1 for none.
        """
        starts_us = self.grid.use_until(until_us)
        for index, start_us in enumerate(starts_us):
            if start_us >= 0:
                self._idle_heard(index, start_us + took_us[index])
        last_us = max(starts_us)
        if last_us >= 0:
            self._active = starts_us.index(last_us)
            self._slot_end_us = last_us + self.grid.width_us(self._active)
        return starts_us

    def idle_slots(self, until_us: int) -> list[tuple[int, int]]:
        """From a host that carries: (start, number of the address) of the slots that begin by then."""
        return self.grid.slots_until(until_us)

    def idle_slot_from(self, from_us: int) -> int:
        """From a host that carries: when the first slot from an instant on begins."""
        return self.grid.slot_from(from_us)

    def recall(self, start_us: int) -> None:
        """From the host, before anything else is told: the poll that was carried last is to be sent after all."""
        self._talking = True
        self._poll(self._active, start_us)

    def _may_skip(self, index: int) -> bool:
        logic = self.points[index]
        return logic.up and not logic.busy and not logic.misses and not self._poll_next[index]

    def _converse(self, now_us: int) -> None:
        """Say the next thing to the active address."""
        index = self._active
        logic = self.points[index]
        self._talking = True
        if self._poll_next[index]:
            self._poll_next[index] = False
            self._poll(index, now_us)
            return
        if self._say_again(index, now_us):
            return
        intent = logic.next_intent(now_us) if logic.busy else None
        if intent is None:
            self._poll(index, now_us)
        else:
            self._poll_next[index] = True
            self._say(index, intent, now_us)

    def _exchange_over(self, now_us: int, *, gap_us: int, more: bool) -> None:
        """The exchange with the active address has ended.

        Args:
            now_us: now.
            gap_us: how long the line is still busy with our own acknowledgement.
            more: something happened, so go on in this slot if it fits.
        """
        self._talking = False
        if not more:
            return
        index = self._active
        if not (self._poll_next[index] or self.points[index].busy):
            return
        start_us = now_us + gap_us
        if start_us + self._worst_us <= self._slot_end_us:
            self._chain_us = start_us

    def describe(self) -> Sequence[tuple[int, int]]:
        """(fuelling point, address) pairs of this line, in the order of their slots."""
        return [(logic.number, address) for logic, address in zip(self.points, self.addresses, strict=True)]
