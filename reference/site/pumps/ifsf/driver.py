"""`IfsfDriver`: the controlling device's side of one IFSF dispenser node over TCP/IP.

Nothing is polled: the dispenser tells states, running figures and transactions, and a slow look every few seconds finds what
got lost. Sales wait in the dispenser until they are locked and cleared, which happens when the journal has them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final

from protocols.ifsf import (
    CONTROLLER_SUBNET,
    DISPENSER_SUBNET,
    PRODUCT_NUMBERS,
    Address,
    ControllingDevice,
    DatabaseKind,
    Endpoint,
    FpState,
    Notice,
    Number,
    NumberError,
    PeerGone,
    Reply,
    StreamDown,
    StreamUp,
    from_bcd,
)
from protocols.sansio import Outgoing
from reference.site.config import LineConfig
from reference.site.pumps.driver import PointStatus, PumpDriver
from reference.site.pumps.events import DriverEvent
from reference.site.pumps.ifsf.point import IfsfPointLogic
from reference.site.pumps.ifsf.talk import Conversation, Pause, Talk
from reference.site.pumps.witness import Witness

__all__ = ["IfsfDriver"]

LOOK_US: Final = 5_000_000
"""A message that was lost is found so much later: the states of all fuelling points are read."""

SILENCES_MOST: Final = 3
"""So many requests in a row without an answer: the connection is broken and dialled again."""

_POINT_BASE: Final = 0x20


class IfsfDriver(PumpDriver):
    """One dispenser node: a `protocols.ifsf.NodeMachine` and a `PumpDriver`.

    Args:
        config: the line; the ``address`` of a fuelling point is its IFSF database, 0x21..0x24.

    Attributes:
        device: the protocol, with its link and the warnings about the dispenser.
        points: logic by place in the node.
        grades, products: (place, logical nozzle) -> grade, product number.
        refusals: writes of configuration that the dispenser refused.
        unreadable: answers that made no sense.
    """

    def __init__(self, config: LineConfig) -> None:
        super().__init__()
        self.config = config
        self.stand_alone = b"\x01" if config.ifsf.stand_alone else b"\x00"
        self.unpaid_limit = config.ifsf.unpaid_limit
        self.device = ControllingDevice(
            Address(CONTROLLER_SUBNET, config.ifsf.controller_node),
            Address(DISPENSER_SUBNET, config.ifsf.node),
        )
        self.points: dict[int, IfsfPointLogic] = {}
        self.grades: dict[tuple[int, int], str] = {}
        self.products: dict[tuple[int, int], int] = {}
        self.refusals = 0
        self.unreadable = 0
        self.now_us = 0
        self._by_number: dict[int, IfsfPointLogic] = {}
        self._logical: dict[int, tuple[IfsfPointLogic, int]] = {}
        for point in config.fuelling_points:
            place = point.address - _POINT_BASE
            logic = IfsfPointLogic(
                point.fuelling_point,
                place,
                {nozzle.logical: nozzle.nozzle for nozzle in point.nozzles},
                {nozzle.logical: nozzle.price_fen_per_l for nozzle in point.nozzles},
                self._emit,
            )
            self.points[place] = self._by_number[point.fuelling_point] = logic
            for nozzle in point.nozzles:
                self._logical[nozzle.nozzle] = (logic, nozzle.logical)
                self.grades[place, nozzle.logical] = nozzle.grade
                self.products[place, nozzle.logical] = PRODUCT_NUMBERS[nozzle.grade]
        self._talk = Talk(self)
        self._jobs: deque[tuple[str, int, Conversation]] = deque()
        self._silences = 0
        self._resume_us: int | None = None
        self._look_us: int | None = None
        self._look_wanted = False

    # -- commands ------------------------------------------------------------------------------------------------

    @property
    def fuelling_points(self) -> tuple[int, ...]:
        """Numbers of the fuelling points on this line."""
        return tuple(self._by_number)

    def status(self, fuelling_point: int) -> PointStatus:
        """See `PumpDriver.status`."""
        point = self._by_number[fuelling_point]
        flows = point.delivery_open and point.flow_seen
        return PointStatus(
            fuelling_point=fuelling_point,
            state=point.shown,
            nozzle_out=point.nozzles.get(point.nozzle_out),
            delivering=point.nozzles.get(point.delivery_nozzle or point.nozzle_out) if flows else None,
            volume_ml=point.running.volume_ml if flows else 0,
            amount_fen=point.running.amount_fen if flows else 0,
            missed_polls=self._silences,
            settling=point.settling,
        )

    def remember(self, nozzle: int, witness: Witness) -> None:
        """See `PumpDriver.remember`."""
        if nozzle in self._logical:
            point, logical = self._logical[nozzle]
            point.witnesses[logical] = witness

    def authorise(
        self,
        fuelling_point: int,
        nozzle: int | None,
        *,
        preset_fen: int | None = None,
        preset_ml: int | None = None,
    ) -> bool:
        """See `PumpDriver.authorise`."""
        point = self._by_number[fuelling_point]
        owner, logical = self._logical.get(nozzle or 0, (point, None))
        if owner is not point or (nozzle is not None and logical is None):
            return False
        return self._wanted(point.authorise(logical, preset_fen, preset_ml))

    def stop(self, fuelling_point: int) -> bool:
        """See `PumpDriver.stop`."""
        return self._wanted(self._by_number[fuelling_point].stop())

    def set_prices(self, fuelling_point: int, prices_fen_per_l: Mapping[int, int]) -> bool:
        """See `PumpDriver.set_prices`."""
        point = self._by_number[fuelling_point]
        wanted = {}
        for nozzle, price in prices_fen_per_l.items():
            owner, logical = self._logical.get(nozzle, (None, 0))
            if owner is not point:
                return False
            wanted[logical] = price
        point.set_prices(wanted)
        return self._wanted(True)

    def _wanted(self, accepted: bool) -> bool:
        if accepted and self.on_wake is not None:
            self.on_wake()
        return accepted

    def wake(self, now_us: int) -> None:
        """See `PumpDriver.wake`. Nothing is polled, so nothing was skipped."""

    def _emit(self, event: DriverEvent) -> None:
        self.listener(event)

    # -- the machine ---------------------------------------------------------------------------------------------

    @property
    def dial(self) -> Endpoint | None:
        """See `NodeMachine`."""
        return self.device.link.dial

    @property
    def wants_close(self) -> bool:
        """See `NodeMachine`."""
        return self.device.link.wants_close

    @property
    def wants_redial(self) -> bool:
        """See `NodeMachine`."""
        return self.device.link.wants_redial

    def start(self, endpoint: Endpoint, now_us: int) -> None:
        """See `NodeMachine`."""
        self.device.link.start(endpoint, now_us)

    def connection_made(self, now_us: int) -> None:
        """See `NodeMachine`."""
        self.device.link.connection_made(now_us)
        self._take(now_us)

    def connection_lost(self, now_us: int) -> None:
        """See `NodeMachine`."""
        self.device.link.connection_lost(now_us)
        self._take(now_us)

    def accepted(self, now_us: int) -> None:
        """See `NodeMachine`."""
        self.device.link.accepted(now_us)

    def dropped(self, now_us: int) -> None:
        """See `NodeMachine`. What the dispenser said meanwhile may be lost: look at once."""
        self.device.link.dropped(now_us)
        self._look_wanted = True

    def receive_datagram(self, data: bytes, now_us: int) -> None:
        """See `NodeMachine`."""
        self.device.link.receive_datagram(data, now_us)
        self._take(now_us)

    def datagrams_to_send(self, now_us: int) -> list[bytes]:
        """See `NodeMachine`."""
        return self.device.link.datagrams_to_send(now_us)

    def receive_data(self, data: bytes, now_us: int) -> None:
        """See `protocols.sansio.Machine`."""
        self.device.link.receive_data(data, now_us)
        self._take(now_us)

    def data_to_send(self, now_us: int) -> list[Outgoing]:
        """See `protocols.sansio.Machine`."""
        self._converse(now_us)
        return self.device.link.data_to_send(now_us)

    def next_timer(self) -> int | None:
        """See `protocols.sansio.Machine`."""
        due = (self.device.next_timer(), self._resume_us, self._look_us)
        return min((us for us in due if us is not None), default=None)

    def handle_timer(self, now_us: int) -> None:
        """See `protocols.sansio.Machine`."""
        self.device.handle_timer(now_us)
        if self._look_us is not None and self._look_us <= now_us:
            self._look_us = now_us + LOOK_US
            self._look_wanted = True
        self._take(now_us)

    # -- what came in --------------------------------------------------------------------------------------------

    def _take(self, now_us: int) -> None:
        self.now_us = now_us
        events = self.device.events
        while events:
            match events.popleft():
                case Reply() as reply:
                    self._silences = self._silences + 1 if reply.timed_out else 0
                    if self._silences >= SILENCES_MOST:
                        self._silences = 0
                        self.device.link.redial()
                    self._step(reply)
                case Notice() as notice:
                    self._on_notice(notice)
                case StreamUp():
                    self._silences = 0
                    self._look_us = now_us + LOOK_US
                    self._drop_jobs()
                    self._jobs.append(("start", 0, self._talk.start_up()))
                case StreamDown() | PeerGone():
                    self._drop_jobs()
                    self._look_us = None
                    for point in self.points.values():
                        point.link_lost(now_us)
                case _:
                    pass  # the first heartbeat: the host dials
        self._converse(now_us)

    def _on_notice(self, notice: Notice) -> None:
        point = self.points.get(notice.database.point)
        if point is None:
            return
        values = notice.values
        if notice.database.kind is DatabaseKind.TRANSACTION:
            if values.get(21) != b"\x01":
                point.on_transaction(notice.database.index)
        elif notice.database.kind is DatabaseKind.FUELLING_POINT:
            if 102 in values:
                self._take_figures(point, values)
            if 20 in values:
                self._take_status(point, values)

    def take_state(self, point: IfsfPointLogic, values: Mapping[int, bytes]) -> None:
        """An answer with the state of a fuelling point."""
        self._take_status(point, values)
        if point.delivering:
            self._take_figures(point, values)
        try:
            sequence = from_bcd(values.get(29, b""))
        except NumberError:
            return
        if point.sequence not in {-1, sequence}:
            point.capture_due = True
        point.sequence = sequence

    def _take_status(self, point: IfsfPointLogic, values: Mapping[int, bytes]) -> None:
        state, bits = values.get(20, b""), values.get(21, b"")
        if not state or state[0] not in set(FpState):
            self.unreadable += 1
            return
        point.on_status(FpState(state[0]), bits[0] if bits else 0, self.now_us)

    def _take_figures(self, point: IfsfPointLogic, values: Mapping[int, bytes]) -> None:
        try:
            amount_fen = Number.decode(values.get(34, b"")).scaled(2)
            volume_ml = Number.decode(values.get(35, b"")).scaled(3)
        except NumberError:
            self.unreadable += 1
            return
        logical = values.get(37, b"")
        point.on_running(logical[0] if logical else 0, volume_ml, amount_fen, self.now_us)

    # -- conversations -------------------------------------------------------------------------------------------

    def _drop_jobs(self) -> None:
        for _, _, conversation in self._jobs:
            conversation.close()
        self._jobs.clear()
        self._resume_us = None

    def _converse(self, now_us: int) -> None:
        """Go on with the conversation under way, or begin the next one."""
        self.now_us = max(now_us, self.now_us)
        if self._resume_us is not None:
            if self._resume_us > now_us:
                return
            self._resume_us = None
            self._step(None)
        link = self.device.link
        while (
            not self.device.is_waiting and self._resume_us is None and link.speaking and not link.wants_redial
        ):
            if not self._jobs and not self._find_job():
                return
            self._step(None)

    def _step(self, reply: Reply | None) -> None:
        """Send a reply into the conversation at the head, and do what it wants next."""
        if not self._jobs:
            return
        head = self._jobs[0]
        conversation = head[2]
        try:
            wish = conversation.send(reply)
        except StopIteration:
            if self._jobs and self._jobs[0] is head:
                self._jobs.popleft()
            return
        if not self._jobs or self._jobs[0] is not head:
            return
        if isinstance(wish, Pause):
            self._resume_us = self.now_us + wish.us
        elif not self.device.ask(wish, self.now_us):
            conversation.close()
            self._jobs.popleft()
            self.device.link.redial()

    def _find_job(self) -> bool:
        """What is to be done next, in the order of what waits for it: money, commands, prices, supervision."""
        talk = self._talk
        for place, point in self.points.items():
            job: Conversation | None = None
            if not point.up:
                continue
            if point.stop_due:
                job = talk.stop(point)
            elif point.capture_due and not point.delivering:
                job = talk.capture(point)
            elif point.wanted is not None and not point.wanted.said:
                job = talk.release(point)
            elif point.state is FpState.CLOSED:
                job = talk.reopen(point)
            elif point.price_wishes and not point.delivering:
                job = talk.prices(point)
            if job is not None:
                self._jobs.append(("point", place, job))
                return True
        if self._look_wanted:
            self._look_wanted = False
            self._jobs.append(("look", 0, talk.look_all()))
            return True
        return False
