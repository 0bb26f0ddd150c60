"""What one car will do, drawn once when it comes: each purpose from its own stream ``car/<number>/<purpose>``.

So the thousandth car takes the same fill whether one or two cashiers work, and whether it pays inside or on the phone.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sim.people.members import BY_CONTRACT, Wallet
from sim.people.profile import DemandProfile, FillProfile, MemberProfile

__all__ = ["CarPlan", "PayBy", "draw_car", "truncated_normal_ml"]

PayBy = Literal["order_first", "scan_after", "card", "cash", "fuel_card", "wechatpay-code", "unionpay-code"]
_PULSE_ML = 10
_MINUTE_US = 60_000_000
# A truncated normal that misses this often in a row has bounds far out in its tail: clamp instead of looping for ever.
_TRIES = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CarPlan:
    """One car's intentions. Times are durations in microseconds."""

    number: int
    grade: str
    full_ml: int
    """Volume at which the tank is full and the nozzle shuts off."""
    preset_fen: int | None
    preset_ml: int | None
    flow_ml_per_min: int
    pay_by: PayBy
    prepaid: bool
    invoice: Literal["individual", "organisation"] | None
    balk_us: int
    renege_us: int | None
    """Waiting time after which the driver leaves the queue; None for one who never does."""
    approach_us: int
    prepare_us: int
    hang_up_us: int
    drive_off_us: int
    walk_in_us: int
    walk_back_us: int
    cashier_us: int
    phone_pay_us: int
    channel: str = "wechatpay"
    """How the phone pays, by the backend's name."""
    drives_off: bool = False
    """Leaves with the fuel without paying."""
    wallet: Wallet | None = None
    """What this driver holds at the station and puts towards the bill."""

    @property
    def on_phone(self) -> bool:
        """Whether this driver pays on the phone."""
        return self.pay_by in {"order_first", "scan_after"}

    def wanted_ml(self, price_fen_per_l: int) -> int:
        """Volume (whole pulses) that this car takes at a price: the preset or a full tank, whichever comes first."""
        wanted = self.full_ml
        if self.preset_ml is not None:
            wanted = min(wanted, self.preset_ml)
        if self.preset_fen is not None:
            wanted = min(wanted, self.preset_fen * 1_000 // price_fen_per_l)
        return max(_PULSE_ML, wanted // _PULSE_ML * _PULSE_ML)


def truncated_normal_ml(fills: FillProfile, rng: random.Random) -> int:
    """A fill by rejection from the normal distribution, in whole 10 ml pulses within the profile's bounds."""
    drawn = float(fills.mean_ml)
    for _ in range(_TRIES):
        drawn = rng.gauss(fills.mean_ml, fills.sd_ml)
        if fills.min_ml <= drawn <= fills.max_ml:
            break
    return round(min(max(drawn, fills.min_ml), fills.max_ml) / _PULSE_ML) * _PULSE_ML


def _choose(weights: Mapping[str, float], rng: random.Random) -> str:
    names = sorted(weights)
    return rng.choices(names, [weights[name] for name in names])[0]


def _renege_us(profile: DemandProfile, rng: random.Random) -> int | None:
    share = profile.patience.renege_share_per_min
    if share <= 0.0:
        return None
    if share >= 1.0:
        return profile.patience.renege_after_us
    # "A share p of those still waiting leaves in each minute" is an exponential with rate -ln(1 - p) a minute.
    minutes = rng.expovariate(-math.log1p(-share))
    return profile.patience.renege_after_us + round(minutes * _MINUTE_US)


def _wallet(members: MemberProfile, rng: random.Random) -> Wallet | None:
    # Each draw is made whatever the others give, so that one share moves nobody else's.
    points, balance_fen = rng.randint(1, members.points), rng.randint(1, members.balance_fen)
    coins = [rng.random() for _ in range(3)]
    has_coupon = coins[1] < members.coupon_share
    wallet = Wallet(
        points=points if coins[0] < members.points_share else 0,
        coupon_fen=members.coupon_fen if has_coupon else 0,
        coupon_from_fen=members.coupon_from_fen if has_coupon else 0,
        balance_fen=balance_fen if coins[2] < members.balance_share else 0,
    )
    return wallet or None


def draw_car(profile: DemandProfile, seed: str, number: int) -> CarPlan:
    """Draw the plan of car ``number``; the same car for the same seed, whatever else happens in the run."""

    def stream(purpose: str) -> random.Random:
        return random.Random(f"{seed}/car/{number}/{purpose}")

    fills, steps, patience = profile.fills, profile.steps, profile.patience
    full_ml = truncated_normal_ml(fills, stream("fill"))
    by_phone = stream("adoption").random() < profile.adoption
    way = _choose(profile.phone_mix if by_phone else profile.kiosk_mix, stream("pay-by"))

    preset = stream("preset")
    coin = preset.random()
    preset_fen = preset_ml = None
    if coin < fills.by_amount_share:
        preset_fen = preset.choices(*zip(*fills.amounts_fen, strict=True))[0]
        full_ml = fills.max_ml  # a round sum is chosen by those whose tank has room for it
    elif coin < fills.by_amount_share + fills.by_volume_share:
        preset_ml = preset.choices(*zip(*fills.volumes_ml, strict=True))[0]
        full_ml = fills.max_ml

    prepay = stream("prepay")
    prepaid = way == "order_first" and preset_fen is not None and prepay.random() < profile.prepay_share
    if prepaid and preset_fen is not None and prepay.random() < profile.undelivered_share:
        # Full at half to nine tenths of the paid sum, at about 8 yuan a litre: enough that something is left over.
        full_ml = max(
            _PULSE_ML, round(preset_fen * prepay.uniform(0.5, 0.9) * 1_000 / 800 / _PULSE_ML) * _PULSE_ML
        )

    invoice: Literal["individual", "organisation"] | None = None
    wish = stream("invoice")
    if wish.random() < profile.invoice_share:
        invoice = "organisation" if wish.random() < profile.organisation_share else "individual"
    channel = _choose(profile.phone_channels, stream("channel")) if by_phone else ""
    if channel == BY_CONTRACT and (way != "order_first" or prepaid):
        channel = "wechatpay"  # a debit needs an order that runs into it
    wallet = None
    if profile.members is not None and by_phone and not prepaid and channel != BY_CONTRACT:
        wallet = _wallet(profile.members, stream("wallet"))
    # Drawn only where somebody does: what everybody else draws stays as it is either way.
    honest = prepaid or channel == BY_CONTRACT or not profile.drive_off_share
    drives_off = not honest and stream("drives-off").random() < profile.drive_off_share
    cashier_us = steps.cashier.draw(stream("cashier"))
    if invoice is not None:
        cashier_us += steps.cashier_invoice.draw(stream("cashier-invoice"))
    return CarPlan(
        number=number,
        grade=_choose(profile.grade_mix, stream("grade")),
        full_ml=full_ml,
        preset_fen=preset_fen,
        preset_ml=preset_ml,
        flow_ml_per_min=stream("flow").randint(fills.flow_ml_per_min_low, fills.flow_ml_per_min_high),
        pay_by=way,  # type: ignore[arg-type]  # the keys of both mixes are checked where scenarios are read
        prepaid=prepaid,
        invoice=invoice,
        balk_us=stream("balk").randint(patience.balk_low_us, patience.balk_high_us),
        renege_us=_renege_us(profile, stream("renege")),
        approach_us=steps.approach.draw(stream("approach")),
        prepare_us=steps.prepare.draw(stream("prepare")),
        hang_up_us=steps.hang_up.draw(stream("hang-up")),
        drive_off_us=steps.drive_off.draw(stream("drive-off")),
        walk_in_us=steps.walk_in.draw(stream("walk-in")),
        walk_back_us=steps.walk_back.draw(stream("walk-back")),
        cashier_us=cashier_us,
        phone_pay_us=steps.phone_pay.draw(stream("phone-pay")),
        channel=channel,
        drives_off=drives_off,
        wallet=wallet,
    )
