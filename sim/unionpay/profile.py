"""How fast the gateway is, and how it decides what public sources leave open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from protocols.unionpay import CODES, NO_FILE, Endpoint
from sim.latency import LatencyProfile

__all__ = ["NOTICE_LADDERS_S", "GatewayProfile", "Switches"]

_REFERENCE = LatencyProfile.lognormal(80_000, 200_000)
_READ = LatencyProfile.lognormal(40_000, 120_000)
_ISSUER = LatencyProfile.lognormal(250_000, 900_000)
_SETTLE = LatencyProfile.lognormal(1_000_000, 5_000_000)

NOTICE_LADDERS_S: Final = {"1-2-4-5": (60, 120, 240, 300), "0-1-2-4": (0, 60, 120, 240)}
"""Waits between the five sends of a notice: UP-GO has the first, the official demonstration code the second."""


@dataclass(frozen=True, kw_only=True)
class GatewayProfile:
    """The gateway's own share of time; the network's legs come on top.

    The defaults are assumptions: the platform publishes no figures.

    Attributes:
        front: form received → cashier page.
        back: back request complete → committed.
        query: query, and a settlement file.
        app: app request → tn.
        confirm: the payer's finger → trade paid and the phone's answer; no password and no bank in it.
        issuer: a scanned payment or a completion accepted → the card issuer has said yes.
        settle: refund or cancel accepted → done.
        notice: trade done → first notice leaves.
    """

    front: LatencyProfile = _REFERENCE
    back: LatencyProfile = _REFERENCE
    query: LatencyProfile = _READ
    app: LatencyProfile = _REFERENCE
    confirm: LatencyProfile = _ISSUER
    issuer: LatencyProfile = _ISSUER
    settle: LatencyProfile = _SETTLE
    notice: LatencyProfile = _REFERENCE

    @classmethod
    def instant(cls) -> GatewayProfile:
        """No delay anywhere: for tests of behaviour."""
        zero = LatencyProfile.constant(0)
        return cls(
            front=zero,
            back=zero,
            query=zero,
            app=zero,
            confirm=zero,
            issuer=zero,
            settle=zero,
            notice=zero,
        )

    def of(self, endpoint: Endpoint) -> LatencyProfile:
        """The profile of one URL."""
        return {
            Endpoint.FRONT: self.front,
            Endpoint.BACK: self.back,
            Endpoint.QUERY: self.query,
            Endpoint.APP: self.app,
            Endpoint.FILE: self.query,
        }[endpoint]


@dataclass(frozen=True, kw_only=True)
class Switches:
    """Behaviours no public source settles, or on which sources contradict each other. Every default is *unproven*.

    Attributes:
        notice_ladder: which waits lie between the five sends of a notice.
        refund_days: a paid trade can be refunded this long (sources: 30 for QR, 90 promised, 330 by the system, 11 months in
            an old demonstration code).
        over_refund_code: answer to a refund beyond what is left.
        late_follow_up_code: answer to a cancel outside the original's clearing day or a refund outside its period.
        expired_code: ``origRespCode`` of an order nobody paid in time.
        reversed_code: ``origRespCode`` of a trade that was reversed.
        pending_query_code: ``origRespCode`` while the payer has not paid (05 was seen from the test gateway).
        unpaid_life_s: an order without ``payTimeout`` can be paid this long.
        scan_life_s: the payer has this long for the password after the own code was scanned.
        code_life_s: life of the payer's own code.
        password_over_fen: a scanned payment above this asks the payer's password; below, it goes through by itself.
        completion_permille: a completion may be this much of its pre-authorisation.
        allow_sha1: serve version 5.0.0, whose signatures rest on SHA-1.
        sign_refusals: whether refusals of requests with a bad signature are signed as all others.
        txn_time_skew_s: ``txnTime`` further than this from now is refused (39); 0 lets every time pass.
        file_ready_s: seconds after midnight (China time) at which the settlement file of the clearing day before is there.
        file_kept_days: it is there so long.
        no_file_code: answer where a settlement file is not there yet, not there any more, or was never made.
        empty_day_file: whether a clearing day without a transaction has a file (an empty one).
        fee_per_10_000: the merchant's fee in a settlement file, of payments alone.
    """

    notice_ladder: Literal["1-2-4-5", "0-1-2-4"] = "1-2-4-5"
    refund_days: int = 330
    over_refund_code: str = "36"
    late_follow_up_code: str = "39"
    expired_code: str = "69"
    reversed_code: str = "46"
    pending_query_code: str = "05"
    unpaid_life_s: int = 900
    scan_life_s: int = 60
    code_life_s: int = 60
    password_over_fen: int = 100_000
    completion_permille: int = 1150
    allow_sha1: bool = False
    sign_refusals: bool = True
    txn_time_skew_s: int = 0
    file_ready_s: int = 9 * 3600
    file_kept_days: int = 90
    no_file_code: str = NO_FILE
    empty_day_file: bool = False
    fee_per_10_000: int = 60

    def __post_init__(self) -> None:
        if self.notice_ladder not in NOTICE_LADDERS_S:
            raise ValueError(f"notice_ladder must be one of {', '.join(NOTICE_LADDERS_S)}")
        for name in (
            "over_refund_code",
            "late_follow_up_code",
            "expired_code",
            "reversed_code",
            "pending_query_code",
            "no_file_code",
        ):
            code = getattr(self, name)
            if code not in CODES or code in {"00", "A6"}:
                raise ValueError(f"{name} must be a code of a trade that did not succeed, not {code!r}")
        for name in ("refund_days", "unpaid_life_s", "scan_life_s", "code_life_s", "file_kept_days"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive")
        if self.file_ready_s < 0 or not 0 <= self.fee_per_10_000 <= 1_000:
            raise ValueError("file_ready_s must be 0 or more, fee_per_10_000 from 0 to 1000")
        if self.completion_permille < 1000 or self.password_over_fen < 0 or self.txn_time_skew_s < 0:
            raise ValueError(
                "completion_permille must be 1000 or more; password_over_fen and txn_time_skew_s 0 or more"
            )
