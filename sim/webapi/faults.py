"""What goes wrong at a platform API, as data: which fault, at which calls, when, how often, and whether it ever landed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sim.faults import ArmedFault, Fault, FaultError, arm_faults, need_int
from sim.kernel import Kernel

__all__ = ["CallFault", "CallFaultBook", "CallFaultKind"]


class CallFaultKind(StrEnum):
    """What a fault does to a call."""

    REFUSE = "refuse"
    TIMEOUT = "timeout"
    BAD_GATEWAY = "bad-gateway"
    CUT_SHORT = "cut-short"
    TOKEN_ENDED = "token-ended"  # noqa: S105 - the name of a fault


_KINDS: Final = tuple(str(kind) for kind in CallFaultKind)


@dataclass(frozen=True, kw_only=True)
class CallFault(Fault):
    """One fault of a platform's schedule; when it may strike is in the base class.

    Attributes:
        kind: a `CallFaultKind`. ``refuse`` answers with ``code``; ``timeout`` holds the reply for ``delay_us``;
            ``bad-gateway`` answers 502 with a page of HTML; ``cut-short`` breaks the JSON off in the middle;
            ``token-ended`` ends the access token of this very call first, as a token fetched elsewhere does.
        at: names of calls it may hit; empty means every one.
        skip: this many occasions pass unharmed first.
        code: ``refuse`` only: the platform's own error number. 0 takes the platform's "system busy".
        after_work: whether the work is done all the same (``refuse``, ``timeout``, ``bad-gateway``).
        delay_us: ``timeout`` only.

    Raises:
        FaultError: a value is impossible; the message names the fault and the field.
    """

    at: tuple[str, ...] = ()
    skip: int = 0
    code: int = 0
    after_work: bool = False
    delay_us: int = 60_000_000

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kind not in _KINDS:
            raise FaultError(f"{self.label}: kind must be one of {', '.join(_KINDS)}, not {self.kind!r}")
        at: object = self.at
        if not isinstance(at, list | tuple) or not all(isinstance(name, str) for name in at):
            raise FaultError(f"{self.label}: at must be a list of calls, not {at!r}")
        object.__setattr__(self, "at", tuple(at))  # a scenario file gives a list
        for name in ("skip", "delay_us"):
            need_int(self.label, name, getattr(self, name), 0)
        need_int(self.label, "code", self.code, -1)
        if not isinstance(self.after_work, bool):
            raise FaultError(f"{self.label}: after_work must be true or false, not {self.after_work!r}")


class CallFaultBook:
    """A platform's faults at work, with their counters: a fault that never landed proves nothing.

    Args:
        kernel: clock, streams and trace.
        entity: the platform's name there.
        calls: names that a fault's ``at`` may say.
        faults: the schedule.
    """

    def __init__(
        self, kernel: Kernel, entity: str, calls: Sequence[str], faults: Iterable[CallFault] = ()
    ) -> None:
        self._kernel = kernel
        self._entity = entity
        self._calls = tuple(calls)
        faults = [self._known(spec) for spec in faults]
        self._armed = list(arm_faults(faults, kernel.streams, entity))
        self._met = {fault.name: 0 for fault in self._armed}
        self._over: list[ArmedFault[CallFault]] = []

    def _known(self, spec: CallFault) -> CallFault:
        for name in spec.at:
            if name not in self._calls:
                raise FaultError(f"{spec.label}: at must be one of {', '.join(self._calls)}, not {name!r}")
        return spec

    def arm(self, spec: CallFault) -> None:
        """Add a fault by hand.

        Raises:
            FaultError: it has no name, the name is taken, or it names a call that there is not.
        """
        if not spec.name or spec.name in self._met:
            raise FaultError(f"a fault added by hand needs a name of its own, not {spec.name!r}")
        (armed,) = arm_faults([self._known(spec)], self._kernel.streams, self._entity)
        self._armed.append(armed)
        self._met[armed.name] = 0

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

    def draw(self, kind: CallFaultKind, call: str) -> CallFault | None:
        """The first fault of a kind that strikes this call, counted as landed and traced; or None."""
        now_us = self._kernel.now_us
        for fault in self._armed:
            spec = fault.spec
            if spec.kind != kind or (spec.at and call not in spec.at) or not fault.is_active(now_us):
                continue
            self._met[fault.name] += 1
            if self._met[fault.name] > spec.skip and fault.strikes(now_us):
                fault.land()
                self._emit(fault, call)
                return spec
        return None

    def _emit(self, fault: ArmedFault[CallFault], call: str) -> None:
        self._kernel.trace.emit(
            "webapi.fault", self._entity, fault=fault.name, what=fault.spec.kind, call=call
        )

    def report(self) -> dict[str, dict[str, Any]]:
        """``{name: {"met": occasions, "landed": hits}}``, those taken away included."""
        return {
            fault.name: {"met": self._met[fault.name], "landed": fault.landed}
            for fault in [*self._armed, *self._over]
        }
