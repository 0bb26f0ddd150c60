"""What goes wrong at a platform API, as data: which fault, at which calls, when, how often, and whether it ever landed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sim.fault_book import CountedFault, FaultBook
from sim.faults import FaultError, need_int, need_one_of
from sim.kernel import Kernel

__all__ = ["CallFault", "CallFaultBook", "CallFaultKind"]


class CallFaultKind(StrEnum):
    """What a fault does to a call."""

    REFUSE = "refuse"
    TIMEOUT = "timeout"
    BAD_GATEWAY = "bad-gateway"
    CUT_SHORT = "cut-short"
    TOKEN_ENDED = "token-ended"  # noqa: S105 - the name of a fault


@dataclass(frozen=True, kw_only=True)
class CallFault(CountedFault):
    """One fault of a platform's schedule; when it may strike is in the base class.

    Attributes:
        kind: a `CallFaultKind`. ``refuse`` answers with ``code``; ``timeout`` holds the reply for ``delay_us``;
            ``bad-gateway`` answers 502 with a page of HTML; ``cut-short`` breaks the JSON off in the middle;
            ``token-ended`` ends the access token of this very call first, as a token fetched elsewhere does.
        at: names of calls it may hit; empty means every one.
        code: ``refuse`` only: the platform's own error number. 0 takes the platform's "system busy".
        after_work: whether the work is done all the same (``refuse``, ``timeout``, ``bad-gateway``).
        delay_us: ``timeout`` only.

    Raises:
        FaultError: a value is impossible; the message names the fault and the field.
    """

    at: tuple[str, ...] = ()
    code: int = 0
    after_work: bool = False
    delay_us: int = 60_000_000

    def __post_init__(self) -> None:
        super().__post_init__()
        need_one_of(self.label, "kind", self.kind, CallFaultKind)
        at: object = self.at
        if not isinstance(at, list | tuple) or not all(isinstance(name, str) for name in at):
            raise FaultError(f"{self.label}: at must be a list of calls, not {at!r}")
        object.__setattr__(self, "at", tuple(at))  # a scenario file gives a list
        for name in ("skip", "delay_us"):
            need_int(self.label, name, getattr(self, name), 0)
        need_int(self.label, "code", self.code, -9_999)
        if not isinstance(self.after_work, bool):
            raise FaultError(f"{self.label}: after_work must be true or false, not {self.after_work!r}")


class CallFaultBook(FaultBook[CallFault]):
    """A platform's faults at work.

    Args:
        kernel: clock, streams and trace.
        entity: the platform's name there.
        calls: names that a fault's ``at`` may say.
        faults: the schedule.
    """

    def __init__(
        self, kernel: Kernel, entity: str, calls: Sequence[str], faults: Iterable[CallFault] = ()
    ) -> None:
        self._calls = tuple(calls)
        super().__init__(kernel, entity, "webapi.fault", [self._known(spec) for spec in faults])

    def _known(self, spec: CallFault) -> CallFault:
        for name in spec.at:
            need_one_of(spec.label, "at", name, self._calls)
        return spec

    def arm(self, spec: CallFault) -> None:
        """See `FaultBook.arm`; a call that there is not is refused as well."""
        super().arm(self._known(spec))

    def draw(self, kind: CallFaultKind, call: str) -> CallFault | None:
        """The first fault of a kind that strikes this call, counted as landed and traced; or None."""
        fault = self.first(kind, lambda spec: not spec.at or call in spec.at)
        if fault is None:
            return None
        self.land(fault, call=call)
        return fault.spec
