"""HSTU (Zhai et al. 2024, arXiv 2402.17152), as NVIDIA/recsys-examples trains it.

One unit a layer: norm; one GEMM for U, V, Q, K with SiLU; pointwise attention silu(QK^T + bias) V / n without softmax;
norm of its output times U; output projection; residual. Heads are sharded over the tensor group. The norm over all
heads needs each position's sum and sum of squares from every shard: an all-reduce of two fp32 numbers a position.
Samples are jagged: padding does no work. Attention counts the causal half of 4 b a s^2 d at real lengths.
"""

from __future__ import annotations

from simulator.model.blocks import adapter, compiled, context
from simulator.model.blocks.adapter import (
    WHOLE,
    Parts,
    Training,
    column_backward,
    column_forward,
    column_weight_bytes,
    row_backward,
    row_forward,
    row_weight_bytes,
)
from simulator.model.blocks.attention import product_flops
from simulator.model.blocks.cut import Cut, Parameter, Unit
from simulator.model.blocks.kernels import memory_bound, tensor_collective
from simulator.model.spec import Trunk
from simulator.model.work import Kernel, Step

PARTS = 4
"""U, V, Q and K, each heads * head_dim wide."""

STATISTICS_BYTES = 8


class Hstu:
    """The family's rules; stateless, with the same methods as `transformer.Style`."""

    kinds = ("hstu",)

    def parts(self, trunk: Trunk, kind: str) -> Parts:
        """The matrices that the one GEMM joins."""
        return tuple((part, trunk.query_width) for part in ("u", "v", "q", "k"))

    def parameters(self, trunk: Trunk, unit: Unit) -> tuple[Parameter, ...]:
        width, hidden, prefix = trunk.query_width, trunk.hidden, unit.name
        return (
            Parameter(f"{prefix}.norm.weight", (hidden,)),
            Parameter(f"{prefix}.norm.bias", (hidden,)),
            Parameter(f"{prefix}.uvqk.weight", (PARTS * width, hidden), "column"),
            Parameter(f"{prefix}.uvqk.bias", (PARTS * width,), "column"),
            Parameter(f"{prefix}.output_norm.weight", (width,), "column"),
            Parameter(f"{prefix}.output_norm.bias", (width,), "column"),
            Parameter(f"{prefix}.proj.weight", (hidden, width), "row"),
        )

    def forward(self, trunk: Trunk, unit: Unit, cut: Cut, trained: Training = WHOLE) -> tuple[Step, ...]:
        size, outside = cut.bytes, cut.shard_tokens * trunk.hidden
        inside = cut.tokens * cut.share(trunk.query_width)
        core = context.forward(trunk, cut, lambda own: _attention_forward(trunk, own), weighted=False)
        return (
            memory_bound("layernorm", outside, 2 * size, cut),
            *column_forward(trunk.hidden, PARTS * trunk.query_width, cut, trained),
            memory_bound("elementwise", PARTS * inside, 2 * size, cut),  # SiLU: reads, writes
            *core,
            *tensor_collective("all_reduce", STATISTICS_BYTES * cut.tokens, cut),
            memory_bound("layernorm", inside, 3 * size, cut),  # norm times U: reads both, writes
            *row_forward(trunk.query_width, trunk.hidden, cut, trained),
            memory_bound("elementwise", outside, 3 * size, cut),  # residual: reads two, writes one
        )

    def backward(self, trunk: Trunk, unit: Unit, cut: Cut, trained: Training = WHOLE) -> tuple[Step, ...]:
        """As far down as somebody asks for a gradient."""
        size, outside = cut.bytes, cut.shard_tokens * trunk.hidden
        inside = cut.tokens * cut.share(trunk.query_width)
        steps = list(row_backward(trunk.query_width, trunk.hidden, cut, trained))
        if trained.inner:
            steps += (
                *tensor_collective("all_reduce", STATISTICS_BYTES * cut.tokens, cut),
                memory_bound("layernorm", inside, 5 * size, cut),  # reads dY, the attention's output, U; writes two
                *context.backward(trunk, cut, lambda own: _attention_backward(trunk, own)),
                # SiLU of all four parts: reads the gradient and the GEMM's output, writes into one tensor
                memory_bound("elementwise", PARTS * inside, 3 * size, cut),
            )
        steps += column_backward(trunk.hidden, PARTS * trunk.query_width, cut, True, trained)
        if trained.passes and cut.compiled:
            steps += compiled.norm_backward(outside, cut, trained=not trained.frozen, adds=True)
        elif trained.passes:
            passes = 3 if trained.frozen else 5  # dX, then the weights' gradient in a second kernel
            steps += (
                memory_bound("layernorm", outside, passes * size, cut),
                memory_bound("elementwise", outside, 3 * size, cut),  # the residual path's gradient is added
            )
        return tuple(steps)

    def again(self, trunk: Trunk, unit: Unit, cut: Cut, trained: Training = WHOLE) -> tuple[Step, ...]:
        """Its forward; without the output projection and the residual, where software stops early."""
        steps = self.forward(trunk, unit, cut, trained)
        if not cut.stops_early or trained.row:
            return steps
        return steps[: -len(row_forward(trunk.query_width, trunk.hidden, cut, trained)) - 1]

    def core(self, trunk: Trunk, unit: Unit, cut: Cut, trained: Training = WHOLE) -> tuple[Step, ...]:
        """The attention kernel keeps nothing of size s^2: selective recomputation has nothing to do."""
        return ()

    def cheap(self, trunk: Trunk, unit: Unit, cut: Cut, trained: Training = WHOLE) -> tuple[Step, ...]:
        """Both norms, the second times U, and SiLU. The second norm's sums, two numbers a position, are kept."""
        size, inside = cut.bytes, cut.tokens * cut.share(trunk.query_width)
        steps = []
        if trained.keeps_input:
            steps.append(memory_bound("layernorm", cut.shard_tokens * trunk.hidden, 2 * size, cut))
        if trained.inner:
            steps.append(memory_bound("elementwise", PARTS * inside, 2 * size, cut))
        if trained.keeps_inner:
            steps.append(memory_bound("layernorm", inside, 3 * size, cut))
        return tuple(steps)

    def kept_bytes(self, trunk: Trunk, unit: Unit, cut: Cut, mode: str = "none", trained: Training = WHOLE) -> int:
        """Norm's input, output; the GEMM's output and its SiLU (four parts each); attention's output, proj's input;
        over a context group what was exchanged. selective_op: the unit's input, the GEMM's output and the attention's,
        and what was exchanged. Where matrices are frozen, what only their gradients read is not kept.
        """
        inside, again = cut.tokens * cut.share(trunk.query_width), mode == "selective_op"
        elements = (
            cut.shard_tokens
            * trunk.hidden
            * ((trained.passes or (again and trained.keeps_input)) + (trained.keeps_input and not again))
        )
        if trained.inner:
            elements += inside * (PARTS + 1 + (0 if again else PARTS + trained.keeps_inner))
            elements += context.copied_elements(trunk, cut) if cut.context > 1 else 0
        elif trained.row:  # made again from the attention's output and U
            elements += inside * (2 if again else 1)
        return cut.bytes * elements + adapter.kept_bytes(cut, trained)

    def weight_bytes(self, trunk: Trunk, unit: Unit, cut: Cut, trained: Training = WHOLE) -> int:
        """Bytes from I to W: inputs and output gradients of both linear layers."""
        width = trunk.query_width
        return column_weight_bytes(trunk.hidden, PARTS * width, cut, trained) + row_weight_bytes(
            width, trunk.hidden, cut, trained
        )


def _attention_forward(trunk: Trunk, cut: Cut) -> tuple[Kernel, ...]:
    """Reads Q, K, V; writes the output."""
    moved = 4 * cut.bytes * cut.tokens * cut.share(trunk.query_width)
    return (_attention("hstu_attention_forward", trunk, cut, 2 * product_flops(trunk, cut), moved),)


def _attention_backward(trunk: Trunk, cut: Cut) -> tuple[Kernel, ...]:
    """Reads Q, K, V, dO; writes dQ, dK, dV."""
    moved = 7 * cut.bytes * cut.tokens * cut.share(trunk.query_width)
    return (_attention("hstu_attention_backward", trunk, cut, 4 * product_flops(trunk, cut), moved),)


def _attention(op: str, trunk: Trunk, cut: Cut, flops: int, bytes_moved: int) -> Kernel:
    heads, seq = cut.share(trunk.heads), cut.attention_seq
    shape = (cut.batch, heads, heads, seq, seq, trunk.head_dim, int(trunk.causal))
    return Kernel(op, shape, cut.dtype, flops, bytes_moved)


STYLE = Hstu()
