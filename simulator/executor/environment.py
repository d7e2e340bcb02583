"""The environment of a rank's process: its share of the cores, Gloo on loopback, a heap that is kept.

The executor's ranks and the calibration's measuring processes are set up alike: prices hold for processes like these.
"""

from __future__ import annotations

import os
import sys

LOOPBACK = {"linux": "lo", "darwin": "lo0"}

HEAP_BYTES = 2**30
"""glibc hands large freed blocks back to the system, and the next tensor of that size pays for fresh pages; a rank that
keeps this much of its heap, and maps nothing, behaves like a GPU's caching allocator from the second step on."""


def rank_settings(ranks: int) -> dict[str, str]:
    """The variables of one of `ranks` processes on this machine."""
    threads = str(max(1, num_cores() // ranks))
    settings = {
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "MALLOC_TRIM_THRESHOLD_": str(HEAP_BYTES),
        "MALLOC_MMAP_MAX_": "0",
    }
    if sys.platform in LOOPBACK and "GLOO_SOCKET_IFNAME" not in os.environ:
        settings["GLOO_SOCKET_IFNAME"] = LOOPBACK[sys.platform]
    return settings


def rank_environment(ranks: int) -> dict[str, str]:
    """This process's environment with those variables, and its module search path."""
    return os.environ | rank_settings(ranks) | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}


def num_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
