"""One call of a platform API as its handler sees it, and the reply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

__all__ = ["Call", "Reply"]

Reply: TypeAlias = dict[str, Any]
"""A JSON object; these platforms answer 200 whatever it says."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request that has been read.

    Attributes:
        name: what the service calls it; faults and latencies name it so.
        method: in capitals.
        query: the query's parameters, the first of each name.
        body: the JSON object of a POST; empty for a GET.
        is_json: False when a POST's body is no JSON object.
    """

    name: str
    method: str
    query: Mapping[str, str]
    body: Mapping[str, Any] = field(default_factory=dict)
    is_json: bool = True

    def text(self, name: str) -> str:
        """A text field of the body; empty when it is missing or something else."""
        value = self.body.get(name)
        return value if isinstance(value, str) else ""

    def texts(self, name: str) -> list[str]:
        """A list of texts in the body; empty when it is missing or something else."""
        value = self.body.get(name)
        return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
