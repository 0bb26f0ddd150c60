"""One message for all phones: each notices the payment in the best way that its state allows, and never twice."""

from __future__ import annotations

import itertools

import pytest

from protocols.loudspeaker import Announcement, staff_message
from sim.loudspeaker import StaffPhone

NOW_US = 1_767_225_600_000_000
PAID = Announcement(request_id="N1", amount_fen=20_005, nozzle=3)
MESSAGE = staff_message(PAID, proved_us=NOW_US, fresh_us=30_000_000)

SYSTEMS = ("ios", "android")


def phone(system, **state):
    return StaffPhone(system=system, **state)


@pytest.mark.requirement("vox.phone-systems-fall-back")
@pytest.mark.parametrize("system", SYSTEMS)
def test_the_best_that_each_state_allows(system):
    def reaction(**state):
        return phone(system, **state).receive(MESSAGE, NOW_US + 1_000_000)

    assert reaction(is_foreground=True) == "speech"
    assert reaction() == "sound"
    assert reaction(is_silent=True) == "vibration"
    assert reaction(is_foreground=True, is_silent=True) == "vibration"
    assert reaction(focus="time-sensitive") == "sound"
    assert reaction(focus="all") == "shown"
    assert reaction(is_dozing=True) == "sound"


@pytest.mark.requirement("vox.phone-systems-fall-back")
def test_every_phone_notices_it_once():
    for system, foreground, silent, focus, dozing in itertools.product(
        SYSTEMS, (True, False), (True, False), ("off", "time-sensitive", "all"), (True, False)
    ):
        one = phone(system, is_foreground=foreground, is_silent=silent, focus=focus, is_dozing=dozing)
        assert one.receive(MESSAGE, NOW_US) in {"speech", "sound", "vibration", "shown"}
        assert one.receive(MESSAGE, NOW_US + 5_000_000) == "repeated"
        assert len(one.notifications) + len(one.spoken) == 1
        assert all(shown == ("收款", "3号枪 200.05 元") for shown in one.notifications.values())


@pytest.mark.parametrize("system", SYSTEMS)
def test_what_is_old_is_news_to_nobody(system):
    assert phone(system, is_foreground=True).receive(MESSAGE, NOW_US + 30_000_000) == "expired"
    assert phone(system, is_foreground=True).receive(MESSAGE, NOW_US + 29_000_000) == "speech"


@pytest.mark.requirement("vox.phone-systems-fall-back")
@pytest.mark.parametrize("part", ["android", "apns"])
def test_a_message_without_a_part_fails_the_phones_that_need_it(part):
    half = {name: value for name, value in MESSAGE.items() if name != part}
    system = "ios" if part == "apns" else "android"
    with pytest.raises(KeyError):
        phone(system).receive(half, NOW_US)


def test_a_low_priority_would_come_late_and_a_missing_sound_be_missed():
    low = {**MESSAGE, "android": {**MESSAGE["android"], "priority": "NORMAL"}}
    assert phone("android", is_dozing=True).receive(low, NOW_US) == "later"
    mute = {
        **MESSAGE,
        "apns": {**MESSAGE["apns"], "payload": {"aps": {"alert": {"title": "a", "body": "b"}}}},
    }
    assert phone("ios").receive(mute, NOW_US) == "vibration"
    assert phone("ios", focus="time-sensitive").receive(mute, NOW_US) == "shown"


def test_the_speech_is_the_announcement():
    assert MESSAGE["data"]["speech"] == "三号枪微信收款二百元零五分"
    assert all(isinstance(value, str) for value in MESSAGE["data"].values())  # as data messages must
