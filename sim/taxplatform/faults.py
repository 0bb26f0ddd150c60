"""What goes wrong at the tax platform, as data, with a count of what was hit."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sim.faults import Fault, FaultError, need_int

__all__ = ["TaxFault", "TaxFaultKind"]


class TaxFaultKind(StrEnum):
    """What a fault does."""

    STALL = "stall"
    ACCEPT_STALL = "accept-stall"
    QUOTA = "quota"
    CREDIT = "credit"
    LOGIN_LOST = "login-lost"
    FACE_CHECK = "face-check"
    REPLY_LATE = "reply-late"
    SEAL = "seal"


@dataclass(frozen=True, kw_only=True)
class TaxFault(Fault):
    """One fault of the platform's schedule; when it may strike is in the base class.

    Kinds: ``stall`` (accepted invoices are not issued until the span ends), ``accept-stall`` (calls are not answered until
    the span ends), ``quota`` (no refined-oil stock: invoices fail), ``credit`` (the credit line is used up:
    calls are refused with BIZ_ERROR), ``login-lost`` (the tax session dropped and a person must log in: everything is
    held, then released in a burst), ``face-check`` (the bureau wants to see the issuer's face: holds and releases like a
    lost login), ``reply-late`` (the call is carried out, and its answer comes ``late_us`` afterwards, when the caller has long
    given up), ``seal`` (the invoice is issued and its document cannot be sealed; only Nuonuo shows that).

    Attributes:
        tax_codes: ``quota`` only: hit lines with these 19-digit codes; empty means all.
        burst_gap_us: ``stall``, ``login-lost`` and ``face-check``: time between two held invoices when they are released.
        late_us: ``reply-late`` only.

    Raises:
        FaultError: a value is impossible; the message names the fault and the field.
    """

    tax_codes: tuple[str, ...] = ()
    burst_gap_us: int = 20_000
    late_us: int = 60_000_000

    def __post_init__(self) -> None:
        super().__post_init__()
        kinds = [str(kind) for kind in TaxFaultKind]
        if self.kind not in kinds:
            raise FaultError(f"{self.label}: kind must be one of {', '.join(kinds)}, not {self.kind!r}")
        codes: object = self.tax_codes  # a scenario file gives a list
        if not isinstance(codes, list | tuple) or not all(isinstance(code, str) for code in codes):
            raise FaultError(f"{self.label}: tax_codes must be a list of codes, not {codes!r}")
        object.__setattr__(self, "tax_codes", tuple(codes))
        if self.kind == TaxFaultKind.ACCEPT_STALL and self.for_us is None:
            raise FaultError(f"{self.label}: an accept-stall needs for_us, or its calls would wait for ever")
        need_int(self.label, "burst_gap_us", self.burst_gap_us, 0)
        need_int(self.label, "late_us", self.late_us, 1)
