"""The parameters that one rank holds a shard of."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.model import blocks
from simulator.model.blocks import Parameter
from simulator.program.placement import ends_meet


@dataclass(frozen=True)
class Held:
    """A parameter that this rank holds a shard of. unit: its index in the model. tied: another stage holds it too."""

    parameter: Parameter
    unit: int
    shape: tuple[int, ...]
    tied: bool = False


def held_parameters(scenario, first: int, last: int) -> tuple[Held, ...]:
    """What one rank holds of units [first, last], in the order of `program.parameters.local_shapes`."""
    model, layout = scenario.model, scenario.layout
    units = blocks.units(model)
    tied = None if ends_meet(scenario.plan) else blocks.tied_parameter(model)
    found = []
    for index in range(first, last + 1):
        for parameter in blocks.parameters(model, units[index]):
            is_tied = tied is not None and parameter.name == tied.name
            found.append(Held(parameter, index, parameter.local_shape(layout.tensor), is_tied))
    if tied is not None and units[last].kind == "head":
        found.append(Held(tied, last, tied.local_shape(layout.tensor), True))
    return tuple(found)
