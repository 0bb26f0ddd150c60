"""Commands of the backend: each is carried out once, however often it arrives, and answered through the journal."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from reference.site.journal import Authorisation
from reference.site.pumps.events import PointState

if TYPE_CHECKING:
    from reference.site.controller import SiteController

__all__ = ["CommandHandler"]


class CommandHandler:
    """Carries out authorise, cancel, print, settled and handover.

    Answers: a command that the site accepted is answered at once ("authorise": the nozzle is held for the order, the
    pump follows when the nozzle is out); "print" when the receipt is on paper; "cancel" when it is certain that no
    fuel flowed.
    """

    def __init__(self, site: SiteController) -> None:
        self._site = site
        self._cancels: dict[int, list[int]] = {}  # nozzle -> cancel commands that wait for the pump
        self._kinds: dict[str, Callable[[int, dict[str, Any]], tuple[bool, str] | None]] = {
            "authorise": self._authorise,
            "cancel": self._cancel,
            "print": self._print,
            "settled": self._settled,
            "handover": self._handover,
        }

    def handle(self, command: dict[str, Any]) -> None:
        """Carry out one command. Raises JournalError if it cannot be noted; it will come again."""
        command_id = int(command["id"])
        if self._site.journal.begin_command(command_id) == "finished":
            self._site.uplink.result_stored()
            return
        kind = self._kinds.get(str(command["kind"]))
        if kind is None:
            answer: tuple[bool, str] | None = (False, f"unknown kind {str(command['kind'])[:40]!r}")
        else:
            try:
                answer = kind(command_id, command)
            except (KeyError, TypeError, ValueError) as error:
                answer = (False, f"malformed: {type(error).__name__} {error}"[:200])
        if answer is not None:
            self.finish(command_id, ok=answer[0], reason=answer[1])

    def finish(self, command_id: int, *, ok: bool, reason: str) -> None:
        """Store a result and let it be posted."""
        self._site.journal.finish_command(command_id, ok=ok, reason=reason)
        self._site.uplink.result_stored()

    # -- authorise ----------------------------------------------------------------------------------------------

    def _authorise(self, command_id: int, command: dict[str, Any]) -> tuple[bool, str]:
        site = self._site
        nozzle, order_id = int(command["nozzle"]), str(command["order_id"])
        preset_fen, preset_ml = _preset(command["preset_fen"]), _preset(command["preset_ml"])
        if nozzle not in site.nozzles:
            return False, f"unknown nozzle {nozzle}"
        if site.journal.has_sale_of(order_id):
            return True, "delivered"
        if nozzle in site.blocked:
            return False, "the nozzle's tank is blocked"
        number = site.point_of[nozzle]
        status = site.driver_of[number].status(number)
        if status.state in (PointState.OFFLINE, PointState.INOPERATIVE, PointState.CLOSED):
            return False, f"fuelling point is {status.state}"
        held = site.held.get(nozzle)
        if held is not None and held.order_id == order_id:
            return True, "held"
        if held is not None and held.order_id is not None:
            return False, "nozzle is held for another order"
        if held is not None:
            if preset_fen is not None or preset_ml is not None:
                return False, "nozzle is delivering without a preset"
            # Authorised by policy, no owner yet: the delivery that runs becomes this order's.
            site.hold(Authorisation(nozzle, command_id, order_id, None, None, held.expires_us, held.live))
            return True, "attached"
        if status.state not in (PointState.IDLE, PointState.CALLING) and status.nozzle_out in (None, nozzle):
            return False, "nozzle is busy"
        site.hold(Authorisation(nozzle, command_id, order_id, preset_fen, preset_ml, site.expiry_us()))
        site.consider(number)
        return True, "held"

    # -- cancel -------------------------------------------------------------------------------------------------

    def _cancel(self, command_id: int, command: dict[str, Any]) -> tuple[bool, str] | None:
        site = self._site
        nozzle, order_id = int(command["nozzle"]), str(command["order_id"])
        if site.journal.has_sale_of(order_id):
            return False, "fuel_flowed"
        held = site.held.get(nozzle)
        if held is None or held.order_id != order_id:
            return True, "nothing held"
        number = site.point_of[nozzle]
        driver = site.driver_of[number]
        status = driver.status(number)
        if held.live:
            if status.state in (PointState.FUELLING, PointState.SUSPENDED_FUELLING) or status.volume_ml:
                return False, "fuel_flowed"
            driver.stop(number)
            # Fuel may begin to flow before the stop arrives: only the end of it tells.
            self._cancels.setdefault(nozzle, []).append(command_id)
            return None
        driver.stop(number)  # an authorisation may be on its way into the pump
        site.release(nozzle)
        return True, "cancelled"

    def on_not_delivered(self, nozzle: int) -> None:
        """The pump ended without flow: waiting cancellations are certain now."""
        waiting = self._cancels.pop(nozzle, [])
        if waiting:
            self._site.release(nozzle)
        for command_id in waiting:
            self.finish(command_id, ok=True, reason="cancelled")

    def on_delivered(self, nozzle: int) -> None:
        """A sale was captured: waiting cancellations came too late."""
        for command_id in self._cancels.pop(nozzle, []):
            self.finish(command_id, ok=False, reason="fuel_flowed")

    # -- print and settled --------------------------------------------------------------------------------------

    def _print(self, command_id: int, command: dict[str, Any]) -> tuple[bool, str] | None:
        if self._site.receipts is None:
            return False, "no printer"
        return self._site.receipts.take(command_id, command["receipt"])

    def _settled(self, _command_id: int, command: dict[str, Any]) -> tuple[bool, str]:
        self._site.journal.settle(int(command["nozzle"]), int(command["sale"]["sequence"]))
        return True, "noted"

    # -- shifts -------------------------------------------------------------------------------------------------

    def _handover(self, _command_id: int, command: dict[str, Any]) -> tuple[bool, str]:
        asked = command["shift"]
        cash_fen = asked["cash_counted_fen"]
        number = self._site.shifts.hand_over(
            str(asked["attendant"]),
            cash_counted_fen=None if cash_fen is None else int(cash_fen),
            closes=int(asked["closes"]),
        )
        return True, f"shift {number} is open"


def _preset(value: Any) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or not 0 < value <= 99_999_990:
        raise ValueError(f"preset {value!r}")
    return value
