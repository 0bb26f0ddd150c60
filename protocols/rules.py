"""A point that is taken for true of a protocol, and how well it is supported.

None of the pump protocols has a standard that may be quoted, so each package lists its rules in `rules.py`, with the published
programs and captures they rest on. A certifier may fail a device only on a rule with two or more independent sources
(`Rule.mandatory`); the others give a warning or a remark.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["Rule", "by_id"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One point of a protocol.

    Attributes:
        id: slug; it never changes.
        text: the rule in our own words, or what a deviating peer does.
        count: number of *independent* sources; 0 marks this project's own reading. It is not the number of ``sources``: some
            authors cannot be named, and two programs of one author count once.
        sources: public repositories that state or show it, where known.
        deviation: what real peers do against the rules: accepted and recorded, never refused.
    """

    id: str
    text: str
    count: int
    sources: tuple[str, ...] = ()
    deviation: bool = False

    @property
    def mandatory(self) -> bool:
        """Two or more independent sources, and no deviation: a device may be failed on it."""
        return self.count >= 2 and not self.deviation


def by_id(*rules: Rule) -> Mapping[str, Rule]:
    """The rules under their ids, in the order given."""
    return MappingProxyType({rule.id: rule for rule in rules})
