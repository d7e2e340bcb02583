"""Knobs of a DLRM's dense parts."""

from __future__ import annotations

from knobs import Knob, launches, memory, model_flops, sent, step, time_of, timeline

CROSS = "model.dense.interaction=dcn_v2"
ROWS = "plan.embedding_sharding=row_wise"
MANY = "plan.microbatch=65536; plan.global_batch=262144"
FUSED = "software.stack=deeplearning_examples"

DLRM = [
    Knob("dlrm", "model.dense.features", "1024", "13", step, ">"),
    Knob("dlrm", "model.dense.features", "1024", "13", model_flops, ">"),
    Knob("dlrm", "model.dense.features", "1024", "13", memory("parameters"), ">"),
    Knob("dlrm", "model.dense.bottom", "[1024, 1024, 64]", "[64]", model_flops, ">"),
    Knob("dlrm", "model.dense.bottom", "[1024, 1024, 64]", "[64]", memory("activations"), ">"),
    Knob("dlrm", "model.dense.bottom", "[1024, 1024, 64]", "[64]", sent("exchange vectors"), "="),
    Knob("dlrm", "model.dense.bottom", "[64]", "[]", memory("parameters"), ">"),
    Knob("dlrm", "model.dense.top", "[2048, 2048, 1]", "[256, 1]", step, ">"),
    Knob("dlrm", "model.dense.top", "[2048, 2048, 1]", "[256, 1]", memory("gradients"), ">"),
    Knob("dlrm", "model.dense.interaction", "dcn_v2", "cat", step, ">"),
    Knob("dlrm", "model.dense.interaction", "dcn_v2", "cat", memory("activations"), ">"),
    Knob("dlrm", "model.dense.interaction", "dcn_v2", "dot", memory("parameters"), ">"),
    Knob("dlrm", "model.dense.interaction", "dot", "cat", memory("parameters"), "<"),  # fewer inputs of the top
    Knob("dlrm", "model.dense.interaction", "dot", "cat", sent("exchange vectors"), "="),
    Knob("dlrm", "model.dense.cross_layers", "4", "1", step, ">", CROSS),
    Knob("dlrm", "model.dense.cross_layers", "4", "1", memory("activations"), ">", CROSS),
    Knob("dlrm", "model.dense.cross_layers", "4", "1", timeline, "="),  # dot has none
    Knob("dlrm", "model.dense.cross_rank", "256", "16", model_flops, ">", CROSS),
    Knob("dlrm", "model.dense.cross_rank", "256", "16", step, ">", CROSS),
    Knob("dlrm", "model.dense.cross_rank", "256", "16", timeline, "="),
    Knob("dlrm", "model.tables.0.dim", "64", "32", sent("reduce vectors"), ">", f"model.dense.interaction=cat; {ROWS}"),
    Knob("dlrm", "model.tables.0.lookups_per_sample", "40", "1", step, ">"),
    Knob("dlrm", "model.tables.0.lookups_per_sample", "40", "1", sent("reduce vectors"), "=", ROWS),
    Knob("dlrm", "software.stack", "deeplearning_examples", "torch", time_of("compute"), "<", MANY),
    Knob("dlrm", "software.stack", "deeplearning_examples", "torch", time_of("other"), ">"),  # an empty device
    Knob("dlrm", "software.stack", "deeplearning_examples", "torch", model_flops, "="),
    Knob("dlrm", "software.stack", "deeplearning_examples", "torch", sent("exchange vectors"), "="),
    Knob("dlrm", "precision.vectors", "bf16", "fp32", sent("exchange vectors"), "<"),
    Knob("dlrm", "precision.vectors", "bf16", "fp32", sent("exchange gradients"), "<"),
    Knob("dlrm", "precision.vectors", "bf16", "fp32", step, "<"),
    Knob("dlrm", "precision.vectors", "fp32", "null", timeline, "="),
    Knob("hstu", "precision.vectors", "bf16", "fp32", sent("exchange vectors"), "<"),
    Knob("hstu", "precision.vectors", "bf16", "fp32", sent("exchange ids"), "="),
    Knob("hstu", "precision.vectors", "bf16", "fp32", memory("embeddings"), "="),
    Knob("dlrm", "plan.bottom_mlp", "one_rank", "replicated", sent("exchange vectors"), ">"),
    Knob("dlrm", "plan.bottom_mlp", "one_rank", "replicated", memory("parameters"), "<"),
    Knob("dlrm", "plan.bottom_mlp", "one_rank", "replicated", time_of("data_comm"), "<="),
    Knob("dlrm", "plan.bottom_mlp", "one_rank", "replicated", model_flops, "="),
    Knob("dlrm", "plan.bottom_mlp", "one_rank", "replicated", step, ">", "model.dense.bottom=[2048, 2048, 64]"),
    Knob(
        "dlrm",
        "plan.bottom_mlp",
        "one_rank",
        "replicated",
        timeline,
        "=",
        "cluster.gpus_per_node=1; plan.global_batch=512",
    ),
    Knob("dlrm", "plan.zero", "1", "0", memory("optimizer"), "<", "plan.bottom_mlp=one_rank"),
    Knob("dlrm", "plan.microbatch", "256", "512", launches("exchange vectors"), ">"),
    Knob("dlrm", "plan.zero", "1", "0", memory("optimizer"), "<"),
    Knob("dlrm", "plan.bucket_mib", "0.25", "25", time_of("data_comm"), "<=", FUSED),
]
