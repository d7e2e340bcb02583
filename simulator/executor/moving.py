"""Layers on the move: parameters and optimizer state go from the rank that holds them to the one that shall.

Every rank names the same moves in the same order; what goes from one rank to another is one message of bytes, so that
nothing is rounded. The rest of a stage's state stays where it is. Under ZeRO replicas first gather what they share, for
other layers make other buckets, of which each replica owns another part. What a compressor has kept back of a gradient
moves with its parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod

import torch
import torch.distributed as dist

from simulator.executor.dense import DenseParameters
from simulator.executor.flat import FlatBucket
from simulator.model import blocks
from simulator.policies.compression import compressor_of
from simulator.policies.stage_balancer import moved_layers
from simulator.policies.stage_partition import Partition
from simulator.stage_balance import holders_of

MASTER = "master"
STEPS = "steps"
"""Of an optimizer's state what no parameter has a part of: how often it has been applied."""
COUNTERS = ("step", "offset")
"""Of a compressor's state what no parameter has a part of, and all buckets have alike."""

Pieces = dict[str, torch.Tensor]
"""{master, a name of the optimizer's state or of what a compressor keeps: a parameter's flat values}."""


@dataclass
class Carried:
    """pieces: by parameter; of a frozen one its value is the master. steps: how often the optimizer has been applied.
    counters: of the compressors."""

    pieces: dict[str, Pieces]
    steps: torch.Tensor | None = None
    counters: dict[str, int] = field(default_factory=dict)

    @property
    def values(self) -> dict[str, torch.Tensor]:
        """Of each parameter."""
        return {name: pieces[MASTER] for name, pieces in self.pieces.items()}


def move_layers(scenario, dense: DenseParameters, rank: int, before: Partition, after: Partition) -> Carried:
    """What this rank holds behind the move; both partitions are of the whole pipeline."""
    carried, sends, receives = carry(dense, remembered(scenario.plan)), {}, {}
    held = carried.pieces
    own, *others = scenario.layout.coordinates(rank)
    holder = holders_of(scenario.plan)
    for layer, *stages in moved_layers(before, after):
        names = _parameters(scenario, layer)
        source, target = (holder[stage] for stage in stages)
        if source == target:
            continue
        if source == own:
            sends.setdefault(target, []).extend(names)
        if target == own:
            receives.setdefault(source, []).extend(names)
    trained = _agreed(dense, carried)
    waiting, arriving = [], []
    for target, names in sends.items():
        pieces = [piece.contiguous().view(torch.uint8) for name, *_ in names for piece in held.pop(name).values()]
        waiting.append(dist.isend(torch.cat(pieces), scenario.layout.rank(target, *others)))
    for source, names in receives.items():
        kinds = [{MASTER: dense.numerics.parameters} if frozen else trained for _, _, frozen in names]
        size = sum(
            count * dtype.itemsize
            for (_, count, _), kind in zip(names, kinds, strict=True) for dtype in kind.values()
        )  # fmt: skip
        message = torch.empty(size, dtype=torch.uint8)
        waiting.append(dist.irecv(message, scenario.layout.rank(source, *others)))
        arriving.append((message, names, kinds))
    for work in waiting:
        work.wait()
    for message, names, kinds in arriving:
        at = 0
        for (name, count, _), kind in zip(names, kinds, strict=True):
            held[name] = {}
            for key, dtype in kind.items():
                size = count * dtype.itemsize
                held[name][key] = message[at : at + size].clone().view(dtype)
                at += size
    return carried


def carry(dense: DenseParameters, kept: Sequence[str] = ()) -> Carried:
    """Copies of everything that a rank holds, parameter by parameter. kept: see `remembered`."""
    found = Carried({})
    for bucket in dense.buckets.values():
        state = dict(dense.states[bucket.name])
        found.steps = state.pop(STEPS, found.steps)
        found.counters |= {key: bucket.state[key] for key in COUNTERS if key in bucket.state}
        flats = {MASTER: dense.masters[bucket.name].detach(), **state}
        if dense.zero:
            flats = {key: _whole(dense, bucket, own) for key, own in flats.items()}
        nothing = torch.zeros(bucket.numel, dtype=dense.numerics.reduce)
        flats |= {key: bucket.state.get(key, nothing) for key in kept}
        for name, (first, count) in bucket.places.items():
            kinds = flats if first < bucket.numel else {MASTER: bucket.weights.detach()}
            found.pieces[name] = {key: flat[first : first + count].clone() for key, flat in kinds.items()}
    return found


def adopt(dense: DenseParameters, carried: Carried, kept: Sequence[str] = ()) -> None:
    """New buckets take over masters, optimizer state and what compressors keep."""
    with torch.no_grad():
        for bucket in dense.buckets.values():
            names = [name for name, (first, _) in bucket.places.items() if first < bucket.numel]
            for key in carried.pieces[names[0]] if names else ():
                flat = torch.cat([carried.pieces[name][key] for name in names])
                if key in kept:
                    bucket.state[key] = flat
                    continue
                own = bucket.stage_parts(flat, dense.shard.size)[dense.shard.index].clone() if dense.zero else flat
                if key == MASTER:
                    dense.masters[bucket.name].copy_(own)
                else:
                    dense.states[bucket.name][key] = own
            if kept:
                bucket.state |= carried.counters
            if carried.steps is not None and names:
                dense.states[bucket.name][STEPS] = carried.steps.clone()


def remembered(plan) -> tuple[str, ...]:
    """What the compressor of a plan keeps of each parameter from step to step."""
    if plan.compression.method == "none":
        return ()
    entries = compressor_of(plan, plan.compression.method).remembered(1)
    return ("residual", "momentum")[:entries]


def _agreed(dense: DenseParameters, carried: Carried) -> dict[str, torch.dtype]:
    """What a trained parameter's pieces are called, and their dtypes; a rank that trains nothing learns it from the
    others, and how often they have been updated."""
    own = next((pieces for name, pieces in carried.pieces.items() if not dense.held[name].parameter.frozen), {})
    mine = ({key: piece.dtype for key, piece in own.items()}, carried.steps, carried.counters)
    told: list = [None] * dist.get_world_size()
    dist.all_gather_object(told, mine)
    kinds, carried.steps, carried.counters = next((one for one in told if one[0]), mine)
    return kinds


def _whole(dense: DenseParameters, bucket: FlatBucket, own: torch.Tensor) -> torch.Tensor:
    """All of what replicas share, from this one's part."""
    parts = dense.shard.all_gather(own, own.element_size()).view(dense.shard.size, -1)
    flat = own.new_empty(bucket.numel)
    bucket.unstage_parts(parts, flat)
    return flat


def _parameters(scenario, layer: int) -> list[tuple[str, int, bool]]:
    """(name, entries on one rank, whether it is frozen) of each parameter of a layer."""
    model, tensor = scenario.model, scenario.layout.tensor
    return [
        (one.name, prod(one.local_shape(tensor)), one.frozen)
        for unit in blocks.units(model)
        if unit.layer == layer
        for one in blocks.parameters(model, unit)
    ]
