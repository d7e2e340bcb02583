"""What software does with a model's kernels and collectives: facts that a generation of it has, and a rank's work too.

Which generation does what, and where that was read: `model/stacks.py`. `software.compile` goes with any of them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftwareFacts:
    """The same words for a stack (`stacks.Stack`) and for one rank's work under it (`blocks.cut.Cut`).

    attention: flash (one kernel, nothing of size seq^2 in memory) or unfused (2021: batched GEMMs and softmax).
    fused_accumulation: weight gradients are added into the accumulated gradient by the GEMM itself; False adds a pass
    over memory for each weight. async_reduction: without sequence parallelism, the all-reduce of a column-parallel
    layer's input gradient runs beside the weight gradient's GEMM; False exposes it.
    norm: persistent (a row stays on the chip), apex or torch (backward in two kernels; apex is slow on wide rows).
    separate_bias: that of queries, keys and values is added by a kernel of its own.
    separate_kernels: a gate's SiLU and product, and the loss in fp32, are kernels of PyTorch's own, and each keeps what
    its backward reads (memory only). eager: LLaMA's norm, rotary positions and gate run one small kernel an operator.
    dropout: models whose block has dropout train with it. reruns_products: selective_op runs every second product again
    too, and keeps the others alone. stops_early: full recomputation ends before a layer's last product.
    elementwise_loss: the loss of an eager stack runs at the speed of elementwise kernels: all of Megatron's, whose
    vocab_parallel_cross_entropy is max, sub_, exp, sum, div_ (the same code from 2021 to Megatron-core's default);
    False: one softmax kernel. fused_loss: an eager block's loss is one kernel that leaves the gradient in place of the
    logits. loss_kernels: of a DLRM's loss, forward and backward.
    fused_mlp: a DLRM's MLPs have their activations in the products' epilogues, and its dot interaction is one kernel.
    sparse_gradients: of tables are torch's sparse tensors, a gradient for each id, and torch.optim's update.
    autocast: parameters wider than activations are cast each step, and their gradients back, by kernels of their own.
    clips: gradients are clipped by their norm, and zeroed.
    graphed: forward and backward are replayed from a CUDA graph, each step on a device that has run empty; the update
    is launched kernel by kernel, and waits for the host where a loss scale is read back first (`model/host.py`).
    synchronizes: a transfer between stages that is waited for is waited for by the host. broadcasts: so is each
    microbatch.
    """

    attention: str = "flash"
    fused_accumulation: bool = True
    async_reduction: bool = True
    norm: str = "torch"
    separate_bias: bool = False
    separate_kernels: bool = False
    eager: bool = False
    dropout: bool = True
    reruns_products: bool = False
    stops_early: bool = False
    elementwise_loss: bool = False
    fused_loss: bool = False
    loss_kernels: tuple[int, int] = (1, 0)
    fused_mlp: bool = False
    sparse_gradients: bool = False
    autocast: bool = False
    clips: bool = True
    graphed: bool = False
    synchronizes: bool = False
    broadcasts: bool = False


FACTS = tuple(fact.name for fact in fields(SoftwareFacts))


def facts_of(software: SoftwareFacts) -> dict[str, object]:
    """What the software of a stack or of a cut does, by name."""
    return {name: getattr(software, name) for name in FACTS}
