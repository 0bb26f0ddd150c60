"""How the shares of processor time are worked out."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from scenarios.measured.machine import ProcessorShares


def times(**seconds: float) -> Any:
    fields = tuple(seconds)
    return SimpleNamespace(_fields=fields, **seconds)


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        (
            {"user": 10, "system": 5, "idle": 100, "iowait": 1, "steal": 2, "guest": 3},
            {"user": 25, "system": 10, "idle": 170, "iowait": 6, "steal": 7, "guest": 9},
            "busy 20 %, stolen by the hypervisor 5 %",
        ),
        ({"user": 0, "system": 0, "idle": 0}, {"user": 1, "system": 1, "idle": 2}, "busy 50 %"),
        ({"user": 7, "idle": 9}, {"user": 7, "idle": 9}, "busy 0 %"),
    ],
)
def test_shares_of_what_passed(monkeypatch, before, after, shown):
    readings = iter((times(**before), times(**after)))
    monkeypatch.setattr(psutil, "cpu_times", lambda: next(readings))
    assert ProcessorShares().since() == shown
