"""What a make of dispenser declares about itself: flow curve, valve, limits, time-outs, policies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["DispenserProfile"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DispenserProfile:
    """The declared figures of a dispenser. All are integers in the unit of their name.

    Attributes:
        max_flow_ml_per_min: the hydraulics give no more, however hard the hand squeezes (GB 50156: petrol <= 50 L/min).
        slow_start_ml: the first part of each delivery, run at ``slow_start_ml_per_min`` (leak and hose check).
        slow_start_ml_per_min: flow during the slow start.
        slow_stop_ml: the last part before a preset, run at the small valve (makers declare 0.3 to 1.5 L).
        slow_stop_ml_per_min: flow through the small valve, below 10 L/min.
        valve_close_us: from the command to the closed valve. For a preset the command is given that much earlier, so the
            delivery ends on the preset; for a stop the fuel that passes meanwhile belongs to the sale.
        min_preset_fen: a smaller amount preset is refused.
        min_preset_ml: a smaller volume preset is refused.
        max_preset_fen: a larger amount preset is refused, never wrapped (keyboards end at 9,999.99 yuan).
        max_preset_ml: a larger volume preset is refused (keyboards end at 9,999.99 L).
        max_price_fen_per_l: a larger unit price is refused.
        authorisation_ttl_us: an authorisation that no nozzle used ends after this time.
        no_flow_timeout_us: a started delivery without flow for this time ends.
        zero_sales: ``drop`` makes no record of a delivery without a pulse, ``journal`` makes one flagged ``zero``.
        journal_limit: deliveries kept (field boards keep 50,000).
        journal_full: what happens when so many deliveries wait for a controller. ``refuse`` refuses to authorise until
            the oldest is acknowledged; ``lock`` locks the pump, which then needs a person; ``overwrite`` drops the
            oldest and tells it (`RecordOverwritten`): field boards that do so lose sales.
        sequence_max: the sequence number after this one is 1 (9,999 for four BCD digits, 2**32 - 1 for four bytes).
        starts_open: after power-on the fuelling points are IDLE; otherwise CLOSED until a controller opens them.
        trickle_ml: the very last part before a preset, inside ``slow_stop_ml``, run at ``trickle_ml_per_min``; 0 for none.
        trickle_ml_per_min: flow of the trickle.
        valve_lag_us: how much longer the small valve takes to close than the board reckons with; what passes meanwhile
            is the overrun beyond a preset (relays and worn valves: up to 150 ms).
        min_flow_ml_per_min: Q_min as declared; 5 L/min for a petrol dispenser.
        mmq_ml: minimum measured quantity; a smaller preset is refused. 0: none declared (R 117: at most 5 L for
            dispensers up to 60 L/min).
        price_decimals: decimals of the unit price at this site: 2 in China, 3 in much of the world.
        price_while_busy: a price that comes between authorisation and the end of the sale is refused (``refuse``) or
            kept and set for the next delivery (``next``). One delivery has one price in either case.
        price_jump_percent: a price that differs from the one before by more needs a confirmation; 0: any is taken.
        preset_precedence: what counts when the customer keyed in a preset at the pump and the controller sends one, too:
            the controller's (``remote``), the keyed one (``local``), or whichever ends the delivery first
            (``smaller``).
        price_pause_us: after a remote price change the valve opens so much later at the earliest (OIML R 117-1: 5 s).
        total_volume_digits: digits of the volume totaliser, in steps of 10 ml: with 8 it rolls over after
            999,999.99 L. 0: as wide as the wire that carries it.
        total_amount_digits: the same for the amount totaliser, in fen.
        nv_write_us: time in which the board writes one copy of one record. Power that fails meanwhile tears that copy.
        resume_outage_us: an interrupted delivery goes on after an outage of at most this, the nozzle still being out
            (OIML R 117-1 allows 15 s). 0: it never does.
        display_hold_us: so long the battery shows an interrupted sale (OIML R 117-1: 15 min).
        tamper_limit_ppm: a pulse value further from the sealed one than this is abnormal (JJG 443: 0.6 %).
        tamper_deliveries: so many abnormal deliveries in a row lock the pump.
        swap_deliveries: so many deliveries after a part was exchanged without initialisation lock the pump.
        software_id: identification of the metering software; it stands in each record.
        self_service: customers fuel by themselves: it says which product is in their hand when they lift a nozzle (GB 50156, 6.2),
            by its own loudspeaker and without a controller (`VoicePrompt`).
    """

    max_flow_ml_per_min: int = 50_000
    slow_start_ml: int = 100
    slow_start_ml_per_min: int = 8_000
    slow_stop_ml: int = 500
    slow_stop_ml_per_min: int = 6_000
    valve_close_us: int = 80_000
    min_preset_fen: int = 1
    min_preset_ml: int = 10
    max_preset_fen: int = 999_999
    max_preset_ml: int = 9_999_990
    max_price_fen_per_l: int = 9_999
    authorisation_ttl_us: int = 180_000_000
    no_flow_timeout_us: int = 120_000_000
    zero_sales: Literal["drop", "journal"] = "drop"
    journal_limit: int = 50_000
    journal_full: Literal["overwrite", "refuse", "lock"] = "refuse"
    sequence_max: int = 2**32 - 1
    starts_open: bool = True
    trickle_ml: int = 0
    trickle_ml_per_min: int = 1_000
    valve_lag_us: int = 0
    min_flow_ml_per_min: int = 5_000
    mmq_ml: int = 0
    price_decimals: int = 2
    price_while_busy: Literal["refuse", "next"] = "refuse"
    price_pause_us: int = 0
    price_jump_percent: int = 0
    preset_precedence: Literal["remote", "local", "smaller"] = "remote"
    total_volume_digits: int = 0
    total_amount_digits: int = 0
    nv_write_us: int = 0
    resume_outage_us: int = 0
    display_hold_us: int = 900_000_000
    tamper_limit_ppm: int = 6_000
    tamper_deliveries: int = 5
    swap_deliveries: int = 3
    software_id: str = ""
    self_service: bool = False

    def __post_init__(self) -> None:
        for name in (
            "max_flow_ml_per_min",
            "slow_start_ml_per_min",
            "slow_stop_ml_per_min",
            "journal_limit",
            "sequence_max",
            "authorisation_ttl_us",
            "no_flow_timeout_us",
            "trickle_ml_per_min",
            "min_flow_ml_per_min",
            "tamper_limit_ppm",
            "tamper_deliveries",
            "swap_deliveries",
        ):
            if getattr(self, name) <= 0:
                raise ValueError(f"dispenser profile: {name} must be positive, not {getattr(self, name)}")
        for name in (
            "slow_start_ml",
            "slow_stop_ml",
            "valve_close_us",
            "trickle_ml",
            "valve_lag_us",
            "mmq_ml",
            "price_pause_us",
            "price_jump_percent",
            "nv_write_us",
            "resume_outage_us",
            "display_hold_us",
        ):
            if getattr(self, name) < 0:
                raise ValueError(f"dispenser profile: {name} must not be negative, not {getattr(self, name)}")
        if not 0 <= self.price_decimals <= 4:
            raise ValueError(f"dispenser profile: a price has 0 to 4 decimals, not {self.price_decimals}")
        for name in ("total_volume_digits", "total_amount_digits"):
            digits = getattr(self, name)
            if digits and not 5 <= digits <= 12:
                raise ValueError(
                    f"dispenser profile: {name} is 5 to 12, or 0 for the wire's own, not {digits}"
                )
        if self.journal_full not in {"overwrite", "refuse", "lock"}:
            raise ValueError(
                f"dispenser profile: journal_full is refuse, lock or overwrite, not {self.journal_full!r}"
            )

    @property
    def effective_min_preset_ml(self) -> int:
        """The smallest volume preset that is taken."""
        return max(self.min_preset_ml, self.mmq_ml)

    def metrology_problems(self) -> tuple[str, ...]:
        """What the declared figures have against OIML R 117-1 (5.1); empty when they can be type-approved."""
        problems = []
        if self.max_flow_ml_per_min < 10 * self.min_flow_ml_per_min:
            problems.append(
                f"the flow range is {self.max_flow_ml_per_min}:{self.min_flow_ml_per_min} ml/min, less than 10:1"
            )
        if not self.mmq_ml:
            problems.append("no minimum measured quantity is declared")
        elif self.max_flow_ml_per_min <= 60_000 and self.mmq_ml > 5_000:
            problems.append(f"the minimum measured quantity is {self.mmq_ml} ml, more than 5000 ml")
        if 0 < self.resume_outage_us > 15_000_000:
            problems.append(
                f"a delivery may go on after an outage of {self.resume_outage_us} us, more than 15 s"
            )
        if self.price_pause_us < 5_000_000:
            problems.append(
                f"a new price is shown for {self.price_pause_us} us before a delivery, less than 5 s"
            )
        if self.display_hold_us < 900_000_000:
            problems.append(f"an interrupted sale is shown for {self.display_hold_us} us, less than 15 min")
        return tuple(problems)
