"""The bottom MLP of a DLRM on one rank, as if it were a table: `plan.bottom_mlp: one_rank`.

NVIDIA's DeepLearningExamples place it so (PyTorch/Recommendation/DLRM/dlrm/utils/distributed.py, get_device_mapping):
member 0 of the table group runs it on the rows of all replicas, and its vectors and their gradients travel with those
of the tables. Beside more than 4 members it has no table of its own. Its gradients need no reduction. The numbers of
all rows are where they are read, as the examples' data loader brings them: no message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from simulator.model import memory_rules
from simulator.model.blocks import dlrm_bottom
from simulator.model.blocks.cut import Cut
from simulator.model.bottom_mlp import MEMBER
from simulator.model.lookups import group_size
from simulator.model.tables.kernels import backward_of, forward_of, update_of
from simulator.model.tables.loads import Load, holds, loads_of
from simulator.model.work import Kernel, Step


def whole_cut(scenario, cut: Cut) -> Cut:
    """The rows of all replicas."""
    return replace(cut, batch=cut.batch * group_size(scenario))


def lookup_steps(scenario, cut: Cut, of: str) -> tuple[Step, ...]:
    """What its rank runs for one microbatch where others look up tables. of: F or B."""
    run = dlrm_bottom.forward if of == "F" else dlrm_bottom.backward
    tables = forward_of if of == "F" else backward_of
    beside = _beside(scenario, lambda load: tables(load, scenario, cut.sparse_gradients))
    return (*run(scenario.model, whole_cut(scenario, cut)), *beside)


def update_steps(scenario, cut: Cut) -> tuple[Step, ...]:
    """Its update, and that of tables beside it."""
    scaled = memory_rules.scales_loss(scenario)
    own = memory_rules.update_kernels(
        _count(scenario), scenario.precision, scenario.optimizer, scaled=scaled, clips=cut.clips
    )
    return (*own, *_beside(scenario, lambda load: update_of(load, scenario, cut.sparse_gradients)))


def held_bytes(scenario, cut: Cut) -> int:
    """Parameters, gradients, optimizer states and what the forward pass of all rows keeps."""
    at_rest = memory_rules.dense_bytes(_count(scenario), scenario.precision, scenario.optimizer)
    return sum(at_rest.values()) + dlrm_bottom.kept_bytes(scenario.model, whole_cut(scenario, cut))


def _count(scenario) -> int:
    return sum(parameter.count for parameter in dlrm_bottom.parameters(scenario.model))


def _beside(scenario, steps: Callable[[Load], Iterable[Kernel]]) -> tuple[Kernel, ...]:
    """What the tables ask of its member."""
    return tuple(step for load in loads_of(scenario, MEMBER) if holds(load.placed, MEMBER) for step in steps(load))
