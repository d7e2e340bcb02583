"""What `rehearse init` writes: for each preset a scenario that runs and fits, with a comment on every key to turn."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.scenario.presets import preset_model, preset_summary


@dataclass(frozen=True)
class Start:
    """A cluster and a plan that hold a preset's model. GPUs = tensor * pipeline * data, and data follows."""

    topology: str
    nodes: int
    microbatch: int
    global_batch: int
    dtype: str = "bf16"
    tensor: int = 1
    pipeline: int = 1
    sequence_parallel: bool = False
    recompute: str = "none"
    zero: int = 0
    optimizer: str = "adam"
    stack: str | None = None
    embedding_sharding: str = "auto"
    reason: str = ""


STARTS = {
    "gpt3_175b": Start(
        "dgx_a100", 8, 1, 64, tensor=8, pipeline=8, sequence_parallel=True, recompute="selective",
        reason="the 64 A100 of Korthikanti et al. 2022 (arXiv 2205.05198), table 5, without its 3 chunks a stage",
    ),
    "llama3_8b": Start(
        "dgx_h100", 1, 1, 64, tensor=4, sequence_parallel=True, zero=1,
        reason="one node: 8 billion parameters at 18 bytes each need 4 GPUs, the rest are replicas",
    ),
    "llama3_70b": Start(
        "dgx_h100", 8, 1, 128, tensor=8, pipeline=4, sequence_parallel=True, zero=1,
        reason="a layer over the 8 GPUs of a node, 4 stages of 20 layers, 2 replicas that share the optimizer states",
    ),
    "llama3_405b": Start(
        "dgx_h100", 36, 1, 144, tensor=8, pipeline=18, sequence_parallel=True, recompute="full", zero=1,
        reason="126 layers divide into 18 stages of 7; the input of each layer is kept and the layer run again",
    ),
    "hstu_nv_ranking": Start(
        "dgx_h100", 2, 32, 512,
        reason="2 nodes, data parallel, 32 samples a GPU, tables in host memory: as NVIDIA/recsys-examples measures it",
    ),
    "hstu_ml20m_large": Start(
        "dgx_h100", 1, 128, 1024,
        reason="128 samples a GPU as in the source, on the 8 GPUs of a node",
    ),
    "dlrm_v2_mlperf": Start(
        "dgx_a100", 1, 8192, 65536, dtype="tf32", optimizer="adagrad", stack="torch",
        reason="a global batch of 65,536 on the 8 GPUs of a node, as the reference runs it",
    ),
    "dlrm_dot_criteo": Start(
        "dgx_a100", 1, 8192, 65536, dtype="fp16", optimizer="sgd", stack="deeplearning_examples",
        embedding_sharding="table_wise",
        reason="8,192 rows a GPU on the 8 GPUs of a node, whole tables dealt out, as NVIDIA's example runs it",
    ),
    "dlrmv3_mlperf": Start(
        "dgx_h100", 4, 1, 32,
        reason="4 nodes, because a table of a terabyte needs more than two; one sample of 16,384 positions a GPU",
    ),
    "sasrec_ml20m": Start(
        "dgx_h100", 1, 128, 1024, embedding_sharding="data_parallel",
        reason="128 samples a GPU and a copy of the item table on each, as in the source, on the 8 GPUs of a node",
    ),
    "bert4rec": Start(
        "dgx_a100", 1, 32, 256,
        reason="a batch of 256 as in the paper, over the 8 GPUs of a node",
    ),
    "tallrec_llama7b_lora": Start(
        "dgx_a100", 1, 8, 128,
        reason="a batch of 128 as in the source, in microbatches that fit without 8-bit weights, over 8 GPUs",
    ),
}  # fmt: skip


def starter(preset: str) -> str:
    """The text of a commented scenario. Raises as `preset_model` does for a name that cannot be used."""
    preset_model(preset)
    start = STARTS[preset]
    return f"""\
# {preset_summary(preset)}
# {start.reason}.
# Keys and choices: `rehearse show schema`, `rehearse show policies`. Commented keys stand at their defaults.
schema_version: 1
name: {preset.replace("_", "-")}

model:
  preset: {preset}{" " * max(1, 22 - len(preset))}# keys beside it override it, such as trunk: {{layers: 4}}
dtype: {start.dtype:<24}# bf16 | fp16 | fp32 | tf32
{_optimizer(start)}  # adam | adamw | sgd | lamb | adagrad
{_software(start)}
# precision: {{parameters: null, gradients: null, reduce: null}}   # null: {start.dtype} kept, fp32 reduced

cluster:
  preset: {start.topology:<21}# rehearse show topologies
  nodes: {start.nodes}
  # gpus_per_node: 8
  # nic_gbit_per_s: {"1600" if start.topology == "dgx_a100" else "3200"}         # Gb/s of a node, all its NICs together
# profile: null                # cost profile by name or path; null: each device's own

plan:
  tensor: {start.tensor:<21}# ranks that share a layer
  pipeline: {start.pipeline:<19}# stages
  # data: {_gpus(start) // (start.tensor * start.pipeline):<20} # replicas; left out: all that the others leave
  sequence_parallel: {str(start.sequence_parallel).lower():<10}# norms and dropout split over the sequence
  schedule: 1f1b               # gpipe | 1f1b | interleaved_1f1b (virtual_stages: 2) | zb_h1 | zb_h2 | zb_v
  # partition: uniform         # uniform | balanced (in FLOPs) | [layers of each stage]
  microbatch: {start.microbatch:<17}# samples of one replica that are in flight together
  global_batch: {start.global_batch:<15}# samples in a step over all replicas
  recompute: {start.recompute:<18}# none | selective (attention core) | selective_op (norms, activations too) | full
  zero: {start.zero:<23}# 0 | 1 (shards optimizer states) | 2 (gradients too) | 3 (FSDP; bucket_mib: null)
  # bucket_mib: 25             # gradients are reduced in pieces of this size
  # overlap: {{grad_reduce: true, param_gather: true, pipeline: true}}
  # compression: {{method: none}}  # fp16 | bf16 | int8 | onebit | topk | randomk | dgc | powersgd ...
  embedding_sharding: {start.embedding_sharding:<8} # auto | row_wise | table_wise | column_wise | grid ...

seed: 0
"""


def _optimizer(start: Start) -> str:
    line = f"optimizer: {start.optimizer}"
    return f"# {line:<27}" if start.optimizer == "adam" else f"{line:<29}"


def _software(start: Start) -> str:
    stack = start.stack or "null"
    line = f"software: {{stack: {stack}}}"
    return line if start.stack else f"# {line:<27}  # null: the profile's own generation of software"


def _gpus(start: Start) -> int:
    """GPUs of the cluster: both machine rooms have 8 a node."""
    return 8 * start.nodes
