"""Emergency stop, locks, seals: what takes a fuelling point out of service, and who may put it back.

Facts: emergency cut-off, breakaway and restart (GB 50156); self-lock when a metering parameter or a part is changed
without the regulator, after five abnormal pulse values in a row (JJG 443, 3.1.2, and the rule of 2006 that it replaced).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from .events import PointUnlocked
from .nozzle import Nozzle
from .power import PowerFail
from .profile import DispenserProfile
from .states import FpInput, FpState

__all__ = ["LOCAL_ROLES", "PARTS", "REGULATOR", "Safety", "SealEntry", "seal_log_is_whole"]

LOCAL_ROLES: Final = frozenset({"manager", "maintainer"})
"""Who may reset an emergency stop."""

REGULATOR: Final = "regulator"
"""Who may take away a lock that tampering caused."""

PARTS: Final = ("main-board", "encoder", "meter")
"""The parts whose serial numbers are sealed (GB 9081: component identity)."""

_REGULATOR_LOCKS: Final = frozenset({"tampering", "swapped-parts", "memory-fault"})


@dataclass(frozen=True, slots=True)
class SealEntry:
    """One line of the seal log: nothing is ever taken out, and each line seals the one before.

    Attributes:
        counter: from 1, without gaps.
        at_us: when.
        what: ``opened``, ``closed``, ``parameter``, ``calibrated``, ``swapped``, ``initialised``, ``abnormal``, ``locked``.
        detail: in words.
        digest: SHA-256 over this line and the digest of the one before, in hex.
    """

    counter: int
    at_us: int
    what: str
    detail: str
    digest: str


def _digest(before: str, counter: int, at_us: int, what: str, detail: str) -> str:
    line = json.dumps([before, counter, at_us, what, detail], separators=(",", ":"))
    return hashlib.sha256(line.encode()).hexdigest()


def seal_log_is_whole(log: Sequence[SealEntry]) -> bool:
    """Whether no line was changed, taken out or put in."""
    before = ""
    for counter, entry in enumerate(log, start=1):
        if entry.counter != counter or entry.digest != _digest(
            before, entry.counter, entry.at_us, entry.what, entry.detail
        ):
            return False
        before = entry.digest
    return True


class Safety(PowerFail):
    """A fuelling point that can be stopped, locked and tampered with."""

    _seal_open = False
    _abnormal = 0
    _since_swap: int | None = None

    def __init__(
        self, number: int, nozzles: Iterable[Nozzle], *, profile: DispenserProfile | None = None
    ) -> None:
        super().__init__(number, nozzles, profile=profile)
        self._log: list[SealEntry] = []
        self._sealed_ppm: dict[int, int] = {}
        self.serials = {part: f"{part}-{number}" for part in PARTS}
        self._seal()

    # --- locks -------------------------------------------------------------------------------------------------

    def lock(self, now_us: int, reason: str = "self-service") -> bool:
        """Refuse to authorise from now on, for ``reason``; what runs goes on to its end. False when locked for it already.

        ``self-service`` is the station's own lock, set and taken from afar; ``tampering``, ``swapped-parts`` and
        ``memory-fault`` only the regulator takes away (`initialise`).
        """
        self._advance(now_us)
        done = self._lock(reason, now_us)
        self._done(now_us)
        return done

    def unlock(self, now_us: int, reason: str = "self-service") -> bool:
        """Take a lock away. False when there is no such lock, or it is not the station's to take away."""
        self._advance(now_us)
        allowed = reason in self.locks and reason not in _REGULATOR_LOCKS and reason != self._latch
        if allowed:
            self._unlock(reason, now_us)
        self._done(now_us)
        return allowed

    @property
    def lock_reason(self) -> str | None:
        """Why it is locked, oldest reason first; None when it is not."""
        return next(iter(self.locks), None)

    def _unlock(self, reason: str, now_us: int) -> None:
        if self.locks.pop(reason, None) is not None:
            self._events.append(PointUnlocked(self.number, now_us, reason))

    # --- emergency ---------------------------------------------------------------------------------------------

    @property
    def is_latched(self) -> bool:
        """An emergency stop or a fault of the memory keeps it INOPERATIVE until its deliberate reset."""
        return bool(self._latch)

    def emergency_stop(self, now_us: int, reason: str = "emergency-stop") -> bool:
        """Close the valve now, end what runs with what was delivered, and stay INOPERATIVE until a reset.

        Needs no controller and no network. False when it was pressed before.
        """
        self._advance(now_us)
        if self._latch:
            self._tell()
            return False
        self._settle(now_us)
        self._latch = reason
        self._lock(reason, now_us)
        if self._running is None:
            self._fire(FpInput.FAIL, now_us)
            if self._allowed:
                self._drop(now_us, reason)
        elif self._rate > 0:
            self._stop_reason = "valve"
            self._close_valve(FpInput.FAIL, now_us)
            self._closing_for = FpInput.FAIL
        else:
            self._fire(FpInput.FAIL, now_us)
            self._finish(self._running, now_us, FpInput.FAIL, reason)
        self._done(now_us)
        return True

    def break_away(self, now_us: int) -> bool:
        """The hose was torn off (a car drove away with the nozzle in it): the breakaway valve shuts."""
        return self.emergency_stop(now_us, "breakaway")

    def reset_emergency(self, now_us: int, role: str) -> bool:
        """Put it back into service. Releasing the button alone does nothing; it takes a person with the right to.

        Args:
            now_us: now.
            role: who does it; see `LOCAL_ROLES`.
        """
        self._advance(now_us)
        reset = bool(self._latch) and self._latch not in _REGULATOR_LOCKS and role in LOCAL_ROLES
        # Not while the valve still closes.
        reset = reset and self._running is None
        if reset:
            self._release(now_us)
        self._done(now_us)
        return reset

    def _release(self, now_us: int) -> None:
        self._unlock(self._latch, now_us)
        self._latch = ""
        if self._powered and self.state is FpState.INOPERATIVE:
            self._recover(now_us)

    # --- seals -------------------------------------------------------------------------------------------------

    @property
    def seal_log(self) -> tuple[SealEntry, ...]:
        """Everything that happened to seals, parameters and parts, oldest first."""
        return tuple(self._log)

    def open_seal(self, now_us: int, who: str) -> None:
        """Break the seal of the metering parameters: what is changed now is changed before a witness."""
        self._note(now_us, "opened", who)
        self._seal_open = True

    def close_seal(self, now_us: int, who: str) -> None:
        """Put a new seal on; the present values are the sealed ones."""
        self._note(now_us, "closed", who)
        self._seal_open = False
        self._seal()

    def change_parameter(self, now_us: int, name: str, value: int) -> bool:
        """Change a metering parameter or the metering program. Returns whether that was allowed; if not, it locks."""
        self._note(now_us, "parameter", f"{name} = {value}")
        if self._seal_open:
            return True
        self._tampered(now_us, "tampering")
        return False

    def calibrate(self, now_us: int, logical_nozzle: int, error_ppm: int) -> None:
        """Change what the encoder's pulses are worth.

        With the seal open that is the regulator's adjustment. Behind a seal it is tampering: the board notices it by
        abnormal pulse values, delivery by delivery.

        Raises:
            KeyError: there is no such nozzle.
        """
        self._advance(now_us)
        self._settle(now_us)
        self.nozzles[logical_nozzle].meter.error_ppm = error_ppm
        if self._seal_open:
            self._note(now_us, "calibrated", f"nozzle {logical_nozzle} to {error_ppm} ppm")
            self._seal()
        self._done(now_us)

    def swap_part(self, now_us: int, part: str, serial: str) -> None:
        """Put in another part. Without `initialise` the pump locks after a few deliveries.

        Raises:
            ValueError: no sealed part has this name.
        """
        if part not in PARTS:
            raise ValueError(f"a sealed part is one of {', '.join(PARTS)}, not {part!r}")
        self._note(now_us, "swapped", f"{part} {serial}")
        self.serials[part] = serial
        if self._since_swap is None:
            self._since_swap = 0

    def initialise(self, now_us: int, role: str) -> bool:
        """The regulator accepts parts and values as they are, and takes away the locks that tampering caused."""
        self._advance(now_us)
        if role == REGULATOR:
            self._note(now_us, "initialised", role)
            self._seal()
            self._abnormal = 0
            self._since_swap = None
            for reason in sorted(_REGULATOR_LOCKS):
                if reason == self._latch:
                    self._release(now_us)
                else:
                    self._unlock(reason, now_us)
        self._done(now_us)
        return role == REGULATOR

    def _note(self, now_us: int, what: str, detail: str) -> None:
        log = self._log
        before = log[-1].digest if log else ""
        counter = len(log) + 1
        log.append(SealEntry(counter, now_us, what, detail, _digest(before, counter, now_us, what, detail)))

    def _seal(self) -> None:
        self._sealed_ppm = {logical: nozzle.meter.error_ppm for logical, nozzle in self.nozzles.items()}

    def _tampered(self, now_us: int, reason: str) -> None:
        if self._lock(reason, now_us):
            self._note(now_us, "locked", reason)
            self._tell()

    def _keep_part_tally(self, nozzle: Nozzle, now_us: int) -> None:
        """Compare the encoder with its seal after each delivery."""
        off_ppm = abs(nozzle.meter.error_ppm - self._sealed_ppm[nozzle.logical])
        if off_ppm > self.profile.tamper_limit_ppm:
            self._abnormal += 1
            self._note(now_us, "abnormal", f"nozzle {nozzle.logical}: {off_ppm} ppm from the sealed value")
            if self._abnormal >= self.profile.tamper_deliveries and self._lock("tampering", now_us):
                self._note(now_us, "locked", "tampering")
        else:
            self._abnormal = 0
        if self._since_swap is not None:
            self._since_swap += 1
            if self._since_swap >= self.profile.swap_deliveries and self._lock("swapped-parts", now_us):
                self._note(now_us, "locked", "swapped-parts")
