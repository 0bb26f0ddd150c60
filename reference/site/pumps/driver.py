"""`PumpDriver`: what the controller needs from any pump protocol, on one line with several fuelling points."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

import msgspec

from protocols.sansio import Outgoing
from reference.site.pumps.events import DriverEvent, PointState
from reference.site.pumps.witness import Witness

__all__ = ["PointStatus", "PumpDriver", "SaleNotStored"]


class SaleNotStored(Exception):  # noqa: N818 - reads as what happened
    """Raised by a listener that could not store a sale: the driver leaves the pump as it is and offers it again."""


class PointStatus(msgspec.Struct, frozen=True):
    """A look at one fuelling point. Nozzles are the station's numbers.

    ``volume_ml`` and ``amount_fen`` are those of the running delivery at the nozzle ``delivering``; they never fall
    while it lasts, and without one (None) they are 0. ``settling`` is true from the beginning of a delivery (or of an
    authorisation that may become one) until it was handed over as a sale or told to be void.
    """

    fuelling_point: int
    state: PointState
    nozzle_out: int | None
    delivering: int | None
    volume_ml: int
    amount_fen: int
    missed_polls: int
    settling: bool = False


class PumpDriver(ABC):
    """One polled line: a `protocols.sansio.Machine` with commands and events of the forecourt.

    A host calls the machine methods; the controller sets ``listener`` and calls the commands. Commands only note
    what is wanted and return at once (False when the present state cannot lead there); what came of it is an event.
    After a command the driver calls ``on_wake``, and the host then calls ``data_to_send(now_us)``.

    Attributes:
        on_wake: set by the host.
        is_quiet: set by a host in virtual time that may skip idle polls: "a poll of this address would be answered
            with nothing to report". None means every poll is sent.
        carry: set by a host that can pass an idle exchange without taking its bytes apart: given a poll, the answer
            that would tell nothing new, and the time, it returns when that answer will have been heard, or 0 if the
            poll is to be sent. None means every poll is sent.
        listener: receives every `DriverEvent`, in order. It may raise `SaleNotStored` for a `SaleCaptured`.
    """

    def __init__(self) -> None:
        self.on_wake: Callable[[], None] | None = None
        self.is_quiet: Callable[[int], bool] | None = None
        self.carry: Callable[[bytes, bytes, int], int] | None = None
        self.listener: Callable[[DriverEvent], None] = _ignore

    @property
    @abstractmethod
    def fuelling_points(self) -> tuple[int, ...]:
        """Numbers of the fuelling points on this line."""

    @abstractmethod
    def status(self, fuelling_point: int) -> PointStatus:
        """What is known about one fuelling point now. Raises KeyError if it is not on this line."""

    @abstractmethod
    def remember(self, nozzle: int, witness: Witness) -> None:
        """Tell the driver what the journal holds of a nozzle's totals. Before the line is first driven."""

    @abstractmethod
    def authorise(
        self,
        fuelling_point: int,
        nozzle: int | None,
        *,
        preset_fen: int | None = None,
        preset_ml: int | None = None,
    ) -> bool:
        """Let one delivery happen through ``nozzle`` (None: whichever is out), up to a preset.

        Answered by `Authorised` or `AuthoriseRefused`. False: offline, delivering, or authorised already.
        """

    @abstractmethod
    def stop(self, fuelling_point: int) -> bool:
        """End the delivery or take back the authorisation. False when there is none."""

    @abstractmethod
    def set_prices(self, fuelling_point: int, prices_fen_per_l: Mapping[int, int]) -> bool:
        """Give nozzles (station numbers) new unit prices; sent when no delivery runs. Answered by `PriceSet`."""

    @abstractmethod
    def wake(self, now_us: int) -> None:
        """Some device on the line is no longer quiet: look at the skipped addresses again."""

    @abstractmethod
    def receive_data(self, data: bytes, now_us: int) -> None:
        """See `protocols.sansio.Machine`."""

    @abstractmethod
    def data_to_send(self, now_us: int) -> list[Outgoing]:
        """See `protocols.sansio.Machine`."""

    @abstractmethod
    def next_timer(self) -> int | None:
        """See `protocols.sansio.Machine`."""

    @abstractmethod
    def handle_timer(self, now_us: int) -> None:
        """See `protocols.sansio.Machine`."""


def _ignore(event: DriverEvent) -> None:
    """Until a controller listens."""
