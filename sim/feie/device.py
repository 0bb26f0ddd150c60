"""A cloud printer on the counter: a receipt printer, and the board in it that talks to the cloud."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from protocols.feie import order_bytes
from sim.kernel import Cancellable, Kernel
from sim.printer import CHINESE_58MM, Printer, PrinterProfile, Receipt

__all__ = ["OFFLINE_AFTER_US", "CloudPrinter"]

OFFLINE_AFTER_US: Final = 120_000_000
"""Without contact for longer than two minutes a printer is off-line; until then its last word counts (vendor's demo code)."""


class CloudPrinter:
    """One printer with its board.

    The board feeds one order at a time to the print head and tells the cloud when all of it is on paper. Off the mains both
    forget what they held; off the network the printer goes on, and what it has to tell waits.

    Args:
        kernel: clock.
        sn: number on the sticker.
        key: the other number on the sticker, which proves to the cloud whose it is.
        profile: paper width, speed, cutter.
        model: what ``Open_printerInfo`` shows.

    Attributes:
        printer: the print head with its paper; use the methods here for its troubles, so that the board notices.
        on_change: set by the cloud; called when it may have something to hand over, or something to hear.
    """

    def __init__(
        self,
        kernel: Kernel,
        sn: str,
        key: str,
        *,
        profile: PrinterProfile = CHINESE_58MM,
        model: str = "FP-N58W",
    ) -> None:
        self.sn = sn
        self.key = key
        self.model = model
        self.printer = Printer(profile)
        self.on_change: Callable[[], None] | None = None
        self._kernel = kernel
        self._timer: Cancellable | None = None
        self._is_connected = True
        self._lost_us = 0
        self._last_fault = False
        self._pending = b""
        self._order = ""
        self._reports: list[str] = []
        self.printer.on_wake = self._wake

    # -- what the cloud sees ------------------------------------------------------------------------------------

    @property
    def is_reachable(self) -> bool:
        """Whether the cloud can talk to it at this instant."""
        return self._is_connected and self.printer.powered

    @property
    def is_online(self) -> bool:
        """Whether the cloud believes so."""
        return self.is_reachable or self._kernel.now_us - self._lost_us <= OFFLINE_AFTER_US

    @property
    def has_fault(self) -> bool:
        """Whether it told the cloud last that it cannot print: no paper, mostly."""
        return self.printer.condition.offline if self.is_reachable else self._last_fault

    @property
    def takes_orders(self) -> bool:
        """Whether the cloud may hand over the next one."""
        return self.is_reachable and not self._order and not self._reports and not self.has_fault

    @property
    def holds(self) -> str:
        """The order it was handed and has not finished; empty when there is none."""
        return self._order

    @property
    def receipts(self) -> list[Receipt]:
        """What came out, oldest first."""
        return self.printer.receipts

    def hand_over(self, order: str, content: str, times: int) -> None:
        """Take an order; only when `takes_orders`."""
        self._order = order
        self._pending = order_bytes(content, width_columns=self.printer.profile.columns) * times
        self._wake()

    def take_reports(self) -> list[str]:
        """Orders that are on paper and of which the cloud has not heard; nothing while it cannot be reached."""
        if not self.is_reachable:
            return []
        reports, self._reports = self._reports, []
        return reports

    # -- the board ----------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        self._arm(self._kernel.now_us)

    def _arm(self, at_us: int | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if at_us is None else self._kernel.call_at(at_us, self._work)

    def _work(self) -> None:
        self._timer = None
        printer, now_us = self.printer, self._kernel.now_us
        printer.handle_timer(now_us)
        while self._pending and (window := printer.receive_window) > 0:
            piece, self._pending = self._pending[:window], self._pending[window:]
            printer.receive_data(piece, now_us)
        printer.data_to_send(now_us)
        if self._order and not self._pending and printer.idle:
            self._reports.append(self._order)
            self._order = ""
        self._arm(printer.next_timer())
        if self.on_change is not None:
            self.on_change()

    # -- somebody's hand ----------------------------------------------------------------------------------------

    def take_paper_out(self) -> None:
        """The roll ends now."""
        self.printer.paper_out(self._kernel.now_us)

    def load_paper(self, length_mm: int | None = None) -> None:
        """Put in a new roll. Raises ValueError for a length that is not above 0."""
        self.printer.load_paper(length_mm, self._kernel.now_us)

    def open_cover(self) -> None:
        """Open the cover."""
        self.printer.open_cover(self._kernel.now_us)

    def close_cover(self) -> None:
        """Close the cover."""
        self.printer.close_cover(self._kernel.now_us)

    def disconnect(self) -> None:
        """Its network is gone."""
        if self.is_reachable:
            self._go_silent()
        self._is_connected = False

    def connect(self) -> None:
        """Its network is back."""
        self._is_connected = True
        self._wake()

    def power_off(self) -> None:
        """Pull the plug: an order under way is half on paper and gone from every memory."""
        if self.is_reachable:
            self._go_silent()
        self._pending, self._order = b"", ""
        self._reports.clear()
        self.printer.power_off(self._kernel.now_us)

    def power_on(self) -> None:
        """Put the plug back."""
        self.printer.power_on(self._kernel.now_us)

    def _go_silent(self) -> None:
        self._last_fault = self.printer.condition.offline
        self._lost_us = self._kernel.now_us
