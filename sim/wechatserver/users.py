"""The people behind a mini-program: login codes, phone codes, and the messages that they have agreed to."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sim.webapi import Words
from sim.wechatserver.errors import WeChatError

__all__ = ["Consents", "OneTimeCodes"]

_LIFE_US: Final = 5 * 60 * 1_000_000
"""Codes work for five minutes and once (developers.weixin.qq.com, wx.login and getPhoneNumber)."""


@dataclass(slots=True)
class _Code:
    appid: str | None
    holder: str
    ends_us: int


class OneTimeCodes:
    """Codes that stand for something once.

    A code is either given out by `make`, or speaks for itself: ``js-<openid>`` and, for a further one, ``js-<openid>.<anything>``.

    Args:
        prefix: of codes that speak for themselves.
        holder: what may stand after it.
    """

    def __init__(self, prefix: str, holder: str, words: Words, unix_us: Callable[[], int]) -> None:
        self._pattern = re.compile(rf"{prefix}-({holder})(?:\.[A-Za-z0-9]{{1,16}})?")
        self._words = words
        self._unix_us = unix_us
        self._made: dict[str, _Code] = {}
        self._used: set[str] = set()  # only ever asked for membership, never iterated

    def make(self, appid: str | None, holder: str) -> str:
        """A new code, for one mini-program or for any."""
        now_us = self._unix_us()
        while self._made and next(iter(self._made.values())).ends_us <= now_us:
            del self._made[next(iter(self._made))]
        word = self._words.word(32)
        self._made[word] = _Code(appid, holder, now_us + _LIFE_US)
        return word

    def take(self, appid: str, word: str) -> str:
        """Whom a code stands for; from now on it stands for nobody.

        Raises:
            WeChatError: unknown, used, expired, or another mini-program's.
        """
        made = self._made.get(word)
        if made is not None:
            if made.appid not in {None, appid} or self._unix_us() >= made.ends_us:
                raise WeChatError(40029)
            del self._made[word]
            return made.holder
        match = self._pattern.fullmatch(word)
        if match is None or word in self._used:
            raise WeChatError(40029)
        self._used.add(word)
        return match[1]


class Consents:
    """How many messages of a template each user will still take: one acceptance is one message."""

    def __init__(self) -> None:
        self._left: dict[tuple[str, str, str], int] = {}
        self._muted: set[tuple[str, str]] = set()  # only ever asked for membership, never iterated

    def accept(self, appid: str, openid: str, template_id: str, times: int = 1) -> int:
        """The user tapped "allow" in ``wx.requestSubscribeMessage``; returns how many messages are due to them now."""
        key = (appid, openid, template_id)
        self._left[key] = self._left.get(key, 0) + times
        return self._left[key]

    def mute(self, appid: str, openid: str, *, muted: bool = True) -> None:
        """The user's main switch in the mini-program's settings; acceptances stay counted."""
        if muted:
            self._muted.add((appid, openid))
        else:
            self._muted.discard((appid, openid))

    def left(self, appid: str, openid: str, template_id: str) -> int:
        """How many messages the user will still take."""
        return self._left.get((appid, openid, template_id), 0)

    def spend(self, appid: str, openid: str, template_id: str) -> None:
        """Use one acceptance up.

        Raises:
            WeChatError: 43101, there is none, or the user has switched messages off.
        """
        key = (appid, openid, template_id)
        if (appid, openid) in self._muted or not self._left.get(key):
            raise WeChatError(43101)
        self._left[key] -= 1
