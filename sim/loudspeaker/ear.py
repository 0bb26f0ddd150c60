"""An ear for a loudspeaker's voice: which recordings were played, read off the samples by matched filters.

A recording of each word is slid over the sound; where the two agree, their normalised correlation comes close to one. Going from left to
right, at each step the best match of the near future wins. No recogniser that runs offline is nearly good enough for one error in a
thousand; a closed bank of recordings, which is what these boxes have, can be told apart far better than that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from sim.loudspeaker.voice import BANK_RATE, HOUSE_WORDS, Samples, clip_of, resample

__all__ = ["Ear"]

_RATE: Final = 8_000
_THRESHOLD: Final = 0.5
"""Correlation above which something was said: at 10 dB a right match has 0.95, at 0 dB 0.7, a wrong one below 0.4."""

_LOOK_AHEAD_S: Final = 0.15
"""How far behind the end of a clip the next may begin; longer than any gap."""


class Ear:
    """Knows the recordings.

    Args:
        words: those it knows.
    """

    def __init__(self, words: Sequence[str] = HOUSE_WORDS) -> None:
        self._words = tuple(words)
        self._clips = [resample(clip_of(word), BANK_RATE, _RATE) for word in self._words]
        self._norms = [float(np.sqrt(np.sum(clip**2))) for clip in self._clips]
        self._spectra: dict[int, list[npt.NDArray[np.complex64]]] = {}

    def hear(self, sound: Samples, rate: int = _RATE) -> tuple[str, ...]:
        """The words that were played, in order.

        Args:
            sound: mono samples.
            rate: samples a second, 8,000 or 16,000.
        """
        sound = resample(sound, rate, _RATE)
        matches = self._correlate(sound)
        heard: list[str] = []
        step = round(_LOOK_AHEAD_S * _RATE)
        place = 0
        while place < len(sound):
            # The first step that holds a match, and in it the best one.
            window = matches[:, place : place + step]
            if window.shape[1] == 0:
                break
            best = np.unravel_index(int(np.argmax(window)), window.shape)
            if window[best] < _THRESHOLD:
                place += step
                continue
            number, at = int(best[0]), place + int(best[1])
            # A peak at the very end of the window may still rise behind it.
            rising = matches[:, at : at + step]
            top = np.unravel_index(int(np.argmax(rising)), rising.shape)
            if rising[top] > matches[number, at] and int(top[1]) < len(self._clips[number]) // 2:
                number, at = int(top[0]), at + int(top[1])
            heard.append(self._words[number])
            place = at + len(self._clips[number]) - step // 8
        return tuple(heard)

    def _correlate(self, sound: Samples) -> npt.NDArray[np.float32]:
        """Normalised correlation, a row for each word, a column for each beginning."""
        size = 1 << (len(sound) - 1).bit_length()
        spectra = self._spectra.get(size)
        if spectra is None:
            spectra = [np.conj(np.fft.rfft(clip, size)).astype(np.complex64) for clip in self._clips]
            self._spectra[size] = spectra
        spectrum = np.fft.rfft(sound, size).astype(np.complex64)
        energy = np.concatenate(([0.0], np.cumsum(sound.astype(np.float64) ** 2)))
        loudest = float(np.sqrt(np.max(np.abs(sound)) ** 2 + 1e-12))
        rows = np.zeros((len(self._clips), len(sound)), dtype=np.float32)
        for number, (clip, own, norm) in enumerate(zip(self._clips, spectra, self._norms, strict=True)):
            count = len(sound) - len(clip) + 1
            if count <= 0:
                continue
            product = np.fft.irfft(spectrum * own, size)[:count]
            power = np.sqrt(np.maximum(energy[len(clip) :] - energy[:count], 0.0))
            # Where it is all but silent, nothing agrees with anything.
            rows[number, :count] = product / (norm * np.maximum(power, 0.05 * loudest * np.sqrt(len(clip))))
        return rows
