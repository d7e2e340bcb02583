"""One row for each value of a closed list that no other table compares: rows for `test_knobs.py`, as in
`table_knobs.py`."""

from __future__ import annotations

from pathlib import Path

from compression_knobs import KEY, NAMED, SLOW_NET
from length_knobs import ZIPF
from table_knobs import TWO

ALONE = "plan.tensor=1; plan.data=8; model.head={kind: binary}"
"""A rank has all of a layer."""
LAYER = "{forward_s: 0.001, backward_s: 0.002, parameters: 1000000, activation_bytes: 1000000}"
PROFILED = f"{ALONE}; model.trunk={{block: profiled, seq: 512, layers: [{LAYER}, {LAYER}]}}"
SHORT_HISTORIES = Path(__file__).parent / "short_histories.txt"

BLOCKS = [
    ("gpt", "model.trunk.block", "bert", "gpt", "step", ">", ""),  # a projection more in front of the logits
    ("sasrec", "model.trunk.block", "hstu", "sasrec", "memory parameters", "<", "plan.embedding_sharding=row_wise"),
    ("sasrec", "model.trunk.block", "bert", "sasrec", "memory parameters", ">", ""),  # an MLP four times as wide
    ("dlrm", "model.trunk", "{block: none}", "-", "timeline", "=", ""),
    ("gpt", "model.trunk", PROFILED.split("model.trunk=")[1], "-", "memory parameters", "<", ALONE),
    ("gpt", "model.trunk.layers.0.forward_s", "0.002", "0.001", "step", ">", PROFILED),
    ("gpt", "model.trunk.layers.0.backward_s", "0.004", "0.002", "step", ">", PROFILED),
    ("gpt", "model.trunk.layers.0.parameters", "2000000", "1000000", "memory parameters", ">", PROFILED),
    ("gpt", "model.trunk.layers.0.parameters", "2000000", "1000000", "sent reduce", ">", PROFILED),
    ("gpt", "model.trunk.layers.0.activation_bytes", "2000000", "1000000", "memory activations", ">", PROFILED),
    ("gpt", "model.head.kind", "lm", "binary", "step", ">", ""),  # logits over the vocabulary
    ("hstu", "model.dense.interaction", "none", "-", "timeline", "=", ""),  # a trunk's top is no interaction
    ("llama", "model.adapter.targets", "[gate]", "[q]", "memory gradients", ">",  # the MLP is wider
     "model.adapter={kind: lora, rank: 8, targets: [v]}"),
]  # fmt: skip

DTYPES = [
    *(("gpt", f"precision.{key}", wide, "fp32", "timeline", "=", "") for key in ("parameters", "gradients", "reduce")
      for wide in ("tf32",)),  # a product's dtype, kept in four bytes
    ("gpt", "precision.parameters", "fp16", "fp32", "memory parameters", "<", ""),
    ("gpt", "precision.gradients", "fp16", "fp32", "memory gradients", "<", ""),
    ("gpt", "precision.reduce", "fp16", "fp32", "sent reduce", "<", ""),
    ("hstu", "precision.vectors", "fp16", "bf16", "timeline", "=", ""),
    ("hstu", "precision.vectors", "tf32", "fp32", "timeline", "=", ""),
]  # fmt: skip

STACKS = [
    ("gpt", "software.stack", "llm_foundry", "torch", "memory activations", "<", ""),  # it trains without dropout
    ("llama", "software.stack", "torchtitan", "torch", "step", ">", ""),  # norm, rotary and gate in small kernels
]

METHODS = [
    *(("gpt", f"{KEY}.method", "adaptive", method, "step", "<=", SLOW_NET) for method in ("none", "topk", "powersgd")),
    *(("gpt", f"{KEY}.candidates", f"[{method}]", f"[bf16]; {KEY}={{method: {method}}}", "timeline", "=",
       f"{SLOW_NET}; {KEY}.method=adaptive") for method in NAMED),
    *(("gpt", f"{KEY}.decided", f"{{0.b0: {method}}}", "{0.b0: none}", "sent", "<", f"{KEY}.method=adaptive")
      for method in (*NAMED, "bf16", "powersgd")),
]  # fmt: skip

LENGTHS = [
    ("hstu", "data.lengths", f"{{kind: file, path: {SHORT_HISTORIES}}}", "{kind: fixed}", "step", "<", ""),
    ("hstu", "data.lengths.path", f"{SHORT_HISTORIES}", f"{SHORT_HISTORIES.with_name('long_histories.txt')}", "step",
     "<", f"data.lengths={{kind: file, path: {SHORT_HISTORIES}}}"),
]  # fmt: skip

BOXES = "cluster={preset: pcie_box}; plan.tensor=1"
ADDED = "plan.tensor=1; plan.overlap.grad_reduce=false; plan.aggregation.algorithm=in_switch"
TWO_NODES = "cluster.nodes=2; cluster.gpus_per_node=8; plan.tensor=1"
TOPOLOGIES = [
    ("gpt", "cluster.preset", "p4d", "dgx_a100_40gb", "step", ">", TWO_NODES),  # 400 Gb/s out of a node, not 1,600
    ("gpt", "cluster.preset", "p5", "dgx_h100", "step", ">", TWO_NODES),  # as many Gb/s, over longer ways
    ("gpt", "cluster.preset", "dgx_h200", "dgx_h100", "step", "<", TWO_NODES),  # faster memory
    ("gpt", "cluster.preset", "dgx_b200", "dgx_h100", "step", "<", TWO_NODES),
    ("gpt", "cluster.preset", "dgx2_v100", "dgx_a100", "step", ">", f"{TWO_NODES}; dtype=fp16"),
    ("gpt", "cluster.preset", "fat_tree", "dgx_h100", "timeline", "=", TWO_NODES),  # below one leaf
    ("gpt", "cluster.preset", "rail_optimized", "dgx_h100", "timeline", "=", TWO_NODES),
    ("gpt", "cluster.sockets", "1", "2", "step", "<", f"{BOXES}; cluster.bridge_gbit_per_s=20"),  # no bridge to cross
    ("gpt", "cluster.bridge_gbit_per_s", "20", "536", "step", ">", BOXES),
    ("gpt", "cluster.pcie_gbit_per_s", "64", "256", "step", ">", BOXES),
    ("gpt", "cluster.in_switch_reduction", "false; plan.aggregation.algorithm=ring", "true", "step", ">",
     f"cluster={{preset: dgx_h100}}; {ADDED}"),
    ("gpt", "cluster.in_network_reduction", "true", "false", "step", "<",
     f"cluster={{preset: dgx_h100, nodes: 2}}; {ADDED}"),
    # what a balancer shuffles is no gradient: no switch adds it up
    ("hstu", "plan.aggregation.algorithm", "in_switch", "auto", "launches shuffle samples", "=",
     f"{ZIPF}; {TWO}; plan.balancer.kind=length"),
]  # fmt: skip

VALUE_ROWS = [*BLOCKS, *DTYPES, *STACKS, *METHODS, *LENGTHS, *TOPOLOGIES]
