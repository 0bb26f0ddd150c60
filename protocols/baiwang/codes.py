"""The codes of replies that say no, as data."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BaiwangCodes", "BaiwangError"]


@dataclass(frozen=True, kw_only=True, slots=True)
class BaiwangCodes:
    """Code of each refusal. The first six are in the public reference; the rest have no source and stand for their meaning.

    Attributes:
        token, token_expired: the token is unknown, has ended.
        signature: the sign does not fit.
        type_code: ``invoiceTypeCode`` is none that can be issued.
        missing: a required field is empty.
        red_state: the form is in no state for this.
        credentials: user, password or secret wrong.
        method: no such method or version.
        content: a field is wrong, or the figures do not fit.
        duplicate: the serial number exists: query it.
        not_found: no such invoice or form.
        pending: not issued yet; query later.
        failed: the tax bureau said no.
    """

    token: str = "100001"  # noqa: S105 # a code
    token_expired: str = "100002"  # noqa: S105 # a code
    signature: str = "100007"
    type_code: str = "20019"
    missing: str = "70169"
    red_state: str = "70035"
    credentials: str = "100003"
    method: str = "100005"
    content: str = "70001"
    duplicate: str = "20050"
    not_found: str = "20051"
    pending: str = "20052"
    failed: str = "20053"


class BaiwangError(Exception):
    """A reply that says no.

    Attributes:
        kind: name of a field of `BaiwangCodes`.
        message: the text of the reply.
    """

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        self.message = message
        super().__init__(f"{kind}: {message}")
