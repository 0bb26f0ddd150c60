"""What the machine's processors did meanwhile: a reader of a measured figure must know how quiet the machine was."""

from __future__ import annotations

import psutil

__all__ = ["ProcessorShares"]


class ProcessorShares:
    """Processor time of the whole machine since this was made.

    A hypervisor that gives the processors to others ("stolen" time) delays timers and replies by whole slices, which no
    program on this machine can do anything about.
    """

    def __init__(self) -> None:
        self._before = psutil.cpu_times()

    def since(self) -> str:
        """For the report: ``busy 22 %, stolen by the hypervisor 4 %``; stolen time where the system tells it (Linux)."""
        before, after = self._before, psutil.cpu_times()
        # Guests' time is in the host's user time already.
        fields = [name for name in after._fields if not name.startswith("guest")]
        passed = {name: getattr(after, name) - getattr(before, name) for name in fields}
        total = sum(passed.values()) or 1.0
        resting = passed.get("idle", 0.0) + passed.get("iowait", 0.0)
        stolen = passed.get("steal")
        busy = sum(passed.values()) - resting - (stolen or 0.0)
        shares = f"busy {busy / total:.0%}"
        if stolen is not None:
            shares += f", stolen by the hypervisor {stolen / total:.0%}"
        return shares.replace("%", " %")
