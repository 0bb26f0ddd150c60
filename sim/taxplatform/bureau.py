"""The tax bureau behind every invoicing platform: numbers, refined-oil stock, credit line, and the login they all need.

Several platforms may share one bureau: then a lost login holds the invoices of all of them, and all draw on one stock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any, Final, Protocol

from protocols.fapiao import LITRES_PER_TON, FapiaoNumber
from protocols.wechatpay import rfc3339
from sim.faults import ArmedFault, FaultError, arm_faults
from sim.kernel import Kernel
from sim.taxplatform.faults import TaxFault, TaxFaultKind

__all__ = ["Session", "TaxAccount", "TaxBureau"]

_HOLDS: Final = frozenset({TaxFaultKind.STALL, TaxFaultKind.LOGIN_LOST, TaxFaultKind.FACE_CHECK})
_YUNNAN: Final = 53
_STOCK_SHORT: Final = "成品油库存不足"


class TaxAccount(Protocol):
    """What the bureau knows of a company that issues.

    Attributes:
        taxpayer_id, name: printed on its invoices.
        stock_e8: refined-oil stock, 19-digit code -> litres x 10^8; a code that is absent is unlimited.
        credit_fen: total it may still invoice; None is unlimited.
    """

    taxpayer_id: str
    name: str
    stock_e8: dict[str, int]
    credit_fen: int | None


class Session(StrEnum):
    """The issuer's session at the bureau, as a platform can ask for it."""

    OK = "ok"
    LOGIN = "login"
    FACE = "face"


class TaxBureau:
    """One bureau, with its schedule of faults.

    Args:
        kernel: clock, streams and trace.
        faults: what goes wrong, and when.
        entity: name in trace and streams.
        channel: channel digit of the invoice numbers.
        litres_per_ton: fuel's tax codes with their conversion; codes that are not in it are no refined oil.

    Raises:
        FaultError: two faults of one name.
    """

    def __init__(
        self,
        kernel: Kernel,
        *,
        faults: Iterable[TaxFault] = (),
        entity: str = "taxplatform",
        channel: int = 2,
        litres_per_ton: Mapping[str, int] = LITRES_PER_TON,
    ) -> None:
        self.kernel = kernel
        self.entity = entity
        self.litres_per_ton = dict(litres_per_ton)
        self._channel = channel
        self._sequence = 0
        self._faults = list(arm_faults(faults, kernel.streams, entity))
        self._over: list[ArmedFault[TaxFault]] = []
        self._held: dict[str, deque[Callable[[], None]]] = {}

    def emit(self, kind: str, **fields: Any) -> None:
        """Write to the trace."""
        self.kernel.trace.emit(kind, self.entity, **fields)

    def next_number(self) -> str:
        """The next 20-digit number, blue and red alike."""
        self._sequence += 1
        year = int(rfc3339(self.kernel.unix_us // 1_000_000)[2:4])
        return str(FapiaoNumber(year, _YUNNAN, self._channel, self._sequence))

    # -- credit and stock -------------------------------------------------------------------------------------------

    def take_credit(self, account: TaxAccount, total_fen: int, subject: str) -> bool:
        """Take from the credit line; False when it is used up, and then nothing is taken."""
        fault = self._draw(TaxFaultKind.CREDIT)
        if fault is not None:
            self._land(fault, subject)
            return False
        if account.credit_fen is None:
            return True
        if account.credit_fen < total_fen:
            return False
        account.credit_fen -= total_fen
        return True

    def give_credit(self, account: TaxAccount, total_fen: int) -> None:
        """Give back what a failed invoice had taken."""
        if account.credit_fen is not None:
            account.credit_fen += total_fen

    def take_stock(self, account: TaxAccount, litres_e8: Mapping[str, int], subject: str) -> str:
        """Take fuel from the stock; a text when there is not enough, and then nothing is taken."""
        for fault in self._faults:
            codes = fault.spec.tax_codes
            if fault.spec.kind != TaxFaultKind.QUOTA or (codes and not litres_e8.keys() & set(codes)):
                continue
            if fault.strikes(self.kernel.now_us):
                self._land(fault, subject)
                return _STOCK_SHORT
        for code, litres in litres_e8.items():
            if code in account.stock_e8 and account.stock_e8[code] < litres:
                return _STOCK_SHORT
        for code, litres in litres_e8.items():
            if code in account.stock_e8:
                account.stock_e8[code] -= litres
        return ""

    def return_stock(self, account: TaxAccount, litres_e8: Mapping[str, int]) -> None:
        """Put fuel back that a red letter gives back."""
        for code, litres in litres_e8.items():
            if code in account.stock_e8:
                account.stock_e8[code] += litres

    # -- what is held -----------------------------------------------------------------------------------------------

    def hold(self, subject: str, go_on: Callable[[], None]) -> bool:
        """Whether the bureau is out of reach now; if so it calls ``go_on`` when it is back, in the order of arrival."""
        for fault in self._faults:
            if fault.spec.kind in _HOLDS and fault.strikes(self.kernel.now_us):
                self._hold(fault, subject, go_on)
                return True
        return False

    def session(self) -> Session:
        """What the issuer has to do at the bureau now."""
        kinds = {fault.spec.kind for fault in self._faults if fault.is_active(self.kernel.now_us)}
        if TaxFaultKind.LOGIN_LOST in kinds:
            return Session.LOGIN
        return Session.FACE if TaxFaultKind.FACE_CHECK in kinds else Session.OK

    def _hold(self, fault: ArmedFault[TaxFault], subject: str, go_on: Callable[[], None]) -> None:
        self._land(fault, subject)
        held = self._held.get(fault.name)
        if held is None:
            held = self._held[fault.name] = deque()
            if fault.spec.for_us is not None:
                self.kernel.call_at(fault.spec.end_us, self._release, fault)
        held.append(go_on)

    def _release(self, fault: ArmedFault[TaxFault]) -> None:
        held = self._held.pop(fault.name, None) or ()
        if held:
            self.emit("fapiao.released", fault=fault.name, count=len(held))
        for place, go_on in enumerate(held):
            self.kernel.call_later(place * fault.spec.burst_gap_us, go_on)

    # -- faults -----------------------------------------------------------------------------------------------------

    @property
    def schedule(self) -> tuple[TaxFault, ...]:
        """The faults at work, those still to come included."""
        return tuple(fault.spec for fault in self._faults)

    def arm(self, spec: TaxFault) -> None:
        """Add a fault by hand.

        Raises:
            FaultError: it has no name, or the name is taken.
        """
        if not spec.name or any(fault.name == spec.name for fault in [*self._faults, *self._over]):
            raise FaultError(f"a fault added by hand needs a name of its own, not {spec.name!r}")
        self._faults.extend(arm_faults([spec], self.kernel.streams, self.entity))

    def disarm(self, name: str) -> None:
        """Take a fault away (a person logs in, shows the face); what it holds is released now, its count stays.

        Raises:
            KeyError: there is none of this name at work.
        """
        for number, fault in enumerate(self._faults):
            if fault.name == name:
                self._over.append(self._faults.pop(number))
                self._release(fault)
                return
        raise KeyError(name)

    def fault_report(self) -> dict[str, dict[str, int]]:
        """``{name: {"landed": hits, "held": invoices waiting}}``, those taken away included."""
        return {
            fault.name: {"landed": fault.landed, "held": len(self._held.get(fault.name, ()))}
            for fault in [*self._faults, *self._over]
        }

    def accept_stalled_until_us(self) -> int | None:
        """The end of a span in which calls get no answer, or None. Counts a hit."""
        fault = self._strike(TaxFaultKind.ACCEPT_STALL, "call")
        return None if fault is None else fault.spec.end_us

    def reply_late_us(self, subject: str) -> int:
        """How long the answer to a call that was carried out stays away; 0 as a rule. Counts a hit."""
        fault = self._strike(TaxFaultKind.REPLY_LATE, subject)
        return 0 if fault is None else fault.spec.late_us

    def seal_fails(self, subject: str) -> bool:
        """Whether the issued invoice cannot be sealed. Counts a hit."""
        return self._strike(TaxFaultKind.SEAL, subject) is not None

    def _strike(self, kind: TaxFaultKind, subject: str) -> ArmedFault[TaxFault] | None:
        fault = self._draw(kind)
        if fault is not None:
            self._land(fault, subject)
        return fault

    def _draw(self, kind: TaxFaultKind) -> ArmedFault[TaxFault] | None:
        now_us = self.kernel.now_us
        return next((f for f in self._faults if f.spec.kind == kind and f.strikes(now_us)), None)

    def _land(self, fault: ArmedFault[TaxFault], subject: str) -> None:
        fault.land()
        self.emit("fapiao.fault", fault=fault.name, what=fault.spec.kind, subject=subject)
