"""Knobs of `plan`: degrees, schedules, recomputation, tables."""

from __future__ import annotations

from knob_settings import BIG, DEEP, GROUPED, HEADS, LAYER_22B, LONG, PIPE, SPLIT
from knobs import (
    Knob,
    hardware_flops,
    inside,
    launches,
    memory,
    model_flops,
    peak,
    samples_per_s,
    sent,
    step,
    time_of,
    timeline,
)

PLAN = [
    Knob("gpt", "plan.tensor", "4", "2", memory("parameters"), "<"),
    Knob("gpt", "plan.tensor", "4", "2", memory("activations"), "<"),
    Knob("gpt", "plan.tensor", "4", "2", time_of("tensor_comm"), ">"),
    Knob("gpt", "plan.tensor", "2", "1", step, "<", BIG + "; cluster.gpus_per_node=2; plan.global_batch=2"),
    Knob("gpt", "plan.tensor", "8", "1", step, ">"),  # a small model: collectives cost more than they save
    Knob("gpt", "plan.pipeline", "4; plan.data=1", "1; plan.data=4", memory("parameters"), "<"),
    Knob("gpt", "plan.pipeline", "4; plan.data=1", "1; plan.data=4", time_of("bubble"), ">"),
    Knob("gpt", "plan.data", "2; cluster.gpus_per_node=2", "1; cluster.gpus_per_node=1", step, "<", "plan.tensor=1"),
    Knob("gpt", "plan.data", "2; cluster.gpus_per_node=2", "1; cluster.gpus_per_node=1", samples_per_s, ">",
         "plan.tensor=1"),
    Knob("gpt", "plan.context_kind", "all_to_all", "ring", timeline, "="),
    # sequences of 32768: half of each sample on each rank, and half the replicas
    Knob("llama", "plan.context", "2; plan.data=1", "1; plan.data=2", memory("activations"), "<", LONG),
    Knob("llama", "plan.context", "2; plan.data=1", "1; plan.data=2", memory("parameters"), "=", LONG),
    Knob("llama", "plan.context", "2; plan.data=1", "1; plan.data=2", sent("reduce"), "=", LONG),
    Knob("llama", "plan.context", "2; plan.data=1", "1; plan.data=2", inside("context"), ">", LONG),
    Knob("llama", "plan.context", "2; plan.data=1", "1; plan.data=2", model_flops, "=", LONG),
    Knob("llama", "plan.context", "2; plan.data=1; cluster.nodes=2", "1; plan.data=1; cluster.nodes=1", step, "<",
         LONG),
    Knob("hstu", "plan.context", "2; plan.data=4; plan.microbatch=16", "1; plan.data=8", sent("exchange vectors"), "=",
         "plan.global_batch=128"),
    Knob("hstu", "plan.context", "4; plan.data=2", "2; plan.data=4", memory("activations"), "<"),
    Knob("sasrec", "plan.context", "2; plan.data=2", "1; plan.data=4", memory("activations"), "<",
         "software.attention=flash"),
    Knob("bert", "plan.context", "4; plan.data=4", "1; plan.data=16", memory("activations"), "<",
         "software.attention=flash"),
    # K and V go round beside attention; Q, K, V and the output are exchanged beside nothing
    Knob("llama", "plan.context_kind", "all_to_all", "ring", time_of("context_comm"), ">", HEADS),
    Knob("llama", "plan.context_kind", "all_to_all", "ring", time_of("compute"), "<", HEADS),  # one kernel, no sums
    # K half as wide as Q: K and V go round, again, and their gradients: 3 Q; Q, K, V and the output both ways: 6 Q
    Knob("llama", "plan.context_kind", "all_to_all", "ring", inside("context"), ">", GROUPED),
    Knob("gpt", "plan.sequence_parallel", "true", "false", memory("activations"), "<"),
    # 22B's layer (arXiv 2205.05198): norms and dropouts split eightfold outweigh the dearer collectives
    Knob("gpt", "plan.sequence_parallel", "true", "false", step, "<", LAYER_22B),
    Knob("gpt", "plan.sequence_parallel", "true", "false", time_of("tensor_comm"), ">", LAYER_22B),
    Knob("gpt", "plan.sequence_parallel", "true", "false", timeline, "=", "plan.tensor=1"),
    Knob("gpt", "plan.schedule", "1f1b", "gpipe", memory("activations"), "<", PIPE),
    Knob("gpt", "plan.schedule", "1f1b", "gpipe", peak, "<", PIPE),
    Knob("gpt", "plan.schedule", "gpipe", "1f1b", step, "="),  # one stage: another order of the same work
    Knob("gpt", "plan.schedule", "1f1b", "interleaved_1f1b", timeline, "="),
    Knob("gpt", "plan.schedule", "zb_h1", "1f1b", step, "<", DEEP),
    Knob("gpt", "plan.schedule", "zb_h1", "1f1b", time_of("bubble"), "<", DEEP),
    Knob("gpt", "plan.schedule", "zb_h1", "1f1b", model_flops, "=", DEEP),
    Knob("gpt", "plan.schedule", "zb_h1", "1f1b", step, ">", "plan.tensor=8"),  # nothing to fill; collectives show
    Knob("gpt", "plan.schedule", "zb_h2", "zb_h1", step, "<", DEEP),
    Knob("gpt", "plan.schedule", "zb_h2", "zb_h1", memory("activations"), ">", DEEP),
    Knob("gpt", "plan.schedule", "zb_v", "1f1b", time_of("bubble"), "<", DEEP),
    Knob("gpt", "plan.schedule", "zb_v", "zb_h2", memory("activations"), "<", DEEP),
    Knob("gpt", "plan.schedule", "zb_v", "zb_h1", sent("send"), ">", DEEP),
    Knob("gpt", "plan.schedule", "zb_v", "zb_v; plan.virtual_stages=2", timeline, "=", DEEP),
    Knob("llama", "plan.virtual_stages", "2; plan.schedule=interleaved_1f1b", "1", time_of("bubble"), "<",
         "plan.global_batch=16; model.trunk.hidden=4096"),
    Knob("llama", "plan.virtual_stages", "2; plan.schedule=interleaved_1f1b", "1", sent("send"), ">",
         "plan.global_batch=16"),
    Knob("gpt", "plan.microbatch", "4", "1", memory("activations"), ">"),
    Knob("gpt", "plan.microbatch", "4", "1", step, "<"),  # larger kernels run better, and no pipeline to fill
    Knob("gpt", "plan.microbatch", "4", "1", time_of("bubble"), ">", PIPE + "; plan.global_batch=64"),
    Knob("gpt", "plan.global_batch", "32", "16", step, ">"),
    Knob("gpt", "plan.global_batch", "32", "16", samples_per_s, ">"),  # the update is shared by more samples
    Knob("gpt", "plan.global_batch", "32", "16", model_flops, ">"),
    Knob("gpt", "plan.recompute", "full", "none", memory("activations"), "<"),
    Knob("gpt", "plan.recompute", "full", "none", step, ">"),
    Knob("gpt", "plan.recompute", "full", "none", hardware_flops, ">"),
    Knob("gpt", "plan.recompute", "full", "none", model_flops, "="),
    Knob("gpt", "plan.recompute", "full", "none", time_of("recompute"), ">"),
    Knob("gpt", "plan.recompute", "selective", "none", memory("activations"), "<"),
    Knob("gpt", "plan.recompute", "selective", "none", step, ">"),
    Knob("gpt", "plan.recompute", "full", "selective", step, ">"),
    Knob("gpt", "plan.recompute", "full", "selective", memory("activations"), "<"),
    Knob("hstu", "plan.recompute", "selective", "none", timeline, "="),  # its attention keeps no s^2
    Knob("hstu", "plan.recompute", "full", "none", memory("activations"), "<"),
    Knob("gpt", "plan.overlap.tensor", "true", "false", timeline, "=", "plan.tensor=1"),
    Knob("gpt", "plan.overlap.tensor", "true", "false", time_of("tensor_comm"), "<", SPLIT),
    Knob("gpt", "plan.overlap.tensor", "true", "false", time_of("compute"), ">", SPLIT),  # smaller products, slowed
    Knob("gpt", "plan.overlap.tensor", "true", "false", step, "<", SPLIT),
    Knob("gpt", "plan.overlap.tensor", "true", "false", memory("activations"), "=", SPLIT),
    Knob("gpt", "plan.overlap.pipeline", "false", "true", step, ">", PIPE + "; cluster.nodes=2; plan.data=4"),
    Knob("gpt", "plan.overlap.pipeline", "false", "true", timeline, "="),
    Knob("gpt", "plan.embedding_sharding", "table_wise", "auto", timeline, "="),  # no tables
    Knob("hstu", "plan.embedding_sharding", "row_wise", "auto", timeline, "="),
    Knob("hstu", "plan.embedding_sharding", "table_wise", "row_wise", time_of("embedding_comm"), ">"),
    Knob("hstu", "plan.embedding_sharding", "data_parallel", "row_wise", memory("embeddings"), ">"),
    Knob("hstu", "plan.embedding_sharding", "data_parallel", "row_wise", launches("exchange vectors"), "<"),
    Knob("hstu", "plan.embedding_sharding", "{item: data_parallel}", "row_wise", sent("exchange vectors"), "<"),
    Knob("hstu", "plan.embedding_sharding", "{item: row_wise, user: row_wise}", "row_wise", timeline, "="),
    Knob("hstu", "plan.embedding_sharding", "data_parallel", "row_wise", sent("exchange ids"), "=",
         "cluster.gpus_per_node=1"),
    Knob("gpt", "plan.sync", "{mode: synchronous}", "-", timeline, "="),
    Knob("gpt", "plan.balancer", "{kind: none}", "-", timeline, "="),
    Knob("gpt", "plan.recompute", "selective_op", "selective", memory("activations"), "<"),
    Knob("gpt", "plan.recompute", "selective_op", "full", memory("activations"), ">"),
    Knob("gpt", "plan.recompute", "selective_op", "selective", time_of("recompute"), ">"),
    Knob("gpt", "plan.recompute", "selective_op", "full", step, "<"),
    Knob("llama", "plan.recompute", "selective_op", "selective", hardware_flops, "="),  # no product runs again
    Knob("gpt", "plan.partition", "uniform", "-", timeline, "="),
    Knob("gpt", "plan.partition", "balanced", "uniform", timeline, "=", DEEP),  # a small vocabulary: layers alike
    Knob("gpt", "plan.partition", "balanced", "uniform", step, "<", DEEP + "; model.trunk.vocab=50000"),
    Knob("gpt", "plan.partition", "balanced", "uniform", step, "<",
         DEEP + "; model.trunk.vocab=50000; plan.schedule=zb_h1"),
    Knob("gpt", "plan.partition", "[4, 4, 4, 4]", "uniform", timeline, "=", DEEP),
    Knob("gpt", "plan.partition", "[2, 6, 4, 4]", "uniform", step, ">", DEEP),
    Knob("gpt", "plan.partition", "[2, 6, 4, 4]", "uniform", memory("parameters"), ">", DEEP),
]  # fmt: skip
