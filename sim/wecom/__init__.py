"""WeCom (``qyapi.weixin.qq.com``) to test against: tokens, customer tags and who carries them, with faults as data."""

from __future__ import annotations

from sim.wecom.errors import ERRORS, WeComError
from sim.wecom.server import Corp, WeCom
from sim.wecom.tags import Tag, TagGroup, TagLibrary, TagLimits

__all__ = ["ERRORS", "Corp", "Tag", "TagGroup", "TagLibrary", "TagLimits", "WeCom", "WeComError"]
