"""Faults of the HTTP network: what can happen to one request between a client and a host."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, Literal, get_args

from protocols.cards import mask_private
from sim.faults import ArmedFault, Fault, FaultError, arm_faults, need_int
from sim.kernel import Streams

__all__ = ["NO_STRIKE", "HttpFault", "HttpFaultKind", "HttpFaults", "HttpStrike"]

HttpFaultKind = Literal[
    "request_lost", "reply_lost", "late", "duplicated", "reset", "host_down", "unreachable"
]


@dataclass(frozen=True, kw_only=True)
class HttpFault(Fault):
    """One fault of the HTTP network.

    Attributes:
        kind: ``request_lost``: the host never sees it and the client times out; ``reply_lost``: the host acts on it,
            the client times out; ``late``: one leg takes ``delay_us`` longer; ``duplicated``: the host sees it a second
            time ``delay_us`` later, and that reply goes nowhere; ``reset``: the connection breaks ``before`` or
            ``after`` the host has acted; ``host_down``: connections are refused; ``unreachable``: they time out.
        client, host: names it is limited to; empty means any.
        method: HTTP method it is limited to; empty means any.
        path: shell-style pattern the path must match (``/v3/pay/*``); empty means any. The query is not part of it.
        delay_us: see ``late`` and ``duplicated``.
        leg: see ``late``.
        when: see ``reset``.

    Raises:
        FaultError: an unknown kind, leg or ``when``, or a field out of range.
    """

    client: str = ""
    host: str = ""
    method: str = ""
    path: str = ""
    delay_us: int = 0
    leg: Literal["request", "reply"] = "reply"
    when: Literal["before", "after"] = "before"

    def __post_init__(self) -> None:
        if self.kind not in get_args(HttpFaultKind):
            raise FaultError(
                f"HTTP fault kind {self.kind!r} is not one of {', '.join(get_args(HttpFaultKind))}"
            )
        Fault.__post_init__(self)
        need_int(self.label, "delay_us", self.delay_us, 1 if self.kind == "late" else 0)
        if self.leg not in ("request", "reply"):
            raise FaultError(f"{self.label}: leg is request or reply, not {self.leg!r}")
        if self.when not in ("before", "after"):
            raise FaultError(f"{self.label}: when is before or after, not {self.when!r}")

    def concerns(self, client: str, host: str, method: str, path: str) -> bool:
        """Whether it may strike a request like this one."""
        return (
            (not self.client or self.client == client)
            and (not self.host or self.host == host)
            and (not self.method or self.method == method)
            and (not self.path or fnmatchcase(path, self.path))
        )


@dataclass(slots=True)
class HttpStrike:
    """What the faults do to one request; see `HttpFault`."""

    request_lost: bool = False
    reply_lost: bool = False
    late_request_us: int = 0
    late_reply_us: int = 0
    duplicate_after_us: int | None = None
    reset: Literal["", "before", "after"] = ""
    refused: bool = False
    unreachable: bool = False

    def add(self, fault: HttpFault) -> None:
        """Join one fault to the others."""
        match fault.kind:
            case "request_lost":
                self.request_lost = True
            case "reply_lost":
                self.reply_lost = True
            case "late" if fault.leg == "request":
                self.late_request_us += fault.delay_us
            case "late":
                self.late_reply_us += fault.delay_us
            case "duplicated":
                self.duplicate_after_us = fault.delay_us
            case "reset":
                self.reset = fault.when
            case "host_down":
                self.refused = True
            case _:
                self.unreachable = True


NO_STRIKE: Final = HttpStrike()
"""What happens to a request that no fault hits."""


class HttpFaults:
    """The faults of a network at work. Iterate over it for the `ArmedFault` objects and their ``landed`` counts.

    A fault is drawn and counted when the request departs, so that ``limit`` holds also for requests under way together.

    Args:
        specs: the faults, in the order in which they are drawn.
        streams: the run's random streams; each fault has ``net`` / ``fault/{name}``.
        emit: the trace's ``emit``; each hit becomes an ``http.fault`` event.
    """

    def __init__(self, specs: Iterable[HttpFault], *, streams: Streams, emit: Callable[..., None]) -> None:
        self.armed: tuple[ArmedFault[HttpFault], ...] = arm_faults(specs, streams, "net")
        self._emit = emit

    def __iter__(self) -> Iterator[ArmedFault[HttpFault]]:
        return iter(self.armed)

    def __getitem__(self, index: int) -> ArmedFault[HttpFault]:
        return self.armed[index]

    def __len__(self) -> int:
        return len(self.armed)

    def strike(self, client: str, host: str, method: str, path: str, now_us: int) -> HttpStrike:
        """What happens to a request that departs now."""
        strike = NO_STRIKE
        for fault in self.armed:
            if fault.spec.concerns(client, host, method, path) and fault.strikes(now_us):
                if strike is NO_STRIKE:
                    strike = HttpStrike()
                strike.add(fault.spec)
                fault.land()
                self._emit(
                    "http.fault",
                    host,
                    fault=fault.name,
                    effect=fault.spec.kind,
                    client=client,
                    method=method,
                    path=mask_private(path),
                )
        return strike
