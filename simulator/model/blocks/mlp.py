"""A stack of linear layers with ReLUs, whole on every rank: the MLPs of a DLRM, and that of a binary head.

Each layer is one GEMM, whose epilogue adds the bias. The activation is a kernel of its own, or, where the software says
so (`Cut.fused_mlp`), part of the epilogue; its backward then makes the bias gradient in the same pass (apex.mlp,
csrc/mlp_cuda.cu: `mlp_gemm_lt` with CUBLASLT_EPILOGUE_RELU_BIAS, `biasAddRelu_bprop`).
`widths`: of the input and of every layer's output. `rows`: rows of the input.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from simulator.model.blocks.cut import Cut, Parameter
from simulator.model.blocks.kernels import cast_parameters, gemm, memory_bound, weight_gradient
from simulator.model.blocks.linear import column_backward
from simulator.model.work import Step

Widths = tuple[int, ...]


def parameters(prefix: str, widths: Widths) -> tuple[Parameter, ...]:
    """Weight and bias of every layer."""
    found: list[Parameter] = []
    for place, (before, width) in enumerate(pairwise(widths)):
        found += [Parameter(f"{prefix}{place}.weight", (width, before)), Parameter(f"{prefix}{place}.bias", (width,))]
    return tuple(found)


def forward(widths: Widths, rows: int, cut: Cut, *, fused: bool) -> tuple[Step, ...]:
    """A GEMM and an activation for each layer. fused: activations are part of the GEMMs. Under autocast weights and
    biases are cast first."""
    steps: list[Step] = []
    for before, width in pairwise(widths):
        steps += [*cast_parameters(width * before, cut), *cast_parameters(width, cut)]
        steps.append(gemm(rows, width, before, cut))
        if not fused:  # reads, writes
            steps.append(memory_bound("elementwise", rows * width, 2 * cut.bytes, cut))
    return tuple(steps)


def backward(
    widths: Widths, rows: int, cut: Cut, *, fused: bool, to_input: bool = True, trained: bool = True
) -> tuple[Step, ...]:
    """The activation's gradient, the bias's, the input's and the weight's of each layer, last layer first.

    to_input: False where the input is data, of which nobody wants the gradient. trained: False where weights are
    frozen, and have none.
    """
    whole = replace(cut, tensor=1, sequence_parallel=False, context=1, batch=1, seq=rows, lengths=())
    steps: list[Step] = []
    for place, (before, width) in reversed(list(enumerate(pairwise(widths)))):
        # reads the gradient and the output, writes; fused: sums the bias gradient meanwhile
        steps.append(memory_bound("elementwise", rows * width, 3 * cut.bytes, cut))
        if place or to_input:
            steps += column_backward(before, width, whole, bias=not fused, trained=trained)
        else:
            if not fused:  # the bias gradient: reads the gradient
                steps.append(memory_bound("elementwise", rows * width, cut.bytes, cut))
            steps += weight_gradient(width, before, rows, whole)
        if trained:  # the bias's gradient
            steps += [replace(cast, of_weight=True) for cast in cast_parameters(width, cut)]
    return tuple(steps)


def kept_bytes(widths: Widths, rows: int, cut: Cut) -> int:
    """Outputs of all layers: a ReLU's backward reads its output, which the next GEMM keeps as its input."""
    return cut.bytes * rows * sum(widths[1:])


def weight_bytes(widths: Widths, rows: int, cut: Cut) -> int:
    """Input and output gradient of every layer."""
    return cut.bytes * rows * sum(before + width for before, width in pairwise(widths))


def working_bytes(widths: Widths, rows: int, cut: Cut) -> int:
    """Most bytes of gradients alive at once, less what the layers behind have let go of by then: those of a layer's
    output and of what its activation reads, or of that and of the layer's input. The last output is held by others."""
    most, freed = 0, 0
    for place, (before, width) in reversed(list(enumerate(pairwise(widths)))):
        most = max(most, 2 * width - freed)
        freed += width if place < len(widths) - 2 else 0
        most = max(most, width + before - freed)
    return cut.bytes * rows * most
