"""Who may call Nuonuo and Baiwang, and the switches for what no source settles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from protocols.baiwang import OIL_MARKS, BaiwangCodes, PasswordForm

__all__ = ["BaiwangApp", "BaiwangSwitches", "NuonuoApp", "NuonuoSwitches"]


@dataclass(frozen=True, slots=True)
class NuonuoApp:
    """An application of one taxpayer's own (自用型)."""

    app_key: str
    app_secret: str = field(repr=False)
    taxpayer_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class NuonuoSwitches:
    """What no source settles.

    Attributes:
        new_token_ends_old: whether a new token makes the old one worthless.
        timestamp_window_s: how far a request's time may be off; None: not looked at.
        callback_waits_us: waits before each further attempt to push a result that was not taken.
    """

    new_token_ends_old: bool = False
    timestamp_window_s: int | None = None
    callback_waits_us: tuple[int, ...] = (60_000_000, 300_000_000, 1_800_000_000)


@dataclass(frozen=True, slots=True)
class BaiwangApp:
    """An application with its user, for one taxpayer."""

    app_key: str
    app_secret: str = field(repr=False)
    taxpayer_id: str
    username: str
    password: str = field(repr=False)
    salt: str = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class BaiwangSwitches:
    """What the sources disagree about or do not say.

    Attributes:
        passwords: forms of the password that are taken.
        oil_marks: ``invoiceTypeCode`` -> values of ``invoiceSpecialMark`` taken for refined oil.
        duplicate: ``error``: a repeated serial is refused with "exists, query it"; ``same``: it is answered as the first was.
        sync_wait_us: how long ``invoice.issue`` waits for the tax bureau before it says "pending".
        new_token_ends_old: whether a new token makes the old one worthless.
        codes: code of each refusal.
    """

    passwords: tuple[PasswordForm, ...] = tuple(PasswordForm)
    oil_marks: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: OIL_MARKS)
    duplicate: Literal["error", "same"] = "error"
    sync_wait_us: int = 10_000_000
    new_token_ends_old: bool = False
    codes: BaiwangCodes = field(default_factory=BaiwangCodes)
