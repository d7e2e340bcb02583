"""What the host does while the device waits: launches that nothing hides, counted from the code of a stack.

Graphs: NVIDIA's DeepLearningExamples (PyTorch/Recommendation/DLRM/dlrm/scripts/main.py, CudaGraphWrapper and the loop
of `main`): torch.cuda.synchronize() ahead of each step; the batch is copied into place, one launch an input, and the
graph of forward and backward is launched. The update stands outside of the graph. Without a loss scale the host
launches it while the graph still runs. With one, GradScaler (torch/cuda/amp/grad_scaler.py) takes the scale out of the
dense gradients and reads back whether any was infinite before it lets their optimizer step; the tables' gradients come
next. Not modelled: the loader's copies from the host, a step ahead on a stream of their own.

Passes: Megatron-LM of 2023 (`stacks.py`) waits for the device ahead of each forward pass, and behind transfers.

What Python does beside launching is in the launches' price (`awaited_launch_s`).
"""

from __future__ import annotations

from simulator import kinds
from simulator.model import tables
from simulator.model.blocks.cut import Cut
from simulator.model.blocks.kernels import memory_bound
from simulator.model.bottom_mlp import on_one_rank
from simulator.model.lookups import group_size
from simulator.model.memory_rules import scales_loss
from simulator.model.work import Host, Kernel, Step

LABEL_BYTES = 4
SCALE_INVERSION = 4
"""Small kernels of GradScaler.unscale_ ahead of its one pass: `_scale.double().reciprocal().float()`, and a zero for
what it finds."""
SCALE_UPDATE = 2
"""Of GradScaler.update: what was found is added up over optimizers, and the scale follows it."""

PASS_LAUNCHES = 2
"""Of a pass, up to its first large kernel: a norm or a bias, and a product."""
MEGATRONS = ("gpt", "bert", "llama")
"""Blocks that Megatron-LM trains, and feeds."""
BATCH_LAUNCHES = 13
"""Of Megatron-LM's get_batch and broadcast_data: sizes to the device, their broadcast and back; the text joined, moved
and broadcast; tokens, labels; a mask of three kernels, a loss mask, positions. Each is taken to cost what an operation
of a module does (`awaited_launch_s`); the data loader's own work is not counted."""


def pass_launches(after_transfer: bool, broadcasts: bool = False) -> int:
    """Launches that a pass of a microbatch waits for. after_transfer: the host has waited for a message between stages.
    broadcasts: it waits for the microbatch's sizes, whatever comes before."""
    if broadcasts:
        return BATCH_LAUNCHES + PASS_LAUNCHES
    return PASS_LAUNCHES if after_transfer else 0


def opening(scenario, cut: Cut, *, has_bottom: bool) -> tuple[Step, ...]:
    """The step's inputs are copied into place and its graph is launched. has_bottom: the rank is the one that has a
    DLRM's bottom MLP for all."""
    steps: list[Step] = []
    for elements, size in _inputs(scenario, cut, has_bottom):
        steps += [Host(1), memory_bound("copy", elements, 2 * size, cut)]  # reads, writes
    return (*steps, Host(1))


def readback(scenario) -> tuple[Step, ...]:
    """Ahead of the update: the host reads the scale's flag and launches up to the first pass over large gradients.
    Nothing without a loss scale."""
    if not scales_loss(scenario):
        return ()
    steps: list[Step] = [*_small(SCALE_INVERSION), Host(1), Host(1)]  # reads the flag; the dense update
    if tables.updates_rows_last(scenario):
        steps += [step for kernel in _small(SCALE_INVERSION) for step in (Host(1), kernel)]
        steps.append(Host(1))
    return tuple(steps)


def closing(scenario) -> tuple[Step, ...]:
    """Behind the update."""
    return _small(SCALE_UPDATE) if scales_loss(scenario) else ()


def _inputs(scenario, cut: Cut, has_bottom: bool) -> tuple[tuple[int, int], ...]:
    """(elements, bytes of one) of each input of a rank: numbers where it has a bottom MLP, ids of the tables that it
    holds or of tokens, labels."""
    model, rows = scenario.model, cut.tokens
    numbers = 0
    if model.is_dlrm and (has_bottom or not on_one_rank(scenario)):
        numbers = model.dense.features * rows * (group_size(scenario) if has_bottom else 1)
    ids = 0 if has_bottom else sum(load.read for load in tables.loads(scenario))
    if not tables.loads(scenario):
        ids = rows
    inputs = ((numbers, cut.bytes), (ids, tables.ID_BYTES), (rows, LABEL_BYTES))
    return tuple((elements, size) for elements, size in inputs if elements)


def _small(count: int) -> tuple[Kernel, ...]:
    return (Kernel("elementwise", (1,), "fp32", 0, 8, kinds.OPTIMIZER),) * count
