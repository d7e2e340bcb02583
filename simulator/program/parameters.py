"""What one rank holds of the dense parameters: shapes, counts, the part that it owns under ZeRO."""

from __future__ import annotations

from math import prod

from simulator.model import blocks
from simulator.model.memory_rules import part
from simulator.policies.compressor import Compressor
from simulator.program.placement import ends_meet
from simulator.program.program import Bucket
from simulator.units import DTYPE_BYTES


def local_shapes(scenario, first: int, last: int, *, frozen: bool = False) -> tuple[tuple[int, ...], ...]:
    """Shapes of the dense parameters of units [first, last] that one rank trains; frozen: of those that it only holds.

    Where first and last stage share a token embedding and are not on one rank, the last holds a copy of it.
    """
    held = _held(scenario, first, last)
    return tuple(parameter.local_shape(scenario.layout.tensor) for parameter in held if parameter.frozen == frozen)


def _held(scenario, first: int, last: int) -> list[blocks.Parameter]:
    units = blocks.units(scenario.model)[first : last + 1]
    held = [parameter for unit in units for parameter in blocks.parameters(scenario.model, unit)]
    tied = blocks.tied_parameter(scenario.model)
    if tied and not ends_meet(scenario.plan) and units[-1].kind == "head":
        held.append(tied)
    return held


def local_numel(scenario, unit: int, *, frozen: bool = False) -> int:
    """Dense parameters of a unit on one rank: those that are trained, or those that are not."""
    return sum(prod(shape) for shape in local_shapes(scenario, unit, unit, frozen=frozen))


def codec_shapes(scenario, bucket: Bucket, compressor: Compressor) -> tuple[tuple[int, ...], ...]:
    """Shapes of what a compressor works on in a bucket: its parameters', or the parts of all owners in one."""
    if compressor.to_owners:
        return ((scenario.plan.shards * owned_numel(scenario, bucket),),)
    return local_shapes(scenario, bucket.first, bucket.last)


def owned_numel(scenario, bucket: Bucket) -> int:
    """Entries of a bucket that one rank owns under ZeRO, with the zeros that its parts are filled up with.

    A token embedding that another stage holds too is divided on its own (`executor/flat.py`), so that both own the same
    rows of it.
    """
    tied = None if ends_meet(scenario.plan) else blocks.tied_parameter(scenario.model)
    lengths, joins = [], False
    for parameter in _held(scenario, bucket.first, bucket.last):
        if parameter.frozen:
            continue
        is_tied, count = tied is not None and parameter.name == tied.name, parameter.local_count(scenario.plan.tensor)
        if joins and not is_tied:
            lengths[-1] += count
        else:
            lengths.append(count)
        joins = not is_tied
    return sum(part(length, scenario.plan.shards) for length in lengths)


def tied_bytes(scenario) -> int:
    """Bytes of the token embedding's gradient that first and last stage must share; 0 where there is nothing to tie."""
    tied = blocks.tied_parameter(scenario.model)
    if not tied or tied.frozen or ends_meet(scenario.plan):
        return 0
    return tied.local_count(scenario.layout.tensor) * DTYPE_BYTES[scenario.precision.gradients]
