"""Where a DLRM's bottom MLP is: on every rank, or on one, as if it were a table (`model/tables/bottom.py`)."""

from __future__ import annotations

from simulator.model.lookups import group_size
from simulator.units import DTYPE_BYTES

MEMBER = 0
"""Of the table group: the one that has it."""
ALONE_ABOVE = 4
"""In a larger group its member holds no table that has few owners (get_device_mapping: `num_gpus > 4`)."""


def on_one_rank(scenario) -> bool:
    """Whether a plan places a bottom MLP there. With one member there is nothing to place."""
    wanted = scenario.plan.bottom_mlp == "one_rank" and group_size(scenario) > 1
    return wanted and scenario.model.is_dlrm and bool(scenario.model.dense.bottom)


def reserves_member(scenario) -> bool:
    """Whether its member takes no table."""
    return on_one_rank(scenario) and group_size(scenario) > ALONE_ABOVE


def vector_bytes(scenario) -> int:
    """What one rank gets from it for a microbatch; 0 where every rank has its own."""
    if not on_one_rank(scenario):
        return 0
    size = DTYPE_BYTES[scenario.precision.vectors or scenario.dtype]
    return scenario.plan.microbatch * scenario.model.dense.bottom[-1] * max(2, size)
