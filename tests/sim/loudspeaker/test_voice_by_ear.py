"""Announcements on sound: what a box plays is read back by ear, and every spoilt one is noticed."""

from __future__ import annotations

import random

import numpy as np
import pytest

from protocols.loudspeaker import (
    MQLINKS,
    PAYERS,
    STATION,
    Announcement,
    ClipMessage,
    Heard,
    MoneyMessage,
    NotUnderstoodError,
    encode_message,
    understand,
    words_of,
)
from scenarios.statistics import clopper_pearson
from sim.kernel import VirtualKernel
from sim.loudspeaker import BoxProfile, Loudspeaker
from sim.loudspeaker.ear import Ear
from sim.loudspeaker.voice import HOUSE_WORDS, Playing, clip_of, join_clips, resample

S = 1_000_000


@pytest.fixture(scope="module")
def ear():
    return Ear()


def draw(rng, number="n"):
    """A payment of any size: each number of digits as likely as the others."""
    return Announcement(
        request_id=number,
        amount_fen=max(1, min(9_999_999_999, int(10 ** rng.uniform(0, 10)))),
        nozzle=rng.randint(1, 32),
        payer=rng.choice(PAYERS),
    )


def playing(rng, snr_db=10.0):
    return Playing(rate=rng.choice([8_000, 16_000]), gain=rng.uniform(0.3, 1.2), snr_db=snr_db)


def test_recordings_are_their_own_and_always_the_same():
    clips = {word: clip_of(word) for word in HOUSE_WORDS}
    assert {len(clip) for clip in clips.values()} == {4_000, 8_000, 12_000}
    for word, clip in clips.items():
        assert np.sqrt(np.mean(clip**2)) == pytest.approx(1.0, abs=1e-3)
        for other, second in clips.items():
            if other != word and len(second) == len(clip):
                size = 2 * len(clip)
                spectrum = np.fft.rfft(clip, size) * np.conj(np.fft.rfft(second, size))
                assert np.max(np.abs(np.fft.irfft(spectrum, size))) / len(clip) < 0.6, (word, other)
    clip_of.cache_clear()
    assert np.array_equal(clip_of("三"), clips["三"])


def test_resampling_keeps_the_sound():
    tone = np.sin(2 * np.pi * 440 * np.arange(8_000) / 16_000).astype(np.float32)
    there_and_back = resample(resample(tone, 16_000, 8_000), 8_000, 16_000)
    assert np.max(np.abs(there_and_back[200:-200] - tone[200:-200])) < 0.02
    assert resample(tone, 16_000, 16_000) is tone
    with pytest.raises(ValueError, match="only the same"):
        resample(tone, 16_000, 11_025)


@pytest.mark.parametrize("snr_db", [None, 20.0, 10.0, 3.0])
def test_what_is_played_is_heard(ear, snr_db):
    rng = random.Random(f"heard/{snr_db}")
    for _ in range(3):
        words = words_of(draw(rng), reading=rng.choice(["units", "point"]))
        how = playing(rng, snr_db)
        assert ear.hear(join_clips(words, how, rng), how.rate) == words


def test_silence_and_noise_say_nothing(ear):
    assert ear.hear(np.zeros(16_000, dtype=np.float32)) == ()
    noise = np.random.default_rng(1).standard_normal(40_000).astype(np.float32)
    assert ear.hear(noise) == ()
    assert ear.hear(noise[:100]) == ()


def spoil(words, how, rng):
    """The words with one substituted, dropped or repeated."""
    place = rng.randrange(len(words))
    if how == "substituted":
        other = rng.choice([word for word in HOUSE_WORDS if word != words[place]])
        return (*words[:place], other, *words[place + 1 :])
    if how == "dropped":
        return words[:place] + words[place + 1 :]
    return words[: place + 1] + words[place:]


@pytest.mark.parametrize("how", ["substituted", "dropped", "repeated"])
def test_each_spoilt_one_is_heard_as_it_was_played(ear, how):
    rng = random.Random(how)
    for _ in range(4):
        words = words_of(draw(rng))
        played = spoil(words, how, rng)
        loud = playing(rng)
        heard = ear.hear(join_clips(played, loud, rng), loud.rate)
        assert heard == played
        assert heard != words


def through_the_box(announcements, rng):
    """What a box says when it is told of these payments, by clips of two banks or by bare amounts."""
    kernel = VirtualKernel("by ear", epoch_us=0)
    boxes = [
        Loudspeaker(kernel, bank.name, profile=BoxProfile(bank=bank, character_us=1, gap_us=0, queue_limit=10**6))
        for bank in (STATION, MQLINKS)
    ]  # fmt: skip
    wanted = {}
    for announcement in announcements:
        kind = rng.choice(["clips", "poor clips", "money"])
        box = boxes[kind == "poor clips"]
        nozzle, payer = announcement.nozzle, announcement.payer
        if kind == "clips":
            message = ClipMessage(announcement.request_id, STATION.numbers(words_of(announcement)))
        elif kind == "poor clips":
            nozzle, payer = None, "微信"
            poor = Announcement(request_id=announcement.request_id, amount_fen=announcement.amount_fen)
            message = ClipMessage(poor.request_id, MQLINKS.numbers(words_of(poor, reading="point")))
        else:
            nozzle = payer = None
            message = MoneyMessage(announcement.request_id, announcement.amount_fen)
        wanted[announcement.request_id] = Heard(nozzle, payer, announcement.amount_fen)
        box.receive(encode_message(message))
    kernel.run(3_600 * S)
    return wanted, {one.request_id: one.words for box in boxes for one in box.said}


def listen(ear, words, rng):
    loud = playing(rng)
    try:
        return understand(ear.hear(join_clips(words, loud, rng), loud.rate))
    except NotUnderstoodError as error:
        return str(error)


def test_a_few_payments_all_the_way(ear):
    rng = random.Random("few")
    wanted, said = through_the_box([draw(rng, f"n{i}") for i in range(8)], rng)
    assert {number: listen(ear, words, rng) for number, words in said.items()} == wanted


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.requirement("vox.error-rate-at-most-a-tenth-percent")
def test_at_most_one_in_a_thousand_is_heard_wrong(ear, capsys):
    """From the amount to the message, to the clips, to the sound, to what is understood: 3,200 payments at 10 dB."""
    rng = random.Random("three thousand")
    wanted, said = through_the_box([draw(rng, f"n{i}") for i in range(3_200)], rng)
    assert set(said) == set(wanted)
    wrong = [number for number, words in said.items() if listen(ear, words, rng) != wanted[number]]
    upper = clopper_pearson(len(wrong), len(wanted), 0.90)[1]
    clips = sum(len(words) for words in said.values())
    with capsys.disabled():
        print(
            f"\n{len(wanted):,} announcements of {clips:,} clips on sound at 10 dB: {len(wrong)} wrong; "
            f"at most {upper:.4%} with 95 % confidence (Clopper-Pearson, one-sided)"
        )
    assert wrong == []
    assert upper <= 0.001


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.requirement("vox.error-rate-at-most-a-tenth-percent")
def test_every_injected_error_is_found(ear, capsys):
    rng = random.Random("injected")
    found = dict.fromkeys(("substituted", "dropped", "repeated"), 0)
    for how in found:
        for _ in range(220):
            words = words_of(draw(rng))
            loud = playing(rng)
            heard = ear.hear(join_clips(spoil(words, how, rng), loud, rng), loud.rate)
            found[how] += heard != words
    with capsys.disabled():
        print(f"\ninjected errors found, of 220 each: {found}")
    assert set(found.values()) == {220}
