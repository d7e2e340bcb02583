"""A transformer layer as two units, attention and mlp, in the manner that a `Style` states.

b samples of s positions, width h, a heads of d, tensor degree t. Each function below reads as the training code runs:
norm, gather, GEMM, ... Bytes for memory-bound kernels are stated for each element, e = bytes of an activation.
Not modelled: under sequence parallelism, the all-reduce of norm gradients over the tensor group, once a step (4 h
elements a layer).
"""

from __future__ import annotations

from dataclasses import dataclass

from simulator.model.blocks import attention, context
from simulator.model.blocks.cut import Cut, Parameter, Unit
from simulator.model.blocks.kernels import memory_bound, norm_backward, norm_forward
from simulator.model.blocks.linear import (
    column_backward,
    column_forward,
    column_weight_bytes,
    row_backward,
    row_forward,
    row_weight_bytes,
)
from simulator.model.spec import Trunk
from simulator.model.work import Kernel, Step

MASK = attention.DROPOUT_MASK_BYTES


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

    def parameters(self, trunk: Trunk, unit: Unit) -> tuple[Parameter, ...]:
        """Weights of an attention or an mlp unit, the norm in front of it (or behind it) included."""
        hidden, prefix = trunk.hidden, unit.name
        if unit.kind == "attention":
            out, into = trunk.query_width + 2 * trunk.kv_width, trunk.query_width
            first, second = "qkv", "proj"
        else:
            out, into = (2 if self.gated else 1) * trunk.ffn, trunk.ffn
            first, second = "fc1", "fc2"
        found = [Parameter(f"{prefix}.norm.{part}", (hidden,)) for part in ("weight", "bias")[: self.norm_parameters]]
        found.append(Parameter(f"{prefix}.{first}.weight", (out, hidden), "column"))
        if self.bias:
            found.append(Parameter(f"{prefix}.{first}.bias", (out,), "column"))
        found.append(Parameter(f"{prefix}.{second}.weight", (hidden, into), "row"))
        if self.bias:
            found.append(Parameter(f"{prefix}.{second}.bias", (hidden,)))
        return tuple(found)

    def forward(self, trunk: Trunk, unit: Unit, cut: Cut) -> tuple[Step, ...]:
        steps = [self.norm_forward(trunk, cut)]
        if unit.kind == "attention":
            steps += column_forward(trunk.hidden, trunk.query_width + 2 * trunk.kv_width, cut)
            steps += self._rotary(trunk, cut)
            steps += attention.core_forward(trunk, cut, self.dropout)
            steps += row_forward(trunk.query_width, trunk.hidden, cut)
        else:
            steps += column_forward(trunk.hidden, (2 if self.gated else 1) * trunk.ffn, cut)
            # gated: reads gate and up, writes; else reads and writes, the bias in the same kernel
            steps.append(self._activation(trunk, cut, 3 if self.gated else 2))
            steps += row_forward(trunk.ffn, trunk.hidden, cut)
        # (bias +) (dropout +) residual in one kernel: reads both summands, writes the sum and dropout's mask
        steps.append(self._residual(trunk, cut, 3))
        return tuple(steps)

    def backward(self, trunk: Trunk, unit: Unit, cut: Cut) -> tuple[Step, ...]:
        steps: list[Step] = []
        elements = cut.shard_tokens * trunk.hidden
        if self.dropout:  # reads the gradient and the mask, writes the branch's gradient
            steps.append(self._residual(trunk, cut, 2))
        if self.bias:  # gradient of the row-parallel bias: reads the branch's gradient
            steps.append(memory_bound("elementwise", elements, cut.bytes, cut))
        if unit.kind == "attention":
            width = trunk.query_width + 2 * trunk.kv_width
            steps += row_backward(trunk.query_width, trunk.hidden, cut)
            steps += attention.core_backward(trunk, cut, self.dropout)
            steps += self._rotary(trunk, cut)
            # dQ, dK, dV are joined into one tensor: read and write
            steps.append(memory_bound("copy", cut.tokens * cut.share(width), 2 * cut.bytes, cut))
            steps += column_backward(trunk.hidden, width, cut, self.bias)
        else:
            steps += row_backward(trunk.ffn, trunk.hidden, cut)
            # gated: reads dY, gate, up; writes both gradients. else reads dY and the input, writes
            steps.append(self._activation(trunk, cut, 5 if self.gated else 3))
            steps += column_backward(trunk.hidden, (2 if self.gated else 1) * trunk.ffn, cut, self.bias)
        if self.norm_backward is None:
            steps.append(norm_backward(elements, trunk.hidden, cut))
        else:
            steps.append(memory_bound("layernorm", elements, self.norm_backward * cut.bytes, cut))
        # the gradients of the branch and of the residual path are added: reads two, writes one
        steps.append(memory_bound("elementwise", elements, 3 * cut.bytes, cut))
        return tuple(steps)

    def core(self, trunk: Trunk, unit: Unit, cut: Cut) -> tuple[Step, ...]:
        """What selective recomputation runs again; a flash kernel recomputes on its own, so nothing then."""
        if unit.kind != "attention" or cut.attention == "flash":
            return ()
        return attention.core_again(trunk, cut, self.dropout)

    def cheap(self, trunk: Trunk, unit: Unit, cut: Cut) -> tuple[Step, ...]:
        """What selective_op runs again: norm, rotary positions, activation and an unfused core. A norm behind the
        residual would need the branch's product; a ReLU's backward keeps nothing but what the next product reads. What
        goes to other ranks of a context group is kept as it was sent or came: nothing is turned again."""
        steps: list[Step] = [] if self.norm_behind else [self.norm_forward(trunk, cut)]
        if unit.kind == "attention":
            turned = self._rotary(trunk, cut) if cut.context == 1 else ()
            steps += (*turned, *self.core(trunk, unit, cut))
        elif not self.relu:
            steps.append(self._activation(trunk, cut, 3 if self.gated else 2))
        return tuple(steps)

    def kept_bytes(self, trunk: Trunk, unit: Unit, cut: Cut, mode: str = "none") -> int:
        """Bytes from forward to backward (arXiv 2205.05198 section 4): sbh(10 + 24/t + 5as/ht) a GPT layer at e = 2.

        Kept: the norm's input and output, dropout's mask (1/t of them under sequence parallelism); attention: Q, K, V
        and the output projection's input; mlp: the activation's input and output; mode none: the s^2 matrices. Q and K
        that were turned stand beside the QKV product: V is a view of it, so that none of it can go. ReLU's backward
        reads its output alone. Unfused, SiLU of the gate is a tensor of its own. selective_op keeps what `cheap` starts
        from: the unit's input, its products (over a context group what they were sent as), masks, the core's output.
        """
        size, tokens, cheap = cut.bytes, cut.tokens, mode == "selective_op"
        query, key = cut.share(trunk.query_width), cut.share(trunk.kv_width)
        norms = 1 if cheap and not self.norm_behind else 2
        outside = cut.shard_tokens * trunk.hidden * (norms * size + (MASK if self.dropout else 0))
        if unit.kind == "attention":
            turned = query + key if self.rotary and cut.attention == "flash" and not cheap else 0
            held = 2 * (query + key) + turned
            if cut.is_ring:  # K and V are joined; Q is a tensor of its own where it is turned
                held = 2 * query + (0 if self.rotary else 2 * key)
            elif cut.context > 1:  # Q, K and V are kept as they came; a flash kernel keeps its output before it leaves
                held = 2 * query if cut.attention == "flash" else query
            inside = size * tokens * held
            if cut.context > 1:
                inside += size * context.copied_elements(trunk, cut)
            if mode == "none" or cut.attention == "flash":
                inside += attention.core_bytes(trunk, cut, self.dropout)
        else:
            widths = (4 if cut.separate_kernels else 3) if self.gated else 1 if self.relu else 2
            if cheap:
                widths = 2 if self.gated else 1
            inside = size * tokens * cut.share(trunk.ffn) * widths
        return outside + inside

    def weight_bytes(self, trunk: Trunk, unit: Unit, cut: Cut) -> int:
        """Bytes from I to W: inputs and output gradients of both linear layers."""
        if unit.kind == "attention":
            width, inner = trunk.query_width + 2 * trunk.kv_width, trunk.query_width
        else:
            width, inner = (2 if self.gated else 1) * trunk.ffn, trunk.ffn
        return column_weight_bytes(trunk.hidden, width, cut) + row_weight_bytes(inner, trunk.hidden, cut)

    def norm_forward(self, trunk: Trunk, cut: Cut) -> Kernel:
        """Reads and writes each element of its share of positions."""
        elements = cut.shard_tokens * trunk.hidden
        if self.norm_backward is None:
            return norm_forward(elements, trunk.hidden, cut)
        return memory_bound("layernorm", elements, 2 * cut.bytes, cut)

    def _residual(self, trunk: Trunk, cut: Cut, passes: int) -> Kernel:
        mask = MASK if self.dropout else 0
        return memory_bound("elementwise", cut.shard_tokens * trunk.hidden, passes * cut.bytes + mask, cut)

    def _activation(self, trunk: Trunk, cut: Cut, passes: int) -> Kernel:
        return memory_bound("elementwise", cut.tokens * cut.share(trunk.ffn), passes * cut.bytes, cut)

    def _rotary(self, trunk: Trunk, cut: Cut) -> tuple[Step, ...]:
        """Turns Q and K by their positions, or their gradients back: reads and writes both."""
        if not self.rotary:
            return ()
        elements = cut.tokens * (cut.share(trunk.query_width) + cut.share(trunk.kv_width))
        return (memory_bound("elementwise", elements, 2 * cut.bytes, cut),)
