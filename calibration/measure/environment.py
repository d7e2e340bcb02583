"""The environment of a process that measures, and that executes: one thread a rank, Gloo on loopback, a calm heap.

Prices hold for processes that are set up like this one; the executor's ranks should be.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

HEAP_BYTES = 2**30
"""glibc hands large freed blocks back to the system, and the next tensor of that size pays for fresh pages; a rank that
keeps this much of its heap, and maps nothing, behaves like a GPU's caching allocator from the second step on."""

SETTINGS = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "GLOO_SOCKET_IFNAME": "lo",
    "MALLOC_TRIM_THRESHOLD_": str(HEAP_BYTES),
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_ARENA_MAX": "1",
}


def measuring_environment(base: Mapping[str, str] | None = None) -> dict[str, str]:
    """A copy of the environment with the settings of a rank."""
    return {**(os.environ if base is None else base), **SETTINGS}
