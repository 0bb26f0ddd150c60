"""The clock every simulated thing lives by: SimPy events in integer microseconds, with an asyncio loop beside them."""

from __future__ import annotations

from sim.kernel.base import Cancellable, Kernel, KernelError
from sim.kernel.streams import Streams
from sim.kernel.trace import Trace, hash_trace_file
from sim.kernel.virtual import VirtualKernel
from sim.kernel.wall import WallKernel

__all__ = [
    "Cancellable",
    "Kernel",
    "KernelError",
    "Streams",
    "Trace",
    "VirtualKernel",
    "WallKernel",
    "hash_trace_file",
]
