"""Who may come in: the checks of a request before anything else looks at it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from starlette.types import Receive

from protocols.sansio import RemoteProtocolError
from protocols.unionpay import (
    MAX_BODY_BYTES,
    Endpoint,
    Fields,
    Shape,
    check_fields,
    decode_form,
    shape_of,
    unix_s_of_txn_time,
    verify_keyed,
    verify_rsa,
)
from sim.unionpay.ledger import AcpRefusedError
from sim.unionpay.material import MerchantAccount
from sim.unionpay.profile import Switches

__all__ = ["REFUSAL_ORDER", "RequestGate", "read_body"]

REFUSAL_ORDER: Final[tuple[tuple[str, str], ...]] = (
    ("10", "the body is not a form in UTF-8, is too large, or has a name twice"),
    ("13", "merId, signMethod, version or signature is missing"),
    ("31", "the merchant is unknown or not active"),
    ("11", "unknown certId, weak method, or a signature that does not fit"),
    ("10", "this URL takes no such txnType and txnSubType"),
    ("13", "a field the transaction needs is missing"),
    ("10", "a field has the wrong form"),
    ("32", "the merchant may not do this transaction"),
    ("39", "txnTime is too far from now (only where the switch asks for it)"),
    ("12", "the order number and time were used before"),
    ("98", "there is no settlement file of this day, type and merchant (or not yet)"),
    ("35", "the original does not exist or does not allow it; 36, 39, 45, 46, 86, 88 likewise"),
)
"""Which refusal wins when several are due. No public source states the order: unproven."""


async def read_body(receive: Receive) -> bytes:
    """The whole body of an ASGI call, but no more than one byte beyond the limit."""
    chunks: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        chunk: bytes = message.get("body", b"")
        if size <= MAX_BODY_BYTES:
            chunks.append(chunk[: MAX_BODY_BYTES + 1 - size])
        size += len(chunk)
        more = message.get("more_body", False)
    return b"".join(chunks)


@dataclass(slots=True)
class RequestGate:
    """Reads and checks requests.

    Attributes:
        accounts: merchants by number.
        switches: what sources leave open.
        refused: how many requests each code has turned away here.
    """

    accounts: Mapping[str, MerchantAccount]
    switches: Switches
    refused: dict[str, int] = field(default_factory=dict)

    def count(self, code: str) -> None:
        """Count a refusal."""
        self.refused[code] = self.refused.get(code, 0) + 1

    def read(self, body: bytes) -> Fields:
        """The fields of a request.

        Raises:
            AcpRefusedError: 10.
        """
        try:
            return decode_form(body)
        except RemoteProtocolError:
            raise AcpRefusedError("10", "form") from None

    def authenticate(self, fields: Fields) -> MerchantAccount:
        """The merchant who signed a request.

        Raises:
            AcpRefusedError: 13, 31 or 11.
        """
        for name in ("merId", "signMethod", "version", "signature"):
            if not fields.get(name):
                raise AcpRefusedError("13", name)
        account = self.accounts.get(fields["merId"])
        if account is None or not account.is_active:
            raise AcpRefusedError("31")
        if not self._is_signed(account, fields):
            raise AcpRefusedError("11")
        return account

    def admit(self, account: MerchantAccount, fields: Fields, endpoint: Endpoint, now_s: int) -> Shape:
        """What a signed request asks for.

        Raises:
            AcpRefusedError: 10, 13, 32 or 39.
        """
        shape = shape_of(fields, endpoint)
        if shape is None:
            raise AcpRefusedError("10", "txnType")
        fault = check_fields(fields, shape)
        if fault is not None:
            raise AcpRefusedError(fault.code, fault.field)
        if account.transactions and shape.txn_type not in account.transactions:
            raise AcpRefusedError("32")
        skew_s = self.switches.txn_time_skew_s
        at_s = unix_s_of_txn_time(fields["txnTime"])
        # Queries and reversals name the time of their original.
        if (
            skew_s
            and shape.name not in {"query", "reversal"}
            and at_s is not None
            and abs(at_s - now_s) > skew_s
        ):
            raise AcpRefusedError("39", "txnTime")
        return shape

    def _is_signed(self, account: MerchantAccount, fields: Fields) -> bool:
        method = fields["signMethod"]
        if fields["version"] != "5.1.0" and not (self.switches.allow_sha1 and fields["version"] == "5.0.0"):
            return False
        if method != "01":
            return verify_keyed(method, account.secure_key, fields)
        key = account.certificates.get(fields.get("certId", ""))
        return key is not None and verify_rsa(key, fields)
