"""What public sources leave open about the gateway, as switches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from protocols.wechatpay.resource import OaepHash

__all__ = ["Switches"]


@dataclass(frozen=True, kw_only=True)
class Switches:
    """Behaviours no public source settles, or on which sources contradict each other. Every default is *unproven*.

    Attributes:
        sign_business_errors: whether business 4xx carry signature headers. Only unauthenticated refusals were probed
            (unsigned), while the documentation says "all replies".
        reused_number: an order number used again with other parameters: 403 OUT_TRADE_NO_USED (API pages) or
            400 INVALID_REQUEST ``201 商户订单号重复`` (FAQ and user reports).
        close_closed: closing a closed order: ``accept`` (204 again) or ``refuse`` (400 ORDER_CLOSED).
        unpaid_life_s: an order nobody pays is closed after this (documents differ: 7 or 15 days); it is also the
            latest allowed ``time_expire``.
        prepay_life_s: life of a prepay_id and of a ``code_url`` (2 h, documented).
        require_pay_sign: the payer's phone refuses a payment call without a valid ``paySign``. The real phone always
            does; off, it checks the signature only when the caller passes one.
        require_login: prepay refuses an openid that never logged in through ``jscode2session``.
        rate_limits: enforce the published limits (refund 150/s and 6 wrong ones/s, refund query 300/s, certificates 1000/s,
            fund bill 3/s, per merchant).
        rate_limit_code: what one request too many is answered: FREQUENCY_LIMITED (API pages) or RATELIMIT_EXCEEDED (status
            page), both with 429.
        oaep_hash: hash of encrypted fields: SHA1 (guide and SDKs) or SHA256 (one FAQ page).
        certificate_times: how the certificate list writes its times: ``text`` (the page's sample) or ``integer`` (its
            parameter table).
        callback_public_key_permille: share of callbacks signed with the public key instead of the certificate; the
            documented switch-over goes 1, 10, 50, 100, 200, 500, 1000 within 7 days (WXDOC 4012154180).
        switch_over_unix_us: when that switch-over begins; None: the share stays as it is.
        auth_code_life_s: life of the code a phone shows (about a minute).
        password_above_fen: a pay code asks for the password above this (1,000 yuan).
        free_payments_a_day: and after so many payments without one in a day.
        codepay_life_s: a password box that nobody answers ends the order after this (45 s); REVOKED from then on.
        reverse_userpaying: reversing an order whose payer is at the password box: ``early`` refuses it within
            `reverse_wait_s` of the charge (the cashier is told to wait as long), ``always`` refuses, ``accept`` revokes.
        reverse_wait_s: 15 s.
        reverse_life_s: a paid order can be reversed for 7 days (v2's rule).
        refund_gap_s: refunds of one order must be so far apart (the pages say a minute); what a hasty one is answered is
            not stated, here that of `rate_limit_code`. 0 lets it pass.
        debit_over_limit: a debit above its contract's limit: ``refuse`` (403 RULE_LIMIT at once) or ``fail`` (accepted,
            then PAY_FAIL).
        announce_failed_debits: whether a failed debit is announced (``TRANSACTION.FAIL``, as the parking pages have it).
        bill_ready_s: a day's bill is ready so long after the next midnight in China (10 h; work on it begins at 9).
        bill_hash: what ``hash_value`` is the hash of: the ``content``, or the ``file`` (which differs when gzipped).
        codepay_codes: other names for the codes of the pay-code page; ours are v2's, for want of a public table.
    """

    sign_business_errors: bool = False
    reused_number: Literal["OUT_TRADE_NO_USED", "INVALID_REQUEST"] = "OUT_TRADE_NO_USED"
    close_closed: Literal["accept", "refuse"] = "accept"
    unpaid_life_s: int = 7 * 86_400
    prepay_life_s: int = 7_200
    require_pay_sign: bool = False
    require_login: bool = False
    rate_limits: bool = True
    rate_limit_code: Literal["FREQUENCY_LIMITED", "RATELIMIT_EXCEEDED"] = "FREQUENCY_LIMITED"
    oaep_hash: OaepHash = "SHA1"
    certificate_times: Literal["text", "integer"] = "text"
    callback_public_key_permille: int = 0
    switch_over_unix_us: int | None = None
    auth_code_life_s: int = 60
    password_above_fen: int = 100_000
    free_payments_a_day: int = 10
    codepay_life_s: int = 45
    reverse_userpaying: Literal["early", "always", "accept"] = "early"
    reverse_wait_s: int = 15
    reverse_life_s: int = 7 * 86_400
    refund_gap_s: int = 60
    debit_over_limit: Literal["refuse", "fail"] = "refuse"
    announce_failed_debits: bool = True
    bill_ready_s: int = 36_000
    bill_hash: Literal["content", "file"] = "content"
    codepay_codes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 <= self.callback_public_key_permille <= 1000:
            raise ValueError("callback_public_key_permille must be between 0 and 1000")
        for name in (
            "unpaid_life_s",
            "prepay_life_s",
            "auth_code_life_s",
            "codepay_life_s",
            "reverse_life_s",
        ):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive")
        for name in (
            "password_above_fen",
            "free_payments_a_day",
            "reverse_wait_s",
            "refund_gap_s",
            "bill_ready_s",
        ):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative")
