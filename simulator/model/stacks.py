"""Generations of training software: what a stack's kernels and collectives do, as facts of its code.

| stack | attention | all-reduce of a column-parallel input's gradient | weight gradients | GPT's norm | seq. parallel |
|---|---|---|---|---|---|
| megatron_2021 | unfused | exposed, after both GEMMs | added in a pass of their own | apex, row by row | no |
| megatron_2022 | unfused | beside the weight gradient's GEMM | added in a pass of their own | persistent | yes |
| llm_foundry | flash | beside the weight gradient's GEMM | added by the GEMM | torch's | no |
| megatron_2023 | unfused | beside the weight gradient's GEMM | added by the GEMM | persistent | yes |
| current | flash | beside the weight gradient's GEMM | added by the GEMM | persistent | yes |
| torch | flash | beside the weight gradient's GEMM | added by the GEMM | torch's | yes |
| torchtitan | as torch; a LLaMA runs norm, rotary positions and gate in small kernels | | | | |
| deeplearning_examples | as torch; the dense parts of a DLRM are fused kernels | | | | |

Read from github, by date, never from residuals:
- megatron_2021: Megatron-LM of SC'21 (arXiv 2104.04473, April 2021): `copy_to_tensor_model_parallel_region` reduces in
  the backward of an autograd node of its own, behind F.linear's; `param.main_grad.add_(param.grad)` in a hook.
  microsoft/Megatron-DeepSpeed has the same megatron/mpu/layers.py (1619965d33) until its 2023 merge of Megatron-core.
- megatron_2022: Megatron-LM of Korthikanti et al. (arXiv 2205.05198, May 2022), megatron/mpu/layers.py at 02bb1f5c86:
  ColumnParallelLinearWithAsyncAllreduce and ...WithSequenceParallelism; the weight gradient is a plain product there.
  megatron/model/fused_layer_norm.py of that year (06fc51cef5) takes apex's persistent FastLayerNorm for the widths of
  its models; before, only FusedLayerNormAffineFunction, whose backward reads gradient and input twice.
  FlashAttention (arXiv 2205.14135) is of the same month and came to Megatron-LM later.
- llm_foundry: mosaicml/llm-foundry of 2023 on PyTorch FSDP: MosaicGPTConfig's attn_pdrop, resid_pdrop and emb_pdrop are
  0.0 (a GPT without dropout), attn_impl is triton, the pretraining yamls' loss_fn is fused_crossentropy. What Triton's
  attention of that year loses to today's flash kernels is a constant of the profile (`attention_slowdown`). Layers
  are checkpointed without reentering autograd (`activation_checkpointing_reentrant: false`), which since PyTorch 2.1
  stops once all that was not kept is back (torch/utils/checkpoint.py, `_enable_checkpoint_early_stop`): before a
  layer's last product, whose result nobody kept.
- llm_foundry_torch1: the same on PyTorch 1.13, whose checkpoints run a layer again to its end.
- megatron_2023: Megatron-core's layers as below, run without --use-flash-attn. pretrain_gpt.py's get_batch of that year
  broadcasts each microbatch on every stage and for every model chunk, and megatron/core/tensor_parallel/data.py reads
  its sizes back to the host (`sizes_cuda.cpu()`); p2p_communication.py calls torch.cuda.synchronize() behind transfers
  that are waited for, as it does today. LinearWithGradAccumulationAndAsyncCommunication adds a bias as `output + bias`.
  Code of 2021 and 2022 waits as well, and adds so (F.linear of then fused a bias with matrices alone): not counted
  there. With both, and constants fitted anew, the declared rows of its cluster are missed by more (their squares sum to
  11.8 instead of 8.6), and a third of vTrain's rows by as much as before (4.3 instead of 4.5 %).
- current: Megatron-core since 0.2 and NeMo: LinearWithGradAccumulationAndAsyncCommunication with its fused
  wgrad_gemm_accum kernels, flash attention. That Transformer Engine does the same is assumed.
- deeplearning_examples: NVIDIA/DeepLearningExamples, PyTorch/Recommendation/DLRM of 2021: apex.mlp.MLP (bias and ReLU
  in the products' epilogues), dotBasedInteract in one kernel, tables whose gradients are sparse tensors
  (nn/embeddings.py) for torch.optim.SGD (scripts/main.py), unscaled by a GradScaler under AMP, which is
  torch.cuda.amp's: `custom_fwd(cast_inputs=torch.half)` around apex.mlp (nn/mlps.py) casts each weight and bias, and
  autograd casts their half gradients back. Its README's results are those of `--cuda_graphs`: CudaGraphWrapper copies
  each batch into place and replays forward and backward, behind a torch.cuda.synchronize() every step; weight_update is
  outside of the graph, and GradScaler reads found_inf back before it steps. apex FusedSGD clips nothing, and gradients
  are dropped (`param.grad = None`). PyTorch 1.10's binary_cross_entropy_with_logits is 13 elementwise kernels and a
  mean, its backward 4 kernels (aten/src/ATen/native/Loss.cpp of that year).
- torchtitan: pytorch/torchtitan of December 2024: without torch.compile nn.RMSNorm was a composite of small kernels,
  rotary positions are complex products in fp32, and its `selective_ac_option: op` keeps every second product alone. Its
  checkpoints stop as those of llm_foundry do.
- torch: PyTorch modules, on devices whose profile names no generation (CPU workers, datasheets).

`software.compile` goes with any stack: `blocks/compiled.py`.

Not parted by generation: dropout and activation kernels, and norms of other families (each block states its own).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from simulator.model.software import SoftwareFacts


@dataclass(frozen=True, slots=True)
class Stack(SoftwareFacts):
    """A generation of software by name. sequence_parallel: known to it. constants: whose constants of a profile
    (`name@variant`) hold for it, where they are not its own."""

    name: str
    sequence_parallel: bool = True
    constants: str = ""

    @property
    def variant(self) -> str:
        """What a profile's constants that hold for it are called after."""
        return self.constants or self.name


MEGATRON_2021 = Stack(
    "megatron_2021", sequence_parallel=False, attention="unfused", fused_accumulation=False, async_reduction=False,
    norm="apex", elementwise_loss=True,
)  # fmt: skip
MEGATRON_2022 = Stack(
    "megatron_2022", attention="unfused", fused_accumulation=False, norm="persistent", elementwise_loss=True
)
LLM_FOUNDRY = Stack("llm_foundry", sequence_parallel=False, dropout=False, fused_loss=True, stops_early=True)
LLM_FOUNDRY_TORCH1 = replace(LLM_FOUNDRY, name="llm_foundry_torch1", stops_early=False, constants="llm_foundry")
MEGATRON_2023 = Stack(
    "megatron_2023", attention="unfused", norm="persistent", separate_bias=True, elementwise_loss=True,
    synchronizes=True, broadcasts=True,
)  # fmt: skip
CURRENT = replace(MEGATRON_2023, name="current", attention="flash", broadcasts=False, separate_bias=False)
TORCH = Stack("torch", separate_kernels=True)
EXAMPLES = replace(
    TORCH, name="deeplearning_examples", fused_mlp=True, sparse_gradients=True, autocast=True, graphed=True,
    clips=False, loss_kernels=(14, 4),
)  # fmt: skip
TORCHTITAN = replace(TORCH, name="torchtitan", eager=True, reruns_products=True, stops_early=True)
STACKS = {
    stack.name: stack
    for stack in (
        MEGATRON_2021, MEGATRON_2022, LLM_FOUNDRY_TORCH1, LLM_FOUNDRY, MEGATRON_2023, CURRENT, EXAMPLES, TORCHTITAN,
        TORCH,
    )
}  # fmt: skip


def newest(defaults: Iterable[Mapping[str, str]]) -> Mapping[str, str]:
    """Of several profiles' defaults those of the latest generation: one job runs one software on all its devices, and
    its newest devices need the newest."""
    order = list(STACKS)
    return max(defaults, key=lambda own: order.index(own.get("stack", TORCH.name)))


def software_stack(software, defaults: Mapping[str, str]) -> Stack:
    """The stack of a scenario's `software` (`.stack`, `.attention`) on a profile with these `defaults`.

    What the scenario states wins; the profile's own `attention` belongs to the profile's own stack.
    """
    stack = STACKS[software.stack or defaults.get("stack", TORCH.name)]
    own = None if software.stack else defaults.get("attention")
    return replace(stack, attention=software.attention or own or stack.attention)
