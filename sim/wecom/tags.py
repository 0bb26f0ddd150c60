"""A corporation's library of customer tags, and which customer carries which (developer.work.weixin.qq.com 92117, 92118)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sim.webapi import Words
from sim.wecom.errors import WeComError

__all__ = ["Tag", "TagGroup", "TagLibrary", "TagLimits"]

_NAME_LENGTH: Final = 30
_ORDERS: Final = 1 << 32


@dataclass(frozen=True, kw_only=True)
class TagLimits:
    """How many tags there may be; sources differ, so both are settings.

    Attributes:
        library: in the corporation's library (3,000 in older pages, 10,000 in newer ones).
        per_customer: that one member puts on one customer.
    """

    library: int = 3_000
    per_customer: int = 3_000


@dataclass(slots=True)
class Tag:
    """One tag; ``create_s`` is Unix time."""

    id: str
    name: str
    order: int
    create_s: int

    def shown(self) -> dict[str, Any]:
        """As the platform shows it."""
        return {"id": self.id, "name": self.name, "create_time": self.create_s, "order": self.order}


@dataclass(slots=True)
class TagGroup:
    """A group of tags, never empty."""

    id: str
    name: str
    order: int
    create_s: int
    tags: list[Tag] = field(default_factory=list)

    def shown(self, tags: Sequence[Tag] | None = None) -> dict[str, Any]:
        """As the platform shows it, with all tags or some."""
        shown = [tag.shown() for tag in (self.tags if tags is None else tags)]
        head = {"group_id": self.id, "group_name": self.name, "create_time": self.create_s}
        return {**head, "order": self.order, "tag": shown}


class TagLibrary:
    """The library and the marks of one corporation.

    Args:
        words: where ids come from.
        limits: how many tags there may be.
    """

    def __init__(self, words: Words, limits: TagLimits) -> None:
        self._words = words
        self._limits = limits
        self.groups: list[TagGroup] = []
        self._marks: dict[tuple[str, str], dict[str, None]] = {}

    def _tag(self, tag_id: str) -> tuple[TagGroup, Tag] | None:
        found = ((group, tag) for group in self.groups for tag in group.tags if tag.id == tag_id)
        return next(found, None)

    def listed(self, tag_ids: Sequence[str], group_ids: Sequence[str]) -> list[dict[str, Any]]:
        """Groups with their tags, highest order first; group ids win over tag ids, neither means everything.

        Raises:
            WeComError: 40068, an id that there is not.
        """
        groups = sorted(self.groups, key=lambda group: -group.order)
        if group_ids:
            self._known(group_ids, [group.id for group in groups])
            return [group.shown() for group in groups if group.id in group_ids]
        if tag_ids:
            self._known(tag_ids, [tag.id for group in groups for tag in group.tags])
            shown = ((group, [tag for tag in group.tags if tag.id in tag_ids]) for group in groups)
            return [group.shown(tags) for group, tags in shown if tags]
        return [group.shown() for group in groups]

    @staticmethod
    def _known(asked: Sequence[str], known: Sequence[str]) -> None:
        for one in asked:
            if one not in known:
                raise WeComError(40068)

    def add(self, body: Mapping[str, Any], now_s: int) -> dict[str, Any]:
        """Add tags to a group by id or by name, which makes the group where there is none of it; shows the new tags.

        Of tags with one name in a call only one is made; a name that the group has already is refused.

        Raises:
            WeComError: 40068 no such group, 40058 no tags, 40072 a name's length, 40071 a name that is there.
        """
        wanted = _new_tags(body.get("tag"))
        group_id, group_name = body.get("group_id"), body.get("group_name")
        group: TagGroup | None
        is_new = False
        if group_id:
            group = next((one for one in self.groups if one.id == group_id), None)
            if group is None:
                raise WeComError(40068, "group id not allowed")
        else:
            name = _name(group_name)
            group = next((one for one in self.groups if one.name == name), None)
            if group is None:
                is_new = True
                group = TagGroup(self._words.word(32), name, _order(body.get("order")), now_s)
        if any(tag.name in wanted for tag in group.tags):
            raise WeComError(40071)
        if sum(len(one.tags) for one in self.groups) + len(wanted) > self._limits.library:
            raise WeComError(40058, "too many tags")  # with which number the platform says it is unproven
        made = [Tag("et" + self._words.word(30), name, order, now_s) for name, order in wanted.items()]
        group.tags += made
        if is_new:
            self.groups.append(group)
        return group.shown(made)

    def edit(self, body: Mapping[str, Any]) -> None:
        """Rename a tag or a group, or give it another order.

        Raises:
            WeComError: 40068 no such id, 40071 a name that is there, 40072 a name's length.
        """
        wanted = body.get("id")
        found = self._tag(wanted) if isinstance(wanted, str) else None
        siblings: Sequence[Tag | TagGroup]
        if found is not None:
            target: Tag | TagGroup = found[1]
            siblings = found[0].tags
        else:
            groups = [group for group in self.groups if group.id == wanted]
            if not groups:
                raise WeComError(40068)
            target, siblings = groups[0], self.groups
        if body.get("name") is not None:
            name = _name(body["name"])
            if any(one is not target and one.name == name for one in siblings):
                raise WeComError(40071)
            target.name = name
        if body.get("order") is not None:
            target.order = _order(body["order"])

    def delete(self, tag_ids: Sequence[str], group_ids: Sequence[str]) -> None:
        """Delete tags and groups, with all marks; a group without tags is gone too.

        Raises:
            WeComError: 40058 nothing is named, 40068 an id that there is not; then nothing is deleted.
        """
        if not tag_ids and not group_ids:
            raise WeComError(40058)
        self._known(tag_ids, [tag.id for group in self.groups for tag in group.tags])
        self._known(group_ids, [group.id for group in self.groups])
        gone = {tag.id: None for group in self.groups if group.id in group_ids for tag in group.tags}
        gone |= dict.fromkeys(tag_ids)
        for group in self.groups:
            group.tags = [tag for tag in group.tags if tag.id not in gone]
        self.groups = [group for group in self.groups if group.tags]
        for marks in self._marks.values():
            for tag_id in [one for one in marks if one in gone]:
                del marks[tag_id]

    def mark(self, userid: str, external: str, add: Sequence[str], remove: Sequence[str]) -> None:
        """A member puts tags on a customer and takes others off; either all of it happens or none.

        Raises:
            WeComError: 40058 nothing to do or too many, 40068 no such tag.
        """
        if not add and not remove:
            raise WeComError(40058, "add_tag and remove_tag are both empty")
        self._known([*add, *remove], [tag.id for group in self.groups for tag in group.tags])
        marks = dict(self._marks.get((userid, external), {}))
        for tag_id in remove:
            marks.pop(tag_id, None)
        marks |= dict.fromkeys(add)
        if len(marks) > self._limits.per_customer:
            raise WeComError(40058, "too many tags")  # with which number the platform says it is unproven
        self._marks[userid, external] = marks

    def marks(self) -> list[dict[str, Any]]:
        """Who has put which tags on whom."""
        return [
            {"userid": userid, "external_userid": external, "tag_id": list(tags)}
            for (userid, external), tags in self._marks.items()
            if tags
        ]


def _name(value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= _NAME_LENGTH:
        raise WeComError(40072)
    return value


def _order(value: object) -> int:
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _ORDERS:
        raise WeComError(40058, "order")
    return value


def _new_tags(tags: object) -> dict[str, int]:
    """Names and orders of the tags to be made."""
    if not isinstance(tags, list) or not tags or not all(isinstance(tag, dict) for tag in tags):
        raise WeComError(40058, "tag")
    return {_name(tag.get("name")): _order(tag.get("order")) for tag in tags}
