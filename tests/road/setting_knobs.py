"""Knobs of the cluster by preset, of precision and software, and of all else at the top of a scenario."""

from __future__ import annotations

from knob_settings import BIG, NVLINK, SLOW_NET, TWO_NODES
from knobs import Knob, memory, model_flops, samples_per_s, sent, step, time_of, timeline

SETTINGS = [
    Knob("gpt", "cluster.nic_gbit_per_s", "400", "100", step, "<", TWO_NODES),
    Knob("llama", "cluster.nic_gbit_per_s", "3200", "100", step, "<"),
    Knob("hstu", "cluster.nic_gbit_per_s", "3200", "100", step, "<", "cluster.nodes=2; plan.global_batch=128"),
    Knob("gpt", "cluster.nic_gbit_per_s", "100", "1600", timeline, "="),  # one node sends nothing out of it
    Knob("gpt", "cluster.nics_per_node", "2; cluster.nic_gbit_per_s=400", "8; cluster.nic_gbit_per_s=400", step, "=",
         TWO_NODES),  # the node's total is what counts where all GPUs send at once
    Knob("gpt", "cluster.nics_per_node", "2", "8", step, ">", TWO_NODES),
    Knob("gpt", "cluster.gpus_per_node", "4", "8", step, ">"),
    Knob("gpt", "cluster.nodes", "2", "1", step, "<", BIG),
    Knob("gpt", "cluster.nodes", "2", "1", time_of("data_comm"), ">"),
    Knob("gpt", "cluster.device", "a100_sxm4_40gb", "a100_sxm4_80gb", step, ">"),
    Knob("gpt", "cluster.preset", "dgx_a100_40gb", "dgx_a100", step, ">"),
    Knob("gpt", "cluster.preset", "dgx_h100", "dgx_a100", step, "<"),
    Knob("single", "cluster.device", "a100_sxm4_80gb", "h100_sxm5_80gb", step, ">", BIG),
    Knob("single", "cluster.device", "h200_sxm_141gb", "h100_sxm5_80gb", step, "<"),
    Knob("cpu", "cluster.gpus_per_node", "2", "1; plan.data=1", samples_per_s, "<="),  # the same cores, shared
    Knob("gpt", "dtype", "fp32", "bf16", step, ">"),
    Knob("gpt", "dtype", "fp32", "bf16", memory("activations"), ">"),
    Knob("gpt", "dtype", "fp32", "bf16", memory("parameters"), ">"),
    Knob("gpt", "dtype", "fp32", "bf16", memory("optimizer"), "<"),  # no master copy
    Knob("gpt", "dtype", "fp32", "bf16", model_flops, "="),
    Knob("gpt", "dtype", "tf32", "fp32", step, "<"),
    Knob("gpt", "dtype", "fp16", "bf16", memory("gradients"), "<"),
    Knob("gpt", "dtype", "fp16", "bf16", memory("parameters"), "="),
    Knob("gpt", "precision.parameters", "fp32", "bf16", memory("parameters"), ">"),
    Knob("gpt", "precision.parameters", "fp32", "bf16", memory("optimizer"), "<"),  # no master copy
    Knob("gpt", "precision.gradients", "fp32", "bf16", memory("gradients"), ">"),
    Knob("gpt", "precision.gradients", "fp32", "bf16", step, "!="),
    Knob("gpt", "precision.reduce", "fp32", "bf16", sent("reduce"), ">"),
    Knob("gpt", "precision.reduce", "fp32", "bf16", step, ">", "plan.overlap.grad_reduce=false"),
    Knob("gpt", "precision.reduce", "fp32", "bf16", timeline, "=", "plan.tensor=8"),
    Knob("gpt", "precision.reduce", "fp32", "bf16", sent("reduce_scatter"), ">", "plan.zero=3"),
    Knob("gpt", "precision.parameters", "fp32", "bf16", sent("all_gather"), ">", "plan.zero=3"),
    Knob("gpt", "optimizer", "sgd", "adam", memory("optimizer"), "<"),
    Knob("gpt", "optimizer", "sgd", "adam", step, "<"),
    Knob("gpt", "optimizer", "lamb", "adam", step, ">"),
    Knob("gpt", "optimizer", "lamb", "adam", memory("optimizer"), "="),
    Knob("gpt", "optimizer", "adamw", "adam", timeline, "="),
    Knob("gpt", "optimizer", "adagrad", "adam", memory("optimizer"), "<"),
    Knob("gpt", "optimizer", "adagrad", "adam", step, "<"),
    Knob("gpt", "software.stack", "megatron_2021", "megatron_2022", step, ">"),
    Knob("gpt", "software.stack", "megatron_2022", "current", step, ">"),
    Knob("gpt", "software.stack", "megatron_2022", "null", timeline, "="),
    Knob("gpt", "software.stack", "megatron_2023", "current", time_of("other"), ">"),
    Knob("gpt", "software.stack", "torch", "current", step, ">"),
    Knob("llama", "software.stack", "current", "null", timeline, "="),
    Knob("gpt", "software.stack", "llm_foundry", "llm_foundry_torch1", step, "<", "plan.recompute=full"),  # stops early
    Knob("gpt", "software.stack", "llm_foundry", "llm_foundry_torch1", step, "="),
    Knob("gpt", "software.attention", "flash", "unfused", step, "<"),
    Knob("gpt", "software.attention", "flash", "unfused", memory("activations"), "<"),
    Knob("llama", "software.compile", "true", "false", step, "<"),
    Knob("hstu", "software.compile", "true", "false", step, "<"),
    Knob("llama", "software.compile", "true", "false", memory("activations"), "<", "software.stack=torch"),
    Knob("llama", "software.compile", "true", "false", model_flops, "="),
    Knob("dlrm", "software.compile", "true", "false", timeline, "="),  # no trunk
    Knob("llama", "software.attention", "flash", "null", timeline, "="),
    Knob("gpt", "software.attention", "unfused", "null", timeline, "="),
    Knob("gpt", "network", "isolated", "auto", step, "=", NVLINK),  # one communicator: nobody to share with
    Knob("gpt", "network", "isolated", "auto", step, "<", SLOW_NET + "; cluster.nics_per_node=1"),  # eight on one NIC
    Knob("gpt", "network", "fair_share", "auto", timeline, "=", SLOW_NET + "; cluster.nics_per_node=1"),
    Knob("gpt", "profile", "h100_sxm5_80gb", "null", step, "!="),
    Knob("gpt", "profile", "a100_sxm4_80gb", "null", timeline, "="),
    Knob("gpt", "steps", "10", "1", timeline, "="),
    Knob("gpt", "seed", "7", "0", timeline, "="),
    Knob("gpt", "name", "other", "gpt", timeline, "="),
    Knob("gpt", "data.lengths", "{kind: fixed}", "-", timeline, "="),
    Knob("gpt", "faults", "{}", "-", timeline, "="),
    Knob("gpt", "serving", "{}", "-", timeline, "="),
]  # fmt: skip
