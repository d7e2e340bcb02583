"""Knobs of how gradients are sharded, fused, summed, compressed."""

from __future__ import annotations

from knob_settings import EVEN, NVLINK, ONE_H100, SLOW_NET, SLOW_NODES, TWO_H100, TWO_NODES
from knobs import Knob, launches, memory, peak, running, sent, step, time_of, timeline

GRADIENTS = [
    Knob("gpt", "plan.zero", "1", "0", memory("optimizer"), "<"),
    Knob("gpt", "plan.zero", "1", "0", memory("parameters"), "="),
    Knob("gpt", "plan.zero", "1", "0", time_of("optimizer"), "<"),
    Knob("gpt", "plan.zero", "1", "0", launches("all_gather"), ">"),
    Knob("gpt", "plan.zero", "1", "0", timeline, "=", "plan.tensor=8"),
    Knob("gpt", "plan.zero", "3", "0", timeline, "=", "plan.tensor=8"),
    Knob("gpt", "plan.zero", "2", "1", memory("gradients"), "<"),
    Knob("gpt", "plan.zero", "2", "1", memory("parameters"), "="),
    Knob("gpt", "plan.zero", "2", "1", sent("reduce_scatter"), ">"),  # each of 4 microbatches' gradients
    Knob("gpt", "plan.zero", "2", "1", sent("reduce_scatter"), "=", "plan.global_batch=4"),
    Knob("gpt", "plan.zero", "2", "1", sent("all_gather"), "="),
    Knob("gpt", "plan.zero", "3", "2", memory("parameters"), "<", "plan.bucket_mib=null"),
    Knob("gpt", "plan.zero", "3", "0", peak, "<", "plan.tensor=1"),
    Knob("gpt", "plan.zero", "3", "2", sent("all_gather"), ">", "plan.bucket_mib=null"),
    Knob("gpt", "plan.zero", "3", "1", step, ">", TWO_NODES + "; cluster.nic_gbit_per_s=200"),
    Knob("gpt", "plan.zero", "3", "1", time_of("optimizer"), "<", TWO_NODES),
    Knob("gpt", "plan.shard_group", "2", "null", timeline, "="),
    Knob("gpt", "plan.shard_group", "16", "null", timeline, "=", TWO_NODES + "; plan.zero=3"),
    Knob("gpt", "plan.shard_group", "8", "null", memory("optimizer"), ">", TWO_NODES + "; plan.zero=1"),
    Knob("gpt", "plan.shard_group", "8", "null", memory("parameters"), ">", TWO_NODES + "; plan.zero=3"),
    Knob("gpt", "plan.shard_group", "8", "null", launches("reduce"), ">", TWO_NODES + "; plan.zero=2"),
    # gathers stay inside the nodes, and an eighth of the gradients crosses
    Knob("gpt", "plan.shard_group", "8", "null", step, "<", TWO_NODES + "; plan.zero=3; cluster.nic_gbit_per_s=200"),
    Knob("gpt", "plan.reshard_after_forward", "false", "true", timeline, "="),
    Knob("gpt", "plan.reshard_after_forward", "false", "true", timeline, "=", "plan.zero=2"),
    Knob("gpt", "plan.reshard_after_forward", "false", "true", memory("parameters"), ">", "plan.zero=3"),
    Knob("gpt", "plan.reshard_after_forward", "false", "true", sent("all_gather"), "<", "plan.zero=3"),
    Knob("gpt", "plan.reshard_after_forward", "false", "true", step, "<", TWO_NODES + "; plan.zero=3"),
    *(Knob("gpt", "plan.reshard_after_forward", "false", "true", look, sign,
           "plan.zero=3; plan.pipeline=2; model.trunk.layers=32")
      for look, sign in ((memory("parameters"), ">"), (sent("all_gather"), "<"))),
    Knob("gpt", "plan.bucket_mib", "0.001", "25", launches("reduce"), ">"),
    Knob("gpt", "plan.bucket_mib", "0.001", "25", sent("reduce"), "="),
    Knob("gpt", "plan.bucket_mib", "1000", "25", launches("reduce"), "<"),
    Knob("gpt", "plan.bucket_mib", "1000", "25", step, ">=", TWO_NODES),  # one bucket overlaps with nothing
    Knob("gpt", "plan.bucket_mib", "1", "25", timeline, "=", "plan.tensor=8"),
    Knob("gpt", "plan.bucket_mib", "1", "25", launches("reduce_scatter"), ">", "plan.zero=2"),
    Knob("gpt", "plan.bucket_mib", "1", "1000", memory("gradients"), "<", "plan.zero=2"),
    Knob("gpt", "plan.aggregation.algorithm", "ring", "tree", time_of("data_comm"), ">",
         "cluster.nodes=64; plan.tensor=8; plan.global_batch=64; plan.bucket_mib=1; plan.overlap.grad_reduce=false"),
    Knob("gpt", "plan.aggregation.algorithm", "auto", "ring", step, "<=", "cluster.nodes=4; plan.global_batch=32"),
    Knob("gpt", "plan.aggregation.algorithm", "auto", "tree", step, "<=", "cluster.nodes=4; plan.global_batch=32"),
    Knob("gpt", "plan.aggregation.algorithm", "tree", "auto", timeline, "=", "plan.tensor=8"),
    # half of a ring's bytes leave each of two nodes; on fast NICs the stages inside nodes cost more than that saves
    Knob("gpt", "plan.aggregation.algorithm", "hierarchical", "ring", step, "<", SLOW_NODES),
    Knob("gpt", "plan.aggregation.algorithm", "hierarchical", "ring", step, ">", "cluster.nodes=4; plan.tensor=1;"
         "plan.global_batch=32"),
    Knob("gpt", "plan.aggregation.algorithm", "hierarchical", "ring", running("data_comm"), "<", SLOW_NODES
         + "; plan.zero=1"),
    Knob("gpt", "plan.aggregation.algorithm", "hierarchical", "ring", timeline, "=", SLOW_NET),  # one rank a node
    Knob("gpt", "plan.aggregation.algorithm", "halving_doubling", "ring", step, "<", SLOW_NODES),
    Knob("gpt", "plan.aggregation.algorithm", "halving_doubling", "ring", time_of("data_comm"), "<",
         "cluster.nodes=64; plan.tensor=8; plan.global_batch=64; plan.bucket_mib=1; plan.overlap.grad_reduce=false"),
    Knob("llama", "plan.aggregation.algorithm", "in_switch", "ring", step, "<", ONE_H100 + "; plan.data=8"),
    Knob("llama", "plan.aggregation.algorithm", "in_switch", "auto", step, ">=", ONE_H100 + "; plan.data=8"),
    Knob("llama", "plan.aggregation.algorithm", "in_switch", "tree", step, "<", TWO_H100),
    Knob("gpt", "plan.aggregation.algorithm", "in_switch", "ring", step, "<", SLOW_NODES
         + "; cluster.in_network_reduction=true"),
    Knob("gpt", "plan.aggregation.algorithm", "in_switch", "auto", timeline, "=", "plan.tensor=8"),
    Knob("gpt", "plan.aggregation.order", "priority", "backward", timeline, "=", "plan.tensor=8"),
    # links as slow as the computation: what backward cannot hide, the next forward does
    Knob("gpt", "plan.aggregation.order", "priority", "backward", step, "<", EVEN),
    Knob("gpt", "plan.aggregation.order", "priority", "backward", step, "<", EVEN + "; plan.overlap.grad_reduce=false"),
    Knob("gpt", "plan.aggregation.order", "priority", "backward", sent("reduce"), "=", EVEN),
    Knob("gpt", "plan.aggregation.order", "priority", "backward", timeline, "=", EVEN + "; plan.bucket_mib=1000"),
    Knob("gpt", "plan.aggregation.sparse", "balanced", "allgather", timeline, "=", "plan.tensor=8"),
    Knob("gpt", "plan.aggregation.sparse", "balanced", "allgather", timeline, "="),  # nothing is sparse
    Knob("gpt", "plan.aggregation.sparse", "balanced", "allgather", step, "<", SLOW_NODES
         + "; plan.compression.method=topk"),
    # two ranks: two exchanges instead of one, and nothing saved
    Knob("gpt", "plan.aggregation.sparse", "balanced", "allgather", step, ">",
         "plan.tensor=4; plan.compression.method=topk"),
    Knob("gpt", "plan.overlap.grad_reduce", "false", "true", step, ">=", TWO_NODES),
    Knob("gpt", "plan.overlap.grad_reduce", "false", "true", time_of("data_comm"), ">", TWO_NODES),
    Knob("gpt", "plan.overlap.grad_reduce", "false", "true", timeline, "=", "plan.tensor=8"),
    *(Knob("gpt", "plan.overlap.grad_reduce", "false", "true", step, ">", f"{TWO_NODES}; plan.zero={zero}")
      for zero in (2, 3)),
    *(Knob("gpt", "plan.overlap.param_gather", "false", "true", step, ">", f"{TWO_NODES}; plan.zero={zero}")
      for zero in (2, 3)),
    Knob("gpt", "plan.overlap.param_gather", "false", "true", memory("buffers"), "<=", TWO_NODES + "; plan.zero=3"),
    Knob("gpt", "plan.overlap.param_gather", "false", "true", step, ">=", TWO_NODES + "; plan.zero=1"),
    Knob("gpt", "plan.overlap.param_gather", "false", "true", time_of("data_comm"), ">", TWO_NODES + "; plan.zero=1"),
    Knob("gpt", "plan.overlap.param_gather", "false", "true", timeline, "="),
    Knob("gpt", "plan.compression.method", "topk", "none", step, "<", SLOW_NET),
    Knob("gpt", "plan.compression.method", "powersgd", "none", step, "<", SLOW_NET),
    Knob("gpt", "plan.compression.method", "bf16", "none", step, "<", SLOW_NET),
    Knob("gpt", "plan.compression.method", "topk", "none", step, ">=", NVLINK),
    Knob("gpt", "plan.compression.method", "powersgd", "none", step, ">=", NVLINK),
    Knob("gpt", "plan.compression.method", "bf16", "none", sent("reduce"), "<"),
    Knob("gpt", "plan.compression.method", "bf16", "none", timeline, "=", "plan.tensor=2; precision.reduce=bf16;"
         "precision.gradients=bf16; name=gpt; cluster.gpus_per_node=8; plan.compression.method=none"),
    Knob("gpt", "plan.compression.method", "topk", "none", time_of("compression"), ">"),
    Knob("gpt", "plan.compression.density", "0.1", "0.01", sent("reduce"), ">", "plan.compression.method=topk"),
    Knob("gpt", "plan.compression.density", "0.1", "0.01", step, ">",
         "plan.compression.method=topk; " + SLOW_NET),
    Knob("gpt", "plan.compression.rank", "8", "2", sent("reduce"), ">", "plan.compression.method=powersgd"),
    Knob("gpt", "plan.compression.rank", "8", "2", step, ">", "plan.compression.method=powersgd; " + SLOW_NET),
    Knob("gpt", "plan.compression.error_feedback", "true", "false", memory("buffers"), ">",
         "plan.compression.method=topk"),
    Knob("gpt", "plan.compression.error_feedback", "true", "false", step, ">", "plan.compression.method=topk"),
    Knob("gpt", "plan.compression.error_feedback", "true", "false", step, ">", "plan.compression.method=powersgd"),
]  # fmt: skip
