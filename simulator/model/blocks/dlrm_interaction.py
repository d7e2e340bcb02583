"""What a DLRM makes of its vectors: the bottom MLP's and one of each table.

    cat       all of them side by side
    dot       the products of all pairs, behind the bottom's vector (arXiv 1906.00091): a batch of (n, n) products, of
              which the part below the diagonal is taken
    dcn_v2    cat, then cross layers x' = x0 * (W V x + b) + x (Wang et al. 2021, arXiv 2008.13535, section 3.4; V of
              [rank, width], W of [width, rank])

FLOPs are those of the whole (n, n) products. A fused dot (`Cut.fused_mlp`: `dotBasedInteract` of NVIDIA's
DeepLearningExamples, dlrm/cuda_src/dot_based_interact) is one kernel each way: no (n, n) matrix is written, and its
backward multiplies once, by the sum of the gradient and its transpose. dcn_v2 runs as separate kernels in every stack.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from simulator.model.blocks import embedding
from simulator.model.blocks.adapter import WHOLE, Training
from simulator.model.blocks.cut import Cut, Parameter
from simulator.model.blocks.kernels import batched_gemm, gemm, memory_bound, weight_gradient
from simulator.model.spec import ModelSpec
from simulator.model.work import Step


def vector_widths(model: ModelSpec) -> tuple[int, ...]:
    """Widths of the vectors that meet, the bottom MLP's first."""
    return (*model.dense.bottom[-1:], *(table.dim for table in model.tables))


def out_width(model: ModelSpec) -> int:
    """Width of what the top MLP reads."""
    widths = vector_widths(model)
    if model.dense.interaction == "dot":
        return sum(model.dense.bottom[-1:]) + len(widths) * (len(widths) - 1) // 2
    return sum(widths)


def parameters(model: ModelSpec) -> tuple[Parameter, ...]:
    """Only cross layers have any."""
    if model.dense.interaction != "dcn_v2":
        return ()
    width, rank, found = sum(vector_widths(model)), model.dense.cross_rank, []
    for layer in range(model.dense.cross_layers):
        found += [Parameter(f"interaction.cross{layer}.v.weight", (rank, width)),
                  Parameter(f"interaction.cross{layer}.w.weight", (width, rank)),
                  Parameter(f"interaction.cross{layer}.w.bias", (width,))]  # fmt: skip
    return tuple(found)


def forward(model: ModelSpec, cut: Cut) -> tuple[Step, ...]:
    """Vectors become activations, are laid side by side (reads, writes), and interact."""
    joined = memory_bound("copy", cut.tokens * sum(vector_widths(model)), 2 * cut.bytes, cut)
    return (*_casts(model, cut), joined, *_KINDS[model.dense.interaction].forward(model, cut))


def backward(model: ModelSpec, cut: Cut, trained: Training = WHOLE) -> tuple[Step, ...]:
    """The interaction's gradients; each table's leave in a tensor of their own (reads, writes)."""
    parted = memory_bound("copy", cut.tokens * sum(table.dim for table in model.tables), 2 * cut.bytes, cut)
    sliced: tuple[Step, ...] = ()
    if cut.fused_mlp and cut.lone_bottom:
        # the bottom's vector is a slice of what has arrived (dlrm/model/distributed.py, `from_bottom[:, 0, :]`): its
        # gradient is spread over zeros (writes) and added (reads both, writes)
        sliced = (memory_bound("elementwise", cut.tokens * sum(vector_widths(model)), 4 * cut.bytes, cut),)
    elif cut.fused_mlp and model.dense.bottom and model.dense.interaction == "dot":
        # the bottom's vector goes into the interaction twice, alone and among all: reads both, writes the sum
        sliced = (memory_bound("elementwise", cut.tokens * model.dense.bottom[-1], 3 * cut.bytes, cut),)
    return (*_KINDS[model.dense.interaction].backward(model, cut), *sliced, parted, *_casts(model, cut))


def kept_bytes(model: ModelSpec, cut: Cut, trained: Training = WHOLE) -> int:
    """What the interaction's backward reads; its output is the top MLP's to keep."""
    return cut.bytes * cut.tokens * _KINDS[model.dense.interaction].kept(model)


def weight_bytes(model: ModelSpec, cut: Cut, trained: Training = WHOLE) -> int:
    """Input and output gradient of both products of every cross layer."""
    if model.dense.interaction != "dcn_v2":
        return 0
    each = 2 * (sum(vector_widths(model)) + model.dense.cross_rank)
    return cut.bytes * cut.tokens * each * model.dense.cross_layers


def working_bytes(model: ModelSpec, cut: Cut) -> int:
    """Most bytes of gradients alive at once, without those of the tables' vectors, which are buffers."""
    return cut.bytes * cut.tokens * _KINDS[model.dense.interaction].working(model)


def _casts(model: ModelSpec, cut: Cut) -> tuple[Step, ...]:
    return tuple(step for table in model.tables for step in embedding.cast(model, table, cut))


def _cat_working(model: ModelSpec) -> int:
    """The output's gradient, and the bottom's."""
    return out_width(model) + sum(model.dense.bottom[-1:])


# the dot products of all pairs; n vectors of one width


def _dot_forward(model: ModelSpec, cut: Cut) -> tuple[Step, ...]:
    """The products; eager: the pairs are picked out of each matrix, and joined to the bottom's vector."""
    rows, (count, width), out = cut.tokens, _square(model), out_width(model)
    products = batched_gemm(rows, count, count, width, cut)
    if cut.fused_mlp:  # reads the vectors, writes the pairs and the bottom's vector
        return (replace(products, bytes_moved=cut.bytes * rows * (count * width + out)),)
    picked = memory_bound("elementwise", rows * _pairs(count), 2 * cut.bytes, cut)
    return (products, picked, memory_bound("copy", rows * out, 2 * cut.bytes, cut))


def _dot_backward(model: ModelSpec, cut: Cut) -> tuple[Step, ...]:
    """Eager: gradients of the pairs are spread over zeroed matrices, both factors get theirs, and these are added."""
    rows, (count, width), out = cut.tokens, _square(model), out_width(model)
    products = batched_gemm(rows, count, width, count, cut)
    if cut.fused_mlp:  # reads the vectors and the output's gradient, writes the vectors' gradients
        return (replace(products, bytes_moved=cut.bytes * rows * (2 * count * width + out)),)
    steps: list[Step] = [
        memory_bound("elementwise", rows * count * count, cut.bytes, cut),  # zeroed: writes
        memory_bound("elementwise", rows * _pairs(count), 2 * cut.bytes, cut),  # reads, writes
        products,
        products,
        memory_bound("elementwise", rows * count * width, 3 * cut.bytes, cut),  # reads both, writes the sum
    ]
    if model.dense.bottom:  # its vector has gone two ways: reads both, writes the sum
        steps.append(memory_bound("elementwise", rows * width, 3 * cut.bytes, cut))
    return tuple(steps)


def _dot_kept(model: ModelSpec) -> int:
    """The vectors, side by side."""
    count, width = _square(model)
    return count * width


def _dot_working(model: ModelSpec) -> int:
    """The output's gradient, the matrices', and both factors'."""
    count, width = _square(model)
    return out_width(model) + count * count + 2 * count * width


def _square(model: ModelSpec) -> tuple[int, int]:
    """How many vectors there are, and how wide each is."""
    widths = vector_widths(model)
    return len(widths), widths[0]


def _pairs(count: int) -> int:
    return count * (count - 1) // 2


# cross layers


def _cross_forward(model: ModelSpec, cut: Cut) -> tuple[Step, ...]:
    rows, width, rank = cut.tokens, sum(vector_widths(model)), model.dense.cross_rank
    layer = (
        gemm(rows, rank, width, cut),
        gemm(rows, width, rank, cut),
        memory_bound("elementwise", rows * width, 3 * cut.bytes, cut),  # times x0: reads both, writes
        memory_bound("elementwise", rows * width, 3 * cut.bytes, cut),  # plus x: reads both, writes
    )
    return layer * model.dense.cross_layers


def _cross_backward(model: ModelSpec, cut: Cut) -> tuple[Step, ...]:
    rows, width, rank = cut.tokens, sum(vector_widths(model)), model.dense.cross_rank
    both = memory_bound("elementwise", rows * width, 3 * cut.bytes, cut)  # reads two, writes one
    layer = (
        both,  # gradient of W V x + b: times x0
        both,  # of x0: times W V x + b
        memory_bound("elementwise", rows * width, cut.bytes, cut),  # of the bias: reads
        gemm(rows, rank, width, cut),
        *weight_gradient(width, rank, rows, cut),
        gemm(rows, width, rank, cut),
        *weight_gradient(rank, width, rows, cut),
        both,  # of x: the layer's and the residual's
        both,  # x0's are summed over layers
    )
    return layer * model.dense.cross_layers


def _cross_kept(model: ModelSpec) -> int:
    """x0; of each layer W V x + b, V x, and its output but the last one's."""
    width, layers = sum(vector_widths(model)), model.dense.cross_layers
    return width * 2 * layers + layers * model.dense.cross_rank


def _cross_working(model: ModelSpec) -> int:
    """The gradients of x0 so far, of the layer's output, and of W V x + b or of x, as what was kept goes."""
    return 3 * sum(vector_widths(model))


@dataclass(frozen=True, slots=True)
class _Kind:
    """kept, working: elements for each row."""

    forward: Callable[[ModelSpec, Cut], tuple[Step, ...]]
    backward: Callable[[ModelSpec, Cut], tuple[Step, ...]]
    kept: Callable[[ModelSpec], int]
    working: Callable[[ModelSpec], int]


_KINDS = {
    "cat": _Kind(lambda model, cut: (), lambda model, cut: (), lambda model: 0, _cat_working),
    "dot": _Kind(_dot_forward, _dot_backward, _dot_kept, _dot_working),
    "dcn_v2": _Kind(_cross_forward, _cross_backward, _cross_kept, _cross_working),
}
