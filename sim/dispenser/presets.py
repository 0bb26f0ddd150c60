"""Presets: what a delivery may come to, who says so, and what else stands against an authorisation."""

from __future__ import annotations

from collections.abc import Collection

from .meter import PULSE_ML, pulses_within_amount
from .safety import Safety

__all__ = ["Presets"]


class Presets(Safety):
    """A fuelling point that weighs presets and says why it refuses; base of `FuellingPoint`."""

    def key_in_preset(
        self, now_us: int, *, preset_ml: int | None = None, preset_fen: int | None = None
    ) -> bool:
        """The customer keys in a preset at the pump (None and None: takes it back), for the next delivery.

        Refused from authorisation to the end of the delivery. With a preset of the controller the profile's
        ``preset_precedence`` decides.

        Raises:
            ValueError: both presets are given.
        """
        self._advance(now_us)
        if preset_ml is not None and preset_fen is not None:
            raise ValueError("a delivery has a volume preset or an amount preset, not both")
        free = self._running is None and not self._allowed
        if free:
            self._keyed = (preset_ml, preset_fen)
        self._done(now_us)
        return free

    def _preset_fits(self, allowed: Collection[int], preset_ml: int | None, preset_fen: int | None) -> bool:
        if preset_ml is not None and preset_fen is not None:
            raise ValueError("a delivery has a volume preset or an amount preset, not both")
        profile = self.profile
        fits = True
        grains = [self.nozzles[logical].meter.grain for logical in allowed]
        if preset_ml is not None:
            least_ml = max(profile.effective_min_preset_ml, PULSE_ML * max(grains, default=1))
            fits = least_ml <= preset_ml <= profile.max_preset_ml
        elif preset_fen is not None:
            prices = (self.nozzles[logical].price_fen_per_l for logical in allowed)
            least = max(-(-profile.mmq_ml // PULSE_ML), max(grains, default=1))
            fits = profile.min_preset_fen <= preset_fen <= profile.max_preset_fen and all(
                pulses_within_amount(preset_fen, price, profile.price_decimals) >= least for price in prices
            )
        if not fits:
            self.refusal = "preset outside the declared limits"
        return fits

    def _with_keyed(self, preset_ml: int | None, preset_fen: int | None) -> tuple[int | None, int | None]:
        """The preset that counts beside one that was keyed in at the pump."""
        keyed = self._keyed
        if keyed == (None, None):
            return preset_ml, preset_fen
        remote = (preset_ml, preset_fen)
        if remote == (None, None) or self.profile.preset_precedence == "local":
            return keyed
        if self.profile.preset_precedence == "remote":
            return remote
        price = min(nozzle.price_fen_per_l for nozzle in self.nozzles.values() if nozzle.price_fen_per_l)
        return min(keyed, remote, key=lambda one: self._reach_ml(one, price))

    def _reach_ml(self, preset: tuple[int | None, int | None], price: int) -> int:
        preset_ml, preset_fen = preset
        if preset_ml is not None:
            return preset_ml
        return PULSE_ML * pulses_within_amount(preset_fen or 0, price, self.profile.price_decimals)

    def _is_barred(self) -> bool:
        """Locked, or no room for one more record, or the last one is still being written."""
        if self.locks:
            self.refusal = f"locked: {self.lock_reason}"
        elif self.profile.journal_full == "refuse" and len(self.unacknowledged) >= self.profile.journal_limit:
            self.refusal = "journal full"
        elif self._unwritten is not None:
            self.refusal = "the last record is being written"
        return bool(self.refusal)
