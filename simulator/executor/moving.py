"""Layers on the move: parameters and optimizer state go from the rank that holds them to the one that shall.

Every rank names the same moves in the same order; what goes from one rank to another is one message of bytes, so that
nothing is rounded. The rest of a stage's state stays where it is.
"""

from __future__ import annotations

from math import prod

import torch
import torch.distributed as dist

from simulator.executor.dense import DenseParameters
from simulator.model import blocks
from simulator.policies.stage_balancer import moved_layers
from simulator.policies.stage_partition import Partition
from simulator.stage_balance import holders_of

MASTER = "master"
STEPS = "steps"
"""Of an optimizer's state what no parameter has a part of: how often it has been applied."""

Carried = dict[str, dict[str, torch.Tensor]]
"""{parameter: {master or a name of the optimizer's state: its flat values}}."""


def move_layers(scenario, dense: DenseParameters, rank: int, before: Partition, after: Partition) -> Carried:
    """What this rank holds behind the move; both partitions are of the whole pipeline."""
    held, sends, receives = carry(dense), {}, {}
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
    like = next(iter(held.values()))
    waiting, arriving = [], []
    for target, names in sends.items():
        pieces = [piece.contiguous().view(torch.uint8) for name, _ in names for piece in held.pop(name).values()]
        waiting.append(dist.isend(torch.cat(pieces), scenario.layout.rank(target, *others)))
    for source, names in receives.items():
        size = sum(count * piece.element_size() for _, count in names for piece in like.values())
        message = torch.empty(size, dtype=torch.uint8)
        waiting.append(dist.irecv(message, scenario.layout.rank(source, *others)))
        arriving.append((message, names))
    for work in waiting:
        work.wait()
    for message, names in arriving:
        at = 0
        for name, count in names:
            held[name] = {}
            for key, piece in like.items():
                size = count * piece.element_size()
                held[name][key] = message[at : at + size].clone().view(piece.dtype)
                at += size
    return held


def carry(dense: DenseParameters) -> Carried:
    """Copies of everything that a rank trains, parameter by parameter."""
    found: Carried = {}
    for bucket in dense.buckets.values():
        state = {key: value for key, value in dense.states[bucket.name].items() if key != STEPS}
        flats = {MASTER: dense.masters[bucket.name], **state}
        for name, (first, count) in bucket.places.items():
            found[name] = {key: flat.detach()[first : first + count].clone() for key, flat in flats.items()}
    return found


def adopt(dense: DenseParameters, held: Carried, steps: torch.Tensor | None) -> None:
    """New buckets take over masters and optimizer state. steps: how often the optimizer has been applied."""
    with torch.no_grad():
        for bucket in dense.buckets.values():
            master, state = dense.masters[bucket.name], dense.states[bucket.name]
            for name, (first, count) in bucket.places.items():
                for key, piece in held[name].items():
                    flat = master if key == MASTER else state.setdefault(key, torch.zeros_like(master))
                    flat[first : first + count] = piece
            if steps is not None:
                state[STEPS] = steps.clone()


def steps_of(dense: DenseParameters) -> torch.Tensor | None:
    """How often a rank's optimizer has been applied, where it counts."""
    return next((state[STEPS] for state in dense.states.values() if STEPS in state), None)


def _parameters(scenario, layer: int) -> list[tuple[str, int]]:
    """(name, entries on one rank) of each parameter of a layer."""
    model, tensor = scenario.model, scenario.layout.tensor
    return [
        (one.name, prod(one.local_shape(tensor)))
        for unit in blocks.units(model)
        if unit.layer == layer
        for one in blocks.parameters(model, unit)
    ]
