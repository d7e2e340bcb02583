"""A transformer layer as two units, attention and mlp, in the manner that a `Style` states.

b samples of s positions, width h, a heads of d, tensor degree t. Each function below reads as the training code runs:
norm, gather, GEMM, ... Bytes for memory-bound kernels are stated for each element, e = bytes of an activation.
Not modelled: under sequence parallelism, the all-reduce of norm gradients over the tensor group, once a step (4 h
elements a layer).
"""

from __future__ import annotations

from dataclasses import dataclass

from simulator.model.blocks import adapter, attention, compiled, context
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
from simulator.model.blocks.cut import Cut, Parameter, Unit
from simulator.model.blocks.kernels import gemm, memory_bound, norm_backward, norm_forward
from simulator.model.spec import Trunk
from simulator.model.work import Kernel, Step

MASK = attention.DROPOUT_MASK_BYTES
EAGER_NORM, EAGER_NORM_BACKWARD, EAGER_ROTARY = 36, 72, 20
EAGER_GATE, EAGER_GATE_BACKWARD = 10, 18
"""Bytes for each 16-bit element where PyTorch runs a small kernel an operator. RMSNorm: up to fp32 6, square 8, mean 4,
scale 8, down 6, weight 4; its backward twice that (each product has two gradients, and the weight's is summed). Rotary:
up to fp32 6, complex product 8, down 6. SiLU 4 and product 6; backward two products 12, SiLU 6."""


@dataclass(frozen=True, slots=True)
class Style:
    """What sets one transformer family apart.

    dropout: after attention's softmax, and before both residuals. bias: of linear layers. rotary: positions are turned
    into Q and K. gated: silu(gate) * up in place of one activation. norm_parameters: 2 (LayerNorm) or 1 (RMSNorm).
    norm_backward: bytes for each element in units of e. Reads dY and X, writes dX: 3; a separate kernel for the
    weights' gradient reads dY and X once more: 5. None: the norm's kernels are the software stack's. relu: the
    activation is a ReLU. norm_behind: the norm follows the residual, so that its output is the next unit's input.
    """

    dropout: bool
    bias: bool
    rotary: bool
    gated: bool
    norm_parameters: int
    norm_backward: int | None
    relu: bool = False
    norm_behind: bool = False

    @property
    def kinds(self) -> tuple[str, ...]:
        """Of the units of a layer."""
        return "attention", "mlp"

    def parts(self, trunk: Trunk, kind: str) -> Parts:
        """The matrices that the column-parallel product of a unit joins."""
        if kind == "attention":
            return ("q", trunk.query_width), ("k", trunk.kv_width), ("v", trunk.kv_width)
        return (("gate", trunk.ffn), ("up", trunk.ffn)) if self.gated else (("up", trunk.ffn),)

    def drops(self, cut: Cut) -> bool:
        """Whether this software trains this block with dropout."""
        return self.dropout and cut.dropout

    def parameters(self, trunk: Trunk, unit: Unit) -> tuple[Parameter, ...]:
        """Weights of an attention or an mlp unit, the norm in front of it (or behind it) included."""
        hidden, prefix = trunk.hidden, unit.name
        out, into = self._widths(trunk, unit)
        first, second = ("qkv", "proj") if unit.kind == "attention" else ("fc1", "fc2")
        found = [Parameter(f"{prefix}.norm.{part}", (hidden,)) for part in ("weight", "bias")[: self.norm_parameters]]
        found.append(Parameter(f"{prefix}.{first}.weight", (out, hidden), "column"))
        if self.bias:
            found.append(Parameter(f"{prefix}.{first}.bias", (out,), "column"))
        found.append(Parameter(f"{prefix}.{second}.weight", (hidden, into), "row"))
        if self.bias:
            found.append(Parameter(f"{prefix}.{second}.bias", (hidden,)))
        return tuple(found)

    def forward(self, trunk: Trunk, unit: Unit, cut: Cut, trained: Training = WHOLE) -> tuple[Step, ...]:
        out, into = self._widths(trunk, unit)
        steps = [self._norm_in_place(trunk, unit, cut)]
        steps += column_forward(trunk.hidden, out, cut, trained)
        if unit.kind == "attention":
            if self.bias and cut.separate_bias:  # reads, writes
                steps.append(memory_bound("elementwise", cut.tokens * cut.share(out), 2 * cut.bytes, cut))
            steps += self._rotary(trunk, cut)
            steps += attention.core_forward(trunk, cut, self.drops(cut))
        else:
            # gated: reads gate and up, writes; else reads and writes, the bias in the same kernel
            steps.append(self._activation_forward(trunk, cut))
        steps += row_forward(into, trunk.hidden, cut, trained)
        # (bias +) (dropout +) residual in one kernel: reads both summands, writes the sum and dropout's mask
        steps.append(self._residual(trunk, cut, 3))
        return tuple(steps)

    def backward(self, trunk: Trunk, unit: Unit, cut: Cut, trained: Training = WHOLE) -> tuple[Step, ...]:
        """As far down as somebody asks for a gradient."""
        if not trained.runs:
            return ()
        steps: list[Step] = []
        elements, (out, into) = cut.shard_tokens * trunk.hidden, self._widths(trunk, unit)
        if self.drops(cut):  # reads the gradient and the mask, writes the branch's gradient
            steps.append(self._residual(trunk, cut, 2))
        if self.bias and not trained.frozen:  # gradient of the row-parallel bias: reads the branch's gradient
            steps.append(memory_bound("elementwise", elements, cut.bytes, cut))
        steps += row_backward(into, trunk.hidden, cut, trained)
        if trained.inner and unit.kind == "attention":
            steps += attention.core_backward(trunk, cut, self.drops(cut))
            steps += self._rotary(trunk, cut)
            # dQ, dK, dV are joined into one tensor: read and write
            steps.append(memory_bound("copy", cut.tokens * cut.share(out), 2 * cut.bytes, cut))
        elif trained.inner:
            # gated: reads dY, gate, up; writes both gradients. else reads dY and the input, writes
            each = 5 if self.gated else 3
            steps.append(self._activation(trunk, cut, EAGER_GATE_BACKWARD if self._is_eager(cut) else each * cut.bytes))
        steps += column_backward(trunk.hidden, out, cut, self.bias, trained)
        if cut.compiled:
            return (*steps, *self._norm_backward_compiled(trunk, unit, cut, trained))
        if trained.passes or self.norm_behind:
            steps.append(self._norm_backward(trunk, cut, trained))
        if trained.passes:  # the gradients of the branch and of the residual path are added: reads two, writes one
            steps.append(memory_bound("elementwise", elements, 3 * cut.bytes, cut))
        return tuple(steps)

    def again(self, trunk: Trunk, unit: Unit, cut: Cut, trained: Training = WHOLE) -> tuple[Step, ...]:
        """What full recomputation runs again: its forward. Software that stops early ends before the layer's last
        product, unless backward reads something behind it: a norm's input, dropout's mask, an adapter's."""
        steps = self.forward(trunk, unit, cut, trained)
        if not cut.stops_early or unit.kind != "mlp" or self.norm_behind or self.drops(cut) or trained.row:
            return steps
        return steps[: -len(row_forward(trunk.ffn, trunk.hidden, cut, trained)) - 1]

    def core(self, trunk: Trunk, unit: Unit, cut: Cut, trained: Training = WHOLE) -> tuple[Step, ...]:
        """What selective recomputation runs again; a flash kernel recomputes on its own, so nothing then."""
        if unit.kind != "attention" or cut.attention == "flash" or not trained.inner:
            return ()
        return attention.core_again(trunk, cut, self.drops(cut))

    def cheap(self, trunk: Trunk, unit: Unit, cut: Cut, trained: Training = WHOLE) -> tuple[Step, ...]:
        """What selective_op runs again: norm, rotary positions, activation and an unfused core. A norm behind the
        residual would need the branch's product; a ReLU's backward keeps nothing but what the next product reads. What
        goes to other ranks of a context group is kept as it was sent or came: nothing is turned again. A stack that
        keeps every second product runs K's, the output's and the up projection's again too."""
        steps: list[Step] = []
        if trained.keeps_input and not self.norm_behind:
            steps.append(self.norm_forward(trunk, cut))
        if unit.kind == "attention" and trained.inner:
            turned = self._rotary(trunk, cut) if cut.context == 1 else ()
            steps += (*turned, *self.core(trunk, unit, cut))
            if cut.reruns_products:
                steps += (gemm(cut.tokens, cut.share(trunk.kv_width), trunk.hidden, cut),
                          gemm(cut.tokens, trunk.hidden, cut.share(trunk.query_width), cut))  # fmt: skip
        elif unit.kind == "mlp" and trained.keeps_inner and not self.relu:
            if cut.reruns_products:
                steps.append(gemm(cut.tokens, cut.share(trunk.ffn), trunk.hidden, cut))
            steps.append(self._activation_forward(trunk, cut))
        return tuple(steps)

    def kept_bytes(self, trunk: Trunk, unit: Unit, cut: Cut, mode: str = "none", trained: Training = WHOLE) -> int:
        """Bytes from forward to backward (arXiv 2205.05198 section 4): sbh(10 + 24/t + 5as/ht) a GPT layer at e = 2.

        Kept: the norm's input and output, dropout's mask (1/t of them under sequence parallelism), what the branch
        keeps. Where matrices are frozen, nobody needs what only their gradients read: the norm's output, the output
        projection's input (a flash kernel needs it too), the activation's output.
        """
        if not trained.runs:
            return 0
        norm = trained.passes or self.norm_behind  # its backward reads its input; selective_op runs it again from that
        output = trained.keeps_input and (mode != "selective_op" or self.norm_behind)
        source = mode == "selective_op" and trained.keeps_input
        each = cut.bytes * ((norm or source) + output) + (MASK if self.drops(cut) else 0)
        inside = self._attention_elements if unit.kind == "attention" else self._mlp_elements
        kept = cut.shard_tokens * trunk.hidden * each + cut.bytes * cut.tokens * inside(trunk, cut, mode, trained)
        if unit.kind == "attention" and trained.inner:
            if cut.context > 1:
                kept += cut.bytes * context.copied_elements(trunk, cut)
            if mode == "none" or cut.attention == "flash":
                kept += attention.core_bytes(trunk, cut, self.drops(cut))
        return kept + adapter.kept_bytes(cut, trained)

    def _attention_elements(self, trunk: Trunk, cut: Cut, mode: str, trained: Training) -> int:
        """Of each position: Q, K, V and the output projection's input.

        Q and K that were turned stand beside the QKV product: V is a view of it, so that none of it can go.
        selective_op keeps the product (K not, where every second product is run again), or what other ranks of a
        context group were sent.
        """
        query, key = cut.share(trunk.query_width), cut.share(trunk.kv_width)
        output = query if cut.attention == "flash" or trained.keeps_inner else 0
        if not trained.inner:
            return query if trained.row else 0
        if cut.is_ring:  # K and V are joined; Q is a tensor of its own where it is turned
            return query + output + (0 if self.rotary else 2 * key)
        if cut.context > 1:  # Q, K and V are kept as they came; a flash kernel keeps its output before it leaves
            return (query if cut.attention == "flash" else 0) + (query if trained.keeps_inner else 0)
        if mode == "selective_op":
            return query + (1 if cut.reruns_products else 2) * key + output
        turned = query + key if self.rotary and cut.attention == "flash" else 0
        return query + 2 * key + output + turned

    def _mlp_elements(self, trunk: Trunk, cut: Cut, mode: str, trained: Training) -> int:
        """Of each position: the activation's input and output; selective_op keeps what it is made of again, where every
        second product is run again the gate's alone. (Such software keeps the last product's output, which nobody
        reads, and not the sum that the unit's norm reads: as many bytes.)

        ReLU's backward reads its output alone. Unfused, SiLU of the gate is a tensor of its own.
        """
        read = 2 if self.gated else 1
        if not trained.inner:
            widths = 1 if mode != "selective_op" or self.relu else read
        elif self.relu or mode == "selective_op":
            widths = 1 if cut.reruns_products and mode == "selective_op" else read
        else:
            apart = self.gated and cut.separate_kernels and not cut.compiled
            widths = read + apart + trained.keeps_inner
        return cut.share(trunk.ffn) * widths

    def weight_bytes(self, trunk: Trunk, unit: Unit, cut: Cut, trained: Training = WHOLE) -> int:
        """Bytes from I to W: inputs and output gradients of both linear layers."""
        out, into = self._widths(trunk, unit)
        return column_weight_bytes(trunk.hidden, out, cut, trained) + row_weight_bytes(into, trunk.hidden, cut, trained)

    def _widths(self, trunk: Trunk, unit: Unit) -> tuple[int, int]:
        """Of the column-parallel product's output and of the row-parallel one's input."""
        out = sum(width for _, width in self.parts(trunk, unit.kind))
        return out, trunk.query_width if unit.kind == "attention" else trunk.ffn

    def norm_forward(self, trunk: Trunk, cut: Cut) -> Kernel:
        """Reads and writes each element of its share of positions."""
        elements = cut.shard_tokens * trunk.hidden
        if self.norm_backward is None and not cut.compiled:
            return norm_forward(elements, trunk.hidden, cut)
        if self._is_eager(cut):
            return memory_bound("elementwise", elements, EAGER_NORM, cut)
        return memory_bound("layernorm", elements, 2 * cut.bytes, cut)

    def _norm_in_place(self, trunk: Trunk, unit: Unit, cut: Cut) -> Kernel:
        """The norm where the unit's forward has it; compiled, right behind a residual it only writes."""
        if cut.compiled and (self.norm_behind or unit.kind == "mlp"):
            return memory_bound("layernorm", cut.shard_tokens * trunk.hidden, cut.bytes, cut)
        return self.norm_forward(trunk, cut)

    def _norm_backward_compiled(self, trunk: Trunk, unit: Unit, cut: Cut, trained: Training) -> tuple[Step, ...]:
        """Of a norm in front the unit's residual path is added in the same kernel. Behind, what is added in front of an
        attention's norm is the mlp's path, and the attention's own is added in the next layer's graph."""
        elements, behind, attends = cut.shard_tokens * trunk.hidden, self.norm_behind, unit.kind == "attention"
        steps: tuple[Step, ...] = ()
        if trained.passes or behind:
            adds = attends if behind else True
            steps = compiled.norm_backward(elements, cut, trained=not trained.frozen, adds=adds)
        if behind and attends and trained.passes:  # reads two, writes one
            steps += (memory_bound("elementwise", elements, 3 * cut.bytes, cut),)
        return steps

    def _norm_backward(self, trunk: Trunk, cut: Cut, trained: Training) -> Kernel:
        elements = cut.shard_tokens * trunk.hidden
        if self.norm_backward is None:
            return norm_backward(elements, trunk.hidden, cut, trained=not trained.frozen)
        if self._is_eager(cut):
            return memory_bound("elementwise", elements, EAGER_NORM_BACKWARD, cut)
        passes = 3 if trained.frozen else self.norm_backward  # a second kernel makes weights' gradients
        return memory_bound("layernorm", elements, passes * cut.bytes, cut)

    def _residual(self, trunk: Trunk, cut: Cut, passes: int) -> Kernel:
        mask = MASK if self.drops(cut) else 0
        return memory_bound("elementwise", cut.shard_tokens * trunk.hidden, passes * cut.bytes + mask, cut)

    def _is_eager(self, cut: Cut) -> bool:
        """Whether RMSNorm and the gate are rows of small kernels."""
        return self._is_plain(cut) and not cut.compiled

    def _is_plain(self, cut: Cut) -> bool:
        """Whether this software writes the block out in PyTorch's operators."""
        return cut.eager and self.gated and self.rotary and self.norm_parameters == 1

    def _activation_forward(self, trunk: Trunk, cut: Cut) -> Kernel:
        each = 3 if self.gated else 2
        return self._activation(trunk, cut, EAGER_GATE if self._is_eager(cut) else each * cut.bytes)

    def _activation(self, trunk: Trunk, cut: Cut, each: int) -> Kernel:
        return memory_bound("elementwise", cut.tokens * cut.share(trunk.ffn), each, cut)

    def _rotary(self, trunk: Trunk, cut: Cut) -> tuple[Step, ...]:
        """Turns Q and K by their positions, or their gradients back: reads and writes both. Complex products are
        kernels of their own even where layers are compiled (`compiled.py`)."""
        if not self.rotary:
            return ()
        elements = cut.tokens * (cut.share(trunk.query_width) + cut.share(trunk.kv_width))
        return (memory_bound("elementwise", elements, EAGER_ROTARY if self._is_plain(cut) else 2 * cut.bytes, cut),)
