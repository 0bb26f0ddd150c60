"""The faults of one simulated service at work: armed, drawn, counted, taken away."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sim.faults import ArmedFault, Fault, FaultError, arm_faults
from sim.kernel import Kernel

__all__ = ["CountedFault", "FaultBook"]


@dataclass(frozen=True, kw_only=True)
class CountedFault(Fault):
    """A fault that counts its occasions.

    Attributes:
        skip: this many occasions pass unharmed first.
    """

    skip: int = 0


FaultT = TypeVar("FaultT", bound=CountedFault)


class FaultBook(Generic[FaultT]):
    """A service's faults at work, with their counters.

    A fault that never landed proves nothing, so `report` goes into the run's report.

    Args:
        event: kind of the trace event that a hit leaves.
    """

    def __init__(self, kernel: Kernel, entity: str, event: str, faults: Iterable[FaultT] = ()) -> None:
        self._kernel = kernel
        self._entity = entity
        self._event = event
        self._armed = list(arm_faults(faults, kernel.streams, entity))
        self._met = {fault.name: 0 for fault in self._armed}
        self._over: list[ArmedFault[FaultT]] = []

    def arm(self, spec: FaultT) -> None:
        """Add a fault by hand.

        Raises:
            FaultError: it has no name, or one that was used before.
        """
        if not spec.name or spec.name in self._met:
            raise FaultError(f"a fault added by hand needs a name of its own, not {spec.name!r}")
        self._armed.extend(arm_faults([spec], self._kernel.streams, self._entity))
        self._met[spec.name] = 0

    def disarm(self, name: str) -> None:
        """Take a fault away; its counters stay.

        Raises:
            KeyError: there is none of this name at work.
        """
        for number, fault in enumerate(self._armed):
            if fault.name == name:
                self._over.append(self._armed.pop(number))
                return
        raise KeyError(name)

    def first(self, kind: str, fits: Callable[[FaultT], bool]) -> ArmedFault[FaultT] | None:
        """The first fault of a kind that fits this occasion and strikes, or None. The caller counts it with `land`."""
        now_us = self._kernel.now_us
        for fault in self._armed:
            spec = fault.spec
            if spec.kind != kind or not fits(spec) or not fault.is_active(now_us):
                continue
            self._met[fault.name] += 1
            if self._met[fault.name] > spec.skip and fault.strikes(now_us):
                return fault
        return None

    def land(self, fault: ArmedFault[FaultT], **fields: Any) -> None:
        """Count a hit and put it into the trace."""
        fault.land()
        self._kernel.trace.emit(self._event, self._entity, fault=fault.name, what=fault.spec.kind, **fields)

    def report(self) -> dict[str, dict[str, int]]:
        """``{name: {"met": occasions, "landed": hits}}``, those taken away included."""
        return {
            fault.name: {"met": self._met[fault.name], "landed": fault.landed}
            for fault in [*self._armed, *self._over]
        }
