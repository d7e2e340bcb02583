"""Memory: what every rank holds at its peak and over time, what its allocator keeps, and what makes a plan fit.

walk (launches, one after another) -> peak, curve (on a timeline), reserve (through the allocator's model);
feasibility tries remedies in their written order.
"""

from __future__ import annotations

from simulator.memory.peak import (
    KINDS,
    Memory,
    RankMemory,
    allocator_reserve,
    at_rest,
    context_reserve,
    measure_memory,
    memory_limit,
    moments,
)

__all__ = [
    "KINDS",
    "Memory",
    "RankMemory",
    "allocator_reserve",
    "at_rest",
    "context_reserve",
    "measure_memory",
    "memory_limit",
    "moments",
]
