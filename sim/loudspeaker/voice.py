"""A loudspeaker's voice as samples: one recording for each word, made at run time, and announcements joined from them.

Nobody's voice is copied: a word is a sum of gliding tones in the bands where vowels have their formants, drawn from the word itself, so
that the same word sounds the same in every run and two words never sound alike. What matters for reading an announcement back, and is
as real boxes have it, is the way it is put together: recordings from a bank, one after the other, with gaps, through a sampling rate,
a volume and noise.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["BANK_RATE", "HOUSE_WORDS", "Playing", "Samples", "clip_of", "join_clips", "resample"]

Samples = npt.NDArray[np.float32]

BANK_RATE: Final = 16_000
"""Samples a second of the recordings; many boxes play them at half of it."""

HOUSE_WORDS: Final = (
    *"零一二三四五六七八九十百千万点元角分号枪",
    "微信",
    "支付宝",
    "银联",
    "会员",
    "收款",
    "到账",
)
"""All words that announcements are made of."""

_CHARACTER_S: Final = 0.25
_BANDS_HZ: Final = ((280, 850), (900, 1_900), (2_000, 3_300))
"""First, second and third formant, all below half the lower rate."""

_LOUDNESS: Final = (1.0, 0.7, 0.4)
_EDGE_S: Final = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Playing:
    """How an announcement is played and recorded.

    Attributes:
        rate: 8,000 or 16,000 samples a second.
        gain: of the volume, 1 as recorded.
        gaps_s: silence after a clip, drawn between these two.
        snr_db: noise below the voice; None for none.
    """

    rate: int = 8_000
    gain: float = 1.0
    gaps_s: tuple[float, float] = (0.03, 0.06)
    snr_db: float | None = 10.0


@cache
def clip_of(word: str) -> Samples:
    """The recording of a word at `BANK_RATE`: 0.25 s for each of its characters, with an effective value of 1."""
    rng = random.Random(f"clip/{word}")
    parts = []
    for _ in word:
        count = round(_CHARACTER_S * BANK_RATE)
        at = np.arange(count) / BANK_RATE
        sound = np.zeros(count)
        for (low, high), loudness in zip(_BANDS_HZ, _LOUDNESS, strict=True):
            first, last = rng.uniform(low, high), rng.uniform(low, high)
            glide = first * at + (last - first) * at**2 / (2 * _CHARACTER_S)
            sound += loudness * np.sin(2 * np.pi * (glide + rng.random()))
        edge = round(_EDGE_S * BANK_RATE)
        window = np.ones(count)
        window[:edge] = np.sin(np.linspace(0, np.pi / 2, edge)) ** 2
        window[-edge:] = window[:edge][::-1]
        parts.append(sound * window)
    whole = np.concatenate(parts)
    clip: Samples = (whole / np.sqrt(np.mean(whole**2))).astype(np.float32)
    return clip


def join_clips(words: Sequence[str], playing: Playing, rng: random.Random) -> Samples:
    """An announcement as a microphone beside the box records it.

    Args:
        words: what is said; each has a recording.
        playing: how.
        rng: gaps, the silence before and after, noise.
    """
    pieces: list[Samples] = [_silence(rng.uniform(0.05, 0.25))]
    for word in words:
        pieces += [clip_of(word), _silence(rng.uniform(*playing.gaps_s))]
    pieces.append(_silence(rng.uniform(0.05, 0.25)))
    sound = resample(np.concatenate(pieces), BANK_RATE, playing.rate) * np.float32(playing.gain)
    if playing.snr_db is not None:
        level = playing.gain * 10 ** (-playing.snr_db / 20)
        noise = np.random.default_rng(rng.getrandbits(64)).standard_normal(len(sound), dtype=np.float32)
        sound = sound + np.float32(level) * noise
    return sound.astype(np.float32)


def resample(sound: Samples, rate: int, wanted: int) -> Samples:
    """From one rate to another; the same, half or twice are all that there is.

    Raises:
        ValueError: another ratio.
    """
    if rate == wanted:
        return sound
    if rate == 2 * wanted:
        return np.convolve(sound, _half_band(), mode="same")[::2].astype(np.float32)
    if wanted == 2 * rate:
        wide = np.zeros(2 * len(sound), dtype=np.float32)
        wide[::2] = sound
        return (2 * np.convolve(wide, _half_band(), mode="same")).astype(np.float32)
    raise ValueError(f"{rate} to {wanted} samples a second: only the same, half or twice")


@cache
def _half_band() -> Samples:
    """A low-pass at a quarter of the rate: a windowed sinc."""
    at = np.arange(-31, 32)
    taps = np.sinc(at / 2) / 2 * np.hamming(len(at))
    whole: Samples = (taps / taps.sum()).astype(np.float32)
    return whole


def _silence(seconds: float) -> Samples:
    return np.zeros(round(seconds * BANK_RATE), dtype=np.float32)
